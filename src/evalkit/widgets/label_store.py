"""Labels of people: in which order answers are given to them, and the file that theirs are kept in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.data import folder as native
from evalkit.data.schema import SCORES
from evalkit.grading.grade import grade, grade_criteria
from evalkit.grading.select_scores import choose_scores
from evalkit.util.atomic_files import replacing, uninterrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

Order = Literal["information", "random"]
"""`information`: what teaches most about the judge first. `random`: drawn blindly, which a correction needs."""

Trial = tuple[str, str, int]
_TRIAL: Final = ["run", "case", "epoch"]
_KEY: Final = tuple(name for name in SCORES.key)


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to be judged: a criterion of a trial."""

    run: str
    case: str
    epoch: int
    criterion: str

    @property
    def trial(self) -> Trial:
        """The trial that it is of."""
        return self.run, self.case, self.epoch


def order_trials(
    evals: Evals,
    rule: PassRule,
    *,
    order: Order,
    seed: int,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> list[Trial]:
    """Return the judged trials in the order in which a person should see them.

    By information, trials come first on which the judge's own samples disagree or whose mean lies near the rule's;
    the strata (severity by verdict) take turns, the one with the fewest labels of people first. At random, the
    order is a draw with `seed` and nothing else.

    Returns
    -------
    list of (run, case, epoch)
    """
    judged = grade(evals, rule, grader=grader, rubric=rubric).filter(pl.col("scored") > 0)
    if order == "random":
        return [
            (run, case, epoch)
            for run, case, epoch in judged.select(_TRIAL)
            .sort(_TRIAL)
            .sample(fraction=1, shuffle=True, seed=seed)
            .rows()
        ]
    spread = (
        choose_scores(evals.scores, grader=grader, rubric=rubric)
        .to_native()
        .group_by(*_TRIAL, "criterion")
        .agg(pl.col("score").std().fill_null(0.0).alias("spread"))
        .group_by(_TRIAL)
        .agg(pl.col("spread").max())
    )
    labelled = (
        evals.scores.filter(pl.col("grader_kind") == "human").select(_TRIAL).unique().with_columns(seen=1)
    )
    strata = pl.concat_str(
        pl.col("severity").cast(pl.String).fill_null(""), pl.col("verdict").cast(pl.String), separator="/"
    )
    worth = (
        pl.col("spread").fill_null(0.0) + 1 / (1 + (pl.col("mean").fill_null(rule.mean) - rule.mean).abs())
    ).round(9)
    table = (
        judged.join(spread, on=_TRIAL, how="left")
        .join(labelled, on=_TRIAL, how="left")
        .with_columns(strata.alias("stratum"), worth.alias("worth"))
        .with_columns(pl.col("seen").sum().over("stratum").fill_null(0).alias("labels"))
        # What somebody has labelled already teaches less than what nobody has.
        .sort(
            pl.col("seen").fill_null(0),
            pl.col("worth"),
            *_TRIAL,
            descending=[False, True, False, False, False],
        )
        .with_columns(pl.int_range(pl.len()).over("stratum").alias("turn"))
        .sort(
            pl.col("seen").fill_null(0),
            pl.col("turn") + pl.col("labels"),
            "stratum",
            "worth",
            descending=[False, False, False, True],
        )
    )
    return [(run, case, epoch) for run, case, epoch in table.select(_TRIAL).rows()]


@dataclass(slots=True)
class LabelFile:
    """A file of labels: scores of people as JSON lines, which `evalkit.load` reads.

    A label is on the disk before `put` returns. Labels are added at the end; one that is given again takes the
    place of the earlier one.

    Attributes
    ----------
    path
        The file.
    rows
        Its rows, by the key of a score.
    """

    path: Path
    rows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> LabelFile:
        """Open a file, or one that is not there yet.

        Lines of it that cannot be read stay as they are.
        """
        made = cls(Path(path))
        if made.path.exists():
            for row in native.read_scores(made.path).scores.iter_rows(named=True):
                given = {
                    name: value
                    for name, value in row.items()
                    if value is not None and name not in ("source", "line")
                }
                if isinstance(given.get("metadata"), str):
                    given["metadata"] = (
                        json.loads(given["metadata"])
                        if given["metadata"].startswith("{")
                        else given["metadata"]
                    )
                made.rows[_key(given)] = given
        return made

    def put(self, row: dict[str, Any]) -> None:
        """Keep a label.

        Raises
        ------
        BusyError
            Another session writes one this very moment: give it again.
        """
        key = _key(row)
        with uninterrupted(), native.holding(self.path.parent, self.path.name):
            # The file says what is there: another session may have written into it since it was opened.
            lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
            mine = [at for at, raw in enumerate(lines) if raw.strip() and _key_of(raw) == key]
            if mine:
                for at in mine:
                    lines[at] = _line(row)
                with replacing(self.path) as fresh:
                    fresh.write_bytes(b"\n".join(lines))
            else:
                native.append(self.path, [row])
            # Not before: what could not be written has to be added the next time.
            self.rows[key] = row

    def of(self, rater: str) -> dict[Task, dict[str, Any]]:
        """Return what a rater has labelled."""
        mine = (row for row in self.rows.values() if row.get("grader") == rater)
        return {Task(row["run"], row["case"], row["epoch"], row["criterion"]): row for row in mine}

    def frame(self) -> pl.DataFrame:
        """Return the labels as rows of the `scores` table."""
        rows = [{**row, "metadata": _text(row.get("metadata"))} for row in self.rows.values()]
        if not rows:
            return SCORES.empty()
        frame = pl.DataFrame(rows, infer_schema_length=None)
        return SCORES.check(frame.with_columns(source=pl.lit(str(self.path))))


def make_row(
    task: Task, *, rater: str, rubric_hash: str, score: float | None, note: str, order: Order, blind: bool
) -> dict[str, Any]:
    """Return a label as a row of the `scores` table; without a score it says that the rater cannot tell."""
    row: dict[str, Any] = {
        "run": task.run,
        "case": task.case,
        "epoch": task.epoch,
        "criterion": task.criterion,
        "grader": rater,
        "rubric_hash": rubric_hash,
        "sample": 1,
        "grader_kind": "human",
    }
    row |= (
        {"score": score} if score is not None else {"label": "cannot tell", "error": "the rater cannot tell"}
    )
    if note:
        row["rationale"] = note
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {**row, "metadata": {"order": order, "blind": blind, "labelled_at": at}}


def rubric_hashes(evals: Evals) -> dict[tuple[str, str], str]:
    """Return the wording that the judge went by, by (case, criterion): a label is held against the same one."""
    rows = evals.scores.filter(pl.col("grader_kind").ne_missing("human")).select(
        "case", "criterion", "rubric_hash"
    )
    return {(case, criterion): told for case, criterion, told in rows.unique(maintain_order=True).rows()}


def criteria_of(evals: Evals, rule: PassRule, **chosen: Any) -> dict[str, list[str]]:
    """Return the criteria of each run, in the order of the suite."""
    rank = {name: at for at, name in enumerate(evals.criteria["criterion"].cast(pl.String))}
    answers = grade_criteria(evals, rule, **chosen).select("run", "criterion").unique()
    made: dict[str, list[str]] = {}
    for run, criterion in sorted(answers.rows(), key=lambda row: (rank.get(row[1], len(rank)), row[1])):
        made.setdefault(run, []).append(criterion)
    return made


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    fallback = {"epoch": 1, "sample": 1}
    return tuple(row.get(name, fallback.get(name, "")) for name in _KEY)


def _key_of(raw: bytes) -> tuple[Any, ...] | None:
    try:
        row = json.loads(raw)
    except ValueError:
        return None
    return _key(row) if isinstance(row, dict) else None


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _text(metadata: Any) -> str | None:
    return _line(metadata).decode() if isinstance(metadata, dict) else metadata
