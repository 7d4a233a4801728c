"""JSON lists of objects, also broken or truncated ones."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.columns import columns
from evalkit.data.json_text import BOM, decode, read_bytes
from evalkit.data.schema import Problem
from evalkit.readers.base import RECORD, Raw, Reader
from evalkit.readers.formats import jsonl
from evalkit.util.words import plural

if TYPE_CHECKING:
    from pathlib import Path

_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_BETWEEN: Final = re.compile(r"[\s,]*")


def sniff(path: Path, head: bytes) -> bool:
    """Whether a file is a list that is empty or begins with an object."""
    start = head.removeprefix(BOM).lstrip()
    return start.startswith(b"[") and start[1:].lstrip()[:1] in (b"{", b"]")


def rows(path: Path) -> Raw:
    """Return the elements as columns, each with its first line."""
    problems: list[Problem] = []
    records: list[dict[str, Any]] = []
    places: list[tuple[int, int]] = []
    for number, (line, value) in enumerate(elements(read_bytes(path), str(path), problems), 1):
        if isinstance(value, dict):
            records.append(value)
            places.append((line, number))
        else:
            problems.append(Problem(str(path), line, f"Expected a JSON object, not {value!r:.40}."))
    if problems:
        # JSON lines may begin with a bracket: the reading with more records wins.
        by_line = jsonl.rows(path)
        if by_line.frame.height > len(records):
            return by_line
    lines = [pl.Series(n, [p[i] for p in places], dtype=pl.Int64) for i, n in enumerate(("line", RECORD))]
    return Raw(columns(records).with_columns(lines), str(path), problems)


def elements(data: bytes, source: str, problems: list[Problem]) -> list[tuple[int, Any]]:
    """Return the elements with their lines, up to the first break."""
    try:
        raws = msgspec.json.decode(data, type=list[msgspec.Raw])
        values, place, line = [], 0, 1
        for raw in map(bytes, raws):
            start = data.index(raw, place)
            line += data.count(b"\n", place, start)
            values.append((line, decode(raw)))
            line += raw.count(b"\n")
            place = start + len(raw)
        return values
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        return _elements_until_break(data.decode(errors="replace"), source, problems)


def _elements_until_break(text: str, source: str, problems: list[Problem]) -> list[tuple[int, Any]]:
    decoder = json.JSONDecoder(parse_constant=str, strict=False)
    values: list[tuple[int, Any]] = []
    end, line = text.index("[") + 1, 1 + text.count("\n", 0, text.index("["))
    while True:
        start = _BETWEEN.match(text, end).end()  # type: ignore[union-attr]
        line += text.count("\n", end, start)
        if text[start : start + 1] == "]":
            if text[start + 1 :].strip():
                problems.append(Problem(source, line, "There is text after the end of the list."))
            return values
        try:
            value, end = decoder.raw_decode(text, start)
            values.append((line, decode(json.dumps(value).encode())))
        except RecursionError:
            problems.append(Problem(source, line, "Nested too deeply."))
            end = _end_of_value(text, start)
        except ValueError:
            reason = "The list is cut off" if start >= len(text) else "The JSON is broken or cut off here"
            count = plural(len(values), "record")
            problems.append(Problem(source, line, f"{reason}. {count} before it could be read."))
            return values
        line += text.count("\n", start, end)


def _end_of_value(text: str, start: int) -> int:
    """Return the end of a value by its brackets only."""
    depth = 0
    for token in _BRACKET.finditer(text, start):
        if token[0][0] != '"':
            depth += 1 if token[0] in "[{" else -1
        if depth <= 0:
            return token.end()
    return len(text)


READERS: Final = (Reader("JSON list of scores", sniff, rows=rows, alone=True),)
