"""Langfuse: exported scores, and the item results of an experiment."""

from __future__ import annotations

from typing import Any, Final

from evalkit.data.json_text import as_text, decode, read_bytes
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, has_keys
from evalkit.readers.json_values import mapping, number, words

_KINDS: Final = {"ANNOTATION": "human", "EVAL": "judge", "API": "code"}
_SUBJECT: Final = ("subject.traceId", "subject.id", "traceId", "sessionId", "observationId")
_TYPE: Final = fields.to(lambda value: str(value or "").upper(), "data_type", "dataType")


def _scores(file: fields.RecordFile) -> fields.Records:
    for line, record in file.records(within="data"):
        if fields.get(record, "subject.kind") == "experiment":
            file.builder.ignore_fields("scores of a whole experiment")
        elif _TYPE(record) in ("TEXT", "CORRECTION"):
            file.builder.ignore_fields(f"scores of the type {_TYPE(record)}")
        else:
            yield line, record


def _items(file: fields.RecordFile) -> fields.Records:
    try:
        experiment = mapping(decode(read_bytes(file.path)))
    except ValueError:
        experiment = {}
    names = {"run_name": experiment.get("run_name"), "experiment_name": experiment.get("name")}
    for line, record in file.records(within="item_results"):
        yield line, {**record, **names}


def _value(value: Any) -> float | bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).lower(), number(value))


def _score(score: fields.Record) -> Any:
    is_category = _TYPE(score) == "CATEGORICAL" and score.get("stringValue")
    return None if is_category else _value(score.get("value"))


def _label(score: fields.Record) -> str | None:
    label, value = as_text(score.get("stringValue")), score.get("value")
    return label if label is not None or value is None or _value(value) is not None else words(value)


_COLUMNS: Final[fields.Fields] = {
    "score": _score,
    "label": _label,
    "rationale": "comment",
    "metadata": fields.not_empty("metadata"),
}

SCORES: Final = RecordFormat(
    records=_scores,
    required=(("traceId", *_SUBJECT), "name"),
    run=("datasetRunId", "environment"),
    case=_SUBJECT,
    epoch=fields.always(1),
    trials=None,
    scores=lambda record: [record],
    true_or_false=lambda score: _TYPE(score) == "BOOLEAN",
    score={
        **_COLUMNS,
        "grader": ("authorUserId", "source"),
        "grader_kind": fields.choice(_KINDS, "source"),
    },
    counts_samples=True,
    ignored=("queueId", "configId", "projectId"),
)
ITEMS: Final = RecordFormat(
    records=_items,
    run=("run_name", "dataset_run_id", "experiment_id"),
    case=fields.id_or_digest("item.id", "item.input"),
    runs={"agent_version": "experiment_name"},
    cases={
        "input": fields.words("item.input"),
        "ideal_behavior": fields.words("item.expected_output", "item.expectedOutput"),
        "severity": fields.severity("item.metadata"),
    },
    trials={"output": fields.reply("output")},
    turns=lambda record: fields.exchange(fields.get(record, "item.input"), record.get("output")),
    scores="evaluations",
    true_or_false=lambda score: _TYPE(score) == "BOOLEAN" or isinstance(score.get("value"), bool),
    score=_COLUMNS,
)

READERS: Final = (
    Reader(
        "Langfuse scores",
        has_keys(
            *("dataType", "source", "name", "value"),
            any_of=("traceId", "subject", "sessionId", "datasetRunId"),
        ),
        read=SCORES.read,
        alone=True,
    ),
    Reader(
        "Langfuse experiment items",
        has_keys(
            *("item", "evaluations", "output"),
            any_of=("trace_id", "dataset_run_id", "experiment_id", "traceId", "dataset_item_id"),
        ),
        read=ITEMS.read,
        alone=True,
    ),
)
