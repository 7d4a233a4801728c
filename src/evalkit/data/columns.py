"""Read JSON lines and untyped cells into columns; bad records become `Problem`s."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.json_text import SURROGATE, as_text, decode, lines, read_bytes, record
from evalkit.data.schema import Key, Problem, Table
from evalkit.data.table import expected_of
from evalkit.util.errors import PathError
from evalkit.util.format import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_INT64: Final = range(-(2**63), 2**63)
_HEAD: Final = 1 << 16
_CELL_CHARS: Final = 200
# Old versions of polars crash on this many opening brackets in a line.
_DEEP: Final = 500


def read_frame(
    path: str | Path, *, schema: Mapping[str, Any] | None = None
) -> tuple[pl.DataFrame, list[Problem]]:
    """Read JSON lines into columns, with the number of each record's line.

    Columns with numbers only are numeric, mixed ones text; lists and objects are JSON text. Columns of
    `schema` have its dtypes if all records are valid; None reads all columns.
    """
    path = Path(path)
    if not path.is_file():
        raise PathError.missing(path)
    frame = _read_sound(path, schema)
    if frame is not None:
        return frame, []
    problems: list[Problem] = []
    numbers, rows = [], []
    for number, raw in lines(read_bytes(path)):
        value = record(raw, str(path), number, problems)
        if value is not None:
            numbers.append(number)
            rows.append(value)
    frame = columns(rows, names=schema)
    return frame.with_columns(pl.Series("line", numbers, dtype=pl.Int64)), problems


def columns(rows: list[dict[str, Any]], *, names: Iterable[str] | None = None) -> pl.DataFrame:
    """Return the columns of decoded records; see `read_frame`.

    >>> columns([{"a": 1, "b": "x"}, {"a": 2.5, "b": 3}]).to_dict(as_series=False)
    {'a': [1.0, 2.5], 'b': ['x', '3']}
    """
    keys = dict.fromkeys(name for row in rows for name in row)
    wanted = keys if names is None else [name for name in names if name in keys]
    made = [series(name, [row.get(name) for row in rows]) for name in wanted]
    return pl.DataFrame(made) if made else pl.DataFrame({"line": [None] * len(rows)})


def series(name: str, values: list[Any]) -> pl.Series:
    """Return decoded values as a column; nested or mixed values become text."""
    kinds = {type(value) for value in values} - {type(None)}
    name = SURROGATE.sub("\ufffd", name)
    if kinds <= {bool}:
        return pl.Series(name, values, dtype=pl.Boolean if kinds else pl.String)
    if kinds <= {int} and all(value is None or value in _INT64 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds <= {int, float}:
        return pl.Series(name, list(map(_float, values)), dtype=pl.Float64)
    return pl.Series(name, values if kinds <= {str} else list(map(as_text, values)), dtype=pl.String)


def typed_columns(names: Iterable[str], rows: list[tuple[Any, ...]], table: Table) -> list[pl.Series]:
    """Return rows as columns of the table's types; a number out of range is null."""
    from operator import itemgetter

    return [
        pl.Series(name, list(map(itemgetter(place), rows)), dtype=table.schema[name], strict=False)
        for place, name in enumerate(names)
    ]


def fit(table: Table, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Problem]]:
    """Return the rows that fit `table`, and a `Problem` for each invalid value or row.

    An invalid value becomes null; the text of an invalid `score` goes into `error`. A row with a missing,
    invalid or repeated key is dropped.

    >>> from evalkit.data.schema import SCORES
    >>> rows = {"run": ["a"], "case": ["01"], "criterion": ["Groq"], "score": ["(Failed)"]}
    >>> good, problems = fit(SCORES, pl.DataFrame(rows))
    >>> good["score"].item(), good["error"].item(), problems[0].reason
    (None, '(Failed)', "Groq: score is '(Failed)'. Expected a finite number.")
    """
    problems: list[Problem] = []
    for column in table.columns:
        if not column.nullable or column.name not in frame.columns:
            continue
        values = frame[column.name]
        cells = cell_values(values, column.dtype)
        bad = (cells.is_null() & values.is_not_null()).arg_true()
        frame = frame.with_columns(cells.alias(column.name))
        if not bad.len():
            continue
        texts = {row: shorten(str(as_text(values[row])), _CELL_CHARS) for row in bad}
        places = frame[bad].select([c for c in ("source", "line", "criterion") if c in frame.columns])
        for row, place in zip(bad, places.iter_rows(named=True), strict=True):
            about = f"{place['criterion']}: " if place.get("criterion") else ""
            reason = f"{about}{column.name} is {texts[row]!r}. Expected {expected_of(column.dtype)}."
            problems.append(Problem(place.get("source") or "<frame>", place.get("line"), reason))
        if column.name == "score":
            reasons = pl.Series("error", [texts.get(row) for row in range(frame.height)], dtype=pl.String)
            given = frame["error"].cast(pl.String) if "error" in frame.columns else reasons
            frame = frame.with_columns(pl.select(pl.coalesce(given, reasons)).to_series().alias("error"))
    good, more = table.filter(frame)
    return good, problems + more


