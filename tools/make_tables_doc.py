"""Write the six tables into docs/tables.md, from `evalkit.data.schema`.

Usage: python tools/make_tables_doc.py

Only the text between the two markers is replaced.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from evalkit.data import schema

if TYPE_CHECKING:
    from evalkit.data.schema import Column, Table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tables.md"
BEGIN, END = "<!-- tables: begin, made by tools/make_tables_doc.py -->", "<!-- tables: end -->"
TABLES = (schema.CASES, schema.CRITERIA, schema.RUNS, schema.TRIALS, schema.TURNS, schema.SCORES)


def spell_dtype(dtype: pl.DataType) -> str:
    """Return a dtype as polars spells it; an Enum with its values in order."""
    if isinstance(dtype, pl.Enum):
        ordered = dtype == schema.Severity
        return f"Enum: {(' < ' if ordered else ', ').join(dtype.categories)}"
    if isinstance(dtype, pl.Categorical):
        return "Categorical"
    if isinstance(dtype, pl.Datetime):
        return f"Datetime, {dtype.time_unit}, {dtype.time_zone}"
    if isinstance(dtype, pl.List):
        return f"List of {dtype.inner}"
    return str(dtype)


def row(column: Column, table: Table) -> str:
    """Return a column as a row of a Markdown table."""
    name = f"`{column.name}`" + (" (key)" if column.name in table.key else "")
    null = "yes" if column.nullable else "no"
    return f"| {name} | {spell_dtype(column.dtype)} | {null} | {column.doc.replace('|', '&#124;')} |"


def render() -> str:
    """Return the generated part of the page."""
    parts = []
    for table in TABLES:
        parts += [
            f"## {table.name}",
            "",
            f"One row is {table.row}. The key is {', '.join(f'`{name}`' for name in table.key)}.",
            "",
            "| column | dtype | null | meaning |",
            "|---|---|---|---|",
            *(row(column, table) for column in table.columns),
            "",
        ]
    return "\n".join(parts)


def fill(text: str) -> str:
    """Return the page with its generated part replaced."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n\n{render()}\n{END}{tail}"


def main() -> int:
    """Write the page."""
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
