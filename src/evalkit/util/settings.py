"""Check single settings: of a judge, an agent, a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.util.arguments import is_number, is_whole
from evalkit.util.errors import FormatError
from evalkit.util.words import Option, Sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

EFFORTS: Final = ("none", "minimal", "low", "medium", "high")
"""Values of `reasoning_effort`."""


def expect_whole(name: str, value: Any, low: int, high: int) -> None:
    """Raise a `FormatError` unless a setting is a whole number in its range."""
    if not is_whole(value) or not low <= value <= high:
        raise invalid_setting(name, value, f"a whole number from {low} to {high:,}")


def expect_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise a `FormatError` unless a setting is None or a number in its range."""
    if value is not None and not (is_number(value) and low <= value <= high):
        raise invalid_setting(name, value, f"a number from {low} to {high}, or None")


def expect_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise a `FormatError` unless a setting is one of the choices."""
    if value not in choices:
        raise invalid_setting(name, value, choices=choices)


def invalid_setting(name: str, value: object, expected: str = "", choices: Sequence[str] = ()) -> FormatError:
    """Return the error for an invalid setting."""
    return FormatError(
        Sentence("Invalid {option} {value}.", option=Option(name), value=repr(value)),
        argument=name,
        value=value,
        expected=expected,
        choices=choices,
    )
