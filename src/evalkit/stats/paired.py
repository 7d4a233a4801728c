"""Differences (b - c) / n of candidate and baseline on the same cases."""

from __future__ import annotations

from dataclasses import replace
from math import fsum, sqrt
from typing import TYPE_CHECKING

import numpy as np

from evalkit.stats.basics import (
    ONE_CLUSTER,
    ArrayLike,
    Floats,
    check_flips,
    check_fractions,
    cluster_codes,
    codes_of,
    harmonic_mean,
    is_constant,
    t_quantile,
    t_two_sided,
    together,
    with_clusters,
    z_quantile,
)
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable
from evalkit.stats.limits import PairedLimits, cross_pairs, paired_limits, tango_limits
from evalkit.stats.means import BOUNDED, standard_error, t_mean
from evalkit.stats.permutation import mcnemar, sign_flip

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tango(only_candidate: float, only_baseline: float, n: float, *, level: float = 0.95) -> Estimate:
    """Estimate a paired pass-rate difference with Tango's score interval.

    For one run per case; else `tango_n_eff`, and `tango_clustered` for clusters. The p-value is McNemar's
    mid-p for whole counts. Not estimable at n = 0.

    Limits solve `tango_score` = +-z. Tango (1998) Stat Med 17:891-908; recommended by Fagerland, Lydersen &
    Laake (2014) Stat Med 33:2850-2875.

    Parameters
    ----------
    only_candidate, only_baseline
        Cases that only one side passes; fractional for effective counts.
    n
        All pairs, including those that agree.

    Examples
    --------
    >>> print(tango(1, 7, 21))
    -0.2857 [-0.5172, -0.026] (95% Tango, n = 21, p = 0.0391)
    """
    b, c = check_flips(only_candidate, only_baseline, n)
    if n == 0:
        z_quantile(level)
        return not_estimable("no pairs", n=0, method="Tango", level=level)
    low, high = tango_limits(b, c, n, z_quantile(level))
    integral = b.is_integer() and c.is_integer() and float(n).is_integer()
    p = mcnemar(b, c).mid_p if integral else None
    n_eff = None if float(n).is_integer() else float(n)
    return Estimate((b - c) / n, low, high, level, "Tango", round(n), n_eff=n_eff, p_value=p)


def paired_clusters(
    candidate: ArrayLike, baseline: ArrayLike, k: ArrayLike, clusters: ArrayLike | None = None
) -> tuple[Floats, Floats, Floats, NDArray[np.intp]]:
    """Return fractions and runs of cases with runs on both sides, and cluster codes: by default one per case."""
    size = np.asarray(candidate, dtype=float).ravel()
    labels = () if clusters is None else (codes_of(size, clusters),)
    new, old, runs, *kept = together(candidate, baseline, k, *labels)
    check_fractions(new, old)
    new, old, runs, *kept = (column[runs > 0] for column in (new, old, runs, *kept))
    return new, old, runs, cluster_codes(kept[0]) if kept else np.arange(new.size)


