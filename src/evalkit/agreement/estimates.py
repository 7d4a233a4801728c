"""Measures of agreement for one scope, with intervals over cases."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from evalkit import stats
from evalkit.stats.agreement import (
    alpha_of_tables,
    disagreement_weights,
    gwet_of_tables,
    icc_of_tables,
    kappa_of_tables,
    one_sided_bound,
    pearson_of_tables,
    raters_agreement,
    resampled_tables,
    spearman_of_tables,
    tau_of_tables,
)
from evalkit.stats.basics import cluster_codes, group_means, t_quantile, z_quantile
from evalkit.stats.bootstrap import RESAMPLES, fisher_z_interval
from evalkit.util.format import percent
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from evalkit.stats import Estimate
    from evalkit.stats.agreement import Weights
    from evalkit.stats.basics import Floats

MEASURES: Final = (
    *("exact", "within_one", "bias", "kappa", "alpha", "ac2", "icc", "tau_b", "spearman", "pearson"),
    *("sensitivity", "specificity"),
)
MOST_POINTS: Final = 41  # a scale with more points counts as continuous
VERDICT_POINTS: Final = np.array([0.0, 1.0])
NOT_RATED: Final = "no answer was rated by both"


def scale_points(frame: pl.DataFrame) -> tuple[Floats | None, str, str]:
    """Return the points of a criterion's scale, or why there are none, and a note.

    Points are the whole numbers of the declared scale; also the halves if single ratings use them. Those of a nominal
    criterion are the kinds that were given.
    """
    if frame.is_empty():
        return None, NOT_RATED, ""
    low, high, kind, grid = (frame[name][0] for name in ("scale_min", "scale_max", "kind", "grid"))
    seen = np.concatenate([frame[side].drop_nulls().to_numpy() for side in ("judge", "reference")])
    if kind == "nominal":
        points = np.unique(seen)
        return (
            (None, "there are too many kinds for kappa", "")
            if points.size > MOST_POINTS
            else (points, "", "")
        )
    if low is None or high is None:
        return None, "kappa needs a declared scale", ""
    outside = seen[(seen < low - 1e-9) | (seen > high + 1e-9)]
    width, reason = high - low, ""
    if outside.size:
        reason = f"a score of {outside[0]:g} is outside the declared scale {low:g} to {high:g}"
    elif kind == "continuous":
        reason = "a continuous scale has no points for kappa"
    elif kind == "binary" and grid != 1:
        reason = "a binary criterion has scores between its two"
    elif kind != "binary" and not grid:
        reason = "single scores lie between the points of the scale"
    elif kind != "binary" and (width / grid > MOST_POINTS - 1 or abs(round(width) - width) > 1e-9):
        reason = "the scale has too many points for kappa"
    if reason:
        return None, reason, ""
    if kind == "binary":
        return np.array([low, high]), "", ""
    return np.arange(low, high + grid / 2, grid), "", "" if grid == 1 else "half points"


def estimate_agreement(
    judge: Floats,
    reference: Floats,
    units: np.ndarray,
    *,
    points: Floats | None,
    why: str = "",
    level: float,
    seed: int,
    is_nominal: bool = False,
) -> tuple[dict[str, Estimate], bool]:
    """Return each measure of agreement, and whether ratings were rounded.

    `units` is the case (or cluster) of each answer, which is resampled. No rating is missing. `points` are the possible
    ratings; None: there is no table of ratings, because of `why`. The points of a nominal scale have no order.
    """
    unknown = partial(stats.not_estimable, n=judge.size, level=level)
    if judge.size == 0:
        return dict.fromkeys(MEASURES, unknown(NOT_RATED, method="")), False
    codes = cluster_codes(units)
    estimates = {} if is_nominal else {"bias": estimate_bias(judge - reference, codes, level)}
    if points is None:
        estimates |= {} if is_nominal else _without_points(judge, reference, codes, level=level, seed=seed)
        rest = unknown(why, method="quadratic kappa")
        return {name: estimates.get(name, rest) for name in MEASURES}, False
    a, b = (nearest_point(side, points) for side in (judge, reference))
    x, y = points[a], points[b]
    is_rounded = bool(np.any(np.abs(x - judge) > 1e-9) or np.any(np.abs(y - reference) > 1e-9))
    estimates["exact"] = estimate_share(np.abs(x - y) < 1e-9, codes, level)
    estimates |= _of_tables(a, b, codes, points, level=level, seed=seed, is_nominal=is_nominal)
    if points.size > 2 and not is_nominal:
        estimates["within_one"] = estimate_share(np.abs(x - y) < 1 + 1e-9, codes, level)
    if points.size == 2 and not is_nominal:
        estimates["sensitivity"] = estimate_share((a == 1)[b == 1], codes[b == 1], level)
        estimates["specificity"] = estimate_share((a == 0)[b == 0], codes[b == 0], level)
    rest = unknown("not for this scale", method="")
    return {name: estimates.get(name, rest) for name in MEASURES}, is_rounded


class PairEstimates(NamedTuple):
    """Measures of paired ratings, points of the scale, note, rounding."""

    measures: dict[str, Estimate]
    points: Floats | None
    note: str
    is_rounded: bool


def estimate_pairs(
    pairs: pl.DataFrame, *, is_verdict: bool, level: float, seed: int, unrated: str = ""
) -> PairEstimates:
    """Estimate the agreement of pairs; `unrated` is the reason without any."""
    points, why, note = (VERDICT_POINTS, "", "") if is_verdict else scale_points(pairs)
    is_nominal = not is_verdict and "nominal" in pairs["kind"]
    judge, reference, units = (pairs[name].to_numpy() for name in ("judge", "reference", "unit"))
    measures, is_rounded = estimate_agreement(
        judge,
        reference,
        units,
        points=points,
        why=why if pairs.height else unrated or why,
        level=level,
        seed=seed,
        is_nominal=is_nominal,
    )
    return PairEstimates(measures, points, note, is_rounded)


def estimate_raters(ratings: pl.DataFrame, points: Floats | None, *, level: float, seed: int) -> Estimate:
    """Estimate Gwet's coefficient of all raters; `ratings` has a row per `rater` and `answer`, with `score` and `unit`."""
    if points is None or points.size < 2 or ratings.is_empty():
        return stats.not_estimable("no two people rated the same answer", n=0, method="", level=level)
    codes = {
        name: np.unique(ratings[name].to_numpy(), return_inverse=True)[1] for name in ("rater", "answer")
    }
    table = np.full([1 + int(code.max()) for code in codes.values()], np.nan)
    table[codes["rater"], codes["answer"]] = ratings["score"].to_numpy()
    units = np.zeros(table.shape[1], dtype=np.intp)
    units[codes["answer"]] = cluster_codes(ratings["unit"].to_numpy())
    weights: Weights = "nominal" if points.size == 2 or "nominal" in ratings["kind"] else "quadratic"
    return raters_agreement(table, points, weights=weights, units=units, level=level, seed=seed)


