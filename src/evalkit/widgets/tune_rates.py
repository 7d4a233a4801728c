"""Pass rates and agreement under any pass rule, fast enough for a slider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from evalkit.agreement.estimates import estimate_agreement
from evalkit.agreement.ratings import pair_ratings
from evalkit.compare.pairs import RUN_COLUMNS
from evalkit.data.schema import IS_HUMAN, TRIALS, VERDICTS, Verdict
from evalkit.grading.applied_rule import apply_rule
from evalkit.grading.grade import grade_trial_criteria
from evalkit.grading.summarize import summarize_verdicts
from evalkit.grading.version_order import natural_key, places_of
from evalkit.util.errors import EvalkitError, SelectorError
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring
    from evalkit.grading.applied_rule import AppliedRule
    from evalkit.grading.pass_rule import PassRule
    from evalkit.stats import Estimate

FAIL, UNSCORED, PASS = (VERDICTS.index(word) for word in ("fail", "unscored", "pass"))
"""Codes of verdicts, in the order of `evalkit.data.schema.Verdict`."""

_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verdicts of all trials for any threshold; a mean is NaN if a score is missing."""

    means: np.ndarray
    threshold: float | None
    _failed: np.ndarray
    _best_mean: np.ndarray
    _complete: np.ndarray
    _incomplete_code: int

    @property
    def codes(self) -> np.ndarray:
        """The verdicts under the rule: int8 codes `FAIL`, `UNSCORED`, `PASS`."""
        return self.codes_at(self.threshold)

    def codes_at(self, mean: float | None) -> np.ndarray:
        """Return the verdicts under another threshold of the mean; None for no threshold."""
        is_short = np.False_ if mean is None else self._best_mean < mean
        known = np.where(self._failed | is_short, FAIL, PASS)
        return np.where(self._complete, known, self._incomplete_code).astype(np.int8)


