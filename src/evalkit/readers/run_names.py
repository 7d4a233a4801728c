"""What the runs of a table are called where no column says it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.schema import SCORES, TRIALS, TURNS, Key
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.data.evals import Evals
    from evalkit.data.schema import Table

PARTS: Final = ("agent_version", "model", "agent")
"""What tells one run from another, the most telling first."""

# One after the other until no two runs get the same name ("a-b" of "c", and "a" of "b-c").
_BETWEEN: Final = ("-", "/", " | ")


@dataclass(frozen=True, slots=True)
class Part:
    """What one source gave, the source's name where its runs may need it, and whether it holds its runs whole."""

    evals: Evals
    name: str | None = None
    whole: bool = False


def name_runs(given: Mapping[str, pl.Series], *, otherwise: str) -> tuple[pl.Series, list[str]] | None:
    """Name the run of each record after the agent's version, and after the model and the agent where they vary.

    Parameters
    ----------
    given
        Any of `PARTS`, as text.
    otherwise
        The run of a record that has none of them.

    Returns
    -------
    tuple
        The names, and what they are made of; None where nothing tells runs apart.

    Examples
    --------
    >>> texts = {"agent_version": pl.Series(["v1", "v2", "v2"]), "model": pl.Series(["a", "a", "b"])}
    >>> name_runs(texts, otherwise="file")[0].to_list()
    ['v1-a', 'v2-a', 'v2-b']
    """
    frame = pl.DataFrame({name: given[name].replace("", None) for name in PARTS if name in given})
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
    tried = [
        pl.concat_str(*parts, separator=between, ignore_nulls=True).replace("", otherwise)
        for between in _BETWEEN
    ]
    clear = (names for names in tried if kinds.select(names.n_unique()).item() == kinds.height)
    return frame.select(next(clear, tried[-1]).alias("run"))["run"], parts


def tell_apart(parts: Sequence[Part]) -> list[Evals]:
    """Return what each source gave; runs of one name whose judgements meet are called after their sources too.

    Trials, turns and scores may be lazy, and stay so.
    """
    tables = [part for part in parts if part.name is not None and not part.whole]
    doubled = set(_meeting(SCORES, [part.evals.scores.select(SCORES.key) for part in tables]))
    for table in (SCORES, TRIALS, TURNS):
        # The same records in two files (a run saved as JSON and as JSON lines) are the same run.
        content = [name for name in table.schema if name not in ("source", "line")]
        frames = [getattr(part.evals, table.name).select(content) for part in parts if part.whole]
        doubled.update(_meeting(table, frames, same=True))
    if not doubled:
        return [part.evals for part in parts]
    return [
        part.evals if part.name is None else _prefix(part.evals, part.name, sorted(doubled)) for part in parts
    ]


def _meeting(table: Table, frames: list[Any], *, same: bool = False) -> list[str]:
    """Return the runs of which two frames have a record of the same key; not of the same content, where that is the same."""
    if len(frames) < 2:
        return []
    text = pl.col("run").cast(pl.String)
    runs = pl.concat([frame.lazy().select(text.unique()) for frame in frames]).collect()
    shared = runs.filter(runs.is_duplicated())["run"].unique()
    if shared.is_empty():
        return []
    keys = pl.concat([frame.lazy().filter(text.is_in(shared.implode())) for frame in frames])
    keys = (keys.unique() if same else keys).group_by(table.key).len().filter(pl.col("len") > 1)
    return list(keys.select(text.unique()).collect(engine="streaming")["run"])


def _prefix(evals: Evals, name: str, runs: list[str]) -> Evals:
    text = pl.col("run").cast(pl.String)
    renamed = pl.when(text.is_in(runs)).then(pl.lit(f"{name}/") + text).otherwise(text).cast(Key)
    tables: dict[str, Any] = {
        table.name: frame.with_columns(renamed.alias("run"))
        for table, frame in evals.tables()
        if "run" in table.schema
    }
    note = (
        f"Several sources judge the same cases of {join_words(runs)}: each source is a run of its own there."
    )
    return replace(evals, **tables, notes=(*evals.notes, note))
