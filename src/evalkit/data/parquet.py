"""Tables as Parquet files in a folder, one a table, with a file that says that evalkit wrote them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl

from evalkit.data.schema import PROBLEMS_SCHEMA, TABLES
from evalkit.util.errors import FormatError, PathError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MANIFEST: Final = "evalkit.json"
"""The file in a saved folder that says that evalkit wrote it."""

# The format of a saved folder; a reader refuses a newer one.
_VERSION: Final = 1


def check_target(folder: Path) -> None:
    """Refuse a folder that holds what evalkit did not write.

    Raises
    ------
    FormatError
        It does.
    """
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / MANIFEST).exists())
    ):
        raise FormatError(
            f"{str(folder)!r} holds files that evalkit did not save; name a new or an empty folder."
        )


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder to write into, which stands in place of `folder` when all went well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    fresh.chmod(0o755)
    try:
        yield fresh
        _swap(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write(
    folder: Path,
    tables: Mapping[str, Any],
    *,
    notes: Iterable[str],
    files: Iterable[str],
) -> None:
    """Write tables (and `problems`) into a folder that is there; a lazy one is written as it is read."""
    for name, frame in tables.items():
        path = folder / f"{name}.parquet"
        if isinstance(frame, pl.LazyFrame):
            frame.sink_parquet(path)
        else:
            frame.write_parquet(path)
    write_manifest(folder, notes=notes, files=files)


def write_manifest(folder: Path, *, notes: Iterable[str], files: Iterable[str], **more: Any) -> None:
    """Write the file that says who wrote the folder."""
    manifest = {"evalkit": _VERSION, "notes": list(notes), "files": list(files), **more}
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the notes and files of a saved folder.

    Raises
    ------
    PathError
        There is no such folder.
    FormatError
        evalkit did not write it, or a newer one did.
    """
    if not folder.exists():
        raise PathError.missing(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = manifest["evalkit"]
    except (OSError, ValueError, KeyError, TypeError):
        raise FormatError(
            f"{str(folder)!r} was not written by Evals.save: it has no readable {MANIFEST}."
        ) from None
    if version > _VERSION:
        raise FormatError(
            f"{str(folder)!r} was saved by a newer evalkit (format {version}); this one reads {_VERSION}."
        )
    return cast("dict[str, Any]", manifest)


def read(folder: Path, tables: Iterable[str] = tuple(TABLES)) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Return the tables that are asked for, checked, and the problems."""
    wanted = set(tables)
    made: dict[str, pl.DataFrame] = {
        name: table.check(read_parquet(folder / f"{name}.parquet")) if name in wanted else table.empty()
        for name, table in TABLES.items()
    }
    return made, read_parquet(folder / "problems.parquet").cast(cast("Any", PROBLEMS_SCHEMA))


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read one Parquet file, or some columns of it.

    Raises
    ------
    PathError
        It is not there.
    FormatError
        It cannot be read.
    """
    try:
        return pl.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise PathError.missing(path) from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise FormatError(f"{str(path)!r} is not readable Parquet: {str(error).splitlines()[0]}") from None


def _swap(fresh: Path, folder: Path) -> None:
    """Put `fresh` where `folder` is; what was there goes only when the new one stands."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        os.replace(folder, old)  # noqa: PTH105  (an empty folder is replaced in one step)
        try:
            os.replace(fresh, folder)  # noqa: PTH105
        except OSError:
            os.replace(old, folder)  # noqa: PTH105
            raise
        shutil.rmtree(old)
    else:
        os.replace(fresh, folder)  # noqa: PTH105
