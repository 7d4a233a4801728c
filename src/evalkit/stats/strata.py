"""Differences over strata: a fixed mix, Simpson's paradox, severity weights and the Mantel-Haenszel odds ratio."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.stats.basics import (
    Floats,
    check_level,
    is_constant,
    t_quantile,
    t_two_sided,
    together,
    z_quantile,
)
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable
from evalkit.stats.means import standard_error
from evalkit.stats.paired import paired_t

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

SMALLEST = 10  # cases a stratum needs before its sign is worth a flag


@dataclass(frozen=True, slots=True)
class Standardised:
    """A difference over strata: pooled, and with a declared mix of strata.

    ``strata`` holds (label, cases, mean difference, weight). ``simpson`` says that pooled and standardised point
    opposite ways; ``opposite`` names strata of ten cases or more whose own sign is opposite (exploratory).
    """

    pooled: Estimate
    standardised: Estimate
    strata: tuple[tuple[Any, int, float, float], ...]
    simpson: bool
    opposite: tuple[Any, ...]


def standardised_difference(
    differences: ArrayLike, strata: ArrayLike, *, mix: Mapping[Any, float] | None = None, level: float = 0.95
) -> Standardised:
    """Estimate a paired difference as it would be with a declared mix of strata.

    Parameters
    ----------
    differences
        Candidate minus baseline, one a case.
    strata
        The stratum of each case.
    mix
        Stratum -> weight, made to sum to 1; equal weights (the macro mean) when None. A stratum without cases is
        refused by name.
    level
        Confidence.

    Returns
    -------
    Standardised
        Not estimable where a stratum of the mix has one case, or nothing varies.

    Notes
    -----
    sum w_s d_s, SE^2 = sum w_s^2 SE_s^2, df by Satterthwaite. On fully paired data every version has the same mix: a
    flip of sign against the pooled mean then comes from the weights alone, or proves missing pairs.

    Examples
    --------
    >>> result = standardised_difference([1, 1, 0, -1, 0, 0], ["a", "a", "a", "b", "b", "b"])
    >>> round(result.pooled.estimate, 3), round(result.standardised.estimate, 3), result.simpson
    (0.167, 0.167, False)
    """
    d, groups = np.asarray(differences, dtype=float).ravel(), np.asarray(strata).ravel()
    if d.size != groups.size:
        msg = f"One stratum a case is needed, got {groups.size} strata for {d.size} cases."
        raise StatisticsError(msg)
    keep = np.isfinite(d)
    d, groups = d[keep], groups[keep]
    pooled, method = paired_t(d, level=level), "standardised t"
    kinds = sorted({*groups.tolist()}, key=str)
    if not kinds:
        return Standardised(pooled, not_estimable("no pairs", n=0, method=method, level=level), (), False, ())
    weights = _mix(mix, kinds)
    parts = [d[groups == kind] for kind in weights]
    shares = list(weights.values())
    means = [float(np.mean(part)) for part in parts]
    estimate = sum(w * m for w, m in zip(shares, means, strict=True))
    errors = [standard_error(part) for part in parts]
    if any(error is None for error in errors):
        reason = "a stratum has one case and no spread"
        whole = not_estimable(reason, n=d.size, method=method, level=level, estimate=estimate)
    else:
        pieces = np.array([(w * (e or 0.0)) ** 2 for w, e in zip(shares, errors, strict=True)])
        whole = _satterthwaite(estimate, pieces, [part.size - 1 for part in parts], level, method, d.size)
    table = tuple((k, p.size, m, w) for (k, w), p, m in zip(weights.items(), parts, means, strict=True))
    total = pooled.estimate or 0.0
    against = tuple(k for k, size, m, _ in table if size >= SMALLEST and m * total < -1e-12)
    return Standardised(pooled, whole, table, total * estimate < -1e-12, against)


def weighted_difference(differences: ArrayLike, weights: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Estimate a paired difference with a weight a case (severity), Student's t.

    Not for weights that were chosen after the differences were seen.

    Notes
    -----
    dbar_w = sum w d / sum w, Var = n/(n-1) sum w^2 (d - dbar_w)^2 / (sum w)^2.

    Examples
    --------
    >>> print(weighted_difference([1, 0, -1, 0.5, 0], [3, 1, 1, 1, 1]))
    0.3571 [-0.7142, 1.428] (95% weighted paired t, n = 5, p = 0.407)
    """
    d, w = together(differences, weights)
    method = "weighted paired t"
    if np.any(w < 0):
        msg = f"Weights must be 0 or more, got {w.min():g}."
        raise StatisticsError(msg)
    d, w = d[w > 0], w[w > 0]
    n = d.size
    if n == 0:
        return not_estimable("no pairs with a weight", n=0, method=method, level=level)
    mean = float(np.sum(w * d) / np.sum(w))
    if n < 2 or is_constant(d):
        plain = paired_t(d, level=level)
        reason, p = plain.reason, plain.p_value
        return not_estimable(reason, n=n, method=method, level=level, estimate=mean, p_value=p)
    variance = n / (n - 1) * float(np.sum(w**2 * (d - mean) ** 2)) / float(np.sum(w)) ** 2
    return _t_interval(mean, variance, n - 1, level, method, n)


