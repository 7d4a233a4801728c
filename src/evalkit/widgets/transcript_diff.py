"""`ek.transcript_diff`: compare two trials of a case turn by turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.compare.pairs import find_runs
from evalkit.util import format as fmt
from evalkit.util.arguments import expect
from evalkit.util.errors import SelectorError
from evalkit.util.hostile_text import Html, escape, visible
from evalkit.util.html_table import html_table
from evalkit.util.words import plural
from evalkit.widgets.diff_align import BUDGET, align, compare_words, first_difference, whole_sections
from evalkit.widgets.panel import Index, Panel, section
from evalkit.widgets.transcript_view import read_trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals
    from evalkit.widgets.diff_align import Words
    from evalkit.widgets.transcript_view import TranscriptView

# Rows of the static form.
_STATIC: Final = 100

Scores = tuple[tuple[str, str, float | None, float | None], ...]


@dataclass(frozen=True, slots=True)
class TurnPair:
    """A row: the numbers of the turns (from 1), their role, and their sections, the words that differ apart."""

    left: int | None
    right: int | None
    role: str
    same: bool
    before: tuple[Words, ...]
    after: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two trials, aligned: plain data.

    Attributes
    ----------
    baseline, candidate
        The trials.
    rows
        Turn by turn.
    first
        The index of the first row that differs; None: no row does.
    scores
        (criterion, grader, baseline, candidate): the means over samples, None where missing.
    """

    baseline: TranscriptView
    candidate: TranscriptView
    rows: tuple[TurnPair, ...]
    first: int | None
    scores: Scores


def compare_trials(baseline: TranscriptView, candidate: TranscriptView) -> Difference:
    """Align two trials and find the words that differ."""
    aligned = align(baseline.messages, candidate.messages)
    budget, rows = BUDGET, []
    for row in aligned:
        left = [] if row.left is None else [baseline.messages[row.left]]
        right = [] if row.right is None else [candidate.messages[row.right]]
        if left and right and not row.same:
            before, after, spent = compare_words(*left, *right, budget=budget)
            budget -= spent
        else:
            before, after = (
                whole_sections([part for one in side for part in one.parts], differs=not row.same)
                for side in (left, right)
            )
        first, second = (None if index is None else index + 1 for index in (row.left, row.right))
        rows.append(TurnPair(first, second, [*left, *right][0].role, row.same, tuple(before), tuple(after)))
    old, new = _mean_scores(baseline), _mean_scores(candidate)
    scores = tuple((*key, old.get(key), new.get(key)) for key in {**old, **new})
    return Difference(baseline, candidate, tuple(rows), first_difference(aligned), scores)


def _mean_scores(view: TranscriptView) -> dict[tuple[str, str], float | None]:
    values: dict[tuple[str, str], list[float]] = {}
    for one in view.judgements:
        values.setdefault((one.criterion, one.grader), []).extend([] if one.value is None else [one.value])
    return {key: sum(scores) / len(scores) if scores else None for key, scores in values.items()}


class TranscriptDiff(Panel):
    """Two trials of a case side by side. Displays itself in a notebook; made by `transcript_diff`.

    Attributes
    ----------
    state
        The two trials, a `Difference`: plain data.
    """

    name = "transcript_diff"

    def __init__(
        self, evals: Evals, case: str, trials: Sequence[list[tuple[str, int]]], chosen: tuple[int, int]
    ) -> None:
        self.evals = evals
        self.case = case
        self._trials = trials
        self._on_sides(*chosen)

    def _on_sides(self, baseline: Index, candidate: Index) -> None:
        """Compare two other trials, by their positions in the lists of each side."""
        chosen = [
            min(index, len(side) - 1) for side, index in zip(self._trials, (baseline, candidate), strict=True)
        ]
        keys = [side[index] for side, index in zip(self._trials, chosen, strict=True)]
        self.state = compare_trials(
            *(read_trial(self.evals, run=run, case=self.case, epoch=epoch) for run, epoch in keys)
        )
        self._chosen = chosen

    def __repr__(self) -> str:
        state, count = self.state, sum(not row.same for row in self.state.rows)
        result = "no differences"
        if state.first is not None:
            result = f"{count} of {plural(len(state.rows), 'turn')} differ, first in row {state.first + 1}"
        baseline, candidate = (_name(view.run, view.epoch) for view in (state.baseline, state.candidate))
        return visible(f"Transcripts of case {self.case}, {baseline} and {candidate}: {result}")

    def show(self) -> dict[str, Any]:
        """Return the trials to choose from, the scores and the rows."""
        state = self.state
        return {
            "head": {
                "case": visible(self.case),
                "options": [[visible(_name(run, epoch)) for run, epoch in side] for side in self._trials],
                "chosen": self._chosen,
                "severity": state.baseline.severity,
                "scores": [[visible(c), visible(g), a, b] for c, g, a, b in state.scores],
                "differs": state.first is not None,
            },
            "rows": [
                {
                    "left": row.left,
                    "right": row.right,
                    "role": visible(row.role),
                    "same": row.same,
                    "before": _plain(row.before),
                    "after": _plain(row.after),
                }
                for row in state.rows
            ],
        }

    def to_html(self) -> Html:
        """Return both trials as a table, one row per turn; differences are marked by more than a color."""
        state = self.state
        baseline, candidate = (_name(view.run, view.epoch) for view in (state.baseline, state.candidate))
        heads = [f"Baseline: {baseline}", f"Candidate: {candidate}"]
        means = [[f"{criterion} ({grader})", *map(_mean, pair)] for criterion, grader, *pair in state.scores]
        rows = [
            _row_html(row, is_first=index == state.first) for index, row in enumerate(state.rows[:_STATIC])
        ]
        left = len(state.rows) - _STATIC
        return section(
            "difference",
            Html(f"<p><strong>{escape(repr(self))}</strong></p>"),
            html_table(["Score", *heads], means, row_heads=True),
            html_table(["Turn", *heads], rows, row_heads=True),
            f"{plural(left, 'more turn')} not shown. Run the notebook to see all." if left > 0 else "",
        )


