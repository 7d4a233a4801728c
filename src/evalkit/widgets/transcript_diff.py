"""`ek.transcript_diff`: two trials of a case side by side, turn by turn, with the words that differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import polars as pl

from evalkit.compare.pairs import find_runs
from evalkit.util.arguments import expect
from evalkit.util.errors import SelectorError
from evalkit.util.hostile_text import Html, escape, visible
from evalkit.util.words import did_you_mean, plural
from evalkit.widgets.diff_align import BUDGET, align, compare_words, first_difference, whole_message
from evalkit.widgets.panel import Panel
from evalkit.widgets.transcript_view import read_trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals
    from evalkit.widgets.diff_align import Row, Words
    from evalkit.widgets.transcript_view import TranscriptView

# So many rows stand in the static form.
_STATIC: Final = 100
_Place = Annotated[int, msgspec.Meta(ge=0)]


class Sides(msgspec.Struct, tag_field="kind", tag="sides", forbid_unknown_fields=True):
    """Put two other trials side by side: their places among those of each side."""

    baseline: _Place
    candidate: _Place


@dataclass(frozen=True, slots=True)
class TurnPair:
    """A row: the numbers of the turns (from 1), their role, and their sections with the words that differ apart."""

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
        The row of the first difference; None: they are alike.
    scores
        (criterion, grader, baseline, candidate): the means over samples, None where there is none.
    """

    baseline: TranscriptView
    candidate: TranscriptView
    rows: tuple[TurnPair, ...]
    first: int | None
    scores: tuple[tuple[str, str, float | None, float | None], ...]


def compare_trials(baseline: TranscriptView, candidate: TranscriptView) -> Difference:
    """Align two trials and find the words that differ."""
    aligned = align(baseline.messages, candidate.messages)
    budget = BUDGET
    rows = []
    for row in aligned:
        made, spent = _pair(baseline, candidate, row, budget)
        budget -= spent
        rows.append(made)
    return Difference(
        baseline, candidate, tuple(rows), first_difference(aligned), _scores(baseline, candidate)
    )


def _pair(baseline: TranscriptView, candidate: TranscriptView, row: Row, budget: int) -> tuple[TurnPair, int]:
    left = None if row.left is None else baseline.messages[row.left]
    right = None if row.right is None else candidate.messages[row.right]
    before: list[Words] = []
    after: list[Words] = []
    spent = 0
    if row.same and left and right:
        before, after = whole_message(left, differs=False), whole_message(right, differs=False)
    elif left and right:
        before, after, spent = compare_words(left, right, budget=budget)
    elif left:
        before = whole_message(left, differs=True)
    elif right:
        after = whole_message(right, differs=True)
    shown = left or right
    places = [None if at is None else at + 1 for at in (row.left, row.right)]
    role = shown.role if shown else ""
    return TurnPair(places[0], places[1], role, row.same, tuple(before), tuple(after)), spent


def _scores(
    baseline: TranscriptView, candidate: TranscriptView
) -> tuple[tuple[str, str, float | None, float | None], ...]:
    sides = []
    for view in (baseline, candidate):
        values: dict[tuple[str, str], list[float]] = {}
        for one in view.judgements:
            values.setdefault((one.criterion, one.grader), []).extend(
                [one.value] if one.value is not None else []
            )
        sides.append({key: sum(have) / len(have) if have else None for key, have in values.items()})
    return tuple(
        (*key, sides[0].get(key), sides[1].get(key)) for key in dict.fromkeys([*sides[0], *sides[1]])
    )


