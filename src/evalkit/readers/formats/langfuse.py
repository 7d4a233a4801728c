"""Langfuse: exported scores, and the item results of an experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.columns import as_text, decode, read_bytes
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.formats import csv as csv_file
from evalkit.readers.json_values import digest, mapping, number, severity_of, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from evalkit.data.evals import Evals

_KINDS: Final = {"ANNOTATION": "human", "EVAL": "judge", "API": "code"}
# Both spellings: the API's, and that of the SDK's objects.
_SCORE: Final = frozenset({"dataType", "source", "name", "value"})
_ITEM: Final = frozenset({"item", "evaluations", "output"})
_SUBJECTS: Final = ("traceId", "sessionId", "observationId")
_DROPPED: Final = ("queueId", "configId", "projectId")


def is_scores(path: Path, head: bytes) -> bool:
    """Whether its records are scores."""
    names = json_records.names(head)
    if names:
        return names >= _SCORE and bool({"traceId", "subject", "sessionId", "datasetRunId"} & names)
    first = head.split(b"\n", 1)[0].decode(errors="replace")
    columns = {name.strip('"\r ') for name in first.split(",")}
    return columns >= _SCORE and "traceId" in columns and csv_file.sniff(path, head)


def is_items(path: Path, head: bytes) -> bool:
    """Whether its records are the item results of an experiment."""
    names = json_records.names(head)
    return names >= _ITEM and bool({"trace_id", "dataset_run_id", "experiment_id", "traceId"} & names)


def read_scores(path: Path) -> Evals:
    """Read scores: the experiment (or the environment) is the run, the trace the case."""
    builder = EvalsBuilder(str(path))
    for line, record in _records(path, builder):
        subject = mapping(record.get("subject"))
        case = as_text(subject.get("traceId") or subject.get("id") or _first(record, _SUBJECTS))
        name = as_text(record.get("name"))
        if not case or not name:
            builder.add_problem(line, f"there is no {'name' if case else 'trace, session or observation'}")
            continue
        if subject.get("kind") == "experiment":
            builder.ignore_fields("scores of a whole experiment")
            continue
        run = as_text(record.get("datasetRunId") or record.get("environment")) or json_records.run_name(path)
        kind = str(record.get("dataType") or "").upper()
        if kind in ("TEXT", "CORRECTION"):
            builder.ignore_fields(f"scores of the type {kind}")
            continue
        if kind == "BOOLEAN":
            builder.add_binary_criterion("", name)
        said = as_text(record.get("stringValue"))
        builder.add_score(
            run,
            case,
            1,
            name,
            line,
            grader=as_text(record.get("authorUserId") or record.get("source")) or "",
            grader_kind=_KINDS.get(str(record.get("source") or "").upper()),
            sample=builder.next_sample(
                run, case, 1, name, as_text(record.get("authorUserId") or record.get("source"))
            ),
            score=None if kind == "CATEGORICAL" and said else _value(record.get("value")),
            label=said if said is not None else _label(record.get("value")),
            rationale=as_text(record.get("comment")),
            metadata=as_text(record.get("metadata")) if mapping(record.get("metadata")) else None,
        )
        builder.ignore_fields(*(each for each in _DROPPED if record.get(each) is not None))
    return builder.build()


def read_items(path: Path) -> Evals:
    """Read the item results of an experiment: a dataset item is a case."""
    builder = EvalsBuilder(str(path))
    names = _experiment(path)
    for line, record in json_records.read(path, builder, within="item_results"):
        item = mapping(record.get("item"))
        asked = item.get("input")
        case = as_text(item.get("id")) or digest(asked)
        held = record.get("dataset_run_id") or record.get("experiment_id")
        run = as_text(names.get("run_name") or held) or json_records.run_name(path)
        builder.add_run(run, agent_version=as_text(names.get("name")))
        epoch = builder.next_epoch(run, case)
        wanted = item.get("expected_output", item.get("expectedOutput"))
        builder.add_case(
            "",
            case,
            input=words(asked),
            ideal_behavior=words(wanted),
            severity=severity_of(item.get("metadata")),
        )
        builder.add_trial(run, case, epoch, line, output=words(record.get("output")))
        for each in map(mapping, record.get("evaluations") or ()):
            name, value = as_text(each.get("name")), each.get("value")
            if not name:
                builder.add_problem(line, f"an evaluation without a name: {each!r:.60}")
                continue
            kind = str(each.get("data_type") or each.get("dataType") or "").upper()
            if kind == "BOOLEAN" or isinstance(value, bool):
                builder.add_binary_criterion("", name)
            builder.add_score(
                run,
                case,
                epoch,
                name,
                line,
                score=_value(value),
                label=_label(value),
                rationale=as_text(each.get("comment")),
                metadata=as_text(each.get("metadata")) if each.get("metadata") else None,
            )
    return builder.build()


def _records(path: Path, builder: EvalsBuilder) -> Iterable[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        start = file.read(1 << 16)
    if json_records.names(start):
        return json_records.read(path, builder, within="data")
    raw = csv_file.rows(path)
    builder.problems += raw.problems
    return ((row["line"], row) for row in raw.frame.iter_rows(named=True))


def _experiment(path: Path) -> Mapping[str, Any]:
    """Return what the result of an experiment says of itself; nothing where the file holds its items alone."""
    try:
        return mapping(decode(read_bytes(path)))
    except ValueError:
        return {}


def _value(value: Any) -> float | bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).lower(), number(value))


def _label(value: Any) -> str | None:
    """Return a value that is no number as a label."""
    return None if value is None or _value(value) is not None else words(value)


def _first(record: dict[str, Any], names: Iterable[str]) -> Any:
    return next((record[name] for name in names if record.get(name)), None)


READERS: Final = (
    Reader("Langfuse scores", is_scores, read=read_scores, alone=True),
    Reader("Langfuse experiment items", is_items, read=read_items, alone=True),
)
