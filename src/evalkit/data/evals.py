"""`Evals`: the six tables of a collection of evaluations, together."""

from __future__ import annotations

import html
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import polars as pl

from evalkit.data import parquet as saved
from evalkit.data.schema import PROBLEMS_SCHEMA, TABLES, Problem, Table
from evalkit.util.arguments import expect, expect_evals
from evalkit.util.errors import ColumnError, FormatError, SelectorError
from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd

    from evalkit.data.schema import TableName

_TRIAL: Final = ["run", "case", "epoch"]


class PandasTables(NamedTuple):
    """The six tables as pandas frames; key columns are categories."""

    cases: pd.DataFrame
    criteria: pd.DataFrame
    runs: pd.DataFrame
    trials: pd.DataFrame
    turns: pd.DataFrame
    scores: pd.DataFrame

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {len(frame):,}" for name, frame in self._asdict().items())
        return f"PandasTables, rows: {rows}"


def to_polars(frame: Any) -> pl.DataFrame:
    """Return any frame (polars eager or lazy, pandas, pyarrow, DuckDB) as a polars frame.

    Raises
    ------
    FormatError
        It is no frame.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    import narwhals as nw

    try:
        native = nw.from_native(frame)
    except TypeError:
        raise FormatError(
            f"A frame was expected (polars, pandas, pyarrow), not {type(frame).__name__}."
        ) from None
    if isinstance(native, nw.LazyFrame):
        native = native.collect()
    return cast("pl.DataFrame", native.to_polars())


def some_of(frame: Any, *columns: str) -> pl.DataFrame:
    """Return some columns of a table; where it is lazy, only they are read."""
    made: Any = frame.select(columns)
    if isinstance(made, pl.LazyFrame):
        made = made.collect(engine="streaming")
    return cast("pl.DataFrame", made)


@dataclass(frozen=True, eq=False, repr=False)
class Evals:
    """What evaluations left behind: six tables, what could not be read, and what was taken for what.

    Make one with `evalkit.load` or `Evals.from_tables`. It is never changed: each verb returns a new one.

    Attributes
    ----------
    cases, criteria, runs, trials, turns, scores
        polars frames with exactly the columns of `evalkit.data.schema.TABLES`; `scores` and `turns` are lazy ones where
        they were scanned (`evalkit.scan`) rather than loaded.
    problems
        polars frame `source` (str), `line` (i64, null for a whole file), `reason` (str): what could not be read.
    notes
        Sentences: which column was taken for what, which fields were dropped, that the data is made up.
    files
        Every file that was read.

    Examples
    --------
    >>> evals = Evals.from_tables(
    ...     runs=pl.DataFrame({"run": ["a", "b"], "agent_version": ["v1", "v2"]}),
    ...     scores=pl.DataFrame({"run": ["a", "b"], "case": "01", "criterion": "Groq", "score": [2, 5]}),
    ... )
    >>> evals.filter(agent_version="v2").scores["score"].to_list()
    [5.0]
    >>> sorted(evals.to_pandas().scores["run"])
    ['a', 'b']
    """

    cases: pl.DataFrame
    criteria: pl.DataFrame
    runs: pl.DataFrame
    trials: pl.DataFrame
    turns: pl.DataFrame
    scores: pl.DataFrame
    problems: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PROBLEMS_SCHEMA))
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    _outputs: Any = None
    """Of what was scanned: `run`, `case`, `epoch`, `output` of the trials, which have none."""

    @classmethod
    def from_tables(
        cls,
        *,
        cases: Any = None,
        criteria: Any = None,
        runs: Any = None,
        trials: Any = None,
        turns: Any = None,
        scores: Any = None,
        problems: Iterable[Problem] = (),
        notes: Iterable[str] = (),
        files: Iterable[str] = (),
    ) -> Evals:
        """Check each table and put them together.

        Parameters
        ----------
        cases, criteria, runs, trials, turns, scores
            Frames (polars or pandas) or None for an empty one. Columns that a table does not have are
            dropped, columns that are not given are null. A run that only other tables name gets
            a row in `runs`.
        problems, notes, files
            See `Evals`.

        Raises
        ------
        ColumnError
            A table lacks a key column, holds a value that it may not, or has two rows with the same key.
        """
        given = {
            "cases": cases,
            "criteria": criteria,
            "runs": runs,
            "trials": trials,
            "turns": turns,
            "scores": scores,
        }
        made: dict[str, pl.DataFrame] = {}
        for name, table in TABLES.items():
            frame = given[name]
            made[name] = table.empty() if frame is None else table.check(to_polars(frame))
        made["runs"] = _with_all_runs(made)
        return cls(**made, problems=_problems_frame(problems), notes=tuple(notes), files=tuple(files))

    def tables(self) -> Iterator[tuple[Table, pl.DataFrame]]:
        """Yield each table's definition with its frame."""
        for name, table in TABLES.items():
            yield table, getattr(self, name)

    def attempts(self) -> pl.DataFrame:
        """Return one row for every trial that a record speaks of, with what is known of its run and case.

        Returns
        -------
        polars.DataFrame
            `suite`, `run`, `agent`, `agent_version`, `model`, `provider`, `case`, `severity`, `domain`,
            `tags`, `cluster`, `epoch`, `error`. A trial without a record in `trials` (scores alone were
            loaded) has a row too; a crashed one without scores likewise.
        """
        keys = pl.concat(some_of(frame, *_TRIAL) for frame in (self.trials, self.scores))
        keys = keys.unique(maintain_order=True)
        runs = self.runs.select(
            "run", pl.col("suite").fill_null(""), "agent", "agent_version", "model", "provider"
        )
        cases = self.cases.select("suite", "case", "severity", "domain", "tags", "cluster")
        joined = (
            keys.join(runs, on="run", how="left", maintain_order="left")
            .join(cases, on=["suite", "case"], how="left", maintain_order="left")
            .join(some_of(self.trials, *_TRIAL, "error"), on=_TRIAL, how="left", maintain_order="left")
        )
        return joined.select(
            "suite",
            *("run", "agent", "agent_version", "model", "provider"),
            *("case", "severity", "domain", "tags", "cluster", "epoch", "error"),
        )

    @property
    def is_scanned(self) -> bool:
        """Whether `scores` or `turns` are lazy: `ek.scan` made it, and `collect` takes it into memory."""
        large: tuple[Any, ...] = (self.scores, self.turns)
        return any(isinstance(frame, pl.LazyFrame) for frame in large)

    @property
    def outputs(self) -> pl.LazyFrame:
        """`run`, `case`, `epoch` and `output` of the trials, lazy: of what was scanned they are not in `trials`."""
        made: pl.LazyFrame | None = self._outputs
        return self.trials.lazy().select(*_TRIAL, "output") if made is None else made

    def collect(self) -> Evals:
        """Return the same in memory, as `ek.load` gives it; of what was scanned choose first what fits.

        Examples
        --------
        >>> import tempfile, evalkit as ek
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scanned = ek.scan(ek.demo.make().save(f"{folder}/saved"))
        ...     part = scanned.filter(case="01").collect()
        >>> part.is_scanned, part.scores["case"].unique().to_list()
        (False, ['01'])
        """
        made: dict[str, Any] = {table.name: frame.lazy().collect() for table, frame in self.tables()}
        return replace(self, **{**made, "trials": self._whole_trials()}, _outputs=None)

    def _whole_trials(self) -> pl.DataFrame:
        if self._outputs is None:
            return self.trials
        outputs = self._outputs.join(self.trials.lazy().select(_TRIAL), on=_TRIAL, how="semi").collect()
        joined = self.trials.drop("output").join(outputs, on=_TRIAL, how="left", maintain_order="left")
        return joined.select(self.trials.columns)

    @cached_property
    def judged(self) -> pl.DataFrame:
        """What was judged by what kind of grader: the distinct `run`, `criterion`, `grader_kind` of the scores.

        Found once and kept: an Evals does not change.
        """
        columns = ["run", "criterion", "grader_kind"]
        return some_of(self.scores.lazy().unique(columns), *columns).sort(columns)

    def __add__(self, other: Evals) -> Evals:
        """Put two collections together; see `evalkit.data.schema.Table.union` for records that both have."""
        if not isinstance(other, Evals):
            return NotImplemented
        return Evals.concat([self, other])

    @classmethod
    def concat(cls, parts: Iterable[Evals]) -> Evals:
        """Put many collections together: what adding one after the other gives, in one go."""
        parts = cast("list[Evals]", [*parts] if hasattr(parts, "__iter__") else [parts])
        if not parts:
            return cls.from_tables()
        for part in parts:
            expect_evals(part, "Evals.concat", loaded=True)
        made: dict[str, pl.DataFrame] = {}
        problems: list[Problem] = []
        for name, table in TABLES.items():
            made[name], clashes = table.union_all([getattr(part, name) for part in parts])
            problems += clashes
        said = pl.concat([*(part.problems for part in parts), _problems_frame(problems)])
        return cls(
            **made,
            problems=said.unique(maintain_order=True),
            notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
            files=tuple(dict.fromkeys(file for part in parts for file in part.files)),
        )

    def filter(self, *predicates: pl.Expr, **columns: Any) -> Evals:
        """Return the records that fit.

        Parameters
        ----------
        *predicates
            polars expressions over the columns of `attempts()`.
        **columns
            A column with the value, or the list of values, that it must have: of a run (`agent_version`,
            `model`, ...), a case (`severity`, `domain`, `tags`: any of them), a trial (`case`, `epoch`) or a
            score (`criterion`, `grader`, `grader_kind`, `rubric_hash`, `sample`, `judge_model`, `mode`).

        Raises
        ------
        ColumnError
            No table has such a column.
        SelectorError
            A value that no record has.
        """
        given: tuple[Any, ...] = predicates
        if wrong := [one for one in given if not isinstance(one, pl.Expr)]:
            raise ColumnError(
                f"filter takes columns with values, as in filter(severity='critical'), and polars expressions, not {wrong[0]!r:.60}."
            )
        attempts = self.attempts()
        by_trial = list(predicates)
        by_score: list[pl.Expr] = []
        for name, wanted in columns.items():
            values = (
                list(wanted) if isinstance(wanted, list | tuple | set | frozenset | pl.Series) else [wanted]
            )
            if name in attempts.columns:
                frame, where = attempts, by_trial
            elif name in TABLES["scores"].schema:
                frame, where = some_of(self.scores, name), by_score
            else:
                have = list(dict.fromkeys([*attempts.columns, *TABLES["scores"].schema]))
                raise ColumnError.missing(name, table="trials and scores", have=have)
            where.append(_one_of(frame, name, values))
        kept = attempts.filter(by_trial) if by_trial else attempts
        made: dict[str, Any] = {table.name: frame for table, frame in self.tables()}
        if by_trial:
            keys = kept.select(_TRIAL)
            large: tuple[TableName, ...] = ("trials", "turns", "scores")
            for table in large:
                other: Any = keys.lazy() if isinstance(made[table], pl.LazyFrame) else keys
                made[table] = made[table].join(other, on=_TRIAL, how="semi", maintain_order="left")
            made["runs"] = made["runs"].filter(pl.col("run").is_in(kept["run"].unique().implode()))
            asked = attempts.select("suite", "case").unique()
            gone = asked.join(kept.select("suite", "case").unique(), on=["suite", "case"], how="anti")
            made["cases"] = made["cases"].join(gone, on=["suite", "case"], how="anti", maintain_order="left")
        if by_score:
            made["scores"] = made["scores"].filter(by_score)
        return replace(self, **made)

    def equals(self, other: Evals) -> bool:
        """Whether both hold the same records, problems, notes and files."""
        for evals in (self, other):
            expect_evals(evals, "Evals.equals", loaded=True)
        return (
            self.notes == other.notes
            and self.files == other.files
            and self.problems.equals(other.problems)
            and all(frame.equals(getattr(other, table.name)) for table, frame in self.tables())
        )

    def to_pandas(self) -> PandasTables:
        """Return the six tables as pandas frames, in a named tuple."""
        expect_evals(self, "Evals.to_pandas", loaded=True)
        return PandasTables(**{table.name: frame.to_pandas() for table, frame in self.tables()})

    def save(self, folder: str | Path) -> Path:
        """Write Parquet, one file a table; an earlier save in the same folder is replaced as a whole.

        Parameters
        ----------
        folder
            A folder that does not exist, is empty, or was written by `save`.

        Returns
        -------
        pathlib.Path
            The folder.

        Raises
        ------
        FormatError
            The folder holds files that evalkit did not write.
        """
        expect(Evals.save, locals())
        folder = Path(folder)
        saved.check_target(folder)
        frames: dict[str, pl.DataFrame] = {table.name: frame for table, frame in self.tables()}
        frames["trials"] = self._whole_trials()
        with saved.replacing(folder) as fresh:
            saved.write(fresh, {**frames, "problems": self.problems}, notes=self.notes, files=self.files)
        return folder

    @classmethod
    def load(cls, folder: str | Path, *, tables: Iterable[str] = tuple(TABLES)) -> Evals:
        """Read what `save` wrote, or some tables of it (and `runs`).

        Raises
        ------
        PathError
            There is no such folder.
        FormatError
            `save` did not write it, or a newer evalkit did.
        """
        expect(cls.load, locals())
        folder = Path(folder)
        manifest = saved.read_manifest(folder)
        made, problems = saved.read(folder, {"runs", *tables})
        made["runs"] = _with_all_runs(made)
        return cls(**made, problems=problems, notes=tuple(manifest["notes"]), files=tuple(manifest["files"]))

    def __repr__(self) -> str:
        counts, rows = self._told()
        lines = [f"Evals: {', '.join(counts)}"]
        lines += [f"  {name:<9}{height:>9,}  {what}".rstrip() for name, height, what in rows]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        counts, rows = self._told()
        body = "".join(
            f"<tr><th scope='row' style='text-align:left'>{name}</th><td style='text-align:right'>{height:,}</td>"
            f"<td style='text-align:left'>{html.escape(what)}</td></tr>"
            for name, height, what in rows
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<p><strong>Evals</strong>: {html.escape(', '.join(counts))}</p>"
            "<table><thead><tr><th scope='col' style='text-align:left'>table</th><th scope='col'>rows</th>"
            f"<th scope='col' style='text-align:left'>what is in it</th></tr></thead><tbody>{body}</tbody></table>"
            + (f"<ul>{notes}</ul>" if notes else "")
        )

    def _told(self) -> tuple[list[str], list[tuple[str, int, str]]]:
        """Return what there is, plural, and for each table its rows and what is in them."""
        suites = pl.concat([self.cases["suite"], self.runs["suite"].drop_nulls()]).unique()
        scores = some_of(self.scores, "case", "score", "grader")
        errors = some_of(self.trials, "error")["error"]
        named = {
            "cases": self.cases.height or scores["case"].n_unique(),
            "trials": self.attempts().height,
        }
        counts = [
            (len([name for name in suites if name]), "suite"),
            (named["cases"], "case"),
            (self.runs.height, "run"),
            (named["trials"], "trial"),
            (scores.height, "score"),
            (self.problems.height, "problem"),
        ]
        facts = {
            "cases": _kinds(self.cases["severity"]),
            "criteria": _names(self.criteria["criterion"]),
            "runs": f"versions {_names(self.runs['agent_version'])}; models {_names(self.runs['model'])}",
            "trials": _crashed(errors.drop_nulls()),
            "scores": f"{scores['score'].null_count():,} without a score; graders {_names(scores['grader'])}",
        }
        rows: list[tuple[str, int, str]] = []
        for table, frame in self.tables():
            height = some_of(frame, table.key[0]).height
            what = [facts[table.name]] if height and table.name in facts else []
            # What the counts above rest on where the table itself does not hold it.
            if (more := named.get(table.name, 0) - height) > 0:
                what.append(f"{more:,} {'more ' if height else ''}that only scores name")
            rows.append((table.name, height, "; ".join(what)))
        rows.append(("problems", self.problems.height, ""))
        return [plural(count, word) for count, word in counts if count or word != "suite"], rows


