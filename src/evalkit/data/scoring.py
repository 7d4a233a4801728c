"""`Scoring`: the pass rule, and the scores that count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Scoring:
    """The scores that count, and their pass rule.

    Attributes
    ----------
    rule
        An `evalkit.PassRule`; None for the default rule.
    grader
        The grader, or graders, whose scores count; None for judge and code.
    rubric
        A rubric hash, or several, or "any"; None if there is only one.
    weights
        Weight per severity; None for equal weights.
    level
        Confidence level of intervals, between 0 and 1.
    """

    rule: Any = None
    grader: str | Sequence[str] | None = None
    rubric: str | Sequence[str] | None = None
    weights: Mapping[str, float] | None = None
    level: float = 0.95

    def replace_given(self, **given: Any) -> Scoring:
        """Return a copy with every value that is not None.

        >>> Scoring(grader="judge").replace_given(grader=None, level=0.9)
        Scoring(rule=None, grader='judge', rubric=None, weights=None, level=0.9)
        """
        return replace(self, **{name: value for name, value in given.items() if value is not None})
