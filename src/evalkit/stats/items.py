"""Classical item statistics: how well cases discriminate between versions."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from evalkit.stats.basics import ArrayLike, complete_rows

Always = Literal["pass", "fail", "neither"]


@dataclass(frozen=True, slots=True)
class Items:
    """Statistics of each case over version-runs.

    ``difficulty`` is the mean. ``item_rest`` is the correlation with the sum of the other cases, None if
    undefined. ``discrimination`` is the mean of the better third of version-runs minus that of the worse
    third. ``alpha`` is Cronbach's alpha. ``respondents`` is the number of version-runs.
    """

    difficulty: tuple[float, ...]
    item_rest: tuple[float | None, ...]
    discrimination: tuple[float | None, ...]
    always: tuple[Always, ...]
    alpha: float | None
    respondents: int


def item_statistics(answers: ArrayLike) -> Items:
    """Compute item statistics of each case over version-runs; empty for fewer than two rows.

    Parameters
    ----------
    answers
        One row per version-run, one column per case: 0/1, pass fractions or scores; rows with nan are
        dropped. ``always`` compares with the lowest and highest value.

    Examples
    --------
    >>> items = item_statistics([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]])
    >>> items.difficulty, items.always
    ((1.0, 0.75, 0.25), ('pass', 'neither', 'neither'))
    """
    x = complete_rows(answers)
    rows, k = x.shape
    if rows == 0:
        return Items((), (), (), (), None, 0)
    total = x.sum(axis=1)
    group = rows // 3
    order = np.argsort(total, kind="stable")
    discrimination: tuple[float | None, ...] = (None,) * k
    if group and total[order[-1]] > total[order[0]]:
        discrimination = tuple((x[order[-group:]].mean(axis=0) - x[order[:group]].mean(axis=0)).tolist())
    return Items(
        difficulty=tuple(x.mean(axis=0).tolist()),
        item_rest=tuple(_correlation(x[:, j], total - x[:, j]) for j in range(k)),
        discrimination=discrimination,
        always=tuple(_always(x[:, j]) for j in range(k)),
        alpha=cronbach_alpha(x),
        respondents=rows,
    )


def cronbach_alpha(answers: ArrayLike) -> float | None:
    """Return Cronbach's alpha of rows (version-runs) by columns (cases), None if undefined.

    k/(k-1) (1 - sum var_i / var(sum)). Cronbach (1951) Psychometrika 16:297-334.

    Examples
    --------
    >>> round(cronbach_alpha([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]]), 3)
    0.375
    """
    x = complete_rows(answers)
    if x.shape[0] < 2 or x.shape[1] < 2:
        return None
    of_sum = float(np.var(x.sum(axis=1), ddof=1))
    if of_sum <= 1e-15:
        return None
    k = x.shape[1]
    return float(k / (k - 1) * (1 - float(np.sum(np.var(x, axis=0, ddof=1))) / of_sum))


def _correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    a, b = x - x.mean(), y - y.mean()
    below = sqrt(float(np.sum(a**2)) * float(np.sum(b**2)))
    return float(np.clip(np.sum(a * b) / below, -1, 1)) if below > 1e-12 else None


def _always(column: np.ndarray) -> Always:
    if np.all(column >= 1):
        return "pass"
    return "fail" if np.all(column <= 0) else "neither"
