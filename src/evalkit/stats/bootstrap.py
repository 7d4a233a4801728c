"""The case bootstrap, for statistics without a closed form; not for means or pass rates of few cases."""

from __future__ import annotations

from math import atanh, sqrt, tanh
from typing import TYPE_CHECKING

import numpy as np

from evalkit.stats.basics import Floats, is_constant, z_quantile
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable

if TYPE_CHECKING:
    from collections.abc import Iterator

RESAMPLES = 2000
CELLS = 25_000  # counts held at once: they stay in cache
# OpenBLAS uses one thread up to this many products; more threads are slower here.
PRODUCTS = 2**18


def resampled_counts(n: int, *, resamples: int = 9999, seed: int = 0) -> Iterator[Floats]:
    """Yield blocks of resamples as draw counts of n cases, one resample per row."""
    if n < 1 or resamples < 1:
        raise StatisticsError.invalid("cases and resamples", (n, resamples), "at least one of each")
    rng = np.random.default_rng(seed)
    rows = max(1, min(resamples, CELLS // n))
    small = np.uint16 if n <= 2**16 else np.uint32
    offsets = (np.arange(rows, dtype=np.int64) * n)[:, None]
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = rng.integers(0, n, size=(size, n), dtype=small)
        flat = (drawn + offsets[:size]).ravel()
        yield np.bincount(flat, minlength=size * n).reshape(size, n).astype(np.float64)


def sum_counted(counts: Floats, values: Floats) -> Floats:
    """Return `counts @ values` in blocks that keep BLAS in one thread."""
    step = max(1, PRODUCTS // (counts.shape[0] * values.shape[1]))
    sums = counts[:, :step] @ values[:step]
    for start in range(step, values.shape[0], step):
        sums += counts[:, start : start + step] @ values[start : start + step]
    return sums


def fisher_z_interval(
    replicates: Floats,
    *,
    n: int,
    level: float,
    method: str,
    seed: int,
    undefined: str,
    bound: float | None = None,
) -> Estimate:
    """Return an agreement statistic with its interval on Fisher's z scale.

    tanh(atanh(t) -+ z sd(atanh t*)), t* held a quarter of the way short of +-1. `replicates` has the statistic of
    the data first; nan is undefined. Not estimable: over a fifth of them undefined, one case, or an estimate of
    +-1 without a `bound`. `bound` is the one-sided lower limit of a perfect statistic (`one_sided_bound`).
    `undefined` is the reason if the first is nan.
    """
    estimate, known = float(replicates[0]), replicates[1:][np.isfinite(replicates[1:])]
    perfect, reason, shown = 1 - abs(estimate) < 1e-9, "", estimate
    if not np.isfinite(estimate):
        return not_estimable(undefined, n=n, method=method, level=level)
    if n == 1:
        reason = "one case cannot be resampled"
    elif perfect and estimate > 0 and bound is not None:
        return Estimate(1.0, bound, 1.0, level, f"{method.partition(',')[0]}, one-sided exact bound", n)
    elif perfect:
        reason = f"all {n} items agree" if estimate > 0 else "-1 or less has no interval"
        shown = min(1.0, estimate)
    elif known.size < 0.8 * (replicates.size - 1) or is_constant(known):
        reason = "too few different ratings to resample"
    if reason:
        return not_estimable(reason, n=n, method=method, level=level, estimate=shown)
    top = min(1 - 1e-12, 1 - (1 - abs(estimate)) / 4)
    spread = float(np.std(np.arctanh(np.clip(known, -top, top)), ddof=1))
    center, half = atanh(estimate), z_quantile(level) * spread * sqrt(n / (n - 1))
    low, high = min(tanh(center - half), estimate), max(tanh(center + half), estimate)
    if spread <= 0 or high - low <= 1e-12:
        reason = "the statistic does not vary over resamples"
        return not_estimable(reason, n=n, method=method, level=level, estimate=estimate)
    return Estimate(estimate, low, high, level, method, n, seed=seed)
