"""Quantiles, argument checks, a root finder, and arrays without missing values."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike as ArrayLike
from numpy.typing import NDArray
from scipy.special import gammaln, ndtri, stdtr, stdtrit

from evalkit.stats.estimates import StatisticsError

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = NDArray[np.float64]
ONE_CLUSTER = "one cluster has no spread between clusters"


def z_quantile(level: float) -> float:
    """Return the two-sided standard normal quantile of a level."""
    check_level(level)
    return float(ndtri(0.5 + level / 2))


def t_quantile(level: float, df: float) -> float:
    """Return the two-sided Student t quantile of a level."""
    check_level(level)
    return float(stdtrit(df, 0.5 + level / 2))


def t_two_sided(t: float, df: float) -> float:
    """Return the two-sided p of a t statistic."""
    return min(1.0, 2 * float(stdtr(df, -abs(t))))


def check_level(level: float) -> None:
    """Raise StatisticsError unless a level is strictly between 0 and 1."""
    if not 0 < level < 1:
        raise StatisticsError.invalid("level", level, "a number between 0 and 1, such as 0.95")


def check_counts(passes: float, n: float) -> None:
    """Raise StatisticsError unless passes are between 0 and n."""
    if not (n >= 0 and -1e-9 <= passes <= n + 1e-9):
        raise StatisticsError.invalid("passes", passes, f"a number between 0 and n = {n}")


def check_flips(only_candidate: float, only_baseline: float, n: float) -> tuple[float, float]:
    """Return the flips as floats; raise StatisticsError for counts impossible in n pairs."""
    b, c = float(only_candidate), float(only_baseline)
    if not (b >= 0 and c >= 0 and b + c <= n + 1e-9):
        raise StatisticsError.invalid(
            "flips", (only_candidate, only_baseline), f"numbers of 0 or more, at most n = {n} together"
        )
    return b, c


def check_fractions(*fractions: Floats) -> None:
    """Raise StatisticsError unless all pass fractions are between 0 and 1."""
    for f in fractions:
        if f.size and (f.min() < -1e-9 or f.max() > 1 + 1e-9):
            raise StatisticsError.invalid("pass fractions", (f.min(), f.max()), "numbers between 0 and 1")


def check_positive(**values: float) -> None:
    """Raise StatisticsError unless every value is above 0."""
    for name, value in values.items():
        if not value > 0:
            raise StatisticsError.invalid(name, value, "a number above 0")


def settled(value: float) -> float:
    """Round to 10 decimals, as printed numbers are, before a comparison with an exact number."""
    return round(value, 10)


# Sums of floats depend on their order. Each of the next four sorts, so no result depends on the order of its rows.
def present(values: ArrayLike) -> Floats:
    """Return the values as a flat, sorted float array without nan and None."""
    array: Floats = np.asarray(values, dtype=float).ravel()
    return np.sort(array[np.isfinite(array)])


def complete_rows(values: ArrayLike) -> Floats:
    """Return the rows without missing values, sorted."""
    x = np.atleast_2d(np.asarray(values, dtype=float))
    x = x[np.isfinite(x).all(axis=1)]
    return np.asarray(x[np.lexsort(x.T)] if x.shape[1] else x, dtype=np.float64)


def together(*columns: ArrayLike) -> tuple[Floats, ...]:
    """Return flat columns without rows that have a missing value, sorted together; scalars are repeated."""
    arrays = [np.asarray(column, dtype=float) for column in columns]
    sizes = {array.size for array in arrays if array.ndim}
    if len(sizes) > 1:
        raise StatisticsError.invalid("lengths", sorted(sizes), "one value per case in each column")
    size = sizes.pop() if sizes else 1
    full = [np.broadcast_to(array.ravel() if array.ndim else array, (size,)) for array in arrays]
    keep = np.all([np.isfinite(array) for array in full], axis=0)
    order = np.lexsort([array[keep] for array in full])
    return tuple(array[keep][order] for array in full)


def cluster_codes(clusters: ArrayLike) -> NDArray[np.intp]:
    """Return cluster labels as integers from 0."""
    labels = np.asarray(clusters)
    if labels.dtype == object:
        labels = labels.astype(str)
    codes: NDArray[np.intp] = np.unique(labels.ravel(), return_inverse=True)[1]
    return codes


def codes_of(values: Floats, clusters: ArrayLike) -> NDArray[np.intp]:
    """Return the cluster code of each value; raise StatisticsError if the lengths differ."""
    codes = cluster_codes(clusters)
    if codes.size != values.size:
        raise StatisticsError.invalid("number of clusters", codes.size, f"one per case: {values.size}")
    return codes


def with_clusters(values: ArrayLike, clusters: ArrayLike | None) -> tuple[Floats, NDArray[np.intp] | None]:
    """Return the values that are not missing, sorted, with their cluster codes."""
    array = np.asarray(values, dtype=float).ravel()
    keep = np.isfinite(array)
    if clusters is None:
        return np.sort(array[keep]), None
    codes = cluster_codes(codes_of(array, clusters)[keep])
    order = np.lexsort((array[keep], codes))
    return array[keep][order], codes[order]


def is_constant(values: Floats) -> bool:
    """Return whether values differ by floating point noise only."""
    return values.size == 0 or bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.max(np.abs(values)))))


def group_means(values: Floats, codes: NDArray[np.intp]) -> Floats:
    """Return the mean of the values of each code."""
    return np.asarray(np.bincount(codes, values) / np.bincount(codes), dtype=np.float64)


def log_choose(n: int, k: NDArray[Any]) -> Floats:
    """Return the log of the binomial coefficient."""
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), dtype=np.float64)


def harmonic_mean(k: Floats) -> float:
    """Return the harmonic mean of runs per case; exactly K if every case has K."""
    if k.size == 0:
        return 1.0
    first = float(k[0])
    return first if bool(np.all(k == first)) else float(k.size / np.sum(1 / k))


@lru_cache(maxsize=8)
def quadrature(panels: int) -> tuple[Floats, Floats]:
    """Return nodes and weights on -1 to 1: Gauss-Legendre of 20 points in each panel."""
    # One rule of hundreds of points would need a slow eigenvalue problem.
    nodes, weights = np.polynomial.legendre.leggauss(20)
    middles = (2 * np.arange(panels) + 1) / panels - 1
    return (middles[:, None] + nodes / panels).ravel(), np.tile(weights / panels, panels)


def bisect(function: Callable[[float], float], low: float, high: float, *, steps: int = 80) -> float:
    """Return the zero of a monotone function; without one, the nearer end."""
    at_low, at_high = function(low), function(high)
    if (at_low > 0) == (at_high > 0):
        return low if abs(at_low) <= abs(at_high) else high
    for _ in range(steps):
        middle = (low + high) / 2
        if (function(middle) > 0) == (at_low > 0):
            low = middle
        else:
            high = middle
    return (low + high) / 2
