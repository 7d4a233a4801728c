"""Every reader, by name."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.evals import Evals
from evalkit.data.schema import Problem
from evalkit.readers.base import Reader
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from evalkit.readers.score_table import Raw


ENTRY_POINTS: Final = "evalkit.loaders"
"""The entry-point group in which other distributions offer a `Reader`."""


def readers() -> tuple[list[Reader], list[str]]:
    """Return the readers in the order in which they are asked, and notes on plug-ins that are broken."""
    from evalkit.readers.formats import csv as csv_file
    from evalkit.readers.formats import evalkit_files as native
    from evalkit.readers.formats import json_list, jsonl, parquet

    plugins, notes = _plugins()
    tools = [_guarded(reader) for module in _others() for reader in module.READERS]
    ours = [*parquet.OWN, *native.READERS]
    tables = [*parquet.TABLES_OF_SCORES, *json_list.READERS, *jsonl.READERS, *csv_file.READERS]
    return [*ours, *tools, *plugins, *tables], notes


def _others() -> list[Any]:
    """Return what reads other tools' formats, a module each; no file is of two of them."""
    from evalkit.readers.formats import (
        autorubric,
        braintrust,
        deepeval,
        fastchat,
        helm,
        langfuse,
        langsmith,
        lm_eval,
        mlflow,
        openai_evals,
        phoenix,
        promptfoo,
        scout,
        tau2_bench,
        tau_bench,
    )
    from evalkit.readers.formats import openai_batch as batch
    from evalkit.readers.formats import opentelemetry as otlp
    from evalkit.readers.formats.inspect import log as inspect_log

    return [
        *(
            inspect_log,
            autorubric,
            scout,
            phoenix,
            mlflow,
            langsmith,
            langfuse,
            braintrust,
            otlp,
            promptfoo,
            lm_eval,
        ),
        *(openai_evals, deepeval, fastchat, tau_bench, tau2_bench, helm, batch),
    ]


@lru_cache(maxsize=1)
def _points(places: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    """Return the plug-ins' entry points. Every distribution is asked: again only where a folder of the path changed."""
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name))


def _plugins() -> tuple[list[Reader], list[str]]:
    found: list[Reader] = []
    notes: list[str] = []
    places = (Path(entry) for entry in sys.path)
    for point in _points(tuple((str(p), p.stat().st_mtime_ns) for p in places if p.exists())):
        told = f"The reader {point.name!r} ({point.value}) could not be used"
        try:
            reader = point.load()
            if not isinstance(reader, Reader):
                raise TypeError(f"it is {type(reader).__name__}, not a Reader")
            # What others wrote may not bear to be asked twice at once.
            found.append(_guarded(reader, lock=Lock(), told=told, notes=notes))
        except (Exception, SystemExit) as error:
            notes.append(f"{told}: {type(error).__name__}: {error}")
    return found, notes


def _guarded(
    reader: Reader, *, lock: Lock | None = None, told: str = "", notes: list[str] | None = None
) -> Reader:
    """Return a reader of somebody else's format, or somebody else's reader, so that its faults cost its own files alone.

    Why it cannot even say whether a file is of its format becomes one of the `notes`, after `told`.
    """

    def sniff(path: Path, data: bytes) -> bool:
        try:
            return bool(reader.sniff(path, data))
        except Exception as error:
            note = f"{told}: {type(error).__name__}: {error}"
            if notes is not None and note not in notes:
                notes.append(note)
            return False

    def failed(error: Exception) -> str:
        return f"the reader {reader.name!r} failed: {type(error).__name__}: {error}"

    def partly(path: Path, tables: frozenset[str]) -> Evals:
        try:
            with lock or nullcontext():
                return _sound(reader.give(path, tables))
        except FormatError:
            raise
        except Exception as error:
            problems = [Problem(str(path), None, failed(error))]
            return Evals.from_tables(problems=problems, files=[str(path)])

    def rows(path: Path) -> Raw:
        try:
            with lock or nullcontext():
                return _sound_rows(reader, path)
        except FormatError:
            raise
        except Exception as error:
            raise FormatError(f"{path}: {failed(error)}") from error

    if reader.rows is not None:
        return replace(reader, sniff=sniff, rows=rows)
    return replace(reader, sniff=sniff, read=None, partly=partly)


def _sound(made: Evals) -> Evals:
    """Return what a reader gave, if it is what the others give."""
    if not isinstance(made, Evals):
        raise TypeError(f"it gave {type(made).__name__}, not Evals")
    for table, frame in made.tables():
        if frame.schema != table.schema:
            raise TypeError(f"its table {table.name} was not made by Evals.from_tables")
    return made


def _sound_rows(reader: Reader, path: Path) -> Raw:
    from evalkit.readers.score_table import Raw

    made = reader.rows(path) if reader.rows is not None else None
    if not isinstance(made, Raw):
        raise TypeError(f"it gave {type(made).__name__}, not Raw")
    return made


def known_words(readers: list[Reader]) -> str:
    """Say in a sentence what can be read: all names together are a page, and there is one."""
    return (
        f"evalkit reads {len(readers)} formats: its own files, what the common evaluation tools write, and judge scores as "
        "JSON lines, JSON, CSV or Parquet."
    )
