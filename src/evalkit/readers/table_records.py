"""Open the records of a table and find the mapping that reads them: the one passed, completed by a guess."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.columns import cell_values, columns
from evalkit.data.json_text import decode, lines, read_bytes
from evalkit.readers import guess_rules as rules
from evalkit.readers.base import RECORD, Raw, numbered
from evalkit.readers.column_mapping import NAMES, Mapping
from evalkit.readers.column_roles import mapping_option, with_columns
from evalkit.readers.guess import guess_mapping
from evalkit.readers.nested import dotted, find_places, records_at, weigh_place
from evalkit.readers.score_values import without_nested
from evalkit.util.errors import FormatError
from evalkit.util.notes import Note
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.readers.guess_checks import Guess

_LAST_ROWS: Final = 5
_SAMPLE: Final = 500
_PREFERENCE: Final = {"loads": 2.0, "asks": 1.0, "refuses": 0.0}
_NEAR: Final = 0.4
"""A difference of weight that says little."""


@dataclass(slots=True)
class Opened:
    """A table with its mapping; `guess` if part of the mapping is guessed."""

    raw: Raw
    mapping: Mapping
    guess: Guess | None = None


def open_table(raw: Raw, mapping: Mapping | None, *, guesses: bool = True) -> Opened:
    """Return the records with dotted columns, and a mapping with scores and case.

    Raise `FormatError` if a guess asks or refuses, or is needed and not allowed.
    """
    given = mapping or Mapping()
    raw, place = with_records(raw, given)
    raw = replace(raw, frame=without_nested(raw.frame))
    raw = without_totals(raw)
    named = [name for names in _named(given) for name in names]
    if not _needs_guess(given, raw.frame.columns):
        return Opened(replace(raw, frame=dotted(raw.frame, only=_dotted_names(named))), given)
    if not guesses:
        raise FormatError(
            f"{raw.source}: There is no mapping for it, and guessing is off.",
            argument="mapping",
            fix="Pass a mapping; evalkit suggest PATH writes one.",
        )
    guess = guess_table(raw, given, place)
    if guess.status != "loads":
        raise guess_error(raw, guess)
    merged = _merged(given, Mapping.read(guess.mapping))
    names = [name for each in _named(merged) for name in each]
    return Opened(replace(raw, frame=dotted(raw.frame, only=_dotted_names(names))), merged, guess)


def guess_table(raw: Raw, given: Mapping, place: str = "") -> Guess:
    """Guess the mapping of records, beside what is given."""
    known = {
        role: next((n for n in names if n in raw.frame.columns), "") for role, names in given.columns.items()
    }
    known |= {"criteria": ""} if given.criteria and not given.has_people_alone else {}
    people = [name for one in given.criteria or () for name in one.columns if one.people]
    frame = dotted(raw.frame).drop(*given.ignore, *people, strict=False)
    guess = guess_mapping(frame, records=place, decimal=given.decimal or raw.decimal, given=known)
    if raw.rivals:
        guess.questions.append(f"There are records in {join_words(map(repr, (place, *raw.rivals)))}. Which?")
    return guess


def guess_error(raw: Raw, guess: Guess) -> FormatError:
    """Return the error of a guess that asks or refuses."""
    names = [name for name in raw.frame.columns if name not in ("line", RECORD)]
    if guess.status == "refuses":
        columns = join_words(names, limit=40)
        return FormatError(f"{raw.source}: {guess.refusal}", argument="mapping", fix=f"Columns: {columns}.")
    template = "Check the mapping and pass it: {option}."
    return FormatError(
        f"{raw.source}: {guess.questions[0]}",
        argument="mapping",
        fix=with_columns(template, names, mapping_option(guess.mapping)),
    )


def _needs_guess(given: Mapping, names: Iterable[str]) -> bool:
    """Whether the mapping lacks the scores or the case, also by their plain names."""
    has_scores = (given.criteria is not None and not given.has_people_alone) or "criterion" in given.columns
    if not has_scores:
        return True
    if "case" in given.columns or "*" in given.records:
        return False
    plain = {rules.plain_name(name) for name in names}
    return plain.isdisjoint({"case", *NAMES["case"]})


def _merged(given: Mapping, guessed: Mapping) -> Mapping:
    """Return a guess with everything that is given instead."""
    criteria = guessed.criteria if given.criteria is None else given.criteria
    if given.has_people_alone:
        criteria = (*(guessed.criteria or ()), *(given.criteria or ()))
    columns = {**guessed.columns, **given.columns}
    if criteria is not None:
        columns = {
            role: names for role, names in columns.items() if role not in ("criterion", "score", "label")
        }
    # A scale for all wins over guessed ones.
    scales = given.scales if "" in given.scales else {**guessed.scales, **given.scales}
    directions = given.directions if "" in given.directions else {**guessed.directions, **given.directions}
    return replace(
        guessed,
        columns={role: names for role, names in columns.items() if role not in given.values},
        values={**guessed.values, **given.values},
        criteria=criteria,
        scales=scales,
        directions=directions,
        words=guessed.words if given.words is None else given.words,
        severities=given.severities or guessed.severities,
        records=given.records or guessed.records,
        decimal=given.decimal or guessed.decimal,
        ignore=given.ignore,
        name=given.name,
    )


def _named(mapping: Mapping) -> Iterable[tuple[str, ...]]:
    yield from mapping.columns.values()
    for one in mapping.criteria or ():
        yield (*one.columns, *one.equal, *one.beside.values())


def _dotted_names(names: list[str]) -> set[str]:
    return {name for name in names if "." in name}


def with_records(raw: Raw, given: Mapping) -> tuple[Raw, str]:
    """Return the records at the mapping's place, or at the likeliest place of a file with records inside."""
    root, place = raw.root, given.records
    if place and root is None:
        root = _decoded(raw)
    if root is None:
        return raw, ""
    if place:
        return _at(raw, records_at(root, place, source=raw.source)), place
    places = find_places(root)
    if not places:
        if isinstance(root, dict) and not any(isinstance(value, dict | list) for value in root.values()):
            return _at(raw, [root]), ""
        keys = join_words(map(str, root), limit=10) if isinstance(root, dict) else type(root).__name__
        raise FormatError(f"{raw.source}: There are no records in it. It has {keys}.", argument="mapping")
    weights = {path: _weigh(raw, path, rows) for path, rows in places}
    path, rows = max(places, key=lambda one: weights[one[0]])
    return _at(replace(raw, rivals=_rivals(path, weights)), rows), path