def estimate_share(hits: np.ndarray, units: np.ndarray, level: float) -> Estimate:
    """Estimate a share with Wilson's interval, widened for several answers per unit."""
    if np.unique(units).size == hits.size:
        return stats.wilson(int(hits.sum()), hits.size, level=level)
    return stats.wilson_clustered(hits.astype(float), units, level=level)


def estimate_bias(gaps: Floats, units: np.ndarray, level: float) -> Estimate:
    """Estimate the mean gap over units, with a paired t interval."""
    return replace(stats.paired_t(unit_means(gaps, units), level=level), method="paired t on case means")


def unit_means(values: np.ndarray, units: np.ndarray) -> Floats:
    """Return the mean of each unit."""
    return group_means(values, cluster_codes(units))


def nearest_point(ratings: Floats, points: Floats) -> np.ndarray:
    """Return the index of the nearest point; halfway ratings go down and up in turn."""
    if points.size == 1:
        return np.zeros(ratings.size, dtype=int)
    step = points[1] - points[0]
    if np.ptp(np.diff(points)) > 1e-9:
        return np.asarray(np.abs(ratings[:, None] - points).argmin(axis=1), dtype=np.intp)
    return np.asarray(np.clip(np.round((ratings - points[0]) / step), 0, points.size - 1), dtype=np.intp)


