"""The reader of one format."""

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
_MAX_FIRST_LINE: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class Reader:
    """Recognize and read one format.

    Give `read`; or `rows` for a table of scores; or `partly` if some tables are cheaper than all.

    Attributes
    ----------
    name
        The name of the format, a word or two.
    sniff
        `sniff(path, head)`: whether a path has this format. `head` is empty for a folder, else the first 64
        KiB; if the first line is longer, that line and 64 KiB more.
    read
        `read(path)` returns the tables.
    rows
        `rows(path)` returns the records as they are; the mapping names their columns.
    partly
        `partly(path, tables)` returns the named tables, and any others that cost nothing.
    gives
        The tables that the format can have. Files without a requested table are not read.
    describes
        Whether the file describes runs and cases. Such files are read first.
    whole
        Whether a file holds complete runs. Files with different records of one run name are then different
        runs.
    alone
        Whether the tables depend on the file, or the content of the folder, only. They may be cached.
    beside
        Whether the tables also depend on other files of the folder. They are cached until one changes.
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
        """Read at least the named tables; raise `FormatError` for an unreadable file."""
        if self.partly is not None:
            return self.partly(path, tables)
        if self.read is None:
            raise FormatError(f"The reader {self.name!r} has neither read, partly nor rows.")
        return self.read(path)


@dataclass(slots=True)
class InputFile:
    """A file or folder to read, with its reader.

    `fallback` reads a file that the mapping does not fit. `mapping_passed` is False for a mapping found
    beside the file.
    """

    path: Path
    reader: Reader
    mapping: Mapping | None
    run: str = ""
    fallback: Reader | None = None
    mapping_passed: bool = False


@dataclass(slots=True)
class ReadPlan:
    """The files to read, and the files of unknown format."""

    files: list[InputFile] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)


def head(path: Path) -> bytes:
    """Return the first 64 KiB; after a longer first line, 64 KiB more."""
    with path.open("rb") as file:
        data = file.read(_HEAD)
        if len(data) == _HEAD and b"\n" not in data:
            data += file.readline(_MAX_FIRST_LINE) + file.read(_HEAD)
    return data
