"""Estimates of human scores from many judge scores and few human labels, a random sample of them."""

from __future__ import annotations

from math import sqrt
from typing import Literal

import numpy as np

from evalkit.stats.basics import (
    ArrayLike,
    Floats,
    check_counts,
    check_level,
    is_constant,
    present,
    t_quantile,
    together,
    z_quantile,
)
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable


def post_stratified(
    tp: int,
    fp: int,
    fn: int,
    tn: int,
    passes: float,
    n: int,
    *,
    level: float = 0.95,
    draws: int = 20_000,
    seed: int = 0,
) -> Estimate:
    """Estimate the human pass rate from judge verdicts and human labels.

    For pass/fail. Not for labels selected by score or from another suite (`rogan_gladen`). ``n`` is the
    number of labels. Not estimable without labels or without judged cases.

    theta = p PPV + (1 - p) FOR; draws from Beta(tp + .5, fp + .5), Beta(fn + .5, tn + .5), Beta(k + .5, N - k
    + .5). The efficient form of PPI for a binary judge (Chen et al., arXiv 2601.05420). A stratum without
    labels takes its posterior mean, 1/2.

    Parameters
    ----------
    tp, fp, fn, tn
        Labeled cases by (judge, person): both pass, only the judge passes, only the person passes, both fail.
    passes, n
        Judge passes, and all judged cases.
    level, draws, seed
        Of the posterior interval.

    Examples
    --------
    >>> print(post_stratified(30, 6, 4, 10, passes=700, n=1000))
    0.669 [0.5524, 0.7737] (95% post-stratified, n = 50)
    """
    check_level(level)
    check_counts(passes, n)
    if min(tp, fp, fn, tn) < 0:
        raise StatisticsError.invalid("label counts", (tp, fp, fn, tn), "numbers of 0 or more")
    labels, method = tp + fp + fn + tn, "post-stratified"
    if labels == 0 or n == 0:
        reason = "no human labels" if labels == 0 else "no judged cases"
        return not_estimable(reason, n=labels, method=method, level=level)
    p = passes / n
    in_passes = tp / (tp + fp) if tp + fp else 0.5
    in_fails = fn / (fn + tn) if fn + tn else 0.5
    estimate = p * in_passes + (1 - p) * in_fails
    rng = np.random.default_rng(seed)
    share = rng.beta(passes + 0.5, n - passes + 0.5, draws)
    theta = share * rng.beta(tp + 0.5, fp + 0.5, draws) + (1 - share) * rng.beta(fn + 0.5, tn + 0.5, draws)
    low, high = (float(x) for x in np.quantile(theta, [(1 - level) / 2, (1 + level) / 2]))
    return Estimate(estimate, min(low, estimate), max(high, estimate), level, method, labels, seed=seed)


def ppi_mean(
    labels: ArrayLike,
    judged: ArrayLike,
    unlabelled: ArrayLike,
    *,
    lam: float | None = None,
    interval: Literal["t", "normal"] = "t",
    level: float = 0.95,
) -> Estimate:
    """Estimate the mean human score (PPI++).

    For mean scores with 50 labels or more. Not for pass rates (`post_stratified`). ``n`` is the number of
    labels m.

    theta = lam mean(F) + mean(Y - lam f), SE^2 = var(Y - lam f) / m + lam^2 var(F) / N, lam = cov(Y, f) /
    ((1 + m/N) var(f, F)) with n - 1 in the covariance and the variance (ddof 1; ppi-python has n), clipped to
    0 to 1; t with m - 1 degrees of freedom. Angelopoulos et al. (2023) arXiv 2311.01453.

    Parameters
    ----------
    labels, judged
        Human and judge score of each labeled case.
    unlabelled
        Judge scores of the unlabeled cases.
    lam
        Weight of the judge from 0 (labels only) to 1; None to estimate it.
    interval
        "t" with ddof 1, or "normal" with ddof 0 as in ppi-python, too narrow with few labels.

    Examples
    --------
    >>> print(ppi_mean([4, 3, 5, 2, 4], [4, 3, 4, 2, 5], [3, 4, 4, 5, 2, 4, 3, 5]))
    3.691 [2.615, 4.767] (95% PPI++ t (lambda 0.61), n = 5)
    """
    y, f = together(labels, judged)
    rest, m = present(unlabelled), y.size
    check_level(level)
    if m < 2 or rest.size < 2:
        estimate = float(np.mean(y)) if m else None
        reason = "two labels and two unlabelled cases are needed"
        return not_estimable(reason, n=m, method="PPI++ t", level=level, estimate=estimate)
    weight = ppi_lambda(y, f, rest) if lam is None else lam
    _check_shares(lam=weight)
    method, ddof = f"PPI++ {interval} (lambda {weight:.2f})", 1 if interval == "t" else 0
    corrected = y - weight * f
    estimate = weight * float(np.mean(rest)) + float(np.mean(corrected))
    if is_constant(corrected):
        reason = "the judge's errors on the labels do not vary"
        return not_estimable(reason, n=m, method=method, level=level, estimate=estimate)
    error = sqrt(
        float(np.var(corrected, ddof=ddof)) / m + weight**2 * float(np.var(rest, ddof=ddof)) / rest.size
    )
    half = (t_quantile(level, m - 1) if interval == "t" else z_quantile(level)) * error
    return Estimate(estimate, estimate - half, estimate + half, level, method, m)


