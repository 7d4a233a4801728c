"""Cases with several runs: pass@k, pass^k, flakiness and chance flips."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln

from evalkit.stats.basics import ArrayLike, Floats, together
from evalkit.stats.estimates import Estimate, StatisticsError
from evalkit.stats.proportions import wilson_n_eff


@dataclass(frozen=True, slots=True)
class Churn:
    """Expected flips between single runs of two identical versions.

    ``flips`` of ``n`` cases change verdict by chance. ``recover`` is the chance that a failed case passes the
    next run, ``relapse`` that a passed case fails. ``unknown`` cases have one run.
    """

    flips: float
    n: int
    share: float | None
    recover: float | None
    relapse: float | None
    unknown: int
    method: str


def pass_at_k(passes: ArrayLike, runs: ArrayLike, k: int) -> Floats:
    """Return for each case the chance that at least one of k runs passes.

    1 - C(n-c, k) / C(n, k); nan for fewer than k runs. Chen et al. (2021) arXiv 2107.03374.

    Parameters
    ----------
    passes, runs
        Passed runs and all runs of each case.
    k
        Runs drawn without replacement.

    Examples
    --------
    >>> pass_at_k([3, 1, 1], [5, 5, 1], 2).round(3).tolist()
    [0.9, 0.4, nan]
    """
    c, n = _checked_runs(passes, runs, k)
    return np.asarray(1 - _all_drawn_from(n - c, n, k), dtype=np.float64)


def pass_hat_k(passes: ArrayLike, runs: ArrayLike, k: int) -> Floats:
    """Return for each case the chance that all of k runs pass (pass^k).

    C(c, k) / C(n, k); nan for fewer than k runs. tau-bench, Yao et al. (2024) arXiv 2406.12045.

    Examples
    --------
    >>> pass_hat_k([3, 4], [5, 4], 2).round(3).tolist()
    [0.3, 1.0]
    """
    c, n = _checked_runs(passes, runs, k)
    return _all_drawn_from(c, n, k)


def pass_at_k_rate(passes: ArrayLike, runs: ArrayLike, k: int, *, level: float = 0.95) -> Estimate:
    """Estimate pass@k over the suite: mean of the case values, Wilson on an effective n.

    Cases with fewer than k runs are dropped. A case of n runs counts as n / k draws.

    Examples
    --------
    >>> pass_at_k_rate([3, 1, 0, 5], [5, 5, 5, 5], 2).estimate
    0.575
    """
    return _rate(pass_at_k(passes, runs, k), runs, k, level, f"Wilson n_eff of pass@{k}")


def pass_hat_k_rate(passes: ArrayLike, runs: ArrayLike, k: int, *, level: float = 0.95) -> Estimate:
    """Estimate pass^k over the suite, as `pass_at_k_rate` does for pass@k.

    Examples
    --------
    >>> round(pass_hat_k_rate([3, 1, 0, 5], [5, 5, 5, 5], 2).estimate, 4)
    0.325
    """
    return _rate(pass_hat_k(passes, runs, k), runs, k, level, f"Wilson n_eff of pass^{k}")


def flakiness(fractions: ArrayLike, k: ArrayLike) -> Floats:
    """Return the unbiased variance of one run of each case: f (1-f) K / (K-1).

    0 for a stable verdict, at most 0.5; nan if K is 1.

    Examples
    --------
    >>> flakiness([0.5, 1, 0.8], [2, 5, 5]).round(3).tolist()
    [0.5, 0.0, 0.2]
    """
    f, runs = np.broadcast_arrays(np.asarray(fractions, dtype=float), np.asarray(k, dtype=float))
    known = runs > 1
    return np.where(known, f * (1 - f) * runs / np.where(known, runs - 1, 1), np.nan)


def expected_churn(fractions: ArrayLike, k: ArrayLike) -> Churn:
    """Estimate how many cases flip by chance, from repeated runs of one version.

    sum 2 f (1-f) K / (K-1). recover = E[f(1-f)] / E[1-f], relapse = E[f(1-f)] / E[f], both unbiased in
    numerator. Not for runs repeated because they failed.

    Parameters
    ----------
    fractions, k
        Pass fraction and runs of each case; ``flips`` extrapolates to cases with one run.

    Examples
    --------
    >>> churn = expected_churn([1, 0.8, 0.6, 0, 1], 5)
    >>> round(churn.flips, 2), round(churn.recover, 2)
    (1.0, 0.31)
    """
    f, runs = together(fractions, k)
    known = runs > 1
    variance, total = flakiness(f[known], runs[known]), f.size
    unknown = int(total - variance.size)
    if variance.size == 0:
        return Churn(0.0, total, None, None, None, unknown, "no case was run twice")
    mean, passing = float(np.mean(variance)), float(np.mean(f[known]))
    recover = min(1.0, mean / (1 - passing)) if passing < 1 else None
    relapse = min(1.0, mean / passing) if passing > 0 else None
    return Churn(2 * mean * total, total, 2 * mean, recover, relapse, unknown, "repeated runs of one version")


def observed_churn(first: ArrayLike, second: ArrayLike) -> Churn:
    """Count flips between two runs of the same version (an A/A run).

    Parameters
    ----------
    first, second
        0 or 1 for each case, or pass fractions, which give expected flips.

    Examples
    --------
    >>> observed_churn([1, 1, 0, 0], [1, 0, 1, 0]).flips
    2.0
    """
    a, b = together(first, second)
    flips = float(np.sum(a * (1 - b) + b * (1 - a)))
    if a.size == 0:
        return Churn(0.0, 0, None, None, None, 0, "A/A run")
    fails, passes = float(np.sum(2 - a - b)), float(np.sum(a + b))
    recover = flips / fails if fails > 0 else None
    relapse = flips / passes if passes > 0 else None
    return Churn(flips, a.size, flips / a.size, recover, relapse, 0, "A/A run")


def _checked_runs(passes: ArrayLike, runs: ArrayLike, k: int) -> tuple[Floats, Floats]:
    c, n = np.broadcast_arrays(np.asarray(passes, dtype=float), np.asarray(runs, dtype=float))
    if k < 1:
        raise StatisticsError.invalid("k", k, "a number of runs, 1 or more")
    wrong = np.flatnonzero((c < 0) | (c > n))
    if wrong.size:
        passed, of = (float(side.ravel()[wrong[0]]) for side in (c, n))
        raise StatisticsError.invalid("passes", passed, f"at most the runs of the case, {of:g}")
    return np.asarray(c, dtype=np.float64), np.asarray(n, dtype=np.float64)


def _all_drawn_from(special: Floats, n: Floats, k: int) -> Floats:
    """Return C(special, k) / C(n, k)."""
    enough, possible = n >= k, special >= k
    s, m = np.where(possible, special, k), np.where(enough, n, k)
    logs = gammaln(s + 1) - gammaln(s - k + 1) - gammaln(m + 1) + gammaln(m - k + 1)
    return np.where(enough, np.where(possible, np.minimum(1.0, np.exp(logs)), 0.0), np.nan)


def _rate(values: Floats, runs: ArrayLike, k: int, level: float, method: str) -> Estimate:
    draws = np.broadcast_to(np.asarray(runs, dtype=float), values.shape) / k
    estimate = wilson_n_eff(values, np.maximum(draws, 1.0), level=level)
    return replace(estimate, method=method)
