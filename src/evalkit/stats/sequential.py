"""Tests for repeated looks at growing data."""

from __future__ import annotations

from functools import lru_cache
from math import log, sqrt

import numpy as np
from scipy.special import betaln, ndtr

from evalkit.stats.basics import ArrayLike, Floats, bisect, check_level, quadrature
from evalkit.stats.estimates import StatisticsError


def e_path(flips: ArrayLike) -> Floats:
    """Return the e-value against "no change" after each pair, valid at every look.

    Stop at 1 / alpha. min(1, 1/E) is an anytime-valid p. For one planned look use `mcnemar`.

    E = 2^(b+c) B(b+1, c+1): a martingale under b ~ Binomial(b + c, 1/2), uniform mixture (Robbins 1970).

    Parameters
    ----------
    flips
        In observed order: +1 if only the candidate passed, -1 if only the baseline passed, 0 if they agree.

    Examples
    --------
    >>> e_path([0, -1, -1, -1]).round(3).tolist()
    [1.0, 1.0, 1.333, 2.0]
    """
    d = np.sign(np.asarray(flips, dtype=float).ravel())
    b, c = np.cumsum(d > 0), np.cumsum(d < 0)
    exponents = (b + c) * log(2) + betaln(b + 1.0, c + 1.0)
    return np.asarray(np.exp(np.minimum(700.0, exponents)), dtype=np.float64)


@lru_cache(maxsize=64)
def pocock_alpha(looks: int, *, alpha: float = 0.05) -> float:
    """Return the alpha of each of several planned, equally spaced looks.

    Pocock (1977) Biometrika 64:191-199, by the recursion of Armitage, McPherson & Rowe (1969).

    Parameters
    ----------
    looks
        Number of looks, declared beforehand. For unplanned looks use `e_path`.
    alpha
        Two-sided false-alarm rate over all looks.

    Examples
    --------
    >>> [round(pocock_alpha(looks), 4) for looks in (1, 2, 5)]
    [0.05, 0.0294, 0.0158]
    """
    check_level(1 - alpha)
    if looks < 1:
        raise StatisticsError.invalid("looks", looks, "a number of looks, 1 or more")
    bound = bisect(lambda c: _crossing_chance(c, looks) - alpha, 1.0, 8.0, steps=40)
    return 2 * float(ndtr(-bound))


def _crossing_chance(bound: float, looks: int) -> float:
    """Return P(|S_i| > bound sqrt(i) for some i <= looks) of a standard normal random walk."""
    nodes, weights = quadrature(6)
    chance = 2 * float(ndtr(-bound))
    x = bound * nodes
    mass = bound * weights * np.exp(-(x**2) / 2) / sqrt(2 * np.pi)
    for look in range(2, looks + 1):
        edge = bound * sqrt(look)
        chance += float(np.sum(mass * (ndtr(-edge - x) + ndtr(x - edge))))
        y = edge * nodes
        step = np.exp(-((y[:, None] - x[None, :]) ** 2) / 2) / sqrt(2 * np.pi)
        mass = edge * weights * (step @ mass)
        x = y
    return chance
