"""A judge looked at: what people would say beside what it says, and what moves it besides the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt
import polars as pl

from evalkit.charts.prepare import (
    Drawing,
    clean,
    finished,
    heading,
    interval_words,
    nothing,
    percent,
    relabel,
    rows,
)
from evalkit.util.colors import MUTED, SUCCESS, TEXT, WARN
from evalkit.util.words import plural

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

MOST_ROWS: Final = 24
_WIDTH: Final = 420
_ROW: Final = 22
# A finding that is a difference or a correlation: none is at zero.
_FROM_ZERO: Final = (
    *("length correlation", "length effect", "leniency", "judges differ", "drift"),
    "position shift",
)


def correction(table: IntoFrame, *, title: str | None = None) -> Drawing:
    """Draw the pass rate that the judge gives beside the one that people would give, each with its interval.

    Parameters
    ----------
    table
        `summary` of what `correct_for_judge` returns: columns scope, metric, judged, judged_low, judged_high,
        corrected, low, high, method, level, n (answers with a label).
    title
        The statement above; by default how far the first scope moves.

    Returns
    -------
    altair chart

    Raises
    ------
    ColumnError
        A column is missing.

    Examples
    --------
    >>> import evalkit as ek
    >>> fixed = ek.correct_for_judge(ek.demo.make())
    >>> ek.charts.correction(fixed.summary).description
    'Pass rate, judge beside people. Scope all: the judge passes 69%, people would pass 61%, by 36 labelled answers.'
    """
    need = ("scope", "metric", "judged", "judged_low", "judged_high", "corrected", "low", "high")
    frame = finished(table, table="correction", need=(*need, "method", "level", "n"))
    frame = frame.filter((pl.col("metric") == "pass_rate") & pl.col("judged").is_not_null())
    if frame.is_empty():
        return nothing("no pass rate was corrected.", title=title or "What people would say")
    cut, frame = frame.height, frame.head(MOST_ROWS)
    frame, names = relabel(frame, "scope", to="name", most=26)
    top = frame.row(0, named=True)
    told = f"the judge passes {percent(top['judged'])}, people would pass {percent(top['corrected'])}"
    if top["corrected"] is None:
        told = f"the judge passes {percent(top['judged'])}; what people would pass cannot be estimated"
    sides = (
        ("the judge says", ("judged", "judged_low", "judged_high")),
        ("people would say", ("corrected", "low", "high")),
    )
    made = pl.concat(
        frame.select("name", "n", side=pl.lit(side), rate=pl.col(rate), low=pl.col(low), high=pl.col(high))
        for side, (rate, low, high) in sides
    ).with_columns(
        words=pl.struct("rate", "low", "high").map_elements(
            lambda row: "not estimable" if row["rate"] is None else _percents(row), return_dtype=pl.String
        )
    )
    order = [side for side, _ in sides]
    base = alt.Chart(rows(made)).encode(
        y=alt.Y("name:N", title=None, sort=names, axis=alt.Axis(grid=False)),
        yOffset=alt.YOffset("side:N", sort=order, scale=alt.Scale(domain=order)),
        color=alt.Color(
            "side:N",
            title=None,
            sort=order,
            scale=alt.Scale(domain=order, range=[MUTED, SUCCESS]),
            legend=alt.Legend(orient="top"),
        ),
    )
    x = alt.X(
        "rate:Q", title="pass rate", scale=alt.Scale(domain=[0, 1], nice=False), axis=alt.Axis(format=".0%")
    )
    point = base.transform_filter("datum.rate !== null").mark_point(size=80, filled=True, opacity=1)
    chart: Drawing = alt.layer(
        base.transform_filter("datum.low !== null && datum.high !== null")
        .mark_rule(strokeWidth=2.5)
        .encode(x=alt.X("low:Q", title="pass rate"), x2="high:Q"),
        point.encode(
            x=x,
            shape=alt.Shape("side:N", legend=None, scale=alt.Scale(domain=order, range=["circle", "square"])),
            tooltip=[
                alt.Tooltip("name:N", title="scope"),
                alt.Tooltip("side:N", title="whose"),
                alt.Tooltip("words:N", title="pass rate"),
                alt.Tooltip("n:Q", title="answers with a label"),
            ],
        ),
        base.mark_text(align="left").encode(x=alt.value(_WIDTH + 14), text="words:N", color=alt.value(TEXT)),
    ).properties(
        width=_WIDTH,
        height=2 * _ROW * len(names),
        title=heading(
            title or told[0].upper() + told[1:],
            interval_words(frame),
            f"the first {MOST_ROWS} of {cut} shown" if cut > MOST_ROWS else "",
        ),
        description=f"Pass rate, judge beside people. Scope {top['name']}: {told}, by {plural(top['n'] or 0, 'labelled answer')}.",
    )
    return chart


def judge_bias(table: IntoFrame, *, title: str | None = None) -> Drawing:
    """Draw what moves a judge besides the answer: a panel a finding, a row a judge and criterion, with intervals.

    Parameters
    ----------
    table
        `summary` of what `judge_forensics` returns: columns finding, scope, value, low, high, n, method, level,
        p_adjusted.
    title
        The statement above; by default how many findings stand after adjustment.

    Returns
    -------
    altair chart

    Raises
    ------
    ColumnError
        A column is missing.

    Examples
    --------
    >>> import evalkit as ek
    >>> looks = ek.judge_forensics(ek.demo.make())
    >>> ek.charts.judge_bias(looks.summary).description
    'What moves the judge besides the answer: 0 of 6 tested habits stand after adjustment. ...'
    """
    need = ("finding", "scope", "value", "low", "high", "n", "method", "level", "p_adjusted")
    frame = finished(table, table="forensics", need=need).filter(pl.col("value").is_not_null())
    if frame.is_empty():
        return nothing("no habit of the judge could be estimated.", title=title or "The judge's habits")
    cut, frame = frame.height, frame.head(MOST_ROWS)
    stands = (pl.col("p_adjusted") < 1 - pl.col("level")).fill_null(value=False)
    frame = frame.with_columns(
        stands=stands,
        words=pl.struct("value", "low", "high").map_elements(_numbers, return_dtype=pl.String),
    )
    frame, _ = relabel(frame, "scope", to="name", most=30)
    tested, standing = frame["p_adjusted"].count(), int(frame["stands"].sum())
    said = f"{standing} of {tested} tested habits stand after adjustment"
    panels = [_panel(part) for part in frame.partition_by("finding", maintain_order=True)]
    listed = "; ".join(
        f"{clean(row['finding'])}, {row['name']}: {row['words']}{', stands' if row['stands'] else ''}"
        for row in frame.iter_rows(named=True)
    )
    levels = ", ".join(f"{level * 100:g}%" for level in frame["level"].drop_nulls().unique().sort())
    chart: Drawing = alt.vconcat(*panels, spacing=10).properties(
        title=heading(
            title or said,
            f"{levels} intervals; orange: stands after adjustment over all of them" if levels else "",
            f"the first {MOST_ROWS} of {cut} shown" if cut > MOST_ROWS else "",
        ),
        description=f"What moves the judge besides the answer: {said}. {listed}.".replace("  ", " "),
    )
    return chart


def _panel(part: pl.DataFrame) -> Drawing:
    finding = part["finding"][0]
    color = alt.condition("datum.stands", alt.value(WARN), alt.value(TEXT))
    base = alt.Chart(rows(part)).encode(
        y=alt.Y(
            "name:N",
            title=None,
            sort=part["name"].to_list(),
            axis=alt.Axis(grid=False, minExtent=190, labelLimit=185),
        ),
        color=color,
    )
    scale = alt.Scale(zero=finding in _FROM_ZERO, padding=8)
    layers: list[alt.Chart] = []
    if finding in _FROM_ZERO:
        zero = alt.Chart(alt.InlineData(values=[{"zero": 0.0}]))
        layers.append(zero.mark_rule(color=MUTED, strokeDash=[3, 3]).encode(x="zero:Q"))
    layers.append(
        base.transform_filter("datum.low !== null && datum.high !== null")
        .mark_rule(strokeWidth=2.5)
        .encode(x=alt.X("low:Q", title=None, scale=scale), x2="high:Q")
    )
    layers.append(
        base.mark_point(size=70, filled=True, opacity=1).encode(
            x=alt.X("value:Q", title=None, scale=scale),
            tooltip=[
                alt.Tooltip("name:N", title="judge and criterion"),
                alt.Tooltip("words:N", title="value"),
                alt.Tooltip("n:Q", title="answers"),
                alt.Tooltip("method:N"),
                alt.Tooltip("p_adjusted:Q", title="p, adjusted", format=".3f"),
            ],
        )
    )
    layers.append(base.mark_text(align="left").encode(x=alt.value(_WIDTH + 14), text="words:N"))
    chart: Drawing = alt.layer(*layers).properties(
        width=_WIDTH,
        height=_ROW * part.height,
        title=alt.Title(clean(finding), anchor="start", fontSize=12, offset=4),
    )
    return chart


def _percents(row: dict[str, float | None]) -> str:
    if row["low"] is None or row["high"] is None:
        return percent(row["rate"])
    return f"{percent(row['rate'])}  ({percent(row['low'])} to {percent(row['high'])})"


def _numbers(row: dict[str, float | None]) -> str:
    if row["low"] is None or row["high"] is None:
        return f"{row['value']:.2f}".replace("-", "−")
    return f"{row['value']:.2f}  ({row['low']:.2f} to {row['high']:.2f})".replace("-", "−")