def mantel_haenszel(tables: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Estimate the common odds ratio of 2x2 tables, one a stratum.

    For independent groups (different cases on the two sides); on the same cases use `standardised_difference`.

    Parameters
    ----------
    tables
        [[a, b], [c, d]] a stratum: passes and fails of the candidate, then of the baseline.
    level
        Confidence.

    Returns
    -------
    Estimate
        ``n`` is the number of observations. Not estimable when no stratum has both kinds on both sides.

    Notes
    -----
    sum(ad/n) / sum(bc/n), log variance by Robins, Breslow & Greenland (1986) Biometrics 42:311-323.

    Examples
    --------
    >>> print(mantel_haenszel([[[81, 6], [234, 36]], [[192, 71], [55, 25]]]))
    1.447 [0.9158, 2.286] (95% Mantel-Haenszel odds ratio, n = 700)
    """
    check_level(level)
    t = np.asarray(tables, dtype=float).reshape(-1, 2, 2)
    t = t[t.sum(axis=(1, 2)) > 0]
    sizes, method = t.sum(axis=(1, 2)), "Mantel-Haenszel odds ratio"
    a, b, c, d = t[:, 0, 0], t[:, 0, 1], t[:, 1, 0], t[:, 1, 1]
    r, s = a * d / sizes, b * c / sizes
    top, below, n = float(r.sum()), float(s.sum()), round(float(sizes.sum()))
    if top <= 0 or below <= 0:
        reason = "no stratum has passes and fails on both sides"
        return not_estimable(reason, n=n, method=method, level=level)
    p, q = (a + d) / sizes, (b + c) / sizes
    variance = (
        float(np.sum(p * r)) / (2 * top**2)
        + float(np.sum(p * s + q * r)) / (2 * top * below)
        + float(np.sum(q * s)) / (2 * below**2)
    )
    half = z_quantile(level) * sqrt(variance)
    return Estimate(top / below, exp(log(top / below) - half), exp(log(top / below) + half), level, method, n)


def _mix(mix: Mapping[Any, float] | None, kinds: list[Any]) -> dict[Any, float]:
    if mix is None:
        return dict.fromkeys(kinds, 1 / len(kinds))
    missing = [kind for kind, weight in mix.items() if weight > 0 and kind not in kinds]
    total = float(sum(mix.values()))
    if missing or total <= 0 or min(mix.values()) < 0:
        msg = f"Every stratum of the mix needs cases and a weight of 0 or more; without cases: {missing}, have: {kinds}."
        raise StatisticsError(msg)
    return {kind: weight / total for kind, weight in mix.items() if weight > 0}


def _satterthwaite(
    estimate: float, pieces: Floats, dfs: list[int], level: float, method: str, n: int
) -> Estimate:
    variance = float(pieces.sum())
    if variance <= 1e-24:
        p = 1.0 if abs(estimate) <= 1e-12 else None
        reason = "the differences do not vary inside the strata"
        return not_estimable(reason, n=n, method=method, level=level, estimate=estimate, p_value=p)
    df = variance**2 / float(np.sum(pieces**2 / np.array(dfs)))
    return _t_interval(estimate, variance, df, level, method, n)


def _t_interval(estimate: float, variance: float, df: float, level: float, method: str, n: int) -> Estimate:
    half = t_quantile(level, df) * sqrt(variance)
    p = t_two_sided(estimate / sqrt(variance), df)
    return Estimate(estimate, estimate - half, estimate + half, level, method, n, p_value=p)
