"""Candidate against baseline on the same cases: the core of a comparison.

b counts the cases only the candidate passes, c those only the baseline passes; a difference is always candidate minus
baseline, (b - c) / n.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from evalkit.stats.basics import (
    bisect,
    harmonic_mean,
    is_constant,
    t_two_sided,
    together,
    with_clusters,
    z_quantile,
)
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable
from evalkit.stats.means import standard_error, t_mean
from evalkit.stats.permutation import mcnemar, sign_flip
from evalkit.stats.proportions import anova_icc

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def tango_score(b: float, c: float, n: float, difference: float) -> float:
    """Return Tango's score statistic of H0: the true difference is `difference`.

    (b - c - nD) / sqrt(n (2q + D(1-D))), q = (sqrt(B^2 - 4AC) - B) / 2A, A = 2n, B = -b-c + (2n-b+c) D,
    C = -c D (1-D). Tango (1998) Stat Med 17:891-908.
    """
    first, second, third = 2 * n, -b - c + (2 * n - b + c) * difference, -c * difference * (1 - difference)
    root = sqrt(max(0.0, second * second - 4 * first * third))
    # The textbook form cancels where B > 0; this is the same root without the subtraction.
    q = -2 * third / (second + root) if second > 0 else (root - second) / (2 * first)
    variance = n * (2 * max(0.0, q) + difference * (1 - difference))
    distance = b - c - n * difference
    if variance <= 1e-300:
        return 0.0 if abs(distance) <= 1e-12 * max(1.0, n) else float(np.copysign(np.inf, distance))
    return distance / sqrt(variance)


def tango_limits(b: float, c: float, n: float, level: float) -> tuple[float, float]:
    """Return where Tango's score equals +z and -z."""
    z, estimate = z_quantile(level), (b - c) / n
    low = bisect(lambda d: tango_score(b, c, n, d) - z, -1.0, estimate)
    high = bisect(lambda d: tango_score(b, c, n, d) + z, estimate, 1.0)
    return max(-1.0, min(low, estimate)), min(1.0, max(high, estimate))


def tango(only_candidate: float, only_baseline: float, n: float, *, level: float = 0.95) -> Estimate:
    """Estimate a paired pass-rate difference with Tango's score interval.

    The default for one run per case. Not for repeated runs (`tango_n_eff`), clusters (`tango_clustered`) or different
    cases on the two sides (`newcombe_independent`).

    Parameters
    ----------
    only_candidate, only_baseline
        Cases that only one side passes; fractional where they stand for effective counts.
    n
        All pairs, the agreeing ones too.
    level
        Confidence of the interval.

    Returns
    -------
    Estimate
        (b - c) / n; ``p_value`` is McNemar's mid-p when the counts are whole. Not estimable at n = 0. Never of zero
        width: without any flip the limits are +-z^2 / (n + z^2).

    Raises
    ------
    StatisticsError
        Negative counts, or more flips than pairs.

    Notes
    -----
    Limits solve `tango_score` = +-z. Tango (1998) Stat Med 17:891-908; recommended by Fagerland, Lydersen & Laake
    (2014) Stat Med 33:2850-2875.

    Examples
    --------
    >>> print(tango(1, 7, 21))
    -0.2857 [-0.5172, -0.026] (95% Tango, n = 21, p = 0.0391)
    >>> print(tango(0, 0, 9))
    0 [-0.2991, 0.2991] (95% Tango, n = 9, p = 1)
    """
    b, c = check_pairs(only_candidate, only_baseline, n)
    if n == 0:
        z_quantile(level)
        return not_estimable("no pairs", n=0, method="Tango", level=level)
    low, high = tango_limits(b, c, n, level)
    whole = b.is_integer() and c.is_integer() and float(n).is_integer()
    p = mcnemar(b, c).mid_p if whole else None
    n_eff = None if float(n).is_integer() else float(n)
    return Estimate((b - c) / n, low, high, level, "Tango", round(n), n_eff=n_eff, p_value=p)


def cross_pairs(candidate: ArrayLike, baseline: ArrayLike, k: ArrayLike) -> tuple[float, float, float, int]:
    """Return b, c, the design effect and n of paired pass fractions (statistics.md 3.2)."""
    new, old, runs = together(candidate, baseline, k)
    n = new.size
    if n == 0:
        return 0.0, 0.0, 1.0, 0
    b, c = float(np.sum(new * (1 - old))), float(np.sum(old * (1 - new)))
    spread = (b + c) / n - ((b - c) / n) ** 2
    if n < 2 or spread <= 1e-12:
        return b, c, 1.0, n
    ratio = float(np.var(new - old, ddof=1)) / spread
    return b, c, min(1.0, max(ratio, 1 / harmonic_mean(runs))), n


