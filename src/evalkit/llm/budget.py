"""What was spent, what may still be, and what is under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from evalkit.llm.providers import cost, price
from evalkit.util.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalkit.llm.providers import Provider

# Text has about four bytes a token in English and three in most other scripts: three errs on the dear side.
BYTES_A_TOKEN: Final = 3
# What a request that sets no limit may write, until longer answers were seen.
WRITTEN: Final = 1_024
_MILLION: Final = 1_000_000


class Spending:
    """Keeps a run of live requests below a limit on money, what is under way counted at its estimate.

    Attributes
    ----------
    spent, saved
        US dollars for the answers that came, and for those that were in the cache.
    priced
        Whether the price of every answer was known.
    """

    def __init__(self, provider: Provider, most: float | None) -> None:
        self.spent = 0.0
        self.saved = 0.0
        self.priced = True
        self._provider = provider
        self._most = most
        self._under_way = 0.0
        # What may have to be paid though no answer came: it counts against the limit, and is not said to be spent.
        self._doubtful = 0.0
        self._longest = 0
        self._news = asyncio.Event()

    def estimate(self, body: Mapping[str, Any], size: int) -> float:
        """Return what a request of `size` bytes may cost at most, near enough; 0.0 where there is no limit.

        Raises
        ------
        ProviderError
            There is a limit, and the price is not known.
        """
        if self._most is None:
            return 0.0
        model = str(body.get("model"))
        found = price(self._provider, model)
        if found is None:
            raise ProviderError(
                f"The price of {model} at {self._provider.name} is not known, so max_cost={self._most:g} cannot "
                "be kept: leave it out, or use a model whose price is known."
            )
        asked = next((body[name] for name in ("max_completion_tokens", "max_tokens") if body.get(name)), None)
        written = asked if isinstance(asked, int) else max(WRITTEN, self._longest)
        many = body["n"] if isinstance(body.get("n"), int) else 1
        return (size / BYTES_A_TOKEN * found[0] + written * many * found[1]) / _MILLION

    async def reserve(self, estimate: float) -> str | None:
        """Set money aside, waiting for what is under way; a sentence where the limit does not allow it."""
        while (
            self._most is not None and self.spent + self._doubtful + self._under_way + estimate > self._most
        ):
            if self._under_way <= 1e-12:
                doubtful = (
                    f" (and perhaps ${self._doubtful:.4f} for what gave no answer)" if self._doubtful else ""
                )
                return (
                    f"The limit of ${self._most:g} is reached: ${self.spent:.4f} was spent{doubtful}, and the next request "
                    f"may cost ${estimate:.4f}. Raise max_cost and run it again: what was answered is kept."
                )
            self._news.clear()
            await self._news.wait()
        self._under_way += estimate
        return None

    def settle(self, estimate: float, body: dict[str, Any] | None, model: str, *, doubtful: bool) -> None:
        """Put in the place of an estimate what the answer cost.

        Without an answer that is nothing; where it is doubtful whether it is paid for, the estimate stays set aside.
        """
        self._under_way -= estimate
        if body is not None:
            usage = body.get("usage")
            paid = cost(self._provider, model, usage, mode="live")
            self.priced &= paid is not None
            self.spent += estimate if paid is None else paid
            written = usage.get("completion_tokens") if isinstance(usage, dict) else None
            self._longest = max(self._longest, written if isinstance(written, int) else 0)
        elif doubtful:
            self._doubtful += estimate
        self._news.set()

    def save(self, body: dict[str, Any], model: str) -> None:
        """Count an answer that was there already."""
        self.saved += cost(self._provider, model, body.get("usage"), mode="live") or 0.0
