"""From any number of files into one saved folder, a few files in memory at a time."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data import parquet as saved
from evalkit.data.evals import Evals
from evalkit.data.folder import in_line_order, within_scale
from evalkit.data.schema import TABLES, TRIALS, Problem
from evalkit.readers import find_files, registry
from evalkit.readers import read_files as reading
from evalkit.readers.run_names import Part, tell_apart

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.data.schema import Table, TableName
    from evalkit.readers.column_mapping import Mapping

_LARGE: Final[tuple[TableName, ...]] = ("trials", "turns", "scores")


def save(
    sources: Iterable[str | Path], folder: str | Path, *, mapping: Mapping | None = None
) -> Evals | None:
    """Write what is in the sources as `Evals.save` would, file by file.

    Parameters
    ----------
    sources
        Paths, globs or folders, as for `load`.
    folder
        As for `Evals.save`.
    mapping
        As for `load`, checked.

    Returns
    -------
    Evals or None
        What is small of it: cases, criteria, runs, problems and notes; the other tables are lazy frames over
        what was written. None, and nothing is written, where there is no file that can be read.
    """
    folder = Path(folder)
    known, notes = registry.readers()
    plan = find_files.find(list(sources), mapping, known)
    if not plan.found:
        return None
    saved.check_target(folder)
    with saved.replacing(folder) as fresh:
        held = fresh / "parts"
        held.mkdir()
        parts = [_hold(part, held, at) for at, part in enumerate(reading.read(plan, reading.Wanted()))]
        small = _settle(parts, held, [*notes, *find_files.passed_over(plan.skipped)])
        frames: dict[str, pl.DataFrame] = {table.name: frame for table, frame in small.tables()}
        saved.write(fresh, {**frames, "problems": small.problems}, notes=small.notes, files=small.files)
        for name in _LARGE:
            paths = sorted(held.glob(f"{name}-*"))
            if paths:
                _join(paths, fresh / f"{name}.parquet")
        shutil.rmtree(held)
    lazy: dict[str, Any] = {name: pl.scan_parquet(folder / f"{name}.parquet") for name in _LARGE}
    return replace(small, **lazy)


def _hold(part: Part, folder: Path, at: int) -> Part:
    """Write the large tables of one file, and return it with lazy frames of them."""
    lazy: dict[str, Any] = {}
    for name in _LARGE:
        frame, path = getattr(part.evals, name), _path(folder, name, at)
        lazy[name] = frame
        if frame.height:
            frame.write_parquet(path)
            lazy[name] = pl.scan_parquet(path)
    return replace(part, evals=replace(part.evals, **lazy))


def _settle(parts: list[Part], folder: Path, notes: list[str]) -> Evals:
    """Do with what is held what `load` does with all at once, a file at a time; return what is small of it."""
    told = tell_apart(parts)
    empty: dict[str, Any] = {name: TABLES[name].empty() for name in _LARGE}
    small = Evals.concat([Evals.from_tables(notes=notes), *(replace(evals, **empty) for evals in told)])
    doubled, problems = {}, list[Problem]()
    for name in _LARGE:
        doubled[name], merged, clashes = _merge(TABLES[name], [getattr(evals, name) for evals in told])
        problems += clashes
        if merged.height:
            told = [*told, replace(small, **{**empty, name: merged})]
    said = [small.problems]
    for at, evals in enumerate(told):
        as_held = at < len(parts) and evals is parts[at].evals
        for name in _LARGE:
            frame = getattr(evals, name)
            again = doubled[name] if at < len(parts) else None
            if not isinstance(frame, pl.LazyFrame) and frame.is_empty():
                continue
            if again is not None:
                on = again.columns
                frame = frame.lazy().join(again.lazy(), on=on, how="anti", maintain_order="left")
            if name == "scores":
                frame = frame.lazy().collect()
                checked = within_scale(replace(small, scores=frame, problems=small.problems.clear()))
                said.append(checked.problems)
                as_held, frame = as_held and checked.scores is frame, checked.scores
            if not (as_held and again is None):
                _write(frame.lazy().collect(), _path(folder, name, at))
    clashes_told = Evals.from_tables(problems=problems).problems
    small = replace(small, problems=pl.concat([*said, clashes_told]).unique(maintain_order=True))
    return replace(in_line_order(small), notes=find_files.in_few_words(small.notes, small.files))


def _merge(table: Table, frames: list[Any]) -> tuple[pl.DataFrame | None, pl.DataFrame, list[Problem]]:
    """Return the keys that several files have rows of, and these rows as `Table.union_all` makes one of them.

    Of turns it is the trial that counts, so that its turns stay together.
    """
    key = list(TRIALS.key if table.name == "turns" else table.key)
    lazy = [frame for frame in frames if isinstance(frame, pl.LazyFrame)]
    if len(lazy) < 2:
        return None, table.empty(), []
    runs = pl.concat([frame.select(pl.col("run").unique()) for frame in lazy]).collect()
    shared = runs.filter(runs.is_duplicated())["run"].unique()
    if shared.is_empty():
        return None, table.empty(), []
    keys = pl.concat(
        [frame.select(key).filter(pl.col("run").is_in(shared.implode())).unique() for frame in lazy]
    )
    doubled = keys.group_by(key).len().filter(pl.col("len") > 1).select(key).collect(engine="streaming")
    if doubled.is_empty():
        return None, table.empty(), []
    rows = [frame.join(doubled.lazy(), on=key, how="semi", maintain_order="left").collect() for frame in lazy]
    return doubled, *table.union_all(rows)


def _path(folder: Path, name: str, at: int) -> Path:
    return folder / f"{name}-{at:06}.parquet"


def _write(frame: pl.DataFrame, path: Path) -> None:
    """Write a table of a file in place of what was held of it."""
    path.unlink(missing_ok=True)
    if frame.height:
        frame.write_parquet(path)


def _join(parts: list[Path], path: Path) -> None:
    """Put Parquet files one behind the other, a row group at a time: polars would hold several at once."""
    from pyarrow import parquet

    with parquet.ParquetWriter(path, parquet.read_schema(parts[0]), compression="zstd") as writer:
        for part in parts:
            with parquet.ParquetFile(part) as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group))
            part.unlink()
