"""Power by number of cases, and the sources of variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import polars as pl

from evalkit.charts import layers, tables
from evalkit.charts.theme import version_colors
from evalkit.util.colors import MUTED, SUCCESS, TEXT
from evalkit.util.format import percent
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoFrame

    from evalkit.charts.layers import Drawing

POINT_LIMIT: Final = 400
_HEIGHT: Final = 280
_LINE: Final = 17
_SOURCES: Final = {"case": "cases", "epoch": "epochs", "sample": "judge samples", "criterion": "criteria"}


def power(
    curve: IntoFrame,
    *,
    target: float = 0.8,
    points: bool = True,
    needed: Mapping[float, int] | None = None,
    note: str = "",
    title: str | None = None,
) -> Drawing:
    """Plot the power by number of cases, a line per true difference.

    Parameters
    ----------
    curve
        Columns n (cases), difference (the true one; a share, or score points), power (0 to 1). At most 6 differences
        and 400 rows are drawn.
    target
        The power to reach, drawn as a line.
    points
        Whether differences are rates, shown in percentage points.
    needed
        Cases needed per difference, as `plan` solves for them; by default the first row with enough power.
    note
        A line below the title.
    title
        The title; by default the cases that the smallest difference within reach needs.

    Examples
    --------
    >>> import evalkit as ek
    >>> plan = ek.plan(ek.demo.make(), baseline="v2", candidate="v3", difference=0.1)
    >>> ek.charts.power(plan.curve).description
    'Power by number of cases. ...'
    """
    columns = ["n", "difference", "power"]
    frame = tables.read_table(curve, table="power", columns=columns).drop_nulls(columns)
    if frame.is_empty():
        return layers.empty_chart("no power was computed", title=title or "Power")
    sizes = frame["difference"].unique().sort().to_list()[:6]
    names = {size: f"{size * 100:g} points" if points else f"{size:g}" for size in sizes}
    frame = frame.filter(pl.col("difference").is_in(sizes)).sort("difference", "n").head(POINT_LIMIT)
    frame = frame.with_columns(
        line=pl.col("difference").replace_strict(names, return_dtype=pl.String),
        power_text=tables.to_text("power", percent),
    )
    cases: dict[str, str] = {}
    reached: list[dict[str, Any]] = []
    for size, name in names.items():
        part = frame.filter(difference=size)
        enough = part.filter(pl.col("power") >= target)["n"].to_list()
        n = (needed or {}).get(size, enough[0] if enough else None)
        cases[name] = "more cases than drawn" if n is None else plural(n, "case")
        if n is not None and n <= part["n"][-1]:
            at_n = part.filter(n=n)["power"].to_list()
            reached.append({"n": n, "power": at_n[0] if at_n else target, "line": name, "words": str(n)})
    goal = percent(target, 0)
    statement = f"No number of cases drawn reaches {goal} power"
    if reached:
        statement = f"{reached[0]['n']} cases show a difference of {reached[0]['line']} with {goal} power"
    order = list(names.values())
    color = alt.Color("line:N", legend=None, scale=alt.Scale(domain=order, range=version_colors(order)))
    x = alt.X("n:Q", title="cases", scale=alt.Scale(nice=False, zero=False))
    y = alt.Y("power:Q", title="power", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%"))
    lines = alt.Chart(layers.inline(frame)).mark_line(strokeWidth=2)
    none = {"n": None, "power": None, "line": "", "words": ""}
    dots = alt.Chart(layers.inline(reached or [none])).encode(x="n:Q", y="power:Q")
    ends = alt.Chart(layers.inline(_spread(frame.group_by("line", maintain_order=True).last())))
    chart: Drawing = alt.layer(
        layers.rule_at("y", target, strokeDash=[5, 3], color=MUTED),
        lines.encode(
            x=x,
            y=y,
            color=color,
            strokeDash=alt.StrokeDash("line:N", legend=None, sort=order),
            tooltip=layers.tooltips(line="difference", n="cases", power_text="power"),
        ),
        dots.mark_point(size=70, opacity=1).encode(color=color),
        *layers.haloed(dots.encode(text="words:N"), dy=-12, dx=-4, align="right", fontWeight=600),
        ends.mark_text(align="left", dx=8).encode(x="n:Q", y="label:Q", text="line:N"),
    ).properties(
        width=520,
        height=_HEIGHT,
        title=layers.heading(
            title or statement, f"One line per true difference; dashed: the target of {goal}", note
        ),
        description=(
            f"Power by number of cases. {statement}. "
            f"{'; '.join(f'{name}: {count}' for name, count in cases.items())}."
        ),
    )
    return chart


def _spread(ends: pl.DataFrame) -> pl.DataFrame:
    """Return the place of each line's label: at its end, and below the label above it."""
    ends = ends.sort("power", "difference", descending=True)
    free, places = 1.0, []
    for end in ends["power"]:
        places.append(min(end, free))
        free = places[-1] - _LINE / _HEIGHT
    return ends.with_columns(pl.Series("label", places, dtype=pl.Float64))


def variance(components: IntoFrame, *, title: str | None = None) -> Drawing:
    """Plot how the variance of a score splits into its sources, the largest first.

    Parameters
    ----------
    components
        One row per source: columns component (case, epoch, sample, criterion) and variance (null: not estimable).
    title
        The title; by default the largest source and its share.

    Examples
    --------
    >>> import evalkit as ek
    >>> ek.variance(ek.demo.make()).chart().description
    'Variance by source. Largest: case, ...'
    """
    frame = tables.read_table(components, table="variance", columns=("component", "variance"))
    total = float(frame["variance"].sum() or 0)
    if not total > 0:
        return layers.empty_chart("the scores do not vary", title=title or "Sources of variance")
    frame = frame.sort("variance", descending=True, nulls_last=True, maintain_order=True).head(12)
    frame, names = tables.relabel(frame, "component", to="name", limit=26)
    frame = frame.with_columns(
        share=pl.col("variance") / total,
        words=tables.to_text(
            "variance",
            lambda v: "not estimable" if v is None else f"{percent(v / total, 0)} (variance {v:.3g})",
        ),
    )
    first = frame.row(0, named=True)
    unknown = frame["variance"].null_count()
    shares = [f"{name}: {words}" for name, words in frame.select("name", "words").rows()]
    source = _SOURCES.get(first["name"])
    where = f"between {source}" if source else f"from one source of {frame.height}"
    base = alt.Chart(layers.inline(frame)).encode(y=layers.row_axis(names))
    x = alt.X(
        "share:Q", title="share of the variance", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%")
    )
    bars = base.mark_bar(height=18, color=SUCCESS).encode(
        x=x, tooltip=layers.tooltips(name="source", words="share")
    )
    texts = base.transform_calculate(end="isValid(datum.share) ? datum.share : 0")
    chart: Drawing = alt.layer(
        bars, texts.mark_text(align="left", dx=8, color=TEXT).encode(x="end:Q", text="words:N")
    ).properties(
        width=460,
        height=32 * frame.height,
        title=layers.heading(
            title or f"{percent(first['share'], 0)} of the variance is {where}",
            f"{plural(unknown, 'source')} cannot be separated" if unknown else "",
        ),
        description=f"Variance by source. Largest: {first['name']}, {first['words']}. {'; '.join(shares)}.",
    )
    return chart