def cell_values(values: pl.Series, dtype: Any) -> pl.Series:
    """Return a column as `dtype`; invalid values become null."""
    given = values.dtype
    if given == dtype and not given.is_float():
        return values
    if isinstance(given, pl.Boolean) and not isinstance(dtype, pl.Boolean):
        # True is 1 as a number and "true" as text.
        return values.cast(pl.Int8 if dtype.is_numeric() else pl.String).cast(dtype)
    if isinstance(dtype, pl.Float64 | pl.Int32 | pl.Int64):
        if not given.is_numeric():
            values = values.cast(pl.String, strict=False).str.strip_chars().cast(pl.Float64, strict=False)
        if values.dtype.is_float():
            values = values.set(~values.is_finite().fill_null(value=True), None)
            if not dtype.is_float():
                values = values.set((values != values.round(0)).fill_null(value=False), None)
        return values.cast(dtype, strict=False)
    if isinstance(dtype, pl.Enum):
        text = values.cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
        return text.cast(dtype, strict=False)
    if isinstance(dtype, pl.Datetime):
        return _times(values, dtype)
    if isinstance(dtype, pl.List):
        return values.cast(dtype, strict=False) if isinstance(given, pl.List) else _lists(values, dtype)
    if given.is_nested():
        return series(values.name, values.to_list()).cast(dtype)
    return values.cast(pl.String, strict=False).cast(dtype, strict=False)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort problems by line; those of a whole file come first."""
    return sorted(problems, key=lambda problem: (problem.source, problem.line or 0))


def ends_polars(path: Path) -> bool:
    """Whether a deeply nested line would crash this polars (before 2.1)."""
    if tuple(map(int, pl.__version__.split(".")[:2])) >= (2, 1):
        return False
    with path.open("rb") as file:
        return any(line.count(b"[") + line.count(b"{") > _DEEP for line in file)


def _read_sound(path: Path, schema: Mapping[str, Any] | None) -> pl.DataFrame | None:
    """Return the file read by polars, or None if a line is not valid."""
    from concurrent.futures import ThreadPoolExecutor

    if ends_polars(path):
        return None
    try:
        if schema is None:
            inferred = pl.scan_ndjson(path, infer_schema_length=None).collect_schema()
            schema = {
                name: pl.String() if dtype.is_nested() or dtype == pl.Null else dtype
                for name, dtype in inferred.items()
            }
        with ThreadPoolExecutor(1) as pool:
            count = pool.submit(_line_count, path)
            frame = _parse(path, dict(schema))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None
    if not frame.height or frame.height != count.result() or "line" in frame.columns:
        return None
    # Older polars reads a `null` line as a record.
    if frame.select(pl.all_horizontal(pl.all().is_null()).any()).item() or _has_nul(frame):
        return None
    return frame.with_columns(pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias("line"))


def _has_nul(frame: pl.DataFrame) -> bool:
    """Whether a text has U+0000, which polars reads for a lone surrogate."""
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    nul = [pl.col(name).str.contains("\x00", literal=True).any() for name in texts]
    if texts and frame.lazy().select(pl.any_horizontal(nul)).collect().item():
        return True
    keys = [frame[name].unique().cast(pl.String) for name, dtype in frame.schema.items() if dtype == Key]
    return any(key.str.contains("\x00", literal=True).any() for key in keys)


def _parse(path: Path, schema: dict[str, Any]) -> pl.DataFrame:
    """Read JSON lines; columns missing in the first lines are read as null, if no line has them."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    present: set[str] = set()
    for _, raw in lines(head):
        try:
            present.update(decode(raw))
        except (ValueError, TypeError):  # cut off, or no object
            continue
    absent = schema.keys() - present
    cheap = {name: pl.Null() if name in absent else dtype for name, dtype in schema.items()}
    try:
        frame = pl.read_ndjson(path, schema=cheap)
    except pl.exceptions.ComputeError:
        return pl.read_ndjson(path, schema=schema)
    # polars leaves hundreds of chunks: combine them once.
    return frame.rechunk().cast({name: schema[name] for name in absent})


def _line_count(path: Path) -> int:
    import numpy as np

    count, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            count += int(np.count_nonzero(np.frombuffer(chunk, np.uint8) == ord("\n")))
            last = chunk[-1:]
    return count + (last != b"\n")


def _times(values: pl.Series, dtype: pl.Datetime) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime | pl.Date):
        values = values.cast(pl.Datetime("us", getattr(values.dtype, "time_zone", None)))
        zone = values.dtype.time_zone  # type: ignore[attr-defined]
        return values.dt.replace_time_zone("UTC") if zone is None else values.dt.convert_time_zone("UTC")
    return pl.Series(values.name, [_time(value) for value in values.to_list()], dtype=dtype)


def _time(value: Any) -> datetime | None:
    try:
        return utc(datetime.fromisoformat(str(value).strip()))
    except ValueError:
        return None


def utc(time: datetime) -> datetime:
    """Return a time in UTC; a naive time is UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _lists(values: pl.Series, dtype: Any) -> pl.Series:
    made: list[list[str] | None] = []
    for value in values.to_list():
        if value is None:
            made.append(None)
            continue
        text = str(value).strip()
        try:
            parts = msgspec.json.decode(text) if text.startswith("[") else text.split(",")
        except msgspec.MsgspecError:
            parts = text.split(",")
        made.append([str(as_text(part)).strip() for part in parts if part not in (None, "")])
    return pl.Series(values.name, made, dtype=dtype)


def _float(value: float | None) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:
        return None
