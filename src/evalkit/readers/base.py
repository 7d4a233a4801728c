"""What a reader is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from evalkit.data.schema import TABLES
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evalkit.data.evals import Evals
    from evalkit.data.schema import TableName
    from evalkit.readers.column_mapping import Mapping
    from evalkit.readers.score_table import Raw


NATIVE_SCORES: Final = "native scores"

CSV_SCORES: Final = "CSV of scores"

_HEAD: Final = 1 << 16

_LONGEST_FIRST_LINE: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class Reader:
    """One format: how it is recognised and how it is read.

    Give `read`; or `rows` for a table of scores; or `partly` where some tables are cheaper than all.

    Attributes
    ----------
    name
        What the format is called, in a word or two.
    sniff
        Whether a path is of this format: `sniff(path, head)`. `head` is the first 64 KiB; where the
        first line is longer, that line and 64 KiB more; it is empty for a folder.
    read
        `read(path)` returns what is in it.
    rows
        `rows(path)` returns the records as they are; mapping and names do the rest.
    partly
        `partly(path, tables)` returns the tables of those names, and whatever else costs nothing.
    gives
        The tables that it may give: where none of them is wanted a file is not read at all.
    describes
        Whether it says what runs and cases are: such files are read before those that only name them.
    whole
        Whether a file is a whole run, or several: where two files hold different records of a run of the same
        name, it was run twice, and the runs are called after their files too.
    alone
        Whether what it gives depends on that one file, or on what is in that folder, and on nothing beside it: it
        may then be cached.
    beside
        Whether it depends on the other files of its folder too: it is then cached as long as none of them changes.
    """

    name: str
    sniff: Callable[[Path, bytes], bool]
    read: Callable[[Path], Evals] | None = None
    rows: Callable[[Path], Raw] | None = None
    partly: Callable[[Path, frozenset[str]], Evals] | None = None
    gives: tuple[TableName, ...] = tuple(TABLES)
    describes: bool = False
    whole: bool = False
    alone: bool = False
    beside: bool = False

    def give(self, path: Path, tables: frozenset[str]) -> Evals:
        """Return what is in a file: those tables at least.

        Raises
        ------
        FormatError
            It cannot be understood.
        """
        if self.partly is not None:
            return self.partly(path, tables)
        if self.read is None:
            raise FormatError(f"The reader {self.name!r} has neither read, partly nor rows.")
        return self.read(path)


@dataclass(slots=True)
class Found:
    """One file (or folder) that is going to be read.

    Attributes
    ----------
    instead
        The reader of a format of its own, where the mapping may make a table of the file: it reads what the
        mapping does not fit.
    told
        Whether the mapping was given to `load`, and not found beside the file.
    """

    path: Path
    reader: Reader
    mapping: Mapping | None
    run: str = ""
    instead: Reader | None = None
    told: bool = False


@dataclass(slots=True)
class Plan:
    """What is going to be read, and what was passed over on the way."""

    found: list[Found] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)


def head(path: Path) -> bytes:
    """Return the start of a file: 64 KiB; where its first line is longer, that line and 64 KiB more."""
    with path.open("rb") as file:
        data = file.read(_HEAD)
        if len(data) == _HEAD and b"\n" not in data:
            data += file.readline(_LONGEST_FIRST_LINE) + file.read(_HEAD)
    return data
