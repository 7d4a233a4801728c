"""Find what sources contradict each other in, and attempts that are there twice."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.data.frames import some_of
from evalkit.data.schema import SCORES, TRIAL_KEY
from evalkit.util.notes import Note
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

INPUT: Final = "input"
OUTPUT: Final = "output"
"""Kinds of notes: cases with several inputs, trials with several outputs. Their records end with a hash of the text."""

_KEYS: Final = {"cases": (INPUT, ["suite", "case"]), "trials": (OUTPUT, TRIAL_KEY)}
_NEWEST: Final = ["started_at", "_row"]


def content_hash(text: str) -> str:
    r"""Return a hash of a text without its spacing and Unicode form.

    >>> content_hash("Is it  so?") == content_hash(" Is it so?\n")
    True
    """
    plain = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()
    return hashlib.sha256(plain.encode(errors="replace")).hexdigest()[:12]


def plain_case(column: str) -> pl.Expr:
    """Return the name of a case without what does not tell it apart: Unicode form, case, blanks, leading zeros."""
    text = pl.col(column).cast(pl.String).str.normalize("NFKC").str.to_lowercase()
    return text.str.replace_all(r"\s+", " ").str.strip_chars().str.replace(r"^0+(\d)", "${1}")


def find_conflicts(parts: Sequence[Any], table: Literal["cases", "trials"]) -> Iterator[Note]:
    """Yield a note per `Evals` whose input of a case, or output of a trial, differs from an earlier one's."""
    column, key = _KEYS[table]
    frames = [_texts(part, table, column, key) for part in parts]
    rows = pl.concat([frame.with_columns(part=pl.lit(place)) for place, frame in enumerate(frames)])
    several = rows.filter(pl.col(column).n_unique().over(key) > 1)
    for place, records in _differing(several.select("part", column, *key).iter_rows()).items():
        yield conflict_note(
            column, records, files=parts[place].files, runs=parts[place].runs["run"].cast(pl.String)
        )


def conflicts_in_table(
    frame: pl.DataFrame, column: str, key: Sequence[str], *, files: Iterable[str]
) -> Iterator[Note]:
    """Yield a note per run whose input of a case, or output of a trial, differs from an earlier row's."""
    rows = frame.drop_nulls(column).filter(pl.col(column).n_unique().over(key) > 1)
    rows = rows.select(pl.col("run").alias("_run"), pl.col(column).alias("_text"), *key)
    for run, records in _differing(rows.unique(maintain_order=True).iter_rows()).items():
        yield conflict_note(column, records, files=files, runs=[run])


def _differing(rows: Iterable[tuple[Any, ...]]) -> dict[Any, list[tuple[str, ...]]]:
    """Return the records with another text than the first of their key, by group; a row is group, text and key."""
    first: dict[tuple[str, ...], str] = {}
    differing: dict[Any, list[tuple[str, ...]]] = defaultdict(list)
    for group, text, *names in rows:
        record, own = tuple(map(str, names)), content_hash(text)
        if first.setdefault(record, own) != own:
            differing[group].append((*record, own))
    return differing


def conflict_note(
    column: str, records: Sequence[tuple[str, ...]], *, files: Iterable[str], runs: Iterable[str]
) -> Note:
    """Return the note of records that have another input or output than earlier ones."""
    unit = "case" if column == INPUT else "trial"
    names = join_words(dict.fromkeys(record[1] for record in records), limit=4)
    verb = "has" if len(records) == 1 else "have"
    text = f"{plural(len(records), unit)} {verb} another {column} than before ({names})."
    return Note(column, text, tuple(files), tuple(dict.fromkeys(runs)), tuple(records))


def _texts(evals: Any, table: str, column: str, key: list[str]) -> pl.DataFrame:
    frame = some_of(getattr(evals, table), *key, column).drop_nulls(column)
    return frame.with_columns(pl.col(name).cast(pl.String) for name in key)


def conflicting_outputs(notes: Iterable[Note]) -> pl.DataFrame:
    """Return `run`, `case`, `epoch` (text) of the trials for which sources hold several outputs."""
    records = dict.fromkeys(record[:3] for note in notes if note.kind == OUTPUT for record in note.records)
    return pl.DataFrame(list(records), schema=dict.fromkeys(TRIAL_KEY, pl.String), orient="row")


def drop_copies(given: dict[str, pl.DataFrame]) -> tuple[dict[str, pl.DataFrame], list[Note]]:
    """Keep one of each attempt that several runs hold with one `uid`, the one of the newest run.

    Scores that only the older copy has go to the newer. Runs that lose all their trials go.
    """
    trials = given["trials"]
    if trials["uid"].null_count() == trials.height:
        return given, []
    same = ["uid", "case", "epoch"]
    rows = trials.select(*TRIAL_KEY, "uid", "source").with_row_index("_row").drop_nulls("uid")
    rows = rows.filter(pl.struct(same).is_duplicated())
    if rows.is_empty():
        return given, []
    times = given["runs"].select("run", "started_at")
    rows = rows.join(times, on="run", how="left").sort(_NEWEST, nulls_last=False)
    rows = rows.with_columns(kept=pl.col("run").last().over(same))
    gone = rows.filter(pl.col("run") != pl.col("kept"))
    if gone.is_empty():
        return given, []
    tables: dict[str, Any] = dict(given)
    for name in ("trials", "turns"):
        tables[name] = tables[name].join(gone, on=TRIAL_KEY, how="anti", maintain_order="left")
    kept = tables["scores"].join(gone, on=TRIAL_KEY, how="anti", maintain_order="left")
    moved = tables["scores"].join(
        gone.select(*TRIAL_KEY, "kept"), on=TRIAL_KEY, how="inner", maintain_order="left"
    )
    moved = moved.with_columns(run="kept").drop("kept").unique(SCORES.key, keep="last", maintain_order=True)
    new = moved.join(kept, on=list(SCORES.key), how="anti", maintain_order="left")
    tables["scores"] = pl.concat([kept, new])
    left = pl.concat([some_of(tables[name], "run") for name in ("trials", "scores")]).unique()
    emptied = gone.select("run").unique().join(left, on="run", how="anti")
    tables["runs"] = tables["runs"].join(emptied, on="run", how="anti", maintain_order="left")
    verb = "is a copy" if gone.height == 1 else "are copies"
    text = f"{plural(gone.height, 'trial')} {verb} of trials in other logs (same ID). The newer one of each is kept."
    runs = tuple(sorted(gone["kept"].cast(pl.String).unique()))
    return tables, [
        Note("copies", text, tuple(sorted(gone["source"].cast(pl.String).drop_nulls().unique())), runs)
    ]
