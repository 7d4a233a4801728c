"""Verdicts by severity and version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import polars as pl

from evalkit.charts import layers, tables
from evalkit.charts.theme import VERDICT_COLORS
from evalkit.util.colors import MUTED, TEXT
from evalkit.util.format import percent
from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame

    from evalkit.charts.layers import Drawing
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

GROUP_LIMIT: Final = 12
_COLUMNS: Final = (
    *("severity", "pass_rate", "low", "high", "n"),
    *("passed", "failed", "unscored", "method", "level"),
)
_VERDICTS: Final = (("pass", "passed"), ("unscored", "unscored"), ("fail", "failed"))
_WIDTH: Final = 480


def severity(
    data: Evals | IntoFrame,
    *,
    by: str = "agent_version",
    rule: PassRule | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    title: str | None = None,
) -> Drawing:
    """Plot passed, unscored and failed trials by severity and version, worst severity first.

    Bars are shares of a group's trials, their numbers count trials. The right column is the pass rate over scored
    cases. Click a word of the legend to see it alone.

    Parameters
    ----------
    data
        An Evals, or `summarize(evals, by=[by, "severity"])`: columns severity, `by`, pass_rate, low, high, n, passed,
        failed, unscored, method, level. The first 12 groups are drawn.
    by
        The column that names the groups.
    rule, grader, rubric
        As for `grade`, for an Evals.
    title
        The title; by default the trials of the worst severity that pass in the last group.

    Examples
    --------
    >>> import evalkit as ek
    >>> ek.charts.severity(ek.demo.make()).description
    'Verdicts by severity and agent_version. Critical cases of the last agent version: 12 of 18 trials pass. ...'
    """
    table = tables.summary_of(data, [by, "severity"], rule=rule, grader=grader, rubric=rubric)
    frame = tables.read_table(table, table="summary", columns=(by, *_COLUMNS), optional=tables.BOUNDS)
    frame = frame.with_columns(
        pl.col("severity").fill_null(NOT_GIVEN), trials=pl.sum_horizontal("passed", "failed", "unscored")
    ).filter(pl.col("trials") > 0)
    if frame.is_empty():
        return layers.empty_chart("no trial was graded", title=title or "Verdicts by severity")
    frame, names = tables.relabel(frame, by, to="group", limit=24)
    shown = names[:GROUP_LIMIT]
    frame = tables.with_bounds(frame.filter(pl.col("group").is_in(shown)))
    present = [word for word in tables.WORST_FIRST if word in set(frame["severity"])]
    worst = frame.filter(severity=present[0])
    of_last = worst.filter(group=shown[-1])
    is_last = of_last.height > 0 and len(names) > 1
    passed, trials = (int((of_last if is_last else worst)[column].sum()) for column in ("passed", "trials"))
    cases = "Trials without a severity" if present[0] == NOT_GIVEN else f"{tables.capital(present[0])} cases"
    group = f" of the last {tables.clean(by).replace('_', ' ')}" if is_last else ""
    statement = f"{cases}{group}: {passed} of {plural(trials, 'trial')} pass"
    total, every, unscored = (int(frame[column].sum()) for column in ("passed", "trials", "unscored"))
    overall = f"Overall: {total} of {plural(every, 'trial')} pass, {unscored} unscored"
    return _draw(frame, present, shown).properties(
        title=layers.heading(
            title or statement,
            tables.join_parts(overall, tables.not_shown(len(names), len(shown))),
            f"Right column: pass rate over scored cases; tooltip: {tables.describe_intervals(frame)}",
        ),
        description=f"Verdicts by severity and {tables.clean(by)}. {statement}. {overall}.",
    )


def _draw(frame: pl.DataFrame, severities: list[str], groups: list[str]) -> alt.FacetChart:
    height = (26 if len(groups) <= 6 else 21) * len(groups)
    pick = layers.legend_pick("verdict")
    y = alt.Y("group:N", title=None, sort=groups, scale=alt.Scale(paddingInner=0.18, paddingOuter=0.05))
    base = alt.Chart().encode(y=y)
    x = alt.X(
        "start:Q",
        title="share of trials",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(**layers.PERCENT_AXIS),
    )
    colors = alt.Scale(domain=list(VERDICT_COLORS), range=list(VERDICT_COLORS.values()))
    bars = alt.Chart(name="severity_cell").mark_bar(stroke="white", strokeWidth=1)
    bars = bars.encode(
        x=x,
        y=y,
        x2="end:Q",
        color=alt.Color("verdict:N", title=None, scale=colors, legend=alt.Legend()),
        opacity=layers.fade(pick, 0.15),
        tooltip=layers.tooltips(
            severity="severity",
            group="group",
            verdict="verdict",
            count="trials",
            trials="of trials",
            rate="pass rate",
            interval="interval",
            bounds="if unscored fail, pass",
            n="cases",
        ),
    ).add_params(pick)
    words = base.transform_filter("datum.words != ''").mark_text(color="white", fontSize=12, fontWeight=600)
    rates = base.transform_filter("datum.verdict == 'pass'")
    return (
        alt.layer(
            bars,
            words.encode(x="middle:Q", text="words:N"),
            layers.text_column(rates, _WIDTH + 12, "rate", fontWeight=600, color=TEXT),
            layers.text_column(rates, _WIDTH + 12, "cases", dx=66, fontSize=12, color=MUTED),
        )
        .properties(width=_WIDTH, height=height)
        .facet(
            data=layers.inline(_segments(frame)),
            row=alt.Row(
                "severity:N",
                title=None,
                sort=severities,
                header=alt.Header(labelAngle=0, labelAlign="left", labelAnchor="middle"),
            ),
            spacing=12,
        )
    )


def _segments(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a row per severity, group and verdict, with the start and the end of its bar."""
    segments = []
    texts = {"rate": tables.to_text("pass_rate", percent), "interval": tables.interval_text(percent=True)}
    kept = frame.select("severity", "group", "trials", "n", "bounds", **texts, cases=pl.format("n {}", "n"))
    for row, counts in zip(kept.to_dicts(), frame.to_dicts(), strict=True):
        start = 0.0
        for verdict, column in _VERDICTS:
            count, share = counts[column], counts[column] / row["trials"]
            edges = {"start": start, "end": start + share, "middle": start + share / 2}
            words = _fitting(count, verdict, share * _WIDTH)
            segments.append({**row, "verdict": verdict, "count": count, **edges, "words": words})
            start += share
    return segments


def _fitting(count: int, verdict: str, pixels: float) -> str:
    """Return the longest text that fits on a bar."""
    full, short = f"{count} {verdict}", str(count)
    if pixels > 8 * len(full) + 6:
        return full
    return short if count and pixels > 8 * len(short) + 2 else ""
