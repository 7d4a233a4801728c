"""Phoenix experiments: downloaded JSON and CSV."""

from __future__ import annotations

import re
from typing import Any, Final

from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, has_keys
from evalkit.readers.json_values import number

_COLUMN: Final = re.compile(
    r"annotation_(.+)_(label|score|explanation|metadata|annotator_kind|trace_id|error|start_time|end_time)$"
)


def _records(file: fields.RecordFile) -> fields.Records:
    for line, record in file.records():
        yield line, record if "annotations" in record else _from_columns(record)


def _from_columns(row: fields.Record) -> fields.Record:
    annotations: dict[str, dict[str, Any]] = {}
    for name, value in row.items():
        match = _COLUMN.match(name)
        if match is not None and value is not None:
            annotations.setdefault(match[1], {"name": match[1]})[match[2]] = value
    return {**row, "annotations": list(annotations.values())}


def _score(score: Any) -> Any:
    return score if number(score) is None else number(score)


PHOENIX: Final = RecordFormat(
    records=_records,
    required=("example_id",),
    case="example_id",
    epoch="repetition_number",
    cases={
        "input": fields.decoded_words("input"),
        "ideal_behavior": fields.decoded_words("reference_output"),
        "severity": fields.severity("metadata", "input"),
    },
    trials={
        "output": fields.decoded_words("output"),
        "error": "error",
        "input_tokens": "prompt_token_count",
        "output_tokens": "completion_token_count",
        "latency_s": fields.seconds("latency_ms"),
        "started_at": "start_time",
    },
    turns=lambda record: fields.exchange(record.get("input"), record.get("output")),
    scores="annotations",
    # Labels of an evaluator that returns a bool.
    true_or_false=lambda annotation: annotation.get("label") in ("True", "False"),
    score={
        "grader": fields.to(lambda kind: str(kind or "").lower(), "annotator_kind"),
        "grader_kind": fields.choice({"LLM": "judge", "HUMAN": "human", "CODE": "code"}, "annotator_kind"),
        "score": fields.to(_score, "score"),
        "label": "label",
        "rationale": "explanation",
        "error": "error",
        "metadata": fields.not_empty("metadata"),
    },
    ignored=("trace_id", "end_time"),
)

READERS: Final = (
    Reader("Phoenix experiment", has_keys("example_id", "repetition_number"), read=PHOENIX.read, alone=True),
)
