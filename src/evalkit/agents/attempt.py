"""What came of one attempt: a transcript in any of the shapes that an agent may return, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.chat_messages import message
from evalkit.data.json_text import as_text
from evalkit.llm.providers import count_tokens
from evalkit.util.redact import hide_environment, redact
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalkit.agents.case_input import AskedCase
    from evalkit.llm.requests import Reply, Request

FIELDS: Final = ("messages", "output", "usage", "error", "stop_reason", "cost_usd")
"""The keys of a transcript that is a dict."""

_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_LONGEST_ERROR: Final = 2_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt.

    Attributes
    ----------
    messages
        Its messages, as `evalkit.data.chat_messages.message` makes them.
    output
        The final answer.
    error
        Why there is none, or why the transcript is not whole.
    stop_reason, input_tokens, output_tokens, cost_usd, latency_s, started_at
        As in the table `trials`.
    dropped
        Keys of the transcript that have no place.
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
    dropped: tuple[str, ...] = ()

    def record(self, run: str, asked: AskedCase) -> dict[str, Any]:
        """Return it as a line of `transcripts.jsonl`, with no value of a secret environment variable in it."""
        return {
            "run": run,
            "case": asked.id,
            "epoch": asked.epoch,
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


def failed(asked: AskedCase, reason: str) -> Attempt:
    """Return an attempt that has no transcript: what was asked, and the reason, keys masked, as one short line."""
    text = " ".join(redact([reason]).texts[0].split())
    text = text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]} ..."
    return Attempt(messages=[message({"role": "user", "content": asked.prompt})], error=text)


def read_transcript(value: Any, asked: AskedCase) -> Attempt:
    """Return the attempt that a transcript tells of.

    Parameters
    ----------
    value
        The answer as text; a list of messages in OpenAI's shape, tool calls and results among them; or a dict
        with `messages` or `output` or both, and perhaps `usage`, `error`, `stop_reason` and `cost_usd`.
    asked
        What the agent was given.

    Returns
    -------
    Attempt
        Anything else is an attempt with an `error`; of a list of messages the good ones are kept.

    Examples
    --------
    >>> from evalkit.agents.case_input import AskedCase
    >>> asked = AskedCase("01", "Hello?", 1, 7)
    >>> [one["role"] for one in read_transcript("Hi.", asked).messages]
    ['user', 'assistant']
    >>> read_transcript(3, asked).error
    'the agent returned int; a transcript is a text, a list of messages, or a dict with messages or output'
    """
    try:
        if isinstance(value, str):
            return _answered(value, asked)
        if isinstance(value, list | tuple):
            return _told(list(value), asked)
        if isinstance(value, dict):
            return _read_dict(value, asked)
    except Exception as error:
        # Whatever an agent returns is its own business: a class with odd properties, a list that contains itself.
        return failed(asked, f"the transcript cannot be read: {type(error).__name__}: {error}")
    kind = "nothing" if value is None else type(value).__name__
    return failed(
        asked,
        f"the agent returned {kind}; a transcript is a text, a list of messages, or a dict with messages or output",
    )


def read_reply(request: Request, reply: Reply, asked: AskedCase, *, cost_usd: float | None) -> Attempt:
    """Return the attempt that a model's reply is."""
    sent = [message(one) for one in request.body["messages"]]
    started = datetime.now(UTC) - timedelta(seconds=reply.latency_s or 0.0)
    known = Attempt(sent, latency_s=reply.latency_s, started_at=started)
    if reply.outcome != "success" or reply.body is None:
        said = " ".join(str(part) for part in (reply.status, reply.code) if part)
        text = f"{reply.outcome}{f' ({said})' if said else ''}: {reply.message or 'no reason was given'}"
        return replace(known, error=failed(asked, text).error)
    choices = reply.body.get("choices") or [None]
    choice = choices[0] if isinstance(choices[0], dict) else {}
    told = choice.get("message")
    usage = reply.body.get("usage")
    sent_tokens, written = _tokens(usage if isinstance(usage, dict) else {})
    known = replace(known, input_tokens=sent_tokens, output_tokens=written, cost_usd=cost_usd)
    if not isinstance(told, dict):
        return replace(known, error="the endpoint's answer holds no message")
    answer = message({"role": "assistant", **told, "content": told.get("content") or told.get("refusal")})
    reason = "refusal" if told.get("refusal") else choice.get("finish_reason")
    return replace(
        known, messages=[*sent, answer], output=answer["content"] or "", stop_reason=as_text(reason)
    )


