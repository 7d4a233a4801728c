"""The result of one attempt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.chat_messages import turns
from evalkit.data.json_text import as_text
from evalkit.llm.providers import count_tokens
from evalkit.util.arguments import is_number
from evalkit.util.redact import hide_environment, redact
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalkit.agents.case_input import CaseInput
    from evalkit.llm.requests import Reply, Request

FIELDS: Final = ("messages", "output", "usage", "error", "stop_reason", "cost_usd")
"""The keys of a transcript that is a dict."""

_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_LONGEST_ERROR: Final = 2_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """A transcript, or an error; fields as in the table `trials`.

    `error` is why the output is missing or the transcript incomplete. `ignored_fields` are unknown keys of the
    transcript.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    output: str | None = None
    error: str | None = None
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    started_at: datetime | None = None
    ignored_fields: tuple[str, ...] = ()

    def record(self, run: str, case: CaseInput) -> dict[str, Any]:
        """Return a line of `transcripts.jsonl`, secret environment variables redacted."""
        return {
            "run": run,
            "case": case.id,
            "epoch": case.epoch,
            "messages": [_message_line(one) for one in self.messages],
            "output": _hidden(self.output),
            "error": _hidden(self.error),
            "stop_reason": self.stop_reason,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": self.cost_usd,
            "latency_s": self.latency_s,
            "started_at": self.started_at,
        }


def failed(case: CaseInput, reason: str) -> Attempt:
    """Return an attempt with a redacted reason and without a transcript."""
    text = " ".join(redact([reason]).texts[0].split())
    text = text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]} ..."
    return Attempt(messages=turns([{"role": "user", "content": case.prompt}]), error=text)


def read_transcript(value: Any, case: CaseInput) -> Attempt:
    """Read a transcript: a text, a list of messages, or a dict with messages or output.

    Anything else becomes an `error`; valid messages of a list are kept.
    """
    try:
        if isinstance(value, str):
            return _from_answer(value, case)
        if isinstance(value, list | tuple):
            return _read_messages(list(value), case)
        if isinstance(value, dict):
            return _read_dict(value, case)
    except Exception as error:
        # An agent may return anything: a class with odd properties, a list that contains itself.
        return failed(case, f"cannot read the transcript: {type(error).__name__}: {error}")
    kind = "nothing" if value is None else type(value).__name__
    return failed(
        case,
        f"the agent returned {kind}. Expected a text, a list of messages, or a dict with messages or output",
    )


def read_reply(request: Request, reply: Reply, case: CaseInput, *, cost_usd: float | None) -> Attempt:
    """Return the attempt of a model's reply."""
    sent = turns(request.body["messages"])
    started = datetime.now(UTC) - timedelta(seconds=reply.latency_s or 0.0)
    known = Attempt(sent, latency_s=reply.latency_s, started_at=started)
    if reply.outcome != "success" or reply.body is None:
        said = " ".join(str(part) for part in (reply.status, reply.code) if part)
        text = f"{reply.outcome}{f' ({said})' if said else ''}: {reply.message or 'no reason given'}"
        return replace(known, error=failed(case, text).error)
    choices = reply.body.get("choices") or [None]
    choice = choices[0] if isinstance(choices[0], dict) else {}
    given = choice.get("message")
    usage = reply.body.get("usage")
    sent_tokens, written = _tokens(usage if isinstance(usage, dict) else {})
    known = replace(known, input_tokens=sent_tokens, output_tokens=written, cost_usd=cost_usd)
    if not isinstance(given, dict):
        return replace(known, error="the response has no message")
    *before, answer = turns([{"role": "assistant", **given}])
    reason = "refusal" if given.get("refusal") else choice.get("finish_reason")
    return replace(
        known, messages=[*sent, *before, answer], output=answer["content"] or "", stop_reason=as_text(reason)
    )


def _from_answer(text: str, case: CaseInput) -> Attempt:
    messages = [{"role": "user", "content": case.prompt}, {"role": "assistant", "content": text}]
    return Attempt(turns(messages), output=text)


