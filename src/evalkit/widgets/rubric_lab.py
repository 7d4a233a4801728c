"""`ek.rubric_lab`: reword a criterion, judge a chosen few again, and see what that did to the scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import polars as pl

from evalkit.data.suite import Rubric
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.judging.requests import rubric_of, wordings
from evalkit.util.arguments import expect
from evalkit.util.atomic_files import replacing
from evalkit.util.errors import EvalkitError, FormatError, SelectorError
from evalkit.util.hostile_text import Html, escape, visible
from evalkit.util.words import NOT_GIVEN, plural
from evalkit.widgets.panel import Panel
from evalkit.widgets.rubric_compare import Choice, ScoreDiff, by_wording, choose_trials, compare_wordings
from evalkit.widgets.rubric_draft import Draft, describe, find_stale, version_of

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.judging import Judge
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.progress import Progress

_TRIAL: Final = ["run", "case", "epoch"]
# Rows of the score diff that travel to the view; `.diff` has all of them.
_LISTED: Final = 40
_CAUTION: Final = (
    "These trials were not drawn at random: what was chosen for being far off comes nearer by itself. Confirm on a "
    "random draw before you keep the words."
)
_Name = Annotated[str, msgspec.Meta(max_length=1000)]
_Text = Annotated[str, msgspec.Meta(max_length=20_000)]


class Pick(msgspec.Struct, tag_field="kind", tag="pick", forbid_unknown_fields=True):
    """Edit another criterion."""

    criterion: _Name


class Edit(msgspec.Struct, tag_field="kind", tag="edit", forbid_unknown_fields=True):
    """Reword the criterion that is being edited: its description, or what a score means."""

    description: _Text | None = None
    anchors: dict[_Name, _Text] | None = None


class Undo(msgspec.Struct, tag_field="kind", tag="undo", forbid_unknown_fields=True):
    """Word the criterion as it was saved."""


class Sample(msgspec.Struct, tag_field="kind", tag="sample", forbid_unknown_fields=True):
    """Choose what to judge again."""

    choice: Choice
    most: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Rejudge(msgspec.Struct, tag_field="kind", tag="rejudge", forbid_unknown_fields=True):
    """Judge the chosen trials by the new words."""


class Save(msgspec.Struct, tag_field="kind", tag="save", forbid_unknown_fields=True):
    """Write the rubric back into its file."""


@dataclass(frozen=True, slots=True)
class Lab:
    """Where the work on a rubric is.

    Attributes
    ----------
    draft
        The rubric, saved and as it is worded now.
    choice, most
        Which trials to judge again, and how many at most.
    """

    draft: Draft
    choice: Choice = "disagreements"
    most: int = 12


class RubricLab(Panel):
    """A rubric to reword. Displays itself in a notebook; made by `rubric_lab`.

    Attributes
    ----------
    rubric
        The rubric as it is worded now.
    evals
        What was given, with the judgements by the new words beside those by the old.
    diff
        What the last re-judging did to the scores: a `ScoreDiff`; None before there was one.
    stale
        polars frame: how many judgements of each criterion were given by other words than those now.
    versions
        Every wording that was judged by or saved, by its hash.
    """

    name = "rubric_lab"
    parts = ("editor", "cost", "sample", "progress", "result")
    messages = Pick | Edit | Undo | Sample | Rejudge | Save

    def __init__(
        self,
        evals: Evals,
        judge: Judge,
        state: Lab,
        *,
        rule: PassRule,
        path: Path | None,
        folder: Path | None,
        cache: Cache | str | Path | None,
        max_cost: float | None,
        seed: int,
    ) -> None:
        self.evals = evals
        self.judge = judge
        self.state = state
        self.rule = rule
        self.path = path
        self.folder = folder
        self.diff: ScoreDiff | None = None
        self.versions: dict[str, Rubric] = {version_of(state.draft.saved): state.draft.saved}
        self._cache = cache
        self._max_cost = max_cost
        self._seed = seed
        self._progress = ""
        self._old = wordings(judge, evals)
        self._costs: tuple[str, dict[str, Any]] | None = None

    def __repr__(self) -> str:
        changed = self.state.draft.changed
        said = f"{', '.join(changed)} reworded" if changed else "nothing reworded"
        return f"RubricLab: {visible(self.rubric.suite)}, {visible(said)}, version {version_of(self.rubric)}"

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
        """How many judgements were given by other words than those now."""
        return find_stale(self.evals, wordings(self.rejudger, self.evals), self.judge.grader)

    @property
    def trials(self) -> pl.DataFrame:
        """The trials that would be judged again: `run`, `case`, `epoch`."""
        before = by_wording(self.evals, self._old, self.judge.grader)
        return choose_trials(before, self.rule, self.state.choice, most=self.state.most, seed=self._seed)

    def show(self) -> dict[str, Any]:
        """Return the editor, the cost, the sample, the progress and the result."""
        return {
            "editor": self._editor(),
            "cost": self._cost(),
            "sample": {"choice": self.state.choice, "most": self.state.most, "trials": self.trials.height},
            "progress": self._progress,
            "result": self._result(),
        }

    def receive(self, message: Pick | Edit | Undo | Sample | Rejudge | Save) -> str | None:
        """Edit, choose, judge again or save."""
        draft = self.state.draft
        match message:
            case Pick():
                draft.rubric.criterion(message.criterion)
                self.state = replace(self.state, draft=replace(draft, chosen=message.criterion))
            case Edit():
                edited = draft.edited(draft.chosen, description=message.description, anchors=message.anchors)
                self.state = replace(self.state, draft=edited)
            case Undo():
                self.state = replace(self.state, draft=draft.undone(draft.chosen))
            case Sample():
                self.state = replace(self.state, choice=message.choice, most=message.most)
            case Rejudge():
                return self.rejudge()
            case Save():
                return f"Written to {self.save()}."
        return None

    def rejudge(self) -> str:
        """Judge the chosen trials by the new words; the old judgements stay. Return a sentence on it.

        Raises
        ------
        FormatError
            Nothing is worded otherwise.
        SelectorError
            No trial is of the chosen kind.
        """
        if not self.state.draft.changed:
            raise FormatError("Nothing is worded otherwise than saved: every judgement still holds.")
        only = self.trials
        if only.is_empty():
            raise SelectorError(f"No trial is of the kind {self.state.choice!r}; choose another.")
        self._keep_version(self.rubric)
        rejudger = self.rejudger
        try:
            self.evals = rejudger.run(
                self.evals,
                only=only,
                folder=self.folder,
                cache=self._cache,
                max_cost=self._max_cost,
                progress=self._tell,
            )
        finally:
            self._progress = ""
            self._costs = None
        before = by_wording(self.evals, self._old, self.judge.grader)
        after = by_wording(self.evals, wordings(rejudger, self.evals), self.judge.grader)
        self.diff = compare_wordings(before, after, self.rule)
        if self.state.choice != "random":
            self.diff = replace(self.diff, caution=_CAUTION)
        self.refresh()
        return self.diff.words[0]

    def save(self, path: str | Path | None = None) -> Path:
        """Write the rubric back into its file, its comments and its cases untouched.

        Parameters
        ----------
        path
            The file; None: the one that `rubric_lab` was told.

        Returns
        -------
        pathlib.Path
            The file.
        """
        where = Path(path) if path is not None else self.path
        if where is None:
            raise FormatError(
                "Where to is not said: rubric_lab(..., path='suite.yaml'), or lab.save('suite.yaml')."
            )
        self._keep_version(self.state.draft.saved)
        self._keep_version(self.rubric)
        return self.rubric.write(where)

    def to_html(self) -> Html:
        """Return the changes, the cost and the result as text and tables."""
        marks = {"added": ("<ins>", "</ins>"), "removed": ("<del>", "</del>"), "same": ("", "")}
        changes = "".join(
            f"<li><strong>{escape(name)}</strong>, {escape(part)}: "
            + "".join(f"{marks[kind][0]}{escape(text)}{marks[kind][1]}" for text, kind in pieces)
            + "</li>"
            for name in self.state.draft.changed
            for part, pieces in self.state.draft.differences(name)
        )
        result = self._result()
        body = ""
        if result:
            rows = "".join(
                f"<tr><td>{escape(row['case'])}</td><td>{escape(row['run'])}</td><td>{escape(row['criterion'])}</td>"
                f"<td>{escape(row['before'])}</td><td>{escape(row['after'])}</td><td>{escape(row['human'])}</td></tr>"
                for row in result["rows"]
            )
            head = "".join(
                f"<th scope='col'>{name}</th>"
                for name in ("case", "run", "criterion", "before", "after", "people")
            )
            body = "".join(f"<p>{escape(line)}</p>" for line in result["words"])
            body += f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        words = "".join(f"<p>{escape(line)}</p>" for line in self._cost()["lines"])
        none = "<p>No criterion is worded otherwise than saved.</p>"
        return Html(
            f"<section class='ek ek-rubric_lab'>{f'<ul>{changes}</ul>' if changes else none}{words}{body}</section>"
        )

    def _editor(self) -> dict[str, Any]:
        draft = self.state.draft
        criterion = draft.rubric.criterion(draft.chosen)
        told = describe(criterion)
        differences = draft.differences(draft.chosen)
        return {
            "criteria": [[one.name, visible(one.name)] for one in draft.rubric.criteria],
            "changed": list(draft.changed),
            "chosen": draft.chosen,
            "description": told["description"],
            "anchors": told["anchors"],
            "differences": [
                [part, [[visible(text), kind] for text, kind in pieces]] for part, pieces in differences
            ],
            "version": version_of(draft.rubric),
            "saved": version_of(draft.saved),
            "path": str(self.path or ""),
        }

    def _cost(self) -> dict[str, Any]:
        """Return what is stale and what judging again would cost; found anew when the words or the sample change."""
        key = f"{version_of(self.rubric)} {self.state.choice} {self.state.most} {self.evals.scores.height}"
        if self._costs is None or self._costs[0] != key:
            self._costs = (key, {"lines": self._say_cost()})
        return self._costs[1]

    def _say_cost(self) -> list[str]:
        if not self.state.draft.changed:
            return ["No judgement is stale."]
        stale = self.stale.filter(pl.col("criterion").is_in(list(self.state.draft.changed)))
        lines = [
            f"{row['criterion']}: {plural(row['stale'], 'judgement')} of {self.judge.grader} by other words; "
            f"{plural(row['trials'], 'trial has', plural='trials have')} none by these yet."
            for row in stale.iter_rows(named=True)
        ] or [f"{self.judge.grader} has judged none of this yet."]
        only = self.trials
        try:
            cost = self.rejudger.estimate(self.evals, only=only, cache=self._cache)
            lines.append(f"The {only.height} chosen: {cost.words}")
        except EvalkitError as error:
            lines.append(str(error))
        return [visible(line) for line in lines]

    def _result(self) -> dict[str, Any] | None:
        if self.diff is None:
            return None
        moved = {
            tuple(row[:3]): row[3:]
            for row in self.diff.verdicts.select(*_TRIAL, "before", "after", "moved").rows()
        }
        rows = []
        for row in self.diff.scores.head(_LISTED).iter_rows(named=True):
            before, after, way = moved[row["run"], row["case"], row["epoch"]]
            rows.append(
                {
                    "case": visible(row["case"]),
                    "run": visible(row["run"]),
                    "epoch": row["epoch"],
                    "criterion": visible(row["criterion"]),
                    "severity": row["severity"] or NOT_GIVEN,
                    **{
                        name: "–" if row[name] is None else f"{row[name]:.2f}"
                        for name in ("before", "after", "human")
                    },
                    "verdicts": [before or "unscored", after or "unscored"],
                    "moved": way,
                    "was": visible(row["rationale_before"] or ""),
                    "now": visible(row["rationale_after"] or ""),
                }
            )
        return {"words": self.diff.words, "rows": rows, "left": max(self.diff.scores.height - _LISTED, 0)}

    def _tell(self, progress: Progress) -> None:
        from evalkit.llm.progress import progress_words

        self._progress = progress_words(progress)
        if self._view is not None:
            self._view.progress = self._progress

    def _keep_version(self, rubric: Rubric) -> None:
        """Keep a wording: here, and as a file beside its scores where there is a folder."""
        version = version_of(rubric)
        self.versions.setdefault(version, rubric.model_copy(deep=True))
        if self.folder is None:
            return
        place = self.folder / "rubrics"
        place.mkdir(parents=True, exist_ok=True)
        file = place / f"{version}.yaml"
        if not file.exists():
            with replacing(file) as fresh:
                fresh.write_text(rubric.to_yaml(), encoding="utf-8")


def rubric_lab(
    evals: Evals,
    judge: Judge,
    *,
    rule: PassRule = DEFAULT_RULE,
    path: str | Path | None = None,
    folder: str | Path | None = None,
    cache: Cache | str | Path | None = None,
    max_cost: float | None = None,
    seed: int = 0,
) -> RubricLab:
    """Reword a criterion, judge a chosen few again, and see whether the judge came closer to people.

    The editor shows what differs from the saved rubric, which judgements that makes stale (by the content hash of
    each criterion) and what judging the chosen trials again costs, live and by batch. What it did to the scores
    stands beside it: which verdicts changed, how many towards people, agreement before and after, both rationales.
    The old judgements stay: a score carries the hash of the words that it was given by.

    .. image:: ../docs/img/rubric_lab_light.png

    Parameters
    ----------
    evals
        What was loaded, with the judge's scores by the saved rubric.
    judge
        Who judges: its rubric is the saved one (without one, the criteria that were loaded), and its grader's name
        that of the scores to compare with.
    rule
        When a trial passes.
    path
        The suite file that "Save" writes back into, comments and all.
    folder
        Where new scores are added to `scores.jsonl` as they come, and each wording is kept in `rubrics/`.
    cache, max_cost
        As for `Judge.run`.
    seed
        Of a random choice of trials.

    Returns
    -------
    RubricLab
        Displays itself; `.rubric`, `.evals`, `.diff` and `.stale` are what to go on with.

    Raises
    ------
    FormatError
        There are no criteria to reword, or the judge does not ask criterion by criterion.

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
        raise FormatError(f"The lab compares criterion by criterion; the judge's mode is {judge.mode!r}.")
    if not isinstance(judge.rubric, Rubric) or not judge.rubric.criteria:
        raise FormatError("The judge's rubric has no criteria to reword.")
    saved = judge.rubric.model_copy(deep=True)
    state = Lab(Draft(saved, saved.model_copy(deep=True), saved.criteria[0].name))
    if evals.scores.filter(pl.col("grader_kind").eq_missing("human")).is_empty():
        state = replace(state, choice="failures")
    return RubricLab(
        evals,
        judge,
        state,
        rule=rule,
        path=None if path is None else Path(path),
        folder=None if folder is None else Path(folder),
        cache=cache,
        max_cost=max_cost,
        seed=seed,
    )
