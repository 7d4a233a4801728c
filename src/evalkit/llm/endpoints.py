"""Endpoints and their limits; the named ones stand in providers.toml."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from evalkit.util.errors import ProviderError
from evalkit.util.redact import SHORTEST_KEY, redact

LOCAL_PORT: Final = 8712
"""Default port of `evalkit serve-local`."""

LOCAL_MODEL: Final = "smollm2-135m-instruct"
"""Its default model."""


def _check_address(url: str) -> str:
    """Return an address without a trailing slash; raise ProviderError if it is invalid."""
    url = url.strip()
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ProviderError(
            f"The address of {parts.hostname or 'the endpoint'} contains a user name, a password or a query, which "
            "would be written to files and messages.",
            argument="base_url",
            fix="Put the API key into an environment variable and name it with key_variable.",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ProviderError(
            f"Invalid address {redact([url]).texts[0]!r}.",
            argument="base_url",
            expected="one with http:// or https://, up to and including /v1",
        )
    return url.rstrip("/")


def _check_variable(name: str | None) -> None:
    """Refuse an invalid variable name: an API key would be written to files."""
    if name is None or (name.isidentifier() and name.isascii() and name.upper() == name):
        return
    # A long name with a digit is more likely a key than a name in lower case.
    is_secret = redact([name]).counts or (len(name) >= SHORTEST_KEY and any(map(str.isdigit, name)))
    if is_secret or not (name.isidentifier() and name.isascii()):
        raise ProviderError(
            "Invalid key_variable.",
            argument="key_variable",
            expected="the name of an environment variable, such as 'LLM_API_KEY'",
            fix="Set the API key in the environment and pass its name.",
        )


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Limits and behavior of a Batch API."""

    windows: tuple[str, ...]  # completion windows, shortest first
    lines: int  # maximum per file
    bytes: int  # maximum per file
    shard_lines: int  # recommended lines per file
    one_model: bool  # a file may contain one model only
    paging: Literal["cursor", "after"]  # of the list of batches
    many_ids: int  # batches that one call can return (`?id=a&id=b`); 0: one
    endpoint: str  # URL in each line and in the create call
    refused: tuple[str, ...]  # parameters that a batch does not accept
    retention_days: int  # lifetime of files
    source: str  # where this was read
    cached_costs_less: bool = False  # cached tokens are discounted in a batch


@dataclass(frozen=True, slots=True)
class Provider:
    """An endpoint with OpenAI's chat completions."""

    name: str  # `groq`, `openai`, `local`, or the host of a custom address
    base_url: str  # without a trailing slash
    key_variable: str | None = None  # environment variable with the API key; None: no key
    batch: BatchLimits | None = None  # None: no Batch API is known
    strict_schema: tuple[str, ...] | None = None  # models that enforce a strict `json_schema`; None: all
    logprobs: bool = True  # supports log probabilities
    n: bool = True  # supports several choices per request
    own_temperature: float | None = None  # of its models; never sent: reasoning models may reject any
    agent_model: str | None = None  # default; None: a model is required
    judge_model: str | None = None
    at_once: int | None = None  # maximum number of concurrent requests; None: adaptive
    plan_help: str | None = None  # page about plans and limits
    answer_s: float = 120.0  # default timeout of a response

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _check_address(self.base_url))
        _check_variable(self.key_variable)

    @property
    def remote(self) -> bool:
        """Whether requests leave this machine."""
        host = urlsplit(self.base_url).hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            return False
        try:
            return not ip_address(host).is_loopback
        except ValueError:
            return True

    def keeps_schema(self, model: str) -> bool:
        """Return whether a model enforces a strict `json_schema`."""
        return self.strict_schema is None or model in self.strict_schema


DATA: Final[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("providers.toml").read_text(encoding="utf-8")
)
"""Content of providers.toml."""

PROVIDERS: Final = {
    name: msgspec.convert({"name": name, **fields}, Provider) for name, fields in DATA.items()
}
"""Named endpoints."""


def provider(
    name: str | Provider = "groq", *, base_url: str | None = None, key_variable: str | None = None
) -> Provider:
    """Return the endpoint for a name or an address.

    Parameters
    ----------
    name
        `groq`, `openai`, `local`, the address of a compatible endpoint, or a `Provider`.
    base_url
        Another address with the limits and prices of the named endpoint, for a proxy or a test server.
    key_variable
        Environment variable with the API key. Default for a custom address: `EVALKIT_API_KEY`, which may be unset.

    Raises ProviderError if the name is unknown, or the address is not an http(s) URL.

    Examples
    --------
    >>> provider("groq").base_url
    'https://api.groq.com/openai/v1'
    >>> provider("http://127.0.0.1:8000/v1/").name
    '127.0.0.1:8000'
    """
    if isinstance(name, Provider):
        endpoint = name
    elif not isinstance(name, str):
        raise ProviderError(
            f"Invalid provider of type {type(name).__name__}.",
            argument="provider",
            value=name,
            choices=[*PROVIDERS, "an address"],
        )
    elif name in PROVIDERS:
        endpoint = PROVIDERS[name]
        if name == "local":
            base_url = base_url or os.environ.get("EVALKIT_LOCAL_URL")
    elif "://" in name:
        address = _check_address(name)
        known = [endpoint for endpoint in PROVIDERS.values() if endpoint.base_url == address]
        endpoint = known[0] if known else Provider(urlsplit(address).netloc, address, "EVALKIT_API_KEY")
    else:
        name = redact([name]).texts[0]
        raise ProviderError(
            f"Unknown provider {name!r}.",
            argument="provider",
            value=name,
            choices=[*PROVIDERS, "an address such as 'https://example.org/v1'"],
        )
    if base_url is not None:
        endpoint = replace(endpoint, base_url=base_url)
    return replace(endpoint, key_variable=key_variable) if key_variable else endpoint
