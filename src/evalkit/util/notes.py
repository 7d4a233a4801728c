"""Notes and warnings as values. No code reads their text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMED: Final = 4


@dataclass(frozen=True, slots=True)
class Note:
    """A fact about the data, for its reader.

    `kind` is one word for code, for example "skipped" or "synthetic". Without `files` it is about all of the
    data. `runs` and `records` (keys of rows) name what it is about, if a result must know.
    """

    kind: str
    text: str
    files: tuple[str, ...] = ()
    runs: tuple[str, ...] = field(default=(), repr=False)
    records: tuple[tuple[str, ...], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        if not self.files:
            return self.text
        if len(self.files) == 1:
            return f"{self.files[0]}: {self.text}"
        paths = [Path(file) for file in self.files]
        names = [path.name for path in paths]
        if len(set(names)) < len(names):
            names = [f"{path.parent.name}/{path.name}" for path in paths]
        return f"{len(names)} files ({join_words(names, limit=_NAMED)}): {self.text}"


@dataclass(frozen=True, slots=True)
class Warning:
    """A reason to read a result with care.

    `id` is listed in docs/statistics.md, for example "W06". `scope` names the rows, "all" for the whole
    result.
    """

    id: str
    scope: str
    text: str
    fix: str = ""


def merge_notes(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Merge notes of the same kind and text into one that names all their files.

    >>> merge_notes([Note("ignored", "x", ("a",)), Note("ignored", "x", ("b",))])
    (Note(kind='ignored', text='x', files=('a', 'b')),)
    """
    alike: dict[tuple[Any, ...], dict[str, dict[str, None]]] = {}
    for note in notes:
        parts = alike.setdefault((note.kind, note.text, note.records), {"files": {}, "runs": {}})
        parts["files"].update(dict.fromkeys(note.files))
        parts["runs"].update(dict.fromkeys(note.runs))
    return tuple(
        Note(kind, text, tuple(parts["files"]), tuple(parts["runs"]), records)
        for (kind, text, records), parts in alike.items()
    )
