"""What a pass rule makes of trials that are graded already: fast enough to follow a slider.

The scores are put into an array once; each rule is then a few sums over it. The verdicts are those of
`evalkit.grade`, value for value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from evalkit.agreement.estimates import estimate_agreement
from evalkit.agreement.ratings import pair_ratings
from evalkit.compare.pairs import RUN_COLUMNS
from evalkit.data.schema import VERDICTS, Verdict
from evalkit.grading.grade import grade_criteria
from evalkit.grading.pass_rule import TOLERANCE, PassRule, apply_rule
from evalkit.grading.summarize import summarize_verdicts
from evalkit.grading.version_order import natural_key, start_order
from evalkit.util.errors import EvalkitError, SelectorError
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import RuledCriterion
    from evalkit.stats import Estimate

FAIL, UNSCORED, PASS = (VERDICTS.index(word) for word in ("fail", "unscored", "pass"))
"""The codes of verdicts, as `evalkit.data.schema.Verdict` orders them."""

_TRIAL: Final = ["run", "case", "epoch"]
_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class _Read:
    """What a rule says of each trial before its mean is asked for."""

    failed: np.ndarray
    reach: np.ndarray
    complete: np.ndarray
    lacking: int
    means: np.ndarray

    def codes(self, mean: float) -> np.ndarray:
        """Return the verdicts where the mean has to reach this."""
        codes = np.where(self.failed | (self.reach < mean), FAIL, np.where(self.complete, PASS, self.lacking))
        return codes.astype(np.int8)


@dataclass(frozen=True, eq=False)
class Trials:
    """Every trial's scores as an array, ready to be judged by one rule after the other.

    Attributes
    ----------
    frame
        polars frame, a row a trial: the columns of `Evals.attempts`, without `error`.
    criteria
        The names of the criteria, in the order of the columns of `scores`.
    declared
        Criterion -> its scale, kind and weight, as the suite declares them.
    scores
        float array (trials, criteria): the mean of the judge's samples; NaN where there is none.
    expected
        bool array (trials, criteria): whether the records of the trial's run carry the criterion.
    people
        float array (trials, criteria): what people gave; NaN where they did not. Empty where nobody labelled.
    units
        int array (trials,): which case, or cluster of cases, a trial is of.
    places
        Column of runs -> value -> its place, where they stand in the order in which they ran.
    """

    frame: pl.DataFrame
    criteria: tuple[str, ...]
    declared: dict[str, dict[str, Any]]
    scores: np.ndarray
    expected: np.ndarray
    people: np.ndarray
    units: np.ndarray
    places: dict[str, dict[str, int]]

    @classmethod
    def of(
        cls,
        evals: Evals,
        rule: PassRule,
        *,
        grader: str | Sequence[str] | None = None,
        rubric: str | Sequence[str] | None = None,
    ) -> Trials:
        """Put the scores of one suite into an array.

        Raises
        ------
        SelectorError
            There are several suites, or no scores.
        """
        chosen: dict[str, Any] = {"grader": grader, "rubric": rubric}
        answers = grade_criteria(evals, rule, **chosen)
        suites = evals.runs["suite"].fill_null("").unique().to_list()
        if len(suites) > 1:
            raise SelectorError(
                f"One rule is tuned for one suite; there are {join_words(suites)}. Choose one: evals.filter(suite=...)."
            )
        if answers.is_empty():
            raise SelectorError("There are no scores to tune a rule on.")
        criteria = tuple(answers["criterion"].cast(pl.String).unique().sort())
        frame = evals.attempts().drop("error")
        rows = frame.select(_TRIAL).with_row_index("_row")
        placed = answers.select(*_TRIAL, "criterion", "score").join(rows, on=_TRIAL)
        at = placed["_row"].to_numpy(), _positions(placed["criterion"], criteria)
        scores, expected = np.full((frame.height, len(criteria)), np.nan), None
        scores[at] = placed["score"].to_numpy()
        expected = np.zeros(scores.shape, dtype=bool)
        expected[at] = True
        known = {row["criterion"]: row for row in evals.criteria.iter_rows(named=True)}
        unit = frame.select(pl.coalesce(pl.col("cluster").cast(pl.String), pl.col("case").cast(pl.String)))
        return cls(
            frame=frame,
            criteria=criteria,
            declared={name: known.get(name, {}) for name in criteria},
            scores=scores,
            expected=expected,
            people=_labels(evals, rule, rows, criteria, **chosen),
            units=np.unique(unit.to_series().to_numpy(), return_inverse=True)[1],
            places={column: start_order(evals, column) for column in RUN_COLUMNS},
        )

    def ruled(self, rule: PassRule) -> dict[str, RuledCriterion]:
        """Say what a rule makes of each criterion."""
        return apply_rule(self.declared, rule)

    def judge(self, rule: PassRule, *, by_people: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Give each trial its verdict and its mean.

        Returns
        -------
        tuple of two arrays
            int8 codes `FAIL`, `UNSCORED`, `PASS`; float means, NaN while a score is missing.
        """
        read = self._read(rule, by_people=by_people)
        return read.codes(rule.mean), read.means

    def _read(self, rule: PassRule, *, by_people: bool = False) -> _Read:
        scores, expected = (self.people if by_people else self.scores), self.expected
        ruled = [self.ruled(rule)[name] for name in self.criteria]
        weights = np.array([c.weight * c.in_mean for c in ruled])
        ordinal = np.array([c.in_mean for c in ruled])
        gates = np.array([-np.inf if c.gate is None else c.gate for c in ruled])
        top = next((c.scale_max for c in ruled if c.in_mean), 1.0)
        there = ~np.isnan(scores)
        filled = np.where(there, scores, 0.0)
        full, summed, weighed = expected @ weights, filled @ weights, there @ weights
        below = (there & ordinal & (filled < rule.floor - TOLERANCE)).any(axis=1)
        gated = (there & (filled < gates - TOLERANCE)).any(axis=1)
        judged = there.any(axis=1)
        complete = judged & (there.sum(axis=1) == expected.sum(axis=1))
        best = summed + (full - weighed) * top + TOLERANCE
        plain = filled.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        mean = np.where(full > 0, summed / np.where(weighed > 0, weighed, 1.0), plain)
        return _Read(
            failed=below | gated,
            # With no weight at all no mean is asked for; what nobody judged has not failed.
            reach=np.where(judged & (full > 0), best / np.where(full > 0, full, 1.0), np.inf),
            complete=complete,
            lacking=FAIL if rule.missing == "fail" else UNSCORED,
            means=np.where(complete, mean, np.nan),
        )

    def rates(
        self, codes: np.ndarray, means: np.ndarray, rule: PassRule, by: Sequence[str], *, level: float = 0.95
    ) -> pl.DataFrame:
        """Return pass rates with their intervals, as `evalkit.summarize` has them, for verdicts given as codes."""
        graded = self.frame.with_columns(
            words(codes).alias("verdict"), pl.Series("score", means).fill_nan(None)
        )
        return summarize_verdicts(graded, by, rule, level=level, places=self.places)

    def curve(self, rule: PassRule, by: str) -> dict[str, list[tuple[float, float]]]:
        """Return the pass rate at every threshold of the mean, all else as the rule has it.

        Returns
        -------
        dict
            Group -> (threshold, pass rate over its cases) from the floor, where it is below the top, to the top of
            the scale.
        """
        low, high = self.scale
        low = max(low, rule.floor) if rule.floor < high else low
        groups = self.frame[by].cast(pl.String).fill_null("")
        places = self.places.get(by, {})
        names = sorted(groups.unique(), key=lambda name: (places.get(name, 0), natural_key([name])))
        cell, cells = _cells(groups, self.frame["case"])
        group_of = np.zeros(cells, dtype=int)
        group_of[cell] = _positions(groups, names)
        made: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        read = self._read(rule)
        for at in np.linspace(low, high, _STEPS + 1):
            codes = read.codes(float(at))
            scored = codes != UNSCORED
            n = np.bincount(cell[scored], minlength=cells)
            passed = np.bincount(cell[codes == PASS], minlength=cells)
            known = n > 0
            share = np.bincount(group_of[known], passed[known] / n[known], minlength=len(names))
            count = np.bincount(group_of[known], minlength=len(names))
            for name, total, over in zip(names, share, count, strict=True):
                if over:
                    made[name].append((float(at), float(total / over)))
        return made

    def agreement(self, rule: PassRule, codes: np.ndarray, *, level: float = 0.95) -> dict[str, Estimate]:
        """Return how far verdicts agree with those of people under the same rule; empty where nobody labelled."""
        if not self.people.size:
            return {}
        theirs, _ = self.judge(rule, by_people=True)
        labelled = (~np.isnan(self.people)).sum(axis=1) == self.expected.sum(axis=1)
        both = labelled & self.expected.any(axis=1) & (theirs != UNSCORED) & (codes != UNSCORED)
        judge, reference = ((side[both] == PASS).astype(float) for side in (codes, theirs))
        points = np.array([0.0, 1.0])
        return estimate_agreement(judge, reference, self.units[both], points=points, level=level, seed=0)[0]

    @cached_property
    def scale(self) -> tuple[float, float]:
        """The lowest and the highest score of the criteria that enter the mean."""
        scales = [
            (c["scale_min"], c["scale_max"]) for c in self.declared.values() if c.get("kind") != "binary"
        ]
        known = [(low, high) for low, high in scales if low is not None and high is not None]
        return known[0] if known else (0.0, 1.0)


