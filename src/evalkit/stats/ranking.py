"""Several versions over the same cases: is any different, which is best, which cannot be told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from evalkit.stats.basics import Floats, check_level
from evalkit.stats.bootstrap import resampled_counts, sum_counted
from evalkit.stats.estimates import StatisticsError, Status

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Omnibus:
    """One test over all versions: is any of them different."""

    statistic: float | None
    df: int
    p_value: float | None
    n: int
    versions: int
    method: str
    status: Status = "ok"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Versions ranked by their mean over the same cases, 1 is best.

    ``p_best`` is the share of resampled suites in which the version comes first (ties shared); ``low`` and ``high`` the
    interval of its rank. ``tied_with_best`` says whether it cannot be told from the first. ``winner_bonus`` is how much
    better the winner looks than it is, by being picked: rerun it before quoting its number.
    """

    means: tuple[float, ...]
    ranks: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    p_best: tuple[float, ...]
    tied_with_best: tuple[bool, ...]
    winner_bonus: float | None
    n: int
    level: float
    method: str
    seed: int
    status: Status = "ok"
    reason: str = ""


def cochran_q(passes: ArrayLike) -> Omnibus:
    """Test whether several versions have the same pass rate on the same cases.

    Parameters
    ----------
    passes
        One row a case, one column a version, 0 or 1; rows with nan are left out. For pass fractions of repeated runs
        use `friedman`.

    Returns
    -------
    Omnibus
        p = 1 when no case tells two versions apart.

    Notes
    -----
    Q = (k-1)(k sum G_j^2 - T^2) / (k T - sum L_i^2), chi-square with k - 1 df. Cochran (1950) Biometrika 37:256-266.
    Asymptotic: with fewer than about 24 informative rows x versions it is rough.

    Examples
    --------
    >>> round(cochran_q([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 0, 0]]).p_value, 4)
    0.1738
    """
    x = complete_rows(passes)
    if not np.all((x == 0) | (x == 1)):
        msg = "Cochran's Q counts single runs, 0 or 1; for pass fractions use friedman."
        raise StatisticsError(msg)
    n, k = x.shape
    if n == 0 or k < 2:
        return _too_little(n, k, "Cochran Q")
    columns, rows = x.sum(axis=0), x.sum(axis=1)
    below = k * float(rows.sum()) - float(np.sum(rows**2))
    if below <= 0:
        return Omnibus(0.0, k - 1, 1.0, n, k, "Cochran Q", reason="no case tells two versions apart")
    q = (k - 1) * (k * float(np.sum(columns**2)) - float(columns.sum()) ** 2) / below
    return Omnibus(q, k - 1, float(chdtrc(k - 1, q)), n, k, "Cochran Q")


def friedman(scores: ArrayLike) -> Omnibus:
    """Test whether several versions score the same on the same cases, by ranks within each case.

    Parameters
    ----------
    scores
        One row a case, one column a version; rows with nan are left out.

    Returns
    -------
    Omnibus
        p = 1 when every case is a tie.

    Notes
    -----
    Chi-square of the rank sums with k - 1 df, corrected for ties. Friedman (1937) JASA 32:675-701. For two versions
    `paired_t` is far stronger.

    Examples
    --------
    >>> round(friedman([[5, 4, 3], [4, 4, 2], [5, 3, 4], [4, 3, 2]]).p_value, 4)
    0.0569
    """
    x = complete_rows(scores)
    n, k = x.shape
    if n == 0 or k < 2:
        return _too_little(n, k, "Friedman")
    ranks = mid_ranks(x)
    spread = float(np.sum((ranks - (k + 1) / 2) ** 2)) / (n * (k - 1))
    if spread <= 1e-12:
        return Omnibus(0.0, k - 1, 1.0, n, k, "Friedman", reason="every case is a tie")
    chi2 = float(np.sum((ranks.sum(axis=0) - n * (k + 1) / 2) ** 2)) / (n * spread)
    return Omnibus(chi2, k - 1, float(chdtrc(k - 1, chi2)), n, k, "Friedman")


