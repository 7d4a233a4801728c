"""What an endpoint answered, read without trusting it: a completion, or an error in any of the shapes that are met."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from evalkit.data import columns as records
from evalkit.util.redact import hide_environment

_LONGEST: Final = 2_000
_PASSING: Final = frozenset({408, 409, 425, 429, 498})


def passes(status: int) -> bool:
    """Whether an error with this status may be gone the next time: 498 is Groq's "no room", 425 "too early".

    Examples
    --------
    >>> passes(503), passes(429), passes(413)
    (True, True, False)
    """
    return status in _PASSING or status >= 500


def read_completion(content: bytes | str) -> dict[str, Any] | None:
    """Return a chat completion; None where the text is none.

    What is in it beyond the list of choices is for the caller to judge.

    Examples
    --------
    >>> read_completion(b'{"choices": [], "new": 1}')
    {'choices': [], 'new': 1}
    >>> read_completion(b"<html>") is read_completion(b"[1]") is None
    True
    """
    body = decoded(content)
    return body if isinstance(body, dict) and isinstance(body.get("choices"), list) else None


def decoded(content: bytes | str) -> Any:
    r"""Return what a JSON text holds, a lone surrogate as U+FFFD; None where it is none.

    Examples
    --------
    >>> decoded(b'{"said": "cut \\ud83d off"}')
    {'said': 'cut � off'}
    """
    try:
        return records.decode(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    except ValueError:
        return None


def read_error(body: Any) -> tuple[str | None, str | None]:
    """Return the code and the words of an error, whatever its shape.

    Parameters
    ----------
    body
        The body of an answer, decoded: an object with an `error`, as OpenAI and Groq have it; one with
        `message` or `detail` at the top; a list of such; a text.

    Returns
    -------
    tuple
        The code (the type, where there is no code) and the message; None for what is not said.

    Examples
    --------
    >>> read_error(
    ...     {"error": {"message": "No.", "type": "invalid_request_error", "code": "json_validate_failed"}}
    ... )
    ('json_validate_failed', 'No.')
    >>> read_error({"detail": "Not Found"})
    (None, 'Not Found')
    >>> read_error(None)
    (None, None)
    """
    if isinstance(body, list):
        body = next((one for one in body if isinstance(one, dict)), None)
    if isinstance(body, dict):
        inner = body.get("error")
        if isinstance(inner, dict):
            body = inner
        elif isinstance(inner, str):
            return _text(body.get("code")), _text(inner)
        message = next((body[name] for name in ("message", "detail", "msg") if body.get(name)), None)
        code = body.get("code")
        return _text(body.get("type") if code is None else code), _text(message)
    return None, _text(body)


def _text(value: Any) -> str | None:
    """Return a value as text of a bearable length, with no key of ours in it; None for nothing."""
    if value is None or value == "":
        return None
    text = hide_environment(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
