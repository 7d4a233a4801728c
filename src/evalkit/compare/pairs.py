"""Pair the cases of two sides."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.data.schema import Severity, Verdict
from evalkit.grading.grade import count_cases
from evalkit.grading.select_scores import choose_scores, counted_scores
from evalkit.grading.version_order import order_versions
from evalkit.util.errors import ColumnError, SelectorError
from evalkit.util.words import Option, Sentence, join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring

Selector = str | Mapping[str, Any]
"""A run, an agent_version or a model by name, or a mapping of columns of `runs` to values."""

RUN_COLUMNS: Final = ("run", "suite", "agent", "agent_version", "model", "provider")
CASE_COLUMNS: Final = ("suite", "case", "severity", "domain", "tags", "cluster")
SIDES: Final = ("baseline", "candidate")
# Pairs are made within these columns if both sides share values of them.
_STRATA: Final = ("agent", "agent_version", "model")


def find_runs(evals: Evals, selector: Selector) -> tuple[str, list[str]]:
    """Return the label and the runs of a selector; raise SelectorError or ColumnError for none."""
    runs = evals.runs.with_columns(pl.col(c).cast(pl.String).fill_null("") for c in RUN_COLUMNS)
    if isinstance(selector, Mapping):
        for column in selector:
            if column not in RUN_COLUMNS:
                raise ColumnError(
                    f"Cannot choose a side by {column!r}.",
                    value=column,
                    choices=RUN_COLUMNS,
                    fix="For anything else, filter the evals first.",
                )
        label = ", ".join(
            f"{column} {join_words(v) if isinstance(v, list | tuple | set) else v}"
            for column, v in selector.items()
        )
        names = evals.filter(**selector).runs["run"].cast(pl.String).to_list()
        if not names:
            raise SelectorError(f"No run has {label}.")
        return label, names
    columns = ("run", "agent_version", "model")
    meanings = {column: set(runs.filter(pl.col(column) == str(selector))["run"]) for column in columns}
    meanings = {column: names for column, names in meanings.items() if names}
    if not meanings:
        known = [name for column in columns for name in sorted(set(runs[column])) if name]
        raise SelectorError.unknown(selector, kind="run, agent_version or model", have=dict.fromkeys(known))
    if len({frozenset(names) for names in meanings.values()}) > 1:
        options = [
            Option(column, python=str({column: selector}), shell=shlex.quote(f"{column}={selector}"))
            for column in meanings
        ]
        raise SelectorError(
            f"{selector!r} is the name of a {' and of a '.join(meanings)}.",
            value=selector,
            fix=Sentence(
                f"Choose one: {' or '.join(f'{{{o.name}}}' for o in options)}.",
                **{o.name: o for o in options},
            ),
        )
    return str(selector), sorted(next(iter(meanings.values())))


def share_criteria(
    evals: Evals, sides: Mapping[str, Sequence[str]], scoring: Scoring, *, criteria: Literal["same", "shared"]
) -> tuple[Evals, list[str]]:
    """Return the scores on shared criteria of all sides, and the criteria left out.

    Raises SelectorError if the criteria differ and `criteria` is "same", or the sides share none.
    """
    if scoring.grader is None:
        judged = counted_scores(evals).select("run", "criterion")
    else:
        runs = [run for names in sides.values() for run in names]
        scores = evals.scores.lazy().filter(pl.col("run").is_in(runs))
        chosen = choose_scores(scores, grader=scoring.grader, rubric=scoring.rubric or "any").to_native()
        judged = chosen.select("run", "criterion").unique().collect()
    pairs = [(str(run), str(criterion)) for run, criterion in judged.rows()]
    scored = {side: {c for run, c in pairs if run in set(runs)} for side, runs in sides.items()}
    # A side without scores has no criteria to differ by; its trials count as unscored.
    known = {side: names for side, names in scored.items() if names}
    if len({frozenset(names) for names in known.values()}) < 2:
        return evals, []
    every = set[str]().union(*known.values())
    shared = sorted(every.intersection(*known.values()))
    lacking = "; ".join(
        f"{side!r} lacks {join_words(sorted(every - n))}" for side, n in known.items() if n != every
    )
    if not shared:
        raise SelectorError(f"The sides share no criterion: {lacking}.", argument="criteria")
    if criteria == "same":
        raise SelectorError(
            f"The sides were scored on different criteria: {lacking}. Trials with fewer criteria pass more easily.",
            argument="criteria",
            fix=Sentence(
                "Compare the shared criteria ({shared}): {option}.",
                shared=join_words(shared),
                option=Option("criteria", "shared"),
            ),
        )
    return evals.filter(criterion=shared), sorted(every - set(shared))


def shared_columns(sides: Iterable[pl.DataFrame], columns: Iterable[str]) -> list[str]:
    """Return the columns in which all sides share a value; null is a value."""
    frames = [side.select(pl.col(columns).cast(pl.String).fill_null("")) for side in sides]
    return [column for column in columns if set.intersection(*(set(frame[column]) for frame in frames))]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two graded sides, paired.

    `cells` has one row per case, stratum and criterion scored on both sides: `passes_*`, `trials_*` (scored), `rate_*`,
    `mean_*` for `*` in baseline, candidate. `sides` has the same per `side` before pairing, and `unscored` (trials).
    `unpaired` has the cases scored on one side only. `strata` are the columns within which pairs were made.
    """

    labels: dict[str, str]
    runs: dict[str, list[str]]
    cells: pl.DataFrame
    sides: pl.DataFrame
    unpaired: pl.DataFrame
    strata: tuple[str, ...]

    @property
    def all_runs(self) -> list[str]:
        """The runs of both sides."""
        return [*self.runs["baseline"], *self.runs["candidate"]]

    def units(self, *also: str) -> pl.DataFrame:
        """Return one row per case (and value of `also`), the mean of its strata.

        `passes_*` and `trials_*` are sums. `mean_*` is over the strata where both sides have a mean; else null.
        """
        keys = [*CASE_COLUMNS, *(column for column in also if column not in CASE_COLUMNS)]
        both = pl.col("mean_baseline").is_not_null() & pl.col("mean_candidate").is_not_null()
        return self.cells.group_by(keys, maintain_order=True).agg(
            *(pl.col(f"passes_{s}", f"trials_{s}").sum() for s in SIDES),
            *(pl.col(f"rate_{s}").mean() for s in SIDES),
            *(pl.col(f"mean_{s}").filter(both).mean() for s in SIDES),
        )


