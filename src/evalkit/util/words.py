"""Words for sentences: counts, lists and the nearest valid name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


NOT_GIVEN: Final = "not given"
"""What a table, a chart or a page shows where nobody said: a severity, a version, a model."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the option most like `name`, or "".

    Examples
    --------
    >>> nearest("aget_version", ["agent", "agent_version", "model"])
    " Did you mean 'agent_version'?"
    >>> nearest("zzz", ["agent"])
    ''
    """
    near = get_close_matches(str(name), [str(option) for option in options], n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def listed(options: Iterable[object], *, most: int = 12) -> str:
    """Return the options as words for a sentence, the tail of a long list counted.

    Examples
    --------
    >>> listed(["v1", "v2"])
    'v1, v2'
    >>> listed(range(20), most=3)
    '0, 1, 2 and 17 more'
    """
    words = [str(option) for option in options]
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return ", ".join(words) if words else "none"


def counted(count: int, word: str, *, plural: str = "") -> str:
    """Return a count with its word.

    Examples
    --------
    >>> counted(1, "case"), counted(2000, "case"), counted(2, "criterion", plural="criteria")
    ('1 case', '2,000 cases', '2 criteria')
    """
    return f"{count:,} {word if count == 1 else plural or f'{word}s'}"


def percent(value: float | None) -> str:
    """Return a rate as words, e.g. "88.9 %"."""
    return "unknown" if value is None else f"{value * 100:.1f} %"


def points(value: float | None) -> str:
    """Return a difference of rates as words, e.g. "-7.4 points"."""
    return (
        "unknown"
        if value is None
        else f"{round(value * 100, 1) + 0.0:+.1f} points".replace("-", "\N{MINUS SIGN}")
    )


def signed(value: float | None) -> str:
    """Return a difference of scores as words, e.g. "-0.25"."""
    return "unknown" if value is None else f"{round(value, 2) + 0.0:+.2f}".replace("-", "\N{MINUS SIGN}")


def plain(text: str) -> str:
    """Return text with every control character but the line break replaced: safe for a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
