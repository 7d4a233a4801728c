"""Convert any frame to polars; read columns of a lazy one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import polars as pl

from evalkit.util.errors import FormatError, SelectorError

if TYPE_CHECKING:
    import pandas as pd


class PandasTables(NamedTuple):
    """The six tables as pandas frames; key columns are categories."""

    cases: pd.DataFrame
    criteria: pd.DataFrame
    runs: pd.DataFrame
    trials: pd.DataFrame
    turns: pd.DataFrame
    scores: pd.DataFrame

    def __repr__(self) -> str:
        return f"PandasTables, rows: {', '.join(f'{name} {len(frame):,}' for name, frame in self._asdict().items())}"


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


def is_one_of(frame: pl.DataFrame, name: str, values: list[Any]) -> pl.Expr:
    """Return the condition that a column has one of the values; raise for an unknown value."""
    dtype, column = frame.schema[name], pl.col(name)
    is_list = isinstance(dtype, pl.List)
    present = (frame[name].explode(empty_as_null=True) if is_list else frame[name]).drop_nulls().unique()
    known = {str(value) for value in present.to_list()}
    given = [value for value in values if value is not None]
    for value in given:
        if str(value) not in known:
            raise SelectorError.unknown(value, kind=name.replace("_", " "), have=sorted(known))
    if is_list:
        return column.list.eval(pl.element().is_in(values)).list.any().fill_null(value=False)
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        condition = column.cast(pl.String).is_in([str(value) for value in given])
    else:
        condition = column.is_in(given)
    return condition.fill_null(value=False) | column.is_null() if None in values else condition
