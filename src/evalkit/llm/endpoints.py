"""What each endpoint is and allows: data, with the place each fact was read."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

from evalkit.util.errors import ProviderError
from evalkit.util.redact import SHORTEST_KEY, redact
from evalkit.util.words import did_you_mean, join_words

LOCAL_PORT: Final = 8712
"""The port on which `evalkit serve-local` answers unless it is told another."""

LOCAL_MODEL: Final = "smollm2-135m-instruct"
"""The model that it serves unless it is given other weights."""

_MB: Final = 1_000_000


def _address(url: str) -> str:
    """Return an address without a slash at the end, or say why it is none."""
    url = url.strip()
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ProviderError(
            f"The address of {parts.hostname or 'the endpoint'} holds a user name, a password or what follows a '?', which "
            "would be written into files and messages: put the key into an environment variable and name it with "
            "key_variable."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ProviderError(
            f"{redact([url]).texts[0]!r} is no address of an endpoint: write it with http:// or https://, up to and with /v1."
        )
    return url.rstrip("/")


def _expect_name(variable: str | None) -> None:
    """Refuse what is no name of an environment variable, above all a key, which would be written down everywhere."""
    if variable is None or (variable.isidentifier() and variable.isascii() and variable.upper() == variable):
        return
    # What is long and has a digit in it is rather a key than a name in lower case.
    secret = redact([variable]).counts or (len(variable) >= SHORTEST_KEY and any(map(str.isdigit, variable)))
    if secret or not (variable.isidentifier() and variable.isascii()):
        raise ProviderError(
            "key_variable is the name of an environment variable, as in 'LLM_API_KEY', and what was given is none: set the "
            "key in the environment, and give the variable's name here."
        )


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What an endpoint's Batch API takes and how it behaves.

    Attributes
    ----------
    windows
        Completion windows that are documented, the shortest first.
    lines, bytes
        The most a file may hold: requests, and bytes of UTF-8.
    shard_lines
        How many requests a file should hold.
    one_model
        Whether a file may name one model only.
    paging
        How its list of batches goes on: by `cursor`, or `after` the last id.
    many_ids
        How many batches one call can look up (`?id=a&id=b`); 0: one at a time.
    endpoint
        What each line and the creating call name as the URL.
    refused
        Parameters of a chat completion that may not stand in a batch.
    retention_days
        How long files are kept.
    cached_costs_less
        Whether a token that the endpoint had in its cache costs less in a batch, too.
    source
        Where this was read.
    """

    windows: tuple[str, ...]
    lines: int
    bytes: int
    shard_lines: int
    one_model: bool
    paging: Literal["cursor", "after"]
    many_ids: int
    endpoint: str
    refused: tuple[str, ...]
    retention_days: int
    source: str
    cached_costs_less: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """One endpoint that speaks OpenAI's chat completions.

    Attributes
    ----------
    name
        `groq`, `openai`, `local`, or the host of an address of your own.
    base_url
        Where it is, without a slash at the end.
    key_variable
        The environment variable that holds the key; None where none is needed.
    batch
        Its Batch API; None where nothing is known of one.
    strict_schema
        The models that keep to a strict `json_schema`; None: all of them, as far as is known.
    logprobs, n
        Whether it gives log probabilities, and several choices for one request.
    own_temperature
        The temperature of a model that is sent none. It is never sent: models that reason may refuse any.
    agent_model, judge_model
        The models that are used where none is named; None: one has to be.
    at_once
        How many requests it works on at once, so that more are never sent; None: that is found out.
    plan_help
        Where to look when the plan behind a key does not allow something.
    answer_s
        Seconds that one answer may take.
    """

    name: str
    base_url: str
    key_variable: str | None
    batch: BatchLimits | None = None
    strict_schema: tuple[str, ...] | None = None
    logprobs: bool = True
    n: bool = True
    own_temperature: float | None = None
    agent_model: str | None = None
    judge_model: str | None = None
    at_once: int | None = None
    plan_help: str | None = None
    answer_s: float = 120.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _address(self.base_url))
        _expect_name(self.key_variable)

    @property
    def remote(self) -> bool:
        """Whether what is sent leaves this machine."""
        host = urlsplit(self.base_url).hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            return False
        try:
            return not ip_address(host).is_loopback
        except ValueError:
            return True

    def keeps_schema(self, model: str) -> bool:
        """Whether `model` keeps to a strict `json_schema` here, as far as is known."""
        return self.strict_schema is None or model in self.strict_schema


