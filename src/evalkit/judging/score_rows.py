"""Replies into rows of the `scores` table: the same rows live, from a batch, and from a journal days later."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evalkit.judging.parse_reply import ASKED_AGAIN, read_answer, usage_of
from evalkit.judging.requests import about, ask_again
from evalkit.util.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalkit.judging.parse_reply import Answer
    from evalkit.judging.requests import About
    from evalkit.llm.requests import Reply, Request


def settle(request: Request, reply: Reply) -> tuple[list[dict[str, Any]], Request | None]:
    """Return what a reply comes to: rows of scores; or none, and the request that asks once more.

    Parameters
    ----------
    request, reply
        What was asked, and what came of it.

    Returns
    -------
    tuple
        The rows, one for each criterion that was asked. Where the answer cannot be read and may be asked for
        again there are none, and the second is the request to ask with.
    """
    what = about(request)
    if what is None:
        return [], None
    answer = read_answer(reply, what.asked, canary=what.canary, decoy=what.decoy)
    used = _used(what, reply)
    if answer.failure in ASKED_AGAIN:
        again = ask_again(request, used)
        if again is not None:
            return [], again
    return _rows(request, what, reply, answer, used), None


def give_up(request: Request, reply: Reply) -> list[dict[str, Any]]:
    """Return the rows of a reply that will not be asked for again: without a score, where it cannot be read."""
    what = about(request)
    if what is None:
        return []
    answer = read_answer(reply, what.asked, canary=what.canary, decoy=what.decoy)
    return _rows(request, what, reply, answer, _used(what, reply))


def paid(request: Request, reply: Reply) -> float:
    """Return what was paid for a reply, in US dollars; 0.0 where nobody knows."""
    what = about(request)
    return 0.0 if what is None else _used(what, reply)[2]


def fault_rows(what: About, word: str, sentence: str) -> list[dict[str, Any]]:
    """Return the rows of a trial that no judge needs to see: without a score, with the reason."""
    error = f"precheck: {sentence}; the judge was not asked"
    metadata = {"failure": "precheck", "precheck": word, "provider": what.provider}
    return [
        {
            **_key(what, at),
            "error": error,
            "metadata": json.dumps(metadata, ensure_ascii=False, separators=(",", ":")),
        }
        for at in range(len(what.asked))
    ]


def _rows(
    request: Request, what: About, reply: Reply, answer: Answer, used: tuple[int, int, float]
) -> list[dict[str, Any]]:
    """Return a row for each criterion; tokens and money are shared out so that their sum is what was used."""
    made = []
    count = len(what.asked)
    known = _usage(reply)[0] is not None
    priced = not known or _cost(what, reply) is not None
    shared = (what.input_tokens + used[0], what.output_tokens + used[1])
    metadata = _metadata(request, what, reply, answer)
    for at in range(count):
        row = _key(what, at)
        if answer.judgements:
            found = answer.judgements[at]
            row |= {
                "score": found.score,
                "rationale": found.reasoning or None,
                "evidence": "\n".join(found.evidence) or None,
            }
            if what.asked[at].criterion in what.binary:
                row["label"] = "pass" if found.score == what.asked[at].scale[1] else "fail"
        else:
            asked = f" (asked {what.tries} times)" if what.tries > 1 else ""
            row["error"] = f"{answer.failure}: {answer.reason}{asked}"
        row |= {"seed": what.seed, "mode": reply.mode, "metadata": metadata}
        if known or what.input_tokens:
            row["input_tokens"], row["output_tokens"] = (_share(total, at, count) for total in shared)
            row["cost_usd"] = (what.cost_usd + used[2]) / count if priced else None
        made.append(row)
    return made


def _key(what: About, at: int) -> dict[str, Any]:
    return {
        "run": what.run,
        "case": what.case,
        "epoch": what.epoch,
        "criterion": what.asked[at].criterion,
        "grader": what.grader,
        "rubric_hash": what.asked[at].rubric_hash,
        "sample": what.sample,
        "grader_kind": "judge",
        "judge_model": what.model,
        "prompt_hash": what.prompt_hash,
    }


def _metadata(request: Request, what: About, reply: Reply, answer: Answer) -> str:
    body: Mapping[str, Any] = reply.body or {}
    facts = {
        "failure": answer.failure,
        "tries_to_influence_judge": answer.influenced,
        "provider": what.provider,
        "model": body.get("model") if isinstance(body.get("model"), str) else None,
        "system_fingerprint": body.get("system_fingerprint"),
        "effort": what.effort,
        "temperature": what.temperature,
        "tries": what.tries,
        "masked": what.masked or None,
        "left_out_tokens": what.left_out or None,
        "not_sent": list(what.not_sent) or None,
        "criteria_order": [one.criterion for one in what.asked] if len(what.asked) > 1 else None,
        "cached": reply.cached or None,
        "request": request.custom_id,
        "batch_id": reply.batch_id,
        "made_up": body.get("made_up") is True or None,
    }
    given = {name: value for name, value in facts.items() if value is not None}
    return json.dumps(given, ensure_ascii=False, separators=(",", ":"), default=str)


def _share(total: int, at: int, count: int) -> int:
    each, rest = divmod(total, count)
    return each + (at < rest)


def _usage(reply: Reply) -> tuple[int | None, int | None]:
    return usage_of(reply.body)


def _used(what: About, reply: Reply) -> tuple[int, int, float]:
    sent, received = _usage(reply)
    return sent or 0, received or 0, _cost(what, reply) or 0.0


def _cost(what: About, reply: Reply) -> float | None:
    """Return what was paid for the answer: nothing for one that was there already; None where nobody knows."""
    from evalkit.llm.providers import cost, provider

    if reply.cached:
        return 0.0
    try:
        endpoint = provider(what.provider)
    except ProviderError:
        return None
    return cost(endpoint, what.model, (reply.body or {}).get("usage"), mode=reply.mode)