def tango_n_eff(
    candidate: ArrayLike,
    baseline: ArrayLike,
    k: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Estimate:
    """Estimate a paired pass-rate difference from cases that were run several times.

    Equals `tango` when every case was run once. Not for clusters of different cases: `tango_clustered`.

    Parameters
    ----------
    candidate, baseline
        Pass fraction of each case on each side, in the same order, 0 to 1; a pair with nan is left out.
    k
        Runs of each case, one number or one a case; where the sides differ give their harmonic mean (or the smaller
        one, which is cautious).
    level
        Confidence of the interval.
    resamples, seed
        Of the sign-flip permutation that gives the p-value when K > 1.

    Returns
    -------
    Estimate
        Mean difference of case fractions; ``n_eff`` = n / deff; p from McNemar's mid-p (K = 1) or `sign_flip`.

    Notes
    -----
    b = sum f_new (1 - f_old), c = sum f_old (1 - f_new), deff = var(d) / [(b+c)/n - ((b-c)/n)^2] clipped to [1/K, 1],
    then Tango(b/deff, c/deff, n/deff). An extension of this project in the style of Rao & Scott (1992), with its own
    coverage test.

    Examples
    --------
    >>> old = [1, 0.8, 0.6, 1, 1, 0.4, 0, 1, 0.8, 1]
    >>> new = [1, 0.6, 0.6, 0.8, 1, 0.2, 0, 1, 0.4, 1]
    >>> print(tango_n_eff(new, old, 5))
    -0.1 [-0.2379, 0.03156] (95% Tango n_eff, n = 10, K = 5, n_eff = 50, p = 0.125)
    """
    new, old, runs = together(candidate, baseline, k)
    _check_fractions(new, old)
    keep = runs > 0
    new, old, runs = new[keep], old[keep], runs[keep]
    b, c, deff, n = cross_pairs(new, old, runs)
    runs_each = harmonic_mean(runs)
    if n == 0:
        z_quantile(level)
        return not_estimable("no pairs", n=0, method="Tango n_eff", level=level)
    low, high = tango_limits(b / deff, c / deff, n / deff, level)
    single = runs_each == 1 and _whole(new) and _whole(old)
    p = mcnemar(round(b), round(c)).mid_p if single else sign_flip(new - old, resamples=resamples, seed=seed)
    method = "Tango" if single else "Tango n_eff"
    return Estimate(
        _centre((b - c) / n, low, high), low, high, level, method, n,
        n_eff=n / deff, k=runs_each, p_value=p, seed=None if single else seed,
    )  # fmt: skip


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
    """Estimate a paired pass-rate difference when cases come in clusters: the cluster replaces the case as the unit.

    Equals `tango_n_eff` when every cluster holds one case; a copy of every row in the same cluster changes nothing.

    Parameters
    ----------
    candidate, baseline
        Pass fraction of each case on each side, in the same order.
    clusters
        The cluster of each case, any labels.
    k
        Runs of each case.
    level, resamples, seed
        As in `tango_n_eff`; the permutation flips whole clusters.

    Returns
    -------
    Estimate
        Equal weight a case. One cluster is not estimable.

    Notes
    -----
    deff = n CR1^2 / [(b+c)/n - ((b-c)/n)^2] clipped to [(1 + (m-1) ICC) / K, m], m = sum of squared sizes / n, then
    Tango on counts over deff. Without any flip the clusters count as one case each. An extension of this project; with fewer than 10 clusters say so.

    Examples
    --------
    >>> print(tango_clustered([1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 0, 1], ["a", "a", "b", "b", "c", "c"]))
    -0.1667 [-0.743, 0.5701] (95% Tango clustered, n = 6, n_eff = 3, 3 clusters, p = 1)
    """
    method = "Tango clustered"
    index = np.arange(np.asarray(candidate).size, dtype=float)
    new, old, runs, kept = together(candidate, baseline, k, index)
    _check_fractions(new, old)
    labels = np.asarray(clusters).ravel()
    if labels.size != index.size:
        msg = f"One cluster a case is needed, got {labels.size} clusters for {index.size} cases."
        raise StatisticsError(msg)
    d, codes = with_clusters(new - old, labels[kept.astype(int)])
    n = d.size
    if n == 0 or codes is None:
        return not_estimable("no pairs", n=0, method=method, level=level)
    sizes = np.bincount(codes).astype(float)
    if sizes.size == n:
        plain = tango_n_eff(new, old, runs, level=level, resamples=resamples, seed=seed)
        return Estimate(
            plain.estimate, plain.low, plain.high, level, plain.method, n,
            n_eff=plain.n_eff, k=plain.k, clusters=n, p_value=plain.p_value, seed=plain.seed,
        )  # fmt: skip
    b, c, _, _ = cross_pairs(new, old, runs)
    runs_each, estimate = harmonic_mean(runs), (b - c) / n
    error = standard_error(d, clusters=codes)
    if error is None:
        reason = "one cluster says nothing about other clusters"
        return not_estimable(
            reason, n=n, method=method, level=level, estimate=estimate, clusters=1, k=runs_each
        )
    spread = (b + c) / n - estimate**2
    most = max(1.0, float(np.sum(sizes**2)) / n)
    # What repeats can gain is limited by how alike the cases of a cluster are: copies of a case gain nothing.
    alike = 1.0 if is_constant(new + old) else max(0.0, anova_icc(new + old, codes))
    least = (1 + (most - 1) * alike) / runs_each
    deff = most if spread <= 1e-12 else min(most, max(n * error**2 / spread, least))
    low, high = tango_limits(b / deff, c / deff, n / deff, level)
    p = sign_flip(d, clusters=codes, resamples=resamples, seed=seed)
    return Estimate(
        _centre(estimate, low, high), low, high, level, method, n,
        n_eff=n / deff, k=runs_each, clusters=sizes.size, p_value=p, seed=seed,
    )  # fmt: skip


def paired_t(differences: ArrayLike, *, clusters: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    """Estimate a paired mean-score difference with Student's t on one difference a case.

    The default for mean scores at every n. Not for pass rates (`tango_n_eff`), and not for rows of repeated runs.

    Parameters
    ----------
    differences
        Candidate minus baseline of each case's mean; nan is left out.
    clusters
        The cluster of each case: CR1 standard error, t with G - 1 degrees of freedom.
    level
        Confidence of the interval.

    Returns
    -------
    Estimate
        Not estimable, the mean kept, for one case, one cluster, or when all differences are the same. In the last
        case p is 1 when the difference is 0 and the sign-flip permutation's otherwise.

    Notes
    -----
    dbar -+ t sd(d) / sqrt(n). Miller (2024) arXiv 2411.00640 sec. 4.2; clusters as in `t_mean`.

    Examples
    --------
    >>> print(paired_t([-1, 0, -1, 0, -1]))
    -0.6 [-1.28, 0.08009] (95% paired t, n = 5, p = 0.0705)
    >>> print(paired_t([0, 0, 0]))
    0, interval not estimable: all differences are the same (95% paired t, n = 3, p = 1)
    """
    d, codes = with_clusters(differences, clusters)
    mean = t_mean(d, clusters=codes, level=level)
    method = "paired t" if codes is None else "paired t CR1"
    if mean.status == "not_estimable":
        p, reason = None, mean.reason
        if d.size > 1 and (mean.clusters is None or mean.clusters > 1):
            p = 1.0 if abs(mean.estimate or 0.0) <= 1e-12 else sign_flip(d, clusters=codes)
            reason = "all differences are the same" if is_constant(d) else "the clusters do not differ"
        elif d.size == 0:
            reason = "no pairs"
        return not_estimable(
            reason,
            n=d.size,
            method=method,
            level=level,
            estimate=mean.estimate,
            p_value=p,
            clusters=mean.clusters,
        )
    error = standard_error(d, clusters=codes)
    df = (d.size if mean.clusters is None else mean.clusters) - 1
    p = t_two_sided((mean.estimate or 0.0) / (error or 1.0), df)
    return Estimate(
        mean.estimate, mean.low, mean.high, level, method, d.size, clusters=mean.clusters, p_value=p
    )


def paired_dominance(differences: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Estimate P(candidate scores higher) - P(candidate scores lower) on the same case.

    An effect size for ordinal scores that respects pairing; Cliff's delta and Vargha-Delaney's A do not. Tango's
    interval on (cases up, cases down).

    Examples
    --------
    >>> print(paired_dominance([1, 0, -1, 2, 0.5]))
    0.4 [-0.3493, 0.8264] (95% paired dominance (Tango), n = 5, p = 0.375)
    """
    d, _ = with_clusters(differences, None)
    up, down = int(np.sum(d > 1e-9)), int(np.sum(d < -1e-9))
    score = tango(up, down, d.size, level=level)
    return Estimate(
        score.estimate, score.low, score.high, level, "paired dominance (Tango)", d.size,
        p_value=score.p_value, status=score.status, reason=score.reason,
    )  # fmt: skip


def check_pairs(only_candidate: float, only_baseline: float, n: float) -> tuple[float, float]:
    """Refuse counts of flips that no set of pairs can have."""
    b, c = float(only_candidate), float(only_baseline)
    if not (b >= 0 and c >= 0 and b + c <= n + 1e-9):
        msg = (
            f"Flips must be 0 or more and at most n = {n} together, got {only_candidate} and {only_baseline}."
        )
        raise StatisticsError(msg)
    return b, c


def _centre(estimate: float, low: float, high: float) -> float:
    return min(high, max(low, estimate))


def _whole(fractions: np.ndarray) -> bool:
    return bool(np.all((fractions == 0) | (fractions == 1)))


def _check_fractions(*sides: np.ndarray) -> None:
    for f in sides:
        if f.size and (f.min() < -1e-9 or f.max() > 1 + 1e-9):
            msg = f"Pass fractions must lie between 0 and 1, got {f.min():g} to {f.max():g}."
            raise StatisticsError(msg)
