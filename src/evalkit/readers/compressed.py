"""Unpack compressed files (gzip, zstd) before they are read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.util.errors import FormatError
from evalkit.util.format import bytes_size

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_SUFFIXES: Final = (".gz", ".zst", ".zstd", ".gzip")
_CHUNK: Final = 1 << 20
_MOST_BYTES: Final = 1 << 32


def codec_of(head: bytes) -> str | None:
    """Return "gzip" or "zstd" by a file's first bytes, else None."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def unpack(path: Path, codec: str, folder: Path, *, most: int = _MOST_BYTES) -> Path:
    """Unpack a file into a folder, under its name without the ending; raise `FormatError` if it is broken or too large."""
    import pyarrow as pa

    name = path.stem if path.suffix.lower() in _SUFFIXES else path.name
    target, size = folder / name, 0
    try:
        with pa.input_stream(str(path), compression=codec) as packed, target.open("xb") as out:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise FormatError(
                        f"{path}: It unpacks to more than {bytes_size(most)}.",
                        fix="Unpack it, and load the part you need.",
                    )
                out.write(chunk)
    except (OSError, pa.ArrowException) as error:
        raise FormatError(f"{path}: It cannot be unpacked ({codec}): {error}.") from None
    return target


def name_origin(evals: Evals, path: Path, origin: Path) -> Evals:
    """Name the compressed file as the source of what was read from its unpacked copy."""

    def renamed(frame: Any) -> Any:
        if "source" not in frame.columns:
            return frame
        dtype = frame.schema["source"]
        named = pl.col("source").cast(pl.String).str.replace(str(path), str(origin), literal=True)
        return frame.with_columns(named.cast(dtype))

    tables: dict[str, Any] = {table.name: renamed(frame) for table, frame in evals.tables()}
    names = {str(path): str(origin)}
    notes = tuple(replace(note, files=tuple(names.get(f, f) for f in note.files)) for note in evals.notes)
    files = tuple(names.get(file, file) for file in evals.files)
    return replace(evals, **tables, problems=renamed(evals.problems), notes=notes, files=files)
