"""Reduce scores to one row per trial, in narwhals expressions of every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.frames import some_of
from evalkit.grading.pass_rule import TOLERANCE, PassRule, RuledCriterion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.data.evals import Evals

Carried = list[tuple[str, str]]
"""Each run with each criterion that its chosen scores carry."""

# Of a trial: it fails whatever its missing scores; no score is missing.
FAILED: Final = "_failed"
COMPLETE: Final = "_complete"


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
    scores: Any,
    key: Sequence[str],
    criteria: Mapping[str, RuledCriterion],
    rule: PassRule,
    *,
    carried: Carried,
    single: bool = False,
) -> Any:
    """Return one row per trial: means, counts, `verdict`, `reason` and two flags.

    `run` is in the key unless all runs carry the same criteria. `single`: one row per trial and criterion already.
    """
    import narwhals as nw

    score = nw.col("score")
    answers = (
        scores.select(*key, "criterion", score.cast(nw.Float64)) if single else reduce_samples(scores, key)
    )
    is_plain = all(c.in_mean and c.weight == 1 for c in criteria.values())
    gates = {name: c.gate for name, c in criteria.items() if c.gate is not None}
    weights = {name: c.weight * c.in_mean for name, c in criteria.items()}
    top = next((c.scale_max for c in criteria.values() if c.in_mean), 1.0)
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
        gate = _by_criterion({name: gates.get(name, -1e300) for name in criteria})
        answers = answers.with_columns(nw.when(score < gate - TOLERANCE).then(1).otherwise(0).alias("_gated"))
        sums.append(nw.col("_gated").sum())
    trials = _with_expected(answers.group_by(*key).agg(*sums), scores, carried, weights)
    if is_plain:
        trials = trials.with_columns(nw.col("scored").alias("_weight"), nw.col("lowest").alias("_low"))
        trials = trials.with_columns((nw.col("_sum") / nw.col("scored")).alias("_plain"))
    is_gated = nw.col("_gated") > 0 if gates else nw.lit(value=False)
    is_complete = nw.col("scored") == nw.col("expected")
    is_low = (nw.col("_low") < rule.floor - TOLERANCE).fill_null(value=False)
    total = nw.col("_total")
    is_short = nw.col("_sum") + (total - nw.col("_weight")) * top < rule.mean * total - TOLERANCE
    has_failed = is_low | is_gated | is_short
    incomplete = "fail" if rule.missing == "fail" else "unscored"
    mean = nw.when(total > 0).then(nw.col("_sum") / nw.col("_weight")).otherwise(nw.col("_plain"))
    return trials.select(
        *key,
        # Engines add floats in any order; the thirteenth decimal would differ from call to call.
        nw.when(is_complete).then(mean).round(12).alias("mean"),
        "lowest",
        nw.col("scored", "expected").cast(nw.Int32),
        _first_match((has_failed, "fail"), (is_complete, "pass"), otherwise=incomplete).alias("verdict"),
        _first_match(
            (is_low, f"a criterion is below {rule.floor:g}"),
            (is_gated, "a gate is not reached"),
            (is_short & is_complete, f"the mean is below {rule.mean:g}"),
            (is_short, "the missing scores cannot raise the mean enough"),
            (~is_complete, "a score is missing"),
        ).alias("reason"),
        has_failed.alias(FAILED),
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


def _by_criterion(values: Mapping[str, float]) -> Any:
    import narwhals as nw

    name = nw.col("criterion").cast(nw.String)
    return _first_match(
        *((name == criterion, float(value)) for criterion, value in values.items()), otherwise=0.0
    )


def _first_match(*cases: tuple[Any, Any], otherwise: Any = None) -> Any:
    import narwhals as nw

    expression = nw.lit(otherwise) if otherwise is not None else None
    for condition, value in reversed(cases):
        when = nw.when(condition).then(nw.lit(value))
        expression = when if expression is None else when.otherwise(expression)
    return nw.lit(0.0) if expression is None else expression
