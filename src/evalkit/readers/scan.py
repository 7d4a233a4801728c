"""Open evaluations larger than memory: scores and turns stay on disk."""

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
from evalkit.data.schema import SCORES, TABLES, TRIAL_KEY, TRIALS, TURNS
from evalkit.readers.load import load
from evalkit.util.arguments import expect
from evalkit.util.errors import FormatError, PathError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.data.schema import Table, TableName

_OUTPUT: Final = [*TRIAL_KEY, "output"]
_SMALL: Final[tuple[TableName, ...]] = ("cases", "criteria", "runs", "trials")


def scan(folder: str | Path) -> Evals:
    """Open a saved or a native folder without reading its scores and turns.

    Parameters
    ----------
    folder
        A folder written by `Evals.save` or `evalkit convert --to parquet`, or a native folder with
        `scores.jsonl`.

    Returns
    -------
    Evals
        `scores` and `turns` are lazy polars frames; `trials` has no `output` (see `outputs`). Verbs that
        reduce scores give the same results as after `load`. Verbs that need all texts raise an error: use
        `evals.filter(...).collect()`. Nothing is checked: an unreadable line raises an error when a verb
        reads it, and scores outside their scale count.

    Raises
    ------
    PathError
        The folder is missing.
    FormatError
        The folder is neither a saved nor a native folder.

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
    files: list[str] = []
    if (folder / MANIFEST).is_file():
        read_manifest(folder)
        lazy = {name: _parquet(folder / f"{name}.parquet", name) for name in ("scores", "turns")}
        lazy["_outputs"] = _parquet(folder / "trials.parquet", "trials").select(_OUTPUT)
    elif (folder / SCORES_FILE).is_file():
        files = [str(folder / SCORES_FILE)]
        lazy = {"scores": _lines(folder / SCORES_FILE), **_transcripts(folder / TRANSCRIPTS_FILE)}
    else:
        raise FormatError(
            f"{str(folder)!r} cannot be scanned. Expected a saved folder or a native folder with {SCORES_FILE}. "
            f"Convert it: evalkit convert --to parquet."
        )
    evals = load(folder, tables=_SMALL)
    # `from_tables` adds runs that occur only in scores.
    runs = lazy["scores"].select("run").unique().collect(engine="streaming")
    scores = runs.with_columns(case=pl.lit(""), criterion=pl.lit(""))
    return replace(
        evals,
        trials=evals.trials.with_columns(output=pl.lit(None, dtype=pl.String)),
        runs=Evals.from_tables(runs=evals.runs, scores=scores).runs,
        files=tuple(dict.fromkeys([*evals.files, *files])),
        **lazy,
    )


def _parquet(path: Path, name: TableName) -> pl.LazyFrame:
    frame = pl.scan_parquet(path)
    schema, table = frame.collect_schema(), TABLES[name]
    # Folders of older versions lack newer columns.
    if not set(table.key) <= schema.keys() or not schema.items() <= table.schema.items():
        raise FormatError(f"{str(path)!r} is not a saved {name} table. Load the folder instead.")
    return frame


def _lines(path: Path) -> pl.LazyFrame:
    if ends_polars(path):
        raise FormatError(
            f"{str(path)!r} cannot be scanned by polars {pl.__version__}: a deeply nested line would crash the "
            f"process. Load the folder instead, or install polars 2.1 or newer."
        )
    frame = pl.scan_ndjson(path, schema={column.name: column.dtype for column in SCORE_FIELDS})
    defaults = {"grader": "", "rubric_hash": "", "epoch": 1, "sample": 1}
    return frame.with_columns(
        *(pl.col(name).fill_null(pl.lit(value)) for name, value in defaults.items()),
        pl.lit(str(path)).cast(SCORES.schema["source"]).alias("source"),
        pl.lit(None, dtype=pl.Int64).alias("line"),
    ).select(list(SCORES.schema))


def _transcripts(path: Path) -> dict[str, pl.LazyFrame]:
    if not path.is_file():
        return {}
    from polars.io.plugins import register_io_source

    def source(table: Table, columns: list[str]) -> pl.LazyFrame:
        def read(
            with_columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            for trials, turns in native.scan_transcripts(path):
                frame = (trials if table is TRIALS else turns).select(columns)
                if n_rows is not None:
                    frame = frame.head(n_rows)
                    n_rows -= frame.height
                frame = frame if predicate is None else frame.filter(predicate)
                yield frame if with_columns is None else frame.select(with_columns)
                if n_rows == 0:
                    return

        return register_io_source(read, schema={name: table.schema[name] for name in columns})

    return {"_outputs": source(TRIALS, _OUTPUT), "turns": source(TURNS, list(TURNS.schema))}
