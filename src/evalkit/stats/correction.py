"""What humans would say, from many judge verdicts and a few human labels.

The labels must be a random sample of what was judged (not the cases someone flagged), except for `rogan_gladen`, whose
labels may come from another population.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from evalkit.stats.basics import (
    check_counts,
    check_level,
    is_constant,
    present,
    t_quantile,
    together,
    z_quantile,
)
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
    """Estimate the pass rate humans would give: the judge's passes and fails, each corrected by the labels in it.

    The default for pass/fail: covers 94-98% with 20 labels or 200. Not for labels that were selected by score, and not
    for labels from another suite (`rogan_gladen`). Fewer than 50 labels, or 5 of either human class: say so.

    Parameters
    ----------
    tp, fp, fn, tn
        Labelled cases by (judge, human): both pass, only the judge passes, only the human passes, both fail.
    passes, n
        Judge passes among all judged cases.
    level, draws, seed
        Of the posterior interval.

    Returns
    -------
    Estimate
        ``n`` is the number of labels. Not estimable without labels or without judged cases.

    Notes
    -----
    theta = p PPV + (1 - p) FOR; draws from Beta(tp + .5, fp + .5), Beta(fn + .5, tn + .5), Beta(k + .5, N - k + .5).
    The efficient form of PPI for a binary judge (Chen et al., arXiv 2601.05420). A stratum without labels takes its
    posterior mean, 1/2.

    Examples
    --------
    >>> print(post_stratified(30, 6, 4, 10, passes=700, n=1000))
    0.669 [0.5524, 0.7737] (95% post-stratified, n = 50)
    """
    check_level(level)
    check_counts(passes, n)
    if min(tp, fp, fn, tn) < 0:
        msg = f"Counts of labels must be 0 or more, got {(tp, fp, fn, tn)}."
        raise StatisticsError(msg)
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
    """Estimate the mean score humans would give: the judge's mean plus a correction from the labelled cases (PPI++).

    For mean scores with 50 labels or more. Not for pass rates: at a true rate of .97 it covers 45%; `post_stratified`.

    Parameters
    ----------
    labels, judged
        Human and judge score of each labelled case.
    unlabelled
        Judge scores of the other cases (not the labelled ones again).
    lam
        How far to trust the judge, 0 (labels only) to 1; estimated when None.
    interval
        "t" with ddof 1, or "normal" with ddof 0: what ppi-python prints, too narrow with few labels.
    level
        Confidence.

    Returns
    -------
    Estimate
        ``n`` is the number of labels m; Student's t with m - 1 degrees of freedom and ddof 1.

    Notes
    -----
    theta = lam mean(F) + mean(Y - lam f), lam = clip(cov(Y, f) / ((1 + m/N) var(f, F)), 0, 1),
    SE^2 = var(Y - lam f) / m + lam^2 var(F) / N. Angelopoulos et al. (2023) arXiv 2311.01453.

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
    trust = _trust(y, f, rest) if lam is None else lam
    if not 0 <= trust <= 1:
        msg = f"lam must lie between 0 and 1, got {lam}."
        raise StatisticsError(msg)
    method, ddof = f"PPI++ {interval} (lambda {trust:.2f})", 1 if interval == "t" else 0
    corrected = y - trust * f
    estimate = trust * float(np.mean(rest)) + float(np.mean(corrected))
    if is_constant(corrected):
        reason = "the judge's errors on the labels do not vary"
        return not_estimable(reason, n=m, method=method, level=level, estimate=estimate)
    error = sqrt(
        float(np.var(corrected, ddof=ddof)) / m + trust**2 * float(np.var(rest, ddof=ddof)) / rest.size
    )
    half = (t_quantile(level, m - 1) if interval == "t" else z_quantile(level)) * error
    return Estimate(estimate, estimate - half, estimate + half, level, method, m)


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
    """Estimate the true pass rate from a judge's, with its error rates known from *another* population.

    About twice as wide as `post_stratified`; use it when the labels come from a suite with a different pass rate.

    Parameters
    ----------
    pass_rate, n
        The judge's pass rate over n cases.
    specificity, n_fail
        Share of human fails the judge fails, and how many human fails there were.
    sensitivity, n_pass
        Share of human passes the judge passes, and how many human passes there were.
    level
        Confidence.

    Returns
    -------
    Estimate
        Not estimable when a human class is empty or the judge is no better than chance (specificity + sensitivity <= 1:
        the published code swaps the limits there).

    Notes
    -----
    theta = (p + q0 - 1) / (q0 + q1 - 1) clipped to [0, 1]; interval with p, q0, q1 smoothed as in Lee et al. (2025)
    arXiv 2511.21140. Rogan & Gladen (1978) Am J Epidemiol 107:71-76.

    Examples
    --------
    >>> print(rogan_gladen(0.4, 1000, 0.7, 200, 0.9, 200))
    0.1667 [0.05635, 0.2627] (95% Rogan-Gladen (Lee), n = 400)
    """
    z, method = z_quantile(level), "Rogan-Gladen (Lee)"
    for name, value in (("pass_rate", pass_rate), ("specificity", specificity), ("sensitivity", sensitivity)):
        if not 0 <= value <= 1:
            msg = f"{name} must lie between 0 and 1, got {value}."
            raise StatisticsError(msg)
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


def _trust(y: np.ndarray, f: np.ndarray, rest: np.ndarray) -> float:
    both = np.concatenate([f, rest])
    if is_constant(both):
        return 0.0
    slope = float(np.cov(y, f, ddof=1)[0, 1]) / ((1 + y.size / rest.size) * float(np.var(both, ddof=1)))
    return min(1.0, max(0.0, slope))
