"""What models cost and which are gone: one table, each row with its date and its source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalkit.llm.endpoints import Provider

State = Literal["production", "preview", "enterprise", "deprecated", "gone"]
"""How far a model can be counted on."""

_BATCH: Final = 0.5  # both Batch APIs bill half of the live price
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of one model at one provider.

    Attributes
    ----------
    provider, name
        Where, and as it is called there.
    input, output, cached, kept
        US dollars for a million tokens: sent, written, sent again soon after with the same beginning, and sent for
        the first time where the endpoint bills that it keeps them. None: nobody has said.
    state
        `production`, `preview`, `enterprise` (not for every plan), `deprecated` (to be shut down), or `gone`.
    gone
        The day on which it was, or will be, shut down.
    instead
        What its provider names in its place.
    as_of, source
        When its price was read, and where.
    """

    provider: str
    name: str
    input: float | None
    output: float | None
    cached: float | None
    state: State
    as_of: str
    source: str
    kept: float | None = None
    gone: str | None = None
    instead: str | None = None


def _groq(
    name: str, prices: tuple[float, float] | None = None, *, state: State = "gone", gone: str | None = None
) -> Model:
    """Return a model of Groq: a cached token costs half there."""
    sent, written = prices or (None, None)
    source = GONE["groq"] if state == "gone" else "console.groq.com/docs/models"
    half = None if sent is None else sent / 2
    return Model("groq", name, sent, written, half, state, "2026-11-22", source, gone=gone)


def _openai(name: str, sent: float, cached: float, written: float, **more: Any) -> Model:
    state: State = "deprecated" if "gone" in more else "production"
    return Model("openai", name, sent, written, cached, state, **more)


GONE: Final = {
    "groq": "console.groq.com/docs/deprecations",
    "openai": "developers.openai.com/api/docs/deprecations",
}
"""Where each provider says which models it shuts down; OpenAI's page was read on 2026-11-30."""

# Of most of OpenAI's models the price is as others copied it, and dated so.
_COPILOT: Final = "github.com/github/docs, models-and-pricing.yml (a third party)"
_ARTICLE: Final = "nicolalazzari.ai, OpenAI API pricing explained (a third party)"

MODELS: Final = (
    _groq("openai/gpt-oss-120b", (0.15, 0.60), state="production"),
    _groq("openai/gpt-oss-20b", (0.075, 0.30), state="production"),
    _groq("openai/gpt-oss-safeguard-20b", (0.075, 0.30), state="preview"),
    _groq("qwen/qwen3.8-27b", (0.80, 4.00), state="preview"),
    _groq("minimaxai/minimax-m2.7", state="enterprise"),
    _groq("groq/compound", gone="2026-09-21"),
    _groq("groq/compound-mini", gone="2026-09-21"),
    _groq("qwen/qwen3.6-27b", gone="2026-09-14"),
    _groq("llama-3.1-8b-instant", gone="2026-08-16"),
    _groq("llama-3.3-70b-versatile", gone="2026-08-16"),
    _groq("qwen/qwen3-32b", gone="2026-07-17"),
    _groq("meta-llama/llama-4-scout-17b-16e-instruct", gone="2026-07-17"),
    _groq("moonshotai/kimi-k2-instruct-0905", gone="2026-04-15"),
    _groq("meta-llama/llama-4-maverick-17b-128e-instruct", gone="2026-03-09"),
    _groq("meta-llama/llama-guard-4-12b", gone="2026-03-05"),
    _openai(
        *("gpt-6.1-terra", 1.00, 0.05, 5.00),
        kept=1.25,
        as_of="2026-11-30",
        source="developers.openai.com/api/docs/models/gpt-6.1-terra",
    ),
    _openai(
        *("gpt-6.1-sol", 2.00, 0.10, 10.00),
        kept=2.50,
        as_of="2026-10-27",
        source="docs.litellm.ai/blog/gpt-6-1-terra (a third party)",
    ),
    _openai(
        *("gpt-6-luna", 0.10, 0.01, 0.50),
        kept=0.125,
        as_of="2026-09-22",
        source="github.com/merefield/codexometer, v0.18.4 (a third party)",
    ),
    _openai("gpt-5.2", 1.75, 0.175, 14.00, as_of="2026-06-01", source=_ARTICLE),
    _openai(
        *("gpt-5-mini", 0.25, 0.025, 2.00),
        gone="2026-12-11",
        instead="gpt-6.1-terra",
        as_of="2026-06-01",
        source=_COPILOT,
    ),
    _openai(
        *("gpt-4.1", 2.00, 0.50, 8.00),
        gone="2027-01-14",
        instead="gpt-6-luna",
        as_of="2026-06-01",
        source=_COPILOT,
    ),
)
"""Every model of which something is known."""

