"""Folders of `Evals.save`, single tables of them, and Parquet score tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.columns import fit
from evalkit.data.evals import Evals
from evalkit.data.parquet import MANIFEST, read_parquet
from evalkit.data.schema import TABLES
from evalkit.readers.base import Raw, Reader
from evalkit.readers.formats.jsonl import first_record

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC: Final = b"PAR1"


def is_saved(path: Path, head: bytes) -> bool:
    """Whether a folder was written by `Evals.save`."""
    return path.is_dir() and (path / MANIFEST).is_file()


def is_table(path: Path, head: bytes) -> bool:
    """Whether a file is a saved table: Parquet of that name with its key."""
    if not head.startswith(_MAGIC) or path.stem not in TABLES:
        return False
    try:
        have = set(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError):
        return False
    return {"run", "case", "criterion", "suite"} & set(TABLES[path.stem].key) <= have


def is_parquet(path: Path, head: bytes) -> bool:
    """Whether a file is Parquet."""
    if not head.startswith(_MAGIC):
        return False
    with path.open("rb") as file:
        file.seek(-len(_MAGIC), os.SEEK_END)
        # A truncated file is still Parquet.
        return file.read() == _MAGIC or first_record(head) is None


def read_table(path: Path, tables: frozenset[str]) -> Evals:
    """Read a saved table; if not requested, only its runs."""
    name: Any = path.stem
    if name not in {*tables, "runs"}:
        runs = read_parquet(path, ["run"]).unique(maintain_order=True) if "run" in TABLES[name].key else None
        return Evals.from_tables(runs=runs, files=[str(path)])
    good, problems = fit(TABLES[name], read_parquet(path))
    tables_read: dict[str, Any] = {name: good}
    return Evals.from_tables(**tables_read, problems=problems, files=[str(path)])


def rows(path: Path) -> Raw:
    """Return the rows of a Parquet file."""
    frame = read_parquet(path)
    return Raw(frame.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line")), str(path))


def read_saved(folder: Path, tables: frozenset[str]) -> Evals:
    """Read the requested tables of a saved folder."""
    return Evals.load(folder, tables=tables)


OWN: Final = (
    Reader("saved evals", is_saved, partly=read_saved),
    Reader("saved table", is_table, partly=read_table),
)
TABLES_OF_SCORES: Final = (Reader("Parquet of scores", is_parquet, rows=rows, alone=True),)
