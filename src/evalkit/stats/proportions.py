"""One pass rate and its interval.

Never a t, normal or bootstrap interval for a single pass rate below a few hundred cases: at n = 9 they cover 75-77 %
instead of 95% and collapse to a point when everything passes (Bowyer et al. 2025, arXiv 2503.01747).
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv

from evalkit.stats.basics import check_counts, check_level, cluster_codes, harmonic_mean, together, z_quantile
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MANY_CLUSTERS = 30  # with fewer, an estimated correlation of 0 is mostly luck
ICC_FLOOR = 0.25  # a prior: without it n_eff over-trusts a small sample of cases that happen to agree


def wilson_limits(p: float, n: float, z: float) -> tuple[float, float]:
    """Return the Wilson score limits of a share p of n, clipped to [0, 1] and around p.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Wilson (1927) JASA 22:209-212.
    """
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(max(0.0, p * (1 - p)) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if p <= 0 else max(0.0, min(p, centre - half))
    high = 1.0 if p >= 1 else min(1.0, max(p, centre + half))
    return low, high


def wilson(passes: float, n: float, *, level: float = 0.95) -> Estimate:
    """Estimate a pass rate with the Wilson score interval.

    The default for one run per case. Not for repeated runs or clusters: `wilson_n_eff`, `wilson_clustered`.

    Parameters
    ----------
    passes
        Cases passed; may be fractional when it stands for an effective count.
    n
        Cases scored.
    level
        Confidence of the interval.

    Returns
    -------
    Estimate
        Not estimable at n = 0.

    Raises
    ------
    StatisticsError
        More passes than cases, or a level outside 0 to 1.

    Notes
    -----
    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Wilson (1927) JASA 22:209-212; Newcombe (1998) Stat Med
    17:857-872, Table I.

    Examples
    --------
    >>> print(wilson(9, 10))
    0.9 [0.5958, 0.9821] (95% Wilson, n = 10)
    >>> wilson(0, 0).status
    'not_estimable'
    """
    check_counts(passes, n)
    z = z_quantile(level)
    if n == 0:
        return not_estimable("no scored cases", n=0, method="Wilson", level=level)
    p = min(1.0, max(0.0, passes / n))
    low, high = wilson_limits(p, n, z)
    whole = float(n).is_integer()
    return Estimate(p, low, high, level, "Wilson", round(n), n_eff=None if whole else float(n))


def wilson_n_eff(fractions: ArrayLike, k: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Estimate a pass rate from cases that were run several times.

    Equals `wilson` when every case was run once; identical copies of a run add nothing. Not for several *different*
    cases of one cluster: `wilson_clustered`.

    Parameters
    ----------
    fractions
        Passes over runs of each case, 0 to 1; a case with nan is left out.
    k
        Runs of each case: one number or one a case. The harmonic mean is used.
    level
        Confidence of the interval.

    Returns
    -------
    Estimate
        ``n`` cases, ``k`` runs per case, ``n_eff`` = n / deff.

    Notes
    -----
    deff = min(1, max(s^2 / (p(1-p)), (1 + (K-1) 0.25) / K)) with s^2 the variance of the case fractions, then Wilson
    on n / deff. The floor is an intra-class correlation of at least 0.25: without it coverage at n = 20 falls to 89%.
    An extension of this project (statistics.md 3.1), with its own coverage test; all pass or all fail gives deff = 1.

    Examples
    --------
    >>> print(wilson_n_eff([1, 0.8, 0.6, 1, 0.4], 5))
    0.76 [0.483, 0.9148] (95% Wilson n_eff, n = 5, K = 5, n_eff = 12.5)
    """
    f, runs = together(fractions, k)
    f, runs = f[runs > 0], runs[runs > 0]
    _check_fractions(f)
    z = z_quantile(level)
    if f.size == 0:
        return not_estimable("no scored cases", n=0, method="Wilson n_eff", level=level)
    p, deff, runs_each = float(np.mean(f)), case_design_effect(f, runs), harmonic_mean(runs)
    n_eff = f.size / deff
    low, high = wilson_limits(p, n_eff, z)
    method = "Wilson" if runs_each == 1 else "Wilson n_eff"
    return Estimate(p, low, high, level, method, f.size, n_eff=n_eff, k=runs_each)


def case_design_effect(fractions: np.ndarray, k: np.ndarray) -> float:
    """Return var(case mean) over the variance of a single run, floored by an ICC of 0.25, at most 1."""
    p = float(np.mean(fractions))
    if fractions.size < 2 or p <= 0 or p >= 1:
        return 1.0
    runs = harmonic_mean(k)
    floor = (1 + (runs - 1) * ICC_FLOOR) / runs
    return min(1.0, max(float(np.var(fractions, ddof=1)) / (p * (1 - p)), floor))


