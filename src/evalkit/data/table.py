"""Table definitions: check frames, split good rows from bad ones, merge frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import polars as pl

from evalkit.util.errors import ColumnError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

Key: Final = pl.Categorical()
TableName = Literal["cases", "criteria", "runs", "trials", "turns", "scores"]
PROBLEMS_SCHEMA: Final = {"source": pl.String(), "line": pl.Int64(), "reason": pl.String()}

# Optional key columns with their default.
_DEFAULTS: Final[dict[str, str | int]] = {
    "suite": "",
    "grader": "",
    "rubric_hash": "",
    "epoch": 1,
    "sample": 1,
    "turn": 1,
}
_EXPECTED: Final = {
    "Int32": "a whole number",
    "Int64": "a whole number",
    "Float64": "a finite number",
    "Datetime": "a time, as in 2026-01-31T09:00:00Z",
    "Boolean": "true or false",
    "List": "a list of strings",
}
_VALUE_CHARS: Final = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """An unreadable record and its place.

    `source` is the file, or `<frame>`. `line` is the line or row, from 1; None for the whole file.
    """

    source: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, dtype and meaning."""

    name: str
    dtype: pl.DataType
    doc: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One of the six tables: name, unit of a row, key and columns."""

    name: TableName
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...] = field(repr=False)

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column names and dtypes, in order."""
        return {column.name: column.dtype for column in self.columns}

    def empty(self) -> pl.DataFrame:
        """Return this table with no rows."""
        return _empty(self).clone()

    def complete(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with exactly this table's columns, in order.

        A missing or null key is `""` (1 for a counter); other missing columns are null. Raise `ColumnError`
        if `run`, `case` or `criterion` is required and missing.
        """
        has_nulls = any(
            frame[name].null_count() for name in self.schema if name in _DEFAULTS and name in frame
        )
        if frame.schema == self.schema and not has_nulls:
            return frame
        columns = []
        for column in self.columns:
            name, default = column.name, _DEFAULTS.get(column.name)
            if name in frame.columns:
                series = frame[name]
                columns.append(
                    series if default is None or not series.null_count() else series.fill_null(default)
                )
            elif name in self.key and default is None:
                raise ColumnError.missing(name, table=self.name, have=frame.columns)
            else:
                columns.append(pl.repeat(default, frame.height, dtype=column.dtype, eager=True).alias(name))
        return pl.DataFrame(columns)

    def check(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with exactly this table's columns, cast and checked.

        Raises
        ------
        ColumnError
            A column is missing, has an invalid value or null, or two rows share a key.

        Examples
        --------
        >>> from evalkit.data.schema import SCORES
        >>> frame = pl.DataFrame({"run": ["a"], "case": ["01"], "criterion": ["Groq"], "score": [4]})
        >>> SCORES.check(frame)["sample"].item()
        1
        """
        frame = self.complete(frame)
        columns = []
        for column, series in zip(self.columns, frame.get_columns(), strict=True):
            cast_series = _cast(series, column.dtype)
            columns.append(cast_series)
            if cast_series.null_count() > series.null_count():
                row = (cast_series.is_null() & series.is_not_null()).arg_true()[0]
                raise ColumnError(f"Row {row + 1} of {self._invalid(column, series[row])}")
            if cast_series.null_count() and not column.nullable:
                nulls, row = plural(cast_series.null_count(), "null"), cast_series.is_null().arg_true()[0]
                raise ColumnError(
                    f"{self.name}.{column.name} has {nulls}, first in row {row + 1}. Expected none."
                )
        frame = pl.DataFrame(columns)
        if _has_repeats(frame.select(self.key)):
            repeated = frame.select(self.key).is_duplicated()
            first = frame.filter(repeated).select(self.key).row(0, named=True)
            raise ColumnError(
                f"{self.name}: {int(repeated.sum())} rows share a key, first {_key_text(first)}."
            )
        return frame

    def filter(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Problem]]:
        """Split `frame` into the rows that fit this table and a `Problem` for each other row.

        Invalid values, null keys and repeated keys (after the first) are problems, in row order. Columns
        `source` and `line` give their place.

        Examples
        --------
        >>> from evalkit.data.schema import CASES
        >>> rows = pl.DataFrame({"case": ["01", "02"], "severity": ["high", "awful"]})
        >>> good, problems = CASES.filter(rows)
        >>> good["case"].to_list(), problems[0].reason
        (['01'], "cases.severity is 'awful'. Expected low, medium, high or critical.")
        """
        frame = self.complete(frame)
        reasons: dict[int, str] = {}
        columns = []
        for column in self.columns:
            series = frame[column.name]
            cast_series = _cast(series, column.dtype)
            columns.append(cast_series)
            null = cast_series.is_null()
            for row in (null & series.is_not_null()).arg_true():
                reasons.setdefault(row, self._invalid(column, series[row]))
            for row in (null & series.is_null()).arg_true() if not column.nullable else ():
                reasons.setdefault(row, f"{self.name}.{column.name} is empty.")
        rows = pl.DataFrame(columns).with_row_index("_row")
        # The first good row of a key stays.
        good = rows.filter(~pl.col("_row").is_in(list(reasons))) if reasons else rows
        kept = good
        if _has_repeats(good.select(self.key)):
            kept = good.unique(subset=list(self.key), keep="first", maintain_order=True)
            repeats = good.join(kept.select("_row"), on="_row", how="anti")
            for row, *key in repeats.select("_row", *self.key).iter_rows():
                text = _key_text(dict(zip(self.key, key, strict=True)))
                reasons[row] = f"{self.name}: a second row with the key {text}; the first is kept."
        places = {name: frame[name] for name in ("source", "line") if name in frame.columns}
        problems = []
        for row, reason in sorted(reasons.items()):
            source, line = (places[name][row] if name in places else None for name in ("source", "line"))
            problems.append(Problem(source or "<frame>", row + 1 if line is None else int(line), reason))
        return kept.drop("_row"), problems

    def union(self, first: pl.DataFrame, second: pl.DataFrame) -> tuple[pl.DataFrame, list[Problem]]:
        """Merge two checked frames of this table by key.

        Nulls of a case, criterion, run or trial in the first are filled from the second; scores and turns are
        not mixed. Contradictions keep the first, with a `Problem`.
        """
        if first.is_empty() or second.is_empty():
            return (second if first.is_empty() else first), []
        key = list(self.key)
        new = second.join(first, on=key, how="anti", maintain_order="left")
        if new.height == second.height:
            return pl.concat([first, new]), []
        facts = [name for name in self.schema if name not in (*key, "source", "line")]
        if self.name in ("scores", "turns"):
            same = first.join(second, on=key, how="inner", maintain_order="left", suffix="__other")
            clash = pl.any_horizontal(pl.col(c).ne_missing(pl.col(f"{c}__other")) for c in facts)
            merged = first
        else:
            same = first.join(second, on=key, how="left", maintain_order="left", suffix="__other")
            # An empty name counts as missing.
            names = [c for c in facts if self.schema[c] == Key]
            same = same.with_columns(pl.col(n).replace("", None) for c in names for n in (c, f"{c}__other"))
            clash = pl.any_horizontal(pl.col(c) != pl.col(f"{c}__other") for c in facts)
            # A row without a place takes that of the other.
            place = [c for c in ("source", "line") if c in self.schema]
            unplaced = pl.col("source").is_null() & pl.col("source__other").is_not_null()
            merged = same.with_columns(
                *(pl.coalesce(c, f"{c}__other") for c in facts),
                *(pl.when(unplaced).then(f"{c}__other").otherwise(c).alias(c) for c in place),
            ).select(first.columns)
            merged = merged.with_columns(pl.col(c).fill_null(_DEFAULTS[c]) for c in facts if c in _DEFAULTS)
        problems = []
        for row in same.filter(clash.fill_null(value=False)).iter_rows(named=True):
            text = _key_text({name: row[name] for name in key})
            reason = f"{self.name}: {text} is there already, with other content; the first is kept."
            problems.append(Problem(row.get("source__other") or "<frame>", row.get("line__other"), reason))
        return pl.concat([merged, new]), problems

    def union_all(self, frames: Iterable[pl.DataFrame]) -> tuple[pl.DataFrame, list[Problem]]:
        """Merge frames as `union` does, in one step if no key repeats."""
        full = [frame for frame in frames if not frame.is_empty()]
        if len(full) < 2:
            return (full[0] if full else self.empty()), []
        rows = pl.concat(full)
        if not _has_repeats(rows.select(self.key)):
            return rows, []
        merged, problems = full[0], []
        for frame in full[1:]:
            merged, clashes = self.union(merged, frame)
            problems += clashes
        return merged, problems

    def _invalid(self, column: Column, value: object) -> str:
        text = repr(value)
        text = text if len(text) <= _VALUE_CHARS else f"{text[: _VALUE_CHARS - 3]}..."
        return f"{self.name}.{column.name} is {text}. Expected {expected_of(column.dtype)}."


