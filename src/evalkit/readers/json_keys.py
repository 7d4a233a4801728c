"""Read the structure of the beginning of a JSON file."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.json_text import BOM, decode, lines, read_bytes
from evalkit.readers.formats.json_list import elements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evalkit.data.schema import Problem
    from evalkit.readers.builder import EvalsBuilder

_HEAD_BYTES: Final = 1 << 16
_MAX_LINE_BYTES: Final = 1 << 20
_MAX_RECORDS: Final = 10
_MAX_DEPTH: Final = 4
_TOKEN: Final = re.compile(rb'"((?:[^"\\]|\\.)*+)"(\s*:)?|[{}\[\]]', re.DOTALL)


def outline(head: bytes) -> frozenset[str]:
    """Return the key paths in the beginning of a JSON file, four deep; "[]" is any list element.

    >>> sorted(outline(b'{"a": {"b": [{"c": "}"}]}, "d": "cut off'))
    ['a', 'a.b', 'a.b.[].c', 'd']
    """
    return _outline(head[:_HEAD_BYTES])


def first_records(head: bytes) -> tuple[dict[str, Any], ...]:
    """Return the first ten JSON lines that are objects; long values are emptied."""
    return _few_records(head) if len(head) <= _MAX_LINE_BYTES else tuple(_records(head))


@lru_cache(maxsize=2)
def _outline(head: bytes) -> frozenset[str]:
    data = head.removeprefix(BOM)
    if data.lstrip()[:1] not in (b"{", b"["):
        return frozenset()
    paths: set[str] = set()
    parents: list[str] = []
    lists: list[bool] = []
    key = ""
    for token in _TOKEN.finditer(data):
        sign = token[0][:1]
        if sign == b'"':
            if token[2]:
                key = token[1].decode(errors="replace")
                if len(parents) <= _MAX_DEPTH:
                    paths.add(".".join([*parents[1:], key]))
        elif sign in b"{[":
            parents.append("[]" if lists and lists[-1] else key)
            lists.append(sign == b"[")
        elif parents:
            parents.pop()
            lists.pop()
    return frozenset(paths)


@lru_cache(maxsize=2)
def _few_records(head: bytes) -> tuple[dict[str, Any], ...]:
    return tuple(_records(head))


def _records(head: bytes) -> Iterator[dict[str, Any]]:
    count = 0
    for _, raw in lines(head.removeprefix(BOM)):
        if not raw.startswith(b"{"):
            continue
        try:
            value = decode(raw) if len(raw) <= _MAX_LINE_BYTES else _skimmed(raw)
        except (ValueError, msgspec.MsgspecError):
            continue
        if isinstance(value, dict):
            yield value
            count += 1
        if count == _MAX_RECORDS:
            return


def _skimmed(raw: bytes) -> dict[str, Any]:
    empty: dict[bytes, Any] = {b"{": {}, b"[": [], b'"': ""}
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return {
        name: decode(bytes(value)) if len(bytes(value)) <= _HEAD_BYTES else empty.get(bytes(value)[:1])
        for name, value in fields.items()
    }


def read_object(path: Path, builder: EvalsBuilder) -> tuple[dict[str, Any], bytes]:
    """Return the JSON object of a file and its bytes; {} and a problem if there is none."""
    data = read_bytes(path)
    try:
        value = decode(data)
    except ValueError as error:
        builder.add_problem(None, f"the file cannot be read: {error}")
        return {}, data
    if not isinstance(value, dict):
        builder.add_problem(None, f"a JSON object was expected, not {value!r:.40}")
        return {}, data
    return value, data


def listed_in(
    whole: Mapping[str, Any], data: bytes, *keys: str, builder: EvalsBuilder
) -> list[tuple[int | None, dict[str, Any]]]:
    """Return the records of a list in an object, each with its line.

    `keys` is the path to the list. Of a broken file the records before the break are returned; `builder` gets
    a problem for each element that is no object.
    """
    value: Any = whole
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    numbered: list[tuple[int | None, Any]] = []
    if not whole:
        numbered += _before_the_break(data, keys, builder)
    elif isinstance(value, list):
        numbered += zip(_lines_of(data, keys, len(value)), value, strict=True)
    elif value is not None:
        builder.add_problem(None, f"{'.'.join(keys)} is no list: {value!r:.40}")
    records = []
    for number, record in numbered:
        if isinstance(record, dict):
            records.append((number, record))
        else:
            builder.add_problem(number, f"a JSON object was expected, not {record!r:.40}")
    return records


def _before_the_break(data: bytes, keys: tuple[str, ...], builder: EvalsBuilder) -> list[tuple[int, Any]]:
    at = 0
    for key in keys:
        opening = rb"\s*\[" if key == keys[-1] else b""
        hit = re.compile(rb'(?<!\\)"' + re.escape(key.encode()) + rb'"\s*:' + opening).search(data, at)
        if hit is None:
            return []
        at = hit.end()
    above = data.count(b"\n", 0, at - 1)
    problems: list[Problem] = []
    records = [(above + line, value) for line, value in elements(data[at - 1 :], builder.source, problems)]
    for problem in problems:
        builder.add_problem(above + (problem.line or 1), problem.reason)
    return records


def _lines_of(data: bytes, keys: tuple[str, ...], count: int) -> list[int | None]:
    """Return the first line of each list element; None for lenient JSON."""
    raw = data
    try:
        for key in keys:
            raw = bytes(msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[key])
        above = data.count(b"\n", 0, data.index(raw))
        numbers: list[int | None] = [above + line for line, _ in elements(raw, "", [])]
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, KeyError, RecursionError):
        return [None] * count
    return numbers if len(numbers) == count else [None] * count
