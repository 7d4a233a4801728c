"""The records of an Inspect log, limited to fields with a column."""

from __future__ import annotations

import functools
import re
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from evalkit.data.columns import utc
from evalkit.data.json_text import as_text, decode

_Item = TypeVar("_Item")

LETTERS: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Inspect's words for correct, partly correct, incorrect and no answer."""

MARK: Final = "attachment://"
_REF: Final = re.compile(r"attachment://([0-9a-f]{32}|\d+)")


class Call(msgspec.Struct, gc=False):
    """A tool call."""

    id: str | None = None
    function: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()
    parse_error: str | None = None


class Message(msgspec.Struct):
    """A message of a transcript."""

    role: str | None = None
    content: str | list[Any] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function: str | None = None
    error: msgspec.Raw = msgspec.Raw()


class Score(msgspec.Struct):
    """A score by one scorer."""

    value: Any = None
    answer: str | None = None
    explanation: str | None = None
    reason: str | None = None
    metadata: msgspec.Raw = msgspec.Raw()
    history: list[msgspec.Raw] | None = None


class Usage(msgspec.Struct, gc=False):
    """Tokens and cost of one model."""

    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_cache_read: int | None = None
    input_tokens_cache_write: int | None = None
    total_cost: float | None = None


class Choice(msgspec.Struct):
    """A response of a model."""

    message: Message | None = None
    stop_reason: str | None = None


class Output(msgspec.Struct):
    """The last response of a model."""

    completion: str | None = None
    choices: list[Choice] | None = None


class Error(msgspec.Struct):
    """The error of a sample."""

    message: str | None = None


class Limit(msgspec.Struct):
    """The limit that ended a sample."""

    type: str | None = None


class Sample(msgspec.Struct):
    """A sample; in summaries error and limit are words."""

    id: str | int | float | None = None
    epoch: int = 1
    input: str | list[Message] | None = None
    target: str | list[Any] | None = None
    choices: list[Any] | None = None
    metadata: msgspec.Raw = msgspec.Raw()
    messages: list[Message] | None = None
    message_refs: list[list[int]] | None = None
    output: Output | None = None
    scores: dict[str, Score] | None = None
    score: Score | None = None
    model_usage: dict[str, Usage] | None = None
    started_at: str | None = None
    total_time: float | None = None
    uuid: str | None = None
    error: str | Error | None = None
    limit: str | Limit | None = None
    invalidation: msgspec.Raw = msgspec.Raw()
    attachments: msgspec.Raw = msgspec.Raw()
    events: msgspec.Raw = msgspec.Raw()
    events_data: msgspec.Raw = msgspec.Raw()


class Event(msgspec.Struct):
    """A model call: its messages in full, or as ranges of the pool."""

    event: str | None = None
    input: list[Message] | None = None
    input_refs: list[list[int]] | None = None
    output: Output | None = None


class Pool(msgspec.Struct):
    """The messages that events refer to."""

    messages: list[Message] | None = None


# The decoded fields of each table.
_NEEDED: Final = {
    "cases": ("input", "target", "choices", "metadata", "attachments"),
    "trials": (
        *("output", "model_usage", "started_at", "total_time", "uuid", "error", "limit", "invalidation"),
        "attachments",
    ),
    "turns": ("messages", "message_refs", "attachments", "events", "events_data"),
    "scores": ("scores", "score", "attachments"),
}


@functools.lru_cache(maxsize=32)
def decoder(
    tables: frozenset[str],
) -> tuple[type[Any], msgspec.json.Decoder[Any], msgspec.json.Decoder[list[Any]]]:
    """Return the sample record for some tables, its decoder, and a list decoder."""
    names = {"id", "epoch", *(name for table in tables for name in _NEEDED.get(table, ()))}
    fields = [
        (field.name, field.type, field.default)
        for field in msgspec.structs.fields(Sample)
        if field.name in names
    ]
    kind = msgspec.defstruct("Sample", fields)
    return kind, msgspec.json.Decoder(kind), msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]


POOLS: Final = msgspec.json.Decoder(Pool)
RAWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
EVENT: Final = msgspec.json.Decoder(Event)
STRINGS: Final = msgspec.json.Decoder(list[str])


def is_given(raw: msgspec.Raw) -> bool:
    """Whether there is a value other than null and an empty list."""
    return bytes(raw) not in (b"", b"null", b"[]")


def is_short(raw: bytes) -> bool:
    """Whether a summary has shortened values: text after 1 kB, input and target after 5 kB."""
    return b'..."' in raw or b"(content truncated)" in raw or b"Key removed from summary (> 1k)" in raw


def has_short_score(sample: Any) -> bool:
    """Whether the scores of a summary have shortened values."""
    return any(
        (score.explanation or "").endswith("...")
        or (score.answer or "").endswith("...")
        or (score.reason or "").endswith("...")
        or (score.metadata and is_short(bytes(score.metadata)))
        for score in (sample.scores or {}).values()
    )


def ranges(pool: list[_Item], refs: list[list[int]]) -> list[_Item]:
    """Return the items in half-open ranges of a pool."""
    return [item for ref in refs if len(ref) == 2 for item in pool[ref[0] : ref[1]]]


def moment(text: str | None) -> datetime | None:
    """Return an ISO 8601 time in UTC; None if invalid."""
    try:
        return utc(datetime.fromisoformat(text or ""))
    except ValueError:
        return None


class Attachments:
    """The long texts of a sample, decoded on first use."""

    __slots__ = ("_raw", "_texts")

    def __init__(self, raw: msgspec.Raw) -> None:
        self._raw = raw
        self._texts: dict[str, Any] | None = None

    def text(self, text: str) -> str:
        """Return a text with its attachments filled in."""
        if MARK not in text:
            return text
        if self._texts is None:
            self._texts = self._decoded()
        texts = self._texts
        return _REF.sub(lambda match: texts.get(match[1], match[0]), text)

    def value(self, value: Any) -> Any:
        """Return decoded JSON with its attachments filled in."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(part) for part in value]
        if isinstance(value, dict):
            return {name: self.value(part) for name, part in value.items()}
        return value

    def json(self, raw: msgspec.Raw) -> str | None:
        """Return nested JSON as text with its attachments; None if empty."""
        text = str(raw, "utf-8") if raw else ""
        if text in ("", "null", "{}", "[]"):
            return None
        return as_text(self.value(decode(text.encode()))) if MARK in text else text

    def _decoded(self) -> dict[str, str]:
        try:
            texts = decode(bytes(self._raw)) if bytes(self._raw) else {}
        except ValueError:
            return {}
        pairs = texts.items() if isinstance(texts, dict) else ()
        return {name: text for name, text in pairs if isinstance(text, str)}
