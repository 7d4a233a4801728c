"""Name runs of tables without a run column; separate runs of one name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.schema import RUNS, SCORES, TRIALS, TURNS, Key
from evalkit.util.notes import Note
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.data.evals import Evals
    from evalkit.data.schema import Table

PARTS: Final = ("agent_version", "model", "agent")
"""What tells one run from another, the most telling first."""

# Used in turn until names are unique ("a-b" of "c", and "a" of "b-c").
_SEPARATORS: Final = ("-", "/", " | ")


@dataclass(frozen=True, slots=True)
class LoadedPart:
    """The tables of one source.

    `name` prefixes its runs if another source has runs of the same name. `whole`: a file of the source is a
    complete run.
    """

    evals: Evals
    name: str | None = None
    whole: bool = False


def name_runs(columns: Mapping[Any, pl.Series], *, default: str) -> tuple[pl.Series, list[str]] | None:
    """Name each record's run by agent version, plus model and agent if they vary.

    `columns` are any of `PARTS`, as text. Return the names and the parts used; None without any.

    >>> texts = {"agent_version": pl.Series(["v1", "v2", "v2"]), "model": pl.Series(["a", "a", "b"])}
    >>> name_runs(texts, default="file")[0].to_list()
    ['v1-a', 'v2-a', 'v2-b']
    """
    frame = pl.DataFrame({name: columns[name].replace("", None) for name in PARTS if name in columns})
    parts: list[str] = []
    for name in frame.columns:
        if frame[name].null_count() == frame.height:
            continue
        within = frame.lazy().group_by(parts or pl.lit(0)).agg(pl.col(name).drop_nulls().n_unique())
        if name == "agent_version" or within.select(pl.col(name).max() > 1).collect().item():
            parts.append(name)
    if not parts:
        return None
    kinds = frame.select(parts).unique()
    names = [
        pl.concat_str(*parts, separator=separator, ignore_nulls=True).replace("", default)
        for separator in _SEPARATORS
    ]
    unique = (each for each in names if kinds.select(each.n_unique()).item() == kinds.height)
    return frame.select(next(unique, names[-1]).alias("run"))["run"], parts


def tell_apart(parts: Sequence[LoadedPart]) -> list[Evals]:
    """Prefix runs of one name with their source if their records collide.

    Lazy tables stay lazy.
    """
    tables = [part for part in parts if part.name is not None and not part.whole]
    runs = set(_colliding_runs(SCORES, [part.evals.scores.select(SCORES.key) for part in tables]))
    for table in (SCORES, TRIALS, TURNS):
        # Equal records in two files (JSON and JSON lines) are one run.
        content = [name for name in table.schema if name not in ("source", "line")]
        frames = [getattr(part.evals, table.name).select(content) for part in parts if part.whole]
        runs.update(_colliding_runs(table, frames, ignore_equal=True))
    # Two runs with equal outcomes and different times are two runs.
    starts = [part.evals.runs.select("run", "started_at").drop_nulls() for part in parts if part.whole]
    runs.update(_colliding_runs(RUNS, starts, ignore_equal=True))
    if not runs:
        return [part.evals for part in parts]
    return [
        part.evals if part.name is None else _prefix(part.evals, part.name, sorted(runs)) for part in parts
    ]


def _colliding_runs(table: Table, frames: list[Any], *, ignore_equal: bool = False) -> list[str]:
    """Return the runs with a record of the same key in two frames."""
    if len(frames) < 2:
        return []
    text = pl.col("run").cast(pl.String)
    runs = pl.concat([frame.lazy().select(text.unique()) for frame in frames]).collect()
    shared = runs.filter(runs.is_duplicated())["run"].unique()
    if shared.is_empty():
        return []
    keys = pl.concat([frame.lazy().filter(text.is_in(shared.implode())) for frame in frames])
    keys = (keys.unique() if ignore_equal else keys).group_by(table.key).len().filter(pl.col("len") > 1)
    return list(keys.select(text.unique()).collect(engine="streaming")["run"])


def _prefix(evals: Evals, name: str, runs: list[str]) -> Evals:
    text = pl.col("run").cast(pl.String)
    run = pl.when(text.is_in(runs)).then(pl.lit(f"{name}/") + text).otherwise(text).cast(Key).alias("run")
    tables: dict[str, Any] = {
        table.name: frame.with_columns(run) for table, frame in evals.tables() if "run" in table.schema
    }
    text_of_note = f"Several sources score the same cases of {join_words(runs)}. Each source is its own run."
    new = {name_of_run: f"{name}/{name_of_run}" for name_of_run in runs}
    notes = (replace(note, runs=tuple(new.get(own, own) for own in note.runs)) for note in evals.notes)
    return replace(evals, **tables, notes=(*notes, Note("runs", text_of_note)))
