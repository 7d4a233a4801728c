"""Records into columns: JSON lines and untyped cells, every good one kept, every bad one a `Problem`.

A sound file is read into columns at once, by polars. One that is not is read again line by line, which is
slower and loses only what is wrong with it. Both give the same frame, but for the spaces in nested JSON.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.schema import Key, Problem, Table
from evalkit.util.errors import PathError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BOM: Final = b"\xef\xbb\xbf"
SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INT64: Final = range(-(2**63), 2**63)
_PREFIX: Final = 40
_HEAD: Final = 1 << 16
# Opening brackets in a line that old versions of polars are not given: far more than a judgement has, far fewer than end them.
_DEEP: Final = 500


def read_bytes(path: str | Path) -> bytes:
    """Return what is in a file, without a byte-order mark."""
    path = Path(path)
    if not path.exists():
        raise PathError.missing(path)
    return path.read_bytes().removeprefix(BOM)


@contextmanager
def without_collector() -> Iterator[None]:
    """Leave the garbage collector off: among millions of decoded records it looks for cycles that are not there."""
    import gc

    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    r"""Yield the lines that are not blank with their numbers, from 1.

    Only a newline ends a line: U+2028, which JSON strings may hold as it is, does not.

    Examples
    --------
    >>> list(lines("1\r\n\n'a\u2028b'".encode()))
    [(1, b'1'), (3, b"'a\xe2\x80\xa8b'")]
    """
    number, start, end = 0, 0, len(data)
    while start < end:
        stop = data.find(b"\n", start)
        stop = end if stop < 0 else stop
        number += 1
        line = data[start:stop].strip()
        if line:
            yield number, line
        start = stop + 1


def decode(raw: bytes) -> Any:
    """Return the value that `raw` is as JSON.

    More forgiving than the standard where nothing is lost by it: a bare NaN or Infinity becomes that word,
    so that a number column can say what stood there; a lone surrogate becomes U+FFFD.

    Raises
    ------
    ValueError
        It is no JSON; the message says why in words.

    Examples
    --------
    >>> decode(b'{"score": NaN}')
    {'score': 'NaN'}
    """
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of the line is not UTF-8") from None
    try:
        value = json.loads(text, parse_constant=str, strict=False)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            raise ValueError(f"the JSON is cut off: {_start(text)}") from None
        raise ValueError(f"not JSON ({error.msg}, character {error.pos + 1}): {_start(text)}") from None
    except RecursionError:
        raise ValueError(f"nested too deeply: {_start(text)}") from None
    except ValueError:  # an integer of more digits than Python converts
        raise ValueError(f"not JSON that can be read: {_start(text)}") from None
    return encodable(value)


def encodable(value: Any) -> Any:
    r"""Return a decoded JSON value with each lone surrogate, which UTF-8 cannot hold, as U+FFFD.

    Examples
    --------
    >>> encodable(["cut \ud83d off"])
    ['cut � off']
    """
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(SURROGATE.sub("\ufffd", text)) if SURROGATE.search(text) else value


def record(raw: bytes, source: str, number: int, problems: list[Problem]) -> dict[str, Any] | None:
    """Return the JSON object of a line; or None, and a `Problem`, where it is none."""
    try:
        value = decode(raw)
    except ValueError as error:
        problems.append(Problem(source, number, str(error)))
        return None
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a string", type(None): "null"}.get(type(value), f"{value!r:.40}")
        problems.append(Problem(source, number, f"a JSON object was expected, not {kind}"))
        return None
    return value


def read_frame(
    path: str | Path,
    *,
    schema: Mapping[str, Any] | None = None,
) -> tuple[pl.DataFrame, list[Problem]]:
    """Read JSON lines into columns, with the number of each record's line.

    Parameters
    ----------
    path
        A file of one JSON object a line.
    schema
        The columns that are wanted, with their dtypes; None for all that any line has.

    Returns
    -------
    tuple
        A frame with `line` (i64) and the columns, and the problems. Numbers are numbers where every value
        of the column is one; a column of several kinds is text; lists and objects are JSON text. Where the
        file is sound the columns of `schema` have its dtypes, else they are as found.
    """
    path = Path(path)
    if not path.is_file():
        raise PathError.missing(path)
    frame = _sound(path, schema)
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
    """Return the columns of decoded records: see `read_frame`.

    Examples
    --------
    >>> columns([{"a": 1, "b": "x"}, {"a": 2.5, "b": 3}]).to_dict(as_series=False)
    {'a': [1.0, 2.5], 'b': ['x', '3']}
    """
    found: dict[str, None] = {}
    for row in rows:
        found.update(dict.fromkeys(row))
    wanted = found if names is None else [name for name in names if name in found]
    made = [series(name, [row.get(name) for row in rows]) for name in wanted]
    return pl.DataFrame(made) if made else pl.DataFrame({"line": [None] * len(rows)})


def series(name: str, values: list[Any]) -> pl.Series:
    """Return decoded values as one column; of several kinds, or nested: as text."""
    kinds = {type(value) for value in values} - {type(None)}
    name = SURROGATE.sub("\ufffd", name)
    if kinds <= {bool}:
        return pl.Series(name, values, dtype=pl.Boolean if kinds else pl.String)
    if kinds <= {int} and all(value is None or value in _INT64 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds <= {int, float}:
        return pl.Series(
            name, [None if value is None else _float(value) for value in values], dtype=pl.Float64
        )
    if kinds <= {str}:
        return pl.Series(name, values, dtype=pl.String)
    return pl.Series(name, [as_text(value) for value in values], dtype=pl.String)


def as_text(value: Any) -> str | None:
    """Return a decoded value as text: strings as they are, anything else as compact JSON, null as None."""
    if value is None or isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, RecursionError, OverflowError, UnicodeEncodeError):
        return SURROGATE.sub("\ufffd", repr(value))


def typed_columns(names: Iterable[str], rows: list[tuple[Any, ...]], table: Table) -> list[pl.Series]:
    """Return columns of rows whose values are of the table's types already; a number that does not fit is null."""
    from operator import itemgetter

    return [
        pl.Series(name, list(map(itemgetter(place), rows)), dtype=table.schema[name], strict=False)
        for place, name in enumerate(names)
    ]


