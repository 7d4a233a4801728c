"""Which scores each criterion got: small multiples, a row a criterion, a column a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import polars as pl

from evalkit.charts.prepare import Drawing, clean, finished, heading, nothing, percent, relabel, rows, span
from evalkit.charts.theme import WIDTH
from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.summarize import distribution
from evalkit.grading.version_order import natural_key
from evalkit.util.colors import ERROR, GRID, MUTED, PANEL, SUCCESS, TEXT, WARN
from evalkit.util.words import plural

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

MOST_CRITERIA: Final = 10
MOST_GROUPS: Final = 12
_NEEDED: Final = ("criterion", "score", "count", "mean", "n", "unscored", "scale_min", "scale_max")


def criteria(
    data: Evals | IntoFrame,
    *,
    by: str = "agent_version",
    rule: PassRule = DEFAULT_RULE,
    title: str | None = None,
) -> Drawing:
    """Draw how often each score was given, per criterion and version.

    Each cell counts answers (trial x criterion, judge samples averaged) at each score; a triangle marks
    the mean; lines stand at the rule's mean and floor. Drag across a cell to select scores: every cell
    then says how many of its answers lie there.

    Parameters
    ----------
    data
        An Evals, or what `summary.distribution(evals, by=by)` returns: columns criterion, `by`, score,
        count, mean, n, unscored, scale_min, scale_max.
    by
        The column that names the groups.
    rule
        Whose mean and floor are drawn, on the criteria whose scale it is for.
    title
        The statement above; by default it says which mean is lowest.

    Returns
    -------
    altair chart
        At most 10 criteria and 12 groups; the subtitle says what was left out.

    Raises
    ------
    ColumnError
        A column is missing.

    Examples
    --------
    >>> import evalkit as ek
    >>> chart = ek.charts.criteria(ek.demo.make(), by="agent_version")
    >>> chart.description
    'Score distributions of 3 criteria by agent_version. Lowest mean 2.27 (Batch Api, v1, n 53), ...'
    """
    table: Any = data
    if isinstance(data, Evals):
        table = distribution(data, by=by, rule=rule)
    frame = finished(table, table="distribution", need=(by, *_NEEDED)).filter(pl.col("score").is_not_null())
    if frame.is_empty():
        return nothing("no criterion has a score.", title=title or "Scores by criterion")
    frame, criterion_names = relabel(frame, "criterion", to="row", most=20)
    frame, group_names = relabel(frame, by, to="group", most=24)
    group_names = _in_order(frame, group_names)
    shown, shown_groups = criterion_names[:MOST_CRITERIA], group_names[:MOST_GROUPS]
    frame = frame.filter(pl.col("row").is_in(shown), pl.col("group").is_in(shown_groups))
    frame = _zoned(_whole(frame, shown_groups), rule)

    cells = frame.unique(["row", "group"], maintain_order=True)
    unscored = int(cells["unscored"].sum() or 0)
    cells = cells.filter(pl.col("mean").is_not_null())
    if cells.is_empty():
        return nothing("no criterion has a score.", title=title or "Scores by criterion")
    low, high = cells.sort("mean").row(0, named=True), cells.sort("mean").row(-1, named=True)
    of = clean(by).replace("_", " ")
    left_out = [
        f"{plural(len(names) - len(kept), f'more {word}', plural=f'more {words}')} not shown"
        for names, kept, word, words in (
            (criterion_names, shown, "criterion", "criteria"),
            (group_names, shown_groups, of, f"{of}s"),
        )
        if len(names) > len(kept)
    ]
    said = (
        f"Mean scores run from {low['mean']:.2f} to {high['mean']:.2f}"
        if cells.height > 1 and cells.select("scale_min", "scale_max").unique().height == 1
        else f"Mean score {low['mean']:.2f}"
        if cells.height == 1
        else f"Scores of {plural(len(shown), 'criterion', plural='criteria')}"
    )
    key = "▼ mean score"
    for asked, floor in frame.select("rule_mean", "rule_floor").drop_nulls().unique().rows():
        key += f"; dashed line: the rule's mean {asked:g}; dotted line: its floor {floor:g}"
    counts = f"{span(cells['n'].to_list(), 'answer')} a cell, {unscored} unscored"
    return _draw(frame, shown, shown_groups).properties(
        title=heading(title or said, "; ".join([counts, *left_out]), key),
        description=(
            f"Score distributions of {plural(len(shown), 'criterion', plural='criteria')} by {clean(by)}. Lowest mean "
            f"{low['mean']:.2f} ({low['row']}, {low['group']}, n {low['n']}), highest {high['mean']:.2f} "
            f"({high['row']}, {high['group']}, n {high['n']}). {counts}."
        ),
    )


def _in_order(frame: pl.DataFrame, names: list[str]) -> list[str]:
    """Return the groups in the order of a criterion that has them all; in natural order where none has."""
    for row in frame["row"].unique(maintain_order=True):
        order = frame.filter(pl.col("row") == row)["group"].unique(maintain_order=True).to_list()
        if len(order) == len(names):
            return order
    return sorted(names, key=lambda name: natural_key([name]))


def _whole(frame: pl.DataFrame, groups: list[str]) -> pl.DataFrame:
    """Return the frame with every cell and every score of its criterion, count 0 where nobody gave it.

    Vega-Lite lays out a grid with a hole by moving the later cells up, under the wrong heading.
    """
    scores: list[tuple[str, float, float | None, float | None]] = []
    for (row, low, high), part in frame.partition_by(
        "row", "scale_min", "scale_max", as_dict=True, maintain_order=True
    ).items():
        given = set(part["score"].to_list())
        whole = low is not None and high is not None and high - low <= 10
        if whole and all(float(score).is_integer() for score in (low, high, *given)):
            given |= {float(score) for score in range(int(low), int(high) + 1)}
        scores += [(row, score, low, high) for score in sorted(given)]
    schema = {"row": pl.String, "score": pl.Float64, "scale_min": pl.Float64, "scale_max": pl.Float64}
    grid = pl.DataFrame(scores, schema=schema, orient="row").join(
        pl.DataFrame({"group": groups}), how="cross"
    )
    counts = frame.group_by("row", "group", "score").agg(pl.col("count").sum())
    facts = frame.select("row", "group", "mean", "n", "unscored").unique(
        ["row", "group"], maintain_order=True
    )
    return (
        grid.join(counts, on=["row", "group", "score"], how="left", maintain_order="left")
        .join(facts, on=["row", "group"], how="left", maintain_order="left")
        .with_columns(pl.col("count", "n", "unscored").fill_null(0))
    )


def _zones(mean: float, floor: float) -> tuple[str, str, str, str]:
    """Return the words for a score below the floor, below the mean, at or above it, and without a rule."""
    return f"below {floor:g}", f"{floor:g} to under {mean:g}", f"{mean:g} and above", "scale without a rule"


def _zoned(frame: pl.DataFrame, rule: PassRule) -> pl.DataFrame:
    """Return the frame with the rule's lines, the zone each score lies in, and the words of the tooltip."""
    zones = _zones(rule.mean, rule.floor)
    default = (rule.mean, rule.floor) == (DEFAULT_RULE.mean, DEFAULT_RULE.floor)
    low, high = pl.col("scale_min"), pl.col("scale_max")
    applies = (low <= rule.floor) & (high >= rule.mean)
    if rule.scale or default:
        wanted = rule.scale or (1.0, 5.0)
        applies &= (low == wanted[0]) & (high == wanted[1])
    return frame.with_columns(
        rule_mean=pl.when(applies).then(pl.lit(float(rule.mean))),
        rule_floor=pl.when(applies).then(pl.lit(float(rule.floor))),
    ).with_columns(
        zone=pl.when(pl.col("rule_mean").is_null())
        .then(pl.lit(zones[3]))
        .when(pl.col("score") < pl.col("rule_floor") - 1e-9)
        .then(pl.lit(zones[0]))
        .when(pl.col("score") < pl.col("rule_mean") - 1e-9)
        .then(pl.lit(zones[1]))
        .otherwise(pl.lit(zones[2])),
        mean_text=pl.col("mean").map_elements(lambda value: f"{value:.2f}", return_dtype=pl.String),
        side=pl.col("mean") > (pl.col("scale_min") + pl.col("scale_max")) / 2,
        share_text=pl.struct("count", "n").map_elements(
            lambda cell: percent(cell["count"] / cell["n"] if cell["n"] else None), return_dtype=pl.String
        ),
    )


