"""A frame of judge scores, wide (a row is an answer) or long (a row is a judgement), into the six tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit.data.columns import as_text, cell_values, fit, in_order
from evalkit.data.columns import series as text_series
from evalkit.data.evals import Evals
from evalkit.data.schema import CASES, GRADER_KINDS, RUNS, SCORES, TABLES, TRIALS, Problem, Table
from evalkit.readers.column_mapping import Mapping, Roles, resolve
from evalkit.readers.run_names import PARTS, Part, name_runs
from evalkit.readers.score_values import NOTHING, as_names, read_scores
from evalkit.util.errors import ColumnError, FormatError
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Collection

    from evalkit.readers.column_mapping import Roles


RECORD: Final = "__record"
"""The column with a record's number, where that is not the number of its line."""

_KEYS: Final = ["run", "case", "epoch"]
_TRIAL: Final = ("output", "latency_s", "input_tokens", "output_tokens", "cost_usd")
_CASE: Final = ("input", "ideal_behavior", "severity", "tags", "domain", "cluster")
_RUN: Final = ("agent", "agent_version", "model", "provider")
_SCORE: Final = (
    *("grader", "rubric_hash", "sample", "grader_kind", "label", "rationale", "evidence", "error"),
    *("judge_model", "prompt_hash", "seed", "mode", "metadata"),
)
# Rows that tell whether a column may hold scores.
_LOOKED_AT: Final = 100


@dataclass(slots=True)
class Raw:
    """The records of one file as they are, before anything is made of them.

    Attributes
    ----------
    frame
        Columns as found; `line`, and `__record` where records and lines differ.
    source
        The file, or `<frame>`.
    problems
        What could not be read of it.
    """

    frame: pl.DataFrame
    source: str
    problems: list[Problem] = field(default_factory=list)
    file: bool = True


def to_evals(
    raw: Raw, *, mapping: Mapping | None, run: str, tables: Collection[str] = TABLES
) -> tuple[Part, Roles]:
    """Make the tables of one file's records.

    Parameters
    ----------
    raw
        The records.
    mapping
        What the columns are; what it does not say is recognised by name.
    run
        What the run is called where no column says it, nor the version of its agent.
    tables
        Those that are wanted: of trials and cases that are not, nothing is made.

    Raises
    ------
    FormatError
        It cannot be told which columns hold the case and the scores.
    """
    frame = _plain(raw.frame)
    columns = [name for name in frame.columns if name not in ("line", RECORD)]
    numeric = [name for name in columns if _may_score(frame[name].head(_LOOKED_AT))]
    roles = resolve(mapping, columns, source=raw.source, numeric=numeric)
    _doubt_grader(frame, roles)
    maker = _Maker(frame, roles, raw, run)
    problems = raw.problems
    scores = maker.wide() if roles.criteria is not None else maker.long()
    made = {
        "scores": scores,
        "trials": maker.trials() if "trials" in tables else None,
        "cases": maker.cases() if "cases" in tables else None,
        "runs": maker.runs(),
        "criteria": maker.criteria(scores),
    }
    problems = in_order([*problems, *maker.problems])
    notes = maker.notes(mapping)
    files = [raw.source] if raw.file else []
    try:
        evals = Evals.from_tables(**made, problems=problems, notes=notes, files=files)
    except ColumnError:
        scores, doubled = drop_judgements(scores, roles, source=raw.source, runs_known=maker.runs_known)
        made["scores"], more = fit(SCORES, scores)
        problems = in_order([*problems, *doubled, *more])
        evals = Evals.from_tables(**made, problems=problems, notes=notes, files=files)
    return Part(evals, run if maker.run_parts else None), roles


