"""Excel workbooks; needs `evalkit-lab[excel]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.readers.base import Raw, Reader, numbered
from evalkit.util.errors import FormatError
from evalkit.util.notes import Note
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from pathlib import Path

SHEET: Final = "sheet"
"""The column with the name of a record's sheet, if several sheets have the same header."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether a file is a zip with the members of a workbook."""
    return head.startswith(b"PK\x03\x04") and (b"xl/" in head or path.suffix.lower() == ".xlsx")


def rows(path: Path, sheet: str = "") -> Raw:
    """Return the rows of one sheet, or of all sheets with the header of the largest.

    Raise `FormatError` without the library, for an unreadable workbook, or an unknown sheet.
    """
    sheets = _sheets(path)
    if sheet and sheet not in sheets:
        raise FormatError(
            f"{path}: There is no sheet {sheet!r}.{did_you_mean(sheet, sheets)}", choices=tuple(sheets)
        )
    full = {name: table for name, table in sheets.items() if len(table) > 1 and (not sheet or name == sheet)}
    if not full:
        raise FormatError(f"{path}: No sheet has a header and rows. It has {join_words(map(repr, sheets))}.")
    largest = max(full, key=lambda name: len(full[name]))
    header = full[largest][0]
    alike = [name for name, table in full.items() if table[0] == header]
    names = [str(name).strip() or f"column_{place}" for place, name in enumerate(header, 1)]
    records = [
        dict(zip(names, map(_cell, row), strict=False)) | ({SHEET: name} if len(alike) > 1 else {})
        for name in alike
        for row in full[name][1:]
        if any(cell not in ("", None) for cell in row)
    ]
    skipped = [name for name in sheets if name not in alike]
    notes = []
    if len(alike) > 1:
        notes.append(
            Note("sheets", f"Sheets with the same header are versions: {join_words(map(repr, alike))}.")
        )
    if skipped and not sheet:
        notes.append(Note("skipped", f"Sheets not read: {join_words(map(repr, skipped))}."))
    return Raw(numbered(records, first=2), str(path), notes=notes)


def _sheets(path: Path) -> dict[str, list[list[Any]]]:
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        fix = 'Install it: pip install "evalkit-lab[excel]".'
        raise FormatError(f"{path}: Excel files need python-calamine.", fix=fix) from None
    try:
        with CalamineWorkbook.from_path(str(path)) as book:
            return {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}
    except (CalamineError, OSError, ValueError) as error:
        raise FormatError(f"{path}: The workbook cannot be read: {error}.") from None


def _cell(value: Any) -> Any:
    """Return a cell without Excel's float for a whole number; dates as text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value == "":
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)


READERS: Final = (Reader("Excel workbook", sniff, rows=rows, alone=True, options=("sheet",)),)
