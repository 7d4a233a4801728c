"""Looking while it runs: the evidence at each look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt
import polars as pl

from evalkit.charts.prepare import Drawing, finished, heading, nothing, rows
from evalkit.util.colors import MUTED, SUCCESS, TEXT

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

MOST_LOOKS: Final = 200
_LEAST: Final = 1e-3


def evidence(looks: IntoFrame, *, alpha: float = 0.05, title: str | None = None) -> Drawing:
    """Draw the e-value at each look; once it reaches 1 / alpha, a change is shown, however often one looked.

    Parameters
    ----------
    looks
        A row a look: columns look (1, 2, ...), e_value (0 or more), and optionally n (cases so far).
    alpha
        The false alarm rate; the line is at 1 / alpha.
    title
        The statement above; by default at which look the line was reached.

    Returns
    -------
    altair chart
        At most 200 looks, the last; the axis is logarithmic and starts no lower than 0.001.

    Raises
    ------
    ColumnError
        A column is missing.
    """
    frame = finished(looks, table="looks", need=("look", "e_value"), also=("n",))
    frame = frame.drop_nulls(["look", "e_value"]).sort("look").tail(MOST_LOOKS)
    if frame.is_empty():
        return nothing("nobody has looked yet.", title=title or "Evidence by look")
    line = 1 / alpha
    # An e-value of 0 has no logarithm, an infinite one no place.
    frame = frame.with_columns(
        drawn=pl.col("e_value").clip(_LEAST, 1e9),
        words=pl.col("e_value").map_elements(lambda value: f"{value:.3g}", return_dtype=pl.String),
    )
    above = frame.filter(pl.col("e_value") >= line - 1e-9)
    last = frame.row(-1, named=True)
    said = (
        f"Evidence of a change at look {above['look'][0]}: e-value {above['words'][0]}"
        if above.height
        else f"No evidence of a change after look {last['look']}: e-value {last['words']}, {line:g} asked for"
    )
    lowest, highest = min([*frame["drawn"], 0.5]), max([*frame["drawn"], line])
    y = alt.Y(
        "drawn:Q",
        title="e-value (log scale)",
        scale=alt.Scale(type="log", domain=[lowest / 1.5, highest * 2], nice=False),
        axis=alt.Axis(format="~g", values=[10.0**at for at in range(-3, 10)]),
    )
    x = alt.X(
        "look:Q",
        title="look",
        axis=alt.Axis(tickMinStep=1, format="d", grid=False),
        scale=alt.Scale(domain=[frame["look"][0] - 0.5, last["look"] + 0.5], nice=False),
    )
    base = alt.Chart(rows(frame.with_columns(pl.col("e_value").clip(upper_bound=1e300)))).encode(x=x, y=y)
    cases = [alt.Tooltip("n:Q", title="cases so far")] if "n" in frame.columns else []
    asked = alt.Chart(alt.InlineData(values=[{"line": line, "words": f"{line:g} = 1 / {alpha:g}"}]))
    ends = alt.Chart(rows(frame.tail(1).select("look", "drawn", "words")))
    chart: Drawing = alt.layer(
        asked.mark_rule(strokeDash=[5, 3], color=MUTED).encode(y="line:Q"),
        asked.mark_text(align="left", dy=-8, color=MUTED).encode(x=alt.value(4), y="line:Q", text="words:N"),
        base.mark_line(color=SUCCESS, strokeWidth=2),
        base.mark_point(color=SUCCESS, size=60, opacity=1).encode(
            tooltip=["look:Q", alt.Tooltip("words:N", title="e-value"), *cases]
        ),
        ends.mark_text(align="left", dx=9, fontWeight=600, color=TEXT).encode(
            x="look:Q", y="drawn:Q", text="words:N"
        ),
    ).properties(
        width=520,
        height=240,
        title=heading(
            title or said, f"Valid however often one looks; dashed: the e-value asked for at alpha {alpha:g}"
        ),
        description=f"E-value by look. {said}.",
    )
    return chart
