"""Exact tests of "no change" on paired cases."""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, fsum, sqrt

import numpy as np
from scipy.special import bdtr

from evalkit.stats.basics import ArrayLike, Floats, with_clusters
from evalkit.stats.estimates import StatisticsError

ENUMERATED = 15  # pairs: 2^15 sign patterns are counted one by one
STEPS = 120  # finest grid 1/120 on which sums are counted
CELLS = 40_000_000  # of exact sums; beyond, patterns are sampled


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two-sided p-values of McNemar's test.

    Use ``mid_p``. ``exact`` is too cautious; ``asymptotic`` and ``continuity`` are for comparison with other
    tools.
    """

    exact: float
    mid_p: float
    asymptotic: float
    continuity: float
    only_candidate: int
    only_baseline: int


def mcnemar(only_candidate: float, only_baseline: float) -> McNemar:
    """Test whether cases flip one way more often than the other.

    exact = 2 P(X <= min), mid-p = exact - P(X = min), X ~ Binomial(b + c, 1/2). Fagerland, Lydersen & Laake
    (2013) BMC Med Res Methodol 13:91. All p-values are 1 without a flip.

    Parameters
    ----------
    only_candidate, only_baseline
        Whole numbers of cases that only one side passes, one run each. For repeated runs use `sign_flip`.

    Examples
    --------
    >>> mcnemar(1, 7).mid_p
    0.0390625
    """
    b, c = round(only_candidate), round(only_baseline)
    if b != only_candidate or c != only_baseline or b < 0 or c < 0:
        raise StatisticsError.invalid("flips", (only_candidate, only_baseline), "whole numbers of 0 or more")
    flips = b + c
    if flips == 0:
        return McNemar(1.0, 1.0, 1.0, 1.0, 0, 0)
    fewer = min(b, c)
    upto = float(bdtr(fewer, flips, 0.5))
    below = float(bdtr(fewer - 1, flips, 0.5)) if fewer else 0.0
    gap = abs(b - c)
    return McNemar(
        exact=min(1.0, 2 * upto),
        mid_p=min(1.0, upto + below),
        asymptotic=erfc(gap / sqrt(2 * flips)),
        continuity=erfc(max(0, gap - 1) / sqrt(2 * flips)),
        only_candidate=b,
        only_baseline=c,
    )


def sign_flip(
    differences: ArrayLike, *, clusters: ArrayLike | None = None, resamples: int = 9999, seed: int = 0
) -> float:
    """Return the two-sided p of "no change" by flipping signs of case differences.

    Exact for at most 15 nonzero differences, and for more on a grid such as sixths (of pass fractions). Otherwise p
    is (1 + hits) / (resamples + 1). Fewer than 6 nonzero differences never reach .05.

    T = |sum d|, equal within 1e-9. Fisher (1935). Tests symmetry about 0, so it also detects a change of
    shape.

    Parameters
    ----------
    differences
        One per case; zeros and nan are ignored.
    clusters
        The cluster of each case: whole clusters are flipped.
    resamples, seed
        Of sampled patterns.

    Examples
    --------
    >>> sign_flip([-1.2, -2.4, -1.3, -1.3, 0.0, -1.0, -1.8, -0.8, -4.6, -1.4])
    0.00390625
    """
    d, codes = with_clusters(differences, clusters)
    if codes is not None and d.size:
        d = np.asarray(np.bincount(codes, d), dtype=np.float64)
    sizes = np.sort(np.abs(d[np.abs(d) > 1e-12]))
    if sizes.size == 0:
        return 1.0
    total = abs(fsum(d))
    if sizes.size <= ENUMERATED:
        sums = sizes[:1]  # the first sign is fixed: patterns come in mirrored pairs
        for size in sizes[1:]:
            sums = np.concatenate([sums + size, sums - size])
        return float(np.mean(np.abs(sums) >= total - 1e-9))
    exact = _exact_p(sizes, total)
    if exact is not None:
        return exact
    hits = int(np.sum(np.abs(_flipped_sums(sizes, resamples, seed)) >= total - 1e-9))
    return (1 + hits) / (resamples + 1)


def _exact_p(sizes: Floats, total: float) -> float | None:
    """Return the exact p by counting sums on a grid; None without a grid or for too many sums."""
    distinct = np.unique(np.round(sizes, 9))
    fits = (n for n in range(1, STEPS + 1) if np.all(np.abs(distinct * n - np.rint(distinct * n)) < 1e-6))
    steps = next(fits, None)
    if steps is None:
        return None
    whole = np.rint(sizes * steps).astype(int)
    most = int(whole.sum())
    if most * whole.size > CELLS:
        return None
    chances = np.zeros(most + 1)  # of the sum of those with a plus
    chances[0], upto = 1.0, 1
    for size in whole:
        upto += size
        chances[size:upto] = (chances[size:upto] + chances[: upto - size]) / 2
        chances[:size] /= 2
    distance = np.abs(2 * np.arange(most + 1) - most)
    return min(1.0, fsum(chances[distance >= round(total * steps)]))


def _flipped_sums(sizes: Floats, resamples: int, seed: int) -> Floats:
    """Return sums under random signs; equal sizes share one binomial draw."""
    rng = np.random.default_rng(seed)
    distinct, counts = np.unique(np.round(sizes, 12), return_counts=True)
    sums: Floats = np.zeros(resamples)
    if 8 * distinct.size <= sizes.size:
        for size, count in zip(distinct, counts, strict=True):
            sums += float(size) * (2.0 * rng.binomial(int(count), 0.5, resamples) - int(count))
        return sums
    # With few equal sizes, random bits are cheaper than binomials.
    step, row_bytes = max(1, 4_000_000 // sizes.size), -(-sizes.size // 8)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = np.frombuffer(rng.bytes(rows * row_bytes), np.uint8).reshape(rows, -1)
        bits = np.unpackbits(drawn, axis=1)[:, : sizes.size]
        sums[start : start + rows] = 2 * (bits @ sizes) - float(np.sum(sizes))
    return sums
