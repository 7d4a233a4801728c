"""Convert any frame to polars; read columns of a lazy one."""

from __future__ import annotations

from typing import Any, cast

import polars as pl

from evalkit.util.errors import FormatError


def to_polars(frame: Any) -> pl.DataFrame:
    """Convert a polars, pandas, pyarrow or DuckDB frame; raise `FormatError` for anything else."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    import narwhals as nw

    try:
        native = nw.from_native(frame)
    except TypeError:
        kind = type(frame).__name__
        raise FormatError(f"{kind} is not a frame. Expected polars, pandas, pyarrow or DuckDB.") from None
    if isinstance(native, nw.LazyFrame):
        native = native.collect()
    return cast("pl.DataFrame", native.to_polars())


def some_of(frame: Any, *columns: str) -> pl.DataFrame:
    """Return some columns of a table; only they are read from a lazy one."""
    selected: Any = frame.select(columns)
    if isinstance(selected, pl.LazyFrame):
        selected = selected.collect(engine="streaming")
    return cast("pl.DataFrame", selected)
