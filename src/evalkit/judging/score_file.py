"""Rows of scores into an `Evals`, and into the `scores.jsonl` beside the transcripts."""

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
from evalkit.judging.notes import is_outdated
from evalkit.judging.requests import PASS_FAIL
from evalkit.util.atomic_files import atomic_write, delay_interrupt
from evalkit.util.notes import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from evalkit.data.evals import Evals
    from evalkit.data.suite import Criterion
    from evalkit.judging.settings import JudgeSettings

_KEY: Final = SCORES.key
_DEFAULTS: Final = {"epoch": 1, "sample": 1, "grader": "", "rubric_hash": ""}
# Rows are put on the disk this often: each is in the cache or the journal by then.
_EVERY_S: Final = 0.25

_Key = tuple[Any, ...]


class ScoreFile:
    """The `scores.jsonl` of a folder: rows are added as they come; one without a score gives way to a better one.

    It is a context: inside it nobody else writes the file (`BusyError` says who does), and at its end all is written.

    Parameters
    ----------
    folder
        Made where it is missing; the file is made with the first row.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / native.SCORES_FILE
        self._have = SCORES.empty()
        self._scored: dict[_Key, bool] = {}
        self._waiting: list[dict[str, Any]] = []
        self._better: dict[_Key, dict[str, Any]] = {}
        self._at = time.monotonic()
        self._lock = ExitStack()

    def __enter__(self) -> ScoreFile:
        with ExitStack() as lock:
            lock.enter_context(native.holding(self.path.parent, self.path.name))
            if self.path.is_file():
                self._have = native.read_scores(self.path).scores
                self._scored = {row[:-1]: row[-1] for row in _scored(self._have).iter_rows()}
            self._lock = lock.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._write()
            if self._better:
                self._replace()

    def added_to(self, evals: Evals) -> Evals:
        """Return the evaluations with the scores of the file that are about their trials."""
        keys = evals.attempts().select(TRIAL_KEY)
        mine = self._have.join(keys, on=TRIAL_KEY, how="semi", maintain_order="left")
        new = mine.join(evals.scores, on=list(_KEY), how="anti", maintain_order="left")
        return replace(evals, scores=pl.concat([evals.scores, new]))

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows, but for those whose judgement is there already."""
        for row in rows:
            key = tuple(row[name] for name in _KEY)
            there = self._scored.get(key)
            if there is None:
                self._waiting.append(row)
                self._scored[key] = row.get("score") is not None
            elif not there:
                self._better[key] = row
        if time.monotonic() - self._at > _EVERY_S:
            self._write()

    def _write(self) -> None:
        with delay_interrupt():
            native.append(self.path, self._waiting)
            self._waiting = []
        self._at = time.monotonic()

    def _replace(self) -> None:
        """Put rows that have a score in the place of those that had none."""
        kept = []
        for _, raw in lines(self.path.read_bytes() if self.path.is_file() else b""):
            key = _key_of(raw)
            if key not in self._better:
                kept.append(raw + b"\n")
        with atomic_write(self.path) as fresh:
            fresh.write_bytes(b"".join(kept))
            # It adds the rows as ever, and does not return before all of it is on the disk.
            native.append(fresh, self._better.values())
        self._better = {}


def with_scores(
    evals: Evals, rows: list[dict[str, Any]], judge: JudgeSettings, notes: Iterable[str]
) -> Evals:
    """Return the evaluations with new rows, the criteria that they are about, and what is to be said of them.

    A row with a score stays as it is; one without gives way.
    """
    rows = sorted(rows, key=_order(evals, judge))
    new = SCORES.check(pl.DataFrame(rows, infer_schema_length=None)) if rows else SCORES.empty()
    new = new.unique(subset=list(_KEY), keep="first", maintain_order=True)
    old = evals.scores
    scored = old.filter(pl.col("score").is_not_null())
    new = new.join(scored, on=list(_KEY), how="anti", maintain_order="left")
    kept = old.join(new, on=list(_KEY), how="anti", maintain_order="left")
    # What an earlier call said of how far it came holds no longer; what it said of what was sent does.
    before = [note for note in evals.notes if not is_outdated(str(note), judge.grader)]
    fake = new.filter(pl.col("metadata").str.contains('"made_up":true', literal=True))["run"]
    return replace(
        evals,
        runs=evals.mark_made_up(fake).runs,
        scores=pl.concat([kept, new]),
        criteria=_with_criteria(evals, new, judge),
        notes=(*before, *(Note("judging", note) for note in notes)),
    )


def _order(evals: Evals, judge: JudgeSettings) -> Callable[[dict[str, Any]], tuple[int, int, int]]:
    """Return where a row stands among the others, whenever its reply came: by trial, criterion and sample."""
    trials = {key: at for at, key in enumerate(evals.attempts().select(TRIAL_KEY).iter_rows())}
    own = [criterion.name for criterion in judge.rubric.criteria] if isinstance(judge.rubric, Rubric) else []
    criteria = {name: at for at, name in enumerate(dict.fromkeys([*own, *evals.criteria["criterion"]]))}
    return lambda row: (
        trials.get((row["run"], row["case"], row["epoch"]), len(trials)),
        criteria.get(row["criterion"], len(criteria)),
        row["sample"],
    )


def _with_criteria(evals: Evals, new: pl.DataFrame, judge: JudgeSettings) -> pl.DataFrame:
    """Return the criteria with those that were judged and not declared."""
    own: list[Criterion] = [PASS_FAIL]
    if isinstance(judge.rubric, Rubric):
        own += judge.rubric.criteria
    by_name = {criterion.name: criterion for criterion in own}
    suites = evals.runs.select("run", pl.col("suite").fill_null("").alias("suite"))
    used = new.select("run", "criterion").join(suites, on="run", how="left")
    missing = used.select("suite", "criterion").unique(maintain_order=True)
    missing = missing.join(evals.criteria, on=["suite", "criterion"], how="anti", maintain_order="left")
    added = [
        {"suite": suite, **_declared(by_name[name])} for suite, name in missing.iter_rows() if name in by_name
    ]
    if not added:
        return evals.criteria
    return pl.concat([evals.criteria, CRITERIA.check(pl.DataFrame(added))])


def _declared(criterion: Criterion) -> dict[str, Any]:
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


def _scored(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.select(*_KEY, pl.col("score").is_not_null())


def _key_of(raw: bytes) -> _Key | None:
    """Return the key of a line of the file; None where it is none of a score."""
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    return tuple(
        record.get(name, _DEFAULTS.get(name))
        if name in ("epoch", "sample")
        else as_text(record.get(name, _DEFAULTS.get(name)))
        for name in _KEY
    )
