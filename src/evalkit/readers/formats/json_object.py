"""JSON objects with records inside: `{"results": [...]}`, `{"eval": {"t1": {...}}}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.json_text import BOM, decode, read_bytes
from evalkit.readers.base import JSON_OBJECT, Raw, Reader
from evalkit.readers.nested import find_places
from evalkit.readers.table_records import open_table
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path


def sniff(path: Path, head: bytes) -> bool:
    """Whether a file is one object, and not JSON lines."""
    start = head.removeprefix(BOM).lstrip()
    if not start.startswith(b"{"):
        return False
    lines = [line for line in start.splitlines() if line.strip()]
    # Inner objects of an indented file stand further right.
    objects = [value for line in lines if line.startswith(b"{") and isinstance(value := _value(line), dict)]
    if len(lines) > 1 or not objects:
        return not objects
    is_lines = path.suffix.lower() in (".jsonl", ".ndjson")
    return not is_lines and any(place for place, _ in find_places(objects[0]))


def _value(line: bytes) -> Any:
    try:
        return decode(line.strip())
    except ValueError:
        return None


def rows(path: Path) -> Raw:
    """Return the decoded file; the mapping or a guess says where its records lie."""
    try:
        root = decode(read_bytes(path))
    except ValueError as error:
        raise FormatError(f"{path}: The JSON is broken: {error}.") from None
    return Raw(pl.DataFrame(), str(path), root=root)


def holds_evaluations(path: Path) -> bool:
    """Whether a file has records that a guess reads without asking: others in a folder are settings and totals."""
    try:
        return open_table(rows(path), None).guess is not None
    except FormatError:
        return False


READERS: Final = (Reader(JSON_OBJECT, sniff, rows=rows, alone=True),)
