"""Score against length: a slope and a rank correlation, both with the case as the unit."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from evalkit import stats
from evalkit.stats.basics import is_constant, t_quantile, t_two_sided
from evalkit.stats.bootstrap import RESAMPLES, fisher_z_interval, resampled_counts, sum_counted
from evalkit.util.words import plural

if TYPE_CHECKING:
    from evalkit.stats import Estimate
    from evalkit.stats.basics import Floats


def regress(y: Floats, x: Floats, units: np.ndarray, *, level: float) -> Estimate:
    """Return the slope of y on x with a standard error that allows for answers of one case being alike.

    CR1: G/(G-1) (n-1)/(n-2) times the sandwich, t with G - 1 degrees of freedom (Cameron & Miller 2015, J Hum Resour
    50:317-372). It needs three cases and lengths that vary.

    Examples
    --------
    >>> print(regress(np.array([0.0, 1, 1, 3]), np.array([1.0, 2, 3, 4]), np.array(list("abcd")), level=0.95))
    0.9 [0.254, 1.546] (95% least squares, CR1 by case, n = 4, p = 0.0213)
    """
    method, n = "least squares, CR1 by case", y.size
    codes = np.unique(units, return_inverse=True)[1] if n else np.zeros(0, dtype=int)
    groups = int(codes.max()) + 1 if n else 0
    if groups < 3 or is_constant(x):
        reason = (
            f"{plural(groups, 'case')} with a length; three are needed"
            if groups < 3
            else "all answers are equally long"
        )
        return stats.not_estimable(reason, n=n, method=method, level=level)
    d = x - x.mean()
    slope = float(d @ y / (d @ d))
    rest = y - y.mean() - slope * d
    sums = np.bincount(codes, d * rest)
    error = sqrt(float(sums @ sums) * groups / (groups - 1) * (n - 1) / (n - 2)) / float(d @ d)
    if error <= 1e-12:
        return stats.not_estimable(
            "the points lie on a line", n=n, method=method, level=level, estimate=slope
        )
    half = t_quantile(level, groups - 1) * error
    return stats.Estimate(
        slope, slope - half, slope + half, level, method, n, p_value=t_two_sided(slope / error, groups - 1)
    )


def correlate_ranks(x: Floats, y: Floats, units: np.ndarray, *, level: float, seed: int) -> Estimate:
    """Return Spearman's correlation with a bootstrap over cases on Fisher's z scale; ties at mid-ranks.

    The ranks are those of all answers, also in a resample: what is resampled is a correlation of ranks.

    Examples
    --------
    >>> e = correlate_ranks(
    ...     np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 3, 2, 5, 5]), np.arange(5), level=0.95, seed=0
    ... )
    >>> round(e.estimate, 4)
    0.8721
    """
    method, n = "Spearman, Fisher-z case bootstrap", x.size
    codes = np.unique(units, return_inverse=True)[1] if n else np.zeros(0, dtype=int)
    groups = int(codes.max()) + 1 if n else 0
    if groups < 3:
        reason = f"{plural(groups, 'case')} with a length; three are needed"
        return stats.not_estimable(reason, n=n, method=method, level=level)
    a, b = (_ranks(side) for side in (x, y))
    parts = np.stack([np.ones(n), a, b, a * a, b * b, a * b], axis=1)
    sums = [np.bincount(codes, column, minlength=groups) for column in parts.T]
    member = np.stack(sums, axis=1).astype(np.float64)
    blocks = [np.ones((1, groups)), *resampled_counts(groups, resamples=RESAMPLES, seed=seed)]
    replicates = np.concatenate([_correlation(sum_counted(counts, member)) for counts in blocks])
    reason = "scores or lengths do not vary"
    return fisher_z_interval(replicates, n=groups, level=level, method=method, seed=seed, undefined=reason)


def _ranks(values: Floats) -> Floats:
    """Return mid-ranks about their mean."""
    _, kind, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middle[kind] - (values.size + 1) / 2, dtype=np.float64)


def _correlation(sums: Floats) -> Floats:
    n, a, b, aa, bb, ab = sums.T
    below = np.sqrt(np.maximum(0.0, aa - a * a / n) * np.maximum(0.0, bb - b * b / n))
    return np.where(below > 1e-9, (ab - a * b / n) / np.where(below > 1e-9, below, 1.0), np.nan)
