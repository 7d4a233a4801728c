"""Filter trials, and write the same filters as Python code."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.frames import some_of
from evalkit.data.schema import SEVERITIES, TRIALS, VERDICTS
from evalkit.grading.grade import applied_rules, grade, grade_criteria, scoring_to_view
from evalkit.grading.pass_rule import DEFAULT_RULE
from evalkit.grading.select_scores import choose_scoring
from evalkit.util.errors import SelectorError
from evalkit.widgets.transcript_view import chosen_scores, scores_that_count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evalkit.data.evals import Evals
    from evalkit.grading.applied_rule import AppliedRule
    from evalkit.grading.pass_rule import PassRule

FACETS = ("verdict", "severity", "agent_version", "model", "grader", "tags", "domain", "case", "failure")
"""The columns that trials are filtered by."""

SORTABLE: Final = ("score", "verdict", "severity", "case", "agent_version", "model", "run", "epoch")

_LISTS: Final = ("tags", "grader")
_KEY: Final = list(TRIALS.key)


@dataclass(frozen=True, slots=True)
class Slice:
    """A selection of trials: plain data."""

    # Column -> the values that a trial may have; None stands for a missing value. "grader": who scored it.
    where: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    # Text in a message, the output, a rationale or a quotation; case does not matter.
    search: str = ""
    # An unscored trial is in no range.
    low: float | None = None
    high: float | None = None
    # Only cases whose majority verdict differs between (baseline, candidate).
    flips: tuple[str, str] | None = None
    # None: the mean of the criteria.
    criterion: str | None = None
    grader: str | tuple[str, ...] | None = None
    sort: str = "score"
    descending: bool = False

    def toggle(self, column: str, value: str | None) -> Slice:
        """Add an allowed value of a column, or remove it."""
        values = self.where.get(column, ())
        values = tuple(v for v in values if v != value) if value in values else (*values, value)
        where = {name: kept for name, kept in self.where.items() if name != column}
        return replace(self, where={**where, column: values} if values else where)

    @property
    def measure(self) -> str:
        """The column that holds the score."""
        return "mean" if self.criterion is None else "score"

    @property
    def is_filtered(self) -> bool:
        """Whether any filter is set."""
        return bool(self.where or self.search or self.flips) or (self.low, self.high) != (None, None)

    @property
    def order(self) -> dict[str, Any]:
        """The arguments of `sort`."""
        by = self.measure if self.sort == "score" else self.sort
        rest = [name for name in _KEY if name != by]
        return {"by": [by, *rest], "descending": [self.descending, *[False] * len(rest)], "nulls_last": True}


@dataclass(frozen=True, eq=False)
class GradedTrials:
    """Graded trials of a collection, by slice. Results are kept."""

    evals: Evals
    # `run`, `case`, `epoch` and the `failure` cluster of a trial.
    failures: pl.DataFrame | None = None
    _kept: dict[tuple[object, ...], pl.DataFrame] = field(default_factory=dict)
    _masked: dict[str, Any] = field(default_factory=dict)
    _views: dict[Any, tuple[Evals, list[AppliedRule]]] = field(default_factory=dict)

    @property
    def rule(self) -> PassRule:
        """The pass rule."""
        return self.evals.scoring.rule or DEFAULT_RULE

    def scored_for(self, state: Slice) -> Evals:
        """Return the evaluations with the grader of a slice."""
        return self._view(state)[0]

    def _view(self, state: Slice) -> tuple[Evals, list[AppliedRule]]:
        key = state.grader if state.grader is None or isinstance(state.grader, str) else tuple(state.grader)
        if key not in self._views:
            evals = replace(self.evals, scoring=replace(self.evals.scoring, grader=state.grader))
            scoring = scoring_to_view(evals, choose_scoring(evals))
            self._views[key] = replace(evals, scoring=scoring), applied_rules(evals, scoring)
        return self._views[key]

    def _cached(self, key: tuple[object, ...], compute: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    def graded(self, state: Slice) -> pl.DataFrame:
        """Return every graded trial; with several graders, `grader` lists those that scored it."""
        return self._cached(("graded", state.criterion, state.grader), lambda: self._grade(state))

    def _grade(self, state: Slice) -> pl.DataFrame:
        frame: pl.DataFrame = (grade if state.criterion is None else grade_criteria)(self.scored_for(state))
        if state.criterion is not None:
            frame = frame.filter(pl.col("criterion") == state.criterion)
        if self.failures is not None:
            frame = frame.join(self.failures, on=_KEY, how="left", maintain_order="left")
        if len(self.graders) > 1:
            frame = frame.join(self._graders_of, on=_KEY, how="left", maintain_order="left")
        return frame

    def scale(self, state: Slice) -> tuple[float, float, float | None]:
        """Return the ends of the scale of the score of a slice, and the threshold (None: several or none)."""
        frame = self.graded(state)
        if state.criterion is None:
            rules = self._view(state)[1]
            ends = list({(*rule.scale, rule.mean) for rule in rules if rule.has_condition})
        else:
            ends = frame.select("scale_min", "scale_max", "threshold").unique().rows()
        if len(ends) == 1 and None not in ends[0][:2]:
            return ends[0]
        seen: Any = frame[state.measure].drop_nulls()
        return (*((seen.min(), seen.max()) if len(seen) else (0.0, 1.0)), None)

    def masks(self, state: Slice) -> dict[str, pl.Series]:
        """Return the trials that each filter keeps."""
        if self._masked.get("state") != state:
            self._masked.update(state=state, masks=self._masks(state))
        masks: dict[str, pl.Series] = self._masked["masks"]
        return masks

    def _masks(self, state: Slice) -> dict[str, pl.Series]:
        frame = self.graded(state)
        masks = {name: frame.select(_matches(name, kept)).to_series() for name, kept in state.where.items()}
        limits = [limit for limit, _ in _limits(state)]
        if limits:
            masks["score"] = frame.select(pl.all_horizontal(limits).fill_null(value=False)).to_series()
        if state.search:
            masks["search"] = _is_in(frame, self._matching(state), _KEY)
        if state.flips:
            masks["flips"] = _is_in(frame, self._flips(state), ["suite", "case"])
        return masks

    def select(self, state: Slice) -> pl.DataFrame:
        """Return the trials that every filter keeps, in order."""
        kept = self.graded(state).filter(combine(self.masks(state))).sort(**state.order)
        return kept.drop("grader", strict=False)

    def _flips(self, state: Slice) -> pl.DataFrame:
        # Loads the statistics, which nothing else here needs.
        from evalkit.compare.compare import compare

        baseline, candidate = state.flips or ("", "")
        return self._cached(
            ("flips", state.flips, state.grader),
            lambda: compare(self.scored_for(state), baseline, candidate, criteria="shared").flips,
        )

    def _matching(self, state: Slice) -> pl.DataFrame:
        evals, pattern = self.scored_for(state), f"(?i){pl.escape_regex(state.search)}"
        columns: tuple[tuple[pl.DataFrame | pl.LazyFrame, tuple[str, ...]], ...] = (
            (evals.turns, ("content", "reasoning", "tool_calls")),
            (evals.outputs, ("output",)),
            (evals.trials, ("error",)),
            (scores_that_count(evals.scores, evals.scoring), ("rationale", "evidence")),
        )
        matches = pl.concat(
            frame.lazy().filter(pl.any_horizontal(pl.col(names).str.contains(pattern))).select(_KEY)
            for frame, names in columns
        )
        return matches.unique().collect(engine="streaming")

    @cached_property
    def graders(self) -> list[str]:
        """The graders of the scores, sorted."""
        return sorted(some_of(self.evals.scores.lazy().unique("grader"), "grader")["grader"])

    @cached_property
    def _graders_of(self) -> pl.DataFrame:
        scored = self.evals.scores.lazy().filter(pl.col("score").is_not_null()).group_by(_KEY)
        return scored.agg(pl.col("grader").cast(pl.String).unique()).collect(engine="streaming")

    def check(self, state: Slice) -> Slice:
        """Return the slice; raise SelectorError for an unknown name or value."""
        criteria = sorted(self.evals.judged["criterion"].cast(pl.String).unique())
        if state.criterion is not None and state.criterion not in criteria:
            raise SelectorError.unknown(state.criterion, kind="criterion", have=criteria)
        if state.sort not in SORTABLE:
            raise SelectorError.unknown(state.sort, kind="column to sort by", have=SORTABLE)
        if state.flips:
            self._flips(state)
        frame = self.graded(state)
        columns = [name for name in FACETS if name in frame.columns]
        for column, values in state.where.items():
            if column not in columns:
                raise SelectorError.unknown(column, kind="column to filter by", have=columns)
            words = {"verdict": VERDICTS, "severity": SEVERITIES}.get(column, ())
            # A verdict or severity that no trial has is no mistake: nothing failing is an answer.
            known = {*_flat(frame[column]).cast(pl.String), *words}
            for value in values:
                if value not in known:
                    options = sorted(name for name in known if name is not None)
                    raise SelectorError.unknown(value, kind=column.replace("_", " "), have=options)
        return state


def combine(masks: Mapping[str, pl.Series], *, but: str = "") -> pl.Series | bool:
    """Return the trials that all filters keep, or all but one."""
    kept = [mask for name, mask in masks.items() if name != but]
    return reduce(and_, kept) if kept else True


def _flat(series: pl.Series) -> pl.Series:
    return (series.explode(empty_as_null=True) if isinstance(series.dtype, pl.List) else series).unique()


def _is_in(frame: pl.DataFrame, matches: pl.DataFrame, keys: list[str]) -> pl.Series:
    marked = matches.select(keys).unique().with_columns(_match=pl.lit(value=True))
    joined = frame.select(keys).join(marked, on=keys, how="left", maintain_order="left", nulls_equal=True)
    return joined["_match"].fill_null(value=False)


# Each filter as an expression, and as code.


def _matches(column: str, values: Sequence[str | None]) -> pl.Expr:
    if column not in _LISTS:
        return pl.col(column).cast(pl.String).is_in(list(values), nulls_equal=True)
    names = [value for value in values if value is not None]
    matches = pl.col(column).list.eval(pl.element().is_in(names)).list.any().fill_null(value=False)
    return matches | (pl.col(column).list.len().fill_null(0) == 0) if None in values else matches


def _matches_code(column: str, values: Sequence[str | None]) -> str:
    if column not in _LISTS:
        return f'pl.col("{column}").cast(pl.String).is_in({list(values)!r}, nulls_equal=True)'
    names = [value for value in values if value is not None]
    matches = f'pl.col("{column}").list.eval(pl.element().is_in({names!r})).list.any()'
    empty = f'pl.col("{column}").list.len().fill_null(0) == 0'
    return f"{matches}.fill_null(value=False) | ({empty})" if None in values else matches


def _limits(state: Slice) -> list[tuple[pl.Expr, str]]:
    score, limits = pl.col(state.measure), []
    if state.low is not None:
        limits.append((score >= state.low - 1e-9, f'pl.col("{state.measure}") >= {state.low!r} - 1e-9'))
    if state.high is not None:
        limits.append((score <= state.high + 1e-9, f'pl.col("{state.measure}") <= {state.high!r} + 1e-9'))
    return limits


def code(state: Slice, trials: GradedTrials) -> str:
    """Return Python code after which `selection` is the frame of a slice.

    Needs `evals`, and `failures` with clusters. The last line, a comment, is the call of `explore` for this view.
    """
    scores = {"grader": state.grader, "rubric": trials.evals.scoring.rubric}
    options = "".join(f", {name}={value!r}" for name, value in scores.items() if value is not None)
    lines = ["import polars as pl", "", "import evalkit as ek", "", f"rule = ek.{trials.rule!r}"]
    if (state.search or "grader" in state.where) and trials.evals.is_scanned:
        lines.append("evals = evals.collect()")
    if state.criterion is None:
        lines.append(f"trials = ek.grade(evals, rule{options})")
    else:
        lines.append(f"trials = ek.grade_criteria(evals, rule{options})")
        lines.append(f'trials = trials.filter(pl.col("criterion") == {state.criterion!r})')
    join = f'on={_KEY}, how="left", maintain_order="left")'
    if trials.failures is not None:
        lines.append(f"trials = trials.join(failures.trials.select({[*_KEY, 'failure']}), {join}")
    for column, values in state.where.items():
        line = f"trials = trials.filter({_matches_code(column, values)})"
        if column == "grader":
            lines.append('scored = evals.scores.filter(pl.col("score").is_not_null())')
            lines.append(f'graders = scored.group_by({_KEY}).agg(pl.col("grader").cast(pl.String).unique())')
            line = f'trials = trials.join(graders, {join}\n{line}.drop("grader")'
        lines.append(line)
    lines += [f"trials = trials.filter({limit})" for _, limit in _limits(state)]
    if state.search:
        lines += _search_code(state, trials)
    if state.flips:
        sides = "baseline={!r}, candidate={!r}".format(*state.flips)
        lines += [
            f'change = ek.compare(evals, {sides}, rule=rule{options}, criteria="shared")',
            'trials = trials.join(change.flips, on=["suite", "case"], how="semi", maintain_order="left", nulls_equal=True)',
        ]
    order = ", ".join(f"{name}={value!r}" for name, value in state.order.items())
    lines += [f"selection = trials.sort({order})", f"# The same view: {_view_code(state, trials)}", ""]
    return "\n".join(lines)


def _search_code(state: Slice, trials: GradedTrials) -> list[str]:
    chosen = chosen_scores(trials.scored_for(state).scoring)
    filters = (f'pl.col("{name}").cast(pl.String).is_in({values!r})' for name, values in chosen.items())
    scores = "".join(f".filter({one})" for one in filters)
    return [
        f'words = "(?i)" + pl.escape_regex({state.search!r})',
        'texts = [(evals.turns, ["content", "reasoning", "tool_calls"]), (evals.trials, ["output", "error"])]',
        f'texts.append((evals.scores{scores}, ["rationale", "evidence"]))',
        "matches = pl.concat(",
        f"    frame.filter(pl.any_horizontal(pl.col(names).str.contains(words))).select({_KEY})",
        "    for frame, names in texts",
        ")",
        f'trials = trials.join(matches, on={_KEY}, how="semi", maintain_order="left")',
    ]


def _view_code(state: Slice, trials: GradedTrials) -> str:
    start = Slice()
    given = {name: getattr(state, name) for name in Slice.__slots__}
    options = [f"{name}={value!r}" for name, value in given.items() if value != getattr(start, name)]
    if trials.evals.scoring.rubric is not None:
        options.append(f"rubric={trials.evals.scoring.rubric!r}")
    if trials.rule != DEFAULT_RULE:
        options.append("rule=rule")
    if trials.failures is not None:
        options.append("failures=failures")
    return f"ek.explore({', '.join(['evals', *options])})"
