"""Other intervals for a paired pass-rate difference, for the reader who wants a second opinion."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import betainc, betaincinv

from evalkit.stats.basics import bisect, check_level, quadrature, z_quantile
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable
from evalkit.stats.paired import check_pairs
from evalkit.stats.proportions import wilson


@dataclass(frozen=True, slots=True)
class Posterior:
    """A posterior difference and the probability that the candidate is the worse one."""

    interval: Estimate
    p_worse: float


def newcombe_paired(
    both_pass: float, only_candidate: float, only_baseline: float, both_fail: float, *, level: float = 0.95
) -> Estimate:
    """Estimate a paired pass-rate difference by squaring and adding two Wilson intervals.

    Slightly wider than `tango`. Not for repeated runs or clusters.

    Parameters
    ----------
    both_pass, only_candidate, only_baseline, both_fail
        The four cells of the paired table, in cases.
    level
        Confidence of the interval.

    Notes
    -----
    Newcombe (1998) Stat Med 17:2635-2650, method 10: phi = (ad - bc) / sqrt(margins), with ad - bc reduced by n/2
    (to no less than 0) when it is positive.

    Examples
    --------
    >>> print(newcombe_paired(1, 1, 7, 12))
    -0.2857 [-0.5069, -0.02556] (95% Newcombe paired, n = 21)
    """
    a, b, c, d = both_pass, only_candidate, only_baseline, both_fail
    n = a + b + c + d
    check_pairs(b, c, n)
    method = "Newcombe paired"
    new, old = wilson(a + b, n, level=level), wilson(a + c, n, level=level)
    if new.estimate is None or new.low is None or new.high is None:
        return not_estimable("no pairs", n=0, method=method, level=level)
    if old.estimate is None or old.low is None or old.high is None:
        return not_estimable("no pairs", n=0, method=method, level=level)
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    cross = a * d - b * c
    phi = 0.0 if margins <= 0 else (max(0.0, cross - n / 2) if cross > 0 else cross) / sqrt(margins)
    left, right = new.estimate - new.low, new.high - new.estimate
    old_left, old_right = old.estimate - old.low, old.high - old.estimate
    difference = (b - c) / n
    down = sqrt(max(0.0, left**2 - 2 * phi * left * old_right + old_right**2))
    up = sqrt(max(0.0, right**2 - 2 * phi * right * old_left + old_left**2))
    return Estimate(
        difference, max(-1.0, difference - down), min(1.0, difference + up), level, method, round(n)
    )


def bonett_price(only_candidate: float, only_baseline: float, n: float, *, level: float = 0.95) -> Estimate:
    """Estimate a paired pass-rate difference with an adjusted Wald interval.

    A closed form close to `tango`. Not for repeated runs or clusters.

    Notes
    -----
    p~ = (x + 1) / (n + 2) for both kinds of flip, then Wald around p~_b - p~_c. Bonett & Price (2012) Stat Med
    31:1039-1051. The printed estimate is (b - c) / n.

    Examples
    --------
    >>> print(bonett_price(1, 7, 21))
    -0.2857 [-0.5084, -0.01338] (95% Bonett-Price, n = 21)
    """
    b, c = check_pairs(only_candidate, only_baseline, n)
    z = z_quantile(level)
    if n == 0:
        return not_estimable("no pairs", n=0, method="Bonett-Price", level=level)
    p, q = (b + 1) / (n + 2), (c + 1) / (n + 2)
    half = z * sqrt(max(0.0, p + q - (p - q) ** 2) / (n + 2))
    estimate = (b - c) / n
    low, high = max(-1.0, min(p - q - half, estimate)), min(1.0, max(p - q + half, estimate))
    return Estimate(estimate, low, high, level, "Bonett-Price", round(n))


def dirichlet(
    only_candidate: float, only_baseline: float, n: float, *, prior: float = 0.5, level: float = 0.95
) -> Posterior:
    """Give the posterior of a paired pass-rate difference and the probability that the candidate is worse.

    The narrowest choice at n = 9, with honest coverage. Not for repeated runs or clusters, and not to be read as a
    p-value.

    Parameters
    ----------
    only_candidate, only_baseline, n
        As in `tango`.
    prior
        Dirichlet weight of each of the four cells.
    level
        Posterior mass of the interval, equal tails.

    Returns
    -------
    Posterior
        ``interval`` and ``p_worse`` = I_{1/2}(b + prior, c + prior): closed form, no random draws.

    Notes
    -----
    p10 - p01 = S (2T - 1) with S ~ Beta(b+c+2a, n-b-c+2a) and T ~ Beta(b+a, c+a) independent; the limits invert its
    distribution function by quadrature over S.

    Examples
    --------
    >>> posterior = dirichlet(1, 7, 21)
    >>> print(posterior.interval)
    -0.2857 [-0.4893, -0.03288] (95% Dirichlet posterior, n = 21)
    >>> round(posterior.p_worse, 4)
    0.9866
    """
    b, c = check_pairs(only_candidate, only_baseline, n)
    check_level(level)
    if not prior > 0:
        msg = f"prior must be above 0, got {prior}."
        raise StatisticsError(msg)
    worse = float(betainc(b + prior, c + prior, 0.5))
    if n == 0:
        return Posterior(not_estimable("no pairs", n=0, method="Dirichlet posterior", level=level), worse)
    nodes, weights = quadrature(20)
    shares = betaincinv(b + c + 2 * prior, max(0.0, n - b - c) + 2 * prior, (nodes + 1) / 2)
    shares = np.maximum(shares, 1e-12)

    def below(x: float) -> float:
        inner = betainc(b + prior, c + prior, np.clip((1 + x / shares) / 2, 0, 1))
        return float(np.sum(weights * inner) / 2)

    tail, estimate = (1 - level) / 2, (b - c) / n
    low = bisect(lambda x: below(x) - tail, -1.0, 1.0, steps=45)
    high = bisect(lambda x: below(x) - 1 + tail, -1.0, 1.0, steps=45)
    interval = Estimate(
        estimate, min(low, estimate), max(high, estimate), level, "Dirichlet posterior", round(n)
    )
    return Posterior(interval, worse)
