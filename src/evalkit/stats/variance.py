"""Where the noise comes from: cases, epochs, judge samples and criteria; and where the next dollar helps most."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from evalkit.stats.basics import Floats, cluster_codes, harmonic_mean

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from evalkit.stats.estimates import Status

NESTED = ("case", "epoch", "sample")


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Variance of a judged score, by source.

    ``case``, ``epoch`` (runs of one case) and ``sample`` (judgements of one run) are those of the mean over the criteria;
    ``criterion`` is the variance of the criteria's own means: it moves no comparison, every version is judged on all.
    A component is None where the data cannot tell it from the one above (one epoch, one sample).
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
        """Return each known component over their sum; empty when nothing varies.

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
        """Say how much the error variance falls per unit of money for one more case, epoch or sample, best first.

        Parameters
        ----------
        agent_cost, judge_cost
            Price of one agent run and of one judgement of it (all criteria).

        Returns
        -------
        dict
            Name of the source -> relative fall of the variance per unit of money, from the design in hand.

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
        gains = {
            name: (1 - self.standard_error(cases=design[0], epochs=design[1], samples=design[2]) ** 2 / now)
            / price
            for name, (design, price) in options.items()
            if price > 0
        }
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

    Parameters
    ----------
    scores
        One row a judgement; nan (unscored) is left out.
    cases, epochs, samples, criteria
        What each row belongs to: any labels. Epochs are counted inside a case, samples inside an epoch.

    Returns
    -------
    VarianceComponents
        Not estimable for fewer than two cases.

    Notes
    -----
    Each score minus its criterion's mean, averaged over the criteria of a judgement; then nested analysis of variance
    by the method of moments with unequal sizes (Searle 1971): each component is its mean square minus what the level
    below explains, at least 0. Criteria are judged on the same answer, so their errors go together: averaging first
    keeps that.

    Examples
    --------
    >>> found = variance_components(
    ...     [5, 4, 2, 2, 4, 4], ["a", "a", "b", "b", "c", "c"], epochs=[1, 2, 1, 2, 1, 2]
    ... )
    >>> round(found.case, 3), round(found.epoch, 3)
    (1.667, 0.167)
    """
    y = np.asarray(scores, dtype=float).ravel()
    keep = np.isfinite(y)
    y = y[keep]
    ones = np.zeros(keep.size)
    levels = [
        cluster_codes(np.asarray(ones if by is None else by).ravel()[keep])
        for by in (cases, epochs, samples, criteria)
    ]
    case, epoch, sample, criterion = levels
    if y.size == 0 or (n := int(case.max()) + 1) < 2:
        found = 0 if y.size == 0 else 1
        reason = "two cases are needed"
        return VarianceComponents(None, None, None, None, found, 0, 0, 0, "not_estimable", reason)
    criterion_means = _means(y, criterion)
    trial = _joined(case, epoch)
    judgement = _joined(trial, sample)
    level3 = _means(y - criterion_means[criterion], judgement)
    trial_of, case_of = _first(judgement, trial), _first(trial, case)
    level2, level1 = _means(level3, trial_of), None
    level1 = _means(level2, case_of)
    sample_ms = _within(level3, level2, trial_of)
    epoch_ms = _within(level2, level1, case_of)
    per_trial = harmonic_mean(np.bincount(trial_of).astype(float))
    per_case = harmonic_mean(np.bincount(case_of).astype(float))
    sample_part = None if sample_ms is None else max(0.0, sample_ms)
    epoch_part = None if epoch_ms is None else max(0.0, epoch_ms - (sample_part or 0.0) / per_trial)
    below = epoch_ms / per_case if epoch_ms is not None else (sample_part or 0.0) / (per_trial * per_case)
    case_part = max(0.0, float(np.var(level1, ddof=1)) - below)
    kinds = criterion_means.size
    between = float(np.var(criterion_means, ddof=1)) if kinds > 1 else None
    return VarianceComponents(case_part, epoch_part, sample_part, between, n, per_case, per_trial, kinds)


def _means(values: Floats, codes: np.ndarray) -> Floats:
    return np.asarray(np.bincount(codes, values) / np.bincount(codes), dtype=np.float64)


def _joined(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    codes: np.ndarray = np.unique(outer * (int(inner.max()) + 1) + inner, return_inverse=True)[1]
    return codes


def _first(group: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """Return the parent of each group."""
    return np.asarray(parent[np.unique(group, return_index=True)[1]])


def _within(values: Floats, means: Floats, parent: np.ndarray) -> float | None:
    df = values.size - means.size
    return float(np.sum((values - means[parent]) ** 2)) / df if df > 0 else None
