"""What stands in a column: a name, or a score as a number or a word for yes and no."""

from __future__ import annotations

from typing import Final

import polars as pl

from evalkit.data.columns import cell_values

NOTHING: Final = "no score was given"
"""The `error` of a row whose cell is empty."""

_YES: Final = ("pass", "passed", "true", "yes", "correct")
_NO: Final = ("fail", "failed", "false", "no", "incorrect")


def as_names(values: pl.Series) -> pl.Series:
    """Return names: a whole number that came as a float is the whole number."""
    if values.dtype.is_float():
        whole = values.is_null() | ((values == values.round(0)) & (values.abs() < 2**53))
        if whole.all():
            values = values.cast(pl.Int64)
    return cell_values(values, pl.String())


def read_scores(values: pl.Series) -> tuple[pl.Series, pl.Series | None, pl.Series]:
    """Return scores, labels (where the column holds words for yes and no), and why a score is null."""
    labels = None
    numbers = cell_values(values, pl.Float64())
    text = as_names(values)
    words = set(_lower(text).drop_nulls().unique()) - {""}
    if (
        words
        and words <= {*_YES, *_NO}
        and (words & set(_YES) or words & {"false", "no", "fail", "incorrect"})
    ):
        labels = text
        numbers = pl.select(
            pl.when(_lower(text).is_in(_YES)).then(1.0).when(_lower(text).is_in(_NO)).then(0.0)
        ).to_series()
    said = text.str.strip_chars().str.slice(0, 200)
    reasons = pl.select(
        pl.when(numbers.is_not_null())
        .then(None)
        .when(said.is_null() | (said == ""))
        .then(pl.lit(NOTHING))
        .otherwise(said)
    ).to_series()
    return numbers, labels, reasons


def _lower(text: pl.Series) -> pl.Series:
    return text.str.strip_chars().str.to_lowercase()
