"""List all readers, plug-ins included."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from evalkit.data.evals import Evals, unreadable
from evalkit.readers.base import Raw, Reader
from evalkit.util.errors import FormatError
from evalkit.util.notes import Note

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

ENTRY_POINTS: Final = "evalkit.loaders"
"""The entry-point group in which other distributions offer a `Reader`."""

# Formats of other tools, one module each; they never overlap.
_TOOLS: Final = (
    *("inspect.log", "autorubric", "scout", "phoenix", "mlflow", "langsmith", "langfuse", "braintrust"),
    *("opentelemetry", "promptfoo", "lm_eval", "openai_evals", "deepeval", "fastchat", "tau_bench"),
    *("tau2_bench", "helm", "openai_batch", "every_eval_ever", "code_benchmarks", "trulens"),
    *("preferences", "claude_code", "atif"),
)


def readers() -> tuple[list[Reader], list[Note]]:
    """Return the readers in the order of trial, and notes on broken plug-ins."""
    from evalkit.readers.formats import (
        chat_jsonl,
        csv,
        evalkit_files,
        excel,
        json_list,
        json_object,
        jsonl,
        parquet,
    )

    modules = [import_module(f"evalkit.readers.formats.{name}") for name in _TOOLS]
    tools = [_guarded(reader) for module in modules for reader in module.READERS]
    plugins, notes = _plugins()
    tables = [
        *chat_jsonl.READERS,
        *excel.READERS,
        *parquet.TABLES_OF_SCORES,
        *json_list.READERS,
        *json_object.READERS,
        *jsonl.READERS,
        *csv.READERS,
    ]
    return [*parquet.OWN, *evalkit_files.READERS, *tools, *plugins, *tables], notes


@lru_cache(maxsize=1)
def _entry_points(folders: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    """Return the plug-ins; repeat the slow search only if a folder changed."""
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name))


def _plugins() -> tuple[list[Reader], list[Note]]:
    plugins: list[Reader] = []
    notes: list[Note] = []
    folders = [Path(entry) for entry in sys.path]
    for point in _entry_points(tuple((str(p), p.stat().st_mtime_ns) for p in folders if p.exists())):
        name = f"The reader {point.name!r} ({point.value}) could not be used"
        try:
            reader = point.load()
            if not isinstance(reader, Reader):
                raise TypeError(f"it is {type(reader).__name__}, not a Reader")
            # A plug-in may not be thread-safe.
            plugins.append(_guarded(reader, lock=Lock(), name=name, notes=notes))
        except (Exception, SystemExit) as error:
            notes.append(Note("plugin", f"{name}: {type(error).__name__}: {error}"))
    return plugins, notes


def _guarded(
    reader: Reader, *, lock: Lock | None = None, name: str = "", notes: list[Note] | None = None
) -> Reader:
    """Return a reader whose faults affect its own files only; faults of `sniff` become notes."""
    read_rows: Any = reader.rows

    def sniff(path: Path, data: bytes) -> bool:
        try:
            return bool(reader.sniff(path, data))
        except Exception as error:
            note = Note("plugin", f"{name}: {type(error).__name__}: {error}")
            if notes is not None and note not in notes:
                notes.append(note)
            return False

    def attempt(kind: type[T], read: Any, *args: Any) -> T:
        try:
            with lock or nullcontext():
                return _checked(read(*args), kind)
        except FormatError:
            raise
        except Exception as error:
            raise _ReaderFailed(
                f"the reader {reader.name!r} failed: {type(error).__name__}: {error}"
            ) from error

    def partly(path: Path, tables: frozenset[str]) -> Evals:
        try:
            return attempt(Evals, reader.give, path, tables)
        except _ReaderFailed as error:
            return unreadable(path, str(error))

    def rows(path: Path, **options: str) -> Raw:
        try:
            return attempt(Raw, partial(read_rows, **options), path)
        except _ReaderFailed as error:
            raise FormatError(f"{path}: {error}") from error.__cause__

    if read_rows is not None:
        return replace(reader, sniff=sniff, rows=rows)
    return replace(reader, sniff=sniff, read=None, partly=partly)


class _ReaderFailed(Exception):
    """A reader raised an unexpected exception."""


def _checked(result: Any, kind: type[T]) -> T:
    if not isinstance(result, kind):
        raise TypeError(f"it gave {type(result).__name__}, not {kind.__name__}")
    for table, frame in result.tables() if isinstance(result, Evals) else ():
        if frame.schema != table.schema:
            raise TypeError(f"its table {table.name} was not made by Evals.from_tables")
    return result


def formats_sentence(readers: list[Reader]) -> str:
    """Return the readable formats as a sentence."""
    return (
        f"evalkit reads {len(readers)} formats: its own files, those of the common evaluation tools, and judge "
        "scores as JSON lines, JSON, CSV or Parquet."
    )
