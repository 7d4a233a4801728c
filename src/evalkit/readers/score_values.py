"""Read cells of a score table as names and scores, each by itself."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit.data.columns import cell_values
from evalkit.data.columns import series as series_of
from evalkit.data.schema import SEVERITIES
from evalkit.readers import guess_rules as rules
from evalkit.readers.guess_rules import NO, UNSCORED, YES

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_SCORE: Final = "no score was given"
"""The `error` of a row whose cell is empty."""

_PLAIN: Final = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_SHARE: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)")


def parse_number(text: str, decimal: str = ".") -> float | None:
    """Return the number of a text, also of "85%" and "4/5"; None if it is none.

    >>> parse_number("85%"), parse_number("4 / 5"), parse_number("0,5", ","), parse_number("Score: 4")
    (85.0, 4.0, 0.5, None)
    """
    text = text.strip().removesuffix("%").rstrip()
    if decimal == ",":
        text = text.replace(",", ".")
    share = _SHARE.fullmatch(text)
    if share:
        return float(share[1])
    value = float(text) if _PLAIN.fullmatch(text) else None
    return value if value is not None and math.isfinite(value) else None


def as_names(values: pl.Series) -> pl.Series:
    """Return cells as names; floats that are whole lose their decimal point."""
    if values.dtype.is_float():
        whole = values.is_null() | ((values == values.round(0)) & (values.abs() < 2**53))
        if whole.all():
            values = values.cast(pl.Int64)
    return cell_values(values, pl.String())


@dataclass(frozen=True, slots=True)
class Notation:
    """How the scores of a column are written.

    `words` is the score of each word, None for no score. `decimal` is the decimal mark. `unit` "%" and `of` ("x/5")
    are what stands behind the number.
    """

    words: Mapping[str, float | None] | None = None
    decimal: str = "."
    unit: str = ""
    of: str = ""


def read_scores(
    values: pl.Series, notation: Notation = Notation()
) -> tuple[pl.Series, pl.Series | None, pl.Series, pl.Series]:
    """Return scores, labels (the words; None without words), the reason of each null score, and the unreadable cells.

    Each cell is read by itself: a number, or a word of `notation` or of a verdict. Words of a verdict count only beside
    numbers 0 and 1.
    """
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return *_plain_scores(values), (values.is_not_null() & cell_values(values, pl.Float64()).is_null())
    names = as_names(values)
    text = names.str.strip_chars()
    numbers = _numbers(text, notation)
    distinct = text.filter(numbers.is_null()).drop_nulls().unique(maintain_order=True).to_list()
    is_binary = numbers.drop_nulls().is_in([0.0, 1.0]).all()
    meanings = {
        word: meaning for word in distinct if (meaning := _meaning(word, notation, is_binary=is_binary))
    }
    # "failed" alone is usually an error, not a verdict.
    if (
        {word.casefold() for word in meanings} == {"failed"}
        and not notation.words
        and numbers.null_count() == len(numbers)
    ):
        meanings = {}
    blank = text.fill_null("") == ""
    if meanings:
        score_of = {word: meaning[0] for word, meaning in meanings.items()}
        worth = [None if value is None else float(value) for value in score_of.values()]
        by_word = text.replace_strict(list(score_of), worth, default=None, return_dtype=pl.Float64)
        numbers = pl.select(pl.coalesce(numbers, by_word)).to_series()
    known = text.is_in(list(meanings)) if meanings else pl.repeat(value=False, n=len(text), eager=True)
    bad = numbers.is_null() & ~blank & ~known.fill_null(value=False)
    reason = pl.when(blank).then(pl.lit(NO_SCORE)).otherwise(text.str.slice(0, 200))
    reasons = pl.select(pl.when(numbers.is_null()).then(reason)).to_series()
    is_word = pl.select(pl.when(known.fill_null(value=False) | bad).then(names)).to_series()
    return numbers, is_word if meanings else None, reasons, bad


def _plain_scores(values: pl.Series) -> tuple[pl.Series, pl.Series | None, pl.Series]:
    numbers = cell_values(values, pl.Float64())
    names = as_names(values)
    reason = pl.when(values.is_null()).then(pl.lit(NO_SCORE)).otherwise(names)
    reasons = pl.select(pl.when(numbers.is_null()).then(reason)).to_series()
    return numbers, names if values.dtype == pl.Boolean else None, reasons


def _numbers(text: pl.Series, notation: Notation) -> pl.Series:
    if notation.of:
        text = text.str.replace(rf"\s*/\s*{re.escape(notation.of)}$", "")
    if notation.unit:
        text = text.str.replace(rf"\s*{re.escape(notation.unit)}$", "")
    if notation.decimal == ",":
        text = text.str.replace_all(",", ".", literal=True)
    return cell_values(text, pl.Float64())


def _meaning(word: str, notation: Notation, *, is_binary: bool) -> tuple[float | None] | None:
    """Return the score of a word as a tuple, or None if it is unknown."""
    plain = word.casefold()
    if notation.words is not None:
        own = {key.casefold(): value for key, value in notation.words.items()}
        return (own[plain],) if plain in own else (None,) if plain in UNSCORED else None
    if plain in UNSCORED:
        return (None,)
    if is_binary and plain in YES | NO:
        return (float(plain in YES),)
    return None


def read_severities(texts: pl.Series, own: Mapping[str, str | None]) -> tuple[pl.Series, list[str]]:
    """Return the severity of each text, by `own` words or the usual ones, and the unknown words."""
    known = {word: word for word in SEVERITIES} | rules.SEVERITIES
    known |= {word.casefold(): level for word, level in own.items() if level is not None}
    silent = {word.casefold() for word, level in own.items() if level is None}
    words = [word for word in texts.drop_nulls().unique(maintain_order=True).to_list() if word]
    level_of = {word: known.get(word.casefold()) for word in words}
    levels = texts.replace_strict(words, list(level_of.values()), default=None, return_dtype=pl.String)
    return levels, [
        word for word, level in level_of.items() if level is None and word.casefold() not in silent
    ]


def without_nested(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame without NaN; nested values become JSON text, except lists of text.

    A name that polars takes for a pattern, `^...$`, loses these two signs.
    """
    columns = []
    patterns = {name: name[1:-1] for name in frame.columns if name[:1] == "^" and name[-1:] == "$"}
    if patterns:
        taken = {*frame.columns}
        plain = {old: new if new and new not in taken else f"({new})" for old, new in patterns.items()}
        frame = frame.clone()
        frame.columns = [plain.get(name, name) for name in frame.columns]
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
