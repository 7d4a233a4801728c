"""Claude Code sessions: one JSONL file is one transcript."""

from __future__ import annotations

from typing import Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, has_keys
from evalkit.readers.json_values import mapping, sequence
from evalkit.util.words import join_words

_SPEAKERS: Final = ("user", "assistant")


def _sessions(file: fields.RecordFile) -> fields.Records:
    lines: dict[str, fields.Record] = {}
    skipped: dict[str, int] = {}
    first = None
    for number, record in file.records():
        first = first or number
        uuid = as_text(record.get("uuid"))
        if uuid and not record.get("isSidechain"):
            lines.setdefault(uuid, record)
        if reason := _reason_to_skip(record):
            skipped[reason] = skipped.get(reason, 0) + 1
    shown = {uuid for uuid, record in lines.items() if _reason_to_skip(record) is None}
    chain = _last_branch(lines, shown)
    if left_out := len(shown) - len(chain):
        skipped["other branches"] = left_out
    if skipped:
        counts = [f"{name} ({count:,})" for name, count in sorted(skipped.items())]
        file.note("ignored", f"Lines of the session that are not shown: {join_words(counts, limit=20)}.")
    if not chain:
        file.note("skipped", "The session has no message of its own, as the file of a subagent.")
        return
    yield first, _session([lines[uuid] for uuid in lines if uuid in chain], file.path.stem)


def _reason_to_skip(record: fields.Record) -> str | None:
    if record.get("isSidechain"):
        return "subagents"
    if record.get("isMeta"):
        return "meta"
    kind = record.get("type")
    if kind in _SPEAKERS and isinstance(record.get("message"), dict):
        return None
    return as_text(kind) or "unknown"


def _last_branch(lines: dict[str, fields.Record], shown: set[str]) -> set[str]:
    """Return the messages of the branch with the last one, and all results of its tool calls.

    Parallel calls are lines of one message, and each result follows its own line: a fork that is none.
    """
    uuid = next((uuid for uuid in reversed(lines) if uuid in shown), None)
    before = dict(zip(lines, [None, *lines], strict=False))
    branch: dict[str, None] = {}
    while uuid in lines and uuid not in branch:
        branch[uuid] = None
        # A compaction has a logical parent only; without the key the lines follow each other.
        parent = lines[uuid].get("parentUuid") or lines[uuid].get("logicalParentUuid")
        uuid = as_text(parent) if "parentUuid" in lines[uuid] else before[uuid]
    ids = {_message_id(lines[uuid]) for uuid in branch} - {None}
    chain = {uuid for uuid in shown if uuid in branch or _message_id(lines[uuid]) in ids}
    calls = {each.get("id") for uuid in chain for each in _blocks(lines[uuid], "tool_use")} - {None}
    results = {
        uuid
        for uuid in shown - chain
        if any(each.get("tool_use_id") in calls for each in _blocks(lines[uuid], "tool_result"))
    }
    return chain | results


def _blocks(record: fields.Record, kind: str) -> list[dict[str, Any]]:
    blocks = map(mapping, sequence(fields.get(record, "message.content")))
    return [
        dict(block, id=as_text(block.get("id")), tool_use_id=as_text(block.get("tool_use_id")))
        for block in blocks
        if block.get("type") == kind
    ]


def _message_id(record: fields.Record) -> str | None:
    return as_text(mapping(record.get("message")).get("id")) if record.get("type") == "assistant" else None


def _session(lines: list[fields.Record], name: str) -> dict[str, Any]:
    replies: dict[str, dict[str, Any]] = {}
    messages: list[dict[str, Any]] = []
    for number, record in enumerate(lines):
        message = dict(mapping(record.get("message")), role=record.get("type"))
        content = message.get("content")
        identity = _message_id(record)
        known = replies.get(identity) if identity else None
        if known is None:
            blocks = content if isinstance(content, list) else [] if content is None else [content]
            message = {**message, "content": blocks}
            replies[identity or str(number)] = message
            messages.append(message)
        else:
            # The lines of a message repeat its usage; the last has the final one.
            known["content"] += content if isinstance(content, list) else [content]
            known.update({key: message[key] for key in ("usage", "stop_reason") if message.get(key)})
    answers = [message for message in messages if message["role"] == "assistant"]
    usages = [mapping(message.get("usage")) for message in answers]
    last = lines[-1]
    models = [
        model for message in answers if isinstance(model := message.get("model"), str) and model[:1] != "<"
    ]
    return {
        "case": as_text(last.get("sessionId")) or name,
        "messages": messages,
        "model": models[-1] if models else None,
        "run": models[-1] if models else "claude-code",
        "started_at": lines[0].get("timestamp"),
        "stop_reason": answers[-1].get("stop_reason") if answers else None,
        "error": _text(last) if last.get("isApiErrorMessage") else None,
        "input_tokens": _sum(
            usages, "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"
        ),
        "output_tokens": _sum(usages, "output_tokens"),
    }


def _text(record: fields.Record) -> str | None:
    return fields.last_text(fields.chat_turns([mapping(record.get("message"))]), "assistant")


def _sum(usages: list[Any], *names: str) -> int | None:
    counts = [usage[name] for usage in usages for name in names if type(usage.get(name)) is int]
    return sum(counts) if counts else None


def _first_question(session: fields.Record) -> str | None:
    turns = fields.chat_turns(session["messages"])
    return next((turn["content"] for turn in turns if turn["role"] == "user" and turn["content"]), None)


SESSIONS: Final = RecordFormat(
    records=_sessions,
    epoch=fields.always(1),
    is_version=True,
    runs={"agent": fields.always("claude-code"), "model": "model"},
    cases={"input": _first_question},
    trials=fields.same("error", "stop_reason", "input_tokens", "output_tokens", "started_at"),
    turns=lambda session: fields.chat_turns(session["messages"]),
    scores=fields.always([]),
)


READERS: Final = (
    Reader(
        "Claude Code session",
        has_keys("sessionId", "uuid", "type", any_of=("parentUuid", "isSidechain")),
        read=SESSIONS.read,
        whole=True,
        alone=True,
    ),
)
