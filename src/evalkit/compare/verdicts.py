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
    p_value: float | None,
    level: float = 0.95,
    margin: float | None = None,
    one_sided_low: float | None = None,
    evidence: Verdict | None = None,
    decidable: bool = True,
) -> Verdict:
    """Return the verdict of a difference, candidate minus baseline, higher is better: the one rule for every row.

    "regressed" and "improved" need an interval without 0 and a p below 1 - level; `p_value` is the adjusted one in a
    family of rows. Without a `margin` (weighted rows, sequential tests) it is never "no worse". `one_sided_low` is
    compared with the margin, else `low`. `evidence` (of e-values) replaces interval and p. `decidable` is False if
    unscored trials could decide the sign (W06).
    """
    if not decidable:
        return "inconclusive"
    if evidence is not None:
        return evidence
    verdict: Verdict = stats.verdict(low, high, margin=margin, ni_low=one_sided_low)
    if p_value is not None and p_value < 1 - level - 1e-12:
        return verdict
    if verdict == "regressed within margin" or (verdict == "improved" and margin is not None):
        return "no worse than margin"
    return "inconclusive" if verdict in ("regressed", "improved") else verdict
