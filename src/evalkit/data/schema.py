"""The six tables: what a row is, which columns it has, and what each one means.

A table is written once, here; the check, the empty frame and the documentation come from it. `Table.check` raises
on the first thing wrong; `Table.filter` keeps the good rows and says what was wrong with the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, cast

import polars as pl

from evalkit.util.errors import ColumnError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CASES", "CRITERIA", "CRITERION_KINDS", "GRADER_KINDS", "MODES", "RUNS", "SCORES", "SEVERITIES", "TABLES", "TRIALS",
    "TURNS", "VERDICTS", "Column", "Key", "Problem", "Severity", "Table", "Verdict",
]  # fmt: skip

SEVERITIES: Final = ("low", "medium", "high", "critical")
"""From the mildest to the worst: the order of the Enum, so that `critical > high > medium > low`."""

VERDICTS: Final = ("fail", "unscored", "pass")
GRADER_KINDS: Final = ("judge", "human", "code")
CRITERION_KINDS: Final = ("ordinal", "binary", "continuous")
MODES: Final = ("live", "batch")

Severity: Final = pl.Enum(SEVERITIES)
Verdict: Final = pl.Enum(VERDICTS)
Key: Final = pl.Categorical()

TableName = Literal["cases", "criteria", "runs", "trials", "turns", "scores"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One record that could not be read, and where it is.

    Attributes
    ----------
    source
        The file, or `<frame>` for a frame in memory.
    line
        Its line (or row), from 1; None when the whole file is meant.
    reason
        What is wrong with it, in words.
    """

    source: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{where}: {self.reason}"


