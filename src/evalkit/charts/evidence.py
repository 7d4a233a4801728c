"""Evidence at each look of a sequential test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt
import polars as pl

from evalkit.charts import layers, tables
from evalkit.util.colors import MUTED, SUCCESS, TEXT

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    from evalkit.charts.layers import Drawing

LOOK_LIMIT: Final = 200
_LEAST: Final = 1e-3


def evidence(looks: IntoFrame, *, alpha: float = 0.05, title: str | None = None) -> Drawing:
    """Plot the e-value at each look. A change is shown once it reaches 1 / alpha, at any number of looks.

    Parameters
    ----------
    looks
        One row per look: columns look (1, 2, ...), e_value (0 or more), and optionally n (cases so far). The last 200
        are drawn, on a log axis from 0.001.
    alpha
        False alarm rate.
    title
        The title; by default the look at which the line was reached.
    """
    frame = tables.read_table(looks, table="looks", columns=("look", "e_value"), optional=("n",))
    frame = frame.drop_nulls(["look", "e_value"]).sort("look").tail(LOOK_LIMIT)
    if frame.is_empty():
        return layers.empty_chart("no look was taken", title=title or "Evidence by look")
    threshold = 1 / alpha
    # An e-value of 0 has no logarithm, an infinite one no place.
    frame = frame.with_columns(
        drawn=pl.col("e_value").clip(_LEAST, 1e9),
        words=tables.to_text("e_value", lambda value: f"{value:.3g}"),
    )
    above = frame.filter(pl.col("e_value") >= threshold - 1e-9)
    last = frame.row(-1, named=True)
    if above.height:
        statement = f"Evidence of a change at look {above['look'][0]}: e-value {above['words'][0]}"
    else:
        statement = (
            f"No evidence of a change after look {last['look']}: e-value {last['words']} of {threshold:g}"
        )
    lowest, highest = min([*frame["drawn"], 0.5]), max([*frame["drawn"], threshold])
    y = alt.Y(
        "drawn:Q",
        title="e-value (log scale)",
        scale=alt.Scale(type="log", domain=[lowest / 1.5, highest * 2], nice=False),
        axis=alt.Axis(format="~g", values=[10.0**power for power in range(-3, 10)]),
    )
    x = alt.X(
        "look:Q",
        title="look",
        axis=alt.Axis(tickMinStep=1, format="d", grid=False),
        scale=alt.Scale(domain=[frame["look"][0] - 0.5, last["look"] + 0.5], nice=False),
    )
    base = alt.Chart(layers.inline(frame.drop("e_value"))).encode(x=x, y=y)
    titles = {"look": "look", "words": "e-value", **({"n": "cases so far"} if "n" in frame.columns else {})}
    line = alt.Chart(layers.inline([{"line": threshold, "words": f"{threshold:g} = 1 / {alpha:g}"}]))
    end = alt.Chart(layers.inline(frame.tail(1).select("look", "drawn", "words")))
    chart: Drawing = alt.layer(
        line.mark_rule(strokeDash=[5, 3], color=MUTED).encode(y="line:Q"),
        line.mark_text(align="left", dy=-8, color=MUTED).encode(x=alt.value(4), y="line:Q", text="words:N"),
        base.mark_line(color=SUCCESS, strokeWidth=2),
        base.mark_point(color=SUCCESS, size=60, opacity=1).encode(tooltip=layers.tooltips(**titles)),
        end.mark_text(align="left", dx=9, fontWeight=600, color=TEXT).encode(
            x="look:Q", y="drawn:Q", text="words:N"
        ),
    ).properties(
        width=520,
        height=240,
        title=layers.heading(
            title or statement, f"Valid at any number of looks; dashed: the e-value needed at alpha {alpha:g}"
        ),
        description=f"E-value by look. {statement}.",
    )
    return chart
