"""The cases whose verdict changed, each with a trial of either side to read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from evalkit.grading.grade import grade_criteria
from evalkit.report.blocks import Cell, Flip, Reason, Section, Side, Table, Text, number
from evalkit.util.words import NOT_GIVEN, plural
from evalkit.widgets.transcript_view import read_trial

if TYPE_CHECKING:
    from evalkit.compare.compare import Comparison
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.report.blocks import Block
    from evalkit.widgets.transcript_view import TranscriptView

# So much of what a case asks is shown above its transcripts.
_ASKED = 280
# Beyond this a rationale stands in the fold only.
_REASONS = 2


def regressions(
    evals: Evals,
    change: Comparison,
    graded: pl.DataFrame,
    runs: tuple[list[str], list[str]],
    *,
    most: int,
    counts: dict[str, Any],
) -> Section:
    """Return the cases that got worse, worst severity first: the first `most` to read, the others as a table."""
    rows = change.flips.filter(pl.col("kind") == "regression").to_dicts()
    if not rows:
        return Section("regressed", "What regressed", (Text("No case went from pass to fail."),))
    # Of what was scanned, what is shown is read at once.
    shown = [row["case"] for row in rows[:most]]
    evals = evals.filter(pl.col("case").is_in(shown), pl.col("run").is_in([*runs[0], *runs[1]])).collect()
    blocks: list[Block] = [
        _flip(evals, row, change, graded, runs, at=at, counts=counts) for at, row in enumerate(rows[:most], 1)
    ]
    if len(rows) > most:
        caption = f"The other {plural(len(rows) - most, 'regression')}; max_transcripts puts in the transcripts of more"
        blocks.append(_counts(rows[most:], change, caption=caption, key="table-regressed"))
    ordered = len(rows) > 1 and any(row["severity"] for row in rows)
    note = f"{plural(len(rows), 'case')} went from pass to fail{', worst severity first' if ordered else ''}."
    if most:
        note += f" {'Each with' if len(rows) > 1 else 'With'} a trial of either side to read, and what the judge said of the criteria that failed."
    return Section("regressed", "What regressed", tuple(blocks), note)


def improvements(change: Comparison) -> Section:
    """Return the cases that got better, a row each."""
    rows = change.flips.filter(pl.col("kind") == "improvement").to_dicts()
    if not rows:
        return Section("improved", "What improved", (Text("No case went from fail to pass."),))
    caption = f"{plural(len(rows), 'case')} went from fail to pass: trials passed of trials scored"
    return Section(
        "improved", "What improved", (_counts(rows, change, caption=caption, key="table-improved"),)
    )


def _counts(rows: list[dict[str, Any]], change: Comparison, *, caption: str, key: str) -> Table:
    known = change.cases["severity"].is_not_null().any()
    cells = tuple(
        (
            Cell(row["case"]),
            *([Cell(_severity(row), f"severity-{row['severity']}")] if known else []),
            Cell(f"{row['baseline_passes']}/{row['baseline_trials']}", "num"),
            Cell(f"{row['candidate_passes']}/{row['candidate_trials']}", "num"),
            Cell(number(row["p_value"], 3), "num"),
        )
        for row in rows
    )
    heads = (
        Cell("Case"),
        *([Cell("Severity")] if known else []),
        Cell(f"Baseline {change.baseline}", "num"),
        Cell(f"Candidate {change.candidate}", "num"),
        Cell("p, this case alone", "num"),
    )
    return Table(caption, heads, cells, key=key)


def _flip(
    evals: Evals,
    row: dict[str, Any],
    change: Comparison,
    graded: pl.DataFrame,
    runs: tuple[list[str], list[str]],
    *,
    at: int,
    counts: dict[str, Any],
) -> Flip:
    here = (pl.col("case") == row["case"]) & (
        pl.col("suite").cast(pl.String).fill_null("") == (row["suite"] or "")
    )
    of_case = graded.filter(here)
    chosen: dict[str, Any] = {}
    sides = {}
    for name, of_side in (("candidate", runs[1]), ("baseline", runs[0])):
        side = Side(getattr(change, name), str(row[name]), row[f"{name}_passes"], row[f"{name}_trials"])
        trials = of_case.filter(pl.col("run").cast(pl.String).is_in(of_side))
        if trials.height:
            chosen = _representative(trials, side.verdict, like=chosen)
            side = _with_trial(evals, side, chosen, rule=change.rule, counts=counts)
        sides[name] = side
    asked = evals.cases.filter(here).select(pl.coalesce("input", "prompt").alias("asked"))
    text = (asked["asked"][0] or "") if asked.height else ""
    p = row.get("p_value")
    return Flip(
        key=f"flip-{at}",
        case=row["case"],
        severity=_severity(row) if change.cases["severity"].is_not_null().any() else "",
        kind=row["kind"],
        asked=f"{text[:_ASKED].rstrip()}…" if len(text) > _ASKED else text,
        baseline=sides["baseline"],
        candidate=sides["candidate"],
        test="" if p is None else f"p {'< 0.001' if p < 0.001 else f'= {number(p, 3)}'} for this case alone",
    )


def _representative(trials: pl.DataFrame, verdict: str, *, like: dict[str, Any]) -> dict[str, Any]:
    """Return the trial that stands for a side: of its verdict, and of the middle mean.

    Where there is one of the same model as the trial `like` of the other side, it is chosen among those, so
    that what differs between the two is the version.
    """
    fitting = trials.filter(pl.col("verdict") == verdict)
    fitting = fitting if fitting.height else trials
    same = fitting.filter(pl.col("model").cast(pl.String).eq_missing(like.get("model"))) if like else fitting
    ordered = (same if same.height else fitting).sort("mean", "run", "epoch", nulls_last=True)
    return ordered.row((ordered.height - 1) // 2, named=True)


def _with_trial(
    evals: Evals, side: Side, trial: dict[str, Any], *, rule: PassRule, counts: dict[str, Any]
) -> Side:
    view = read_trial(evals, run=trial["run"], case=trial["case"], epoch=trial["epoch"])
    mean = "no mean score" if trial["mean"] is None else f"mean score {number(trial['mean'])}"
    return replace(
        side,
        chosen=f"run {trial['run']}, epoch {trial['epoch']}, {trial['verdict']}, {mean}",
        reasons=_reasons(evals, view, rule, counts),
        transcript=view,
    )


def _reasons(
    evals: Evals, view: TranscriptView, rule: PassRule, counts: dict[str, Any]
) -> tuple[Reason, ...]:
    """Return the criteria that failed, the worst first, each with its lowest judgement; people's labels stay in the fold."""
    graded = grade_criteria(evals.filter(run=view.run, case=view.case, epoch=view.epoch), rule, **counts)
    failed = sorted(
        graded.filter(pl.col("verdict") == "fail").to_dicts(),
        key=lambda row: (
            (row["score"] - (row["scale_min"] or 0)) / (row["scale_max"] or 1),
            row["criterion"],
        ),
    )
    made = []
    for row in failed:
        said = [one for one in view.judgements if one.criterion == row["criterion"] and one.value is not None]
        ours = [one for one in said if one.kind != "human"]
        if ours:
            lowest = min(ours, key=lambda one: (one.value or 0.0, not one.rationale))
            most = f" of {row['scale_max']:g}" if row["scale_max"] is not None else ""
            made.append(Reason(row["criterion"], f"{number(row['score'])}{most}", row["samples"], lowest))
    return tuple(made[:_REASONS])


def _severity(row: dict[str, Any]) -> str:
    return row["severity"] or NOT_GIVEN