def words(codes: np.ndarray) -> pl.Series:
    """Return verdicts that are codes as the words that they stand for."""
    return pl.Series(list(VERDICTS), dtype=Verdict).gather(codes)


def _labels(
    evals: Evals, rule: PassRule, rows: pl.DataFrame, criteria: tuple[str, ...], **chosen: Any
) -> np.ndarray:
    """Return what people gave, trial by criterion."""
    nobody = np.zeros((0, len(criteria)))
    people = evals.scores.lazy().filter(pl.col("grader_kind") == "human")
    if people.select("run").head(1).collect().is_empty():
        return nobody
    try:
        pairs = pair_ratings(evals, rule=rule, **chosen).pairs
    except EvalkitError:
        return nobody
    rated = pairs.filter(pl.col("reference").is_not_null())
    given = rated.cast({name: rows.schema[name] for name in _TRIAL}).join(rows, on=_TRIAL)
    if given.is_empty():
        return nobody
    made = np.full((rows.height, len(criteria)), np.nan)
    made[given["_row"].to_numpy(), _positions(given["criterion"], criteria)] = given["reference"].to_numpy()
    return made


def _positions(values: pl.Series, names: Sequence[str]) -> np.ndarray:
    """Return where each value stands among the names."""
    places = {name: at for at, name in enumerate(names)}
    return values.cast(pl.String).replace_strict(places, return_dtype=pl.Int64).to_numpy()


def _cells(groups: pl.Series, cases: pl.Series) -> tuple[np.ndarray, int]:
    """Return which group and case each trial is of, as whole numbers, and how many of them there are."""
    pairs = pl.DataFrame({"group": groups, "case": cases.cast(pl.String)})
    codes = pairs.select(pl.struct("group", "case").rank("dense") - 1).to_series().to_numpy()
    return codes.astype(np.int64), int(codes.max()) + 1 if codes.size else 0
