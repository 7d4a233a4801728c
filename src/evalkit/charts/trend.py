"""The pass rate of each version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import polars as pl

from evalkit.charts import layers, tables
from evalkit.charts.theme import WIDTH, version_colors
from evalkit.data.evals import Evals
from evalkit.grading.version_order import differ_by_number, order_versions
from evalkit.util.colors import MUTED, TEXT
from evalkit.util.format import level, percent
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame

    from evalkit.charts.layers import Drawing
    from evalkit.grading.pass_rule import PassRule

GROUP_LIMIT: Final = 24
_COLUMNS: Final = ("pass_rate", "low", "high", "n", "unscored", "method", "level")
_SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


def trend(
    data: Evals | IntoFrame,
    *,
    by: str = "agent_version",
    rule: PassRule | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    color: str | None = None,
    ordered: bool | None = None,
    title: str | None = None,
) -> Drawing:
    """Plot the pass rate of each version with its interval.

    Points are joined, and the title names a first and a last rate, only if the order of the versions is known.

    Parameters
    ----------
    data
        An Evals, or `summarize(evals, by=[by])` (`by=[by, color]` with a color): columns `by`, `color`, pass_rate,
        low, high, n, unscored, method, level. The last 24 versions are drawn.
    by
        The column along the axis.
    rule, grader, rubric
        As for `grade`, for an Evals.
    color
        A second column, for example "model": a color and a shape per value. Click its legend to see one.
    ordered
        Whether the versions follow each other in the order of the table. None: if their names differ by numbers
        alone (v1, v2, v10; 2026-01-31), or if `started_at` of an Evals puts them in that order.
    title
        The title; by default the first and last rate, or the lowest and highest.

    Examples
    --------
    >>> import evalkit as ek
    >>> ek.charts.trend(ek.demo.make(), color="model").description
    'Pass rate by agent_version and model. Lowest ...'
    """
    columns = [by, color] if color else [by]
    table = tables.summary_of(data, columns, rule=rule, grader=grader, rubric=rubric)
    frame = tables.read_table(table, table="summary", columns=(*columns, *_COLUMNS), optional=tables.BOUNDS)
    title_of_none = title or "Pass rate"
    if frame.is_empty():
        return layers.empty_chart("no trial was graded", title=title_of_none)
    unscored = plural(int(frame["unscored"].sum()), "trial")
    if frame["pass_rate"].null_count() == frame.height:
        return layers.empty_chart(f"none of {unscored} was scored", title=title_of_none)
    if ordered is None:
        groups = frame[by].unique(maintain_order=True).to_list()
        ordered = is_ordered(groups, data if isinstance(data, Evals) else None, by=by)
    frame, names = tables.relabel(frame, by, to="group", limit=22)
    frame, series = (
        tables.relabel(frame, color, to="series", limit=24)
        if color
        else (frame.with_columns(series=pl.lit("")), [""])
    )
    shown = names[-GROUP_LIMIT:]
    frame = tables.with_bounds(frame)
    frame = frame.filter(pl.col("group").is_in(shown)).with_columns(
        rate=tables.to_text("pass_rate", percent),
        interval=tables.interval_text(percent=True),
        confidence=tables.to_text("level", level),
        cases=pl.format("n {}", "n"),
        unscored_text=pl.when(pl.col("unscored") > 0)
        .then(pl.format("{} unscored", "unscored"))
        .otherwise(pl.lit("")),
    )
    known = frame.filter(pl.col("pass_rate").is_not_null())
    first, last = known.row(0, named=True), known.row(-1, named=True)
    low, high = known.sort("pass_rate").row(0, named=True), known.sort("pass_rate").row(-1, named=True)
    if known.height == 1:
        statement = f"Pass rate {first['rate']}"
    elif color or not ordered:
        statement = f"Pass rates from {low['rate']} to {high['rate']}"
    else:
        statement = f"Pass rate goes from {first['rate']} to {last['rate']}"
    ends = [
        f"{row['rate']} ({row['group']}{', ' + row['series'] if color else ''}, n {row['n']})"
        for row in (low, high)
    ]
    order = f"last {last['rate']}" if ordered else "order unknown"
    return _draw(frame, shown, series, joined=ordered).properties(
        title=layers.heading(
            title or statement,
            tables.join_parts(
                f"Mean over scored cases ({tables.count_range(known['n'].to_list(), 'case')} each)",
                f"{unscored} unscored",
                tables.not_shown(len(names), len(shown), "earlier"),
            ),
            tables.join_parts(
                tables.describe_intervals(frame),
                tables.BOUND_WORDS if (frame["bounds"] != "").any() else "",
            ),
        ),
        description=(
            f"Pass rate by {' and '.join(tables.clean(column) for column in columns)}. "
            f"Lowest {ends[0]}, highest {ends[1]}; {order}. {tables.describe_intervals(frame)}."
        ),
    )


def is_ordered(names: Sequence[object], evals: Evals | None = None, *, by: str = "agent_version") -> bool:
    """Return whether versions follow each other, by their names or by when their runs started.

    Examples
    --------
    >>> (
    ...     is_ordered(["v1", "v2", "v10"]),
    ...     is_ordered(["2026-01-31", "2026-02-01"]),
    ...     is_ordered(["base", "tuned"]),
    ... )
    (True, True, False)
    """
    if evals is None:
        return differ_by_number(names)
    order = order_versions(evals, by)
    return len(names) > 1 and order.is_known and [name for name in order.names if name in names] == [*names]


def _draw(frame: pl.DataFrame, names: list[str], series: list[str], *, joined: bool) -> Drawing:
    has_series = len(series) > 1
    width = WIDTH - 90 if len(names) > 1 else 420
    slot = width / len(names) / len(series)
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
    base = alt.Chart(layers.inline(frame)).encode(x=x)
    shape: dict[str, Any] = {}
    pick = layers.legend_pick("series")
    if has_series:
        base = base.encode(
            xOffset=alt.XOffset("series:N", sort=series, scale=alt.Scale(domain=series)),
            color=alt.Color(
                "series:N", title=None, scale=alt.Scale(domain=series, range=version_colors(series))
            ),
            opacity=layers.fade(pick, 0.12),
        )
        shapes = alt.Scale(domain=series, range=list(_SHAPES[: len(series)]))
        shape["shape"] = alt.Shape("series:N", scale=shapes)
    y = alt.Y(
        "pass_rate:Q",
        title="pass rate",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(**layers.PERCENT_AXIS),
    )
    known = base.transform_filter("datum.pass_rate !== null")
    interval = known.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title="pass rate"), y2="high:Q")
    if has_series:
        # On the first layer: a legend listens to the layer that made it.
        interval = interval.add_params(pick).properties(name="trend_intervals")
    marks = [interval]
    if (frame["bounds"] != "").any():
        bounds = known.transform_filter("datum.bounds != ''").mark_rule(
            xOffset=-7, strokeDash=[2, 3], strokeWidth=1.5, color=MUTED
        )
        marks.append(bounds.encode(y="if_all_fail:Q", y2="if_all_pass:Q"))
    if joined and not has_series:
        marks.append(known.mark_line(strokeDash=[3, 3], strokeWidth=1, color=MUTED).encode(y="pass_rate:Q"))
    titles = {"group": "version", **({"series": "series"} if has_series else {}), "rate": "pass rate"}
    titles |= {
        "interval": "interval",
        "n": "cases",
        "unscored": "trials unscored",
        "bounds": "if they fail, pass",
        "method": "method",
    }
    points = known.mark_point(size=95, filled=True, opacity=1)
    marks.append(points.encode(y=y, tooltip=layers.tooltips(**titles, confidence="level"), **shape))
    if slot >= 52:
        rates = known.encode(y="pass_rate:Q", text="rate:N", color=alt.value(TEXT))
        marks += layers.haloed(rates, align="left", dx=9, fontWeight=600)
    main = alt.layer(*marks).properties(width=width, height=280)
    chart: Drawing = alt.vconcat(main, *_counts(base, width, slot), spacing=6).resolve_scale(
        color="independent", shape="independent"
    )
    return chart


def _counts(base: alt.Chart, width: float, slot: float) -> list[Drawing]:
    """Return the lines under the axis, if there is room: cases, and trials without a score."""
    lines = [
        base.mark_text(fontSize=12).encode(
            x=alt.X("group:N", sort=None, axis=None), y=alt.value(y), text=field, color=alt.value(MUTED)
        )
        for field, y, room in (("cases:N", 6, 30), ("unscored_text:N", 22, 76))
        if slot >= room
    ]
    return [alt.layer(*lines).properties(width=width, height=14 * len(lines))] if lines else []
