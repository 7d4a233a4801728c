"""The numbers behind the explorer's charts: how many trials of each value, and of each score, the other filters leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.grading.version_order import natural_order
from evalkit.util.hostile_text import visible
from evalkit.util.words import NOT_GIVEN
from evalkit.widgets.filters import FACETS, together

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from evalkit.widgets.filters import Slice

# So many values of a column are shown; of more, those with the most failures.
_MOST: Final = 8
# Of these, values that the filters leave nothing of are shown too: they are few, and what is missing says something.
_SHORT: Final = ("verdict", "severity", "agent_version", "model")
# So many are shown of a column whose values are all asked for.
_ALL: Final = 300
_BINS: Final = 20
_VERDICTS: Final = ("pass", "fail", "unscored")


def facets(
    frame: pl.DataFrame, masks: Mapping[str, pl.Series], chosen: Slice, *, every: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return for each column with several values how many trials of each the other filters leave.

    Parameters
    ----------
    frame
        Every graded trial.
    masks
        What each filter leaves.
    chosen
        Which values are chosen.
    every
        Columns of which all values are shown.

    Returns
    -------
    list of dict
        `column`, `rows` (`name`, None for "nobody said"; `count`, `verdicts`, `pressed`), `more` (values not shown), `all`
        (whether all were asked for).
    """
    made = []
    for column in FACETS:
        if column not in frame.columns:
            continue
        small = frame.select(column, _verdict="verdict").filter(together(masks, but=column))
        several = isinstance(frame.schema[column], pl.List)
        if several:
            small = small.explode(column, empty_as_null=True)
        counts = small.group_by(column).agg(
            pl.len().alias("count"), *((pl.col("_verdict") == v).sum().alias(v) for v in _VERDICTS)
        )
        given = frame[column].explode(empty_as_null=True) if several else frame[column]
        pressed = chosen.where.get(column, ())
        if given.n_unique() < 2 and not pressed:
            continue
        most = _ALL if column in every else _MOST
        made.append(_facet(column, _completed(counts, given, column), pressed, most))
    return made


def _completed(counts: pl.DataFrame, given: pl.Series, column: str) -> pl.DataFrame:
    """Add the values that the filters leave none of."""
    values = given.unique().to_frame(column)
    return values.join(counts, on=column, how="left", nulls_equal=True).with_columns(
        pl.col("count", *_VERDICTS).fill_null(0)
    )


def _facet(column: str, counts: pl.DataFrame, pressed: tuple[str | None, ...], most: int) -> dict[str, Any]:
    ordered = counts.sort("fail", "count", pl.col(column).cast(pl.String), descending=[True, True, False])
    on = pl.col(column).cast(pl.String).is_in(list(pressed), nulls_equal=True)
    if column not in _SHORT:
        ordered = ordered.filter(on | (pl.col("count") > 0))
    shown = pl.concat([ordered.filter(on), ordered.filter(~on)]).head(max(most, len(pressed)))
    if column in ("verdict", "severity"):
        shown = shown.sort(column, descending=column == "severity", nulls_last=True)
    elif counts.height <= _MOST and column != "failure":
        shown = shown.sort(natural_order(column), nulls_last=True)
    rows = [
        {
            "name": None if row[column] is None else str(row[column]),
            "label": ("" if row[column] is None else visible(str(row[column]))) or NOT_GIVEN,
            "count": row["count"],
            "verdicts": {verdict: row[verdict] for verdict in _VERDICTS},
            "pressed": row[column] in pressed,
        }
        for row in shown.iter_rows(named=True)
    ]
    return {"column": column, "rows": rows, "more": ordered.height - shown.height, "all": most > _MOST}


def distribution(
    frame: pl.DataFrame,
    masks: Mapping[str, pl.Series],
    chosen: Slice,
    *,
    scale: tuple[float, float],
    threshold: float,
) -> dict[str, Any]:
    """Return how many trials have which score, by verdict, of those that the other filters leave.

    Returns
    -------
    dict
        `low`, `high` (the scale), `bins` ([from, to, pass, fail, unscored] each), `range` (what is chosen),
        `threshold`, `without` (trials that have no score).
    """
    low, high = scale
    scores = frame.select(pl.col(chosen.measure).alias("score"), "verdict").filter(
        together(masks, but="score")
    )
    width = (high - low) / _BINS or 1.0
    known = scores.filter(pl.col("score").is_not_null())
    counts = (
        known.select(
            "verdict", bin=((pl.col("score") - low) / width + 1e-9).floor().clip(0, _BINS - 1).cast(pl.Int32)
        )
        .group_by("bin")
        .agg((pl.col("verdict") == v).sum().alias(v) for v in _VERDICTS)
        .sort("bin")
    )
    return {
        "low": low,
        "high": high,
        "width": width,
        "bins": [list(row) for row in counts.iter_rows()],
        "range": [low if chosen.low is None else chosen.low, high if chosen.high is None else chosen.high]
        if chosen.low is not None or chosen.high is not None
        else None,
        "threshold": threshold,
        "without": scores.height - known.height,
    }
