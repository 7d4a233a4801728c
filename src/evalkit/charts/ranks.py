"""Ranks of versions with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt
import polars as pl

from evalkit.charts import layers, tables
from evalkit.util.colors import MUTED, SUCCESS, TEXT
from evalkit.util.format import percent
from evalkit.util.words import plural

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    from evalkit.charts.layers import Drawing

ROW_LIMIT: Final = 30
_WIDTH: Final = 420


def ranks(table: IntoFrame, *, title: str | None = None) -> Drawing:
    """Plot the rank of each version with its interval, best first, and how often it comes first.

    Parameters
    ----------
    table
        One row per version: columns version, rank (1 is best), low, high (of the rank), p_best (0 to 1), and optionally
        n (cases), method, level. The 30 best are drawn.
    title
        The title; by default how many versions may be the best.
    """
    columns = ("version", "rank", "low", "high", "p_best")
    frame = tables.read_table(table, table="ranks", columns=columns, optional=("n", "method", "level"))
    frame = frame.filter(pl.col("rank").is_not_null()).sort("rank", "version", maintain_order=True)
    if frame.is_empty():
        return layers.empty_chart("no version has a rank", title=title or "Ranks")
    total = frame.height
    frame, names = tables.relabel(frame.head(ROW_LIMIT), "version", to="name", limit=26)
    frame = frame.with_columns(
        words=pl.format("first in {}", tables.to_text("p_best", percent)),
        rank_text=tables.to_text("rank", lambda rank: f"{rank:g}"),
        interval=tables.interval_text(digits=0),
        is_first=pl.col("low") <= 1,
    )
    best = frame.row(0, named=True)
    statement = f"{int(frame['is_first'].sum())} of {plural(total, 'version')} may be the best"
    if total == 1:
        statement = "Only one version to rank"
    has_method = {"method", "level"} <= set(frame.columns)
    facts = tables.join_parts(
        f"{tables.describe_intervals(frame) if has_method else ''} of the rank".strip(),
        plural(best["n"], "case") if best.get("n") is not None else "",
        tables.not_shown(total, frame.height),
    )
    largest = max([*frame["high"].drop_nulls(), total])
    x = alt.X(
        "rank:Q",
        title="rank (1 is best)",
        scale=alt.Scale(domain=[0.6, largest + 0.4], nice=False),
        axis=alt.Axis(tickMinStep=1, format="d"),
    )
    color = alt.condition("datum.is_first", alt.value(SUCCESS), alt.value(MUTED))
    base = alt.Chart(layers.inline(frame)).encode(y=layers.row_axis(names))
    points = base.mark_point(size=110, opacity=1).encode(
        x=x,
        color=color,
        tooltip=layers.tooltips(
            name="version", rank_text="rank", interval="interval", words="resampled suites"
        ),
    )
    chart: Drawing = alt.layer(
        layers.interval_rule(base, x, color=color),
        points,
        layers.text_column(base, _WIDTH + 14, "words", color=TEXT),
    ).properties(
        width=_WIDTH,
        height=30 * frame.height,
        title=layers.heading(
            title or statement,
            facts,
            "Blue: the interval reaches rank 1. Right column: share of resampled suites in which it is best",
        ),
        description=(
            f"Ranks of {plural(total, 'version')}. {statement}. "
            f"Best rank: {best['name']}, {best['words']} of resampled suites."
        ),
    )
    return chart
