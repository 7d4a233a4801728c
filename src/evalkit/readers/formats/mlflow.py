"""MLflow traces with their assessments: traces as JSON, or the frame of `search_traces`, saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.formats import csv as csv_file
from evalkit.readers.json_values import decoded, digest, mapping, moment, number, sequence, severity_of, words

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_KINDS: Final = {"HUMAN": "human", "LLM_JUDGE": "judge", "AI_JUDGE": "judge", "CODE": "code"}
_YES_NO: Final = {"yes": 1, "no": 0, "pass": 1, "fail": 0, "true": 1, "false": 0}
_EXPECTED: Final = {
    "expected_response": "ideal_behavior",
    "guidelines": "expected_rubric",
    "expected_facts": "expected_rubric",
}


def is_json(path: Path, head: bytes) -> bool:
    """Whether its records are traces, or rows of `search_traces`."""
    names = json_records.names(head)
    return {"trace_id", "assessments"} <= names or {"trace_id", "trace_location", "info"} <= names


def is_parquet(path: Path, head: bytes) -> bool:
    """Whether it is the frame of `search_traces` as Parquet."""
    if not head.startswith(b"PAR1"):
        return False
    try:
        return {"trace_id", "assessments"} <= set(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError):
        return False


def is_csv(path: Path, head: bytes) -> bool:
    """Whether it is the frame of `search_traces`, or the table of `mlflow.genai.evaluate`, as CSV."""
    first = head.split(b"\n", 1)[0]
    return b"trace_id," in first and b",trace," in first and csv_file.sniff(path, head)


def read_json(path: Path) -> Evals:
    """Read traces: the run that made them is the run, what was asked the case."""
    builder = EvalsBuilder(str(path))
    for line, record in json_records.read(path, builder, within="traces"):
        _take(builder, path, line, record)
    return builder.build()


def read_parquet(path: Path) -> Evals:
    """Read the frame of `search_traces`."""
    builder = EvalsBuilder(str(path))
    for line, record in enumerate(pl.read_parquet(path).iter_rows(named=True), 1):
        _take(builder, path, line, record)
    return builder.build()


def read_csv(path: Path) -> Evals:
    """Read the frame of `search_traces`: each trace stands as JSON in one of its columns."""
    raw = csv_file.rows(path)
    builder = EvalsBuilder(str(path), problems=list(raw.problems))
    for record in raw.frame.iter_rows(named=True):
        _take(builder, path, record["line"], record)
    return builder.build()


def _take(builder: EvalsBuilder, path: Path, line: int, record: dict[str, Any]) -> None:
    trace = mapping(record.get("trace")) or record
    info = mapping(trace.get("info")) or record
    trace_id = as_text(info.get("trace_id") or info.get("request_id"))
    if not trace_id:
        builder.add_problem(line, "there is no trace_id")
        return
    spans = [mapping(s) for s in sequence(mapping(trace.get("data")).get("spans") or record.get("spans"))]
    root = next((s for s in spans if not (s.get("parent_span_id") or s.get("parent_id"))), {})
    told = mapping(info.get("trace_metadata") or info.get("request_metadata"))
    tags = mapping(info.get("tags"))
    asked = _first(_attribute(root, "mlflow.spanInputs"), record.get("request"), info.get("request_preview"))
    answered = _first(
        _attribute(root, "mlflow.spanOutputs"), record.get("response"), info.get("response_preview")
    )
    run = as_text(told.get("mlflow.sourceRun")) or json_records.run_name(path)
    case = as_text(info.get("client_request_id")) or digest(asked if asked is not None else trace_id)
    epoch = builder.next_epoch(run, case)
    usage = mapping(told.get("mlflow.trace.tokenUsage"))
    took = number(info.get("execution_duration") or info.get("execution_duration_ms"))
    builder.add_run(
        run,
        agent=as_text(tags.get("mlflow.traceName")),
        agent_version=as_text(told.get("mlflow.modelId") or told.get("mlflow.source.git.commit")),
        model=_model(spans),
    )
    turns = _turns(asked, answered, spans)
    users = [turn["content"] for turn in turns if turn["role"] == "user" and turn["content"]]
    builder.add_case("", case, input=users[-1] if users else words(asked), severity=severity_of(tags, told))
    builder.add_trial(
        run,
        case,
        epoch,
        line,
        output=as_text(_reply(answered).get("content")) or words(answered),
        error=_error(root) if str(info.get("state") or info.get("status")) == "ERROR" else None,
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        latency_s=None if took is None else took / 1000,
        started_at=_time(info.get("request_time") or info.get("timestamp_ms")),
    )
    builder.add_turns(run, case, epoch, turns)
    for each in sequence(info.get("assessments") or record.get("assessments")):
        _assess(builder, (run, case, epoch), line, mapping(each))


def _assess(builder: EvalsBuilder, trial: tuple[str, str, int], line: int, told: Any) -> None:
    name = as_text(told.get("assessment_name") or told.get("name"))
    if not name:
        builder.add_problem(line, f"an assessment without a name: {told!r:.60}")
        return
    if told.get("valid") is False:
        builder.ignore_fields("assessments that were overridden")
        return
    if told.get("expectation") is not None:
        if name in _EXPECTED:
            builder.add_case("", trial[1], **{_EXPECTED[name]: _expected(mapping(told["expectation"]))})
        else:
            builder.ignore_fields(f"expectation {name}")
        return
    feedback = mapping(told.get("feedback"))
    value, source = feedback.get("value"), mapping(told.get("source"))
    score, label = value, None
    if isinstance(value, str):
        label = value
        score = _YES_NO.get(value.strip().lower(), number(value))
    if isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in _YES_NO):
        builder.add_binary_criterion("", name)
        label = label or str(value).lower()
    wrong = feedback.get("error") or told.get("error")
    builder.add_score(
        *trial,
        name,
        line,
        grader=as_text(source.get("source_id")) or "",
        grader_kind=_KINDS.get(str(source.get("source_type") or "").upper()),
        score=score if isinstance(score, bool | int | float) else None,
        label=label if value is None or isinstance(value, str | bool | int | float) else as_text(value),
        rationale=as_text(told.get("rationale")),
        error=words(mapping(wrong).get("error_message") or wrong) if wrong else None,
        metadata=as_text(told.get("metadata")) if told.get("metadata") else None,
    )


def _expected(told: Any) -> str | None:
    """Return what was expected, a list as its lines; what is neither text nor number stands there as JSON."""
    value = told.get("value", decoded(mapping(told.get("serialized_value")).get("value")))
    return "\n".join(str(words(each)) for each in value) if isinstance(value, list) else words(value)


def _turns(asked: Any, answered: Any, spans: list[Any]) -> list[dict[str, Any]]:
    """Return the conversation of a trace: what was asked, each tool that ran, what was answered."""
    messages = mapping(asked).get("messages") or mapping(asked).get("input")
    turns = [message(m) for m in sequence(messages) if isinstance(m, dict)]
    if not turns and asked is not None:
        turns = [message({"role": "user", "content": words(asked)})]
    for span in spans:
        if str(_attribute(span, "mlflow.spanType")).upper() == "TOOL":
            call = {"name": span.get("name"), "arguments": _attribute(span, "mlflow.spanInputs")}
            turns.append(message({"role": "assistant", "tool_calls": [call]}))
            result = words(_attribute(span, "mlflow.spanOutputs"))
            turns.append(message({"role": "tool", "name": span.get("name"), "content": result}))
    if answered is not None:
        turns.append(message(dict(_reply(answered)) or {"role": "assistant", "content": words(answered)}))
    return turns


def _reply(answered: Any) -> Any:
    """Return the message of an answer that is a whole chat completion; of any other, an empty one."""
    choices = sequence(mapping(answered).get("choices"))
    return mapping(mapping(choices[0]).get("message")) if choices else {}


def _attribute(span: Any, name: str) -> Any:
    """Return an attribute of a span, decoded: MLflow writes each as JSON in a string."""
    return decoded(mapping(span.get("attributes")).get(name))


def _model(spans: list[Any]) -> str | None:
    for span in spans:
        asked = mapping(_attribute(span, "mlflow.spanInputs"))
        name = _attribute(span, "mlflow.llm.model") or asked.get("model")
        if isinstance(name, str):
            return name
    return None


def _error(root: Any) -> str:
    status = mapping(root.get("status"))
    return as_text(status.get("message") or root.get("status_message")) or "the trace ended in an error"


def _first(*values: Any) -> Any:
    """Return the first value that says something, decoded where it is JSON in a string."""
    return decoded(next((v for v in values if v not in (None, "")), None))


def _time(value: Any) -> Any:
    """Return a time: ISO 8601 text, or milliseconds since 1970."""
    milliseconds = number(value)
    if milliseconds is None:
        return as_text(value)
    return moment(milliseconds / 1000)


READERS: Final = (
    Reader("MLflow traces", is_json, read=read_json, alone=True),
    Reader("MLflow traces as Parquet", is_parquet, read=read_parquet, alone=True),
    Reader("MLflow traces as CSV", is_csv, read=read_csv, alone=True),
)
