"""Estimate a comparison: one row per scope and metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.compare.pairs import CASE_COLUMNS, SIDES, make_pairs
from evalkit.compare.verdicts import verdict_of
from evalkit.data.schema import Severity
from evalkit.grading.summarize import find_clusters
from evalkit.grading.version_order import natural_key
from evalkit.util.errors import ColumnError
from evalkit.util.words import NOT_GIVEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from evalkit.compare.pairs import Pairs, Selector
    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring
    from evalkit.stats import Estimate

Metric = Literal["pass_rate", "mean_score"]
METRICS: Final[dict[Metric, str]] = {"pass_rate": "rate", "mean_score": "mean"}
"""Each metric with its column of units."""

SUMMARY: Final[dict[str, Any]] = {
    "scope": pl.String(),
    "metric": pl.Enum(list(METRICS)),
    **dict.fromkeys(("baseline", "candidate", "difference", "low", "high"), pl.Float64()),
    **dict.fromkeys(("p_value", "p_adjusted"), pl.Float64()),
    "n": pl.Int64(),
    "n_eff": pl.Float64(),
    "method": pl.String(),
    "level": pl.Float64(),
    "verdict": pl.String(),
}
ESTIMATES: Final[dict[str, Any]] = {
    **SUMMARY,
    "k": pl.Float64(),
    **dict.fromkeys(("clusters", "up", "down"), pl.Int64()),
    "direction": pl.String(),
    "adjustment": pl.String(),
    "seed": pl.Int64(),
    "limited": pl.Boolean(),
    "status": pl.String(),
    "reason": pl.String(),
}
_OF_ESTIMATE: Final = (
    *("low", "high", "p_value", "n", "method", "level"),
    *("k", "clusters", "seed", "limited", "status", "reason"),
)
Row = dict[str, Any]
"""The columns of `ESTIMATES` and the arguments of `verdict_of`: `margin`, `one_sided_low`, ..."""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The options of a comparison beside its scoring; see `evalkit.compare`."""

    by: tuple[str, ...] = ()
    margin: Mapping[str, float] | None = None
    adjust: Literal["holm", "bh", "none"] | None = None
    judge: Literal["same", "any"] = "same"
    criteria: Literal["same", "shared"] = "same"
    rerun: Selector | None = None
    seed: int = 0

    def check_margin(self) -> None:
        """Raise for an unknown metric or a margin that is not a loss."""
        for name, value in (self.margin or {}).items():
            if name not in METRICS:
                raise ColumnError(
                    f"Unknown metric {name!r} in margin.", argument="margin", value=name, choices=METRICS
                )
            limit = 1 if name == "pass_rate" else float("inf")
            if not 0 < value < limit:
                expected = "a loss above 0" + (" and below 1 (0.05 is 5 points)" if limit == 1 else "")
                raise ColumnError(
                    f"Invalid margin {value!r} for {name}.", argument="margin", value=value, expected=expected
                )


def find_scopes(
    evals: Evals, pairs: Pairs, columns: Sequence[str], scoring: Scoring
) -> list[tuple[str, pl.DataFrame, bool]]:
    """Return the name and the units of each scope of `by`, and whether lower scores are better in it."""
    if not columns:
        return []
    choices = [*CASE_COLUMNS, "criterion", *pairs.strata]
    for column in columns:
        if column not in choices:
            raise ColumnError(
                f"Cannot split a comparison by {column!r}.", argument="by", value=column, choices=choices
            )
    if "criterion" in columns:
        pairs = make_pairs(evals, pairs.labels, pairs.runs, scoring, criteria=True)
    units = pairs.units(*columns)
    if "tags" in columns:
        units = units.explode("tags", empty_as_null=True, keep_nulls=True)
    parts = units.partition_by(columns, as_dict=True, maintain_order=True)
    named = sorted(parts.items(), key=lambda item: natural_key(item[0]))
    lower, undirected = (set(evals.criteria.filter(direction=way)["criterion"]) for way in ("lower", "none"))
    place = list(columns).index("criterion") if "criterion" in columns else None
    return [
        (
            " · ".join(NOT_GIVEN if v in (None, "") else str(v) for v in name),
            part,
            place is not None and name[place] in lower,
        )
        for name, part in named
        if place is None or name[place] not in undirected
    ]


Scale = tuple[float, float]


def find_scale(evals: Evals) -> Scale | None:
    """Return the one declared scale of the criteria in a mean (not binary); None if they differ or it is unknown."""
    scales = (
        evals.criteria.filter(
            pl.col("kind").ne_missing("binary"), pl.col("direction").cast(pl.String).ne_missing("none")
        )
        .select("scale_min", "scale_max")
        .unique()
    )
    low, high = scales.row(0) if scales.height == 1 else (None, None)
    return None if low is None or high is None else (low, high)


