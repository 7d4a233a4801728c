"""Prices and shutdown dates of models, from the rows of providers.toml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from evalkit.llm.endpoints import DATA
from evalkit.util.arguments import is_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalkit.llm.endpoints import Provider

State = Literal["production", "preview", "enterprise", "deprecated", "gone"]
"""Availability of a model. `enterprise`: not in every plan. `deprecated`: to be shut down."""

_BATCH_DISCOUNT: Final = 0.5  # both Batch APIs bill half of the live price
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a provider. Prices are US dollars per million tokens; None is unknown."""

    provider: str
    name: str
    state: State
    as_of: str  # day on which the price was read
    source: str
    input: float | None = None
    output: float | None = None
    cached: float | None = None  # input read from the provider's cache
    kept: float | None = None  # input written to the provider's cache
    gone: str | None = None  # day of the shutdown
    instead: str | None = None  # replacement named by the provider


MODELS: Final = tuple(
    msgspec.convert({"provider": name, **row}, Model)
    for name, fields in DATA.items()
    for row in fields.get("models", ())
)
"""All known models."""

_DATE: Final = re.compile(r"-[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_BY_NAME: Final = {(model.provider, model.name): model for model in MODELS}


def model_facts(provider: Provider, model: str) -> Model | None:
    """Return the row of a model (without a date in its name), or None."""
    return _BY_NAME.get((provider.name, model)) or _BY_NAME.get((provider.name, _DATE.sub("", model)))


def obstacle(provider: Provider, model: str, *, today: date | None = None) -> str:
    """Return why a model may be unavailable, or ""."""
    facts = model_facts(provider, model)
    if facts is not None and facts.gone:
        is_past = date.fromisoformat(facts.gone) <= (today or datetime.now(tz=UTC).date())
        verb = "was" if is_past else "will be"
        source = DATA[facts.provider]["deprecations"]
        instead = f"; {facts.instead} replaces it" if facts.instead else ""
        return f"{model} {verb} shut down at {provider.name} on {facts.gone} ({source}){instead}"
    if facts is not None and facts.state == "enterprise":
        return f"{model} requires an enterprise plan at {provider.name} ({facts.source})"
    return ""


def price(provider: Provider, model: str) -> tuple[float, float] | None:
    """Return US dollars per million live input and output tokens; None: unknown."""
    if provider.name == "local":
        return 0.0, 0.0
    facts = model_facts(provider, model)
    if facts is None or facts.input is None or facts.output is None:
        return None
    return facts.input, facts.output


def price_words(provider: Provider, model: str) -> str:
    """Return the price of a model as text.

    Examples
    --------
    >>> from evalkit.llm.providers import provider
    >>> price_words(provider("groq"), "openai/gpt-oss-20b")
    '$0.075 in, $0.30 out per million tokens (2026-11-22)'
    """
    prices = price(provider, model)
    if prices is None:
        return "price unknown"
    facts = model_facts(provider, model)
    if facts is None:
        return "free: runs on this machine"
    sent, written = (f"${dollars:.3f}".removesuffix("0") for dollars in prices)
    return f"{sent} in, {written} out per million tokens ({facts.as_of})"


def cost(
    provider: Provider, model: str, usage: Mapping[str, Any] | None, *, mode: Literal["live", "batch"]
) -> float | None:
    """Return the cost of a chat completion in US dollars; None: unknown price or usage.

    A batch costs half. The provider's cache changes the price of a token; in a batch only where that is documented.

    Examples
    --------
    >>> from evalkit.llm.providers import provider
    >>> usage = {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000}
    >>> cost(provider("groq"), "openai/gpt-oss-20b", usage, mode="live")
    0.375
    >>> cost(provider("groq"), "openai/gpt-oss-20b", usage, mode="batch")
    0.1875
    """
    prices = price(provider, model)
    sent, written = count_tokens(usage, "prompt_tokens"), count_tokens(usage, "completion_tokens")
    if prices is None or sent is None or written is None:
        return None
    facts = model_facts(provider, model)
    read_price = write_price = prices[0]
    if facts and (mode == "live" or (provider.batch and provider.batch.cached_costs_less)):
        read_price = prices[0] if facts.cached is None else facts.cached
        write_price = prices[0] if facts.kept is None else facts.kept
    details = usage.get("prompt_tokens_details") if usage else None
    cache_reads = min(count_tokens(details, "cached_tokens") or 0, sent)
    cache_writes = min(count_tokens(details, "cache_write_tokens") or 0, sent - cache_reads)
    dollars = (sent - cache_reads - cache_writes) * prices[0] + written * prices[1]
    dollars += cache_reads * read_price + cache_writes * write_price
    return dollars * (_BATCH_DISCOUNT if mode == "batch" else 1) / _MILLION


def count_tokens(usage: Any, name: str) -> int | None:
    """Return a token count; None if missing or not a whole number that fits."""
    value = usage.get(name) if hasattr(usage, "get") else None
    return value if is_whole(value) and 0 <= value < 2**63 else None
