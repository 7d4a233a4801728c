"""Notes and warnings as values. No code reads their text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMED: Final = 4


@dataclass(frozen=True, slots=True)
class Note:
    """One thing a reader should know about the data.

    Attributes
    ----------
    kind
        One word that code may ask for, for example "skipped", "guessed" or "synthetic".
    text
        A sentence.
    files
        The files it is about; none means all of the data.

    Examples
    --------
    >>> print(Note("ignored", "Ignored fields: trace.", ("logs/a.json",)))
    logs/a.json: Ignored fields: trace.
    """

    kind: str
    text: str
    files: tuple[str, ...] = ()

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
    """One reason to read a result with care.

    Attributes
    ----------
    id
        For example "W06"; `docs/statistics.md` lists them.
    scope
        The rows it is about, "all" for the whole result.
    text
        One or two sentences; numbers first.
    fix
        What to do about it, or nothing.
    """

    id: str
    scope: str
    text: str
    fix: str = ""


def merge_notes(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Merge notes of the same kind and text into one that names all their files.

    Examples
    --------
    >>> merge_notes([Note("ignored", "x", ("a",)), Note("ignored", "x", ("b",))])
    (Note(kind='ignored', text='x', files=('a', 'b')),)
    """
    files: dict[tuple[str, str], dict[str, None]] = {}
    for note in notes:
        files.setdefault((note.kind, note.text), {}).update(dict.fromkeys(note.files))
    return tuple(Note(kind, text, tuple(names)) for (kind, text), names in files.items())
