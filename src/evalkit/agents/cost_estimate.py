"""Estimate the requests and the maximum cost of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evalkit.agents.run_suite import make_requests, plan_run
from evalkit.llm.answer_cache import opened
from evalkit.util.format import money
from evalkit.util.hostile_text import escape
from evalkit.util.words import plural

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.agents.settings import AgentSettings
    from evalkit.data.suite import Suite
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.requests import Request

# English text; other scripts need more tokens.
_CHARACTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """The size and the maximum cost of a run; None: unknown.

    Attributes
    ----------
    run
        The run's name.
    model, provider
        None for a function or a command, which sends its own requests.
    attempts, done, cached
        Trials to run; completed trials; free answers of the cache.
    input_tokens, output_tokens
        Estimated tokens sent, and most tokens received.
    price
        Maximum cost in US dollars.
    obstacle
        A known problem with the model, such as its shutdown date; "": none.
    """

    run: str
    model: str | None
    provider: str | None
    attempts: int
    done: int
    cached: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    price: float | None = None
    obstacle: str = ""

    @property
    def words(self) -> str:
        """The estimate in a few sentences."""
        done = f" {plural(self.done, 'trial is', plural='trials are')} there already." if self.done else ""
        if self.provider is None:
            return f"{plural(self.attempts, 'trial')}. The agent sends its own requests: cost unknown.{done}"
        cached = f", {self.cached:,} of them cached (free)" if self.cached else ""
        obstacle = f" But {self.obstacle}." if self.obstacle else ""
        price = "unknown cost" if self.price is None else f"{money(self.price)} at most"
        price = "free: it runs on this machine" if self.provider == "local" else price
        return (
            f"{plural(self.attempts, 'request')} to {self.model} at {self.provider}{cached}: about "
            f"{self.input_tokens:,} tokens sent, at most {self.output_tokens:,} received, {price}.{done}{obstacle}"
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
    cache: Cache | str | Path | None = None,
    **settings: Any,
) -> RunEstimate:
    """Estimate a run; see `Agent.estimate`."""
    from evalkit.llm.providers import cost, obstacle

    place, pending = plan_run(suite, agent, folder, **settings)
    counts = (len(pending), len(place.done))
    if agent.kind != "model":
        return RunEstimate(place.run, agent.model, None, *counts, cached=0)
    requests = [request for request, _ in make_requests(agent, pending).values()]
    with opened(cache) as answers:
        unanswered = answers.missing(agent.endpoint.base_url, requests)
    sent = sum(_count_tokens(request) for request in unanswered)
    received = len(unanswered) * agent.max_tokens
    usage = {"prompt_tokens": sent, "completion_tokens": received}
    return RunEstimate(
        place.run,
        agent.model,
        agent.endpoint.name,
        *counts,
        cached=len(requests) - len(unanswered),
        input_tokens=sent,
        output_tokens=received,
        price=cost(agent.endpoint, str(agent.model), usage, mode="live"),
        obstacle=obstacle(agent.endpoint, str(agent.model)),
    )


def _count_tokens(request: Request) -> int:
    characters = sum(len(message["content"]) for message in request.body["messages"])
    return characters // _CHARACTERS_PER_TOKEN
