"""The fake's files and batches: what is accepted, what becomes of it, and what its result files look like."""

from __future__ import annotations

import json
import os
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evalkit.llm.requests import canonical
from fakes.answers import ApiError, complete

if TYPE_CHECKING:
    from collections.abc import Callable

TERMINAL = ("completed", "failed", "expired", "cancelled")
_WINDOW = re.compile(r"(\d+)([hd])")
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_URL = "/v1/chat/completions"


@dataclass
class BatchPlan:
    """What becomes of one batch.

    Attributes
    ----------
    steps
        Its status each time somebody looks, before it ends.
    end
        How it ends; None: never, it stays at the last step. A status nobody has heard of is allowed in both.
    run
        How many of its requests are run, the first ones; None: all.
    rest
        What becomes of the others: a `batch_expired` or `batch_cancelled` line, or they are in no file.
    fail
        custom_id -> the ApiError or the `error` object of a request that fails.
    errors
        What `errors` of the batch says, whatever its status: a list of {"code", "message", ...}.
    errors_as
        An array as in Groq's guide, or an object with `data` as in both SDKs; None: as the profile has it.
    counts
        Of the batch: as they are, null, or all completed whatever happened.
    absent
        How the id of a file that there is none of looks: null, "", or an id that leads nowhere.
    unnamed
        How often it is looked at after its end before it names its file of answers.
    order
        Of the result lines: shuffled, or as sent.
    edit
        Changes the lines of the output file before they are joined, or returns the whole of it as bytes.
    edit_errors
        The same for the error file.
    """

    steps: tuple[str, ...] = ("validating", "in_progress", "finalizing")
    end: str | None = "completed"
    run: int | None = None
    rest: Literal["line", "missing"] = "line"
    fail: dict[str, ApiError | dict[str, Any]] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    errors_as: Literal["array", "object"] | None = None
    counts: Literal["true", "null", "lying"] = "true"
    absent: Literal["null", "empty", "dangling"] = "null"
    unnamed: int = 0
    order: Literal["shuffled", "sent"] = "shuffled"
    edit: Callable[[list[bytes]], list[bytes] | bytes] | None = None
    edit_errors: Callable[[list[bytes]], list[bytes] | bytes] | None = None


def make_id(fake: Any, prefix: str) -> str:
    """Return an id as the profile has them: a ULID after an underscore, or letters after a hyphen."""
    if not fake.groq:
        return f"{'file-' if prefix == 'file' else prefix + '_'}{os.urandom(12).hex()}"
    number = (int(fake.now() * 1000) << 80) | int.from_bytes(os.urandom(10))
    return f"{prefix}_{''.join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))}"


def add_file(fake: Any, name: str, purpose: str, content: bytes) -> dict[str, Any]:
    """Keep an uploaded file, or refuse it."""
    if purpose not in ("batch", "batch_output"):
        raise ApiError(400, f"'{purpose}' is not one of ['batch']", code="invalid_purpose")
    if purpose == "batch" and not name.endswith(".jsonl"):
        raise ApiError(400, "Invalid file format for Batch API. Must be .jsonl")
    if purpose == "batch" and len(content) > fake.most_bytes:
        raise ApiError(413, f"File is larger than {fake.most_bytes} bytes.", code="request_too_large")
    facts = {
        "id": make_id(fake, "file"),
        "object": "file",
        "bytes": len(content),
        "created_at": int(fake.now()),
        "filename": name,
        "purpose": purpose,
    }
    if not fake.groq:
        facts["status"] = "processed"
    fake.files[facts["id"]] = (facts, content)
    return facts


def find_file(fake: Any, key: str) -> tuple[dict[str, Any], bytes]:
    """Return a file that is still kept."""
    found = fake.files.get(key)
    if found is None or fake.now() - found[0]["created_at"] > fake.retention:
        raise ApiError(404, f"No such File object: {key}", code="not_found")
    return found


