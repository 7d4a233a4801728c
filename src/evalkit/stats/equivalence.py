"""Tests of "no worse than a margin", which must be declared before the data is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, stdtr

from evalkit.stats.basics import ONE_CLUSTER, ArrayLike, check_level, check_positive, settled, with_clusters
from evalkit.stats.estimates import Estimate, StatisticsError, Status, not_estimable
from evalkit.stats.limits import PairedLimits
from evalkit.stats.means import standard_error
from evalkit.stats.paired import paired_clusters, paired_t

Verdict = Literal["regressed", "regressed within margin", "improved", "no worse than margin", "inconclusive"]


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """Result of a non-inferiority test of candidate against baseline.

    ``low`` is the one-sided lower limit at ``level``. ``non_inferior`` is ``low > -margin``, None if not
    estimable. ``z`` is the test statistic (t for mean scores), ``p_value`` its one-sided p.
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


def non_inferiority_tango_n_eff(
    candidate: ArrayLike,
    baseline: ArrayLike,
    k: ArrayLike,
    *,
    margin: float,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> NonInferiority:
    """Test H0: the pass rate fell by `margin` or more.

    z = (b - c + n margin) / sqrt(deff n (2q + D0(1 - D0))), D0 = -margin, with the limits of `tango_n_eff`, not
    cut by those of the rates. Tango (1998) Stat Med 17:891-908.

    Parameters
    ----------
    candidate, baseline, k
        As in `tango_n_eff`; k = 1 is Tango's test.
    margin
        Largest acceptable loss of pass rate, between 0 and 1.
    clusters
        The cluster of each case, as in `tango_clustered`.
    level
        One-sided confidence level.

    Examples
    --------
    >>> test = non_inferiority_tango_n_eff([1, 0.8, 1, 0.6] * 5, [1, 1, 0.8, 0.6] * 5, 5, margin=0.1)
    >>> test.non_inferior, round(test.low, 3)
    (False, -0.131)
    """
    if not 0 < margin < 1:
        raise StatisticsError.invalid(
            "margin", margin, "a number between 0 and 1, such as 0.05 for 5 points of the pass rate"
        )
    two_sided, method = _two_sided(level), "Tango n_eff" if clusters is None else "Tango clustered"
    new, old, runs, codes = paired_clusters(candidate, baseline, k, clusters)
    if new.size == 0 or (clusters is not None and codes.max() == 0 and codes.size > 1):
        estimate = float(np.mean(new - old)) if new.size else None
        reason = ONE_CLUSTER if new.size else "no pairs"
        interval = not_estimable(reason, n=new.size, method=method, level=two_sided, estimate=estimate)
        return _inconclusive(interval, margin, level)
    pairs = PairedLimits(new, old, runs, codes)
    low, z = pairs.low(two_sided), pairs.score(-margin)
    estimate = (pairs.b - pairs.c) / new.size
    return NonInferiority(
        estimate, low, margin, z, float(ndtr(-z)), settled(low + margin) > 0, level, method, new.size
    )  # fmt: skip


def non_inferiority_t(
    differences: ArrayLike, *, margin: float, clusters: ArrayLike | None = None, level: float = 0.95
) -> NonInferiority:
    """Test H0: the mean score fell by `margin` or more, with Student's t.

    Parameters
    ----------
    differences, clusters
        As in `paired_t`.
    margin
        Largest acceptable loss in score points, above 0.
    level
        One-sided confidence level.

    Examples
    --------
    >>> test = non_inferiority_t([0.2, -0.4, 0, 0.1, -0.2, 0.3], margin=0.25)
    >>> test.non_inferior, round(test.p_value, 4)
    (True, 0.0328)
    """
    check_positive(margin=margin)
    d, codes = with_clusters(differences, clusters)
    interval = paired_t(d, clusters=codes, level=_two_sided(level))
    error = standard_error(d, clusters=codes)
    if interval.low is None or interval.estimate is None or not error:
        return _inconclusive(interval, margin, level)
    t = (interval.estimate + margin) / error
    p = float(stdtr((interval.clusters or d.size) - 1, -t))
    return NonInferiority(
        interval.estimate, interval.low, margin, t, p, settled(interval.low + margin) > 0, level, interval.method, d.size
    )  # fmt: skip


def verdict(
    low: float | None, high: float | None, *, margin: float | None = None, ni_low: float | None = None
) -> Verdict:
    """Return the verdict on an interval of candidate minus baseline.

    "regressed" (below 0), "regressed within margin" (below 0, above -margin), "improved", "no worse than
    margin" (ni_low above -margin) or "inconclusive". Without a margin an interval that includes 0 is
    inconclusive.

    Parameters
    ----------
    low, high
        The 95% interval of the difference; None if not estimable.
    margin
        Largest acceptable loss, above 0.
    ni_low
        The one-sided 95% lower limit. Default: `low`, which is stricter.

    Examples
    --------
    >>> verdict(-0.04, -0.01, margin=0.05, ni_low=-0.035)
    'regressed within margin'
    """
    if margin is not None:
        check_positive(margin=margin)
    limit = low if ni_low is None else ni_low
    is_within = margin is not None and limit is not None and settled(limit + margin) > 0
    if high is not None and settled(high) < 0:
        return "regressed within margin" if is_within else "regressed"
    if low is not None and settled(low) > 0:
        return "improved"
    return "no worse than margin" if is_within else "inconclusive"


def _two_sided(level: float) -> float:
    check_level(level)
    if level <= 0.5:
        raise StatisticsError.invalid("one-sided level", level, "a number above 0.5")
    return 2 * level - 1


def _inconclusive(interval: Estimate, margin: float, level: float) -> NonInferiority:
    return NonInferiority(
        interval.estimate, None, margin, None, None, None, level, interval.method, interval.n,
        "not_estimable", interval.reason,
    )  # fmt: skip
