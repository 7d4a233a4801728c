"""Send one request once, and say what came back without raising: that is for its caller to judge."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.llm.responses import read_completion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openai import AsyncOpenAI


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes
    ----------
    status, headers, content
        Of the answer; a status of None: nothing came.
    body
        The chat completion, if it is one.
    problem
        Why nothing came.
    late
        Whether it may still have been answered, after the time for it was over.
    """

    status: int | None
    headers: Mapping[str, str]
    content: bytes
    body: dict[str, Any] | None = None
    problem: str = ""
    late: bool = False

    @property
    def doubtful(self) -> bool:
        """Whether it may have to be paid for although it is no answer."""
        return self.late or (self.status == 200 and self.body is None)


async def send(client: AsyncOpenAI, content: bytes, *, timeout: float) -> Answer:
    """Send the body of a chat completion, as JSON, and wait at most so many seconds for the answer."""
    import aiohttp
    import httpx2
    import openai

    try:
        async with asyncio.timeout(timeout):
            # The raw response: building the client's own objects would take half of the time of a request.
            response = await client.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                content=content,
                options={"headers": {"Content-Type": "application/json"}},
            )
    except openai.APIStatusError as error:
        return Answer(error.status_code, error.response.headers, error.response.content)
    except (openai.APIConnectionError, aiohttp.ClientError, OSError) as error:
        cause = _cause(error)
        if isinstance(cause, TimeoutError):
            return Answer(None, {}, b"", problem=f"no answer within {timeout:g} s", late=True)
        return Answer(None, {}, b"", problem=f"the connection failed ({type(cause).__name__})")
    body = read_completion(response.content) if response.status_code == 200 else None
    return Answer(response.status_code, response.headers, response.content, body)


def _cause(error: BaseException) -> BaseException:
    """Return what went wrong first: the client calls a timeout what is none."""
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    return error
