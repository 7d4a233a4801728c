"""What judging would take and cost, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.judging.requests import make_questions
from evalkit.judging.transcript_prompt import count_tokens
from evalkit.llm.answer_cache import opened
from evalkit.llm.requests import request_key
from evalkit.util.hostile_text import escape
from evalkit.util.words import plural

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals
    from evalkit.judging.settings import JudgeSettings
    from evalkit.llm.answer_cache import Cache

# What a judgement of one criterion takes where none by this judge is there to go by: quotes, reasons, hidden reasoning.
_OUTPUT: Final = 400
_MILLION: Final = 1_000_000
_BATCH: Final = 0.5


@dataclass(frozen=True, slots=True)
class Estimate:
    """What judging would take and cost. Tokens and prices are estimates; the counts are exact.

    Attributes
    ----------
    model, provider
        Who would be asked.
    requests
        How many requests there are, those that were answered before among them.
    cached
        How many of them were answered before, and cost nothing.
    shared
        How many of the others are the same as one before them, word for word: live they share its answer.
    input_tokens, output_tokens
        About how many tokens the others would send and receive, live.
    price_live, price_batch
        What they would cost in US dollars; None where no price is known.
    done
        How many scores are there already and are not asked for.
    prechecked
        How many judgements need no judge, because the answer holds nothing.
    longest
        About how many tokens the longest request has.
    obstacle
        What stands in the way of the model, as far as is known without asking: the day it is shut down; "" for nothing.
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
        to_pay = self.requests - self.cached
        first = f"{plural(self.requests, 'request')} to {self.model} at {self.provider}"
        free = [f"{self.cached:,} of them answered before (free)"] if self.cached else []
        free += [f"{self.shared:,} the same as another (live they share its answer)"] if self.shared else []
        parts = [f"{', '.join([first, *free])}."]
        if to_pay:
            price = (
                "the price is not known"
                if self.price_live is None
                else "free"
                if not self.price_live
                else f"about {dollars(self.price_live)} live, {dollars(self.price_batch or 0.0)} by batch"
            )
            parts.append(
                f"Estimated: {self.input_tokens:,} tokens sent, {self.output_tokens:,} received, {price}; "
                "answers that cannot be read are asked for again, at most twice."
            )
        if self.done:
            parts.append(f"{plural(self.done, 'score is', plural='scores are')} there already.")
        if self.prechecked:
            parts.append(
                f"{plural(self.prechecked, 'judgement needs', plural='judgements need')} no judge: the answer holds nothing."
            )
        if self.obstacle:
            parts.append(f"But {self.obstacle}.")
        return " ".join(parts)

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.words)}</p>"


def dollars(amount: float) -> str:
    """Return an amount as words: small ones are not rounded to nothing.

    Examples
    --------
    >>> dollars(12.345), dollars(0.00123)
    ('$12.35', '$0.0012')
    """
    return f"${amount:,.2f}" if amount >= 0.1 or not amount else f"${amount:.4f}"


def make_estimate(
    judge: JudgeSettings, evals: Evals, *, only: Any, cache: Cache | str | Path | None
) -> Estimate:
    """Return the estimate of `Judge.estimate`."""
    from evalkit.llm.providers import obstacle, price

    questions = make_questions(judge, evals, only=only)
    output = _typical_output(evals, judge.grader)
    cached = shared = longest = 0
    live, batch = [0, 0], [0, 0]
    seen: set[str] = set()
    with opened(cache) as answers:
        for request in questions.requests:
            size = sum(count_tokens(message["content"]) for message in request.body["messages"])
            longest = max(longest, size)
            key = request_key(judge.endpoint.base_url, request.body)
            if answers.get(key) is not None:
                cached += 1
                continue
            shared += key in seen
            for total in [batch] if key in seen else [live, batch]:
                total[0] += size
                total[1] += output * len(request.about["asked"])
            seen.add(key)
    rates = price(judge.endpoint, judge.model)
    prices = [
        None if rates is None else (sent * rates[0] + received * rates[1]) / _MILLION
        for sent, received in (live, batch)
    ]
    return Estimate(
        model=judge.model,
        provider=judge.endpoint.name,
        requests=len(questions.requests),
        cached=cached,
        shared=shared,
        input_tokens=live[0],
        output_tokens=live[1],
        price_live=prices[0],
        price_batch=None if prices[1] is None else prices[1] * _BATCH,
        done=questions.done,
        prechecked=sum(len(about.asked) for about, *_ in questions.faults),
        longest=longest,
        obstacle=obstacle(judge.endpoint, judge.model),
    )


def _typical_output(evals: Evals, grader: str) -> int:
    """Return what this judge has written for a judgement so far; else a guess."""
    written = evals.scores.filter(pl.col("grader") == grader)["output_tokens"].drop_nulls()
    mean = written.mean()
    return round(mean) if isinstance(mean, float) and mean > 0 else _OUTPUT
