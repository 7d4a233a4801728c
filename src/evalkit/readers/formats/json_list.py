"""One JSON list of objects, wide or long."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.columns import BOM, columns, decode, read_bytes
from evalkit.data.schema import Problem
from evalkit.readers.base import Reader
from evalkit.readers.formats import jsonl
from evalkit.readers.score_table import RECORD, Raw
from evalkit.util.words import plural

if TYPE_CHECKING:
    from pathlib import Path


_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is a list that begins with an object, or with nothing."""
    start = head.removeprefix(BOM).lstrip()
    return start.startswith(b"[") and start[1:].lstrip()[:1] in (b"{", b"]")


def rows(path: Path) -> Raw:
    """Return the elements as columns, each with the line on which it begins."""
    problems: list[Problem] = []
    data = read_bytes(path)
    found, numbers, records = [], [], []
    for record, (number, value) in enumerate(elements(data, str(path), problems), 1):
        if isinstance(value, dict):
            found.append(value)
            numbers.append(number)
            records.append(record)
        else:
            problems.append(Problem(str(path), number, f"a JSON object was expected, not {value!r:.40}"))
    if problems:
        # A bracket before JSON lines makes no list of them: what keeps more records is right.
        by_line = jsonl.rows(path)
        if by_line.frame.height > len(found):
            return by_line
    frame = columns(found).with_columns(
        pl.Series("line", numbers, dtype=pl.Int64), pl.Series(RECORD, records, dtype=pl.Int64)
    )
    return Raw(frame, str(path), problems)


def elements(data: bytes, source: str, problems: list[Problem]) -> list[tuple[int, Any]]:
    """Return the elements of the list with their lines; what follows a break in it cannot be found."""
    try:
        raws = msgspec.json.decode(data, type=list[msgspec.Raw])
        made, at, line = [], 0, 1
        for raw in map(bytes, raws):
            start = data.index(raw, at)
            line += data.count(b"\n", at, start)
            made.append((line, decode(raw)))
            line += raw.count(b"\n")
            at = start + len(raw)
        return made
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        return _slowly(data, source, problems)


def _slowly(data: bytes, source: str, problems: list[Problem]) -> list[tuple[int, Any]]:
    text = data.decode(errors="replace")
    decoder = json.JSONDecoder(parse_constant=str, strict=False)
    made: list[tuple[int, Any]] = []
    at, line = text.index("[") + 1, 1 + text.count("\n", 0, text.index("["))
    while True:
        start = at
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        line += text.count("\n", start, at)
        if text[at : at + 1] == "]":
            if text[at + 1 :].strip():
                problems.append(Problem(source, line, "something follows the end of the list"))
            return made
        try:
            value, end = decoder.raw_decode(text, at)
        except RecursionError:
            problems.append(Problem(source, line, "nested too deeply"))
            end = _end(text, at)
            line += text.count("\n", at, end)
            at = end
            continue
        except ValueError:
            cut = at >= len(text)
            reason = "the list is cut off" if cut else "the JSON is broken or cut off here"
            problems.append(
                Problem(source, line, f"{reason}; {plural(len(made), 'record')} before it could be read")
            )
            return made
        made.append((line, decode(json.dumps(value).encode())))
        line += text.count("\n", at, end)
        at = end


def _end(text: str, at: int) -> int:
    """Return where the value that begins at `at` ends, by its brackets alone."""
    depth = 0
    for token in _BRACKET.finditer(text, at):
        if token[0][0] != '"':
            depth += 1 if token[0] in "[{" else -1
        if depth <= 0:
            return token.end()
    return len(text)


READERS: Final = (Reader("JSON list of scores", sniff, rows=rows, alone=True),)
