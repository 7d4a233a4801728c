"""A judge's reply, read strictly: scores, or the reason why there are none. A score is never looked for in prose."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from evalkit.data.json_text import encodable
from evalkit.llm.providers import count_tokens
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.llm.requests import Reply

Failure = Literal[
    "refusal",
    "truncated",
    "empty",
    "invalid_json",
    "schema",
    "out_of_range",
    "canary",
    "transport",
    "api_error",
    "not_run",
    "malformed",
    "missing",
    "precheck",
]
"""Why there is no score.

- ``refusal``: the judge declined.
- ``truncated``: the answer was cut off before it ended.
- ``empty``: an answer with nothing in it.
- ``invalid_json``: no JSON object, or one that the endpoint itself found invalid.
- ``schema``: a JSON object that is not of the form asked for.
- ``out_of_range``: a score that is not on the scale.
- ``canary``: the code word of the rules did not come back, or the one inside the transcript did.
- ``transport``, ``api_error``, ``not_run``, ``malformed``, ``missing``: see `evalkit.llm.requests.Outcome`.
- ``precheck``: the judge was not asked: see `evalkit.judging.merge_prechecks`.
"""

ASKED_AGAIN: Final = frozenset(
    ("refusal", "truncated", "empty", "invalid_json", "schema", "out_of_range", "canary")
)
"""The failures of the judge, not of the way to it: another sample may be readable."""

_INVALID_CODES: Final = ("json_validate_failed",)
_ONE_FIELDS: Final = ("evidence", "reasoning", "score")
_FLAG_FIELDS: Final = ("canary", "tries_to_influence_judge")
# How judges decline in words, where the endpoint does not mark it. Only looked at in what is no JSON.
_DECLINES: Final = re.compile(
    r"(?i)\s*(?:i'?m sorry|i am sorry|sorry,|i (?:can(?:no|')?t|am unable|won'?t|must decline)|unfortunately,? i can)"
)
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reply is held against: one criterion of a request, as its `about` has it.

    Attributes
    ----------
    criterion, rubric_hash
        Which one, and by which words.
    key
        What it is called in the answer; "" where it is the only one.
    scale
        The lowest and the highest score.
    points
        The scores that are allowed; None for any number on the scale.
    """

    criterion: str
    rubric_hash: str
    key: str
    scale: tuple[float, float]
    points: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One score with its reasons, in the order in which the judge wrote them."""

    evidence: tuple[str, ...]
    reasoning: str
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read out of a reply.

    Attributes
    ----------
    judgements
        One for each criterion asked; empty where there is a `failure`.
    influenced
        Whether the judge saw an attempt to influence it.
    failure, reason
        Why there is no score, as a word and as a sentence.
    """

    judgements: tuple[Judgement, ...] = ()
    influenced: bool | None = None
    failure: Failure | None = None
    reason: str | None = field(default=None)


class _Unreadable(Exception):
    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure: Failure = failure
        self.reason = reason


def read_answer(reply: Reply, asked: Sequence[Asked], *, canary: str, decoy: str) -> Answer:
    """Return what a reply says, or why it says nothing that counts.

    Parameters
    ----------
    reply
        What came back.
    asked
        The criteria that were asked for.
    canary, decoy
        The code word that has to come back (none where it is empty), and the one that must not.
    """
    try:
        if reply.outcome != "success":
            raise _Unreadable(*_no_answer(reply))
        return _read(_content(reply.body), asked, canary=canary, decoy=decoy)
    except _Unreadable as why:
        return Answer(failure=why.failure, reason=why.reason)


def usage_of(body: Mapping[str, Any] | None) -> tuple[int | None, int | None]:
    """Return the tokens that were sent and received, as a chat completion has them; None where it does not say."""
    usage = (body or {}).get("usage")
    return count_tokens(usage, "prompt_tokens"), count_tokens(usage, "completion_tokens")


def _no_answer(reply: Reply) -> tuple[Failure, str]:
    """Return why nothing that could be an answer came."""
    said = " ".join(part for part in (str(reply.status or ""), reply.code, _short(reply.message)) if part)
    if reply.outcome == "api_error" and reply.code in _INVALID_CODES:
        return "invalid_json", f"the endpoint found the judge's JSON invalid ({said})"
    words = {
        "api_error": "the endpoint answered with an error",
        "not_run": "the request was not run",
        "malformed": "the answer could not be read",
        "missing": "the batch is finished and holds no answer to it",
        "transport": "no answer came back",
    }
    assert reply.outcome != "success"  # noqa: S101  (the caller looks)
    return reply.outcome, f"{words[reply.outcome]}{f' ({said})' if said else ''}"


