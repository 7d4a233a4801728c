"""What was read before: files that have not changed are taken from the Parquet that their first reading left.

An entry is a folder under `places.cache_folder()`, called after the files (path, size, time, inode), their reader, the
tables and evalkit's version. What cannot be used of the cache is made again; nothing of it is ever an error.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data import parquet as saved
from evalkit.data.evals import Evals
from evalkit.data.schema import PROBLEMS_SCHEMA, TABLES
from evalkit.util.cache_folder import cache_folder
from evalkit.util.errors import EvalkitError
from evalkit.util.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SMALLEST: Final = 1 << 20
"""Files below this size (bytes) are read faster than it pays to keep them."""

LARGEST: Final = 4 << 30
"""What the cache may hold, in bytes; what was used longest ago goes first."""

# A file that is younger may change again without its time changing: its content is compared too.
_SETTLED: Final = 2_000_000_000
_PROBLEMS: Final = "problems"

_File = tuple[str, int, int, int]
"""A file: its path, size (bytes), time (ns) and inode."""


def fetch(
    path: Path,
    about: Iterable[str],
    make: Callable[[], tuple[Evals, dict[str, Any]]],
    *,
    beside: bool = False,
) -> tuple[Evals, dict[str, Any]]:
    """Return what `make` gives for a file or a folder, from the cache where it is there.

    Parameters
    ----------
    path
        What `make` gives may depend on nothing but this file, or what is in this folder at any depth.
    about
        What else it depends on: the reader's name, the tables.
    make
        Reads it; what it says beside the tables is kept as JSON.
    beside
        Whether what it gives depends on the other files in the folder of the file too.
    """
    try:
        files = _files(path, beside=beside)
        if sum(size for _, size, *_ in files) < SMALLEST:
            return make()
        entry = cache_folder() / "loads" / _name(path, files, about)
    except (OSError, RuntimeError):
        return make()
    found = _take(entry, files)
    if found is not None:
        return found
    made = make()
    with suppress(OSError, TypeError, pl.exceptions.PolarsError):
        if files == _files(path, beside=beside):
            _put(entry, made, files)
    return made


def _files(path: Path, *, beside: bool) -> list[_File]:
    """Return the files that count, each with what changes when it does."""
    if path.is_dir():
        found: Iterable[Path] = path.rglob("*")
    else:
        found = path.parent.iterdir() if beside else [path]
    stats = ((str(file), file.stat()) for file in found if file.is_file())
    return sorted((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats)


def _name(path: Path, files: list[_File], about: Iterable[str]) -> str:
    told: list[Any] = [str(path), str(path.resolve()), files]
    return hashlib.sha256(json.dumps([VERSION, _code(), *about, *told]).encode()).hexdigest()[:40]


@functools.cache
def _code() -> int:
    """Return when the readers were last changed: while they are worked on, the version stays the same."""
    return max(file.stat().st_mtime_ns for file in Path(__file__).parent.rglob("*.py"))


def _take(entry: Path, files: list[_File]) -> tuple[Evals, dict[str, Any]] | None:
    try:
        manifest = saved.read_manifest(entry)
        if manifest["hash"] is not None and manifest["hash"] != _hash(files):
            return None
        told = dict(manifest["told"])
        made = {
            name: saved.read_parquet(entry / f"{name}.parquet") if name in manifest["tables"] else empty
            for name, empty in _empty().items()
        }
    except (EvalkitError, KeyError, TypeError, ValueError, OSError):
        shutil.rmtree(entry, ignore_errors=True)
        return None
    if any(made[name].schema != empty.schema for name, empty in _empty().items()):
        shutil.rmtree(entry, ignore_errors=True)
        return None
    with suppress(OSError):
        os.utime(entry)
    return Evals(**made, notes=tuple(manifest["notes"]), files=tuple(manifest["files"])), told


def _put(entry: Path, given: tuple[Evals, dict[str, Any]], files: list[_File]) -> None:
    """Keep an entry: complete in a folder of its own first, so that no other process sees a part of it."""
    evals, told = given
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    try:
        frames: dict[str, pl.DataFrame] = {table.name: frame for table, frame in evals.tables()}
        frames[_PROBLEMS] = evals.problems
        full = {name: frame for name, frame in frames.items() if frame.height}
        for name, frame in full.items():
            frame.write_parquet(fresh / f"{name}.parquet", compression="lz4", statistics=False)
        doubtful = time.time_ns() - max(time_ns for _, _, time_ns, _ in files) < _SETTLED
        about = {"tables": list(full), "hash": _hash(files) if doubtful else None, "told": told}
        saved.write_manifest(fresh, notes=evals.notes, files=evals.files, **about)
        with suppress(OSError):  # another process was faster, and what it wrote is the same
            os.replace(fresh, entry)  # noqa: PTH105
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    _shrink(entry.parent)


def _shrink(folder: Path) -> None:
    """Remove what was used longest ago, until the rest fits."""
    entries = []
    for entry in folder.iterdir():
        with suppress(OSError):
            # What a process that died left half-written goes too, when it is old.
            entries.append(
                (entry.stat().st_mtime, sum(file.stat().st_size for file in entry.iterdir()), entry)
            )
    total = sum(size for _, size, _ in entries)
    for _, size, entry in sorted(entries)[:-1]:
        if total <= LARGEST:
            return
        shutil.rmtree(entry, ignore_errors=True)
        total -= size


def _empty() -> dict[str, pl.DataFrame]:
    tables: dict[str, pl.DataFrame] = {name: table.empty() for name, table in TABLES.items()}
    return {**tables, _PROBLEMS: pl.DataFrame(schema=PROBLEMS_SCHEMA)}


def _hash(files: list[_File]) -> str:
    made = hashlib.sha256()
    for name, *_ in files:
        with Path(name).open("rb") as file:
            made.update(hashlib.file_digest(file, "sha256").digest())
    return made.hexdigest()