def _names(series: pl.Series, most: int = 4) -> str:
    names = sorted({str(name) for name in series.drop_nulls().unique().to_list() if name != ""})
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(_plain(name) for name in names[:most]) + more) if names else NOT_GIVEN


def _crashed(errors: pl.Series) -> str:
    """How many trials crashed, and of what most of them."""
    if errors.is_empty():
        return "0 crashed"
    most = errors.value_counts().sort("count", "error", descending=[True, False]).row(0)
    often = "" if most[1] == errors.len() else f", {most[1]:,} of them"
    return f"{errors.len():,} crashed{often}: {_plain(str(most[0]), 90)}"


def _kinds(series: pl.Series) -> str:
    counts = series.drop_nulls().value_counts().sort(series.name, descending=True)
    return ", ".join(f"{count} {name}" for name, count in counts.iter_rows()) or f"severity {NOT_GIVEN}"


def _plain(text: str, most: int = 40) -> str:
    """One line of a name that somebody else chose, safe for a terminal."""
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _problems_frame(problems: Iterable[Problem]) -> pl.DataFrame:
    return pl.DataFrame(list(problems), schema=PROBLEMS_SCHEMA)


def _with_all_runs(made: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the runs table with a row for each run that only other tables name."""
    frames = [made[name].select("run") for name in ("trials", "scores", "turns") if made[name].height]
    if not frames:
        return made["runs"]
    named = pl.concat(frames).unique(maintain_order=True)
    new = named.join(made["runs"], on="run", how="anti", maintain_order="left")
    if new.is_empty():
        return made["runs"]
    return pl.concat([made["runs"], TABLES["runs"].check(new)])


def _one_of(frame: pl.DataFrame, name: str, values: list[Any]) -> pl.Expr:
    """Return the condition that the column has one of the values; refuse a value that no row has."""
    dtype = frame.schema[name]
    listed = isinstance(dtype, pl.List)
    have = (frame[name].explode(empty_as_null=True) if listed else frame[name]).drop_nulls().unique()
    known = {str(value) for value in have.to_list()}
    for value in values:
        if value is not None and str(value) not in known:
            raise SelectorError.unknown(value, kind=name.replace("_", " "), have=sorted(known))
    if listed:
        condition = pl.col(name).list.eval(pl.element().is_in(values)).list.any().fill_null(value=False)
    else:
        text = dtype in (pl.String, pl.Categorical, pl.Enum)
        condition = (
            pl.col(name).cast(pl.String).is_in([str(v) for v in values if v is not None])
            if text
            else pl.col(name).is_in([v for v in values if v is not None])
        )
        if None in values:
            condition = condition.fill_null(value=False) | pl.col(name).is_null()
    return condition
