"""Agreement of raters on any scale, absolute and in rank."""

from __future__ import annotations

from functools import partial
from math import sqrt, tanh
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evalkit.stats.agreement import one_sided_bound, resampled_tables, spearman_of_tables, tau_of_tables
from evalkit.stats.basics import (
    ArrayLike,
    Floats,
    check_level,
    complete_rows,
    is_constant,
    t_two_sided,
    together,
    z_quantile,
)
from evalkit.stats.bootstrap import RESAMPLES, fisher_z_interval, resampled_counts
from evalkit.stats.estimates import Estimate, not_estimable

if TYPE_CHECKING:
    from collections.abc import Callable


MOST_KINDS = 40  # distinct ratings up to which rank statistics are resampled through tables


class RankStatistic(NamedTuple):
    """A rank correlation: name, value of each table, variance on Fisher's z scale."""

    name: str
    of_tables: Callable[[Floats], Floats]
    variance: Callable[[float, int], float]


# Bonett & Wright (2000) Psychometrika 65:23-28; Fieller, Hartley & Pearson (1957) Biometrika 44:470-481.
SPEARMAN = RankStatistic("Spearman", spearman_of_tables, lambda r, n: (1 + r * r / 2) / (n - 3))
KENDALL = RankStatistic("Kendall tau-b", tau_of_tables, lambda _, n: 0.437 / (n - 4))


def icc(ratings: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Estimate the absolute agreement of single ratings: ICC(A,1), two-way.

    (MSR - MSE) / (MSR + (k-1) MSE + k (MSC - MSE) / n). McGraw & Wong (1996) Psychol Methods 1:30-46. The row
    "ICC(A,1)" of pingouin, formerly "ICC2".

    Parameters
    ----------
    ratings
        One row per rater, one column per item; items with missing ratings are dropped.
    level, resamples, seed
        Of the case bootstrap on Fisher's z scale.

    Examples
    --------
    >>> round(icc([[1, 2, 3, 4], [2, 2, 3, 5]]).estimate, 3)
    0.87
    """
    table = complete_rows(np.atleast_2d(np.asarray(ratings, dtype=float)).T).T
    k, n = table.shape
    method = "ICC(A,1), Fisher-z case bootstrap"
    if k < 2 or n < 2:
        return not_estimable("two raters and two items are needed", n=n, method=method, level=level)
    check_level(level)
    centered = table - table.mean()  # a common shift changes nothing and keeps the sums small
    row_mean, squares = centered.mean(axis=0), (centered**2).sum(axis=0)

    def of_counts(weight: Floats) -> Floats:
        grand = weight @ row_mean / n
        columns = weight @ centered.T / n
        between_rows = k * (weight @ row_mean**2 - n * grand**2)
        between_raters = n * ((columns**2).sum(axis=1) - k * grand**2)
        rest = weight @ squares - n * k * grand**2 - between_rows - between_raters
        msr, msc = between_rows / (n - 1), between_raters / (k - 1)
        mse = np.maximum(rest, 0.0) / ((n - 1) * (k - 1))
        below = msr + (k - 1) * mse + k * (msc - mse) / n
        possible = (below > 1e-12) & (between_rows + rest > 1e-12)
        return np.where(possible, (msr - mse) / np.where(possible, below, 1.0), np.nan)

    blocks = [np.ones((1, n)), *resampled_counts(n, resamples=resamples, seed=seed)]
    replicates = np.concatenate([of_counts(counts) for counts in blocks])
    reason = "undefined: no variation in the ratings"
    return fisher_z_interval(replicates, n=n, level=level, method=method, seed=seed, undefined=reason)


def spearman(
    x: ArrayLike, y: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Estimate rank agreement with Spearman's rho, ties at mid-ranks.

    Insensitive to leniency. Case bootstrap on Fisher's z scale; above 40 distinct ratings atanh(rho) -+
    z sqrt((1 + rho^2 / 2) / (n - 3)).

    Examples
    --------
    >>> round(spearman([1, 2, 3, 4, 5], [1, 3, 2, 5, 5]).estimate, 4)
    0.8721
    """
    return _rank_agreement(SPEARMAN, x, y, level, resamples, seed)


def kendall_tau(
    x: ArrayLike, y: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Estimate rank agreement with Kendall's tau-b, which allows for ties.

    Insensitive to leniency. Case bootstrap on Fisher's z scale; above 40 distinct ratings atanh(tau) -+
    z sqrt(.437 / (n - 4)).

    Examples
    --------
    >>> round(kendall_tau([1, 2, 3, 4, 5], [1, 3, 2, 5, 5]).estimate, 4)
    0.7379
    """
    return _rank_agreement(KENDALL, x, y, level, resamples, seed)


def pearson(x: ArrayLike, y: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Estimate linear agreement with Pearson's r: atanh(r) -+ z / sqrt(n - 3), for 4 items or more.

    Insensitive to leniency and to the width of a rater's range. p is Student's t of r = 0. Fisher (1921) Metron 1:3-32.

    Examples
    --------
    >>> round(pearson([1, 2, 3, 4, 5], [1, 3, 2, 5, 5]).estimate, 4)
    0.8839
    """
    check_level(level)
    a, b = together(x, y)
    n, method = a.size, "Pearson, Fisher z"
    unknown = partial(not_estimable, n=n, method=method, level=level)
    if n < 2 or is_constant(a) or is_constant(b):
        return unknown("undefined: no variation in the ratings" if n else "no item was rated by both")
    r = float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))
    if n < 4 or abs(r) > 1 - 1e-9:
        reason = "all items lie on a line" if abs(r) > 1 - 1e-9 else "four items are needed"
        return unknown(reason, estimate=r)
    center, half = float(np.arctanh(r)), z_quantile(level) / sqrt(n - 3)
    p = t_two_sided(r * sqrt((n - 2) / (1 - r * r)), n - 2)
    return Estimate(r, tanh(center - half), tanh(center + half), level, method, n, p_value=p)