class _Maker:
    """The tables of one frame."""

    def __init__(self, frame: pl.DataFrame, roles: Roles, raw: Raw, run: str) -> None:
        self.roles = roles
        self.source, self.file, self.run = raw.source, raw.file, run
        self.problems: list[Problem] = []
        self.run_parts: list[str] = []
        self.used: set[str] = set()
        self.words: set[str] = set()
        self.scaled: tuple[list[str], list[float | None]] = ([], [])
        wide = roles.criteria is not None
        plural = RECORD if RECORD in frame.columns else "line"
        keys = {
            "run": self._runs(frame, run),
            "case": as_names(frame[roles.columns["case"]])
            if "case" in roles.columns
            else frame[plural].cast(pl.String)
            if "case" not in roles.values
            else _constant(frame, roles.values["case"]),
            "epoch": self._epochs(frame),
        }
        self.frame = frame.with_columns(values.alias(f"__{name}") for name, values in keys.items())
        self._drop(pl.col("__run").is_null() | (pl.col("__run") == ""), "there is no run")
        self._drop(pl.col("__case").is_null() | (pl.col("__case") == ""), "there is no case")
        self._drop(pl.col("__epoch").is_null(), "the epoch is not a whole number")
        if wide:
            self.frame, doubled = drop_answers(
                self.frame, roles, source=raw.source, runs_known=self.runs_known
            )
            self.problems += doubled

    @property
    def runs_known(self) -> bool:
        """Whether a column, or the mapping, tells runs apart."""
        return bool(self.run_parts) or "run" in {*self.roles.columns, *self.roles.values}

    def column(self, what: str) -> pl.Series | None:
        """Return what the file, or else the mapping, says of `what`."""
        if what in self.roles.columns:
            return self.frame[self.roles.columns[what]]
        if what in self.roles.values:
            return _constant(self.frame, self.roles.values[what])
        return None

    def read(self, what: str, table: Table) -> pl.Series | None:
        """Return `column(what)` with the dtype it has in `table`; what cannot be is null and a problem."""
        values = self.column(what)
        if values is None:
            return None
        dtype = table.schema[what]
        made = cell_values(values, dtype)
        bad = made.is_null() & values.is_not_null()
        if bad.any() and what not in self.used:
            allowed = f"; it may be {', '.join(dtype.categories)}" if isinstance(dtype, pl.Enum) else ""
            for line, value in zip(self.frame["line"].filter(bad), values.filter(bad), strict=True):
                text = as_text(value) or ""
                if text.strip():
                    self.problems.append(Problem(self.source, line, f"{what} is {text!r:.80}{allowed}"))
        self.used.add(what)
        return made.alias(what)

    def wide(self) -> pl.DataFrame:
        """Return the scores of rows that are answers: the judge's, and the labels of people beside them."""
        parts, wrong = [], []
        told = [(self.roles.criteria or {}, self._score_columns(), self.roles.beside)]
        if self.roles.people:
            told.append((self.roles.people, self._label_columns(), {}))
        for named, shared, beside in told:
            for criterion, column in named.items():
                part, bad = self._answers(criterion, column, shared)
                for what, columns in beside.items():
                    if criterion in columns:
                        part[what] = as_names(self.frame[columns[criterion]])
                parts.append(pl.DataFrame({name: values.alias(name) for name, values in part.items()}))
                wrong.append(bad)
        self._complain(pl.concat(wrong))
        scores = pl.concat(parts, how="diagonal_relaxed")
        # What a judge left empty is unscored; what a person left empty nobody asked that person.
        unasked = (pl.col("grader_kind") == "human") & pl.col("error").eq_missing(NOTHING)
        return scores.filter(~unasked.fill_null(value=False)).with_columns(
            source=pl.lit(self.source, dtype=pl.Categorical())
        )

    def _answers(
        self, criterion: str, column: str, shared: dict[str, pl.Series]
    ) -> tuple[dict[str, pl.Series], pl.DataFrame]:
        """Return the scores in a column as columns of scores, and the lines that hold none that can be read."""
        scores, labels, errors = read_scores(self.frame[column])
        part = {**shared, "criterion": _constant(self.frame, criterion), "score": scores, "error": errors}
        if labels is not None:
            part["label"] = labels
            self.words.add(criterion)
        text = as_names(self.frame[column])
        told = {"line": self.frame["line"], "criterion": part["criterion"], "text": errors}
        return part, pl.DataFrame(told).filter(scores.is_null() & (text.fill_null("") != ""))

    def _label_columns(self) -> dict[str, pl.Series]:
        """Return what the labels of people share: which trial, and who judged it."""
        made = {name: self.frame[f"__{name}"] for name in _KEYS} | {"line": self.frame["line"]}
        rater = self.column("rater")
        made["grader"] = (
            _constant(self.frame, "person") if rater is None else as_names(rater).fill_null("person")
        )
        kinds = pl.Series(["human"], dtype=pl.Enum(GRADER_KINDS))
        return made | {"grader_kind": kinds.new_from_index(0, self.frame.height)}

    def long(self) -> pl.DataFrame:
        """Return the scores of rows that are judgements."""
        made = self._score_columns()
        criterion = as_names(self.frame[self.roles.columns["criterion"]])
        missing = criterion.is_null() | (criterion == "")
        if missing.any():
            for line in self.frame["line"].filter(missing):
                self.problems.append(Problem(self.source, line, "there is no criterion"))
        made["criterion"] = criterion
        given = self.column("score")
        words = self.column("label") if given is None else given
        if words is None:  # pragma: no cover  (resolve asks for one of them)
            raise FormatError(f"{self.source}: there is no score.")
        scores, labels, errors = read_scores(words)
        made["score"] = scores
        if labels is not None:
            made["label"] = made.get("label", labels)
            self.words |= {*criterion.drop_nulls()}
        told = made.get("error")
        made["error"] = errors if told is None else pl.select(pl.coalesce(told, errors)).to_series()
        made["error"] = made["error"].set(scores.is_not_null(), None)
        bad = words.is_not_null() & scores.is_null() & (as_names(words).fill_null("") != "")
        self._complain(
            pl.DataFrame({"line": self.frame["line"], "criterion": criterion, "text": errors}).filter(
                bad & ~missing
            )
        )
        frame = pl.DataFrame({name: values.alias(name) for name, values in made.items()}).filter(~missing)
        return frame.with_columns(source=pl.lit(self.source, dtype=pl.Categorical()))

    def trials(self) -> pl.DataFrame | None:
        """Return a row an attempt, where the file says anything of it."""
        values = {what: self.read(what, TRIALS) for what in _TRIAL}
        if self.roles.criteria is None:
            # Beside a judgement, tokens and costs are the judge's.
            values = {what: series for what, series in values.items() if what in ("output", "latency_s")}
        return self._firsts(_KEYS, values, TRIALS)

    def cases(self) -> pl.DataFrame | None:
        """Return a row a case, where the file says anything of it."""
        values = {what: self.read(what, CASES) for what in _CASE}
        suite = self.column("suite")
        return self._firsts(["suite", "case"], values, CASES, suite=suite)

    def runs(self) -> pl.DataFrame:
        """Return a row a run; what nobody named is called after the run."""
        values = {what: self.read(what, RUNS) for what in _RUN}
        keys = {"run": self.frame["__run"], "suite": self.column("suite")}
        given = {name: as_names(series) for name, series in {**keys, **values}.items() if series is not None}
        frame = pl.DataFrame({name: series.alias(name) for name, series in given.items()})
        by_run = frame.lazy().group_by("run", maintain_order=True)
        several = by_run.agg(pl.col(n).drop_nulls().unique(maintain_order=True) for n in frame.columns[1:])
        for name in (name for name in _RUN if name in self.roles.columns):
            for run, found in (
                several.select("run", name).filter(pl.col(name).list.len() > 1).collect().iter_rows()
            ):
                reason = f"run {run!r} has several values of {name}: {join_words(found, limit=6)}; the first is kept"
                advice = f"; if each is a run of its own: mapping={{'run': {self.roles.columns[name]!r}}}"
                self.problems.append(Problem(self.source, None, reason + advice))
        frame = by_run.agg(pl.all().drop_nulls().first()).collect()
        version = (
            pl.col("agent_version") if "agent_version" in frame.columns else pl.lit(None, dtype=pl.String)
        )
        return frame.with_columns(agent_version=pl.coalesce(version, "run"), source=pl.lit(self.source))

    def criteria(self, scores: pl.DataFrame) -> pl.DataFrame | None:
        """Return a row a criterion, with the scale that was declared, or null."""
        names = scores["criterion"].cast(pl.String).unique(maintain_order=True).drop_nulls()
        if self.roles.criteria is not None:
            both = {**self.roles.criteria, **self.roles.people}
            names = pl.Series("criterion", list(both), dtype=pl.String)
        scales = self.roles.scales
        columns = {column: name for name, column in (self.roles.criteria or {}).items()}
        by_name = {columns.get(name, name): scale for name, scale in scales.items()}
        own = self._scale_columns()
        # Words for yes and no are pass or fail, whatever scale is declared for the numbers.
        said = dict.fromkeys(self.words, (0.0, 1.0))
        declared = {**said, **own, **by_name}
        rows = [declared.get(n, by_name.get("", (None, None))) for n in names]
        self.scaled = names.to_list(), [row[0] for row in rows]
        suites = self.column("suite")
        frame = pl.DataFrame(
            {
                "criterion": names,
                "scale_min": pl.Series([row[0] for row in rows], dtype=pl.Float64),
                "scale_max": pl.Series([row[1] for row in rows], dtype=pl.Float64),
                "kind": pl.Series([said.get(n) and "binary" for n in names], dtype=pl.String),
            }
        )
        if suites is None or frame.is_empty():
            return frame
        return frame.join(
            as_names(suites).fill_null("").unique(maintain_order=True).to_frame("suite"), how="cross"
        )

    def notes(self, mapping: Mapping | None) -> list[str]:
        """Say what was taken for what."""
        roles = self.roles
        notes = [roles.sentence()]
        if "case" not in roles.columns and "case" not in roles.values:
            notes.append("A case is the number of its line or record: runs pair line by line.")
        if self.run_parts:
            made = " and ".join(f"{part} ({roles.columns[part]!r})" for part in self.run_parts)
            names = join_words(map(repr, self.frame["__run"].unique(maintain_order=True)), limit=6)
            notes.append(f"No column says the run: it is made of {made}: {names}.")
        elif not self.runs_known:
            notes.append(
                "A run is called after the folder of its file, or the file where a folder holds several."
                if self.file
                else f"No column says the run: it is called {self.run!r}."
            )
        if "agent_version" not in roles.columns and "agent_version" not in roles.values:
            notes.append("No column says the agent's version: it is the run's name.")
        if "grader" not in roles.columns and "grader" not in roles.values:
            notes.append("No column says who judged: the grader is called 'judge'.")
        unscaled = [name for name, low in zip(*self.scaled, strict=True) if low is None]
        if unscaled:
            notes.append(
                f'No scale is declared for {join_words(unscaled)}: give mapping={{"scale": [lowest, highest]}}.'
            )
        notes += [
            f"{self.source}: there is no column {column!r} ({what}), which {mapping.name if mapping else 'the mapping'} names."
            for column, what, _ in roles.missing
        ]
        taken = {*roles.columns.values(), *(roles.criteria or {}).values(), *roles.people.values()}
        taken |= {column for beside in roles.beside.values() for column in beside.values()}
        dropped = [c for c in self.frame.columns if c not in taken and c != "line" and not c.startswith("__")]
        if dropped:
            notes.append(f"Columns not read: {', '.join(sorted(dropped))}.")
        return notes

    def _runs(self, frame: pl.DataFrame, otherwise: str) -> pl.Series:
        columns = self.roles.columns
        if "run" in columns:
            return as_names(frame[columns["run"]])
        if "run" not in self.roles.values and not self.roles.by_folder:
            given = {str(part): as_names(frame[columns[part]]) for part in PARTS if part in columns}
            named = name_runs(given, otherwise=otherwise)
            if named is not None:
                runs, self.run_parts = named
                return runs
        return _constant(frame, self.roles.values.get("run", otherwise))

    def _epochs(self, frame: pl.DataFrame) -> pl.Series:
        if "epoch" not in self.roles.columns:
            return pl.Series("epoch", [1], dtype=pl.Int32).new_from_index(0, frame.height)
        given = frame[self.roles.columns["epoch"]]
        epochs = cell_values(given, pl.Int32())
        return epochs.set(given.is_null(), 1)

    def _drop(self, condition: pl.Expr, reason: str) -> None:
        """Leave out the rows that no record can be made of, a problem each."""
        bad = self.frame.select(condition.alias("bad"))["bad"].fill_null(value=False)
        if bad.any():
            self.problems += [Problem(self.source, line, reason) for line in self.frame["line"].filter(bad)]
            self.frame = self.frame.filter(~bad)

    def _score_columns(self) -> dict[str, pl.Series]:
        made = {name: self.frame[f"__{name}"] for name in _KEYS}
        made["line"] = self.frame["line"]
        for what in _SCORE:
            values = self.read(what, SCORES)
            if values is not None:
                made[what] = values
        if self.roles.criteria is None:
            for what in ("input_tokens", "output_tokens", "cost_usd"):
                values = self.read(what, SCORES)
                if values is not None:
                    made[what] = values
        grader = as_names(made["grader"]) if "grader" in made else _constant(self.frame, "judge")
        made["grader"] = grader.fill_null("judge")
        if "grader_kind" not in made:
            human = grader.str.to_lowercase().str.contains("^(human|person|annotator)").fill_null(value=False)
            kinds = pl.select(pl.when(human).then(pl.lit("human")).otherwise(pl.lit("judge"))).to_series()
            made["grader_kind"] = kinds.cast(pl.Enum(GRADER_KINDS))
        return made

    def _complain(self, wrong: pl.DataFrame) -> None:
        """One problem a record whose scores cannot be read, however many they are."""
        grouped = wrong.group_by("line", "text", maintain_order=True).agg("criterion")
        for line, text, criteria in grouped.iter_rows():
            names = ", ".join(dict.fromkeys(criteria))
            self.problems.append(
                Problem(self.source, line, f"{names}: the score is {text!r}, not a finite number")
            )

    def _firsts(
        self,
        keys: list[str],
        values: dict[str, pl.Series | None],
        table: Table,
        *,
        suite: pl.Series | None = None,
    ) -> pl.DataFrame | None:
        """Return the first value that is not null of each column, a row a key; None where nothing is said."""
        given = {name: series for name, series in values.items() if series is not None}
        if not given:
            return None
        known = {"run": self.frame["__run"], "case": self.frame["__case"], "epoch": self.frame["__epoch"]}
        known["suite"] = _constant(self.frame, "") if suite is None else as_names(suite).fill_null("")
        parts = {name: known[name] for name in keys} | given
        if "line" in table.schema:
            parts["line"] = self.frame["line"]
        frame = pl.DataFrame({name: series.alias(name) for name, series in parts.items()})
        counts = (
            frame.lazy().group_by(keys).agg(pl.col(n).drop_nulls().n_unique() for n in given if n != "tags")
        )
        several = counts.select(pl.col(n).gt(1).sum() for n in given if n != "tags").collect()
        for name in several.columns:
            if several[name].item():
                reason = f"{plural(several[name].item(), f'{keys[-1]} has', plural=f'{keys[-1]}s have')} several values of {name}; the first of each is kept"
                self.problems.append(Problem(self.source, None, reason))
        frame = frame.group_by(keys, maintain_order=True).agg(pl.all().drop_nulls().first())
        return frame.with_columns(source=pl.lit(self.source)) if "source" in table.schema else frame

    def _scale_columns(self) -> dict[str, tuple[float, float]]:
        low, high = self.column("scale_min"), self.column("scale_max")
        if low is None or high is None or "criterion" not in self.roles.columns:
            return {}
        frame = pl.DataFrame(
            {
                "criterion": as_names(self.frame[self.roles.columns["criterion"]]),
                "low": cell_values(low, pl.Float64()),
                "high": cell_values(high, pl.Float64()),
            }
        ).drop_nulls()
        return {name: (a, b) for name, a, b in frame.unique("criterion", keep="first").iter_rows() if a < b}


