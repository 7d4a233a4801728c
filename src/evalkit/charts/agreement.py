"""Confusion matrix of judge and reference."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from evalkit.charts import layers, tables
from evalkit.util import format as fmt
from evalkit.util.colors import MUTED, SUCCESS, TEXT
from evalkit.util.errors import ColumnError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    from evalkit.charts.layers import Drawing

_SIZE = 52
_MOST_SCORES = 12


def agreement(
    confusion: IntoFrame,
    *,
    kappa: float | None = None,
    interval: tuple[float, float] | None = None,
    method: str = "quadratic weighted kappa",
    level: float = 0.95,
    title: str | None = None,
) -> Drawing:
    """Plot how often each score of the judge met each score of the reference.

    Parameters
    ----------
    confusion
        One row per pair of scores: columns reference, judge (scores, or pass/fail), count (answers). At most 12
        different scores, else a `ColumnError`.
    kappa, interval
        Chance-corrected agreement with its interval.
    method, level
        The kind of kappa, and the confidence level.
    title
        The title; by default kappa and the share of exact agreement.

    Examples
    --------
    >>> import evalkit as ek
    >>> ek.agreement(ek.demo.make()).chart("Groq").description
    'Confusion matrix of judge and reference, n 36. Kappa 0.83; ...'
    """
    frame = tables.read_table(confusion, table="confusion", columns=("reference", "judge", "count"))
    counts: Counter[tuple[Any, Any]] = Counter()
    for reference, judge, count in frame.filter(pl.col("count") > 0).iter_rows():
        counts[reference, judge] += count
    n = counts.total()
    if not n:
        return layers.empty_chart("no answer has a score of both", title=title or "Agreement")
    scale = _scale([score for pair in counts for score in pair])
    if len(scale) > _MOST_SCORES:
        raise ColumnError(
            f"The confusion table has {len(scale)} different scores. A matrix shows at most {_MOST_SCORES}.",
            fix="Bin the scores first.",
        )
    names = {
        score: tables.clean(f"{score:g}" if isinstance(score, float) else score, limit=10) for score in scale
    }
    most = max(counts.values())
    cells = [
        {
            "reference": names[a],
            "judge": names[b],
            "count": counts[a, b],
            "same": a == b,
            "share": fmt.percent(counts[a, b] / n),
            "dark": counts[a, b] > 0.75 * most,
        }
        for a in scale
        for b in scale
    ]
    exact = sum(count for (a, b), count in counts.items() if a == b) / n
    near = sum(c for (a, b), c in counts.items() if abs(scale.index(a) - scale.index(b)) <= 1) / n
    strength = "Kappa not estimable" if kappa is None else f"Kappa {fmt.number(kappa)}"
    statement = f"{strength}; judge and reference agree exactly on {fmt.percent(exact, 0)}"
    within = f"within one step: {fmt.percent(near, 0)}" if len(scale) > 2 else ""
    ends = f", {fmt.level(level)} interval {fmt.interval(*interval)}" if interval else ""
    return _draw(cells, [names[score] for score in scale]).properties(
        title=layers.heading(
            title or statement,
            tables.join_parts(
                f"{tables.clean(method, limit=60)}{ends}", f"n = {plural(n, 'answer')}", within
            ),
            "Outlined: agreement",
        ),
        description=f"Confusion matrix of judge and reference, n {n}. {tables.join_parts(statement, within)}.",
    )


def _scale(values: list[Any]) -> list[Any]:
    distinct = list(dict.fromkeys(values))
    if all(isinstance(value, int | float) for value in distinct):
        return sorted(distinct)
    order = {"fail": 0, "unscored": 1, "pass": 2}
    return sorted(distinct, key=lambda value: (order.get(str(value), 3), str(value)))


def _draw(cells: list[dict[str, Any]], scale: list[str]) -> Drawing:
    base = alt.Chart(layers.inline(cells)).encode(
        x=alt.X("judge:N", title="judge", sort=scale, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("reference:N", title="reference", sort=scale[::-1]),
    )
    squares = base.mark_rect(stroke="white", strokeWidth=1).encode(
        color=alt.Color("count:Q", legend=None, scale=alt.Scale(range=["#F4F7FA", SUCCESS], domainMin=0)),
        tooltip=layers.tooltips(reference="reference", judge="judge", count="answers", share="of all"),
    )
    outline = base.transform_filter("datum.same").mark_rect(
        filled=False, stroke=TEXT, strokeWidth=1.6, fillOpacity=0
    )
    texts = [
        base.transform_filter(f"{sign}datum.dark && datum.count > 0")
        .mark_text(color=color)
        .encode(text="count:Q")
        for sign, color in (("", "#FFFFFF"), ("!", TEXT))
    ]
    zeros = base.transform_filter("datum.count == 0").mark_text(color=MUTED).encode(text=alt.value("·"))
    side = _SIZE * len(scale)
    chart: Drawing = alt.layer(squares, outline, *texts, zeros).properties(width=side, height=side)
    return chart
