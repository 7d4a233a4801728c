"""`Scoring`: what counts as a pass, by whose scores. Chosen once and used by every verb."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Scoring:
    """The scores that count and the rule they are held against.

    Attributes
    ----------
    rule
        An `evalkit.PassRule`; None: the default rule.
    grader
        The grader, or graders, whose scores count; None: judge and code rows.
    rubric
        A rubric hash, or several, or "any"; None: the only one there is.
    weights
        Weight per severity; None: every case counts the same.
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

        Examples
        --------
        >>> Scoring(grader="judge").replace_given(grader=None, level=0.9)
        Scoring(rule=None, grader='judge', rubric=None, weights=None, level=0.9)
        """
        return replace(self, **{name: value for name, value in given.items() if value is not None})
