"""Every exception of evalkit, and how each is worded.

All of them are `EvalkitError`; each also is the ordinary exception a Python
programmer would expect (`ValueError`, `FileNotFoundError`), so that code which
has never heard of evalkit still catches them.

::

    EvalkitError
    ├── ColumnError     a frame lacks a column, or a column holds what it may not
    ├── PathError       a path that is not there
    ├── FormatError     a file or a mapping that cannot be understood
    ├── SuiteError      a suite file that breaks its own rules
    ├── SelectorError   a run, version, model, criterion or grader that is not there, or is several
    ├── RuleError       a pass rule that cannot be applied to these scores
    ├── ProviderError   an endpoint that is not known, does not answer, or does not allow what is asked
    ├── JobError        a batch job that cannot do what is asked of it now
    ├── BusyError       what another process is at work on
    ├── ArgumentError   an argument of a verb that is of another kind than its signature says
    └── StatisticsError an argument that no data could produce (`evalkit.stats`)
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalkit.util.words import Option, Sentence, did_you_mean, for_shell, join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_SPELLED_OUT: Final = 5


class EvalkitError(Exception):
    """Base of every exception that evalkit raises on purpose.

    Parameters
    ----------
    what
        What is wrong, as a sentence.
    argument
        The argument it is about.
    value
        The value that was refused; leave it out if there is none.
    choices
        The valid values. The did_you_mean one is suggested.
    expected
        What was expected, as a noun phrase, where it is not a choice.
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
        """Return the message with options of the command line in place of arguments."""
        return " ".join(str(for_shell(part)) for part in self._sentences())

    def _sentences(self) -> list[str]:
        sentences = [self.what]
        if self.choices:
            sentences.append(f"Expected {_either(self.choices)}.")
        elif self.expected:
            sentences.append(f"Expected {self.expected}.")
        if self.choices and isinstance(self.value, str):
            sentences.append(did_you_mean(self.value, map(str, self.choices)).strip())
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


def _either(choices: Sequence[object]) -> str:
    names = [str(choice) for choice in choices]
    if len(names) > _SPELLED_OUT:
        return f"{', '.join(names[:_SPELLED_OUT])} and {len(names) - _SPELLED_OUT:,} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


class ColumnError(EvalkitError, ValueError):
    """A frame lacks a column, or a column holds what it may not."""

    @classmethod
    def missing(cls, name: str, *, table: str, have: Iterable[str]) -> ColumnError:
        """Say which column is missing, what there is, and the likeliest typo."""
        have = list(have)
        return cls(
            f"The {table} table has no column {name!r}.{did_you_mean(name, have)} It has: {join_words(have, limit=40)}."
        )


class PathError(EvalkitError, FileNotFoundError):
    """A path that is not there."""

    @classmethod
    def missing(cls, path: str | Path) -> PathError:
        """Say what is not there and name the did_you_mean path that is."""
        path = Path(path)
        parent = path.parent
        while not parent.exists() and parent != parent.parent:
            path, parent = parent, parent.parent
        siblings = sorted(entry.name for entry in parent.iterdir()) if parent.is_dir() else []
        near = get_close_matches(path.name, siblings, n=1, cutoff=0.5)
        hint = f" The did_you_mean that exists is {str(parent / near[0])!r}." if near else ""
        if not hint:
            holds = f"holds: {join_words(siblings, limit=8)}" if siblings else "is empty"
            hint = f" {str(parent)!r} exists and {holds}."
        return cls(f"There is no file or folder {str(path)!r}.{hint}")


class FormatError(EvalkitError, ValueError):
    """A file or a mapping that cannot be understood."""


class SuiteError(EvalkitError, ValueError):
    """A suite file that breaks its own rules."""


class SelectorError(EvalkitError, ValueError):
    """A run, version, model, criterion or grader that is not there, or is several."""

    @classmethod
    def unknown(cls, name: object, *, kind: str, have: Iterable[object]) -> SelectorError:
        """Say what was looked for, what there is, and the likeliest typo."""
        options = [str(option) for option in have]
        return cls(
            f"There is no {kind} {name!r}.{did_you_mean(str(name), options)} There is: {join_words(options)}."
        )


class ArgumentError(EvalkitError, TypeError, ValueError):
    """An argument of a verb that is of another kind than its signature says."""


class RuleError(EvalkitError, ValueError):
    """A pass rule that cannot be applied to these scores."""


class ProviderError(EvalkitError, RuntimeError):
    """An endpoint that is not known, does not answer, or does not allow what is asked."""


class JobError(EvalkitError, RuntimeError):
    """A batch job that cannot do what is asked of it now."""


class BusyError(EvalkitError, RuntimeError):
    """What another process is at work on: two that did the same would pay twice."""
