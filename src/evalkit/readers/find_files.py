"""Find the files, and find the reader of each by looking inside."""

from __future__ import annotations

import glob
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evalkit.data.evals import Evals
from evalkit.data.schema import Problem
from evalkit.readers.base import CSV_SCORES, NATIVE_SCORES, Found, Plan, Reader, head
from evalkit.readers.column_mapping import MAPPING_FILE, Mapping, find_mapping
from evalkit.readers.registry import known_words
from evalkit.util.errors import FormatError, PathError
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


# In a folder: a sentence with commas in it would be taken for the header of a CSV.
_PROSE: Final = re.compile(
    r"(?:readme|licen[cs]e|notice|changelog|sources)(?:\.\w+)?|.*\.(?:md|rst)", re.IGNORECASE
)
# Such a file may be records of a tool, but as CSV only where it is named, or a mapping says what its columns are.
_LOOSE: Final = frozenset({".txt", ".log", ".out", ".err"})


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


def passed_over(skipped: list[Path]) -> list[str]:
    """Say which files of a folder were of no format that is known."""
    told = f"Files of no format that is known were passed over: {join_words(skipped, limit=6)}."
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
            made.append(f"{len(names)} files ({join_words(names, limit=4)}): {said}")
        else:
            made += all_of_it
    return tuple(made)


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
            f"{str(fixed)!r} holds: {join_words(sorted(p.name for p in fixed.iterdir()), limit=8)}."
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
