"""Mean scores with intervals, over cases or clusters."""

from __future__ import annotations

from math import fsum, sqrt
from typing import Literal

import numpy as np

from evalkit.stats.basics import (
    ONE_CLUSTER,
    ArrayLike,
    Floats,
    check_level,
    is_constant,
    t_quantile,
    with_clusters,
)
from evalkit.stats.estimates import Estimate, not_estimable

BOUNDED = "bounded scale"


def standard_error(
    values: ArrayLike, *, clusters: ArrayLike | None = None, correction: Literal["CR1", "CR0"] = "CR1"
) -> float | None:
    """Return the standard error of a mean; None for fewer than two cases or clusters.

    sd / sqrt(n), or sqrt(G / (G-1)) sqrt(sum_g (sum_i r_gi)^2) / n. Miller (2024) arXiv 2411.00640, eq. 4.

    Parameters
    ----------
    values
        One per case, repeats averaged first; nan is dropped.
    clusters
        The cluster of each case, any labels.
    correction
        CR1 multiplies by sqrt(G / (G - 1)), as inspect_ai does; CR0 is Miller's paper.

    Examples
    --------
    >>> round(standard_error([1, 2, 3, 4]), 4)
    0.6455
    """
    array, codes = with_clusters(values, clusters)
    if codes is None:
        return float(np.std(array, ddof=1)) / sqrt(array.size) if array.size > 1 else None
    groups = int(codes.max()) + 1 if codes.size else 0
    if groups < 2:
        return None
    sums = np.bincount(codes, array - np.mean(array))
    error = sqrt(float(np.sum(sums**2))) / array.size
    return error * sqrt(groups / (groups - 1)) if correction == "CR1" else error


def t_mean(
    values: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
) -> Estimate:
    """Estimate a mean with Student's t on one value per case.

    Not for a pass rate (`wilson`), nor for rows of repeated runs. Not estimable, with the mean kept, for
    fewer than two cases or clusters, or equal values without `bounds`.

    Equal values within bounds: mean - pi (mean - lowest), mean + pi (highest - mean), pi = 1 - (alpha / 2)^(1/n), the
    exact upper limit of the share of other cases, which may have any value.

    Parameters
    ----------
    values
        One per case; nan is dropped.
    clusters
        The cluster of each case: CR1 standard error with t of G - 1 degrees of freedom.
    bounds
        The lowest and highest possible value: of all cases, or of each one.

    Examples
    --------
    >>> print(t_mean([3, 4, 4, 5]))
    4 [2.701, 5.299] (95% t, n = 4)
    >>> print(t_mean([4, 4, 4], bounds=(1, 5)))
    4 [1.877, 4.708] (95% bounded scale, n = 3)
    >>> print(t_mean([4, 4, 4]))
    4, interval not estimable: all values are the same (95% t, n = 3)
    """
    check_level(level)
    array, codes = with_clusters(values, clusters)
    method = "t" if codes is None else "t CR1"
    groups = None if codes is None else (int(codes.max()) + 1 if codes.size else 0)
    n = array.size
    if n == 0:
        return not_estimable("no scored cases", n=0, method=method, level=level, clusters=groups)
    mean = float(np.mean(array))
    error = standard_error(array, clusters=codes) or 0.0
    reason = _without_spread(array, groups)
    if not reason and error <= 1e-12 * max(1.0, float(np.max(np.abs(array)))):
        reason = "the clusters do not differ"
    if reason:
        units = n if groups is None else groups
        if bounds is None or units < 2:
            return not_estimable(reason, n=n, method=method, level=level, estimate=mean, clusters=groups)
        lowest, highest = (mean_bound(end, values) for end in bounds)
        share = 1 - ((1 - level) / 2) ** (1 / units)
        low, high = mean - share * (mean - lowest), mean + share * (highest - mean)
        if low < high:
            return Estimate(mean, min(low, mean), max(high, mean), level, BOUNDED, n, clusters=groups)
        return not_estimable(reason, n=n, method=method, level=level, estimate=mean, clusters=groups)
    half = t_quantile(level, (n if groups is None else groups) - 1) * error
    return Estimate(mean, mean - half, mean + half, level, method, n, clusters=groups)


def mean_bound(bound: ArrayLike, values: ArrayLike) -> float:
    """Return the mean bound of the values that are not missing."""
    known = np.isfinite(np.asarray(values, dtype=float).ravel())
    each = np.broadcast_to(np.asarray(bound, dtype=float), known.shape)
    return fsum(each[known]) / int(known.sum())


def _without_spread(values: Floats, groups: int | None) -> str:
    if values.size == 1:
        return "one case has no spread"
    if groups is not None and groups < 2:
        return ONE_CLUSTER
    return "all values are the same" if is_constant(values) else ""
