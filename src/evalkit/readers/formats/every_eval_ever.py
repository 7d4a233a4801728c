"""Every Eval Ever: samples beside an aggregate per run, as evalkit exports them too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.json_text import as_text, decode
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, has_paths, has_records
from evalkit.readers.json_values import mapping, moment, sequence

if TYPE_CHECKING:
    from pathlib import Path

_SAMPLES: Final = "_samples"


def _aggregate_of(path: Path) -> Path:
    return path.with_name(f"{path.stem.removesuffix(_SAMPLES)}.json")


def _read_aggregate(path: Path, samples: Path) -> fields.Record:
    try:
        return mapping(decode(path.read_bytes())) if path != samples else {}
    except (OSError, ValueError):
        return {}


def _suite(record: fields.Record) -> str | None:
    name, criterion = as_text(record.get("evaluation_name")), as_text(record.get("evaluation_result_id"))
    return name.removesuffix(f"/{criterion}") if name else None


def _records(file: fields.RecordFile) -> fields.Records:
    beside = _aggregate_of(file.path)
    aggregate = _read_aggregate(beside, file.path)
    if not aggregate:
        file.note("missing", "No aggregate is beside it. Scales and the model are not known.")
    else:
        file.files = [str(file.path), str(beside)]
    results = [mapping(one) for one in sequence(aggregate.get("evaluation_results"))]
    configs = {as_text(one.get("evaluation_name")): mapping(one.get("metric_config")) for one in results}
    details = mapping(fields.get(aggregate, "model_info.additional_details"))
    started = as_text(aggregate.get("retrieved_timestamp")) or ""
    for line, record in file.records():
        suite, model = _suite(record), as_text(record.get("model_id")) or ""
        identity = as_text(record.get("evaluation_id")) or ""
        scale = configs.get(as_text(record.get("evaluation_name")), {})
        yield (
            line,
            {
                **record,
                "run": identity.removeprefix(f"{suite}/{model}/") or file.path.stem.removesuffix(_SAMPLES),
                "suite": None if suite == "unnamed" else suite,
                "agent": details.get("agent"),
                "agent_version": details.get("agent_version"),
                "started": int(started) if started.isdecimal() and started != "0" else None,
                "config": scale,
                "case": record.get("sample_id"),
                "epoch": _whole(fields.get(record, "metadata.epoch")),
            },
        )


def _whole(value: Any) -> int | None:
    text = as_text(value) or ""
    return int(text) if text.isdecimal() else None


def _turns(record: fields.Record) -> fields.Turns:
    messages = [mapping(one) for one in sequence(record.get("messages"))]
    if messages:
        return fields.chat_turns([_message(one) for one in messages])
    asked, answer = fields.get(record, "input.raw"), fields.get(record, "output.raw.0")
    return fields.as_turns("user", asked or None) + fields.as_turns("assistant", answer or None)


def _message(message: fields.Record) -> dict[str, Any]:
    answered = sequence(message.get("tool_call_id"))
    return {
        "role": message.get("role"),
        "content": message.get("content"),
        "reasoning": message.get("reasoning_trace"),
        "tool_calls": message.get("tool_calls"),
        "tool_call_id": answered[0] if answered else None,
    }


def _scale(score: fields.Record) -> dict[str, Any] | None:
    config = mapping(score.get("config"))
    if not config or config.get("additional_details"):
        return {}
    return {
        "scale_min": config.get("min_score"),
        "scale_max": config.get("max_score"),
        "kind": "binary" if config.get("score_type") == "binary" else None,
        "description": config.get("evaluation_description"),
        "direction": "lower" if config.get("lower_is_better") is True else None,
    }


SAMPLES: Final = RecordFormat(
    records=_records,
    required=("sample_id",),
    runs={
        "agent": "agent",
        "agent_version": ("agent_version", "run"),
        "model": fields.to(lambda name: None if name == "unknown" else name, "model_id"),
        "provider": fields.provider("model_id"),
        "started_at": fields.to(moment, "started"),
    },
    cases={
        "input": fields.to(lambda text: text or None, "input.raw"),
        "ideal_behavior": lambda record: fields.joined(sequence(fields.get(record, "input.reference"))),
        "severity": "metadata.severity",
    },
    trials={
        "error": "error",
        "input_tokens": "token_usage.input_tokens",
        "output_tokens": "token_usage.output_tokens",
        "latency_s": fields.seconds("performance.latency_ms"),
    },
    turns=_turns,
    scores=lambda record: [record],
    criterion="evaluation_result_id",
    criteria=_scale,
    score={
        "grader": fields.to(lambda name: name or "judge", "metadata.grader"),
        "grader_kind": fields.to(lambda kind: kind or "code", "metadata.grader_kind"),
        "score": "evaluation.score",
        "sample": lambda record: _whole(fields.get(record, "metadata.sample")),
        "rationale": "metadata.rationale",
    },
    on_repeat="score",
    counts_samples=True,
)


def _totals(file: fields.RecordFile) -> fields.Records:
    samples = file.path.with_name(f"{file.path.stem}{_SAMPLES}.jsonl")
    if samples.is_file():
        file.note("skipped", "The file has totals. The samples beside it are read.")
    else:
        file.builder.add_problem(None, "The file has totals alone. The scores are in its _samples.jsonl.")
    return ()


READERS: Final = (
    Reader(
        "Every Eval Ever samples",
        has_records("schema_version", "evaluation_id", "sample_id", "evaluation"),
        read=SAMPLES.read,
        whole=True,
        beside=True,
    ),
    Reader(
        "Every Eval Ever results",
        has_paths("schema_version", "evaluation_id", "evaluation_results", "model_info"),
        read=RecordFormat(records=_totals).read,
        describes=True,
        beside=True,
    ),
)
