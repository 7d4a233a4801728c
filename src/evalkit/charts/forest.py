"""Differences between candidate and baseline, with intervals, margin and verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import altair as alt
import polars as pl

from evalkit.charts import layers, tables
from evalkit.charts.theme import CHANGE_COLORS, CHANGE_SHAPES, CHANGE_TEXTS
from evalkit.util import format as fmt
from evalkit.util.colors import MUTED, TEXT, UNKNOWN, WARN
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoFrame

    from evalkit.charts.layers import Drawing
    from evalkit.charts.tables import ComparisonTables

Metric = Literal["pass_rate", "mean_score"]

ROW_LIMIT: Final = 40
_COLUMNS: Final = (
    *("scope", "metric", "baseline", "candidate", "difference", "low", "high"),
    *("n", "method", "level", "verdict"),
)
_WIDTH: Final = 270


def regression(
    change: ComparisonTables | IntoFrame,
    *,
    metric: Metric = "pass_rate",
    margin: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Drawing:
    """Plot the difference of each scope (overall, a criterion, a severity) with its interval, worst first.

    Left of zero the candidate is worse. The shaded band is the margin. The verdict stands at the right.

    Parameters
    ----------
    change
        A `Comparison`, or its `summary`: columns scope, metric, baseline, candidate, difference, low, high, n, method,
        level, verdict. The 40 worst scopes are drawn.
    metric
        "pass_rate" or "mean_score".
    margin
        Margin per metric, for a table; a `Comparison` has its own.
    title
        The title; by default the overall difference and its verdict.

    Examples
    --------
    >>> import evalkit as ek
    >>> change = ek.compare(ek.demo.make(), baseline="v2", candidate="v3", by="criterion")
    >>> ek.charts.regression(change).description
    '4 differences of the pass rate, candidate minus baseline. Pass rate −9.3 points: inconclusive. ...'
    """
    return _plot(change, metric, margin, title, worst_first=True)


def forest(
    summary: ComparisonTables | IntoFrame,
    *,
    metric: Metric = "pass_rate",
    margin: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Drawing:
    """Plot differences with their intervals in the order of the table, for example of several comparisons.

    Parameters
    ----------
    summary
        A table with the columns of `Comparison.summary` (see `regression`), one row per comparison; `scope` names it.
        The first 40 rows are drawn.
    metric
        "pass_rate" or "mean_score".
    margin
        Margin per metric.
    title
        The title.

    Examples
    --------
    >>> import evalkit as ek
    >>> evals = ek.demo.make()
    >>> changes = [ek.compare(evals, baseline="v1", candidate=name).summary for name in ("v2", "v3")]
    >>> table = pl.concat(changes).with_columns(scope=pl.Series(["v2", "v2", "v3", "v3"]))
    >>> ek.charts.forest(table).description
    '2 differences of the pass rate, candidate minus baseline. ...'
    """
    return _plot(summary, metric, margin, title, worst_first=False)


def _plot(
    change: Any, metric: Metric, margins: Mapping[str, float] | None, title: str | None, *, worst_first: bool
) -> Drawing:
    table = change
    if tables.is_comparison(change):
        table, margins = getattr(change, "table", change.summary), margins or change.margin
    frame = tables.read_table(table, table="change.summary", columns=_COLUMNS, optional=["direction"])
    if "direction" not in frame.columns:
        frame = frame.with_columns(direction=pl.lit("higher"))
    lower = set(frame.filter(direction="lower")["scope"])
    frame = frame.filter(metric=metric).with_columns(is_lower=pl.col("direction").eq_missing("lower"))
    is_rate = metric == "pass_rate"
    what = "pass rate" if is_rate else "mean score"
    if frame.is_empty():
        return layers.empty_chart(f"no {what} was compared", title=title or f"Difference of the {what}")
    if worst_first:
        is_split = pl.col("scope") != "overall"
        gain = pl.when("is_lower").then(-pl.col("difference")).otherwise("difference")
        frame = frame.sort(is_split, gain, nulls_last=True, maintain_order=True)
    # A row is a comparison: two may have the same scope.
    frame = frame.with_row_index("row")
    frame, _ = tables.relabel(frame, "scope", to="name", limit=26, keep=True)
    named = pl.when(pl.col("scope").is_in(lower)).then(pl.format(tables.mark_lower("{}"), "name"))
    frame = frame.with_columns(name=named.otherwise("name"))
    shown = frame.head(ROW_LIMIT)
    margin = (margins or {}).get(metric)
    statement = _statement(shown, what, is_rate=is_rate)
    if margin:
        size = fmt.points(margin, sign=False) if is_rate else f"{margin:g}"
        band = f"shaded: the margin of {size}"
    else:
        band = "no margin set"
    rows = [_row(row, is_rate=is_rate) for row in shown.to_dicts()]
    return _draw(rows, is_rate=is_rate, margin=margin, what=what).properties(
        title=layers.heading(
            title or statement,
            tables.join_parts(
                "Candidate minus baseline, paired by case",
                "worst first" if worst_first else "",
                band,
                tables.not_shown(frame.height, shown.height),
            ),
            tables.join_parts(
                tables.describe_intervals(shown),
                tables.LOWER_WORDS if set(shown["scope"]) & lower else "",
            ),
        ),
        description=(
            f"{plural(shown.height, 'difference')} of the {what}, candidate minus baseline. {statement}. "
            + " ".join(f"{r['name']}: {r['words']}, {r['verdict']}, n {r['n']}." for r in rows[:6])
        ),
    )


def _statement(frame: pl.DataFrame, what: str, *, is_rate: bool) -> str:
    first = frame.row(0, named=True)
    if frame.height == 1 or first["scope"] == "overall":
        if first["difference"] is None:
            return f"The {what} could not be compared"
        metric = "pass_rate" if is_rate else "mean_score"
        return f"{tables.capital(what)} {fmt.difference_of(first['difference'], metric)}: {tables.clean(first['verdict'])}"
    worse = frame["verdict"].str.starts_with("regressed").sum()
    return f"{worse} of {frame.height} regressed, {(frame['verdict'] == 'improved').sum()} improved"


def _row(row: dict[str, Any], *, is_rate: bool) -> dict[str, Any]:
    """Return a difference as it is drawn: rates in points, numbers as text."""
    factor = 100 if is_rate else 1
    ends = {name: row[name] for name in ("difference", "low", "high")}
    sides = (row["baseline"], row["candidate"])
    side_text = fmt.percent if is_rate else fmt.number
    return {
        "name": row["name"],
        "is_lower": row["is_lower"],
        **{name: None if value is None else value * factor for name, value in ends.items()},
        "words": tables.value_and_interval(*ends.values(), points=is_rate, sign=True),
        "sides": "" if None in sides else " → ".join(map(side_text, sides)),
        "verdict": tables.clean(row["verdict"], limit=30) if row["verdict"] else "not estimable",
        "n": row["n"],
        "method": tables.clean(row["method"], limit=60),
        "confidence": "" if row["level"] is None else fmt.level(row["level"]),
    }


def _draw(rows: list[dict[str, Any]], *, is_rate: bool, margin: float | None, what: str) -> Drawing:
    scale = 100 if is_rate else 1
    edges = [
        abs(row[name]) for row in rows for name in ("difference", "low", "high") if row[name] is not None
    ]
    reach = max([*edges, (margin or 0) * scale, 5 if is_rate else 0.25]) * 1.06
    verdicts = list(dict.fromkeys([*CHANGE_COLORS, *(row["verdict"] for row in rows)]))

    def channel(channel: Any, values: dict[str, str], default: str) -> Any:
        scale = alt.Scale(domain=verdicts, range=[values.get(verdict, default) for verdict in verdicts])
        return channel("verdict:N", legend=None, scale=scale)

    base = alt.Chart(layers.inline(rows)).encode(y=layers.row_axis([row["name"] for row in rows]))
    unit = ", percentage points" if is_rate else ""
    lower = {row["is_lower"] for row in rows}
    ways = "◄ better, worse ►" if lower == {True} else "◄ worse, better ►"
    if lower == {True, False}:
        ways += f"; {tables.LOWER_MARK} the other way"
    x = alt.X(
        "difference:Q",
        title=f"difference of the {what}{unit} ({ways})",
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(tickCount=7),
    )
    color = channel(alt.Color, CHANGE_COLORS, UNKNOWN)
    points = base.mark_point(size=110, filled=True, opacity=1, invalid="filter").encode(
        x=x,
        color=color,
        shape=channel(alt.Shape, CHANGE_SHAPES, "circle"),
        tooltip=layers.tooltips(
            name="scope",
            words="difference",
            sides="baseline → candidate",
            verdict="verdict",
            n="cases",
            method="method",
            confidence="level",
        ),
    )
    marks = [
        layers.rule_at("x", 0.0, color=TEXT, strokeWidth=1.2),
        layers.interval_rule(base, x, color=color),
        points,
    ]
    if margin:
        # A loss is a lower difference, or a higher one where lower is better.
        reaches = (-margin * scale * (False in lower), margin * scale * (True in lower))
        band = alt.Chart(layers.inline([dict(zip(("from", "to"), reaches, strict=True))])).mark_rect(
            color=WARN, opacity=0.13
        )
        marks.insert(0, band.encode(x="from:Q", x2="to:Q"))
    marks.append(layers.text_column(base, _WIDTH + 14, "words"))
    # The verdict stands behind the longest of the texts.
    room = max(162, *(7.6 * len(row["words"]) for row in rows))
    texts = layers.text_column(base, _WIDTH + 14 + room, "verdict", fontWeight=600).encode(
        color=channel(alt.Color, CHANGE_TEXTS, MUTED)
    )
    chart: Drawing = (
        alt.layer(alt.layer(*marks), texts)
        .resolve_scale(color="independent")
        .properties(width=_WIDTH, height=34 * len(rows))
    )
    return chart
