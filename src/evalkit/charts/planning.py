"""How many cases it takes, and where the noise comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt
import polars as pl

from evalkit.charts._table import Drawing, counted, finished, heading, nothing, percent, relabel, rows
from evalkit.charts.theme import INK, OK, SOFT, version_colors

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

MOST_POINTS: Final = 400


def power(curve: IntoFrame, *, target: float = 0.8, points: bool = True, title: str | None = None) -> Drawing:
    """Draw the chance of seeing a difference, by number of cases: a line for each true difference.

    Parameters
    ----------
    curve
        Columns n (cases), difference (the true one; a share, or score points), power (0 to 1).
    target
        The power asked for, drawn as a line.
    points
        Whether differences are shares, shown as percentage points.
    title
        The statement above; by default the cases that the smallest difference within reach needs.

    Returns
    -------
    altair chart
        At most 6 differences and 400 rows.

    Raises
    ------
    ColumnError
        A column is missing.
    """
    frame = finished(curve, table="power", need=("n", "difference", "power")).drop_nulls(
        ["n", "difference", "power"]
    )
    if frame.is_empty():
        return nothing("no power was computed.", title=title or "Power")
    sizes = frame["difference"].unique().sort().to_list()[:6]
    frame = frame.filter(pl.col("difference").is_in(sizes)).sort("difference", "n").head(MOST_POINTS)
    word = {size: f"{size * 100:g} points" if points else f"{size:g}" for size in sizes}
    order = [word[size] for size in sizes]
    frame = frame.with_columns(pl.Series("line", [word[size] for size in frame["difference"]]))
    needed: dict[float, tuple[int, float] | None] = {}
    for size in sizes:
        enough = frame.filter((pl.col("difference") == size) & (pl.col("power") >= target))
        needed[size] = enough.select("n", "power").row(0) if enough.height else None
    reached = [(size, *found) for size, found in needed.items() if found is not None]
    said = (
        f"{reached[0][1]} cases show a difference of {word[reached[0][0]]} with {percent(target)} power"
        if reached
        else f"No number of cases drawn reaches {percent(target)} power"
    )
    rest = "; ".join(
        f"{word[size]}: {f'{found[0]} cases' if found else 'more than drawn'}"
        for size, found in needed.items()
    )
    ends = frame.group_by("line", maintain_order=True).last()
    color = alt.Color("line:N", legend=None, scale=alt.Scale(domain=order, range=version_colors(order)))
    x = alt.X("n:Q", title="cases", scale=alt.Scale(nice=False, zero=False))
    y = alt.Y("power:Q", title="power", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%"))
    base = alt.Chart(rows(frame))
    wanted = alt.Chart(alt.InlineData(values=[{"target": target}]))
    marks = [{"n": n, "power": at, "line": word[size], "words": str(n)} for size, n, at in reached]
    found = alt.Chart(alt.InlineData(values=marks or [{"n": None, "power": None, "line": "", "words": ""}]))
    chart: Drawing = alt.layer(
        wanted.mark_rule(strokeDash=[5, 3], color=SOFT).encode(y="target:Q"),
        base.mark_line(strokeWidth=2).encode(
            x=x,
            y=y,
            color=color,
            strokeDash=alt.StrokeDash("line:N", legend=None, sort=order),
            tooltip=[alt.Tooltip("line:N", title="difference"), "n:Q", alt.Tooltip("power:Q", format=".1%")],
        ),
        found.mark_point(size=70, opacity=1).encode(x="n:Q", y="power:Q", color=color),
        found.mark_text(
            dy=-12, dx=-4, align="right", fontWeight=600, stroke="white", strokeWidth=5, strokeJoin="round"
        ).encode(x="n:Q", y="power:Q", text="words:N"),
        found.mark_text(dy=-12, dx=-4, align="right", fontWeight=600).encode(
            x="n:Q", y="power:Q", text="words:N"
        ),
        alt.Chart(rows(ends)).mark_text(align="left", dx=8).encode(x="n:Q", y="power:Q", text="line:N"),
    ).properties(
        width=520,
        height=280,
        title=heading(
            title or said, f"A line for each true difference; dashed: the power asked for, {percent(target)}"
        ),
        description=f"Power by number of cases. {said}. {rest}.",
    )
    return chart


def variance(components: IntoFrame, *, title: str | None = None) -> Drawing:
    """Draw how the variance of a score splits into its sources, the largest first.

    Parameters
    ----------
    components
        A row a source: columns component (case, epoch, sample, criterion) and variance (null: it cannot be
        told from the data).
    title
        The statement above; by default the largest source and its share.

    Returns
    -------
    altair chart

    Raises
    ------
    ColumnError
        A column is missing.
    """
    frame = finished(components, table="variance", need=("component", "variance"))
    total = float(frame["variance"].sum() or 0)
    if not total > 0:
        return nothing("the scores do not vary.", title=title or "Where the variance comes from")
    frame = frame.sort("variance", descending=True, nulls_last=True, maintain_order=True).head(12)
    frame, names = relabel(frame, "component", to="name", most=26)
    frame = frame.with_columns(share=pl.col("variance") / total).with_columns(
        words=pl.struct("share", "variance").map_elements(
            lambda row: (
                "cannot be told from these data"
                if row["variance"] is None
                else f"{percent(row['share'])}   (variance {row['variance']:.3g})"
            ),
            return_dtype=pl.String,
        )
    )
    top = frame.row(0, named=True)
    unknown = frame["variance"].null_count()
    base = alt.Chart(rows(frame)).encode(y=alt.Y("name:N", title=None, sort=names, axis=alt.Axis(grid=False)))
    x = alt.X(
        "share:Q", title="share of the variance", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%")
    )
    said = f"{percent(top['share'])} of the variance is from one source of {frame.height}"
    chart: Drawing = alt.layer(
        base.mark_bar(height=18, color=OK).encode(
            x=x,
            tooltip=[
                alt.Tooltip("name:N", title="source"),
                "variance:Q",
                alt.Tooltip("share:Q", format=".1%"),
            ],
        ),
        base.transform_calculate(at="isValid(datum.share) ? datum.share : 0")
        .mark_text(align="left", dx=8, color=INK)
        .encode(x="at:Q", text="words:N"),
    ).properties(
        width=460,
        height=32 * frame.height,
        title=heading(title or said, f"{counted(unknown, 'source')} cannot be told apart" if unknown else ""),
        description=f"Variance by source. Largest: {top['name']}, {top['words']}. "
        + "; ".join(f"{row['name']}: {row['words']}" for row in frame.iter_rows(named=True)),
    )
    return chart
