"""Verdicts by case and version, and the cases that flipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import polars as pl

from evalkit.charts import layers, tables
from evalkit.charts.theme import WIDTH
from evalkit.grading.version_order import natural_order
from evalkit.util.colors import ERROR, MUTED, SUCCESS, TEXT
from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame

    from evalkit.charts.layers import Drawing
    from evalkit.charts.tables import ComparisonTables
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

CASE_LIMIT: Final = 40
GROUP_LIMIT: Final = 12
_ROW: Final = 26
_WHITE: Final = "#FFFFFF"
_BORDER: Final = "#8C959F"
_COUNTS: Final = ("passed", "failed", "unscored")
_SIDES: Final = ("baseline", "candidate")

# State of a cell: its fill and its text color.
STATES: Final = {
    "all pass": (SUCCESS, _WHITE),
    "half or more": ("#A9CCE6", TEXT),
    "less than half": ("#F3C1B5", TEXT),
    "none pass": (ERROR, _WHITE),
    "unscored": ("#E8E8E8", TEXT),
    "not run": (_WHITE, MUTED),
}


def cases(
    data: Evals | IntoFrame,
    *,
    by: str = "agent_version",
    rule: PassRule | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    title: str | None = None,
) -> Drawing:
    """Plot passed trials by case and version, worst severity first.

    A cell reads "passed/scored", with unscored trials in brackets. Click a cell to see its case alone, a word of the
    legend to see such cells alone.

    Parameters
    ----------
    data
        An Evals, or `summarize(evals, by=["case", "severity", by])`: columns case, severity, `by`, passed, failed,
        unscored (trials). The 40 worst cases and the last 12 versions are drawn: cases that fail anywhere first, by
        severity, then by pass rate.
    by
        The column that names the versions.
    rule, grader, rubric
        As for `grade`, for an Evals.
    title
        The title; by default how many cases never and always pass in the last version.

    Examples
    --------
    >>> import evalkit as ek
    >>> ek.charts.cases(ek.demo.make(), by="agent_version").description
    'Cases by agent_version. v3: 1 of 9 cases never passes, 7 always pass. ...'
    """
    table = tables.summary_of(data, ["case", "severity", by], rule=rule, grader=grader, rubric=rubric)
    frame = tables.read_table(table, table="summary", columns=(by, "case", "severity", *_COUNTS))
    if frame.is_empty():
        return layers.empty_chart("no trial was graded", title=title or "Cases by version")
    frame, groups = tables.relabel(frame, by, to="group", limit=18)
    shown = groups[-GROUP_LIMIT:]
    frame = frame.filter(pl.col("group").is_in(shown)).with_columns(
        pl.col("severity").fill_null(NOT_GIVEN), pl.col(_COUNTS).fill_null(0)
    )
    ranked = _worst_first(frame)
    by_severity = ("rank", "rate", natural_order("case"))
    top = ranked.head(CASE_LIMIT).sort(*by_severity, nulls_last=True, maintain_order=True)
    top, names = tables.relabel(top, "case", to="name", limit=26, keep=True)
    last = frame.filter((pl.col("group") == shown[-1]) & (pl.col("passed") + pl.col("failed") > 0))
    never, always = (int((last[column] == 0).sum()) for column in ("passed", "failed"))
    statement = (
        f"{f'{tables.clean(shown[-1])}: ' if len(groups) > 1 else ''}{never} of {plural(ranked.height, 'case')} "
        f"never {_verb(never)}, {always} always {_verb(always)}"
    )
    cut = f"{CASE_LIMIT} worst of {ranked.height} cases shown" if ranked.height > CASE_LIMIT else ""
    worst = top.row(0, named=True)
    return _plot_cases(_cells(frame, top, shown), names, top["severity"].to_list(), shown).properties(
        title=layers.heading(
            title or statement,
            tables.join_parts(
                "Passed/scored trials; (1?) is one unscored trial",
                cut,
                tables.not_shown(len(groups), len(shown), "earlier versions"),
            ),
        ),
        description=(
            f"Cases by {tables.clean(by)}. {statement}. First: case {worst['name']} ({worst['severity']}), "
            f"{worst['passed']} of {plural(worst['scored'], 'scored trial')} passed.{f' {cut}.' if cut else ''}"
        ),
    )


def _verb(count: int) -> str:
    return "passes" if count == 1 else "pass"


def _worst_first(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a row per case: failing before always passing, then by severity, then by rate."""
    rank = {word: index for index, word in enumerate(tables.WORST_FIRST)}
    scored = pl.col("scored") > 0
    return (
        frame.group_by("case", "severity", maintain_order=True)
        .agg(pl.col(_COUNTS).sum())
        .with_columns(scored=pl.col("passed") + pl.col("failed"))
        .with_columns(
            rate=pl.when(scored).then(pl.col("passed") / pl.col("scored")),
            always=scored & (pl.col("failed") == 0),
            rank=pl.col("severity").replace_strict(rank, default=len(rank), return_dtype=pl.Int32),
        )
        .sort("always", "rank", "rate", natural_order("case"), nulls_last=True, maintain_order=True)
    )


