"""How the pass rate moves over versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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
    span,
)
from evalkit.charts.theme import WIDTH, version_colors
from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.summarize import summarize
from evalkit.grading.version_order import differ_by_number, start_order
from evalkit.util.colors import MUTED, TEXT
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame

MOST_GROUPS: Final = 24
_NEEDED: Final = ("pass_rate", "low", "high", "n", "unscored", "method", "level")
_SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


def trend(
    data: Evals | IntoFrame,
    *,
    by: str = "agent_version",
    rule: PassRule = DEFAULT_RULE,
    color: str | None = None,
    ordered: bool | None = None,
    title: str | None = None,
) -> Drawing:
    """Draw the pass rate of each version with its interval, in the order of the table.

    Points are joined, and the title says "goes from ... to ...", only where it is known which version came
    first.

    Parameters
    ----------
    data
        An Evals, or what `summarize(evals, by=[by])` returns (`by=[by, color]` with a colour): columns `by`,
        `color`, pass_rate, low, high, n, unscored, method, level.
    by
        The column along the axis.
    rule
        The pass rule, for an Evals.
    color
        A second column, e.g. "model": a colour and a shape each, side by side; click its legend to see one.
    ordered
        Whether the versions follow each other in the order of the table. None: where their names differ by
        numbers alone (v1, v2, v10; 2026-01-31), or, of an Evals, where `started_at` puts them in that order.
    title
        The statement above; by default the first and the last rate, or the least and the greatest where no
        order is known.

    Returns
    -------
    altair chart
        At most 24 versions, the last ones.

    Raises
    ------
    ColumnError
        A column is missing.

    Examples
    --------
    >>> import evalkit as ek
    >>> chart = ek.charts.trend(ek.demo.make(), color="model")
    >>> chart.description
    'Pass rate by agent_version and model. Lowest ...'
    """
    columns = [by, color] if color else [by]
    table: Any = data
    if isinstance(data, Evals):
        table = summarize(data, by=columns, rule=rule)
    frame = finished(table, table="summary", need=(*columns, *_NEEDED))
    if frame.is_empty():
        return nothing("no trial was graded.", title=title or "Pass rate")
    if ordered is None:
        groups = frame[by].unique(maintain_order=True).to_list()
        ordered = follow(groups, data if isinstance(data, Evals) else None, by=by)
    frame, names = relabel(frame, by, to="group", most=22)
    shown = names[-MOST_GROUPS:]
    frame, series = (
        relabel(frame, color, to="series", most=24)
        if color
        else (frame.with_columns(series=pl.lit("")), [""])
    )
    frame = frame.filter(pl.col("group").is_in(shown)).with_columns(
        rate=pl.col("pass_rate").map_elements(percent, return_dtype=pl.String, skip_nulls=False),
        cases=pl.format("n {}", pl.col("n")),
        lost=pl.when(pl.col("unscored") > 0)
        .then(pl.format("{} unscored", pl.col("unscored")))
        .otherwise(pl.lit("")),
    )
    if frame["pass_rate"].null_count() == frame.height:
        return nothing(
            f"none of {plural(int(frame['unscored'].sum()), 'trial')} was scored.",
            title=title or "Pass rate",
        )
    known = frame.filter(pl.col("pass_rate").is_not_null())
    first, last = known.row(0, named=True), known.row(-1, named=True)
    low, high = known.sort("pass_rate").row(0, named=True), known.sort("pass_rate").row(-1, named=True)
    if known.height == 1:
        said = f"Pass rate {first['rate']}"
    elif color or not ordered:
        said = f"Pass rates from {low['rate']} to {high['rate']}"
    else:
        said = f"Pass rate goes from {first['rate']} to {last['rate']}"
    more = f"; {len(names) - len(shown)} earlier not shown" if len(names) > len(shown) else ""
    return _draw(frame, shown, series, joined=ordered).properties(
        title=heading(
            title or said,
            f"Mean over cases, of what was scored; {span(known['n'].to_list(), 'case')} each, {plural(int(frame['unscored'].sum()), 'trial')} unscored{more}",
            interval_words(frame),
        ),
        description=(
            f"Pass rate by {' and '.join(clean(column) for column in columns)}. Lowest {low['rate']} "
            f"({low['group']}{', ' + low['series'] if color else ''}, n {low['n']}), highest {high['rate']} "
            f"({high['group']}{', ' + high['series'] if color else ''}, n {high['n']})"
            f"{'; last ' + last['rate'] if ordered else ', in no known order'}. "
            f"{interval_words(frame)}."
        ),
    )


def follow(names: Sequence[object], evals: Evals | None = None, *, by: str = "agent_version") -> bool:
    """Return whether versions follow each other in the order given, by their names or by when their runs started.

    Examples
    --------
    >>> follow(["v1", "v2", "v10"]), follow(["2026-01-31", "2026-02-01"]), follow(["base", "tuned"])
    (True, True, False)
    """
    if differ_by_number(names):
        return True
    places = start_order(evals, by)
    return len(names) > 1 and [name for name in places if name in names] == [*names]


def _draw(frame: pl.DataFrame, names: list[str], series: list[str], *, joined: bool) -> Drawing:
    many = len(series) > 1
    width = WIDTH - 90 if len(names) > 1 else 420
    slot = width / len(names) / len(series)
    pick = alt.selection_point(name="series", fields=["series"], bind="legend") if many else None
    x = alt.X(
        "group:N",
        title=None,
        sort=names,
        scale=alt.Scale(domain=names, paddingInner=0.15, paddingOuter=0.1),
        axis=alt.Axis(
            labelAngle=0 if width / len(names) > 7.2 * max(map(len, names)) else -40,
            labelLimit=max(150, width / len(names) - 8),
            offset=4,
        ),
    )
    base = alt.Chart(rows(frame)).encode(x=x)
    if many:
        base = base.encode(
            xOffset=alt.XOffset("series:N", sort=series, scale=alt.Scale(domain=series)),
            color=alt.Color(
                "series:N", title=None, scale=alt.Scale(domain=series, range=version_colors(series))
            ),
        )
    if pick is not None:
        base = base.encode(opacity=alt.condition(pick, alt.value(1), alt.value(0.12)))
    y = alt.Y(
        "pass_rate:Q",
        title="pass rate",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
    )
    known = base.transform_filter("datum.pass_rate !== null")
    interval = known.mark_rule(strokeWidth=2).encode(y=y.copy(), y2="high:Q")
    interval = interval.encode(y=alt.Y("low:Q", title="pass rate"))
    point = known.mark_point(size=95, filled=True, opacity=1).encode(
        y=y,
        tooltip=[
            alt.Tooltip("group:N", title="version"),
            *([alt.Tooltip("series:N")] if many else []),
            alt.Tooltip("rate:N", title="pass rate"),
            alt.Tooltip("low:Q", format=".1%"),
            alt.Tooltip("high:Q", format=".1%"),
            alt.Tooltip("n:Q", title="cases"),
            alt.Tooltip("unscored:Q", title="trials unscored"),
            alt.Tooltip("method:N"),
            alt.Tooltip("level:Q", format=".0%"),
        ],
    )
    if many:
        point = point.encode(
            shape=alt.Shape("series:N", scale=alt.Scale(domain=series, range=list(_SHAPES[: len(series)])))
        )
    if pick is not None:
        # On the first layer: a legend listens to the layer that made it.
        interval = interval.add_params(pick).properties(name="trend_intervals")
    layers: list[alt.Chart] = [interval]
    if not many and joined:
        layers.append(known.mark_line(strokeDash=[3, 3], strokeWidth=1, color=MUTED).encode(y="pass_rate:Q"))
    layers.append(point)
    if slot >= 40:
        label = known.encode(y="pass_rate:Q", text="rate:N", color=alt.value(TEXT))
        # A white edge first, so that a line does not cross the number.
        layers.append(
            label.mark_text(
                align="left", dx=9, fontWeight=600, stroke="white", strokeWidth=5, strokeJoin="round"
            )
        )
        layers.append(label.mark_text(align="left", dx=9, fontWeight=600))
    main = alt.layer(*layers).properties(width=width, height=280)
    chart: Drawing = alt.vconcat(main, *_strip(base, width, slot), spacing=6).resolve_scale(
        color="independent", shape="independent"
    )
    return chart


def _strip(base: alt.Chart, width: float, slot: float) -> list[Drawing]:
    """Return the lines under the axis, where there is room: how many cases, how many trials without a score."""
    lines = [("cases:N", 6, 30), ("lost:N", 22, 76)]
    texts = [
        base.mark_text(fontSize=12).encode(
            x=alt.X("group:N", sort=None, axis=None), y=alt.value(y), text=field, color=alt.value(MUTED)
        )
        for field, y, room in lines
        if slot >= room
    ]
    return [alt.layer(*texts).properties(width=width, height=14 * len(texts))] if texts else []
