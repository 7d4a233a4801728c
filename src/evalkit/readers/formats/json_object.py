"""JSON objects with records inside: `{"results": [...]}`, `{"eval": {"t1": {...}}}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit.data.json_text import BOM, decode, read_bytes
from evalkit.readers.base import Raw, Reader
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
    whole = sum(line.startswith(b"{") and _is_object(line) for line in lines)
    return whole == 0 or len(lines) == 1


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode(line.strip()), dict)
    except ValueError:
        return False


def rows(path: Path) -> Raw:
    """Return the decoded file; the mapping or a guess says where its records lie."""
    try:
        root = decode(read_bytes(path))
    except ValueError as error:
        raise FormatError(f"{path}: The JSON is broken: {error}.") from None
    return Raw(pl.DataFrame(), str(path), root=root)


READERS: Final = (Reader("JSON object with scores", sniff, rows=rows, alone=True),)
