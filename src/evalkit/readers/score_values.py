"""Read cells of a score table as names and scores."""

from __future__ import annotations

from typing import Final

import polars as pl

from evalkit.data.columns import cell_values
from evalkit.data.columns import series as series_of

NO_SCORE: Final = "no score was given"
"""The `error` of a row whose cell is empty."""

_YES: Final = ("pass", "passed", "true", "yes", "correct")
_NO: Final = ("fail", "failed", "false", "no", "incorrect")


def as_names(values: pl.Series) -> pl.Series:
    """Return cells as names; floats that are whole lose their decimal point."""
    if values.dtype.is_float():
        whole = values.is_null() | ((values == values.round(0)) & (values.abs() < 2**53))
        if whole.all():
            values = values.cast(pl.Int64)
    return cell_values(values, pl.String())


def read_scores(values: pl.Series) -> tuple[pl.Series, pl.Series | None, pl.Series]:
    """Return scores, labels (for yes/no words), and the reason for each null score."""
    names = as_names(values)
    text = names.str.strip_chars()
    words = text.str.to_lowercase()
    kinds = set(words.drop_nulls().unique()) - {""}
    # "failed" alone is usually an error, not a verdict.
    is_binary = kinds <= {*_YES, *_NO} and bool(kinds - {"failed"})
    if is_binary:
        yes = pl.when(words.is_in(_YES)).then(1.0).when(words.is_in(_NO)).then(0.0)
        numbers = pl.select(yes).to_series()
    else:
        numbers = cell_values(values, pl.Float64())
    reason = pl.when(text.fill_null("") == "").then(pl.lit(NO_SCORE)).otherwise(text.str.slice(0, 200))
    reasons = pl.select(pl.when(numbers.is_null()).then(reason)).to_series()
    return numbers, names if is_binary else None, reasons


def may_score(values: pl.Series) -> bool:
    """Whether most values are numbers, or text of numbers."""
    if values.dtype != pl.String:
        return values.dtype.is_numeric() or values.dtype == pl.Boolean
    texts = values.drop_nulls()
    return 2 * cell_values(texts, pl.Float64()).count() > texts.len()


def without_nested(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame without NaN; nested values become JSON text, except lists of text."""
    columns = []
    for series in frame:
        if series.dtype.is_float():
            columns.append(series.fill_nan(None))
        elif series.dtype == pl.Object or (series.dtype.is_nested() and series.dtype != pl.List(pl.String)):
            columns.append(series_of(series.name, series.to_list()))
        else:
            columns.append(series)
    return pl.DataFrame(columns) if columns else frame


def constant(frame: pl.DataFrame, value: str) -> pl.Series:
    """Return a column of one repeated value."""
    return pl.Series("value", [value], dtype=pl.String).new_from_index(0, frame.height)
