"""`ek.transcript_diff`: compare two trials turn by turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

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
    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals
    from evalkit.widgets.diff_align import Section
    from evalkit.widgets.transcript_view import TranscriptView

# Rows of the static form.
_STATIC: Final = 100


@dataclass(frozen=True, slots=True)
class TurnPair:
    """The numbers of two turns (from 1), their role, and their sections."""

    left: int | None
    right: int | None
    role: str
    same: bool
    before: list[Section]
    after: list[Section]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two trials, aligned turn by turn: plain data."""

    baseline: TranscriptView
    candidate: TranscriptView
    rows: list[TurnPair]
    # The index of the first row that differs; None: no row does.
    first: int | None
    # (criterion, grader, baseline, candidate): means over samples, None where missing.
    scores: list[tuple[str, str, float | None, float | None]]


def compare_trials(baseline: TranscriptView, candidate: TranscriptView) -> Difference:
    """Align two trials and find the words that differ."""
    aligned = align(baseline.messages, candidate.messages)
    budget, rows = BUDGET, []
    for row in aligned:
        left = None if row.left is None else baseline.messages[row.left]
        right = None if row.right is None else candidate.messages[row.right]
        if left and right and not row.same:
            before, after, spent = compare_words(left, right, budget=budget)
            budget -= spent
        else:
            before = whole_sections(left.parts if left else (), differs=not row.same)
            after = whole_sections(right.parts if right else (), differs=not row.same)
        first, second = (None if index is None else index + 1 for index in (row.left, row.right))
        rows.append(TurnPair(first, second, (left or right).role, row.same, before, after))  # type: ignore[union-attr]
    old, new = _mean_scores(baseline), _mean_scores(candidate)
    scores = [(*key, old.get(key), new.get(key)) for key in {**old, **new}]
    return Difference(baseline, candidate, rows, first_difference(aligned), scores)


def _mean_scores(view: TranscriptView) -> dict[tuple[str, str], float | None]:
    values: dict[tuple[str, str], list[float]] = {}
    for one in view.judgements:
        values.setdefault((one.criterion, one.grader), []).extend([] if one.value is None else [one.value])
    return {key: sum(scores) / len(scores) if scores else None for key, scores in values.items()}


@dataclass(eq=False, repr=False)
class TranscriptDiff(Panel):
    """The widget that `transcript_diff` returns. `state` is a `Difference`."""

    name: ClassVar[str] = "transcript_diff"

    evals: Evals
    case: str
    # The trials to choose from on each side: (run, epoch).
    trials: list[list[tuple[str, int]]]
    chosen: tuple[int, int]

    def __post_init__(self) -> None:
        self._on_sides(*self.chosen)

    def _on_sides(self, baseline: Index, candidate: Index) -> None:
        left, right = min(baseline, len(self.trials[0]) - 1), min(candidate, len(self.trials[1]) - 1)
        keys = self.trials[0][left], self.trials[1][right]
        views = (read_trial(self.evals, run=run, case=self.case, epoch=epoch) for run, epoch in keys)
        self.state, self.chosen = compare_trials(*views), (left, right)

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
                "options": [[visible(_name(run, epoch)) for run, epoch in side] for side in self.trials],
                "chosen": list(self.chosen),
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
                    "before": _visible(row.before),
                    "after": _visible(row.after),
                }
                for row in state.rows
            ],
        }

    def to_html(self) -> Html:
        """Return a table, one row per turn; not only color marks differences."""
        state = self.state
        baseline, candidate = (_name(view.run, view.epoch) for view in (state.baseline, state.candidate))
        heads = [f"Baseline: {baseline}", f"Candidate: {candidate}"]
        means = [[f"{criterion} ({grader})", *map(_mean, pair)] for criterion, grader, *pair in state.scores]
        shown = state.rows[:_STATIC]
        rows = [_row_html(row, is_first=index == state.first) for index, row in enumerate(shown)]
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


def _words_html(sections: list[Section], tag: str) -> str:
    html = []
    for head, pieces in sections:
        words = (f"<{tag}>{escape(text)}</{tag}>" if differs else escape(text) for text, differs in pieces)
        html.append(f"{f'<p><small>{escape(head)}</small></p>' if head else ''}<pre>{''.join(words)}</pre>")
    return "".join(html)


def _visible(sections: list[Section]) -> list[Any]:
    return [[visible(head), [[visible(text), new] for text, new in pieces]] for head, pieces in sections]


def _mean(value: float | None) -> str | None:
    return None if value is None else fmt.number(value)


def _name(run: str, epoch: int) -> str:
    return f"run {run}, epoch {epoch}"


def transcript_diff(
    evals: Evals, case: str, *, baseline: Selector, candidate: Selector, epoch: int = 1
) -> TranscriptDiff:
    """Compare two trials of a case turn by turn, with the changed words marked.

    .. image:: ../docs/img/transcript_diff.png

    Parameters
    ----------
    evals
        The evaluations. With `evals.with_scoring(grader=...)` only the scores of that grader are shown.
    case
        The case.
    baseline, candidate
        As for `evalkit.compare`. With several runs on a side, two of the same model come first.
    epoch
        The repetition; a side without it shows its first.

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
        tried = attempts.filter(pl.col("run").cast(pl.String).is_in(runs))
        rows = tried.select("run", "epoch").sort("run", "epoch")
        if rows.is_empty():
            others = attempts["run"].cast(pl.String).unique().sort().to_list()
            raise SelectorError(f"{label!r} has no trial of case {case!r}.", value=label, choices=others)
        trials.append(rows.rows())
    return TranscriptDiff(evals, case, trials, _first_pair(evals, trials, epoch))


def _first_pair(evals: Evals, trials: list[list[tuple[str, int]]], epoch: int) -> tuple[int, int]:
    """Return the positions of two trials: of the epoch, if possible of one model."""
    models = dict(evals.runs.select(pl.col("run").cast(pl.String), "model").iter_rows())
    wanted = [[index for index, (_, e) in enumerate(side) if e == epoch] or [0] for side in trials]
    pairs = [(a, b) for a in wanted[0] for b in wanted[1]]
    same = [(a, b) for a, b in pairs if models.get(trials[0][a][0]) == models.get(trials[1][b][0])]
    return (same or pairs)[0]
