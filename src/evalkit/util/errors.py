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
from typing import TYPE_CHECKING

from evalkit.util.words import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable


class EvalkitError(Exception):
    """Whatever evalkit raises on purpose: one sentence a person can act on."""


class ColumnError(EvalkitError, ValueError):
    """A frame lacks a column, or a column holds what it may not."""

    @classmethod
    def missing(cls, name: str, *, table: str, have: Iterable[str]) -> ColumnError:
        """Say which column is missing, what there is, and the likeliest typo."""
        have = list(have)
        return cls(
            f"The {table} table has no column {name!r}.{nearest(name, have)} It has: {listed(have, most=40)}."
        )


class PathError(EvalkitError, FileNotFoundError):
    """A path that is not there."""

    @classmethod
    def missing(cls, path: str | Path) -> PathError:
        """Say what is not there and name the nearest path that is."""
        path = Path(path)
        parent = path.parent
        while not parent.exists() and parent != parent.parent:
            path, parent = parent, parent.parent
        siblings = sorted(entry.name for entry in parent.iterdir()) if parent.is_dir() else []
        near = get_close_matches(path.name, siblings, n=1, cutoff=0.5)
        hint = f" The nearest that exists is {str(parent / near[0])!r}." if near else ""
        if not hint:
            holds = f"holds: {listed(siblings, most=8)}" if siblings else "is empty"
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
        return cls(f"There is no {kind} {name!r}.{nearest(str(name), options)} There is: {listed(options)}.")


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