def estimate_scope(
    scope: str,
    units: pl.DataFrame,
    level: float,
    options: CompareOptions,
    *,
    scale: Scale | None = None,
    is_lower: bool = False,
) -> list[Row]:
    """Estimate one scope: the paired differences of pass rate and mean score, the latter bounded by a `scale`.

    `is_lower`: the scores are those of a lower-is-better criterion; a higher mean is a loss.
    """
    from evalkit import stats

    margins = options.margin or {}
    _, old, new = _paired(units, "rate")
    k = 2 / sum(1 / units[f"trials_{side}"].to_numpy() for side in SIDES)
    clusters, margin = find_clusters(units), margins.get("pass_rate")
    if clusters is None:
        rate = stats.tango_n_eff(new, old, k, level=level, seed=options.seed)
    else:
        rate = stats.tango_clustered(new, old, clusters, k=k, level=level, seed=options.seed)
    low = None
    if margin is not None and len(units):
        low = stats.non_inferiority_tango_n_eff(new, old, k, margin=margin, clusters=clusters).low
    rows = [_row(scope, "pass_rate", rate, old, new, margin=margin, one_sided_low=low)]
    part, old, new = _paired(units, "mean")
    clusters, margin = find_clusters(part), margins.get("mean_score")
    mean = stats.paired_t(new - old, clusters=clusters, level=level, bounds=_room(old, new, scale))
    low = None
    if margin is not None and mean.status == "ok":
        gain = old - new if is_lower else new - old
        low = stats.non_inferiority_t(gain, margin=margin, clusters=clusters).low
    row = _row(scope, "mean_score", mean, old, new, margin=margin, one_sided_low=low)
    return [*rows, {**row, "direction": "lower" if is_lower else "higher"}]


def estimate_weighted(
    units: pl.DataFrame, weights: Mapping[str, float], level: float, *, scale: Scale | None = None
) -> list[Row]:
    """Estimate the differences with cases weighted by severity."""
    from evalkit import stats

    for name in weights:
        if name not in Severity.categories:
            raise ColumnError(
                f"Unknown severity {name!r} in weights.",
                argument="weights",
                value=name,
                choices=sorted(Severity.categories),
            )
    rows = []
    for metric, column in METRICS.items():
        part, old, new = _paired(units, column)
        severity = part["severity"].cast(pl.String)
        w = severity.replace_strict(dict(weights), default=1.0, return_dtype=pl.Float64).to_numpy()
        bounds = _room(old, new, scale if metric == "mean_score" else (0.0, 1.0))
        found = stats.weighted_difference(new - old, w, level=level, bounds=bounds)
        row = _row("weighted", metric, found, old, new)
        if w.sum() > 0:
            row |= {
                "baseline": float((old * w).sum() / w.sum()),
                "candidate": float((new * w).sum() / w.sum()),
            }
        rows.append(row)
    return rows


def adjust_scopes(rows: list[Row], adjustment: str, level: float) -> list[Row]:
    """Adjust the p-values of each metric over all rows."""
    from evalkit import stats

    adjust = {"holm": stats.holm, "bh": stats.benjamini_hochberg}.get(adjustment, list)
    for metric in METRICS:
        family = [row for row in rows if row["metric"] == metric]
        for row, p in zip(family, adjust([row["p_value"] for row in family]), strict=True):
            row |= {"p_adjusted": p, "adjustment": adjustment, "family_level": level}
    return rows


def to_estimates(rows: Iterable[Row]) -> pl.DataFrame:
    """Return the rows as a frame with verdicts."""
    for row in rows:
        low, high = row["low"], row["high"]
        if row["direction"] == "lower":
            low, high = _negated(high), _negated(low)
        row["verdict"] = verdict_of(
            low,
            high,
            p_value=row["p_adjusted"],
            level=row["family_level"] if "family_level" in row else row["level"],
            margin=row["margin"],
            one_sided_low=row["one_sided_low"],
            evidence=row.get("evidence"),
            decidable=row.get("decidable", True),
        )
    return pl.DataFrame(rows, schema=ESTIMATES)


def _negated(value: float | None) -> float | None:
    return None if value is None else -value


def _room(old: np.ndarray, new: np.ndarray, scale: Scale | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the lowest and highest possible difference of each case, from either side's score."""
    import numpy as np

    both, (low, high) = np.concatenate([old, new]), scale or (0.0, 0.0)
    if scale is None or both.size == 0 or both.min() < low - 1e-9 or both.max() > high + 1e-9:
        return None
    return -np.maximum(old - low, high - new), np.maximum(high - old, new - low)


def _paired(units: pl.DataFrame, column: str) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    names = [f"{column}_{side}" for side in SIDES]
    part = units.drop_nulls(names)
    return part, part[names[0]].to_numpy(), part[names[1]].to_numpy()


def _row(
    scope: str,
    metric: Metric,
    estimate: Estimate,
    old: np.ndarray,
    new: np.ndarray,
    *,
    margin: float | None = None,
    one_sided_low: float | None = None,
) -> Row:
    return {
        "scope": scope,
        "metric": metric,
        "baseline": float(old.mean()) if len(old) else None,
        "candidate": float(new.mean()) if len(new) else None,
        "difference": estimate.estimate,
        "p_adjusted": estimate.p_value,
        "n_eff": float(estimate.n) if estimate.n_eff is None else estimate.n_eff,
        **{name: getattr(estimate, name) for name in _OF_ESTIMATE},
        "up": int((new > old + 1e-9).sum()),
        "down": int((new < old - 1e-9).sum()),
        "direction": "higher",
        "adjustment": "none",
        "margin": margin,
        "one_sided_low": one_sided_low,
    }
