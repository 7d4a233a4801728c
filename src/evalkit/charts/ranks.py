"""Which version is best, and how sure that is: ranks with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt
import polars as pl

from evalkit.charts.prepare import Drawing, clean, finished, heading, nothing, percent, relabel, rows
from evalkit.util.colors import MUTED, SUCCESS, TEXT
from evalkit.util.words import plural

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

MOST_ROWS: Final = 30
_WIDTH: Final = 420


def ranks(table: IntoFrame, *, title: str | None = None) -> Drawing:
    """Draw each version's rank with its interval, best first, and how often it comes first.

    Parameters
    ----------
    table
        A row a version: columns version, rank (1 is best), low, high (of the rank), p_best (0 to 1), and
        optionally n (cases), method, level.
    title
        The statement above; by default how many versions can be the best.

    Returns
    -------
    altair chart
        At most 30 versions, the best.

    Raises
    ------
    ColumnError
        A column is missing.
    """
    frame = finished(
        table, table="ranks", need=("version", "rank", "low", "high", "p_best"), also=("n", "method", "level")
    )
    frame = frame.filter(pl.col("rank").is_not_null()).sort("rank", "version", maintain_order=True)
    if frame.is_empty():
        return nothing("no version has a rank.", title=title or "Ranks")
    everything = frame.height
    frame, names = relabel(frame.head(MOST_ROWS), "version", to="name", most=26)
    frame = frame.with_columns(
        words=pl.col("p_best").map_elements(
            lambda value: f"best in {percent(value)}", return_dtype=pl.String, skip_nulls=False
        ),
        first=pl.col("low") <= 1,
    )
    first = int(frame["first"].sum())
    said = f"{first} of {plural(everything, 'version')} may be the best"
    if everything == 1:
        said = "One version: nothing to rank"
    best = frame.row(0, named=True)
    facts = [
        f"{best['level'] * 100:g}% {clean(best['method'], most=60)} intervals of the rank"
        if "level" in frame.columns and "method" in frame.columns and best["level"] is not None
        else "intervals of the rank",
        plural(best["n"], "case") if "n" in frame.columns and best["n"] is not None else "",
        f"{everything - frame.height} more not shown" if everything > frame.height else "",
    ]
    y = alt.Y("name:N", title=None, sort=names, axis=alt.Axis(grid=False))
    ends = alt.Scale(domain=[0.6, max([*frame["high"].drop_nulls(), everything]) + 0.4], nice=False)
    x = alt.X("rank:Q", title="rank (1 is best)", scale=ends, axis=alt.Axis(tickMinStep=1, format="d"))
    base = alt.Chart(rows(frame))
    color = alt.condition("datum.first", alt.value(SUCCESS), alt.value(MUTED))
    chart: Drawing = alt.layer(
        base.mark_rule(strokeWidth=2.5)
        .encode(y=y, x=x.copy(), x2="high:Q", color=color)
        .encode(x=alt.X("low:Q", title="rank (1 is best)", scale=ends)),
        base.mark_point(size=110, opacity=1).encode(
            y=y,
            x=x,
            color=color,
            tooltip=[
                alt.Tooltip("name:N", title="version"),
                alt.Tooltip("rank:Q", format=".2~f"),
                alt.Tooltip("low:Q", format=".2~f"),
                alt.Tooltip("high:Q", format=".2~f"),
                alt.Tooltip("p_best:Q", format=".1%", title="comes first in"),
            ],
        ),
        base.mark_text(align="left", color=TEXT).encode(y=y, x=alt.value(_WIDTH + 14), text="words:N"),
    ).properties(
        width=_WIDTH,
        height=30 * frame.height,
        title=heading(
            title or said,
            "; ".join(fact for fact in facts if fact),
            "Blue: its interval reaches rank 1; at the right: share of resampled suites in which it is best",
        ),
        description=f"Ranks of {plural(everything, 'version')}. {said}. Best rank: {best['name']}, {best['words']} of resampled suites.",
    )
    return chart
