"""From any number of files into one saved folder, a few files in memory at a time."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit import saved
from evalkit.evals import Evals
from evalkit.loaders import core, reading
from evalkit.native import in_line_order, within_scale
from evalkit.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.loaders.mapping import Mapping
    from evalkit.schema import Problem

_LARGE: Final = ("trials", "turns", "scores")


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
        what was written. None, and nothing is written, where a file is a table of judge scores: what its runs
        are called depends on all the others, so that such files are read together.
    """
    folder = Path(folder)
    known, notes = core.readers()
    plan = core.find(list(sources), mapping, known)
    if any(found.reader.rows is not None for found in plan.found) or not plan.found:
        return None
    saved.check_target(folder)
    with saved.replacing(folder) as fresh:
        made = _Growing(fresh, notes)
        for part in reading.read(plan, reading.Wanted()):
            made.add(part.evals)
        small = made.close(plan.skipped)
    lazy: dict[str, Any] = {name: pl.scan_parquet(folder / f"{name}.parquet") for name in _LARGE}
    return replace(small, **lazy)


class _Growing:
    """A saved folder while it grows: the small tables in memory, the large ones a file a part."""

    def __init__(self, folder: Path, notes: list[str]) -> None:
        self.folder = folder
        self.small = Evals.from_tables()
        self.notes = notes
        self.problems: list[Problem] = []
        self.parts: dict[str, list[Path]] = {name: [] for name in _LARGE}
        # Table -> run -> the parts that have rows of it: only these can hold a key again.
        self.runs: dict[str, dict[str, list[Path]]] = {name: {} for name in _LARGE}
        (folder / "parts").mkdir()

    def add(self, evals: Evals) -> None:
        """Write the rows of one file, and keep what is small of it."""
        empty: dict[str, Any] = {name: TABLES[name].empty() for name in _LARGE}
        self.small = Evals.concat([self.small, replace(evals, **empty)])
        told = within_scale(
            replace(evals, cases=self.small.cases, criteria=self.small.criteria, runs=self.small.runs)
        )
        if told.problems.height > evals.problems.height:
            self.small = Evals.concat([self.small, replace(told, **empty)])
        for name in _LARGE:
            frame = self._new(name, getattr(told, name))
            if frame.is_empty():
                continue
            path = self.folder / "parts" / f"{name}-{len(self.parts[name]):06}.parquet"
            frame.write_parquet(path)
            self.parts[name].append(path)
            for run in frame["run"].unique():
                self.runs[name].setdefault(run, []).append(path)

    def _new(self, name: Any, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows whose key was not written before."""
        runs = self.runs[name]
        again = [run for run in frame["run"].unique() if run in runs] if runs else []
        if not again:
            return frame
        table = TABLES[name]
        where = sorted({path for run in again for path in runs[run]})
        before = pl.scan_parquet(where).filter(pl.col("run").is_in(again)).collect()
        _, clashes = table.union(before, frame)
        self.problems += clashes
        return frame.join(before.select(table.key), on=list(table.key), how="anti", maintain_order="left")

    def close(self, skipped: list[Path]) -> Evals:
        """Put the parts together, and write the rest."""
        told = Evals.from_tables(problems=self.problems)
        head = Evals.from_tables(notes=[*self.notes, *core.passed_over(skipped)])
        small = in_line_order(Evals.concat([head, self.small, told]))
        frames: dict[str, pl.DataFrame] = {table.name: frame for table, frame in small.tables()}
        small = replace(small, notes=core.in_few_words(small.notes, small.files))
        saved.write(self.folder, {**frames, "problems": small.problems}, notes=small.notes, files=small.files)
        for name, paths in self.parts.items():
            if paths:
                _join(paths, self.folder / f"{name}.parquet")
        shutil.rmtree(self.folder / "parts")
        return small


def _join(parts: list[Path], path: Path) -> None:
    """Put Parquet files one behind the other, a row group at a time: polars would hold several at once."""
    from pyarrow import parquet

    with parquet.ParquetWriter(path, parquet.read_schema(parts[0]), compression="zstd") as writer:
        for part in parts:
            with parquet.ParquetFile(part) as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group))
            part.unlink()
