"""Save tables as Parquet in a folder with a manifest."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl

from evalkit.data.schema import PROBLEMS_SCHEMA, TABLES
from evalkit.util.atomic_files import is_free, restore_folder
from evalkit.util.errors import FormatError, PathError
from evalkit.util.notes import Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MANIFEST: Final = "evalkit.json"
"""The file of a saved folder that marks it as evalkit's."""

# The format version of a saved folder; a newer one is refused.
_VERSION: Final = 1


def check_target(folder: Path) -> None:
    """Raise `FormatError` if a folder has files of other origin."""
    if not is_free(folder) and not (folder.is_dir() and (folder / MANIFEST).exists()):
        raise FormatError(
            f"{str(folder)!r} holds files that evalkit did not save. Name a new or an empty folder."
        )


def write(folder: Path, tables: Mapping[str, Any], *, notes: Iterable[Note], files: Iterable[str]) -> None:
    """Write tables and `problems` into an existing folder; lazy ones are streamed."""
    for name, frame in tables.items():
        path = folder / f"{name}.parquet"
        if isinstance(frame, pl.LazyFrame):
            frame.sink_parquet(path)
        else:
            frame.write_parquet(path)
    write_manifest(folder, notes, files)


def write_manifest(folder: Path, notes: Iterable[Note], files: Iterable[str], **more: Any) -> None:
    """Write the manifest of a saved folder."""
    manifest = {"evalkit": _VERSION, "notes": list(map(asdict, notes)), "files": list(files), **more}
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a saved folder.

    Raise `PathError` for a missing folder, `FormatError` for one of other origin or a newer evalkit.
    """
    restore_folder(folder)
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
            f"{str(folder)!r} was saved by a newer evalkit (format {version}). This one reads {_VERSION}."
        )
    return cast("dict[str, Any]", manifest)


def notes_of(manifest: dict[str, Any]) -> tuple[Note, ...]:
    """Return the notes of a manifest; older ones have plain text."""
    return tuple(
        Note(
            *(note["kind"], note["text"], tuple(note["files"]), tuple(note.get("runs", ()))),
            tuple(map(tuple, note.get("records", ()))),
        )
        if isinstance(note, dict)
        else Note("note", note)
        for note in manifest["notes"]
    )


def read(folder: Path, tables: Iterable[str] = tuple(TABLES)) -> tuple[dict[str, Any], pl.DataFrame]:
    """Return the named tables, checked, and the problems."""
    wanted = set(tables)
    frames: dict[str, Any] = {
        name: table.check(read_parquet(folder / f"{name}.parquet")) if name in wanted else table.empty()
        for name, table in TABLES.items()
    }
    return frames, read_parquet(folder / "problems.parquet").cast(cast("Any", PROBLEMS_SCHEMA))


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet file, or some of its columns.

    Raise `PathError` for a missing file, `FormatError` for an unreadable one.
    """
    try:
        return pl.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise PathError.missing(path) from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise FormatError(f"{str(path)!r} is not readable Parquet: {str(error).splitlines()[0]}") from None
