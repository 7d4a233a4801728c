"""Read files, folders, globs and frames into `Evals`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.data.evals import Evals
from evalkit.data.folder import in_line_order, within_scale
from evalkit.data.schema import TABLES
from evalkit.readers import dataframe, find_files, read_files, registry
from evalkit.readers.base import Raw, Reader
from evalkit.readers.column_mapping import Mapping
from evalkit.readers.run_names import LoadedPart, tell_apart
from evalkit.readers.score_table import to_evals
from evalkit.util.arguments import expect, expect_evals
from evalkit.util.errors import FormatError, PathError
from evalkit.util.notes import merge_notes
from evalkit.util.words import Option, Sentence, did_you_mean, join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as AnyMapping

    from evalkit.data.schema import TableName

__all__ = ["Mapping", "Raw", "Reader", "load"]


def load(
    *sources: Any,
    mapping: AnyMapping[str, Any] | Mapping | str | Path | None = None,
    tables: Iterable[TableName] | None = None,
    cache: bool = True,
    guess: bool = True,
    strict: bool = True,
) -> Evals:
    """Load evaluations from files, folders and frames.

    Parameters
    ----------
    *sources
        Paths, globs or folders (native files, saved folders, logs of other tools, transcripts without scores, judge
        scores as JSON lines, JSON, CSV or Parquet), polars or pandas frames of judge scores, or `Evals`; also lists and generators
        of them.
    mapping
        The columns of judge scores: a dict, or the path of a YAML file. The default is the `evalkit.yaml`
        beside the files; common column names are recognized. Keys: case (`"line"`: the line number), input,
        output, ideal_behavior (or truth), severity, tags, suite, run, agent, agent_version, model, epoch,
        grader, grader_kind, rationale, label, sample. If a row is an answer: `criteria`, a list of columns or
        a dict of columns with their criterion. If a row is a judgement: `criterion` and `score`. `scale` is
        `[lowest, highest]`, or a dict of them by criterion.
    tables
        The tables to read, for example `("scores",)`; None for all six. `runs` always names every run.
    cache
        Whether unchanged large files may come from the cache.
    guess
        Whether the columns of a table may be guessed by names and values; see `evalkit.suggest_mapping`.
    strict
        Whether to raise if nothing can be read, or more than a fifth of the judgements of a table is lost.

    Returns
    -------
    Evals
        Every good record. `problems` lists unreadable records with file and line; `notes` lists guesses.

    Raises
    ------
    PathError
        A path is missing, or a glob has no matches.
    FormatError
        A file has an unknown format, columns are missing (the message names the mapping to pass), or a table
        name is unknown.

    Examples
    --------
    >>> import tempfile
    >>> import evalkit as ek
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     evals = ek.load(ek.demo.write(folder))
    >>> print(repr(evals).splitlines()[0])
    Evals: 1 suite, 9 cases, 6 runs, 162 trials, 798 scores, 0 problems

    A table with a mapping:

    >>> import polars as pl
    >>> frame = pl.DataFrame({"id": ["01", "02"], "answer": ["Yes.", "No."], "tone": [4, 5]})
    >>> evals = ek.load(frame, mapping={"case": "id", "criteria": ["tone"], "scale": [1, 5]})
    >>> evals.scores.select("case", "criterion", "score").rows()
    [('01', 'tone', 4.0), ('02', 'tone', 5.0)]
    """
    expect(load, locals())
    sources = tuple(_flatten(sources))
    if not sources:
        raise FormatError("Nothing to load. Expected a path, a glob, a folder or a frame.")
    if any(source == "" for source in sources if isinstance(source, str)):
        raise PathError(
            "One of the paths is empty, as an unset variable is. Pass '.' for the current folder."
        )
    checked = None if mapping is None else Mapping.read(mapping)
    wanted = replace(_wanted(tables, cache=cache), guess=guess, strict=strict)
    readers, notes = registry.readers()
    paths = [source for source in sources if isinstance(source, str | Path)]
    others = [source for source in sources if not isinstance(source, str | Path)]
    with find_files.find(paths, checked, readers) as plan:
        parts = [*read_files.read(plan, wanted), *_parts_in_memory(others, checked, wanted)]
    if plan.skipped and not parts:
        raise FormatError(
            f"No file is of a known format: {join_words(plan.skipped, limit=6)}. {registry.formats_sentence(readers)}"
        )
    if not parts and not plan.files:
        raise FormatError(f"There is no file to read in {join_words(map(str, sources))}.")
    notes += find_files.skipped_note(plan.skipped)
    evals = Evals.concat([Evals.from_tables(notes=notes), *tell_apart(parts)])
    if strict:
        _refuse_nothing(evals)
    return wanted.select(in_line_order(within_scale(replace(evals, notes=merge_notes(evals.notes)))))


def _refuse_nothing(evals: Evals) -> None:
    """Raise if there are problems and no record."""
    if evals.problems.is_empty() or any(not frame.is_empty() for _, frame in evals.tables()):
        return
    first = evals.problems.row(0, named=True)
    place = f"{first['source']}, line {first['line']}" if first["line"] is not None else first["source"]
    raise FormatError(
        f"Nothing could be read. {plural(evals.problems.height, 'problem')}, first: {place}: {first['reason'].rstrip('.')}.",
        fix=Sentence(
            "To load the rest anyway: {option}.", option=Option("strict", value=False, shell="--lenient")
        ),
    )


def _parts_in_memory(
    sources: list[Any], mapping: Mapping | None, wanted: read_files.Wanted
) -> Iterator[LoadedPart]:
    count = sum(not isinstance(source, Evals) for source in sources)
    number = 0
    for source in sources:
        if isinstance(source, Evals):
            expect_evals(source, "load", loaded=True)
            yield LoadedPart(wanted.select_for_checks(source))
            continue
        if not dataframe.is_frame(source):
            hint = " Records may be a frame: polars.DataFrame(records)." if isinstance(source, dict) else ""
            raise FormatError(
                f"load() takes paths, frames and Evals, not {type(source).__name__}: {source!r:.60}.{hint}"
            )
        number += 1
        name = "frame" if count == 1 else f"frame-{number}"
        raw = dataframe.rows(source, f"<{name}>")
        if raw.frame.is_empty():
            part = read_files.no_records(raw)
        else:
            part, _ = to_evals(
                raw, mapping=mapping, run=name, tables=wanted.tables, guess=wanted.guess, strict=wanted.strict
            )
        yield replace(part, evals=wanted.select_for_checks(part.evals))


def _wanted(tables: Iterable[TableName] | None, *, cache: bool) -> read_files.Wanted:
    names = frozenset(TABLES if tables is None else [tables] if isinstance(tables, str) else tables)
    for name in sorted(names - set(TABLES)):
        raise FormatError(
            f"There is no table {name!r}.{did_you_mean(name, TABLES)} There is: {join_words(TABLES)}."
        )
    return read_files.Wanted(names, cache)


def _flatten(sources: Iterable[Any]) -> Iterator[Any]:
    for source in sources:
        # An open file is an iterator, but not of sources.
        if isinstance(source, list | tuple | Iterator) and not hasattr(source, "read"):
            yield from _flatten(source)
        else:
            yield source


def __dir__() -> list[str]:
    return __all__
