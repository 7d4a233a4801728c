"""Two raters of the same items: judge and human, two judges, a judge and itself.

Statistics of two raters are functions of the table of their ratings, so a resample of the items is a reweighted table:
every function here takes a stack of tables and answers for all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evalkit.stats.basics import Floats, check_level, together
from evalkit.stats.bootstrap import fisher_z_interval, resampled_counts, sum_counted
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable
from evalkit.stats.proportions import wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

Weights = Literal["nominal", "linear", "quadratic"]
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Confusion:
    """A table of ratings: ``counts[i, j]`` items that the reference gave ``labels[i]`` and the judge ``labels[j]``."""

    counts: Floats
    labels: tuple[Any, ...]

    @property
    def n(self) -> int:
        """Items that both rated."""
        return round(float(self.counts.sum()))


@dataclass(frozen=True, slots=True)
class JudgeAccuracy:
    """A judge's pass/fail verdicts against human ones, each share with its Wilson interval.

    ``sensitivity`` is P(judge passes | human passes), ``specificity`` P(judge fails | human fails).
    """

    sensitivity: Estimate
    specificity: Estimate
    agreement: Estimate
    tp: int
    fp: int
    fn: int
    tn: int


def confusion(judge: ArrayLike, reference: ArrayLike, labels: Sequence[Any] | None = None) -> Confusion:
    """Count how often each pair of ratings occurs.

    Parameters
    ----------
    judge, reference
        One rating an item, in the same order; items that one of them did not rate (nan) are left out.
    labels
        Every rating the scale allows, in order. Without it the ratings seen: then {1, 2, 5} treats 5 as next to 2.

    Examples
    --------
    >>> confusion([5, 4, 4], [5, 5, 4], labels=[4, 5]).counts.tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    rated, expected = together(judge, reference)
    scale = _scale(labels, rated, expected)
    q = len(scale)
    cells = _positions(expected, scale) * q + _positions(rated, scale)
    return Confusion(np.bincount(cells, minlength=q * q).reshape(q, q).astype(float), tuple(scale.tolist()))


def disagreement_weights(labels: ArrayLike, weights: Weights = "quadratic") -> Floats:
    """Return how much each pair of ratings disagrees: 0/1, distance or squared distance of the labels.

    Examples
    --------
    >>> disagreement_weights([1, 2, 5], "linear").tolist()
    [[0.0, 1.0, 4.0], [1.0, 0.0, 3.0], [4.0, 3.0, 0.0]]
    """
    scale = np.asarray(labels, dtype=float)
    gap = np.abs(scale[:, None] - scale[None, :])
    return np.where(gap > 0, 1.0, 0.0) if weights == "nominal" else gap if weights == "linear" else gap**2


def kappa_of_tables(tables: ArrayLike, disagreement: ArrayLike) -> Floats:
    """Return weighted kappa of each table: 1 - sum w O / sum w E; nan where no disagreement can be expected.

    Cohen (1968) Psychol Bull 70:213-220.
    """
    t, w = np.asarray(tables, dtype=float), np.asarray(disagreement, dtype=float)
    total = t.sum(axis=(-2, -1))
    seen = (t * w).sum(axis=(-2, -1)) * total
    by_chance = ((t.sum(axis=-1) @ w) * t.sum(axis=-2)).sum(axis=-1)
    possible = by_chance > 1e-12 * np.maximum(1.0, total)
    return np.where(possible, 1 - seen / np.where(possible, by_chance, 1.0), np.nan)