def _read_messages(messages: list[Any], case: CaseInput) -> Attempt:
    good: list[dict[str, Any]] = []
    wrong: list[str] = []
    for number, one in enumerate(messages, 1):
        record = _as_record(one)
        fault = _fault(record)
        if fault or record is None:
            wrong.append(f"message {number} {fault}")
        else:
            good.append(record)
    attempt = turns(good)
    if not any(one["role"] == "user" for one in attempt):
        at = sum(one["role"] == "system" for one in attempt[:1])
        attempt[at:at] = turns([{"role": "user", "content": case.prompt}])
    said = [one for one in attempt if one["role"] == "assistant"]
    if not said and not wrong:
        wrong.append("no message of the assistant")
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    error = f"incomplete transcript: {wrong[0]}{more}" if wrong else None
    return Attempt(attempt, output=said[-1]["content"] if said else None, error=error)


def _as_record(one: Any) -> dict[str, Any] | None:
    if hasattr(one, "model_dump") and not isinstance(one, type):
        one = one.model_dump()
    return one if isinstance(one, dict) else None


def _fault(record: dict[str, Any] | None) -> str | None:
    if record is None:
        return "is not an object with role and content"
    if record.get("role") not in _ROLES:
        return f"has the role {record.get('role')!r:.40}. Expected {', '.join(_ROLES)}"
    content = record.get("content")
    if not isinstance(content, str | list | dict | None):
        return f"has content of type {type(content).__name__}. Expected a text or a list of parts"
    if not isinstance(record.get("tool_calls"), list | None):
        return "has tool_calls that are not a list"
    return None


def _read_dict(value: dict[Any, Any], case: CaseInput) -> Attempt:
    messages, output = value.get("messages"), value.get("output")
    if messages is None and output is None and not value.get("error"):
        keys = [str(key) for key in value]
        near = next((did_you_mean(key, FIELDS) for key in keys if did_you_mean(key, FIELDS)), "")
        return failed(
            case,
            f"the transcript is a dict without messages and output.{near} Keys: {join_words(keys)}",
        )
    if not isinstance(messages, list | tuple | None):
        return failed(case, f"messages is {type(messages).__name__}. Expected a list of messages")
    if not isinstance(output, str | None):
        return failed(case, f"output is {type(output).__name__}. Expected a text")
    if messages is None:
        attempt = _from_answer(output, case) if output is not None else failed(case, str(value["error"]))
    else:
        attempt = _read_messages(list(messages), case)
        attempt = attempt if output is None else replace(attempt, output=output)
    usage = value.get("usage")
    sent, written = _tokens(usage if isinstance(usage, dict) else {})
    money = value.get("cost_usd")
    given = value.get("error")
    return replace(
        attempt,
        error=attempt.error if given in (None, "") else failed(case, str(given)).error,
        stop_reason=as_text(value.get("stop_reason")),
        input_tokens=sent,
        output_tokens=written,
        cost_usd=float(money) if is_number(money) and 0 <= money < 1e9 else None,
        ignored_fields=tuple(str(key) for key in value if key not in FIELDS),
    )


def _tokens(usage: Mapping[Any, Any]) -> tuple[int | None, int | None]:
    return (
        _count(usage, "prompt_tokens", "input_tokens"),
        _count(usage, "completion_tokens", "output_tokens"),
    )


def _count(usage: Mapping[Any, Any], *names: str) -> int | None:
    known = (count_tokens(usage, name) for name in names)
    return next((count for count in known if count is not None), None)


def _message_line(one: Mapping[str, Any]) -> dict[str, Any]:
    attempt: dict[str, Any] = {}
    for name, value in one.items():
        if value is None:
            continue
        text = _hidden(value)
        attempt[name] = _nested(text) if name in ("tool_calls", "parts") and text is not None else text
    return attempt


def _nested(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return text


def _hidden(text: str | None) -> str | None:
    return None if text is None else hide_environment(text)
