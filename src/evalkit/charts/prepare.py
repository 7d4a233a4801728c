"""What every family needs: a finished table checked, names made harmless, numbers put into words."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, Protocol

import altair as alt
import narwhals as nw
import polars as pl

from evalkit.data.schema import SEVERITIES
from evalkit.util.colors import MUTED
from evalkit.util.errors import ArgumentError, ColumnError
from evalkit.util.hostile_text import visible
from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from narwhals.typing import IntoFrame

Drawing = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart
"""What a family returns: whichever of Altair's charts it takes."""

WORST_FIRST: Final = (*reversed(SEVERITIES), NOT_GIVEN)

# A beginning of so many characters, up to one of these, is left out where all names share it.
_LONG_BEGINNING: Final = 10
_BETWEEN: Final = "-_/ .:"


def finished(data: IntoFrame, *, table: str, need: Iterable[str], also: Iterable[str] = ()) -> pl.DataFrame:
    """Return the columns that a chart needs (and `also`, where there are any); keys as text, NaN as null.

    Whatever else the table holds stays behind: a chart carries its rows into a page.

    Raises
    ------
    ColumnError
        It is not a table, or a column is missing: which, and the nearest there is.
    """
    try:
        frame = nw.from_native(data)
    except TypeError:
        kind = type(data).__name__
        text = f"A chart draws an Evals or a table (polars, pandas), not a {kind}."
        if kind == "Evals":
            text = f"This chart draws a table, {table}, which has to be made of the Evals first: see the chart's help."
        raise ColumnError(text) from None
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    made = frame.to_polars()
    wanted = list(dict.fromkeys(need))
    for name in wanted:
        if name not in made.columns:
            raise ColumnError.missing(name, table=table, have=made.columns)
    wanted += [name for name in also if name in made.columns and name not in wanted]
    return made.select(wanted).with_columns(
        pl.col(pl.Categorical, pl.Enum).cast(pl.String), pl.col(pl.Float32, pl.Float64).fill_nan(None)
    )


def clean(text: object, *, most: int = 32, tail: float = 0.3) -> str:
    r"""Return `text` on one line, characters that hide or reorder it shown as signs, its middle cut out when long.

    Examples
    --------
    >>> clean("a" * 40 + "-01", most=11)
    'aaaaaaa…-01'
    >>> clean("a\u202eb")
    'a⟦U+202E⟧b'
    """
    words = " ".join(visible(str(text)).split())
    if len(words) <= most:
        return words
    end = int((most - 1) * tail)
    return f"{words[: most - 1 - end]}…{words[len(words) - end :]}"


