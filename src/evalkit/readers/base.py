"""The reader of one format."""

from __future__ import annotations

from dataclasses import dataclass, field
from shutil import rmtree
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.columns import columns
from evalkit.data.schema import TABLES
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evalkit.data.evals import Evals
    from evalkit.data.schema import Problem, TableName
    from evalkit.readers.column_mapping import Mapping
    from evalkit.util.notes import Note

NATIVE_SCORES: Final = "native scores"
CSV_SCORES: Final = "CSV of scores"
JSON_OBJECT: Final = "JSON object with scores"

RECORD: Final = "__record"
"""The column with a record's number, where that is not the number of its line."""


def numbered(records: list[dict[str, Any]], *, first: int = 1) -> pl.DataFrame:
    """Return records as a frame with their number in `line`, instead of columns of that name."""
    frame = columns(records).drop("line", RECORD, strict=False)
    return frame.with_columns(line=pl.int_range(first, frame.height + first, dtype=pl.Int64, eager=True))


_HEAD: Final = 1 << 16
_MAX_FIRST_LINE: Final = 1 << 26


@dataclass(slots=True)
class Raw:
    """The records of one file as read.

    `frame` has `line`, and `__record` if records and lines differ. `source` is the file, or `<frame>`.
    `problems` are the unreadable records. `root` is the decoded file if the records lie inside it. `notes` and `decimal`
    are what was found on the way; `rivals` are other places of records, as likely.
    """

    frame: pl.DataFrame
    source: str
    problems: list[Problem] = field(default_factory=list)
    file: bool = True
    root: Any = None
    notes: list[Note] = field(default_factory=list)
    decimal: str = "."
    rivals: tuple[str, ...] = ()

    @property
    def files(self) -> list[str]:
        """The source, if it is a file."""
        return [self.source] if self.file else []


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
    options
        Keys of the mapping that `rows` takes by name: "encoding", "sheet".
    """

    name: str
    sniff: Callable[[Path, bytes], bool]
    read: Callable[[Path], Evals] | None = None
    rows: Callable[..., Raw] | None = None
    partly: Callable[[Path, frozenset[str]], Evals] | None = None
    gives: tuple[TableName, ...] = tuple(TABLES)
    describes: bool = False
    whole: bool = False
    alone: bool = False
    beside: bool = False
    options: tuple[str, ...] = ()

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
    origin: Path | None = None


@dataclass(slots=True)
class ReadPlan:
    """The files to read, and the files of unknown format. `folders` hold unpacked files, for the caller to remove."""

    files: list[InputFile] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)

    def __enter__(self) -> ReadPlan:
        return self

    def __exit__(self, *error: object) -> None:
        """Remove unpacked files."""
        for folder in self.folders:
            rmtree(folder, ignore_errors=True)


def head(path: Path) -> bytes:
    """Return the first 64 KiB; after a longer first line, 64 KiB more."""
    with path.open("rb") as file:
        data = file.read(_HEAD)
        if len(data) == _HEAD and b"\n" not in data:
            data += file.readline(_MAX_FIRST_LINE) + file.read(_HEAD)
    return data
