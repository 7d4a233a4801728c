"""Ranks of versions: one table of cases by versions, resampled and tested as a whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from evalkit import stats
from evalkit.compare.estimates import METRICS, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RANKS: Final[dict[str, Any]] = {
    "metric": pl.Enum(METRICS),
    "version": pl.String(),
    "value": pl.Float64(),
    "rank": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "p_best": pl.Float64(),
    "tied_with_best": pl.Boolean(),
    "n": pl.Int64(),
    "method": pl.String(),
    "level": pl.Float64(),
    "status": pl.String(),
    "reason": pl.String(),
}
OMNIBUS: Final[dict[str, Any]] = {
    "metric": pl.Enum(METRICS),
    "statistic": pl.Float64(),
    "df": pl.Int64(),
    "p_value": pl.Float64(),
    "n": pl.Int64(),
    "versions": pl.Int64(),
    "method": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
}
# From so many cases a mean difference is normal enough for t, and a permutation slow.
_MANY: Final = 50
Sets = tuple[tuple[str, ...], ...]


def rank_versions(
    graded: pl.DataFrame, sides: dict[str, list[str]], *, level: float, seed: int, resamples: int
) -> tuple[pl.DataFrame, pl.DataFrame, dict[Metric, Sets], dict[Metric, float | None]]:
    """Return the ranks, the omnibus tests, the tied sets and the winner's bonus, for each metric."""
    table = _cases(graded, sides)
    names = list(sides)
    columns: dict[Metric, str] = {"pass_rate": "rate", "mean_score": "mean"}
    ranked, tests = [], []
    tied: dict[Metric, Sets] = {}
    bonus: dict[Metric, float | None] = {}
    for metric, column in columns.items():
        complete = table.drop_nulls([f"{column}_{at}" for at in range(len(names))])
        values = complete.select(f"{column}_{at}" for at in range(len(names))).to_numpy().astype(float)
        units = _clustered(values, complete["cluster"])
        ranking = stats.bootstrap_ranks(units, level=level, resamples=resamples, seed=seed)
        single = metric == "pass_rate" and bool(np.isin(units, (0.0, 1.0)).all())
        test = stats.cochran_q(units) if single else stats.friedman(units)
        tests.append({"metric": metric, **asdict(test)})
        apart = significant_pairs(units, rate=single, alpha=1 - level, seed=seed)
        means = values.mean(axis=0) if len(values) else np.full(len(names), np.nan)
        order = (
            sorted(range(len(names)), key=lambda at: (-round(float(means[at]), 12), at))
            if len(values)
            else [*range(len(names))]
        )
        ok = ranking.status == "ok"
        tied[metric] = _sets([names[at] for at in order], apart[np.ix_(order, order)]) if ok else ()
        bonus[metric] = ranking.winner_bonus
        for at in order:
            row = {
                "metric": metric,
                "version": names[at],
                "value": float(means[at]) if len(values) else None,
                "n": len(values),
                "method": ranking.method,
                "level": level,
                "status": ranking.status,
                "reason": ranking.reason,
            }
            if ok:
                row |= {
                    "rank": ranking.ranks[at],
                    "low": ranking.low[at],
                    "high": ranking.high[at],
                    "p_best": ranking.p_best[at],
                    "tied_with_best": not apart[order[0], at],
                }
            ranked.append(row)
    return pl.DataFrame(ranked, schema=RANKS), pl.DataFrame(tests, schema=OMNIBUS), tied, bonus


def _cases(graded: pl.DataFrame, sides: dict[str, list[str]]) -> pl.DataFrame:
    """Return one row a case that every version was scored on: rate_0, mean_0, rate_1, ... in the order of `sides`."""
    numbers = {run: at for at, runs in enumerate(sides.values()) for run in runs}
    trials = graded.filter(pl.col("verdict") != "unscored").with_columns(
        pl.col("run")
        .cast(pl.String)
        .replace_strict(numbers, default=None, return_dtype=pl.Int64)
        .alias("at"),
        pl.col("agent", "agent_version", "model").cast(pl.String).fill_null(""),
    )
    strata = []
    for column in ("agent", "agent_version", "model"):
        values = [set(trials.filter(at=at)[column]) for at in range(len(sides))]
        if set.intersection(*values):
            strata.append(column)
    keys = ["suite", "case", *strata]
    cells = trials.group_by(*keys, "at", maintain_order=True).agg(
        rate=(pl.col("verdict") == "pass").mean(),
        mean=pl.col("mean").mean(),
        cluster=pl.col("cluster").first(),
    )
    everywhere = cells.filter(pl.col("at").n_unique().over(keys) == len(sides))
    # A stratum without a mean on some version gives none to the others either.
    everywhere = everywhere.with_columns(
        pl.when(pl.col("mean").is_null().any().over(keys)).then(None).otherwise(pl.col("mean")).alias("mean")
    )
    units = everywhere.group_by("suite", "case", "at", maintain_order=True).agg(
        pl.col("rate", "mean").mean(), pl.col("cluster").first()
    )
    cases = units.group_by("suite", "case", maintain_order=True).agg(pl.col("cluster").first())
    for at in range(len(sides)):
        mine = units.filter(at=at).select(
            "suite", "case", *(pl.col(c).alias(f"{c}_{at}") for c in ("rate", "mean"))
        )
        cases = cases.join(mine, on=["suite", "case"], how="left", maintain_order="left")
    return cases


def _clustered(values: Floats, clusters: pl.Series) -> Floats:
    """Return one row a cluster where some cluster holds several cases.

    Its sums over the mean size of a cluster: their mean is the mean over cases, and what a resample divides by is the
    same for every version, so ranks and signs are those of the case means.
    """
    if clusters.drop_nulls().is_unique().all():
        return values
    labels = [f"\0{at}" if name is None else str(name) for at, name in enumerate(clusters.to_list())]
    codes = np.unique(labels, return_inverse=True)[1]
    sums = np.stack([np.bincount(codes, values[:, j]) for j in range(values.shape[1])], axis=1)
    return np.asarray(sums * (len(sums) / len(values)), dtype=np.float64)


def significant_pairs(units: Floats, *, rate: bool, alpha: float, seed: int) -> NDArray[np.bool_]:
    """Say for each pair of versions whether it can be told apart, with Holm over all pairs."""
    k = units.shape[1]
    pairs = [(i, j) for i in range(k) for j in range(i)]
    # Enough resamples for the least p to survive the adjustment.
    resamples = max(9999, 400 * len(pairs))
    values: list[float | None] = []
    for i, j in pairs:
        d = units[:, i] - units[:, j]
        if rate:
            values.append(stats.mcnemar(int((d > 0).sum()), int((d < 0).sum())).mid_p)
        elif len(d) < _MANY:
            values.append(stats.sign_flip(d, resamples=resamples, seed=seed))
        else:
            values.append(stats.paired_t(d).p_value)
    apart = np.zeros((k, k), dtype=bool)
    for (i, j), p in zip(pairs, stats.holm(values), strict=True):
        apart[i, j] = apart[j, i] = p is not None and p < alpha
    return apart


def _sets(names: list[str], apart: NDArray[np.bool_]) -> Sets:
    """Return the longest runs of neighbours in rank of which no pair is told apart."""
    found: list[tuple[int, int]] = []
    for start in range(len(names)):
        end = start
        while end + 1 < len(names) and not apart[start : end + 1, end + 1].any():
            end += 1
        if end > start and not any(first <= start and end <= last for first, last in found):
            found.append((start, end))
    return tuple(tuple(names[start : end + 1]) for start, end in found)
