"""Judge against reference: the confusion matrix of their scores, and kappa."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from evalkit.charts.prepare import Drawing, clean, finished, heading, nothing, percent, rows
from evalkit.util.colors import MUTED, SUCCESS, TEXT
from evalkit.util.errors import ColumnError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

_SIZE = 52


def agreement(
    confusion: IntoFrame,
    *,
    kappa: float | None = None,
    interval: tuple[float, float] | None = None,
    method: str = "quadratic weighted kappa",
    level: float = 0.95,
    title: str | None = None,
) -> Drawing:
    """Draw how often each score of the judge met each score of the reference.

    Parameters
    ----------
    confusion
        A row a pair of scores: columns reference, judge (scores, or pass/fail), count (answers).
    kappa
        Agreement beyond chance, printed above.
    interval
        Its lower and upper end.
    method, level
        What kappa it is, and of which level its interval.
    title
        The statement above; by default kappa and the share of exact agreement.

    Returns
    -------
    altair chart

    Raises
    ------
    ColumnError
        A column is missing, or there are more than 12 different scores.

    Examples
    --------
    >>> import evalkit as ek
    >>> found = ek.agreement(ek.demo.make())
    >>> found.chart("Groq").description
    'Confusion matrix of judge and reference, n 36. ...'
    """
    frame = finished(confusion, table="confusion", need=("reference", "judge", "count"))
    frame = frame.filter(pl.col("count") > 0)
    n = int(frame["count"].sum())
    if not n:
        return nothing("no answer has a score of both.", title=title or "Agreement")
    scale = _scale([*frame["reference"], *frame["judge"]])
    if len(scale) > 12:
        raise ColumnError(
            f"The confusion table has {len(scale)} different scores; a matrix shows at most 12: bin them first."
        )
    words = {value: clean(f"{value:g}" if isinstance(value, float) else value, most=10) for value in scale}
    counts: dict[tuple[Any, Any], int] = {}
    for reference, judge, count in frame.select("reference", "judge", "count").iter_rows():
        counts[reference, judge] = counts.get((reference, judge), 0) + count
    cells = [
        {
            "reference": words[a],
            "judge": words[b],
            "count": counts.get((a, b), 0),
            "same": a == b,
            "share": counts.get((a, b), 0) / n,
            "dark": counts.get((a, b), 0) > 0.75 * max(counts.values()),
        }
        for a in scale
        for b in scale
    ]
    exact = sum(count for (a, b), count in counts.items() if a == b) / n
    near = sum(c for (a, b), c in counts.items() if abs(scale.index(a) - scale.index(b)) <= 1) / n
    found = f"kappa {kappa:.2f}".replace("-", "−") if kappa is not None else "kappa not estimable"
    reach = (
        f", {level * 100:g}% interval {interval[0]:.2f} to {interval[1]:.2f}".replace("-", "−")
        if interval
        else ""
    )
    said = f"{found[0].upper()}{found[1:]}; judge and reference agree exactly on {percent(exact)}"
    within = f"; within one step: {percent(near)}" if len(scale) > 2 else ""
    return _draw(cells, [words[value] for value in scale]).properties(
        title=heading(
            title or said,
            f"{clean(method, most=60)}{reach}; n = {plural(n, 'answer')}{within}",
            "outlined: agreement",
        ),
        description=f"Confusion matrix of judge and reference, n {n}. {said}{within}.",
    )


def _scale(values: list[Any]) -> list[Any]:
    distinct = list(dict.fromkeys(values))
    if all(isinstance(value, int | float) for value in distinct):
        return sorted(distinct)
    order = {"fail": 0, "unscored": 1, "pass": 2}
    return sorted(distinct, key=lambda value: (order.get(str(value), 3), str(value)))


def _draw(cells: list[dict[str, Any]], scale: list[str]) -> Drawing:
    base = alt.Chart(rows(pl.DataFrame(cells))).encode(
        x=alt.X("judge:N", title="judge", sort=scale, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("reference:N", title="reference", sort=scale[::-1]),
    )
    squares = base.mark_rect(stroke="white", strokeWidth=1).encode(
        color=alt.Color("count:Q", legend=None, scale=alt.Scale(range=["#F4F7FA", SUCCESS], domainMin=0)),
        tooltip=[
            "reference:N",
            "judge:N",
            alt.Tooltip("count:Q", title="answers"),
            alt.Tooltip("share:Q", format=".1%", title="of all"),
        ],
    )
    outline = base.transform_filter("datum.same").mark_rect(
        filled=False, stroke=TEXT, strokeWidth=1.6, fillOpacity=0
    )
    texts = [
        base.transform_filter(f"{'' if dark else '!'}datum.dark && datum.count > 0")
        .mark_text(color="#FFFFFF" if dark else TEXT)
        .encode(text="count:Q")
        for dark in (True, False)
    ]
    zero = base.transform_filter("datum.count == 0").mark_text(color=MUTED).encode(text=alt.value("·"))
    side = _SIZE * len(scale)
    chart: Drawing = alt.layer(squares, outline, *texts, zero).properties(width=side, height=side)
    return chart
