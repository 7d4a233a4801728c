"""What the fake's model says, and what the fake refuses to ask it."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import jsonschema

_NUMBERS = itertools.count(1)
_NOT_AT_GROQ = ("logprobs", "top_logprobs", "logit_bias")
STRICT_AT_GROQ = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")


class ApiError(Exception):
    """An answer with an HTTP status that is not 200."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, kind: str | None = None, **more: Any
    ):
        super().__init__(message)
        self.status = status
        self.body = {
            "error": {
                "message": message,
                "type": kind or "invalid_request_error",
                "code": code,
                "param": None,
                **more,
            }
        }


@dataclass(frozen=True)
class Answer:
    """One completion, with whatever can be odd about it."""

    content: str | None = ""
    finish_reason: str = "stop"
    refusal: str | None = None
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    usage: dict[str, Any] | None = field(default_factory=dict)
    fingerprint: str | None = "fp_fake"
    raw: Any = None
    """Sent in place of a completion: any JSON."""


def example(schema: dict[str, Any]) -> Any:
    """Return the smallest thing that a schema of the kinds judges use allows."""
    if "enum" in schema:
        return schema["enum"][-1]
    if "const" in schema:
        return schema["const"]
    if "anyOf" in schema:
        return example(schema["anyOf"][0])
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: example(inner) for name, inner in schema.get("properties", {}).items()}
    plain = {"array": [], "integer": 1, "number": 1.0, "boolean": False, "string": "text", "null": None}
    return plain.get(kind)


def default_answer(body: dict[str, Any]) -> Any:
    """Answer what the schema allows, or a sentence."""
    schema = _schema(body)
    return example(schema["schema"]) if schema else f"An answer from {body['model']}."


def complete(fake: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Return a chat completion, or raise the ApiError that the service documents."""
    _check(fake, body)
    said = fake.answer(body)
    if not isinstance(said, Answer):
        said = Answer(said if isinstance(said, str) or said is None else json.dumps(said, ensure_ascii=False))
    if said.raw is not None:
        return said.raw
    spec = _schema(body)
    if (
        spec
        and not spec.get("strict")
        and fake.groq
        and said.refusal is None
        and not _fits(said.content, spec["schema"])
    ):
        raise ApiError(
            400,
            "Failed to validate JSON. Please adjust your prompt. See 'failed_generation' for more details.",
            code="json_validate_failed",
            failed_generation=said.content,
        )
    message = {"role": "assistant", "content": said.content}
    for name in ("refusal", "reasoning", "tool_calls"):
        if getattr(said, name) is not None:
            message[name] = getattr(said, name)
    sent, written = len(json.dumps(body.get("messages"))) // 4, max(1, len(said.content or "") // 4)
    usage = {"prompt_tokens": sent, "completion_tokens": written, "total_tokens": sent + written}
    made = {
        "id": f"chatcmpl-{next(_NUMBERS)}",
        "object": "chat.completion",
        "created": int(fake.now()),
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": said.finish_reason}],
        "system_fingerprint": said.fingerprint,
    }
    if said.usage is not None:
        made["usage"] = {**usage, **said.usage}
    if fake.groq:
        made["x_groq"] = {"id": f"req_{made['id']}"}
    return made


def _check(fake: Any, body: dict[str, Any]) -> None:
    model = body.get("model")
    if model not in fake.models:
        raise ApiError(
            404,
            f"The model `{model}` does not exist or you do not have access to it.",
            code="model_not_found",
        )
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise ApiError(400, "'messages' : minimum number of items is 1")
    spec = _schema(body)
    if spec and spec.get("strict"):
        _check_strict(spec["schema"])
    if not fake.groq:
        reasons = str(model).startswith(("gpt-5", "gpt-6")) and body.get("reasoning_effort") != "none"
        for name in ("temperature", "top_p"):
            if reasons and name in body:
                raise ApiError(400, f"Unsupported parameter: '{name}' is not supported with this model.")
        return
    for name in _NOT_AT_GROQ:
        if body.get(name):
            raise ApiError(400, f"`{name}` is not supported", kind="invalid_request_error")
    if body.get("n") not in (None, 1):
        raise ApiError(400, "'n' : number must be at most 1")
    if any("name" in message for message in body["messages"]):
        raise ApiError(400, "'messages.0' : property 'name' is unsupported")
    if spec and spec.get("strict") and model not in STRICT_AT_GROQ:
        raise ApiError(400, f"model `{model}` does not support strict `json_schema`")


def _check_strict(schema: Any) -> None:
    """A strict schema names each property as required and allows no other; ranges are words it does not know."""
    if isinstance(schema, list):
        for one in schema:
            _check_strict(one)
    elif isinstance(schema, dict):
        if schema.get("type") == "object" and (
            schema.get("additionalProperties") is not False
            or sorted(schema.get("required", [])) != sorted(schema.get("properties", {}))
        ):
            raise ApiError(
                400, "invalid JSON schema: all properties must be required, additionalProperties false"
            )
        for name in ("minItems", "maxItems"):
            if name in schema and schema.get("type") == "array":
                raise ApiError(400, f"invalid JSON schema: {name} is not supported")
        for inner in schema.values():
            _check_strict(inner)


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    form = body.get("response_format")
    return form.get("json_schema") if isinstance(form, dict) and form.get("type") == "json_schema" else None


def _fits(content: str | None, schema: dict[str, Any]) -> bool:
    try:
        jsonschema.validate(json.loads(content or ""), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True