def _answered(text: str, asked: AskedCase) -> Attempt:
    question = message({"role": "user", "content": asked.prompt})
    return Attempt([question, message({"role": "assistant", "content": text})], output=text)


def _told(messages: list[Any], asked: AskedCase) -> Attempt:
    """Return the attempt of a list of messages; the last word of the assistant is its output."""
    made: list[dict[str, Any]] = []
    wrong: list[str] = []
    for number, one in enumerate(messages, 1):
        record = _as_record(one)
        fault = _fault(record)
        if fault or record is None:
            wrong.append(f"message {number} {fault}")
        else:
            made.append(message({**record, "name": record.get("name") or record.get("tool_name")}))
    if not any(one["role"] == "user" for one in made):
        at = sum(one["role"] in ("system", "developer") for one in made[:1])
        made.insert(at, message({"role": "user", "content": asked.prompt}))
    said = [one for one in made if one["role"] == "assistant"]
    if not said and not wrong:
        wrong.append("it holds no message of the assistant")
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    error = f"the transcript is not whole: {wrong[0]}{more}" if wrong else None
    return Attempt(made, output=said[-1]["content"] if said else None, error=error)


def _as_record(one: Any) -> dict[str, Any] | None:
    """Return a message as a dict: it is one, or one of the objects that the client of an endpoint returns."""
    if hasattr(one, "model_dump") and not isinstance(one, type):
        one = one.model_dump()
    return one if isinstance(one, dict) else None


def _fault(record: dict[str, Any] | None) -> str | None:
    if record is None:
        return "is no object with role and content"
    if record.get("role") not in _ROLES:
        return f"has the role {record.get('role')!r:.40}; it may be {', '.join(_ROLES)}"
    content = record.get("content")
    if not isinstance(content, str | list | dict | None):
        return f"has content that is {type(content).__name__}; it may be a text or a list of parts"
    if not isinstance(record.get("tool_calls"), list | None):
        return "has tool_calls that are no list"
    return None


def _read_dict(value: dict[Any, Any], asked: AskedCase) -> Attempt:
    messages, output = value.get("messages"), value.get("output")
    if messages is None and output is None and not value.get("error"):
        keys = [str(key) for key in value]
        near = next((did_you_mean(key, FIELDS) for key in keys if did_you_mean(key, FIELDS)), "")
        return failed(
            asked,
            f"the transcript is a dict without messages and output.{near} It has: {join_words(keys) if keys else 'nothing'}",
        )
    if not isinstance(messages, list | tuple | None):
        return failed(asked, f"messages is {type(messages).__name__}; it may be a list of messages")
    if not isinstance(output, str | None):
        return failed(asked, f"output is {type(output).__name__}; it may be a text")
    if messages is None:
        made = _answered(output, asked) if output is not None else failed(asked, str(value["error"]))
    else:
        made = _told(list(messages), asked)
        made = made if output is None else replace(made, output=output)
    usage = value.get("usage")
    sent, written = _tokens(usage if isinstance(usage, dict) else {})
    money = value.get("cost_usd")
    told = value.get("error")
    return replace(
        made,
        error=made.error if told in (None, "") else failed(asked, str(told)).error,
        stop_reason=as_text(value.get("stop_reason")),
        input_tokens=sent,
        output_tokens=written,
        cost_usd=float(money)
        if isinstance(money, int | float) and not isinstance(money, bool) and 0 <= money < 1e9
        else None,
        dropped=tuple(str(key) for key in value if key not in FIELDS),
    )


def _tokens(usage: Mapping[Any, Any]) -> tuple[int | None, int | None]:
    """Return the tokens sent and written, by either of the names that are in use."""
    return (
        _count(usage, "prompt_tokens", "input_tokens"),
        _count(usage, "completion_tokens", "output_tokens"),
    )


def _count(usage: Mapping[Any, Any], *names: str) -> int | None:
    known = (count_tokens(usage, name) for name in names)
    return next((count for count in known if count is not None), None)


def _message_line(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as it is written: without what says nothing, nested values as JSON."""
    made: dict[str, Any] = {}
    for name, value in one.items():
        if value is None:
            continue
        text = _hidden(value)
        made[name] = _nested(text) if name in ("tool_calls", "parts") and text is not None else text
    return made


def _nested(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return text


def _hidden(text: str | None) -> str | None:
    return None if text is None else hide_environment(text)
