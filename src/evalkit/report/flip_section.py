"""The cases whose verdict changed, each with a trial of both sides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.grading.grade import grade_trial_criteria
from evalkit.report.blocks import Flip, Reason, ReportTable, Section, Side, Text, if_known
from evalkit.report.sections import severity_cell
from evalkit.util.format import number, p_value, shorten
from evalkit.util.words import NOT_GIVEN, plural
from evalkit.widgets.transcript_view import read_trial

if TYPE_CHECKING:
    from evalkit.compare.compare import Comparison
    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring
    from evalkit.report.blocks import Block
    from evalkit.report.sections import Subject
    from evalkit.widgets.transcript_view import TranscriptView

_INPUT_LIMIT: Final = 280
# Rationales of further criteria stand in the fold only.
_REASON_LIMIT: Final = 2


def regressions(subject: Subject, change: Comparison, runs: tuple[list[str], ...], *, limit: int) -> Section:
    """Return the cases that regressed, worst severity first: `limit` of them to read, the others as a table."""
    rows = change.flips.filter(pl.col("kind") == "regression").to_dicts()
    if not rows:
        return Section("regressed", "What regressed", (Text("No case went from pass to fail."),))
    # Read all shown trials of scanned data at once.
    names = [row["case"] for row in rows[:limit]]
    is_shown = pl.col("case").is_in(names), pl.col("run").is_in([run for side in runs for run in side])
    subject = replace(subject, evals=subject.evals.filter(*is_shown).collect())
    blocks: list[Block] = [
        replace(_flip(subject, row, change, runs), key=f"flip-{number}")
        for number, row in enumerate(rows[:limit], 1)
    ]
    if len(rows) > limit:
        rest = plural(len(rows) - limit, "more regression")
        blocks.append(_counts(rows[limit:], change, caption=f"{rest}, without transcripts", key="regressed"))
    note = f"{plural(len(rows), 'case')} went from pass to fail"
    note += ", worst severity first." if len(rows) > 1 and any(row["severity"] for row in rows) else "."
    if limit:
        note += " Each entry shows one trial per version and the reasons for the failed criteria."
    return Section("regressed", "What regressed", tuple(blocks), note)


def improvements(change: Comparison) -> Section:
    """Return the cases that improved, a row each."""
    rows = change.flips.filter(pl.col("kind") == "improvement").to_dicts()
    if not rows:
        return Section("improved", "What improved", (Text("No case went from fail to pass."),))
    caption = f"{plural(len(rows), 'case')} went from fail to pass: passed/scored trials"
    return Section("improved", "What improved", (_counts(rows, change, caption=caption, key="improved"),))


def _counts(rows: list[dict[str, Any]], change: Comparison, *, caption: str, key: str) -> ReportTable:
    known = _has_severity(change)
    cells = (
        (
            row["case"],
            *([severity_cell(row["severity"])] if known else []),
            f"{row['baseline_passes']}/{row['baseline_trials']}",
            f"{row['candidate_passes']}/{row['candidate_trials']}",
            if_known(p_value, row["p_value"], label=False),
        )
        for row in rows
    )
    sides = (f"Baseline {change.baseline}", f"Candidate {change.candidate}")
    heads = ("Case", *(["Severity"] if known else []), *sides, "p, adjusted over cases")
    return ReportTable.of(caption, heads, cells, key=f"table-{key}", numeric=range(1 + known, len(heads)))


def _has_severity(change: Comparison) -> bool:
    return bool(change.cases["severity"].is_not_null().any())


def _flip(subject: Subject, row: dict[str, Any], change: Comparison, runs: tuple[list[str], ...]) -> Flip:
    suite = pl.col("suite").cast(pl.String).fill_null("")
    here = (pl.col("case") == row["case"]) & (suite == (row["suite"] or ""))
    graded = subject.graded.filter(here)
    trial: dict[str, Any] = {}
    sides = {}
    for name, of_side in (("candidate", runs[1]), ("baseline", runs[0])):
        side = Side(getattr(change, name), str(row[name]), row[f"{name}_passes"], row[f"{name}_trials"])
        trials = graded.filter(pl.col("run").cast(pl.String).is_in(of_side))
        if trials.height:
            trial = _representative(trials, side.verdict, like=trial)
            side = _with_trial(subject.evals, side, trial, subject.scoring)
        sides[name] = side
    texts = subject.evals.cases.filter(here).select(pl.coalesce("input", "prompt")).to_series()
    test = if_known(p_value, row["p_value"])
    return Flip(
        key="",
        case=row["case"],
        severity=(row["severity"] or NOT_GIVEN) if _has_severity(change) else "",
        input=shorten((texts[0] if texts.len() else "") or "", _INPUT_LIMIT),
        **sides,
        test=f"{test}, adjusted over all cases" if test else "",
    )


def _representative(trials: pl.DataFrame, verdict: str, *, like: dict[str, Any]) -> dict[str, Any]:
    """Return a representative trial: same verdict, median score.

    A trial of the model of `like`, the trial of the other side, comes first: the two then differ by version.
    """
    fitting = trials.filter(pl.col("verdict") == verdict)
    fitting = fitting if fitting.height else trials
    same = fitting.filter(pl.col("model").cast(pl.String).eq_missing(like.get("model"))) if like else fitting
    ordered = (same if same.height else fitting).sort("mean", "run", "epoch", nulls_last=True)
    return ordered.row((ordered.height - 1) // 2, named=True)


def _with_trial(evals: Evals, side: Side, trial: dict[str, Any], scoring: Scoring) -> Side:
    view = read_trial(evals, run=trial["run"], case=trial["case"], epoch=trial["epoch"])
    mean = "no mean score" if trial["mean"] is None else f"mean score {number(trial['mean'])}"
    return replace(
        side,
        trial=f"run {trial['run']}, epoch {trial['epoch']}, {trial['verdict']}, {mean}",
        reasons=_reasons(evals, view, scoring),
        transcript=view,
    )


def _reasons(evals: Evals, view: TranscriptView, scoring: Scoring) -> tuple[Reason, ...]:
    """Return the failed criteria, the worst first, each with the lowest of the judgements that count."""
    graded = grade_trial_criteria(evals.filter(run=view.run, case=view.case, epoch=view.epoch), scoring)

    def share_of_scale(row: dict[str, Any]) -> float:
        return float((row["score"] - (row["scale_min"] or 0)) / (row["scale_max"] or 1))

    reasons = []
    failed = graded.filter(pl.col("verdict") == "fail").to_dicts()
    for row in sorted(failed, key=lambda row: (share_of_scale(row), row["criterion"])):
        judgements = [
            judgement
            for judgement in view.judgements
            if judgement.criterion == row["criterion"]
            and judgement.value is not None
            # Human labels count only if they were chosen.
            and (scoring.grader is not None or judgement.kind != "human")
        ]
        if judgements:
            lowest = min(judgements, key=lambda judgement: (judgement.value or 0.0, not judgement.rationale))
            top = f" of {row['scale_max']:g}" if row["scale_max"] is not None else ""
            reasons.append(Reason(row["criterion"], f"{number(row['score'])}{top}", row["samples"], lowest))
    return tuple(reasons[:_REASON_LIMIT])