def gwet_of_tables(tables: ArrayLike, disagreement: ArrayLike) -> Floats:
    """Return Gwet's AC1 (0/1 weights) or AC2 of each table; nan for an empty table."""
    t, w = np.asarray(tables, dtype=float), np.asarray(disagreement, dtype=float)
    top, q = float(w.max()), w.shape[0]
    agree = 1 - w / top if top > 0 else np.ones_like(w)
    total = t.sum(axis=(-2, -1))
    safe = np.where(total > 0, total, 1.0)
    pa = (t * agree).sum(axis=(-2, -1)) / safe
    pi = (t.sum(axis=-1) + t.sum(axis=-2)) / (2 * safe[..., None])
    pe = float(agree.sum()) / (q * (q - 1)) * (pi * (1 - pi)).sum(axis=-1) if q > 1 else np.ones_like(pa)
    return np.where((total > 0) & (pe < 1 - 1e-12), (pa - pe) / np.where(pe < 1 - 1e-12, 1 - pe, 1.0), np.nan)


def weighted_kappa(
    judge: ArrayLike,
    reference: ArrayLike,
    *,
    labels: Sequence[Any],
    weights: Weights = "quadratic",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Estimate the agreement of two raters beyond chance.

    Beside it always the bias (`paired_t` of judge minus human) and `exact_agreement`. Deflated when one rating
    dominates: 18 agreements in 20 can give -.05; then `gwet_ac`. For more than two raters `krippendorff_alpha`.

    Parameters
    ----------
    judge, reference
        One rating an item; items that one did not rate are left out.
    labels
        Every rating of the scale, in order: sklearn without labels weights by position among the ratings *seen*.
    weights
        "quadratic" for an ordered scale, "linear", or "nominal" (Cohen's kappa).
    level, resamples, seed
        Of the case bootstrap on Fisher's z scale.

    Returns
    -------
    Estimate
        Not estimable when both raters are constant (the raw agreement is in the reason), or with perfect agreement.

    Notes
    -----
    1 - sum w O / sum w E, w = (i-j)^2 or |i-j|. Cohen (1968) Psychol Bull 70:213-220.

    Examples
    --------
    >>> kappa = weighted_kappa([5, 4, 5, 3, 4, 2], [5, 4, 4, 3, 5, 1], labels=[1, 2, 3, 4, 5])
    >>> round(kappa.estimate, 3)
    0.836
    """
    scale = np.asarray(labels, dtype=float)
    w = disagreement_weights(scale, weights)
    method = f"{weights} kappa, Fisher-z case bootstrap"
    return of_tables(
        judge,
        reference,
        scale,
        lambda t: kappa_of_tables(t, w),
        method=method,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def gwet_ac(
    judge: ArrayLike,
    reference: ArrayLike,
    *,
    labels: Sequence[Any],
    weights: Weights = "nominal",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Estimate agreement with Gwet's AC1 ("nominal") or AC2 (weighted): steady when one rating dominates.

    Not comparable with kappa or alpha: it is higher by construction. Show both.

    Parameters
    ----------
    judge, reference, labels, weights, level, resamples, seed
        As in `weighted_kappa`. The number of labels enters the formula: give the whole scale.

    Notes
    -----
    (pa - pe) / (1 - pe), pe = T_w / (q(q-1)) sum pi_k (1 - pi_k). Gwet (2008) Br J Math Stat Psychol 61:29-48.

    Examples
    --------
    >>> human, judge = [5] * 18 + [2, 5], [5] * 18 + [5, 2]
    >>> round(gwet_ac(judge, human, labels=[1, 2, 3, 4, 5]).estimate, 4)
    0.8976
    """
    scale = np.asarray(labels, dtype=float)
    w = disagreement_weights(scale, weights)
    method = f"{'AC1' if weights == 'nominal' else f'AC2 {weights}'}, Fisher-z case bootstrap"
    return of_tables(
        judge,
        reference,
        scale,
        lambda t: gwet_of_tables(t, w),
        method=method,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def exact_agreement(
    judge: ArrayLike, reference: ArrayLike, *, within: float = 0.0, level: float = 0.95
) -> Estimate:
    """Estimate the share of items on which two raters agree, exactly or within some points (Wilson).

    Says nothing about chance: a judge that always answers 5 agrees with humans who mostly do. Also the retest share of
    a judge asked twice (1 minus it is the flip rate).

    Examples
    --------
    >>> print(exact_agreement([5, 4, 4, 1], [5, 5, 4, 4], within=1))
    0.75 [0.3006, 0.9544] (95% Wilson, n = 4)
    """
    a, b = together(judge, reference)
    return wilson(int(np.sum(np.abs(a - b) <= within + 1e-9)), a.size, level=level)


def judge_accuracy(judge: ArrayLike, reference: ArrayLike, *, level: float = 0.95) -> JudgeAccuracy:
    """Compare a judge's pass/fail verdicts with human ones.

    Parameters
    ----------
    judge, reference
        1 for pass, 0 for fail, nan for unscored (left out).
    level
        Confidence of the Wilson intervals.

    Examples
    --------
    >>> accuracy = judge_accuracy([1, 1, 0, 0, 1], [1, 1, 1, 0, 0])
    >>> accuracy.tp, accuracy.fp, accuracy.fn, accuracy.tn
    (2, 1, 1, 1)
    """
    told, true = (side > 0.5 for side in together(judge, reference))
    tp, fp = int(np.sum(told & true)), int(np.sum(told & ~true))
    fn, tn = int(np.sum(~told & true)), int(np.sum(~told & ~true))
    return JudgeAccuracy(
        wilson(tp, tp + fn, level=level), wilson(tn, tn + fp, level=level),
        wilson(tp + tn, tp + fp + fn + tn, level=level), tp, fp, fn, tn,
    )  # fmt: skip


def of_tables(
    judge: ArrayLike,
    reference: ArrayLike,
    labels: ArrayLike | None,
    statistic: Callable[[Floats], Floats],
    *,
    method: str,
    level: float,
    resamples: int,
    seed: int,
) -> Estimate:
    """Estimate a statistic of the table of two raters, with a case bootstrap on Fisher's z scale."""
    check_level(level)
    rated, expected = together(judge, reference)
    if (n := rated.size) == 0:
        return not_estimable("no item was rated by both", n=0, method=method, level=level)
    scale = _scale(labels, rated, expected)
    q = len(scale)
    cells = _positions(expected, scale) * q + _positions(rated, scale)
    kinds, kind_of = np.unique(cells, return_inverse=True)
    table = np.bincount(cells, minlength=q * q).reshape(q, q).astype(float)
    estimate = float(statistic(table[None])[0])
    share = float(np.mean(np.abs(rated - expected) < 1e-9))
    undefined = f"undefined: no variation in the ratings (raw agreement {share:.0%} of {n})"
    replicates = np.empty(0)
    if np.isfinite(estimate) and n > 1 and abs(estimate) < 1 - 1e-9:
        member = np.zeros((n, kinds.size))
        member[np.arange(n), kind_of] = 1.0
        parts = []
        for counts in resampled_counts(n, resamples=resamples, seed=seed):
            weight = sum_counted(counts, member)
            for rows in np.array_split(weight, max(1, weight.shape[0] * q * q // 2_000_000)):
                tables = np.zeros((rows.shape[0], q * q))
                tables[:, kinds] = rows
                parts.append(statistic(tables.reshape(-1, q, q)))
        replicates = np.concatenate(parts)
    elif n == 1 and np.isfinite(estimate):
        return not_estimable(
            "one item cannot be resampled", n=1, method=method, level=level, estimate=estimate
        )
    return fisher_z_interval(
        estimate, replicates, n=n, level=level, method=method, seed=seed, undefined=undefined
    )


def _scale(labels: ArrayLike | Sequence[Any] | None, *ratings: Floats) -> Floats:
    seen = np.unique(np.concatenate(ratings))
    if labels is None:
        return seen
    scale = np.asarray(labels, dtype=float)
    strange = np.setdiff1d(seen, scale)
    if strange.size:
        msg = f"A rating of {strange[0]:g} is not among the labels {[float(x) for x in scale]}."
        raise StatisticsError(msg)
    return scale


def _positions(ratings: Floats, scale: Floats) -> np.ndarray:
    order = np.argsort(scale)
    return np.asarray(order[np.searchsorted(scale, ratings, sorter=order)])
