"""Read frames in memory: polars, pandas, pyarrow and DuckDB."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from evalkit.data.columns import series
from evalkit.data.frames import to_polars
from evalkit.readers.base import Raw
from evalkit.util.errors import FormatError
from evalkit.util.words import join_words


def _package(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def is_frame(source: Any) -> bool:
    """Whether a value is a frame, without importing a frame library."""
    if isinstance(source, pl.DataFrame | pl.LazyFrame):
        return True
    return _package(source) in ("pandas", "pyarrow", "duckdb") and hasattr(source, "columns")


def rows(frame: Any, name: str) -> Raw:
    """Return the rows, numbered from 1; raise `FormatError` for a repeated column name."""
    pandas = _package(frame) == "pandas"
    names = list(map(str, frame.columns)) if pandas else list(getattr(frame, "column_names", ()))
    repeated = [repr(column) for column, count in Counter(names).items() if count > 1]
    if repeated:
        raise FormatError(
            f"{name} has several columns called {join_words(repeated)}. Give each its own name."
        )
    columns = _from_pandas(frame) if pandas else to_polars(frame)
    line = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line")
    return Raw(columns.with_columns(line), name, file=False)


def _from_pandas(frame: Any) -> pl.DataFrame:
    """Convert by column; a column of mixed types becomes text."""
    index = [name for name in frame.index.names if name is not None and name not in frame.columns]
    if index:
        frame = frame.reset_index(index)
    columns = []
    for position, name in enumerate(frame.columns):
        column = frame.iloc[:, position]
        if str(column.dtype) == "object":
            values = [None if _is_missing(value) else _plain(value) for value in column.tolist()]
            columns.append(series(str(name), values))
        else:
            single = column.to_frame(str(name)).reset_index(drop=True)
            columns.append(to_polars(single).to_series().alias(str(name)))
    return pl.DataFrame(columns)


def _is_missing(value: Any) -> bool:
    is_nan = isinstance(value, float) and value != value
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _plain(value: Any) -> Any:
    return value.tolist() if _package(value) == "numpy" else value
