"""Corrected pass rates, and the biases of a judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import polars as pl

from evalkit.charts import layers, tables
from evalkit.util.colors import MUTED, SUCCESS, TEXT, WARN
from evalkit.util.format import level, p_value, percent
from evalkit.util.words import plural

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    from evalkit.charts.layers import Drawing

ROW_LIMIT: Final = 24
_WIDTH: Final = 420
_ROW: Final = 22
# Findings that are a difference or a correlation: no bias is at zero.
_FROM_ZERO: Final = (
    *("length correlation", "length effect", "leniency", "judges differ", "drift"),
    "position shift",
)
_SIDES: Final = {
    "judge": ("judged", "judged_low", "judged_high"),
    "people (estimated)": ("corrected", "low", "high"),
}


def correction(table: IntoFrame, *, title: str | None = None) -> Drawing:
    """Plot the judge's pass rate beside the pass rate corrected by human labels, with intervals.

    Parameters
    ----------
    table
        `summary` of `correct_for_judge`: columns scope, metric, judged, judged_low, judged_high, corrected, low, high,
        method, level, n (labeled answers). The first 24 scopes are drawn.
    title
        The title; by default both rates of the first scope.

    Examples
    --------
    >>> import evalkit as ek
    >>> fixed = ek.correct_for_judge(ek.demo.make())
    >>> ek.charts.correction(fixed.summary).description
    'Judged and corrected pass rates. Scope all: the judge passes 68.9%, people would pass 60.6%; 36 labeled answers.'
    """
    columns = ("scope", "metric", *(name for names in _SIDES.values() for name in names))
    frame = tables.read_table(table, table="correction", columns=(*columns, "method", "level", "n"))
    frame = frame.filter(pl.col("judged").is_not_null(), metric="pass_rate")
    if frame.is_empty():
        return layers.empty_chart("no pass rate was corrected", title=title or "Corrected pass rate")
    total, frame = frame.height, frame.head(ROW_LIMIT)
    frame, names = tables.relabel(frame, "scope", to="name", limit=26)
    first = frame.row(0, named=True)
    statement = (
        f"the judge passes {percent(first['judged'])}, people would pass {percent(first['corrected'])}"
    )
    if first["corrected"] is None:
        statement = f"the judge passes {percent(first['judged'])}; the corrected rate cannot be estimated"
    rows = pl.concat(
        frame.select("name", "n", side=pl.lit(side), value=value, low=low, high=high)
        for side, (value, low, high) in _SIDES.items()
    ).with_columns(words=_words(percent=True))
    sides = list(_SIDES)
    colors = alt.Scale(domain=sides, range=[MUTED, SUCCESS])
    base = alt.Chart(layers.inline(rows)).encode(
        y=layers.row_axis(names),
        yOffset=alt.YOffset("side:N", sort=sides, scale=alt.Scale(domain=sides)),
        color=alt.Color("side:N", title=None, sort=sides, scale=colors, legend=alt.Legend(orient="top")),
    )
    x = alt.X(
        "value:Q", title="pass rate", scale=alt.Scale(domain=[0, 1], nice=False), axis=alt.Axis(format=".0%")
    )
    shapes = alt.Scale(domain=sides, range=["circle", "square"])
    points = base.transform_filter("datum.value !== null").mark_point(size=80, filled=True, opacity=1)
    chart: Drawing = alt.layer(
        layers.interval_rule(base, x),
        points.encode(
            x=x,
            shape=alt.Shape("side:N", legend=None, scale=shapes),
            tooltip=layers.tooltips(name="scope", side="by", words="pass rate", n="labeled answers"),
        ),
        layers.text_column(base, _WIDTH + 14, "words").encode(color=alt.value(TEXT)),
    ).properties(
        width=_WIDTH,
        height=2 * _ROW * len(names),
        title=layers.heading(
            title or tables.capital(statement),
            tables.describe_intervals(frame),
            tables.not_shown(total, frame.height),
        ),
        description=(
            f"Judged and corrected pass rates. Scope {first['name']}: {statement}; "
            f"{plural(first['n'] or 0, 'labeled answer')}."
        ),
    )
    return chart


def judge_bias(table: IntoFrame, *, title: str | None = None) -> Drawing:
    """Plot the biases of a judge: a panel per finding, a row per judge and criterion, with intervals.

    Parameters
    ----------
    table
        `summary` of `judge_forensics`: columns finding, scope, value, low, high, n, method, level, p_adjusted. The
        first 24 rows are drawn.
    title
        The title; by default how many findings are significant after adjustment.

    Examples
    --------
    >>> import evalkit as ek
    >>> bias = ek.judge_forensics(ek.demo.make())
    >>> ek.charts.judge_bias(bias.summary).description
    'Biases of the judge. 0 of 6 tested findings are significant after adjustment. ...'
    """
    columns = ("finding", "scope", "value", "low", "high", "n", "method", "level", "p_adjusted")
    frame = tables.read_table(table, table="forensics", columns=columns).filter(pl.col("value").is_not_null())
    if frame.is_empty():
        return layers.empty_chart("no bias could be estimated", title=title or "Biases of the judge")
    total, frame = frame.height, frame.head(ROW_LIMIT)
    frame, _ = tables.relabel(frame, "scope", to="name", limit=30)
    frame = frame.with_columns(
        significant=(pl.col("p_adjusted") < 1 - pl.col("level")).fill_null(value=False),
        words=_words(),
        p=tables.to_text("p_adjusted", lambda p: "not tested" if p is None else p_value(p)),
    )
    tested, significant = frame["p_adjusted"].count(), int(frame["significant"].sum())
    verb = "is" if significant == 1 else "are"
    statement = f"{significant} of {tested} tested findings {verb} significant after adjustment"
    panels = [_panel(part) for part in frame.partition_by("finding", maintain_order=True)]
    findings = "; ".join(
        f"{tables.clean(row['finding'])}, {row['name']}: {row['words']}{', significant' if row['significant'] else ''}"
        for row in frame.to_dicts()
    )
    levels = ", ".join(level(value) for value in frame["level"].drop_nulls().unique().sort())
    chart: Drawing = alt.vconcat(*panels, spacing=10).properties(
        title=layers.heading(
            title or statement,
            f"{levels} intervals. Orange: significant after adjustment over all findings" if levels else "",
            tables.not_shown(total, frame.height),
        ),
        description=f"Biases of the judge. {statement}. {findings}.",
    )
    return chart


def _panel(part: pl.DataFrame) -> Drawing:
    finding = part["finding"][0]
    color = alt.condition("datum.significant", alt.value(WARN), alt.value(TEXT))
    axis = layers.row_axis(part["name"].to_list(), minExtent=190, labelLimit=185)
    base = alt.Chart(layers.inline(part)).encode(y=axis, color=color)
    has_zero = finding in _FROM_ZERO
    x = alt.X("value:Q", title=None, scale=alt.Scale(zero=has_zero, padding=8))
    titles = {"name": "judge and criterion", "words": "value", "n": "answers", "method": "method"}
    points = base.mark_point(size=70, filled=True, opacity=1)
    chart: Drawing = alt.layer(
        *([layers.rule_at("x", 0.0, color=MUTED, strokeDash=[3, 3])] if has_zero else []),
        layers.interval_rule(base, x),
        points.encode(x=x, tooltip=layers.tooltips(**titles, p="p, adjusted")),
        layers.text_column(base, _WIDTH + 14, "words"),
    ).properties(
        width=_WIDTH,
        height=_ROW * part.height,
        title=alt.Title(tables.clean(finding), anchor="start", fontSize=12, offset=4),
    )
    return chart


def _words(**units: Any) -> pl.Expr:
    return pl.struct("value", "low", "high").map_elements(
        lambda row: tables.value_and_interval(row["value"], row["low"], row["high"], **units),
        return_dtype=pl.String,
    )
