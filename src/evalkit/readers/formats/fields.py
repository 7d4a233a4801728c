"""Fields of a record: a path ("metrics.tokens"), several paths (first value wins), or a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from evalkit.data.chat_messages import find_messages, join_messages, turns
from evalkit.data.json_text import as_text
from evalkit.readers import json_keys, json_values
from evalkit.readers.base import head
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.formats import csv as csv_file
from evalkit.readers.json_values import decoded, mapping, number, sequence

if TYPE_CHECKING:
    from pathlib import Path

Record = Mapping[str, Any]
Records = Iterable[tuple[int | None, Record]]
Field = str | tuple[str, ...] | Callable[[Record], Any]
Fields = Mapping[str, Field]
Turns = list[dict[str, Any]]


@dataclass(slots=True)
class RecordFile:
    """A file of records and the builder of its tables.

    `files` are the files read; if empty, `path` only.
    """

    path: Path
    builder: EvalsBuilder
    files: list[str] = field(default_factory=list)
    _object: tuple[dict[str, Any], bytes] = ({}, b"")

    @classmethod
    def beside(cls, path: Path) -> RecordFile:
        """Return a file whose problems are reported when it is read itself."""
        return cls(path, EvalsBuilder(str(path)))

    def records(self, *, within: str | None = None) -> Records:
        """Return the records of JSON, CSV or Parquet, each with its line.

        `within` is the key of the list in a JSON object.
        """
        data = head(self.path)
        if data.startswith(b"PAR1"):
            return enumerate(pl.read_parquet(self.path).iter_rows(named=True), 1)
        if json_values.names(data) or not csv_file.sniff(self.path, data):
            return json_values.read(self.path, self.builder, within=within)
        raw = csv_file.rows(self.path)
        self.builder.problems += raw.problems
        return ((row["line"], row) for row in raw.frame.iter_rows(named=True))

    def others(self, sniff: Callable[[Path, bytes], bool], pattern: str = "*") -> list[RecordFile]:
        """Return the other files of the folder that a sniff accepts."""
        paths = sorted(
            path for path in self.path.parent.glob(pattern) if path != self.path and path.is_file()
        )
        return [self.beside(path) for path in paths if path.name[0] != "." and sniff(path, head(path))]

    def note(self, kind: str, text: str) -> None:
        """Add a note about the file, without duplicates."""
        self.builder.add_note(kind, text, file=str(self.path))

    def read_object(self) -> dict[str, Any]:
        """Return the JSON object of the file; {} and a problem if there is none."""
        self._object = json_keys.read_object(self.path, self.builder)
        return self._object[0]

    def list_in(self, *keys: str) -> Records:
        """Return the records of a list in the object, also of a truncated file."""
        return json_keys.listed_in(*self._object, *keys, builder=self.builder)


def get(record: Record, source: Field) -> Any:
    """Return a field of a record; JSON text along a path is decoded.

    >>> record = {"a": [{"b": 1}], "c": '{"d.e": 2}', "f": None}
    >>> get(record, "a.0.b"), get(record, ("f", "c.d.e")), get(record, "a.x")
    (1, 2, None)
    """
    if callable(source):
        return source(record)
    value = None
    for path in (source,) if isinstance(source, str) else source:
        value = _follow(record, path)
        if value:
            break
    return value


def _follow(value: Any, path: str) -> Any:
    if not path:
        return value
    value = decoded(value)
    if isinstance(value, list):
        place, _, rest = path.partition(".")
        return _follow(value[int(place)], rest) if place.isdecimal() and int(place) < len(value) else None
    if not isinstance(value, dict):
        return None
    key = path
    while key not in value and "." in key:  # keys may have dots in them
        key = key.rpartition(".")[0]
    return _follow(value[key], path[len(key) + 1 :]) if key in value else None


def same(*names: str) -> dict[str, Field]:
    """Return fields for columns named like the record's keys."""
    return {name: name for name in names}


def to(convert: Callable[[Any], Any], *paths: str) -> Callable[[Record], Any]:
    """Return a field with a converted value."""
    return lambda record: convert(get(record, paths))


