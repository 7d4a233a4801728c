"""Inspect Scout: the results of a scan, a Parquet file a scanner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.columns import as_text
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_values import counter, mapping, number, sequence

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_NEEDED: Final = frozenset({"transcript_id", "scanner_key", "value", "value_type"})
_WANTED: Final = (
    *_NEEDED,
    *("transcript_source_id", "transcript_task_set", "transcript_task_id", "transcript_task_repeat"),
    *("transcript_agent", "transcript_model", "transcript_metadata", "transcript_error", "transcript_date"),
    *("scan_id", "scan_model_usage", "scan_error", "label", "answer", "explanation", "metadata", "uuid"),
    *("message_references", "validation_target", "validation_result"),
)
_HELD: Final = ("_scan.json", "_summary.json", "_errors.jsonl")


def is_scan(path: Path, head: bytes) -> bool:
    """Whether it is the folder of a scan."""
    return path.is_dir() and (path / "_scan.json").is_file()


def is_results(path: Path, head: bytes) -> bool:
    """Whether it is the Parquet file of a scanner."""
    if not head.startswith(b"PAR1"):
        return False
    try:
        return set(pl.read_parquet_schema(path)) >= _NEEDED
    except (pl.exceptions.PolarsError, OSError):
        return False


def read_scan(path: Path) -> Evals:
    """Read a scan: a scanner is a criterion, a transcript's eval the run."""
    builder = EvalsBuilder(str(path))
    files = sorted(path.glob("*.parquet"))
    for file in files:
        _read(builder, file)
    builder.ignore_fields(*(name for name in _HELD if (path / name).is_file()))
    return builder.build(files=[str(file) for file in files] or [str(path)])


def read_results(path: Path) -> Evals:
    """Read the results of one scanner."""
    builder = EvalsBuilder(str(path))
    _read(builder, path)
    return builder.build()


def _read(builder: EvalsBuilder, path: Path) -> None:
    try:
        have = pl.read_parquet_schema(path)
        frame = pl.read_parquet(path, columns=[name for name in _WANTED if name in have])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        builder.add_problem(None, f"{path.name} is not readable Parquet: {str(error).splitlines()[0]}")
        return
    for line, row in enumerate(frame.iter_rows(named=True), 1):
        _take(builder, line, row)


def _take(builder: EvalsBuilder, line: int, row: dict[str, Any]) -> None:
    told = mapping(row.get("transcript_metadata"))
    scanner, trial = as_text(row.get("scanner_key")), as_text(row.get("transcript_id"))
    if not scanner or not trial:
        builder.add_problem(line, "there is no scanner_key" if trial else "there is no transcript_id")
        return
    # A transcript out of an Inspect log is the sample of an eval: the same run, case and epoch as the log's own.
    run = as_text(row.get("transcript_source_id")) or as_text(row.get("scan_id")) or "scan"
    case = as_text(row.get("transcript_task_id") or told.get("id")) or trial
    epoch = counter(row.get("transcript_task_repeat") or told.get("epoch")) or 1
    suite = as_text(row.get("transcript_task_set") or told.get("task_name")) or ""
    builder.add_run(
        run,
        suite=suite,
        model=as_text(row.get("transcript_model") or told.get("model")),
        agent=as_text(row.get("transcript_agent") or told.get("solver")),
    )
    builder.add_case(suite, case)
    key = (run, case, epoch)
    if builder.next_sample(*key) == 1:
        builder.add_trial(
            *key, line, error=as_text(row.get("transcript_error")), started_at=row.get("transcript_date")
        )
    for criterion, value, more in _values(builder, scanner, line, row):
        _score(builder, suite, key, criterion, line, value, {**row, **more})


def _values(
    builder: EvalsBuilder, scanner: str, line: int, row: dict[str, Any]
) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return what a scanner found as criteria: one, one a key of an object, or one a label of a set of results."""
    kind, value = row.get("value_type"), row.get("value")
    if kind == "object":
        return [(f"{scanner}/{name}", one, {}) for name, one in mapping(value).items()]
    if kind == "resultset":
        made = []
        for one in map(mapping, sequence(value)):
            name = f"{scanner}/{one['label']}" if one.get("label") else scanner
            made.append(
                (name, one.get("value"), {k: one.get(k) for k in ("answer", "explanation", "metadata")})
            )
        return made
    if kind == "array":
        builder.ignore_fields(f"the list that {scanner} gives")
        return [(scanner, None, {})]
    if kind == "boolean":
        value = {"true": True, "false": False}.get(str(value).lower())
    elif kind == "number":
        value = number(value)
    return [(scanner, value, {})]


def _score(
    builder: EvalsBuilder,
    suite: str,
    trial: tuple[str, str, int],
    criterion: str,
    line: int,
    value: Any,
    row: dict[str, Any],
) -> None:
    if isinstance(value, bool):
        builder.add_binary_criterion(suite, criterion)
    models = list(mapping(row.get("scan_model_usage")))
    extra = {name: row[name] for name in ("message_references", "uuid") if row.get(name) not in (None, "[]")}
    extra["scanner"] = mapping(row.get("metadata"))
    model = models[0] if len(models) == 1 else None
    builder.add_score(
        *trial,
        criterion,
        line,
        grader=model or "scout",
        grader_kind="judge" if models else "code",
        sample=builder.next_sample(*trial, criterion),
        score=value if isinstance(value, bool | int | float) else None,
        label=as_text(value) if isinstance(value, str | bool) else as_text(row.get("label")),
        answer=as_text(row.get("answer")),
        rationale=as_text(row.get("explanation")),
        error=as_text(row.get("scan_error")),
        judge_model=model,
        metadata=as_text({name: one for name, one in extra.items() if one}) if any(extra.values()) else None,
    )
    if row.get("validation_target") not in (None, "null"):
        _validate(builder, suite, trial, criterion, line, row["validation_target"])


def _validate(
    builder: EvalsBuilder, suite: str, trial: tuple[str, str, int], criterion: str, line: int, target: Any
) -> None:
    """Add what a person had said the scanner should find."""
    wanted = {"true": True, "false": False}.get(str(target).lower(), number(target))
    label = as_text(target) or ""
    builder.add_score(
        *trial,
        criterion,
        line,
        grader="validation",
        grader_kind="human",
        score=wanted,
        label=label.strip('"'),
    )


READERS: Final = (
    Reader("Scout scan", is_scan, read=read_scan, alone=True),
    Reader("Scout results", is_results, read=read_results, alone=True),
)
