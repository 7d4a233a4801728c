"""Estimate the effect of answer length: a slope and a rank correlation."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from evalkit import stats
from evalkit.stats.basics import cluster_codes, is_constant, t_quantile, t_two_sided
from evalkit.stats.bootstrap import RESAMPLES, fisher_z_interval, resampled_counts, sum_counted
from evalkit.util.words import plural

if TYPE_CHECKING:
    from evalkit.stats import Estimate
    from evalkit.stats.basics import Floats

FEWEST_CASES = 3


def regress(y: Floats, x: Floats, units: np.ndarray, *, level: float) -> Estimate:
    """Estimate the slope of y on x by least squares, with CR1 standard errors by case.

    G/(G-1) (n-1)/(n-2) times the sandwich, t with G - 1 degrees of freedom (Cameron & Miller 2015, J Hum Resour
    50:317-372). Not estimable for fewer than three cases or a constant x.
    """
    method, n = "least squares, CR1 by case", y.size
    codes, groups, reason = _cases(units)
    if not reason and is_constant(x):
        reason = "all answers are equally long"
    if reason:
        return stats.not_estimable(reason, n=n, method=method, level=level)
    d = x - x.mean()
    slope = float(d @ y / (d @ d))
    residuals = y - y.mean() - slope * d
    sums = np.bincount(codes, d * residuals)
    error = sqrt(float(sums @ sums) * groups / (groups - 1) * (n - 1) / (n - 2)) / float(d @ d)
    if error <= 1e-12:
        reason = "the points lie on a line"
        return stats.not_estimable(reason, n=n, method=method, level=level, estimate=slope)
    half, p = t_quantile(level, groups - 1) * error, t_two_sided(slope / error, groups - 1)
    return stats.Estimate(slope, slope - half, slope + half, level, method, n, p_value=p)


def correlate_ranks(x: Floats, y: Floats, units: np.ndarray, *, level: float, seed: int) -> Estimate:
    """Estimate Spearman's correlation with a case bootstrap on Fisher's z; resamples keep all ranks."""
    method = "Spearman, Fisher-z case bootstrap"
    codes, groups, reason = _cases(units)
    if reason:
        return stats.not_estimable(reason, n=x.size, method=method, level=level)
    a, b = (_mid_ranks(side) for side in (x, y))
    moments = (np.ones(x.size), a, b, a * a, b * b, a * b)
    columns = [np.bincount(codes, moment, minlength=groups) for moment in moments]
    sums = np.stack(columns, axis=1).astype(np.float64)
    blocks = [np.ones((1, groups)), *resampled_counts(groups, resamples=RESAMPLES, seed=seed)]
    replicates = np.concatenate([_correlation(sum_counted(counts, sums)) for counts in blocks])
    reason = "scores or lengths do not vary"
    return fisher_z_interval(replicates, n=groups, level=level, method=method, seed=seed, undefined=reason)


def _cases(units: np.ndarray) -> tuple[np.ndarray, int, str]:
    codes = cluster_codes(units)
    groups = int(codes.max()) + 1 if codes.size else 0
    few = f"{plural(groups, 'case')} with a length; {FEWEST_CASES} are needed"
    return codes, groups, few if groups < FEWEST_CASES else ""


def _mid_ranks(values: Floats) -> Floats:
    _, kind, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middle[kind] - (values.size + 1) / 2, dtype=np.float64)


def _correlation(sums: Floats) -> Floats:
    n, a, b, aa, bb, ab = sums.T
    below = np.sqrt(np.maximum(0.0, aa - a * a / n) * np.maximum(0.0, bb - b * b / n))
    return np.where(below > 1e-9, (ab - a * b / n) / np.where(below > 1e-9, below, 1.0), np.nan)
