"""Inspect Scout: scan results, one Parquet file per scanner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, key_names
from evalkit.readers.json_values import counter, mapping, number, sequence

if TYPE_CHECKING:
    from pathlib import Path

_NEEDED: Final = frozenset({"transcript_id", "scanner_key", "value", "value_type"})
_COLUMNS: Final = (
    *_NEEDED,
    *("transcript_source_id", "transcript_task_set", "transcript_task_id", "transcript_task_repeat"),
    *("transcript_agent", "transcript_model", "transcript_metadata", "transcript_error", "transcript_date"),
    *("scan_id", "scan_model_usage", "scan_error", "label", "answer", "explanation", "metadata", "uuid"),
    *("message_references", "validation_target", "validation_result"),
)
_IGNORED: Final = ("_scan.json", "_summary.json", "_errors.jsonl")
_BOOLEANS: Final = {"true": True, "false": False}


def is_scan(path: Path, data: bytes) -> bool:
    """Whether a folder is a scan."""
    return path.is_dir() and (path / "_scan.json").is_file()


def is_results(path: Path, data: bytes) -> bool:
    """Whether a file has the results of a scanner."""
    return data.startswith(b"PAR1") and key_names(path, data) >= _NEEDED


def _rows(file: fields.RecordFile) -> fields.Records:
    paths = [file.path]
    if file.path.is_dir():
        paths = sorted(file.path.glob("*.parquet"))
        file.files = [str(path) for path in paths]
        file.builder.ignore_fields(*(name for name in _IGNORED if (file.path / name).is_file()))
    for path in paths:
        try:
            names = pl.read_parquet_schema(path)
            frame = pl.read_parquet(path, columns=[name for name in _COLUMNS if name in names])
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            file.builder.add_problem(
                None, f"{path.name} is not readable Parquet: {str(error).splitlines()[0]}."
            )
            continue
        for line, row in enumerate(frame.iter_rows(named=True), 1):
            if row.get("value_type") == "array":
                file.builder.ignore_fields(f"the list that {row.get('scanner_key')} gives")
            yield line, row


def _scores(row: fields.Record) -> list[fields.Record]:
    """Return each result with the human label expected of the scanner."""
    scores: list[fields.Record] = []
    models = list(mapping(row.get("scan_model_usage")))
    model = models[0] if len(models) == 1 else None
    target = row.get("validation_target")
    for name, value, details in _values(row):
        own = {"grader": model or "scout", "kind": "judge" if models else "code", "judge_model": model}
        scores.append({**row, **details, **own, "name": name, "value": value})
        if target not in (None, "null"):
            expected = _BOOLEANS.get(str(target).lower(), number(target))
            label = (as_text(target) or "").strip('"')
            person = {"grader": "validation", "kind": "human"}
            scores.append({**person, "name": name, "value": expected, "label": label})
    return scores


def _values(row: fields.Record) -> list[tuple[str, Any, fields.Record]]:
    """Return a scanner's criteria: one, one per key, or one per label of a result set."""
    scanner, kind, value = as_text(row["scanner_key"]) or "", row.get("value_type"), row.get("value")
    if kind == "object":
        return [(f"{scanner}/{name}", each, {}) for name, each in mapping(value).items()]
    if kind == "resultset":
        details = ("answer", "explanation", "metadata")
        return [
            (
                f"{scanner}/{each['label']}" if each.get("label") else scanner,
                each.get("value"),
                {name: each.get(name) for name in details},
            )
            for each in map(mapping, sequence(value))
        ]
    if kind == "array":
        return [(scanner, None, {})]
    if kind == "boolean":
        return [(scanner, _BOOLEANS.get(str(value).lower()), {})]
    return [(scanner, number(value) if kind == "number" else value, {})]


def _label(score: fields.Record) -> Any:
    is_own = score["kind"] != "human" and isinstance(score["value"], str | bool)
    return score["value"] if is_own else score.get("label")


def _metadata(score: fields.Record) -> dict[str, Any] | None:
    details = {name: score.get(name) for name in ("message_references", "uuid") if score.get(name) != "[]"}
    details["scanner"] = mapping(score.get("metadata"))
    return {name: value for name, value in details.items() if value} or None


RESULTS: Final = RecordFormat(
    records=_rows,
    required=("scanner_key", "transcript_id"),
    # A transcript of an Inspect log has the log's run, case and epoch.
    run=lambda row: fields.get(row, ("transcript_source_id", "scan_id")) or "scan",
    suite=("transcript_task_set", "transcript_metadata.task_name"),
    case=("transcript_task_id", "transcript_metadata.id", "transcript_id"),
    epoch=lambda row: counter(fields.get(row, ("transcript_task_repeat", "transcript_metadata.epoch"))) or 1,
    runs={
        "model": ("transcript_model", "transcript_metadata.model"),
        "agent": ("transcript_agent", "transcript_metadata.solver"),
    },
    trials={"error": "transcript_error", "started_at": "transcript_date"},
    scores=_scores,
    true_or_false=lambda score: score["kind"] != "human" and isinstance(score["value"], bool),
    score={
        "grader": "grader",
        "grader_kind": "kind",
        "score": fields.to(lambda value: value if isinstance(value, bool | int | float) else None, "value"),
        "label": _label,
        "answer": "answer",
        "rationale": "explanation",
        "error": "scan_error",
        "judge_model": "judge_model",
        "metadata": _metadata,
    },
    counts_samples=True,
    on_repeat="score",
)

READERS: Final = (
    Reader("Scout scan", is_scan, read=RESULTS.read, alone=True),
    Reader("Scout results", is_results, read=RESULTS.read, alone=True),
)
