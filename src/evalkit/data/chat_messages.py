"""Chat messages as rows of turns."""

from __future__ import annotations

from typing import Any

import msgspec

from evalkit.data.json_text import as_text


def message(record: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAI chat message as the columns of a turn.

    A list of parts becomes its text, plus `parts` as JSON if it has more than text.

    >>> call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    >>> message({"role": "assistant", "content": None, "tool_calls": [call]})["tool_calls"]
    '[{"id":"c1","name":"add","arguments":{"a":1}}]'
    >>> message({"role": "user", "content": [{"type": "text", "text": "Hi"}]})["content"]
    'Hi'
    """
    text, parts = content(record.get("content"))
    calls = record.get("tool_calls")
    reasoning = record.get("reasoning") or record.get("reasoning_content")
    return {
        "role": as_text(record.get("role")),
        "content": text,
        "reasoning": as_text(reasoning),
        "tool_calls": as_text([_call(call) for call in calls]) if isinstance(calls, list) and calls else None,
        "tool_name": as_text(record.get("name")) if record.get("role") in ("tool", "function") else None,
        "tool_call_id": as_text(record.get("tool_call_id")),
        "parts": parts,
    }


def content(value: Any) -> tuple[str | None, str | None]:
    """Return the text of a message, and its parts as JSON if they have more than text."""
    if value is None or isinstance(value, str):
        return value, None
    pieces = value if isinstance(value, list) else [value]
    texts = [piece if isinstance(piece, str) else _text_of(piece) for piece in pieces]
    text = "".join(text for text in texts if text is not None)
    return text, None if all(text is not None for text in texts) else as_text(pieces)


def arguments(value: Any) -> Any:
    """Return the arguments of a tool call, decoding a JSON object."""
    if not isinstance(value, str):
        return value
    try:
        made = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return value
    return made if isinstance(made, dict | list) else value


def _text_of(piece: Any) -> str | None:
    if not isinstance(piece, dict) or piece.get("type", "text") not in ("text", "input_text", "output_text"):
        return None
    text = piece.get("text")
    return text if isinstance(text, str) else None


def _call(call: Any) -> Any:
    if not isinstance(call, dict):
        return call
    function = call.get("function")
    if not isinstance(function, dict):
        function = {"name": function or call.get("name"), "arguments": call.get("arguments")}
    return {
        "id": call.get("id"),
        "name": function.get("name"),
        "arguments": arguments(function.get("arguments")),
    }
