"""Requests and replies: the same two types for live requests and batches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

Outcome = Literal["success", "api_error", "not_run", "malformed", "missing", "transport"]
"""Outcome of a request.

- ``success``: a completion with status 200, usable or not.
- ``api_error``: an error of the endpoint, in `status`, `code` and `message`.
- ``not_run``: never executed: its batch expired or was cancelled, or a limit was reached.
- ``malformed``: a response or a result line that cannot be read.
- ``missing``: sent in a batch, and in neither result file.
- ``transport``: no response after all tries.
"""

Mode = Literal["live", "batch"]

_ID_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one chat completion; `about` is stored beside it and never sent.

    `custom_id` has at most 64 ASCII characters and is unique among requests sent together: see `custom_id()`.
    """

    custom_id: str
    body: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one request."""

    custom_id: str
    outcome: Outcome
    body: dict[str, Any] | None = None  # the chat completion
    status: int | None = None  # HTTP status
    code: str | None = None  # error code and message of the endpoint
    message: str | None = None
    mode: Mode = "live"
    cached: bool = False  # answered before, so it costs nothing
    batch_id: str | None = None
    latency_s: float | None = None  # from sending to the response; None in a batch
    tries: int = 1  # how often the request was sent


def custom_id(*parts: Any) -> str:
    """Return an ID of 32 hex digits, the same for the same parts.

    Examples
    --------
    >>> custom_id("v1", "01", 1) == custom_id("v1", "01", 1) != custom_id("v1", "0", 11)
    True
    """
    return hashlib.sha256(canonical(parts)).hexdigest()[:_ID_LENGTH]


def request_key(base_url: str, body: dict[str, Any]) -> str:
    """Return the hash of address and body; the order of keys is ignored."""
    return hashlib.sha256(canonical([base_url.rstrip("/"), body])).hexdigest()


def canonical(value: Any) -> bytes:
    """Encode as JSON with sorted keys, so that equal values have equal bytes."""
    return msgspec.json.encode(value, order="sorted")
