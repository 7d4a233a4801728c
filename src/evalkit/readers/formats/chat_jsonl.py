"""Conversations without scores: JSON lines or JSON, a record each, or a file of messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import content, find_messages, is_messages, turns
from evalkit.data.json_text import as_text, decode
from evalkit.readers import json_values
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.json_list import elements
from evalkit.readers.formats.record_format import RecordFormat
from evalkit.readers.json_keys import first_records, outline
from evalkit.readers.json_values import mapping, number
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_IDS: Final = (
    *("case", "case_id", "id", "custom_id", "question_id", "conversation_id", "conversationId", "thread_id"),
    *("session_id", "sessionId", "trace_id", "sample_id", "item_id", "uuid"),
)
_RUN: Final = ("agent_version", "version", "agent", "model")
_TRIAL: Final[fields.Fields] = {
    "error": fields.to(lambda error: json_values.words(error or None), "error"),
    "stop_reason": ("stop_reason", "finish_reason", "response.stop_reason", "choices.0.finish_reason"),
    "input_tokens": (
        *("input_tokens", "usage.prompt_tokens", "usage.input_tokens", "response.usage.input_tokens"),
    ),
    "output_tokens": (
        *("output_tokens", "usage.completion_tokens", "usage.output_tokens", "response.usage.output_tokens"),
    ),
    "cost_usd": fields.to(number, "cost_usd", "cost"),
    "latency_s": fields.to(number, "latency_s", "latency"),
    "started_at": fields.to(json_values.moment, "started_at", "created_at", "timestamp", "created"),
}
_REFERENCES: Final = (
    *("expected", "expected_output", "reference", "reference_answer", "ground_truth", "ideal", "target"),
)
_READ: Final = frozenset(
    (
        *_IDS,
        *_RUN,
        *_REFERENCES,
        *("run", "epoch", "suite", "provider", "error", "usage", "stop_reason", "finish_reason"),
        *("tags", "severity", "domain", "type", "object", "input_tokens", "output_tokens"),
        *("cost_usd", "cost", "latency_s", "latency", "started_at", "created_at", "timestamp"),
        *("created", "lc", "response", "answer", "output", "choices", "system", "instructions"),
        *("system_prompt", "system_instruction", "systemInstruction"),
    )
)
# A number with one of these names counts or names something; any other number may be a score.
_COUNTS: Final = re.compile(
    r"(?:^|_)(?:id|idx|index|no|nr|n|num|epoch|seed|temperature|temp|top_?[kp]|count|length|len|size|time|date|at|ts|"
    r"timestamp|created|updated|token|cost|usd|price|latency|duration|seconds|ms|turn|step|version|year|line|row|page|"
    r"stream|port|status)s?$|^(?:num|n|max|min|total|has|do|use)_|Id$|"
    r"^is_?(?:error|stream|streaming|meta|sidechain|test|final|partial|truncated|active|archived|public)$",
    re.IGNORECASE,
)
_VERDICTS: Final = frozenset(
    ("pass", "passed", "fail", "failed", "yes", "no", "true", "false", "good", "bad", "correct", "incorrect")
)
_JUDGED: Final = re.compile(
    r"score|rating|grade|label|pass(?:ed)?$|correct|verdict|reward|feedback|judg|eval|rank|chosen|rejected|"
    r"preference|winner|vote|quality|success|thumb|metric|annotat",
    re.IGNORECASE,
)
_NAMES: Final = re.compile(
    r"(?:^|_)(?:id|name|type|version|model|url|path|prompt|hash|key)s?$|Id$", re.IGNORECASE
)
_MAX_BYTES: Final = 1 << 26
_BEDROCK: Final = "conversationTurns"


def is_chat(path: Path, data: bytes) -> bool:
    """Whether the first records hold messages, and no value that may be a judgement."""
    records = _few_records(data) or _whole(path, data)
    if any("parentUuid" in record for record in records):
        return False  # a session of Claude Code has branches
    if is_messages(records):
        return not any(_judged_keys(record) for record in records)
    found = [bool(_messages(record)) for record in records]
    return bool(found) and 2 * sum(found) > len(found) and not any(map(_judged_keys, records))


def _few_records(data: bytes) -> list[dict[str, Any]]:
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        return [value for _, value in elements(data, "", [])[:10] if isinstance(value, dict)]
    try:
        whole = decode(data) if start.startswith(b"{") else None
    except ValueError:
        whole = None
    return [whole] if isinstance(whole, dict) else list(first_records(data))


def _whole(path: Path, data: bytes) -> list[dict[str, Any]]:
    """Return the object of a long file laid out over lines, if it seems to hold messages."""
    has_messages = any(
        key.endswith((".[].role", ".[].from", ".[].type", ".[].parts")) for key in outline(data)
    )
    if not has_messages or path.stat().st_size > _MAX_BYTES:
        return []
    try:
        value = decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return []
    return [value] if isinstance(value, dict) else []


def _judged_keys(record: fields.Record) -> list[str]:
    """Return the keys of a record that may hold a judgement."""
    keys = [key for key, value in record.items() if value is not None and _may_judge(key, value)]
    conversation = record.get(_BEDROCK)
    if isinstance(conversation, list) and any("results" in mapping(each) for each in conversation):
        keys.append(f"{_BEDROCK}.results")
    return keys


def _may_judge(key: str, value: Any) -> bool:
    if key in _READ:
        return False
    if number(value) is not None or (isinstance(value, str) and value.strip().lower() in _VERDICTS):
        return not _COUNTS.search(key) or bool(_JUDGED.search(key))
    is_judged = bool(_JUDGED.search(key)) and not _NAMES.search(key)
    if is_judged or not isinstance(value, dict):
        return is_judged
    return any(_JUDGED.search(name) and isinstance(each, bool | int | float) for name, each in value.items())


def _messages(record: fields.Record) -> list[Any]:
    """Return the messages of a record."""
    conversation = record.get(_BEDROCK)
    if isinstance(conversation, list):
        return [message for each in map(mapping, conversation) for message in _bedrock(each)]
    return find_messages(dict(record))


def _bedrock(turn: fields.Record) -> list[dict[str, Any]]:
    record = mapping(turn.get("inputRecord")) or turn
    prompt, output = mapping(record.get("prompt")), mapping(turn.get("output") or record.get("output"))
    return [
        {"role": "user", "content": prompt.get("content")},
        *([{"role": "assistant", "content": output.get("text")}] if output else []),
    ]


def _records(file: fields.RecordFile) -> fields.Records:
    records = list(file.records())
    if is_messages([record for _, record in records]):
        # A file of messages is one transcript.
        messages = [record for _, record in records]
        records = [(records[0][0], {"id": file.path.stem, "messages": messages})]
    keys: dict[str, None] = {}
    for line, record in records:
        made = turns(_messages(record))
        if not made:
            file.builder.add_problem(line, f"No messages in {as_text(dict(record))!r:.100}.")
            continue
        text = json_values.words(
            next((record[key] for key in ("output", "response", "answer") if record.get(key)), None)
        )
        if text and made[-1]["role"] == "user" and not find_messages(dict(record).get("response")):
            made += fields.as_turns("assistant", text)
        names = (as_text(record.get(name)) for name in _RUN)
        run = as_text(record.get("run")) or "-".join(dict.fromkeys(name for name in names if name))
        keys.update(dict.fromkeys(key for key, value in record.items() if _is_ignored(key, value)))
        yield line, {**record, "run": run or None, "made": made, "reference": _reference(record)}
    file.builder.ignore_fields(*keys)


def _is_ignored(key: str, value: Any) -> bool:
    return value is not None and key not in _READ and key != _BEDROCK and not find_messages({key: value})


def _reference(record: fields.Record) -> str | None:
    turn = fields.get(record, f"{_BEDROCK}.0")
    texts = fields.get(
        mapping(turn), ("referenceResponses.0.content", "inputRecord.referenceResponses.0.content")
    )
    return content(texts)[0] if texts else json_values.words(fields.get(record, _REFERENCES))


def _question(record: fields.Record) -> str | None:
    return next(
        (turn["content"] for turn in record["made"] if turn["role"] == "user" and turn["content"]), None
    )


CONVERSATIONS: Final = RecordFormat(
    records=_records,
    case=lambda record: as_text(fields.get(record, _IDS)) or json_values.digest(_question(record)),
    runs={
        "agent_version": ("agent_version", "version", "run"),
        "agent": "agent",
        "model": "model",
        "provider": "provider",
    },
    cases={
        "input": _question,
        "ideal_behavior": "reference",
        "severity": fields.severity("", "metadata"),
        "domain": "domain",
        "tags": fields.texts("tags"),
    },
    trials=_TRIAL,
    turns=lambda record: record["made"],
    scores=fields.always([]),
)


def read(path: Path) -> Evals:
    """Read conversations; raise `FormatError` if no record has an answer."""
    evals = CONVERSATIONS.read(path)
    if evals.trials.height and not (evals.turns["role"] == "assistant").any():
        raise FormatError(
            f"{path}: {evals.trials.height} questions and no answer. That is a suite, not results. Run an agent over "
            f"it (ek.run_suite), or load the file with its answers."
        )
    return evals


READERS: Final = (Reader("conversations", is_chat, read=read, whole=True, alone=True),)
