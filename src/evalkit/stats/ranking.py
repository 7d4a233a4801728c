"""Several versions over the same cases: tests, ranks and ties."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import chdtrc

from evalkit.stats.basics import ArrayLike, Floats, check_level, complete_rows
from evalkit.stats.bootstrap import resampled_counts, sum_counted
from evalkit.stats.estimates import StatisticsError, Status


@dataclass(frozen=True, slots=True)
class Omnibus:
    """A test of whether any version differs."""

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

    ``p_best`` is the share of resampled suites in which the version is first (ties shared), not the chance that it is
    best: of versions much alike, chance puts one first. ``p_best_shrunk`` is that chance, with differences shrunk towards
    the mean by 1 - (error variance) / (variance of the means). ``low`` and ``high`` are the interval of its rank.
    ``winner_bonus`` is the selection bias of the winner's mean.
    """

    means: tuple[float, ...]
    ranks: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    p_best: tuple[float, ...]
    p_best_shrunk: tuple[float, ...]
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

    Q = (k-1)(k sum G_j^2 - T^2) / (k T - sum L_i^2), chi-square with k - 1 df. Cochran (1950) Biometrika
    37:256-266. Rough below 24 informative rows x versions. p = 1 if all versions agree on every case.

    Parameters
    ----------
    passes
        One row per case, one column per version, 0 or 1; rows with nan are dropped. For pass fractions use
        `friedman`.

    Examples
    --------
    >>> round(cochran_q([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 0, 0]]).p_value, 4)
    0.1738
    """
    x = complete_rows(passes)
    if not np.all((x == 0) | (x == 1)):
        raise StatisticsError(
            "Cochran's Q got pass fractions.", expected="single runs, 0 or 1", fix="Use friedman."
        )
    n, k = x.shape
    if n == 0 or k < 2:
        return _not_estimable(n, k, "Cochran Q")
    columns, rows = x.sum(axis=0), x.sum(axis=1)
    below = k * float(rows.sum()) - float(np.sum(rows**2))
    if below <= 0:
        return Omnibus(0.0, k - 1, 1.0, n, k, "Cochran Q", reason="no case tells two versions apart")
    q = (k - 1) * (k * float(np.sum(columns**2)) - float(columns.sum()) ** 2) / below
    return Omnibus(q, k - 1, float(chdtrc(k - 1, q)), n, k, "Cochran Q")


def friedman(scores: ArrayLike) -> Omnibus:
    """Test whether several versions score the same, by ranks within each case.

    Chi-square of the rank sums with k - 1 df, corrected for ties. Friedman (1937) JASA 32:675-701. p = 1 if
    every case is a tie. For two versions use `paired_t`.

    Parameters
    ----------
    scores
        One row per case, one column per version; rows with nan are dropped.

    Examples
    --------
    >>> round(friedman([[5, 4, 3], [4, 4, 2], [5, 3, 4], [4, 3, 2]]).p_value, 4)
    0.0569
    """
    x = complete_rows(scores)
    n, k = x.shape
    if n == 0 or k < 2:
        return _not_estimable(n, k, "Friedman")
    ranks = mid_ranks(x)
    spread = float(np.sum((ranks - (k + 1) / 2) ** 2)) / (n * (k - 1))
    if spread <= 1e-12:
        return Omnibus(0.0, k - 1, 1.0, n, k, "Friedman", reason="every case is a tie")
    chi2 = float(np.sum((ranks.sum(axis=0) - n * (k + 1) / 2) ** 2)) / (n * spread)
    return Omnibus(chi2, k - 1, float(chdtrc(k - 1, chi2)), n, k, "Friedman")


def bootstrap_ranks(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Ranking:
    """Rank versions with percentile intervals, resampling cases jointly.

    Tied with the best: the percentile interval of the paired difference to the winner, at 1 - (1 - level) /
    (k - 1), includes 0. Not estimable for fewer than two cases.

    Parameters
    ----------
    values
        One row per case, one column per version, higher is better; rows with nan are dropped.

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
        means = tuple(float(m) for m in x.mean(axis=0)) if n else ()
        reason = "two cases and two versions are needed"
        return Ranking(means, (), (), (), (), (), (), None, n, level, method, seed, "not_estimable", reason)
    # The same draws whatever the order of versions and cases.
    canonical = np.lexsort(np.sort(x, axis=0)[::-1])
    x = x[:, canonical]
    x = x[np.lexsort(x.T)]
    blocks = resampled_counts(n, resamples=resamples, seed=seed)
    replicates = np.round(np.concatenate([sum_counted(counts, x) for counts in blocks]) / n, 12)
    given = np.argsort(canonical)
    means, replicates = x.mean(axis=0)[given], replicates[:, given]
    ranks = mid_ranks(-np.round(means, 12)[None, :])[0]
    low, high = np.quantile(
        mid_ranks(-replicates), [(1 - level) / 2, (1 + level) / 2], axis=0, method="nearest"
    )
    return Ranking(
        tuple(means.tolist()), tuple(ranks.tolist()),
        tuple(np.minimum(low, ranks).tolist()), tuple(np.maximum(high, ranks).tolist()),
        _share_first(replicates), _share_first(_shrunk(means, replicates)), _tied_with_best(means, replicates, level),
        _winner_bonus(means, replicates), n, level, method, seed,
    )  # fmt: skip


def _share_first(replicates: Floats) -> tuple[float, ...]:
    first = replicates >= replicates.max(axis=1, keepdims=True)
    return tuple((first / first.sum(axis=1, keepdims=True)).mean(axis=0).tolist())


def _shrunk(means: Floats, replicates: Floats) -> Floats:
    """Return replicates of the true means, by empirical Bayes with a normal prior."""
    errors = replicates - means
    error = float(np.var(errors, axis=1, ddof=1).mean())
    spread = float(np.var(means, ddof=1))
    kept = max(0.0, 1 - error / spread) if spread > 0 else 0.0
    return np.round(np.mean(means) + kept * (means - np.mean(means)) + sqrt(kept) * errors, 12)


def _tied_with_best(means: Floats, replicates: Floats, level: float) -> tuple[bool, ...]:
    winner = int(np.argmax(means))
    tail = (1 - level) / (2 * (means.size - 1))
    tied = np.quantile(replicates[:, [winner]] - replicates, tail, axis=0) <= 1e-12
    tied[winner] = True
    return tuple(bool(t) for t in tied)


def _winner_bonus(means: Floats, replicates: Floats) -> float:
    chosen = np.argmax(replicates, axis=1)
    return float(np.mean(replicates[np.arange(len(chosen)), chosen] - means[chosen]))


def mid_ranks(table: Floats) -> Floats:
    """Return ranks within each row, 1 for the smallest; ties share the mean rank."""
    # With few versions, comparing all pairs is faster than sorting rows.
    ranks = np.full(table.shape, 0.5)
    for j in range(table.shape[1]):
        other = table[:, [j]]
        ranks += (other < table) + 0.5 * (other == table)
    return ranks


def _not_estimable(n: int, k: int, method: str) -> Omnibus:
    reason = "no case has every version" if k >= 2 else "two versions are needed"
    return Omnibus(None, max(0, k - 1), None, n, k, method, "not_estimable", reason)
