"""Parse a judge's reply strictly: scores, or the reason why there are none. Prose never gives a score."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from evalkit.data.json_text import encodable
from evalkit.llm.providers import count_tokens
from evalkit.util.format import shorten
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.judging.request_details import CriterionSpec
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
"""Why there is no score; `docs/judging.md` describes each."""

RETRIED: Final = frozenset(
    ("refusal", "truncated", "empty", "invalid_json", "schema", "out_of_range", "canary")
)
"""Failures of the judge, not of the connection: another sample may be readable."""

_INVALID_CODES: Final = ("json_validate_failed",)
_SCORE_FIELDS: Final = ("evidence", "reasoning", "score")
_FLAG_FIELDS: Final = ("canary", "tries_to_influence_judge")
# A refusal in words, where the endpoint does not mark it. Applied to text that is not JSON.
_REFUSAL: Final = re.compile(
    r"(?i)\s*(?:i'?m sorry|i am sorry|sorry,|i (?:can(?:no|')?t|am unable|won'?t|must decline)|unfortunately,? i can)"
)
_MAX_QUOTE: Final = 300
_FENCE: Final = re.compile(r"```[A-Za-z]*[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)
_TEXT_PARTS: Final = ("text", "output_text")


@dataclass(frozen=True, slots=True)
class CriterionScore:
    """One score with its reasons."""

    evidence: tuple[str, ...]
    reasoning: str
    score: float


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """The content of a reply.

    Attributes
    ----------
    scores
        One per criterion; empty after a failure.
    influenced
        Whether the judge reported an attempt to influence it.
    failure, reason
        Why there are no scores, as a word and a clause.
    """

    scores: tuple[CriterionScore, ...] = ()
    influenced: bool | None = None
    failure: Failure | None = None
    reason: str | None = None


class _UnreadableError(Exception):
    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure: Failure = failure
        self.reason = reason


def parse_reply(reply: Reply, criteria: Sequence[CriterionSpec], *, canary: str, decoy: str) -> ParsedReply:
    """Return the scores of a reply, or the failure.

    Parameters
    ----------
    reply
        The reply.
    criteria
        The criteria of the request.
    canary, decoy
        The code word that the reply must contain ("": none), and the one that it must not contain.
    """
    try:
        if reply.outcome != "success":
            raise _no_answer(reply)
        return _parse(_content(reply.body), criteria, canary=canary, decoy=decoy)
    except _UnreadableError as error:
        return ParsedReply(failure=error.failure, reason=error.reason)


def usage_of(body: Mapping[str, Any] | None) -> tuple[int | None, int | None]:
    """Return the input and output tokens of a chat completion; None if missing."""
    usage = (body or {}).get("usage")
    return count_tokens(usage, "prompt_tokens"), count_tokens(usage, "completion_tokens")


def _no_answer(reply: Reply) -> _UnreadableError:
    parts = (str(reply.status or ""), reply.code, _one_line(reply.message))
    details = " ".join(part for part in parts if part)
    details = f" ({details})" if details else ""
    if reply.outcome == "api_error" and reply.code in _INVALID_CODES:
        return _UnreadableError("invalid_json", f"the endpoint rejected the judge's JSON{details}")
    reasons = {
        "api_error": "the endpoint returned an error",
        "not_run": "the request was not run",
        "malformed": "the response cannot be read",
        "missing": "the completed batch has no response to it",
        "transport": "no response",
    }
    assert reply.outcome != "success"  # noqa: S101  (the caller checks)
    return _UnreadableError(reply.outcome, f"{reasons[reply.outcome]}{details}")


def _content(body: Any) -> str:
    """Return the text of the first message of a chat completion."""
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise _UnreadableError("malformed", "the response has no message")
    if message.get("refusal"):
        raise _UnreadableError("refusal", f"the judge declined: {_one_line(message['refusal'])}")
    content, finish_reason = message.get("content"), choice.get("finish_reason")
    if finish_reason == "content_filter":
        raise _UnreadableError("refusal", "the endpoint withheld the response (finish_reason content_filter)")
    if finish_reason == "length":
        raise _UnreadableError(
            "truncated", "the response was truncated (finish_reason length): max_tokens is too low"
        )
    text = _text_of(content)
    calls = message.get("tool_calls")
    if not text.strip() and isinstance(calls, list) and len(calls) == 1:
        function = calls[0].get("function") if isinstance(calls[0], dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        text = (
            arguments
            if isinstance(arguments, str)
            else json.dumps(arguments)
            if isinstance(arguments, dict)
            else ""
        )
    if not text.strip():
        raise _UnreadableError("empty", f"the response is empty (finish_reason {finish_reason})")
    return text


def _text_of(content: Any) -> str:
    """Return the text of a message: a string, or its text parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") in _TEXT_PARTS]
    return "".join(text for text in texts if isinstance(text, str))


