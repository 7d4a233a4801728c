"""Score distributions: small multiples, a row per criterion, a column per version."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import polars as pl

from evalkit.charts import layers, tables
from evalkit.charts.theme import WIDTH
from evalkit.data.evals import Evals
from evalkit.grading.applied_rule import EXACT, apply_rule
from evalkit.grading.select_scores import choose_scoring
from evalkit.grading.summarize import distribution
from evalkit.grading.version_order import natural_key
from evalkit.util.colors import ERROR, GRID, MUTED, PANEL, SUCCESS, TEXT, WARN
from evalkit.util.errors import RuleError
from evalkit.util.format import number, percent
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame

    from evalkit.charts.layers import Drawing
    from evalkit.grading.pass_rule import PassRule

CRITERION_LIMIT: Final = 10
GROUP_LIMIT: Final = 12
_COLUMNS: Final = ("criterion", "score", "count", "mean", "n", "unscored", "scale_min", "scale_max")
_CELL: Final = ["row", "group"]


def criteria(
    data: Evals | IntoFrame,
    *,
    by: str = "agent_version",
    rule: PassRule | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    title: str | None = None,
) -> Drawing:
    """Plot the score distribution per criterion and version.

    A cell counts answers (trial x criterion, judge samples averaged) at each score. A triangle marks the mean, lines
    the mean and floor of the rule. Drag across a cell to select scores: each cell then counts its answers there.

    Parameters
    ----------
    data
        An Evals, or `distribution(evals, by=by)`: columns criterion, `by`, score, count, mean, n, unscored,
        scale_min, scale_max. The first 10 criteria and 12 groups are drawn.
    by
        The column that names the groups.
    rule
        Its mean and floor are drawn on every criterion, its gate in place of the mean. Numbers are for criteria of
        their scale only.
    grader, rubric
        As for `grade`, for an Evals.
    title
        The title; by default the lowest and highest mean.

    Examples
    --------
    >>> import evalkit as ek
    >>> ek.charts.criteria(ek.demo.make(), by="agent_version").description
    'Score distributions of 3 criteria by agent_version. Lowest mean 2.27 (Batch Api, v1, n 53), ...'
    """
    table: Any = data
    if isinstance(data, Evals):
        table = distribution(data, by=by, rule=rule, grader=grader, rubric=rubric)
    frame = tables.read_table(
        table, table="distribution", columns=(by, *_COLUMNS), optional=["direction"]
    ).filter(pl.col("score").is_not_null())
    frame, rows = tables.relabel(frame, "criterion", to="row", limit=20, keep=True)
    if "direction" in frame.columns:
        lower = set(frame.filter(direction="lower")["row"])
        marks = {row: tables.mark_lower(row) if row in lower else row for row in rows}
        frame, rows = frame.with_columns(pl.col("row").replace(marks)), list(marks.values())
    frame, groups = tables.relabel(frame, by, to="group", limit=24)
    groups = _in_order(frame, groups)
    shown_rows, shown = rows[:CRITERION_LIMIT], groups[:GROUP_LIMIT]
    frame = frame.filter(pl.col("row").is_in(shown_rows), pl.col("group").is_in(shown))
    cells = frame.unique(_CELL, maintain_order=True)
    unscored = int(cells["unscored"].sum() or 0)
    cells = cells.filter(pl.col("mean").is_not_null()).sort("mean")
    if cells.is_empty():
        return layers.empty_chart("no criterion has a score", title=title or "Scores by criterion")
    rules = _rules(frame, choose_scoring(data, rule=rule).rule)
    frame = _zoned(_completed(frame, shown), rules)
    named = plural(len(shown_rows), "criterion", plural="criteria")
    low, high = cells.row(0, named=True), cells.row(-1, named=True)
    ends = [f"{number(cell['mean'])} ({cell['row']}, {cell['group']}, n {cell['n']})" for cell in (low, high)]
    if cells.height == 1:
        statement = f"Mean score {number(low['mean'])}"
    elif cells.select("scale_min", "scale_max").unique().height == 1:
        statement = f"Mean scores from {number(low['mean'])} to {number(high['mean'])}"
    else:
        statement = f"Scores of {named}"
    lines = _line_words(frame)
    counts = f"{tables.count_range(cells['n'].to_list(), 'answer')} per cell, {unscored} unscored"
    return _draw(frame, shown_rows, shown).properties(
        title=layers.heading(
            title or statement,
            tables.join_parts(
                counts,
                tables.not_shown(len(rows), len(shown_rows), "more criteria"),
                tables.not_shown(len(groups), len(shown), f"more {tables.clean(by).replace('_', ' ')}s"),
            ),
            tables.join_parts("▼ mean score", *lines, tables.LOWER_WORDS if rules["is_lower"].any() else ""),
        ),
        description=(
            f"Score distributions of {named} by {tables.clean(by)}. "
            f"Lowest mean {ends[0]}, highest {ends[1]}. {counts}."
        ),
    )


def _in_order(frame: pl.DataFrame, names: list[str]) -> list[str]:
    """Return the groups in the order of a criterion that has them all, else in natural order."""
    for (_,), part in frame.group_by("row", maintain_order=True):
        order = part["group"].unique(maintain_order=True).to_list()
        if len(order) == len(names):
            return order
    return sorted(names, key=lambda name: natural_key([name]))


def _completed(frame: pl.DataFrame, groups: list[str]) -> pl.DataFrame:
    """Return the frame with every cell and every score of its criterion.

    Vega-Lite lays out a grid with a hole by moving later cells under the wrong heading.
    """
    scores: list[tuple[str, float, float | None, float | None]] = []
    for (row, low, high), part in frame.group_by("row", "scale_min", "scale_max", maintain_order=True):
        used = set(part["score"].to_list())
        is_short = low is not None and high is not None and high - low <= 10
        if is_short and all(float(score).is_integer() for score in (low, high, *used)):
            used |= {float(score) for score in range(int(low), int(high) + 1)}
        scores += [(row, score, low, high) for score in sorted(used)]
    numbers = dict.fromkeys(("score", "scale_min", "scale_max"), pl.Float64)
    grid = pl.DataFrame(scores, schema={"row": pl.String, **numbers}, orient="row")
    grid = grid.join(pl.DataFrame({"group": groups}), how="cross")
    counts = frame.group_by(*_CELL, "score").agg(pl.col("count").sum())
    facts = frame.select(*_CELL, "mean", "n", "unscored").unique(_CELL, maintain_order=True)
    return (
        grid.join(counts, on=[*_CELL, "score"], how="left", maintain_order="left")
        .join(facts, on=_CELL, how="left", maintain_order="left")
        .with_columns(pl.col("count", "n", "unscored").fill_null(0))
    )


def _line_words(frame: pl.DataFrame) -> list[str]:
    """Describe the lines of the rule: with their scores, if all criteria share them."""
    rules = frame.select("rule_mean", "rule_floor").unique()
    if rules.height > 1 and rules["rule_mean"].count():
        return ["dashed line: the threshold of the criterion; dotted line: its floor"]
    mean, floor = rules.row(0) if rules.height else (None, None)
    words = [("dashed line: the rule's mean", mean), ("dotted line: its floor", floor)]
    return ["; ".join(f"{text} {value:g}" for text, value in words if value is not None)]


def _zones(frame: pl.DataFrame) -> dict[str, str]:
    """Return the name and color of a score: misses the floor, misses the mean, passes, has no rule."""
    rules = (
        frame.filter(pl.col("rule_mean").is_not_null()).select("rule_mean", "rule_floor", "is_lower").unique()
    )
    names = ["misses the floor", "misses the mean", "passes"]
    if rules.height == 1:
        mean, floor, is_lower = rules.row(0)
        floor = mean if floor is None else floor
        names = [f"below {floor:g}", f"{floor:g} to under {mean:g}", f"{mean:g} and above"]
        if is_lower:
            names = [f"above {floor:g}", f"over {mean:g} to {floor:g}", f"{mean:g} and below"]
    return dict(zip([*names, "scale without a rule"], [ERROR, WARN, SUCCESS, MUTED], strict=True))


def _rules(frame: pl.DataFrame, rule: PassRule) -> pl.DataFrame:
    """Return one row per criterion: `rule_mean`, `rule_floor` (null where the rule does not fit) and `is_lower`."""
    facts = [name for name in ("scale_min", "scale_max", "direction") if name in frame.columns]
    rows = []
    for name, row, *values in (
        frame.select("criterion", "row", *facts).unique("row", maintain_order=True).rows()
    ):
        declared = dict(zip(facts, values, strict=True))
        gates = {key: gate for key, gate in (rule.gates or {}).items() if key == name}
        mean = floor = None
        with suppress(RuleError):
            applied = apply_rule({name: declared}, replace(rule, gates=gates or None, weights=None)).criteria[
                name
            ]
            mean, floor = applied.threshold, applied.least
        rows.append((row, mean, floor, declared.get("direction") == "lower"))
    schema = {"row": pl.String, "rule_mean": pl.Float64, "rule_floor": pl.Float64, "is_lower": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _zoned(frame: pl.DataFrame, rules: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with the lines of the rule, the zone of each score, and the texts of the tooltip."""
    frame = frame.join(rules, on="row", how="left", maintain_order="left")
    low, high, score = pl.col("scale_min"), pl.col("scale_max"), pl.col("score")
    sign, exact = pl.when("is_lower").then(-1).otherwise(1), (high - low).fill_null(1.0) * EXACT
    misses_floor, misses_mean, passing, unruled = (pl.lit(zone) for zone in _zones(frame))
    zone = (
        pl.when(pl.col("rule_mean").is_null())
        .then(unruled)
        .when(sign * score < sign * pl.col("rule_floor") - exact)
        .then(misses_floor)
        .when(sign * score < sign * pl.col("rule_mean") - exact)
        .then(misses_mean)
        .otherwise(passing)
    )
    share = pl.struct("count", "n").map_elements(
        lambda cell: percent(cell["count"] / cell["n"] if cell["n"] else None), return_dtype=pl.String
    )
    return frame.with_columns(
        zone=zone,
        mean_text=tables.to_text("mean", number),
        is_right=pl.col("mean") > (low + high) / 2,
        share=share,
    )


