"""Count trials by value and by score for the charts of the explorer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.grading.version_order import natural_order
from evalkit.util.hostile_text import visible
from evalkit.util.words import NOT_GIVEN
from evalkit.widgets.filters import FACETS, combine

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from evalkit.widgets.filters import Slice

# The values of a column that are shown: those with the most failures, or all that were asked for.
_FEW: Final = 8
_MANY: Final = 300
# Values with no trials left are shown for these columns: there are few, and the zero is informative.
_SHORT: Final = ("verdict", "severity", "agent_version", "model")
_BINS: Final = 20
_VERDICTS: Final = ("pass", "fail", "unscored")


def count_facets(
    frame: pl.DataFrame, masks: Mapping[str, pl.Series], state: Slice, *, expanded: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Count per column the trials by value that the other filters keep.

    A row has `name` (None: missing), `label`, `count`, `verdicts` and `pressed`; `more` counts the hidden values.
    """
    facets = []
    for column in FACETS:
        if column not in frame.columns:
            continue
        kept = frame.select(column, _verdict="verdict").filter(combine(masks, but=column))
        values, pressed = frame[column], state.where.get(column, ())
        if isinstance(values.dtype, pl.List):
            kept, values = kept.explode(column, empty_as_null=True), values.explode(empty_as_null=True)
        if values.n_unique() < 2 and not pressed:
            continue
        counts = kept.group_by(column).agg(pl.len().alias("count"), *_by_verdict("_verdict"))
        counts = (
            values.unique()
            .to_frame(column)
            .join(counts, on=column, how="left", nulls_equal=True)
            .with_columns(pl.col("count", *_VERDICTS).fill_null(0))
        )
        facets.append(_facet(column, counts, pressed, is_expanded=column in expanded))
    return facets


def _by_verdict(column: str) -> list[pl.Expr]:
    return [(pl.col(column) == verdict).sum().alias(verdict) for verdict in _VERDICTS]


def _facet(
    column: str, counts: pl.DataFrame, pressed: tuple[str | None, ...], *, is_expanded: bool
) -> dict[str, Any]:
    ordered = counts.sort("fail", "count", pl.col(column).cast(pl.String), descending=[True, True, False])
    is_pressed = pl.col(column).cast(pl.String).is_in(list(pressed), nulls_equal=True)
    if column not in _SHORT:
        ordered = ordered.filter(is_pressed | (pl.col("count") > 0))
    limit = max(_MANY if is_expanded else _FEW, len(pressed))
    shown = pl.concat([ordered.filter(is_pressed), ordered.filter(~is_pressed)]).head(limit)
    if column in ("verdict", "severity"):
        shown = shown.sort(column, descending=column == "severity", nulls_last=True)
    elif counts.height <= _FEW and column != "failure":
        shown = shown.sort(natural_order(column), nulls_last=True)
    rows = [
        {
            "name": None if row[column] is None else str(row[column]),
            "label": visible(str(row[column] or "")) or NOT_GIVEN,
            "count": row["count"],
            "verdicts": {verdict: row[verdict] for verdict in _VERDICTS},
            "pressed": row[column] in pressed,
        }
        for row in shown.iter_rows(named=True)
    ]
    return {"column": column, "rows": rows, "more": ordered.height - shown.height, "all": is_expanded}


def count_scores(
    frame: pl.DataFrame,
    masks: Mapping[str, pl.Series],
    state: Slice,
    *,
    scale: tuple[float, float],
    threshold: float | None,
) -> dict[str, Any]:
    """Count the trials by score and verdict that the other filters keep.

    A bin is [index, pass, fail, unscored]; `range` is the chosen one; `without` counts unscored trials.
    """
    low, high = scale
    width = (high - low) / _BINS or 1.0
    scores = frame.select("verdict", score=state.measure).filter(combine(masks, but="score"))
    scored = scores.drop_nulls("score")
    bins = ((pl.col("score") - low) / width + 1e-9).floor().clip(0, _BINS - 1).cast(pl.Int32)
    counts = scored.group_by(bins.alias("bin")).agg(_by_verdict("verdict")).sort("bin")
    is_limited = state.low is not None or state.high is not None
    limits = [low if state.low is None else state.low, high if state.high is None else state.high]
    return {
        "low": low,
        "high": high,
        "width": width,
        "bins": [list(row) for row in counts.iter_rows()],
        "range": limits if is_limited else None,
        "threshold": threshold,
        "without": scores.height - scored.height,
    }
