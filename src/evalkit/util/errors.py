"""Every exception of evalkit. Each is an `EvalkitError` and a built-in exception."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalkit.util.words import Option, Sentence, did_you_mean, either, for_shell, join_words

if TYPE_CHECKING:
    from collections.abc import Iterable


_SPELLED_OUT: Final = 5


class EvalkitError(Exception):
    """Base of every exception that evalkit raises on purpose.

    Parameters
    ----------
    what
        What is wrong, as a sentence.
    argument
        The name of the argument.
    value
        The refused value.
    choices
        The valid values. The nearest one is suggested.
    expected
        The expected value as a noun phrase, if there are no choices.
    fix
        What to do, as a sentence, or the `Option` to pass.

    Examples
    --------
    >>> error = EvalkitError(
    ...     "Unknown metric 'rate'.", argument="metric", value="rate", choices=("pass_rate", "mean_score")
    ... )
    >>> print(error)
    Unknown metric 'rate'. Expected pass_rate or mean_score. Did you mean 'pass_rate'?
    >>> print(EvalkitError("Two graders scored Tone.", fix=Option("grader", "a judge")).for_shell())
    Two graders scored Tone. Pass --grader 'a judge'.
    """

    def __init__(
        self,
        what: str = "",
        *,
        argument: str = "",
        value: object = ...,
        choices: Iterable[object] = (),
        expected: str = "",
        fix: str | Option | None = None,
    ) -> None:
        self.what = what
        self.argument = argument
        self.value = value
        self.choices = tuple(choices)
        self.expected = expected
        self.fix = Sentence("Pass {option}.", option=fix) if isinstance(fix, Option) else fix
        super().__init__(" ".join(self._sentences()))

    def for_shell(self) -> str:
        """Return the message with command-line options in place of arguments."""
        return " ".join(str(for_shell(part)) for part in self._sentences())

    def _sentences(self) -> list[str]:
        sentences = [self.what]
        if self.choices:
            sentences.append(f"Expected {either(self.choices, limit=_SPELLED_OUT)}.")
        elif self.expected:
            sentences.append(f"Expected {self.expected}.")
        if self.choices and self.value is not ...:
            sentences.append(did_you_mean(str(self.value), map(str, self.choices)).strip())
        if self.fix:
            sentences.append(self.fix)
        return [sentence for sentence in sentences if sentence]

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(kind: type[EvalkitError], args: tuple[Any, ...], parts: dict[str, Any]) -> EvalkitError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(parts)
    error.args = args
    return error


class ColumnError(EvalkitError, ValueError):
    """A missing column, or an invalid value in one."""

    @classmethod
    def missing(cls, name: str, *, table: str, have: Iterable[str]) -> ColumnError:
        """Return the error for a missing column, with the nearest name."""
        have = list(have)
        error = cls(
            f"The {table} table has no column {name!r}.{did_you_mean(name, have)} "
            f"Columns: {join_words(have, limit=40)}."
        )
        error.argument, error.value, error.choices = "column", name, tuple(have)
        return error


class PathError(EvalkitError, FileNotFoundError):
    """A missing path."""

    @classmethod
    def missing(cls, path: str | Path) -> PathError:
        """Return the error for a missing path, with the nearest existing one."""
        missing = path = Path(path)
        parent = path.parent
        while not parent.exists() and parent != parent.parent:
            path, parent = parent, parent.parent
        siblings = sorted(entry.name for entry in parent.iterdir()) if parent.is_dir() else []
        near = get_close_matches(path.name, siblings, n=1, cutoff=0.5)
        if near:
            hint = f"Did you mean {str(parent / near[0])!r}?"
        elif siblings:
            hint = f"{str(parent)!r} contains {join_words(siblings, limit=8)}."
        else:
            hint = f"{str(parent)!r} is empty."
        return cls(f"No file or folder {str(missing)!r}.", value=str(missing), fix=hint)


class FormatError(EvalkitError, ValueError):
    """A file or a mapping that cannot be read."""


class SuiteError(EvalkitError, ValueError):
    """An invalid suite file."""


class SelectorError(EvalkitError, ValueError):
    """An unknown or ambiguous run, version, model, criterion or grader."""

    @classmethod
    def unknown(cls, name: object, *, kind: str, have: Iterable[object]) -> SelectorError:
        """Return the error for an unknown name, with the nearest valid one."""
        return cls(f"Unknown {kind} {name!r}.", argument=kind, value=name, choices=map(str, have))


class ArgumentError(EvalkitError, TypeError, ValueError):
    """An argument of the wrong type."""


class RuleError(EvalkitError, ValueError):
    """A pass rule that does not fit the scores."""


class ProviderError(EvalkitError, RuntimeError):
    """An unknown endpoint, no response, or a refused request."""


class JobError(EvalkitError, RuntimeError):
    """A batch job in the wrong state."""


class BusyError(EvalkitError, RuntimeError):
    """A file or job that another process holds."""