def fit(table: Table, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Problem]]:
    """Return the rows of `frame` that fit `table`, and a `Problem` for each value and row that does not.

    A value that cannot be cast is lost alone and its row stays; of a `score` that is no number the text
    goes into `error`. A row is lost where its key is missing, unreadable or there already.

    Examples
    --------
    >>> from evalkit.data.schema import SCORES
    >>> rows = {"run": ["a"], "case": ["01"], "criterion": ["Groq"], "score": ["(Failed)"]}
    >>> good, problems = fit(SCORES, pl.DataFrame(rows))
    >>> good["score"].item(), good["error"].item(), problems[0].reason
    (None, '(Failed)', "Groq: score is '(Failed)'; it may be a finite number.")
    """
    problems: list[Problem] = []
    for column in table.columns:
        if not column.nullable or column.name not in frame.columns:
            continue
        values = frame[column.name]
        read = cell_values(values, column.dtype)
        bad = (read.is_null() & values.is_not_null()).arg_true()
        frame = frame.with_columns(read.alias(column.name))
        if not bad.len():
            continue
        texts = {row: _cell(values[row]) for row in bad}
        where = frame[bad].select([c for c in ("source", "line", "criterion") if c in frame.columns])
        for row, at in zip(bad, where.iter_rows(named=True), strict=True):
            about = f"{at['criterion']}: " if at.get("criterion") else ""
            reason = f"{about}{column.name} is {texts[row]!r}; it may be {_allowed(column.dtype)}."
            problems.append(Problem(at.get("source") or "<frame>", at.get("line"), reason))
        if column.name == "score":
            told = pl.Series("error", [texts.get(row) for row in range(frame.height)], dtype=pl.String)
            have = frame["error"].cast(pl.String) if "error" in frame.columns else told
            frame = frame.with_columns(pl.select(pl.coalesce(have, told)).to_series().alias("error"))
    good, more = table.filter(frame)
    return good, problems + more


