"""Blocks of content, tool calls and reasoning of any vendor."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.json_text import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

CALL_KINDS: Final = frozenset(
    ("tool_use", "server_tool_use", "mcp_tool_use", "tool_call", "function_call", "functioncall")
)
RESULT_KINDS: Final = frozenset(
    ("tool_result", "tool_call_response", "function_response", "functionresponse")
)
MAX_DEPTH: Final = 8
"""Content nested more deeply is not read."""

_GEMINI: Final = ("functionCall", "function_call", "functionResponse", "function_response")
_IDS: Final = ("tool_call_id", "tool_use_id", "call_id", "source_call_id", "toolCallId", "id")
_NAMES: Final = ("name", "function_name", "function", "toolName")
_ARGUMENTS: Final = ("arguments", "input", "args", "action", "queries", "code", "parameters")
_RESULTS: Final = ("output", "outputs", "results", "result", "response", "content")
_THOUGHTS: Final = ("thinking", "reasoning", "text", "content", "reasoningText", "summary")
# What is left of a block that is not text: facts, never bytes.
_MAX_FACT: Final = 300
_BYTES: Final = ("data", "bytes", "b64_json", "encrypted_content", "signature")
_ENCODED: Final = re.compile(r"[A-Za-z0-9+/_-]{1000}")
_DATA_URL: Final = re.compile(r"data:[\w.+-]+/[\w.+-]+[;,]")


def arguments(value: Any) -> Any:
    """Return the arguments of a tool call, decoding a JSON object."""
    if not isinstance(value, str):
        return value
    try:
        made = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return value
    return made if isinstance(made, dict | list) else value


def tool_calls(value: Any) -> list[Any]:
    """Return tool calls of any vendor as objects with `id`, `name` and `arguments`."""
    value = arguments(value)
    return [tool_call(each) for each in (value if isinstance(value, list) else [value] if value else [])]


def tool_call(call: Any) -> Any:
    """Return a tool call as `id`, `name` and `arguments`; anything but an object as it is."""
    if not isinstance(call, dict):
        return call
    inner = _inside(call, ("function", *_GEMINI[:2])) or call
    names = (each.get(key) for each in (inner, call) for key in _NAMES)
    record = {
        "id": call_id({**call, **inner}),
        "name": next((name for name in names if isinstance(name, str)), None),
        "arguments": arguments(next((inner[key] for key in _ARGUMENTS if inner.get(key) is not None), None)),
    }
    return {**record, "parse_error": call["parse_error"]} if call.get("parse_error") else record


def tool_result(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], Any]:
    """Return the facts of a tool result, and what the tool returned."""
    inner = _inside(block, _GEMINI[2:]) or block
    return inner, next((inner[key] for key in _RESULTS if inner.get(key) is not None), None)


def call_id(record: Mapping[str, Any]) -> str | None:
    """Return the ID of a tool call, also of its result."""
    return as_text(next((record[key] for key in _IDS if record.get(key) is not None), None))


def kind_of(block: Mapping[str, Any]) -> str:
    """Return the kind of a block, by its type or its only key; "" if it has none."""
    kind = block.get("type") or next((key for key in _GEMINI if isinstance(block.get(key), dict)), "")
    return str(kind).replace("-", "_").lower()


def _inside(record: Mapping[str, Any], keys: tuple[str, ...]) -> Mapping[str, Any] | None:
    return next((record[key] for key in keys if isinstance(record.get(key), dict)), None)


def thoughts(value: Any, depth: int = 0) -> list[str]:
    """Return the texts of reasoning in any form."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, list) and depth <= MAX_DEPTH:
        return [text for each in value for text in thoughts(each, depth + 1)]
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return []
    keys = ("summary",) if value.get("redacted") else _THOUGHTS
    found = (thoughts(value.get(key), depth + 1) for key in keys)
    return next((texts for texts in found if texts), [])


def media_part(block: Any) -> Any:
    """Return what is kept of a block that is not text: its type and short facts, never bytes."""
    facts = _facts(block)
    if isinstance(facts, dict) and "type" not in facts and block:
        return {"type": next(iter(block)), **facts}
    return facts


def _facts(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        if url := _DATA_URL.match(value):
            return f"({url[0][:60].rstrip(';,')}, {len(value):,} characters)"
        return value if len(value) <= _MAX_FACT else f"({len(value):,} characters)"
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        return "(nested)"
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name not in _BYTES or not isinstance(each, str)}
        facts = {name: _facts(each, depth + 1) for name, each in kept.items()}
        return {name: fact for name, fact in facts.items() if fact != {}}
    if isinstance(value, list):
        return [_facts(each, depth + 1) for each in value]
    return value


def without_data(value: Any, depth: int = 0) -> Any:
    """Return a value with its data URLs and encoded bytes replaced by their size."""
    if isinstance(value, str):
        return _facts(value) if _DATA_URL.match(value) or _ENCODED.match(value) else value
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return {name: without_data(each, depth + 1) for name, each in value.items()}
    return [without_data(each, depth + 1) for each in value] if isinstance(value, list) else value