def default_sides(
    evals: Evals, baseline: Selector | None, candidate: Selector | None
) -> tuple[Selector, Selector]:
    """Return the sides given, or the last two versions if start times or numbers in their names order them.

    Raises SelectorError if only one side is given, or the order is unknown.
    """
    if baseline is not None and candidate is not None:
        return baseline, candidate
    if baseline is not None or candidate is not None:
        missing = "baseline" if baseline is None else "candidate"
        raise SelectorError("A comparison needs two sides.", argument=missing, fix=Option(missing, "NAME"))
    order = order_versions(evals)
    if order.note:
        raise SelectorError(order.note, argument="baseline", value=None, choices=())
    return order.sides()


def find_sides(
    evals: Evals, baseline: Selector, candidate: Selector
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the label and the runs of each side."""
    sides = {"baseline": find_runs(evals, baseline), "candidate": find_runs(evals, candidate)}
    return {side: label for side, (label, _) in sides.items()}, {
        side: runs for side, (_, runs) in sides.items()
    }


def make_pairs(
    evals: Evals,
    labels: dict[str, str],
    runs: dict[str, list[str]],
    scoring: Scoring,
    *,
    criteria: bool = False,
) -> Pairs:
    """Grade both sides and pair them; raise SelectorError if they share a run."""
    shared = sorted(set(runs["baseline"]) & set(runs["candidate"]))
    if shared:
        raise SelectorError(f"The run {shared[0]!r} is on both sides.", expected="two different sides")
    both = [*runs["baseline"], *runs["candidate"]]
    chosen = evals if len(both) == evals.runs.height else evals.filter(run=both)
    counts = count_cases(chosen, scoring, criteria=criteria)
    known = evals.runs.select("run", pl.col("suite").fill_null(""), *_STRATA)
    strata = shared_columns([known.filter(pl.col("run").is_in(runs[side])) for side in SIDES], _STRATA)
    is_baseline = pl.col("run").is_in(runs["baseline"])
    side = pl.when(is_baseline).then(pl.lit("baseline")).otherwise(pl.lit("candidate"))
    known = known.select("run", "suite", pl.col(strata).cast(pl.String).fill_null(""), side=side)
    facts = [c for c in CASE_COLUMNS if c not in ("suite", "case")]
    keys = ["suite", "case", *strata, *(["criterion"] if criteria else [])]
    cells = counts.join(known, on="run", how="left", maintain_order="left").drop("run")
    if known.select("suite", *strata, "side").is_duplicated().any():
        sums = pl.col("passes", "trials", "unscored", "score", "means").sum()
        cells = cells.group_by([*keys, "side"], maintain_order=True).agg(sums)
    cases = evals.cases.select("suite", "case", *facts)
    cells = cells.join(cases, on=["suite", "case"], how="left", maintain_order="left").with_columns(
        rate=pl.col("passes") / pl.col("trials").replace(0, None),
        mean=pl.col("score") / pl.col("means").replace(0, None),
    )
    scored = cells.filter(pl.col("trials") > 0)
    left, right = (
        scored.filter(side=side).select(
            *keys, *facts, *(pl.col(n).alias(f"{n}_{side}") for n in ("passes", "trials", "rate", "mean"))
        )
        for side in SIDES
    )
    paired = left.join(right.drop(facts), on=keys, how="inner", maintain_order="left")
    return Pairs(labels, runs, paired, cells, _unpaired(cells, paired), tuple(strata))


def majority(passes: str, trials: str) -> pl.Expr:
    """Return a verdict: pass if more than half of the scored trials pass."""
    share = pl.col(passes) / pl.col(trials)
    verdict = pl.when(share > 0.5 + 1e-9).then(pl.lit("pass")).otherwise(pl.lit("fail"))
    return pl.when(pl.col(trials) == 0).then(pl.lit("unscored")).otherwise(verdict).cast(Verdict)


def _unpaired(cells: pl.DataFrame, paired: pl.DataFrame) -> pl.DataFrame:
    return (
        cells.join(paired.select("suite", "case"), on=["suite", "case"], how="anti", maintain_order="left")
        .group_by("suite", "case", "severity", "side", maintain_order=True)
        .agg(pl.col("passes", "trials").sum())
        .with_columns(majority("passes", "trials").alias("verdict"))
        .filter(pl.col("trials") > 0)
        .select("case", pl.col("severity").cast(Severity), "side", "verdict")
        .sort("severity", descending=True, nulls_last=True, maintain_order=True)
    )
