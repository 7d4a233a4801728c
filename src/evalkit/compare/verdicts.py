"""The verdict of a difference: the one place that decides it."""

from __future__ import annotations

from typing import Final, Literal

from evalkit import stats

Verdict = Literal["regressed", "regressed within margin", "improved", "no worse than margin", "inconclusive"]
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

    Parameters
    ----------
    low, high
        Two-sided interval; None if there is none.
    margin
        Largest loss that does not matter. None for weighted rows and sequential tests: they never say "no worse".
    one_sided_low
        One-sided lower limit that is held against the margin; `low` if there is none.
    p_adjusted, level
        p-value adjusted over a family: at 1 - level or above, it takes "regressed" and "improved" back. None for the
        overall rows of `compare`, which no family adjusts.
    evidence
        Verdict of sequential e-values, in place of the interval's.
    decidable
        False if unscored trials could decide the sign (W06).
    """
    if not decidable:
        return "inconclusive"
    verdict: Verdict = evidence or stats.verdict(low, high, margin=margin, ni_low=one_sided_low)
    if p_adjusted is None or p_adjusted < 1 - level:
        return verdict
    if verdict == "regressed within margin" or (verdict == "improved" and margin is not None):
        return "no worse than margin"
    return "inconclusive" if verdict in ("regressed", "improved") else verdict
