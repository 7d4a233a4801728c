"""Result files of a batch, line by line: each request ends in exactly one outcome, whatever is in them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.columns import BOM
from evalkit.llm.batch.input_files import read_abouts
from evalkit.llm.requests import Reply
from evalkit.llm.responses import decoded, passes, read_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from evalkit.llm.batch.journal import Shard


# What a request says that never ran, because of what became of its batch.
_NOT_RUN: Final = frozenset({"batch_expired", "batch_cancelled", "expired", "cancelled", "canceled"})
# Errors without a status that pass.
_PASSING_CODES: Final = frozenset(
    {
        *(
            "json_validate_failed",
            "rate_limit_exceeded",
            "server_error",
            "internal_error",
            "internal_server_error",
        ),
        *("service_unavailable", "timeout", "request_timeout", "capacity_exceeded", "inference_failed"),
    }
)
# What never ran for a reason that the next batch does not share.
_ASK_AGAIN: Final = frozenset({*_NOT_RUN, "token_limit_exceeded", "other_line_invalid"})
# The id on a line that is not whole. In a text of an answer the quotes would be escaped.
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


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response
    error: None = None


_decode_line: Final = msgspec.json.Decoder(_Line).decode
_decode: Final = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Tally:
    """What was odd about result files.

    Attributes
    ----------
    duplicates
        Lines for a request that had one already: the first one counts.
    unknown
        Lines for a request that was not in the batch.
    unreadable
        Lines without an id that can be read.
    examples
        Some of their ids.
    """

    duplicates: int = 0
    unknown: int = 0
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


def reconcile(
    paths: Iterable[Path],
    sent: Iterable[str],
    *,
    absent: Callable[[str, int], Reply],
    read: Callable[[bytes], Reply | None],
    tally: Tally | None = None,
) -> Iterator[Reply]:
    """Yield one reply for each request that was sent: as the files have them, then those that are in none.

    Parameters
    ----------
    paths
        The output file, then the error file; those that there are.
    sent
        The ids of all requests of the batch, in the order of its lines.
    absent
        Makes the reply of a request that is in no file, from its id and its line.
    read
        `read_line`, or `read_outcome` where the answers themselves do not matter.
    tally
        Counts what is odd.
    """
    tally = tally or Tally()
    waiting = {key: number for number, key in enumerate(sent, 1)}
    done: set[str] = set()
    for path in paths:
        for line in _lines(path):
            reply = read(line)
            if reply is None:
                tally.unreadable += 1
                continue
            key = reply.custom_id
            if waiting.pop(key, None) is not None:
                done.add(key)
                tally.outcomes[reply.outcome] += 1
                yield reply
                continue
            if key in done:
                tally.duplicates += 1
            else:
                tally.unknown += 1
            if len(tally.examples) < 5:
                tally.examples.append(key[:64])
    for key, number in waiting.items():
        reply = absent(key, number)
        tally.outcomes[reply.outcome] += 1
        yield reply


def read_line(
    line: bytes, *, batch_id: str | None = None, tries: int = 1, cached: bool = False
) -> Reply | None:
    r"""Return the reply that a result line is; None where it has no id.

    Every shape that is met is understood: `error` or `response` left out, a body that is a text, a code that
    is a number or a text, the error in the body of the answer or beside it. `batch_id`, `tries` and `cached`
    are those of the reply.

    Examples
    --------
    >>> read_line(
    ...     b'{"custom_id":"a","response":{"status_code":200,"body":{"choices":[]}},"error":null}'
    ... ).outcome
    'success'
    >>> read_line(
    ...     b'{"custom_id":"a","response":null,"error":{"code":"batch_expired","message":"late"}}'
    ... ).outcome
    'not_run'
    >>> read_line(b'{"custom_id":"a","response":{"st').outcome
    'malformed'
    >>> read_line(b"<html>") is None
    True
    """
    record = _decoded(line)
    if not isinstance(record, dict):
        named = _ID.search(line)
        words = "The line cannot be read."
        if named is None:
            return None
        return Reply(
            named[1].decode(), "malformed", None, None, None, words, "batch", cached, batch_id, None, tries
        )
    key = record.get("custom_id")
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if not isinstance(key, str) or not key:
        return None
    response = record.get("response")
    error = record.get("error")
    response = response if isinstance(response, dict) else {}
    body = response.get("body")
    if isinstance(body, str):
        body = decoded(body)
    status = response.get("status_code")
    status = status if isinstance(status, int) and not isinstance(status, bool) else None
    if isinstance(body, dict) and isinstance(body.get("choices"), list) and status in (None, 200):
        return Reply(key, "success", body, 200, None, None, "batch", cached, batch_id, None, tries)
    return replace(_failed(key, status, body, error), cached=cached, batch_id=batch_id, tries=tries)


def read_outcome(
    line: bytes, *, batch_id: str | None = None, tries: int = 1, cached: bool = False
) -> Reply | None:
    """Return what `read_line` does, but of a success only its model and its usage, which is faster."""
    try:
        found = _decode_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = None
    if found is None or found.response.status_code != 200 or not found.custom_id:
        return read_line(line, batch_id=batch_id, tries=tries, cached=cached)
    used = found.response.body.usage
    usage = used and {"prompt_tokens": used.prompt_tokens, "completion_tokens": used.completion_tokens}
    body = {"model": found.response.body.model, "usage": usage}
    return Reply(found.custom_id, "success", body, 200, None, None, "batch", cached, batch_id, None, tries)


def worth_asking_again(reply: Reply) -> bool:
    """Whether the same request may well be answered by another batch.

    Not what was wrong with the request itself (400, 413 and the like), not what the user stopped, and not what
    may have been answered and paid for but can no longer be fetched.

    Examples
    --------
    >>> worth_asking_again(Reply("a", "not_run", code="batch_expired"))
    True
    >>> worth_asking_again(Reply("a", "api_error", status=413, code="rate_limit_exceeded"))
    False
    """
    if reply.outcome == "not_run":
        return reply.code in _ASK_AGAIN
    if reply.outcome == "missing":
        return reply.code is None
    if reply.outcome != "api_error":
        return False
    if reply.code == "json_validate_failed":
        return True
    if reply.status is None or reply.status == 200:
        return reply.code in _PASSING_CODES
    return passes(reply.status)


def _failed(key: str, status: int | None, body: Any, error: Any) -> Reply:
    """Return the reply of a line that holds no completion."""
    code, words = read_error(error) if error else (None, None)
    if code is None and words is None and body is not None:
        code, words = read_error(body)
    if isinstance(error, dict) and isinstance(error.get("code"), int) and status is None:
        number = error["code"]
        status = number if 400 <= number < 600 else None
    if code in _NOT_RUN and status in (None, 200):
        return Reply(key, "not_run", None, None, code, words, mode="batch")
    if status in (None, 200) and code is None and words is None:
        return Reply(
            key, "malformed", None, status, None, "The line holds no answer and no error.", mode="batch"
        )
    if status == 200 and not error and not (isinstance(body, dict) and body.get("error")):
        return Reply(key, "malformed", None, status, code, "The answer is no chat completion.", mode="batch")
    return Reply(key, "api_error", None, status, code, words, mode="batch")


def _lines(path: Path) -> Iterator[bytes]:
    r"""Yield the lines of a file that hold something: they end at b"\n" and nowhere else, as U+2028 is text."""
    with path.open("rb") as file:
        first = True
        for line in file:
            if first:
                line, first = line.removeprefix(BOM), False
            if not line.isspace() and line:
                yield line


def _decoded(line: bytes) -> Any:
    """Return what is on a line; where a strict reader gives up, what a lenient one makes of it."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decoded(line.decode("utf-8", "replace").strip().strip("\ufeff"))


