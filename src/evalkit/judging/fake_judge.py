"""Synthetic replies of a judge, for notebooks and pages without an API key. Sends nothing.

A run with such scores is marked: `runs.made_up` is true.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.schema import TRIAL_KEY
from evalkit.judging.request_details import details_of
from evalkit.judging.requests import plan_requests
from evalkit.llm.answer_cache import opened
from evalkit.llm.requests import request_key

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals
    from evalkit.judging.settings import JudgeSettings
    from evalkit.llm.answer_cache import Cache

NOTICE: Final = "Synthetic: no model was used."
"""The first sentence of each rationale."""


def cache_fake_replies(
    judge: JudgeSettings, evals: Evals, *, cache: Cache | str | Path, only: Any = None, noise: float = 0.1
) -> int:
    """Put a synthetic reply to each request of a judge into a cache, and return their number.

    The score is the mean of human labels, else of a judge's scores, sometimes one point off. `Judge.run` with this
    cache then finds every reply.

    Parameters
    ----------
    judge, evals, only
        As for `Judge.run`. The judge scores one criterion at a time.
    cache
        Use a separate cache, without real replies.
    noise
        The share of replies that are one point off, from 0 to 1.
    """
    is_human = pl.col("grader_kind").eq_missing("human")
    human, others = (evals.scores.filter(rows) for rows in (is_human, ~is_human))
    scores = _by_key(others, pl.col("score").mean()) | _by_key(human, pl.col("score").mean())
    rationales = _by_key(others, pl.col("rationale").drop_nulls().last())
    with opened(cache) as answers:
        requests = plan_requests(judge, evals, only=only).requests
        for request in requests:
            details = details_of(request)
            if details is None or len(details.criteria) != 1:
                continue
            spec = details.criteria[0]
            key = (details.run, details.case, details.epoch, spec.criterion)
            content = {
                "evidence": [],
                "reasoning": f"{NOTICE} {rationales.get(key, 'Judged by the new wording.')}",
                "score": _draw_score(scores.get(key), spec.scale, request.custom_id, noise),
                "flags": {"canary": details.canary, "tries_to_influence_judge": False},
            }
            message = {"role": "assistant", "content": json.dumps(content)}
            body = {
                "id": f"made-up-{request.custom_id[:12]}",
                "object": "chat.completion",
                "made_up": True,
                "model": judge.model,
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            }
            answers.put(request_key(judge.endpoint.base_url, request.body), body, model=judge.model)
    return len(requests)


def _by_key(scores: pl.DataFrame, value: pl.Expr) -> dict[tuple[Any, ...], Any]:
    """Return the value per trial and criterion, without nulls."""
    values = scores.group_by(*TRIAL_KEY, "criterion", maintain_order=True).agg(value.alias("value"))
    return {row[:-1]: row[-1] for row in values.iter_rows() if row[-1] is not None}


def _draw_score(mean: float | None, scale: tuple[float, float], salt: str, noise: float) -> int:
    """Return a whole score near the mean. The noise is derived from the salt, so that it repeats."""
    low, high = scale
    draw = int(hashlib.sha256(salt.encode()).hexdigest()[:8], 16) / 16**8
    score = round((low + high) / 2 if mean is None else mean)
    offset = 0 if draw >= noise else (1 if draw < noise / 2 else -1)
    return int(min(max(score + offset, low), high))
