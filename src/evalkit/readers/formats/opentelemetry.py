"""OTLP/JSON traces by OpenTelemetry GenAI or OpenInference: trace = trial, last model call = conversation."""

from __future__ import annotations

from typing import Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.opentelemetry_attributes import (
    evaluations,
    input_of,
    is_model_call,
    messages_of,
    output_of,
    plain,
)
from evalkit.readers.formats.record_format import RecordFormat
from evalkit.readers.json_values import digest, mapping, moment, names, number, sequence, severity_of, words

_EVENT: Final = "gen_ai.evaluation.result"
# Attributes by column, in order of preference.
_NAMES: Final = {
    "agent": ("gen_ai.agent.name", "agent.name", "service.name"),
    "version": ("gen_ai.agent.version", "service.version"),
    "model": ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name"),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
    "case": ("evalkit.case", "test.case.id", "metadata.example_id", "dataset.item.id"),
}
_SUMS: Final = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "output_tokens": (
        *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
    ),
    "cost_usd": ("llm.cost.total",),
}
_KINDS: Final = {"LLM": "judge", "HUMAN": "human", "CODE": "code"}


def sniff(path: object, data: bytes) -> bool:
    """Whether a file is an OTLP export of spans or log records."""
    keys = names(data)
    return bool({"resourceSpans", "resource_spans"} & keys) or (
        bool({"resourceLogs", "resource_logs"} & keys) and _EVENT.encode() in data
    )


def _traces(file: fields.RecordFile) -> fields.Records:
    traces: dict[str, dict[str, Any]] = {}
    for line, record in file.records():
        for trace_id, span in _spans(record):
            if trace_id:
                traces.setdefault(trace_id, {"line": line, "spans": [], "results": []})["spans"].append(span)
            else:
                file.builder.add_problem(line, f"Span {as_text(span['name'])!r} has no 'traceId'.")
        for trace_id, result in _log_results(record):
            traces.setdefault(trace_id, {"line": line, "spans": [], "results": []})["results"].append(result)
    for trace_id, trace in traces.items():
        yield trace["line"], _trial(trace_id, **trace)


def _trial(
    trace_id: str, line: int, spans: list[fields.Record], results: list[fields.Record]
) -> fields.Record:
    spans = sorted(spans, key=lambda span: number(span["start"]) or 0.0)
    ids = {span["id"] for span in spans}
    root = next(
        (span for span in spans if span["parent"] not in ids), spans[0] if spans else {"attributes": {}}
    )
    everywhere = [root["attributes"], *(span["attributes"] for span in spans)]
    calls = [span["attributes"] for span in spans if is_model_call(span["attributes"])]
    last = calls[-1] if calls else {}
    turns = messages_of(last)
    named = {name: _first(everywhere, keys) for name, keys in _NAMES.items()}
    prompt = input_of(root["attributes"]) or next((t["content"] for t in turns if t["role"] == "user"), None)
    start, end = number(root.get("start")), number(root.get("end"))
    return {
        **named,
        **{name: _sum(calls, keys) for name, keys in _SUMS.items()},
        "run": "-".join(name for name in (named["agent"], named["version"]) if name),
        "case": named["case"] or (digest(prompt) if prompt else trace_id),
        "input": words(prompt),
        "severity": severity_of(*everywhere),
        "output": output_of(root["attributes"]) or next((t["content"] for t in reversed(turns)), None),
        "error": _error(root),
        "stop_reason": fields.get(last, ("gen_ai.response.finish_reasons.0", "llm.finish_reason")),
        "latency_s": (end - start) / 1e9 if start and end else None,
        "started_at": moment(start / 1e9) if start else None,
        "turns": turns,
        "scores": [
            *results,
            *(result for span in spans for result in span["results"]),
            *(result for span in spans for result in evaluations(span["attributes"])),
        ],
    }


def _spans(record: fields.Record) -> list[tuple[str, dict[str, Any]]]:
    spans = []
    for resource in _each(record, "resourceSpans", "resource_spans"):
        common = plain(mapping(resource.get("resource")).get("attributes"))
        for scope in _each(resource, "scopeSpans", "scope_spans"):
            for span in filter(None, map(mapping, sequence(scope.get("spans")))):
                events = [mapping(event) for event in sequence(span.get("events"))]
                facts = {
                    "name": span.get("name"),
                    "id": as_text(fields.get(span, ("spanId", "span_id"))),
                    "parent": as_text(fields.get(span, ("parentSpanId", "parent_span_id"))),
                    "start": fields.get(span, ("startTimeUnixNano", "start_time_unix_nano")),
                    "end": fields.get(span, ("endTimeUnixNano", "end_time_unix_nano")),
                    "status": mapping(span.get("status")),
                    "attributes": {**common, **plain(span.get("attributes"))},
                    "results": [plain(e.get("attributes")) for e in events if e.get("name") == _EVENT],
                }
                spans.append((str(fields.get(span, ("traceId", "trace_id")) or ""), facts))
    return spans


def _log_results(record: fields.Record) -> list[tuple[str, fields.Record]]:
    logs = [
        (log, plain(log.get("attributes")))
        for resource in _each(record, "resourceLogs", "resource_logs")
        for scope in _each(resource, "scopeLogs", "scope_logs")
        for log in _each(scope, "logRecords", "log_records")
    ]
    return [
        (str(fields.get(log, ("traceId", "trace_id")) or ""), attributes)
        for log, attributes in logs
        if _EVENT in (log.get("eventName"), attributes.get("event.name"))
    ]


def _each(value: fields.Record, name: str, other: str) -> list[fields.Record]:
    """Return a list by its JSON name or its protocol name."""
    return [mapping(each) for each in sequence(value.get(name)) or sequence(value.get(other))]


def _first(everywhere: list[fields.Record], keys: tuple[str, ...]) -> str | None:
    values = (attributes.get(key) for key in keys for attributes in everywhere)
    return next((as_text(value) for value in values if value not in (None, "")), None)


def _sum(calls: list[fields.Record], keys: tuple[str, ...]) -> float | None:
    counts = [next((number(call[key]) for key in keys if key in call), None) for call in calls]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _error(root: fields.Record) -> str | None:
    if fields.get(root, "status.code") not in (2, "STATUS_CODE_ERROR"):
        return None
    message = fields.get(root, "status.message") or root["attributes"].get("error.type")
    return as_text(message) or "the trace ended in an error"


TRACES: Final = RecordFormat(
    records=_traces,
    runs={"agent": "agent", "agent_version": "version", "model": "model", "provider": "provider"},
    cases={"input": "input", "severity": "severity"},
    trials={name: name for name in ("output", "error", "stop_reason", *_SUMS, "latency_s", "started_at")},
    turns=lambda trial: trial["turns"],
    criterion="gen_ai.evaluation.name",
    score={
        "grader": "gen_ai.evaluation.grader",
        "grader_kind": fields.choice(_KINDS, "gen_ai.evaluation.grader"),
        "score": "gen_ai.evaluation.score.value",
        "label": "gen_ai.evaluation.score.label",
        "rationale": "gen_ai.evaluation.explanation",
        "error": "error.type",
    },
    counts_samples=True,
)

READERS: Final = (Reader("OTLP spans", sniff, read=TRACES.read, alone=True),)
