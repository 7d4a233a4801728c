"""Convert files into one saved folder with bounded memory."""

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
from evalkit.readers import find_files, read_files, registry
from evalkit.readers.run_names import LoadedPart, tell_apart
from evalkit.util.atomic_files import replace_folder
from evalkit.util.notes import Note, merge_notes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.data.schema import Table, TableName
    from evalkit.readers.base import ReadPlan
    from evalkit.readers.column_mapping import Mapping

_LARGE: Final[tuple[TableName, ...]] = ("trials", "turns", "scores")


def save(
    sources: Iterable[str | Path], folder: str | Path, *, mapping: Mapping | None = None
) -> Evals | None:
    """Save the sources as `Evals.save` would, file by file.

    Return the small tables, and lazy frames over the saved large ones; None, with nothing saved, if no file
    is readable.
    """
    folder = Path(folder)
    readers, notes = registry.readers()
    with find_files.find(list(sources), mapping, readers) as plan:
        return _save(plan, folder, notes) if plan.files else None


def _save(plan: ReadPlan, folder: Path, notes: list[Note]) -> Evals:
    saved.check_target(folder)
    with replace_folder(folder) as fresh:
        parts_folder = fresh / "parts"
        parts_folder.mkdir()
        parts = [
            _store(part, parts_folder, number)
            for number, part in enumerate(read_files.read(plan, read_files.Wanted()))
        ]
        small = _combine(parts, parts_folder, [*notes, *find_files.skipped_note(plan.skipped)])
        frames: dict[str, pl.DataFrame] = {table.name: frame for table, frame in small.tables()}
        saved.write(fresh, {**frames, "problems": small.problems}, notes=small.notes, files=small.files)
        for name in _LARGE:
            paths = sorted(parts_folder.glob(f"{name}-*"))
            if paths:
                _join(paths, fresh / f"{name}.parquet")
        shutil.rmtree(parts_folder)
    lazy: dict[str, Any] = {name: pl.scan_parquet(folder / f"{name}.parquet") for name in _LARGE}
    return replace(small, **lazy)


def _store(part: LoadedPart, folder: Path, number: int) -> LoadedPart:
    """Write the large tables of one file; return it with lazy frames of them."""
    lazy: dict[str, Any] = {}
    for name in _LARGE:
        frame, path = getattr(part.evals, name), _path(folder, name, number)
        if frame.height:
            frame.write_parquet(path)
            lazy[name] = pl.scan_parquet(path)
    return replace(part, evals=replace(part.evals, **lazy))


def _combine(parts: list[LoadedPart], folder: Path, notes: list[Note]) -> Evals:
    """Apply the steps of `load` across files to the stored ones; return the small tables."""
    all_evals = tell_apart(parts)
    empty: dict[str, Any] = {name: TABLES[name].empty() for name in _LARGE}
    small = Evals.concat([Evals.from_tables(notes=notes), *(replace(evals, **empty) for evals in all_evals)])
    repeated, clashes = {}, list[Problem]()
    for name in _LARGE:
        repeated[name], merged, more = _merge(TABLES[name], [getattr(evals, name) for evals in all_evals])
        clashes += more
        if merged.height:
            all_evals = [*all_evals, replace(small, **{**empty, name: merged})]
    problems = [small.problems]
    for number, evals in enumerate(all_evals):
        is_stored = number < len(parts)
        unchanged = is_stored and evals is parts[number].evals
        for name in _LARGE:
            frame = getattr(evals, name)
            keys = repeated[name] if is_stored else None
            if not isinstance(frame, pl.LazyFrame) and frame.is_empty():
                continue
            if keys is not None:
                frame = frame.lazy().join(keys.lazy(), on=keys.columns, how="anti", maintain_order="left")
            if name == "scores":
                frame = frame.lazy().collect()
                checked = within_scale(replace(small, scores=frame, problems=small.problems.clear()))
                problems.append(checked.problems)
                unchanged, frame = unchanged and checked.scores is frame, checked.scores
            if not unchanged or keys is not None:
                _rewrite(frame.lazy().collect(), _path(folder, name, number))
    problems.append(Evals.from_tables(problems=clashes).problems)
    small = replace(small, problems=pl.concat(problems).unique(maintain_order=True))
    return replace(in_line_order(small), notes=merge_notes(small.notes))


def _merge(table: Table, frames: list[Any]) -> tuple[pl.DataFrame | None, pl.DataFrame, list[Problem]]:
    """Return the keys that several files share, and their merged rows.

    The turns of a trial are merged as one.
    """
    key = list(TRIALS.key if table.name == "turns" else table.key)
    lazy = [frame for frame in frames if isinstance(frame, pl.LazyFrame)]
    nothing = None, table.empty(), list[Problem]()
    if len(lazy) < 2:
        return nothing
    runs = pl.concat([frame.select(pl.col("run").unique()) for frame in lazy]).collect()
    shared = runs.filter(runs.is_duplicated())["run"].unique()
    if shared.is_empty():
        return nothing
    is_shared = pl.col("run").is_in(shared.implode())
    keys = pl.concat([frame.select(key).filter(is_shared).unique() for frame in lazy])
    repeated = keys.group_by(key).len().filter(pl.col("len") > 1).select(key).collect(engine="streaming")
    if repeated.is_empty():
        return nothing
    rows = [
        frame.join(repeated.lazy(), on=key, how="semi", maintain_order="left").collect() for frame in lazy
    ]
    return repeated, *table.union_all(rows)


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:06}.parquet"


def _rewrite(frame: pl.DataFrame, path: Path) -> None:
    path.unlink(missing_ok=True)
    if frame.height:
        frame.write_parquet(path)


def _join(parts: list[Path], path: Path) -> None:
    """Concatenate Parquet files by row group; polars would hold several in memory."""
    from pyarrow import parquet

    with parquet.ParquetWriter(path, parquet.read_schema(parts[0]), compression="zstd") as writer:
        for part in parts:
            with parquet.ParquetFile(part) as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group))
            part.unlink()
