"""Which trials somebody looks at: filters, the frame they leave, and the lines of code that give the same frame."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.compare.compare import compare
from evalkit.data.evals import some_of
from evalkit.data.schema import SEVERITIES, VERDICTS
from evalkit.grading.grade import grade, grade_criteria
from evalkit.grading.pass_rule import DEFAULT_RULE
from evalkit.util.errors import SelectorError
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

KEY: Final = ["run", "case", "epoch"]
FACETS: Final = (
    "verdict",
    "severity",
    "agent_version",
    "model",
    "grader",
    "tags",
    "domain",
    "case",
    "failure",
)
"""The columns that trials are filtered by."""

_LISTS: Final = ("tags", "grader")
SORTABLE: Final = ("score", "verdict", "severity", "case", "agent_version", "model", "run", "epoch")


@dataclass(frozen=True, slots=True)
class Slice:
    """What is looked at.

    Attributes
    ----------
    where
        Column -> the values that a trial may have, `grader`: who scored it; None among them: where nobody said.
    search
        Words that a message, the output, a rationale or a quotation holds, upper and lower case alike.
    low, high
        The lowest and the highest score; a trial without a score has none of them.
    flips
        Only cases whose majority verdict differs between (baseline, candidate).
    criterion, grader
        Whose score: one criterion's instead of the trial's mean, one grader's instead of the only one's.
    sort, descending
        In which order.
    """

    where: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    search: str = ""
    low: float | None = None
    high: float | None = None
    flips: tuple[str, str] | None = None
    criterion: str | None = None
    grader: str | None = None
    sort: str = "score"
    descending: bool = False

    def toggle(self, column: str, value: str | None) -> Slice:
        """Add a value to those that a column may have, or take it away."""
        have = self.where.get(column, ())
        now = tuple(one for one in have if one != value) if value in have else (*have, value)
        where = {**{name: values for name, values in self.where.items() if name != column}, column: now}
        return replace(self, where={name: values for name, values in where.items() if values})

    @property
    def measure(self) -> str:
        """The column that holds the score."""
        return "mean" if self.criterion is None else "score"


@dataclass(frozen=True, eq=False)
class Trials:
    """The trials of a collection, graded as a slice asks, and what is found of them once and kept.

    Attributes
    ----------
    evals, rule, rubric
        As for `evalkit.grade`.
    failures
        A frame with `run`, `case`, `epoch`, `failure`: which cluster a failing trial is in; None: no clusters.
    """

    evals: Evals
    rule: PassRule = DEFAULT_RULE
    rubric: str | Sequence[str] | None = None
    failures: pl.DataFrame | None = None
    _kept: dict[Any, Any] = field(default_factory=dict)

    def graded(self, chosen: Slice) -> pl.DataFrame:
        """Return every trial with its score and verdict, as `grade` or `grade_criteria` gives them.

        Where there are several graders, `grader` has those that scored the trial (List(String)).
        """
        kind = ("graded", chosen.criterion, chosen.grader)
        if kind not in self._kept:
            options: dict[str, Any] = {"grader": chosen.grader, "rubric": self.rubric}
            if chosen.criterion is None:
                frame = grade(self.evals, self.rule, **options)
            else:
                answers = grade_criteria(self.evals, self.rule, **options)
                frame = answers.filter(pl.col("criterion") == chosen.criterion)
            if self.failures is not None:
                frame = frame.join(self.failures, on=KEY, how="left", maintain_order="left")
            if len(self.graders) > 1:
                frame = frame.join(self._graded_by, on=KEY, how="left", maintain_order="left")
            self._kept[kind] = frame
        made: pl.DataFrame = self._kept[kind]
        return made

    def scale(self, chosen: Slice) -> tuple[float, float]:
        """Return the declared scale of the score that a slice goes by."""
        frame = self.evals.criteria.filter(pl.col("kind").ne_missing("binary"))
        if chosen.criterion is not None:
            frame = self.evals.criteria.filter(pl.col("criterion") == chosen.criterion)
        low, high = frame.select(pl.col("scale_min").min(), pl.col("scale_max").max()).row(0)
        if low is None or high is None:
            return self.rule.scale or (0.0, 1.0)
        return low, high

    def masks(self, chosen: Slice) -> dict[str, pl.Series]:
        """Return for each filter which of the graded trials it leaves."""
        kept = self._kept.get("masks")
        if kept is None or kept[0] != chosen:
            kept = self._kept["masks"] = (chosen, self._masks(chosen))
        made: dict[str, pl.Series] = kept[1]
        return made

    def _masks(self, chosen: Slice) -> dict[str, pl.Series]:
        frame = self.graded(chosen)
        made = {name: frame.select(_fits(name, values)).to_series() for name, values in chosen.where.items()}
        if chosen.low is not None or chosen.high is not None:
            made["score"] = frame.select(_between(chosen)).to_series().fill_null(value=False)
        if chosen.search:
            found = self._searched(chosen.search)
            made["search"] = self._among(frame, found, KEY)
        if chosen.flips:
            made["flips"] = self._among(frame, self.flipped(chosen), ["suite", "case"])
        return made

    def select(self, chosen: Slice) -> pl.DataFrame:
        """Return the trials that every filter leaves, in order."""
        left = self.graded(chosen).filter(together(self.masks(chosen))).sort(**_order(chosen))
        return left.drop("grader", strict=False)

    def flipped(self, chosen: Slice) -> pl.DataFrame:
        """Return the cases (`suite`, `case`) whose majority verdict differs between the two sides."""
        kind = ("flips", chosen.flips, chosen.grader)
        if kind not in self._kept:
            baseline, candidate = chosen.flips or ("", "")
            change = compare(
                self.evals,
                baseline=baseline,
                candidate=candidate,
                rule=self.rule,
                grader=chosen.grader,
                rubric=self.rubric,
                criteria="shared",
            )
            self._kept[kind] = change.flips.select("suite", "case")
        made: pl.DataFrame = self._kept[kind]
        return made

    def _searched(self, word: str) -> pl.DataFrame:
        """Return the trials that hold a word somewhere: each column as it lies there, no copy in lower case."""
        evals, pattern = self.evals, f"(?i){pl.escape_regex(word)}"
        columns = (
            (evals.turns, ("content", "reasoning", "tool_calls")),
            (evals.outputs, ("output",)),
            (evals.trials, ("error",)),
            (evals.scores, ("rationale", "evidence")),
        )
        found = pl.concat(
            frame.lazy().filter(pl.any_horizontal(pl.col(names).str.contains(pattern))).select(KEY)
            for frame, names in columns
        )
        return found.unique().collect(engine="streaming")

    @cached_property
    def graders(self) -> list[str]:
        """The graders of the scores, sorted."""
        return sorted(some_of(self.evals.scores.lazy().unique("grader"), "grader")["grader"])

    @cached_property
    def _graded_by(self) -> pl.DataFrame:
        scores = self.evals.scores.lazy().filter(pl.col("score").is_not_null())
        by = scores.group_by(KEY).agg(pl.col("grader").cast(pl.String).unique())
        return by.collect(engine="streaming")

    @staticmethod
    def _among(frame: pl.DataFrame, found: pl.DataFrame, keys: list[str]) -> pl.Series:
        marked = found.select(keys).unique().with_columns(_found=pl.lit(value=True))
        joined = frame.select(keys).join(marked, on=keys, how="left", maintain_order="left", nulls_equal=True)
        return joined["_found"].fill_null(value=False)


def together(masks: Mapping[str, pl.Series], *, but: str = "") -> pl.Series | bool:
    """Return the trials that all filters leave, or all but one of them."""
    kept: pl.Series | bool = True
    for name, mask in masks.items():
        if name != but:
            kept = mask if kept is True else mask & kept
    return kept


def check(chosen: Slice, trials: Trials) -> Slice:
    """Return the slice; refuse a column, a value or a side that no trial has.

    Raises
    ------
    SelectorError
        With the did_you_mean that there is.
    """
    if chosen.criterion is not None:
        have = sorted(trials.evals.judged["criterion"].cast(pl.String).unique())
        if chosen.criterion not in have:
            raise SelectorError.unknown(chosen.criterion, kind="criterion", have=have)
    if chosen.flips:
        trials.flipped(chosen)
    if chosen.sort not in SORTABLE:
        raise SelectorError.unknown(chosen.sort, kind="column to sort by", have=SORTABLE)
    frame = trials.graded(chosen)
    for column, values in chosen.where.items():
        if column not in FACETS or column not in frame.columns:
            have = [name for name in FACETS if name in frame.columns]
            raise SelectorError(
                f"Trials are filtered by {join_words(have)}, not by {column!r}.{did_you_mean(column, have)} Filter the evals first for anything else."
            )
        words = {"verdict": VERDICTS, "severity": SEVERITIES}.get(column, ())
        # A word of ours may be asked for also where no trial has it: nothing failing is an answer.
        known = list(dict.fromkeys([*facet_values(frame, column), *words]))
        for value in values:
            if value not in known:
                raise SelectorError.unknown(
                    value, kind=column.replace("_", " "), have=[v for v in known if v is not None]
                )
    return chosen


def facet_values(frame: pl.DataFrame, column: str) -> list[str | None]:
    """Return the values of a column as strings, each once."""
    series = frame[column]
    if isinstance(series.dtype, pl.List):
        series = series.explode(empty_as_null=True)
    return series.unique().cast(pl.String).to_list()


def _fits(column: str, values: Sequence[str | None]) -> pl.Expr:
    if column in _LISTS:
        fits = pl.col(column).list.eval(pl.element().is_in(_said(values))).list.any().fill_null(value=False)
        return fits | (pl.col(column).list.len().fill_null(0) == 0) if None in values else fits
    return pl.col(column).cast(pl.String).is_in(list(values), nulls_equal=True)


def _said(values: Sequence[str | None]) -> list[str]:
    return [value for value in values if value is not None]


def _between(chosen: Slice) -> pl.Expr:
    score = pl.col(chosen.measure)
    fits = pl.lit(value=True)
    if chosen.low is not None:
        fits = fits & (score >= chosen.low - 1e-9)
    if chosen.high is not None:
        fits = fits & (score <= chosen.high + 1e-9)
    return fits


def _order(chosen: Slice) -> dict[str, Any]:
    by = chosen.measure if chosen.sort == "score" else chosen.sort
    rest = [name for name in KEY if name != by]
    return {"by": [by, *rest], "descending": [chosen.descending, *[False] * len(rest)], "nulls_last": True}


# The same as code


def code(chosen: Slice, trials: Trials) -> str:
    """Return lines of Python after which `selection` is the frame that the slice selects."""
    options = "".join(
        f", {name}={_py(value)}"
        for name, value in (("grader", chosen.grader), ("rubric", trials.rubric))
        if value is not None
    )
    given = [
        f"{name}={_py(getattr(trials.rule, name))}"
        for name in ("mean", "floor", "weights", "gates", "missing", "scale")
        if name in ("mean", "floor") or getattr(trials.rule, name) != getattr(DEFAULT_RULE, name)
    ]
    lines = ["import polars as pl", "", "import evalkit as ek", "", f"rule = ek.PassRule({', '.join(given)})"]
    if (chosen.search or "grader" in chosen.where) and trials.evals.is_scanned:
        lines.append("evals = evals.collect()")
    if chosen.criterion is None:
        lines.append(f"trials = ek.grade(evals, rule{options})")
    else:
        lines.append(f"trials = ek.grade_criteria(evals, rule{options})")
        lines.append(f'trials = trials.filter(pl.col("criterion") == {_py(chosen.criterion)})')
    if trials.failures is not None:
        lines.append(
            'trials = trials.join(failures.trials.select("run", "case", "epoch", "failure"), on=["run", "case", "epoch"], how="left", maintain_order="left")'
        )
    for column, values in chosen.where.items():
        fits = f"trials = trials.filter({_fits_code(column, values)})"
        lines += [_GRADED_BY, f'{fits}.drop("grader")'] if column == "grader" else [fits]
    if chosen.low is not None:
        lines.append(f'trials = trials.filter(pl.col("{chosen.measure}") >= {chosen.low!r} - 1e-9)')
    if chosen.high is not None:
        lines.append(f'trials = trials.filter(pl.col("{chosen.measure}") <= {chosen.high!r} + 1e-9)')
    if chosen.search:
        lines += _search_code(chosen.search)
    if chosen.flips:
        baseline, candidate = chosen.flips
        lines += [
            f'change = ek.compare(evals, baseline={_py(baseline)}, candidate={_py(candidate)}, rule=rule{options}, criteria="shared")',
            'trials = trials.join(change.flips, on=["suite", "case"], how="semi", maintain_order="left", nulls_equal=True)',
        ]
    order = _order(chosen)
    lines.append(
        f"selection = trials.sort({_py(order['by'])}, descending={order['descending']}, nulls_last=True)"
    )
    lines.append(f"# The same view: {_view_code(chosen, trials)}")
    return "\n".join(lines) + "\n"


_GRADED_BY: Final = 'trials = trials.join(evals.scores.filter(pl.col("score").is_not_null()).group_by("run", "case", "epoch").agg(pl.col("grader").cast(pl.String).unique()), on=["run", "case", "epoch"], how="left", maintain_order="left")'


def _view_code(chosen: Slice, trials: Trials) -> str:
    """Return the call of `evalkit.explore` that begins with this slice."""
    start = Slice()
    options = {name: getattr(chosen, name) for name in Slice.__slots__}
    given = [f"{name}={_py(value)}" for name, value in options.items() if value != getattr(start, name)]
    if trials.rubric is not None:
        given.append(f"rubric={_py(trials.rubric)}")
    if trials.rule != DEFAULT_RULE:
        given.append("rule=rule")
    if trials.failures is not None:
        given.append("failures=failures")
    return f"ek.explore({', '.join(['evals', *given])})"


def _py(value: object) -> str:
    """Return a value as a literal of Python in double quotes; what cannot be seen is escaped."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else ascii(value)
    if isinstance(value, list | tuple):
        inside = ", ".join(_py(one) for one in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside},)"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_py(key)}: {_py(one)}" for key, one in value.items()) + "}"
    return repr(value)


def _fits_code(column: str, values: Sequence[str | None]) -> str:
    if column in _LISTS:
        fits = f'pl.col("{column}").list.eval(pl.element().is_in({_py(_said(values))})).list.any()'
        empty = f'pl.col("{column}").list.len().fill_null(0) == 0'
        return f"{fits}.fill_null(value=False) | ({empty})" if None in values else fits
    return f'pl.col("{column}").cast(pl.String).is_in({_py(list(values))}, nulls_equal=True)'


def _search_code(search: str) -> list[str]:
    keys = '"run", "case", "epoch"'
    return [
        f'words = "(?i)" + pl.escape_regex({_py(search)})',
        'texts = [(evals.turns, ["content", "reasoning", "tool_calls"]), (evals.trials, ["output", "error"]), (evals.scores, ["rationale", "evidence"])]',
        f"found = pl.concat(frame.filter(pl.any_horizontal(pl.col(names).str.contains(words))).select({keys}) for frame, names in texts)",
        f'trials = trials.join(found, on=[{keys}], how="semi", maintain_order="left")',
    ]
