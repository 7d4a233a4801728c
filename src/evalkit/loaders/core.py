"""Find the files, and find the reader of each by looking inside."""

from __future__ import annotations

import glob
import re
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from evalkit.errors import FormatError, PathError, listed
from evalkit.evals import Evals
from evalkit.loaders.mapping import MAPPING_FILE, Mapping, find_mapping
from evalkit.schema import TABLES, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.metadata import EntryPoint

    from evalkit.loaders.tables import Raw
    from evalkit.schema import TableName

ENTRY_POINTS: Final = "evalkit.loaders"
"""The entry-point group in which other distributions offer a `Reader`."""

NATIVE_SCORES: Final = "native scores"
CSV_SCORES: Final = "CSV of scores"

# In a folder: a sentence with commas in it would be taken for the header of a CSV.
_PROSE: Final = re.compile(
    r"(?:readme|licen[cs]e|notice|changelog|sources)(?:\.\w+)?|.*\.(?:md|rst)", re.IGNORECASE
)
# Such a file may be records of a tool, but as CSV only where it is named, or a mapping says what its columns are.
_LOOSE: Final = frozenset({".txt", ".log", ".out", ".err"})
_HEAD: Final = 1 << 16
_LONGEST_FIRST_LINE: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class Reader:
    """One format: how it is recognised and how it is read.

    Give `read`; or `rows` for a table of scores; or `partly` where some tables are cheaper than all.

    Attributes
    ----------
    name
        What the format is called, in a word or two.
    sniff
        Whether a path is of this format: `sniff(path, head)`. `head` is the first 64 KiB; where the
        first line is longer, that line and 64 KiB more; it is empty for a folder.
    read
        `read(path)` returns what is in it.
    rows
        `rows(path)` returns the records as they are; mapping and names do the rest.
    partly
        `partly(path, tables)` returns the tables of those names, and whatever else costs nothing.
    gives
        The tables that it may give: where none of them is wanted a file is not read at all.
    describes
        Whether it says what runs and cases are: such files are read before those that only name them.
    whole
        Whether a file is a whole run, or several: where two files hold different records of a run of the same
        name, it was run twice, and the runs are called after their files too.
    alone
        Whether what it gives depends on that one file, or on what is in that folder, and on nothing beside it: it
        may then be cached.
    beside
        Whether it depends on the other files of its folder too: it is then cached as long as none of them changes.
    """

    name: str
    sniff: Callable[[Path, bytes], bool]
    read: Callable[[Path], Evals] | None = None
    rows: Callable[[Path], Raw] | None = None
    partly: Callable[[Path, frozenset[str]], Evals] | None = None
    gives: tuple[TableName, ...] = tuple(TABLES)
    describes: bool = False
    whole: bool = False
    alone: bool = False
    beside: bool = False

    def give(self, path: Path, tables: frozenset[str]) -> Evals:
        """Return what is in a file: those tables at least.

        Raises
        ------
        FormatError
            It cannot be understood.
        """
        if self.partly is not None:
            return self.partly(path, tables)
        if self.read is None:
            raise FormatError(f"The reader {self.name!r} has neither read, partly nor rows.")
        return self.read(path)


@dataclass(slots=True)
class Found:
    """One file (or folder) that is going to be read.

    Attributes
    ----------
    instead
        The reader of a format of its own, where the mapping may make a table of the file: it reads what the
        mapping does not fit.
    told
        Whether the mapping was given to `load`, and not found beside the file.
    """

    path: Path
    reader: Reader
    mapping: Mapping | None
    run: str = ""
    instead: Reader | None = None
    told: bool = False


@dataclass(slots=True)
class Plan:
    """What is going to be read, and what was passed over on the way."""

    found: list[Found] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)


def find(sources: list[str | Path], mapping: Mapping | None, readers: list[Reader]) -> Plan:
    """Look at each path, glob and folder, and choose the reader of each file.

    Raises
    ------
    PathError
        A path is not there, or a glob fits nothing.
    FormatError
        A file that was named is of no format that is known.
    """
    plan = Plan()
    beside: dict[Path, Mapping] = {}

    def chosen(path: Path, top: Path) -> Mapping | None:
        if mapping is not None:
            return mapping
        where = find_mapping(path, top)
        if where is None:
            return None
        return beside.setdefault(where, Mapping.read(where))

    for source in sources:
        for path, top in _expand(Path(source)):
            if path.is_dir():
                _walk(path, top, readers, chosen, plan, told=mapping is not None)
                continue
            found = _choose(path, readers, chosen(path, top), told=mapping is not None)
            if found is None:
                raise FormatError(f"{str(path)!r} is of no format that is known. {known_words(readers)}")
            plan.found.append(found)
    _name_runs(plan.found)
    return plan


def readers() -> tuple[list[Reader], list[str]]:
    """Return the readers in the order in which they are asked, and notes on plug-ins that are broken."""
    from evalkit.loaders import csv_file, json_list, jsonl, native, parquet

    plugins, notes = _plugins()
    tools = [_guarded(reader) for module in _others() for reader in module.READERS]
    ours = [*parquet.OWN, *native.READERS]
    tables = [*parquet.TABLES_OF_SCORES, *json_list.READERS, *jsonl.READERS, *csv_file.READERS]
    return [*ours, *tools, *plugins, *tables], notes


def _others() -> list[Any]:
    """Return what reads other tools' formats, a module each; no file is of two of them."""
    from evalkit.loaders import (
        autorubric,
        batch,
        braintrust,
        deepeval,
        fastchat,
        helm,
        inspect_log,
        langfuse,
        langsmith,
        lm_eval,
        mlflow,
        openai_evals,
        otlp,
        phoenix,
        promptfoo,
        scout,
        tau2_bench,
        tau_bench,
    )

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
    from evalkit.loaders.tables import Raw

    made = reader.rows(path) if reader.rows is not None else None
    if not isinstance(made, Raw):
        raise TypeError(f"it gave {type(made).__name__}, not Raw")
    return made