def _content(body: Any) -> str:
    """Return the text of the one message of a chat completion."""
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise _Unreadable("malformed", "the answer holds no message")
    if message.get("refusal"):
        raise _Unreadable("refusal", f"the judge declined: {_short(message['refusal'])}")
    content = message.get("content")
    ended = choice.get("finish_reason")
    if ended == "content_filter":
        raise _Unreadable("refusal", "the endpoint withheld the answer (finish_reason content_filter)")
    if ended == "length":
        raise _Unreadable(
            "truncated",
            "the answer was cut off before it ended (finish_reason length): max_tokens is too low",
        )
    if not isinstance(content, str) or not content.strip():
        raise _Unreadable("empty", f"the answer is empty (finish_reason {ended})")
    return content


def _read(content: str, asked: Sequence[Asked], *, canary: str, decoy: str) -> Answer:
    value = _json_object(content)
    if decoy in json.dumps(value, ensure_ascii=False):
        raise _Unreadable("canary", "the answer repeats the code word from inside the transcript")
    if len(asked) == 1 and not asked[0].key:
        _fields(value, (*_ONE_FIELDS, "flags"), "the answer")
        parts = [{name: value[name] for name in _ONE_FIELDS}]
    else:
        _fields(value, (*(one.key for one in asked), "flags"), "the answer")
        parts = [value[one.key] for one in asked]
    flags = value["flags"]
    _fields(flags, _FLAG_FIELDS, "flags")
    if not isinstance(flags["tries_to_influence_judge"], bool):
        raise _Unreadable("schema", "tries_to_influence_judge is neither true nor false")
    judgements = tuple(_judgement(part, one) for part, one in zip(parts, asked, strict=True))
    if canary and flags["canary"] != canary:
        raise _Unreadable("canary", "the code word of the rules did not come back")
    return Answer(judgements, flags["tries_to_influence_judge"])


def _json_object(content: str) -> Any:
    try:
        return encodable(json.loads(content, object_pairs_hook=_without_doubles, parse_constant=_no_number))
    except _Unreadable:
        raise
    except (ValueError, RecursionError):
        if _DECLINES.match(content.replace("\u2019", "'")):
            raise _Unreadable("refusal", f"the judge declined: {_short(content)}") from None
        raise _Unreadable("invalid_json", f"the answer is not JSON: {_short(content)!r}") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Unreadable("schema", "a field of the answer is there twice")
    return made


def _no_number(word: str) -> Any:
    raise ValueError(word)


def _fields(value: Any, names: Sequence[str], what: str) -> None:
    if not isinstance(value, dict):
        raise _Unreadable("schema", f"{what} is no JSON object")
    lacking = [name for name in names if name not in value]
    if lacking:
        raise _Unreadable("schema", f"{what} lacks {join_words(lacking)}")
    more = [_short(name) for name in value if name not in names]
    if more:
        raise _Unreadable("schema", f"{what} has fields that were not asked for: {join_words(more, limit=3)}")


def _judgement(part: Any, asked: Asked) -> Judgement:
    what = asked.key or "the answer"
    _fields(part, _ONE_FIELDS, what)
    evidence, reasoning, score = (part[name] for name in _ONE_FIELDS)
    if not isinstance(evidence, list) or not all(isinstance(quote, str) for quote in evidence):
        raise _Unreadable("schema", f"the evidence of {what} is no list of texts")
    if not isinstance(reasoning, str):
        raise _Unreadable("schema", f"the reasoning of {what} is no text")
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise _Unreadable("schema", f"the score of {what} is {_short(json.dumps(score))}, no number")
    low, high = asked.scale
    if not low <= score <= high:
        said = _short(json.dumps(score))
        raise _Unreadable("out_of_range", f"the score {said} is outside the scale {low:g} to {high:g}")
    if asked.points is not None and score not in asked.points:
        raise _Unreadable("schema", f"the score {score:g} is none of {join_words(asked.points, limit=21)}")
    return Judgement(tuple(evidence), reasoning, float(score))


def _short(value: object) -> str:
    text = " ".join(str(value or "").split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