def wilson_clustered(
    fractions: ArrayLike, clusters: ArrayLike, *, k: ArrayLike = 1, level: float = 0.95
) -> Estimate:
    """Estimate a pass rate over cases that come in clusters (one document, persona or template).

    Parameters
    ----------
    fractions
        One a case: 0 or 1, or passes over runs.
    clusters
        The cluster of each case: any labels.
    k
        Runs of each case.
    level
        Confidence of the interval.

    Returns
    -------
    Estimate
        Equal weight a case; ``n_eff`` = n / (case deff x cluster deff). One cluster is not estimable. When all pass
        or all fail the correlation cannot be estimated and is taken as 1: n_eff is the number of clusters.

    Notes
    -----
    Cluster deff = 1 + (sum m^2 / n - 1) ICC, with the ANOVA estimate of ICC, at least 0. Saha, Miller & Wang (2016)
    Int J Biostat 12. With fewer than 30 clusters ICC is at least 0.25 (ours): without that 10 clusters cover 91%. With fewer than 10 clusters the correlation itself is badly known: say so beside the number.

    Examples
    --------
    >>> print(wilson_clustered([1, 1, 0, 0, 1, 1], ["a", "a", "b", "b", "c", "c"]))
    0.6667 [0.2077, 0.9385] (95% Wilson clustered, n = 6, n_eff = 3, 3 clusters)
    """
    method = "Wilson clustered"
    raw = np.asarray(fractions, dtype=float).ravel()
    f, runs, codes = together(raw, k, _codes_for(raw, clusters))
    f, runs, codes = f[runs > 0], runs[runs > 0], codes[runs > 0]
    _check_fractions(f)
    z = z_quantile(level)
    if f.size == 0:
        return not_estimable("no scored cases", n=0, method=method, level=level)
    sizes = np.unique(codes, return_counts=True)[1].astype(float)
    p, runs_each = float(np.mean(f)), harmonic_mean(runs)
    if sizes.size < 2:
        reason = "one cluster says nothing about other clusters"
        return not_estimable(
            reason, n=f.size, method=method, level=level, estimate=p, clusters=1, k=runs_each
        )
    if p <= 0 or p >= 1:
        n_eff = float(sizes.size)
    else:
        least = ICC_FLOOR if sizes.size < MANY_CLUSTERS else 0.0
        inflation = 1 + (float(np.sum(sizes**2)) / f.size - 1) * max(least, anova_icc(f, codes))
        n_eff = f.size / (case_design_effect(f, runs) * inflation)
    low, high = wilson_limits(p, n_eff, z)
    return Estimate(p, low, high, level, method, f.size, n_eff=n_eff, k=runs_each, clusters=sizes.size)


def anova_icc(values: np.ndarray, clusters: ArrayLike) -> float:
    """Return the one-way ANOVA intra-class correlation; 0 when every cluster holds one value or nothing varies.

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


def jeffreys(passes: float, n: float, *, level: float = 0.95) -> Estimate:
    """Estimate a pass rate with the Jeffreys interval: Beta(1/2, 1/2) prior, equal tails.

    The end is moved to 0 or 1 when none or all pass (Brown, Cai & DasGupta 2001, Stat Sci 16:101-133): the raw
    interval of 9/9 would exclude 1. Average coverage is right; for guaranteed coverage use `clopper_pearson`.

    Examples
    --------
    >>> print(jeffreys(15, 148))
    0.1014 [0.06045, 0.1576] (95% Jeffreys, n = 148)
    """
    return _beta(passes, n, prior=(0.5, 0.5), level=level, method="Jeffreys", clamp=True)


def beta_interval(
    passes: float,
    n: float,
    *,
    prior: tuple[float, float] = (1.0, 1.0),
    level: float = 0.95,
    clamp: bool = True,
) -> Estimate:
    """Estimate a pass rate with a Beta posterior, equal tails.

    Quantiles of Beta(a + passes, b + n - passes). The estimate is passes / n; with ``clamp`` the interval is widened
    to hold it (a posterior of 9/9 excludes 1). Not for a prior chosen after the data were seen.

    Parameters
    ----------
    passes, n
        Cases passed and scored.
    prior
        a and b, both above 0.
    level
        Posterior mass of the interval.
    clamp
        Whether to move an end to 0 or 1 when none or all pass. Without it the estimate is the posterior mean.

    Examples
    --------
    >>> print(beta_interval(9, 9, clamp=False))
    0.9091 [0.6915, 0.9975] (95% Beta(1, 1) posterior, n = 9)
    """
    return _beta(
        passes, n, prior=prior, level=level, method=f"Beta({prior[0]:g}, {prior[1]:g}) posterior", clamp=clamp
    )


def clopper_pearson(passes: float, n: float, *, level: float = 0.95) -> Estimate:
    """Estimate a pass rate with the exact interval, whose coverage is never below its level.

    Quantiles of Beta(k, n-k+1) and Beta(k+1, n-k). Clopper & Pearson (1934) Biometrika 26:404-413. Too wide on
    average: use it where a guarantee is asked for.

    Examples
    --------
    >>> print(clopper_pearson(9, 9))
    1 [0.6637, 1] (95% Clopper-Pearson, n = 9)
    """
    check_counts(passes, n)
    check_level(level)
    if n == 0:
        return not_estimable("no scored cases", n=0, method="Clopper-Pearson", level=level)
    tail, fails = (1 - level) / 2, n - passes
    low = 0.0 if passes <= 0 else float(betaincinv(passes, fails + 1, tail))
    high = 1.0 if fails <= 0 else float(betaincinv(passes + 1, fails, 1 - tail))
    return Estimate(passes / n, low, high, level, "Clopper-Pearson", round(n))


def lower_bound_exact(passes: float, n: float, *, level: float = 0.95) -> Estimate:
    """Say what pass rate is at least certain: the one-sided exact lower bound.

    Quantile 1 - level of Beta(k, n-k+1); alpha^(1/n) when all pass, of which the "rule of three" 1 - 3/n is the
    approximation (Hanley & Lippman-Hand 1983 JAMA). ``high`` is 1: this is no two-sided interval.

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


