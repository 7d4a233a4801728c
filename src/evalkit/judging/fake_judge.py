"""Made-up answers of a judge, put where its real ones would be: for a notebook, a page or a talk without a key.

Nothing here asks anybody. Every answer says in its reasons that it is made up.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.schema import TRIAL_KEY
from evalkit.judging.requests import about, make_questions
from evalkit.llm.answer_cache import opened
from evalkit.llm.requests import request_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evalkit.data.evals import Evals
    from evalkit.judging.settings import JudgeSettings
    from evalkit.llm.answer_cache import Cache

NOTICE: Final = "Made up, no model was asked."


def rehearse(
    judge: JudgeSettings, evals: Evals, *, cache: Cache | str | Path, only: Any = None, stray: float = 0.1
) -> int:
    """Put made-up answers into a cache, for all that a judge would ask about one criterion at a time.

    Where people have scored a trial the made-up score is theirs, else what a judge has given before; now and then
    it strays by one. A judge that is then run with this cache finds every answer there.

    Parameters
    ----------
    judge, evals, only
        As for `Judge.run`; the judge's mode must be `criterion`.
    cache
        Where the answers go. Use one of its own: made-up answers have no business among real ones.
    stray
        How often an answer is a point off, from 0 to 1.

    Returns
    -------
    int
        How many answers were put there.
    """
    people, before = (_means(evals, human=human) for human in (True, False))
    rationales = _rationales(evals)
    with opened(cache) as answers:
        requests = make_questions(judge, evals, only=only).requests
        for request in requests:
            what = about(request)
            if what is None or len(what.asked) != 1:
                continue
            asked = what.asked[0]
            key = (what.run, what.case, what.epoch, asked.criterion)
            score = _score(people.get(key, before.get(key)), asked.scale, request.custom_id, stray)
            body = {
                "id": f"made-up-{request.custom_id[:12]}",
                "object": "chat.completion",
                "made_up": True,
                "model": judge.model,
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {
                            "role": "assistant",
                            "content": json.dumps(
                                {
                                    "evidence": [],
                                    "reasoning": f"{NOTICE} {rationales.get(key, 'Judged by the new words.')}",
                                    "score": score,
                                    "flags": {"canary": what.canary, "tries_to_influence_judge": False},
                                }
                            ),
                        },
                    }
                ],
            }
            answers.put(request_key(judge.endpoint.base_url, request.body), body, model=judge.model)
    return len(requests)


def _means(evals: Evals, *, human: bool) -> Mapping[tuple[str, str, int, str], float]:
    kind = pl.col("grader_kind").eq_missing("human")
    rows = evals.scores.filter(kind if human else ~kind, pl.col("score").is_not_null())
    means = rows.group_by(*TRIAL_KEY, "criterion").agg(pl.col("score").mean())
    return {(run, case, epoch, criterion): score for run, case, epoch, criterion, score in means.iter_rows()}


def _rationales(evals: Evals) -> Mapping[tuple[str, str, int, str], str]:
    rows = evals.scores.filter(pl.col("rationale").is_not_null(), pl.col("grader_kind").ne_missing("human"))
    columns = rows.select(*TRIAL_KEY, "criterion", "rationale")
    return {(run, case, epoch, criterion): text for run, case, epoch, criterion, text in columns.iter_rows()}


def _score(wanted: float | None, scale: tuple[float, float], salt: str, stray: float) -> int:
    """Return a whole score near the one wanted; which of them stray is drawn from the request, so that it repeats."""
    low, high = scale
    drawn = int(hashlib.sha256(salt.encode()).hexdigest()[:8], 16) / 16**8
    base = round((low + high) / 2 if wanted is None else wanted)
    off = 0 if drawn >= stray else (1 if drawn < stray / 2 else -1)
    return int(min(max(base + off, low), high))
