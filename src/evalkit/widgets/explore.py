"""`ek.explore`: filter the trials of a collection, see what is left, and read it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
import polars as pl

from evalkit.grading.pass_rule import DEFAULT_RULE
from evalkit.grading.version_order import natural_key, start_order
from evalkit.util.arguments import expect
from evalkit.util.errors import SelectorError
from evalkit.util.hostile_text import Html, escape, visible
from evalkit.util.words import plural
from evalkit.widgets.facet_counts import distribution, facets
from evalkit.widgets.filters import KEY, Slice, Trials, check, code
from evalkit.widgets.panel import Panel
from evalkit.widgets.transcript import Format, Whole, whole
from evalkit.widgets.transcript_view import read_trial, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.compare.failure_clusters import FailureClusters
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

PAGE: Final = 25
# So many trials stand in the static form.
_STATIC: Final = 30
_COLUMNS: Final = ("verdict", "severity", "case", "agent_version", "model", "epoch", "score")

_Word = Annotated[str, msgspec.Meta(max_length=1_000)]
_Row = Annotated[int, msgspec.Meta(ge=0)]


class _Asked(msgspec.Struct, tag_field="kind", tag=str.lower, forbid_unknown_fields=True):
    pass


class Choose(_Asked):
    """Let a column have a value too, or no longer."""

    column: _Word
    value: _Word | None


class Search(_Asked):
    """Leave the trials that hold these words."""

    text: _Word


class Range(_Asked):
    """Leave the trials with a score between these; null: no limit."""

    low: float | None
    high: float | None


class Measure(_Asked):
    """Go by another score: a criterion's, a grader's; null: the mean, the only grader."""

    criterion: _Word | None
    grader: _Word | None


class Flips(_Asked):
    """Leave the cases whose verdict differs between two versions; null: all."""

    sides: tuple[_Word, _Word] | None


class Sort(_Asked):
    """Sort by a column; by the same again: the other way round."""

    column: Literal["score", "verdict", "severity", "case", "agent_version", "model", "run", "epoch"]


class Page(_Asked):
    """Show another page of the table."""

    to: _Row


class Pick(_Asked):
    """Read the trial in this row of the selection."""

    row: _Row


class All(_Asked):
    """Show all values of a column beside its chart, or the first again."""

    column: _Word


class Reset(_Asked):
    """Take every filter away."""


class Explorer(Panel):
    """The trials of a collection, to filter and to read. Displays itself in a notebook; made by `explore`.

    Attributes
    ----------
    state
        What is looked at, a `Slice`: plain data.
    selection
        The trials that the filters leave.
    code
        Lines of Python that give the same frame.
    """

    name = "explore"
    parts = ("head", "facets", "distribution", "table", "trial", "whole", "code")
    messages = Choose | Search | Range | Measure | Flips | Sort | Page | Pick | All | Reset | Whole | Format
    shares = ("transcript_reading",)

    def __init__(self, trials: Trials, state: Slice) -> None:
        self._trials = trials
        self._start = state
        self._whole: dict[str, Any] | None = None
        self._markdown = False
        self._all: frozenset[str] = frozenset()
        self._row = 0
        self.page = 0
        self.state = state
        self._selected: tuple[Slice, pl.DataFrame] | None = None

    @property
    def selection(self) -> pl.DataFrame:
        """The trials that the filters leave, in the order of the table.

        A polars frame with the columns of `evalkit.grade` (of `grade_criteria` where a criterion is chosen), and
        `failure` where clusters of failures were given.
        """
        if self._selected is None or self._selected[0] != self.state:
            self._selected = (self.state, self._trials.select(self.state))
        return self._selected[1]

    @property
    def code(self) -> str:
        """Lines of Python after which `selection` is this selection; they need `evals`, and `failures` where given.

        The last, a comment, is the call of `explore` that begins with this view.
        """
        return code(self.state, self._trials)

    @property
    def picked(self) -> tuple[str, str, int] | None:
        """The trial that is read: run, case, epoch; None where nothing is left."""
        frame = self.selection
        if frame.is_empty():
            return None
        run, case, epoch = frame.select(KEY).row(min(self._row, frame.height - 1))
        return run, case, epoch

    def __repr__(self) -> str:
        every = self._trials.graded(self.state).height
        return f"Explorer: {self.selection.height:,} of {plural(every, 'trial')}; .selection is the frame, .code the lines that give it"

    # What a message does

    def receive(self, message: Any) -> str | None:
        """Do what the front end asks for."""
        self._whole = None
        match message:
            case Page(to):
                self.page = min(to, max(0, self.selection.height - 1) // PAGE)
            case Pick(row):
                self._row = min(row, max(0, self.selection.height - 1))
                self.page = self._row // PAGE
            case All(column):
                self._all ^= {column}
            case Format(markdown):
                self._markdown = markdown
            case Whole():
                picked = self._read()
                self._whole = whole(picked, message) if picked else None
            case _:
                self._go(_next(self.state, message, self._start))
        return None

    def _go(self, state: Slice) -> None:
        """Look at something else; the trial that is read stays, where it is still there."""
        state = check(state, self._trials)
        kept = self.picked
        selected = self._trials.select(state)
        self.state, self._selected, self.page = state, (state, selected), 0
        at = None
        if kept is not None:
            here = [pl.col(name) == value for name, value in zip(KEY, kept, strict=True)]
            at = selected.select(pl.all_horizontal(here).arg_true().first()).item()
        self._row = at or 0
        self.page = self._row // PAGE if at else 0

    def _read(self) -> Any:
        if self.picked is None:
            return None
        run, case, epoch = self.picked
        return read_trial(self._trials.evals, run=run, case=case, epoch=epoch)

    # What is shown

    def show(self) -> dict[str, Any]:
        """Return the counts, the charts' numbers, a page of the table and the trial that is read."""
        frame, state = self._trials.graded(self.state), self.state
        masks = self._trials.masks(state)
        picked = self._read()
        return {
            "head": self._head(frame),
            "facets": facets(frame, masks, state, every=self._all),
            "distribution": distribution(
                frame, masks, state, scale=self._trials.scale(state), threshold=self._trials.rule.mean
            ),
            "table": self._table(),
            "trial": shown(picked, markdown=self._markdown) if picked else None,
            "whole": self._whole,
            "code": visible(self.code),
        }

    def _head(self, frame: pl.DataFrame) -> dict[str, Any]:
        evals, state = self._trials.evals, self.state
        places = start_order(evals, "agent_version")
        named = {str(name) for name in evals.runs["agent_version"].drop_nulls() if name}
        versions = sorted(named, key=lambda name: (places.get(name, 0), natural_key([name])))
        return {
            "of": frame.height,
            "left": self.selection.height,
            "search": visible(state.search),
            "criterion": state.criterion,
            "criteria": evals.judged["criterion"].cast(pl.String).unique().sort().to_list(),
            "grader": state.grader,
            "graders": self._trials.graders,
            "versions": versions,
            "flips": list(state.flips) if state.flips else None,
            "filtered": bool(masks_of(state)),
            "rule": self._trials.rule.words,
        }

    def _table(self) -> dict[str, Any]:
        state, frame = self.state, self.selection
        first = self.page * PAGE
        page = self._cells(frame.slice(first, PAGE))
        return {
            "rows": [[_cell(value) for value in row] for row in page.iter_rows()],
            "columns": list(page.columns),
            "first": first,
            "height": frame.height,
            "pages": max(1, -(-frame.height // PAGE)),
            "page": self.page,
            "row": self._row if frame.height else None,
            "sort": state.sort,
            "descending": state.descending,
        }

    def _cells(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the columns of the table; without those that are the same everywhere, or as the model, and say nothing."""
        every = self._trials.graded(self.state)
        names = [n for n in _COLUMNS[:-1] if n in ("verdict", "case") or every[n].n_unique() > 1]
        # Versions that nobody named, one a model: the run's name says no more than the model, at greater length.
        told = every.select(pl.col("run", "agent_version", "model").cast(pl.String)).unique()
        unnamed = (told["run"] == told["agent_version"]).all() and told["model"].is_unique().all()
        if "model" in names and unnamed and not told["model"].has_nulls():
            names = [name for name in names if name != "agent_version"]
        return rows.select(*names, pl.col(self.state.measure).alias("score"))

    def to_html(self) -> Html:
        """Return the first rows of the selection as a table, and the code that gives the rest."""
        table = self._table()
        page = self._cells(self.selection.head(_STATIC))
        kinds = [' class="ek-num"' if name in ("epoch", "score") else "" for name in table["columns"]]
        head = "".join(
            f'<th scope="col"{kind}>{escape(_heading(name))}</th>'
            for kind, name in zip(kinds, table["columns"], strict=True)
        )
        body = "".join(
            f"<tr>{''.join(f'<td{kind}>{escape(_cell(value))}</td>' for kind, value in zip(kinds, row, strict=True))}</tr>"
            for row in page.iter_rows()
        )
        more = self.selection.height - page.height
        note = f"<p>{more:,} more not shown; with a running kernel all are.</p>" if more > 0 else ""
        return Html(
            f'<div class="ek ek-explorer"><p><strong>{escape(repr(self).split(";")[0])}</strong></p>'
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"
            f"<details><summary>The same as code</summary><pre>{escape(self.code)}</pre></details></div>"
        )


def masks_of(state: Slice) -> bool:
    """Whether any filter is set."""
    return bool(state.where or state.search or state.flips or state.low is not None or state.high is not None)


def _next(state: Slice, message: Any, start: Slice) -> Slice:
    """Return the slice after a message."""
    match message:
        case Choose(column, value):
            return state.toggle(column, value)
        case Search(text):
            return replace(state, search=text.strip())
        case Range(low, high):
            return replace(state, low=low, high=high)
        case Measure(criterion, grader):
            return replace(state, criterion=criterion, grader=grader, low=None, high=None)
        case Flips(sides):
            return replace(state, flips=sides)
        case Sort(column):
            turned = state.sort == column and not state.descending
            return replace(state, sort=column, descending=turned)
        case _:
            return Slice(criterion=state.criterion, grader=state.grader or start.grader)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else visible(str(value))


def _heading(name: str) -> str:
    return {"agent_version": "version"}.get(name, name)


def explore(
    evals: Evals,
    *,
    rule: PassRule = DEFAULT_RULE,
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
    """Filter the trials of a collection, see what is left, and read it.

    Bars and the score distribution filter what is clicked or brushed, and count what the other filters leave; the
    table and the transcript follow. `j` and `k`, or the arrows, step through the table. The arguments are where it
    begins; all of them can be changed by hand.

    .. image:: ../docs/img/explorer.png

    Parameters
    ----------
    evals
        What was loaded.
    rule, grader, rubric
        As for `evalkit.grade`: when a trial passes, and whose scores count. Where several graders judged and none
        is named, the judge with the most scores is taken, which the status line says.
    criterion
        Go by this criterion's score and verdict instead of the trial's.
    where
        Column -> the value, or the values, that a trial may have: `verdict`, `severity`, `agent_version`, `model`,
        `tags`, `domain`, `case`, `failure`; and where there are several graders `grader`: trials that one of these
        judges or people scored, whosever scores count.
    search
        Words that a message, the output, a rationale or a quotation must hold.
    low, high
        The lowest and the highest score.
    flips
        (baseline, candidate): only cases whose majority verdict differs between the two.
    sort, descending
        The table's order: `score`, `verdict`, `severity`, `case`, `agent_version`, `model`, `run` or `epoch`.
    failures
        What `evalkit.find_failures` found: its clusters become a filter.

    Returns
    -------
    Explorer
        Displays itself; `.selection` is the frame that is left, `.code` the lines that give it.

    Raises
    ------
    SelectorError
        A criterion, column, value, side or grader that is not there.

    Examples
    --------
    >>> import evalkit as ek
    >>> view = explore(ek.demo.make(), where={"severity": "critical", "verdict": "fail"})
    >>> view
    Explorer: 24 of 162 trials; .selection is the frame, .code the lines that give it
    >>> view.selection["severity"].unique().to_list()
    ['critical']
    """
    expect(explore, locals())
    trials = Trials(
        evals, rule, rubric, None if failures is None else failures.trials.select(*KEY, "failure")
    )
    told = ""
    if grader is None:
        grader, told = _some_grader(trials)
    given = {
        column: (values,) if values is None or isinstance(values, str) else tuple(values)
        for column, values in (where or {}).items()
    }
    state = Slice(given, search, low, high, flips, criterion, grader, sort, descending)
    explorer = Explorer(trials, check(state, trials))
    if told:
        explorer._answer(told)
    return explorer


def _some_grader(trials: Trials) -> tuple[str | None, str]:
    """Return None where one grader judged; else the judge with the most scores, and a sentence that says so."""
    try:
        trials.graded(Slice())
    except SelectorError as several:
        ours = trials.evals.scores.lazy().filter(pl.col("grader_kind").ne_missing("human"))
        counts = ours.group_by("grader").len().sort("len", "grader", descending=[True, False]).collect()
        if counts.height < 2:
            raise several from None
        name = str(counts["grader"][0])
        trials.graded(Slice(grader=name))
        return name, f"Several graders judged; shown are the scores of {name}."
    return None, ""