def _doubt_grader(frame: pl.DataFrame, roles: Roles) -> None:
    """Take back a guess: who scored every answer has a name in every row, so a column with gaps names somebody else."""
    if roles.criteria is None or "grader" not in roles.guessed:
        return
    names = as_names(frame[roles.columns["grader"]]).fill_null("")
    if (names == "").any() and (names != "").any():
        del roles.columns["grader"]
        roles.guessed.remove("grader")


def _may_score(values: pl.Series) -> bool:
    """Whether most of the values are numbers, or words of them."""
    if values.dtype != pl.String:
        return values.dtype.is_numeric() or values.dtype == pl.Boolean
    said = values.drop_nulls()
    return 2 * cell_values(said, pl.Float64()).count() > said.len()


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame without NaN, and with nested values as JSON text but for lists of text."""
    made = []
    for series in frame:
        if series.dtype.is_float():
            made.append(series.fill_nan(None))
        elif series.dtype == pl.Object or (series.dtype.is_nested() and series.dtype != pl.List(pl.String)):
            made.append(text_series(series.name, series.to_list()))
        else:
            made.append(series)
    return pl.DataFrame(made) if made else frame


def _constant(frame: pl.DataFrame, value: str) -> pl.Series:
    return pl.Series("value", [value], dtype=pl.String).new_from_index(0, frame.height)


_FILLED = {"rubric_hash": "", "sample": 1}


def drop_answers(
    frame: pl.DataFrame, roles: Roles, *, source: str, runs_known: bool
) -> tuple[pl.DataFrame, list[Problem]]:
    """Keep the first of the rows that are the same attempt: `__run`, `__case` and `__epoch`."""
    keys = {name: pl.col(f"__{name}") for name in ("run", "case", "epoch")}
    return _drop(frame, keys, _advice(roles, runs_known=runs_known), source)


def drop_judgements(
    scores: pl.DataFrame, roles: Roles, *, source: str, runs_known: bool
) -> tuple[pl.DataFrame, list[Problem]]:
    """Keep the first of the rows that are the same judgement: the key of `evalkit.data.schema.SCORES`."""
    keys = {
        name: pl.col(name).fill_null(_FILLED[name]) if name in _FILLED else pl.col(name)
        for name in SCORES.key
        if name in scores.columns
    }
    return _drop(scores, keys, _advice(roles, runs_known=runs_known), source)


def _drop(
    frame: pl.DataFrame, keys: dict[str, pl.Expr], advice: str, source: str
) -> tuple[pl.DataFrame, list[Problem]]:
    first = frame.select(
        pl.struct(key.alias(name) for name, key in keys.items()).is_first_distinct()
    ).to_series()
    if first.all():
        return frame, []
    line = pl.col("line")
    doubled = frame.select(*(key.alias(name) for name, key in keys.items()), line).with_columns(
        __first=line.first().over(list(keys))
    )
    problems = []
    for row in doubled.filter(~first).iter_rows(named=True):
        told = [f"{name} {row[name]!r}" for name in keys if name != "run" and row[name] != _FILLED.get(name)]
        same = f"{', '.join(told[:-1])} and {told[-1]}"
        reason = (
            f"the same {same} of run {row['run']!r} as in line {row['__first']}; the first is kept{advice}"
        )
        problems.append(Problem(source, row["line"], reason))
    return frame.filter(first), problems


def _advice(roles: Roles, *, runs_known: bool) -> str:
    """Say which column would tell such rows apart, where one may not have been named."""
    if "epoch" not in roles.columns:
        what, key = "repeats", "epoch"
    elif roles.criteria is None and "sample" not in roles.columns:
        what, key = "repeated judgements", "sample"
    else:
        return ""
    told = f"; if these are {what}, name their column: mapping={{{key!r}: ...}}"
    return told if runs_known else f"{told}, or if other versions: mapping={{'agent_version': ...}}"
