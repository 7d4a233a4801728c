"""OpenAI-compatible Batch API: output and error files, with the input file that lies beside them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.base import head as head_of
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_keys import first_records
from evalkit.readers.json_values import mapping, moment, number, sequence

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_ID: Final = "custom_id"
_FAILED: Final = 400


def is_input(path: Path, head: bytes) -> bool:
    """Whether a line is a request."""
    return any({_ID, "url", "body"} <= record.keys() for record in first_records(head))


def is_output(path: Path, head: bytes) -> bool:
    """Whether a line is what became of a request."""
    return any(
        _ID in record
        and "body" not in record
        and (isinstance(record.get("response"), dict) or isinstance(record.get("error"), dict))
        for record in first_records(head)
    )


def read_input(path: Path) -> Evals:
    """Read the requests: a request is a case; one that no file beside it answers is a trial that failed."""
    builder = EvalsBuilder(str(path))
    requests = _requests(path, builder)
    answered = {
        str(record.get(_ID))
        for other in _beside(path, is_output)
        for _, record in json_records.read(other, EvalsBuilder(str(other)))
    }
    for case, (line, body) in requests.items():
        _case(builder, case, body)
        if answered & requests.keys() and case not in answered:
            run = _run(builder, path, requests, body)
            builder.add_trial(run, case, 1, line, error="neither the output nor the error file has an answer")
            builder.add_turns(run, case, 1, _sent(body))
    if requests and not answered & requests.keys():
        builder.notes.append(f"{path}: requests alone: no output of theirs lies beside them.")
    return builder.build()


def read_output(path: Path) -> Evals:
    """Read what became of the requests: an answer is a trial; what failed is a trial with its error."""
    builder = EvalsBuilder(str(path))
    records = list(json_records.read(path, builder))
    source = _input_of(path, {str(record.get(_ID)) for _, record in records})
    requests = _requests(source, EvalsBuilder(str(source))) if source else {}
    if source is None:
        builder.notes.append(f"{path}: the input file does not lie beside it: what was asked is not known.")
    seen: dict[str, int] = {}
    for line, record in records:
        case = as_text(record.get(_ID))
        if not case:
            builder.add_problem(line, f"there is no {_ID}: {as_text(record.get('error') or record)!r:.120}")
            continue
        if seen.setdefault(case, line) != line:
            builder.add_problem(line, f"{_ID} {case!r} is in line {seen[case]} already; the first is kept")
            continue
        asked = requests.get(case, (None, {}))[1]
        _case(builder, case, asked)
        _answer(builder, source or path, requests, case, line, record, asked)
    return builder.build(files=[str(path)] if source is None else [str(path), str(source)])


def _answer(
    builder: EvalsBuilder,
    source: Path,
    requests: dict[str, Any],
    case: str,
    line: int,
    record: dict[str, Any],
    asked: dict[str, Any],
) -> None:
    response = mapping(record.get("response"))
    body = dict(mapping(response.get("body")))  # some hosts write it as a string
    run = _run(builder, source, requests, {"model": asked.get("model") or body.get("model")})
    error = _error(record, response, body)
    if error is not None:
        builder.add_trial(run, case, 1, line, error=error)
        builder.add_turns(run, case, 1, _sent(asked))
        return
    usage = mapping(body.get("usage"))
    facts = {
        "input_tokens": usage.get("prompt_tokens", usage.get("input_tokens")),
        "output_tokens": usage.get("completion_tokens", usage.get("output_tokens")),
        "latency_s": number(usage.get("total_time")),
        "started_at": moment(body.get("created", body.get("created_at"))),
    }
    replies = _replies(body)
    if not replies:
        builder.add_trial(run, case, 1, line, **facts)
        builder.add_turns(run, case, 1, _sent(asked))
        builder.ignore_fields(f"answers without text ({as_text(body.get('object')) or 'of unknown kind'})")
    for epoch, (reply, reason) in enumerate(replies, 1):
        # Several choices of one request share its usage: the first carries it.
        own = facts if epoch == 1 else {}
        builder.add_trial(run, case, epoch, line, output=reply["content"], stop_reason=reason, **own)
        builder.add_turns(run, case, epoch, [*_sent(asked), reply])


def _error(record: dict[str, Any], response: Any, body: dict[str, Any]) -> str | None:
    status = number(response.get("status_code"))
    failed = status is not None and status >= _FAILED
    told = record.get("error") or (body.get("error") if failed or "error" in body else None)
    if not told and not failed and response:
        return None
    facts = mapping(told)
    words = [as_text(facts.get(name)) for name in ("code", "type", "message")]
    if not facts:
        words = [as_text(told)]
    code = f"status {status:g}" if failed and status is not None else None
    return ": ".join(dict.fromkeys(word for word in (code, *words) if word)) or "there is no response"


def _replies(body: dict[str, Any]) -> list[tuple[dict[str, Any], str | None]]:
    """Return the messages of a chat completion, or the one of the responses endpoint, each with why it ended."""
    made = []
    for choice in map(mapping, sequence(body.get("choices"))):
        reply = choice.get("message")
        if not isinstance(reply, dict):
            reply = {"role": "assistant", "content": choice.get("text")}
        made.append((message({"role": "assistant", **reply}), as_text(choice.get("finish_reason"))))
    parts = [mapping(part) for part in sequence(body.get("output"))]
    said = [part for part in parts if part.get("type") == "message"]
    if said and not made:
        pieces = [piece for part in said for piece in sequence(part.get("content"))]
        calls = [part for part in parts if part.get("type") == "function_call"]
        reply = {"role": "assistant", "content": pieces, "tool_calls": calls}
        made.append((message(reply), as_text(body.get("status"))))
    return made


def _run(builder: EvalsBuilder, source: Path, requests: dict[str, Any], body: dict[str, Any]) -> str:
    """Return the run: the file's name, with the model where the file asks several."""
    model = as_text(body.get("model"))
    several = len({as_text(asked.get("model")) for _, asked in requests.values()} - {None}) > 1
    name = json_records.run_name(source)
    run = f"{name}: {model}" if several and model else name
    builder.add_run(run, agent_version=run, model=model)
    return run


