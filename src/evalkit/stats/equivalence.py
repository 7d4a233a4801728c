"""No worse than a declared margin, or the same within it.

Margins are declared before the data are seen and never fitted to them: 0.05 for a pass rate (0.10 below 100 cases) and
0.25 for a 1-5 mean score are usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import ndtr, stdtr

from evalkit.stats.basics import check_level, together, with_clusters
from evalkit.stats.estimates import Estimate, StatisticsError, Status
from evalkit.stats.means import standard_error
from evalkit.stats.paired import cross_pairs, paired_t, tango, tango_clustered, tango_n_eff, tango_score

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """Whether the candidate is no worse than the baseline by more than a margin.

    ``low`` is the one-sided lower limit at ``level``; ``non_inferior`` is ``low > -margin``, None when nothing can be
    estimated; ``z`` is the test statistic (t for mean scores) and ``p_value`` its one-sided p.
    """

    estimate: float | None
    low: float | None
    margin: float
    z: float | None
    p_value: float | None
    non_inferior: bool | None
    level: float
    method: str
    n: int
    status: Status = "ok"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests: whether a mean difference lies within given bounds."""

    estimate: float | None
    p_lower: float | None
    p_upper: float | None
    p_value: float | None
    equivalent: bool | None
    bounds: tuple[float, float]
    level: float
    n: int
    status: Status = "ok"
    reason: str = ""


def non_inferiority_tango(
    only_candidate: float, only_baseline: float, n: float, *, margin: float, level: float = 0.95
) -> NonInferiority:
    """Test H0: the pass rate fell by `margin` or more, on pairs of one run a case.

    Not for repeated runs: `non_inferiority_tango_n_eff`.

    Parameters
    ----------
    only_candidate, only_baseline, n
        As in `tango`.
    margin
        Largest loss of pass rate that would not matter, between 0 and 1.
    level
        One-sided confidence; 0.95 means the low end of the two-sided 90% interval.

    Notes
    -----
    z = (b - c + n margin) / sqrt(n (2q + D0(1 - D0))), D0 = -margin. Tango (1998) Stat Med 17:891-908.

    Examples
    --------
    >>> test = non_inferiority_tango(2, 3, 50, margin=0.1)
    >>> round(test.z, 4), round(test.p_value, 4), test.non_inferior
    (1.5174, 0.0646, False)
    """
    interval = tango(only_candidate, only_baseline, n, level=_two_sided(level))
    return _score_test(interval, float(only_candidate), float(only_baseline), float(n), margin, level)


