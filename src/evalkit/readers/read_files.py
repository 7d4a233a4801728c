"""Read the planned files in parallel and in order."""

from __future__ import annotations

import os
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.schema import CRITERIA, TABLES, Problem
from evalkit.readers import load_cache
from evalkit.readers.base import NATIVE_SCORES, Raw
from evalkit.readers.builder import only
from evalkit.readers.column_roles import Missing, MissingColumns
from evalkit.readers.compressed import name_origin
from evalkit.readers.run_names import LoadedPart
from evalkit.readers.score_table import to_evals
from evalkit.util.errors import FormatError
from evalkit.util.notes import Note
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from evalkit.readers.base import InputFile, Reader, ReadPlan

ALL: Final = frozenset(TABLES)
# Decoding holds the GIL, unpacking and polars do not: more threads only wait.
_MAX_THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """The requested tables, and whether the cache may be used."""

    tables: frozenset[str] = ALL
    cache: bool = False
    guess: bool = True
    strict: bool = True

    def select(self, evals: Evals, *more: str) -> Evals:
        """Empty the tables that are not requested; `runs` stays."""
        names = {*self.tables, "runs", *more}
        empty: dict[str, Any] = {t.name: t.empty() for t, _ in evals.tables() if t.name not in names}
        return replace(evals, **empty) if empty else evals

    def select_for_checks(self, evals: Evals) -> Evals:
        """Empty the tables that are not requested, except scales that later checks need."""
        return self.select(evals, *(["criteria"] if "scores" in self.tables else []))


@dataclass(slots=True)
class _Outcome:
    file: InputFile
    part: LoadedPart | None = None
    columns: Sequence[str] = ()
    missing: Sequence[Missing] = ()
    error: FormatError | None = None


def read(plan: ReadPlan, wanted: Wanted) -> Iterator[LoadedPart]:
    """Read the files in order; those that describe runs and cases first.

    Raise `FormatError` if no file is readable, or no file has a mapped column.
    """
    failures, usages, read_any = [], dict[int, _MappingUsage](), False
    order = sorted(plan.files, key=lambda file: not file.reader.describes)
    for outcome in _outcomes([file for file in order if wanted.tables & set(file.reader.gives)], wanted):
        if outcome.error is not None:
            failures.append(outcome)
            continue
        read_any = True
        mapping = outcome.file.mapping
        if mapping is not None and outcome.columns:
            usages.setdefault(id(mapping), _MappingUsage(mapping.name)).add(outcome)
        if outcome.part is not None:
            yield outcome.part
    if failures and not read_any and failures[0].error is not None:
        raise failures[0].error
    for usage in usages.values():
        usage.check()
    if failures:
        yield LoadedPart(_failed(failures))


def _outcomes(files: Sequence[InputFile], wanted: Wanted) -> Iterator[_Outcome]:
    """Yield the outcome of each file in order, reading a few ahead."""
    workers = min(len(files), _MAX_THREADS, os.cpu_count() or 1)
    if workers < 2:
        yield from (_read(file, wanted) for file in files)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="evalkit-load") as pool:
        ahead = deque(pool.submit(_read, file, wanted) for file in files[:workers])
        rest = iter(files[workers:])
        try:
            while ahead:
                outcome = ahead.popleft().result()
                following = next(rest, None)
                if following is not None:
                    ahead.append(pool.submit(_read, following, wanted))
                yield outcome
        finally:
            for future in ahead:
                future.cancel()


def _read(file: InputFile, wanted: Wanted) -> _Outcome:
    outcome = _read_here(file, wanted)
    if file.origin is None:
        return outcome
    if outcome.error is not None:
        text = str(outcome.error).removeprefix(f"{file.path}: ")
        return replace(outcome, error=FormatError(f"{file.origin}: {text}"))
    if outcome.part is None:
        return outcome
    evals = name_origin(outcome.part.evals, file.path, file.origin)
    return replace(outcome, part=replace(outcome.part, evals=evals))


def _read_here(file: InputFile, wanted: Wanted) -> _Outcome:
    try:
        if file.reader.rows is None:
            return _read_format(file, file.reader, wanted, why="it is for tables of judge scores")
        return _read_table(file, wanted)
    except FormatError as error:
        return _Outcome(file, error=error)


def _read_table(file: InputFile, wanted: Wanted) -> _Outcome:
    def make() -> tuple[Evals, dict[str, Any]]:
        options = {} if file.mapping is None else file.mapping.options
        named = {key: value for key, value in options.items() if key in file.reader.options}
        raw = file.reader.rows(file.path, **named)  # type: ignore[misc]
        if raw.frame.is_empty() and raw.root is None:
            return no_records(raw).evals, {"name": None, "columns": [], "missing": []}
        part, roles = to_evals(
            raw,
            mapping=file.mapping,
            run=file.run,
            tables=wanted.tables,
            guess=wanted.guess,
            strict=wanted.strict,
        )
        facts = {"name": part.name, "columns": list(roles.available), "missing": roles.missing}
        return wanted.select_for_checks(part.evals), facts

    fallback = file.fallback
    try:
        evals, facts = _fetch(file, file.reader, wanted, make)
    except FormatError as error:
        if fallback is None:
            raise
        return _read_format(file, fallback, wanted, why=str(error).removeprefix(f"{file.path}: "))
    absent = [f"{column!r} ({role})" for column, role, needed in facts["missing"] if needed]
    if absent and fallback is not None and fallback.name != NATIVE_SCORES:
        return _read_format(file, fallback, wanted, why=f"there is no column {join_words(absent)}")
    return _Outcome(file, LoadedPart(evals, facts["name"]), facts["columns"], facts["missing"])