def tango_n_eff(
    candidate: ArrayLike,
    baseline: ArrayLike,
    k: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Estimate:
    """Estimate a paired pass-rate difference from cases with several runs.

    Equals `tango` with one run per case. Not for clusters of cases (`tango_clustered`). The estimate is the
    mean difference of case fractions, ``n_eff`` = n / deff at most n K / (1 + 0.25 (K - 1)), and p is
    McNemar's mid-p (K = 1) or `sign_flip`'s. The limits lie
    within the differences of the limits of both pass rates.

    Tango's limits with z sqrt(deff), and Student's t between a deff of 1 and the least; see `evalkit.stats.limits`.
    An extension of this project in the style of Rao & Scott (1992) Biometrics 48:577-585, with its own
    coverage study.

    Parameters
    ----------
    candidate, baseline
        Pass fraction of each case on each side, in the same order; a pair with nan is dropped.
    k
        Runs of each case, one number or one per case; if the sides differ, their harmonic mean.
    resamples, seed
        Of the sign-flip permutation for the p-value when K > 1.

    Examples
    --------
    >>> old = [1, 0.8, 0.6, 1, 1, 0.4, 0, 1, 0.8, 1]
    >>> new = [1, 0.6, 0.6, 0.8, 1, 0.2, 0, 1, 0.4, 1]
    >>> print(tango_n_eff(new, old, 5))
    -0.1 [-0.3899, 0.1989] (95% Tango n_eff, n = 10, K = 5, n_eff = 12.99, p = 0.125)
    """
    new, old, runs, codes = paired_clusters(candidate, baseline, k)
    runs_each = harmonic_mean(runs)
    if new.size == 0:
        z_quantile(level)
        return not_estimable("no pairs", n=0, method="Tango n_eff", level=level)
    plain = _difference(new, old, runs, codes, level)
    if runs_each == 1 and _is_whole(new) and _is_whole(old):
        b, c, _ = cross_pairs(new, old)
        return replace(plain, method="Tango", k=runs_each, p_value=mcnemar(round(b), round(c)).mid_p)
    p = sign_flip(new - old, resamples=resamples, seed=seed)
    return replace(plain, method="Tango n_eff", k=runs_each, p_value=p, seed=seed)


def tango_clustered(
    candidate: ArrayLike,
    baseline: ArrayLike,
    clusters: ArrayLike,
    *,
    k: ArrayLike = 1,
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Estimate:
    """Estimate a paired pass-rate difference over clusters of cases.

    Cases have equal weights. As `tango_n_eff`, with clusters for cases: an extension of this project. One cluster is not estimable; fewer than 10 are unreliable.

    Parameters
    ----------
    candidate, baseline, k
        As in `tango_n_eff`.
    clusters
        The cluster of each case, any labels.
    level, resamples, seed
        As in `tango_n_eff`; the permutation flips whole clusters.

    Examples
    --------
    >>> print(tango_clustered([1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 0, 1], ["a", "a", "b", "b", "c", "c"]))
    -0.1667 [-0.743, 0.5701] (95% Tango clustered, n = 6, n_eff = 3, 3 clusters, p = 1)
    """
    method = "Tango clustered"
    new, old, runs, codes = paired_clusters(candidate, baseline, k, clusters)
    if new.size == 0:
        return not_estimable("no pairs", n=0, method=method, level=level)
    groups, runs_each = int(codes.max()) + 1, harmonic_mean(runs)
    if groups == new.size:
        plain = tango_n_eff(new, old, runs, level=level, resamples=resamples, seed=seed)
        return replace(plain, clusters=groups)
    if groups == 1:
        b, c, _ = cross_pairs(new, old)
        estimate = (b - c) / new.size
        return not_estimable(
            ONE_CLUSTER, n=new.size, method=method, level=level, estimate=estimate, clusters=1, k=runs_each
        )
    plain = _difference(new, old, runs, codes, level)
    p = sign_flip(new - old, clusters=codes, resamples=resamples, seed=seed)
    return replace(plain, method=method, k=runs_each, clusters=groups, p_value=p, seed=seed)


def paired_t(
    differences: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
) -> Estimate:
    """Estimate a paired mean-score difference with Student's t.

    Not for pass rates (`tango_n_eff`), nor for rows of repeated runs. Equal differences have the limits of `t_mean`
    within `bounds`, and the p of the sign-flip permutation. Not estimable, with the mean kept, for one case, one
    cluster, or equal differences without bounds.

    dbar -+ t sd(d) / sqrt(n). Miller (2024) arXiv 2411.00640 sec. 4.2; clusters as in `t_mean`.

    Parameters
    ----------
    differences
        Candidate minus baseline of each case's mean; nan is dropped.
    clusters
        The cluster of each case: CR1 standard error, t with G - 1 degrees of freedom.
    bounds
        The lowest and highest possible difference of each case: on 1 to 5, (1 - baseline, 5 - baseline).

    Examples
    --------
    >>> print(paired_t([-1, 0, -1, 0, -1]))
    -0.6 [-1.28, 0.08009] (95% paired t, n = 5, p = 0.0705)
    """
    d, codes = with_clusters(differences, clusters)
    mean = t_mean(differences, clusters=clusters, level=level, bounds=bounds)
    if mean.status == "ok" and mean.method == BOUNDED:
        return replace(mean, p_value=sign_flip(d, clusters=codes))
    mean = replace(mean, method="paired t" if codes is None else "paired t CR1")
    if mean.status == "not_estimable":
        if d.size == 0:
            return replace(mean, reason="no pairs")
        if d.size == 1 or mean.clusters == 1:
            return mean
        reason = "all differences are the same" if is_constant(d) else "the clusters do not differ"
        return replace(mean, p_value=sign_flip(d, clusters=codes), reason=reason)
    error = standard_error(d, clusters=codes)
    df = (d.size if mean.clusters is None else mean.clusters) - 1
    return replace(mean, p_value=t_two_sided((mean.estimate or 0.0) / (error or 1.0), df))


def weighted_difference(
    differences: ArrayLike,
    weights: ArrayLike,
    *,
    level: float = 0.95,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
) -> Estimate:
    """Estimate a paired difference with one weight per case.

    dbar_w = sum w d / sum w; Student's t with Kish's n_eff = (sum w)^2 / sum w^2 cases: s^2 = sum w (d - dbar_w)^2 / sum w
    n_eff / (n_eff - 1). p flips the signs of w d. Choose the weights before the differences are seen. Kish (1965)
    "Survey Sampling".

    Parameters
    ----------
    differences, bounds
        As in `paired_t`.
    weights
        One per case, 0 or more.

    Examples
    --------
    >>> print(weighted_difference([1, 0, -1, 0.5, 0], [3, 1, 1, 1, 1]))
    0.3571 [-1.032, 1.746] (95% weighted paired t, n = 5, n_eff = 3.769, p = 0.75)
    """
    d, w = together(differences, weights)
    method = "weighted paired t"
    if np.any(w < 0):
        raise StatisticsError.invalid("weight", w.min(), "numbers of 0 or more")
    d, w = d[w > 0], w[w > 0]
    n = d.size
    if n == 0:
        return not_estimable("no pairs with a weight", n=0, method=method, level=level)
    total = fsum(w)
    mean, n_eff = fsum(w * d) / total, total**2 / fsum(w**2)
    if n < 2 or is_constant(d):
        used = np.where(np.asarray(weights, dtype=float) > 0, np.asarray(differences, dtype=float), np.nan)
        return replace(paired_t(used, level=level, bounds=bounds), estimate=mean)
    p = sign_flip(w * d / float(np.max(w)))
    error = sqrt(fsum(w * (d - mean) ** 2) / total / (n_eff - 1))
    half = t_quantile(level, n_eff - 1) * error
    return Estimate(mean, mean - half, mean + half, level, method, n, n_eff=n_eff, p_value=p)


def _difference(
    candidate: Floats, baseline: Floats, k: Floats, codes: NDArray[np.intp], level: float
) -> Estimate:
    """Return the difference and its limits, without a p-value."""
    n, pairs = candidate.size, PairedLimits(candidate, baseline, k, codes)
    estimate, old = (pairs.b - pairs.c) / n, fsum(baseline) / n
    low, high = paired_limits(candidate, baseline, k, codes, level)
    limited = high > 1 - old + 1e-9 or low < -old - 1e-9
    low, high, n_eff = min(low, estimate), max(high, estimate), n / pairs.design_effect
    return Estimate(estimate, low, high, level, "Tango", n, n_eff=n_eff, limited=limited)


def _is_whole(fractions: Floats) -> bool:
    return bool(np.all((fractions == 0) | (fractions == 1)))
