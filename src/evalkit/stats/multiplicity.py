"""Several tests in one view: Holm for a gate, Benjamini-Hochberg for an exploration grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalkit.stats.estimates import StatisticsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.stats.basics import Floats


def holm(p_values: Iterable[float | None]) -> list[float | None]:
    """Adjust p-values so that the chance of any false alarm in the family stays below alpha.

    For gates. No assumption about dependence. Not for large exploration grids, where it hides nearly everything.

    Parameters
    ----------
    p_values
        One a test; None or nan (not estimable) stays missing and does not count in the family.

    Returns
    -------
    list of float or None
        In the order given: running maximum of (m - i) p_(i), at most 1. Holm (1979) Scand J Stat 6:65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    given = list(p_values)
    p, order = _sorted(given)
    adjusted = np.maximum.accumulate(p * np.arange(p.size, 0, -1)) if p.size else p
    return _restored(given, adjusted, order)


def benjamini_hochberg(p_values: Iterable[float | None]) -> list[float | None]:
    """Adjust p-values so that the expected share of false alarms among the alarms stays below alpha.

    For exploration grids (criterion x severity x tag). Not for a gate: of ten alarms one may be false.

    Parameters
    ----------
    p_values
        One a test; None or nan (not estimable) stays missing and does not count in the family.

    Returns
    -------
    list of float or None
        In the order given: running minimum from the top of m p_(i) / i, at most 1. Benjamini & Hochberg (1995)
        J R Stat Soc B 57:289-300.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, None, 0.03])
    [0.03, 0.04, None, 0.04]
    """
    given = list(p_values)
    p, order = _sorted(given)
    scaled = p * p.size / np.arange(1, p.size + 1)
    adjusted = np.minimum.accumulate(scaled[::-1])[::-1] if p.size else p
    return _restored(given, adjusted, order)


def _sorted(given: list[float | None]) -> tuple[Floats, list[int]]:
    there = [(float(p), i) for i, p in enumerate(given) if p is not None and not np.isnan(p)]
    if any(not 0 <= p <= 1 for p, _ in there):
        msg = f"p-values must lie between 0 and 1, got {next(p for p, _ in there if not 0 <= p <= 1)}."
        raise StatisticsError(msg)
    there.sort()
    return np.array([p for p, _ in there], dtype=float), [i for _, i in there]


def _restored(given: list[float | None], adjusted: Floats, order: list[int]) -> list[float | None]:
    answer: list[float | None] = [None] * len(given)
    for value, index in zip(adjusted, order, strict=True):
        answer[index] = min(1.0, float(value))
    return answer
