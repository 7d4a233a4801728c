"""`ek.label`: people judge what the judge judged, by keyboard, and see what that says about the judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import polars as pl

from evalkit.agreement.agreement import agreement, correct_for_judge
from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.util.arguments import expect
from evalkit.util.errors import EvalkitError, SelectorError
from evalkit.util.hostile_text import Html, escape, visible
from evalkit.util.words import plural
from evalkit.widgets.label_store import (
    LabelFile,
    Order,
    Task,
    criteria_of,
    make_row,
    order_trials,
    rubric_hashes,
)
from evalkit.widgets.panel import Panel
from evalkit.widgets.transcript import Whole, whole
from evalkit.widgets.transcript_view import read_trial, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evalkit.widgets.transcript_view import TranscriptView

_POINTS: Final = 11
# From where the kappa of a judge reads as reliable, and below which it does not (statistics, agreement).
_RELIABLE: Final = 0.80
_TENTATIVE: Final = 0.667


class Give(msgspec.Struct, tag_field="kind", tag="give", forbid_unknown_fields=True):
    """Judge the criterion that is asked for; null: it cannot be told."""

    score: Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)] | None
    note: Annotated[str, msgspec.Meta(max_length=20_000)] = ""


class Go(msgspec.Struct, tag_field="kind", tag="go", forbid_unknown_fields=True):
    """Go to the next thing to judge, or the one before."""

    by: Annotated[int, msgspec.Meta(ge=-1, le=1)]


class Reveal(msgspec.Struct, tag_field="kind", tag="reveal", forbid_unknown_fields=True):
    """Show what the judge said of what is labelled already."""


@dataclass(frozen=True, slots=True)
class Labelling:
    """Where a rater is.

    Attributes
    ----------
    tasks
        What there is to judge, in order.
    at
        Which of them is asked for.
    revealed
        Whether the judge's words on it are shown although the labelling is blind.
    """

    tasks: tuple[Task, ...]
    at: int = 0
    revealed: bool = False

    def moved(self, by: int) -> Labelling:
        """Return the state at the next task, or the one before."""
        return replace(self, at=min(max(self.at + by, 0), len(self.tasks) - 1), revealed=False)

    def to_next_open(self, done: set[Task]) -> Labelling:
        """Return the state at the next task that is not done; the same where all are."""
        order = [*range(self.at, len(self.tasks)), *range(self.at)]
        return replace(
            self, at=next((at for at in order if self.tasks[at] not in done), self.at), revealed=False
        )


class Labeller(Panel):
    """Labelling by a person. Displays itself in a notebook; made by `label`.

    Attributes
    ----------
    labels
        polars frame: the labels in the file, as rows of the `scores` table.
    evals
        What was given, with the labels in it: `ek.agreement(labeller.evals, reference="human")`.
    """

    name = "label"
    parts = ("task", "trial", "progress", "figures", "whole")
    messages = Give | Go | Reveal | Whole
    shares = ("transcript_reading",)

    def __init__(
        self,
        evals: Evals,
        state: Labelling,
        file: LabelFile,
        *,
        rater: str,
        rule: PassRule,
        order: Order,
        blind: bool,
        chosen: dict[str, Any],
    ) -> None:
        self.state = state
        self.file = file
        self.rater = rater
        self.rule = rule
        self.order = order
        self.blind = blind
        self._evals = evals
        self._chosen = chosen
        self._hashes = rubric_hashes(evals)
        self._facts = {row["criterion"]: row for row in evals.criteria.iter_rows(named=True)}
        self._whole: dict[str, Any] | None = None
        self._known: tuple[int, dict[str, Any]] | None = None

    def __repr__(self) -> str:
        done = len(self._done)
        return f"Labeller: {visible(self.rater)}, {done:,} of {len(self.state.tasks):,} judged, in {self.file.path}"

    @property
    def labels(self) -> pl.DataFrame:
        """The labels in the file."""
        return self.file.frame()

    @property
    def evals(self) -> Evals:
        """What was given, with the labels in it."""
        return self._evals + Evals.from_tables(scores=self.labels)

    @property
    def _done(self) -> dict[Task, dict[str, Any]]:
        return self.file.of(self.rater)

    @property
    def _task(self) -> Task:
        return self.state.tasks[self.state.at]

    def show(self) -> dict[str, Any]:
        """Return the task, its trial, the progress and the figures."""
        return {
            "task": self._shown_task(),
            "trial": self._shown_trial(),
            "progress": self._progress(),
            "figures": self._figures(),
            "whole": self._whole,
        }

    def receive(self, message: Give | Go | Reveal | Whole) -> str | None:
        """Keep a label, or go to another task."""
        if isinstance(message, Whole):
            self._whole = whole(self._view_of(self._task), message)
            return None
        if isinstance(message, Reveal):
            if self._task not in self._done:
                return "Judge it yourself first."
            self.state = replace(self.state, revealed=True)
            return None
        if isinstance(message, Go):
            self.state = self.state.moved(message.by)
            return None
        return self._give(message)

    def _give(self, given: Give) -> str:
        task = self._task
        facts = self._facts.get(task.criterion, {})
        low, high = facts.get("scale_min"), facts.get("scale_max")
        if (
            given.score is not None
            and low is not None
            and high is not None
            and not low <= given.score <= high
        ):
            raise SelectorError(
                f"{given.score:g} is not on the scale of {task.criterion}, {low:g} to {high:g}."
            )
        row = make_row(
            task,
            rater=self.rater,
            rubric_hash=self._hashes.get((task.case, task.criterion), ""),
            score=given.score,
            note=given.note.strip(),
            order=self.order,
            blind=self.blind,
        )
        self.file.put(row)
        self.state = self.state.to_next_open(set(self._done))
        said = "cannot tell" if given.score is None else f"{given.score:g}"
        return f"{task.criterion}: {said}. Kept in {self.file.path.name}."

    def to_html(self) -> Html:
        """Return the progress, the figures and the labels as text and a table."""
        rows = "".join(
            f"<tr><td>{escape(task.case)}</td><td>{task.epoch}</td><td>{escape(task.criterion)}</td>"
            f"<td>{'cannot tell' if row.get('score') is None else format(row['score'], 'g')}</td>"
            f"<td>{escape(row.get('rationale') or '')}</td></tr>"
            for task, row in self._done.items()
        )
        figures = "".join(f"<p>{escape(line)}</p>" for line in self._figures()["lines"])
        head = "".join(
            f"<th scope='col'>{name}</th>" for name in ("case", "epoch", "criterion", "score", "note")
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        progress = self._progress()
        return Html(
            f"<section class='ek ek-labeller'><p>Labels of {escape(self.rater)}: {progress['words']}</p>{figures}{table}</section>"
        )

    def _view_of(self, task: Task) -> TranscriptView:
        view = read_trial(self._evals, run=task.run, case=task.case, epoch=task.epoch)
        if not self.blind:
            return view
        revealed = tuple(
            one for one in view.judgements if self.state.revealed and one.criterion == task.criterion
        )
        return replace(view, facts=(), source="", judgements=revealed)

    def _shown_trial(self) -> dict[str, Any]:
        made = shown(self._view_of(self._task))
        if self.blind:
            made["title"] = f"case {visible(self._task.case)}"
        return made

    def _shown_task(self) -> dict[str, Any]:
        task, facts = self._task, self._facts.get(self._task.criterion, {})
        mine = self._done.get(task)
        anchors = msgspec.json.decode(facts["anchors"]) if facts.get("anchors") else {}
        criteria = [one for one in self.state.tasks if one.trial == task.trial]
        return {
            "criterion": visible(task.criterion),
            "description": visible(facts.get("description") or ""),
            "points": _points(facts, anchors),
            "given": None if mine is None else mine.get("score"),
            "told": mine is not None,
            "note": visible((mine or {}).get("rationale") or ""),
            "place": f"criterion {criteria.index(task) + 1} of {len(criteria)}",
            "blind": self.blind,
            "revealed": self.state.revealed,
            "low": facts.get("scale_min"),
            "high": facts.get("scale_max"),
        }

    def _progress(self) -> dict[str, Any]:
        done, of = len(set(self.state.tasks) & set(self._done)), len(self.state.tasks)
        trials = len({task.trial for task in self.state.tasks})
        whole = "blind" if self.blind else "with the judge's words in sight"
        ordered = (
            "drawn at random: a correction of the pass rate may rest on them"
            if self.order == "random"
            else "by what they teach about the judge: not for a correction of the pass rate"
        )
        return {
            "done": done,
            "of": of,
            "at": self.state.at,
            "rater": visible(self.rater),
            "words": f"{done:,} of {plural(of, 'judgement')} of {plural(trials, 'trial')}, {whole}; {ordered}.",
        }

    def _figures(self) -> dict[str, Any]:
        """Return what the labels say so far; found anew when there are more of them."""
        count = len(self.file.rows)
        if self._known is None or self._known[0] != count:
            self._known = (count, {"lines": self._lines()})
        return self._known[1]

    def _lines(self) -> list[str]:
        labels = self.labels.filter(pl.col("score").is_not_null())
        if labels.is_empty():
            return ["No labels yet."]
        judged = replace(
            self._evals, scores=self._evals.scores.filter(pl.col("grader_kind").ne_missing("human"))
        )
        keys = labels.select("run", "case", "epoch").unique()
        near = {
            name: getattr(judged, name).join(keys, on=["run", "case", "epoch"], how="semi")
            for name in ("trials", "turns", "scores")
        }
        lines = _say_agreement(
            replace(judged, **near) + Evals.from_tables(scores=labels), self.rule, self._chosen
        )
        drawn = labels.filter(pl.col("metadata").str.contains('"order": ?"random"').fill_null(value=False))
        return [*lines, _say_correction(judged, drawn, self.rule, self._chosen)]


def label(
    evals: Evals,
    *,
    rater: str,
    path: str | Path = "labels.jsonl",
    order: Order = "information",
    blind: bool = True,
    rule: PassRule = DEFAULT_RULE,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    criteria: Sequence[str] | None = None,
    seed: int = 0,
) -> Labeller:
    """Judge answers yourself, criterion by criterion and by keyboard, and see how far the judge agrees.

    Each label is a row of `scores` with the grader kind "human", written to the file before the next is asked for;
    a second rater, or the same one tomorrow, goes on in the same file. After each label stand the judge's kappa
    against the labels with its interval, the pass rate that people would give, and whether more labels still pay.

    .. image:: ../docs/img/labeller_light.png

    Parameters
    ----------
    evals
        What was loaded; trials that a judge has scored are asked for.
    rater
        Who labels: the name of the grader.
    path
        The file of labels, JSON lines; made where it is not there. `ek.load` reads it.
    order
        "information": first what teaches most about the judge (its samples disagree, the mean is near the rule's,
        few labels in the stratum). "random": drawn with `seed`; only such labels can correct a pass rate.
    blind
        Hide the version, the model and the judge's scores and words.
    rule
        When a trial passes.
    grader, rubric
        Which judge the labels are held against, as for `evalkit.grade`.
    criteria
        Only these criteria.
    seed
        Of the random order.

    Returns
    -------
    Labeller
        Displays itself; `.labels` is a frame, `.evals` what was given with the labels in it.

    Raises
    ------
    SelectorError
        Nothing was judged, there is no such criterion, or the rater has no name.

    Examples
    --------
    >>> import tempfile
    >>> import evalkit as ek
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     labeller = label(ek.demo.make(), rater="ann", path=f"{folder}/labels.jsonl")
    ...     labeller.handle({"kind": "give", "score": 4.0, "note": "Right, but long."})
    ...     print(labeller.labels.select("grader", "grader_kind", "score").row(0))
    ('ann', 'human', 4.0)
    """
    expect(label, locals(), loaded=True)
    if not rater.strip():
        raise SelectorError("A rater has a name: label(evals, rater='ann').")
    chosen = {"grader": grader, "rubric": rubric}
    trials = order_trials(evals, rule, order=order, seed=seed, **chosen)
    by_run = criteria_of(evals, rule, **chosen)
    known = sorted({name for names in by_run.values() for name in names})
    for name in criteria or ():
        if name not in known:
            raise SelectorError.unknown(name, kind="criterion", have=known)
    tasks = tuple(
        Task(run, case, epoch, name)
        for run, case, epoch in trials
        for name in by_run.get(run, ())
        if criteria is None or name in criteria
    )
    if not tasks:
        raise SelectorError("No judge has scored anything here: there is nothing to hold labels against.")
    file = LabelFile.open(path)
    state = Labelling(tasks).to_next_open(set(file.of(rater)))
    return Labeller(evals, state, file, rater=rater, rule=rule, order=order, blind=blind, chosen=chosen)


def _points(facts: dict[str, Any], anchors: dict[str, str]) -> list[dict[str, Any]]:
    """Return the scores that can be given, each with what it means; none where the scale has too many."""
    low, high = facts.get("scale_min"), facts.get("scale_max")
    if low is None or high is None or low != int(low) or high != int(high) or high - low >= _POINTS:
        return []
    return [
        {"score": float(at), "words": visible(anchors.get(str(at), ""))}
        for at in range(int(low), int(high) + 1)
    ]


def _say_agreement(evals: Evals, rule: PassRule, chosen: dict[str, Any]) -> list[str]:
    try:
        found = agreement(evals, reference="human", rule=rule, **chosen)
    except EvalkitError as error:
        return [str(error)]
    made = []
    for row in found.summary.iter_rows(named=True):
        name = "verdict" if row["kind"] == "verdict" else row["scope"]
        if not row["n"]:
            continue
        if row["kappa"] is None or row["kappa_low"] is None:
            same = "" if row["exact"] is None else f"{row['exact']:.0%} the same; "
            made.append(f"{name}: {same}kappa cannot be told from {row['n']} yet.")
            continue
        made.append(
            f"{name}: kappa {row['kappa']:.2f} [{row['kappa_low']:.2f}, {row['kappa_high']:.2f}], "
            f"{plural(row['n'], 'label')} of {plural(row['cases'], 'case')}. {more_labels(row['kappa_low'], row['kappa'], row['kappa_high'], row['n'])}"
        )
    return made or ["No answer has both a label and a score of the judge yet."]


def more_labels(low: float, kappa: float, high: float, n: int) -> str:
    """Say whether more labels would still change how a kappa reads.

    An interval shrinks about with the root of the number of labels. It is settled where it lies wholly above .80
    (reliable) or wholly below .667 (not reliable).

    Examples
    --------
    >>> more_labels(0.85, 0.9, 0.95, 60)
    'Reliable: more labels would not change that.'
    >>> more_labels(0.60, 0.75, 0.86, 40)
    'About 120 more labels would halve the interval.'
    """
    if low >= _RELIABLE:
        return "Reliable: more labels would not change that."
    if high < _TENTATIVE:
        return "Not reliable: more labels would not change that; change the rubric."
    target = _RELIABLE if kappa >= _RELIABLE else _TENTATIVE if kappa < _TENTATIVE else None
    reach = kappa - low if kappa >= _RELIABLE else high - kappa
    gap = abs(kappa - target) if target is not None else 0.0
    if gap > reach / 4:
        return f"About {plural(round(n * (reach / gap) ** 2) - n, 'more label')} would settle how it reads."
    return f"About {plural(3 * n, 'more label')} would halve the interval."


def _say_correction(judged: Evals, drawn: pl.DataFrame, rule: PassRule, chosen: dict[str, Any]) -> str:
    if drawn.is_empty():
        return "What pass rate people would give is not said: these labels were not drawn at random (order='random')."
    try:
        found = correct_for_judge(judged + Evals.from_tables(scores=drawn), rule=rule, **chosen)
    except EvalkitError as error:
        return str(error)
    return found.sentence