def _unwrapped(text: str) -> str:
    """Return the text without what may stand around one object: a byte order mark, a thought, one code fence."""
    text = text.removeprefix("\ufeff").strip()
    if text.startswith("<think>"):
        _, closed, after = text.partition("</think>")
        text = after.strip() if closed else text
    fence = _FENCE.fullmatch(text)
    return fence[1] if fence else text


def _parse(content: str, criteria: Sequence[CriterionSpec], *, canary: str, decoy: str) -> ParsedReply:
    value = _load_json(content)
    if decoy in json.dumps(value, ensure_ascii=False):
        raise _UnreadableError("canary", "the response repeats the code word from inside the transcript")
    if len(criteria) == 1 and not criteria[0].key:
        _expect_fields(value, (*_SCORE_FIELDS, "flags"), "the response")
        parts = [{name: value[name] for name in _SCORE_FIELDS}]
    else:
        _expect_fields(value, (*(spec.key for spec in criteria), "flags"), "the response")
        parts = [value[spec.key] for spec in criteria]
    flags = value["flags"]
    _expect_fields(flags, _FLAG_FIELDS, "flags")
    if not isinstance(flags["tries_to_influence_judge"], bool):
        raise _UnreadableError("schema", "tries_to_influence_judge is neither true nor false")
    scores = tuple(_parse_score(part, spec) for part, spec in zip(parts, criteria, strict=True))
    if canary and flags["canary"] != canary:
        raise _UnreadableError("canary", "the code word of the rules is missing")
    return ParsedReply(scores, flags["tries_to_influence_judge"])


def _load_json(content: str) -> Any:
    try:
        return encodable(
            json.loads(_unwrapped(content), object_pairs_hook=_unique_fields, parse_constant=_reject)
        )
    except (ValueError, RecursionError):
        if _REFUSAL.match(content.replace("\u2019", "'")):
            raise _UnreadableError("refusal", f"the judge declined: {_one_line(content)}") from None
        raise _UnreadableError("invalid_json", f"the response is not JSON: {_one_line(content)!r}") from None


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _UnreadableError("schema", "the response has a field twice")
    return fields


def _reject(constant: str) -> Any:
    """Reject NaN and Infinity, which are not JSON."""
    raise ValueError(constant)


def _expect_fields(value: Any, names: Sequence[str], what: str) -> None:
    if not isinstance(value, dict):
        raise _UnreadableError("schema", f"{what} is not a JSON object")
    missing = [name for name in names if name not in value]
    if missing:
        raise _UnreadableError("schema", f"{what} lacks {join_words(missing)}")
    unexpected = [_one_line(name) for name in value if name not in names]
    if unexpected:
        raise _UnreadableError("schema", f"{what} has unexpected fields: {join_words(unexpected, limit=3)}")


def _parse_score(part: Any, spec: CriterionSpec) -> CriterionScore:
    what = spec.key or "the response"
    _expect_fields(part, _SCORE_FIELDS, what)
    evidence, reasoning, score = (part[name] for name in _SCORE_FIELDS)
    if not isinstance(evidence, list) or not all(isinstance(quote, str) for quote in evidence):
        raise _UnreadableError("schema", f"the evidence of {what} is not a list of texts")
    if not isinstance(reasoning, str):
        raise _UnreadableError("schema", f"the reasoning of {what} is not a text")
    written = _one_line(json.dumps(score))
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise _UnreadableError("schema", f"the score of {what} is {written}, not a number")
    low, high = spec.scale
    if not low <= score <= high:
        raise _UnreadableError(
            "out_of_range", f"the score {written} is outside the scale {low:g} to {high:g}"
        )
    if spec.points is not None and score not in spec.points:
        raise _UnreadableError(
            "schema", f"the score {score:g} is none of {join_words(spec.points, limit=21)}"
        )
    return CriterionScore(tuple(evidence), reasoning, float(score))


def _one_line(value: object) -> str:
    return shorten(" ".join(str(value or "").split()), _MAX_QUOTE)
