"""Pass, unscored and fail by severity and version: where the failures are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import polars as pl

from evalkit.charts.prepare import (
    WORST_FIRST,
    Drawing,
    clean,
    finished,
    heading,
    interval_words,
    nothing,
    percent,
    relabel,
    rows,
)
from evalkit.charts.theme import VERDICT_COLORS
from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.summarize import summarize
from evalkit.util.colors import MUTED, TEXT
from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

MOST_GROUPS: Final = 12
_NEEDED: Final = (
    "severity",
    "pass_rate",
    "low",
    "high",
    "n",
    "passed",
    "failed",
    "unscored",
    "method",
    "level",
)
_WIDTH: Final = 480


def severity(
    data: Evals | IntoFrame,
    *,
    by: str = "agent_version",
    rule: PassRule = DEFAULT_RULE,
    title: str | None = None,
) -> Drawing:
    """Draw how many trials pass, stay unscored and fail, for each severity and version, worst severity first.

    Bars are shares of a group's trials, the numbers on them count trials; the pass rate at the right is the
    mean over cases, of what was scored. Click a word of the legend to see it alone.

    Parameters
    ----------
    data
        An Evals, or what `summarize(evals, by=[by, "severity"])` returns: columns severity, `by`, pass_rate,
        low, high, n, passed, failed, unscored, method, level.
    by
        The column that names the groups.
    rule
        The pass rule, for an Evals.
    title
        The statement above; by default how many trials of the worst severity pass under the last version.

    Returns
    -------
    altair chart
        At most 12 groups.

    Raises
    ------
    ColumnError
        A column is missing.

    Examples
    --------
    >>> import evalkit as ek
    >>> ek.charts.severity(ek.demo.make()).description
    'Verdicts by severity and agent_version. Critical cases under the last agent version: 12 of 18 trials pass. ...'
    """
    table: Any = data
    if isinstance(data, Evals):
        table = summarize(data, by=[by, "severity"], rule=rule)
    frame = finished(table, table="summary", need=(by, *_NEEDED))
    frame = frame.with_columns(
        pl.col("severity").fill_null(NOT_GIVEN), trials=pl.sum_horizontal("passed", "failed", "unscored")
    ).filter(pl.col("trials") > 0)
    if frame.is_empty():
        return nothing("no trial was graded.", title=title or "Verdicts by severity")
    frame, names = relabel(frame, by, to="group", most=24)
    shown = names[:MOST_GROUPS]
    frame = frame.filter(pl.col("group").is_in(shown))
    present = [word for word in WORST_FIRST if word in set(frame["severity"])]
    last = (pl.col("severity") == present[0]) & (pl.col("group") == shown[-1])
    worst = (
        frame.filter(last) if frame.filter(last).height else frame.filter(pl.col("severity") == present[0])
    )
    passed, trials = int(worst["passed"].sum()), int(worst["trials"].sum())
    total, everything = int(frame["passed"].sum()), int(frame["trials"].sum())
    unscored = int(frame["unscored"].sum())
    word = "Trials without a severity" if present[0] == NOT_GIVEN else f"{present[0].capitalize()} cases"
    under = (
        f" under the last {clean(by).replace('_', ' ')}"
        if frame.filter(last).height and len(names) > 1
        else ""
    )
    said = f"{word}{under}: {passed} of {plural(trials, 'trial')} pass"
    more = f"{len(names) - len(shown)} more not shown" if len(names) > len(shown) else ""
    pieces = f"All together: {total} of {plural(everything, 'trial')} pass, {unscored} unscored"
    return _draw(frame, present, shown).properties(
        title=heading(
            title or said,
            "; ".join(part for part in (pieces, more) if part),
            f"At the right: pass rate over scored cases, n cases; tooltip: {interval_words(frame)}",
        ),
        description=f"Verdicts by severity and {clean(by)}. {said}. {pieces}.",
    )


def _draw(frame: pl.DataFrame, severities: list[str], groups: list[str]) -> alt.FacetChart:
    segments = _segments(frame)
    step = 26 if len(groups) <= 6 else 21
    height = step * len(groups)
    pick = alt.selection_point(name="verdict", fields=["verdict"], bind="legend")
    verdicts = list(VERDICT_COLORS)
    y = alt.Y("group:N", title=None, sort=groups, scale=alt.Scale(paddingInner=0.18, paddingOuter=0.05))
    bars = (
        alt.Chart(name="severity_cell")
        .mark_bar(stroke="white", strokeWidth=1)
        .encode(
            y=y,
            x=alt.X(
                "start:Q",
                title="share of trials",
                scale=alt.Scale(domain=[0, 1], nice=False),
                axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
            ),
            x2="end:Q",
            color=alt.Color(
                "verdict:N",
                title=None,
                scale=alt.Scale(domain=verdicts, range=list(VERDICT_COLORS.values())),
                legend=alt.Legend(),
            ),
            opacity=alt.condition(pick, alt.value(1), alt.value(0.15)),
            tooltip=[
                alt.Tooltip("severity:N"),
                alt.Tooltip("group:N", title="group"),
                alt.Tooltip("verdict:N"),
                alt.Tooltip("count:Q", title="trials"),
                alt.Tooltip("trials:Q", title="of trials"),
                alt.Tooltip("rate:N", title="pass rate"),
                alt.Tooltip("interval:N"),
                alt.Tooltip("n:Q", title="cases"),
            ],
        )
        .add_params(pick)
    )
    texts = (
        alt.Chart()
        .transform_filter("datum.words != ''")
        .mark_text(color="white", fontSize=12, fontWeight=600)
        .encode(y=y, x="middle:Q", text="words:N")
    )
    rate = alt.Chart().transform_filter("datum.verdict == 'pass'").encode(y=y, x=alt.value(_WIDTH + 12))
    return (
        alt.layer(
            bars,
            texts,
            rate.mark_text(align="left", fontWeight=600, color=TEXT).encode(text="rate:N"),
            rate.mark_text(align="left", dx=52, color=MUTED, fontSize=12).encode(text="cases:N"),
        )
        .properties(width=_WIDTH, height=height)
        .facet(
            data=rows(segments),
            row=alt.Row(
                "severity:N",
                title=None,
                sort=severities,
                header=alt.Header(labelAngle=0, labelAlign="left", labelAnchor="middle"),
            ),
            spacing=12,
        )
    )


def _segments(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each (severity, group, verdict), with where its bar starts and ends."""
    made = []
    for row in frame.iter_rows(named=True):
        start = 0.0
        for verdict, column in (("pass", "passed"), ("unscored", "unscored"), ("fail", "failed")):
            share = row[column] / row["trials"]
            pixels = share * _WIDTH
            full, short = f"{row[column]} {verdict}", str(row[column])
            known = row["low"] is not None
            made.append(
                {
                    "severity": row["severity"],
                    "group": row["group"],
                    "verdict": verdict,
                    "count": row[column],
                    "trials": row["trials"],
                    "start": start,
                    "end": start + share,
                    "middle": start + share / 2,
                    # The word stands on the bar where there is room for it, else the number alone.
                    "words": full
                    if pixels > 8 * len(full) + 6
                    else short
                    if row[column] and pixels > 8 * len(short) + 2
                    else "",
                    "rate": percent(row["pass_rate"]),
                    "interval": f"{percent(row['low'])} to {percent(row['high'])}, {row['level'] * 100:g}% {clean(row['method'])}"
                    if known
                    else "none",
                    "n": row["n"],
                    "cases": f"n {row['n']}",
                }
            )
            start += share
    return pl.DataFrame(made)