class TranscriptDiff(Panel):
    """Two trials of a case side by side. Displays itself in a notebook; made by `transcript_diff`.

    Attributes
    ----------
    state
        The two trials, aligned: a `Difference`, plain data.
    """

    name = "transcript_diff"
    parts = ("head", "rows")
    messages = Sides

    def __init__(
        self, evals: Evals, case: str, trials: tuple[list[tuple[str, int]], ...], at: tuple[int, int]
    ) -> None:
        self.evals = evals
        self.case = case
        self._trials = trials
        self._go(at)

    def _go(self, at: tuple[int, int]) -> None:
        views = []
        for side, place in zip(self._trials, at, strict=True):
            run, epoch = side[min(place, len(side) - 1)]
            views.append(read_trial(self.evals, run=run, case=self.case, epoch=epoch))
        self.state = compare_trials(*views)
        self._at = at

    def __repr__(self) -> str:
        state = self.state
        differ = sum(not row.same for row in state.rows)
        where = (
            "alike in every turn"
            if state.first is None
            else f"{differ} of {plural(len(state.rows), 'row')} with a difference, the first in row {state.first + 1}"
        )
        sides = f"run {state.baseline.run}, epoch {state.baseline.epoch} against run {state.candidate.run}, epoch {state.candidate.epoch}"
        return visible(f"Transcripts of case {self.case}: {sides}: {where}")

    def receive(self, message: Sides) -> None:
        """Put two other trials side by side."""
        self._go((message.baseline, message.candidate))

    def show(self) -> dict[str, Any]:
        """Return the trials to choose from, the scores and the rows."""
        state = self.state
        return {
            "head": {
                "case": visible(self.case),
                "options": [[visible(_named(run, epoch)) for run, epoch in side] for side in self._trials],
                "at": list(self._at),
                "facts": [
                    [visible(fact) for fact in view.facts] for view in (state.baseline, state.candidate)
                ],
                "severity": state.baseline.severity,
                "scores": [[visible(c), visible(g), a, b] for c, g, a, b in state.scores],
                "first": state.first,
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
        """Return both trials as a table: a row a turn, what differs marked by more than a colour."""
        state = self.state
        sides = [
            f"{which}: {_named(view.run, view.epoch)}"
            for which, view in (("Baseline", state.baseline), ("Candidate", state.candidate))
        ]
        scores = "".join(
            f'<tr><th scope="row">{escape(criterion)} <small>{escape(grader)}</small></th><td>{_number(a)}</td><td>{_number(b)}</td></tr>'
            for criterion, grader, a, b in state.scores
        )
        body = "".join(_row_html(row, first=at == state.first) for at, row in enumerate(state.rows[:_STATIC]))
        more = len(state.rows) - _STATIC
        note = (
            f"<p>{plural(more, 'more row')} not shown; with a running kernel all are.</p>" if more > 0 else ""
        )
        heads = "".join(f'<th scope="col">{escape(side)}</th>' for side in sides)
        return Html(
            f'<div class="ek ek-difference"><p><strong>{escape(repr(self))}</strong></p>'
            f'<table><thead><tr><th scope="col">Score</th>{heads}</tr></thead><tbody>{scores}</tbody></table>'
            f'<table><thead><tr><th scope="col">Turn</th>{heads}</tr></thead><tbody>{body}</tbody></table>{note}</div>'
        )


def _row_html(row: TurnPair, *, first: bool) -> str:
    turns = " / ".join("–" if at is None else str(at) for at in (row.left, row.right))
    said = "<br><strong>first difference</strong>" if first else ""
    cells = "".join(
        "<td>" + "".join(_words_html(words, tag) for words in side) + "</td>"
        for side, tag in ((row.before, "del"), (row.after, "ins"))
    )
    if row.same:
        cells = f'<td colspan="2"><details><summary>alike</summary>{"".join(_words_html(w, "span") for w in row.before)}</details></td>'
    return f'<tr><th scope="row">{turns} {escape(row.role)}{said}</th>{cells}</tr>'


def _words_html(words: Words, tag: str) -> str:
    head = f"<p><small>{escape(words.head)}</small></p>" if words.head else ""
    text = "".join(
        f"<{tag}>{escape(piece)}</{tag}>" if differs else escape(piece) for piece, differs in words.pieces
    )
    return f"{head}<pre>{text}</pre>"


def _plain(sections: Sequence[Words]) -> list[list[Any]]:
    return [
        [visible(one.head), [[visible(text), differs] for text, differs in one.pieces]] for one in sections
    ]


def _named(run: str, epoch: int) -> str:
    return f"run {run}, epoch {epoch}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def transcript_diff(
    evals: Evals, case: str, *, baseline: Selector, candidate: Selector, epoch: int = 1
) -> TranscriptDiff:
    """Put two trials of a case side by side, aligned turn by turn, with the first difference and the words marked.

    .. image:: ../docs/img/transcript_diff.png

    Parameters
    ----------
    evals
        What was loaded.
    case
        Which case.
    baseline, candidate
        As for `evalkit.compare`: a run, an agent_version or a model by name, or a dict of columns of `runs`. Where
        a side has several runs, two of the same model are put side by side first; the others can be chosen.
    epoch
        Which attempt; where a side lacks it, its first.

    Returns
    -------
    TranscriptDiff
        Displays itself; `.state` holds the rows as plain data.

    Raises
    ------
    SelectorError
        A side that is not there, or that has no trial of the case.

    Examples
    --------
    >>> import evalkit as ek
    >>> transcript_diff(ek.demo.make(), "02", baseline="v2", candidate="v3")
    Transcripts of case 02: run v2-demo-large, epoch 1 against run v3-demo-large, epoch 1: ...
    """
    expect(transcript_diff, locals())
    attempts = evals.attempts().filter(pl.col("case") == case)
    if attempts.is_empty():
        have = evals.attempts()["case"].cast(pl.String).unique().sort().to_list()
        raise SelectorError.unknown(case, kind="case", have=have)
    trials: list[list[tuple[str, int]]] = []
    for selector in (baseline, candidate):
        label, runs = find_runs(evals, selector)
        found = (
            attempts.filter(pl.col("run").cast(pl.String).is_in(runs))
            .select("run", "epoch")
            .sort("run", "epoch")
            .rows()
        )
        if not found:
            others = attempts["run"].cast(pl.String).unique().sort().to_list()
            raise SelectorError(
                f"{label!r} has no trial of case {case!r};{did_you_mean(label, others)} it was tried in: {', '.join(others)}."
            )
        trials.append(found)
    return TranscriptDiff(evals, case, (trials[0], trials[1]), _first_pair(evals, trials, epoch))


def _first_pair(evals: Evals, trials: list[list[tuple[str, int]]], epoch: int) -> tuple[int, int]:
    """Return the places of two trials: of the epoch, and of the same model where both sides have one."""
    models = dict(evals.runs.select(pl.col("run").cast(pl.String), "model").iter_rows())
    wanted = [[at for at, (_, e) in enumerate(side) if e == epoch] or [0] for side in trials]
    pairs = [(a, b) for a in wanted[0] for b in wanted[1]]
    same = [(a, b) for a, b in pairs if models.get(trials[0][a][0]) == models.get(trials[1][b][0])]
    return (same or pairs)[0]
