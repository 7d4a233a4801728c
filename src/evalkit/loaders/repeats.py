"""Two rows that are the same one: the first is kept, and the other says what it takes to keep both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from evalkit.schema import SCORES, Problem

if TYPE_CHECKING:
    from evalkit.loaders.mapping import Roles

_FILLED = {"rubric_hash": "", "sample": 1}


def drop_answers(
    frame: pl.DataFrame, roles: Roles, *, source: str, runs_known: bool
) -> tuple[pl.DataFrame, list[Problem]]:
    """Keep the first of the rows that are the same attempt: `__run`, `__case` and `__epoch`."""
    keys = {name: pl.col(f"__{name}") for name in ("run", "case", "epoch")}
    return _drop(frame, keys, _advice(roles, runs_known=runs_known), source)


def drop_judgements(
    scores: pl.DataFrame, roles: Roles, *, source: str, runs_known: bool
) -> tuple[pl.DataFrame, list[Problem]]:
    """Keep the first of the rows that are the same judgement: the key of `evalkit.schema.SCORES`."""
    keys = {
        name: pl.col(name).fill_null(_FILLED[name]) if name in _FILLED else pl.col(name)
        for name in SCORES.key
        if name in scores.columns
    }
    return _drop(scores, keys, _advice(roles, runs_known=runs_known), source)


def _drop(
    frame: pl.DataFrame, keys: dict[str, pl.Expr], advice: str, source: str
) -> tuple[pl.DataFrame, list[Problem]]:
    first = frame.select(
        pl.struct(key.alias(name) for name, key in keys.items()).is_first_distinct()
    ).to_series()
    if first.all():
        return frame, []
    line = pl.col("line")
    doubled = frame.select(*(key.alias(name) for name, key in keys.items()), line).with_columns(
        __first=line.first().over(list(keys))
    )
    problems = []
    for row in doubled.filter(~first).iter_rows(named=True):
        told = [f"{name} {row[name]!r}" for name in keys if name != "run" and row[name] != _FILLED.get(name)]
        same = f"{', '.join(told[:-1])} and {told[-1]}"
        reason = (
            f"the same {same} of run {row['run']!r} as in line {row['__first']}; the first is kept{advice}"
        )
        problems.append(Problem(source, row["line"], reason))
    return frame.filter(first), problems


def _advice(roles: Roles, *, runs_known: bool) -> str:
    """Say which column would tell such rows apart, where one may not have been named."""
    if "epoch" not in roles.columns:
        what, key = "repeats", "epoch"
    elif roles.criteria is None and "sample" not in roles.columns:
        what, key = "repeated judgements", "sample"
    else:
        return ""
    told = f"; if these are {what}, name their column: mapping={{{key!r}: ...}}"
    return told if runs_known else f"{told}, or if other versions: mapping={{'agent_version': ...}}"
