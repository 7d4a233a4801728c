"""A client for an endpoint, its key, and the question whether a model is there."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from evalkit.llm.prices import obstacle
from evalkit.util.errors import ProviderError
from evalkit.util.redact import SHORTEST_SECRET
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from evalkit.llm.endpoints import Provider

_TIMEOUT: Final = 20.0
# What some endpoints answer where they have no list of models.
_NO_LIST: Final = frozenset({404, 405, 501})


class Key(str):
    """A key: it goes into a header as any text does, and is not shown where values are, as in a long traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def find_key(provider: Provider) -> Key | None:
    """Return the key from the environment; None where none is needed.

    Raises
    ------
    ProviderError
        It is needed and not set, or it cannot be a key.
    """
    if provider.key_variable is None:
        return None
    key = Key(os.environ.get(provider.key_variable, "").strip())
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise ProviderError(
            f"What {provider.key_variable} holds is no key: there is a space, a line end or a letter in it that "
            "no key has. Copy the key again, whole."
        )
    if key:
        return key
    # A server on this machine and an address of one's own may do without.
    if not provider.remote or provider.key_variable == "EVALKIT_API_KEY":
        return None
    raise ProviderError(
        f"There is no key for {provider.name}: set {provider.key_variable} in the environment, "
        "or use provider='local', which needs none."
    )


def hide_key(text: str, key: str | None) -> str:
    """Return `text` without the key, should an endpoint have repeated it.

    What is shorter than a key is a word, as a server on this machine takes any, and stands in texts by chance.

    Examples
    --------
    >>> hide_key("Incorrect API key provided: gsk_12345678", "gsk_12345678")
    'Incorrect API key provided: ***'
    >>> hide_key('{"id": "batch_x"}', "x")
    '{"id": "batch_x"}'
    """
    return text.replace(key, "***") if key and len(key) >= SHORTEST_SECRET else text


def connect(provider: Provider, *, timeout: float = 120.0) -> AsyncOpenAI:
    """Return an asynchronous client for an endpoint, which never asks again by itself.

    It goes through aiohttp, which is nearly twice as fast as the client's own way with many requests at
    once. Close it with `await client.close()`.

    Parameters
    ----------
    provider
        What to connect to. Its address is the one that is used: `OPENAI_BASE_URL` is not looked at, and
        what the environment says of an OpenAI organization goes to OpenAI only.
    timeout
        Seconds to wait for an answer.

    Raises
    ------
    ProviderError
        The key is not set.
    """
    import openai

    return openai.AsyncOpenAI(
        base_url=provider.base_url,
        api_key=find_key(provider) or "none",
        max_retries=0,
        timeout=timeout,
        default_headers=_headers(provider),
        http_client=openai.DefaultAioHttpClient(),
    )


def connect_sync(provider: Provider, *, timeout: float = 120.0) -> OpenAI:
    """Return the client that waits for each answer, for calls that come one at a time; else as `connect`.

    Raises
    ------
    ProviderError
        The key is not set.
    """
    import openai

    return openai.OpenAI(
        base_url=provider.base_url,
        api_key=find_key(provider) or "none",
        max_retries=0,
        timeout=timeout,
        default_headers=_headers(provider),
    )


def _headers(provider: Provider) -> dict[str, Any]:
    from openai import Omit

    if provider.name == "openai":
        return {}
    return {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}


def check_model(provider: Provider, model: str, *, timeout: float = _TIMEOUT) -> str | None:
    """Ask the endpoint whether it has a model, before anything is spent.

    Parameters
    ----------
    provider, model
        What is going to be asked.
    timeout
        Seconds to wait for its list of models.

    Returns
    -------
    str or None
        None where the model is there; a sentence where the endpoint has no list to look it up in.

    Raises
    ------
    ProviderError
        The model is not there (with the nearest that are), the key is missing or refused, or nobody answers.
    """
    import openai

    key = find_key(provider)
    try:
        with connect_sync(provider, timeout=timeout) as client:
            answer = client.models.with_raw_response.list().http_response
            status, said, names = 200, "", _names(answer.content)
    except openai.APIStatusError as error:
        # What is raised is raised below, where this error, which may repeat the key, is gone.
        status, said, names = error.status_code, hide_key(error.message, key), None
    except openai.APIConnectionError:
        status, said, names = 0, "", None
    if not status:
        raise ProviderError(unreachable(provider))
    if status in (401, 402, 403):
        raise ProviderError(refusal(provider, status, said))
    if status != 200 and status not in _NO_LIST:
        return f"{provider.name} could not list its models (status {status}): {model} was not looked up."
    if names is None:
        return f"{provider.name} has no list of models: {model} was not looked up."
    if model in names:
        return None
    raise ProviderError(_no_such_model(provider, model, names))


def refusal(provider: Provider, status: int, said: str) -> str:
    """Return what to do when an endpoint will not serve this key, as one sentence."""
    words = f" It says: {said}" if said else ""
    if status == 401:
        where = f"the key in {provider.key_variable}" if provider.key_variable else "a request without a key"
        return f"{provider.name} refuses {where} (401): check that it is whole and still valid.{words}"
    where = f" ({provider.plan_help})" if provider.plan_help else ""
    return (
        f"The plan behind the key for {provider.name} does not allow this ({status}): look at its plan, its "
        f"limits and its balance{where}, or use another provider.{words}"
    )


def unreachable(provider: Provider) -> str:
    """Return that nobody answers, and what to do, as one sentence."""
    todo = (
        "start it with: evalkit serve-local"
        if provider.name == "local"
        else "check the address and the network"
    )
    return f"Nobody answers at {provider.base_url}: {todo}."


def _names(content: bytes) -> list[str] | None:
    """Return the ids in a list of models, in any of the shapes that are met; None where it is none."""
    import msgspec

    try:
        listing = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(listing, dict):
        listing = listing.get("data", listing.get("models"))
    if not isinstance(listing, list):
        return None
    ids = [one.get("id") or one.get("name") if isinstance(one, dict) else one for one in listing]
    return [one for one in ids if isinstance(one, str)]


def _no_such_model(provider: Provider, model: str, names: list[str]) -> str:
    known = obstacle(provider, model)
    near = get_close_matches(model, names, n=3, cutoff=0.4)
    hint = f"the nearest that it has: {join_words(near)}" if near else f"it has: {join_words(sorted(names))}"
    return f"{known or f'{provider.name} has no model {model!r}'}: {hint}."