def read_shard(folder: Path, shard: Shard, *, whole: bool, tally: Tally | None = None) -> Iterator[Reply]:
    """Yield one reply for each request of a shard that has ended.

    Parameters
    ----------
    folder, shard
        Whose.
    whole
        With the answers; else of a success only its model and its usage are there, which is faster.
    tally
        Counts what is odd.
    """
    paths = [result_path(folder, shard, kind) for kind in ("output", "error")]
    facts: dict[str, Any] = {
        "batch_id": shard.batch_id or None,
        "tries": shard.round,
        "cached": shard.number == 0,
    }
    yield from reconcile(
        [path for path in paths if path.exists()],
        (one.custom_id for one in read_abouts(folder, shard)),
        absent=partial(_absent, shard),
        read=partial(read_line if whole else read_outcome, **facts),
        tally=tally,
    )


def _absent(shard: Shard, key: str, number: int) -> Reply:
    """Return the reply of a request that is in no result file."""
    reply = Reply(
        key,
        "not_run",
        code=shard.why or None,
        message=shard.message or None,
        mode="batch",
        batch_id=shard.batch_id or None,
        tries=shard.round,
    )
    if shard.why == "refused":
        return replace(reply, outcome="api_error", status=shard.why_status)
    if shard.why:
        return reply
    lines = {error.get("line"): error for error in shard.errors}
    if number in lines:
        code, words = read_error(lines[number])
        return replace(reply, outcome="api_error", code=code, message=words)
    if shard.status == "failed":
        code, words = read_error(shard.errors)
        named = any(isinstance(line, int) for line in lines)
        code = "other_line_invalid" if named else code or "batch_failed"
        return replace(reply, code=code, message=words or "The batch failed its validation.")
    if "batch" in shard.gone:
        words = "Its batch never ended, or the endpoint no longer has it."
        return replace(reply, outcome="missing", code="batch_gone", message=words)
    if shard.gone:
        words = "The endpoint no longer has its result file."
        return replace(reply, outcome="missing", code="file_gone", message=words)
    if shard.status in ("expired", "cancelled") and not (shard.output_file_id or shard.error_file_id):
        return replace(reply, code=f"batch_{shard.status}", message=f"Its batch was {shard.status}.")
    return replace(reply, outcome="missing", message="It is in neither of the result files.")


def result_path(folder: Path, shard: Shard, kind: str) -> Path:
    """Return where a result file of a shard lies: `kind` is "output" or "error"."""
    return folder / f"{shard.number:04d}.{kind}.jsonl"
