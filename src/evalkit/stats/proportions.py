"""Pass rates with intervals. t, normal and bootstrap intervals are too narrow (arXiv 2503.01747)."""

from __future__ import annotations

from math import sqrt

import numpy as np
from scipy.special import betaincinv

from evalkit.stats.basics import (
    ONE_CLUSTER,
    ArrayLike,
    Floats,
    check_counts,
    check_fractions,
    check_level,
    cluster_codes,
    codes_of,
    harmonic_mean,
    together,
    z_quantile,
)
from evalkit.stats.estimates import Estimate, not_estimable
from evalkit.stats.limits import ICC_FLOOR, design_effect_bounds, rate_limits

MANY_CLUSTERS = 30  # with fewer, an estimated correlation of 0 is mostly luck


def wilson_limits(p: float, n: float, z: float) -> tuple[float, float]:
    """Return the Wilson score limits of a share p of n, clipped to [0, 1] and around p.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Wilson (1927) JASA 22:209-212.
    """
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(max(0.0, p * (1 - p)) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if p <= 0 else max(0.0, min(p, center - half))
    high = 1.0 if p >= 1 else min(1.0, max(p, center + half))
    return low, high


def wilson(passes: float, n: float, *, level: float = 0.95) -> Estimate:
    """Estimate a pass rate with the Wilson score interval.

    For one run per case; else `wilson_n_eff`, and `wilson_clustered` for clusters. Not estimable at n = 0.
    Newcombe (1998) Stat Med 17:857-872, Table I.

    Parameters
    ----------
    passes
        Passed cases; fractional for an effective count.
    n
        Scored cases.

    Examples
    --------
    >>> print(wilson(9, 10))
    0.9 [0.5958, 0.9821] (95% Wilson, n = 10)
    """
    check_counts(passes, n)
    z = z_quantile(level)
    if n == 0:
        return not_estimable("no scored cases", n=0, method="Wilson", level=level)
    p = min(1.0, max(0.0, passes / n))
    low, high = wilson_limits(p, n, z)
    n_eff = None if float(n).is_integer() else float(n)
    return Estimate(p, low, high, level, "Wilson", round(n), n_eff=n_eff)


def wilson_n_eff(fractions: ArrayLike, k: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Estimate a pass rate from cases with several runs.

    Wilson's limits with z sqrt(deff), and Student's t between a deff of 1 and the least; see `evalkit.stats.limits`. An
    extension of this project with its own coverage study. ``n_eff`` = n / `case_design_effect`. Equals `wilson`
    with one run per case. Not for clusters of cases (`wilson_clustered`).

    Parameters
    ----------
    fractions
        Pass fraction of each case; nan is dropped.
    k
        Runs of each case: one number or one per case. The harmonic mean is used.

    Examples
    --------
    >>> print(wilson_n_eff([1, 0.8, 0.6, 1, 0.4], 5))
    0.76 [0.3437, 0.9504] (95% Wilson n_eff, n = 5, K = 5, n_eff = 5.435)
    """
    f, runs = together(fractions, k)
    f, runs = f[runs > 0], runs[runs > 0]
    check_fractions(f)
    check_level(level)
    if f.size == 0:
        return not_estimable("no scored cases", n=0, method="Wilson n_eff", level=level)
    p, runs_each = float(np.mean(f)), harmonic_mean(runs)
    n_eff = f.size / case_design_effect(f, runs)
    low, high = rate_limits(f, runs, np.arange(f.size), level)
    low, high = min(low, p), max(high, p)
    method = "Wilson" if runs_each == 1 else "Wilson n_eff"
    return Estimate(p, low, high, level, method, f.size, n_eff=n_eff, k=runs_each)


def case_design_effect(fractions: Floats, k: Floats) -> float:
    """Return the variance of case fractions over that of a single run, at most 1 and not below the least."""
    p = float(np.mean(fractions))
    if fractions.size < 2 or p <= 0 or p >= 1:
        return 1.0
    least, _ = design_effect_bounds(k, np.arange(fractions.size), fractions)
    return min(1.0, max(float(np.var(fractions, ddof=1)) / (p * (1 - p)), least))


def cluster_design_effect(fractions: Floats, codes: np.ndarray) -> float:
    """Return 1 + (sum m^2 / n - 1) ICC, with the ANOVA estimate of the ICC, at least 0.

    Saha, Miller & Wang (2016) Int J Biostat 12. Below 30 clusters the ICC is at least 0.25 (ours), for
    coverage.
    """
    sizes = np.unique(codes, return_counts=True)[1].astype(float)
    least = ICC_FLOOR if sizes.size < MANY_CLUSTERS else 0.0
    return 1 + (float(np.sum(sizes**2)) / fractions.size - 1) * max(least, anova_icc(fractions, codes))


def wilson_clustered(
    fractions: ArrayLike, clusters: ArrayLike, *, k: ArrayLike = 1, level: float = 0.95
) -> Estimate:
    """Estimate a pass rate over clusters of cases (one document, persona or template).

    Cases have equal weights. ``n_eff`` = n / (`case_design_effect` x `cluster_design_effect`), with the floor of
    `design_effect_bounds`. One cluster is not estimable; fewer than 10 are unreliable.

    Parameters
    ----------
    fractions
        One per case: 0 or 1, or passes over runs.
    clusters
        The cluster of each case: any labels.
    k
        Runs of each case.

    Examples
    --------
    >>> print(wilson_clustered([1, 1, 0, 0, 1, 1], ["a", "a", "b", "b", "c", "c"]))
    0.6667 [0.2077, 0.9385] (95% Wilson clustered, n = 6, n_eff = 3, 3 clusters)
    """
    method = "Wilson clustered"
    raw = np.asarray(fractions, dtype=float).ravel()
    f, runs, codes = together(raw, k, codes_of(raw, clusters))
    f, runs, codes = f[runs > 0], runs[runs > 0], codes[runs > 0]
    check_fractions(f)
    z = z_quantile(level)
    if f.size == 0:
        return not_estimable("no scored cases", n=0, method=method, level=level)
    groups = np.unique(codes).size
    p, runs_each = float(np.mean(f)), harmonic_mean(runs)
    if groups < 2:
        return not_estimable(
            ONE_CLUSTER, n=f.size, method=method, level=level, estimate=p, clusters=1, k=runs_each
        )
    icc = ICC_FLOOR if groups < MANY_CLUSTERS else 0.0
    least, _ = design_effect_bounds(runs, cluster_codes(codes), f, icc=icc)
    n_eff = f.size / max(case_design_effect(f, runs) * cluster_design_effect(f, codes), least)
    low, high = wilson_limits(p, n_eff, z)
    return Estimate(p, low, high, level, method, f.size, n_eff=n_eff, k=runs_each, clusters=groups)


def anova_icc(values: np.ndarray, clusters: ArrayLike) -> float:
    """Return the one-way ANOVA intra-class correlation; 0 if undefined.

    (MSB - MSW) / (MSB + (m0 - 1) MSW), m0 = (n - sum m^2 / n) / (G - 1).

    Examples
    --------
    >>> anova_icc(np.array([1.0, 1, 0, 0]), ["a", "a", "b", "b"])
    1.0
    """
    codes = cluster_codes(clusters)
    sizes = np.bincount(codes).astype(float)
    groups, n = sizes.size, values.size
    if groups < 2 or n == groups:
        return 0.0
    means = np.bincount(codes, values) / sizes
    between = float(np.sum(sizes * (means - np.mean(values)) ** 2)) / (groups - 1)
    within = float(np.sum((values - means[codes]) ** 2)) / (n - groups)
    typical = (n - float(np.sum(sizes**2)) / n) / (groups - 1)
    total = between + (typical - 1) * within
    return (between - within) / total if total > 1e-15 else 0.0


def lower_bound_exact(passes: float, n: float, *, level: float = 0.95) -> Estimate:
    """Estimate a pass rate with its one-sided exact lower bound; ``high`` is 1.

    Quantile 1 - level of Beta(k, n-k+1). "Rule of three": Hanley & Lippman-Hand (1983) JAMA.

    Examples
    --------
    >>> print(lower_bound_exact(9, 9))
    1 [0.7169, 1] (95% exact lower bound, n = 9)
    """
    check_counts(passes, n)
    check_level(level)
    method = "exact lower bound"
    if n == 0:
        return not_estimable("no scored cases", n=0, method=method, level=level)
    low = 0.0 if passes <= 0 else float(betaincinv(passes, n - passes + 1, 1 - level))
    return Estimate(passes / n, low, 1.0, level, method, round(n))
