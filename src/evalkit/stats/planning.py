"""Sample size, minimal detectable difference and power."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from scipy.special import bdtr, gammaln, ndtr, ndtri

from evalkit.stats.basics import Floats, check_flips, check_level, check_positive, log_choose, z_quantile
from evalkit.stats.estimates import StatisticsError


def cases_needed(
    delta: float,
    *,
    omega2: float,
    sigma2_a: float = 0.0,
    sigma2_b: float = 0.0,
    k_a: float = 1,
    k_b: float = 1,
    alpha: float = 0.05,
    power: float = 0.8,
    cluster_size: float = 1,
    rho: float = 0.0,
) -> float:
    """Return the number of cases to detect a difference, before rounding up.

    n = (z_{a/2} + z_b)^2 (omega^2 + s_A^2/K_A + s_B^2/K_B) / delta^2. Miller (2024) arXiv 2411.00640 sec. 5.
    A normal approximation: below about 30 cases add two.

    Parameters
    ----------
    delta
        The difference to detect (pass rate or points).
    omega2
        Variance of the cases' true differences.
    sigma2_a, sigma2_b
        Mean variance of one run inside a case, on each side.
    k_a, k_b
        Runs of each case on each side.
    alpha, power
        Two-sided false-alarm rate, and chance to detect the difference.
    cluster_size, rho
        Cases in a cluster and their correlation: n is multiplied by 1 + (m - 1) rho.

    Examples
    --------
    >>> round(cases_needed(0.03, omega2=1 / 9), 1)
    969.0
    """
    if delta == 0:
        raise StatisticsError.invalid("delta", delta, "a difference other than 0")
    variance = _difference_variance(omega2, sigma2_a, sigma2_b, k_a, k_b)
    return (1 + (cluster_size - 1) * rho) * (_z_sum(alpha, power) / delta) ** 2 * variance


def minimal_difference(
    n: float,
    *,
    omega2: float,
    sigma2_a: float = 0.0,
    sigma2_b: float = 0.0,
    k_a: float = 1,
    k_b: float = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float | None:
    """Return the minimal detectable difference of n cases, None without cases.

    The inverse of `cases_needed` without clusters, with the same parameters.

    Examples
    --------
    >>> round(minimal_difference(50, omega2=0.2, sigma2_a=0.1, sigma2_b=0.1), 4)
    0.2506
    """
    if n <= 0:
        return None
    variance = _difference_variance(omega2, sigma2_a, sigma2_b, k_a, k_b)
    return _z_sum(alpha, power) * sqrt(variance / n)


def power_of(
    delta: float, n: float, *, variance: float, used: float | None = None, alpha: float = 0.05
) -> float:
    """Return the power of n cases; `variance` is that of one case's difference, `used` that of the test (or the same).

    Normal approximation, both tails. For single-run pass rates below 100 cases prefer `mcnemar_power`.

    Examples
    --------
    >>> round(power_of(0.2506, 50, variance=0.4), 3)
    0.8
    """
    check_level(1 - alpha)
    check_positive(n=n, variance=variance)
    z = z_quantile(1 - alpha) * sqrt((variance if used is None else used) / variance)
    shift = abs(delta) / sqrt(variance / n)
    return float(ndtr(shift - z) + ndtr(-shift - z))


def mcnemar_power(n: int, p_only_candidate: float, p_only_baseline: float, *, alpha: float = 0.05) -> float:
    """Return the exact power of McNemar's mid-p test on n cases, one run each.

    Sum over m ~ Binomial(n, p_b + p_c) and b ~ Binomial(m, p_b / (p_b + p_c)) of [mid-p <= alpha].

    Parameters
    ----------
    p_only_candidate, p_only_baseline
        Chance that a case improves, and that it regresses. Equal chances give the false-alarm rate.
    alpha
        Two-sided.

    Examples
    --------
    >>> round(mcnemar_power(50, 0.1, 0.3), 3)
    0.619
    """
    check_flips(p_only_candidate, p_only_baseline, 1)
    flips = p_only_candidate + p_only_baseline
    if n < 1 or flips == 0:
        return 0.0
    share = p_only_candidate / flips
    chance = 0.0
    for m, weight in enumerate(_binomial(n, flips)):
        if weight < 1e-12 or m == 0:
            continue
        b = np.arange(m + 1)
        fewer = np.minimum(b, m - b)
        mid_p = bdtr(fewer, m, 0.5) + np.where(fewer > 0, bdtr(np.maximum(fewer - 1, 0), m, 0.5), 0.0)
        chance += float(weight * np.sum(_binomial(m, share)[mid_p <= alpha]))
    return min(1.0, chance)


def mcnemar_cases(
    p_only_candidate: float,
    p_only_baseline: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    most: int = 5000,
) -> int | None:
    """Return the fewest cases with the power for McNemar's mid-p; None above `most`.

    One run per case. The power still holds with one case more.

    Examples
    --------
    >>> mcnemar_cases(0.1, 0.3)
    76
    """
    check_flips(p_only_candidate, p_only_baseline, 1)
    if p_only_candidate == p_only_baseline:
        return None

    def is_enough(n: int) -> bool:
        return all(
            mcnemar_power(m, p_only_candidate, p_only_baseline, alpha=alpha) >= power for m in (n, n + 1)
        )

    low, high = 1, 8
    while not is_enough(high):
        low, high = high, high * 2
        if low >= most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high if high <= most else None


def non_inferiority_power(
    n: float,
    margin: float,
    *,
    variance: float,
    used: float | None = None,
    true_difference: float = 0.0,
    level: float = 0.95,
) -> float:
    """Return the chance to conclude "no worse than the margin".

    Phi((margin + D) / sqrt(variance / n) - z_level). Normal approximation; `non_inferiority_power_tango` is
    exact for single runs.

    Parameters
    ----------
    margin
        Largest acceptable loss.
    variance
        Variance of one case's difference: omega^2 + s_A^2/K_A + s_B^2/K_B.
    used
        Variance that the test uses, if not the same: a design effect has a floor.
    true_difference
        True candidate minus baseline.
    level
        One-sided.

    Examples
    --------
    >>> round(non_inferiority_power(200, 0.1, variance=0.26), 3)
    0.87
    """
    check_level(level)
    check_positive(n=n, variance=variance)
    z = ndtri(level) * sqrt((variance if used is None else used) / variance)
    return float(ndtr((margin + true_difference) / sqrt(variance / n) - z))


def non_inferiority_power_tango(
    n: int, margin: float, p_only_candidate: float, p_only_baseline: float, *, level: float = 0.95
) -> float:
    """Return the exact chance that Tango's test concludes "no worse than the margin".

    One run per case. Sum of the trinomial chances of every (b, c) whose score at -margin exceeds z.

    Examples
    --------
    >>> round(non_inferiority_power_tango(50, 0.1, 0.13, 0.13), 2)
    0.38
    """
    check_level(level)
    check_flips(p_only_candidate, p_only_baseline, 1)
    if n < 1:
        return 0.0
    b, c = (grid.astype(float) for grid in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    keep = b + c <= n
    b, c = b[keep], c[keep]
    rest = max(0.0, 1 - p_only_candidate - p_only_baseline)
    logs = gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(n - b - c + 1)
    for count, p in ((b, p_only_candidate), (c, p_only_baseline), (n - b - c, rest)):
        logs = logs + _log_power(p, count)
    return float(min(1.0, np.sum(np.exp(logs)[_tango_scores(b, c, n, -margin) > ndtri(level)])))


def whole_cases(n: float) -> int:
    """Round a number of cases up, ignoring floating point noise.

    Examples
    --------
    >>> whole_cases(968.9974), whole_cases(30.0000000001)
    (969, 30)
    """
    return ceil(n - 1e-9)


def _tango_scores(b: Floats, c: Floats, n: int, difference: float) -> Floats:
    second = -b - c + (2 * n - b + c) * difference
    third = -c * difference * (1 - difference)
    q = (np.sqrt(np.maximum(0.0, second**2 - 8 * n * third)) - second) / (4 * n)
    variance = n * (2 * np.maximum(0.0, q) + difference * (1 - difference))
    return np.asarray((b - c - n * difference) / np.sqrt(np.maximum(variance, 1e-300)), dtype=np.float64)


def _binomial(n: int, p: float) -> Floats:
    k = np.arange(n + 1)
    logs = log_choose(n, k) + _log_power(p, k) + _log_power(1 - p, n - k)
    return np.asarray(np.exp(logs), dtype=np.float64)


def _log_power(p: float, count: np.ndarray) -> Floats:
    """Return count log p, with 0 log 0 = 0."""
    return np.where(count > 0, count * np.log(max(p, 1e-300)), 0.0)


def _difference_variance(omega2: float, sigma2_a: float, sigma2_b: float, k_a: float, k_b: float) -> float:
    check_positive(k_a=k_a, k_b=k_b)
    if min(omega2, sigma2_a, sigma2_b) < 0:
        raise StatisticsError.invalid("variances", (omega2, sigma2_a, sigma2_b), "numbers of 0 or more")
    return omega2 + sigma2_a / k_a + sigma2_b / k_b


def _z_sum(alpha: float, power: float) -> float:
    check_level(power)
    return z_quantile(1 - alpha) + float(ndtri(power))
