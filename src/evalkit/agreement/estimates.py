"""The numbers of agreement for one scope: every interval is over cases, whatever a case holds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from evalkit import stats
from evalkit.stats.agreement import (
    alpha_of_tables,
    disagreement_weights,
    gwet_of_tables,
    icc_of_tables,
    kappa_of_tables,
    resampled_tables,
    spearman_of_tables,
    tau_of_tables,
)
from evalkit.stats.basics import t_quantile, z_quantile
from evalkit.stats.bootstrap import RESAMPLES, fisher_z_interval
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from evalkit.stats import Estimate
    from evalkit.stats.basics import Floats

MEASURES: Final = (
    *("exact", "within_one", "bias", "kappa", "alpha", "ac2", "icc", "tau_b", "spearman"),
    *("sensitivity", "specificity"),
)
# More points than this, and agreement on a point says little: such a scale counts as continuous.
MOST_POINTS: Final = 41


def scale_points(frame: pl.DataFrame) -> tuple[Floats | None, str, str]:
    """Return the points that ratings of a criterion can take, or why there are none, and a note on them.

    Points are the whole numbers from the lowest to the highest score that the scale declares; the halves too where
    single ratings use them.
    """
    if frame.is_empty():
        return None, "no answer was rated by both", ""
    low, high, kind, grid = (frame[name][0] for name in ("scale_min", "scale_max", "kind", "grid"))
    if low is None or high is None:
        return None, "no declared scale: kappa has to know which scores there are", ""
    seen = np.concatenate([frame[side].drop_nulls().to_numpy() for side in ("judge", "reference")])
    strange = seen[(seen < low - 1e-9) | (seen > high + 1e-9)]
    if strange.size:
        return None, f"a score of {strange[0]:g} lies outside the declared {low:g} to {high:g}", ""
    if kind == "continuous":
        return None, "a continuous scale has no points to agree on", ""
    if kind == "binary":
        points = np.array([low, high])
        return (points, "", "") if grid == 1 else (None, "a binary criterion with scores between its two", "")
    step = grid or 0.0
    if not step or (high - low) / step > MOST_POINTS - 1 or abs(round(high - low) - (high - low)) > 1e-9:
        reason = (
            "single scores lie between the points of the scale"
            if not step
            else "the scale has too many points"
        )
        return None, f"{reason}: kappa needs a few fixed ones", ""
    return np.arange(low, high + step / 2, step), "", "" if step == 1 else "half points"


def estimate_agreement(
    judge: Floats,
    reference: Floats,
    units: np.ndarray,
    *,
    points: Floats | None,
    why: str = "",
    level: float,
    seed: int,
) -> tuple[dict[str, Estimate], bool]:
    """Return each measure of agreement, and whether ratings were rounded to a point of the scale for it.

    Parameters
    ----------
    judge, reference
        Two ratings of each answer, none missing.
    units
        The case (or cluster) of each answer: what is resampled.
    points
        What the ratings can be; None and `why`: no table of them can be made.
    level, seed
        Of the intervals.
    """
    codes = np.unique(units, return_inverse=True)[1] if units.size else np.zeros(0, dtype=int)
    made: dict[str, Estimate] = {"bias": _bias(judge - reference, codes, level)}
    if judge.size == 0:
        nothing = stats.not_estimable("no answer was rated by both", n=0, method="", level=level)
        return dict.fromkeys(MEASURES, nothing), False
    if points is None:
        made |= _without_points(judge, reference, codes, level=level, seed=seed)
        tables = stats.not_estimable(why, n=judge.size, method="quadratic kappa", level=level)
        return {name: made.get(name, tables) for name in MEASURES}, False
    a, b = (nearest_point(side, points) for side in (judge, reference))
    rounded = bool(np.any(np.abs(points[a] - judge) > 1e-9) or np.any(np.abs(points[b] - reference) > 1e-9))
    x, y = points[a], points[b]
    made["exact"] = share(np.abs(x - y) < 1e-9, codes, level)
    if points.size > 2:
        made["within_one"] = share(np.abs(x - y) < 1 + 1e-9, codes, level)
    made |= _of_tables(a, b, codes, points, level=level, seed=seed)
    if points.size == 2:
        made["sensitivity"] = share((a == 1)[b == 1], codes[b == 1], level)
        made["specificity"] = share((a == 0)[b == 0], codes[b == 0], level)
    unfit = stats.not_estimable("not for this scale", n=judge.size, method="", level=level)
    return {name: made.get(name, unfit) for name in MEASURES}, rounded


def share(hits: np.ndarray, codes: np.ndarray, level: float) -> Estimate:
    """Return the share of answers with Wilson's interval, widened where a case holds several answers."""
    if np.unique(codes).size == hits.size:
        return stats.wilson(int(hits.sum()), hits.size, level=level)
    return stats.wilson_clustered(hits.astype(float), codes, level=level)


