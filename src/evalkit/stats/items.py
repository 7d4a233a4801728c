"""Which cases tell versions apart: classical item statistics."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from evalkit.stats.ranking import complete_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Always = Literal["pass", "fail", "neither"]


@dataclass(frozen=True, slots=True)
class Items:
    """Statistics of each case over several version-runs.

    ``difficulty`` is the mean (pass share); ``item_rest`` the correlation of the case with the sum of the others, None
    where the case or the rest never varies; ``discrimination`` the mean of the better third of version-runs minus that
    of the worse third; ``alpha`` Cronbach's alpha of the suite. ``respondents`` is what it all rests on: below twenty
    version-runs read nothing more into it, and never fit an item-response model.
    """

    difficulty: tuple[float, ...]
    item_rest: tuple[float | None, ...]
    discrimination: tuple[float | None, ...]
    always: tuple[Always, ...]
    alpha: float | None
    respondents: int


def item_statistics(answers: ArrayLike) -> Items:
    """Describe each case by how versions fare on it.

    Dropping always-pass cases biases the suite: keep them as a smoke stratum.

    Parameters
    ----------
    answers
        One row a version-run, one column a case: 0/1, pass fractions or scores; rows with nan are left out. "always"
        compares with the least and the greatest value, 0 and 1 for passes.

    Returns
    -------
    Items
        Empty statistics (None) for fewer than two rows.

    Notes
    -----
    Corrected item-total correlation r(x_i, sum of the others); alpha = k/(k-1) (1 - sum var_i / var(sum)). Cronbach
    (1951) Psychometrika 16:297-334.

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
    item_rest = tuple(_correlation(x[:, j], total - x[:, j]) for j in range(k))
    group = rows // 3
    order = np.argsort(total, kind="stable")
    spread: tuple[float | None, ...] = (None,) * k
    if group and total[order[-1]] > total[order[0]]:
        gaps = x[order[-group:]].mean(axis=0) - x[order[:group]].mean(axis=0)
        spread = tuple(float(gap) for gap in gaps)
    return Items(
        tuple(float(m) for m in x.mean(axis=0)), item_rest, spread,
        tuple(_always(x[:, j]) for j in range(k)), cronbach_alpha(x), rows,
    )  # fmt: skip


def cronbach_alpha(answers: ArrayLike) -> float | None:
    """Return Cronbach's alpha of rows (version-runs) by columns (cases); None when it is undefined.

    Examples
    --------
    >>> round(cronbach_alpha([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]]), 3)
    0.375
    """
    x = complete_rows(answers)
    if x.shape[0] < 2 or x.shape[1] < 2:
        return None
    whole = float(np.var(x.sum(axis=1), ddof=1))
    if whole <= 1e-15:
        return None
    k = x.shape[1]
    return float(k / (k - 1) * (1 - float(np.sum(np.var(x, axis=0, ddof=1))) / whole))


def _correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    a, b = x - x.mean(), y - y.mean()
    below = sqrt(float(np.sum(a**2)) * float(np.sum(b**2)))
    return float(np.clip(np.sum(a * b) / below, -1, 1)) if below > 1e-12 else None


def _always(column: np.ndarray) -> Always:
    if np.all(column >= 1):
        return "pass"
    return "fail" if np.all(column <= 0) else "neither"
