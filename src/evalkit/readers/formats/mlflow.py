"""MLflow traces with assessments: JSON, or the saved frame of `search_traces`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import find_messages, turns
from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, key_names
from evalkit.readers.json_values import decoded, mapping, moment, number, sequence, words

if TYPE_CHECKING:
    from pathlib import Path

_KINDS: Final = {"HUMAN": "human", "LLM_JUDGE": "judge", "AI_JUDGE": "judge", "CODE": "code"}
_INPUTS, _OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
_WORDS: Final = {"yes": 1, "no": 0, "pass": 1, "fail": 0, "true": 1, "false": 0}
_EXPECTED: Final = {
    "expected_response": "ideal_behavior",
    "guidelines": "expected_rubric",
    "expected_facts": "expected_rubric",
}


def is_traces(path: Path, data: bytes) -> bool:
    """Whether records are traces, rows of `search_traces`, or of `mlflow.genai.evaluate`."""
    names = key_names(path, data)
    if data.startswith(b"PAR1") or data.lstrip()[:1] in (b"{", b"["):
        return "trace_id" in names and ("assessments" in names or {"trace_location", "info"} <= names)
    return {"trace_id", "trace"} <= names


def _traces(file: fields.RecordFile) -> fields.Records:
    for line, record in file.records(within="traces"):
        trace = mapping(record.get("trace")) or record
        info = mapping(trace.get("info")) or record
        spans = [_span(s) for s in sequence(fields.get(trace, "data.spans") or record.get("spans"))]
        root = next((s for s in spans if not (s.get("parent_span_id") or s.get("parent_id"))), {})
        facts = {
            "trace_id": fields.get(info, ("trace_id", "request_id")),
            "trace_metadata": fields.get(info, ("trace_metadata", "request_metadata")),
            "spans": spans,
            "root": root,
            "request": _first(root.get(_INPUTS), record.get("request"), info.get("request_preview")),
            "response": _first(root.get(_OUTPUTS), record.get("response"), info.get("response_preview")),
            "assessments": [],
        }
        for each in map(mapping, sequence(info.get("assessments") or record.get("assessments"))):
            name = as_text(fields.get(each, ("assessment_name", "name")))
            if name and each.get("valid") is False:
                file.builder.ignore_fields("assessments that were overridden")
                continue
            facts["assessments"].append({**each, "name": name})
            if name and each.get("expectation") is not None and name not in _EXPECTED:
                file.builder.ignore_fields(f"expectation {name}")
        yield line, {**info, **facts}


def _span(span: Any) -> dict[str, Any]:
    """Return a span with decoded attributes; MLflow writes each as JSON text."""
    attributes = mapping(mapping(span).get("attributes"))
    return {**mapping(span), **{name: decoded(value) for name, value in attributes.items()}}


def _first(*values: Any) -> Any:
    return decoded(next((value for value in values if value not in (None, "")), None))


def _model(trace: fields.Record) -> str | None:
    names = (s.get("mlflow.llm.model") or mapping(s.get(_INPUTS)).get("model") for s in trace["spans"])
    return next((name for name in names if isinstance(name, str)), None)


def _output(trace: fields.Record) -> str | None:
    reply = turns(find_messages(trace["response"]))
    return fields.last_text(reply, "assistant") if reply else words(trace["response"])


def _turns(trace: fields.Record) -> fields.Turns:
    request, response = trace["request"], trace["response"]
    messages = find_messages(request)
    if not messages:
        text = words(request)
        messages = [] if text is None else [{"role": "user", "content": text}]
    for span in trace["spans"]:
        if str(span.get("mlflow.spanType")).upper() == "TOOL":
            call = {"name": span.get("name"), "arguments": span.get(_INPUTS)}
            result = {"role": "tool", "name": span.get("name"), "content": words(span.get(_OUTPUTS))}
            messages = [*messages, {"role": "assistant", "tool_calls": [call]}, result]
    reply = find_messages(response)
    return turns([*messages, *reply]) + ([] if reply else fields.as_turns("assistant", words(response)))


def _input(trace: fields.Record) -> str | None:
    return fields.last_text(_turns(trace), "user") or words(trace["request"])


def _expected(column: str) -> fields.Field:
    """Return a field with an expectation as text; lists become lines."""

    def expected(trace: fields.Record) -> str | None:
        for each in trace["assessments"]:
            if each.get("expectation") is not None and _EXPECTED.get(each["name"]) == column:
                stored = decoded(fields.get(each, "expectation.serialized_value.value"))
                value = mapping(each["expectation"]).get("value", stored)
                return "\n".join(str(words(v)) for v in value) if isinstance(value, list) else words(value)
        return None

    return expected


def _error(trace: fields.Record) -> str | None:
    if str(trace.get("state") or trace.get("status")) != "ERROR":
        return None
    root = trace["root"]
    return as_text(fields.get(root, ("status.message", "status_message"))) or "the trace ended in an error"


def _time(trace: fields.Record) -> Any:
    value = fields.get(trace, ("request_time", "timestamp_ms"))
    milliseconds = number(value)
    return as_text(value) if milliseconds is None else moment(milliseconds / 1000)


def _is_word(assessment: fields.Record) -> bool:
    value = fields.get(assessment, "feedback.value")
    return isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in _WORDS)


def _score(assessment: fields.Record) -> Any:
    value = fields.get(assessment, "feedback.value")
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower(), number(value))
    return value if isinstance(value, bool | int | float) else None


def _label(assessment: fields.Record) -> Any:
    value = fields.get(assessment, "feedback.value")
    if isinstance(value, bool):
        return str(value).lower()
    return None if isinstance(value, int | float) else value


def _score_error(assessment: fields.Record) -> str | None:
    error = fields.get(assessment, ("feedback.error", "error"))
    return words(mapping(error).get("error_message") or error) if error else None


TRACES: Final = RecordFormat(
    records=_traces,
    required=("trace_id",),
    run="trace_metadata.mlflow.sourceRun",
    case=fields.id_or_digest(
        "client_request_id", lambda t: t["trace_id"] if t["request"] is None else t["request"]
    ),
    runs={
        "agent": "tags.mlflow.traceName",
        "agent_version": ("trace_metadata.mlflow.modelId", "trace_metadata.mlflow.source.git.commit"),
        "model": _model,
    },
    cases={
        "input": _input,
        "ideal_behavior": _expected("ideal_behavior"),
        "expected_rubric": _expected("expected_rubric"),
        "severity": fields.severity("tags", "trace_metadata"),
    },
    trials={
        "output": _output,
        "error": _error,
        "input_tokens": "trace_metadata.mlflow.trace.tokenUsage.input_tokens",
        "output_tokens": "trace_metadata.mlflow.trace.tokenUsage.output_tokens",
        "latency_s": fields.seconds("execution_duration", "execution_duration_ms"),
        "started_at": _time,
    },
    turns=_turns,
    scores=lambda trace: [
        each for each in trace["assessments"] if each.get("expectation") is None or not each["name"]
    ],
    true_or_false=_is_word,
    score={
        "grader": "source.source_id",
        "grader_kind": fields.choice(_KINDS, "source.source_type"),
        "score": _score,
        "label": _label,
        "rationale": "rationale",
        "error": _score_error,
        "metadata": fields.not_empty("metadata"),
    },
)

READERS: Final = (Reader("MLflow traces", is_traces, read=TRACES.read, alone=True),)
