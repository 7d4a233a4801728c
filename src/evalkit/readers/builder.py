"""What a reader of somebody else's format has found so far, and the tables that it makes in the end."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.columns import columns, fit, in_order, series
from evalkit.data.evals import Evals
from evalkit.data.schema import TABLES, Problem
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The tables that are wanted of what is read in this thread: no reader has to hand them on.
_WANTED: Final[ContextVar[frozenset[str]]] = ContextVar("wanted", default=frozenset(TABLES))
# What a table of others' records is put together from, and in which order problems are told.
_FACTS: Final = ("cases", "criteria", "runs")


@contextmanager
def only(tables: frozenset[str]) -> Iterator[None]:
    """Let every `EvalsBuilder` that is made meanwhile keep the rows of those tables alone."""
    token = _WANTED.set(tables)
    try:
        yield
    finally:
        _WANTED.reset(token)


class _Rows:
    """Rows, kept as columns: a list a column is a tenth of the memory of a dict a row."""

    __slots__ = ("_columns", "height")

    def __init__(self) -> None:
        self.height = 0
        self._columns: dict[str, list[Any]] = {}

    def add(self, *parts: dict[str, Any]) -> None:
        """Add a row of the values that are not null."""
        for part in parts:
            for name, value in part.items():
                if value is not None:
                    self._up_to_here(name).append(value)
        self.height += 1

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, null where a row did not have it."""
        return self._up_to_here(name)

    def frame(self) -> pl.DataFrame:
        """Return the rows as they were found; see `evalkit.data.columns.series`."""
        return pl.DataFrame([series(name, self.column(name)) for name in self._columns])

    def _up_to_here(self, name: str) -> list[Any]:
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = []
        if len(column) < self.height:
            column.extend([None] * (self.height - len(column)))
        return column


@dataclass(slots=True)
class EvalsBuilder:
    """Collect the records of one file or folder and build `Evals` from them.

    Values stay as they were read until `build` casts and checks them. Rows of a table that is not wanted
    (see `only`) are not kept, and a generator of messages is then never started.

    Attributes
    ----------
    source
        The path of the file, as problems and notes name it.
    """

    source: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored_fields: dict[str, None] = field(default_factory=dict)
    _facts: dict[str, dict[tuple[str, ...], dict[str, Any]]] = field(
        default_factory=lambda: {name: {} for name in _FACTS}
    )
    _trials: _Rows = field(default_factory=_Rows)
    _turns: _Rows = field(default_factory=_Rows)
    _scores: _Rows = field(default_factory=_Rows)
    _epochs: dict[tuple[str, str], int] = field(default_factory=dict)
    _binary: dict[tuple[str, str], None] = field(default_factory=dict)
    _samples: dict[tuple[Any, ...], int] = field(default_factory=dict)
    _wanted: frozenset[str] = field(default_factory=_WANTED.get)

    def add_run(self, run: str, **facts: Any) -> None:
        """Say what is known of a run; what an earlier record said stays."""
        self._know("runs", {"run": run}, facts)

    def add_case(self, suite: str, case: str, **facts: Any) -> None:
        """Say what is known of a case; what an earlier record said stays."""
        self._know("cases", {"suite": suite, "case": case}, facts)

    def add_criterion(self, suite: str, criterion: str, **facts: Any) -> None:
        """Say what is known of a criterion: its scale above all, where the format declares one."""
        self._know("criteria", {"suite": suite, "criterion": criterion}, facts)

    def add_binary_criterion(self, suite: str, criterion: str) -> None:
        """Say that a criterion is judged by true and false: 1 and 0 of a scale from 0 to 1.

        Where others of its scores are something else, it has no scale.
        """
        self._binary[suite, criterion] = None
        self.add_criterion(suite, criterion, kind="binary", scale_min=0, scale_max=1)

    def next_epoch(self, run: str, case: str) -> int:
        """Return 1 for the first attempt of a run at a case, 2 for the second, for formats that do not count."""
        self._epochs[run, case] = self._epochs.get((run, case), 0) + 1
        return self._epochs[run, case]

    def next_sample(self, *judged: Any) -> int:
        """Return 1 for the first judgement by a grader of a criterion of a trial, 2 for the second."""
        self._samples[judged] = self._samples.get(judged, 0) + 1
        return self._samples[judged]

    def add_trial(self, run: str, case: str, epoch: int, line: int | None, **values: Any) -> None:
        """Add an attempt."""
        if "trials" not in self._wanted:
            self.add_run(run)
            return
        self._trials.add({"run": run, "case": case, "epoch": epoch, "line": line}, values)

    def add_turns(self, run: str, case: str, epoch: int, messages: Iterable[dict[str, Any]]) -> None:
        """Add the messages of an attempt, in order; `message` makes one."""
        if "turns" not in self._wanted:
            self.add_run(run)
            return
        for number, values in enumerate(messages, 1):
            self._turns.add({"run": run, "case": case, "epoch": epoch, "turn": number}, values)

    def add_score(
        self, run: str, case: str, epoch: int, criterion: str, line: int | None, **values: Any
    ) -> None:
        """Add a judgement; true is 1 and false is 0."""
        if self._wanted.isdisjoint(("scores", "criteria")):
            self.add_run(run)
            return
        if isinstance(values.get("score"), bool):
            values["score"] = int(values["score"])
        key = {"run": run, "case": case, "epoch": epoch, "criterion": criterion, "line": line}
        self._scores.add(key, values)

    def add_problem(self, line: int | None, reason: str) -> None:
        """Say that a record could not be read, and why."""
        self.problems.append(Problem(self.source, line, reason))

    def ignore_fields(self, *names: str) -> None:
        """Say which fields have no place in the six tables; they become one note."""
        self.ignored_fields.update(dict.fromkeys(names))

    def build(self, *, files: Iterable[str] | None = None) -> Evals:
        """Return the tables: every good record, and a `Problem` for each value and row that does not fit."""
        self._take_back_scales()
        tables: dict[str, Any] = {}
        problems = list(self.problems)
        found = {name: columns([*facts.values()]) for name, facts in self._facts.items() if facts}
        for name, rows in (("trials", self._trials), ("turns", self._turns), ("scores", self._scores)):
            if rows.height:
                found[name] = rows.frame()
        for name, frame in found.items():
            table = TABLES[name]  # type: ignore[index]
            if "source" in table.schema:
                frame = frame.with_columns(source=pl.lit(self.source))
            tables[name], more = fit(table, frame)
            problems += more
        if not (found or problems or self.notes or self.ignored_fields):
            problems.append(Problem(self.source, None, "there are no records in it"))
        notes = list(self.notes)
        if self.ignored_fields:
            notes.append(f"{self.source}: not kept: {join_words(list(self.ignored_fields), limit=20)}.")
        return Evals.from_tables(
            **tables,
            problems=in_order(problems),
            notes=notes,
            files=[self.source] if files is None else files,
        )

    def _take_back_scales(self) -> None:
        scores = zip(self._scores.column("criterion"), self._scores.column("score"), strict=True)
        others = {criterion for criterion, score in scores if score not in (None, 0, 1)}
        for suite, criterion in self._binary:
            if criterion in others:
                self._facts["criteria"].pop((suite, criterion))
                self.notes.append(
                    f"{self.source}: {criterion} is true or false in some records, a number in others."
                )

    def _know(self, table: str, key: dict[str, str], facts: dict[str, Any]) -> None:
        known = self._facts[table].setdefault(tuple(key.values()), dict(key))
        for name, value in facts.items():
            if value is not None and known.get(name) is None:
                known[name] = value