def _cells(frame: pl.DataFrame, top: pl.DataFrame, groups: list[str]) -> list[dict[str, Any]]:
    """Return a row per shown case and version, also where the case was not run."""
    grid = top.select("case", "severity", "name").join(pl.DataFrame({"group": groups}), how="cross")
    keys = ["case", "severity", "group"]
    counts = frame.group_by(keys).agg(pl.col(_COUNTS).sum())
    joined = grid.join(counts, on=keys, how="left", maintain_order="left")
    return [
        {
            **{name: row[name] for name in ("name", "severity", "group")},
            **_cell(row["passed"], row["failed"], row["unscored"]),
        }
        for row in joined.to_dicts()
    ]


def _cell(passed: int | None, failed: int | None, unscored: int | None) -> dict[str, Any]:
    if passed is None or failed is None:
        return {"state": "not run", "words": "–", "passed": 0, "scored": 0, "unscored": 0}
    scored, unscored = passed + failed, unscored or 0
    words = f"{passed}/{scored}" + (f" ({unscored}?)" if unscored else "")
    if not scored:
        state, words = "unscored", f"({unscored}?)"
    elif passed in (0, scored):
        state = "all pass" if passed else "none pass"
    else:
        state = "half or more" if passed / scored >= 0.5 else "less than half"
    return {"state": state, "words": words, "passed": passed, "scored": scored, "unscored": unscored}


