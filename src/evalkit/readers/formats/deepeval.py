"""DeepEval: the test runs that it leaves in its results folder and in `.deepeval`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers.assertions import Attempt, Check, add_checks, name_cases
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_keys import listed_in, outline, read_object
from evalkit.readers.json_values import mapping, number, sequence, severity_of

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_LISTS: Final = ("testCases", "conversationalTestCases")
_WRAPPED: Final = "testRunData"
# What a case is called whom nobody named: its place, which is another case in the next version of the data.
_NO_NAME: Final = re.compile(r"(?:conversational_)?test_case_\d+$")
_DROPPED: Final = ("retrievalContext", "context", "expectedTools", "comments", "flaky", "order", "trace")


def is_run(path: Path, head: bytes) -> bool:
    """Whether it is a test run, alone or with the link to it."""
    keys = outline(head)
    for top in ("", f"{_WRAPPED}."):
        lists = {f"{top}{name}" for name in _LISTS} & keys
        marks = {f"{top}{name}" for name in ("metricsScores", "testPassed", "testFailed", "runDuration")}
        metrics = any(f"{top}{name}.[].metricsData" in keys for name in _LISTS)
        if lists and (metrics or marks & keys):
            return True
    return False


def read(path: Path) -> Evals:
    """Read a test run: its test cases are cases, its metrics criteria that pass where DeepEval says so."""
    builder = EvalsBuilder(str(path))
    whole, data = read_object(path, builder)
    top = (_WRAPPED,) if isinstance(whole.get(_WRAPPED), dict) else ()
    facts = mapping(whole[_WRAPPED]) if top else whole
    records = [record for name in _LISTS for record in listed_in(whole, data, *top, name, builder=builder)]
    suite = as_text(facts.get("datasetAlias")) or ""
    run = _run(builder, path, facts, suite, [record for _, record in records])
    cases = name_cases([_identity(record) for _, record in records])
    attempts = []
    for (line, record), case in zip(records, cases, strict=True):
        trial = (run, case, builder.next_epoch(run, case))
        _case(builder, suite, case, record)
        _trial(builder, trial, line, record)
        success = record.get("success")
        checks = [_check(mapping(one)) for one in sequence(record.get("metricsData"))]
        attempts.append(Attempt(suite, trial, line, success if isinstance(success, bool) else None, checks))
        builder.ignore_fields(*(name for name in _DROPPED if record.get(name)))
    if any(record.get("trace") for _, record in records):
        builder.ignore_fields("the metrics of a trace's spans")
    add_checks(builder, attempts, grader="DeepEval")
    return builder.build()


def _run(builder: EvalsBuilder, path: Path, facts: Any, suite: str, records: list[dict[str, Any]]) -> str:
    calls = (mapping(span) for record in records for span in _spans(record, "llmSpans"))
    settings = mapping(facts.get("hyperparameters"))
    run = as_text(facts.get("identifier")) or path.stem.strip(".") or "run"
    builder.add_run(
        run,
        suite=suite,
        agent_version=run,
        model=as_text(settings.get("model") or next((c["model"] for c in calls if c.get("model")), None)),
        config=as_text(settings) if settings else None,
    )
    return run


def _identity(record: dict[str, Any]) -> tuple[str | None, Any]:
    name = as_text(record.get("name"))
    asked = record.get("input")
    if asked is None:
        first = mapping(next(iter(sequence(record.get("turns"))), None))
        asked = [record.get("scenario"), first.get("content")]
    return None if name is None or _NO_NAME.match(name) else name, asked


def _case(builder: EvalsBuilder, suite: str, case: str, record: dict[str, Any]) -> None:
    trace, told = mapping(record.get("trace")), mapping(record.get("metadata"))
    tags = sequence(record.get("tags")) or sequence(trace.get("tags"))
    builder.add_case(
        suite,
        case,
        input=as_text(record.get("input") or record.get("scenario")),
        ideal_behavior=as_text(record.get("expectedOutput") or record.get("expectedOutcome")),
        severity=severity_of(told, mapping(trace.get("metadata"))),
        tags=[str(as_text(tag)) for tag in tags] or None,
    )


def _trial(
    builder: EvalsBuilder, trial: tuple[str, str, int], line: int | None, record: dict[str, Any]
) -> None:
    turns = [mapping(turn) for turn in sequence(record.get("turns"))]
    messages = [part for turn in turns for part in _spoken(turn)]
    output = as_text(record.get("actualOutput"))
    if not turns:
        if record.get("input") is not None:
            messages.append(message({"role": "user", "content": as_text(record["input"])}))
        tools = record.get("toolsCalled") or [
            {"name": span.get("name"), "inputParameters": span.get("input"), "output": span.get("output")}
            for span in map(mapping, _spans(record, "toolSpans"))
        ]
        messages += _spoken({"role": "assistant", "content": output, "toolsCalled": tools})
    said = [turn["content"] for turn in messages if turn["role"] == "assistant" and turn["content"]]
    latency = number(record.get("completionTime"))
    builder.add_trial(
        *trial,
        line,
        output=output if output is not None else said[-1] if said else None,
        cost_usd=record.get("tokenCost"),
        latency_s=latency if latency is not None else record.get("runDuration"),
    )
    builder.add_turns(*trial, messages)


def _spans(record: dict[str, Any], kind: str) -> list[Any]:
    """Return the spans of a kind in the trace of a case: a traced run has its tools and its model there alone."""
    return sequence(mapping(record.get("trace")).get(kind))


def _spoken(turn: Any) -> list[dict[str, Any]]:
    """Return a turn as messages: the calls first, what each tool gave, then what was said."""
    calls = [mapping(call) for call in sequence(turn.get("toolsCalled"))]
    made = []
    if calls:
        asked = [
            {"id": str(at), "name": call.get("name"), "arguments": call.get("inputParameters")}
            for at, call in enumerate(calls, 1)
        ]
        made.append(message({"role": "assistant", "content": None, "tool_calls": asked}))
        made += [
            message(
                {
                    "role": "tool",
                    "name": call.get("name"),
                    "tool_call_id": str(at),
                    "content": as_text(call["output"]),
                }
            )
            for at, call in enumerate(calls, 1)
            if call.get("output") is not None
        ]
    if turn.get("content") is not None:
        made.append(message({"role": turn.get("role"), "content": as_text(turn["content"])}))
    return made


def _check(metric: Any) -> Check:
    passed, error = metric.get("success"), as_text(metric.get("error"))
    facts = {name: metric.get(name) for name in ("score", "threshold", "strictMode", "verboseLogs")}
    model = as_text(metric.get("evaluationModel"))
    return Check(
        as_text(metric.get("name")) or "metric",
        None if error or not isinstance(passed, bool) else passed,
        rationale=as_text(metric.get("reason")),
        error=error,
        kind="judge" if model else "code",
        judge_model=model,
        cost_usd=metric.get("evaluationCost"),
        facts={name: value for name, value in facts.items() if value is not None},
    )


READERS: Final = (Reader("DeepEval test run", is_run, read=read, whole=True, alone=True),)
