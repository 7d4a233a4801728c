"""`Evals`: the six tables of a collection of evaluations."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl

from evalkit.data import evals_summary, parquet
from evalkit.data.conflicts import INPUT, OUTPUT, drop_copies, find_conflicts, plain_case
from evalkit.data.frames import PandasTables, is_one_of, some_of, to_polars
from evalkit.data.schema import PROBLEMS_SCHEMA, TABLES, TRIAL_KEY, Problem, Table
from evalkit.data.scoring import Scoring
from evalkit.util.arguments import expect, expect_evals
from evalkit.util.atomic_files import replace_folder
from evalkit.util.errors import ColumnError
from evalkit.util.notes import Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Evals", "PandasTables", "some_of", "to_polars"]

_LARGE: Final = ("trials", "turns", "scores")


@dataclass(frozen=True, eq=False, repr=False)
class Evals:
    """Hold the six tables of a collection of evaluations, with problems and notes.

    Create one with `evalkit.load` or `Evals.from_tables`. It is immutable: each verb returns a new one.

    Attributes
    ----------
    cases, criteria, runs, trials, turns, scores
        polars frames with the columns of `evalkit.data.schema.TABLES`; `scores` and `turns` are lazy after
        `evalkit.scan`.
    problems
        Unreadable records: `source` (str), `line` (i64, null for a whole file), `reason` (str).
    notes
        `Note` values: guesses, ignored fields, skipped files, synthetic data.
    files
        Every file read.
    scoring
        The scores that count and the pass rule; see `with_scoring`.

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
    notes: tuple[Note, ...] = ()
    files: tuple[str, ...] = ()
    scoring: Scoring = field(default_factory=Scoring)
    _outputs: Any = None
    """After a scan: `run`, `case`, `epoch`, `output` of the trials, lazy."""

    def __post_init__(self) -> None:
        # Plain text is a note without a kind, as in old folders.
        given: Iterable[Any] = self.notes
        notes = (note if isinstance(note, Note) else Note("note", str(note)) for note in given)
        object.__setattr__(self, "notes", tuple(dict.fromkeys(notes)))

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
        notes: Iterable[Note | str] = (),
        files: Iterable[str] = (),
    ) -> Evals:
        """Check each table and combine them.

        Parameters
        ----------
        cases, criteria, runs, trials, turns, scores
            Frames (polars or pandas), or None for an empty table. Unknown columns are dropped, missing ones
            are null. `runs` gets a row for each run that only other tables name.
        problems, notes, files
            See `Evals`.

        Raises
        ------
        ColumnError
            A table lacks a key column, has an invalid value, or repeats a key.
        """
        frames = (cases, criteria, runs, trials, turns, scores)
        tables: dict[str, Any] = {
            name: table.empty() if frame is None else table.check(to_polars(frame))
            for (name, table), frame in zip(TABLES.items(), frames, strict=True)
        }
        tables["runs"] = _with_all_runs(tables)
        return cls(**tables, problems=_problems_frame(problems), notes=cast("Any", notes), files=tuple(files))

    def tables(self) -> Iterator[tuple[Table, pl.DataFrame]]:
        """Yield each table's definition with its frame."""
        for name, table in TABLES.items():
            yield table, getattr(self, name)

    def attempts(self) -> pl.DataFrame:
        """Return one row per trial, with facts of its run and case.

        Returns
        -------
        polars.DataFrame
            `suite`, `run`, `agent`, `agent_version`, `model`, `provider`, `case`, `severity`, `domain`,
            `tags`, `cluster`, `epoch`, `error`. Includes trials that occur only in `scores`, and crashed
            ones.
        """
        keys = pl.concat(some_of(frame, *TRIAL_KEY) for frame in (self.trials, self.scores))
        run_facts = ("agent", "agent_version", "model", "provider")
        case_facts = ("severity", "domain", "tags", "cluster")
        runs = self.runs.select("run", pl.col("suite").fill_null(""), *run_facts)
        cases = self.cases.select("suite", "case", *case_facts)
        errors = some_of(self.trials, *TRIAL_KEY, "error")
        joined = (
            keys.unique(maintain_order=True)
            .join(runs, on="run", how="left", maintain_order="left")
            .join(cases, on=["suite", "case"], how="left", maintain_order="left")
            .join(errors, on=TRIAL_KEY, how="left", maintain_order="left")
        )
        return joined.select("suite", "run", *run_facts, "case", *case_facts, "epoch", "error")

    @property
    def made_up(self) -> bool:
        """Whether a run is synthetic: generated, or judged without a model."""
        return bool(self.runs["made_up"].any())

    @property
    def made_up_note(self) -> str:
        """A sentence for synthetic data, "" for real data."""
        if not self.made_up:
            return ""
        notes = (str(note) for note in self.notes if note.kind == "synthetic")
        return next(notes, "The data, or part of it, is synthetic.")

    def mark_made_up(self, runs: Iterable[str] | None = None) -> Evals:
        """Mark runs as synthetic; None for all."""
        names = pl.Series(self.runs["run"] if runs is None else list(runs), dtype=pl.String)
        is_made_up = pl.when(pl.col("run").cast(pl.String).is_in(names.unique().implode())).then(
            pl.lit(value=True)
        )
        return replace(self, runs=self.runs.with_columns(made_up=is_made_up.otherwise("made_up")))

    def with_scoring(
        self,
        *,
        rule: Any = None,
        grader: str | Sequence[str] | None = None,
        rubric: str | Sequence[str] | None = None,
        weights: Mapping[str, float] | None = None,
        level: float | None = None,
    ) -> Evals:
        """Set the pass rule and the scores that count, the default of every verb.

        Parameters
        ----------
        rule
            An `evalkit.PassRule`.
        grader
            The grader, or graders, whose scores count.
        rubric
            A rubric hash, or several, or "any".
        weights
            Weight per severity.
        level
            Confidence level of intervals, between 0 and 1.

        Examples
        --------
        >>> Evals.from_tables().with_scoring(grader="human").with_scoring(level=0.9).scoring.grader
        'human'
        """
        expect(Evals.with_scoring, locals())
        given = {"rule": rule, "grader": grader, "rubric": rubric, "weights": weights, "level": level}
        return replace(self, scoring=self.scoring.replace_given(**given))

    def pair_by_id(self) -> Evals:
        """Compare cases of one ID even where their inputs differ, and trials where their outputs do."""
        return replace(self, notes=tuple(note for note in self.notes if note.kind not in (INPUT, OUTPUT)))

    def normalize_cases(self) -> Evals:
        """Write case IDs that look alike as one: Unicode form NFKC, lower case, no outer blanks or leading zeros.

        Raises
        ------
        ColumnError
            Two trials or scores of one run would have the same key.

        Examples
        --------
        >>> rows = pl.DataFrame(
        ...     {"run": ["a", "b"], "case": ["007", "7 "], "criterion": "tone", "score": [2, 5]}
        ... )
        >>> Evals.from_tables(scores=rows).normalize_cases().scores["case"].to_list()
        ['7', '7']
        """
        tables: dict[str, Any] = {
            table.name: frame.with_columns(case=plain_case("case")) if "case" in table.schema else frame
            for table, frame in self.tables()
        }
        by_case = tables["cases"].group_by("suite", "case", maintain_order=True)
        tables["cases"] = by_case.agg(pl.all().drop_nulls().first())
        checked = Evals.from_tables(**tables)
        return replace(self, **{name: getattr(checked, name) for name in TABLES})

    @property
    def is_scanned(self) -> bool:
        """Whether `scores` or `turns` are lazy; `collect` reads them."""
        large: tuple[Any, ...] = (self.scores, self.turns)
        return any(isinstance(frame, pl.LazyFrame) for frame in large)

    @property
    def outputs(self) -> pl.LazyFrame:
        """`run`, `case`, `epoch` and `output` of the trials, lazy; after a scan `trials` has no outputs."""
        outputs: pl.LazyFrame | None = self._outputs
        return self.trials.lazy().select(*TRIAL_KEY, "output") if outputs is None else outputs

    def collect(self) -> Evals:
        """Read the lazy tables of a scan into memory; filter first.

        Examples
        --------
        >>> import tempfile, evalkit as ek
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scanned = ek.scan(ek.demo.make().save(f"{folder}/saved"))
        ...     part = scanned.filter(case="01").collect()
        >>> part.is_scanned, part.scores["case"].unique().to_list()
        (False, ['01'])
        """
        tables: dict[str, Any] = {table.name: frame.lazy().collect() for table, frame in self.tables()}
        return replace(self, **{**tables, "trials": self._trials_with_output()}, _outputs=None)

    def _trials_with_output(self) -> pl.DataFrame:
        if self._outputs is None:
            return self.trials
        keys = self.trials.lazy().select(TRIAL_KEY)
        outputs = self._outputs.join(keys, on=TRIAL_KEY, how="semi").collect()
        trials = self.trials.drop("output").join(outputs, on=TRIAL_KEY, how="left", maintain_order="left")
        return trials.select(self.trials.columns)

    @cached_property
    def judged(self) -> pl.DataFrame:
        """The distinct `run`, `criterion`, `grader_kind` of the scores."""
        columns = ["run", "criterion", "grader_kind"]
        return some_of(self.scores.lazy().unique(columns), *columns).sort(columns)

    def __add__(self, other: Evals) -> Evals:
        """Combine two collections; see `evalkit.data.schema.Table.union` for shared records."""
        if not isinstance(other, Evals):
            return NotImplemented
        return Evals.concat([self, other])

    @classmethod
    def concat(cls, parts: Iterable[Evals]) -> Evals:
        """Combine many collections, faster than by `+`.

        The scoring is that of the parts if they agree.
        """
        parts = cast("list[Evals]", [*parts] if hasattr(parts, "__iter__") else [parts])
        if not parts:
            return cls.from_tables()
        for part in parts:
            expect_evals(part, "Evals.concat", loaded=True)
        tables: dict[str, pl.DataFrame] = {}
        clashes: list[Problem] = []
        notes = [note for part in parts for note in part.notes]
        for name, table in TABLES.items():
            tables[name], more = table.union_all([getattr(part, name) for part in parts])
            clashes += more
            if more and name in ("cases", "trials"):
                notes += find_conflicts(parts, name)
        tables, copies = drop_copies(tables)
        problems = pl.concat([*(part.problems for part in parts), _problems_frame(clashes)])
        scorings = [part.scoring for part in parts if part.scoring != Scoring()]
        agreed = scorings and all(scoring == scorings[0] for scoring in scorings)
        return cls(
            **tables,
            problems=problems.unique(maintain_order=True),
            notes=(*notes, *copies),
            files=tuple(dict.fromkeys(file for part in parts for file in part.files)),
            scoring=scorings[0] if agreed else Scoring(),
        )

    def filter(self, *predicates: pl.Expr, **columns: Any) -> Evals:
        """Return the matching records.

        Parameters
        ----------
        *predicates
            polars expressions over the columns of `attempts()`.
        **columns
            A column with a value or a list of values, of a run (`agent_version`, `model`, ...), a case
            (`severity`, `domain`, `tags`: any of them), a trial (`case`, `epoch`) or a score (`criterion`,
            `grader`, `grader_kind`, `rubric_hash`, `sample`, `judge_model`, `mode`).

        Raises
        ------
        ColumnError
            No table has such a column.
        SelectorError
            No record has such a value.
        """
        given: tuple[Any, ...] = predicates
        if wrong := [each for each in given if not isinstance(each, pl.Expr)]:
            raise ColumnError(
                f"filter cannot take {wrong[0]!r:.60}. Expected columns with values, as in filter(severity='critical'), or polars expressions."
            )
        attempts = self.attempts()
        by_trial, by_score = list(predicates), list[pl.Expr]()
        for name, wanted in columns.items():
            many = isinstance(wanted, list | tuple | set | frozenset | pl.Series)
            values = list(wanted) if many else [wanted]
            if name in attempts.columns:
                by_trial.append(is_one_of(attempts, name, values))
            elif name in TABLES["scores"].schema:
                by_score.append(is_one_of(some_of(self.scores, name), name, values))
            else:
                have = list(dict.fromkeys([*attempts.columns, *TABLES["scores"].schema]))
                raise ColumnError.missing(name, table="trials and scores", have=have)
        tables: dict[str, Any] = {table.name: frame for table, frame in self.tables()}
        if by_trial:
            kept = attempts.filter(by_trial)
            keys = kept.select(TRIAL_KEY)
            for name in _LARGE:
                other: Any = keys.lazy() if isinstance(tables[name], pl.LazyFrame) else keys
                tables[name] = tables[name].join(other, on=TRIAL_KEY, how="semi", maintain_order="left")
            tables["runs"] = tables["runs"].filter(pl.col("run").is_in(kept["run"].unique().implode()))
            case = ["suite", "case"]
            gone = attempts.select(case).unique().join(kept.select(case).unique(), on=case, how="anti")
            tables["cases"] = tables["cases"].join(gone, on=case, how="anti", maintain_order="left")
        if by_score:
            tables["scores"] = tables["scores"].filter(by_score)
        return replace(self, **tables)

    def equals(self, other: Evals) -> bool:
        """Whether both hold the same records, problems, notes and files."""
        for evals in (self, other):
            expect_evals(evals, "Evals.equals", loaded=True)
        facts = ((evals.notes, evals.files) for evals in (self, other))
        return next(facts) == next(facts) and all(
            getattr(self, name).equals(getattr(other, name)) for name in (*TABLES, "problems")
        )

    def to_pandas(self) -> PandasTables:
        """Return the six tables as pandas frames in a named tuple."""
        expect_evals(self, "Evals.to_pandas", loaded=True)
        return PandasTables(**{table.name: frame.to_pandas() for table, frame in self.tables()})

    def save(self, folder: str | Path) -> Path:
        """Save as Parquet, one file per table; replace an earlier save.

        Parameters
        ----------
        folder
            A folder that is missing, empty, or was written by `save`.

        Returns
        -------
        pathlib.Path
            The folder.

        Raises
        ------
        FormatError
            The folder has files of other origin.
        """
        expect(Evals.save, locals())
        folder = Path(folder)
        parquet.check_target(folder)
        frames: dict[str, pl.DataFrame] = {table.name: frame for table, frame in self.tables()}
        frames |= {"trials": self._trials_with_output(), "problems": self.problems}
        with replace_folder(folder) as fresh:
            parquet.write(fresh, frames, notes=self.notes, files=self.files)
        return folder

    @classmethod
    def load(cls, folder: str | Path, *, tables: Iterable[str] = tuple(TABLES)) -> Evals:
        """Load a saved folder, or some of its tables (and `runs`).

        Raises
        ------
        PathError
            The folder is missing.
        FormatError
            The folder was not written by `save`, or by a newer evalkit.
        """
        expect(cls.load, locals())
        folder = Path(folder)
        manifest = parquet.read_manifest(folder)
        frames, problems = parquet.read(folder, {"runs", *tables})
        frames["runs"] = _with_all_runs(frames)
        notes = parquet.notes_of(manifest)
        return cls(**frames, problems=problems, notes=notes, files=tuple(manifest["files"]))

    def __repr__(self) -> str:
        return evals_summary.as_text(self)

    def _repr_html_(self) -> str:
        return evals_summary.as_html(self)


def unreadable(path: str | Path, reason: str) -> Evals:
    """Return an Evals whose only content is the problem of a file."""
    return Evals.from_tables(problems=[Problem(str(path), None, reason)], files=[str(path)])


def _problems_frame(problems: Iterable[Problem]) -> pl.DataFrame:
    return pl.DataFrame(list(problems), schema=PROBLEMS_SCHEMA)


def _with_all_runs(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    runs = tables["runs"]
    frames = [tables[name].select("run") for name in ("trials", "scores", "turns") if tables[name].height]
    if not frames:
        return runs
    named = pl.concat(frames).unique(maintain_order=True)
    new = named.join(runs, on="run", how="anti", maintain_order="left")
    return runs if new.is_empty() else pl.concat([runs, TABLES["runs"].check(new)])


def __dir__() -> list[str]:
    return __all__
