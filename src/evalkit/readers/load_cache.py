"""Cache parsed files as Parquet, keyed by file state, reader, tables and version."""

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

from evalkit.data import parquet
from evalkit.data.evals import Evals
from evalkit.data.schema import PROBLEMS_SCHEMA, TABLES
from evalkit.util.cache_folder import cache_folder
from evalkit.util.errors import EvalkitError, FormatError
from evalkit.util.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SMALLEST: Final = 1 << 20
"""Smaller files (bytes) are faster to read than to cache."""

LARGEST: Final = 4 << 30
"""The size limit of the cache in bytes; the entries used longest ago are removed first."""

# A younger file may change within the clock's resolution: compare its content too.
_SETTLED_NS: Final = 2_000_000_000

_File = tuple[str, int, int, int, int]
"""A file: its path, size (bytes), time of its content and of its last change (ns), and inode."""
_Result = tuple[Evals, dict[str, Any]]


def fetch(path: Path, key: Iterable[str], make: Callable[[], _Result], *, beside: bool = False) -> _Result:
    """Return the tables of a file or folder, from the cache if possible.

    `make` may depend on `path` and `key` only, or with `beside` on the other files of its folder too. It
    never raises because of the cache: an unusable entry is rebuilt.
    """
    try:
        files = _files(path, beside=beside)
        if sum(size for _, size, *_ in files) < SMALLEST:
            return make()
        names = [VERSION, _code_time(), *key, str(path), str(path.resolve()), files]
        entry = cache_folder() / "loads" / hashlib.sha256(json.dumps(names).encode()).hexdigest()[:40]
    except (OSError, RuntimeError, FormatError):
        return make()
    cached = _take(entry, files)
    if cached is not None:
        return cached
    result = make()
    with suppress(OSError, TypeError, pl.exceptions.PolarsError):
        if files == _files(path, beside=beside):
            _put(entry, *result, files)
    return result


def _files(path: Path, *, beside: bool) -> list[_File]:
    paths: Iterable[Path] = [path]
    if path.is_dir():
        paths = path.rglob("*")
    elif beside:
        paths = path.parent.iterdir()
    stats = ((str(file), file.stat()) for file in paths if file.is_file())
    return sorted(
        (name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino) for name, stat in stats
    )


@functools.cache
def _code_time() -> int:
    """Return the time of the last change to the readers."""
    return max(file.stat().st_mtime_ns for file in Path(__file__).parent.rglob("*.py"))


def _take(entry: Path, files: list[_File]) -> _Result | None:
    schemas: dict[str, Any] = {
        **{name: table.schema for name, table in TABLES.items()},
        "problems": PROBLEMS_SCHEMA,
    }
    try:
        manifest = parquet.read_manifest(entry)
        if manifest["hash"] is not None and manifest["hash"] != _hash(files):
            return None
        frames: dict[str, Any] = {
            name: parquet.read_parquet(entry / f"{name}.parquet")
            if name in manifest["tables"]
            else pl.DataFrame(schema=schema)
            for name, schema in schemas.items()
        }
        if any(frames[name].schema != schema for name, schema in schemas.items()):
            raise ValueError("an older schema")
        evals = Evals(**frames, notes=parquet.notes_of(manifest), files=tuple(manifest["files"]))
        facts = dict(manifest["facts"])
    except (EvalkitError, KeyError, TypeError, ValueError, OSError):
        shutil.rmtree(entry, ignore_errors=True)
        return None
    with suppress(OSError):
        os.utime(entry)
    return evals, facts


def _put(entry: Path, evals: Evals, facts: dict[str, Any], files: list[_File]) -> None:
    """Save an entry, renamed when complete: other processes never see a part of it."""
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    try:
        frames: dict[str, pl.DataFrame] = {
            **{table.name: frame for table, frame in evals.tables()},
            "problems": evals.problems,
        }
        frames = {name: frame for name, frame in frames.items() if frame.height}
        for name, frame in frames.items():
            frame.write_parquet(fresh / f"{name}.parquet", compression="lz4", statistics=False)
        age_ns = time.time_ns() - max(max(times) for _, _, *times, _ in files)
        digest = _hash(files) if age_ns < _SETTLED_NS else None
        parquet.write_manifest(fresh, evals.notes, evals.files, tables=list(frames), hash=digest, facts=facts)
        with suppress(OSError):  # another process was faster, and wrote the same
            os.replace(fresh, entry)  # noqa: PTH105
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    _shrink(entry.parent)


def _shrink(folder: Path) -> None:
    entries = []
    for entry in folder.iterdir():
        with suppress(OSError):
            # Also removes old unfinished entries of crashed processes.
            size = sum(file.stat().st_size for file in entry.iterdir())
            entries.append((entry.stat().st_mtime, size, entry))
    total = sum(size for _, size, _ in entries)
    for _, size, entry in sorted(entries)[:-1]:
        if total <= LARGEST:
            return
        shutil.rmtree(entry, ignore_errors=True)
        total -= size


def _hash(files: list[_File]) -> str:
    digest = hashlib.sha256()
    for name, *_ in files:
        with Path(name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