def passed_over(skipped: list[Path]) -> list[str]:
    """Say which files of a folder were of no format that is known."""
    told = f"Files of no format that is known were passed over: {listed(skipped, most=6)}."
    return [told] if skipped else []


def in_few_words(notes: Iterable[str], files: Iterable[str]) -> tuple[str, ...]:
    """Return the notes, each once; what is said of three files or more is said of all of them in one note.

    Examples
    --------
    >>> in_few_words(
    ...     [f"logs/{name}.json: not kept: trace." for name in "abc"], [f"logs/{name}.json" for name in "abc"]
    ... )
    ('3 files (a.json, b.json, c.json): not kept: trace.',)
    """
    known = set(files)
    about: dict[str, list[str]] = {}
    for note in dict.fromkeys(notes):
        file, between, said = note.partition(": ")
        about.setdefault(said if between and file in known else note, []).append(note)
    made: list[str] = []
    for said, all_of_it in about.items():
        if len(all_of_it) > 2:
            paths = [Path(note.partition(": ")[0]) for note in all_of_it]
            names = [path.name for path in paths]
            if len(set(names)) < len(names):
                names = [f"{path.parent.name}/{path.name}" for path in paths]
            made.append(f"{len(names)} files ({listed(names, most=4)}): {said}")
        else:
            made += all_of_it
    return tuple(made)


def known_words(readers: list[Reader]) -> str:
    """Say in a sentence what can be read: all names together are a page, and there is one."""
    return (
        f"evalkit reads {len(readers)} formats: its own files, what the common evaluation tools write, and judge scores as "
        "JSON lines, JSON, CSV or Parquet."
    )


def head(path: Path) -> bytes:
    """Return the start of a file: 64 KiB; where its first line is longer, that line and 64 KiB more."""
    with path.open("rb") as file:
        data = file.read(_HEAD)
        if len(data) == _HEAD and b"\n" not in data:
            data += file.readline(_LONGEST_FIRST_LINE) + file.read(_HEAD)
    return data


def _choose(path: Path, readers: list[Reader], mapping: Mapping | None, *, told: bool) -> Found | None:
    """Return the file with its reader; what a mapping was given for, and native scores with one, are a table if it fits."""
    try:
        data = b"" if path.is_dir() else head(path)
    except OSError as error:
        raise PathError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
    if not path.is_dir() and not data.strip(b"\xef\xbb\xbf \t\r\n"):
        return Found(path, _EMPTY, None)
    fitting = (reader for reader in readers if reader.sniff(path, data))
    first = next(fitting, None)
    if first is None:
        return None
    named = mapping is not None and (mapping.columns or mapping.criteria)
    if first.rows is None and ((told and named) or (mapping is not None and first.name == NATIVE_SCORES)):
        table = next((reader for reader in fitting if reader.rows is not None), None)
        if table is not None:
            return Found(path, table, mapping, instead=first, told=told)
    return Found(path, first, mapping, told=told)


def _walk(
    folder: Path,
    top: Path,
    readers: list[Reader],
    chosen: Callable[[Path, Path], Mapping | None],
    plan: Plan,
    *,
    told: bool,
) -> None:
    unit = _choose(folder, readers, None, told=told)
    if unit is not None:
        plan.found.append(unit)
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == MAPPING_FILE:
            continue
        if path.is_dir():
            _walk(path, top, readers, chosen, plan, told=told)
            continue
        if not path.is_file():
            continue
        found = None if _PROSE.fullmatch(path.name) else _choose(path, readers, chosen(path, top), told=told)
        guessed = found is not None and found.mapping is None and found.reader.name == CSV_SCORES
        if found is None or (guessed and path.suffix.lower() in _LOOSE):
            plan.skipped.append(path)
        else:
            plan.found.append(found)


def _expand(path: Path) -> list[tuple[Path, Path]]:
    """Return the paths that a source names, each with the folder above which no mapping is looked for."""
    if path.exists():
        return [(path, path if path.is_dir() else path.parent)]
    if not glob.has_magic(str(path)):
        raise PathError.missing(path)
    fixed = path
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207  (the whole pattern, absolute or not)
    if not matches:
        hint = (
            f"{str(fixed)!r} holds: {listed(sorted(p.name for p in fixed.iterdir()), most=8)}."
            if fixed.is_dir()
            else ""
        )
        raise PathError(f"Nothing fits {str(path)!r}. {hint or PathError.missing(fixed)}")
    return [(match, fixed) for match in matches]


def _name_runs(found: list[Found]) -> None:
    """Name each table's run after its folder; after the file where a folder holds several; apart in any case."""
    tables = [one for one in found if one.reader.rows is not None or one.reader.whole]
    held = Counter(one.path.parent.resolve() for one in tables)
    paths = {}
    for one in tables:
        path = one.path.resolve()
        paths[one.path] = path.with_suffix("") if held[path.parent] > 1 else path.parent
    for one in tables:
        path, depth = paths[one.path], 1
        others = {other for other in paths.values() if other != path}
        while depth < len(path.parts) - 1 and any(
            other.parts[-depth:] == path.parts[-depth:] for other in others
        ):
            depth += 1
        one.run = "/".join(path.parts[-depth:]).strip("/") or "run"


def _empty(path: Path) -> Evals:
    return Evals.from_tables(problems=[Problem(str(path), None, "the file is empty")], files=[str(path)])


_EMPTY: Final = Reader("empty", lambda path, data: False, read=_empty)
