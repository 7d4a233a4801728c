"""Chat messages of any vendor as rows of turns."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.content_blocks import (
    CALL_KINDS,
    MAX_DEPTH,
    RESULT_KINDS,
    arguments,
    call_id,
    kind_of,
    media_part,
    thoughts,
    tool_call,
    tool_calls,
    tool_result,
    without_data,
)
from evalkit.data.json_text import as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROLES: Final = {
    **dict.fromkeys(("user", "human", "customer"), "user"),
    **dict.fromkeys(("assistant", "ai", "gpt", "model", "bot", "agent", "chatbot"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "environment", "tool_result"), "tool"),
    **dict.fromkeys(("system", "developer"), "system"),
    "function_call": "assistant",
}
"""The roles of a turn, by the words of the vendors."""

_SPEAKER_KEYS: Final = ("role", "from", "source", "speaker", "sender", "type")
_CONTENT_KEYS: Final = ("content", "parts", "value", "message", "text")
_REASONING_KEYS: Final = ("reasoning", "reasoning_content", "thinking", "reasoning_details")
_MEDIA_KEYS: Final = {"images": "image", "audio": "audio", "attachments": "file", "files": "file"}
# Where a record keeps its conversation, what stands before it, and what was answered.
_LISTS: Final = (
    *(
        "messages",
        "conversations",
        "conversation",
        "contents",
        "items",
        "steps",
        "trajectory",
        "traj",
        "chat",
    ),
    *(
        "history",
        "chat_history",
        "dialog",
        "dialogue",
        "transcript",
        "turns",
        "request",
        "input",
        "inputs",
        "prompt",
    ),
)
_SYSTEM: Final = ("system", "instructions", "system_instruction", "systemInstruction", "system_prompt")
_REPLIES: Final = ("response", "output", "outputs", "completion", "reply", "answer")
_READ: Final = frozenset(
    (
        *("role", "type", "turn", "tool_calls", "tool_name", "tool_call_id", "call_id", "function_call"),
        *("refusal", "observation", "additional_kwargs", "author", "kwargs", "data", "lc", "step_id"),
        *_CONTENT_KEYS,
        *_REASONING_KEYS,
        *_MEDIA_KEYS,
    )
)


def turns(messages: Iterable[Any], *, ignored: Counter[str] | None = None) -> list[dict[str, Any]]:
    """Return messages or items of one conversation as columns of turns.

    Messages of OpenAI (chat and Responses), Anthropic, LangChain, ShareGPT, Gemini, GenAI spans and ATIF are read.
    A tool result inside a message is a turn of its own. Images, audio and files keep their type in `parts`, never
    their bytes. `ignored` counts the keys that have no column.

    >>> call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    >>> turns([{"role": "assistant", "content": None, "tool_calls": [call]}])[0]["tool_calls"]
    '[{"id":"c1","name":"add","arguments":{"a":1}}]'
    >>> result = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "2"}]}
    >>> [(turn["role"], turn["content"]) for turn in turns([{"role": "user", "content": [result]}])]
    [('tool', '2')]
    """
    reader = _Reader(Counter() if ignored is None else ignored)
    for each in messages:
        if isinstance(each, dict):
            reader.add(_unwrapped(each))
    return [_columns(turn) for turn in reader.made]


def content(value: Any) -> tuple[str | None, str | None, str | None]:
    """Return the text, the reasoning and the other parts (JSON) of a message's content.

    >>> content([{"type": "text", "text": "Look: "}, {"type": "image", "source": {"data": "..."}}])
    ('Look: ', None, '[{"type":"image"}]')
    """
    turn = _columns(_Reader(Counter()).blocks(value))
    return turn["content"], turn["reasoning"], turn["parts"]


def is_messages(value: Any) -> bool:
    """Whether most elements of a list are messages or items of a conversation.

    >>> is_messages([{"role": "user", "content": "Hi"}]), is_messages([{"role": "admin", "score": 1}])
    (True, False)
    """
    if not isinstance(value, list) or not value:
        return False
    return 2 * sum(isinstance(each, dict) and _is_message(_unwrapped(each)) for each in value) > len(value)


def find_messages(value: Any, depth: int = 0) -> list[Any]:
    """Return the messages of a conversation, or of a request or response that holds one; [] if there are none.

    >>> find_messages({"choices": [{"message": {"role": "assistant", "content": "Hi"}}]})
    [{'role': 'assistant', 'content': 'Hi'}]
    """
    value = arguments(value)
    if isinstance(value, list):
        return value if is_messages(value) else []
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return []
    if _is_message(value) and "role" in value:
        return [value]
    choices = value.get("choices") or value.get("candidates")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return find_messages(choices[0].get("message") or choices[0].get("content"), depth + 1)
    found = next((held for key in _LISTS if (held := find_messages(value.get(key), depth + 1))), [])
    system = next((value[key] for key in _SYSTEM if value.get(key) and found), None)
    first = (
        []
        if system is None
        else [{"role": "system", **(system if isinstance(system, dict) else {"content": system})}]
    )
    replies = (find_messages(value.get(key), depth + 1) for key in _REPLIES)
    reply = next((each for each in replies if each), [])
    return join_messages([*first, *found], reply)


def join_messages(sent: list[Any], received: list[Any]) -> list[Any]:
    """Return the messages of a request and its response, which may repeat those of the request."""
    return received if received[: len(sent)] == sent else [*sent, *received]


def _unwrapped(record: dict[str, Any]) -> dict[str, Any]:
    """Return the message inside an envelope of LangChain or Claude Code."""
    name = record.get("id")
    if isinstance(record.get("kwargs"), dict) and isinstance(name, list) and name:
        return {**record["kwargs"], "type": str(name[-1])}
    if isinstance(record.get("data"), dict) and "content" in record["data"]:
        return {**record["data"], "type": record.get("type")}
    inner = record.get("message")
    if isinstance(inner, dict) and ("content" in inner or "role" in inner):
        return {"role": record.get("type"), **inner}
    return record


def _role(record: Mapping[str, Any]) -> str | None:
    said = record.get("role")
    if isinstance(said, str) and said in ROLES:
        return ROLES[said]
    author = record.get("author")
    words = [record.get(key) for key in _SPEAKER_KEYS]
    words.append(author.get("role") if isinstance(author, dict) else None)
    for word in words:
        if isinstance(word, str):
            short = word.lower().removesuffix("chunk").removesuffix("message") or word.lower()
            if short in ROLES:
                return ROLES[short]
    return as_text(record.get("role"))


def _is_message(record: Mapping[str, Any]) -> bool:
    if _is_item(record):
        return True
    has_content = any(key in record for key in (*_CONTENT_KEYS, "tool_calls", "function_call", "observation"))
    return has_content and _role(record) in ROLES.values()


def _is_item(record: Mapping[str, Any]) -> bool:
    """Whether a record is an item of the Responses API other than a message."""
    kind = record.get("type")
    return (
        "role" not in record
        and isinstance(kind, str)
        and (kind == "reasoning" or kind.endswith(("_call", "_call_output")))
    )


def _new(role: str | None = None, **values: Any) -> dict[str, Any]:
    return {"role": role, "texts": [], "reasoning": [], "calls": [], "parts": [], **values}


def _columns(turn: dict[str, Any]) -> dict[str, Any]:
    columns = {
        "role": turn["role"],
        "content": "".join(turn["texts"]) if turn["texts"] else None,
        "reasoning": "\n".join(turn["reasoning"]) or None,
        "tool_calls": as_text(turn["calls"]) if turn["calls"] else None,
        "tool_name": turn.get("tool_name"),
        "tool_call_id": turn.get("tool_call_id"),
        "parts": as_text(turn["parts"]) if turn["parts"] else None,
    }
    return columns if turn.get("turn") is None else {**columns, "turn": turn["turn"]}


class _Reader:
    """The turns of a conversation so far; `is_open` while items of one reply follow each other."""

    def __init__(self, ignored: Counter[str]) -> None:
        self.made: list[dict[str, Any]] = []
        self.ignored = ignored
        self.is_open = False
        self._names: dict[str, str] = {}

    def add(self, record: dict[str, Any]) -> None:
        if _is_item(record):
            self._add_item(record)
            return
        role = _role(record)
        self.ignored.update(
            key
            for key, value in record.items()
            if value is not None
            and key not in _READ
            and key not in _SPEAKER_KEYS
            and not (key == "name" and role == "tool")
        )
        turn = self._message(record, role)
        is_reply = record.get("type") == "message" and role == "assistant"
        if is_reply and self.is_open and not self.made[-1]["texts"]:
            last = self.made[-1]
            for name in ("texts", "reasoning", "calls", "parts"):
                last[name] += turn[name]
            return
        self._flush(turn, is_empty_kept=True)
        self.is_open = is_reply
        observation = record.get("observation")
        results = observation.get("results") if isinstance(observation, dict) else None
        for result in results if isinstance(results, list) else []:
            if isinstance(result, dict):
                self._add_result(result)

    def _add_item(self, item: dict[str, Any]) -> None:
        kind = item["type"]
        if kind.endswith("_output"):
            self._add_result(item)
            return
        is_thought = kind == "reasoning"
        last = self.made[-1] if self.is_open else None
        if last is None or (is_thought and (last["texts"] or last["calls"])):
            last = _new("assistant")
            self.made.append(last)
            self.is_open = True
        if is_thought:
            last["reasoning"] += thoughts(item.get("summary")) or thoughts(item.get("content"))
            return
        call = tool_call(item)
        call["name"] = call["name"] or kind.removesuffix("_call")
        self._add_call(last, call)
        if kind == "image_generation_call":
            last["parts"].append({"type": "image"})
        elif any(item.get(key) is not None for key in ("output", "outputs", "results", "result")):
            self._add_result(item)
            self.is_open = False

    def _message(self, record: dict[str, Any], role: str | None) -> dict[str, Any]:
        more = record.get("additional_kwargs")
        extra = more if isinstance(more, dict) else {}
        turn = _new(role, turn=record.get("turn") if isinstance(record.get("turn"), int) else None)
        reasons = (thoughts(record.get(key) or extra.get(key)) for key in _REASONING_KEYS)
        turn["reasoning"] += next((texts for texts in reasons if texts), [])
        value = next((record[key] for key in _CONTENT_KEYS if record.get(key) is not None), None)
        given = (
            record.get("tool_calls")
            or extra.get("tool_calls")
            or record.get("function_call")
            or extra.get("function_call")
        )
        if record.get("from") == "function_call" and isinstance(arguments(value), dict | list):
            value, given = None, arguments(value)
        calls = tool_calls(given)
        if role == "tool":
            turn["tool_call_id"] = as_text(record.get("tool_call_id") or record.get("call_id"))
            turn["tool_name"] = as_text(record.get("tool_name") or record.get("name")) or self._names.get(
                turn["tool_call_id"] or ""
            )
            if record.get("is_error") is True or record.get("status") == "error":
                turn["parts"].append({"type": "error"})
        else:
            turn["tool_call_id"], turn["tool_name"] = (
                as_text(record.get("tool_call_id")),
                as_text(record.get("tool_name")),
            )
        turn = self.blocks(
            value, turn, {as_text(call.get("id")) for call in calls if isinstance(call, dict)} - {None}
        )
        own = record.get("parts")
        if own is not None and own is not value:
            found = self.blocks(arguments(own), _new(role))
            turn["parts"] += found["parts"]
            turn["reasoning"] += found["reasoning"] if not turn["reasoning"] else []
            calls += found["calls"] if not calls else []
            turn["texts"] = turn["texts"] or found["texts"]
        for call in calls:
            self._add_call(turn, call)
        refusal = record.get("refusal") or extra.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._read_block({"type": "refusal", "refusal": refusal}, turn, set(), 0)
        for key, kind in _MEDIA_KEYS.items():
            held = record.get(key)
            for each in held if isinstance(held, list) else [held] if held else []:
                facts = media_part(each) if isinstance(each, dict) else {}
                turn["parts"].append({**facts, "type": kind})
                if isinstance(each, dict) and isinstance(each.get("transcript"), str) and not turn["texts"]:
                    turn["texts"].append(each["transcript"])
        return turn

    def blocks(
        self,
        value: Any,
        turn: dict[str, Any] | None = None,
        known: set[str | None] | None = None,
        depth: int = 0,
    ) -> dict[str, Any]:
        """Read content into a turn; return the turn that is open after the last tool result."""
        turn = _new() if turn is None else turn
        if value is None:
            return turn
        for block in value if isinstance(value, list) else [value]:
            turn = self._read_block(block, turn, known or set(), depth)
        return turn

    def _read_block(
        self, block: Any, turn: dict[str, Any], known: set[str | None], depth: int
    ) -> dict[str, Any]:
        if isinstance(block, str):
            turn["texts"].append(block)
            return turn
        if not isinstance(block, dict) or depth > MAX_DEPTH:
            turn["parts"].append(media_part(block))
            return turn
        kind = kind_of(block)
        text = next((block[key] for key in ("text", "content") if isinstance(block.get(key), str)), None)
        if kind in ("thinking", "reasoning", "reasoning_content") or block.get("thought") is True:
            turn["reasoning"] += thoughts(block)
        elif kind == "redacted_thinking":
            turn["parts"].append({"type": kind})
        elif kind in CALL_KINDS:
            call = tool_call(block)
            if call["id"] is None or call["id"] not in known:
                self._add_call(turn, call)
            if kind == "tool_use" and block.get("result") is not None:
                return self._split(turn, block, depth)
        elif kind in RESULT_KINDS or kind.endswith("_tool_result"):
            return self._split(turn, block, depth)
        elif kind == "refusal":
            turn["texts"].append(as_text(block.get("refusal") or text) or "")
            turn["parts"].append({"type": kind})
        elif isinstance(block.get("text"), str) or (kind in ("text", "") and text is not None):
            self._separate(turn)
            turn["texts"].append(text)
        elif kind == "message" or (kind == "" and isinstance(block.get("content"), list)):
            return self.blocks(block.get("content"), turn, known, depth + 1)
        else:
            turn["parts"].append(media_part(block))
        return turn

    def _separate(self, turn: dict[str, Any]) -> None:
        if (
            turn["texts"]
            and turn.get("calls_at", 0) < len(turn["calls"])
            and not turn["texts"][-1].endswith(("\n", " "))
        ):
            turn["texts"].append("\n")
        turn["calls_at"] = len(turn["calls"])

    def _split(self, turn: dict[str, Any], block: dict[str, Any], depth: int) -> dict[str, Any]:
        """End a turn before a tool result, and return the turn that goes on behind it."""
        self._flush(turn)
        self._add_result(block, depth)
        return _new(turn["role"], is_rest=True)

    def _flush(self, turn: dict[str, Any], *, is_empty_kept: bool = False) -> None:
        has_any = any(turn[name] for name in ("texts", "reasoning", "calls", "parts"))
        if has_any or (is_empty_kept and not turn.get("is_rest")):
            self.made.append(turn)
            self.is_open = False

    def _add_call(self, turn: dict[str, Any], call: Any) -> None:
        turn["calls"].append(call)
        if isinstance(call, dict) and call.get("id") and isinstance(call.get("name"), str):
            self._names[str(call["id"])] = call["name"]

    def _add_result(self, block: Mapping[str, Any], depth: int = 0) -> None:
        inner, value = tool_result(block)
        identity = call_id(inner)
        name = inner.get("name") or inner.get("toolName")
        turn = _new("tool", tool_call_id=identity, tool_name=as_text(name) or self._names.get(identity or ""))
        if isinstance(value, list) and any(
            isinstance(each, dict) and ("type" in each or "text" in each) for each in value
        ):
            inside = _Reader(Counter())
            rest = inside.blocks(value, turn, None, depth + 1)
            for each in [*inside.made, rest]:
                if each is not turn:
                    turn["texts"] += each["texts"]
                    turn["parts"] += each["parts"]
        elif isinstance(value, dict) and isinstance(value.get("text"), str):
            turn["texts"].append(value["text"])
        elif value is not None:
            turn["texts"].append(value if isinstance(value, str) else as_text(without_data(value)) or "")
        if inner.get("is_error") is True or inner.get("isError") is True or inner.get("error"):
            turn["parts"].append({"type": "error"})
            if isinstance(inner.get("error"), str | dict) and not turn["texts"]:
                turn["texts"].append(as_text(inner["error"]) or "")
        self.made.append(turn)
        self.is_open = False
