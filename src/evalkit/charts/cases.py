"""Case by version: which cases pass, which never do, and which flipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import polars as pl

from evalkit.charts.prepare import WORST_FIRST, Drawing, clean, finished, heading, nothing, relabel, rows
from evalkit.charts.theme import WIDTH
from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.summarize import summarize
from evalkit.grading.version_order import natural_order
from evalkit.util.colors import ERROR, MUTED, SUCCESS, TEXT
from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    from evalkit.charts.prepare import ComparisonTables
MOST_CASES: Final = 40
MOST_GROUPS: Final = 12
_ROW: Final = 26

# What a cell says: its fill and the ink on it.
_STATES: Final = {
    "all pass": (SUCCESS, "#FFFFFF"),
    "half or more": ("#A9CCE6", TEXT),
    "less than half": ("#F3C1B5", TEXT),
    "none pass": (ERROR, "#FFFFFF"),
    "unscored": ("#E8E8E8", TEXT),
    "not run": ("#FFFFFF", MUTED),
}


def cases(
    data: Evals | IntoFrame,
    *,
    by: str = "agent_version",
    rule: PassRule = DEFAULT_RULE,
    title: str | None = None,
) -> Drawing:
    """Draw each case under each version: how many of its trials pass, worst severity first.

    A cell says "passed/scored", and in brackets how many trials have no score. Click a cell to see its case
    alone; click a word of the legend to see such cells alone.

    Parameters
    ----------
    data
        An Evals, or what `summarize(evals, by=["case", "severity", by])` returns: columns case, severity,
        `by`, passed, failed, unscored (trials).
    by
        The column that names the versions.
    rule
        The pass rule, for an Evals.
    title
        The statement above; by default how many cases never and always pass under the last version.

    Returns
    -------
    altair chart
        At most 40 cases, the worst (those that fail anywhere, by severity, then by pass rate), and 12
        versions, the last.

    Raises
    ------
    ColumnError
        A column is missing.

    Examples
    --------
    >>> import evalkit as ek
    >>> ek.charts.cases(ek.demo.make(), by="agent_version").description
    'Cases by agent_version. Under v3, 1 of 9 cases never pass and 7 always do. ...'
    """
    table: Any = data
    if isinstance(data, Evals):
        table = summarize(data, by=["case", "severity", by], rule=rule)
    frame = finished(table, table="summary", need=(by, "case", "severity", "passed", "failed", "unscored"))
    if frame.is_empty():
        return nothing("no trial was graded.", title=title or "Cases by version")
    frame, groups = relabel(frame, by, to="group", most=18)
    shown_groups = groups[-MOST_GROUPS:]
    frame = frame.filter(pl.col("group").is_in(shown_groups)).with_columns(
        pl.col("severity").fill_null(NOT_GIVEN), pl.col("passed", "failed", "unscored").fill_null(0)
    )
    order = _worst(frame)
    top = order.head(MOST_CASES)
    # Chosen by how bad, shown by severity.
    top = top.sort("rank", "rate", natural_order("case"), nulls_last=True, maintain_order=True)
    top, names = relabel(top, "case", to="name", most=26, keep=True)
    cells = _cells(frame, top, shown_groups)
    severities = top["severity"].to_list()
    last = frame.filter((pl.col("group") == shown_groups[-1]) & (pl.col("passed") + pl.col("failed") > 0))
    never, always = (int((last[column] == 0).sum()) for column in ("passed", "failed"))
    under = f"Under {clean(shown_groups[-1])}, " if len(groups) > 1 else ""
    said = f"{under}{never} of {plural(len(order), 'case')} never pass and {always} always do"
    cut = f"the {MOST_CASES} worst of {len(order)} cases shown" if len(order) > MOST_CASES else ""
    left = (
        f"{plural(len(groups) - len(shown_groups), 'earlier version')} not shown"
        if len(groups) > MOST_GROUPS
        else ""
    )
    worst = top.row(0, named=True)
    return _draw(cells, names, severities, shown_groups).properties(
        title=heading(
            title or said,
            "; ".join(
                part for part in ("passed/scored trials; (1?) is one trial unscored", cut, left) if part
            ),
        ),
        description=(
            f"Cases by {clean(by)}. {said}. First: case {worst['name']} ({worst['severity']}), "
            f"{worst['passed']} of {plural(worst['scored'], 'scored trial')} passed.{f' {cut}.' if cut else ''}"
        ),
    )


def _worst(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each case, the worst first: failing before always passing, then by severity, then by rate."""
    rank = {word: at for at, word in enumerate(WORST_FIRST)}
    return (
        frame.group_by("case", "severity", maintain_order=True)
        .agg(pl.col("passed").sum(), pl.col("failed").sum(), pl.col("unscored").sum())
        .with_columns(scored=pl.col("passed") + pl.col("failed"))
        .with_columns(
            rate=pl.when(pl.col("scored") > 0).then(pl.col("passed") / pl.col("scored")),
            always=(pl.col("scored") > 0) & (pl.col("failed") == 0),
            rank=pl.col("severity").replace_strict(rank, default=len(rank), return_dtype=pl.Int32),
        )
        .sort("always", "rank", "rate", natural_order("case"), nulls_last=True, maintain_order=True)
    )