def _plot_cases(
    cells: list[dict[str, Any]], names: list[str], severities: list[str], groups: list[str]
) -> Drawing:
    margin = min(230, 24 + 8 * max(map(len, names))) + 90
    step = max(44, min(190, (WIDTH - margin) // len(groups)))
    x = alt.X(
        "group:N",
        title=None,
        sort=groups,
        axis=alt.Axis(
            orient="top",
            labelAngle=0 if step > 7.4 * max(map(len, groups)) else -40,
            labelFontWeight=600,
            labelLimit=140,
        ),
    )
    y = alt.Y("name:N", title=None, sort=names)
    width = step * len(groups)
    marks = _squares(cells, x, y, name="cases_cells")
    return _with_severities(marks, names, severities, width)


def _squares(cells: list[dict[str, Any]], x: alt.X, y: alt.Y, *, name: str) -> list[alt.Chart]:
    present = {cell["state"] for cell in cells}
    states = {state: colors for state, colors in STATES.items() if state in present}
    by_state, by_case = layers.legend_pick("state"), alt.selection_point(name="case", fields=["name"])
    base = alt.Chart(layers.inline(cells)).encode(x=x, y=y)
    squares = base.mark_rect(stroke=_BORDER, strokeWidth=0.7).encode(
        color=alt.Color(
            "state:N",
            title="Scored trials that pass",
            scale=alt.Scale(domain=list(states), range=[fill for fill, _ in states.values()]),
            legend=alt.Legend(symbolStrokeColor=_BORDER, symbolStrokeWidth=0.7, symbolType="square"),
        ),
        opacity=layers.fade(by_state & by_case, 0.12),
        tooltip=layers.tooltips(
            name="case",
            severity="severity",
            group="version",
            state="state",
            passed="passed",
            scored="of scored trials",
            unscored="unscored",
        ),
    )
    dashed = base.transform_filter("datum.state == 'unscored'").mark_rect(
        fillOpacity=0, stroke=MUTED, strokeWidth=1.2, strokeDash=[3, 2]
    )
    dark = [state for state, (_, color) in states.items() if color == _WHITE]
    texts = [
        base.transform_filter(f"{'' if color == _WHITE else '!'}(indexof({dark}, datum.state) >= 0)")
        .mark_text(fontSize=13, color=color)
        .encode(text="words:N", opacity=layers.fade(by_state & by_case, 0.25))
        for color in (_WHITE, TEXT)
    ]
    return [squares.add_params(by_state, by_case).properties(name=name), dashed, *texts]


def _with_severities(
    marks: list[alt.Chart], names: list[str], severities: list[str], width: float
) -> Drawing:
    """Add the severity of each row at the right, and a line above each new one."""
    rows = [
        {"name": name, "severity": word, "first": word != before}
        for name, word, before in zip(names, severities, [None, *severities], strict=False)
    ]
    base = alt.Chart(layers.inline(rows))
    words = base.mark_text(align="left", dx=12).encode(
        x=alt.value(width),
        y=alt.Y("name:N", sort=names),
        text="severity:N",
        color=alt.condition("datum.first", alt.value(TEXT), alt.value(MUTED)),
    )
    lines = base.transform_filter("datum.first").mark_rule(color=MUTED, strokeWidth=1)
    above = alt.Y("name:N", sort=names, bandPosition=0)
    lines = lines.encode(y=above, x=alt.value(0), x2=alt.value(width + 76))
    return alt.layer(*marks, words, lines).properties(width=width, height=_ROW * len(names))


def flips(change: ComparisonTables | IntoFrame, *, title: str | None = None) -> Drawing:
    """Plot the cases whose verdict changed, worst first.

    Parameters
    ----------
    change
        A `Comparison`, or its `flips`: columns case, severity, kind (regression, improvement), baseline_passes,
        baseline_trials, candidate_passes, candidate_trials. The first 40 are drawn.
    title
        The title; by default the counts of regressions and improvements.

    Examples
    --------
    >>> import evalkit as ek
    >>> change = ek.compare(ek.demo.make(), baseline="v2", candidate="v3")
    >>> ek.charts.flips(change).description
    'Cases whose verdict changed: 1 regression, 0 improvements. First: case 02 (critical), ...'
    """
    table: Any = change
    sides: tuple[str, ...] = _SIDES
    if tables.is_comparison(change):
        table = table.flips
        sides = tuple(f"{side} {tables.clean(getattr(change, side), limit=16)}" for side in _SIDES)
    counts = [f"{side}_{name}" for side in _SIDES for name in ("passes", "trials")]
    frame = tables.read_table(table, table="change.flips", columns=("case", "severity", "kind", *counts))
    if frame.is_empty():
        return layers.empty_chart("no case changed its verdict", title=title or "Flips")
    frame = frame.with_columns(pl.col("severity").fill_null(NOT_GIVEN))
    kinds = ("regression", "improvement")
    statement = ", ".join(plural(int((frame["kind"] == kind).sum()), kind) for kind in kinds)
    top, names = tables.relabel(frame.head(CASE_LIMIT), "case", to="name", limit=26, keep=True)
    cells = []
    for row in top.to_dicts():
        for side, label in zip(_SIDES, sides, strict=True):
            passes, trials = row[f"{side}_passes"], row[f"{side}_trials"]
            arrow = "▼" if row["kind"] == "regression" else "▲"
            cells.append(
                {
                    **{name: row[name] for name in ("name", "severity", "kind")},
                    "group": label,
                    "last": side == "candidate",
                    "arrow": f"{arrow} {tables.clean(row['kind'])}",
                    **_cell(passes, None if passes is None else trials - passes, 0),
                }
            )
    first = top.row(0, named=True)
    return _plot_flips(cells, names, top["severity"].to_list(), sides).properties(
        title=layers.heading(
            title or statement,
            tables.join_parts("Passed/scored trials per case", tables.not_shown(frame.height, top.height)),
        ),
        description=(
            f"Cases whose verdict changed: {statement}. First: case {first['name']} ({first['severity']}), "
            f"{first['baseline_passes']} of {plural(first['baseline_trials'], 'trial')} passed, now "
            f"{first['candidate_passes']} of {first['candidate_trials']}: {tables.clean(first['kind'])}."
        ),
    )


def _plot_flips(
    cells: list[dict[str, Any]], names: list[str], severities: list[str], sides: tuple[str, ...]
) -> Drawing:
    width = 300
    x = alt.X(
        "group:N",
        title=None,
        sort=list(sides),
        scale=alt.Scale(paddingInner=0.3),
        axis=alt.Axis(orient="top", labelAngle=0, labelFontWeight=600, labelLimit=190),
    )
    y = alt.Y("name:N", title=None, sort=names, scale=alt.Scale(paddingInner=0.12))
    marks = _squares(cells, x, y, name="flips_cells")
    candidates = alt.Chart(layers.inline(cells)).transform_filter("datum.last").encode(y=y)
    for kind, color in (("regression", ERROR), ("improvement", SUCCESS)):
        rows = candidates.transform_filter(f"datum.kind == '{kind}'")
        arrow = rows.mark_text(color=color).encode(x=alt.value(width / 2), text=alt.value("►"))
        word = rows.mark_text(color=color, fontWeight=600, align="left")
        marks += [arrow, word.encode(x=alt.value(width + 92), text="arrow:N")]
    return _with_severities(marks, names, severities, width)