def always(value: Any) -> Callable[[Record], Any]:
    """Return a field with the same value in every record."""
    return lambda record: value


def words(*paths: str) -> Callable[[Record], str | None]:
    """Return a field as text; an object with a single text gives that text."""
    return lambda record: json_values.words(get(record, paths))


def decoded_words(*paths: str) -> Callable[[Record], str | None]:
    """Return a field as `words` does, decoding JSON text."""
    return lambda record: json_values.words(decoded(get(record, paths)))


def seconds(*paths: str) -> Callable[[Record], float | None]:
    """Return a field in milliseconds as seconds."""

    def convert(record: Record) -> float | None:
        value = number(get(record, paths))
        return None if value is None else value / 1000

    return convert


def severity(*paths: str) -> Callable[[Record], str | None]:
    """Return a field with the first severity in some objects; path "" is the record."""
    return lambda record: json_values.severity_of(*(mapping(get(record, path)) for path in paths))


def choice(names: Mapping[str, str], *paths: str) -> Callable[[Record], str | None]:
    """Return a field that translates a word, ignoring case."""
    return lambda record: names.get(str(get(record, paths) or "").upper())


def not_empty(*paths: str) -> Callable[[Record], Any]:
    """Return a field that is null if its value is empty."""
    return lambda record: decoded(get(record, paths)) or None


def known(*paths: str, **named: Field) -> Callable[[Record], dict[str, Any]]:
    """Return a field with the non-null values by name."""
    sources: Fields = {**{path: path for path in paths}, **named}

    def collect(record: Record) -> dict[str, Any]:
        values = {name: get(record, source) for name, source in sources.items()}
        return {name: value for name, value in values.items() if value is not None}

    return collect


def texts(*paths: str) -> Callable[[Record], list[str] | None]:
    """Return a field with a list of texts, null if empty."""
    return lambda record: [str(as_text(value)) for value in sequence(get(record, paths))] or None


def id_or_digest(ids: Field, content: Field) -> Callable[[Record], str]:
    """Return a field with an ID, or the content hash of a record without one."""
    return lambda record: as_text(get(record, ids)) or json_values.digest(get(record, content))


def provider(*paths: str) -> Callable[[Record], str | None]:
    """Return a field with the provider in a model name such as "openai/gpt-4o"."""

    def find(record: Record) -> str | None:
        model = as_text(get(record, paths))
        return model.split("/", 1)[0] if model and "/" in model else None

    return find


def chat_turns(value: Any) -> Turns:
    """Return a list of chat messages as turns."""
    return turns(sequence(value))


def exchange(request: Any, response: Any) -> Turns:
    """Return a request and its response as turns, whatever holds their messages; none without any messages."""
    sent, received = find_messages(request), find_messages(response)
    if not (sent or received):
        return []
    if not received:
        return turns(sent) + as_turns("assistant", json_values.words(response))
    made = turns(join_messages(sent, received))
    has_question = bool(sent) or any(turn["role"] == "user" for turn in made)
    return made if has_question else as_turns("user", json_values.words(request)) + made


def reply(*paths: str) -> Callable[[Record], str | None]:
    """Return a field as text; of messages the last text of the assistant."""

    def find(record: Record) -> str | None:
        value = get(record, paths)
        messages = find_messages(value)
        return last_text(turns(messages), "assistant") if messages else json_values.words(value)

    return find


def as_turns(role: str | None, content: Any) -> Turns:
    """Return a message as turns; none without content."""
    return [] if content is None else turns([{"role": role, "content": as_text(content)}])


def joined(texts: Iterable[Any], between: str = "\n") -> str | None:
    """Join the texts that are not empty; null if there are none."""
    return between.join(text for text in map(as_text, texts) if text) or None


def last_text(turns: Iterable[dict[str, Any]], role: str) -> str | None:
    """Return the last text of a role."""
    return next((t["content"] for t in reversed([*turns]) if t["role"] == role and t["content"]), None)
