"""Rank versions by a table of cases and versions."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from evalkit import stats
from evalkit.compare.estimates import METRICS, Metric
from evalkit.compare.pairs import shared_columns
from evalkit.grading.summarize import find_clusters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RANKS: Final[dict[str, Any]] = {
    "metric": pl.Enum(list(METRICS)),
    "version": pl.String(),
    **dict.fromkeys(("value", "rank", "low", "high", "p_best", "p_best_shrunk"), pl.Float64()),
    "tied_with_best": pl.Boolean(),
    "n": pl.Int64(),
    "method": pl.String(),
    "level": pl.Float64(),
    "status": pl.String(),
    "reason": pl.String(),
}
OMNIBUS: Final[dict[str, Any]] = {
    "metric": pl.Enum(list(METRICS)),
    "statistic": pl.Float64(),
    "df": pl.Int64(),
    "p_value": pl.Float64(),
    **dict.fromkeys(("n", "versions"), pl.Int64()),
    **dict.fromkeys(("method", "status", "reason"), pl.String()),
}
# From this many cases a mean difference is normal enough for t, and a permutation slow.
_MANY: Final = 50
Tied = tuple[tuple[str, ...], ...]


def rank_versions(
    graded: pl.DataFrame, sides: Mapping[str, list[str]], *, level: float, seed: int, resamples: int
) -> tuple[pl.DataFrame, pl.DataFrame, dict[Metric, Tied], dict[Metric, float | None]]:
    """Return the ranks, omnibus tests, tied sets and winner's bonuses."""
    cases = _cases_by_version(graded, sides)
    names = list(sides)
    rows, tests = [], []
    tied: dict[Metric, Tied] = {}
    bonus: dict[Metric, float | None] = {}
    for metric, column in METRICS.items():
        columns = [f"{column}_{index}" for index in range(len(names))]
        complete = cases.drop_nulls(columns)
        values = complete.select(columns).to_numpy().astype(float)
        units = _merge_clusters(values, find_clusters(complete))
        ranking = stats.bootstrap_ranks(units, level=level, resamples=resamples, seed=seed)
        is_single = metric == "pass_rate" and bool(np.isin(units, (0.0, 1.0)).all())
        test = stats.cochran_q(units) if is_single else stats.friedman(units)
        tests.append({"metric": metric, **asdict(test)})
        differs = significant_pairs(units, rate=is_single, alpha=1 - level, seed=seed)
        means = [float(mean) for mean in values.mean(axis=0)] if len(values) else [None] * len(names)
        order = sorted(range(len(names)), key=lambda index: (-round(means[index] or 0.0, 12), index))
        is_ok = ranking.status == "ok"
        tied[metric] = _tied_sets([names[i] for i in order], differs[np.ix_(order, order)]) if is_ok else ()
        bonus[metric] = ranking.winner_bonus
        for index in order:
            row = {"metric": metric, "version": names[index], "value": means[index], "n": len(values)}
            row |= {name: getattr(ranking, name) for name in ("method", "status", "reason")} | {
                "level": level
            }
            if is_ok:
                row |= {
                    "rank": ranking.ranks[index],
                    "low": ranking.low[index],
                    "high": ranking.high[index],
                    "p_best": ranking.p_best[index],
                    "p_best_shrunk": ranking.p_best_shrunk[index],
                    "tied_with_best": not differs[order[0], index],
                }
            rows.append(row)
    return pl.DataFrame(rows, schema=RANKS), pl.DataFrame(tests, schema=OMNIBUS), tied, bonus


def _cases_by_version(graded: pl.DataFrame, sides: Mapping[str, list[str]]) -> pl.DataFrame:
    """Return the cases scored on every version: rate_0, mean_0, rate_1, ..."""
    strata = ("agent", "agent_version", "model")
    versions = {run: index for index, runs in enumerate(sides.values()) for run in runs}
    version = pl.col("run").cast(pl.String).replace_strict(versions, default=None, return_dtype=pl.Int64)
    trials = graded.filter(pl.col("verdict") != "unscored").with_columns(
        version.alias("version"), pl.col(strata).cast(pl.String).fill_null("")
    )
    shared = shared_columns([trials.filter(version=index) for index in range(len(sides))], strata)
    keys = ["suite", "case", *shared]
    cells = trials.group_by(*keys, "version", maintain_order=True).agg(
        rate=(pl.col("verdict") == "pass").mean(),
        mean=pl.col("mean").mean().round(12),
        cluster=pl.col("cluster").first(),
    )
    # A stratum without a mean on some version gives none to the others either.
    mean = pl.when(pl.col("mean").is_null().any().over(keys)).then(None).otherwise(pl.col("mean"))
    cells = cells.filter(pl.col("version").n_unique().over(keys) == len(sides)).with_columns(
        mean.alias("mean")
    )
    units = cells.group_by("suite", "case", "version", maintain_order=True).agg(
        pl.col("rate", "mean").mean().round(12), pl.col("cluster").first()
    )
    units = units.sort(pl.col("suite", "case").cast(pl.String), "version")
    cases = units.group_by("suite", "case", maintain_order=True).agg(pl.col("cluster").first())
    for index in range(len(sides)):
        own = units.filter(version=index).select(
            "suite", "case", *(pl.col(column).alias(f"{column}_{index}") for column in METRICS.values())
        )
        cases = cases.join(own, on=["suite", "case"], how="left", maintain_order="left")
    return cases


def _merge_clusters(values: Floats, clusters: list[str] | None) -> Floats:
    """Return one row per cluster: its sums over the mean cluster size, so their mean is over cases."""
    if clusters is None:
        return values
    codes = np.unique(clusters, return_inverse=True)[1]
    sums = np.stack([np.bincount(codes, column) for column in values.T], axis=1)
    return np.asarray(sums * (len(sums) / len(values)), dtype=np.float64)


def significant_pairs(units: Floats, *, rate: bool, alpha: float, seed: int) -> NDArray[np.bool_]:
    """Return which pairs of versions differ, after Holm's adjustment over all pairs."""
    count = units.shape[1]
    pairs = [(i, j) for i in range(count) for j in range(i)]
    # Enough resamples for the least p to survive the adjustment.
    resamples = max(9999, 400 * len(pairs))
    p_values: list[float | None] = []
    for i, j in pairs:
        d = units[:, i] - units[:, j]
        if rate:
            p_values.append(stats.mcnemar(int((d > 0).sum()), int((d < 0).sum())).mid_p)
        elif len(d) < _MANY:
            p_values.append(stats.sign_flip(d, resamples=resamples, seed=seed))
        else:
            p_values.append(stats.paired_t(d).p_value)
    differs = np.zeros((count, count), dtype=bool)
    for (i, j), p in zip(pairs, stats.holm(p_values), strict=True):
        differs[i, j] = differs[j, i] = p is not None and p < alpha
    return differs


def _tied_sets(names: list[str], differs: NDArray[np.bool_]) -> Tied:
    """Return the longest runs of neighbors in rank without a difference."""
    spans: list[tuple[int, int]] = []
    for start in range(len(names)):
        end = start
        while end + 1 < len(names) and not differs[start : end + 1, end + 1].any():
            end += 1
        if end > start and not any(first <= start and end <= last for first, last in spans):
            spans.append((start, end))
    return tuple(tuple(names[start : end + 1]) for start, end in spans)
