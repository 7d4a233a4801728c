"""Reading of API responses: a chat completion, or an error in any known shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from evalkit.data import json_text
from evalkit.util.redact import hide_environment

if TYPE_CHECKING:
    from evalkit.llm.requests import Outcome

_MAX_MESSAGE: Final = 2_000
# 498 is Groq's "capacity exceeded", 425 is "too early".
_RETRYABLE: Final = frozenset({408, 409, 425, 429, 498})


class Classified(NamedTuple):
    """Outcome of one response; `code` and `message` are the provider's own, None if missing."""

    outcome: Outcome
    status: int | None = None
    code: str | None = None
    message: str | None = None


def classify_response(status: int | None, body: Any, error: Any = None) -> Classified:
    """Classify a response as `success`, `api_error` or `malformed`; `body` is None if it is not JSON.

    >>> classify_response(200, {"choices": []}).outcome, classify_response(200, {"x": 1}).outcome
    ('success', 'malformed')
    >>> classify_response(200, {"error": {"message": "Upstream failed.", "code": 502}})
    Classified(outcome='api_error', status=200, code='502', message='Upstream failed.')
    """
    if status in (None, 200) and isinstance(body, dict) and isinstance(body.get("choices"), list):
        return Classified("success", 200)
    if status is not None and 300 <= status < 400:
        return Classified(
            "api_error", status, "redirect", "It redirects to another address. Name that address."
        )
    code, message = read_error(error or None)
    if code is None and message is None:
        code, message = read_error(body)
    number = error.get("code") if isinstance(error, dict) else None
    if status is None and type(number) is int and 400 <= number < 600:
        status = number
    has_error = bool(error) or (isinstance(body, dict) and bool(body.get("error")))
    if (status is None or status < 400) and not has_error:
        return Classified("malformed", status, code, "The response is not a chat completion.")
    return Classified("api_error", status, code, message)


def is_retryable(status: int) -> bool:
    """Return whether an error with this HTTP status may be temporary.

    >>> is_retryable(503), is_retryable(429), is_retryable(413)
    (True, True, False)
    """
    return status in _RETRYABLE or status >= 500


def decode_json(content: bytes | str) -> Any:
    r"""Decode JSON, a lone surrogate as U+FFFD; return None for invalid JSON.

    >>> decode_json(b'{"text": "cut \\ud83d off"}')
    {'text': 'cut � off'}
    """
    try:
        return json_text.decode(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    except ValueError:
        return None


def read_error(body: Any) -> tuple[str | None, str | None]:
    """Return the code (or type) and the message of an error in any known shape; None if missing.

    >>> read_error({"error": {"message": "No.", "type": "invalid_request_error", "code": "bad"}})
    ('bad', 'No.')
    >>> read_error({"detail": "Not Found"})
    (None, 'Not Found')
    """
    if isinstance(body, list):
        body = next((row for row in body if isinstance(row, dict)), None)
    if not isinstance(body, dict):
        return None, _text(body)
    inner = body.get("error")
    if isinstance(inner, str):
        return _text(body.get("code")), _text(inner)
    if isinstance(inner, dict):
        body = inner
    message = next((body[name] for name in ("message", "detail", "msg") if body.get(name)), None)
    code = body.get("code")
    return _text(body.get("type") if code is None else code), _text(message)


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    text = hide_environment(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]} ..."
