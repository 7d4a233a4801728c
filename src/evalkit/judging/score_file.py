"""Add score rows to a `scores.jsonl` and to an `Evals`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data import folder as native
from evalkit.data.json_text import as_text, lines
from evalkit.data.schema import CRITERIA, SCORES, TRIAL_KEY
from evalkit.data.suite import Rubric
from evalkit.judging.notes import status_kind
from evalkit.judging.rubric_source import PASS_FAIL
from evalkit.judging.score_rows import score_key
from evalkit.util.atomic_files import atomic_write, delay_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from evalkit.data.evals import Evals
    from evalkit.data.suite import Criterion
    from evalkit.judging.settings import JudgeSettings
    from evalkit.util.notes import Note

_KEY: Final = list(SCORES.key)
_DEFAULTS: Final = {"epoch": 1, "sample": 1, "grader": "", "rubric_hash": ""}
# Until then rows are in the cache or the journal.
_WRITE_INTERVAL_S: Final = 0.25


class ScoreFile:
    """The `scores.jsonl` of a folder. A row without a score is replaced when the score arrives.

    A context manager that locks the file (`BusyError` if another process holds it) and at its end has written all rows.

    Parameters
    ----------
    folder
        Created if missing; the file is created with the first row.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / native.SCORES_FILE
        self._existing = SCORES.empty()
        self._has_score: dict[tuple[Any, ...], bool] = {}
        self._pending: list[dict[str, Any]] = []
        self._replacements: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._written_at = time.monotonic()
        self._lock = ExitStack()

    def __enter__(self) -> ScoreFile:
        with ExitStack() as lock:
            lock.enter_context(native.holding(self.path.parent, self.path.name))
            if self.path.is_file():
                self._existing = native.read_scores(self.path).scores
                rows = self._existing.select(*_KEY, pl.col("score").is_not_null()).iter_rows()
                self._has_score = {row[:-1]: row[-1] for row in rows}
            self._lock = lock.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._write()
            if self._replacements:
                self._replace()

    def added_to(self, evals: Evals) -> Evals:
        """Return the evaluations with the file's scores of their trials."""
        trials = evals.attempts().select(TRIAL_KEY)
        scores = self._existing.join(trials, on=TRIAL_KEY, how="semi", maintain_order="left")
        new = scores.join(evals.scores, on=_KEY, how="anti", maintain_order="left")
        return replace(evals, scores=pl.concat([evals.scores, new]))

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows whose judgement is not in the file, or is there without a score."""
        for row in rows:
            key = score_key(row)
            if key not in self._has_score:
                self._pending.append(row)
                self._has_score[key] = row.get("score") is not None
            elif not self._has_score[key]:
                self._replacements[key] = row
        if time.monotonic() - self._written_at > _WRITE_INTERVAL_S:
            self._write()

    def _write(self) -> None:
        with delay_interrupt():
            native.append(self.path, self._pending)
            self._pending = []
        self._written_at = time.monotonic()

    def _replace(self) -> None:
        content = self.path.read_bytes() if self.path.is_file() else b""
        kept = [raw + b"\n" for _, raw in lines(content) if _key_of(raw) not in self._replacements]
        with atomic_write(self.path) as fresh:
            fresh.write_bytes(b"".join(kept))
            # Returns when all of it is on disk.
            native.append(fresh, self._replacements.values())
        self._replacements = {}


def with_scores(
    evals: Evals, rows: list[dict[str, Any]], judge: JudgeSettings, notes: Iterable[Note]
) -> Evals:
    """Return the evaluations with new rows, their criteria and notes.

    An existing row with a score stays; one without is replaced. Runs with synthetic scores are marked.
    """
    rows = sorted(rows, key=_order(evals, judge))
    new = SCORES.check(pl.DataFrame(rows, infer_schema_length=None)) if rows else SCORES.empty()
    new = new.unique(subset=_KEY, keep="first", maintain_order=True)
    old = evals.scores
    scored = old.filter(pl.col("score").is_not_null())
    new = new.join(scored, on=_KEY, how="anti", maintain_order="left")
    kept = old.join(new, on=_KEY, how="anti", maintain_order="left")
    synthetic = new.filter(pl.col("metadata").str.json_path_match("$.made_up") == "true")["run"]
    outdated = status_kind(judge.grader)
    return replace(
        evals,
        runs=evals.mark_made_up(synthetic).runs,
        scores=pl.concat([kept, new]),
        criteria=_with_criteria(evals, new, judge),
        notes=(*(note for note in evals.notes if note.kind != outdated), *notes),
    )


def _order(evals: Evals, judge: JudgeSettings) -> Callable[[dict[str, Any]], tuple[int, int, int]]:
    """Return the sort key of a row: trial, criterion, sample."""
    trials = {key: index for index, key in enumerate(evals.attempts().select(TRIAL_KEY).iter_rows())}
    names = [*(one.name for one in _own_criteria(judge)), *evals.criteria["criterion"]]
    criteria = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return lambda row: (
        trials.get((row["run"], row["case"], row["epoch"]), len(trials)),
        criteria.get(row["criterion"], len(criteria)),
        row["sample"],
    )


def _own_criteria(judge: JudgeSettings) -> list[Criterion]:
    return list(judge.rubric.criteria) if isinstance(judge.rubric, Rubric) else []


def _with_criteria(evals: Evals, new: pl.DataFrame, judge: JudgeSettings) -> pl.DataFrame:
    """Return the criteria, and those of new scores that were not declared."""
    by_name = {criterion.name: criterion for criterion in (PASS_FAIL, *_own_criteria(judge))}
    suites = evals.runs.select("run", pl.col("suite").fill_null(""))
    used = new.select("run", "criterion").join(suites, on="run", how="left")
    missing = used.select("suite", "criterion").unique(maintain_order=True)
    missing = missing.join(evals.criteria, on=["suite", "criterion"], how="anti", maintain_order="left")
    added = [
        {"suite": suite, **_criterion_row(by_name[name])}
        for suite, name in missing.iter_rows()
        if name in by_name
    ]
    if not added:
        return evals.criteria
    return pl.concat([evals.criteria, CRITERIA.check(pl.DataFrame(added))])


def _criterion_row(criterion: Criterion) -> dict[str, Any]:
    anchors = {str(score): text for score, text in criterion.anchors.items()}
    return {
        "criterion": criterion.name,
        "description": criterion.description or None,
        "anchors": msgspec.json.encode(anchors).decode() if anchors else None,
        "scale_min": criterion.scale[0],
        "scale_max": criterion.scale[1],
        "weight": criterion.weight,
        "kind": criterion.kind,
    }


def _key_of(raw: bytes) -> tuple[Any, ...] | None:
    """Return the key of a line of the file; None if it has no score."""
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    values = {name: record.get(name, _DEFAULTS.get(name)) for name in _KEY}
    numbers = ("epoch", "sample")
    return tuple(value if name in numbers else as_text(value) for name, value in values.items())
