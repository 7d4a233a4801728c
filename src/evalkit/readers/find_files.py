"""Find the files to read and a reader for each."""

from __future__ import annotations

import glob
import re
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

from evalkit.data.evals import Evals, unreadable
from evalkit.readers.base import CSV_SCORES, JSON_OBJECT, NATIVE_SCORES, InputFile, Reader, ReadPlan, head
from evalkit.readers.column_mapping import MAPPING_FILE, Mapping, find_mapping
from evalkit.readers.compressed import codec_of, unpack
from evalkit.readers.formats.json_object import holds_evaluations
from evalkit.readers.registry import formats_sentence
from evalkit.util.errors import FormatError, PathError
from evalkit.util.notes import Note
from evalkit.util.words import join_words

# In a folder, prose with commas would pass for a CSV header.
_PROSE: Final = re.compile(
    r"(?:readme|licen[cs]e|notice|changelog|sources)(?:\.\w+)?|.*\.(?:md|rst)", re.IGNORECASE
)
# May be a tool's log: a CSV only if passed by name, or if a mapping names its columns.
_LOGS: Final = frozenset({".txt", ".log", ".out", ".err"})


def find(sources: list[str | Path], mapping: Mapping | None, readers: list[Reader]) -> ReadPlan:
    """Choose the reader of each file in paths, globs and folders.

    Raise `PathError` for a missing path or a glob without matches, `FormatError` for a named file of unknown
    format.
    """
    finder = _Finder(mapping, readers)
    for source in sources:
        for path, top in _expand(Path(source)):
            if path.is_dir():
                finder.walk(path, top)
                continue
            file = finder.choose(path, finder.mapping_of(path, top))
            if file is None:
                raise FormatError(f"Unknown format: {str(path)!r}. {formats_sentence(readers)}")
            finder.plan.files.append(file)
    _name_runs(finder.plan.files)
    return finder.plan


def skipped_note(skipped: list[Path]) -> list[Note]:
    """Return a note about the files of unknown format in a folder."""
    return (
        [Note("skipped", f"Skipped files of unknown format: {join_words(skipped, limit=6)}.")]
        if skipped
        else []
    )


class _Finder:
    def __init__(self, mapping: Mapping | None, readers: list[Reader]) -> None:
        self.mapping, self.readers, self.plan = mapping, readers, ReadPlan()
        self._beside: dict[Path, Mapping] = {}

    def mapping_of(self, path: Path, top: Path) -> Mapping | None:
        """Return the passed mapping, else the nearest one beside or above the file."""
        if self.mapping is not None:
            return self.mapping
        file = find_mapping(path, top)
        if file is not None and file not in self._beside:
            self._beside[file] = Mapping.read(file)
        return None if file is None else self._beside[file]

    def choose(self, path: Path, mapping: Mapping | None) -> InputFile | None:
        """Return the file with its reader; a passed mapping with columns overrides the format."""
        try:
            data = b"" if path.is_dir() else head(path)
        except OSError as error:
            raise PathError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
        if not path.is_dir() and not data.strip(b"\xef\xbb\xbf \t\r\n"):
            return InputFile(path, _EMPTY, None)
        codec = codec_of(data)
        packed: FormatError | None = None
        if codec is not None:
            try:
                return self._choose_unpacked(path, codec, mapping)
            except FormatError as error:
                packed = error  # the first bytes may be junk before good lines
        matching = (reader for reader in self.readers if reader.sniff(path, data))
        first = next(matching, None)
        if first is None:
            if packed is not None:
                raise packed
            return None
        passed = self.mapping is not None
        names_columns = mapping is not None and mapping.names_columns
        is_native = mapping is not None and first.name == NATIVE_SCORES
        if first.rows is None and ((passed and names_columns) or is_native):
            table = next((reader for reader in matching if reader.rows is not None), None)
            if table is not None:
                return InputFile(path, table, mapping, fallback=first, mapping_passed=passed)
        return InputFile(path, first, mapping, mapping_passed=passed)

    def _choose_unpacked(self, path: Path, codec: str, mapping: Mapping | None) -> InputFile | None:
        self.plan.folders.append(Path(tempfile.mkdtemp(prefix="evalkit-")))
        file = self.choose(unpack(path, codec, self.plan.folders[-1]), mapping)
        if file is None:
            return None
        # The unpacked copy is new each time: the cache would never find it.
        return replace(file, origin=path, reader=replace(file.reader, alone=False, beside=False))

    def walk(self, folder: Path, top: Path) -> None:
        """Plan the files of a folder, or the folder if a reader accepts it."""
        unit = self.choose(folder, None)
        if unit is not None:
            self.plan.files.append(unit)
            return
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or path.name == MAPPING_FILE:
                continue
            if path.is_dir():
                self.walk(path, top)
            elif path.is_file():
                file = None if _PROSE.fullmatch(path.name) else self.choose(path, self.mapping_of(path, top))
                guessed = file is not None and file.mapping is None and file.reader.name == CSV_SCORES
                if file is None or (guessed and path.suffix.lower() in _LOGS) or _is_other_json(file):
                    self.plan.skipped.append(path)
                else:
                    self.plan.files.append(file)


def _is_other_json(file: InputFile) -> bool:
    """Whether a file of a folder is a JSON object without records: settings, totals."""
    if file.reader.name != JSON_OBJECT or (file.mapping is not None and file.mapping.records):
        return False
    return file.mapping is not None or not holds_evaluations(file.path)


def _expand(path: Path) -> list[tuple[Path, Path]]:
    """Return the paths of a source, each with the topmost folder that may hold a mapping."""
    if path.exists():
        return [(path, path if path.is_dir() else path.parent)]
    if not glob.has_magic(str(path)):
        raise PathError.missing(path)
    fixed = path
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207  (the whole pattern, absolute or not)
    if not matches:
        hint = str(PathError.missing(fixed))
        if fixed.is_dir():
            hint = f"{str(fixed)!r} holds: {join_words(sorted(p.name for p in fixed.iterdir()), limit=8)}."
        raise PathError(f"Nothing matches {str(path)!r}. {hint}")
    return [(match, fixed) for match in matches]


def _name_runs(files: list[InputFile]) -> None:
    """Name each table's run by folder, or by file if a folder has several; add parents until unique."""
    tables = [file for file in files if file.reader.rows is not None or file.reader.whole]
    per_folder = Counter((file.origin or file.path).parent.resolve() for file in tables)
    paths: dict[Path, Path] = {}
    for file in tables:
        path = (file.origin or file.path).resolve()
        if file.origin is not None:
            path = path.with_name(file.path.name)
        paths[file.path] = path.with_suffix("") if per_folder[path.parent] > 1 else path.parent
    for file in tables:
        path, depth = paths[file.path], 1
        others = {other for other in paths.values() if other != path}
        while depth < len(path.parts) - 1 and any(o.parts[-depth:] == path.parts[-depth:] for o in others):
            depth += 1
        file.run = "/".join(path.parts[-depth:]).strip("/") or "run"


def _empty(path: Path) -> Evals:
    return unreadable(path, "the file is empty")


_EMPTY: Final = Reader("empty", lambda path, data: False, read=_empty)
