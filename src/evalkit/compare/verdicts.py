"""Decide the verdict of a difference."""

from __future__ import annotations

from typing import Final, Literal

from evalkit import stats

Verdict = stats.Verdict
Outcome = Literal["pass", "fail", "undecided"]
OUTCOMES: Final[dict[Verdict, Outcome]] = {
    "regressed": "fail",
    "improved": "pass",
    "no worse than margin": "pass",
    "regressed within margin": "pass",
    "inconclusive": "undecided",
}
"""Outcome of a gate's "no regression" for each verdict."""


def verdict_of(
    low: float | None,
    high: float | None,
    *,
    margin: float | None = None,
    one_sided_low: float | None = None,
    p_adjusted: float | None = None,
    level: float = 0.95,
    evidence: Verdict | None = None,
    decidable: bool = True,
) -> Verdict:
    """Return the verdict of a difference, candidate minus baseline.

    Without a `margin` (weighted rows, sequential tests) it is never "no worse". `one_sided_low` is compared with the
    margin, else `low`. An adjusted p of 1 - level or more revokes "regressed" and "improved". `evidence` replaces the
    interval's verdict. `decidable` is False if unscored trials could decide the sign (W06).
    """
    if not decidable:
        return "inconclusive"
    verdict: Verdict = evidence or stats.verdict(low, high, margin=margin, ni_low=one_sided_low)
    if p_adjusted is None or p_adjusted < 1 - level:
        return verdict
    if verdict == "regressed within margin" or (verdict == "improved" and margin is not None):
        return "no worse than margin"
    return "inconclusive" if verdict in ("regressed", "improved") else verdict
