"""Frames in memory: polars and pandas."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from evalkit.data.columns import series
from evalkit.data.evals import to_polars
from evalkit.readers.score_table import Raw
from evalkit.util.errors import FormatError
from evalkit.util.words import join_words


def is_frame(source: Any) -> bool:
    """Whether it is a frame of polars or pandas; neither is imported to know."""
    if isinstance(source, pl.DataFrame | pl.LazyFrame):
        return True
    return type(source).__module__.partition(".")[0] in ("pandas", "pyarrow", "duckdb") and hasattr(
        source, "columns"
    )


def rows(frame: Any, name: str) -> Raw:
    """Return the rows with their numbers, from 1.

    Raises
    ------
    FormatError
        It is no frame, or two of its columns have one name.
    """
    pandas = type(frame).__module__.partition(".")[0] == "pandas"
    names = list(map(str, frame.columns)) if pandas else list(getattr(frame, "column_names", ()))
    doubled = [column for column, count in Counter(names).items() if count > 1]
    if doubled:
        raise FormatError(
            f"{name} has several columns called {join_words(map(repr, doubled))}; give each its own name."
        )
    made = _from_pandas(frame) if pandas else to_polars(frame)
    return Raw(
        made.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line")), name, file=False
    )


def _from_pandas(frame: Any) -> pl.DataFrame:
    """Return a pandas frame column by column: one that holds several kinds of value is text."""
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    if named:
        frame = frame.reset_index(named)
    made = []
    for position, name in enumerate(frame.columns):
        column = frame.iloc[:, position]
        if str(column.dtype) == "object":
            values = [None if _is_missing(value) else _plain(value) for value in column.tolist()]
            made.append(series(str(name), values))
        else:
            made.append(
                to_polars(column.to_frame(str(name)).reset_index(drop=True)).to_series().alias(str(name))
            )
    return pl.DataFrame(made)


def _is_missing(value: Any) -> bool:
    """Whether it is None, NaN, NaT or NA."""
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and value != value)
    )


def _plain(value: Any) -> Any:
    """Return a numpy scalar or array as what it stands for."""
    return value.tolist() if type(value).__module__ == "numpy" else value
