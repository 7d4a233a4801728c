"""OTLP/JSON: traces of agents by the GenAI conventions of OpenTelemetry, or by OpenInference.

A trace is an attempt. Its conversation is that of its last model call, its scores are the evaluation results that
its spans, their events, or log records carry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.formats.opentelemetry_attributes import (
    evaluations,
    input_of,
    is_model_call,
    messages_of,
    output_of,
    plain,
)
from evalkit.readers.json_values import digest, mapping, moment, number, sequence, severity_of, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evalkit.data.evals import Evals

_EVENT: Final = "gen_ai.evaluation.result"
_AGENT: Final = ("gen_ai.agent.name", "agent.name", "service.name")
_VERSION: Final = ("gen_ai.agent.version", "service.version")
_MODEL: Final = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name")
_PROVIDER: Final = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
# Which case a trace is of, where somebody said so.
_CASE: Final = ("evalkit.case", "test.case.id", "metadata.example_id", "dataset.item.id")
_IN: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUT: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion")
_COST: Final = ("llm.cost.total",)


@dataclass(slots=True)
class _Trace:
    """The spans of a trace, and the evaluation results that log records hold of it."""

    line: int
    spans: list[dict[str, Any]] = field(default_factory=list)
    results: list[Mapping[str, Any]] = field(default_factory=list)


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is an OTLP export of spans or of log records."""
    names = json_records.names(head)
    return bool({"resourceSpans", "resource_spans"} & names) or (
        bool({"resourceLogs", "resource_logs"} & names) and _EVENT.encode() in head
    )


def read(path: Path) -> Evals:
    """Read traces: the agent with its version is the run; what was asked is the case unless a span names one."""
    builder = EvalsBuilder(str(path))
    traces: dict[str, _Trace] = {}
    for line, record in json_records.read(path, builder):
        for trace_id, span in _spans(record):
            if not trace_id:
                builder.add_problem(line, f"a span without a traceId: {as_text(span.get('name'))!r}")
                continue
            traces.setdefault(trace_id, _Trace(line)).spans.append(span)
        for trace_id, result in _log_results(record):
            traces.setdefault(trace_id, _Trace(line)).results.append(result)
    for trace_id, trace in traces.items():
        _take(builder, path, trace_id, trace)
    return builder.build()


def _take(builder: EvalsBuilder, path: Path, trace_id: str, trace: _Trace) -> None:
    spans = sorted(trace.spans, key=lambda span: number(span.get("start")) or 0.0)
    ids = {span["id"] for span in spans}
    root = next((s for s in spans if s["parent"] not in ids), spans[0] if spans else {"attributes": {}})
    everywhere = [root["attributes"], *(span["attributes"] for span in spans)]
    calls = [span for span in spans if is_model_call(span["attributes"])]
    last = calls[-1]["attributes"] if calls else {}
    turns = messages_of(last)
    asked = input_of(root["attributes"]) or next((t["content"] for t in turns if t["role"] == "user"), None)
    agent, version, model = (_said(everywhere, names) for names in (_AGENT, _VERSION, _MODEL))
    run = "-".join(name for name in (agent, version) if name) or json_records.run_name(path)
    case = _said(everywhere, _CASE) or (digest(asked) if asked else trace_id)
    epoch = builder.next_epoch(run, case)
    start, end = number(root.get("start")), number(root.get("end"))
    builder.add_run(
        run, agent=agent, agent_version=version, model=model, provider=_said(everywhere, _PROVIDER)
    )
    builder.add_case("", case, input=words(asked), severity=severity_of(*everywhere))
    builder.add_trial(
        run,
        case,
        epoch,
        trace.line,
        output=output_of(root["attributes"]) or next((t["content"] for t in reversed(turns)), None),
        error=_error(root),
        stop_reason=_stop_reason(last),
        input_tokens=_sum(calls, _IN),
        output_tokens=_sum(calls, _OUT),
        cost_usd=_sum(calls, _COST),
        latency_s=None if not start or not end else (end - start) / 1e9,
        started_at=moment(start / 1e9) if start else None,
    )
    builder.add_turns(run, case, epoch, turns)
    told = [*trace.results, *(result for span in spans for result in span["results"])]
    told += [result for span in spans for result in evaluations(span["attributes"])]
    for result in told:
        _score(builder, (run, case, epoch), trace.line, result)


