"""What a run would take and cost at most, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalkit.agents.run_folder import as_suite
from evalkit.agents.run_suite import make_plan, make_requests
from evalkit.llm.answer_cache import opened
from evalkit.llm.requests import request_key
from evalkit.util.hostile_text import escape
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evalkit.agents.settings import AgentSettings
    from evalkit.data.suite import Suite
    from evalkit.llm.answer_cache import Cache

# Of English text; other scripts take more.
_LETTERS_A_TOKEN: Final = 4
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """What a run would take and cost.

    Attributes
    ----------
    run
        What it is called.
    model, provider
        Who would be asked; None for a function or a command, which asks by itself.
    attempts
        How many would be made.
    done
        How many are there already.
    cached
        How many answers are known from an earlier run, and cost nothing.
    input_tokens
        About how many tokens would be sent; None where nobody knows.
    output_tokens
        The most that could be received; None where nobody knows.
    price
        The most it could cost, in US dollars; None where nobody knows.
    obstacle
        What stands in the way of the model, as far as is known without asking: the day it is shut down; "" for nothing.
    """

    run: str
    model: str | None
    provider: str | None
    attempts: int
    done: int
    cached: int
    input_tokens: int | None
    output_tokens: int | None
    price: float | None
    obstacle: str = ""

    @property
    def words(self) -> str:
        """The estimate in a few sentences."""
        there = f" {plural(self.done, 'is', plural='are')} there already." if self.done else ""
        if self.provider is None:
            return f"{plural(self.attempts, 'attempt')} by the agent itself: their tokens and price are its own.{there}"
        free = f", {self.cached:,} of them answered before (free)" if self.cached else ""
        but = f" But {self.obstacle}." if self.obstacle else ""
        price = "the price is not known" if self.price is None else f"${self.price:.4f} at most"
        price = "free: it runs on this machine" if self.provider == "local" else price
        return (
            f"{plural(self.attempts, 'request')} to {self.model} at {self.provider}{free}: about {self.input_tokens:,} tokens "
            f"sent, at most {self.output_tokens:,} received, {price}.{there}{but}"
        )

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.words)}</p>"


def make_estimate(
    agent: AgentSettings,
    suite: Suite | str | Path,
    folder: str | Path | None,
    *,
    epochs: int = 1,
    only: Iterable[str] | str | None = None,
    run: str | None = None,
    seed: int | None = None,
    retry_errors: bool = False,
    cache: Cache | str | Path | None = None,
) -> RunEstimate:
    """Return the estimate of `Agent.estimate`."""
    from evalkit.llm.providers import obstacle, price

    place, left = make_plan(
        as_suite(suite),
        agent,
        folder,
        epochs=epochs,
        only=only,
        run=run,
        seed=seed,
        retry_errors=retry_errors,
    )
    if agent.kind != "model":
        return RunEstimate(place.run, agent.model, None, len(left), len(place.done), 0, None, None, None)
    sent = cached = 0
    with opened(cache) as answers:
        for request, _ in make_requests(agent, left).values():
            if answers.get(request_key(agent.endpoint.base_url, request.body)) is not None:
                cached += 1
            else:
                sent += sum(len(one["content"]) for one in request.body["messages"]) // _LETTERS_A_TOKEN
    written = (len(left) - cached) * agent.max_tokens
    rates = price(agent.endpoint, str(agent.model))
    dollars = None if rates is None else (sent * rates[0] + written * rates[1]) / _MILLION
    return RunEstimate(
        place.run,
        agent.model,
        agent.endpoint.name,
        len(left),
        len(place.done),
        cached,
        sent,
        written,
        dollars,
        obstacle(agent.endpoint, str(agent.model)),
    )
