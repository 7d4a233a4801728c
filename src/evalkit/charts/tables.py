"""Tables of the charts: checks, short labels, numbers as text."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, Protocol

import narwhals as nw
import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.schema import SEVERITIES
from evalkit.grading.summarize import summarize
from evalkit.util import format as fmt
from evalkit.util.errors import ColumnError
from evalkit.util.hostile_text import visible
from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from narwhals.typing import IntoFrame

WORST_FIRST: Final = (*reversed(SEVERITIES), NOT_GIVEN)
BOUNDS: Final = ("if_all_fail", "if_all_pass")
BOUND_WORDS: Final = "dotted: if all unscored trials fail, or pass"
LOWER_MARK: Final = "↓"
LOWER_WORDS: Final = f"{LOWER_MARK} lower is better"

# A longer beginning that all names share is left out, up to one of these characters.
_LONG_PREFIX: Final = 10
_SEPARATORS: Final = "-_/ .:"


class ComparisonTables(Protocol):
    """A comparison as charts read it."""

    @property
    def baseline(self) -> str: ...  # noqa: D102
    @property
    def candidate(self) -> str: ...  # noqa: D102
    @property
    def summary(self) -> pl.DataFrame: ...  # noqa: D102
    @property
    def flips(self) -> pl.DataFrame: ...  # noqa: D102
    @property
    def margin(self) -> Mapping[str, float] | None: ...  # noqa: D102


def is_comparison(data: object) -> bool:
    """Return whether it is a comparison rather than a table."""
    return hasattr(data, "summary") and hasattr(data, "flips")


def summary_of(data: Any, by: Sequence[str], **scoring: Any) -> Any:
    """Summarize an Evals; return a table unchanged."""
    return summarize(data, by=by, **scoring) if isinstance(data, Evals) else data


def read_table(
    data: IntoFrame, *, table: str, columns: Iterable[str], optional: Iterable[str] = ()
) -> pl.DataFrame:
    """Return the columns that a chart draws. Categories become text, NaN becomes null.

    Other columns are dropped: a chart carries its rows into a page.

    Raises
    ------
    ColumnError
        It is not a table, or a column is missing.
    """
    try:
        frame = nw.from_native(data)
    except TypeError:
        kind = type(data).__name__
        if kind == "Evals":
            text = f"This chart draws a table ({table}), not an Evals."
            raise ColumnError(text, fix="Compute the table first.") from None
        expected = "an Evals or a table (polars, pandas)"
        raise ColumnError(f"Cannot draw a {kind}.", expected=expected) from None
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    polars = frame.to_polars()
    names = list(dict.fromkeys(columns))
    for name in names:
        if name not in polars.columns:
            raise ColumnError.missing(name, table=table, have=polars.columns)
    names += [name for name in optional if name in polars.columns and name not in names]
    return polars.select(names).with_columns(
        pl.col(pl.Categorical, pl.Enum).cast(pl.String), pl.col(pl.Float32, pl.Float64).fill_nan(None)
    )


def clean(text: object, *, limit: int = 32, tail: float = 0.3) -> str:
    r"""Return text on one line with hidden characters visible; a long one loses its middle.

    Examples
    --------
    >>> clean("a" * 40 + "-01", limit=11)
    'aaaaaaa…-01'
    >>> clean("a\u202eb")
    'a⟦U+202E⟧b'
    """
    line = " ".join(visible(str(text)).split())
    if len(line) <= limit:
        return line
    end = int((limit - 1) * tail)
    return f"{line[: limit - 1 - end]}…{line[len(line) - end :]}"


def labels(values: Iterable[object], *, limit: int = 32) -> dict[object, str]:
    """Return a short, distinct label for each value, in order of first appearance.

    Values that look alike after cutting are numbered. A long beginning that all share is left out.

    Examples
    --------
    >>> labels(["v1", None, "v1", "v2"])
    {'v1': 'v1', None: 'not given', 'v2': 'v2'}
    >>> list(labels(["popularity_openai/gpt-5", "popularity_google/gemini"]).values())
    ['…openai/gpt-5', '…google/gemini']
    >>> list(labels(["demo-judge · Ai Platform", "demo-judge · Batch Api"]).values())
    ['Ai Platform', 'Batch Api']
    """
    distinct = list(dict.fromkeys(values))
    texts = _without_prefix(distinct)
    cut = {clean(text, limit=limit) for text in texts.values()}
    # Long ids mostly differ at their end: keep more of it if the cut made two the same.
    tail = 0.75 if len(cut) < len(texts) else 0.3
    result: dict[object, str] = {}
    for value in distinct:
        base = NOT_GIVEN if value in (None, "") else clean(texts[value], limit=limit, tail=tail)
        label, number = base, 1
        while label in result.values():
            number += 1
            label = f"{base} ({number})"
        result[value] = label
    return result


def _without_prefix(values: list[object]) -> dict[object, str]:
    texts = {value: str(value) for value in values}
    named = [text for value, text in texts.items() if value not in (None, "")]
    if len(named) < 2 or max(map(len, named)) < 2 * _LONG_PREFIX - 4:
        return texts
    # What the first and the last in order share, all of them share.
    pairs = zip(min(named), max(named), strict=False)
    prefix = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    while prefix and prefix[-1] not in _SEPARATORS:
        prefix = prefix[:-1]
    if len(prefix) < _LONG_PREFIX:
        return texts
    # "judge · criterion" without its judge is not cut.
    mark = "" if prefix.endswith(" · ") else "…"
    return {value: f"{mark}{text[len(prefix) :]}" if value else text for value, text in texts.items()}


def relabel(
    frame: pl.DataFrame, column: str, *, to: str, limit: int = 32, keep: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """Return the frame with labels of `column` in `to`, and the labels in order; `keep` keeps the column."""
    names = labels(frame[column], limit=limit)
    series = pl.Series(to, [names[value] for value in frame[column]], dtype=pl.String)
    rest = frame if keep else frame.drop(column)
    return rest.with_columns(series), list(names.values())


def to_text(column: str, function: Callable[[Any], str]) -> pl.Expr:
    """Return a column of a frame as text; `function` also gets nulls."""
    return pl.col(column).map_elements(function, return_dtype=pl.String, skip_nulls=False)


def value_and_interval(value: float | None, low: float | None, high: float | None, **units: Any) -> str:
    """Return a number with its interval, as tables print both.

    Examples
    --------
    >>> value_and_interval(0.7, 0.6, 0.8, percent=True), value_and_interval(-0.25, None, None)
    ('70.0% [60.0%, 80.0%]', '−0.25')
    >>> value_and_interval(-0.1, -0.3, 0.05, points=True)
    '−10.0 points [−30.0, +5.0]'
    """
    if value is None:
        return "not estimable"
    if units.get("percent"):
        text = fmt.percent(value)
    else:
        text = fmt.points(value) if units.get("points") else fmt.number(value, sign=units.get("sign", False))
    return text if low is None or high is None else f"{text} {fmt.interval(low, high, **units)}"


def interval_text(**units: Any) -> pl.Expr:
    """Return the columns `low` and `high` of a frame as text, "none" if there is no interval."""
    return pl.struct("low", "high").map_elements(
        lambda row: "none" if None in row.values() else fmt.interval(row["low"], row["high"], **units),
        return_dtype=pl.String,
    )


def with_bounds(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `bounds` to rates: those if all unscored trials failed, or passed; "" without any, or if unknown."""
    if not set(BOUNDS) <= set(frame.columns):
        return frame.with_columns(bounds=pl.lit(""))
    return frame.with_columns(
        bounds=pl.struct("unscored", *BOUNDS).map_elements(
            lambda row: (
                fmt.interval(*(row[name] for name in BOUNDS), percent=True) if row["unscored"] else ""
            ),
            return_dtype=pl.String,
        )
    )


