"""`ek.label`: label answers by keyboard."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

import polars as pl

from evalkit.agreement.agreement import agreement
from evalkit.agreement.correct_for_judge import correct_for_judge
from evalkit.data.evals import Evals
from evalkit.data.schema import IS_HUMAN, TRIALS
from evalkit.grading.grade import grade_trial_criteria, scoring_to_view
from evalkit.grading.select_scores import choose_scoring
from evalkit.util import format as fmt
from evalkit.util.arguments import expect
from evalkit.util.errors import EvalkitError, SelectorError
from evalkit.util.hostile_text import Html, visible
from evalkit.util.html_table import html_table
from evalkit.util.words import plural
from evalkit.widgets.label_store import (
    VERDICT,
    LabelFile,
    Order,
    Task,
    declared_by_run,
    order_trials,
    order_unjudged,
    with_criteria,
)
from evalkit.widgets.panel import Score, Step, Text, section
from evalkit.widgets.transcript_view import TrialPanel, read_trial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evalkit.grading.pass_rule import PassRule
    from evalkit.widgets.transcript_view import TranscriptView

# A scale with more points gets a number field instead of buttons.
_MAX_POINTS: Final = 11
# Kappa is reliable from the first, and not reliable below the second (docs/statistics.md).
_RELIABLE: Final = 0.80
_TENTATIVE: Final = 0.667
_ORDERS: Final = {"information": "Most informative first", "random": "Random sample"}
_CANNOT_TELL: Final = "cannot tell"


@dataclass(frozen=True, slots=True)
class Labeling:
    """Progress of a rater: the tasks in order, and the current one."""

    tasks: tuple[Task, ...]
    index: int = 0
    # Whether the judge's scores are shown for the current task although labeling is blind.
    revealed: bool = False

    @property
    def task(self) -> Task:
        """The current task."""
        return self.tasks[self.index]

    def moved(self, by: int) -> Labeling:
        """Return the state some tasks further."""
        return replace(self, index=min(max(self.index + by, 0), len(self.tasks) - 1), revealed=False)

    def to_next_open(self, done: set[Task]) -> Labeling:
        """Return the state at the next unlabeled task, if any."""
        order = [*range(self.index, len(self.tasks)), *range(self.index)]
        index = next((i for i in order if self.tasks[i] not in done), self.index)
        return replace(self, index=index, revealed=False)


@dataclass(eq=False, repr=False)
class Labeler(TrialPanel):
    """The widget that `label` returns."""

    name: ClassVar[str] = "label"

    state: Labeling
    file: LabelFile
    rater: str
    order: Order
    blind: bool
    _evals: Evals
    is_judged: bool = True
    _results: list[str] | None = None

    @cached_property
    def _criteria(self) -> dict[str, dict[str, Any]]:
        return {row["criterion"]: row for row in self._evals.criteria.iter_rows(named=True)}

    @cached_property
    def _hashes(self) -> dict[tuple[str, str], str]:
        scores = self._evals.scores.filter(~IS_HUMAN)
        hashes = scores.select("case", "criterion", "rubric_hash").unique(maintain_order=True)
        return {(case, criterion): rubric_hash for case, criterion, rubric_hash in hashes.iter_rows()}

    def __repr__(self) -> str:
        done = len(self._done)
        return f"Labeler: {visible(self.rater)}, {done:,} of {plural(len(self.state.tasks), 'label')}, in {self.file.path}"

    @property
    def labels(self) -> pl.DataFrame:
        """The labels in the file, as rows of the `scores` table."""
        return self.file.frame()

    @property
    def evals(self) -> Evals:
        """The evaluations with the labels, as for `ek.agreement`."""
        return self._evals + Evals.from_tables(scores=self.labels)

    @property
    def _done(self) -> dict[Task, dict[str, Any]]:
        return self.file.labels_of(self.rater)

    def _on_reveal(self) -> str | None:
        if self.state.task not in self._done:
            return "Label it first."
        self.state = replace(self.state, revealed=True)
        return None

    def _on_go(self, by: Step) -> None:
        self.state, self._whole = self.state.moved(by), None

    def _on_give(self, score: Score | None, note: Text = "") -> str:
        task, name = self.state.task, self.state.task.criterion
        low, high = self._scale(name)
        if score is not None and low is not None and high is not None and not low <= score <= high:
            raise SelectorError(f"Score {score:g} is outside the scale of {name}, {low:g} to {high:g}.")
        row: dict[str, Any] = {**asdict(task), "grader": self.rater, "grader_kind": "human", "sample": 1}
        row["rubric_hash"] = self._hashes.get((task.case, name), "")
        if score is None:
            row |= {"label": _CANNOT_TELL, "error": "the rater cannot tell"}
        else:
            row["score"] = score
        if note.strip():
            row["rationale"] = note.strip()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.file.put({**row, "metadata": {"order": self.order, "blind": self.blind, "labelled_at": now}})
        self.state, self._whole, self._results = self.state.to_next_open(set(self._done)), None, None
        return f"{name}: {_CANNOT_TELL if score is None else f'{score:g}'}. Saved to {self.file.path.name}."

    def _scale(self, criterion: str) -> tuple[float | None, float | None]:
        row = self._criteria.get(criterion, {})
        return row.get("scale_min"), row.get("scale_max")

    def _trial(self) -> TranscriptView:
        task = self.state.task
        view = read_trial(self._evals, run=task.run, case=task.case, epoch=task.epoch)
        if not self.blind:
            return view
        revealed = (one for one in view.judgements if self.state.revealed and one.criterion == task.criterion)
        return replace(view, run="", facts=(), source="", judgements=tuple(revealed))

    def show(self) -> dict[str, Any]:
        """Return the task, its trial, the progress and the results."""
        if self._results is None:
            self._results = self._find_results()
        task, progress = self._task(), self._progress()
        return {"task": task, "progress": progress, "results": self._results, **self._reading()}

    def _task(self) -> dict[str, Any]:
        task, label = self.state.task, self._done.get(self.state.task)
        criteria = [one for one in self.state.tasks if one.trial == task.trial]
        return {
            "criterion": visible(task.criterion),
            "description": visible(self._criteria.get(task.criterion, {}).get("description") or ""),
            "points": self._points(task.criterion),
            "score": label and label.get("score"),
            "labeled": label is not None,
            "note": visible((label or {}).get("rationale") or ""),
            "place": f"criterion {criteria.index(task) + 1} of {len(criteria)}",
            "blind": self.blind,
            "revealed": self.state.revealed,
        }

    def _points(self, criterion: str) -> list[dict[str, Any]]:
        """Return the scores of a scale with their anchors; none if it has too many."""
        low, high = self._scale(criterion)
        if low is None or high is None or low % 1 or high % 1 or high - low >= _MAX_POINTS:
            return []
        anchors = json.loads(self._criteria[criterion]["anchors"] or "{}")
        points = range(int(low), int(high) + 1)
        return [{"score": float(at), "anchor": visible(anchors.get(str(at), ""))} for at in points]

    def _progress(self) -> dict[str, Any]:
        done, of = len(set(self.state.tasks) & set(self._done)), len(self.state.tasks)
        hidden = "hidden" if self.blind else "shown"
        judge = f"Judge scores {hidden}. {_ORDERS[self.order]}" if self.is_judged else "Not judged yet"
        words = f"{done:,} of {plural(of, 'label')}. {judge}"
        rater, index = visible(self.rater), self.state.index
        return {"done": done, "of": of, "index": index, "rater": rater, "words": words}

    def _find_results(self) -> list[str]:
        labels = self.labels.filter(pl.col("score").is_not_null())
        if labels.is_empty():
            return ["No labels yet"]
        if not self.is_judged:
            return _means(labels)
        judged = replace(self._evals, scores=self._evals.scores.filter(~IS_HUMAN))
        keys = labels.select(TRIALS.key).unique()
        tables = ("trials", "turns", "scores")
        labeled = {name: getattr(judged, name).join(keys, on=TRIALS.key, how="semi") for name in tables}
        is_random = pl.col("metadata").str.contains('"order": ?"random"').fill_null(value=False)
        both = replace(judged, **labeled) + Evals.from_tables(scores=labels)
        correction = _correction_line(judged, labels.filter(is_random))
        return [*_agreement_lines(both), correction]

    def to_html(self) -> Html:
        """Return the progress, the results and the labels as HTML."""
        rows = [
            [task.case, task.epoch, task.criterion, row.get("score", _CANNOT_TELL), row.get("rationale", "")]
            for task, row in self._done.items()
        ]
        table = html_table(["Case", "Epoch", "Criterion", "Score", "Note"], rows) if rows else ""
        title = f"Labels of {self.rater}: {self._progress()['words']}"
        return section("labeler", title, *(self._results or self._find_results()), table)


def label(
    evals: Evals,
    *,
    rater: str,
    path: str | Path = "labels.jsonl",
    order: Order = "information",
    blind: bool = True,
    rule: PassRule | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    criteria: Sequence[str] | None = None,
    seed: int = 0,
) -> Labeler:
    """Label answers by keyboard, one criterion at a time, and see how far the judge agrees.

    Each label is a row of `scores` with the grader kind "human", saved before the next task. Another session, or
    another rater, continues in the same file. Results: the judge's kappa with its interval, the corrected pass rate,
    and whether more labels would help.

    .. image:: ../docs/img/labeler_light.png

    Parameters
    ----------
    evals
        The evaluations. Trials with scores are labeled; all of them if no judge scored any.
    rater
        The name of the person: the grader of the labels.
    path
        The file of labels, JSON lines; created if missing. `ek.load` reads it.
    order
        "information": most informative about the judge first (its samples disagree, the mean is near the threshold,
        few labels in the stratum). "random": a sample with `seed`; only such labels can correct a pass rate.
    blind
        Hide the version, the model and the judge's scores.
    rule
        When a trial passes; None: the rule of the evals.
    grader, rubric
        The judge to compare with, as for `evalkit.grade`.
    criteria
        Only these criteria. Where nothing is judged yet and no suite declares criteria, the names of pass or fail
        criteria; None: "verdict".
    seed
        Seed of the random order.

    Raises
    ------
    SelectorError
        No trials, an unknown criterion, or an empty rater.

    Examples
    --------
    >>> import tempfile
    >>> import evalkit as ek
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     labeler = label(ek.demo.make(), rater="ann", path=f"{folder}/labels.jsonl")
    ...     labeler.handle({"kind": "give", "score": 4.0, "note": "Right, but long."})
    ...     print(labeler.labels.select("grader", "grader_kind", "score").row(0))
    ('ann', 'human', 4.0)
    """
    expect(label, locals(), loaded=True)
    if not rater.strip():
        raise SelectorError("Empty rater.", argument="rater", value=rater, fix="Pass rater='ann'.")
    evals = replace(evals, scoring=choose_scoring(evals, rule=rule, grader=grader, rubric=rubric))
    is_judged = bool(evals.scores.filter(~IS_HUMAN).height)
    if not is_judged:
        evals = with_criteria(evals, criteria or (VERDICT,))
    by_run = _criteria_by_run(evals) if is_judged else declared_by_run(evals)
    known = sorted({name for names in by_run.values() for name in names})
    for name in criteria or ():
        if name not in known:
            raise SelectorError.unknown(name, kind="criterion", have=known)
    tasks = tuple(
        Task(*trial, name)
        for trial in (order_trials if is_judged else order_unjudged)(evals, order=order, seed=seed)
        for name in by_run.get(trial[0], ())
        if criteria is None or name in criteria
    )
    if not tasks:
        raise SelectorError("No trials to label.")
    file = LabelFile.open(path)
    state = Labeling(tasks).to_next_open(set(file.labels_of(rater)))
    return Labeler(state, file, rater, order, blind, evals, is_judged)


def _criteria_by_run(evals: Evals) -> dict[str, list[str]]:
    rank = {name: index for index, name in enumerate(evals.criteria["criterion"].cast(pl.String))}
    criterion = pl.col("criterion").cast(pl.String)
    by_rank = criterion.replace_strict(rank, default=len(rank), return_dtype=pl.Int64)
    scored = (
        grade_trial_criteria(evals, scoring_to_view(evals, choose_scoring(evals)))
        .select("run", "criterion")
        .unique()
    )
    return dict(scored.sort(by_rank, "criterion").group_by("run").agg("criterion").iter_rows())


def _means(labels: pl.DataFrame) -> list[str]:
    means = labels.group_by("criterion", maintain_order=True).agg(pl.col("score").mean(), pl.len())
    return [f"{name}: mean {fmt.number(mean)}, {plural(n, 'label')}" for name, mean, n in means.iter_rows()]


def _agreement_lines(evals: Evals) -> list[str]:
    try:
        summary = agreement(evals, reference="human").summary
    except EvalkitError as error:
        return [str(error)]
    lines = []
    for row in summary.filter(pl.col("n") > 0).iter_rows(named=True):
        name = "verdict" if row["kind"] == "verdict" else row["scope"]
        n, low, kappa, high = (row[key] for key in ("n", "kappa_low", "kappa", "kappa_high"))
        if kappa is None or low is None:
            exact = "" if row["exact"] is None else f"{fmt.percent(row['exact'], 0)} equal. "
            lines.append(f"{name}: {exact}Too few labels for kappa ({n})")
            continue
        counts = f"{plural(n, 'label')}, {plural(row['cases'], 'case')}"
        lines.append(
            f"{name}: kappa {fmt.number(kappa)} {fmt.interval(low, high)}, {counts}. {more_labels(low, kappa, high, n)}"
        )
    return lines or ["No answer has both a label and a judge score yet"]


def more_labels(low: float, kappa: float, high: float, n: int) -> str:
    """Describe whether more labels would change the reading of a kappa.

    A kappa is settled if its interval is above .80 or below .667; an interval shrinks with the root of n.
    """
    if low >= _RELIABLE:
        return "Reliable. More labels would not change that."
    if high < _TENTATIVE:
        return "Not reliable. Reword the rubric: more labels would not change that."
    gap, reach = 0.0, high - kappa
    if kappa >= _RELIABLE:
        gap, reach = kappa - _RELIABLE, kappa - low
    elif kappa < _TENTATIVE:
        gap = _TENTATIVE - kappa
    if gap > reach / 4:
        return f"About {plural(round(n * (reach / gap) ** 2) - n, 'more label')} settle it."
    return f"About {plural(3 * n, 'more label')} halve the interval."


def _correction_line(judged: Evals, labels: pl.DataFrame) -> str:
    if labels.is_empty():
        return "No corrected pass rate: the labels are not a random sample. Pass order='random'"
    try:
        return correct_for_judge(judged + Evals.from_tables(scores=labels)).sentence
    except EvalkitError as error:
        return str(error)
