"""Rows of the `scores` table from replies: the same live, from a batch and from a journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evalkit.data.schema import SCORES
from evalkit.judging.parse_reply import RETRIED, parse_reply, usage_of
from evalkit.judging.request_details import details_of, retry_request
from evalkit.util.errors import ProviderError

if TYPE_CHECKING:
    from evalkit.judging.parse_reply import ParsedReply
    from evalkit.judging.request_details import CriterionSpec, RequestDetails
    from evalkit.llm.requests import Reply, Request


def parse_or_retry(request: Request, reply: Reply) -> tuple[list[dict[str, Any]], Request | None]:
    """Return the rows of a reply; or no rows, and the next request for the same judgement.

    Both are empty for a request that is not a judging request.
    """
    details = details_of(request)
    if details is None:
        return [], None
    parsed = parse_reply(reply, details.criteria, canary=details.canary, decoy=details.decoy)
    if parsed.failure in RETRIED:
        retry = retry_request(request, _spent(details, reply))
        if retry is not None:
            return [], retry
    return _rows(request, details, reply, parsed), None


def is_unreadable(request: Request, reply: Reply) -> bool:
    """Return whether a response came and gives no scores."""
    details = details_of(request)
    if details is None or reply.outcome != "success":
        return False
    parsed = parse_reply(reply, details.criteria, canary=details.canary, decoy=details.decoy)
    return parsed.failure is not None


def final_rows(request: Request, reply: Reply) -> list[dict[str, Any]]:
    """Return the rows of a reply that is not retried, without scores if it cannot be read."""
    details = details_of(request)
    if details is None:
        return []
    parsed = parse_reply(reply, details.criteria, canary=details.canary, decoy=details.decoy)
    return _rows(request, details, reply, parsed)


def known_cost(request: Request, reply: Reply) -> float:
    """Return the cost of a reply in US dollars; 0.0 if unknown."""
    details = details_of(request)
    return 0.0 if details is None else _spent(details, reply)[2]


def precheck_rows(details: RequestDetails, word: str, reason: str) -> list[dict[str, Any]]:
    """Return the rows, without scores, of an answer that is not sent."""
    metadata = _encode({"failure": "precheck", "precheck": word, "provider": details.provider})
    row = {"error": f"precheck: {reason}; not sent to the judge", "metadata": metadata}
    return [{**key_columns(details, spec), **row} for spec in details.criteria]


def key_columns(details: RequestDetails, spec: CriterionSpec) -> dict[str, Any]:
    """Return the columns that identify a judgement and its judge."""
    return {
        "run": details.run,
        "case": details.case,
        "epoch": details.epoch,
        "criterion": spec.criterion,
        "grader": details.grader,
        "rubric_hash": spec.rubric_hash,
        "sample": details.sample,
        "grader_kind": "judge",
        "judge_model": details.model,
        "prompt_hash": details.prompt_hash,
    }


def score_key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the key of a row of scores."""
    return tuple(row[name] for name in SCORES.key)


def _rows(
    request: Request, details: RequestDetails, reply: Reply, parsed: ParsedReply
) -> list[dict[str, Any]]:
    """Return one row per criterion; tokens and cost are divided among them."""
    count = len(details.criteria)
    sent, received, dollars = _spent(details, reply)
    has_usage = usage_of(reply.body)[0] is not None
    is_priced = not has_usage or _cost(details, reply) is not None
    shared = {
        "seed": details.seed,
        "mode": reply.mode,
        "metadata": _metadata(request, details, reply, parsed),
    }
    tries = f" ({details.tries} tries)" if details.tries > 1 else ""
    rows = []
    for index, spec in enumerate(details.criteria):
        row = key_columns(details, spec)
        if parsed.failure is None:
            score = parsed.scores[index]
            row["score"] = score.score
            row["rationale"] = score.reasoning or None
            row["evidence"] = "\n".join(score.evidence) or None
            if spec.criterion in details.binary:
                row["label"] = "pass" if score.score == spec.scale[1] else "fail"
        else:
            row["error"] = f"{parsed.failure}: {parsed.reason}{tries}"
        row |= shared
        if has_usage or details.input_tokens:
            row["input_tokens"] = _share(details.input_tokens + sent, index, count)
            row["output_tokens"] = _share(details.output_tokens + received, index, count)
            row["cost_usd"] = (details.cost_usd + dollars) / count if is_priced else None
        rows.append(row)
    return rows


def _metadata(request: Request, details: RequestDetails, reply: Reply, parsed: ParsedReply) -> str:
    body = reply.body or {}
    facts = {
        "failure": parsed.failure,
        "tries_to_influence_judge": parsed.influenced,
        "provider": details.provider,
        "model": body.get("model") if isinstance(body.get("model"), str) else None,
        "system_fingerprint": body.get("system_fingerprint"),
        "effort": details.effort,
        "temperature": details.temperature,
        "tries": details.tries,
        "masked": details.redacted or None,
        "left_out_tokens": details.cut_tokens or None,
        "not_sent": list(details.not_sent) or None,
        "criteria_order": [spec.criterion for spec in details.criteria]
        if len(details.criteria) > 1
        else None,
        "cached": reply.cached or None,
        "request": request.custom_id,
        "batch_id": reply.batch_id,
        "made_up": body.get("made_up") is True or None,
    }
    return _encode({name: value for name, value in facts.items() if value is not None})


def _encode(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"), default=str)


def _share(total: int, index: int, count: int) -> int:
    each, rest = divmod(total, count)
    return each + (index < rest)


def _spent(details: RequestDetails, reply: Reply) -> tuple[int, int, float]:
    sent, received = usage_of(reply.body)
    return sent or 0, received or 0, _cost(details, reply) or 0.0


def _cost(details: RequestDetails, reply: Reply) -> float | None:
    """Return the cost of a reply, 0 from the cache; None if unknown."""
    from evalkit.llm.providers import cost, provider

    if reply.cached:
        return 0.0
    try:
        endpoint = provider(details.provider)
    except ProviderError:
        return None
    return cost(endpoint, details.model, (reply.body or {}).get("usage"), mode=reply.mode)