def _draw(frame: pl.DataFrame, rows: list[str], groups: list[str]) -> alt.FacetChart:
    margin = min(170, 24 + 8 * max(map(len, rows)))
    gap = 22 if len(groups) <= 5 else 8
    width = min(260, (WIDTH - margin - gap * len(groups)) // len(groups))
    height = 104 if len(rows) <= 5 else 84
    is_wide = width >= 120
    has_one_scale: bool = frame.select("scale_min", "scale_max").unique().height == 1
    bins = max(2, frame["score"].n_unique()) if has_one_scale else 10
    # The upper part of a cell is kept for the mean and the count.
    top = max(1, *frame["count"]) * height / (height - (48 if is_wide else 30))
    brush = alt.selection_interval(name="scores", encodings=["x"], resolve="global")
    base = alt.Chart()
    cell = base.transform_aggregate(
        groupby=["mean", "mean_text", "is_right", "rule_mean", "rule_floor", "n"], total="sum(count)"
    )
    lines = [
        cell.mark_rule(strokeDash=dash, color=MUTED, strokeWidth=1.2).encode(
            x=f"{name}:Q", y=alt.value(16), y2=alt.value(height)
        )
        for name, dash in (("rule_mean", [5, 3]), ("rule_floor", [1, 3]))
    ]
    bars = _bars(frame, width=width, bins=bins, top=top, brush=brush).add_params(brush)
    scored = cell.transform_filter("isValid(datum.mean)")
    texts = _wide_texts(base, scored, brush) if is_wide else _narrow_texts(scored, width)
    facet = (
        alt.layer(*lines, bars, *texts)
        .properties(width=width, height=height, view=alt.ViewBackground(fill=PANEL))
        .facet(
            data=layers.inline(frame),
            row=alt.Row(
                "row:N",
                title=None,
                sort=rows,
                header=alt.Header(labelAngle=0, labelAlign="left", labelAnchor="middle", labelLimit=160),
            ),
            column=alt.Column("group:N", title=None, sort=groups, header=alt.Header(labelLimit=width)),
            spacing={"row": 14, "column": gap},
        )
    )
    return facet if has_one_scale else facet.resolve_scale(x="independent")


def _bars(frame: pl.DataFrame, *, width: int, bins: int, top: float, brush: alt.Parameter) -> alt.Chart:
    size = max(3, min(34, int(width / (bins + 0.6) * 0.78)))
    present = set(frame["zone"])
    zones = {zone: color for zone, color in _zones(frame).items() if zone in present}
    axis = alt.Axis(
        grid=False,
        domain=True,
        domainColor=GRID,
        tickMinStep=1 if bins <= 11 and frame["scale_max"].max() != 1 else 0.1,
        tickCount=min(bins, max(2, width // 24)),
        format="~r",
        labelFlush=False,
    )
    bars: alt.Chart = (
        alt.Chart(name="scores_cell")
        .mark_bar(size=size, orient="vertical")
        .encode(
            x=alt.X(
                "score:Q",
                title=None,
                axis=axis,
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
                scale=alt.Scale(domain=list(zones), range=list(zones.values())),
                legend=alt.Legend() if len(zones) > 1 else None,
            ),
            opacity=layers.fade(brush, 0.2),
            tooltip=layers.tooltips(
                row="criterion",
                group="group",
                score="score",
                count="answers",
                share="share",
                mean_text="mean score",
                n="scored answers",
                unscored="unscored",
            ),
        )
    )
    return bars


def _wide_texts(base: alt.Chart, cell: alt.Chart, brush: alt.Parameter) -> list[alt.Chart]:
    """Return the texts of a wide cell: a count on each bar, the mean at its place, the number selected."""
    counts = base.transform_filter("datum.count > 0").encode(x="score:Q", y="count:Q", text="count:Q")
    selected = (
        base.transform_filter(brush)
        .transform_aggregate(groupby=["n", "unscored"], picked="sum(count)")
        .transform_calculate(
            words="datum.n == 0 ? (datum.unscored ? datum.unscored + ' unscored' : 'not judged')"
            " : datum.picked == datum.n ? 'n ' + datum.n : datum.picked + ' of ' + datum.n + ' selected'"
        )
    )
    means = [
        cell.transform_filter(f"{'' if is_right else '!'}datum.is_right")
        .mark_text(
            align="right" if is_right else "left", dx=-9 if is_right else 9, fontWeight=600, baseline="middle"
        )
        .encode(x="mean:Q", y=alt.value(7), text="mean_text:N")
        for is_right in (True, False)
    ]
    note = selected.mark_text(align="left", baseline="middle", color=MUTED, fontSize=12)
    return [
        *layers.haloed(counts, halo=PANEL, dy=-8, fontSize=12, color=MUTED),
        _triangle(cell, size=80, y=7),
        *means,
        note.encode(x=alt.value(2), y=alt.value(24), text="words:N"),
    ]


def _narrow_texts(cell: alt.Chart, width: int) -> list[alt.Chart]:
    """Return the text of a narrow cell: its mean above the triangle."""
    mean = cell.mark_text(fontWeight=600, fontSize=12, baseline="middle")
    return [
        mean.encode(x=alt.value(width / 2), y=alt.value(7), text="mean_text:N"),
        _triangle(cell, size=50, y=22),
    ]


def _triangle(cell: alt.Chart, *, size: int, y: int) -> alt.Chart:
    mark: alt.Chart = cell.mark_point(shape="triangle-down", color=TEXT, size=size, opacity=1).encode(
        x="mean:Q", y=alt.value(y)
    )
    return mark