def labels(values: Iterable[object], *, most: int = 32) -> dict[object, str]:
    """Return a short, harmless, distinct label for each value, in order of first appearance.

    Two values that look alike once cut are numbered, so that they never fall into one bar. What all of them begin
    with, where that is long, says nothing about any of them and is left out.

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
    shown = _without_beginning(distinct)
    cut = [clean(text, most=most) for text in shown.values()]
    # Long ids mostly differ at their end: keep more of it where the cut made two the same.
    tail = 0.75 if len(set(cut)) < len(cut) else 0.3
    made: dict[object, str] = {}
    for value in distinct:
        plain = NOT_GIVEN if value is None or value == "" else clean(shown[value], most=most, tail=tail)
        label, number = plain, 1
        while label in made.values():
            number += 1
            label = f"{plain} ({number})"
        made[value] = label
    return made


def _without_beginning(values: list[object]) -> dict[object, str]:
    """Return long names without the words that all of them begin with."""
    texts = {value: str(value) for value in values}
    named = [text for value, text in texts.items() if value not in (None, "")]
    # What the first and the last in order share, all of them share.
    pairs = zip(min(named, default=""), max(named, default=""), strict=False)
    common = (
        "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)) if len(named) > 1 else ""
    )
    while common and common[-1] not in _BETWEEN:
        common = common[:-1]
    if len(common) < _LONG_BEGINNING or max(map(len, named)) < 2 * _LONG_BEGINNING - 4:
        return texts
    # A whole part of a name, as the judge of "judge · criterion", is no cut.
    mark = "" if common.endswith(" · ") else "…"
    return {
        value: f"{mark}{text.removeprefix(common)}" if value not in (None, "") else text
        for value, text in texts.items()
    }


def relabel(
    frame: pl.DataFrame, column: str, *, to: str, most: int = 32, keep: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """Return the frame with labels of `column` in `to`, in its place or (keep) beside it, and the labels in order."""
    names = labels(frame[column], most=most)
    series = pl.Series(to, [names[value] for value in frame[column]], dtype=pl.String)
    rest = frame if keep else frame.drop(column)
    return rest.with_columns(series), list(names.values())


def rows(frame: pl.DataFrame) -> alt.InlineData:
    """Return the rows as inline values: Altair then draws what was given, in that order."""
    return alt.InlineData(values=frame.to_dicts())


def nothing(reason: str, *, title: str) -> alt.Chart:
    """Return a chart that says there is no data, and why."""
    made: alt.Chart = (
        alt.Chart(alt.InlineData(values=[{"text": f"No data: {reason}"}]))
        .mark_text(align="left", baseline="middle", fontSize=14, color=MUTED)
        .encode(x=alt.value(0), y=alt.value(20), text="text:N")
        .properties(width=560, height=40, title=title, description=f"{title}: no data, {reason}")
    )
    return made


def heading(title: Any, *subtitle: str) -> alt.Title:
    """Return a title, a plain statement, above lines that say method, n and level."""
    if not isinstance(title, str):
        raise ArgumentError(f"title is {title!r:.60}; it may be text or None.")
    lines = [line for line in subtitle if line]
    return alt.Title(title, subtitle=lines) if lines else alt.Title(title)


def percent(value: float | None) -> str:
    """Return a share as whole percent.

    Examples
    --------
    >>> percent(0.666), percent(0.999), percent(None)
    ('67%', '>99%', 'no rate')
    """
    if value is None:
        return "no rate"
    # 99.9% is not all of them, and 0.1% is not none.
    if 0.995 <= value < 1:
        return ">99%"
    if 0 < value < 0.005:
        return "<1%"
    return f"{value * 100:.0f}%"


def signed(value: float, *, points: bool) -> str:
    """Return a difference with its sign: percentage points for a rate, else score points.

    Examples
    --------
    >>> signed(-0.125, points=True), signed(0.5, points=False), signed(-1e-9, points=True)
    ('−12.5', '+0.50', '+0.0')
    """
    # What rounds to nothing has no direction: -0.0 + 0.0 is 0.0.
    text = f"{round(value * 100, 1) + 0.0:+.1f}" if points else f"{round(value, 2) + 0.0:+.2f}"
    return text.replace("-", "−")


def interval_words(frame: pl.DataFrame) -> str:
    """Return method and level of a table's intervals in words, "95% wilson intervals"."""
    methods = [clean(m, most=40) for m in frame["method"].drop_nulls().unique(maintain_order=True)]
    levels = frame["level"].drop_nulls().unique(maintain_order=True).to_list()
    if not methods or not levels:
        return ""
    return f"{' / '.join(f'{level * 100:g}%' for level in levels)} {', '.join(methods)} intervals"


def span(values: Sequence[Any], word: str) -> str:
    """Return the least and the largest of some whole numbers, as one when they agree.

    Examples
    --------
    >>> span([9, 9], "case"), span([5, None, 9], "case"), span([1], "case")
    ('9 cases', '5 to 9 cases', '1 case')
    """
    known = sorted({int(value) for value in values if value is not None}) or [0]
    last = plural(known[-1], word)
    return last if len(known) == 1 else f"{known[0]:,} to {last}"


class ComparisonTables(Protocol):
    """A comparison as charts read it."""

    @property
    def baseline(self) -> str:
        """Name of the baseline."""
        ...

    @property
    def candidate(self) -> str:
        """Name of the candidate."""
        ...

    @property
    def summary(self) -> pl.DataFrame:
        """One row per scope and metric."""
        ...

    @property
    def flips(self) -> pl.DataFrame:
        """One row per flipped case."""
        ...

    @property
    def margin(self) -> Mapping[str, float] | None:
        """The margin per metric."""
        ...
