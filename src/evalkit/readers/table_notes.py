"""Notes on how a table was read: columns, guesses, defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.readers.nested import KEY
from evalkit.util.notes import Note
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from evalkit.readers.column_mapping import Mapping
    from evalkit.readers.guess_checks import Guess


GUESS: Final = "guess"
"""The kind of the note with a guessed mapping, and of what is worth knowing of it."""


def describe(table: Any, mapping: Mapping | None, guess: Guess | None) -> list[Note]:
    """Return the notes on how a table was read."""
    roles = table.roles
    notes = [Note("guessed", roles.sentence()), *table.conflicts]
    if guess is not None:
        text = f"The mapping is a guess. To pin it: mapping={guess.mapping!r}."
        notes = [Note(GUESS, text), *(Note(GUESS, line) for line in guess.notes), *notes]
    if not roles.has("case") and KEY not in table.frame.columns:
        notes.append(Note("default", "Cases are numbered by line or record: runs pair line by line."))
    if table.run_parts:
        parts = " and ".join(f"{part} ({roles.columns[part]!r})" for part in table.run_parts)
        names = join_words(map(repr, table.frame["__run"].unique(maintain_order=True)), limit=6)
        notes.append(Note("default", f"No run column. Runs are named by {parts}: {names}."))
    elif not table.runs_known and table.raw.file:
        text = "Runs are named after their folder, or their file if a folder has several."
        notes.append(Note("default", text))
    elif not table.runs_known:
        notes.append(Note("default", f"No run column. Using the run name {table.run!r}."))
    if not roles.has("agent_version"):
        notes.append(Note("default", "No version column. Using the run's name as the agent's version."))
    if not roles.has("grader"):
        notes.append(Note("default", "No grader column. Using the grader name 'judge'."))
    if table.unscaled:
        text = f'No scale for {join_words(table.unscaled)}. Add "scale": [lowest, highest] to the mapping.'
        notes.append(Note("scale", text))
    name = mapping.name if mapping else "the mapping"
    notes += [
        Note("missing", f"there is no column {column!r} ({role}), which {name} names.", (table.raw.source,))
        for column, role, _ in roles.missing
    ]
    taken = {"line", *roles.used_columns()}
    ignored = [c for c in table.frame.columns if c not in taken and not c.startswith("__")]
    if ignored:
        notes.append(Note("ignored", f"Columns not read: {', '.join(sorted(ignored))}."))
    return notes
