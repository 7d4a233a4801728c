"""LangSmith experiments as `to_pandas` or the page's CSV gives them, and feedback objects beside them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader, head
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.formats import csv as csv_file
from evalkit.readers.json_values import decoded, mapping, number, sequence, severity_of, words
from evalkit.readers.score_table import RECORD

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evalkit.data.evals import Evals

_FEEDBACK: Final = frozenset({"run_id", "key", "feedback_source"})
_EXPERIMENT: Final = frozenset({"example_id", "execution_time"})
_KINDS: Final = {"app": "human", "human": "human", "model": "judge", "api": "code", "auto_eval": "judge"}
_OWN: Final = ("error", "execution_time", "example_id", "id", "line", RECORD)
_LONGEST: Final = 1 << 20


def is_table(path: Path, head: bytes) -> bool:
    """Whether it is an experiment: CSV, Parquet or JSON with its columns."""
    if head.startswith(b"PAR1"):
        try:
            return _is_experiment(pl.read_parquet_schema(path))
        except (pl.exceptions.PolarsError, OSError):
            return False
    names = json_records.names(head)
    if names:
        return _is_experiment(names)
    first = head.split(b"\n", 1)[0].decode(errors="replace")
    return csv_file.sniff(path, head) and _is_experiment(
        [name.strip('"\r ') for name in first.replace("\t", ",").split(",")]
    )


def is_feedback(path: Path, head: bytes) -> bool:
    """Whether its records are feedback objects."""
    return json_records.names(head) >= _FEEDBACK


def read_table(path: Path) -> Evals:
    """Read an experiment: a row is an attempt at an example, `feedback.KEY` a score.

    Feedback objects in the same folder that speak of its rows take the place of its feedback columns: they say
    who gave it, and why.
    """
    builder = EvalsBuilder(str(path))
    run = json_records.run_name(path)
    beside = _feedback_beside(path)
    given: dict[str, bool] = {}
    for line, row in _rows(path, builder):
        case = as_text(row.get("example_id"))
        if not case:
            builder.add_problem(line, "there is no example_id")
            continue
        asked, answered, wanted = (_part(row, name) for name in ("inputs", "outputs", "reference"))
        epoch = builder.next_epoch(run, case)
        builder.add_case(
            "", case, input=words(asked), ideal_behavior=words(wanted), severity=severity_of(asked)
        )
        builder.add_trial(
            run,
            case,
            epoch,
            line,
            output=words(answered),
            error=as_text(row.get("error")),
            latency_s=number(row.get("execution_time")),
        )
        messages = mapping(answered).get("messages")
        builder.add_turns(run, case, epoch, [message(m) for m in sequence(messages) if isinstance(m, dict)])
        objects = beside.get(as_text(row.get("id")) or "", [])
        for each in objects:
            _feedback(builder, (run, case, epoch), line, each)
        told = {str(each.get("key")) for each in objects}
        for name, value in row.items():
            key = name.removeprefix("feedback.")
            if key != name:
                given[key] = given.get(key, False) or key in told or value not in (None, "")
            if key != name and value not in (None, "") and key not in told:
                _feedback(builder, (run, case, epoch), line, {"key": key, "score": decoded(value)})
        builder.ignore_fields(
            *(name for name in row if "." not in name and name not in _OWN and row[name] is not None)
        )
    builder.notes += [
        f"{path}: feedback.{key} is empty in every row: its evaluator failed, or gave neither score nor value."
        for key, any_given in given.items()
        if not any_given
    ]
    return builder.build()


def read_feedback(path: Path) -> Evals:
    """Read feedback objects alone: what they are about is told only by the experiment beside them."""
    builder = EvalsBuilder(str(path))
    told = _runs_beside(path)
    alone = False
    for line, each in json_records.read(path, builder):
        trial = as_text(each.get("run_id"))
        if not trial:
            builder.add_problem(line, "there is no run_id")
        elif trial not in told:
            alone = True
            run = as_text(each.get("session_id")) or json_records.run_name(path)
            _feedback(builder, (run, trial, 1), line, each)
    if alone:
        builder.notes.append(
            f"{path}: the experiment of some feedback is not beside it: its run_id is the case."
        )
    if told:
        builder.notes.append(f"{path}: feedback on the rows of the experiment beside it was read with that.")
    return builder.build()


def _feedback(builder: EvalsBuilder, trial: tuple[str, str, int], line: int, each: Any) -> None:
    score, value = each.get("score"), each.get("value")
    source = mapping(each.get("feedback_source"))
    score = value if score is None and isinstance(value, bool | int | float) else score
    if isinstance(score, bool) or str(score) in ("True", "False"):
        score = str(score) == "True"
        builder.add_binary_criterion("", str(each.get("key")))
    correction = each.get("correction")
    builder.add_score(
        *trial,
        str(each.get("key")),
        line,
        grader=as_text(mapping(source.get("metadata")).get("evaluator") or source.get("type")) or "",
        grader_kind=_KINDS.get(str(source.get("type") or "").lower()),
        score=score if isinstance(score, bool) else number(score),
        label=as_text(score if isinstance(score, str) and number(score) is None else value),
        rationale=as_text(each.get("comment")),
        metadata=as_text({"correction": correction}) if correction else None,
    )


def _rows(path: Path, builder: EvalsBuilder) -> Iterable[tuple[int, dict[str, Any]]]:
    data = head(path)
    if data.startswith(b"PAR1"):
        return enumerate(pl.read_parquet(path).iter_rows(named=True), 1)
    if json_records.names(data):
        return json_records.read(path, builder)
    raw = csv_file.rows(path)
    builder.problems += raw.problems
    return ((row["line"], row) for row in raw.frame.iter_rows(named=True))


def _part(row: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return the columns `name.*` as one object; None where all of them are empty."""
    whole = mapping(row.get(name))
    parts = {key.removeprefix(f"{name}."): _object(v) for key, v in row.items() if key.startswith(f"{name}.")}
    made = {key: value for key, value in {**whole, **parts}.items() if value not in (None, "")}
    return made or None


def _object(value: Any) -> Any:
    """Return what a text holds that is JSON, or the list or dict that pandas wrote into a CSV as Python would."""
    made = decoded(value)
    if not isinstance(made, str) or made[:1] not in ("[", "{") or len(made) > _LONGEST:
        return made
    try:
        return ast.literal_eval(made)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return made


def _feedback_beside(path: Path) -> dict[str, list[Any]]:
    """Return the feedback objects in the folder of an experiment, by the run they are about."""
    by_run: dict[str, list[Any]] = {}
    for other in sorted(path.parent.glob("*.json*")):
        if other != path and other.is_file() and is_feedback(other, head(other)):
            for _, each in json_records.read(other, EvalsBuilder(str(other))):
                by_run.setdefault(as_text(each.get("run_id")) or "", []).append(each)
    return by_run


def _runs_beside(path: Path) -> set[str]:
    """Return the runs that the experiments in the same folder speak of: their feedback is read with them."""
    told: set[str] = set()
    for other in sorted(path.parent.iterdir()):
        if other != path and other.is_file() and is_table(other, head(other)):
            told |= {as_text(row.get("id")) or "" for _, row in _rows(other, EvalsBuilder(str(other)))}
    return told


def _is_experiment(names: Iterable[str]) -> bool:
    have = set(names)
    wide = any(name.startswith(("inputs", "outputs")) for name in have)
    return have >= _EXPERIMENT and wide


READERS: Final = (
    Reader("LangSmith experiment", is_table, read=read_table, beside=True),
    Reader("LangSmith feedback", is_feedback, read=read_feedback, beside=True),
)
