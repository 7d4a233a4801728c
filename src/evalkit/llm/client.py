"""Clients for endpoints, API keys, and a check that a model exists."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from evalkit.llm.prices import obstacle
from evalkit.llm.responses import decode_json
from evalkit.util.errors import ProviderError
from evalkit.util.redact import SHORTEST_SECRET
from evalkit.util.words import Option, Sentence

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from evalkit.llm.endpoints import Provider

_TIMEOUT_S: Final = 20.0
# Statuses of endpoints without a list of models.
_NO_LIST: Final = frozenset({404, 405, 501})


class ApiKey(str):
    """An API key whose repr, as in a long traceback, hides it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def find_key(provider: Provider) -> ApiKey | None:
    """Return the API key or None; raise ProviderError if a required key is missing or invalid."""
    variable = provider.key_variable
    if variable is None:
        return None
    key = ApiKey(os.environ.get(variable, "").strip())
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise ProviderError(
            f"{variable} is not a valid API key: it contains a space, a line break or a non-ASCII character. "
            "Copy the key again."
        )
    if key:
        return key
    # A local server and a custom address may need none.
    if not provider.remote or variable == "EVALKIT_API_KEY":
        return None
    raise ProviderError(
        f"Missing API key for {provider.name}.",
        argument="key_variable",
        value=variable,
        fix=Sentence(
            f"Set {variable} in the environment, or use {{local}}, which needs none.",
            local=Option("provider", "local"),
        ),
    )


def hide_key(text: str, key: str | None) -> str:
    """Replace the API key in a response; a value too short for a key is an ordinary word.

    >>> hide_key("Incorrect API key provided: gsk_12345678", "gsk_12345678")
    'Incorrect API key provided: ***'
    >>> hide_key('{"id": "batch_x"}', "x")
    '{"id": "batch_x"}'
    """
    return text.replace(key, "***") if key and len(key) >= SHORTEST_SECRET else text


def connect(provider: Provider, *, timeout: float = 120.0) -> AsyncOpenAI:
    """Return an async client that never retries or follows a redirect, and ignores `OPENAI_BASE_URL`. Close it after use.

    A redirect would send transcripts, and the key, to a host that nobody named.
    """
    import openai

    # aiohttp is nearly twice as fast as the default transport with many concurrent requests.
    return openai.AsyncOpenAI(
        **_settings(provider, timeout), http_client=openai.DefaultAioHttpClient(follow_redirects=False)
    )


def connect_sync(provider: Provider, *, timeout: float = 120.0) -> OpenAI:
    """Return a synchronous client, otherwise like `connect`."""
    import openai

    http_client = openai.DefaultHttpxClient(follow_redirects=False)
    return openai.OpenAI(**_settings(provider, timeout), http_client=http_client)


def _settings(provider: Provider, timeout: float) -> dict[str, Any]:
    from openai import Omit

    others = {} if provider.name == "openai" else {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
    return {
        "base_url": provider.base_url,
        "api_key": find_key(provider) or "none",
        "max_retries": 0,
        "timeout": timeout,
        "default_headers": others,
    }


def check_model(provider: Provider, model: str, *, timeout: float = _TIMEOUT_S) -> str | None:
    """Check that an endpoint lists a model; return a note if it has no list.

    Raises ProviderError if the model is not listed, the key is missing or rejected, or there is no response.
    """
    import openai

    key = find_key(provider)
    try:
        with connect_sync(provider, timeout=timeout) as client:
            response = client.models.with_raw_response.list().http_response
            status, message, names = 200, "", _names(response.content)
    except openai.APIStatusError as error:
        # Raised below, outside this block: this error may repeat the key.
        status, message, names = error.status_code, hide_key(error.message, key), None
    except openai.APIConnectionError:
        status, message, names = 0, "", None
    if not status:
        raise ProviderError(unreachable(provider))
    if status in (401, 402, 403):
        raise ProviderError(refusal(provider, status, message))
    if status != 200 and status not in _NO_LIST:
        return f"{provider.name} could not list its models (status {status}), so {model} was not checked."
    if names is None:
        return f"{provider.name} has no list of models, so {model} was not checked."
    if model in names:
        return None
    raise ProviderError(
        f"{obstacle(provider, model) or f'{provider.name} has no model {model!r}'}.",
        argument="model",
        value=model,
        choices=get_close_matches(model, names, n=3, cutoff=0.4) or sorted(names),
    )


def refusal(provider: Provider, status: int, message: str) -> str:
    """Return the message for a rejected API key or plan."""
    quote = f" It says: {message}" if message else ""
    if status == 401:
        what = (
            f"the API key in {provider.key_variable}" if provider.key_variable else "requests without a key"
        )
        return f"{provider.name} rejects {what} (401). Check that it is complete and valid.{quote}"
    where = f" ({provider.plan_help})" if provider.plan_help else ""
    return (
        f"The plan of your {provider.name} API key does not allow this ({status}). Check its plan, limits and "
        f"balance{where}, or use another provider.{quote}"
    )


def unreachable(provider: Provider) -> str:
    """Return the message for an endpoint without a response."""
    fix = "Start it with: evalkit serve-local" if provider.name == "local" else "Check address and network"
    return f"No response from {provider.base_url}. {fix}."


def _names(content: bytes) -> list[str] | None:
    """Return the IDs in a list of models in any known shape; None for anything else."""
    listing = decode_json(content)
    if isinstance(listing, dict):
        listing = listing.get("data", listing.get("models"))
    if not isinstance(listing, list):
        return None
    ids = [row.get("id") or row.get("name") if isinstance(row, dict) else row for row in listing]
    return [name for name in ids if isinstance(name, str)]