def _row_html(row: TurnPair, *, is_first: bool) -> list[Html]:
    turns = " / ".join("–" if turn is None else str(turn) for turn in (row.left, row.right))
    head = f"{turns} {escape(row.role)}{'<br><strong>first difference</strong>' if is_first else ''}"
    sides = [_words_html(row.before, "del"), _words_html(row.after, "ins")]
    if row.same:
        sides = [f"<details><summary>same</summary>{_words_html(row.before, 'span')}</details>", ""]
    return [Html(head), *map(Html, sides)]


def _words_html(sections: Sequence[Words], tag: str) -> str:
    return "".join(
        (f"<p><small>{escape(words.head)}</small></p>" if words.head else "")
        + "<pre>"
        + "".join(
            f"<{tag}>{escape(text)}</{tag}>" if differs else escape(text) for text, differs in words.pieces
        )
        + "</pre>"
        for words in sections
    )


def _plain(sections: Sequence[Words]) -> list[list[Any]]:
    return [
        [visible(one.head), [[visible(text), differs] for text, differs in one.pieces]] for one in sections
    ]


def _mean(value: float | None) -> str | None:
    return None if value is None else fmt.number(value)


def _name(run: str, epoch: int) -> str:
    return f"run {run}, epoch {epoch}"


def transcript_diff(
    evals: Evals, case: str, *, baseline: Selector, candidate: Selector, epoch: int = 1
) -> TranscriptDiff:
    """Compare two trials of a case turn by turn, with the first difference and the changed words marked.

    .. image:: ../docs/img/transcript_diff.png

    Parameters
    ----------
    evals
        The evaluations. With `evals.with_scoring(grader=...)` only the scores of that grader are shown.
    case
        The case.
    baseline, candidate
        As for `evalkit.compare`: a run, an agent_version or a model by name, or a dict of columns of `runs`. With
        several runs on a side, two of the same model come first; the others can be chosen.
    epoch
        The repetition; a side without it shows its first.

    Returns
    -------
    TranscriptDiff
        Displays itself; `.state` holds the rows as plain data.

    Raises
    ------
    SelectorError
        An unknown side, or a side without a trial of the case.

    Examples
    --------
    >>> import evalkit as ek
    >>> transcript_diff(ek.demo.make(), "02", baseline="v2", candidate="v3")
    Transcripts of case 02, run v2-demo-large, epoch 1 and run v3-demo-large, epoch 1: ...
    """
    expect(transcript_diff, locals())
    attempts = evals.attempts().filter(pl.col("case") == case)
    if attempts.is_empty():
        known = evals.attempts()["case"].cast(pl.String).unique().sort().to_list()
        raise SelectorError.unknown(case, kind="case", have=known)
    trials: list[list[tuple[str, int]]] = []
    for selector in (baseline, candidate):
        label, runs = find_runs(evals, selector)
        rows = (
            attempts.filter(pl.col("run").cast(pl.String).is_in(runs))
            .select("run", "epoch")
            .sort("run", "epoch")
        )
        if rows.is_empty():
            others = attempts["run"].cast(pl.String).unique().sort().to_list()
            raise SelectorError(f"{label!r} has no trial of case {case!r}.", value=label, choices=others)
        trials.append(rows.rows())
    return TranscriptDiff(evals, case, trials, _first_pair(evals, trials, epoch))


def _first_pair(evals: Evals, trials: list[list[tuple[str, int]]], epoch: int) -> tuple[int, int]:
    """Return the positions of two trials: of the epoch, and of the same model if both sides have one."""
    models = dict(evals.runs.select(pl.col("run").cast(pl.String), "model").iter_rows())
    wanted = [[index for index, (_, e) in enumerate(side) if e == epoch] or [0] for side in trials]
    pairs = [(a, b) for a in wanted[0] for b in wanted[1]]
    same = [(a, b) for a, b in pairs if models.get(trials[0][a][0]) == models.get(trials[1][b][0])]
    return (same or pairs)[0]
