"""Candidate against baseline: differences with their intervals, the margin, and the verdict in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import altair as alt
import polars as pl

from evalkit.charts.prepare import (
    Drawing,
    clean,
    finished,
    heading,
    interval_words,
    nothing,
    percent,
    relabel,
    rows,
    signed,
)
from evalkit.charts.theme import CHANGE_COLORS, CHANGE_SHAPES, CHANGE_TEXTS
from evalkit.util.colors import MUTED, TEXT, UNKNOWN, WARN
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoFrame

    from evalkit.charts.prepare import ComparisonTables

Metric = Literal["pass_rate", "mean_score"]

MOST_ROWS: Final = 40
_NEEDED: Final = (
    *("scope", "metric", "baseline", "candidate", "difference", "low", "high"),
    *("n", "method", "level", "verdict"),
)
_WIDTH: Final = 330


def regression(
    change: ComparisonTables | IntoFrame,
    *,
    metric: Metric = "pass_rate",
    margin: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Drawing:
    """Draw the difference of each scope (overall, a criterion, a severity) with its interval, worst first.

    Left of the zero line the candidate is worse. The band from minus the margin to zero is what was declared
    to be tolerable. The verdict stands at the right in words.

    Parameters
    ----------
    change
        What `compare` returns, or its `summary`: columns scope, metric, baseline, candidate, difference,
        low, high, n, method, level, verdict.
    metric
        Which of the summary's metrics.
    margin
        The margin for each metric, where `change` is a table; a Comparison brings its own.
    title
        The statement above; by default the overall difference and its verdict.

    Returns
    -------
    altair chart
        At most 40 scopes, the worst.

    Raises
    ------
    ColumnError
        A column is missing.

    Examples
    --------
    >>> import evalkit as ek
    >>> change = ek.compare(ek.demo.make(), baseline="v2", candidate="v3", by="criterion")
    >>> ek.charts.regression(change).description
    '4 differences of the pass rate, candidate minus baseline. Pass rate ... points: inconclusive. ...'
    """
    table, declared = _parts(change, margin)
    frame = finished(table, table="change.summary", need=_NEEDED).filter(pl.col("metric") == metric)
    return _forest(frame, metric=metric, margin=(declared or {}).get(metric), title=title, worst_first=True)


def forest(
    summary: ComparisonTables | IntoFrame,
    *,
    metric: Metric = "pass_rate",
    margin: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Drawing:
    """Draw differences with their intervals in the order of the table: several comparisons under each other.

    Parameters
    ----------
    summary
        A table with the columns of `change.summary` (see `regression`), one row a comparison; `scope` names it.
    metric
        Which of its metrics.
    margin
        The margin for each metric.
    title
        The statement above.

    Returns
    -------
    altair chart
        At most 40 rows, the first.

    Raises
    ------
    ColumnError
        A column is missing.

    Examples
    --------
    >>> import evalkit as ek
    >>> import polars as pl
    >>> evals = ek.demo.make()
    >>> changes = [ek.compare(evals, baseline="v1", candidate=name).summary for name in ("v2", "v3")]
    >>> table = pl.concat(changes).with_columns(scope=pl.Series(["v2", "v2", "v3", "v3"]))
    >>> ek.charts.forest(table).description
    '2 differences of the pass rate, candidate minus baseline. ...'
    """
    table, declared = _parts(summary, margin)
    frame = finished(table, table="summary", need=_NEEDED).filter(pl.col("metric") == metric)
    return _forest(frame, metric=metric, margin=(declared or {}).get(metric), title=title, worst_first=False)


def _parts(change: Any, margin: Mapping[str, float] | None) -> tuple[Any, Mapping[str, float] | None]:
    """Return the summary and the margin of a Comparison; a table stays what it is."""
    if hasattr(change, "summary") and hasattr(change, "flips"):
        return change.summary, margin or change.margin
    return change, margin


def _forest(
    frame: pl.DataFrame, *, metric: Metric, margin: float | None, title: str | None, worst_first: bool
) -> Drawing:
    what = "pass rate" if metric == "pass_rate" else "mean score"
    if frame.is_empty():
        return nothing(f"nothing was compared by {what}.", title=title or f"Difference of the {what}")
    if worst_first:
        first = pl.col("scope").cast(pl.String) == "overall"
        frame = frame.sort(~first, pl.col("difference"), nulls_last=True, maintain_order=True)
    points = metric == "pass_rate"
    frame, _ = relabel(frame.with_row_index("_at"), "scope", to="name", most=26, keep=True)
    shown = frame.head(MOST_ROWS)
    top = shown.row(0, named=True)
    said = _statement(shown, top, points=points, what=what)
    unit = "percentage points" if points else "points"
    left_out = f"{frame.height - shown.height} more not shown" if frame.height > shown.height else ""
    band = (
        f"shaded: the margin of {_unsigned(margin, points=points)} {unit}"
        if margin
        else "no margin was declared"
    )
    order = "worst first" if worst_first else ""
    return _draw(shown, points=points, margin=margin, what=what).properties(
        title=heading(
            title or said,
            "; ".join(
                part for part in ("candidate minus baseline, paired by case", order, band, left_out) if part
            ),
            interval_words(shown),
        ),
        description=(
            f"{plural(shown.height, 'difference')} of the {what}, candidate minus baseline. {said}. "
            + " ".join(
                f"{row['name']}: {_words(row, points=points)}, {row['verdict']}, n {row['n']}."
                for row in shown.head(6).iter_rows(named=True)
            )
        ),
    )


def _statement(frame: pl.DataFrame, top: dict[str, Any], *, points: bool, what: str) -> str:
    unit = " points" if points else ""
    if frame.height == 1 or top["scope"] == "overall":
        if top["difference"] is None:
            return f"The {what} could not be compared"
        return (
            f"{what.capitalize()} {signed(top['difference'], points=points)}{unit}: {clean(top['verdict'])}"
        )
    worse = frame["verdict"].cast(pl.String).str.starts_with("regressed").sum()
    better = (frame["verdict"] == "improved").sum()
    return f"{worse} of {frame.height} regressed, {better} improved"


def _unsigned(value: float, *, points: bool) -> str:
    return f"{value * 100:g}" if points else f"{value:g}"


def _words(row: dict[str, Any], *, points: bool) -> str:
    if row["difference"] is None:
        return "not estimable"
    text = signed(row["difference"], points=points)
    if row["low"] is None or row["high"] is None:
        return text
    return f"{text} ({signed(row['low'], points=points)} to {signed(row['high'], points=points)})"


def _sides(row: dict[str, Any], *, points: bool) -> str:
    values = [row["baseline"], row["candidate"]]
    if not all(isinstance(value, int | float) for value in values):
        return ""
    before, after = (percent(value) if points else f"{value:.2f}" for value in values)
    return f"{before} → {after}"


def _draw(frame: pl.DataFrame, *, points: bool, margin: float | None, what: str) -> Drawing:
    scale = 100 if points else 1
    made = pl.DataFrame(
        [
            {
                "at": str(row["_at"]),
                "name": row["name"],
                "difference": None if row["difference"] is None else row["difference"] * scale,
                "low": None if row["low"] is None else row["low"] * scale,
                "high": None if row["high"] is None else row["high"] * scale,
                "words": _words(row, points=points),
                "sides": _sides(row, points=points),
                "verdict": clean(row["verdict"], most=30) if row["verdict"] else "not estimable",
                "n": row["n"],
                "method": clean(row["method"], most=60),
                "level": row["level"],
            }
            for row in frame.iter_rows(named=True)
        ],
        infer_schema_length=None,
    )
    height = 34 * made.height
    edges = [abs(value) for column in ("difference", "low", "high") for value in made[column].drop_nulls()]
    reach = max([*edges, (margin or 0) * scale, 5 if points else 0.25]) * 1.06
    names = dict(zip(made["at"], made["name"], strict=True))
    order = made["at"].to_list()
    words = [
        *CHANGE_COLORS,
        *(w for w in made["verdict"].unique(maintain_order=True) if w not in CHANGE_COLORS),
    ]
    colors = [CHANGE_COLORS.get(word, UNKNOWN) for word in words]
    shapes = [CHANGE_SHAPES.get(word, "circle") for word in words]
    base = alt.Chart(rows(made))
    y = alt.Y("name:N", sort=[names[at] for at in order], title=None, axis=alt.Axis(grid=False))
    title = f"difference of the {what}{', percentage points' if points else ''} (◄ worse, better ►)"
    x = alt.X(
        "difference:Q",
        title=title,
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(tickCount=7),
    )
    color = alt.Color("verdict:N", legend=None, scale=alt.Scale(domain=words, range=colors))
    point = base.mark_point(size=110, filled=True, opacity=1, invalid="filter").encode(
        x=x,
        y=y,
        color=color,
        shape=alt.Shape("verdict:N", legend=None, scale=alt.Scale(domain=words, range=shapes)),
        tooltip=[
            alt.Tooltip("name:N", title="scope"),
            alt.Tooltip("words:N", title="difference"),
            alt.Tooltip("sides:N", title="baseline → candidate"),
            alt.Tooltip("verdict:N"),
            alt.Tooltip("n:Q", title="cases"),
            alt.Tooltip("method:N"),
            alt.Tooltip("level:Q", format=".0%"),
        ],
    )
    rule = base.transform_filter("datum.low !== null && datum.high !== null")
    layers: list[alt.Chart] = []
    if margin:
        band = alt.Chart(alt.InlineData(values=[{"from": -margin * scale, "to": 0.0}]))
        layers.append(
            band.mark_rect(color=WARN, opacity=0.13).encode(
                x="from:Q", x2="to:Q", y=alt.value(0), y2=alt.value(height)
            )
        )
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0.0}]))
    layers.append(
        zero.mark_rule(color=TEXT, strokeWidth=1.2).encode(x="zero:Q", y=alt.value(0), y2=alt.value(height))
    )
    layers.append(
        rule.mark_rule(strokeWidth=2.5).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=color)
    )
    layers.append(point)
    beside = base.encode(y=y)
    ink = alt.Color(
        "verdict:N",
        legend=None,
        scale=alt.Scale(domain=words, range=[CHANGE_TEXTS.get(word, MUTED) for word in words]),
    )
    layers.append(beside.mark_text(align="left").encode(x=alt.value(_WIDTH + 14), text="words:N"))
    # The verdict stands behind the longest of the words.
    room = max(162, *(7 * len(words) for words in made["words"]))
    verdicts = beside.mark_text(align="left", fontWeight=600).encode(
        x=alt.value(_WIDTH + 14 + room), text="verdict:N", color=ink
    )
    chart: Drawing = (
        alt.layer(alt.layer(*layers), verdicts)
        .resolve_scale(color="independent")
        .properties(width=_WIDTH, height=height)
    )
    return chart
