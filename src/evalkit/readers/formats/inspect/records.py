"""What the samples of an Inspect log hold, as far as it has a place in the six tables."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from evalkit.data.columns import as_text, decode

_FEW: Final = 32


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
    """What one scorer said."""

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
    """One answer of a model."""

    message: Message | None = None
    stop_reason: str | None = None


class Output(msgspec.Struct):
    """What a model answered last."""

    completion: str | None = None
    choices: list[Choice] | None = None


class Error(msgspec.Struct):
    """Why a sample crashed."""

    message: str | None = None


class Limit(msgspec.Struct):
    """Which limit ended a sample."""

    type: str | None = None


class Sample(msgspec.Struct):
    """A sample, whole or as the log's summaries have it, where error and limit are words."""

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
    error: str | Error | None = None
    limit: str | Limit | None = None
    invalidation: msgspec.Raw = msgspec.Raw()
    attachments: msgspec.Raw = msgspec.Raw()
    events: msgspec.Raw = msgspec.Raw()
    events_data: msgspec.Raw = msgspec.Raw()


class Event(msgspec.Struct):
    """A call of a model: its messages in full, or as ranges of the pool."""

    event: str | None = None
    input: list[Message] | None = None
    input_refs: list[list[int]] | None = None
    output: Output | None = None


class Pool(msgspec.Struct):
    """The messages that events refer to."""

    messages: list[Message] | None = None


# What each table needs of a sample; the fields of no table are not even decoded.
_NEEDED: Final = {
    "cases": ("input", "target", "choices", "metadata", "attachments"),
    "trials": (
        "output",
        "model_usage",
        "started_at",
        "total_time",
        "error",
        "limit",
        "invalidation",
        "attachments",
    ),
    "turns": ("messages", "message_refs", "attachments", "events", "events_data"),
    "scores": ("scores", "score", "attachments"),
}


@functools.lru_cache(maxsize=_FEW)
def decoder(
    tables: frozenset[str],
) -> tuple[type[Any], msgspec.json.Decoder[Any], msgspec.json.Decoder[list[Any]]]:
    """Return the record of a sample with what some tables need, its decoder, and that of a list of them."""
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


def is_short(raw: bytes) -> bool:
    """Whether something in a summary was shortened: texts after 1 kB, of the input and the target after 5."""
    return b'..."' in raw or b"(content truncated)" in raw or b"Key removed from summary (> 1k)" in raw


def has_short_score(sample: Any) -> bool:
    """Whether something in the scores of a sample's summary was shortened."""
    for score in (sample.scores or {}).values():
        if (
            (score.explanation or "").endswith("...")
            or (score.answer or "").endswith("...")
            or (score.reason or "").endswith("...")
            or (score.metadata and is_short(bytes(score.metadata)))
        ):
            return True
    return False


_REF: Final = re.compile(r"attachment://([0-9a-f]{32}|\d+)")
MARK: Final = "attachment://"


@dataclass(slots=True)
class Attachments:
    """The long texts that a sample's other texts name; decoded when one of them is first asked for."""

    raw: msgspec.Raw
    texts: dict[str, str] | None = field(default=None)

    def text(self, text: str) -> str:
        """Return a text with the attachments that it names in their place."""
        if MARK not in text:
            return text
        if self.texts is None:
            self.texts = _texts(self.raw)
        texts = self.texts
        return _REF.sub(lambda match: texts.get(match[1], match[0]), text)

    def value(self, value: Any) -> Any:
        """Return decoded JSON likewise."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(part) for part in value]
        if isinstance(value, dict):
            return {name: self.value(part) for name, part in value.items()}
        return value

    def json(self, raw: msgspec.Raw) -> str | None:
        """Return nested JSON as text likewise; None where there is none, or nothing in it."""
        text = str(raw, "utf-8") if raw else ""
        if text in ("", "null", "{}", "[]"):
            return None
        return as_text(self.value(decode(text.encode()))) if MARK in text else text


def _texts(raw: msgspec.Raw) -> dict[str, str]:
    try:
        made = decode(bytes(raw)) if bytes(raw) else {}
    except ValueError:
        return {}
    return (
        {name: text for name, text in made.items() if isinstance(text, str)} if isinstance(made, dict) else {}
    )
