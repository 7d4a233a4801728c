"""Limits of pass rates and paired differences of cases with several runs, or of clusters of cases.

A limit lies between two score limits: with the largest design effect (the runs of a case, or the cases of a cluster,
agree completely) and with the least (`design_effect_bounds`). Between them, Student's t on the cases decides. Each of
the three moves only one way when one run changes its verdict, so their median does too: a lost run never raises a
limit. A variance ratio alone does not have this property.
"""

from __future__ import annotations

from math import fsum, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri, stdtr

from evalkit.stats.basics import Floats, bisect, harmonic_mean, t_quantile, z_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

ICC_FLOOR = 0.25  # a prior: without it n_eff over-trusts a small sample of cases that happen to agree
# 1/8 < 1 / 2z^2: the first run that flips does not make an interval narrower, and no lost run raises a limit.
WHOLE = 8.0


def tango_score(b: float, c: float, n: float, difference: float) -> float:
    """Return Tango's score statistic of H0: the true difference is `difference`.

    (b - c - nD) / sqrt(n (2q + D(1-D))), q = (sqrt(B^2 - 4AC) - B) / 2A, A = 2n, B = -b-c + (2n-b+c) D,
    C = -c D (1-D). Tango (1998) Stat Med 17:891-908. With b = 0 the lower limit plus 1 is Wilson's.
    """
    first, second, third = 2 * n, -b - c + (2 * n - b + c) * difference, -c * difference * (1 - difference)
    root = sqrt(max(0.0, second * second - 4 * first * third))
    # The textbook form cancels for B > 0; this is the same root without the subtraction.
    q = -2 * third / (second + root) if second > 0 else (root - second) / (2 * first)
    variance = n * (2 * max(0.0, q) + difference * (1 - difference))
    distance = b - c - n * difference
    if variance <= 1e-300:
        return 0.0 if abs(distance) <= 1e-12 * max(1.0, n) else float(np.copysign(np.inf, distance))
    return distance / sqrt(variance)


def tango_limits(b: float, c: float, n: float, z: float) -> tuple[float, float]:
    """Return where Tango's score is +z and -z."""
    estimate = (b - c) / n
    low = bisect(lambda d: tango_score(b, c, n, d) - z, -1.0, estimate)
    high = bisect(lambda d: tango_score(b, c, n, d) + z, estimate, 1.0)
    return max(-1.0, min(low, estimate)), min(1.0, max(high, estimate))


def cross_pairs(candidate: Floats, baseline: Floats) -> tuple[float, float, float]:
    """Return b, c and a single run's variance of the difference, of paired pass fractions.

    b = sum f_new (1 - f_old), c = sum f_old (1 - f_new), (b+c)/n - ((b-c)/n)^2.
    """
    n = candidate.size
    b, c = fsum(candidate * (1 - baseline)), fsum(baseline * (1 - candidate))
    return b, c, (b + c) / n - ((b - c) / n) ** 2


def design_effect_bounds(
    k: Floats, codes: NDArray[np.intp], *fractions: Floats, icc: float = ICC_FLOOR
) -> tuple[float, float]:
    """Return the least and the largest design effect of mean pass fractions over clusters of cases.

    The largest is sum m^2 / n: cases of a cluster, and runs of a case, agree completely. The least has an intraclass
    correlation of 0.25 among runs and of `icc` among cases. It is near the largest while hardly any runs (or cases of a
    cluster) disagree: units that seem to change whole have one vote each.
    """
    n, runs = codes.size, harmonic_mean(k)
    sizes = np.bincount(codes)
    size = float(np.sum(sizes**2)) / n
    within = fsum(x for f in fractions for x in f * (1 - f))
    means = [np.bincount(codes, f) / sizes for f in fractions]
    total = fsum(x for f in means for x in sizes * f * (1 - f))
    among_cases = max(1 + (size - 1) * icc, size - (total - within) / WHOLE)
    return least_run_effect(runs, within / size) * min(size, among_cases), size


def least_run_effect(runs: float, within: float) -> float:
    """Return the least design effect of the runs of a case; `within` is the sum of f (1 - f) over cases and sides."""
    return min(1.0, max((1 + (runs - 1) * ICC_FLOOR) / runs, 1 - within / WHOLE))


