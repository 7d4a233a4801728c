"""Evaluations that do not fit into memory: the judgements and messages stay on the disk until a verb needs a column."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data import folder as native
from evalkit.data.columns import ends_polars
from evalkit.data.evals import Evals
from evalkit.data.folder import SCORES_FILE, TRANSCRIPTS_FILE
from evalkit.data.folder_fields import SCORE_FIELDS
from evalkit.data.parquet import MANIFEST, read_manifest
from evalkit.data.schema import SCORES, TABLES, TRIALS, TURNS
from evalkit.readers.load import load
from evalkit.util.arguments import expect
from evalkit.util.errors import FormatError, PathError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.data.schema import TableName

_OUTPUT: Final = ["run", "case", "epoch", "output"]
_SMALL: Final[tuple[TableName, ...]] = ("cases", "criteria", "runs", "trials")


def scan(folder: str | Path) -> Evals:
    """Open a saved or a native folder without reading its judgements.

    Parameters
    ----------
    folder
        What `Evals.save` or `evalkit convert --to parquet` wrote, or a native folder with `scores.jsonl`.

    Returns
    -------
    Evals
        `scores` and `turns` are lazy polars frames, the other tables are read, `trials` without `output` (it is in
        `outputs`). All verbs give what they give for what was loaded: those that reduce scores read the columns that
        they reduce, those that show texts read the texts that they show. What needs all texts (a judge, the rubric
        lab, the labeller, pandas, masking) says so: `evals.filter(...).collect()` is in memory. Nothing is
        checked: lines of NDJSON that cannot be read are an error when a verb comes to them, have no line number, and
        scores outside their scale count as they are; `load` and `convert` check.

    Raises
    ------
    PathError
        There is no such folder.
    FormatError
        It is neither of the two.

    Examples
    --------
    >>> import tempfile
    >>> scores = pl.DataFrame({"run": ["a", "a"], "case": ["01", "02"], "criterion": "tone", "score": [4, 2]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Evals.from_tables(scores=scores).save(f"{folder}/saved")
    ...     scan(f"{folder}/saved").filter(case="01").scores.select("score").collect().item()
    4.0
    """
    expect(scan, locals())
    folder = Path(folder)
    if not folder.exists():
        raise PathError.missing(folder)
    lazy: dict[str, Any]
    read: list[str] = []
    if (folder / MANIFEST).is_file():
        read_manifest(folder)
        lazy = {name: _parquet(folder / f"{name}.parquet", name) for name in ("scores", "turns")}
        lazy["_outputs"] = _parquet(folder / "trials.parquet", "trials").select(_OUTPUT)
    elif (folder / SCORES_FILE).is_file():
        read = [str(folder / SCORES_FILE)]
        lazy = {"scores": _lines(folder / SCORES_FILE), **_transcripts(folder / TRANSCRIPTS_FILE)}
    else:
        raise FormatError(
            f"{str(folder)!r} cannot be scanned: it is neither what Evals.save wrote nor a native folder with {SCORES_FILE}. "
            f"Make one of it: evalkit convert --to parquet."
        )
    evals = load(folder, tables=_SMALL)
    trials = evals.trials.with_columns(output=pl.lit(None, dtype=pl.String))
    runs = _all_runs(evals, lazy["scores"])
    files = tuple(dict.fromkeys([*evals.files, *read]))
    return replace(evals, trials=trials, runs=runs, files=files, **lazy)


def _parquet(path: Path, name: TableName) -> pl.LazyFrame:
    found = pl.scan_parquet(path)
    if found.collect_schema() != TABLES[name].schema:
        raise FormatError(f"{str(path)!r} is no {name} table that Evals.save wrote; load the folder instead.")
    return found


def _lines(path: Path) -> pl.LazyFrame:
    """Return the judgements of NDJSON; a key column that is missing or null is filled as `load` fills it."""
    if ends_polars(path):
        raise FormatError(
            f"{str(path)!r} cannot be scanned by polars {pl.__version__}: a line may be nested so deeply that it would end "
            f"the process. Load the folder instead, or install polars 2.1 or newer."
        )
    found = pl.scan_ndjson(path, schema={column.name: column.dtype for column in SCORE_FIELDS})
    filled = {"grader": "", "rubric_hash": "", "epoch": 1, "sample": 1}
    return found.with_columns(
        *(pl.col(name).fill_null(pl.lit(value)) for name, value in filled.items()),
        pl.lit(str(path)).cast(SCORES.schema["source"]).alias("source"),
        pl.lit(None, dtype=pl.Int64).alias("line"),
    ).select(list(SCORES.schema))


def _transcripts(path: Path) -> dict[str, pl.LazyFrame]:
    """Return the outputs and the turns of a file of transcripts, of which a few lines are in memory at a time."""
    if not path.is_file():
        return {}
    from polars.io.plugins import register_io_source

    def source(which: int, columns: list[str]) -> pl.LazyFrame:
        def read(
            with_columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            left = n_rows
            for part in native.scan_transcripts(path):
                frame = part[which].select(columns)
                frame = frame if left is None else frame.head(left)
                left = None if left is None else left - frame.height
                frame = frame if predicate is None else frame.filter(predicate)
                yield frame if with_columns is None else frame.select(with_columns)
                if left == 0:
                    return

        schema = {name: (TRIALS if which == 0 else TURNS).schema[name] for name in columns}
        return register_io_source(read, schema=schema)

    return {"_outputs": source(0, _OUTPUT), "turns": source(1, list(TURNS.schema))}


def _all_runs(evals: Evals, scores: pl.LazyFrame) -> pl.DataFrame:
    """Return the runs with those that only scores name."""
    named = scores.select("run").unique().collect(engine="streaming")
    return Evals.from_tables(
        runs=evals.runs, scores=named.with_columns(case=pl.lit(""), criterion=pl.lit(""))
    ).runs