def _cells(frame: pl.DataFrame, top: pl.DataFrame, groups: list[str]) -> pl.DataFrame:
    """Return a row for each shown case and version, also where the case was not run."""
    grid = top.select("case", "severity", "name").join(pl.DataFrame({"group": groups}), how="cross")
    counts = frame.group_by("case", "severity", "group").agg(pl.col("passed", "failed", "unscored").sum())
    joined = grid.join(counts, on=["case", "severity", "group"], how="left", maintain_order="left")
    made = [
        {
            "name": row["name"],
            "severity": row["severity"],
            "group": row["group"],
            **_cell(row["passed"], row["failed"], row["unscored"]),
        }
        for row in joined.iter_rows(named=True)
    ]
    return pl.DataFrame(made)


def _cell(passed: int | None, failed: int | None, unscored: int | None) -> dict[str, Any]:
    """Return what a cell says, how it is coloured, and its numbers for the tooltip."""
    if passed is None or failed is None:
        return {"state": "not run", "words": "–", "passed": 0, "scored": 0, "unscored": 0}
    scored = passed + failed
    lost = unscored or 0
    if not scored:
        state, words = "unscored", f"({lost}?)"
    else:
        share = passed / scored
        state = (
            "all pass"
            if share == 1
            else "none pass"
            if share == 0
            else "half or more"
            if share >= 0.5
            else "less than half"
        )
        words = f"{passed}/{scored}{f' ({lost}?)' if lost else ''}"
    return {"state": state, "words": words, "passed": passed, "scored": scored, "unscored": lost}


def _state_scales(present: set[str]) -> tuple[list[str], list[str], list[str]]:
    kept = [state for state in _STATES if state in present]
    return kept, [_STATES[state][0] for state in kept], [_STATES[state][1] for state in kept]