GROQ: Final = Provider(
    "groq",
    "https://api.groq.com/openai/v1",
    "GROQ_API_KEY",
    batch=BatchLimits(
        windows=("24h", "7d"),
        lines=50_000,
        bytes=100 * _MB,  # the guide says 200 MB, the reference 100 MB: the smaller one holds for both
        shard_lines=1_000,
        one_model=False,
        paging="cursor",
        many_ids=200,
        endpoint="/v1/chat/completions",
        refused=("service_tier", "stream", "stream_options"),
        retention_days=30,
        source="console.groq.com/docs/batch and groq-python 1.6.0, read 2026-11-22",
    ),
    strict_schema=("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    logprobs=False,
    n=False,
    agent_model="openai/gpt-oss-20b",
    judge_model="openai/gpt-oss-120b",
    plan_help="console.groq.com/settings/billing",
)

OPENAI: Final = Provider(
    "openai",
    "https://api.openai.com/v1",
    "OPENAI_API_KEY",
    batch=BatchLimits(
        windows=("24h",),
        lines=50_000,
        bytes=200 * _MB,
        shard_lines=10_000,
        one_model=True,
        paging="after",
        many_ids=0,
        endpoint="/v1/chat/completions",
        refused=("stream", "stream_options", "service_tier"),
        retention_days=30,
        source="platform.openai.com/docs/guides/batch, read 2026-11-22",
        cached_costs_less=True,
    ),
    own_temperature=1.0,
    agent_model="gpt-6.1-terra",
    judge_model="gpt-6.1-terra",
    plan_help="platform.openai.com/settings/organization/limits",
)

LOCAL: Final = Provider(
    "local",
    f"http://127.0.0.1:{LOCAL_PORT}/v1",
    None,
    n=False,
    agent_model=LOCAL_MODEL,
    judge_model=LOCAL_MODEL,
    at_once=4,  # more would wait in its line for longer than anybody waits for an answer
    answer_s=600.0,  # on two cores, with long prompts
)

PROVIDERS: Final[dict[str, Provider]] = {one.name: one for one in (GROQ, OPENAI, LOCAL)}
"""The endpoints that have a name."""


def provider(
    name: str | Provider = "groq", *, base_url: str | None = None, key_variable: str | None = None
) -> Provider:
    """Return the endpoint that a name or an address means.

    Parameters
    ----------
    name
        `groq`, `openai`, `local`, or the address of any endpoint that speaks OpenAI's chat completions.
        A `Provider` is returned as it is.
    base_url
        Another address for a named one, whose limits and prices stay: a proxy, a test server.
        `OPENAI_BASE_URL` in the environment is not looked at; `EVALKIT_LOCAL_URL` says where `local` is.
    key_variable
        The environment variable that holds the key. An address of your own without it gets `EVALKIT_API_KEY`,
        if that is set: no key that was made for another service.

    Returns
    -------
    Provider
        What it allows, and where it is.

    Raises
    ------
    ProviderError
        There is no such name, or the address is no http(s) URL.

    Examples
    --------
    >>> provider("groq").base_url
    'https://api.groq.com/openai/v1'
    >>> provider("http://127.0.0.1:8000/v1/").name
    '127.0.0.1:8000'
    >>> provider("grok")
    Traceback (most recent call last):
    evalkit.util.errors.ProviderError: There is no provider 'grok'. Did you mean 'groq'? ...
    """
    if isinstance(name, Provider):
        found = name
    elif not isinstance(name, str):
        raise ProviderError(
            f"A provider is one of {join_words(PROVIDERS)}, or the address of an endpoint, not {type(name).__name__}."
        )
    elif name in PROVIDERS:
        found = PROVIDERS[name]
        if name == "local":
            base_url = base_url or os.environ.get("EVALKIT_LOCAL_URL")
    elif "://" in name:
        address = _address(name)
        same = [one for one in PROVIDERS.values() if one.base_url == address]
        found = same[0] if same else Provider(urlsplit(address).netloc, address, "EVALKIT_API_KEY")
    else:
        raise ProviderError(
            f"There is no provider {redact([name]).texts[0]!r}.{did_you_mean(name, PROVIDERS)} There is: {join_words(PROVIDERS)}; "
            "or the address of an endpoint, as in 'https://example.org/v1'."
        )
    if base_url is not None:
        found = replace(found, base_url=base_url)
    return replace(found, key_variable=key_variable) if key_variable else found