def create(fake: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Accept a batch."""
    if asked.get("endpoint") != _URL:
        raise ApiError(400, f"endpoint must be {_URL}")
    seconds = _window(fake, asked.get("completion_window"))
    find_file(fake, asked.get("input_file_id", ""))
    plan = fake.plans.pop(0) if fake.plans else BatchPlan()
    now = int(fake.now())
    facts: dict[str, Any] = {
        "id": make_id(fake, "batch"),
        "object": "batch",
        "endpoint": _URL,
        "errors": None,
        "input_file_id": asked["input_file_id"],
        "completion_window": asked["completion_window"],
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": now,
        "expires_at": now + seconds,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": asked.get("metadata"),
        **dict.fromkeys(
            f"{name}_at"
            for name in (
                "in_progress",
                "finalizing",
                "completed",
                "failed",
                "expired",
                "cancelling",
                "cancelled",
            )
        ),
    }
    fake.batches[facts["id"]] = (facts, plan, list(plan.steps))
    return facts


def find(fake: Any, key: str) -> dict[str, Any]:
    """Return a batch, one step further."""
    if key not in fake.batches:
        raise ApiError(404, f"No batch found with id '{key}'.", code="not_found")
    step(fake, key)
    return fake.batches[key][0]


def step(fake: Any, key: str) -> None:
    """Let a batch go on by one step of its plan."""
    facts, plan, steps = fake.batches[key]
    if facts["status"] in TERMINAL or (facts["status"] == plan.end):
        plan.unnamed -= 1
        if plan.unnamed == 0:
            facts["output_file_id"] = facts.pop("_output_file_id")
        return
    if facts["status"] == "cancelling":
        finish(fake, key, "cancelled")
    elif fake.window_runs_out and fake.now() > facts["expires_at"]:
        finish(fake, key, "expired")
    elif steps:
        facts["status"] = steps.pop(0)
        if f"{facts['status']}_at" in facts:
            facts[f"{facts['status']}_at"] = int(fake.now())
    elif plan.end:
        finish(fake, key, plan.end)


def cancel(fake: Any, key: str) -> dict[str, Any]:
    """Begin to cancel a batch: what has begun is still run."""
    if key not in fake.batches:
        raise ApiError(404, f"No batch found with id '{key}'.", code="not_found")
    facts, plan, _ = fake.batches[key]
    if facts["status"] in TERMINAL:
        raise ApiError(409 if fake.groq else 400, f"Cannot cancel a batch with status '{facts['status']}'.")
    facts["status"], facts["cancelling_at"] = "cancelling", int(fake.now())
    plan.run = plan.run or 0
    return facts


def finish(fake: Any, key: str, end: str) -> None:
    """Run the requests of a batch and write its files."""
    facts, plan, _ = fake.batches[key]
    lines, errors = _read(fake, facts["input_file_id"])
    if errors and (not fake.groq or not lines):
        end = "failed"
    good: list[bytes] = []
    bad: list[bytes] = []
    if end != "failed":
        for number, line in enumerate(lines):
            ran = plan.run is None or number < plan.run
            if ran:
                made, failed = _run(fake, plan, line)
                (bad if failed else good).append(made)
            elif plan.rest == "line":
                bad.append(_not_run(line["custom_id"], end))
        bad += [_line(one.pop("custom_id"), None, dict(one)) for one in [dict(e) for e in errors]]
    if plan.order == "shuffled":
        random.Random(facts["id"]).shuffle(good)
        random.Random(facts["id"]).shuffle(bad)
    stamp = f"{end}_at"
    if stamp in facts:
        facts[stamp] = int(fake.now())
    facts["status"] = end
    told = plan.errors + [{k: v for k, v in e.items() if k != "custom_id"} for e in errors]
    as_array = (plan.errors_as or ("array" if fake.groq else "object")) == "array"
    facts["errors"] = (told if as_array else {"object": "list", "data": told}) if told else None
    total = len(lines) + len(errors)
    true = {"total": total, "completed": len(good), "failed": 0 if end == "expired" else len(bad)}
    facts["request_counts"] = {
        "true": true,
        "null": None,
        "lying": {"total": total, "completed": total, "failed": 0},
    }[plan.counts]
    for name, written, edit in (
        ("output_file_id", good, plan.edit),
        ("error_file_id", bad, plan.edit_errors),
    ):
        facts[name] = _write(fake, plan, name, written, edit)
    if plan.unnamed > 0:  # below that another batch of this plan has named its own
        facts["_output_file_id"], facts["output_file_id"] = facts["output_file_id"], None


def _read(fake: Any, file: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the lines of an input file that can be run, and what is wrong with the others."""
    content = find_file(fake, file)[1]
    texts = content.removesuffix(b"\n").split(b"\n")
    if len(texts) > fake.most_lines:
        return [], [
            _wrong(None, None, "too_many_requests", f"The file has more than {fake.most_lines} lines.")
        ]
    lines: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    models: set[Any] = set()
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text.decode())
            key, body = str(line["custom_id"]), line["body"]
        except (ValueError, KeyError, TypeError):
            errors.append(
                _wrong(None, number, "invalid_json_line", "This line is not parseable as valid JSON.")
            )
            continue
        models.add(body.get("model"))
        if line.get("method") != "POST":
            errors.append(
                _wrong(
                    key,
                    number,
                    "invalid_method",
                    f"Invalid value: '{line.get('method')}'. Supported values are: 'POST'",
                )
            )
        elif line.get("url") != _URL:
            errors.append(
                _wrong(key, number, "invalid_url", f"The URL provided for this request is not {_URL}.")
            )
        elif key in seen and not fake.groq:  # [?] at Groq: both are run
            errors.append(_wrong(key, number, "duplicate_custom_id", f"The custom_id '{key}' is not unique."))
        elif not fake.groq and len(models) > 1:
            errors.append(_wrong(key, number, "mismatched_model", "All requests must name the same model."))
        else:
            lines.append(line)
        seen.add(key)
    return lines, errors


