"""Looking while it runs: an e-value that may be watched at any time, and planned looks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaln, ndtr

from evalkit.stats.basics import Floats, bisect, check_level, quadrature
from evalkit.stats.estimates import StatisticsError
from evalkit.stats.paired import check_pairs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class EValue:
    """Evidence against "no change" that stays valid however often it is looked at.

    ``p_value`` is min(1, 1/E), anytime-valid; ``stop`` says whether E reached 1/alpha.
    """

    e_value: float
    p_value: float
    stop: bool
    alpha: float
    only_candidate: float
    only_baseline: float


def e_value(only_candidate: float, only_baseline: float, *, alpha: float = 0.05) -> EValue:
    """Weigh the flips so far; may be watched after every pair.

    Parameters
    ----------
    only_candidate, only_baseline
        Flips so far, one pair a case. When the same cases are run again the null is "the same on these cases".
    alpha
        Stop at E >= 1 / alpha: peeking ten times then gives at most alpha false alarms (a t test gives 19%).

    Notes
    -----
    E = 2^(b+c) B(b+1, c+1): a martingale under b ~ Binomial(b + c, 1/2), uniform mixture (Robbins 1970). Once E has
    crossed the line the decision stands. For one planned look `mcnemar` is stronger.

    Examples
    --------
    >>> evidence = e_value(1, 7)
    >>> round(evidence.e_value, 4), evidence.p_value, evidence.stop
    (3.5556, 0.28125, False)
    """
    check_level(1 - alpha)
    b, c = check_pairs(only_candidate, only_baseline, only_candidate + only_baseline)
    exponent = (b + c) * log(2) + float(betaln(b + 1, c + 1))
    p = round(min(1.0, exp(-exponent)), 15)
    return EValue(exp(min(700.0, exponent)), p, exponent >= -log(alpha) - 1e-12, alpha, b, c)


def e_path(flips: ArrayLike) -> Floats:
    """Return the e-value after each pair, in the order they were seen.

    Parameters
    ----------
    flips
        +1 where only the candidate passed, -1 where only the baseline did, 0 where they agree.

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
    """Return the alpha to use at each of several planned, equally spaced looks.

    Parameters
    ----------
    looks
        How many, declared beforehand. For looks nobody planned use `e_value`.
    alpha
        Two-sided false-alarm rate over all looks.

    Returns
    -------
    float
        .0294 for 2 looks, .0221 for 3, .0182 for 4, .0158 for 5. Pocock (1977) Biometrika 64:191-199.

    Notes
    -----
    The chance that a random walk leaves +-c sqrt(i) at any look, by the recursion of Armitage, McPherson & Rowe (1969),
    solved for c by bisection.

    Examples
    --------
    >>> [round(pocock_alpha(looks), 4) for looks in (1, 2, 5)]
    [0.05, 0.0294, 0.0158]
    """
    check_level(1 - alpha)
    if looks < 1:
        msg = f"looks must be 1 or more, got {looks}."
        raise StatisticsError(msg)
    bound = bisect(lambda c: _crossing(c, looks) - alpha, 1.0, 8.0, steps=40)
    return 2 * float(ndtr(-bound))


def _crossing(bound: float, looks: int) -> float:
    """Return P(|S_i| > bound sqrt(i) for some i <= looks) of a standard normal random walk."""
    nodes, weights = quadrature(6)
    left = 2 * float(ndtr(-bound))
    x = bound * nodes
    mass = bound * weights * np.exp(-(x**2) / 2) / sqrt(2 * np.pi)
    for look in range(2, looks + 1):
        edge = bound * sqrt(look)
        left += float(np.sum(mass * (ndtr(-edge - x) + ndtr(x - edge))))
        y = edge * nodes
        step = np.exp(-((y[:, None] - x[None, :]) ** 2) / 2) / sqrt(2 * np.pi)
        mass = edge * weights * (step @ mass)
        x = y
    return left