def _draw(cells: pl.DataFrame, names: list[str], severities: list[str], groups: list[str]) -> Drawing:
    aside = min(230, 24 + 8 * max(len(name) for name in names)) + 90
    step = max(44, min(190, (WIDTH - aside) // len(groups)))
    width, height = step * len(groups), _ROW * len(names)
    base = alt.Chart(rows(cells))
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
    state = alt.selection_point(name="state", fields=["state"], bind="legend")
    case = alt.selection_point(name="case", fields=["name"])
    layers = _squares(base.encode(x=x, y=y), set(cells["state"]), state & case)
    layers[0] = layers[0].add_params(state, case).properties(name="cases_cells")
    return alt.layer(*layers, *_severity_words(names, severities, width)).properties(
        width=width, height=height
    )


def _squares(base: alt.Chart, present: set[str], shown: Any) -> list[alt.Chart]:
    """Return the filled cells and the words on them."""
    kept, fills, inks = _state_scales(present)
    cell = base.mark_rect(stroke="#8C959F", strokeWidth=0.7).encode(
        color=alt.Color(
            "state:N",
            title="Scored trials that pass",
            scale=alt.Scale(domain=kept, range=fills),
            legend=alt.Legend(symbolStrokeColor="#8C959F", symbolStrokeWidth=0.7, symbolType="square"),
        ),
        opacity=alt.condition(shown, alt.value(1), alt.value(0.12)),
        tooltip=[
            alt.Tooltip("name:N", title="case"),
            alt.Tooltip("severity:N"),
            alt.Tooltip("group:N", title="version"),
            alt.Tooltip("state:N"),
            alt.Tooltip("passed:Q"),
            alt.Tooltip("scored:Q", title="of scored trials"),
            alt.Tooltip("unscored:Q"),
        ],
    )
    dark = [word for word, ink in zip(kept, inks, strict=True) if ink == "#FFFFFF"]
    texts = []
    for ink, test in (
        ("#FFFFFF", f"indexof({dark}, datum.state) >= 0"),
        (TEXT, f"indexof({dark}, datum.state) < 0"),
    ):
        text = base.transform_filter(test).mark_text(fontSize=13, color=ink)
        texts.append(text.encode(text="words:N", opacity=alt.condition(shown, alt.value(1), alt.value(0.25))))
    dashed = base.transform_filter("datum.state == 'unscored'").mark_rect(
        fillOpacity=0, stroke=MUTED, strokeWidth=1.2, strokeDash=[3, 2]
    )
    return [cell, dashed, *texts]


def _severity_words(names: list[str], severities: list[str], width: float) -> list[alt.Chart]:
    """Return the severity of each row as a word at the right, and a line above each new one."""
    data = [
        {"name": name, "severity": word, "first": at == 0 or severities[at - 1] != word}
        for at, (name, word) in enumerate(zip(names, severities, strict=True))
    ]
    base = alt.Chart(alt.InlineData(values=data))
    y = alt.Y("name:N", sort=names)
    return [
        base.mark_text(align="left", dx=12).encode(
            x=alt.value(width),
            y=y,
            text="severity:N",
            color=alt.condition("datum.first", alt.value(TEXT), alt.value(MUTED)),
        ),
        base.transform_filter("datum.first")
        .mark_rule(color=MUTED, strokeWidth=1)
        .encode(y=alt.Y("name:N", sort=names, bandPosition=0), x=alt.value(0), x2=alt.value(width + 76)),
    ]


def flips(change: ComparisonTables | IntoFrame, *, title: str | None = None) -> Drawing:
    """Draw the cases whose verdict changed: baseline, candidate, and which way, worst first.

    Parameters
    ----------
    change
        What `compare` returns, or its `flips`: columns case, severity, kind (regression, improvement),
        baseline_passes, baseline_trials, candidate_passes, candidate_trials.
    title
        The statement above; by default the counts of regressions and improvements.

    Returns
    -------
    altair chart
        At most 40 cases, the first of the table.

    Raises
    ------
    ColumnError
        A column is missing.

    Examples
    --------
    >>> import evalkit as ek
    >>> change = ek.compare(ek.demo.make(), baseline="v2", candidate="v3")
    >>> ek.charts.flips(change).description
    'Cases whose verdict changed: 1 regression, 0 improvements. First: case 02 (critical), ...'
    """
    table, names = _flips_of(change)
    counts = ("baseline_passes", "baseline_trials", "candidate_passes", "candidate_trials")
    frame = finished(table, table="change.flips", need=("case", "severity", "kind", *counts))
    if frame.is_empty():
        return nothing("no case changed its verdict.", title=title or "Flips")
    frame = frame.with_columns(pl.col("severity").fill_null(NOT_GIVEN))
    worse, better = (int((frame["kind"] == word).sum()) for word in ("regression", "improvement"))
    said = f"{plural(worse, 'regression')}, {plural(better, 'improvement')}"
    top, cases_shown = relabel(frame.head(MOST_CASES), "case", to="name", most=26, keep=True)
    made = []
    for row in top.iter_rows(named=True):
        for side, label in zip(("baseline", "candidate"), names, strict=True):
            passes, trials = row[f"{side}_passes"], row[f"{side}_trials"]
            made.append(
                {
                    "name": row["name"],
                    "severity": row["severity"],
                    "group": label,
                    "last": side == "candidate",
                    "kind": row["kind"],
                    "arrow": f"{'▼' if row['kind'] == 'regression' else '▲'} {clean(row['kind'])}",
                    **_cell(passes, None if passes is None else trials - passes, 0),
                }
            )
    cells = pl.DataFrame(made)
    first = top.row(0, named=True)
    cut = f"the first {MOST_CASES} of {frame.height} shown" if frame.height > MOST_CASES else ""
    return _draw_flips(cells, cases_shown, top["severity"].to_list(), names).properties(
        title=heading(
            title or said, "; ".join(part for part in ("passed/scored trials of each case", cut) if part)
        ),
        description=(
            f"Cases whose verdict changed: {said}. First: case {first['name']} ({first['severity']}), "
            f"{first['baseline_passes']} of {plural(first['baseline_trials'], 'trial')} passed, now "
            f"{first['candidate_passes']} of {first['candidate_trials']}: {clean(first['kind'])}."
        ),
    )


def _flips_of(change: Any) -> tuple[Any, tuple[str, str]]:
    """Return the flips of a Comparison and what its sides are called; a table stays what it is."""
    if hasattr(change, "summary") and hasattr(change, "flips"):
        sides = [clean(side, most=16) for side in (change.baseline, change.candidate)]
        return change.flips, (f"baseline {sides[0]}", f"candidate {sides[1]}")
    return change, ("baseline", "candidate")


def _draw_flips(
    cells: pl.DataFrame, names: list[str], severities: list[str], groups: tuple[str, str]
) -> Drawing:
    step = 150
    width, height = 2 * step, _ROW * len(names)
    x = alt.X(
        "group:N",
        title=None,
        sort=list(groups),
        scale=alt.Scale(paddingInner=0.3),
        axis=alt.Axis(orient="top", labelAngle=0, labelFontWeight=600, labelLimit=190),
    )
    y = alt.Y("name:N", title=None, sort=names, scale=alt.Scale(paddingInner=0.12))
    base = alt.Chart(rows(cells))
    state = alt.selection_point(name="state", fields=["state"], bind="legend")
    case = alt.selection_point(name="case", fields=["name"])
    squares = _squares(base.encode(x=x, y=y), set(cells["state"]), state & case)
    squares[0] = squares[0].add_params(state, case).properties(name="flips_cells")
    once = base.transform_filter("datum.last").encode(y=y)
    arrows = []
    for kind, ink in (("regression", ERROR), ("improvement", SUCCESS)):
        row = once.transform_filter(f"datum.kind == '{kind}'")
        arrows.append(row.mark_text(color=ink).encode(x=alt.value(width / 2), text=alt.value("►")))
        word = row.mark_text(color=ink, fontWeight=600, align="left")
        arrows.append(word.encode(x=alt.value(width + 92), text="arrow:N"))
    return alt.layer(*squares, *arrows, *_severity_words(names, severities, width)).properties(
        width=width, height=height
    )
