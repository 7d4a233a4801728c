"""Result files of a batch: each request gets exactly one outcome, whatever the files contain."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.json_text import BOM, DECODE_ERRORS
from evalkit.llm.batch.input_files import read_abouts
from evalkit.llm.requests import Reply
from evalkit.llm.responses import classify_response, decode_json, is_retryable, read_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from evalkit.llm.batch.journal import Shard
    from evalkit.llm.requests import Outcome

# The request was never executed, because its batch expired or was cancelled.
_NOT_RUN: Final = frozenset({"batch_expired", "batch_cancelled", "expired", "cancelled", "canceled"})
# Causes that do not concern the next batch.
_RETRYABLE_NOT_RUN: Final = frozenset({*_NOT_RUN, "token_limit_exceeded", "other_line_invalid"})
# Temporary errors that come without a status.
_RETRYABLE_CODES: Final = frozenset(
    [
        "rate_limit_exceeded",
        "server_error",
        "internal_error",
        "internal_server_error",
        "service_unavailable",
        "timeout",
        "request_timeout",
        "capacity_exceeded",
        "inference_failed",
    ]
)
# The ID of a truncated line. Inside the text of an answer the quotes would be escaped.
_ID: Final = re.compile(rb'"custom_id"\s*:\s*"([!#-\[\]-~]{1,64})"')


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _Body(msgspec.Struct):
    choices: list[msgspec.Raw]
    usage: _Usage | None = None
    model: str = ""


class _Response(msgspec.Struct):
    status_code: int
    body: _Body


class _SuccessLine(msgspec.Struct):
    custom_id: str
    response: _Response
    error: None = None


_decode_success: Final = msgspec.json.Decoder(_SuccessLine).decode
_decode: Final = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Tally:
    """Counts of outcomes and of unexpected lines."""

    outcomes: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    unknown: int = 0
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)


def read_shard(folder: Path, shard: Shard, *, full: bool, tally: Tally | None = None) -> Iterator[Reply]:
    """Yield one reply per request of a shard; without `full`, a success has only model and usage."""
    facts: dict[str, Any] = {
        "batch_id": shard.batch_id or None,
        "tries": shard.round,
        "cached": shard.number == 0,
    }
    paths = [result_path(folder, shard, kind) for kind in ("output", "error")]
    return merge_output_lines(
        [path for path in paths if path.exists()],
        (about.custom_id for about in read_abouts(folder, shard)),
        absent=partial(_absent, shard, {row.get("line"): row for row in shard.errors}),
        read=partial(read_line if full else read_outcome, **facts),
        tally=tally,
    )


def merge_output_lines(
    paths: Iterable[Path],
    sent: Iterable[str],
    *,
    absent: Callable[[str, int], Reply],
    read: Callable[[bytes], Reply | None],
    tally: Tally | None = None,
) -> Iterator[Reply]:
    """Yield one reply per sent request: its best line (success, then error, then torn), or `absent(ID, line number)`.

    `paths` are the output file, then the error file; `sent` has the IDs in the order of the batch's lines.
    """
    tally = tally or Tally()
    waiting = {key: number for number, key in enumerate(sent, 1)}
    done: set[str] = set()
    failures: dict[str, Reply] = {}
    for path in paths:
        for line in _lines(path):
            reply = read(line)
            if reply is None:
                tally.unreadable += 1
                continue
            key = reply.custom_id
            if key in waiting and reply.outcome == "success":
                del waiting[key]
                done.add(key)
                tally.duplicates += failures.pop(key, None) is not None
                tally.outcomes[reply.outcome] += 1
                yield reply
                continue
            if key in waiting:
                # A later line may hold the answer, which is paid.
                before = failures.setdefault(key, reply)
                if before is reply:
                    continue
                tally.duplicates += 1
                if before.outcome == "malformed":
                    failures[key] = reply
            elif key in done:
                tally.duplicates += 1
            else:
                tally.unknown += 1
            if len(tally.examples) < 5:
                tally.examples.append(key[:64])
    for key, number in waiting.items():
        reply = failures.get(key) or absent(key, number)
        tally.outcomes[reply.outcome] += 1
        yield reply


def read_line(line: bytes, **facts: Any) -> Reply | None:
    """Parse a result line; None if it has no ID. `facts` are further fields of the reply."""
    try:
        record = _decode(line)
    except DECODE_ERRORS:
        record = decode_json(line.decode("utf-8", "replace").strip().strip("\ufeff"))
    if not isinstance(record, dict):
        match = _ID.search(line)
        if match is None:
            return None
        return Reply(
            match[1].decode(), "malformed", message="The line is not valid JSON.", mode="batch", **facts
        )
    key = record.get("custom_id")
    key = str(key) if type(key) is int else key
    if not isinstance(key, str) or not key:
        return None
    response = record.get("response")
    response = response if isinstance(response, dict) else {}
    body, status = response.get("body"), response.get("status_code")
    body = decode_json(body) if isinstance(body, str) else body
    outcome, status, code, message = classify_response(
        status if type(status) is int else None, body, record.get("error")
    )
    if outcome == "api_error" and code in _NOT_RUN and status in (None, 200):
        outcome = "not_run"
    return Reply(
        key, outcome, body if outcome == "success" else None, status, code, message, "batch", **facts
    )


def read_outcome(line: bytes, **facts: Any) -> Reply | None:
    """Parse a result line quickly: of a success keep only model and usage."""
    try:
        success = _decode_success(line)
    except DECODE_ERRORS:
        return read_line(line, **facts)
    if success.response.status_code != 200 or not success.custom_id:
        return read_line(line, **facts)
    usage = success.response.body.usage
    body = {"model": success.response.body.model, "usage": usage and msgspec.structs.asdict(usage)}
    return Reply(success.custom_id, "success", body, 200, None, None, "batch", **facts)


def is_worth_retrying(reply: Reply) -> bool:
    """Return whether a retry may succeed; False if the request may have been billed."""
    if reply.outcome == "not_run":
        return reply.code in _RETRYABLE_NOT_RUN
    if reply.outcome == "missing":
        return reply.code is None
    if reply.outcome != "api_error":
        return False
    if reply.code == "json_validate_failed":
        return True
    if reply.status in (None, 200):
        return reply.code in _RETRYABLE_CODES
    return is_retryable(reply.status)


def _absent(shard: Shard, line_errors: dict[Any, dict[str, Any]], key: str, number: int) -> Reply:
    outcome: Outcome = "not_run"
    code: str | None = shard.why
    message: str | None = shard.message
    if shard.why:
        outcome = "api_error" if shard.why == "refused" else "not_run"
    elif number in line_errors:
        outcome = "api_error"
        code, message = read_error(line_errors[number])
    elif shard.status == "failed":
        code, message = read_error(shard.errors)
        code = "other_line_invalid" if any(type(line) is int for line in line_errors) else code
        code, message = code or "batch_failed", message or "The batch failed validation."
    elif "batch" in shard.gone:
        outcome, code, message = "missing", "batch_gone", "The provider lost the batch, or it never ended."
    elif shard.gone:
        outcome, code, message = "missing", "file_gone", "The result file is not available."
    elif shard.status in ("expired", "cancelled") and not (shard.output_file_id or shard.error_file_id):
        code, message = f"batch_{shard.status}", f"The batch was {shard.status}."
    else:
        outcome, code, message = "missing", None, "The request is in neither result file."
    return Reply(
        key,
        outcome,
        status=shard.why_status,
        code=code,
        message=message or None,
        mode="batch",
        batch_id=shard.batch_id or None,
        tries=shard.round,
    )


def _lines(path: Path) -> Iterator[bytes]:
    r"""Yield the non-blank lines of a file. Only b"\n" ends a line: U+2028 is text."""
    with path.open("rb") as file:
        for number, line in enumerate(file):
            text = line if number else line.removeprefix(BOM)
            if text and not text.isspace():
                yield text


def result_path(folder: Path, shard: Shard, kind: str) -> Path:
    """Return the path of a result file; `kind` is "output" or "error"."""
    return folder / f"{shard.number:04d}.{kind}.jsonl"
