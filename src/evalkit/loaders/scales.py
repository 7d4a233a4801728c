"""Scales that a mapping declares for criteria of files that declare none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from evalkit.schema import CRITERIA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalkit.evals import Evals


def declare(evals: Evals, scales: Mapping[str, tuple[float, float]]) -> Evals:
    """Return the evals with a scale for each criterion that has none and is not pass or fail; the same where none is.

    Parameters
    ----------
    evals
        What was read of a file.
    scales
        Criterion (or `""`: all others) -> lowest and highest score.

    Examples
    --------
    >>> from evalkit.evals import Evals
    >>> evals = Evals.from_tables(
    ...     scores=pl.DataFrame({"run": "a", "case": "1", "criterion": "tone", "score": 0.5})
    ... )
    >>> declare(evals, {"": (0, 1)}).criteria.select("criterion", "scale_min", "scale_max").row(0)
    ('tone', 0.0, 1.0)
    """
    keys = ["suite", "criterion"]
    suites = evals.runs.select("run", "suite") if evals.runs.height else None
    used = evals.scores.select("run", "criterion").unique()
    named = (
        used.join(suites, on="run", how="left")
        if suites is not None
        else used.with_columns(suite=pl.lit(None))
    )
    named = named.select(
        pl.col("suite").cast(pl.String).fill_null(""), pl.col("criterion").cast(pl.String)
    ).unique()
    known = evals.criteria.with_columns(pl.col(keys).cast(pl.String))
    both = pl.concat([known, named.join(known, on=keys, how="anti").sort(keys)], how="diagonal_relaxed")
    names = both["criterion"].to_list()
    told = [scales.get(name, scales.get("", (None, None))) for name in names]
    free = pl.col("scale_min").is_null() & pl.col("kind").cast(pl.String).ne_missing("binary")
    new = pl.Series([one[0] is not None for one in told], dtype=pl.Boolean)
    if not both.select((free & new).any()).item():
        return evals
    made = both.with_columns(
        pl.when(free)
        .then(pl.Series([one[at] for one in told], dtype=pl.Float64))
        .otherwise(pl.col(end))
        .alias(end)
        for at, end in enumerate(("scale_min", "scale_max"))
    )
    return replace(
        evals, criteria=made.select(pl.col(name).cast(dtype) for name, dtype in CRITERIA.schema.items())
    )
