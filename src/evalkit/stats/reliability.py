"""Several raters, gaps allowed: Krippendorff's alpha and ICC(A,1); and agreement in rank."""

from __future__ import annotations

from math import sqrt, tanh
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evalkit.stats.agreement import RESAMPLES, of_tables
from evalkit.stats.basics import Floats, check_level, together, z_quantile
from evalkit.stats.bootstrap import fisher_z_interval, resampled_counts, sum_counted
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

Measure = Literal["nominal", "ordinal", "interval", "ratio"]
MOST_KINDS = 40  # distinct ratings up to which rank statistics are resampled through tables


def krippendorff_alpha(
    ratings: ArrayLike,
    *,
    measure: Measure = "ordinal",
    labels: Sequence[Any] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Estimate the agreement of any number of raters, missing ratings allowed.

    At .80 and above reliable, .667 to .80 tentative; compare the lower limit with humans among themselves.

    Parameters
    ----------
    ratings
        One row a rater, one column an item; nan where there is no rating.
    measure
        "ordinal" for a 1-5 rubric; "nominal", "interval" or "ratio". Squared distance is interval, not ordinal.
    labels
        The scale; a rating outside of it is refused.
    level, resamples, seed
        Of the case bootstrap on Fisher's z scale.

    Returns
    -------
    Estimate
        ``n`` items with two ratings or more. Not estimable when all ratings are the same (others answer 1 or raise).

    Notes
    -----
    1 - Do / De over the coincidence matrix; ordinal delta = (sum n_c..n_k - (n_c + n_k) / 2)^2. Krippendorff (2011)
    "Computing Krippendorff's Alpha-Reliability".

    Examples
    --------
    >>> alpha = krippendorff_alpha([[1, 2, 3, 3], [1, 2, 3, 4], [1, 3, 3, float("nan")]])
    >>> round(alpha.estimate, 3)
    0.802
    """
    table = np.atleast_2d(np.asarray(ratings, dtype=float))
    there = np.isfinite(table)
    keep = there.sum(axis=0) >= 2
    table, there = table[:, keep], there[:, keep]
    method = f"{measure} Krippendorff alpha, Fisher-z case bootstrap"
    n = table.shape[1]
    if n == 0:
        return not_estimable("no item has two ratings", n=0, method=method, level=level)
    values = np.unique(table[there])
    if labels is not None and (strange := np.setdiff1d(values, np.asarray(labels, dtype=float))).size:
        msg = f"A rating of {strange[0]:g} is not among the labels {list(labels)}."
        raise StatisticsError(msg)
    counts = np.stack([(table == value).sum(axis=0) for value in values], axis=1).astype(
        float
    )  # items x values
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(values.size)
    pairs /= (counts.sum(axis=1) - 1)[:, None, None]
    reason = f"undefined: all {int(there.sum())} ratings are {values[0]:g}"

    def alpha(weight: Floats) -> Floats:
        coincidence = sum_counted(weight, pairs.reshape(n, -1)).reshape(-1, values.size, values.size)
        return _alpha(coincidence, values, measure)

    return resampled(alpha, n, method=method, level=level, resamples=resamples, seed=seed, undefined=reason)


def icc(ratings: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Estimate the absolute agreement of single ratings: ICC(A,1), two-way.

    For mean scores of several judges, and for a judge asked twice about the same transcript. ICC(C,1) would hide a
    judge who is always one point kinder. Not with gaps: items without all ratings are left out.

    Parameters
    ----------
    ratings
        One row a rater, one column an item.
    level, resamples, seed
        Of the case bootstrap on Fisher's z scale.

    Notes
    -----
    (MSR - MSE) / (MSR + (k-1) MSE + k (MSC - MSE) / n). McGraw & Wong (1996) Psychol Methods 1:30-46. pingouin 0.7
    names the row "ICC(A,1)", older ones "ICC2".

    Examples
    --------
    >>> round(icc([[1, 2, 3, 4], [2, 2, 3, 5]]).estimate, 3)
    0.87
    """
    table = np.atleast_2d(np.asarray(ratings, dtype=float))
    table = table[:, np.all(np.isfinite(table), axis=0)]
    k, n = table.shape
    method = "ICC(A,1), Fisher-z case bootstrap"
    if k < 2 or n < 2:
        return not_estimable("two raters and two items are needed", n=n, method=method, level=level)
    centred = table - table.mean()  # a common shift changes nothing and keeps the sums small
    row_mean, squares = centred.mean(axis=0), (centred**2).sum(axis=0)

    def of_counts(weight: Floats) -> Floats:
        grand = weight @ row_mean / n
        columns = weight @ centred.T / n
        between_rows = k * (weight @ row_mean**2 - n * grand**2)
        between_raters = n * ((columns**2).sum(axis=1) - k * grand**2)
        rest = weight @ squares - n * k * grand**2 - between_rows - between_raters
        msr, msc = between_rows / (n - 1), between_raters / (k - 1)
        mse = np.maximum(rest, 0.0) / ((n - 1) * (k - 1))
        below = msr + (k - 1) * mse + k * (msc - mse) / n
        possible = (below > 1e-12) & (between_rows + rest > 1e-12)
        return np.where(possible, (msr - mse) / np.where(possible, below, 1.0), np.nan)

    reason = "undefined: no variation in the ratings"
    return resampled(
        of_counts, n, method=method, level=level, resamples=resamples, seed=seed, undefined=reason
    )


def spearman(
    x: ArrayLike, y: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Estimate rank agreement with Spearman's rho, ties at mid-ranks.

    Blind to leniency: a judge one point kinder throughout has rho 1. Never alone.

    Notes
    -----
    Correlation of mid-ranks; case bootstrap on Fisher's z scale, or with more than 40 distinct ratings
    atanh(rho) -+ z sqrt((1 + rho^2 / 2) / (n - 3)), Bonett & Wright (2000) Psychometrika 65:23-28.

    Examples
    --------
    >>> round(spearman([1, 2, 3, 4, 5], [1, 3, 2, 5, 5]).estimate, 4)
    0.8721
    """
    return _ranked(
        x, y, _spearman_of_tables, "Spearman", lambda r, n: (1 + r * r / 2) / (n - 3), level, resamples, seed
    )


def kendall_tau(
    x: ArrayLike, y: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Estimate rank agreement with Kendall's tau-b, which allows for ties.

    Blind to leniency, like `spearman`. Never alone.

    Notes
    -----
    (C - D) / sqrt((n0 - n1)(n0 - n2)); case bootstrap on Fisher's z scale, or with more than 40 distinct ratings
    atanh(tau) -+ z sqrt(.437 / (n - 4)), Fieller, Hartley & Pearson (1957) Biometrika 44:470-481.

    Examples
    --------
    >>> round(kendall_tau([1, 2, 3, 4, 5], [1, 3, 2, 5, 5]).estimate, 4)
    0.7379
    """
    return _ranked(
        x, y, _tau_of_tables, "Kendall tau-b", lambda _, n: 0.437 / (n - 4), level, resamples, seed
    )


def resampled(
    statistic: Callable[[Floats], Floats],
    n: int,
    *,
    method: str,
    level: float,
    resamples: int,
    seed: int,
    undefined: str,
) -> Estimate:
    """Estimate a statistic that is computed from how often each item counts, with a Fisher-z case bootstrap."""
    check_level(level)
    estimate = float(statistic(np.ones((1, n)))[0])
    if not np.isfinite(estimate):
        return not_estimable(undefined, n=n, method=method, level=level)
    if n == 1:
        return not_estimable(
            "one item cannot be resampled", n=1, method=method, level=level, estimate=estimate
        )
    blocks = resampled_counts(n, resamples=resamples, seed=seed)
    replicates = np.concatenate([statistic(counts) for counts in blocks])
    return fisher_z_interval(
        estimate, replicates, n=n, level=level, method=method, seed=seed, undefined=undefined
    )


def _alpha(coincidence: Floats, values: Floats, measure: Measure) -> Floats:
    """Return alpha of each coincidence matrix of a stack."""
    margins = coincidence.sum(axis=-1)
    total = margins.sum(axis=-1)
    if measure == "ordinal":
        # Ranks between two values depend on how often each occurs, so each resample has its own distances.
        middle = np.cumsum(margins, axis=-1) - margins / 2
        delta = (middle[..., :, None] - middle[..., None, :]) ** 2
    else:
        gap = values[:, None] - values[None, :]
        if measure == "ratio":
            both = values[:, None] + values[None, :]
            gap = np.where(gap != 0, gap / np.where(both == 0, 1.0, both), 0.0)
        delta = np.where(gap != 0, 1.0, 0.0) if measure == "nominal" else gap**2
    seen = (coincidence * delta).sum(axis=(-2, -1)) * (total - 1)
    by_chance = (margins[..., :, None] * margins[..., None, :] * delta).sum(axis=(-2, -1))
    possible = by_chance > 1e-12
    return np.where(possible, 1 - seen / np.where(possible, by_chance, 1.0), np.nan)


def _ranked(
    x: ArrayLike,
    y: ArrayLike,
    statistic: Callable[[Floats], Floats],
    name: str,
    variance: Callable[[float, int], float],
    level: float,
    resamples: int,
    seed: int,
) -> Estimate:
    a, b = together(x, y)
    n, kinds = a.size, max(np.unique(a).size, np.unique(b).size) if a.size else 0
    # Ranks are all that counts: codes on one common scale keep the table small.
    a_codes, b_codes = (np.unique(side, return_inverse=True)[1].astype(float) for side in (a, b))
    if kinds <= MOST_KINDS:
        method = f"{name}, Fisher-z case bootstrap"
        return of_tables(
            a_codes,
            b_codes,
            np.arange(kinds),
            statistic,
            method=method,
            level=level,
            resamples=resamples,
            seed=seed,
        )
    method = f"{name}, Fisher z"
    table = np.zeros((1, kinds, kinds))
    np.add.at(table[0], (b_codes.astype(int), a_codes.astype(int)), 1.0)
    estimate = float(statistic(table)[0])
    if not np.isfinite(estimate) or abs(estimate) > 1 - 1e-9:
        reason = "undefined: no variation" if not np.isfinite(estimate) else "the ranks agree completely"
        known = float(np.clip(estimate, -1, 1)) if np.isfinite(estimate) else None
        return not_estimable(reason, n=n, method=method, level=level, estimate=known)
    half = z_quantile(level) * sqrt(variance(estimate, n))
    centre = float(np.arctanh(estimate))
    return Estimate(estimate, tanh(centre - half), tanh(centre + half), level, method, n)


def _spearman_of_tables(tables: Floats) -> Floats:
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    total = rows.sum(axis=-1)[..., None]
    u = np.cumsum(rows, axis=-1) - rows / 2 - total / 2  # mid-ranks about their mean
    v = np.cumsum(columns, axis=-1) - columns / 2 - total / 2
    top = ((tables * u[..., :, None]).sum(axis=-2) * v).sum(axis=-1)
    below = np.sqrt((rows * u**2).sum(axis=-1) * (columns * v**2).sum(axis=-1))
    return np.where(below > 1e-12, top / np.where(below > 1e-12, below, 1.0), np.nan)


def _tau_of_tables(tables: Floats) -> Floats:
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    total = rows.sum(axis=-1)
    upto = np.cumsum(np.cumsum(tables, axis=-2), axis=-1)
    before = np.zeros_like(tables)
    before[..., 1:, 1:] = upto[..., :-1, :-1]
    concordant = (tables * before).sum(axis=(-2, -1))
    pairs = total * (total - 1) / 2
    ties_rows, ties_columns = ((side * (side - 1)).sum(axis=-1) / 2 for side in (rows, columns))
    ties_both = (tables * (tables - 1)).sum(axis=(-2, -1)) / 2
    discordant = pairs - ties_rows - ties_columns + ties_both - concordant
    below = np.sqrt(np.maximum(0.0, (pairs - ties_rows) * (pairs - ties_columns)))
    return np.where(below > 1e-12, (concordant - discordant) / np.where(below > 1e-12, below, 1.0), np.nan)
