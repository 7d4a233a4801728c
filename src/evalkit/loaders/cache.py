"""What was read before: a file that has not changed is taken from the Parquet that its first reading left.

An entry is a folder under `places.cache_dir()`, called after the file (path, size, time, inode), its reader, the
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

from evalkit import saved
from evalkit.errors import EvalkitError
from evalkit.evals import Evals
from evalkit.places import cache_dir
from evalkit.schema import PROBLEMS_SCHEMA, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SMALLEST: Final = 1 << 20
"""Files below this size (bytes) are read faster than it pays to keep them."""

LARGEST: Final = 4 << 30
"""What the cache may hold, in bytes; what was used longest ago goes first."""

# A file that is younger may change again without its time changing: its content is compared too.
_SETTLED: Final = 2.0
_PROBLEMS: Final = "problems"


def fetch(path: Path, about: Iterable[str], make: Callable[[], Evals]) -> Evals:
    """Return what `make` gives for a file, from the cache where it is there.

    Parameters
    ----------
    path
        The file; what `make` gives may depend on nothing else.
    about
        What else it depends on: the reader's name, the tables.
    make
        Reads the file.
    """
    try:
        stat = path.stat()
        if stat.st_size < SMALLEST:
            return make()
        entry = cache_dir() / "loads" / _name(path, stat, about)
    except (OSError, RuntimeError):
        return make()
    found = _take(entry, path)
    if found is not None:
        return found
    evals = make()
    with suppress(OSError, pl.exceptions.PolarsError):
        if _same(stat, path.stat()):
            _put(entry, evals, path, stat)
    return evals


def _name(path: Path, stat: os.stat_result, about: Iterable[str]) -> str:
    from evalkit import __version__

    told: list[Any] = [str(path), str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino]
    return hashlib.sha256(json.dumps([__version__, _code(), *about, *told]).encode()).hexdigest()[:40]


@functools.cache
def _code() -> int:
    """Return when the readers were last changed: while they are worked on, the version stays the same."""
    return max(file.stat().st_mtime_ns for file in Path(__file__).parent.glob("*.py"))


def _take(entry: Path, path: Path) -> Evals | None:
    try:
        manifest = saved.read_manifest(entry)
        if manifest["hash"] is not None and manifest["hash"] != _hash(path):
            return None
        made = {
            name: saved.read_parquet(entry / f"{name}.parquet") if name in manifest["tables"] else empty
            for name, empty in _empty().items()
        }
    except (EvalkitError, KeyError, TypeError, OSError):
        shutil.rmtree(entry, ignore_errors=True)
        return None
    if any(made[name].schema != empty.schema for name, empty in _empty().items()):
        shutil.rmtree(entry, ignore_errors=True)
        return None
    with suppress(OSError):
        os.utime(entry)
    return Evals(**made, notes=tuple(manifest["notes"]), files=tuple(manifest["files"]))


def _put(entry: Path, evals: Evals, path: Path, stat: os.stat_result) -> None:
    """Keep an entry: complete in a folder of its own first, so that no other process sees a part of it."""
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    try:
        frames: dict[str, pl.DataFrame] = {table.name: frame for table, frame in evals.tables()}
        frames[_PROBLEMS] = evals.problems
        full = {name: frame for name, frame in frames.items() if frame.height}
        for name, frame in full.items():
            frame.write_parquet(fresh / f"{name}.parquet", compression="lz4", statistics=False)
        doubtful = time.time() - stat.st_mtime < _SETTLED
        told = {"tables": list(full), "hash": _hash(path) if doubtful else None}
        saved.write_manifest(fresh, notes=evals.notes, files=evals.files, **told)
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


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_size, one.st_mtime_ns, one.st_ino) == (other.st_size, other.st_mtime_ns, other.st_ino)