def bootstrap_ranks(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Ranking:
    """Rank versions, with how sure the ranks are: cases are resampled for all versions together.

    Parameters
    ----------
    values
        One row a case, one column a version, higher is better (pass fraction, mean score); rows with nan are left out.
    level, resamples, seed
        Of the joint case bootstrap.

    Returns
    -------
    Ranking
        Not estimable for fewer than two cases.

    Notes
    -----
    Rank interval: percentiles of the rank over resamples. Tied with the best: the percentile interval of the paired
    difference to the winner, at 1 - (1 - level) / (k - 1), holds 0. A version that was picked for being best looks
    better than it is: ``winner_bonus`` is the mean over resamples of (resampled winner's resampled mean - its mean).

    Examples
    --------
    >>> ranking = bootstrap_ranks([[1, 0], [1, 1], [1, 0], [0, 0], [1, 0], [1, 0]], resamples=999)
    >>> ranking.ranks, ranking.tied_with_best
    ((1.0, 2.0), (True, False))
    """
    check_level(level)
    x = complete_rows(values)
    n, k = x.shape
    method = "joint case bootstrap of ranks"
    if n < 2 or k < 2:
        nothing: tuple[float, ...] = ()
        reason = "two cases and two versions are needed"
        means = tuple(float(m) for m in x.mean(axis=0)) if n else nothing
        return Ranking(
            means,
            nothing,
            nothing,
            nothing,
            nothing,
            (),
            None,
            n,
            level,
            method,
            seed,
            "not_estimable",
            reason,
        )
    means = x.mean(axis=0)
    blocks = resampled_counts(n, resamples=resamples, seed=seed)
    replicates = np.round(np.concatenate([sum_counted(counts, x) for counts in blocks]) / n, 12)
    ranks = mid_ranks(-replicates)
    first = replicates >= replicates.max(axis=1, keepdims=True)
    shares = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    low, high = np.quantile(ranks, [(1 - level) / 2, (1 + level) / 2], axis=0, method="nearest")
    winner = int(np.argmax(means))
    tail = (1 - level) / (2 * (k - 1))
    behind = np.quantile(replicates[:, [winner]] - replicates, tail, axis=0)
    tied = behind <= 1e-12
    tied[winner] = True
    chosen = np.argmax(replicates, axis=1)
    bonus = float(np.mean(replicates[np.arange(len(chosen)), chosen] - means[chosen]))
    shown = mid_ranks(-np.round(means, 12)[None, :])[0]
    return Ranking(
        tuple(means.tolist()), tuple(shown.tolist()),
        tuple(np.minimum(low, shown).tolist()), tuple(np.maximum(high, shown).tolist()),
        tuple(shares.tolist()), tuple(bool(t) for t in tied), bonus, n, level, method, seed,
    )  # fmt: skip


def mid_ranks(table: Floats) -> Floats:
    """Return ranks within each row, 1 for the smallest, ties at their mean rank.

    Examples
    --------
    >>> mid_ranks(np.array([[3.0, 1.0, 3.0]])).tolist()
    [[2.5, 1.0, 2.5]]
    """
    # Versions are few: comparing all pairs is quicker than sorting every row.
    ranks = np.full(table.shape, 0.5)
    for j in range(table.shape[1]):
        other = table[:, [j]]
        ranks += (other < table) + 0.5 * (other == table)
    return ranks


def complete_rows(values: ArrayLike) -> Floats:
    """Return the rows in which every version has a value."""
    x = np.atleast_2d(np.asarray(values, dtype=float))
    return np.asarray(x[np.isfinite(x).all(axis=1)], dtype=np.float64)


def _too_little(n: int, k: int, method: str) -> Omnibus:
    reason = "no case has every version" if k >= 2 else "two versions are needed"
    return Omnibus(None, max(0, k - 1), None, n, k, method, "not_estimable", reason)
