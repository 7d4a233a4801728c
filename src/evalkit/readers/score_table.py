"""Build tables from judge scores: wide (row = answer) or long (row = judgement)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.columns import cell_values, fit, in_order
from evalkit.data.conflicts import INPUT, OUTPUT, conflicts_in_table
from evalkit.data.evals import Evals
from evalkit.data.json_text import as_text
from evalkit.data.schema import (
    CASES,
    GRADER_KINDS,
    RUNS,
    SCORES,
    TABLES,
    TRIAL_KEY,
    TRIALS,
    Problem,
    Table,
)
from evalkit.data.table import expected_of
from evalkit.readers.base import RECORD, Raw
from evalkit.readers.column_roles import Roles, drop_guessed_grader, resolve
from evalkit.readers.nested import KEY, PLACE
from evalkit.readers.run_names import PARTS, LoadedPart, name_runs
from evalkit.readers.score_values import NO_SCORE, Notation, as_names, constant, read_scores, read_severities
from evalkit.readers.table_loss import Loss
from evalkit.readers.table_messages import read_conversations, read_exchanges, texts_of, turns_of
from evalkit.readers.table_notes import describe
from evalkit.readers.table_records import open_table
from evalkit.util.errors import ColumnError
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from evalkit.readers.column_mapping import Mapping
    from evalkit.util.notes import Note

_TRIAL: Final = ("output", "latency_s", "input_tokens", "output_tokens", "cost_usd")
_USAGE: Final = _TRIAL[2:]
_CASE: Final = ("input", "ideal_behavior", "severity", "tags", "domain", "cluster")
_RUN: Final = ("agent", "agent_version", "model", "provider")
_SCORE: Final = (
    *("grader", "rubric_hash", "sample", "grader_kind", "label", "rationale", "evidence", "error"),
    *("judge_model", "prompt_hash", "seed", "mode", "metadata"),
)
_JUDGEMENT: Final = ("grader", "rater", "rubric_hash", "sample")
_DEFAULTS: Final = {"rubric_hash": "", "sample": 1}


def to_evals(
    raw: Raw,
    *,
    mapping: Mapping | None,
    run: str,
    tables: Collection[str] = TABLES,
    guess: bool = True,
    strict: bool = True,
) -> tuple[LoadedPart, Roles]:
    """Build the tables of one file's records.

    What the mapping does not say is guessed. `run` names the run if no column does. Raise `FormatError` if a guess asks
    or refuses, or, with `strict`, if more than a fifth of the judgements cannot be read.
    """
    opened = open_table(raw, mapping, guesses=guess)
    raw, frame = opened.raw, opened.raw.frame
    columns = [name for name in frame.columns if name not in ("line", RECORD)]
    roles = resolve(opened.mapping, columns, source=raw.source, recognizes=opened.guess is None)
    drop_guessed_grader(frame, roles)
    table = _ScoreTable(frame, roles, raw, run)
    scores = table.wide() if roles.criteria is not None else table.long()
    frames: dict[str, Any] = {
        "scores": scores,
        "trials": table.trials() if "trials" in tables else None,
        "turns": table.turns() if "turns" in tables else None,
        "cases": table.cases() if "cases" in tables else None,
        "runs": table.runs(),
        "criteria": table.criteria(scores),
    }
    notes = [*raw.notes, *describe(table, mapping, opened.guess)]
    more: dict[str, Any] = {"notes": notes, "files": raw.files}
    problems = in_order([*raw.problems, *table.problems])
    try:
        evals = Evals.from_tables(**frames, problems=problems, **more)
    except ColumnError:
        keys = {name: pl.col(name) for name in SCORES.key if name in scores.columns}
        keys |= {name: pl.col(name).fill_null(value) for name, value in _DEFAULTS.items() if name in keys}
        kept, repeats = table.first_rows(scores, keys)
        table.loss.lost += scores.height - kept.height
        frames["scores"], unfit = fit(SCORES, kept)
        evals = Evals.from_tables(**frames, problems=in_order([*problems, *repeats, *unfit]), **more)
    if strict:
        table.loss.refuse()
    return LoadedPart(evals, run if table.run_parts else None), roles


class _ScoreTable:
    def __init__(self, frame: pl.DataFrame, roles: Roles, raw: Raw, run: str) -> None:
        self.roles, self.raw, self.run = roles, raw, run
        self.problems: list[Problem] = []
        self.run_parts: list[str] = []
        self.reported: set[str] = set()
        self.binary: set[str] = set()
        self.unscaled: list[str] = []
        self.loss = Loss(raw.source)
        self.conflicts: list[Note] = []
        self.frame = frame
        case = self.column("case")
        if case is None:
            number = next(name for name in (KEY, RECORD, "line") if name in frame.columns)
            case = frame[number].cast(pl.String)
        keys = {"run": self._run_names(), "case": as_names(case)}
        keys["epoch"] = self._epochs(keys)
        self.frame = frame.with_columns(values.alias(f"__{name}") for name, values in keys.items())
        self._drop_rows(pl.col("__run").fill_null("") == "", "there is no run")
        self._drop_rows(pl.col("__case").fill_null("") == "", "there is no case")
        self._drop_rows(pl.col("__epoch").is_null(), "the epoch is not a whole number")
        if roles.criteria is not None:
            key = {name: pl.col(f"__{name}") for name in TRIAL_KEY}
            # Each rater of an answer has a row of their own.
            for role in _JUDGEMENT:
                if role in roles.columns and roles.columns[role] in frame.columns:
                    key[role] = pl.col(roles.columns[role]).cast(pl.String)
            rows = self.frame.height
            self.frame, repeats = self.first_rows(self.frame, key)
            self.problems += repeats
            self.loss.lost = self.loss.given = (rows - self.frame.height) * len(roles.criteria)

    @property
    def runs_known(self) -> bool:
        return bool(self.run_parts) or self.roles.has("run")

    def column(self, role: str) -> pl.Series | None:
        if role in self.roles.columns:
            return self.frame.get_column(self.roles.columns[role])
        if role in self.roles.values:
            return constant(self.frame, self.roles.values[role])
        return None

    def typed(self, role: str, table: Table) -> pl.Series | None:
        """Return `column(role)` with its dtype in `table`; unreadable cells are null and a problem."""
        values = self.column(role)
        if values is None:
            return None
        dtype = table.schema[role]
        if role == "severity":
            return self._severities(values)
        cells = cell_values(values, dtype)
        bad = cells.is_null() & values.is_not_null()
        if bad.any() and role not in self.reported:
            for line, value in zip(self.frame["line"].filter(bad), values.filter(bad), strict=True):
                text = as_text(value) or ""
                if text.strip():
                    self._add_problem(line, f"{role} is {text!r:.80}. Expected {expected_of(dtype)}.")
        self.reported.add(role)
        return cells.alias(role)

    def _severities(self, values: pl.Series) -> pl.Series:
        """Return severities by the mapping's words or the usual ones; each unknown word is one problem."""
        texts = as_names(values).str.strip_chars()
        levels, unknown = read_severities(texts, self.roles.severities)
        for word in unknown if "severity" not in self.reported else ():
            lines = self.frame["line"].filter(texts == word)
            text = f"severity is {word!r:.80} ({plural(len(lines), 'row')}). Expected {expected_of(CASES.schema['severity'])}"
            self._add_problem(lines[0], f"{text}, or its words under severity.values in the mapping.")
        self.reported.add("severity")
        return levels.cast(CASES.schema["severity"]).alias("severity")

    def wide(self) -> pl.DataFrame:
        shared = self._score_columns()
        rater = self.column("rater")
        person = constant(self.frame, "person") if rater is None else as_names(rater).fill_null("person")
        kinds = {
            kind: pl.Series([kind], dtype=pl.Enum(GRADER_KINDS)).new_from_index(0, self.frame.height)
            for kind in ("human", "judge")
        }
        parts = []
        for one in self.roles.criteria or ():
            labels = shared
            if one.people:
                labels = {**self._keys(), "grader": person, "grader_kind": kinds["human"]}
            if one.grader:
                labels = {**labels, "grader": constant(self.frame, one.grader)}
            cells = self._equal(one.equal) if one.equal else self.frame.get_column(one.column)
            part = self._judgements(constant(self.frame, one.criterion), cells, labels, one.notation)
            beside = [
                as_names(self.frame.get_column(column)).alias(role) for role, column in one.beside.items()
            ]
            parts.append(part.with_columns(beside))
        if not parts:
            return SCORES.empty().drop("source")
        # An empty judge cell is unscored; an empty human label does not exist.
        no_label = (pl.col("grader_kind") == "human") & pl.col("error").eq_missing(NO_SCORE)
        return self._report(pl.concat(parts, how="diagonal_relaxed").filter(~no_label.fill_null(value=False)))

    def _equal(self, names: Sequence[str]) -> pl.Series:
        first, second = (
            as_names(self.frame.get_column(name)).str.strip_chars().str.to_lowercase() for name in names
        )
        return first == second

    def long(self) -> pl.DataFrame:
        criterion = as_names(self.frame.get_column(self.roles.columns["criterion"]))
        without = criterion.fill_null("") == ""
        for line in self.frame["line"].filter(without):
            self._add_problem(line, "there is no criterion")
        shared = self._score_columns()
        for role in _USAGE:
            values = self.typed(role, SCORES)
            if values is not None:
                shared[role] = values
        error, label = shared.get("error"), shared.get("label")
        role = next(role for role in ("score", "label") if role in self.roles.columns)
        cells = self.frame.get_column(self.roles.columns[role])
        scores = self._judgements(criterion, cells, shared, self.roles.notation).with_columns(
            *([] if label is None else [label]),
            *([] if error is None else [pl.coalesce(error, pl.col("error")).alias("error")]),
        )
        scores = scores.with_columns(error=pl.when(pl.col("score").is_null()).then("error"))
        return self._report(scores.filter(~without))

    def trials(self) -> pl.DataFrame | None:
        # In a row per judgement, tokens and cost are the judge's.
        roles = _TRIAL if self.roles.criteria is not None else _TRIAL[:2]
        values = {role: self.typed(role, TRIALS) for role in roles}
        if values["output"] is None:
            values["output"] = texts_of(self.conversations, "output", "assistant", -1)
        return self._first_values(TRIAL_KEY, values, TRIALS)

    def cases(self) -> pl.DataFrame | None:
        values = {role: self.typed(role, CASES) for role in _CASE}
        if values["input"] is None:
            values["input"] = texts_of(self.conversations, "input", "user", 0)
        return self._first_values(("suite", "case"), values, CASES)

    @cached_property
    def conversations(self) -> list[Any]:
        contexts = self.column("contexts")
        if contexts is not None and not self.roles.has("messages"):
            return read_exchanges(self.column("input"), contexts, self.column("output"))
        return read_conversations(self.column("messages"))

    def turns(self) -> pl.DataFrame | None:
        keys = self.frame.select(pl.col(f"__{name}").alias(name) for name in TRIAL_KEY)
        return turns_of(keys.iter_rows(named=True), self.conversations)

    def runs(self) -> pl.DataFrame:
        """Return a row per run; without a version, the run name is the version."""
        values = {role: self.typed(role, RUNS) for role in _RUN}
        columns = {"run": self.frame["__run"], "suite": self.column("suite"), **values}
        frame = pl.DataFrame(
            {name: as_names(series) for name, series in columns.items() if series is not None}
        )
        by_run = frame.lazy().group_by("run", maintain_order=True)
        several = by_run.agg(pl.exclude("run").drop_nulls().unique(maintain_order=True)).collect()
        for role in (role for role in _RUN if role in self.roles.columns):
            for run, names in several.filter(pl.col(role).list.len() > 1).select("run", role).iter_rows():
                self._add_problem(
                    None,
                    f"run {run!r} has several values of {role}: {join_words(names, limit=6)}; the first is kept. "
                    f'If each is a run of its own, map "run": "{self.roles.columns[role]}"',
                )
        if "agent_version" not in frame.columns:
            by_run = frame.lazy().with_columns(agent_version="run").group_by("run", maintain_order=True)
        return (
            by_run.agg(pl.all().drop_nulls().first())
            .collect()
            .with_columns(agent_version=pl.coalesce("agent_version", "run"), source=pl.lit(self.raw.source))
        )

    def criteria(self, scores: pl.DataFrame) -> pl.DataFrame | None:
        roles = self.roles
        names = scores["criterion"].cast(pl.String).unique(maintain_order=True).drop_nulls().to_list()
        if roles.criteria is not None:
            names = list(dict.fromkeys(one.criterion for one in roles.criteria))
        columns = {one.column: one.criterion for one in roles.criteria or ()}
        declared = {columns.get(name, name): scale for name, scale in roles.scales.items()}
        # Yes/no words are pass or fail, whatever the declared scale.
        scales = {**dict.fromkeys(self.binary, (0.0, 1.0)), **self._scale_columns(), **declared}
        ends = [scales.get(name, declared.get("", (None, None))) for name in names]
        self.unscaled = [name for name, (low, _) in zip(names, ends, strict=True) if low is None]
        schema = {
            "criterion": pl.String,
            "scale_min": pl.Float64,
            "scale_max": pl.Float64,
            "kind": pl.String,
            "direction": pl.String,
        }
        ways = {columns.get(name, name): way for name, way in roles.directions.items()}
        rows = [
            (n, *e, "binary" if n in self.binary else None, ways.get(n, ways.get("")))
            for n, e in zip(names, ends, strict=True)
        ]
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        suites = self.column("suite")
        if suites is None or frame.is_empty():
            return frame
        suite = as_names(suites).fill_null("").unique(maintain_order=True).to_frame("suite")
        return frame.join(suite, how="cross")

    def first_rows(self, frame: pl.DataFrame, keys: dict[str, pl.Expr]) -> tuple[pl.DataFrame, list[Problem]]:
        """Keep the first row of each key, with a problem for every other row."""
        columns = [key.alias(name) for name, key in keys.items()]
        first = frame.select(pl.struct(columns).is_first_distinct()).to_series()
        if first.all():
            return frame, []
        lines = frame.select(*columns, pl.col("line")).with_columns(
            __first=pl.col("line").first().over(list(keys))
        )
        problems = []
        for row in lines.filter(~first).iter_rows(named=True):
            parts = [f"{n} {row[n]!r}" for n in keys if n != "run" and row[n] != _DEFAULTS.get(n)]
            same = f"{', '.join(parts[:-1])} and {parts[-1]}"
            text = f"the same {same} of run {row['run']!r} as in line {row['__first']}; the first is kept"
            problems.append(Problem(self.raw.source, row["line"], text + self._repeats_advice()))
        return frame.filter(first), problems

    def _repeats_advice(self) -> str:
        if "epoch" not in self.roles.columns:
            kind, key = "repeats", "epoch"
        elif self.roles.criteria is None and "sample" not in self.roles.columns:
            kind, key = "repeated judgements", "sample"
        else:
            return ""
        advice = f'; if these are {kind}, map "{key}" to their column'
        return advice if self.runs_known else f'{advice}, or if other versions, map "agent_version"'

    def _keys(self) -> dict[str, pl.Series]:
        return {**{name: self.frame[f"__{name}"] for name in TRIAL_KEY}, "line": self.frame["line"]}

    def _run_names(self) -> pl.Series:
        roles = self.roles
        if "run" in roles.columns:
            return as_names(self.frame.get_column(roles.columns["run"]))
        if "run" not in roles.values and not roles.by_folder:
            parts = {
                part: as_names(self.frame.get_column(roles.columns[part]))
                for part in PARTS
                if part in roles.columns
            }
            named = name_runs(parts, default=self.run)
            if named is not None:
                runs, self.run_parts = named
                return runs
        return constant(self.frame, roles.values.get("run", self.run))

    def _epochs(self, keys: dict[str, pl.Series]) -> pl.Series:
        if self.roles.counts_epochs:
            beside = [
                self.frame.get_column(name)
                for role, name in self.roles.columns.items()
                if role in (*_JUDGEMENT, "criterion")
            ]
            rows = pl.DataFrame(
                [series.alias(str(place)) for place, series in enumerate([*keys.values(), *beside])]
            )
            return rows.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over(rows.columns)).to_series()
        if "epoch" not in self.roles.columns and PLACE in self.frame.columns:
            return self.frame[PLACE].cast(pl.Int32)
        if "epoch" not in self.roles.columns:
            return pl.Series("epoch", [1], dtype=pl.Int32).new_from_index(0, self.frame.height)
        values = self.frame.get_column(self.roles.columns["epoch"])
        return cell_values(values, pl.Int32()).set(values.is_null(), 1)

    def _drop_rows(self, condition: pl.Expr, reason: str) -> None:
        bad = self.frame.select(condition.fill_null(value=False).alias("bad"))["bad"]
        if bad.any():
            for line in self.frame["line"].filter(bad):
                self._add_problem(line, reason)
            self.frame = self.frame.filter(~bad)

    def _add_problem(self, line: int | None, reason: str) -> None:
        self.problems.append(Problem(self.raw.source, line, reason))

    def _score_columns(self) -> dict[str, pl.Series]:
        columns = self._keys()
        for role in _SCORE:
            values = self.typed(role, SCORES)
            if values is not None:
                columns[role] = values
        grader = as_names(columns["grader"]) if "grader" in columns else constant(self.frame, "judge")
        columns["grader"] = grader.fill_null("judge")
        if "grader_kind" not in columns:
            is_human = grader.str.to_lowercase().str.contains("^(human|person|annotator)")
            kinds = pl.select(
                pl.when(is_human.fill_null(value=False)).then(pl.lit("human")).otherwise(pl.lit("judge"))
            )
            columns["grader_kind"] = kinds.to_series().cast(pl.Enum(GRADER_KINDS))
        return columns

    def _judgements(
        self, criterion: pl.Series, cells: pl.Series, shared: dict[str, pl.Series], notation: Notation
    ) -> pl.DataFrame:
        """Return one row per cell; `__bad` marks unreadable scores."""
        scores, labels, errors, bad = read_scores(cells, notation)
        columns = {**shared, "criterion": criterion, "score": scores, "error": errors}
        if labels is not None:
            columns["label"] = labels
            if scores.drop_nulls().is_in([0.0, 1.0]).all():
                self.binary.update(criterion.drop_nulls().unique())
        columns["__bad"] = bad
        self.loss.given += int((errors.fill_null("") != NO_SCORE).sum())
        return pl.DataFrame({name: values.alias(name) for name, values in columns.items()})

    def _report(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Add one problem per text that is no score; return the score columns."""
        self.problems += self.loss.report(scores.filter("__bad"))
        source = pl.lit(self.raw.source, dtype=pl.Categorical()).alias("source")
        return scores.drop("__bad").with_columns(source)

    def _first_values(
        self, keys: Sequence[str], columns: dict[str, pl.Series | None], table: Table
    ) -> pl.DataFrame | None:
        """Return the first non-null value of each column per key; None without columns."""
        values = {name: series for name, series in columns.items() if series is not None}
        if not values:
            return None
        suite = self.column("suite")
        suites = constant(self.frame, "") if suite is None else as_names(suite).fill_null("")
        known = {**self._keys(), "suite": suites}
        line = ("line",) if "line" in table.schema else ()
        frame = pl.DataFrame({**{name: known[name] for name in (*keys, *line)}, **values})
        counted = [pl.col(name).drop_nulls().n_unique() for name in values if name != "tags"]
        counts = frame.lazy().group_by(keys).agg(counted).collect()
        for name in counts.columns[len(keys) :]:
            several = int((counts[name] > 1).sum())
            if several:
                text = f"{plural(several, f'{keys[-1]} has', plural=f'{keys[-1]}s have')} several values of {name}"
                self._add_problem(None, f"{text}; the first of each is kept")
                if name in (INPUT, OUTPUT):
                    rows = frame.with_columns(run=self.frame["__run"])
                    self.conflicts += conflicts_in_table(rows, name, keys, files=self.raw.files)
        frame = frame.group_by(keys, maintain_order=True).agg(pl.all().drop_nulls().first())
        return frame.with_columns(source=pl.lit(self.raw.source)) if "source" in table.schema else frame

    def _scale_columns(self) -> dict[str, tuple[float, float]]:
        low, high = self.column("scale_min"), self.column("scale_max")
        if low is None or high is None or "criterion" not in self.roles.columns:
            return {}
        ends = {"low": cell_values(low, pl.Float64()), "high": cell_values(high, pl.Float64())}
        criterion = as_names(self.frame.get_column(self.roles.columns["criterion"]))
        rows = pl.DataFrame({"criterion": criterion, **ends}).drop_nulls().unique("criterion", keep="first")
        return {name: (a, b) for name, a, b in rows.iter_rows() if a < b}