def _rivals(first: str, weights: dict[str, float]) -> tuple[str, ...]:
    """Return the places that are as likely as the first and hold other records, the likeliest first."""
    if not first or weights[first] < _PREFERENCE["loads"]:
        return ()
    near = [path for path, weight in weights.items() if path and weights[first] - weight < _NEAR]
    apart = [path for path in near if not path.startswith(first) and not first.startswith(path)]
    return tuple(sorted(apart, key=lambda path: -weights[path]))


def _weigh(raw: Raw, path: str, rows: list[dict[str, Any]]) -> float:
    guess = guess_mapping(dotted(columns(rows[:_SAMPLE])), records=path, decimal=raw.decimal)
    return weigh_place(path, rows) + _PREFERENCE[guess.status]


def _at(raw: Raw, rows: list[dict[str, Any]]) -> Raw:
    if not rows:
        raise FormatError(f"{raw.source}: The list of records is empty.", argument="mapping")
    return replace(raw, frame=numbered(rows), root=None)


def _decoded(raw: Raw) -> Any:
    """Return the decoded content of a file of JSON or JSON lines."""
    data = read_bytes(Path(raw.source))
    try:
        return decode(data)
    except ValueError:
        return [value for _, line in lines(data) for value in _value(line)]


def _value(line: bytes) -> list[Any]:
    try:
        return [decode(line)]
    except ValueError:
        return []


def without_totals(raw: Raw) -> Raw:
    """Drop a last row called total or the like, or the mean of the rows above."""
    frame = raw.frame
    if frame.height < 3:
        return raw
    start = max(frame.height - _LAST_ROWS, 2)
    names = [name for name in frame.columns if name not in ("line", RECORD)]
    texts = [
        name
        for name in names
        if frame.get_column(name).dtype == pl.String and not _is_numeric(frame.get_column(name), raw.decimal)
    ]
    gone: dict[int, str] = {}
    for row in range(start, frame.height):
        cells = [str(frame.get_column(name)[row] or "").strip() for name in texts[:6]]
        filled = [cell for cell in cells if cell]
        label = filled[0] if filled else ""
        if 0 < len(filled) <= 2 and rules.plain_name(label).replace("_", " ") in rules.TOTALS:
            gone[row] = label
    last = frame.height - 1
    if (
        last not in gone
        and texts
        and not any(str(frame.get_column(name)[last] or "").strip() for name in texts)
    ):
        numeric = [name for name in names if name not in texts]
        if len(numeric) > 1 and all(_is_mean(frame.get_column(name), raw.decimal) for name in numeric):
            gone[last] = "the mean of the rows above"
    if not gone:
        return raw
    keep = pl.Series([row not in gone for row in range(frame.height)])
    text = f"Left out the last {'row' if len(gone) == 1 else 'rows'}, no case but a total: {join_words(map(repr, gone.values()))}."
    return replace(
        raw, frame=frame.filter(keep), notes=[*raw.notes, Note("total_row", text, tuple(raw.files))]
    )


def _numbers(values: pl.Series, decimal: str) -> pl.Series:
    if values.dtype == pl.String and decimal == ",":
        values = values.str.replace_all(",", ".", literal=True)
    return cell_values(values, pl.Float64())


def _is_numeric(values: pl.Series, decimal: str) -> bool:
    some = values.head(_SAMPLE).drop_nulls()
    return bool(len(some)) and 2 * _numbers(some, decimal).count() > len(some)


def _is_mean(values: pl.Series, decimal: str) -> bool:
    numbers = _numbers(values, decimal)
    last, mean = numbers[-1], numbers.head(len(numbers) - 1).mean()
    return last is not None and isinstance(mean, float) and abs(last - mean) <= 0.005 * max(1.0, abs(mean))