def ppi_lambda(y: Floats, f: Floats, rest: Floats) -> float:
    """Return the judge's weight: cov(Y, f) / ((1 + m/N) var(f, F)), ddof 1, clipped to 0 to 1."""
    both = np.concatenate([f, rest])
    if is_constant(both):
        return 0.0
    slope = float(np.cov(y, f, ddof=1)[0, 1]) / ((1 + y.size / rest.size) * float(np.var(both, ddof=1)))
    return min(1.0, max(0.0, slope))


def rogan_gladen(
    pass_rate: float,
    n: float,
    specificity: float,
    n_fail: float,
    sensitivity: float,
    n_pass: float,
    *,
    level: float = 0.95,
) -> Estimate:
    """Estimate the true pass rate with a judge's error rates from another population.

    For labels from a suite with a different pass rate; about twice as wide as `post_stratified`. Not
    estimable if a human class is empty or specificity + sensitivity <= 1.

    theta = (p + q0 - 1) / (q0 + q1 - 1) clipped to [0, 1]; interval with p, q0, q1 smoothed as in Lee et al.
    (2025) arXiv 2511.21140. Rogan & Gladen (1978) Am J Epidemiol 107:71-76.

    Parameters
    ----------
    pass_rate, n
        The judge's pass rate over n cases.
    specificity, n_fail
        Share of human fails that the judge fails, and the number of human fails.
    sensitivity, n_pass
        Share of human passes that the judge passes, and the number of human passes.

    Examples
    --------
    >>> print(rogan_gladen(0.4, 1000, 0.7, 200, 0.9, 200))
    0.1667 [0.05635, 0.2627] (95% Rogan-Gladen (Lee), n = 400)
    """
    z, method = z_quantile(level), "Rogan-Gladen (Lee)"
    _check_shares(pass_rate=pass_rate, specificity=specificity, sensitivity=sensitivity)
    labels = round(n_fail + n_pass)
    if min(n, n_fail, n_pass) <= 0:
        reason = "labels of both human passes and human fails are needed" if n > 0 else "no judged cases"
        return not_estimable(reason, n=labels, method=method, level=level)
    p, m = (n * pass_rate + z * z / 2) / (n + z * z), n + z * z
    q0, m0 = (n_fail * specificity + 1) / (n_fail + 2), n_fail + 2
    q1, m1 = (n_pass * sensitivity + 1) / (n_pass + 2), n_pass + 2
    if specificity + sensitivity <= 1 or q0 + q1 <= 1:
        reason = "the judge is no better than chance on the labels"
        return not_estimable(reason, n=labels, method=method, level=level)
    estimate = min(1.0, max(0.0, (pass_rate + specificity - 1) / (specificity + sensitivity - 1)))
    theta = (p + q0 - 1) / (q0 + q1 - 1)
    v0, v1 = q0 * (1 - q0) / m0, q1 * (1 - q1) / m1
    shift = 2 * z * z * (theta * v1 - (1 - theta) * v0)
    error = sqrt(p * (1 - p) / m + (1 - theta) ** 2 * v0 + theta**2 * v1) / (q0 + q1 - 1)
    low, high = (min(1.0, max(0.0, theta + shift + sign * z * error)) for sign in (-1, 1))
    low, high = min(low, estimate), max(high, estimate)
    if high - low <= 1e-12:
        reason = "the corrected rate lies at the end of its range"
        return not_estimable(reason, n=labels, method=method, level=level, estimate=estimate)
    return Estimate(estimate, low, high, level, method, labels)


def _check_shares(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise StatisticsError.invalid(name, value, "a number between 0 and 1")
