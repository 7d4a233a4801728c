"""Shared layers of the charts: titles, axes, tooltips, interval rules, text."""

from __future__ import annotations

from typing import Any, Final

import altair as alt
import polars as pl

from evalkit.util.colors import MUTED
from evalkit.util.errors import ArgumentError

Drawing = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart

PERCENT_AXIS: Final[dict[str, Any]] = {"format": ".0%", "values": [0, 0.25, 0.5, 0.75, 1]}


def heading(title: Any, *subtitle: str) -> alt.Title:
    """Return a title above lines of method, n and level."""
    if not isinstance(title, str):
        raise ArgumentError(f"Invalid title {title!r:.60}.", argument="title", expected="text or None")
    lines = [line for line in subtitle if line]
    return alt.Title(title, subtitle=lines) if lines else alt.Title(title)


def empty_chart(reason: str, *, title: str) -> alt.Chart:
    """Return a chart that says there is no data, and why."""
    chart: alt.Chart = (
        alt.Chart(inline([{"text": f"No data: {reason}."}]))
        .mark_text(align="left", baseline="middle", fontSize=14, color=MUTED)
        .encode(x=alt.value(0), y=alt.value(20), text="text:N")
        .properties(width=560, height=40, title=title, description=f"{title}: no data, {reason}.")
    )
    return chart


def inline(rows: pl.DataFrame | list[dict[str, Any]]) -> alt.InlineData:
    """Return rows as inline values: Altair then draws them in that order."""
    return alt.InlineData(values=rows.to_dicts() if isinstance(rows, pl.DataFrame) else rows)


def row_axis(names: list[str], **axis: Any) -> alt.Y:
    """Return the axis of a chart with one row per name."""
    return alt.Y("name:N", title=None, sort=names, axis=alt.Axis(grid=False, **axis))


def tooltips(**titles: str) -> list[alt.Tooltip]:
    """Return tooltips: field=title. Fields are text or counts."""
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items()]


def legend_pick(field: str) -> alt.Parameter:
    """Return a selection by clicking words of the legend."""
    return alt.selection_point(name=field, fields=[field], bind="legend")


def fade(condition: Any, opacity: float) -> Any:
    """Return an opacity that fades what is not selected."""
    return alt.condition(condition, alt.value(1), alt.value(opacity))


def interval_rule(base: alt.Chart, x: alt.X, **encodings: Any) -> alt.Chart:
    """Return a line from `low` to `high` for each row that has both, on the axis of `x`."""
    low = x.copy()
    low.shorthand = "low:Q"
    known = base.transform_filter("datum.low !== null && datum.high !== null")
    rule: alt.Chart = known.mark_rule(strokeWidth=2.5).encode(x=low, x2="high:Q", **encodings)
    return rule


def rule_at(axis: str, value: float, **style: Any) -> alt.Chart:
    """Return a straight line across the chart at a value of its x or y axis."""
    rule: alt.Chart = alt.Chart(inline([{"at": value}])).mark_rule(**style).encode(**{axis: "at:Q"})
    return rule


def text_column(base: alt.Chart, x: float, field: str, **style: Any) -> alt.Chart:
    """Return a column of text right of the chart, `x` pixels from its left edge."""
    text: alt.Chart = base.mark_text(align="left", **style).encode(x=alt.value(x), text=f"{field}:N")
    return text


def haloed(base: alt.Chart, *, halo: str = "white", **style: Any) -> list[alt.Chart]:
    """Return text above an edge in the color of the ground, so that no line crosses it."""
    edge = {"stroke": halo, "strokeWidth": 5, "strokeJoin": "round"}
    return [base.mark_text(**{**style, **edge}), base.mark_text(**style)]
