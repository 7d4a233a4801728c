"""promptfoo: `-o out.json` (results version 2 and 3) and `-o out.jsonl`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.assertions import SUCCESS, name_cases
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import PASS_OR_FAIL, RecordFormat, has_paths
from evalkit.readers.json_keys import first_records
from evalkit.readers.json_values import digest, mapping, number, sequence, words
from evalkit.readers.partial_logs import partial_log

# Model-graded assertions; all others are code.
_JUDGED: Final = (
    *("llm-rubric", "model-graded", "factuality", "g-eval", "answer-relevance", "context-", "select-best"),
    *("pi", "search-rubric", "conversation-relevance", "agent-rubric", "trajectory:goal"),
    "promptfoo:redteam",
)
_STRIPPED: Final = "stripped]"
_GRADER_FAILED: Final = re.compile(
    r"Could not (?:extract|parse)|Grading failed|API (?:call )?error|No output$|(?:\S+ )?produced malformed response"
    r"|(?:llm-rubric|model-graded\S*|g-eval|factuality) (?:produced|returned) (?:malformed|invalid|no)"
)
_MAX_NAME: Final = 48
_CALL_FAILED: Final = 2


def _is_result(path: object, data: bytes) -> bool:
    return any(
        "provider" in record
        and bool({"gradingResult", "failureReason", "success"} & record.keys())
        and bool({"promptIdx", "promptId", "testIdx", "testCase"} & record.keys())
        for record in first_records(data)
    )


def _in_object(file: fields.RecordFile) -> fields.Records:
    document = file.read_object()
    file.builder.ignore_fields(*(name for name in ("traces", "blobAssets") if document.get(name)))
    records = list(file.list_in("results", "results"))
    stats = mapping(fields.get(document, "results.stats"))
    declared = [
        value
        for name in ("successes", "failures", "errors")
        if (value := number(stats.get(name))) is not None
    ]
    total = sum(declared)
    means = {"pass rate": (declared[0] / total)} if total and "successes" in stats else {}
    held = sum(record.get("success") is True for _, record in records)
    note = partial_log(
        str(file.path),
        "",
        declared=total if declared else None,
        held=len(records),
        published=means,
        own={"pass rate": held / len(records) if records else None},
    )
    if note is not None:
        file.builder.notes.append(note)
    return _named(records, fields.get(document, "results.timestamp"))


def _named(records: fields.Records, started: Any = None) -> fields.Records:
    records = list(records)
    cases = name_cases([_identity(record) for _, record in records])
    for (line, record), case in zip(records, cases, strict=True):
        provider = record.get("provider")
        named = provider if isinstance(provider, dict) else {"id": provider}
        identity, prompt = as_text(named.get("id")), _prompt_name(record)
        label = as_text(named.get("label")) or identity
        names = {
            "case": case,
            "provider": None if identity is None else label,
            "provider_id": identity,
            "prompt_name": prompt,
            "run": f"{label}: {prompt}" if prompt else label,
            "started": started,
            "checks": [],
            "humans": [],
            "failure": _failure(record),
        }
        for component in map(mapping, sequence(fields.get(record, "gradingResult.componentResults"))):
            if fields.get(component, "assertion.type") == "human":
                names["humans"].append(component)
            elif component.get("assertion") or not component.get("componentResults"):
                # An assertion set's result is beside those of its members.
                judge = fields.get(record, "testCase.options.provider")
                names["checks"].append({**component, "type": _kind(component), "judge": judge})
        yield line, {**record, **names}


def _identity(record: fields.Record) -> tuple[str | None, Any]:
    """Return the name and content of a test; repeats share both."""
    name = as_text(fields.get(record, ("testCase.description", "description"))) or None
    values = fields.get(record, ("testCase.vars", "vars"))
    return name, [values, _assertions(record)] if name or not values else values


def _assertions(record: fields.Record) -> list[str]:
    lines = []
    for assertion in map(mapping, sequence(fields.get(record, "testCase.assert"))):
        kind, value = as_text(assertion.get("type")) or "assertion", as_text(assertion.get("value"))
        lines.append(f"{kind}: {value}" if value else kind)
    return lines


def _prompt_name(record: fields.Record) -> str | None:
    """Return the label of the prompt, shortened; without a label it is the prompt."""
    prompt = record.get("prompt")
    label = as_text(fields.get(prompt, ("label", "raw")) if isinstance(prompt, dict) else prompt)
    if not label:
        return as_text(record.get("promptId"))
    short = " ".join(label.split())
    return short if len(short) <= _MAX_NAME else f"{short[:_MAX_NAME]}… {digest(label)[:6]}"


def _turns(record: fields.Record) -> fields.Turns:
    """Return the prompt and the answer; promptfoo writes a chat as JSON."""
    prompt = record.get("prompt")
    raw = prompt.get("raw") if isinstance(prompt, dict) else prompt
    answer = fields.as_turns("assistant", fields.get(record, "response.output"))
    if not isinstance(raw, str) or raw.endswith(_STRIPPED):
        return answer
    messages = sequence(raw)
    is_chat = messages and all(isinstance(each, dict) and "role" in each for each in messages)
    return (fields.chat_turns(messages) if is_chat else fields.as_turns("user", raw)) + answer


def _failure(record: fields.Record) -> str | None:
    """Return why there is no answer; `error` may be a failed assertion."""
    error, reason = as_text(fields.get(record, ("error", "response.error"))), record.get("failureReason")
    if reason == _CALL_FAILED:
        return error or "promptfoo says that the call failed"
    has_answer = fields.get(record, "response.output") is not None or record.get("gradingResult")
    return error if reason is None and not has_answer else None


def _success(record: fields.Record) -> Any:
    if record["failure"] is not None:
        return None
    if not record["humans"]:
        return record.get("success", fields.get(record, "gradingResult.pass"))
    # A human rating replaces the verdict; assertions keep their own.
    passes = [check.get("pass") is True and not _error(check) for check in record["checks"]]
    return all(passes) if passes else None


def _kind(component: fields.Record) -> str:
    return as_text(fields.get(component, "assertion.type")) or "assertion"


def _error(component: fields.Record) -> Any:
    error = fields.get(component, "metadata.graderError")
    if error is None and component.get("pass") is False and _is_judged(component):
        # Older promptfoo marks a judgement that failed by its reason alone.
        error = _GRADER_FAILED.match(as_text(component.get("reason")) or "") is not None
    return component.get("reason") or "the grader gave no verdict" if error is True else error or None


def _is_judged(component: fields.Record) -> bool:
    return str(component["type"]).removeprefix("not-").startswith(_JUDGED)


def _judge(component: fields.Record) -> Any:
    """Return the model of an assertion, by default the provider of the test."""
    provider = fields.get(component, "assertion.provider") or (
        component["judge"] if _is_judged(component) else None
    )
    return provider.get("id") if isinstance(provider, dict) else provider


LINES: Final = RecordFormat(
    records=lambda file: _named(file.records()),
    required=("provider",),
    runs={
        "agent_version": ("prompt_name", "provider"),
        "model": "provider",
        "provider": fields.to(lambda name: name.split(":", 1)[0] if ":" in name else None, "provider_id"),
        "started_at": "started",
        "config": lambda record: {
            "provider": record["provider_id"],
            "prompt": as_text(fields.get(record, "prompt.label")),
        },
    },
    cases={
        "input": fields.to(lambda values: words(values or None), "testCase.vars", "vars"),
        "expected_rubric": lambda record: fields.joined(
            " ".join(line.split()) for line in _assertions(record)
        ),
        "severity": fields.severity("testCase.metadata"),
        "domain": ("testCase.metadata.domain", "testCase.metadata.category"),
        "tags": fields.texts("testCase.metadata.tags"),
    },
    trials={
        "output": "response.output",
        "error": "failure",
        "stop_reason": "response.finishReason",
        "input_tokens": ("response.tokenUsage.prompt", "tokenUsage.prompt"),
        "output_tokens": ("response.tokenUsage.completion", "tokenUsage.completion"),
        "cost_usd": "cost",
        "latency_s": fields.seconds("latencyMs"),
    },
    turns=_turns,
    checks=lambda record: record["checks"] if record["failure"] is None else [],
    check={
        "name": ("assertion.metric", "type"),
        "passed": "pass",
        "rationale": "reason",
        "error": _error,
        "kind": lambda component: "judge" if _is_judged(component) else "code",
        "judge_model": _judge,
        "facts": fields.known("score", "type", threshold="assertion.threshold", weight="assertion.weight"),
    },
    success=_success,
    reason=lambda record: fields.get(record, "gradingResult.reason") if record["failure"] is None else None,
    grader="promptfoo",
    scores="humans",
    criterion=fields.always(SUCCESS),
    criteria=fields.always(PASS_OR_FAIL),
    score={
        "grader": fields.always("human"),
        "grader_kind": fields.always("human"),
        "score": fields.to(lambda passed: passed if isinstance(passed, bool) else None, "pass"),
        "rationale": ("comment", "reason"),
    },
    ignored=("namedScores", "traceId", "evaluationId", "metadata", "score"),
)
RESULTS: Final = replace(LINES, records=_in_object)

READERS: Final = (
    Reader(
        "promptfoo results",
        has_paths(
            *("results", "results.version"),
            any_of=("results.results", "results.prompts", "results.table", "results.timestamp"),
        ),
        read=RESULTS.read,
        whole=True,
        alone=True,
    ),
    Reader("promptfoo results as JSON lines", _is_result, read=LINES.read, whole=True, alone=True),
)