PROBLEMS_SCHEMA: Final = {"source": pl.String(), "line": pl.Int64(), "reason": pl.String()}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it is called, what it holds, and what it means."""

    name: str
    dtype: pl.DataType
    doc: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One of the six tables: its name, its key and its columns."""

    name: TableName
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...] = field(repr=False)

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column names and dtypes, in order."""
        return {column.name: column.dtype for column in self.columns}

    def empty(self) -> pl.DataFrame:
        """Return this table with no rows."""
        return _empty(self).clone()

    def complete(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with exactly this table's columns, in order; the ones it lacks filled.

        A key column that is missing or null becomes `""` (1 for a counter), any other is null.

        Raises
        ------
        ColumnError
            A column that every row needs (`run`, `case`, `criterion`) is missing.
        """
        if frame.schema == self.schema and not any(
            frame[name].null_count() for name in self.schema if name in _FILLED
        ):
            return frame
        made = []
        for column in self.columns:
            name, fill = column.name, _FILLED.get(column.name)
            if name in frame.columns:
                series = frame[name]
                made.append(series if fill is None or not series.null_count() else series.fill_null(fill))
            elif name in self.key and fill is None:
                raise ColumnError.missing(name, table=self.name, have=frame.columns)
            else:
                made.append(pl.repeat(fill, frame.height, dtype=column.dtype, eager=True).alias(name))
        return pl.DataFrame(made)

    def check(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with exactly this table's columns, cast and checked.

        Parameters
        ----------
        frame
            Any frame with at least this table's key columns. Others are filled with null or dropped.

        Raises
        ------
        ColumnError
            A column is missing, holds a null or a value that it may not, or two rows share a key.

        Examples
        --------
        >>> SCORES.check(pl.DataFrame({"run": ["a"], "case": ["01"], "criterion": ["Groq"], "score": [4]}))[
        ...     "sample"
        ... ].item()
        1
        """
        frame = self.complete(frame)
        columns = []
        for column, series in zip(self.columns, frame.get_columns(), strict=True):
            made = _cast(series, column.dtype)
            columns.append(made)
            if made.null_count() > series.null_count():
                row = (made.is_null() & series.is_not_null()).arg_true()[0]
                raise ColumnError(f"Row {row + 1} of {_wrong(self, column, series[row])}")
            if made.null_count() and not column.nullable:
                raise ColumnError(
                    f"{self.name}.{column.name} has {plural(made.null_count(), 'null')}, first in row {made.is_null().arg_true()[0] + 1}; it may have none."
                )
        frame = pl.DataFrame(columns)
        if _repeats(frame.select(self.key)):
            doubled = frame.select(self.key).is_duplicated()
            first = frame.filter(doubled).select(self.key).row(0, named=True)
            raise ColumnError(f"{self.name}: {int(doubled.sum())} rows share a key, first {_words(first)}.")
        return frame

    def filter(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Problem]]:
        """Split `frame` into the rows that fit this table and a `Problem` for each that does not.

        A value that cannot be cast, a null where there may be none, and every row after the first
        that has the same key are problems. `source` and `line` columns, where there are any, say where.

        Returns
        -------
        tuple
            The good rows with exactly this table's columns and dtypes, and the problems in row order.

        Examples
        --------
        >>> rows = pl.DataFrame({"case": ["01", "02"], "severity": ["high", "awful"]})
        >>> good, problems = CASES.filter(rows)
        >>> good["case"].to_list(), problems[0].reason
        (['01'], "cases.severity is 'awful'; it may be low, medium, high, critical.")
        """
        frame = self.complete(frame)
        reasons: dict[int, str] = {}
        columns = []
        for column in self.columns:
            series = frame[column.name]
            made = _cast(series, column.dtype)
            columns.append(made)
            for row in (made.is_null() & series.is_not_null()).arg_true():
                reasons.setdefault(row, _wrong(self, column, series[row]))
            if not column.nullable and made.null_count():
                for row in (made.is_null() & series.is_null()).arg_true():
                    reasons.setdefault(row, f"{self.name}.{column.name} is empty; it may not be.")
        good = pl.DataFrame(columns)
        keep = (
            pl.Series("keep", [True]).new_from_index(0, frame.height)
            if frame.height
            else pl.Series("keep", [], dtype=pl.Boolean)
        )
        if reasons:
            keep = ~pl.int_range(frame.height, eager=True).is_in(list(reasons))
        # Of the rows that share a key the first good one stays.
        first = good.with_row_index("_row").filter(keep)
        kept = first
        if _repeats(first.select(self.key)):
            kept = first.unique(subset=list(self.key), keep="first", maintain_order=True)
        if kept.height < first.height:
            for row in first.join(kept.select("_row"), on="_row", how="anti")["_row"]:
                key = good.select(self.key).row(row, named=True)
                reasons[row] = f"{self.name}: a second row with the key {_words(key)}; the first is kept."
        sources = frame["source"].cast(pl.String) if "source" in frame.columns else None
        lines = frame["line"] if "line" in frame.columns else None
        problems = [
            Problem(
                source=(sources[row] if sources is not None else None) or "<frame>",
                line=int(lines[row]) if lines is not None and lines[row] is not None else row + 1,
                reason=reason,
            )
            for row, reason in sorted(reasons.items())
        ]
        return kept.drop("_row"), problems

    def union(self, first: pl.DataFrame, second: pl.DataFrame) -> tuple[pl.DataFrame, list[Problem]]:
        """Put two frames of this table together; a key that both have is one row.

        What the first does not say of a case, a criterion, a run or a trial is filled from the second. A
        score or a turn is taken whole. Where the two contradict each other the first stays, and a
        `Problem` says so.

        Parameters
        ----------
        first, second
            Frames that `check` has passed.
        """
        if first.is_empty() or second.is_empty():
            return (second if first.is_empty() else first), []
        key = list(self.key)
        new = second.join(first, on=key, how="anti", maintain_order="left")
        if new.height == second.height:
            return pl.concat([first, new]), []
        facts = [name for name in self.schema if name not in (*key, "source", "line")]
        if self.name in ("scores", "turns"):
            same = first.join(second, on=key, how="inner", maintain_order="left", suffix="__other")
            clash = pl.any_horizontal(pl.col(c).ne_missing(pl.col(f"{c}__other")) for c in facts)
            wrong, filled = same.filter(clash), first
        else:
            same = first.join(second, on=key, how="left", maintain_order="left", suffix="__other")
            # An empty name says as little as none.
            names = [c for c in facts if self.schema[c] == Key]
            same = same.with_columns(pl.col(n).replace("", None) for c in names for n in (c, f"{c}__other"))
            clash = pl.any_horizontal(pl.col(c) != pl.col(f"{c}__other") for c in facts)
            wrong = same.filter(clash.fill_null(value=False))
            # Where the first was read from nowhere, what it says now comes from where the second was read.
            where = [c for c in ("source", "line") if c in self.schema]
            nowhere = (
                pl.col("source").is_null() & pl.col("source__other").is_not_null()
                if where
                else pl.lit(value=False)
            )
            filled = same.with_columns(
                *(pl.coalesce(c, f"{c}__other") for c in facts),
                *(pl.when(nowhere).then(f"{c}__other").otherwise(c).alias(c) for c in where),
            ).select(first.columns)
            filled = filled.with_columns(pl.col(c).fill_null(_FILLED[c]) for c in facts if c in _FILLED)
        problems = []
        for row in wrong.iter_rows(named=True):
            reason = f"{self.name}: {_words({name: row[name] for name in key})} is there already, with other content; the first is kept."
            problems.append(Problem(row.get("source__other") or "<frame>", row.get("line__other"), reason))
        return pl.concat([filled, new]), problems

    def union_all(self, frames: Iterable[pl.DataFrame]) -> tuple[pl.DataFrame, list[Problem]]:
        """Put frames together as `union` does two; where no key is there twice, in one go."""
        full = [frame for frame in frames if not frame.is_empty()]
        if len(full) < 2:
            return (full[0] if full else self.empty()), []
        whole = pl.concat(full)
        if not _repeats(whole.select(self.key)):
            return whole, []
        made, problems = full[0], []
        for frame in full[1:]:
            made, clashes = self.union(made, frame)
            problems += clashes
        return made, problems


# Key columns that a record need not give, with what stands in for them.
_FILLED: Final[dict[str, str | int]] = {
    "suite": "",
    "grader": "",
    "rubric_hash": "",
    "epoch": 1,
    "sample": 1,
    "turn": 1,
}


@lru_cache
def _empty(table: Table) -> pl.DataFrame:
    """Made once: a reader of many files needs many, and polars takes a millisecond for each."""
    return pl.DataFrame(schema=table.schema)


def _repeats(keys: pl.DataFrame) -> bool:
    """Whether some key occurs twice. Packed into one whole number a row: several times faster than hashing rows."""
    if keys.height < 2:
        return False
    packed, room = pl.lit(0, dtype=pl.UInt64), 1
    for column in keys.get_columns():
        codes = column.to_physical().cast(pl.Int64)
        low, high = cast("int", codes.min()), cast("int", codes.max())
        if low == high:
            continue
        width = high - low + 1
        room *= width
        packed = packed * width + (codes - low).cast(pl.UInt64)
    if room >= 2**63:
        return bool(keys.is_duplicated().any())
    return room == 1 or pl.select(packed.alias("key")).to_series().n_unique() < keys.height


def _cast(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Return `series` as `dtype`; what cannot be cast is null."""
    if series.dtype == dtype and (not isinstance(dtype, pl.Float64) or bool(series.is_finite().all())):
        return series
    if isinstance(dtype, pl.Int32 | pl.Int64) and series.dtype.is_float():
        # A float that is not whole would be cut, not refused.
        series = series.set((series != series.round(0)) | series.is_nan(), None)
    if isinstance(dtype, pl.Categorical | pl.Enum) and series.dtype != pl.String:
        series = series.cast(pl.String, strict=False)
    made = series.cast(dtype, strict=False)
    if isinstance(dtype, pl.Float64):
        # Infinities and NaN are no scores, and would poison every mean.
        made = made.set(~made.is_finite().fill_null(value=True), None)
    return made


def _wrong(table: Table, column: Column, value: object) -> str:
    """Say what is wrong with `value`, and what the column may hold."""
    if isinstance(column.dtype, pl.Enum):
        allowed = ", ".join(column.dtype.categories)
    else:
        allowed = {
            "Int32": "a whole number",
            "Int64": "a whole number",
            "Float64": "a finite number",
            "Datetime": "a time",
            "Boolean": "true or false",
            "List": "a list of strings",
        }.get(type(column.dtype).__name__, "text")
    text = repr(value)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return f"{table.name}.{column.name} is {text}; it may be {allowed}."


def _words(key: dict[str, object]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in key.items() if value not in ("", None))


def _key(name: str, doc: str, dtype: pl.DataType = Key) -> Column:
    return Column(name, dtype, doc, nullable=False)


_TEXT = pl.String()
_TIME = pl.Datetime("us", "UTC")
_RUN = _key("run", "One agent version over one suite; unique in a collection.")
_CASE = _key("case", "Which case of the suite: a string, also where it looks like a number.")
_EPOCH = _key("epoch", "Which attempt at the same case, from 1.", pl.Int32())
_SUITE = _key("suite", "The suite's name; empty where unknown.")
_SOURCE = Column("source", pl.Categorical(), "The file it was read from.")
_LINE = Column("line", pl.Int64(), "The line of that file, from 1.")
_USAGE = (
    Column("input_tokens", pl.Int64(), "Tokens sent."),
    Column("output_tokens", pl.Int64(), "Tokens received."),
    Column("cost_usd", pl.Float64(), "What it cost, in US dollars."),
)

CASES: Final = Table(
    "cases",
    "one thing asked",
    ("suite", "case"),
    (
        _SUITE,
        _CASE,
        Column("input", _TEXT, "The situation, as the suite words it. Not a prompt."),
        Column("prompt", _TEXT, "What an agent is sent."),
        Column("ideal_behavior", _TEXT, "What a good answer does."),
        Column("expected_rubric", _TEXT, "The case's checkable points, one a line."),
        Column("check", _TEXT, "What kind of check it is, e.g. Pass / Fail."),
        Column("domain", _TEXT, "The field the case is from."),
        Column("severity", Severity, "How bad a failure is; null where nobody said."),
        Column("tags", pl.List(pl.String()), "Names of the slices the case belongs to."),
        Column("cluster", _TEXT, "Cases with the same cluster are not independent of each other."),
    ),
)

CRITERIA: Final = Table(
    "criteria",
    "one thing judged",
    ("suite", "criterion"),
    (
        _SUITE,
        _key("criterion", "One line of the rubric."),
        Column("description", _TEXT, "What it judges."),
        Column("anchors", _TEXT, 'JSON: what each score means, {"1": "...", ...}.'),
        Column("scale_min", pl.Float64(), "The lowest score there is. Declared, never inferred."),
        Column("scale_max", pl.Float64(), "The highest score there is."),
        Column("weight", pl.Float64(), "Its weight in the mean; null counts as 1."),
        Column("kind", pl.Enum(CRITERION_KINDS), "ordinal, binary or continuous."),
    ),
)

RUNS: Final = Table(
    "runs",
    "one agent version over one suite",
    ("run",),
    (
        _RUN,
        Column("suite", Key, "The suite it was run over; empty where unknown."),
        Column("agent", Key, "The agent's name."),
        Column("agent_version", Key, "The agent's version."),
        Column("model", Key, "The model the agent runs on."),
        Column("provider", Key, "Who serves the model."),
        Column("started_at", _TIME, "When it began, UTC."),
        Column("config", _TEXT, "JSON: settings."),
        _SOURCE,
    ),
)

TRIALS: Final = Table(
    "trials",
    "one attempt at one case",
    ("run", "case", "epoch"),
    (
        _RUN,
        _CASE,
        _EPOCH,
        Column("output", _TEXT, "The agent's final answer."),
        Column("error", _TEXT, "Why there is none, where the attempt crashed."),
        Column("stop_reason", _TEXT, "Why the agent stopped."),
        *_USAGE,
        Column("latency_s", pl.Float64(), "How long it took, in seconds."),
        Column("started_at", _TIME, "When it began, UTC."),
        _SOURCE,
        _LINE,
    ),
)

TURNS: Final = Table(
    "turns",
    "one message of a trial",
    ("run", "case", "epoch", "turn"),
    (
        _RUN,
        _CASE,
        _EPOCH,
        _key("turn", "Which message, from 1.", pl.Int32()),
        Column("role", _TEXT, "system, user, assistant or tool."),
        Column("content", _TEXT, "The text."),
        Column("reasoning", _TEXT, "The model's reasoning, where it was given apart."),
        Column("tool_calls", _TEXT, "JSON: the calls an assistant made, [{id, name, arguments}, ...]."),
        Column("tool_name", _TEXT, "Which tool answered (role tool)."),
        Column("tool_call_id", _TEXT, "Which call it answers (role tool)."),
        Column("parts", _TEXT, "JSON: images and whatever else is not text."),
    ),
)

SCORES: Final = Table(
    "scores",
    "one judgement",
    ("run", "case", "epoch", "criterion", "grader", "rubric_hash", "sample"),
    (
        _RUN,
        _CASE,
        _EPOCH,
        _key("criterion", "Which line of the rubric."),
        _key("grader", "Who judged: a judge's, a person's or a check's name; empty where unknown."),
        _key(
            "rubric_hash", "Content hash of what was judged by, as it was worded then; empty where unknown."
        ),
        _key("sample", "Which repeated judgement of the same answer, from 1.", pl.Int32()),
        Column("grader_kind", pl.Enum(GRADER_KINDS), "judge (a model), human or code."),
        Column("score", pl.Float64(), "The score, on the criterion's scale; null: no score, never 'bad'."),
        Column("label", _TEXT, "The score as a word, where the grader gave one."),
        Column("rationale", _TEXT, "The grader's reason."),
        Column("evidence", _TEXT, "What the grader quoted from the transcript."),
        Column("answer", _TEXT, "The answer the grader read out of the output."),
        Column("error", _TEXT, "Why there is no score."),
        Column("judge_model", _TEXT, "The judge's model."),
        Column("prompt_hash", _TEXT, "Content hash of the judge's prompt."),
        Column("seed", pl.Int64(), "The seed the judge was given."),
        Column("mode", pl.Enum(MODES), "live or batch."),
        *_USAGE,
        Column("metadata", _TEXT, "JSON: whatever else came with it."),
        _SOURCE,
        _LINE,
    ),
)

TABLES: Final[dict[TableName, Table]] = {t.name: t for t in (CASES, CRITERIA, RUNS, TRIALS, TURNS, SCORES)}


def __dir__() -> list[str]:
    return __all__