def newcombe_independent(
    passes_candidate: float,
    n_candidate: float,
    passes_baseline: float,
    n_baseline: float,
    *,
    level: float = 0.95,
) -> Estimate:
    """Estimate the difference of two pass rates over *different* cases: Newcombe's hybrid score interval.

    Only when pairing was lost, and say that it was: on the same cases it wastes half the power (`tango`).

    Returns
    -------
    Estimate
        Candidate minus baseline; ``n`` is the smaller of the two.

    Notes
    -----
    Square-and-add of the two Wilson intervals. Newcombe (1998) Stat Med 17:873-890, method 10.

    Examples
    --------
    >>> print(newcombe_independent(56, 70, 48, 80))
    0.2 [0.05243, 0.3339] (95% Newcombe independent, n = 70)
    """
    method, n = "Newcombe independent", round(min(n_candidate, n_baseline))
    new = wilson(passes_candidate, n_candidate, level=level)
    old = wilson(passes_baseline, n_baseline, level=level)
    if new.estimate is None or new.low is None or new.high is None:
        return not_estimable("no scored cases on the candidate's side", n=n, method=method, level=level)
    if old.estimate is None or old.low is None or old.high is None:
        return not_estimable("no scored cases on the baseline's side", n=n, method=method, level=level)
    difference = new.estimate - old.estimate
    low = difference - sqrt((new.estimate - new.low) ** 2 + (old.high - old.estimate) ** 2)
    high = difference + sqrt((new.high - new.estimate) ** 2 + (old.estimate - old.low) ** 2)
    return Estimate(difference, max(-1.0, low), min(1.0, high), level, method, n)


def _beta(
    passes: float, n: float, *, prior: tuple[float, float], level: float, method: str, clamp: bool
) -> Estimate:
    check_counts(passes, n)
    check_level(level)
    if min(prior) <= 0:
        msg = f"Both parameters of the prior must be above 0, got {prior}."
        raise StatisticsError(msg)
    if n == 0:
        return not_estimable("no scored cases", n=0, method=method, level=level)
    a, b = passes + prior[0], n - passes + prior[1]
    low, high = (float(betaincinv(a, b, tail)) for tail in ((1 - level) / 2, (1 + level) / 2))
    p = passes / n
    if not clamp:
        return Estimate(min(high, max(low, a / (a + b))), low, high, level, method, round(n))
    return Estimate(
        p, 0.0 if p <= 0 else min(low, p), 1.0 if p >= 1 else max(high, p), level, method, round(n)
    )


def _check_fractions(f: np.ndarray) -> None:
    if f.size and (f.min() < -1e-9 or f.max() > 1 + 1e-9):
        msg = f"Pass fractions must lie between 0 and 1, got {f.min():g} to {f.max():g}."
        raise StatisticsError(msg)


def _codes_for(values: np.ndarray, clusters: ArrayLike) -> np.ndarray:
    codes = cluster_codes(clusters)
    if codes.size != values.size:
        msg = f"One cluster a case is needed, got {codes.size} clusters for {values.size} cases."
        raise StatisticsError(msg)
    return codes
