"""Reduce scores to one row per trial, in narwhals expressions of every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.frames import some_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.data.evals import Evals
    from evalkit.grading.applied_rule import AppliedRule

Carried = list[tuple[str, str]]
"""Each run with each criterion that its chosen scores carry."""

CERTAIN: Final = "certain_fail"
"""Column of a trial: it fails whatever its missing scores are."""
COMPLETE: Final = "_complete"
"""Column of a trial: no score is missing."""


@dataclass(frozen=True, slots=True)
class Codes:
    """Encode `case`, `run` and `epoch` as one integer: grouping takes half the time.

    `low` and `span` are per column the lowest code and the number of codes up to the highest.
    """

    low: tuple[int, int, int]
    span: tuple[int, int, int]

    @classmethod
    def of(cls, evals: Evals) -> Codes:
        """Return the codes of an Evals."""
        keys = [some_of(frame, "case", "run", "epoch") for frame in (evals.scores, evals.trials)]
        frames = [frame for frame in keys if not frame.is_empty()]
        columns = [[f[name].to_physical() for f in frames] for name in ("case", "run", "epoch")]
        low = [min((int(c.min()) for c in parts), default=0) for parts in columns]  # type: ignore[arg-type]
        top = [max((int(c.max()) for c in parts), default=0) for parts in columns]  # type: ignore[arg-type]
        span = [t - b + 1 for t, b in zip(top, low, strict=True)]
        return cls((low[0], low[1], low[2]), (span[0], span[1], span[2]))

    def trial(self) -> pl.Expr:
        """Return the integer of a row's trial."""
        cases, runs, epochs = self.span
        # Only ids that no file holds need more than 64 bits.
        wide = pl.Int64() if cases * runs * epochs < 2**63 else pl.Int128()
        case, run, epoch = (
            pl.col(name).to_physical().cast(wide) - low
            for name, low in zip(("case", "run", "epoch"), self.low, strict=True)
        )
        return (case * runs + run) * epochs + epoch

    def cell(self, trial: str) -> pl.Expr:
        """Return the integer of a trial's case and run."""
        return pl.col(trial) // self.span[2]

    def name(self, cells: pl.DataFrame, evals: Evals) -> pl.DataFrame:
        """Replace `cell` by `case` and `run`."""
        runs = self.span[1]
        codes = {"case": pl.col("cell") // runs + self.low[0], "run": pl.col("cell") % runs + self.low[1]}
        for column, code in codes.items():
            cells = cells.with_columns(code.cast(pl.Int64).alias("_code"))
            named = _decode(cells, column, [evals.cases if column == "case" else evals.runs])
            if named[column].null_count():
                # Scores alone may name a case that the suite lacks.
                named = _decode(cells, column, [evals.scores, evals.trials])
            cells = named.drop("_code")
        return cells.drop("cell")


def _decode(cells: pl.DataFrame, column: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    names = pl.concat([frame.lazy().select(column) for frame in frames]).unique()
    names = names.with_columns(pl.col(column).to_physical().cast(pl.Int64).alias("_code"))
    return cells.join(names.collect(), on="_code", how="left")


def reduce_samples(scores: Any, key: Sequence[str]) -> Any:
    """Average the samples per trial (`key`) and criterion; count them."""
    import narwhals as nw

    answers = scores.select(*key, "criterion", nw.col("score").cast(nw.Float64))
    return answers.group_by(*key, "criterion").agg(
        nw.col("score").mean(), nw.col("score").count().alias("samples")
    )


def reduce_trials(
    scores: Any, key: Sequence[str], applied: AppliedRule, *, carried: Carried, single: bool = False
) -> Any:
    """Return one row per trial: means, counts, `verdict`, `reason`, `certain_fail` and `COMPLETE`.

    `run` is in the key unless all runs carry the same criteria. `single`: one row per trial and criterion already. The
    mean and the lowest score are on the scale of the applied rule, higher is better.
    """
    import narwhals as nw

    score = nw.col("score")
    criteria, rule = applied.criteria, applied.rule
    answers = (
        scores.select(*key, "criterion", score.cast(nw.Float64)) if single else reduce_samples(scores, key)
    )
    is_plain = all(c.in_mean and c.weight == 1 and c.factor == 1 for c in criteria.values())
    gates = {name: c for name, c in criteria.items() if c.gate is not None}
    weights = {name: c.weight * c.in_mean for name, c in criteria.items()}
    if gates:
        sign = _by_criterion({name: c.sign for name, c in criteria.items()})
        least = _by_criterion(
            {name: c.sign * c.gate - c.tolerance for name, c in gates.items() if c.gate is not None}, -1e300
        )
        is_below = nw.when(score * sign < least).then(1).otherwise(0)
        answers = answers.with_columns(is_below.alias("_gated"))
    if not is_plain:
        factor = _by_criterion({name: c.factor for name, c in criteria.items()})
        offset = _by_criterion({name: c.offset for name, c in criteria.items()})
        answers = answers.with_columns(score=score * factor + offset)
    sums = [score.count().alias("scored"), score.min().alias("lowest"), score.sum().alias("_sum")]
    if not is_plain:
        weight, is_scored = _by_criterion(weights), nw.when(~score.is_null())
        in_mean = _by_criterion({name: float(c.in_mean) for name, c in criteria.items()}) > 0
        answers = answers.with_columns(
            is_scored.then(weight).otherwise(0.0).alias("_weight"),
            is_scored.then(score * weight).otherwise(0.0).alias("_sum"),
            nw.when(in_mean).then(score).alias("_low"),
        )
        sums[2:] = [nw.col("_weight", "_sum").sum(), nw.col("_low").min(), score.mean().alias("_plain")]
    if gates:
        sums.append(nw.col("_gated").sum())
    trials = _with_expected(answers.group_by(*key).agg(*sums), scores, carried, weights)
    if is_plain:
        trials = trials.with_columns(nw.col("scored").alias("_weight"), nw.col("lowest").alias("_low"))
        trials = trials.with_columns((nw.col("_sum") / nw.col("scored")).alias("_plain"))
    never, exact, total = nw.lit(value=False), applied.tolerance, nw.col("_total")
    is_gated = nw.col("_gated") > 0 if gates else never
    is_complete = nw.col("scored") == nw.col("expected")
    is_low = is_short = never
    if applied.floor is not None:
        is_low = (nw.col("_low") < applied.floor - exact).fill_null(value=False)
    if applied.mean is not None:
        best = nw.col("_sum") + (total - nw.col("_weight")) * applied.scale[1]
        is_short = best < (applied.mean - exact) * total
    has_failed = is_low | is_gated | is_short
    # A rule without a condition gives no verdict.
    known = "pass" if applied.has_condition else "unscored"
    mean = nw.when(total > 0).then(nw.col("_sum") / nw.col("_weight")).otherwise(nw.col("_plain"))
    return trials.select(
        *key,
        # Engines add floats in any order; the thirteenth decimal would differ from call to call.
        nw.when(is_complete).then(mean).round(12).alias("mean"),
        nw.col("lowest").round(12),
        nw.col("scored", "expected").cast(nw.Int32),
        _first_match((~is_complete, rule.missing), (has_failed, "fail"), otherwise=known).alias("verdict"),
        _first_match(
            (~is_complete & has_failed, "a score is missing, and the others fail already"),
            (~is_complete, "a score is missing"),
            (is_low, applied.floor_reason),
            (is_gated, "a gate is not reached"),
            (is_short, applied.mean_reason),
            *([] if applied.has_condition else [(is_complete, "the rule has no condition")]),
        ).alias("reason"),
        has_failed.alias(CERTAIN),
        is_complete.alias(COMPLETE),
    )


def _with_expected(trials: Any, scores: Any, carried: Carried, weights: Mapping[str, float]) -> Any:
    """Add number (`expected`) and weight (`_total`) of the run's criteria."""
    import narwhals as nw

    runs: dict[str, list[float]] = {}
    for run, criterion in carried:
        runs.setdefault(run, []).append(weights[criterion])
    totals = {(len(values), sum(values)) for values in runs.values()}
    if len(totals) == 1:
        # All runs are alike: no join over millions of trials.
        count, total = next(iter(totals))
        return trials.with_columns(nw.lit(count).alias("expected"), nw.lit(float(total)).alias("_total"))
    expected = (
        scores.select("run", "criterion")
        .unique()
        .with_columns(_by_criterion(weights).alias("_total"))
        .group_by("run")
        .agg(nw.len().alias("expected"), nw.col("_total").sum())
    )
    return trials.join(expected, on="run", how="left")


def _by_criterion(values: Mapping[str, float], otherwise: float = 0.0) -> Any:
    import narwhals as nw

    if values and not otherwise and len(set(values.values())) == 1:
        return nw.lit(float(next(iter(values.values()))))
    name = nw.col("criterion").cast(nw.String)
    return _first_match(
        *((name == criterion, float(value)) for criterion, value in values.items()), otherwise=otherwise
    )


def _first_match(*cases: tuple[Any, Any], otherwise: Any = None) -> Any:
    import narwhals as nw

    expression = nw.lit(otherwise) if otherwise is not None else None
    for condition, value in reversed(cases):
        when = nw.when(condition).then(nw.lit(value))
        expression = when if expression is None else when.otherwise(expression)
    return nw.lit(0.0) if expression is None else expression