def expected_of(dtype: Any) -> str:
    """Return the valid values of a dtype as a noun phrase."""
    if isinstance(dtype, pl.Enum):
        *names, last = dtype.categories
        return f"{', '.join(names)} or {last}"
    return _EXPECTED.get(type(dtype).__name__, "text")


@lru_cache
def _empty(table: Table) -> pl.DataFrame:
    """Return an empty frame, cached: polars takes a millisecond for each."""
    return pl.DataFrame(schema=table.schema)


def _has_repeats(keys: pl.DataFrame) -> bool:
    """Whether a key occurs twice. Packing keys into one integer is faster than hashing rows."""
    if keys.height < 2:
        return False
    packed, size = pl.lit(0, dtype=pl.UInt64), 1
    for column in keys.get_columns():
        codes = column.to_physical().cast(pl.Int64)
        low, high = cast("int", codes.min()), cast("int", codes.max())
        if low == high:
            continue
        width = high - low + 1
        size *= width
        packed = packed * width + (codes - low).cast(pl.UInt64)
    if size >= 2**63:
        return bool(keys.is_duplicated().any())
    return size == 1 or pl.select(packed.alias("key")).to_series().n_unique() < keys.height


def _cast(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    if series.dtype == dtype and (not isinstance(dtype, pl.Float64) or bool(series.is_finite().all())):
        return series
    if isinstance(dtype, pl.Int32 | pl.Int64) and series.dtype.is_float():
        # The cast would truncate fractions.
        series = series.set((series != series.round(0)) | series.is_nan(), None)
    if isinstance(dtype, pl.Categorical | pl.Enum) and series.dtype != pl.String:
        series = series.cast(pl.String, strict=False)
    made = series.cast(dtype, strict=False)
    if isinstance(dtype, pl.Float64):
        # Infinity and NaN would spoil every mean.
        made = made.set(~made.is_finite().fill_null(value=True), None)
    return made


def _key_text(key: dict[str, object]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in key.items() if value not in ("", None))
