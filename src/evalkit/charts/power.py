"""How many cases it takes, and where the noise comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt
import polars as pl

from evalkit.charts.prepare import Drawing, finished, heading, nothing, percent, relabel, rows
from evalkit.charts.theme import version_colors
from evalkit.util.colors import MUTED, SUCCESS, TEXT
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoFrame

MOST_POINTS: Final = 400
_HEIGHT: Final = 280
_LINE: Final = 17
_BETWEEN: Final = {"case": "cases", "epoch": "epochs", "sample": "judge samples", "criterion": "criteria"}


def power(
    curve: IntoFrame,
    *,
    target: float = 0.8,
    points: bool = True,
    needed: Mapping[float, int] | None = None,
    note: str = "",
    title: str | None = None,
) -> Drawing:
    """Draw the chance of seeing a difference, by number of cases: a line for each true difference.

    Parameters
    ----------
    curve
        Columns n (cases), difference (the true one; a share, or score points), power (0 to 1).
    target
        The power asked for, drawn as a line.
    points
        Whether differences are shares, shown as percentage points.
    needed
        The cases that each difference needs, where they were solved for (`plan` does); by default the first
        of the curve's rows with enough power.
    note
        A line below the title, e.g. why a line has a step.
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

    Examples
    --------
    >>> import evalkit as ek
    >>> needed = ek.plan(ek.demo.make(), baseline="v2", candidate="v3", difference=0.1)
    >>> ek.charts.power(needed.curve).description
    'Power by number of cases. ...'
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
    reached = []
    cases: dict[float, int | None] = {}
    for size in sizes:
        drawn = frame.filter(pl.col("difference") == size)
        enough = drawn.filter(pl.col("power") >= target)["n"].to_list()
        cases[size] = n = (needed or {}).get(size, enough[0] if enough else None)
        if n is not None and n <= drawn["n"][-1]:
            there = drawn.filter(pl.col("n") == n)["power"].to_list()
            reached.append((size, n, there[0] if there else target))
    said = (
        f"{reached[0][1]} cases show a difference of {word[reached[0][0]]} with {percent(target)} power"
        if reached
        else f"No number of cases drawn reaches {percent(target)} power"
    )
    rest = "; ".join(
        f"{word[size]}: {f'{n:,} cases' if n is not None else 'more than drawn'}" for size, n in cases.items()
    )
    ends = _apart(frame.group_by("line", maintain_order=True).last())
    color = alt.Color("line:N", legend=None, scale=alt.Scale(domain=order, range=version_colors(order)))
    x = alt.X("n:Q", title="cases", scale=alt.Scale(nice=False, zero=False))
    y = alt.Y("power:Q", title="power", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%"))
    base = alt.Chart(rows(frame))
    wanted = alt.Chart(alt.InlineData(values=[{"target": target}]))
    marks = [{"n": n, "power": at, "line": word[size], "words": str(n)} for size, n, at in reached]
    found = alt.Chart(alt.InlineData(values=marks or [{"n": None, "power": None, "line": "", "words": ""}]))
    chart: Drawing = alt.layer(
        wanted.mark_rule(strokeDash=[5, 3], color=MUTED).encode(y="target:Q"),
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
        alt.Chart(rows(ends)).mark_text(align="left", dx=8).encode(x="n:Q", y="at:Q", text="line:N"),
    ).properties(
        width=520,
        height=_HEIGHT,
        title=heading(
            title or said,
            f"A line for each true difference; dashed: the power asked for, {percent(target)}",
            note,
        ),
        description=f"Power by number of cases. {said}. {rest}.",
    )
    return chart


def _apart(ends: pl.DataFrame) -> pl.DataFrame:
    """Return where the word of each line stands: beside its end, and below the word above it."""
    ends = ends.sort("power", "difference", descending=True)
    free, at = 1.0, []
    for end in ends["power"]:
        at.append(min(end, free))
        free = at[-1] - _LINE / _HEIGHT
    return ends.with_columns(pl.Series("at", at, dtype=pl.Float64))


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

    Examples
    --------
    >>> import evalkit as ek
    >>> found = ek.variance(ek.demo.make())
    >>> found.chart().description
    'Variance by source. Largest: case, ...'
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
    where = _BETWEEN.get(top["name"])
    said = f"{percent(top['share'])} of the variance is " + (
        f"between {where}" if where else f"from one source of {frame.height}"
    )
    chart: Drawing = alt.layer(
        base.mark_bar(height=18, color=SUCCESS).encode(
            x=x,
            tooltip=[
                alt.Tooltip("name:N", title="source"),
                "variance:Q",
                alt.Tooltip("share:Q", format=".1%"),
            ],
        ),
        base.transform_calculate(at="isValid(datum.share) ? datum.share : 0")
        .mark_text(align="left", dx=8, color=TEXT)
        .encode(x="at:Q", text="words:N"),
    ).properties(
        width=460,
        height=32 * frame.height,
        title=heading(title or said, f"{plural(unknown, 'source')} cannot be told apart" if unknown else ""),
        description=f"Variance by source. Largest: {top['name']}, {' '.join(top['words'].split())}. "
        + "; ".join(
            f"{row['name']}: {' '.join(row['words'].split())}" for row in frame.iter_rows(named=True)
        ),
    )
    return chart
