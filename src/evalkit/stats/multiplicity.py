"""Adjusted p-values: Holm for gates, Benjamini-Hochberg for exploration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalkit.stats.estimates import StatisticsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from evalkit.stats.basics import Floats


def holm(p_values: Iterable[float | None]) -> list[float | None]:
    """Adjust p-values to bound the chance of any false alarm.

    Running maximum of (m - i) p_(i), at most 1, in the given order. Holm (1979) Scand J Stat 6:65-70.

    Parameters
    ----------
    p_values
        One per test; None or nan stays missing and does not count.

    Examples
    --------
    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    return _adjusted(p_values, lambda p: np.maximum.accumulate(p * np.arange(p.size, 0, -1)))


def benjamini_hochberg(p_values: Iterable[float | None]) -> list[float | None]:
    """Adjust p-values to bound the expected share of false alarms among alarms.

    Not for a gate. Running minimum from the top of m p_(i) / i, at most 1, in the given order. Benjamini &
    Hochberg (1995) J R Stat Soc B 57:289-300.

    Parameters
    ----------
    p_values
        One per test; None or nan stays missing and does not count.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, None, 0.03])
    [0.03, 0.04, None, 0.04]
    """

    def step_up(p: Floats) -> Floats:
        return np.minimum.accumulate((p * p.size / np.arange(1, p.size + 1))[::-1])[::-1]

    return _adjusted(p_values, step_up)


def _adjusted(p_values: Iterable[float | None], adjust: Callable[[Floats], Floats]) -> list[float | None]:
    """Adjust the sorted p-values that are not missing; restore their order."""
    adjusted: list[float | None] = list(p_values)
    known = sorted((float(p), i) for i, p in enumerate(adjusted) if p is not None and not np.isnan(p))
    for p, _ in known:
        if not 0 <= p <= 1:
            raise StatisticsError.invalid("p-value", p, "a number between 0 and 1")
    adjusted = [None] * len(adjusted)
    if known:
        for value, (_, i) in zip(adjust(np.array([p for p, _ in known])), known, strict=True):
            adjusted[i] = min(1.0, float(value))
    return adjusted
