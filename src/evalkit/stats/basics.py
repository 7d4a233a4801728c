"""What every estimator here needs: quantiles, a root-finder, arrays without missing values."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr, stdtrit

from evalkit.stats.estimates import StatisticsError

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = NDArray[np.float64]


def z_quantile(level: float) -> float:
    """Return the two-sided standard normal quantile of a level.

    Examples
    --------
    >>> round(z_quantile(0.95), 6)
    1.959964
    """
    check_level(level)
    return float(ndtri(0.5 + level / 2))


def t_quantile(level: float, df: float) -> float:
    """Return the two-sided Student t quantile of a level.

    Examples
    --------
    >>> round(t_quantile(0.95, 8), 4)
    2.306
    """
    check_level(level)
    return float(stdtrit(df, 0.5 + level / 2))


def t_two_sided(t: float, df: float) -> float:
    """Return the two-sided p of a t statistic."""
    return min(1.0, 2 * float(stdtr(df, -abs(t))))


def check_level(level: float) -> None:
    """Refuse a level that is not strictly between 0 and 1."""
    if not 0 < level < 1:
        msg = f"level must lie between 0 and 1 (0.95 for 95%), got {level}."
        raise StatisticsError(msg)


def check_counts(passes: float, n: float, *, name: str = "passes") -> None:
    """Refuse counts that no data can produce."""
    if not (n >= 0 and -1e-9 <= passes <= n + 1e-9):
        msg = f"{name} must lie between 0 and n = {n}, got {passes}."
        raise StatisticsError(msg)


def present(values: ArrayLike) -> Floats:
    """Return the values that are there, as a flat float array: nan and None are left out."""
    array: Floats = np.asarray(values, dtype=float).ravel()
    return np.asarray(array[np.isfinite(array)], dtype=np.float64)


def together(*columns: ArrayLike) -> tuple[Floats, ...]:
    """Return columns of one length, flat, without the rows in which one of them is missing.

    A scalar stands for itself repeated.
    """
    arrays = [np.asarray(column, dtype=float) for column in columns]
    sizes = {array.size for array in arrays if array.ndim}
    if len(sizes) > 1:
        msg = f"One value a case on every side is needed, got lengths {sorted(sizes)}."
        raise StatisticsError(msg)
    size = sizes.pop() if sizes else 1
    full = [np.broadcast_to(array.ravel() if array.ndim else array, (size,)) for array in arrays]
    keep = np.all([np.isfinite(array) for array in full], axis=0)
    return tuple(array[keep] for array in full)


def cluster_codes(clusters: ArrayLike) -> NDArray[np.intp]:
    """Return cluster labels as integers from 0.

    Examples
    --------
    >>> cluster_codes(["b", "a", "b"]).tolist()
    [1, 0, 1]
    """
    labels = np.asarray(clusters)
    if labels.dtype == object:
        labels = labels.astype(str)
    codes: NDArray[np.intp] = np.unique(labels.ravel(), return_inverse=True)[1]
    return codes


def with_clusters(values: ArrayLike, clusters: ArrayLike | None) -> tuple[Floats, NDArray[np.intp] | None]:
    """Return the values that are there and the cluster of each."""
    array = np.asarray(values, dtype=float).ravel()
    keep = np.isfinite(array)
    if clusters is None:
        return array[keep], None
    labels = np.asarray(clusters).ravel()
    if labels.size != array.size:
        msg = f"One cluster a value is needed, got {labels.size} clusters for {array.size} values."
        raise StatisticsError(msg)
    return array[keep], cluster_codes(labels[keep])


def is_constant(values: Floats) -> bool:
    """Say whether values differ by no more than floating point noise."""
    return values.size == 0 or bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.max(np.abs(values)))))


def harmonic_mean(k: Floats) -> float:
    """Return the harmonic mean of runs per case; exactly K when every case has K."""
    if k.size == 0:
        return 1.0
    first = float(k[0])
    return first if bool(np.all(k == first)) else float(k.size / np.sum(1 / k))


@lru_cache(maxsize=8)
def quadrature(panels: int) -> tuple[Floats, Floats]:
    """Return nodes and weights on -1 to 1: Gauss-Legendre of 20 points in each of several panels.

    Examples
    --------
    >>> nodes, weights = quadrature(3)
    >>> round(float(weights @ nodes**4), 12)
    0.4
    """
    # One rule of hundreds of points needs an eigenvalue problem that takes seconds on a busy machine.
    nodes, weights = np.polynomial.legendre.leggauss(20)
    middles = (2 * np.arange(panels) + 1) / panels - 1
    return (middles[:, None] + nodes / panels).ravel(), np.tile(weights / panels, panels)


def bisect(function: Callable[[float], float], low: float, high: float, *, steps: int = 80) -> float:
    """Return where a monotone function crosses zero between two ends, by bisection.

    When both ends have the same sign the end nearer to zero is returned: limits at the edge of the parameter space.
    """
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
