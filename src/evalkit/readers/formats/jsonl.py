"""JSON lines of judge scores, wide or long."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from evalkit.data.columns import read_frame
from evalkit.data.json_text import BOM, decode, lines
from evalkit.readers.base import Raw, Reader

if TYPE_CHECKING:
    from pathlib import Path


# Archives and Parquet: scanning their "lines" is slow.
_BINARY: Final = (b"PK\x03\x04", b"PAR1", b"\x1f\x8b")
_OBJECT: Final = re.compile(rb'\n\s*\{\s*["}]')


def sniff(path: Path, head: bytes) -> bool:
    """Whether one of the first lines is a JSON object."""
    return first_record(head) is not None


def first_record(head: bytes) -> dict[str, object] | None:
    """Return the first line that is a JSON object."""
    if head.startswith(_BINARY) and not _OBJECT.search(head):
        return None
    for _, raw in lines(head.removeprefix(BOM)):
        if not raw.startswith(b"{"):
            continue
        try:
            value = decode(raw)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return None


def rows(path: Path) -> Raw:
    """Return the lines as columns."""
    frame, problems = read_frame(path)
    return Raw(frame, str(path), problems)


READERS: Final = (Reader("JSON lines of scores", sniff, rows=rows, alone=True),)
