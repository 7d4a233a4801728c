"""Variance of judged scores by source."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from evalkit.stats.basics import ArrayLike, Floats, cluster_codes, group_means, harmonic_mean

if TYPE_CHECKING:
    from evalkit.stats.estimates import Status

NESTED = ("case", "epoch", "sample")


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Variance of a judged score by source.

    ``case``, ``epoch`` (runs of a case) and ``sample`` (judgements of a run) are of the mean over criteria.
    ``criterion`` is the variance of the criteria's means. A component is None if not identifiable.
    """

    case: float | None
    epoch: float | None
    sample: float | None
    criterion: float | None
    cases: int
    epochs: float
    samples: float
    criteria: int
    status: Status = "ok"
    reason: str = ""

    def shares(self) -> dict[str, float]:
        """Return each known component over their sum; empty if nothing varies.

        Examples
        --------
        >>> VarianceComponents(0.6, 0.2, None, 0.2, 10, 3, 1, 5).shares()
        {'case': 0.6, 'epoch': 0.2, 'criterion': 0.2}
        """
        known = {name: value for name in (*NESTED, "criterion") if (value := getattr(self, name)) is not None}
        total = sum(known.values())
        return {name: value / total for name, value in known.items()} if total > 0 else {}

    def standard_error(self, *, cases: float, epochs: float = 1, samples: float = 1) -> float:
        """Return the standard error of a version's mean score under another design.

        sqrt(case/n + epoch/(nK) + sample/(nKS)).

        Examples
        --------
        >>> VarianceComponents(0.6, 0.2, 0.0, 0.0, 10, 3, 2, 5).standard_error(cases=80, epochs=1)
        0.1
        """
        case, epoch, sample = (getattr(self, name) or 0.0 for name in NESTED)
        return sqrt((case + epoch / epochs + sample / (epochs * samples)) / cases)

    def best_next(self, *, agent_cost: float = 1.0, judge_cost: float = 1.0) -> dict[str, float]:
        """Return the relative error reduction per cost of one more "case", "epoch" or "sample", best first.

        The costs are of one agent run and of one judgement of it (all criteria).

        Examples
        --------
        >>> list(VarianceComponents(0.6, 0.2, 0.1, 0.0, 10, 3, 2, 5).best_next())
        ['case', 'epoch', 'sample']
        """
        n, k, s = float(self.cases), self.epochs, self.samples
        now = self.standard_error(cases=n, epochs=k, samples=s) ** 2
        if now <= 0:
            return {}
        trial = agent_cost + s * judge_cost
        options = {
            "case": ((n + 1, k, s), k * trial),
            "epoch": ((n, k + 1, s), n * trial),
            "sample": ((n, k, s + 1), n * k * judge_cost),
        }
        gains = {}
        for name, ((cases, epochs, samples), price) in options.items():
            if price > 0:
                then = self.standard_error(cases=cases, epochs=epochs, samples=samples) ** 2
                gains[name] = (1 - then / now) / price
        return dict(sorted(gains.items(), key=lambda item: -item[1]))


def variance_components(
    scores: ArrayLike,
    cases: ArrayLike,
    *,
    epochs: ArrayLike | None = None,
    samples: ArrayLike | None = None,
    criteria: ArrayLike | None = None,
) -> VarianceComponents:
    """Split the variance of one version's scores by source.

    Nested analysis of variance by the method of moments with unequal sizes (Searle 1971), on scores minus
    their criterion's mean, averaged over criteria. Components are at least 0. Not estimable for fewer than
    two cases.

    Parameters
    ----------
    scores
        One row per judgement; nan (unscored) is dropped.
    cases, epochs, samples, criteria
        Labels of each row. Epochs are nested in cases, samples in epochs.

    Examples
    --------
    >>> components = variance_components(
    ...     [5, 4, 2, 2, 4, 4], ["a", "a", "b", "b", "c", "c"], epochs=[1, 2, 1, 2, 1, 2]
    ... )
    >>> round(components.case, 3), round(components.epoch, 3)
    (1.667, 0.167)
    """
    y = np.asarray(scores, dtype=float).ravel()
    keep = np.isfinite(y)
    y = y[keep]
    ones = np.zeros(keep.size)
    case, epoch, sample, criterion = (
        cluster_codes(np.asarray(ones if labels is None else labels).ravel()[keep])
        for labels in (cases, epochs, samples, criteria)
    )
    order = np.lexsort((y, criterion, sample, epoch, case))  # sums do not depend on the order of the rows
    y = y[order]
    case, epoch, sample, criterion = (codes[order] for codes in (case, epoch, sample, criterion))
    n = int(case.max()) + 1 if y.size else 0
    if n < 2:
        reason = "two cases are needed"
        return VarianceComponents(None, None, None, None, n, 0, 0, 0, "not_estimable", reason)
    criterion_means = group_means(y, criterion)
    trial = _joined(case, epoch)
    judgement = _joined(trial, sample)
    trial_of, case_of = _parents(judgement, trial), _parents(trial, case)
    by_judgement = group_means(y - criterion_means[criterion], judgement)
    by_trial = group_means(by_judgement, trial_of)
    by_case = group_means(by_trial, case_of)
    sample_ms = _mean_square_within(by_judgement, by_trial, trial_of)
    epoch_ms = _mean_square_within(by_trial, by_case, case_of)
    samples_each = harmonic_mean(np.bincount(trial_of).astype(float))
    epochs_each = harmonic_mean(np.bincount(case_of).astype(float))
    sample_part = None if sample_ms is None else max(0.0, sample_ms)
    epoch_part = None if epoch_ms is None else max(0.0, epoch_ms - (sample_part or 0.0) / samples_each)
    below = (
        epoch_ms / epochs_each
        if epoch_ms is not None
        else (sample_part or 0.0) / (samples_each * epochs_each)
    )
    case_part = max(0.0, float(np.var(by_case, ddof=1)) - below)
    kinds = criterion_means.size
    between = float(np.var(criterion_means, ddof=1)) if kinds > 1 else None
    return VarianceComponents(
        case_part, epoch_part, sample_part, between, n, epochs_each, samples_each, kinds
    )


def _joined(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    codes: np.ndarray = np.unique(outer * (int(inner.max()) + 1) + inner, return_inverse=True)[1]
    return codes


def _parents(group: np.ndarray, parent: np.ndarray) -> np.ndarray:
    return np.asarray(parent[np.unique(group, return_index=True)[1]])


def _mean_square_within(values: Floats, means: Floats, parent: np.ndarray) -> float | None:
    df = values.size - means.size
    return float(np.sum((values - means[parent]) ** 2)) / df if df > 0 else None
