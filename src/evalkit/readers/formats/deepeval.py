"""DeepEval: test runs of its results folder and of `.deepeval`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import turns as message_turns
from evalkit.data.json_text import as_text
from evalkit.readers.assertions import name_cases
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, any_sniff, has_paths
from evalkit.readers.json_keys import outline
from evalkit.readers.json_values import decoded, digest, mapping, number, sequence

if TYPE_CHECKING:
    from pathlib import Path

_LISTS: Final = ("testCases", "conversationalTestCases")
_WRAPPED: Final = "testRunData"
_SIGNS: Final = ("metricsScores", "testPassed", "testFailed", "runDuration")
# An unnamed case is named by position, which changes with the data.
_NO_NAME: Final = re.compile(r"(?:conversational_)?test_case_\d+$")

is_run = any_sniff(
    *(
        has_paths(
            f"{top}{name}",
            any_of=[f"{top}{sign}" for sign in (*_SIGNS, *(f"{n}.[].metricsData" for n in _LISTS))],
        )
        for top in ("", f"{_WRAPPED}.")
        for name in _LISTS
    )
)


def _is_link(path: Path, data: bytes) -> bool:
    return outline(data) == {"testRunLink"}


def _cases(file: fields.RecordFile) -> fields.Records:
    document = file.read_object()
    top = (_WRAPPED,) if isinstance(document.get(_WRAPPED), dict) else ()
    run = document[_WRAPPED] if top else document
    records = [each for name in _LISTS for each in file.list_in(*top, name)]
    models = (span.get("model") for _, record in records for span in _spans(record, "llmSpans"))
    common = {
        "run": run.get("identifier") or file.path.stem.strip(".") or "run",
        "suite": run.get("datasetAlias"),
        "model": fields.get(run, "hyperparameters.model") or next(filter(None, models), None),
        "settings": mapping(run.get("hyperparameters")) or None,
    }
    names = name_cases([_identity(record) for _, record in records])
    for (line, record), case in zip(records, names, strict=True):
        yield line, {**record, **common, "case": case}
    if any(record.get("trace") for _, record in records):
        file.builder.ignore_fields("the metrics of a trace's spans")


def _identity(record: fields.Record) -> tuple[str | None, Any]:
    name, content = as_text(record.get("name")), record.get("input")
    if content is None:
        content = [record.get("scenario"), fields.get(record, "turns.0.content")]
    return None if name is None or _NO_NAME.match(name) else name, content


def _spans(record: fields.Record, kind: str) -> list[fields.Record]:
    """Return the spans of a kind; a traced run has its tools and model only there."""
    return [mapping(span) for span in sequence(fields.get(record, f"trace.{kind}"))]


def _turns(record: fields.Record) -> fields.Turns:
    turns = [mapping(turn) for turn in sequence(record.get("turns"))]
    if turns:
        return [part for turn in turns for part in _messages(turn)]
    tools = record.get("toolsCalled") or [
        {"name": span.get("name"), "inputParameters": span.get("input"), "output": span.get("output")}
        for span in _spans(record, "toolSpans")
    ]
    reply = {"role": "assistant", "content": record.get("actualOutput"), "toolsCalled": tools}
    return fields.as_turns("user", record.get("input")) + _messages(reply)


def _messages(turn: fields.Record) -> fields.Turns:
    """Return a turn as messages: calls, tool results, then the text."""
    tools = [mapping(call) for call in sequence(turn.get("toolsCalled"))]
    calls, results = [], []
    for place, call in enumerate(tools, 1):
        calls.append({"id": str(place), "name": call.get("name"), "arguments": call.get("inputParameters")})
        if call.get("output") is not None:
            result = {"role": "tool", "name": call.get("name"), "tool_call_id": str(place)}
            results.append({**result, "content": as_text(call["output"])})
    called = [{"role": "assistant", "tool_calls": calls}] if calls else []
    return [
        *message_turns([*called, *results]),
        *fields.as_turns(turn.get("role"), turn.get("content")),
    ]


def _output(record: fields.Record) -> str | None:
    output = as_text(record.get("actualOutput"))
    return fields.last_text(_turns(record), "assistant") if output is None else output


def _latency(record: fields.Record) -> Any:
    latency = number(record.get("completionTime"))
    return record.get("runDuration") if latency is None else latency


RUN: Final = RecordFormat(
    records=_cases,
    is_version=True,
    runs={"model": "model", "config": "settings"},
    cases={
        "input": ("input", "scenario"),
        "ideal_behavior": ("expectedOutput", "expectedOutcome"),
        "severity": fields.severity("metadata", "trace.metadata"),
        "tags": fields.texts("tags", "trace.tags"),
    },
    trials={"output": _output, "cost_usd": "tokenCost", "latency_s": _latency},
    turns=_turns,
    checks="metricsData",
    check={
        "name": lambda metric: as_text(metric.get("name")) or "metric",
        "passed": "success",
        "rationale": "reason",
        "error": "error",
        "kind": lambda metric: "judge" if metric.get("evaluationModel") else "code",
        "judge_model": "evaluationModel",
        "cost_usd": "evaluationCost",
        "facts": fields.known("score", "threshold", "strictMode", "verboseLogs"),
    },
    success="success",
    grader="DeepEval",
    ignored=("retrievalContext", "context", "expectedTools", "comments", "flaky", "order", "trace"),
)


def _cached(file: fields.RecordFile) -> fields.Records:
    """Yield the test cases of DeepEval's cache: the key of each is the case as JSON."""
    file.note("cache", "This is DeepEval's cache: the last score of each test case and metric, of any run.")
    for key, held in mapping(file.read_object().get("test_cases_lookup_map")).items():
        case = mapping(decoded(key)) or {"input": key}
        metrics = []
        for one in map(mapping, sequence(mapping(held).get("cached_metrics_data"))):
            data = mapping(one.get("metric_data") or one.get("metric_metadata"))
            metrics.append({**data, "name": data.get("name") or data.get("metric")})
        content = {name: case.get(name) for name in ("input", "actual_output")}
        record = {"input": case.get("input"), "expectedOutput": case.get("expected_output")}
        answer = {
            "actualOutput": case.get("actual_output"),
            "retrievalContext": case.get("retrieval_context"),
        }
        yield None, {**record, **answer, "case": digest(content)[:12], "metricsData": metrics}


CACHE: Final = replace(RUN, records=_cached)


def _link(file: fields.RecordFile) -> fields.Records:
    file.builder.add_problem(
        None, "The test run is on Confident AI's server; the file has its link alone. Export the run."
    )
    return ()


READERS: Final = (
    Reader("DeepEval test run", is_run, read=RUN.read, whole=True, alone=True),
    Reader("DeepEval cache", has_paths("test_cases_lookup_map"), read=CACHE.read, whole=True, alone=True),
    Reader("DeepEval link", _is_link, read=RecordFormat(records=_link).read),
)