class PairedLimits:
    """Limits of the mean difference of pass fractions; each code is a case or a cluster of cases."""

    def __init__(self, candidate: Floats, baseline: Floats, k: Floats, codes: NDArray[np.intp]) -> None:
        self.b, self.c, self.spread = cross_pairs(candidate, baseline)
        self.n = candidate.size
        self.sizes = np.bincount(codes).astype(float)
        self.sums = np.bincount(codes, candidate - baseline)
        self.least, self.most = design_effect_bounds(k, codes, candidate, baseline)

    @property
    def design_effect(self) -> float:
        """The variance of the mean over that of single runs of independent cases, between its bounds."""
        if self.spread <= 1e-12 or self.sums.size < 2:
            return self.least
        rest = self.sums - self.sizes * ((self.b - self.c) / self.n)
        groups = rest.size
        variance = groups / (groups - 1) * fsum(rest**2) / self.n
        return min(self.most, max(self.least, variance / self.spread))

    def low(self, level: float) -> float:
        """Return the lower limit of a two-sided level."""
        z = z_quantile(level)
        wide, tight = (
            tango_limits(self.b, self.c, self.n, z * sqrt(effect))[0] for effect in (self.most, self.least)
        )
        if tight - wide <= 1e-12 or self.sums.size < 2:
            return wide
        quantile = t_quantile(level, self.sums.size - 1)
        return bisect(lambda d: self._excess(d, quantile), wide, tight, steps=50)

    def score(self, difference: float) -> float:
        """Return a normal score of H0: the true difference is at most `difference`; its median of three."""
        plain, groups = tango_score(self.b, self.c, self.n, difference), self.sums.size
        by_t = -np.inf
        if groups > 1 and self._excess(difference, 0.0) > 0:
            t = bisect(lambda q: self._excess(difference, q), 0.0, 1e3, steps=60)
            by_t = min(40.0, -float(ndtri(max(1e-300, stdtr(groups - 1, -t)))))
        return float(np.median([plain / sqrt(self.most), plain / sqrt(self.least), by_t]))

    def _excess(self, difference: float, quantile: float) -> float:
        """Return by how much the sum over cases exceeds its t limit under H0, at worst over better candidates.

        sum u - q' sqrt(sum u^2), u = d - D, is the t-test. The worst case is counted twice, against skew. Cases are
        raised to +1, in part, where that makes the outcome worse: a better candidate then never has a lower limit.
        """
        sizes = np.append(self.sizes, self.n / self.sizes.size)
        worst = min(0.0, float(np.min(self.sums / self.sizes)))
        u = np.append(self.sums, worst * sizes[-1]) - sizes * difference
        top = sizes * (1 - difference)
        order = np.argsort(-(top + u), kind="stable")
        u, top = u[order], top[order]
        gain = np.maximum(top**2 - u**2, 0.0)
        squares = np.sort(u**2).sum()
        before = squares + np.concatenate([[0.0], np.cumsum(gain)[:-1]])
        units = u.size
        factor = quantile * sqrt(units / (units - 1 + quantile**2))
        target = (factor * np.maximum(top + u, 0.0) / 2) ** 2
        raised = np.clip((target - before) / np.where(gain > 1e-15, gain, np.inf), 0.0, 1.0)
        total = fsum(u) + float(np.sum(raised * (top - u)))
        return total - factor * sqrt(squares + float(np.sum(raised * gain)))


def paired_limits(
    candidate: Floats, baseline: Floats, k: Floats, codes: NDArray[np.intp], level: float
) -> tuple[float, float]:
    """Return the limits of the mean difference; the upper one is the lower one of the exchanged sides."""
    high = PairedLimits(baseline, candidate, k, codes).low(level)
    return PairedLimits(candidate, baseline, k, codes).low(level), -high


def rate_limits(fractions: Floats, k: Floats, codes: NDArray[np.intp], level: float) -> tuple[float, float]:
    """Return the limits of a mean pass fraction: its differences from a version that always or never passes."""
    ones = np.ones_like(fractions)
    low = 1 + PairedLimits(fractions, ones, k, codes).low(level)
    return max(0.0, low), min(1.0, -PairedLimits(0 * ones, fractions, k, codes).low(level))
