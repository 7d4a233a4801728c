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

    Give `read`; or `rows` for a table of scores; or `partly` where some tables are cheaper than all.

    Attributes
    ----------
    name
        The name of the format, a word or two.
    sniff
        Whether a path is of this format: `sniff(path, head)`. `head` is the first 64 KiB; where the
        first line is longer, that line and 64 KiB more; it is empty for a folder.
    read
        `read(path)` returns the tables.
    rows
        `rows(path)` returns the records as they are; the mapping names their columns.
    partly
        `partly(path, tables)` returns the tables of those names, and any others that cost nothing.
    gives
        The tables that it may give. A file is not read if none of them is wanted.
    describes
        Whether it describes runs and cases. Such files are read first.
    whole
        Whether a file holds whole runs. Two files with different records of a run of one name are two runs.
    alone
        Whether the tables depend on nothing but the file, or the content of the folder. They may be cached.
    beside
        Whether the tables depend on the other files of the folder too. They are cached until one changes.
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
        """Read at least those tables of a file.

        Raises
        ------
        FormatError
            The file cannot be understood.
        """
        if self.partly is not None:
            return self.partly(path, tables)
        if self.read is None:
            raise FormatError(f"The reader {self.name!r} has neither read, partly nor rows.")
        return self.read(path)


@dataclass(slots=True)
class InputFile:
    """A file or folder to read.

    Attributes
    ----------
    fallback
        The reader of a tool's format, for a file that the mapping does not fit.
    mapping_passed
        Whether the mapping was passed to `load` rather than found beside the file.
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
    """Return the first 64 KiB of a file; where its first line is longer, that line and 64 KiB more."""
    with path.open("rb") as file:
        data = file.read(_HEAD)
        if len(data) == _HEAD and b"\n" not in data:
            data += file.readline(_MAX_FIRST_LINE) + file.read(_HEAD)
    return data
