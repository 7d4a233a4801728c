"""`ek.explore`: filter trials and read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import polars as pl

from evalkit.data.schema import IS_HUMAN, TRIALS
from evalkit.grading.select_scores import choose_scoring
from evalkit.grading.version_order import natural_key, places_of
from evalkit.util import format as fmt
from evalkit.util.arguments import expect
from evalkit.util.errors import SelectorError
from evalkit.util.hostile_text import Html, escape, visible
from evalkit.util.html_table import html_table
from evalkit.util.words import plural
from evalkit.widgets.facet_counts import count_facets, count_scores
from evalkit.widgets.filters import GradedTrials, Slice, code
from evalkit.widgets.panel import Index, Name, section
from evalkit.widgets.transcript_view import TrialPanel, read_trial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.compare.failure_clusters import FailureClusters
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.widgets.transcript_view import TranscriptView

PAGE: Final = 25
_STATIC: Final = 30
_COLUMNS: Final = ("verdict", "severity", "case", "agent_version", "model", "epoch")
_Column = Literal["score", "verdict", "severity", "case", "agent_version", "model", "run", "epoch"]


@dataclass(eq=False, repr=False)
class Explorer(TrialPanel):
    """The explorer that `explore` returns."""

    name: ClassVar[str] = "explore"

    _trials: GradedTrials
    state: Slice
    page: int = 0
    _row: int = 0
    _expanded: frozenset[str] = frozenset()
    _selected: tuple[Slice, pl.DataFrame] | None = None

    def __post_init__(self) -> None:
        self._grader = self.state.grader

    @property
    def selection(self) -> pl.DataFrame:
        """The filtered trials in the order of the table.

        Columns as of `evalkit.grade` (with a criterion of `grade_criteria`), and `failure` with failure clusters.
        """
        if self._selected is None or self._selected[0] != self.state:
            self._selected = (self.state, self._trials.select(self.state))
        return self._selected[1]

    @property
    def code(self) -> str:
        """Python code for `selection`; it needs `evals`, and `failures` if given.

        Its last line, a comment, is the call of `explore` that opens this view.
        """
        return code(self.state, self._trials)

    @property
    def picked(self) -> tuple[str, str, int] | None:
        """The selected trial: run, case, epoch; None if no trial matches."""
        if self.selection.is_empty():
            return None
        run, case, epoch = self.selection.select(TRIALS.key).row(self._clamp(self._row))
        return run, case, epoch

    def __repr__(self) -> str:
        return f"Explorer: {self._summary}. Selected trials: .selection; code: .code"

    @property
    def _summary(self) -> str:
        total = self._trials.graded(self.state).height
        return f"{fmt.count(self.selection.height)} of {plural(total, 'trial')}"

    # Events

    def _on_choose(self, column: Name, value: Name | None) -> None:
        self._go(self.state.toggle(column, value))

    def _on_search(self, text: Name) -> None:
        self._go(replace(self.state, search=text.strip()))

    def _on_range(self, low: float | None, high: float | None) -> None:
        self._go(replace(self.state, low=low, high=high))

    def _on_measure(self, criterion: Name | None, grader: Name | None) -> None:
        self._go(replace(self.state, criterion=criterion, grader=grader, low=None, high=None))

    def _on_flips(self, sides: tuple[Name, Name] | None) -> None:
        self._go(replace(self.state, flips=sides))

    def _on_sort(self, column: _Column) -> None:
        is_same = self.state.sort == column
        self._go(replace(self.state, sort=column, descending=is_same and not self.state.descending))

    def _on_reset(self) -> None:
        self._go(Slice(criterion=self.state.criterion, grader=self.state.grader or self._grader))

    def _on_page(self, to: Index) -> None:
        self._whole, self.page = None, min(to, self._clamp(self.selection.height) // PAGE)

    def _on_pick(self, row: Index) -> None:
        self._whole, self._row = None, self._clamp(row)
        self.page = self._row // PAGE

    def _on_all(self, column: Name) -> None:
        self._expanded ^= {column}

    def _go(self, state: Slice) -> None:
        """Apply a selection; keep the selected trial if it still matches."""
        state = self._trials.check(state)
        picked, selected = self.picked, self._trials.select(state)
        self.state, self._selected, self._whole = state, (state, selected), None
        self._row = 0
        if picked is not None:
            here = [pl.col(name) == value for name, value in zip(TRIALS.key, picked, strict=True)]
            self._row = selected.select(pl.all_horizontal(here).arg_true().first()).item() or 0
        self.page = self._row // PAGE

    def _clamp(self, row: int) -> int:
        return min(row, max(0, self.selection.height - 1))

    def _trial(self) -> TranscriptView | None:
        if self.picked is None:
            return None
        run, case, epoch = self.picked
        return read_trial(self._trials.scored_for(self.state), run=run, case=case, epoch=epoch)

    # What is shown

    def show(self) -> dict[str, Any]:
        """Return the counts, charts, table page and selected trial."""
        trials, state = self._trials, self.state
        frame, masks = trials.graded(state), trials.masks(state)
        low, high, threshold = trials.scale(state)
        return {
            "head": self._head(frame),
            "facets": count_facets(frame, masks, state, expanded=self._expanded),
            "distribution": count_scores(frame, masks, state, scale=(low, high), threshold=threshold),
            "table": self._table(),
            "code": visible(self.code),
            **self._reading(),
        }

    def _head(self, frame: pl.DataFrame) -> dict[str, Any]:
        evals, state = self._trials.evals, self.state
        places = places_of(evals, "agent_version")
        versions = {str(name) for name in evals.runs["agent_version"].drop_nulls() if name}
        return {
            "of": frame.height,
            "left": self.selection.height,
            "search": visible(state.search),
            "criterion": state.criterion,
            "criteria": evals.judged["criterion"].cast(pl.String).unique().sort().to_list(),
            "grader": state.grader,
            "graders": self._trials.graders,
            "versions": sorted(versions, key=lambda name: (places.get(name, 0), natural_key([name]))),
            "flips": list(state.flips) if state.flips else None,
            "filtered": state.is_filtered,
        }

    def _table(self) -> dict[str, Any]:
        height, first = self.selection.height, self.page * PAGE
        page = self._cells(self.selection.slice(first, PAGE))
        return {
            "rows": [[_cell(value) for value in row] for row in page.iter_rows()],
            "columns": page.columns,
            "first": first,
            "height": height,
            "pages": max(1, -(-height // PAGE)),
            "page": self.page,
            "row": self._row if height else None,
            "sort": self.state.sort,
            "descending": self.state.descending,
        }

    def _cells(self, rows: pl.DataFrame) -> pl.DataFrame:
        graded = self._trials.graded(self.state)
        names = [n for n in _COLUMNS if n in ("verdict", "case") or graded[n].n_unique() > 1]
        # A version that is only the name of the run, one per model, repeats the model.
        versions = graded.select(pl.col("run", "agent_version", "model").cast(pl.String)).unique()
        is_run_name = (versions["run"] == versions["agent_version"]).all()
        if "model" in names and is_run_name and versions["model"].drop_nulls().n_unique() == versions.height:
            names = [name for name in names if name != "agent_version"]
        return rows.select(*names, pl.col(self.state.measure).alias("score"))

    def to_html(self) -> Html:
        """Return the first selected rows as a table, and the code for all."""
        page = self._cells(self.selection.head(_STATIC))
        heads = [name.removeprefix("agent_").capitalize() for name in page.columns]
        rows = ([_cell(value) for value in row] for row in page.iter_rows())
        table = html_table(heads, rows, numeric=("Epoch", "Score"))
        title = Html(f"<p><strong>Explorer: {self._summary}</strong></p>")
        left = self.selection.height - page.height
        more = f"{plural(left, 'more trial')} not shown. Run the notebook to see all." if left else ""
        lines = Html(f"<details><summary>Code</summary><pre>{escape(self.code)}</pre></details>")
        return section("explorer", title, table, more, lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return fmt.number(value) if isinstance(value, float) else visible(str(value))


def explore(
    evals: Evals,
    *,
    rule: PassRule | None = None,
    grader: str | None = None,
    rubric: str | Sequence[str] | None = None,
    criterion: str | None = None,
    where: Mapping[str, str | Sequence[str | None] | None] | None = None,
    search: str = "",
    low: float | None = None,
    high: float | None = None,
    flips: tuple[str, str] | None = None,
    sort: str = "score",
    descending: bool = False,
    failures: FailureClusters | None = None,
) -> Explorer:
    """Filter trials by their verdicts, scores, columns and texts, and read them.

    Click a bar or drag over the score histogram to filter. `j` and `k`, or the arrow keys, step through the table. The
    arguments set the first view.

    .. image:: ../docs/img/explorer.png

    Parameters
    ----------
    evals
        The evaluations.
    rule, grader, rubric
        As for `evalkit.grade`. With several judges and no `grader`, the judge with the most scores is used.
    criterion
        The criterion whose score and verdict count instead of the trial's.
    where
        Column -> allowed value or values: `verdict`, `severity`, `agent_version`, `model`, `tags`, `domain`, `case`,
        `failure`, and with several graders `grader` (trials that one of them scored).
    search
        Text in a message, the output, a rationale or a quotation.
    low, high
        The lowest and the highest score.
    flips
        (baseline, candidate): only cases whose majority verdict differs between the two.
    sort, descending
        The order: `score`, `verdict`, `severity`, `case`, `agent_version`, `model`, `run` or `epoch`.
    failures
        Clusters of `evalkit.find_failures`, as a filter.

    Raises
    ------
    SelectorError
        Unknown criterion, column, value, side or grader.

    Examples
    --------
    >>> import evalkit as ek
    >>> view = explore(ek.demo.make(), where={"severity": "critical", "verdict": "fail"})
    >>> view
    Explorer: 24 of 162 trials. Selected trials: .selection; code: .code
    >>> view.selection["severity"].unique().to_list()
    ['critical']
    """
    expect(explore, locals())
    scoring = choose_scoring(evals, rule=rule, grader=grader, rubric=rubric)
    clusters = None if failures is None else failures.trials.select(*TRIALS.key, "failure")
    trials = GradedTrials(replace(evals, scoring=scoring), clusters)
    chosen, message = scoring.grader, ""
    if chosen is None:
        chosen, message = _main_judge(trials)
    elif not isinstance(chosen, str):
        chosen = tuple(chosen)
    columns = {
        column: (values,) if values is None or isinstance(values, str) else tuple(values)
        for column, values in (where or {}).items()
    }
    state = Slice(columns, search, low, high, flips, criterion, chosen, sort, descending)
    explorer = Explorer(trials, trials.check(state))
    if message:
        explorer._set_status(message)
    return explorer


def _main_judge(trials: GradedTrials) -> tuple[str | None, str]:
    """Return the judge with the most scores, and a note; None for a single grader."""
    try:
        trials.graded(Slice())
    except SelectorError:
        judged = trials.evals.scores.lazy().filter(~IS_HUMAN)
        counts = judged.group_by("grader").len().sort("len", "grader", descending=[True, False]).collect()
        if counts.height < 2:
            raise
        name = str(counts["grader"][0])
        trials.graded(Slice(grader=name))
        return name, f"Several graders. Showing the scores of {name}."
    return None, ""