def _wrong(key: str | None, line: int | None, code: str, message: str) -> dict[str, Any]:
    return {"custom_id": key, "code": code, "message": message, "param": None, "line": line}


def _run(fake: Any, plan: BatchPlan, line: dict[str, Any]) -> tuple[bytes, bool]:
    key, body = line["custom_id"], line["body"]
    fake.runs[key] += 1
    fake.bodies[canonical(body)] += 1
    fail = plan.fail.get(key)
    try:
        if isinstance(fail, ApiError):
            raise fail
        if fail is not None:
            return _line(key, None, fail), True
        for name in ("service_tier", "stream"):  # [?] at Groq for stream
            if body.get(name):
                raise ApiError(400, f"'{name}' is not supported in the Batch API")
        response = {"status_code": 200, "request_id": f"req_{key}", "body": complete(fake, body)}
    except ApiError as error:
        return _line(
            key, {"status_code": error.status, "request_id": f"req_{key}", "body": error.body}, None
        ), True
    return _line(key, response, None), False


def _not_run(key: str, end: str) -> bytes:
    code, why = {
        "cancelled": ("batch_cancelled", "This request was not executed because the batch was cancelled."),
    }.get(end, ("batch_expired", "This request could not be executed before the completion window expired."))
    return _line(key, None, {"code": code, "message": why})


def _line(key: str | None, response: Any, error: Any) -> bytes:
    line = {"id": f"batch_req_{key}", "custom_id": key, "response": response, "error": error}
    return json.dumps(line, ensure_ascii=False).encode()


def _write(fake: Any, plan: BatchPlan, name: str, lines: list[bytes], edit: Any) -> str | None:
    if not lines:
        absent = {"null": None, "empty": "", "dangling": make_id(fake, "file")}
        return absent[plan.absent]
    made = edit(lines) if edit else lines
    content = made if isinstance(made, bytes) else b"".join(line + b"\n" for line in made)
    return str(add_file(fake, f"{name}.jsonl", "batch_output", content)["id"])


def _window(fake: Any, text: Any) -> int:
    found = _WINDOW.fullmatch(str(text))
    seconds = int(found[1]) * {"h": 3600, "d": 86_400}[found[2]] if found else 0
    if not 86_400 <= seconds <= (7 * 86_400 if fake.groq else 86_400):
        allowed = "between 24h and 7d" if fake.groq else "24h"
        raise ApiError(
            400, f"completion_window '{text}' is not allowed: {allowed}", code="invalid_completion_window"
        )
    return seconds