def non_inferiority_tango_n_eff(
    candidate: ArrayLike,
    baseline: ArrayLike,
    k: ArrayLike,
    *,
    margin: float,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> NonInferiority:
    """Test H0: the pass rate fell by `margin` or more, on cases that were run several times.

    Parameters
    ----------
    candidate, baseline, k
        As in `tango_n_eff`.
    margin
        Largest loss of pass rate that would not matter, between 0 and 1.
    clusters
        The cluster of each case, as in `tango_clustered`.
    level
        One-sided confidence.

    Examples
    --------
    >>> test = non_inferiority_tango_n_eff([1, 0.8, 1, 0.6], [1, 1, 0.8, 0.6], 5, margin=0.3)
    >>> test.non_inferior, round(test.low, 3)
    (True, -0.193)
    """
    two_sided = _two_sided(level)
    if clusters is None:
        interval = tango_n_eff(candidate, baseline, k, level=two_sided, resamples=1)
    else:
        interval = tango_clustered(candidate, baseline, clusters, k=k, level=two_sided, resamples=1)
    new, old, runs = together(candidate, baseline, k)
    b, c, _, n = cross_pairs(new[runs > 0], old[runs > 0], runs[runs > 0])
    deff = n / interval.n_eff if interval.n_eff else 1.0
    return _score_test(interval, b / deff, c / deff, n / deff, margin, level)


def non_inferiority_t(
    differences: ArrayLike, *, margin: float, clusters: ArrayLike | None = None, level: float = 0.95
) -> NonInferiority:
    """Test H0: the mean score fell by `margin` or more, with Student's t on one difference a case.

    Parameters
    ----------
    differences, clusters
        As in `paired_t`.
    margin
        Largest loss that would not matter, in points, above 0.
    level
        One-sided confidence.

    Examples
    --------
    >>> test = non_inferiority_t([0.2, -0.4, 0, 0.1, -0.2, 0.3], margin=0.25)
    >>> test.non_inferior, round(test.p_value, 4)
    (True, 0.0328)
    """
    if not margin > 0:
        msg = f"margin must be above 0, got {margin}."
        raise StatisticsError(msg)
    d, codes = with_clusters(differences, clusters)
    interval = paired_t(d, clusters=codes, level=_two_sided(level))
    error = standard_error(d, clusters=codes)
    if interval.status == "not_estimable" or interval.low is None or interval.estimate is None or not error:
        return NonInferiority(
            interval.estimate, None, margin, None, None, None, level, interval.method, interval.n,
            "not_estimable", interval.reason,
        )  # fmt: skip
    t = (interval.estimate + margin) / error
    p = float(stdtr((interval.clusters or d.size) - 1, -t))
    return NonInferiority(
        interval.estimate, interval.low, margin, t, p, interval.low > -margin, level, interval.method, d.size
    )


def tost(
    differences: ArrayLike, *, low: float, high: float, clusters: ArrayLike | None = None, level: float = 0.95
) -> Equivalence:
    """Test whether a mean difference lies within bounds: two one-sided t tests.

    For "the two are the same"; for "the new one is no worse" use `non_inferiority_t`.

    Parameters
    ----------
    differences, clusters
        As in `paired_t`.
    low, high
        The bounds, declared beforehand.
    level
        One-sided confidence of each test.

    Notes
    -----
    p is the larger of P(T > (dbar - low) / se) and P(T < (dbar - high) / se). Schuirmann (1987) J Pharmacokinet
    Biopharm 15:657-680.

    Examples
    --------
    >>> test = tost([0.2, -0.4, 0, 0.1, -0.2, 0.3, -0.1, 0, 0.2, -0.3, 0.1, 0], low=-0.25, high=0.25)
    >>> test.equivalent, round(test.p_value, 5)
    (True, 0.0011)
    """
    if not low < high:
        msg = f"low must be below high, got {low} and {high}."
        raise StatisticsError(msg)
    check_level(level)
    d, codes = with_clusters(differences, clusters)
    interval = paired_t(d, clusters=codes, level=level)
    error = standard_error(d, clusters=codes)
    if interval.status == "not_estimable" or interval.estimate is None or not error:
        return Equivalence(
            interval.estimate,
            None,
            None,
            None,
            None,
            (low, high),
            level,
            d.size,
            "not_estimable",
            interval.reason,
        )
    df = (interval.clusters or d.size) - 1
    above = float(stdtr(df, -(interval.estimate - low) / error))
    below = float(stdtr(df, (interval.estimate - high) / error))
    p = max(above, below)
    return Equivalence(interval.estimate, above, below, p, p < 1 - level, (low, high), level, d.size)


def _two_sided(level: float) -> float:
    check_level(level)
    if level <= 0.5:
        msg = f"A one-sided level must be above 0.5, got {level}."
        raise StatisticsError(msg)
    return 2 * level - 1


def _score_test(
    interval: Estimate, b: float, c: float, n: float, margin: float, level: float
) -> NonInferiority:
    if not 0 < margin < 1:
        msg = f"A pass-rate margin must lie between 0 and 1 (0.05 for 5 points), got {margin}."
        raise StatisticsError(msg)
    if interval.low is None:
        return NonInferiority(
            interval.estimate, None, margin, None, None, None, level, interval.method, interval.n,
            "not_estimable", interval.reason,
        )  # fmt: skip
    z = tango_score(b, c, n, -margin)
    low = interval.low
    return NonInferiority(
        interval.estimate, low, margin, z, float(ndtr(-z)), low > -margin, level, interval.method, interval.n
    )
