"""What is asked of an endpoint, and what came of it: the same two types live and through a batch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

Outcome = Literal["success", "api_error", "not_run", "malformed", "missing", "transport"]
"""What came of a request.

- ``success``: an answer with status 200; whether it can be used is for the caller to say.
- ``api_error``: the endpoint answered with an error; `status`, `code` and `message` say which.
- ``not_run``: it never ran, because its batch expired or was cancelled, or a limit on money was reached.
- ``malformed``: a result line or an answer that cannot be read.
- ``missing``: sent in a batch, and in neither of its result files.
- ``transport``: no answer came back, after all tries.
"""

Mode = Literal["live", "batch"]

_ID_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion to be asked for.

    Attributes
    ----------
    custom_id
        Which request it is: at most 64 ASCII characters, unique among those that are asked together, the same
        each time the same thing is asked. `custom_id()` makes one.
    body
        The body of a chat completion, its `model` included, as it is sent.
    about
        What it is for (run, case, epoch, criterion, sample, ...): kept beside it, never sent.
    """

    custom_id: str
    body: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request.

    Attributes
    ----------
    custom_id
        Of the request.
    outcome
        See `Outcome`.
    body
        The chat completion as it came; None where there is none.
    status, code, message
        What the endpoint said: the HTTP status, its own code and its words.
    mode
        `live` or `batch`.
    cached
        Whether it was answered before and is not paid for again.
    batch_id
        The batch that it came through.
    latency_s
        Seconds from sending to the answer; None in a batch.
    tries
        How often it was sent.
    """

    custom_id: str
    outcome: Outcome
    body: dict[str, Any] | None = None
    status: int | None = None
    code: str | None = None
    message: str | None = None
    mode: Mode = "live"
    cached: bool = False
    batch_id: str | None = None
    latency_s: float | None = None
    tries: int = 1


def custom_id(*parts: Any) -> str:
    """Return an id that is the same for the same parts, and another for others: 32 hex digits.

    Examples
    --------
    >>> (
    ...     custom_id("v1", "01", 1) == custom_id("v1", "01", 1),
    ...     custom_id("v1", "01", 1) == custom_id("v1", "0", 11),
    ... )
    (True, False)
    """
    return hashlib.sha256(canonical(parts)).hexdigest()[:_ID_LENGTH]


def request_key(base_url: str, body: dict[str, Any]) -> str:
    """Return the content hash of a whole request: where it goes and all that is sent.

    Examples
    --------
    >>> request_key("http://a/v1", {"model": "m", "seed": 1}) == request_key(
    ...     "http://a/v1/", {"seed": 1, "model": "m"}
    ... )
    True
    """
    return hashlib.sha256(canonical([base_url.rstrip("/"), body])).hexdigest()


def canonical(value: Any) -> bytes:
    """Return JSON in which equal values have equal bytes: keys sorted, no spaces."""
    return msgspec.json.encode(value, order="sorted")
