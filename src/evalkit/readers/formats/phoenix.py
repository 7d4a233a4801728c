"""Phoenix experiments: the JSON and the CSV of their downloads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.formats import csv as csv_file
from evalkit.readers.json_values import counter, decoded, mapping, number, sequence, severity_of, words

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evalkit.data.evals import Evals

_KINDS: Final = {"LLM": "judge", "HUMAN": "human", "CODE": "code"}
_COLUMN: Final = re.compile(
    r"annotation_(.+)_(label|score|explanation|metadata|annotator_kind|trace_id|error|start_time|end_time)$"
)
_DROPPED: Final = ("trace_id", "end_time", "annotations.start_time", "annotations.end_time")


def is_json(path: Path, head: bytes) -> bool:
    """Whether its records are of an experiment."""
    return {"example_id", "repetition_number"} <= json_records.names(head)


def is_csv(path: Path, head: bytes) -> bool:
    """Whether its header is that of an experiment."""
    first = head.split(b"\n", 1)[0]
    return b"example_id" in first and b"repetition_number" in first and csv_file.sniff(path, head)


def read_json(path: Path) -> Evals:
    """Read an experiment as JSON: a run, with an example a case and a repetition an epoch."""
    builder = EvalsBuilder(str(path))
    _take(builder, json_records.run_name(path), json_records.read(path, builder))
    return builder.build()


def read_csv(path: Path) -> Evals:
    """Read an experiment as CSV: the annotations stand in columns, objects in JSON."""
    raw = csv_file.rows(path)
    builder = EvalsBuilder(str(path), problems=list(raw.problems))
    records = ((row["line"], _from_columns(row)) for row in raw.frame.iter_rows(named=True))
    _take(builder, json_records.run_name(path), records)
    return builder.build()


def _take(builder: EvalsBuilder, run: str, records: Iterable[tuple[int, dict[str, Any]]]) -> None:
    for line, record in records:
        case = as_text(record.get("example_id"))
        if not case:
            builder.add_problem(line, "there is no example_id")
            continue
        asked, metadata = mapping(record.get("input")), mapping(record.get("metadata"))
        builder.add_case(
            "",
            case,
            input=words(decoded(record.get("input"))),
            ideal_behavior=words(decoded(record.get("reference_output"))),
            severity=severity_of(metadata, asked),
        )
        epoch = counter(record.get("repetition_number")) or builder.next_epoch(run, case)
        output = decoded(record.get("output"))
        latency = number(record.get("latency_ms"))
        builder.add_trial(
            run,
            case,
            epoch,
            line,
            output=words(output),
            error=as_text(record.get("error")),
            input_tokens=record.get("prompt_token_count"),
            output_tokens=record.get("completion_token_count"),
            latency_s=None if latency is None else latency / 1000,
            started_at=record.get("start_time"),
        )
        messages = mapping(output).get("messages")
        if isinstance(messages, list):
            builder.add_turns(run, case, epoch, [message(m) for m in messages if isinstance(m, dict)])
        for note in sequence(record.get("annotations")):
            _score(builder, (run, case, epoch), line, note)
        builder.ignore_fields(*(name for name in _DROPPED if record.get(name) is not None))


def _score(builder: EvalsBuilder, trial: tuple[str, str, int], line: int, note: Any) -> None:
    if not isinstance(note, dict) or not note.get("name"):
        builder.add_problem(line, f"an annotation without a name: {note!r:.60}")
        return
    name, told = str(note["name"]), mapping(note.get("metadata"))
    if note.get("label") in ("True", "False"):  # what an evaluator that returns a bool gets for a label
        builder.add_binary_criterion("", name)
    kind = _KINDS.get(str(note.get("annotator_kind") or "").upper())
    builder.add_score(
        *trial,
        name,
        line,
        grader=str(note.get("annotator_kind") or "").lower(),
        grader_kind=kind,
        score=note.get("score") if number(note.get("score")) is None else number(note["score"]),
        label=as_text(note.get("label")),
        rationale=as_text(note.get("explanation")),
        error=as_text(note.get("error")),
        metadata=as_text(told) if told else None,
    )


def _from_columns(row: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the CSV as the record that the JSON has."""
    notes: dict[str, dict[str, Any]] = {}
    record: dict[str, Any] = {}
    for name, value in row.items():
        hit = _COLUMN.match(name)
        if hit is None:
            record[name] = value
        elif value is not None:
            notes.setdefault(hit[1], {"name": hit[1]})[hit[2]] = value
    record["annotations"] = list(notes.values())
    return record


READERS: Final = (
    Reader("Phoenix experiment", is_json, read=read_json, alone=True),
    Reader("Phoenix experiment as CSV", is_csv, read=read_csv, alone=True),
)
