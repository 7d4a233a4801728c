"""Collect records of a foreign format and build `Evals`."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.columns import columns, fit, in_order, series
from evalkit.data.evals import Evals
from evalkit.data.schema import TABLES, Problem
from evalkit.util.notes import Note
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The requested tables in this thread; readers need not pass them on.
_WANTED: Final[ContextVar[frozenset[str]]] = ContextVar("wanted", default=frozenset(TABLES))
_FACTS: Final = ("cases", "criteria", "runs")


@contextmanager
def only(tables: frozenset[str]) -> Iterator[None]:
    """Limit every `EvalsBuilder` created in the block to some tables."""
    token = _WANTED.set(tables)
    try:
        yield
    finally:
        _WANTED.reset(token)


class _Rows:
    """Rows stored as columns, which takes a tenth of the memory of dicts."""

    __slots__ = ("_columns", "height")

    def __init__(self) -> None:
        self.height = 0
        self._columns: dict[str, list[Any]] = {}

    def add(self, *parts: dict[str, Any]) -> None:
        for part in parts:
            for name, value in part.items():
                if value is not None:
                    self.column(name).append(value)
        self.height += 1

    def column(self, name: str) -> list[Any]:
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = []
        if len(column) < self.height:
            column.extend([None] * (self.height - len(column)))
        return column

    def frame(self) -> pl.DataFrame:
        return pl.DataFrame([series(name, self.column(name)) for name in self._columns])


@dataclass(slots=True)
class EvalsBuilder:
    """Collect the records of one file or folder and build `Evals`.

    Values are cast and checked in `build`. Rows of unrequested tables (see `only`) are dropped, and
    generators of their messages never start.
    """

    source: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
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
        """Add facts of a run; earlier facts stay."""
        self._add_facts("runs", {"run": run}, facts)

    def add_case(self, suite: str, case: str, **facts: Any) -> None:
        """Add facts of a case; earlier facts stay."""
        self._add_facts("cases", {"suite": suite, "case": case}, facts)

    def add_criterion(self, suite: str, criterion: str, **facts: Any) -> None:
        """Add facts of a criterion, such as its scale; earlier facts stay."""
        self._add_facts("criteria", {"suite": suite, "criterion": criterion}, facts)

    def add_binary_criterion(self, suite: str, criterion: str) -> None:
        """Add a criterion with scores 0 and 1; other scores remove its scale."""
        self._binary[suite, criterion] = None
        self.add_criterion(suite, criterion, kind="binary", scale_min=0, scale_max=1)

    def next_epoch(self, run: str, case: str) -> int:
        """Return 1 for the first trial of a run and case, then 2, ..."""
        self._epochs[run, case] = self._epochs.get((run, case), 0) + 1
        return self._epochs[run, case]

    def next_sample(self, *key: Any) -> int:
        """Return 1 for the first score of a trial, criterion and grader, then 2, ..."""
        self._samples[key] = self._samples.get(key, 0) + 1
        return self._samples[key]

    def add_trial(self, run: str, case: str, epoch: int, line: int | None, **values: Any) -> None:
        """Add a trial."""
        if "trials" not in self._wanted:
            self.add_run(run)
            return
        self._trials.add({"run": run, "case": case, "epoch": epoch, "line": line}, values)

    def add_turns(self, run: str, case: str, epoch: int, messages: Iterable[dict[str, Any]]) -> None:
        """Add the messages of a trial, in order; see `chat_messages.turns`."""
        if "turns" not in self._wanted:
            self.add_run(run)
            return
        for number, values in enumerate(messages, 1):
            self._turns.add({"run": run, "case": case, "epoch": epoch, "turn": number}, values)

    def add_score(
        self, run: str, case: str, epoch: int, criterion: str, line: int | None, **values: Any
    ) -> None:
        """Add a score; true is 1 and false is 0."""
        if self._wanted.isdisjoint(("scores", "criteria")):
            self.add_run(run)
            return
        if isinstance(values.get("score"), bool):
            values["score"] = int(values["score"])
        key = {"run": run, "case": case, "epoch": epoch, "criterion": criterion, "line": line}
        self._scores.add(key, values)

    def add_problem(self, line: int | None, reason: str) -> None:
        """Add an unreadable record with its reason."""
        self.problems.append(Problem(self.source, line, reason))

    def add_note(self, kind: str, text: str, *, file: str | None = None) -> None:
        """Add a note about this file or another one, without duplicates."""
        note = Note(kind, text, (self.source if file is None else file,))
        if note not in self.notes:
            self.notes.append(note)

    def ignore_fields(self, *names: str) -> None:
        """Note fields without a column."""
        self.ignored_fields.update(dict.fromkeys(names))

    def build(self, *, files: Iterable[str] | None = None) -> Evals:
        """Return the good records, and a `Problem` for each invalid value or row."""
        self._drop_mixed_scales()
        problems = list(self.problems)
        frames = {name: columns([*facts.values()]) for name, facts in self._facts.items() if facts}
        for name, rows in (("trials", self._trials), ("turns", self._turns), ("scores", self._scores)):
            if rows.height:
                frames[name] = rows.frame()
        tables: dict[str, Any] = {}
        for name, frame in frames.items():
            table = TABLES[name]  # type: ignore[index]
            if "source" in table.schema:
                frame = frame.with_columns(source=pl.lit(self.source))
            tables[name], more = fit(table, frame)
            problems += more
        if self.ignored_fields:
            self.add_note("ignored", f"Ignored fields: {join_words(self.ignored_fields, limit=20)}.")
        if not (tables or problems or self.notes):
            problems.append(Problem(self.source, None, "there are no records in it"))
        return Evals.from_tables(
            **tables,
            problems=in_order(problems),
            notes=self.notes,
            files=[self.source] if files is None else files,
        )

    def _drop_mixed_scales(self) -> None:
        scores = zip(self._scores.column("criterion"), self._scores.column("score"), strict=True)
        mixed = {criterion for criterion, score in scores if score not in (None, 0, 1)}
        for suite, criterion in self._binary:
            if criterion in mixed:
                self._facts["criteria"].pop((suite, criterion))
                self.add_note("scale", f"{criterion} is true or false in some records, a number in others.")

    def _add_facts(self, table: str, key: dict[str, str], facts: dict[str, Any]) -> None:
        known = self._facts[table].setdefault(tuple(key.values()), dict(key))
        for name, value in facts.items():
            if value is not None and known.get(name) is None:
                known[name] = value
