"""`ek.rubric_lab`: reword a criterion and compare the scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import msgspec
import polars as pl

from evalkit.data.schema import IS_HUMAN, TRIALS
from evalkit.data.suite import Rubric
from evalkit.grading.select_scores import choose_scoring
from evalkit.judging.rubric_source import rubric_of, wordings
from evalkit.util import format as fmt
from evalkit.util.arguments import expect
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import EvalkitError, FormatError, SelectorError
from evalkit.util.hostile_text import Html, escape, visible
from evalkit.util.html_table import html_list, html_table
from evalkit.util.words import NOT_GIVEN, plural
from evalkit.widgets.panel import Name, Panel, Text, section
from evalkit.widgets.rubric_compare import Choice, ScoreDiff, by_wording, choose_trials, compare_wordings
from evalkit.widgets.rubric_draft import Draft, anchors_of, find_stale, version_of

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.judging import Judge
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.progress import Progress
    from evalkit.widgets.diff_align import Change

# Rows of the comparison in the view; `.diff` has all.
_LISTED: Final = 40
_CAUTION: Final = (
    "These trials are not a random sample: scores chosen for being far off move nearer by chance. Confirm the wording on a "
    "random sample before you save it."
)
_TAGS: Final = {"same": "span", "added": "ins", "removed": "del"}
_Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class Lab:
    """State: the draft, and which trials to judge again, at most how many."""

    draft: Draft
    choice: Choice = "disagreements"
    most: int = 12


@dataclass(eq=False, repr=False)
class RubricLab(Panel):
    """The widget that `rubric_lab` returns.

    `evals` has the scores under both wordings, `diff` the effect of the last rejudging, and `versions` every wording by
    its hash.
    """

    name: ClassVar[str] = "rubric_lab"

    evals: Evals
    judge: Judge
    state: Lab
    rule: PassRule
    path: Path | None
    folder: Path | None
    cache: Cache | str | Path | None
    max_cost: float | None
    seed: int
    diff: ScoreDiff | None = None
    _progress: str = ""
    _cost_lines: tuple[tuple[Any, ...], list[str]] | None = None

    def __post_init__(self) -> None:
        saved = self.state.draft.saved
        self.versions: dict[str, Rubric] = {version_of(saved): saved}
        self._old = wordings(self.judge, self.evals)

    def __repr__(self) -> str:
        changed = ", ".join(self.state.draft.changed) or "nothing"
        return f"RubricLab: {visible(self.rubric.suite)}, {visible(changed)} reworded, version {version_of(self.rubric)}"

    @property
    def rubric(self) -> Rubric:
        """The rubric as it is worded now."""
        return self.state.draft.rubric

    @property
    def rejudger(self) -> Judge:
        """The judge with the rubric as it is worded now."""
        return replace(self.judge, rubric=self.rubric)

    @property
    def stale(self) -> pl.DataFrame:
        """The number of scores per criterion that use another wording than now."""
        return find_stale(self.evals, wordings(self.rejudger, self.evals), self.judge.grader)

    @property
    def trials(self) -> pl.DataFrame:
        """The trials to judge again: `run`, `case`, `epoch`."""
        before = by_wording(self.evals, self._old, self.judge.grader)
        return choose_trials(before, self.rule, self.state.choice, most=self.state.most, seed=self.seed)

    def _edit(self, draft: Draft) -> None:
        self.state = replace(self.state, draft=draft)

    def _on_pick(self, criterion: Name) -> None:
        self.rubric.criterion(criterion)
        self._edit(replace(self.state.draft, chosen=criterion))

    def _on_edit(self, description: Text | None = None, anchors: dict[Name, Text] | None = None) -> None:
        draft = self.state.draft
        self._edit(draft.edited(draft.chosen, description=description, anchors=anchors))

    def _on_undo(self) -> None:
        self._edit(self.state.draft.undone(self.state.draft.chosen))

    def _on_sample(self, choice: Choice, most: _Limit) -> None:
        self.state = replace(self.state, choice=choice, most=most)

    def _on_rejudge(self) -> str:
        return self.rejudge()

    def _on_save(self) -> str:
        return f"Saved to {self.save()}."

    def rejudge(self) -> str:
        """Judge the chosen trials with the new wording; return the result in words."""
        if not self.state.draft.changed:
            raise FormatError("No criterion is reworded: every score is current.")
        only = self.trials
        if only.is_empty():
            raise SelectorError(f"No trials match {self.state.choice!r}. Choose another sample.")
        self._keep_version(self.rubric)
        rejudger = self.rejudger
        try:
            self.evals = rejudger.run(
                self.evals,
                only=only,
                folder=self.folder,
                cache=self.cache,
                max_cost=self.max_cost,
                progress=self._show_progress,
            )
        finally:
            self._progress = ""
            self._cost_lines = None
        before = by_wording(self.evals, self._old, self.judge.grader)
        after = by_wording(self.evals, wordings(rejudger, self.evals), self.judge.grader)
        caution = "" if self.state.choice == "random" else _CAUTION
        self.diff = replace(compare_wordings(before, after, self.rule), caution=caution)
        self.refresh()
        return self.diff.words[0]

    def save(self, path: str | Path | None = None) -> Path:
        """Write the rubric into a suite file, by default the given path; comments stay."""
        file = Path(path) if path is not None else self.path
        if file is None:
            raise FormatError("No file to save to.", fix="Pass rubric_lab(..., path='suite.yaml').")
        self._keep_version(self.state.draft.saved)
        self._keep_version(self.rubric)
        return self.rubric.write(file)

    def _keep_version(self, rubric: Rubric) -> None:
        version = version_of(rubric)
        self.versions.setdefault(version, rubric.model_copy(deep=True))
        if self.folder is None:
            return
        file = self.folder / "rubrics" / f"{version}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            with atomic_write(file) as fresh:
                fresh.write_text(rubric.to_yaml(), encoding="utf-8")

    def _show_progress(self, progress: Progress) -> None:
        from evalkit.llm.progress import progress_words

        self._progress = progress_words(progress)
        if self._view is not None:
            self._view.progress = self._progress

    def show(self) -> dict[str, Any]:
        """Return the editor, the cost, the sample, the progress and the result."""
        return {
            "editor": self._editor(),
            "cost": self._cost(),
            "sample": {"choice": self.state.choice, "most": self.state.most, "trials": self.trials.height},
            "progress": self._progress,
            "result": self._result(),
        }

    def _editor(self) -> dict[str, Any]:
        draft = self.state.draft
        criterion = draft.rubric.criterion(draft.chosen)
        return {
            "criteria": [[one.name, visible(one.name)] for one in draft.rubric.criteria],
            "changed": list(draft.changed),
            "chosen": draft.chosen,
            "description": criterion.description,
            "anchors": [[score, text] for score, text in anchors_of(criterion, complete=True).items()],
            "differences": [
                [part, [[visible(text), kind] for text, kind in pieces]]
                for part, pieces in draft.differences(draft.chosen)
            ],
            "version": version_of(draft.rubric),
            "saved": version_of(draft.saved),
            "path": str(self.path or ""),
        }

    def _cost(self) -> list[str]:
        key = (version_of(self.rubric), self.state.choice, self.state.most, self.evals.scores.height)
        if self._cost_lines is None or self._cost_lines[0] != key:
            self._cost_lines = (key, [visible(line) for line in self._find_cost()])
        return self._cost_lines[1]

    def _find_cost(self) -> list[str]:
        if not self.state.draft.changed:
            return ["All scores use the current wording"]
        grader, only = self.judge.grader, self.trials
        stale = self.stale.filter(pl.col("criterion").is_in(self.state.draft.changed))
        lines = [
            f"{criterion}: {plural(scores, 'score')} of {grader} use the old wording. "
            f"{plural(trials, 'trial')} not scored with the new one yet."
            for criterion, scores, trials in stale.select("criterion", "stale", "trials").iter_rows()
        ]
        try:
            cost = self.rejudger.estimate(self.evals, only=only, cache=self.cache).words
        except EvalkitError as error:
            cost = str(error)
        lines = lines or [f"{grader} has not scored these criteria yet"]
        return [*lines, f"{plural(only.height, 'chosen trial')}: {cost}"]

    def _result(self) -> dict[str, Any] | None:
        if self.diff is None:
            return None
        verdicts = self.diff.verdicts.select(*TRIALS.key, "moved", was="before", now="after")
        scores = self.diff.scores.head(_LISTED)
        scores = scores.join(verdicts, on=TRIALS.key, how="left", maintain_order="left")
        rows = [
            {
                **{name: visible(row[name]) for name in ("case", "run", "criterion")},
                **{name: _number(row[name]) for name in ("before", "after", "human")},
                "epoch": row["epoch"],
                "moved": row["moved"],
                "severity": row["severity"] or NOT_GIVEN,
                "verdicts": [row["was"] or "unscored", row["now"] or "unscored"],
                "reasons": [visible(row[f"rationale_{side}"] or "–") for side in ("before", "after")],
            }
            for row in scores.iter_rows(named=True)
        ]
        return {"words": self.diff.words, "rows": rows, "left": max(self.diff.scores.height - _LISTED, 0)}

    def to_html(self) -> Html:
        """Return the changes, the cost and the result as HTML."""
        draft = self.state.draft
        changes = [
            Html(f"<strong>{escape(name)}</strong>, {escape(part)}: {''.join(map(_tagged, pieces))}")
            for name in draft.changed
            for part, pieces in draft.differences(name)
        ]
        parts: list[str] = [html_list(changes) or "No criterion is reworded", *self._cost()]
        result = self._result()
        if result:
            columns = ("case", "run", "criterion", "before", "after", "human")
            rows = [[row[name] for name in columns] for row in result["rows"]]
            parts += [*result["words"], html_table([name.capitalize() for name in columns], rows)]
        return section("rubric_lab", *parts)


def _tagged(piece: Change) -> str:
    text, kind = piece
    return f"<{_TAGS[kind]}>{escape(text)}</{_TAGS[kind]}>"


def _number(value: float | None) -> str:
    return "–" if value is None else fmt.number(value)


def rubric_lab(
    evals: Evals,
    judge: Judge,
    *,
    rule: PassRule | None = None,
    path: str | Path | None = None,
    folder: str | Path | None = None,
    cache: Cache | str | Path | None = None,
    max_cost: float | None = None,
    seed: int = 0,
) -> RubricLab:
    """Reword a criterion, judge some trials again, and compare the agreement with human labels.

    The editor shows the changes, the scores under the old wording, and the cost of rejudging, live and by batch. The
    result shows the changed verdicts, how many moved towards human verdicts, kappa before and after, and both
    rationales. The old scores stay.

    .. image:: ../docs/img/rubric_lab_light.png

    Parameters
    ----------
    evals
        The evaluations, with the judge's scores under the saved rubric.
    judge
        The judge. Its rubric is the saved one (without one, the loaded criteria); its grader name is that of the scores
        to compare with.
    rule
        When a trial passes; None: the rule of the evals.
    path
        The suite file that "Save rubric" writes; its comments stay.
    folder
        Where new scores are appended to `scores.jsonl`, and each wording is kept in `rubrics/`.
    cache, max_cost
        As for `Judge.run`.
    seed
        Seed of a random sample.

    Raises
    ------
    FormatError
        There are no criteria, or the judge does not score one criterion at a time.

    Examples
    --------
    >>> import evalkit as ek
    >>> evals = ek.demo.make()
    >>> judge = ek.Judge(model="demo-judge", rubric=ek.demo.suite_path(), provider="local", name="demo-judge")
    >>> lab = rubric_lab(evals, judge)
    >>> lab.handle({"kind": "edit", "description": "Knows GroqCloud's limits by heart."})
    >>> lab.state.draft.changed, lab.stale.filter(criterion="Groq")["trials"].item()
    (('Groq',), 161)
    """
    expect(rubric_lab, locals(), loaded=True)
    if not isinstance(judge.rubric, Rubric):
        judge = replace(judge, rubric=rubric_of(evals))
    if judge.mode != "criterion":
        raise FormatError(f"The judge's mode is {judge.mode!r}.", expected="'criterion'")
    if not isinstance(judge.rubric, Rubric) or not judge.rubric.criteria:
        raise FormatError("The judge's rubric has no criteria to reword.")
    saved = judge.rubric.model_copy(deep=True)
    draft = Draft(saved, saved.model_copy(deep=True), saved.criteria[0].name)
    has_labels = not evals.scores.filter(IS_HUMAN).is_empty()
    return RubricLab(
        evals,
        judge,
        Lab(draft, "disagreements" if has_labels else "failures"),
        choose_scoring(evals, rule=rule).rule,
        None if path is None else Path(path),
        None if folder is None else Path(folder),
        cache,
        max_cost,
        seed,
    )
