"""Span attributes by OpenTelemetry GenAI and OpenInference conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import turns
from evalkit.data.json_text import as_text
from evalkit.readers.formats.fields import last_text
from evalkit.readers.json_values import decoded, mapping, sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.readers.formats.fields import Record

_CALLS: Final = ("chat", "text_completion", "generate_content")
_PARTS: Final = {
    "name": "gen_ai.evaluation.name",
    "score": "gen_ai.evaluation.score.value",
    "label": "gen_ai.evaluation.score.label",
    "explanation": "gen_ai.evaluation.explanation",
    "annotator_kind": "gen_ai.evaluation.grader",
}


def plain(attributes: Any) -> dict[str, Any]:
    """Return OTLP's list of keys and typed values as a dict.

    >>> plain([{"key": "n", "value": {"intValue": "3"}}, {"key": "t", "value": {"stringValue": "x"}}])
    {'n': 3, 't': 'x'}
    """
    if isinstance(attributes, dict):
        return attributes
    pairs = (pair for pair in sequence(attributes) if isinstance(pair, dict))
    return {str(pair.get("key")): _value(pair.get("value")) for pair in pairs}


def is_model_call(attributes: Record) -> bool:
    """Whether the span is a model call."""
    return (
        attributes.get("gen_ai.operation.name") in _CALLS
        or attributes.get("openinference.span.kind") == "LLM"
        or "gen_ai.input.messages" in attributes
    )


def input_of(attributes: Record) -> Any:
    """Return the input of a span: the last user text, if any."""
    value = decoded(attributes.get("input.value"))
    if value is None:
        return last_text(messages_of(attributes), "user")
    users = [m for m in sequence(mapping(value).get("messages")) if mapping(m).get("role") == "user"]
    return users[-1].get("content") if users else value


def output_of(attributes: Record) -> str | None:
    """Return the output of a span as text."""
    value = attributes.get("output.value")
    if value is not None and not sequence(mapping(value).get("choices")):
        return as_text(value)
    return last_text(messages_of(attributes), "assistant")


def messages_of(attributes: Record) -> list[dict[str, Any]]:
    """Return the conversation of a model call as columns of turns."""
    system = sequence(attributes.get("gen_ai.system_instructions"))
    messages: list[Any] = [{"role": "system", "parts": system}] if system else []
    for name in ("gen_ai.input.messages", "gen_ai.output.messages"):
        messages += map(mapping, sequence(attributes.get(name)))
    for prefix in ("llm.input_messages.", "llm.output_messages."):
        nested = _ordered(_unflattened(attributes, prefix))
        messages += [_openinference_message(mapping(each.get("message"))) for each in nested]
    return turns(messages)


def evaluations(attributes: Record) -> Iterator[dict[str, Any]]:
    """Yield the OpenInference evaluation results by their GenAI names."""
    for prefix in ("annotation", "evaluation"):
        if attributes.get(f"{prefix}.name") is not None:
            yield {name: attributes.get(f"{prefix}.{part}") for part, name in _PARTS.items()}


def _openinference_message(record: Record) -> dict[str, Any]:
    calls = [mapping(call.get("tool_call")) for call in _ordered(record.get("tool_calls"))]
    pieces = [mapping(piece.get("message_content")) for piece in _ordered(record.get("contents"))]
    return {**record, "content": pieces or record.get("content"), "tool_calls": calls}


def _ordered(numbered: Any) -> list[Record]:
    items = sorted(mapping(numbered).items(), key=lambda item: int(item[0]) if item[0].isdecimal() else -1)
    return [mapping(value) for _, value in items]


def _unflattened(attributes: Record, prefix: str) -> dict[str, Any]:
    """Return the attributes under a prefix as nested dicts: `a.0.b` is `{"0": {"b": ...}}`."""
    nested: dict[str, Any] = {}
    for name, value in attributes.items():
        if not name.startswith(prefix):
            continue
        *path, last = name.removeprefix(prefix).split(".")
        inner = nested
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                break
        else:
            inner[last] = value
    return nested


def _value(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "intValue" in value:
        try:
            return int(value["intValue"])
        except (TypeError, ValueError):
            return None
    if "arrayValue" in value:
        return [_value(each) for each in sequence(mapping(value["arrayValue"]).get("values"))]
    if "kvlistValue" in value:
        return plain(mapping(value["kvlistValue"]).get("values"))
    return next(
        (value[k] for k in ("stringValue", "doubleValue", "boolValue", "bytesValue") if k in value), None
    )