def _rank_agreement(
    statistic: RankStatistic, x: ArrayLike, y: ArrayLike, level: float, resamples: int, seed: int
) -> Estimate:
    check_level(level)
    pairs = together(x, y)
    n = pairs[0].size
    method = f"{statistic.name}, Fisher-z case bootstrap"
    if n == 0:
        return not_estimable("no item was rated by both", n=0, method=method, level=level)
    # Ranks suffice: codes on a common scale keep the table small.
    first, second = (np.unique(side, return_inverse=True)[1] for side in pairs)
    kinds = max(int(first.max()), int(second.max())) + 1
    if kinds > MOST_KINDS:
        return _closed_form(statistic, first, second, kinds, level)
    stacks = list(resampled_tables(first, second, kinds, resamples=resamples, seed=seed))
    replicates = np.concatenate([statistic.of_tables(tables) for tables in stacks])
    bound = one_sided_bound(stacks[0][0], statistic.of_tables, n, level)
    reason = "undefined: no variation in the ratings"
    return fisher_z_interval(
        replicates, n=n, level=level, method=method, seed=seed, undefined=reason, bound=bound
    )  # fmt: skip


def _closed_form(
    statistic: RankStatistic, first: np.ndarray, second: np.ndarray, kinds: int, level: float
) -> Estimate:
    n, method = first.size, f"{statistic.name}, Fisher z"
    table = np.zeros((1, kinds, kinds))
    np.add.at(table[0], (second, first), 1.0)
    estimate = float(statistic.of_tables(table)[0])
    if not np.isfinite(estimate):
        return not_estimable("undefined: no variation", n=n, method=method, level=level)
    if abs(estimate) > 1 - 1e-9:
        perfect = float(np.clip(estimate, -1, 1))
        reason = "the ranks agree completely"
        return not_estimable(reason, n=n, method=method, level=level, estimate=perfect)
    half = z_quantile(level) * sqrt(statistic.variance(estimate, n))
    center = float(np.arctanh(estimate))
    return Estimate(estimate, tanh(center - half), tanh(center + half), level, method, n)
