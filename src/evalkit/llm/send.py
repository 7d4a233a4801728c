"""Send one attempt at a live request, without raising."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalkit.llm.client import hide_key
from evalkit.llm.requests import Reply
from evalkit.llm.responses import classify_response, decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openai import AsyncOpenAI

    from evalkit.llm.requests import Outcome

_MAX_START: Final = 200


@dataclass(frozen=True, slots=True)
class Response:
    """Response of an endpoint; without a status, `problem` says why there is none."""

    status: int | None
    headers: Mapping[str, str]
    content: bytes = b""
    problem: str = ""
    timed_out: bool = False  # an answer may still be billed


async def send(client: AsyncOpenAI, content: bytes, *, timeout: float) -> Response:
    """Post the JSON body of a chat completion and wait for the response."""
    import aiohttp
    import httpx2
    import openai

    try:
        async with asyncio.timeout(timeout):
            # The raw response: building the client's own objects would double the time of a request.
            response = await client.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                content=content,
                options={"headers": {"Content-Type": "application/json"}},
            )
    except openai.APIStatusError as error:
        return Response(error.status_code, error.response.headers, error.response.content)
    except (openai.APIConnectionError, aiohttp.ClientError, OSError) as error:
        cause = _cause(error)
        if isinstance(cause, TimeoutError):
            return Response(None, {}, problem=f"no response within {timeout:g} s", timed_out=True)
        return Response(None, {}, problem=f"the connection failed ({type(cause).__name__})")
    return Response(response.status_code, response.headers, response.content)


def _cause(error: BaseException) -> BaseException:
    """Return the first cause: the client calls other errors timeouts."""
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    return error


def read_response(response: Response, last: Reply, *, key: str | None, latency_s: float) -> Reply:
    """Return the reply after one more attempt, without the API key."""
    tries = last.tries + 1
    body, code = None, None
    if response.status is None:
        outcome: Outcome = "transport"
        message: str | None = f"{response.problem}; sent {tries} times"
    else:
        body = decode_json(response.content)
        outcome, _, code, message = classify_response(response.status, body)
    if outcome == "malformed":
        start = response.content[:_MAX_START].decode("utf-8", "replace")
        message = f"The response (status {response.status}) is not a chat completion: {start!r}"
    return Reply(
        last.custom_id,
        outcome,
        body if outcome == "success" else None,
        response.status,
        code,
        hide_key(message, key) if message else None,
        latency_s=latency_s,
        tries=tries,
    )
