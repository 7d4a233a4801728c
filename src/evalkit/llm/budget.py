"""Cost limit of live requests: spent, reserved for running requests, and possibly billed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from evalkit.llm.providers import cost, count_tokens, price
from evalkit.util.errors import ProviderError
from evalkit.util.format import money
from evalkit.util.words import Option, Sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalkit.llm.providers import Provider

# Text has about four bytes per token in English and three in most other scripts. Three overestimates the cost.
_BYTES_PER_TOKEN: Final = 3
_DEFAULT_OUTPUT_TOKENS: Final = 1_024
_MILLION: Final = 1_000_000


def estimate_cost(
    body: Mapping[str, Any],
    size_bytes: int,
    prices: tuple[float, float],
    *,
    output_tokens: int = _DEFAULT_OUTPUT_TOKENS,
) -> float:
    """Return the approximate maximum cost of a request; `output_tokens` is used if it has no limit."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    tokens = limit if isinstance(limit, int) else output_tokens
    choices = body["n"] if isinstance(body.get("n"), int) else 1
    return size_bytes / _BYTES_PER_TOKEN * prices[0] + tokens * choices * prices[1]


def unknown_price(provider: Provider, model: str, max_cost: float) -> ProviderError:
    """Return the error for a cost limit without a known price."""
    return ProviderError(
        f"The price of {model} at {provider.name} is unknown, so a limit of ${max_cost:g} cannot be enforced.",
        argument="max_cost",
        value=max_cost,
        fix=Sentence("Leave {option} out, or use a model with a known price.", option=Option("max_cost")),
    )


class Budget:
    """Keep live requests below a cost limit in US dollars. A running request counts at its estimate."""

    def __init__(self, provider: Provider, max_cost: float | None) -> None:
        self.spent = 0.0
        self.saved = 0.0  # by the cache
        self.priced = True  # the price of every response is known
        self._provider = provider
        self._max_cost = max_cost
        self._reserved = 0.0
        # May be billed although no response came: counts against the limit, but not as spent.
        self._doubtful = 0.0
        self._longest_answer = 0
        self._changed = asyncio.Event()

    def estimate(self, body: Mapping[str, Any], size_bytes: int) -> float:
        """Return the maximum cost of a request; raise ProviderError for an unknown price with a limit."""
        if self._max_cost is None:
            return 0.0
        model = str(body.get("model"))
        prices = price(self._provider, model)
        if prices is None:
            raise unknown_price(self._provider, model, self._max_cost)
        tokens = max(_DEFAULT_OUTPUT_TOKENS, self._longest_answer)
        return estimate_cost(body, size_bytes, prices, output_tokens=tokens) / _MILLION

    async def reserve(self, estimate: float) -> str | None:
        """Reserve money, waiting if needed; return a message at the limit."""
        while (
            self._max_cost is not None
            and self.spent + self._doubtful + self._reserved + estimate > self._max_cost
        ):
            if self._reserved <= 1e-12:
                doubtful = (
                    f" (and possibly {money(self._doubtful)} for requests without a response)"
                    if self._doubtful
                    else ""
                )
                return (
                    f"The limit max_cost={self._max_cost:g} is reached: {money(self.spent)} spent{doubtful}, and the next "
                    f"request may cost {money(estimate)}. Raise max_cost and run again. Answered requests are kept."
                )
            self._changed.clear()
            await self._changed.wait()
        self._reserved += estimate
        return None

    def release(
        self, estimate: float, body: dict[str, Any] | None, model: str, *, maybe_billed: bool
    ) -> None:
        """Replace a reserved estimate by the cost of the response; keep it if an answer may be billed."""
        self._reserved -= estimate
        if body is not None:
            usage = body.get("usage")
            dollars = cost(self._provider, model, usage, mode="live")
            self.priced &= dollars is not None
            self.spent += estimate if dollars is None else dollars
            self._longest_answer = max(self._longest_answer, count_tokens(usage, "completion_tokens") or 0)
        elif maybe_billed:
            self._doubtful += estimate
        self._changed.set()

    def save(self, body: dict[str, Any], model: str) -> None:
        """Count a response served from the cache."""
        self.saved += cost(self._provider, model, body.get("usage"), mode="live") or 0.0
