"""The numbers of a comparison: one row for each scope and metric, each with its n, method and level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.compare.pairs import CASE_COLUMNS, Pairs, make_pairs
from evalkit.data.schema import Severity
from evalkit.grading.summarize import find_clusters
from evalkit.grading.version_order import natural_key
from evalkit.util.errors import ColumnError
from evalkit.util.words import NOT_GIVEN, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from evalkit.data.evals import Evals
    from evalkit.stats import Estimate

Metric = Literal["pass_rate", "mean_score"]
METRICS: Final[tuple[Metric, ...]] = ("pass_rate", "mean_score")

SUMMARY: Final[dict[str, Any]] = {
    "scope": pl.String(),
    "metric": pl.Enum(METRICS),
    "baseline": pl.Float64(),
    "candidate": pl.Float64(),
    "difference": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "p_value": pl.Float64(),
    "p_adjusted": pl.Float64(),
    "n": pl.Int64(),
    "n_eff": pl.Float64(),
    "method": pl.String(),
    "level": pl.Float64(),
    "verdict": pl.String(),
}
MORE: Final[dict[str, Any]] = {
    "k": pl.Float64(),
    "clusters": pl.Int64(),
    "up": pl.Int64(),
    "down": pl.Int64(),
    "adjustment": pl.String(),
    "seed": pl.Int64(),
    "status": pl.String(),
    "reason": pl.String(),
}


def find_scopes(
    evals: Evals, pairs: Pairs, columns: tuple[str, ...], asked: dict[str, Any]
) -> list[tuple[str, pl.DataFrame]]:
    """Return the name and the units of each scope of `by`."""
    if not columns:
        return []
    have = [*CASE_COLUMNS, "criterion", *pairs.strata]
    for column in columns:
        if column not in have:
            raise ColumnError(
                f"A comparison cannot be split by {column!r}; it can by {', '.join(have)}.{did_you_mean(column, have)}"
            )
    if "criterion" in columns:
        pairs = make_pairs(evals, **asked, criteria=True)
    units = pairs.units(*columns)
    if "tags" in columns:
        units = units.explode("tags", empty_as_null=True, keep_nulls=True)
    parts = units.partition_by(columns, as_dict=True, maintain_order=True)
    named = sorted(parts.items(), key=lambda item: natural_key(item[0]))
    return [
        (" · ".join(NOT_GIVEN if v in (None, "") else str(v) for v in name), part) for name, part in named
    ]


def estimate_scope(
    scope: str, units: pl.DataFrame, *, level: float, margin: dict[str, float] | None, seed: int
) -> list[dict[str, Any]]:
    """Return the rows of one scope: the paired difference of pass rates, and of mean scores."""
    from evalkit import stats

    old, new = (units[f"rate_{side}"].to_numpy() for side in ("baseline", "candidate"))
    trials = [units[f"trials_{side}"].to_numpy() for side in ("baseline", "candidate")]
    k = 2 / (1 / trials[0] + 1 / trials[1])
    clusters = find_clusters(units)
    if clusters is None:
        rate = stats.tango_n_eff(new, old, k, level=level, seed=seed)
    else:
        rate = stats.tango_clustered(new, old, clusters, k=k, level=level, seed=seed)
    limits: dict[Metric, float | None] = {"pass_rate": None, "mean_score": None}
    if margin and "pass_rate" in margin and len(units):
        limits["pass_rate"] = stats.non_inferiority_tango_n_eff(
            new, old, k, margin=margin["pass_rate"], clusters=clusters
        ).low
    meant = units.filter(pl.col("mean_baseline").is_not_null() & pl.col("mean_candidate").is_not_null())
    before, after = meant["mean_baseline"].to_numpy(), meant["mean_candidate"].to_numpy()
    grouped = find_clusters(meant)
    mean = stats.paired_t(after - before, clusters=grouped, level=level)
    if margin and "mean_score" in margin and mean.status == "ok":
        limits["mean_score"] = stats.non_inferiority_t(
            after - before, margin=margin["mean_score"], clusters=grouped
        ).low
    sides: dict[Metric, tuple[Estimate, np.ndarray, np.ndarray]] = {
        "pass_rate": (rate, old, new),
        "mean_score": (mean, before, after),
    }
    rows = []
    for metric, (estimate, first, second) in sides.items():
        bound = (margin or {}).get(metric)
        word = stats.verdict(estimate.low, estimate.high, margin=bound, ni_low=limits[metric])
        rows.append(_row(scope, metric, estimate, first, second, word))
    return rows


def _row(
    scope: str, metric: Metric, e: Estimate, first: np.ndarray, second: np.ndarray, word: str
) -> dict[str, Any]:
    return {
        "scope": scope,
        "metric": metric,
        "baseline": float(first.mean()) if len(first) else None,
        "candidate": float(second.mean()) if len(second) else None,
        "difference": e.estimate,
        "low": e.low,
        "high": e.high,
        "p_value": e.p_value,
        "p_adjusted": e.p_value,
        "n": e.n,
        "n_eff": float(e.n) if e.n_eff is None else e.n_eff,
        "method": e.method,
        "level": e.level,
        "verdict": word,
        "k": e.k,
        "clusters": e.clusters,
        "up": int((second > first + 1e-9).sum()),
        "down": int((second < first - 1e-9).sum()),
        "adjustment": "none",
        "seed": e.seed,
        "status": e.status,
        "reason": e.reason,
    }


def estimate_weighted(
    units: pl.DataFrame, weights: Mapping[str, float], *, level: float
) -> list[dict[str, Any]]:
    """Return the rows in which a case counts by its severity."""
    from evalkit import stats

    known = set(Severity.categories)
    for name in weights:
        if name not in known:
            raise ColumnError(
                f"weights names the severity {name!r}; it may be {', '.join(sorted(known))}.{did_you_mean(name, known)}"
            )
    rows = []
    for metric, column in (("pass_rate", "rate"), ("mean_score", "mean")):
        part = units.filter(
            pl.col(f"{column}_baseline").is_not_null() & pl.col(f"{column}_candidate").is_not_null()
        )
        first, second = (part[f"{column}_{side}"].to_numpy() for side in ("baseline", "candidate"))
        w = (
            part["severity"]
            .cast(pl.String)
            .replace_strict(dict(weights), default=1.0, return_dtype=pl.Float64)
            .to_numpy()
        )
        estimate = stats.weighted_difference(second - first, w, level=level)
        row = _row("weighted", metric, estimate, first, second, stats.verdict(estimate.low, estimate.high))  # type: ignore[arg-type]
        if w.sum() > 0:
            row |= {
                "baseline": float((first * w).sum() / w.sum()),
                "candidate": float((second * w).sum() / w.sum()),
            }
        rows.append(row)
    return rows


def adjust_scopes(
    rows: list[dict[str, Any]], kind: str, *, level: float, margin: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Adjust the p-values of each metric over its scopes; worse or better needs its adjusted p too.

    "No worse than the margin" is another test, which its own interval has passed: it stays.
    """
    from evalkit import stats

    made = {"holm": stats.holm, "bh": stats.benjamini_hochberg}.get(kind)
    for metric in METRICS:
        family = [row for row in rows if row["metric"] == metric]
        values = [row["p_value"] for row in family]
        for row, p in zip(family, made(values) if made else values, strict=True):
            row |= {"p_adjusted": p, "adjustment": kind}
            if p is None or p < 1 - level:
                continue
            if row["verdict"] == "regressed within margin" or (
                row["verdict"] == "improved" and metric in (margin or {})
            ):
                row["verdict"] = "no worse than margin"
            elif row["verdict"] in ("regressed", "improved"):
                row["verdict"] = "inconclusive"
    return rows
