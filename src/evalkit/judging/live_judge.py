"""Judge live: send requests, retry unreadable replies, save each row on arrival."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from evalkit.judging.notes import make_notes
from evalkit.judging.requests import plan_requests
from evalkit.judging.score_file import ScoreFile, with_scores
from evalkit.judging.score_rows import is_unreadable, known_cost, parse_or_retry
from evalkit.llm.answer_cache import opened
from evalkit.llm.requests import request_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evalkit.data.evals import Evals
    from evalkit.judging.controls import Controls
    from evalkit.judging.settings import JudgeSettings
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.requests import Request


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """The options of `Judge.run`."""

    folder: str | Path | None
    only: Any
    max_cost: float | None
    concurrency: int
    progress: Any
    cache: Cache | str | Path | None


def run_live(judge: JudgeSettings, evals: Evals, options: LiveOptions, controls: Controls | None) -> Evals:
    """Return the result of `Judge.run`."""
    from evalkit.llm.providers import check_model

    score_file = nullcontext() if options.folder is None else ScoreFile(options.folder)
    with score_file as file, opened(options.cache) as answers:
        if file is not None:
            evals = file.added_to(evals)
        plan = plan_requests(judge, evals, only=options.only)
        if answers.missing(judge.endpoint.base_url, plan.requests):
            check_model(judge.endpoint, judge.model)
        # After the check: without an API key nothing is written.
        rows = list(plan.precheck_rows)
        if file is not None:
            file.add(rows)
        for new in _send(judge, plan.requests, answers, options):
            rows += new
            if file is not None:
                file.add(new)
    return with_scores(evals, rows, judge, make_notes(judge, plan, rows, controls))


def _send(
    judge: JudgeSettings, requests: list[Request], cache: Cache, options: LiveOptions
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each reply; unreadable replies are retried in rounds."""
    from evalkit.llm.ask import ask

    budget = options.max_cost
    # Equal requests share an answer, which is paid once.
    asked: set[str] = set()
    while requests:
        by_id = {request.custom_id: request for request in requests}
        retries: list[Request] = []
        unreadable: set[str] = set()
        spent = 0.0
        replies = ask(
            requests,
            provider=judge.endpoint,
            cache=cache,
            concurrency=options.concurrency,
            max_cost=budget,
            progress=options.progress,
        )
        # Closing early completes the running requests.
        with closing(cast("Any", replies)):
            for reply in replies:
                request = by_id[reply.custom_id]
                key = request_key(judge.endpoint.base_url, request.body)
                if not reply.cached:
                    asked.add(key)
                if is_unreadable(request, reply):
                    unreadable.add(key)
                    if key not in asked:  # an unreadable answer of an earlier run
                        retries.append(request)
                        continue
                rows, retry = parse_or_retry(request, reply)
                if retry is not None:
                    retries.append(retry)
                spent += known_cost(request, reply)
                yield rows
        # After the round: equal requests in it share the answer.
        for key in unreadable:
            cache.forget(key)
        requests = retries
        budget = None if budget is None else max(budget - spent, 0.0)
