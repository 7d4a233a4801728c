"""The facts that travel with a judging request, from which its score rows are made."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from evalkit.llm.requests import Request, canonical, custom_id

MAX_TRIES: Final = 3
"""Requests for one judgement while its replies cannot be read."""

# Larger than any number of samples, so that no two requests for a judgement share a seed.
_SEED_STEP: Final = 10_000


class CriterionSpec(msgspec.Struct, frozen=True):
    """One criterion of a request: what its part of a reply is checked against.

    Attributes
    ----------
    key
        The criterion's field in the reply; "" if it is the only criterion.
    points
        The valid scores; None: any number on the scale.
    """

    criterion: str
    rubric_hash: str
    key: str
    scale: tuple[float, float]
    points: tuple[int, ...] | None


class RequestDetails(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    tag_field="what",
    tag="judgement",
    # Journals of pending jobs have these names.
    rename={"criteria": "asked", "redacted": "masked", "cut_tokens": "left_out"},
):
    """The facts of a request. It contains nothing of the transcript: journals are kept and shown."""

    run: str
    case: str
    epoch: int
    sample: int
    seed: int
    grader: str
    model: str
    provider: str
    prompt_hash: str
    criteria: tuple[CriterionSpec, ...]
    canary: str
    decoy: str
    binary: tuple[str, ...] = ()
    effort: str | None = None
    temperature: float | None = None
    tries: int = 1
    redacted: dict[str, int] = {}
    cut_tokens: int = 0
    not_sent: tuple[str, ...] = ()
    # Of earlier tries.
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


def details_of(request: Request) -> RequestDetails | None:
    """Return the facts of a judging request; None for another request."""
    if request.about.get("what") != "judgement":
        return None
    return msgspec.convert(request.about, RequestDetails)


def make_request(details: RequestDetails, body: dict[str, Any]) -> Request:
    """Return the request with its ID."""
    names = [(spec.criterion, spec.rubric_hash) for spec in details.criteria]
    content = hashlib.sha256(canonical(body)).hexdigest()
    key = (details.run, details.case, details.epoch, details.sample, details.tries, details.grader)
    return Request(custom_id(*key, names, content), body, msgspec.to_builtins(details))


def retry_request(request: Request, spent: tuple[int, int, float]) -> Request | None:
    """Return the next request for the same judgement, with another seed and twice the tokens.

    Parameters
    ----------
    request
        A judging request with an unreadable reply.
    spent
        Its input tokens, output tokens and US dollars.

    Returns
    -------
    Request or None
        The same in every process; None after `MAX_TRIES`.
    """
    details = details_of(request)
    if details is None or details.tries >= MAX_TRIES:
        return None
    details = msgspec.structs.replace(
        details,
        tries=details.tries + 1,
        seed=details.seed + _SEED_STEP,
        input_tokens=details.input_tokens + spent[0],
        output_tokens=details.output_tokens + spent[1],
        cost_usd=details.cost_usd + spent[2],
    )
    max_tokens = 2 * int(request.body["max_completion_tokens"])
    return make_request(details, {**request.body, "seed": details.seed, "max_completion_tokens": max_tokens})
