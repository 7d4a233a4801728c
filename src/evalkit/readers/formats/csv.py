"""CSV of judge scores, wide or long: comma, semicolon, tab or bar, with a header."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit.data.json_text import BOM, SURROGATE
from evalkit.data.schema import Problem
from evalkit.readers.base import CSV_SCORES, RECORD, Raw, Reader
from evalkit.util.errors import PathError
from evalkit.util.notes import Note
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DELIMITERS: Final = ",;\t|"
_NAMELESS: Final = "column_1"
_SAMPLE: Final = 1000
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


def sniff(path: Path, head: bytes) -> bool:
    """Whether the first line is a header; a `.csv` may have empty or repeated names."""
    text = _decode(head, errors="replace")
    if "\x00" in text or text.lstrip()[:1] in ("{", "[", "<"):
        return False
    first = next(iter(text.splitlines()), "")
    names = [name.strip() for name in first.split(_delimiter(first))]
    is_clear = all(names[1:]) and len(set(names)) == len(names)
    return len(names) > 1 and (is_clear or path.suffix.lower() in (".csv", ".tsv")) and len(first) < 20_000


def rows(path: Path, encoding: str = "") -> Raw:
    """Return the records as text columns, each with its first line.

    Text that is not UTF-8 is read as cp1252, unless an encoding is given. Numbers may have a decimal comma between
    semicolons.
    """
    if not path.is_file():
        raise PathError.missing(path)
    problems: list[Problem] = []
    header: list[str] = []
    records: list[list[str]] = []
    places: list[tuple[int, int]] = []
    data, notes = path.read_bytes(), []
    if not encoding and not _may_be_utf8(data):
        encoding = "cp1252"
        notes = [
            Note("encoding", 'Not UTF-8: read as cp1252. Map "encoding" if it is another.', (str(path),))
        ]
    # Bytes that are not UTF-8 stay marked.
    text = data.decode(encoding, errors="replace") if encoding else _decode(data, errors="surrogateescape")
    for number, (line, fields) in enumerate(_records(text, str(path), problems)):
        if not header:
            header = _unique([name.strip() for name in fields])
            continue
        problem = _problem(fields, header)
        if problem is not None:
            problems.append(Problem(str(path), line, problem))
            continue
        records.append(fields)
        places.append((line, number))
    if header and header[0] == _NAMELESS and all(fields[0].isdigit() for fields in records):
        # pandas writes the index by default.
        header, records = header[1:], [fields[1:] for fields in records]
    columns = zip(header, zip(*records, strict=True), strict=True) if records else ()
    table = [pl.Series(name, values, dtype=pl.String).replace("", None) for name, values in columns]
    table = [column for column in table if column.name not in ("line", RECORD)]
    lines = [pl.Series(n, [p[i] for p in places], dtype=pl.Int64) for i, n in enumerate(("line", RECORD))]
    is_european = ";" in text.partition("\n")[0] and any(map(_has_decimal_comma, table))
    if is_european:
        notes.append(Note("decimal", "Numbers have a decimal comma.", (str(path),)))
    frame = pl.DataFrame([*table, *lines])
    return Raw(frame, str(path), problems, notes=notes, decimal="," if is_european else ".")


def _may_be_utf8(data: bytes) -> bool:
    """Whether a file is UTF-8, perhaps with single bad lines, or UTF-16."""
    if data.startswith(_UTF16):
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        text = data.decode(errors="surrogateescape")
        return any(ord(char) > 127 and not SURROGATE.match(char) for char in text)
    return True


def _has_decimal_comma(column: pl.Series) -> bool:
    some = column.drop_nulls().head(_SAMPLE)
    return bool(len(some)) and 2 * some.str.contains(r"^\s*-?\d+,\d+\s*$").sum() > len(some)


def _problem(fields: list[str], header: list[str]) -> str | None:
    if len(fields) != len(header):
        return f"{plural(len(fields), 'field')}. The header has {len(header)}."
    return "Not valid UTF-8." if any(map(SURROGATE.search, fields)) else None


def _records(text: str, source: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    physical = list(io.StringIO(text, newline=""))
    delimiter = _delimiter(physical[0]) if physical else ","
    limit = csv.field_size_limit(1 << 30)
    start = 0
    try:
        while start < len(physical):
            base = start
            rest = (physical[index] for index in range(base, len(physical)))
            reader = csv.reader(rest, delimiter=delimiter, strict=True)
            try:
                for fields in reader:
                    if fields:
                        yield start + 1, fields
                    start = base + reader.line_num
            except csv.Error as error:
                # An unclosed quote costs one line only.
                is_open = "unexpected end" in str(error)
                reason = "A quote is opened and not closed." if is_open else f"Not CSV: {error}."
                problems.append(Problem(source, start + 1, reason))
                start += 1
    finally:
        csv.field_size_limit(limit)


def _decode(data: bytes, *, errors: str) -> str:
    if data.startswith(_UTF16):
        return data.decode("utf-16", errors="replace")
    return data.removeprefix(BOM).decode(errors=errors)


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _unique(names: list[str]) -> list[str]:
    """Append a number to empty and repeated names."""
    unique: list[str] = []
    for position, name in enumerate(names, 1):
        unique.append(name if name and name not in unique else f"{name or 'column'}_{position}")
    return unique


READERS: Final = (Reader(CSV_SCORES, sniff, rows=rows, alone=True, options=("encoding",)),)
