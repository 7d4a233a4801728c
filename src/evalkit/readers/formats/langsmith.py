"""LangSmith experiments: `to_pandas`, CSV exports, and feedback objects."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import RECORD, Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, has_keys, key_names
from evalkit.readers.json_values import decoded, mapping, number

if TYPE_CHECKING:
    from pathlib import Path

_KINDS: Final = {"APP": "human", "HUMAN": "human", "MODEL": "judge", "API": "code", "AUTO_EVAL": "judge"}
_OWN: Final = ("error", "execution_time", "example_id", "id", "line", RECORD)
_FEEDBACK: Final = "feedback."
_MAX_LITERAL: Final = 1 << 20

is_feedback = has_keys("run_id", "key", "feedback_source")


def is_experiment(path: Path, data: bytes) -> bool:
    """Whether a file has the columns of an experiment."""
    names = key_names(path, data)
    is_wide = any(name.startswith(("inputs", "outputs")) for name in names)
    return is_wide and {"example_id", "execution_time"} <= names


def _rows(file: fields.RecordFile) -> fields.Records:
    """Yield rows with their feedback; feedback objects in the folder replace columns."""
    objects: dict[str, list[Any]] = {}
    for _, each in (pair for other in file.others(is_feedback, "*.json*") for pair in other.records()):
        objects.setdefault(as_text(each.get("run_id")) or "", []).append(each)
    has_values: dict[str, bool] = {}
    for line, row in file.records():
        feedback = list(objects.get(as_text(row.get("id")) or "", []))
        replaced = {str(each.get("key")) for each in feedback}
        for name, value in row.items():
            if name.startswith(_FEEDBACK):
                key, is_given = name.removeprefix(_FEEDBACK), value not in (None, "")
                has_values[key] = has_values.get(key, False) or key in replaced or is_given
                if is_given and key not in replaced:
                    feedback.append({"key": key, "score": decoded(value)})
            elif "." not in name and name not in _OWN and value is not None:
                file.builder.ignore_fields(name)
        parts = {name: _part(row, name) for name in ("inputs", "outputs", "reference")}
        yield line, {**row, **parts, "feedback": feedback}
    for key in (key for key, any_value in has_values.items() if not any_value):
        file.note(
            "unscored",
            f"feedback.{key} is empty in every row. Its evaluator failed, or gave no score and no value.",
        )


def _feedback_alone(file: fields.RecordFile) -> fields.Records:
    rows = {
        as_text(row.get("id")) or "" for other in file.others(is_experiment) for _, row in other.records()
    }
    for line, each in file.records():
        run_id = as_text(each.get("run_id"))
        if run_id not in rows:
            yield line, each
            if run_id:
                file.note(
                    "default",
                    "The experiment of some feedback is not in the same folder. Its run_id is the case.",
                )
    if rows:
        file.note("skipped", "Feedback on the rows of an experiment in the same folder was read with that.")


def _part(row: fields.Record, name: str) -> dict[str, Any] | None:
    """Return the columns `name.*` as one object; None if all are empty."""
    prefix = f"{name}."
    columns = {key.removeprefix(prefix): _object(v) for key, v in row.items() if key.startswith(prefix)}
    parts = {**mapping(row.get(name)), **columns}
    return {key: value for key, value in parts.items() if value not in (None, "")} or None


def _object(value: Any) -> Any:
    """Decode JSON text, or the Python literal that pandas wrote into a CSV."""
    value = decoded(value)
    if not isinstance(value, str) or value[:1] not in ("[", "{") or len(value) > _MAX_LITERAL:
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return value


def _judged(feedback: fields.Record) -> dict[str, Any]:
    score, value = feedback.get("score"), feedback.get("value")
    if score is None and isinstance(value, bool | int | float):
        score = value
    if str(score) in ("True", "False"):
        return {**feedback, "score": str(score) == "True", "label": value}
    is_label = isinstance(score, str) and number(score) is None
    return {**feedback, "score": number(score), "label": score if is_label else value}


EXPERIMENT: Final = RecordFormat(
    records=_rows,
    required=("example_id",),
    case="example_id",
    cases={
        "input": fields.words("inputs"),
        "ideal_behavior": fields.words("reference"),
        "severity": fields.severity("inputs"),
    },
    trials={
        "output": fields.reply("outputs"),
        "error": "error",
        "latency_s": fields.to(number, "execution_time"),
    },
    turns=lambda row: fields.exchange(row["inputs"], row["outputs"]),
    scores=lambda row: map(_judged, row["feedback"]),
    criterion="key",
    true_or_false=lambda feedback: isinstance(feedback["score"], bool),
    score={
        "grader": ("feedback_source.metadata.evaluator", "feedback_source.type"),
        "grader_kind": fields.choice(_KINDS, "feedback_source.type"),
        **fields.same("score", "label"),
        "rationale": "comment",
        "metadata": fields.to(lambda value: {"correction": value} if value else None, "correction"),
    },
)
FEEDBACK: Final = replace(
    EXPERIMENT,
    records=_feedback_alone,
    required=("run_id",),
    run="session_id",
    case="run_id",
    epoch=fields.always(1),
    cases={},
    trials=None,
    scores=lambda feedback: [_judged(feedback)],
)

READERS: Final = (
    Reader("LangSmith experiment", is_experiment, read=EXPERIMENT.read, beside=True),
    Reader("LangSmith feedback", is_feedback, read=FEEDBACK.read, beside=True),
)
