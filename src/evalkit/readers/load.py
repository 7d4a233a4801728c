"""Read what people have: files, folders, globs and frames, into `Evals`.

The format of a file is found by looking inside. A distribution adds one of its own by naming a
`Reader` in the entry-point group `evalkit.readers.load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.data.evals import Evals
from evalkit.data.folder import in_line_order, within_scale
from evalkit.data.schema import TABLES
from evalkit.readers import dataframe as frames
from evalkit.readers import find_files, registry
from evalkit.readers import read_files as reading
from evalkit.readers.base import Reader
from evalkit.readers.column_mapping import Mapping
from evalkit.readers.run_names import Part, tell_apart
from evalkit.readers.score_table import Raw, to_evals
from evalkit.util.arguments import expect, expect_evals
from evalkit.util.errors import FormatError, PathError
from evalkit.util.words import did_you_mean, join_words

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
) -> Evals:
    """Read evaluations from wherever they are.

    Parameters
    ----------
    *sources
        Paths, globs or folders (native JSONL and suites, what `Evals.save` wrote, judge scores as JSON
        lines, JSON, CSV or Parquet), polars or pandas frames of judge scores, or `Evals`; also lists and
        generators of them.
    mapping
        What the columns of judge scores are: a dict, or the path of a YAML file with the same. Without
        it the `evalkit.yaml` beside the files is heeded, and obvious names are recognised. A column is
        named for any of case (`"line"`: the line's number), input, output, ideal_behavior (or truth),
        severity, tags, suite, run, agent, agent_version, model, epoch, grader, grader_kind, rationale,
        label, sample (runs that no column names are called after their agent_version, and the model and
        agent where they vary, else after their folder); `criteria` is a list of columns, or a dict of columns with the criterion each is
        (a row is an answer), or else `criterion` and `score` (a row is a judgement); `scale` is
        `[lowest, highest]`, for all or in a dict by criterion.
    tables
        Which tables are wanted, as `("scores",)`; None for all six. Only what they need is read and
        unpacked; the others are empty, but `runs` names every run.
    cache
        Whether a large file that was read before and has not changed since may be taken from the cache.

    Returns
    -------
    Evals
        Every good record. What could not be read is in `problems`, with its file and line; what was taken
        for what is in `notes`.

    Raises
    ------
    PathError
        A path is not there, or a glob fits nothing.
    FormatError
        A file is of no format that is known, or it is not plain which columns hold what; the message says
        which mapping to give. Or a table is named that there is not.

    Examples
    --------
    >>> import tempfile
    >>> import evalkit as ek
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     evals = ek.load(ek.demo.write(folder))
    >>> print(repr(evals).splitlines()[0])
    Evals: 1 suite, 9 cases, 6 runs, 162 trials, 798 scores, 0 problems

    A table of your own, with what its columns are:

    >>> import polars as pl
    >>> frame = pl.DataFrame({"id": ["01", "02"], "answer": ["Yes.", "No."], "tone": [4, 5]})
    >>> evals = ek.load(frame, mapping={"case": "id", "criteria": ["tone"], "scale": [1, 5]})
    >>> evals.scores.select("case", "criterion", "score").rows()
    [('01', 'tone', 4.0), ('02', 'tone', 5.0)]
    """
    expect(load, locals())
    sources = tuple(_each(sources))
    if not sources:
        raise FormatError("load() was given nothing: name a path, a glob, a folder or a frame.")
    if "" in [source for source in sources if isinstance(source, str)]:
        raise PathError("One of the paths is empty, as an unset variable is; '.' is the folder you are in.")
    told = None if mapping is None else Mapping.read(mapping)
    wanted = _wanted(tables, cache=cache)
    known, notes = registry.readers()
    in_memory = [source for source in sources if not isinstance(source, str | Path | Evals)]
    parts: list[Part] = []
    skipped: list[Path] = []
    frame = 0
    plan = find_files.find([source for source in sources if isinstance(source, str | Path)], told, known)
    parts += reading.read(plan, wanted)
    skipped += plan.skipped
    for source in sources:
        if isinstance(source, Evals):
            expect_evals(source, "load", loaded=True)
            parts.append(Part(wanted.so_far(source)))
        elif not isinstance(source, str | Path):
            if not frames.is_frame(source):
                hint = (
                    " Records may be a frame: polars.DataFrame(records)." if isinstance(source, dict) else ""
                )
                raise FormatError(
                    f"load() takes paths, frames and Evals, not {type(source).__name__}: {source!r:.60}.{hint}"
                )
            frame += 1
            name = "frame" if len(in_memory) == 1 else f"frame-{frame}"
            raw = frames.rows(source, f"<{name}>")
            empty = raw.frame.is_empty()
            part = (
                reading.nothing(raw)
                if empty
                else to_evals(raw, mapping=told, run=name, tables=wanted.tables)[0]
            )
            parts.append(Part(wanted.so_far(part.evals), part.name))
    if skipped and not parts:
        raise FormatError(
            f"No file is of a format that is known: {join_words(skipped, limit=6)}. {registry.known_words(known)}"
        )
    if not parts and not plan.found:
        raise FormatError(f"There is nothing to read in {join_words(map(str, sources))}: no file at all.")
    notes += find_files.passed_over(skipped)
    total = Evals.concat([Evals.from_tables(notes=notes), *tell_apart(parts)])
    total = replace(total, notes=find_files.in_few_words(total.notes, total.files))
    return wanted.of(in_line_order(within_scale(total)))


def _wanted(tables: Iterable[TableName] | None, *, cache: bool) -> reading.Wanted:
    names = frozenset(TABLES if tables is None else [tables] if isinstance(tables, str) else tables)
    for name in sorted(names - set(TABLES)):
        raise FormatError(
            f"There is no table {name!r}.{did_you_mean(name, TABLES)} There is: {join_words(TABLES)}."
        )
    return reading.Wanted(names, cache)


def _each(sources: Iterable[Any]) -> Iterator[Any]:
    """Yield the sources, of lists and generators what is in them."""
    for source in sources:
        # An open file is an iterator too, and none of sources.
        if isinstance(source, list | tuple | Iterator) and not hasattr(source, "read"):
            yield from _each(source)
        else:
            yield source


def __dir__() -> list[str]:
    return __all__
