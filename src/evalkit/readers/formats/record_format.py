"""Declare a foreign format as a table of fields, and read its records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.data.json_text import as_text
from evalkit.data.schema import TABLES, Key
from evalkit.readers import json_values
from evalkit.readers.assertions import Check, CheckedTrial, add_checks
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.formats import csv as csv_file
from evalkit.readers.formats.fields import Field, Fields, Record, RecordFile, Records, always, get, last_text
from evalkit.readers.json_keys import first_records, outline
from evalkit.readers.json_values import counter, mapping, sequence

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

Sniff = Callable[["Path", bytes], bool]
TrialKey = tuple[str, str, int]

ZERO_TO_ONE: Final = {"kind": "continuous", "scale_min": 0, "scale_max": 1}
PASS_OR_FAIL: Final = {"kind": "binary", "scale_min": 0, "scale_max": 1}

_NULL: Final = always(None)
_TEXT: Final[Mapping[str, set[str]]] = {
    name: {column.name for column in table.columns if column.dtype in (pl.String, Key)}
    for name, table in TABLES.items()
}


def key_names(path: Path, data: bytes) -> frozenset[str]:
    """Return the column names of Parquet or CSV, or JSON keys at any depth."""
    if data.startswith(b"PAR1"):
        try:
            return frozenset(pl.read_parquet_schema(path))
        except (pl.exceptions.PolarsError, OSError):
            return frozenset()
    names = json_values.names(data)
    if names or not csv_file.sniff(path, data):
        return names
    first = data.split(b"\n", 1)[0].decode(errors="replace")
    return frozenset(name.strip('"\r ') for name in first.replace("\t", ",").split(","))


def has_keys(*names: str, any_of: Iterable[str] = ()) -> Sniff:
    """Return a sniff for files with all of `names` and one of `any_of`."""
    return lambda path, data: _has(key_names(path, data), names, any_of)


def has_paths(*paths: str, any_of: Iterable[str] = ()) -> Sniff:
    """Return a sniff for JSON with all of `paths` ("[].task_id") and one of `any_of`."""
    return lambda path, data: _has(outline(data), paths, any_of)


def has_records(*names: str, any_of: Iterable[str] = (), none_of: Iterable[str] = ()) -> Sniff:
    """Return a sniff for JSON lines with all of `names`, one of `any_of`, none of `none_of`."""
    return lambda path, data: any(
        _has(record.keys(), names, any_of) and record.keys().isdisjoint(none_of)
        for record in first_records(data)
    )


def any_sniff(*sniffs: Sniff) -> Sniff:
    """Return a sniff that accepts what any of `sniffs` accepts."""
    return lambda path, data: any(sniff(path, data) for sniff in sniffs)


def _has(keys: Iterable[str], all_of: Iterable[str], any_of: Iterable[str]) -> bool:
    return {*keys} >= {*all_of} and (not any_of or not {*keys}.isdisjoint(any_of))


@dataclass(frozen=True, kw_only=True)
class RecordFormat:
    """A format in which a record is a trial with its scores, a case, or a run.

    Attributes
    ----------
    row
        What a record is.
    records
        Reads the records of a file; joins and groups them.
    required
        Fields without which a record becomes a problem.
    run, suite, case, epoch
        The key. Unnamed runs are named after the file; missing epochs are counted.
    runs, cases, trials, turns
        The other columns, by name. Without trials the format has only scores. `turns` returns messages; the
        default output is their last assistant text, the default input their last user text.
    is_version
        Whether the run's name is the agent's version.
    scores
        The judgements of a record: a path to a list, or a function.
    criterion, criteria, score
        Name, declared scale and columns of a judgement, as fields of a judgement.
    true_or_false
        Whether the criterion is binary.
    grader
        The name of the tool, if its code gives the scores.
    checks, check, success, reason
        Formats of assertions: the list, the fields of a `Check`, and the tool's verdict.
    counts_samples
        Whether a second judgement by a grader is its second sample; else it is a problem.
    on_repeat
        A second record of a trial: added (its rows are problems), rejected, or more scores.
    ignored
        Fields without a column; they are reported.
    """

    row: Literal["trial", "case", "run"] = "trial"
    records: Callable[[RecordFile], Records] = RecordFile.records
    required: tuple[str | tuple[str, ...], ...] = ()
    run: Field = "run"
    suite: Field = "suite"
    case: Field = "case"
    epoch: Field = "epoch"
    runs: Fields = field(default_factory=dict)
    cases: Fields = field(default_factory=dict)
    trials: Fields | None = field(default_factory=dict)
    turns: Callable[[Record], list[dict[str, Any]]] = lambda record: []
    is_version: bool = False
    scores: str | Callable[[Record], Iterable[Any]] = "scores"
    criterion: Field = "name"
    criteria: Callable[[Record], Mapping[str, Any] | None] = _NULL
    score: Fields = field(default_factory=dict)
    true_or_false: Callable[[Record], bool] = _NULL
    grader: str = ""
    checks: str | Callable[[Record], Iterable[Any]] = ""
    check: Fields = field(default_factory=dict)
    success: Field = _NULL
    reason: Field = _NULL
    counts_samples: bool = False
    on_repeat: Literal["add", "reject", "score"] = "add"
    ignored: tuple[str, ...] = ()

    def read(self, path: Path) -> Evals:
        """Read a file."""
        file = RecordFile(path, EvalsBuilder(str(path)))
        self.add(file, self.records(file))
        return file.builder.build(files=file.files or [str(path)])

    def add(self, file: RecordFile, records: Records) -> None:
        """Add records to the builder of a file."""
        builder = file.builder
        first_lines: dict[TrialKey, int | None] = {}
        attempts: list[CheckedTrial] = []
        for line, record in records:
            missing = next((each for each in self.required if get(record, each) in (None, "")), None)
            if missing is not None:
                name = missing if isinstance(missing, str) else missing[0]
                builder.add_problem(line, f"Missing {name!r} in {as_text(dict(record))!r:.100}.")
                continue
            suite = as_text(get(record, self.suite)) or ""
            if self.row == "case":
                self._add_case(builder, suite, as_text(get(record, self.case)) or "", record)
                continue
            trial = self._key(file, record)
            self._add_run(builder, suite, trial[0], record)
            if self.row == "run":
                continue
            is_first = trial not in first_lines
            first = first_lines.setdefault(trial, line)
            if not is_first and self.on_repeat == "reject":
                place = "" if first is None else f" in line {first}"
                builder.add_problem(
                    line, f"Case {trial[1]!r}, epoch {trial[2]} is already there{place}. The first is kept."
                )
                continue
            self._add_case(builder, suite, trial[1], record)
            if self.trials is not None and (is_first or self.on_repeat == "add"):
                self._add_trial(builder, suite, trial, line, record)
            for judgement in _list(record, self.scores):
                self._add_score(builder, suite, trial, line, judgement)
            if self.checks:
                attempts.append(self._attempt(suite, trial, line, record))
            builder.ignore_fields(*(name for name in self.ignored if get(record, name)))
        add_checks(builder, attempts, grader=self.grader)

    def _key(self, file: RecordFile, record: Record) -> TrialKey:
        run = as_text(get(record, self.run)) or json_values.run_name(file.path)
        case = as_text(get(record, self.case)) or ""
        return run, case, counter(get(record, self.epoch)) or file.builder.next_epoch(run, case)

    def _add_run(self, builder: EvalsBuilder, suite: str, run: str, record: Record) -> None:
        if suite or self.is_version or self.runs:
            known = {"suite": suite or None, "agent_version": run if self.is_version else None}
            builder.add_run(run, **{**known, **_values("runs", self.runs, record)})

    def _add_case(self, builder: EvalsBuilder, suite: str, case: str, record: Record) -> None:
        if self.cases:
            builder.add_case(suite, case, **_values("cases", self.cases, record))

    def _add_trial(
        self, builder: EvalsBuilder, suite: str, trial: TrialKey, line: int | None, record: Record
    ) -> None:
        turns = self.turns(record)
        values = _values("trials", self.trials or {}, record)
        if "output" not in values:
            values["output"] = last_text(turns, "assistant")
        if "input" not in self.cases:
            builder.add_case(suite, trial[1], input=last_text(turns, "user"))
        builder.add_trial(*trial, line, **values)
        builder.add_turns(*trial, turns)

    def _add_score(
        self, builder: EvalsBuilder, suite: str, trial: TrialKey, line: int | None, judgement: Any
    ) -> None:
        score = mapping(judgement)
        name = as_text(get(score, self.criterion))
        if not name:
            builder.add_problem(line, f"A score has no name: {judgement!r:.60}.")
            return
        scale = self.criteria(score)
        if scale is not None:
            builder.add_criterion(suite, name, **scale)
        if self.true_or_false(score):
            builder.add_binary_criterion(suite, name)
        tool = {"grader": self.grader, "grader_kind": "code"} if self.grader else {}
        values = {"line": line, **tool, **_values("scores", self.score, score)}
        if self.counts_samples and values.get("sample") is None:
            values["sample"] = builder.next_sample(*trial, name, values.get("grader"))
        builder.add_score(*trial, name, **values)

    def _attempt(self, suite: str, trial: TrialKey, line: int | None, record: Record) -> CheckedTrial:
        checks = []
        for each in _list(record, self.checks):
            values = {name: get(mapping(each), source) for name, source in self.check.items()}
            passed = values["passed"] if isinstance(values["passed"], bool) else None
            for name in ("name", "rationale", "error", "judge_model"):
                values[name] = as_text(values.get(name))
            checks.append(Check(**{**values, "passed": None if values["error"] else passed}))
        success = get(record, self.success)
        verdict = success if isinstance(success, bool) else None
        return CheckedTrial(suite, trial, line, verdict, checks, as_text(get(record, self.reason)))


def _list(record: Record, source: str | Callable[[Record], Iterable[Any]]) -> Iterable[Any]:
    return sequence(get(record, source)) if isinstance(source, str) else source(record)


def _values(table: str, fields: Fields, record: Record) -> dict[str, Any]:
    values = {name: get(record, source) for name, source in fields.items()}
    return {name: as_text(value) if name in _TEXT[table] else value for name, value in values.items()}
