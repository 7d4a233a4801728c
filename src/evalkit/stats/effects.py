"""Effect sizes: for a reader who asks how big, after being told by how many points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalkit.stats.basics import is_constant, present

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def d_z(differences: ArrayLike) -> float | None:
    """Return the mean paired difference in units of its standard deviation; None when nothing varies.

    Depends on how noisy the repeats are: never compare d_z of suites with different K. Say the points first.

    Examples
    --------
    >>> round(d_z([1, 2, 3]), 3)
    2.0
    """
    d = present(differences)
    return None if d.size < 2 or is_constant(d) else float(np.mean(d) / np.std(d, ddof=1))


def vargha_delaney(x: ArrayLike, y: ArrayLike) -> float | None:
    """Return P(X > Y) + P(X = Y) / 2 for two independent sets; None when one is empty.

    Ignores pairing: on the same cases use `paired_dominance`. Vargha & Delaney (2000) J Educ Behav Stat 25:101-132.

    Examples
    --------
    >>> vargha_delaney([2, 3], [1, 2])
    0.875
    """
    a, b = present(x), np.sort(present(y))
    if a.size == 0 or b.size == 0:
        return None
    below, upto = np.searchsorted(b, a, side="left"), np.searchsorted(b, a, side="right")
    return float(np.sum(below + upto) / (2 * a.size * b.size))


def cliffs_delta(x: ArrayLike, y: ArrayLike) -> float | None:
    """Return P(X > Y) - P(X < Y) for two independent sets; None when one is empty.

    2A - 1 of `vargha_delaney`; ignores pairing. Cliff (1993) Psychol Bull 114:494-509.

    Examples
    --------
    >>> cliffs_delta([2, 3], [1, 2])
    0.75
    """
    share = vargha_delaney(x, y)
    return None if share is None else 2 * share - 1
