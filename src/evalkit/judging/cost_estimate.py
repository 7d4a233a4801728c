"""Estimate the requests and the cost of judging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.judging.requests import plan_requests
from evalkit.judging.transcript_prompt import count_tokens
from evalkit.llm.answer_cache import opened
from evalkit.llm.requests import request_key
from evalkit.util.format import money
from evalkit.util.hostile_text import escape
from evalkit.util.words import plural

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals
    from evalkit.judging.settings import JudgeSettings
    from evalkit.llm.answer_cache import Cache

# Output tokens per judgement, reasoning included, of a judge without scores.
_OUTPUT_TOKENS: Final = 400


@dataclass(frozen=True, slots=True)
class JudgeEstimate:
    """The size and cost of judging. Counts are exact; tokens and prices are estimates.

    Attributes
    ----------
    model, provider
        The judge's.
    requests, cached
        All requests; those with a cached response, which are free.
    shared
        Uncached requests equal to an earlier one, which live share its response.
    input_tokens, output_tokens
        Tokens sent and received live.
    price_live, price_batch
        US dollars; None: unknown.
    done
        Existing scores.
    prechecked
        Judgements of answers without content, which are not sent.
    longest
        Input tokens of the longest request.
    obstacle
        A known problem with the model, such as its shutdown date; "": none.
    """

    model: str
    provider: str
    requests: int
    cached: int
    shared: int
    input_tokens: int
    output_tokens: int
    price_live: float | None
    price_batch: float | None
    done: int
    prechecked: int
    longest: int
    obstacle: str

    @property
    def words(self) -> str:
        """The estimate in a few sentences."""
        cached = f", {self.cached:,} of them cached (free)" if self.cached else ""
        shared = f", {self.shared:,} of them repeats (free live)" if self.shared else ""
        sentences = [
            f"{plural(self.requests, 'request')} to {self.model} at {self.provider}{cached}{shared}."
        ]
        if self.requests > self.cached:
            price = f"about {money(self.price_live)} live, {money(self.price_batch)} by batch"
            if not self.price_live:
                price = "unknown cost" if self.price_live is None else "free"
            sentences.append(
                f"Estimated: {self.input_tokens:,} tokens sent, {self.output_tokens:,} received, {price}. "
                "Unreadable responses are requested again, at most twice."
            )
        if self.done:
            sentences.append(f"{plural(self.done, 'score is', plural='scores are')} there already.")
        if self.prechecked:
            judgements = plural(self.prechecked, "judgement needs", plural="judgements need")
            sentences.append(f"{judgements} no judge: the answer has no content.")
        if self.obstacle:
            sentences.append(f"But {self.obstacle}.")
        return " ".join(sentences)

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.words)}</p>"


def make_estimate(
    judge: JudgeSettings, evals: Evals, *, only: Any, cache: Cache | str | Path | None
) -> JudgeEstimate:
    """Return the result of `Judge.estimate`."""
    from evalkit.llm.providers import cost, obstacle

    plan = plan_requests(judge, evals, only=only)
    endpoint = judge.endpoint
    with opened(cache) as answers:
        missing = answers.missing(endpoint.base_url, plan.requests)
    unique = {request_key(endpoint.base_url, request.body): request for request in missing}
    sizes = {
        request.custom_id: sum(count_tokens(message["content"]) for message in request.body["messages"])
        for request in plan.requests
    }
    output = _typical_output(evals, judge.grader)
    live, batch = (
        {
            "prompt_tokens": sum(sizes[request.custom_id] for request in requests),
            "completion_tokens": sum(output * len(request.about["asked"]) for request in requests),
        }
        for requests in (unique.values(), missing)
    )
    return JudgeEstimate(
        model=judge.model,
        provider=endpoint.name,
        requests=len(plan.requests),
        cached=len(plan.requests) - len(missing),
        shared=len(missing) - len(unique),
        input_tokens=live["prompt_tokens"],
        output_tokens=live["completion_tokens"],
        price_live=cost(endpoint, judge.model, live, mode="live"),
        price_batch=cost(endpoint, judge.model, batch, mode="batch"),
        done=plan.done,
        prechecked=len(plan.precheck_rows),
        longest=max(sizes.values(), default=0),
        obstacle=obstacle(endpoint, judge.model),
    )


def _typical_output(evals: Evals, grader: str) -> int:
    """Return the mean output tokens of this grader's scores, or a default."""
    mean = evals.scores.filter(pl.col("grader") == grader)["output_tokens"].mean()
    return round(mean) if isinstance(mean, float) and mean > 0 else _OUTPUT_TOKENS
