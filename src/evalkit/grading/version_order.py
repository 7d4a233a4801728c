"""Which of several versions came first: by their names, or by when their runs began."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.evals import Evals

if TYPE_CHECKING:
    from collections.abc import Sequence

# 12, 1.10.2 and 2026-01-31 are one number.
_NUMBER: Final = re.compile(r"\d+(?:[._-]\d+)*")


def numbered(names: Sequence[object]) -> bool:
    """Return whether names differ by their numbers alone.

    Examples
    --------
    >>> numbered(["v1", "v2", "v10"]), numbered(["2026-01-31", "2026-02-01"]), numbered(["base", "tuned"])
    (True, True, False)
    """
    stems = {_NUMBER.sub("#", str(name)) for name in names}
    return len(stems) == 1 and "#" in next(iter(stems))


def begun(data: Any, column: str) -> dict[str, int]:
    """Return the place of each value of a column of `runs`, the one that ran first at 0.

    Nothing where their names say the order, where a run does not say when it began, or where the runs of two values
    lie between each other's.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> began = [datetime(2026, 1, day, tzinfo=UTC) for day in (9, 2)]
    >>> begun(Evals.from_tables(runs=pl.DataFrame({"run": ["new", "old"], "started_at": began})), "run")
    {'old': 0, 'new': 1}
    """
    if not isinstance(data, Evals) or column not in data.runs.columns:
        return {}
    spans = (
        data.runs.select(pl.col(column).cast(pl.String).alias("name"), "started_at")
        .drop_nulls("name")
        .group_by("name")
        .agg(
            pl.col("started_at").min().alias("first"),
            pl.col("started_at").max().alias("last"),
            pl.col("started_at").is_null().any().alias("unknown"),
        )
        .sort("first")
    )
    names = spans["name"].to_list()
    if len(names) < 2 or spans["unknown"].any() or numbered(names):
        return {}
    apart = all(one["last"] < two["first"] for one, two in pairwise(spans.to_dicts()))
    return {name: place for place, name in enumerate(names)} if apart else {}