def _draw(frame: pl.DataFrame, criterion_names: list[str], group_names: list[str]) -> alt.FacetChart:
    aside = min(170, 24 + 8 * max(len(name) for name in criterion_names))
    gap = 22 if len(group_names) <= 5 else 8
    width = min(260, (WIDTH - aside - gap * len(group_names)) // len(group_names))
    height = 104 if len(criterion_names) <= 5 else 84
    roomy = width >= 120
    one_scale: bool = frame.select("scale_min", "scale_max").unique().height == 1
    bins = max(2, int(frame["score"].n_unique())) if one_scale else 10
    size = max(3, min(34, int(width / (bins + 0.6) * 0.78)))
    tallest = max(frame["count"].to_list())
    # The upper part of a cell is kept for the mean and the count.
    top = max(1, tallest) * height / (height - (48 if roomy else 30))

    brush = alt.selection_interval(name="scores", encodings=["x"], resolve="global")
    base = alt.Chart()
    cell = base.transform_aggregate(
        groupby=["mean", "mean_text", "side", "rule_mean", "rule_floor", "n"], total="sum(count)"
    )
    judged = cell.transform_filter("isValid(datum.mean)")
    lines = [
        cell.mark_rule(strokeDash=dash, color=MUTED, strokeWidth=1.2).encode(
            x=f"{name}:Q", y=alt.value(16), y2=alt.value(height)
        )
        for name, dash in (("rule_mean", [5, 3]), ("rule_floor", [1, 3]))
    ]
    bars = _bars(frame, size=size, width=width, bins=bins, top=top, brush=brush).add_params(brush)
    layers = [*lines, bars, *(_roomy(base, judged, brush) if roomy else _narrow(judged, width))]
    facet = (
        alt.layer(*layers)
        .properties(width=width, height=height, view=alt.ViewBackground(fill=PANEL))
        .facet(
            data=rows(frame),
            row=alt.Row(
                "row:N",
                title=None,
                sort=criterion_names,
                header=alt.Header(labelAngle=0, labelAlign="left", labelAnchor="middle", labelLimit=160),
            ),
            column=alt.Column("group:N", title=None, sort=group_names, header=alt.Header(labelLimit=width)),
            spacing={"row": 14, "column": gap},
        )
    )
    return facet if one_scale else facet.resolve_scale(x="independent")


def _bars(
    frame: pl.DataFrame, *, size: int, width: int, bins: int, top: float, brush: alt.Parameter
) -> alt.Chart:
    present = frame["zone"].unique(maintain_order=True).to_list()
    marks = frame.select("rule_mean", "rule_floor").drop_nulls().unique().rows()
    zones = _zones(*marks[0]) if marks else _zones(4, 3)
    kept = [
        (zone, color)
        for zone, color in zip(zones, (ERROR, WARN, SUCCESS, MUTED), strict=True)
        if zone in present
    ]
    bars: alt.Chart = (
        alt.Chart(name="scores_cell")
        .mark_bar(size=size, orient="vertical")
        .encode(
            x=alt.X(
                "score:Q",
                title=None,
                axis=alt.Axis(
                    grid=False,
                    domain=True,
                    domainColor=GRID,
                    tickMinStep=1 if bins <= 11 and frame["scale_max"].max() != 1 else 0.1,
                    tickCount=min(bins, max(2, width // 24)),
                    format="~g",
                    labelFlush=False,
                ),
                scale=alt.Scale(zero=False, nice=False, padding=size / 2 + 4),
            ),
            y=alt.Y(
                "count:Q",
                title=None,
                axis=alt.Axis(labels=False, grid=False),
                scale=alt.Scale(domain=[0, top], nice=False),
            ),
            color=alt.Color(
                "zone:N",
                title="Score",
                scale=alt.Scale(domain=[zone for zone, _ in kept], range=[color for _, color in kept]),
                legend=alt.Legend() if len(kept) > 1 else None,
            ),
            opacity=alt.condition(brush, alt.value(1), alt.value(0.2)),
            tooltip=[
                alt.Tooltip("row:N", title="criterion"),
                alt.Tooltip("group:N", title="group"),
                alt.Tooltip("score:Q"),
                alt.Tooltip("count:Q", title="answers"),
                alt.Tooltip("share_text:N", title="share"),
                alt.Tooltip("mean_text:N", title="mean score"),
                alt.Tooltip("n:Q", title="answers scored"),
                alt.Tooltip("unscored:Q"),
            ],
        )
    )
    return bars


def _roomy(base: alt.Chart, cell: alt.Chart, brush: alt.Parameter) -> list[alt.Chart]:
    """Return the texts of a wide cell: a count on each bar, the mean at its place, how many are selected."""
    counts = base.transform_filter("datum.count > 0").encode(x="score:Q", y="count:Q", text="count:Q")
    selected = (
        base.transform_filter(brush)
        .transform_aggregate(groupby=["n", "unscored"], picked="sum(count)")
        .transform_calculate(
            words="datum.n == 0 ? (datum.unscored ? datum.unscored + ' unscored' : 'not judged')"
            " : datum.picked == datum.n ? 'n ' + datum.n : datum.picked + ' of ' + datum.n + ' selected'"
        )
    )
    return [
        # A white edge under the number, so that the rule's lines do not cross it.
        counts.mark_text(dy=-8, fontSize=12, stroke=PANEL, strokeWidth=5, strokeJoin="round"),
        counts.mark_text(dy=-8, fontSize=12, color=MUTED),
        cell.mark_point(shape="triangle-down", color=TEXT, size=80, opacity=1).encode(
            x="mean:Q", y=alt.value(7)
        ),
        *(
            cell.transform_filter(f"{'' if left else '!'}datum.side")
            .mark_text(
                align="right" if left else "left", dx=-9 if left else 9, fontWeight=600, baseline="middle"
            )
            .encode(x="mean:Q", y=alt.value(7), text="mean_text:N")
            for left in (True, False)
        ),
        selected.mark_text(align="left", baseline="middle", color=MUTED, fontSize=12).encode(
            x=alt.value(2), y=alt.value(24), text="words:N"
        ),
    ]


def _narrow(cell: alt.Chart, width: int) -> list[alt.Chart]:
    """Return the texts of a narrow cell: the mean as a number above its triangle; the rest is in the tooltip."""
    return [
        cell.mark_text(fontWeight=600, fontSize=12, baseline="middle").encode(
            x=alt.value(width / 2), y=alt.value(7), text="mean_text:N"
        ),
        cell.mark_point(shape="triangle-down", color=TEXT, size=50, opacity=1).encode(
            x="mean:Q", y=alt.value(22)
        ),
    ]
