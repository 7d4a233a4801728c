"""OpenAI-compatible Batch API: output and error files, with the input file beside them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import turns
from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, has_records
from evalkit.readers.json_keys import first_records
from evalkit.readers.json_values import mapping, moment, number, run_name, sequence

if TYPE_CHECKING:
    from pathlib import Path

_ID: Final = "custom_id"
_FAILED: Final = 400

is_input = has_records(_ID, "url", "body")


def is_output(path: Path, data: bytes) -> bool:
    """Whether a line is the result of a request."""
    return any(
        _ID in record
        and "body" not in record
        and (isinstance(record.get("response"), dict) or isinstance(record.get("error"), dict))
        for record in first_records(data)
    )


def _unanswered(file: fields.RecordFile) -> fields.Records:
    requests = _requests(file)
    answered = {str(r.get(_ID)) for output in file.others(is_output) for _, r in output.records()}
    has_output = bool(answered & requests.keys())
    if requests and not has_output:
        file.note("missing", "No output file of these requests is beside it.")
    for case, (line, body) in requests.items():
        if has_output and case not in answered:
            error = "neither the output nor the error file has an answer"
            yield line, {_ID: case, "body": body, "error": error, **_run(file.path, requests, body)}
        else:
            file.builder.add_case("", case, input=fields.last_text(_sent(body), "user"))


def _answers(file: fields.RecordFile) -> fields.Records:
    records = list(file.records())
    source = _input_of(file, {str(record.get(_ID)) for _, record in records})
    requests = _requests(fields.RecordFile.beside(source)) if source else {}
    if source is None:
        file.note("missing", "The input file is not beside it. The prompts are not known.")
    else:
        file.files = [str(file.path), str(source)]
    for line, record in records:
        request = requests.get(as_text(record.get(_ID)) or "", (None, {}))[1]
        yield from ((line, each) for each in _choices(file, source, requests, record, request))


def _choices(
    file: fields.RecordFile, source: Path | None, requests: Any, record: fields.Record, request: fields.Record
) -> list[fields.Record]:
    response = mapping(record.get("response"))
    body = mapping(response.get("body"))  # some hosts write it as text
    error = _error(record, response, body)
    model = {"model": request.get("model") or body.get("model")}
    common = {
        _ID: record.get(_ID),
        "body": request,
        "error": error,
        **_run(source or file.path, requests, model),
    }
    if error is not None:
        return [common]
    replies = _replies(body)
    if not replies:
        kind = as_text(body.get("object")) or "of unknown kind"
        file.builder.ignore_fields(f"answers without text ({kind})")
    # The first choice of a request gets the shared usage.
    usage = {"usage": body.get("usage"), "created": body.get("created", body.get("created_at"))}
    return [
        {**common, **(usage if epoch == 1 else {}), "epoch": epoch, "reply": reply, "stop_reason": reason}
        for epoch, (reply, reason) in enumerate(replies or [([], None)], 1)
    ]


def _error(record: fields.Record, response: fields.Record, body: fields.Record) -> str | None:
    status = number(response.get("status_code"))
    has_failed = status is not None and status >= _FAILED
    error = record.get("error") or (body.get("error") if has_failed or "error" in body else None)
    if not error and not has_failed and response:
        return None
    details = mapping(error)
    parts = (
        [as_text(details.get(name)) for name in ("code", "type", "message")] if details else [as_text(error)]
    )
    code = f"status {status:g}" if has_failed else None
    return ": ".join(dict.fromkeys(part for part in (code, *parts) if part)) or "there is no response"


def _replies(body: fields.Record) -> list[tuple[fields.Turns, str | None]]:
    """Return the turns of each choice of a chat completion, or of a response, with their stop reasons."""
    replies: list[tuple[fields.Turns, str | None]] = []
    for choice in map(mapping, sequence(body.get("choices"))):
        reply = choice.get("message")
        if not isinstance(reply, dict):
            reply = {"content": choice.get("text")}
        replies.append((turns([{"role": "assistant", **reply}]), as_text(choice.get("finish_reason"))))
    items = turns(sequence(body.get("output")))
    if items and not replies:
        replies.append((items, as_text(body.get("status"))))
    return replies


def _run(source: Path, requests: dict[str, Any], body: fields.Record) -> dict[str, Any]:
    """Return the run: the file's name, plus the model if the file has several."""
    model, name = as_text(body.get("model")), run_name(source)
    is_several = len({as_text(request.get("model")) for _, request in requests.values()} - {None}) > 1
    return {"run": f"{name}: {model}" if is_several and model else name, "model": model, "epoch": 1}


def _sent(body: fields.Record) -> fields.Turns:
    content = body.get("messages", body.get("input", body.get("prompt")))
    turns = fields.as_turns("system", body.get("instructions") or None)
    return turns + (
        fields.chat_turns(content) if isinstance(content, list) else fields.as_turns("user", content)
    )


def _requests(file: fields.RecordFile) -> dict[str, tuple[int | None, fields.Record]]:
    requests: dict[str, tuple[int | None, fields.Record]] = {}
    for line, record in file.records():
        case = as_text(record.get(_ID))
        if not case:
            file.builder.add_problem(line, f"Missing {_ID!r}.")
        elif case in requests:
            first = requests[case][0]
            file.builder.add_problem(line, f"{_ID} {case!r} is already in line {first}. The first is kept.")
        else:
            requests[case] = line, mapping(record.get("body"))
    return requests


def _input_of(file: fields.RecordFile, ids: set[str]) -> Path | None:
    """Return the input file beside it with most of the request IDs."""
    paths = [other.path for other in file.others(is_input)]
    shared = {path: len(ids & _ids(path, path.stat().st_mtime_ns, path.stat().st_size)) for path in paths}
    return max(shared, key=lambda path: shared[path]) if any(shared.values()) else None


@lru_cache(maxsize=8)
def _ids(path: Path, changed: int, size: int) -> frozenset[str]:
    return frozenset(_requests(fields.RecordFile.beside(path)))


def _count(*names: str) -> fields.Field:
    def count(record: fields.Record) -> Any:
        usage = mapping(record.get("usage"))
        return next((usage[name] for name in names if name in usage), None)

    return count


ANSWERS: Final = RecordFormat(
    records=_answers,
    required=(_ID,),
    on_repeat="reject",
    case=_ID,
    is_version=True,
    runs={"model": "model"},
    trials={
        "output": lambda record: fields.last_text(record.get("reply") or [], "assistant"),
        "error": "error",
        "stop_reason": "stop_reason",
        "input_tokens": _count("prompt_tokens", "input_tokens"),
        "output_tokens": _count("completion_tokens", "output_tokens"),
        "latency_s": fields.to(number, "usage.total_time"),
        "started_at": fields.to(moment, "created"),
    },
    turns=lambda record: [*_sent(record["body"]), *(record.get("reply") or [])],
)
REQUESTS: Final = replace(ANSWERS, records=_unanswered)

READERS: Final = (
    Reader("Batch API input", is_input, read=REQUESTS.read, describes=True, beside=True),
    Reader("Batch API output", is_output, read=ANSWERS.read, whole=True, beside=True),
)