_DATE: Final = re.compile(r"-[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_BY_NAME: Final = {(one.provider, one.name): one for one in MODELS}


def model_facts(provider: Provider, model: str) -> Model | None:
    """Return what is known of a model; None where nothing is.

    A name that ends in a date, as OpenAI's do (`gpt-4.1-2025-04-14`), is the model without it.
    """
    return _BY_NAME.get((provider.name, model)) or _BY_NAME.get((provider.name, _DATE.sub("", model)))


def obstacle(provider: Provider, model: str, *, today: date | None = None) -> str:
    """Return what stands in the way of a model, as words: shut down, soon shut down, not for every plan; "" for none known.

    Examples
    --------
    >>> from evalkit.llm.providers import provider
    >>> obstacle(provider("groq"), "llama-3.3-70b-versatile")
    'llama-3.3-70b-versatile was shut down at groq on 2026-08-16 (console.groq.com/docs/deprecations)'
    >>> obstacle(provider("groq"), "openai/gpt-oss-20b")
    ''
    """
    facts = model_facts(provider, model)
    if facts is None:
        return ""
    if facts.gone:
        verb = (
            "was" if date.fromisoformat(facts.gone) <= (today or datetime.now(tz=UTC).date()) else "will be"
        )
        instead = f"; {facts.instead} takes its place" if facts.instead else ""
        return f"{model} {verb} shut down at {provider.name} on {facts.gone} ({GONE[provider.name]}){instead}"
    if facts.state == "enterprise":
        return f"{model} is for enterprise plans at {provider.name} ({facts.source})"
    return ""


def price(provider: Provider, model: str) -> tuple[float, float] | None:
    """Return what a million tokens cost live, sent and written, in US dollars; None where nobody has said.

    Examples
    --------
    >>> from evalkit.llm.providers import provider
    >>> price(provider("groq"), "openai/gpt-oss-20b")
    (0.075, 0.3)
    >>> price(provider("local"), "smollm2")
    (0.0, 0.0)
    >>> price(provider("groq"), "a-new-model")
    """
    if provider.name == "local":
        return 0.0, 0.0
    facts = model_facts(provider, model)
    if facts is None or facts.input is None or facts.output is None:
        return None
    return facts.input, facts.output


def price_words(provider: Provider, model: str) -> str:
    """Return the price of a model as words.

    Examples
    --------
    >>> from evalkit.llm.providers import provider
    >>> price_words(provider("groq"), "openai/gpt-oss-20b")
    '$0.075 in, $0.30 out a million tokens (2026-11-22)'
    >>> price_words(provider("groq"), "a-new-model")
    'price unknown'
    """
    found = price(provider, model)
    if found is None:
        return "price unknown"
    if provider.name == "local":
        return "free: it runs on this machine"
    facts = model_facts(provider, model)
    sent, written = (f"${one:.3f}".removesuffix("0") for one in found)
    return f"{sent} in, {written} out a million tokens ({facts.as_of if facts else ''})"


def cost(
    provider: Provider, model: str, usage: Mapping[str, Any] | None, *, mode: Literal["live", "batch"]
) -> float | None:
    """Return what an answer cost, in US dollars; None where the price or the usage is not known.

    Parameters
    ----------
    provider, model
        What was asked.
    usage
        The `usage` of the chat completion.
    mode
        A batch costs half. Tokens that the endpoint had in its cache cost less, those that it puts there more; in a
        batch only where the provider says so.

    Examples
    --------
    >>> from evalkit.llm.providers import provider
    >>> usage = {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000}
    >>> cost(provider("groq"), "openai/gpt-oss-20b", usage, mode="live")
    0.375
    >>> cost(provider("groq"), "openai/gpt-oss-20b", usage, mode="batch")
    0.1875
    """
    found = price(provider, model)
    sent, written = count_tokens(usage, "prompt_tokens"), count_tokens(usage, "completion_tokens")
    if found is None or sent is None or written is None:
        return None
    facts = model_facts(provider, model)
    cached = kept = None
    if facts and (mode == "live" or (provider.batch and provider.batch.cached_costs_less)):
        cached, kept = facts.cached, facts.kept
    details = usage.get("prompt_tokens_details") if usage else None
    known = min(count_tokens(details, "cached_tokens") or 0, sent)
    new = min(count_tokens(details, "cache_write_tokens") or 0, sent - known)
    dollars = (sent - known - new) * found[0] + written * found[1]
    dollars += known * (found[0] if cached is None else cached) + new * (found[0] if kept is None else kept)
    return dollars * (_BATCH if mode == "batch" else 1) / _MILLION


def count_tokens(usage: Any, name: str) -> int | None:
    """Return a number of tokens; None where it is missing, or no whole number that a table could hold.

    Examples
    --------
    >>> count_tokens({"prompt_tokens": 12}, "prompt_tokens")
    12
    >>> count_tokens({"prompt_tokens": "12"}, "prompt_tokens")
    """
    value = usage.get(name) if hasattr(usage, "get") else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None