def _of_tables(
    a: np.ndarray,
    b: np.ndarray,
    codes: np.ndarray,
    points: Floats,
    *,
    level: float,
    seed: int,
    is_nominal: bool,
) -> dict[str, Estimate]:
    """Return every statistic of two raters, from the same resamples of cases."""
    has_order = points.size != 2 and not is_nominal
    weights = disagreement_weights(points, "quadratic" if has_order else "nominal")
    delta = None if has_order else weights
    statistics: dict[str, tuple[str, Callable[[Floats], Floats]]] = {
        "kappa": ("quadratic kappa" if has_order else "Cohen's kappa", lambda t: kappa_of_tables(t, weights)),
        "alpha": ("ordinal alpha" if has_order else "nominal alpha", lambda t: alpha_of_tables(t, delta)),
        "ac2": ("AC2 quadratic" if has_order else "AC1", lambda t: gwet_of_tables(t, weights)),
    }
    if not is_nominal:
        statistics |= {
            "icc": ("ICC(A,1)", lambda t: icc_of_tables(t, points)),
            "tau_b": ("Kendall tau-b", tau_of_tables),
            "spearman": ("Spearman", spearman_of_tables),
            "pearson": ("Pearson", lambda t: pearson_of_tables(t, points)),
        }
    replicates: dict[str, list[Floats]] = {name: [] for name in statistics}
    table = np.zeros((points.size, points.size))
    np.add.at(table, (b, a), 1.0)
    for tables in resampled_tables(a, b, points.size, units=codes, resamples=RESAMPLES, seed=seed):
        for name, (_, of_tables) in statistics.items():
            replicates[name].append(of_tables(tables))
    cases, agreed = int(codes.max()) + 1, percent(float(np.mean(a == b)), 0)
    undefined = f"undefined: no variation in the ratings (raw agreement {agreed} of {a.size})"
    estimates = {}
    for name, (method, of_tables) in statistics.items():
        e = fisher_z_interval(
            np.concatenate(replicates[name]),
            n=cases,
            level=level,
            method=f"{method}, Fisher-z case bootstrap",
            seed=seed,
            undefined=undefined,
            bound=one_sided_bound(table, of_tables, cases, level),
        )
        estimates[name] = _widened(e, cases, a.size)
    return estimates


def _widened(e: Estimate, cases: int, answers: int) -> Estimate:
    """Stretch an interval on Fisher's z scale to Student's t."""
    if e.low is not None and e.estimate == 1:
        return replace(e, n=answers)
    if e.low is None or e.high is None or e.estimate is None:
        is_perfect = cases > 1 and e.estimate is not None and e.estimate > 1 - 1e-9
        return (
            replace(e, reason=f"both gave the same rating to {plural(answers, 'answer')}")
            if is_perfect
            else e
        )
    ratio = t_quantile(e.level, cases - 1) / z_quantile(e.level)
    z, low, high = (np.arctanh(np.clip(x, -1 + 1e-15, 1 - 1e-15)) for x in (e.estimate, e.low, e.high))
    low, high = (float(np.tanh(z + ratio * (end - z))) for end in (low, high))
    return replace(e, low=low, high=high, n=answers)


def _without_points(
    judge: Floats, reference: Floats, codes: np.ndarray, *, level: float, seed: int
) -> dict[str, Estimate]:
    """Return the measures for a scale without points; intervals only for one answer per case."""
    pair = (judge, reference)
    estimates = {
        "icc": stats.icc(pair, level=level, seed=seed),
        "tau_b": stats.kendall_tau(*pair, level=level, seed=seed),
        "spearman": stats.spearman(*pair, level=level, seed=seed),
        "pearson": stats.pearson(*pair, level=level),
    }
    if np.unique(codes).size < codes.size:
        reason = "cases with several answers, on a scale without points"
        for name, e in estimates.items():
            estimates[name] = replace(
                e, low=None, high=None, seed=None, status="not_estimable", reason=reason
            )
    return estimates | {"exact": estimate_share(np.abs(judge - reference) < 1e-9, codes, level)}