def _read_format(file: InputFile, reader: Reader, wanted: Wanted, *, why: str) -> _Outcome:
    """Read a file of a tool's own format; `why`: reason that the mapping does not apply."""

    def make() -> tuple[Evals, dict[str, Any]]:
        with only(wanted.tables):
            return wanted.select_for_checks(reader.give(file.path, wanted.tables)), {}

    evals, _ = _fetch(file, reader, wanted, make)
    mapping = file.mapping
    scaled = evals if mapping is None else declare_scales(evals, mapping.scales, mapping.directions)
    only_scales = mapping is not None and not mapping.names_columns
    if file.mapping_passed and "scores" in reader.gives and not (only_scales and scaled is not evals):
        text = f"read as what it is ({reader.name}), without the mapping: {why}"
        scaled = replace(scaled, notes=(*scaled.notes, Note("mapping", text, (str(file.path),))))
    return _Outcome(file, LoadedPart(scaled, file.run if reader.whole else None, reader.whole))


def _fetch(
    file: InputFile, reader: Reader, wanted: Wanted, make: Callable[[], tuple[Evals, dict[str, Any]]]
) -> tuple[Evals, dict[str, Any]]:
    if not (wanted.cache and (reader.alone or reader.beside)):
        return make()
    mapping = []
    if reader.rows is not None:
        mapping = [repr(file.mapping), file.run, str(wanted.guess), str(wanted.strict)]
    key = [reader.name, *sorted(wanted.tables), *mapping]
    return load_cache.fetch(file.path, key, make, beside=reader.beside)


def no_records(raw: Raw) -> LoadedPart:
    """Return a problem for a file without records."""
    problems = [*raw.problems, Problem(raw.source, None, "there are no records in it")]
    return LoadedPart(Evals.from_tables(problems=problems, files=raw.files))


@dataclass(slots=True)
class _MappingUsage:
    name: str
    tables: int = 0
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    columns: dict[str, None] = field(default_factory=dict)

    def add(self, outcome: _Outcome) -> None:
        self.tables += 1
        self.missing.update((column, role) for column, role, needed in outcome.missing if needed)
        self.columns.update(dict.fromkeys(outcome.columns))

    def check(self) -> None:
        for (column, role), count in self.missing.items():
            if count == self.tables:
                columns = join_words(self.columns, limit=40)
                raise FormatError(
                    f"No file has the column {column!r} ({role}) that {self.name} names."
                    f"{did_you_mean(column, self.columns)} Columns: {columns}."
                )


def _failed(failures: Sequence[_Outcome]) -> Evals:
    """Return a problem for each unreadable file; a note if only the mapping does not fit."""
    problems, notes = [], []
    for failure in failures:
        if isinstance(failure.error, MissingColumns):
            notes.append(Note("skipped", f"Not read: {failure.error}"))
        else:
            path = str(failure.file.path)
            problems.append(Problem(path, None, str(failure.error).removeprefix(f"{path}: ")))
    return Evals.from_tables(problems=problems, notes=notes)


def declare_scales(
    evals: Evals, scales: Mapping[str, tuple[float, float]], directions: Mapping[str, str] | None = None
) -> Evals:
    """Set the declared scale of each criterion without one, or named, except binary criteria, and its direction.

    `scales` maps a criterion (or `""`: all others) to lowest and highest score, `directions` to its better end. Return
    `evals` itself if none applies.

    >>> scores = pl.DataFrame({"run": "a", "case": "1", "criterion": "tone", "score": 0.5})
    >>> evals = declare_scales(Evals.from_tables(scores=scores), {"": (0, 1)})
    >>> evals.criteria.select("criterion", "scale_min", "scale_max").row(0)
    ('tone', 0.0, 1.0)
    """
    keys = ["suite", "criterion"]
    used = evals.scores.select("run", "criterion").unique()
    used = used.join(evals.runs.select("run", "suite"), on="run", how="left").select(
        pl.col("suite").cast(pl.String).fill_null(""), pl.col("criterion").cast(pl.String)
    )
    known = evals.criteria.with_columns(pl.col(keys).cast(pl.String))
    unknown = used.unique().join(known, on=keys, how="anti").sort(keys)
    criteria = pl.concat([known, unknown], how="diagonal_relaxed")
    ends = [scales.get(name, scales.get("", (None, None))) for name in criteria["criterion"]]
    declared = pl.DataFrame(ends, schema={"low": pl.Float64, "high": pl.Float64}, orient="row")
    ways = [(directions or {}).get(name, (directions or {}).get("")) for name in criteria["criterion"]]
    declared = declared.with_columns(way=pl.Series(ways, dtype=pl.String))
    # A scale named for a criterion wins over the format's: the 0 of a judge asked for 1 to 10 can be kept.
    is_named = pl.col("criterion").is_in([name for name in scales if name])
    free = (pl.col("scale_min").is_null() | is_named) & pl.col("kind").cast(pl.String).ne_missing("binary")
    criteria = criteria.hstack(declared)
    if not criteria.select(((free & pl.col("low").is_not_null()) | pl.col("way").is_not_null()).any()).item():
        return evals
    criteria = criteria.with_columns(
        scale_min=pl.when(free).then("low").otherwise("scale_min"),
        scale_max=pl.when(free).then("high").otherwise("scale_max"),
        direction=pl.coalesce("way", pl.col("direction").cast(pl.String)),
    )
    columns = [pl.col(name).cast(dtype) for name, dtype in CRITERIA.schema.items()]
    return replace(evals, criteria=criteria.select(columns))
