"""Scores reduced to one row a trial, in narwhals expressions: plain sums and minima that every engine has.

What a trial is named by is the caller's: columns as they are, or for an `Evals` one whole number made of them
(`Codes`), which engines group by in about half the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.evals import some_of
from evalkit.grading.pass_rule import TOLERANCE, PassRule, RuledCriterion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.data.evals import Evals

Carried = list[tuple[str, str]]
"""The runs, each with a criterion that its records carry."""

# Of a trial: it fails for certain; it lacks no score.
FAILED: Final = "_failed"
COMPLETE: Final = "_complete"


@dataclass(frozen=True, slots=True)
class Codes:
    """How `run`, `case` and `epoch` of an Evals make one whole number, in the order case, run, epoch.

    Attributes
    ----------
    low, span
        Of `case`, `run` and `epoch`: the lowest code, and how many there are from it to the highest.
    """

    low: tuple[int, int, int]
    span: tuple[int, int, int]

    @classmethod
    def of(cls, evals: Evals) -> Codes:
        """Return the codes of all records of an Evals."""
        keys = [some_of(frame, "case", "run", "epoch") for frame in (evals.scores, evals.trials)]
        frames = [frame for frame in keys if not frame.is_empty()]
        columns = [[f[name].to_physical() for f in frames] for name in ("case", "run", "epoch")]
        low = [min((int(c.min()) for c in parts), default=0) for parts in columns]  # type: ignore[arg-type]
        top = [max((int(c.max()) for c in parts), default=0) for parts in columns]  # type: ignore[arg-type]
        span = [t - b + 1 for t, b in zip(top, low, strict=True)]
        return cls((low[0], low[1], low[2]), (span[0], span[1], span[2]))

    def trial(self) -> pl.Expr:
        """Return the number of a record's trial."""
        cases, runs, epochs = self.span
        # What does not fit 64 bits is made of ids that no file holds; it is slower, and right.
        wide = pl.Int64() if cases * runs * epochs < 2**63 else pl.Int128()
        case, run, epoch = (
            pl.col(name).to_physical().cast(wide) - low
            for name, low in zip(("case", "run", "epoch"), self.low, strict=True)
        )
        return (case * runs + run) * epochs + epoch

    def cell(self, trial: str) -> pl.Expr:
        """Return the number of the case and run that a trial is of."""
        return pl.col(trial) // self.span[2]

    def name(self, cells: pl.DataFrame, evals: Evals) -> pl.DataFrame:
        """Return a table with `case` and `run` in place of the number of their `cell`."""
        runs = self.span[1]
        codes = {"case": pl.col("cell") // runs + self.low[0], "run": pl.col("cell") % runs + self.low[1]}
        for column, code in codes.items():
            cells = cells.with_columns(code.cast(pl.Int64).alias("_code"))
            named = _name(cells, column, [evals.cases if column == "case" else evals.runs])
            if named[column].null_count():
                # Scores alone may name a case that no suite describes.
                named = _name(cells, column, [evals.scores, evals.trials])
            cells = named.drop("_code")
        return cells.drop("cell")


def _name(cells: pl.DataFrame, column: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    names = pl.concat([frame.lazy().select(column) for frame in frames]).unique()
    names = names.with_columns(pl.col(column).to_physical().cast(pl.Int64).alias("_code"))
    return cells.join(names.collect(), on="_code", how="left")


def reduce_answers(scores: Any, key: Sequence[str]) -> Any:
    """Return one row for each criterion of each trial: the mean of its samples, and how many there are.

    Parameters
    ----------
    scores
        A narwhals frame.
    key
        The columns that name a trial.
    """
    import narwhals as nw

    answers = scores.select(*key, "criterion", nw.col("score").cast(nw.Float64))
    return answers.group_by(*key, "criterion").agg(
        nw.col("score").mean(), nw.col("score").count().alias("samples")
    )


def reduce_trials(
    scores: Any,
    key: Sequence[str],
    criteria: Mapping[str, RuledCriterion],
    rule: PassRule,
    *,
    carried: Carried,
    single: bool = False,
) -> Any:
    """Return one row a trial: its mean, its lowest score, its verdict and the reason.

    Parameters
    ----------
    scores, key
        As for `reduce_answers`; `run` must be in the key unless all runs carry the same criteria.
    criteria
        What the rule makes of each criterion.
    rule
        The rule.
    carried
        What the records of each run carry.
    single
        Whether the rows are one an answer already.
    """
    import narwhals as nw

    score = nw.col("score")
    rows = scores.select(*key, "criterion", score.cast(nw.Float64))
    answers = rows if single else reduce_answers(scores, key)
    plain = all(c.in_mean and c.weight == 1 for c in criteria.values())
    gates = {n: c.gate for n, c in criteria.items() if c.gate is not None}
    top = next((c.scale_max for c in criteria.values() if c.in_mean), 1.0)
    sums = [score.count().alias("scored"), score.min().alias("lowest"), score.sum().alias("_ws")]
    if not plain:
        weight = _lookup({n: c.weight * c.in_mean for n, c in criteria.items()})
        counts = nw.when(~score.is_null())
        ordinal = _lookup({n: float(c.in_mean) for n, c in criteria.items()}) > 0
        answers = answers.with_columns(
            counts.then(weight).otherwise(0.0).alias("_w"),
            counts.then(score * weight).otherwise(0.0).alias("_ws"),
            nw.when(ordinal).then(score).alias("_low"),
        )
        sums[2:] = [
            nw.col("_w").sum(),
            nw.col("_ws").sum(),
            nw.col("_low").min(),
            score.mean().alias("_plain"),
        ]
    if gates:
        gate = _lookup({n: gates.get(n, -1e300) for n in criteria})
        answers = answers.with_columns(nw.when(score < gate - TOLERANCE).then(1).otherwise(0).alias("_gated"))
        sums.append(nw.col("_gated").sum())
    trials = answers.group_by(*key).agg(*sums)
    trials = _with_expected(trials, scores, carried, {n: c.weight * c.in_mean for n, c in criteria.items()})
    if plain:
        trials = trials.with_columns(nw.col("scored").alias("_w"), nw.col("lowest").alias("_low"))
        trials = trials.with_columns((nw.col("_ws") / nw.col("scored")).alias("_plain"))
    if not gates:
        trials = trials.with_columns(nw.lit(0).alias("_gated"))
    complete = nw.col("scored") == nw.col("expected")
    below = (nw.col("_low") < rule.floor - TOLERANCE).fill_null(value=False)
    gated = nw.col("_gated") > 0
    short = nw.col("_ws") + (nw.col("_full") - nw.col("_w")) * top < rule.mean * nw.col("_full") - TOLERANCE
    never = "fail" if rule.missing == "fail" else "unscored"
    failed = below | gated | short
    verdict = (
        nw.when(failed)
        .then(nw.lit("fail"))
        .otherwise(nw.when(complete).then(nw.lit("pass")).otherwise(nw.lit(never)))
    )
    reason = (
        nw.when(below)
        .then(nw.lit(f"a criterion is below {rule.floor:g}"))
        .otherwise(
            nw.when(gated)
            .then(nw.lit("a gate is not reached"))
            .otherwise(
                nw.when(short & complete)
                .then(nw.lit(f"the mean is below {rule.mean:g}"))
                .otherwise(
                    nw.when(short)
                    .then(nw.lit("the mean cannot be reached any more"))
                    .otherwise(nw.when(~complete).then(nw.lit("a score is missing")))
                )
            )
        )
    )
    mean = nw.when(nw.col("_full") > 0).then(nw.col("_ws") / nw.col("_w")).otherwise(nw.col("_plain"))
    return trials.select(
        *key,
        # Engines add floats in any order; the thirteenth decimal would differ from one call to the next.
        nw.when(complete).then(mean).round(12).alias("mean"),
        "lowest",
        nw.col("scored").cast(nw.Int32),
        nw.col("expected").cast(nw.Int32),
        verdict.alias("verdict"),
        reason.alias("reason"),
        failed.alias(FAILED),
        complete.alias(COMPLETE),
    )


def _with_expected(trials: Any, scores: Any, carried: Carried, weights: Mapping[str, float]) -> Any:
    """Add what the records of each trial's run carry: how many criteria (`expected`), of what weight (`_full`)."""
    import narwhals as nw

    runs: dict[str, list[float]] = {}
    for run, criterion in carried:
        runs.setdefault(run, []).append(weights[criterion])
    kinds = {(len(full), sum(full)) for full in runs.values()}
    if len(kinds) == 1:
        # All runs alike: no join over millions of trials.
        count, full = next(iter(kinds))
        return trials.with_columns(nw.lit(count).alias("expected"), nw.lit(float(full)).alias("_full"))
    expected = (
        scores.select("run", "criterion")
        .unique()
        .with_columns(_lookup(weights).alias("_full"))
        .group_by("run")
        .agg(nw.len().alias("expected"), nw.col("_full").sum())
    )
    return trials.join(expected, on="run", how="left")


def _lookup(values: Mapping[str, float]) -> Any:
    """Return an expression that gives each criterion its value, in words that every engine has."""
    import narwhals as nw

    made: Any = nw.lit(0.0)
    for name, value in values.items():
        made = nw.when(nw.col("criterion").cast(nw.String) == name).then(nw.lit(float(value))).otherwise(made)
    return made