def _score(builder: EvalsBuilder, trial: tuple[str, str, int], line: int, told: Mapping[str, Any]) -> None:
    name = as_text(told.get("gen_ai.evaluation.name"))
    if not name:
        builder.add_problem(line, "an evaluation result without gen_ai.evaluation.name")
        return
    grader = as_text(told.get("gen_ai.evaluation.grader")) or ""
    builder.add_score(
        *trial,
        name,
        line,
        grader=grader,
        grader_kind={"LLM": "judge", "HUMAN": "human", "CODE": "code"}.get(grader.upper()),
        sample=builder.next_sample(*trial, name, grader),
        score=told.get("gen_ai.evaluation.score.value"),
        label=as_text(told.get("gen_ai.evaluation.score.label")),
        rationale=as_text(told.get("gen_ai.evaluation.explanation")),
        error=as_text(told.get("error.type")),
    )


def _spans(record: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in map(mapping, _either(record, "resourceSpans", "resource_spans")):
        common = plain(mapping(resource.get("resource")).get("attributes"))
        for scope in map(mapping, _either(resource, "scopeSpans", "scope_spans")):
            for span in map(mapping, sequence(scope.get("spans"))):
                if not span:
                    continue
                events = [mapping(event) for event in sequence(span.get("events"))]
                yield (
                    str(span.get("traceId") or span.get("trace_id") or ""),
                    {
                        "name": span.get("name"),
                        "id": as_text(span.get("spanId") or span.get("span_id")),
                        "parent": as_text(span.get("parentSpanId") or span.get("parent_span_id")),
                        "start": span.get("startTimeUnixNano") or span.get("start_time_unix_nano"),
                        "end": span.get("endTimeUnixNano") or span.get("end_time_unix_nano"),
                        "status": mapping(span.get("status")),
                        "attributes": {**common, **plain(span.get("attributes"))},
                        "results": [plain(e.get("attributes")) for e in events if e.get("name") == _EVENT],
                    },
                )


def _log_results(record: dict[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for resource in map(mapping, _either(record, "resourceLogs", "resource_logs")):
        for scope in map(mapping, _either(resource, "scopeLogs", "scope_logs")):
            for log in map(mapping, _either(scope, "logRecords", "log_records")):
                attributes = plain(log.get("attributes"))
                if _EVENT in (log.get("eventName"), attributes.get("event.name")):
                    yield str(log.get("traceId") or log.get("trace_id") or ""), attributes


def _either(value: Mapping[str, Any], name: str, other: str) -> list[Any]:
    """Return a list by its name in JSON, or by its name in the protocol."""
    return sequence(value.get(name)) or sequence(value.get(other))


def _said(everywhere: list[Mapping[str, Any]], names: tuple[str, ...]) -> str | None:
    """Return the first of some attributes that any span has."""
    values = (attributes.get(name) for name in names for attributes in everywhere)
    return next((as_text(value) for value in values if value not in (None, "")), None)


def _sum(calls: list[dict[str, Any]], names: tuple[str, ...]) -> float | None:
    counts = [next((number(c["attributes"][n]) for n in names if n in c["attributes"]), None) for c in calls]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _error(root: dict[str, Any]) -> str | None:
    status = root.get("status") or {}
    if status.get("code") not in (2, "STATUS_CODE_ERROR"):
        return None
    return (
        as_text(status.get("message") or root["attributes"].get("error.type"))
        or "the trace ended in an error"
    )


def _stop_reason(attributes: Mapping[str, Any]) -> str | None:
    reasons = sequence(attributes.get("gen_ai.response.finish_reasons"))
    return as_text(reasons[0] if reasons else attributes.get("llm.finish_reason"))


READERS: Final = (Reader("OTLP spans", sniff, read=read, alone=True),)
