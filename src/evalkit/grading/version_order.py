"""Sort names and versions: naturally, or by the start of their runs."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.schema import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# 12, 1.10.2 and 2026-01-31 are one number.
_NUMBER: Final = re.compile(r"\d+(?:[._-]\d+)*")


def differ_by_number(names: Sequence[object]) -> bool:
    """Return whether names differ by their numbers only.

    >>> differ_by_number(["v1", "v2", "v10"]), differ_by_number(["base", "tuned"])
    (True, False)
    """
    stems = {_NUMBER.sub("#", str(name)) for name in names}
    return len(stems) == 1 and "#" in next(iter(stems))


def start_order(data: Any, column: str) -> dict[str, int]:
    """Return the place of each value of a column of `runs` by start time, the earliest at 0.

    Empty if the names differ by number, a start time is missing, or the runs of two values overlap.

    >>> from datetime import UTC, datetime
    >>> started = [datetime(2026, 1, day, tzinfo=UTC) for day in (9, 2)]
    >>> start_order(Evals.from_tables(runs=pl.DataFrame({"run": ["b", "a"], "started_at": started})), "run")
    {'a': 0, 'b': 1}
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
    if len(names) < 2 or spans["unknown"].any() or differ_by_number(names):
        return {}
    separate = all(before["last"] < after["first"] for before, after in pairwise(spans.to_dicts()))
    return {name: place for place, name in enumerate(names)} if separate else {}


def version_column(evals: Evals) -> str:
    """Return the column of `runs` to group by: the version if any run has one, else the run."""
    return "agent_version" if evals.runs["agent_version"].drop_nulls().len() else "run"


def natural_key(values: Iterable[object]) -> list[tuple[object, ...]]:
    """Return a key for natural order: severity, "v2" before "v10", null last."""
    return [_natural_key(value) for value in values]


def _natural_key(value: object) -> tuple[object, ...]:
    if value is None:
        return (3,)
    if value in SEVERITIES:
        return (0, -SEVERITIES.index(str(value)))
    if isinstance(value, int | float):
        return (1, value)
    parts = re.split(r"(\d+)", str(value))
    return (2, [(part, 0) if at % 2 == 0 else ("", int(part)) for at, part in enumerate(parts)], str(value))


def natural_order(column: str) -> pl.Expr:
    """Return the expression to sort a column by in natural order.

    >>> pl.DataFrame({"case": ["10", "a2", "9", "a10"]}).sort(natural_order("case"))["case"].to_list()
    ['9', '10', 'a2', 'a10']
    """
    # Pad every number to twelve digits.
    padded = pl.col(column).cast(pl.String).str.replace_all(r"(\d+)", "000000000000${1}")
    return padded.str.replace_all(r"\d*(\d{12})", "${1}")
