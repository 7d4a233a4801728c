"""Read what was found: only the tables that are wanted, several files at once, in the order of the plan."""

from __future__ import annotations

import os
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.schema import CRITERIA, TABLES, Problem
from evalkit.readers import load_cache as cache
from evalkit.readers.base import NATIVE_SCORES
from evalkit.readers.builder import only
from evalkit.readers.column_mapping import MissingColumns
from evalkit.readers.run_names import Part
from evalkit.readers.score_table import RECORD, Raw, to_evals
from evalkit.util.errors import FormatError
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from evalkit.readers.base import Found, Plan, Reader
    from evalkit.readers.column_mapping import Missing


ALL: Final = frozenset(TABLES)
# Decoding holds Python's lock; unpacking and polars do not: more threads than this only wait.
_MOST: Final = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the files is wanted: which tables, and whether what was read before may be taken from the cache."""

    tables: frozenset[str] = ALL
    cache: bool = False

    def of(self, evals: Evals) -> Evals:
        """Return the tables that are wanted; of `runs` what was learned on the way stays."""
        return _only(evals, {*self.tables, "runs"})

    def so_far(self, evals: Evals) -> Evals:
        """Return the tables that are wanted, and what the scores are still to be checked by: their scales."""
        return _only(evals, {*self.tables, "runs", *(["criteria"] if "scores" in self.tables else [])})


def _only(evals: Evals, names: set[str]) -> Evals:
    gone: dict[str, Any] = {
        table.name: table.empty() for table, _ in evals.tables() if table.name not in names
    }
    return replace(evals, **gone) if gone else evals


@dataclass(slots=True)
class _Outcome:
    found: Found
    part: Part | None = None
    columns: Sequence[str] = ()
    missing: Sequence[Missing] = ()
    error: FormatError | None = None


def read(plan: Plan, wanted: Wanted) -> Iterator[Part]:
    """Read what was found, in order; files that only name runs and cases after those that describe them.

    Raises
    ------
    FormatError
        Nothing at all could be understood, or no file has a column that the mapping names.
    """
    account = _Account()
    order = sorted(plan.found, key=lambda found: not found.reader.describes)
    for outcome in _outcomes([one for one in order if wanted.tables & set(one.reader.gives)], wanted):
        account.take(outcome)
        if outcome.part is not None:
            yield outcome.part
    yield from account.close()


def _outcomes(found: Sequence[Found], wanted: Wanted) -> Iterator[_Outcome]:
    """Yield what each file gives, in order; a few are read ahead, so that memory stays bounded."""
    workers = min(len(found), _MOST, os.cpu_count() or 1)
    if workers < 2:
        yield from (_try(one, wanted) for one in found)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="evalkit-load") as pool:
        ahead = deque(pool.submit(_try, one, wanted) for one in found[:workers])
        rest = iter(found[workers:])
        try:
            while ahead:
                outcome = ahead.popleft().result()
                following = next(rest, None)
                if following is not None:
                    ahead.append(pool.submit(_try, following, wanted))
                yield outcome
        finally:
            for future in ahead:
                future.cancel()


def _try(found: Found, wanted: Wanted) -> _Outcome:
    """Read one file; what cannot be understood of it is an outcome too."""
    outcome = _Outcome(found)
    if found.reader.rows is None:
        _read(outcome, found.reader, wanted, why="it is for tables of judge scores")
        return outcome
    try:
        evals, told = _fetch(found, found.reader, wanted, lambda: _table(found, wanted))
    except FormatError as error:
        if found.instead is not None:
            _read(outcome, found.instead, wanted, why=str(error).removeprefix(f"{found.path}: "))
        else:
            outcome.error = error
        return outcome
    gone = [f"{column!r} ({what})" for column, what, needed in told["missing"] if needed]
    if gone and found.instead is not None and found.instead.name != NATIVE_SCORES:
        _read(outcome, found.instead, wanted, why=f"there is no column {join_words(gone)}")
        return outcome
    outcome.part = Part(evals, told["name"])
    outcome.columns, outcome.missing = told["columns"], told["missing"]
    return outcome


def _read(outcome: _Outcome, reader: Reader, wanted: Wanted, *, why: str) -> None:
    """Read what is of a format of its own; `why` a mapping that was given for it is not heeded."""
    found = outcome.found

    def make() -> tuple[Evals, dict[str, Any]]:
        with only(wanted.tables):
            return wanted.so_far(reader.give(found.path, wanted.tables)), {}

    try:
        evals, _ = _fetch(found, reader, wanted, make)
    except FormatError as error:
        outcome.error = error
        return
    mapping = found.mapping
    scaled = declare(evals, mapping.scales) if mapping is not None else evals
    heeded = (
        scaled is not evals
        and mapping is not None
        and not (mapping.columns or mapping.values or mapping.criteria)
    )
    evals = scaled
    if found.told and not heeded and "scores" in reader.gives:
        note = f"{found.path}: read as what it is ({reader.name}), without the mapping: {why}"
        evals = replace(evals, notes=(*evals.notes, note))
    outcome.part = Part(evals, found.run if reader.whole else None, reader.whole)


def _table(found: Found, wanted: Wanted) -> tuple[Evals, dict[str, Any]]:
    """Read a table of judge scores, and say what its runs are called after and what the mapping names in vain."""
    raw = found.reader.rows(found.path)  # type: ignore[misc]
    if raw.frame.is_empty():
        return nothing(raw).evals, {"name": None, "columns": [], "missing": []}
    part, roles = to_evals(raw, mapping=found.mapping, run=found.run, tables=wanted.tables)
    columns = [name for name in raw.frame.columns if name not in ("line", RECORD)]
    return wanted.so_far(part.evals), {"name": part.name, "columns": columns, "missing": roles.missing}


def _fetch(
    found: Found, reader: Reader, wanted: Wanted, make: Callable[[], tuple[Evals, dict[str, Any]]]
) -> tuple[Evals, dict[str, Any]]:
    if not (wanted.cache and (reader.alone or reader.beside)):
        return make()
    mapping = [repr(found.mapping), found.run] if reader.rows is not None else []
    about = [reader.name, *sorted(wanted.tables), *mapping]
    return cache.fetch(found.path, about, make, beside=reader.beside)


def nothing(raw: Raw) -> Part:
    """Say that there are no records in it."""
    problems = [*raw.problems, Problem(raw.source, None, "there are no records in it")]
    return Part(Evals.from_tables(problems=problems, files=[raw.source] if raw.file else []))


class _Account:
    """What came of the files so far, and what is to be said of it at the end."""

    def __init__(self) -> None:
        self.outcomes = 0
        self.failures: list[_Outcome] = []
        self.missing: Counter[tuple[int, str, str]] = Counter()
        self.tables: Counter[int] = Counter()
        self.names: dict[int, str] = {}
        self.columns: dict[int, dict[str, None]] = {}

    def take(self, outcome: _Outcome) -> None:
        """Note one outcome."""
        if outcome.error is not None:
            self.failures.append(outcome)
            return
        self.outcomes += 1
        if not outcome.columns or outcome.found.mapping is None:
            return
        which = id(outcome.found.mapping)
        self.names[which] = outcome.found.mapping.name
        self.tables[which] += 1
        self.missing.update((which, column, what) for column, what, needed in outcome.missing if needed)
        self.columns.setdefault(which, {}).update(dict.fromkeys(outcome.columns))

    def close(self) -> Iterator[Part]:
        """Raise where nothing could be understood; yield what is to be said of single files."""
        if self.failures and not self.outcomes and self.failures[0].error is not None:
            raise self.failures[0].error
        for (which, column, what), count in self.missing.items():
            if count == self.tables[which]:
                have = list(self.columns[which])
                raise FormatError(
                    f"No file has the column {column!r} ({what}) that {self.names[which]} names."
                    f"{did_you_mean(column, have)} They have: {join_words(have, limit=40)}."
                )
        if self.failures:
            yield Part(_passed_over(self.failures))


def _passed_over(failures: Iterable[_Outcome]) -> Evals:
    """Say which files were not understood: one the mapping does not fit is a note, any other a problem."""
    problems, notes = [], []
    for failure in failures:
        if isinstance(failure.error, MissingColumns):
            notes.append(f"Not read: {failure.error}")
        else:
            path = str(failure.found.path)
            problems.append(Problem(path, None, str(failure.error).removeprefix(f"{path}: ")))
    return Evals.from_tables(problems=problems, notes=notes)


def declare(evals: Evals, scales: Mapping[str, tuple[float, float]]) -> Evals:
    """Return the evals with a scale for each criterion that has none and is not pass or fail; the same where none is.

    Parameters
    ----------
    evals
        What was read of a file.
    scales
        Criterion (or `""`: all others) -> lowest and highest score.

    Examples
    --------
    >>> from evalkit.data.evals import Evals
    >>> evals = Evals.from_tables(
    ...     scores=pl.DataFrame({"run": "a", "case": "1", "criterion": "tone", "score": 0.5})
    ... )
    >>> declare(evals, {"": (0, 1)}).criteria.select("criterion", "scale_min", "scale_max").row(0)
    ('tone', 0.0, 1.0)
    """
    keys = ["suite", "criterion"]
    suites = evals.runs.select("run", "suite") if evals.runs.height else None
    used = evals.scores.select("run", "criterion").unique()
    named = (
        used.join(suites, on="run", how="left")
        if suites is not None
        else used.with_columns(suite=pl.lit(None))
    )
    named = named.select(
        pl.col("suite").cast(pl.String).fill_null(""), pl.col("criterion").cast(pl.String)
    ).unique()
    known = evals.criteria.with_columns(pl.col(keys).cast(pl.String))
    both = pl.concat([known, named.join(known, on=keys, how="anti").sort(keys)], how="diagonal_relaxed")
    names = both["criterion"].to_list()
    told = [scales.get(name, scales.get("", (None, None))) for name in names]
    free = pl.col("scale_min").is_null() & pl.col("kind").cast(pl.String).ne_missing("binary")
    new = pl.Series([one[0] is not None for one in told], dtype=pl.Boolean)
    if not both.select((free & new).any()).item():
        return evals
    made = both.with_columns(
        pl.when(free)
        .then(pl.Series([one[at] for one in told], dtype=pl.Float64))
        .otherwise(pl.col(end))
        .alias(end)
        for at, end in enumerate(("scale_min", "scale_max"))
    )
    return replace(
        evals, criteria=made.select(pl.col(name).cast(dtype) for name, dtype in CRITERIA.schema.items())
    )
