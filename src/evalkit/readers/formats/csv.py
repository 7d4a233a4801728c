"""CSV of judge scores, wide or long: comma, semicolon, tab or bar, with a header."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit.data.columns import BOM
from evalkit.data.schema import Problem
from evalkit.readers.base import CSV_SCORES, Reader
from evalkit.readers.score_table import RECORD, Raw
from evalkit.util.errors import PathError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DELIMITERS: Final = ",;\t|"
_NAMELESS: Final = "column_1"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


def sniff(path: Path, head: bytes) -> bool:
    """Whether the first line is text with a delimiter in it, and several different names: the first may be empty.

    Of a file that is called CSV names may be empty and the same: they get numbers.
    """
    text = _decode(head)
    if text is None or "\x00" in text or text.lstrip()[:1] in ("{", "[", "<"):
        return False
    first = next(iter(text.splitlines()), "")
    names = [name.strip() for name in first.split(_delimiter(first))]
    clear = all(names[1:]) and len(set(names)) == len(names)
    return len(names) > 1 and (clear or path.suffix.lower() in (".csv", ".tsv")) and len(first) < 20_000


def rows(path: Path) -> Raw:
    """Return the records as columns of text, each with the line on which it begins."""
    if not path.is_file():
        raise PathError.missing(path)
    problems: list[Problem] = []
    text = _decode(path.read_bytes(), whole=True) or ""
    header: list[str] = []
    found: list[list[str]] = []
    numbers, records = [], []
    record = 0
    for line, fields in _records(text, str(path), problems):
        if not header:
            header = _unique([name.strip() for name in fields])
            continue
        record += 1
        if len(fields) != len(header):
            problems.append(
                Problem(str(path), line, f"{plural(len(fields), 'field')}; the header has {len(header)}")
            )
            continue
        if any("\udc80" <= char <= "\udcff" for field in fields for char in field if char > "\ud7ff"):
            problems.append(Problem(str(path), line, "a byte of the record is not UTF-8"))
            continue
        found.append(fields)
        numbers.append(line)
        records.append(record)
    if header and header[0] == _NAMELESS and all(fields[0].isdigit() for fields in found):
        # What pandas writes unless it is told not to: the numbers of a frame's rows.
        header = header[1:]
        found = [fields[1:] for fields in found]
    made = (
        [
            pl.Series(name, values, dtype=pl.String).replace("", None)
            for name, values in zip(header, zip(*found, strict=True), strict=True)
        ]
        if found
        else []
    )
    extra = [pl.Series("line", numbers, dtype=pl.Int64), pl.Series(RECORD, records, dtype=pl.Int64)]
    return Raw(
        pl.DataFrame([*(s for s in made if s.name not in ("line", RECORD)), *extra]), str(path), problems
    )


def _records(text: str, source: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the number of the line on which it begins."""
    physical = list(io.StringIO(text, newline=""))
    delimiter = _delimiter(physical[0]) if physical else ","
    before = csv.field_size_limit(1 << 30)
    try:
        at = 0
        while at < len(physical):
            rest = (physical[index] for index in range(at, len(physical)))
            reader = csv.reader(rest, delimiter=delimiter, strict=True)
            start = at
            try:
                for fields in reader:
                    if fields:
                        yield start + 1, fields
                    start = at + reader.line_num
                at = start
            except csv.Error as error:
                # Only the line on which it began is lost; a quote that was not closed swallows nothing.
                reason = (
                    "a quote is opened and not closed"
                    if "unexpected end" in str(error)
                    else f"not CSV: {error}"
                )
                problems.append(Problem(source, start + 1, reason))
                at = start + 1
    finally:
        csv.field_size_limit(before)


def _decode(data: bytes, *, whole: bool = False) -> str | None:
    """Return the text; of a whole file, a byte that is not UTF-8 stays marked."""
    if data.startswith(_UTF16):
        return data.decode("utf-16", errors="replace")
    data = data.removeprefix(BOM)
    if whole:
        return data.decode(errors="surrogateescape")
    return data.decode(errors="replace")


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _unique(names: list[str]) -> list[str]:
    """Return the names, an empty or a second one numbered."""
    made: list[str] = []
    for position, name in enumerate(names, 1):
        made.append(name if name and name not in made else f"{name or 'column'}_{position}")
    return made


READERS: Final = (Reader(CSV_SCORES, sniff, rows=rows, alone=True),)
