"""Read the native folder: `suite.yaml`, `transcripts.jsonl` and `scores.jsonl`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from evalkit.data.columns import fit, in_order, read_frame
from evalkit.data.evals import Evals, unreadable
from evalkit.data.folder_fields import SCORE_FIELDS, SCORES_FILE, SUITE_FILE, TRANSCRIPTS_FILE, suite_files
from evalkit.data.folder_read import read_transcripts, scan_transcripts
from evalkit.data.folder_write import append, write
from evalkit.data.json_text import DECODE_ERRORS, lines, raw_text, read_bytes
from evalkit.data.schema import SCORES, Key, Problem
from evalkit.util.errors import ColumnError, FormatError, PathError, SuiteError
from evalkit.util.file_lock import holding

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "SCORES_FILE",
    "SUITE_FILE",
    "TRANSCRIPTS_FILE",
    "append",
    "holding",
    "in_line_order",
    "read",
    "read_scores",
    "read_suite",
    "read_transcripts",
    "scan_transcripts",
    "within_scale",
    "write",
]


class _Metadata(msgspec.Struct):
    metadata: msgspec.Raw = msgspec.Raw()


def read(folder: str | Path) -> Evals:
    """Read a native folder; any of its three files may be missing.

    Parameters
    ----------
    folder
        A folder with `suite.yaml`, `transcripts.jsonl` or `scores.jsonl`.

    Returns
    -------
    Evals
        Every good record. A score outside the suite's scale is null with an `error`.

    Raises
    ------
    PathError
        The folder is missing.
    FormatError
        The folder has none of the three files.
    """
    folder = Path(folder)
    if not folder.exists():
        raise PathError.missing(folder)
    readers: dict[Path, Callable[[Path], Evals]] = {
        **dict.fromkeys(suite_files(folder), read_suite),
        folder / TRANSCRIPTS_FILE: read_transcripts,
        folder / SCORES_FILE: read_scores,
    }
    parts = [reader(path) for path, reader in readers.items() if path.is_file()]
    if not parts:
        names = f"{SUITE_FILE}, {TRANSCRIPTS_FILE}, {SCORES_FILE}"
        raise FormatError(f"{str(folder)!r} holds none of {names}.")
    return in_line_order(within_scale(Evals.concat(parts)))


def in_line_order(evals: Evals) -> Evals:
    """Sort the problems by file and line; those of a whole file come first."""
    return replace(evals, problems=evals.problems.sort("source", "line", maintain_order=True))


def read_suite(path: str | Path) -> Evals:
    """Read a suite file into `cases` and `criteria`; an invalid file is a `Problem`."""
    from evalkit.data.suite import Suite

    try:
        cases, criteria = Suite.read(path).tables()
    except SuiteError as error:
        return unreadable(path, str(error))
    return Evals.from_tables(cases=cases, criteria=criteria, files=[str(path)])


def read_scores(path: str | Path) -> Evals:
    """Read a `scores.jsonl` with the fields of `evalkit.data.schema.SCORES`.

    Only `run`, `case` and `criterion` are required. An invalid value is null with a `Problem`; an invalid
    score also has an `error`. Raise `PathError` if the file is missing.
    """
    path = Path(path)
    files = [str(path)]
    frame, problems = read_frame(path, schema={c.name: c.dtype for c in SCORE_FIELDS})
    if frame.is_empty():
        problems = problems or [Problem(str(path), None, "the file is empty")]
        return Evals.from_tables(problems=problems, files=files)
    missing = [name for name in ("run", "case", "criterion") if name not in frame.columns]
    if missing:
        problems.append(Problem(str(path), None, f"no line has {' or '.join(missing)}"))
        return Evals.from_tables(problems=problems, files=files)
    source = pl.Series("source", [str(path)], dtype=Key).new_from_index(0, frame.height)
    frame = _exact_metadata(path, frame).with_columns(source)
    try:
        return Evals.from_tables(scores=frame, problems=problems, files=files)
    except ColumnError:
        good, more = fit(SCORES, frame)
        return Evals.from_tables(scores=good, problems=in_order(problems + more), files=files)


def within_scale(evals: Evals) -> Evals:
    """Set scores outside their scale to null, with an `error` and a `Problem`.

    >>> evals = within_scale(
    ...     Evals.from_tables(
    ...         criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
    ...         scores=pl.DataFrame({"run": ["a"], "case": ["01"], "criterion": ["Groq"], "score": [50]}),
    ...     )
    ... )
    >>> evals.scores["error"].item()
    '50 is outside the scale 1 to 5'
    """
    ends = ["scale_min", "scale_max"]
    scale = evals.criteria.filter(pl.any_horizontal(pl.col(ends).is_not_null()))
    if scale.is_empty() or evals.scores.is_empty():
        return evals
    by = ["run", "criterion"]
    limits = (
        evals.scores.group_by(by)
        .agg(lowest=pl.col("score").min(), highest=pl.col("score").max())
        .join(evals.runs.select("run", pl.col("suite").fill_null("")), on="run", how="left")
        .join(scale.select("suite", "criterion", *ends), on=["suite", "criterion"], how="left")
        .filter((pl.col("lowest") < pl.col("scale_min")) | (pl.col("highest") > pl.col("scale_max")))
    )
    if limits.is_empty():
        return evals
    is_outside = (pl.col("score") < pl.col("scale_min")) | (pl.col("score") > pl.col("scale_max"))
    joined = evals.scores.join(limits.select(*by, *ends), on=by, how="left", maintain_order="left")
    joined = joined.with_columns(outside=is_outside.fill_null(value=False))
    reasons: list[str | None] = [None] * joined.height
    problems = []
    rows = joined.filter("outside").iter_rows(named=True)
    for index, row in zip(joined["outside"].arg_true(), rows, strict=True):
        text = f"{row['score']:g} is outside the scale {row['scale_min']:g} to {row['scale_max']:g}"
        reasons[index] = text
        problems.append(Problem(row["source"] or "<frame>", row["line"], f"{row['criterion']}: {text}"))
    scores = joined.with_columns(
        score=pl.when("outside").then(None).otherwise("score"),
        error=pl.coalesce("error", pl.Series("error", reasons, dtype=pl.String)),
    ).select(list(SCORES.schema))
    return replace(evals, scores=scores) + Evals.from_tables(problems=problems)


def _exact_metadata(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with nested metadata as its exact text in the file."""
    if frame.schema.get("metadata") != pl.String:
        return frame
    nested = frame["metadata"].str.contains(r"^[\[{]").fill_null(value=False)
    if not nested.any():
        return frame
    rows = dict(zip(frame["line"].filter(nested), nested.arg_true(), strict=True))
    texts = frame["metadata"].to_list()
    decoder = msgspec.json.Decoder(_Metadata)
    for number, raw in lines(read_bytes(path)):
        if number in rows:
            try:
                texts[rows[number]] = raw_text(decoder.decode(raw).metadata)
            except DECODE_ERRORS:
                continue
    return frame.with_columns(pl.Series("metadata", texts, dtype=pl.String))


def __dir__() -> list[str]:
    return __all__
