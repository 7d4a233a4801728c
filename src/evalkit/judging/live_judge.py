"""Judging live: ask, settle, ask again what could not be read, and keep every row as it comes."""

from __future__ import annotations

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, cast

from evalkit.judging.notes import make_notes
from evalkit.judging.requests import make_questions
from evalkit.judging.score_file import ScoreFile, with_scores
from evalkit.judging.score_rows import fault_rows, paid, settle
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


def run_live(
    judge: JudgeSettings,
    evals: Evals,
    *,
    folder: str | Path | None,
    only: Any,
    max_cost: float | None,
    concurrency: int,
    progress: Any,
    cache: Cache | str | Path | None,
    controls: Controls | None,
) -> Evals:
    """Do what `Judge.run` says."""
    with nullcontext() if folder is None else ScoreFile(folder) as file, opened(cache) as answers:
        if file is not None:
            evals = file.added_to(evals)
        questions = make_questions(judge, evals, only=only)
        rows = [row for fault in questions.faults for row in fault_rows(*fault)]
        _check(judge, questions.requests, answers)
        # Not before: a key that was forgotten must not leave a second grader's empty rows behind.
        if file is not None:
            file.add(rows)
        for made in _ask(judge, questions.requests, answers, concurrency, max_cost, progress):
            rows += made
            if file is not None:
                file.add(made)
    return with_scores(evals, rows, judge, make_notes(judge, questions, rows, controls))


def _check(judge: JudgeSettings, requests: list[Request], cache: Cache) -> None:
    """Raise where the model cannot be asked, though something has to be."""
    from evalkit.llm.providers import check_model

    base_url = judge.endpoint.base_url
    if any(cache.get(request_key(base_url, one.body)) is None for one in requests):
        check_model(judge.endpoint, judge.model)


def _ask(
    judge: JudgeSettings,
    requests: list[Request],
    cache: Cache,
    concurrency: int,
    max_cost: float | None,
    progress: Any,
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each reply; what could not be read is asked once more, in rounds."""
    from evalkit.llm.ask import ask

    left = max_cost
    while requests:
        by_id = {request.custom_id: request for request in requests}
        again: list[Request] = []
        spent = 0.0
        replies = ask(
            requests,
            provider=judge.endpoint,
            cache=cache,
            concurrency=concurrency,
            max_cost=left,
            progress=progress,
        )
        # Left early, it ends what is under way in good order.
        with closing(cast("Any", replies)):
            for reply in replies:
                request = by_id[reply.custom_id]
                made, once_more = settle(request, reply)
                if once_more is not None:
                    again.append(once_more)
                spent += paid(request, reply)
                yield made
        requests = again
        left = None if left is None else max(left - spent, 0.0)