def cell_values(values: pl.Series, dtype: Any) -> pl.Series:
    """Return a column as `dtype`, the values that cannot be null."""
    if values.dtype == dtype and not values.dtype.is_float():
        return values
    if isinstance(values.dtype, pl.Boolean) and not isinstance(dtype, pl.Boolean):
        # True is 1 where a number is wanted, and "true", as JSON has it, where text is.
        return values.cast(pl.Int8).cast(dtype) if dtype.is_numeric() else values.cast(pl.String).cast(dtype)
    if isinstance(dtype, pl.Float64 | pl.Int32 | pl.Int64):
        if not values.dtype.is_numeric():
            values = values.cast(pl.String, strict=False).str.strip_chars().cast(pl.Float64, strict=False)
        values = (
            values.set(~values.is_finite().fill_null(value=True), None) if values.dtype.is_float() else values
        )
        if not dtype.is_float() and values.dtype.is_float():
            values = values.set((values != values.round(0)).fill_null(value=False), None)
        return values.cast(dtype, strict=False)
    if isinstance(dtype, pl.Enum):
        text = values.cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
        return text.cast(dtype, strict=False)
    if isinstance(dtype, pl.Datetime):
        return _times(values, dtype)
    if isinstance(dtype, pl.List):
        return (
            values.cast(dtype, strict=False) if isinstance(values.dtype, pl.List) else _lists(values, dtype)
        )
    if values.dtype.is_nested():
        return series(values.name, values.to_list()).cast(dtype)
    return values.cast(pl.String, strict=False).cast(dtype, strict=False)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems by line, those of a whole file first."""
    return sorted(problems, key=lambda problem: (problem.source, problem.line or 0))


def ends_polars(path: Path) -> bool:
    """Whether a line may be nested so deeply that this polars would end the process: before 2.1, which refuses it."""
    if tuple(map(int, pl.__version__.split(".")[:2])) >= (2, 1):
        return False
    with path.open("rb") as file:
        return any(line.count(b"[") + line.count(b"{") > _DEEP for line in file)


def _sound(path: Path, schema: Mapping[str, Any] | None) -> pl.DataFrame | None:
    """Return the file read at once, or None where something in it needs care."""
    from concurrent.futures import ThreadPoolExecutor

    if ends_polars(path):
        return None
    try:
        if schema is None:
            found = pl.scan_ndjson(path, infer_schema_length=None).collect_schema()
            schema = {
                name: pl.String() if dtype.is_nested() or dtype == pl.Null else dtype
                for name, dtype in found.items()
            }
        with ThreadPoolExecutor(1) as beside:
            count = beside.submit(_line_count, path)
            frame = _parse(path, dict(schema))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None
    if not frame.height or frame.height != count.result() or "line" in frame.columns:
        return None
    # Older polars takes a line that is `null` for a record.
    if frame.select(pl.all_horizontal(pl.all().is_null()).any()).item():
        return None
    text = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    # polars reads a lone surrogate as U+0000.
    odd = frame.lazy().select(pl.any_horizontal(pl.col(text).str.contains("\x00", literal=True).any()))
    names = [frame[name].unique().cast(pl.String) for name, dtype in frame.schema.items() if dtype == Key]
    if (text and odd.collect().item()) or any(
        series.str.contains("\x00", literal=True).any() for series in names
    ):
        return None
    return frame.with_columns(pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias("line"))


def _parse(path: Path, schema: dict[str, Any]) -> pl.DataFrame:
    """Read JSON lines; columns that the first lines do not have are read as null, which is cheap, if no line has them."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found: set[str] = set()
    for _, raw in lines(head):
        try:
            found.update(decode(raw))
        except (ValueError, TypeError):  # cut off, or no object
            continue
    rare = schema.keys() - found
    cheap = {name: pl.Null() if name in rare else dtype for name, dtype in schema.items()}
    try:
        frame = pl.read_ndjson(path, schema=cheap)
    except pl.exceptions.ComputeError:
        return pl.read_ndjson(path, schema=schema)
    # polars leaves hundreds of chunks, which every later step would first bring into line.
    return frame.rechunk().cast({name: schema[name] for name in rare})


def _line_count(path: Path) -> int:
    """Return how many lines a file has; more than it has records where some are blank."""
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


def _time(value: Any) -> Any:
    """Return ISO 8601 text (UTC unless it says otherwise) as a time; anything else is None."""
    from datetime import UTC, datetime

    try:
        time = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _lists(values: pl.Series, dtype: Any) -> pl.Series:
    """Return lists of strings out of JSON lists, or out of text with commas."""
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


def _allowed(dtype: Any) -> str:
    if isinstance(dtype, pl.Enum):
        return ", ".join(dtype.categories)
    if isinstance(dtype, pl.Datetime):
        return "a time, as in 2026-01-31T09:00:00Z"
    return {"Float64": "a finite number", "Int64": "a whole number", "Int32": "a whole number"}.get(
        type(dtype).__name__, "text"
    )


def _cell(value: Any) -> str:
    text = str(as_text(value))
    return text if len(text) <= 200 else f"{text[:199]}…"


def _float(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _start(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= _PREFIX else f"{text[:_PREFIX]}…")
