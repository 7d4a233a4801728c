"""The verdict word of a difference, from its interval and a declared margin."""

from __future__ import annotations

from typing import Literal

from evalkit.stats.basics import check_positive

Verdict = Literal["regressed", "regressed within margin", "improved", "no worse than margin", "inconclusive"]


def verdict(
    low: float | None, high: float | None, *, margin: float | None = None, ni_low: float | None = None
) -> Verdict:
    """Return the verdict word for an interval of candidate minus baseline.

    "regressed" (interval below 0), "regressed within margin" (below 0 but above -margin), "improved", "no worse than
    margin" (ni_low above -margin) or "inconclusive". "Not significant" is never "no regression": without a declared
    margin an interval that includes 0 is inconclusive.

    Parameters
    ----------
    low, high
        The 95% interval of the difference; None where it was not estimable.
    margin
        Largest acceptable loss, declared before the data were seen, above 0.
    ni_low
        The one-sided 95% lower limit (the low end of the two-sided 90% interval). Defaults to `low`, which is
        stricter.

    Examples
    --------
    >>> verdict(-0.2, -0.01)
    'regressed'
    >>> verdict(-0.04, -0.01, margin=0.05, ni_low=-0.035)
    'regressed within margin'
    >>> verdict(-0.06, 0.02, margin=0.05, ni_low=-0.045)
    'no worse than margin'
    >>> verdict(-0.06, 0.02)
    'inconclusive'
    """
    if margin is not None:
        check_positive(margin=margin)
    limit = low if ni_low is None else ni_low
    is_within = margin is not None and limit is not None and limit > -margin
    if high is not None and high < 0:
        return "regressed within margin" if is_within else "regressed"
    if low is not None and low > 0:
        return "improved"
    return "no worse than margin" if is_within else "inconclusive"