@dataclass(frozen=True, eq=False)
class ScoreArray:
    """Scores as an array (trials, criteria); NaN where missing."""

    # One row per trial: the columns of `Evals.attempts`, without `error`.
    frame: pl.DataFrame
    criteria: tuple[str, ...]
    # Criterion -> its row of the `criteria` table.
    declared: dict[str, dict[str, Any]]
    # Means of the samples.
    scores: np.ndarray
    # Whether the run of the trial has the criterion.
    expected: np.ndarray
    # Human labels; empty if there are none.
    human: np.ndarray
    # The case, or cluster of cases, of each trial.
    units: np.ndarray
    # Column of runs -> value -> its place in the order of start time.
    places: dict[str, dict[str, int]]

    @classmethod
    def of(cls, evals: Evals, scoring: Scoring) -> ScoreArray:
        """Read the scores; raise SelectorError for several suites or no scores."""
        scored = grade_trial_criteria(evals, scoring)
        suites = evals.runs["suite"].fill_null("").unique().to_list()
        if len(suites) > 1:
            fix = "Choose one: evals.filter(suite=...)."
            raise SelectorError(f"Several suites: {join_words(suites)}.", fix=fix)
        if scored.is_empty():
            raise SelectorError("No scores to tune a rule on.")
        criteria = tuple(scored["criterion"].cast(pl.String).unique().sort())
        frame = evals.attempts().drop("error")
        declared = {row["criterion"]: row for row in evals.criteria.iter_rows(named=True)}
        unit = frame.select(pl.coalesce(pl.col("cluster", "case").cast(pl.String)))
        scores, expected = _to_array(scored, frame, criteria, "score")
        return cls(
            frame=frame,
            criteria=criteria,
            declared={name: declared.get(name, {}) for name in criteria},
            scores=scores,
            expected=expected,
            human=_human_labels(evals, frame, criteria, scoring),
            units=np.unique(unit.to_series().to_numpy(), return_inverse=True)[1],
            places={column: places_of(evals, column) for column in RUN_COLUMNS},
        )

    def apply(self, rule: PassRule) -> AppliedRule:
        """Return the thresholds of each criterion under a rule."""
        return apply_rule(self.declared, rule)

    def judge(self, rule: PassRule, *, by_humans: bool = False) -> Verdicts:
        """Return the verdicts under a rule."""
        scores, expected = (self.human if by_humans else self.scores), self.expected
        applied = self.apply(rule)
        criteria = [applied.criteria[name] for name in self.criteria]
        weights = np.array([c.weight * c.in_mean for c in criteria])
        in_mean = np.array([c.in_mean for c in criteria])
        gates = np.array([-np.inf if c.gate is None else c.sign * c.gate - c.tolerance for c in criteria])
        signs, factors, offsets = (
            np.array([getattr(c, name) for c in criteria]) for name in ("sign", "factor", "offset")
        )
        present = ~np.isnan(scores)
        below_gate = (present & (np.where(present, scores * signs, np.inf) < gates)).any(axis=1)
        filled = np.where(present, scores * factors + offsets, 0.0)
        full, total, weight = expected @ weights, filled @ weights, present @ weights
        exact, (_, top) = applied.tolerance, applied.scale
        floor = -np.inf if applied.floor is None else applied.floor - exact
        below_floor = (present & in_mean & (filled < floor)).any(axis=1)
        is_scored = present.any(axis=1)
        complete = is_scored & (present.sum(axis=1) == expected.sum(axis=1))
        best = total + (full - weight) * top + exact * full
        unweighted = filled.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        means = np.where(full > 0, total / np.where(weight > 0, weight, 1.0), unweighted)
        return Verdicts(
            means=np.where(complete, means, np.nan),
            threshold=applied.mean,
            _failed=below_floor | below_gate,
            # Without any weight no mean is required; an unscored trial has not failed.
            _best_mean=np.where(is_scored & (full > 0), best / np.where(full > 0, full, 1.0), np.inf),
            _complete=complete,
            _incomplete_code=FAIL if rule.missing == "fail" else UNSCORED,
        )

    def rates(
        self, verdicts: Verdicts, rule: PassRule, by: Sequence[str], *, level: float = 0.95
    ) -> pl.DataFrame:
        """Return pass rates as of `evalkit.summarize`."""
        means = pl.Series("score", verdicts.means).fill_nan(None)
        graded = self.frame.with_columns(to_words(verdicts.codes).alias("verdict"), means)
        return summarize_verdicts(graded, by, level=level, places=self.places, scale=self.apply(rule).scale)

    def curve(self, rule: PassRule, by: str) -> dict[str, list[tuple[float, float]]]:
        """Return the pass rate at every threshold of the mean: group -> (threshold, rate)."""
        applied = self.apply(rule)
        low, high = applied.scale
        if applied.floor is not None and applied.floor < high:
            low = max(low, applied.floor)
        groups = self.frame[by].cast(pl.String).fill_null("")
        places = self.places.get(by, {})
        names = sorted(groups.unique(), key=lambda name: (places.get(name, 0), natural_key([name])))
        cells = pl.DataFrame({"group": groups, "case": self.frame["case"].cast(pl.String)})
        ranks = cells.select(pl.struct(pl.all()).rank("dense") - 1).to_series()
        cell = ranks.to_numpy().astype(np.int64)
        count = int(cell.max()) + 1 if cell.size else 0
        group_of = np.zeros(count, dtype=int)
        group_of[cell] = _positions(groups, names)
        curve: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        verdicts = self.judge(rule)
        for threshold in np.linspace(low, high, _STEPS + 1):
            codes = verdicts.codes_at(float(threshold))
            scored = np.bincount(cell[codes != UNSCORED], minlength=count)
            passed = np.bincount(cell[codes == PASS], minlength=count)
            known = scored > 0
            total = np.bincount(group_of[known], passed[known] / scored[known], minlength=len(names))
            cases = np.bincount(group_of[known], minlength=len(names))
            for name, rate_sum, n in zip(names, total, cases, strict=True):
                if n:
                    curve[name].append((float(threshold), float(rate_sum / n)))
        return curve

    def agreement(self, rule: PassRule, codes: np.ndarray, *, level: float = 0.95) -> dict[str, Estimate]:
        """Return the agreement with human verdicts under the same rule; empty without labels."""
        if not self.human.size:
            return {}
        human = self.judge(rule, by_humans=True).codes
        is_labeled = (~np.isnan(self.human)).sum(axis=1) == self.expected.sum(axis=1)
        both = is_labeled & self.expected.any(axis=1) & (human != UNSCORED) & (codes != UNSCORED)
        ours, theirs = ((side[both] == PASS).astype(float) for side in (codes, human))
        points = np.array([0.0, 1.0])
        return estimate_agreement(ours, theirs, self.units[both], points=points, level=level, seed=0)[0]


def to_words(codes: np.ndarray) -> pl.Series:
    """Return codes of verdicts as words."""
    return pl.Series(list(VERDICTS), dtype=Verdict).gather(codes)


def _human_labels(
    evals: Evals, frame: pl.DataFrame, criteria: tuple[str, ...], scoring: Scoring
) -> np.ndarray:
    none = np.zeros((0, len(criteria)))
    human = evals.scores.lazy().filter(IS_HUMAN)
    if human.select("run").head(1).collect().is_empty():
        return none
    try:
        pairs = pair_ratings(evals, scoring).pairs.filter(pl.col("reference").is_not_null())
    except EvalkitError:
        return none
    labels, labeled = _to_array(pairs, frame, criteria, "reference")
    return labels if labeled.any() else none


def _to_array(
    rows: pl.DataFrame, frame: pl.DataFrame, criteria: tuple[str, ...], column: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return a column as an array (trials, criteria), and which cells have a row."""
    trials = frame.select(TRIALS.key).with_row_index("_row")
    placed = rows.cast({name: trials.schema[name] for name in TRIALS.key}).join(trials, on=TRIALS.key)
    cells = placed["_row"].to_numpy(), _positions(placed["criterion"], criteria)
    shape = frame.height, len(criteria)
    values, present = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    values[cells], present[cells] = placed[column].to_numpy(), True
    return values, present


def _positions(values: pl.Series, names: Sequence[str]) -> np.ndarray:
    places = {name: index for index, name in enumerate(names)}
    return values.cast(pl.String).replace_strict(places, return_dtype=pl.Int64).to_numpy()