def _case(builder: EvalsBuilder, case: str, body: dict[str, Any]) -> None:
    said = [turn["content"] for turn in _sent(body) if turn["role"] == "user" and turn["content"]]
    builder.add_case("", case, input=said[-1] if said else None)


def _sent(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a request: of a chat, of the responses endpoint, or the one prompt."""
    said = body.get("messages", body.get("input", body.get("prompt")))
    turns = []
    if body.get("instructions"):
        turns.append(message({"role": "system", "content": body["instructions"]}))
    if isinstance(said, list):
        turns += [message(one) for one in said if isinstance(one, dict)]
    elif said is not None:
        turns.append(message({"role": "user", "content": as_text(said)}))
    return turns


def _requests(path: Path, builder: EvalsBuilder) -> dict[str, tuple[int, dict[str, Any]]]:
    requests: dict[str, tuple[int, dict[str, Any]]] = {}
    for line, record in json_records.read(path, builder):
        case = as_text(record.get(_ID))
        if not case:
            builder.add_problem(line, f"a request without a {_ID}")
        elif case in requests:
            builder.add_problem(
                line, f"{_ID} {case!r} is in line {requests[case][0]} already; the first is kept"
            )
        else:
            requests[case] = line, dict(mapping(record.get("body")))
    return requests


def _input_of(path: Path, ids: set[str]) -> Path | None:
    """Return the input file in the same folder that asked the most of these."""
    most: tuple[int, Path | None] = (0, None)
    for other in _beside(path, is_input):
        shared = len(ids & _ids(other, other.stat().st_mtime_ns, other.stat().st_size))
        if shared > most[0]:
            most = shared, other
    return most[1]


@lru_cache(maxsize=8)
def _ids(path: Path, changed: int, size: int) -> frozenset[str]:
    return frozenset(_requests(path, EvalsBuilder(str(path))))


def _beside(path: Path, fits: Any) -> list[Path]:
    others = sorted(other for other in path.parent.iterdir() if other != path and other.is_file())
    return [other for other in others if not other.name.startswith(".") and fits(other, head_of(other))]


READERS: Final = (
    Reader("Batch API input", is_input, read=read_input, describes=True, beside=True),
    Reader("Batch API output", is_output, read=read_output, whole=True, beside=True),
)