def nearest_point(ratings: Floats, points: Floats) -> np.ndarray:
    """Return the index of the nearest point; halfway ones go down and up in turn, so that no side is favoured."""
    if points.size == 1:
        return np.zeros(ratings.size, dtype=int)
    step = points[1] - points[0]
    return np.asarray(np.clip(np.round((ratings - points[0]) / step), 0, points.size - 1), dtype=np.intp)


def _bias(gaps: Floats, codes: np.ndarray, level: float) -> Estimate:
    """Return the mean gap of the cases' mean gaps."""
    if gaps.size == 0:
        return stats.not_estimable(
            "no answer was rated by both", n=0, method="paired t on case means", level=level
        )
    means = np.bincount(codes, gaps) / np.bincount(codes)
    return replace(stats.paired_t(means, level=level), method="paired t on case means")


def _of_tables(
    a: np.ndarray, b: np.ndarray, codes: np.ndarray, points: Floats, *, level: float, seed: int
) -> dict[str, Estimate]:
    """Return every statistic of the table of two raters, all from the same resamples of the cases."""
    weights = disagreement_weights(points)
    is_binary = points.size == 2
    statistics: dict[str, tuple[str, Callable[[Floats], Floats]]] = {
        "kappa": ("Cohen's kappa" if is_binary else "quadratic kappa", lambda t: kappa_of_tables(t, weights)),
        "alpha": ("nominal alpha" if is_binary else "ordinal alpha", alpha_of_tables),
        "ac2": ("AC1" if is_binary else "AC2 quadratic", lambda t: gwet_of_tables(t, weights)),
        "icc": ("ICC(A,1)", lambda t: icc_of_tables(t, points)),
        "tau_b": ("Kendall tau-b", tau_of_tables),
        "spearman": ("Spearman", spearman_of_tables),
    }
    replicates: dict[str, list[Floats]] = {name: [] for name in statistics}
    for tables in resampled_tables(a, b, points.size, units=codes, resamples=RESAMPLES, seed=seed):
        for name, (_, of_tables) in statistics.items():
            replicates[name].append(of_tables(tables))
    cases, agreed = int(codes.max()) + 1, float(np.mean(a == b))
    undefined = f"undefined: no variation in the ratings (raw agreement {agreed:.0%} of {a.size})"
    estimates = {}
    for name, (method, _) in statistics.items():
        e = fisher_z_interval(
            np.concatenate(replicates[name]), n=cases, seed=seed, level=level, undefined=undefined,
            method=f"{method}, Fisher-z case bootstrap",
        )  # fmt: skip
        estimates[name] = _widened(e, cases, a.size) if cases > 1 else replace(e, n=a.size)
    return estimates


def _widened(e: Estimate, cases: int, answers: int) -> Estimate:
    """Stretch an interval on Fisher's z scale to Student's t: few cases do not know their own spread."""
    if e.low is None or e.high is None or e.estimate is None:
        perfect = e.estimate is not None and e.estimate > 1 - 1e-9
        return replace(e, reason=f"both said the same of {plural(answers, 'answer')}") if perfect else e
    ratio = t_quantile(e.level, cases - 1) / z_quantile(e.level)
    z, low, high = (
        np.arctanh(np.clip(value, -1 + 1e-15, 1 - 1e-15)) for value in (e.estimate, e.low, e.high)
    )
    return replace(
        e, low=float(np.tanh(z + ratio * (low - z))), high=float(np.tanh(z + ratio * (high - z))), n=answers
    )


def _without_points(
    judge: Floats, reference: Floats, codes: np.ndarray, *, level: float, seed: int
) -> dict[str, Estimate]:
    """Return what can be said of ratings on a scale without points; intervals only where a case is one answer."""
    both = {
        "exact": share(np.abs(judge - reference) < 1e-9, codes, level),
        "icc": stats.icc([judge, reference], level=level, seed=seed),
        "tau_b": stats.kendall_tau(judge, reference, level=level, seed=seed),
        "spearman": stats.spearman(judge, reference, level=level, seed=seed),
    }
    if np.unique(codes).size == codes.size:
        return both
    reason = "cases with several answers, on a scale without points"
    for name in ("icc", "tau_b", "spearman"):
        e = both[name]
        both[name] = stats.not_estimable(reason, n=e.n, method=e.method, level=level, estimate=e.estimate)
    return both