def mark_lower(name: str) -> str:
    """Return the name of a lower-is-better criterion with its mark."""
    return f"{name} {LOWER_MARK}"


def describe_intervals(frame: pl.DataFrame) -> str:
    """Return level and method of a table's intervals, for example "95% Wilson intervals"."""
    methods = [clean(m, limit=60) for m in frame["method"].drop_nulls().unique(maintain_order=True)]
    levels = frame["level"].drop_nulls().unique(maintain_order=True)
    if not methods or levels.is_empty():
        return ""
    return f"{' / '.join(map(fmt.level, levels))} {', '.join(methods)} intervals"


def count_range(values: Sequence[Any], word: str) -> str:
    """Return the least and the largest count.

    Examples
    --------
    >>> count_range([9, 9], "case"), count_range([5, None, 9], "case"), count_range([1], "case")
    ('9 cases', '5 to 9 cases', '1 case')
    """
    known = sorted({int(value) for value in values if value is not None}) or [0]
    last = plural(known[-1], word)
    return last if len(known) == 1 else f"{known[0]:,} to {last}"


def not_shown(total: int, shown: int, word: str = "more") -> str:
    """Return "3 more not shown", or "" if all are."""
    return f"{total - shown:,} {word} not shown" if total > shown else ""


def join_parts(*parts: str) -> str:
    """Join the parts that are not empty by semicolons."""
    return "; ".join(part for part in parts if part)


def capital(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[:1].upper() + text[1:]
