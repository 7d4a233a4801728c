"""Compare two wordings of a rubric."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import polars as pl

from evalkit import stats
from evalkit.agreement.estimates import estimate_agreement, scale_points
from evalkit.data.schema import IS_HUMAN, TRIALS, Key
from evalkit.data.scoring import Scoring
from evalkit.grading.grade import grade_trials, nearness
from evalkit.util import format as fmt
from evalkit.util.errors import EvalkitError, SelectorError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.stats import Estimate

Choice = Literal["failures", "borderline", "disagreements", "random"]
"""The trials to judge again: failures (most severe first), those with a mean near the threshold, those on which judge and
humans differ (most first), or a random sample."""

_CHOICES: Final = ("failures", "borderline", "disagreements", "random")
_CELL: Final = (*TRIALS.key, "criterion")
_SIDES: Final = ("before", "after", "human")


@dataclass(frozen=True, eq=False)
class ScoreDiff:
    """The effect of a new wording on the scores of the same trials.

    `scores` has one row per trial and criterion scored under both wordings, largest change first: `run`, `case`,
    `epoch`, `criterion`, `severity`, `before`, `after`, `change`, `human` (means), `rationale_before`,
    `rationale_after`. `verdicts` has one row per trial; `human` is null unless humans scored all criteria, `moved` is
    "towards humans", "away from humans", "changed" (no human verdict) or "" (unchanged).
    """

    scores: pl.DataFrame
    verdicts: pl.DataFrame
    # "verdict" or a criterion -> kappa against humans (before, after) on these trials.
    agreement: dict[str, tuple[Estimate, Estimate]]
    # Mean change of the distance to human scores by case; negative is nearer.
    nearer: Estimate
    # Of the changed verdicts with a human verdict, the share that moved towards it.
    towards: Estimate
    # A warning about the choice of trials, or "".
    caution: str = ""

    @property
    def words(self) -> list[str]:
        """The result in a few sentences."""
        trials = self.verdicts.height
        if not trials:
            return ["No trial was scored under both wordings."]
        changed = self.verdicts.filter(pl.col("before") != pl.col("after"))
        lost, won = ((changed[side] == "pass").sum() for side in ("before", "after"))
        lines = [
            f"{plural(trials, 'trial')} scored under both wordings. {plural(changed.height, 'verdict')} changed: "
            f"{won:,} now pass, {lost:,} no longer pass."
        ]
        moved, near = self.towards, self.nearer
        if moved.estimate is not None:
            share = f"{fmt.percent(moved.estimate)} {fmt.interval(moved.low, moved.high, percent=True)}"
            changes = plural(moved.n, "changed verdict")
            lines.append(f"{changes} with a human verdict: {share} moved towards it.")
        if near.estimate is not None and near.low is not None:
            way = "nearer to" if near.estimate < 0 else "further from"
            interval = fmt.interval(near.low, near.high, sign=True)
            lines.append(
                f"Scores are {fmt.number(abs(near.estimate))} {way} human scores on average: change of the distance "
                f"{fmt.number(near.estimate, sign=True)} {interval} ({fmt.level(near.level)} {near.method}, "
                f"{plural(near.n, 'case')})."
            )
        for scope, (before, after) in self.agreement.items():
            counts = plural(after.n, "answer")
            if before.low is None or after.low is None:
                lines.append(f"{scope}: too few labels for kappa ({counts}).")
            else:
                kappas = f"{_kappa(before)} before, {_kappa(after)} after"
                lines.append(f"{scope}: kappa against humans {kappas} ({counts}).")
        if not self.agreement:
            lines.append("No human labels on these trials, so the effect on agreement is unknown.")
        return [*lines, *([self.caution] if self.caution else [])]


def by_wording(evals: Evals, wordings: pl.DataFrame, grader: str) -> Evals:
    """Keep the human scores, and a grader's scores under these wordings."""
    keys = ["run", "case", "criterion", "rubric_hash"]
    current = wordings.select(pl.col(keys).cast(Key))
    theirs = evals.scores.filter(pl.col("grader") == grader, ~IS_HUMAN)
    theirs = theirs.join(current, on=keys, how="semi", maintain_order="left")
    return replace(evals, scores=pl.concat([theirs, evals.scores.filter(IS_HUMAN)]))


def choose_trials(evals: Evals, rule: PassRule, choice: Choice, *, most: int, seed: int = 0) -> pl.DataFrame:
    """Choose at most `most` trials to judge again; `evals` is of `by_wording`."""
    graded = _grade(evals, rule).filter(pl.col("scored") > 0)
    if choice == "failures":
        order = [pl.col("severity").to_physical(), pl.col("mean"), *map(pl.col, TRIALS.key)]
        failed = graded.filter(pl.col("verdict") == "fail")
        chosen = failed.sort(order, descending=[True, *[False] * 4], nulls_last=True)
    elif choice == "borderline":
        distance = nearness(_judged(evals), Scoring(rule=rule))
        chosen = graded.sort(distance, *TRIALS.key, nulls_last=True)
    elif choice == "disagreements":
        gap = (pl.col("score") - pl.col("human")).abs().max().round(9)
        gaps = _cells(evals).group_by(TRIALS.key).agg(gap=gap).filter(pl.col("gap") > 0)
        chosen = gaps.sort("gap", *TRIALS.key, descending=[True, *[False] * 3])
    elif choice == "random":
        chosen = graded.sort(TRIALS.key).sample(fraction=1, shuffle=True, seed=seed)
    else:
        raise SelectorError.unknown(choice, kind="choice", have=_CHOICES)
    return chosen.select(TRIALS.key).head(most)


def compare_wordings(before: Evals, after: Evals, rule: PassRule, *, level: float = 0.95) -> ScoreDiff:
    """Compare the scores of one judge under two wordings (`by_wording`)."""
    new = _cells(after).select(*_CELL, after="score", rationale_after="rationale", hash_after="rubric_hash")
    # A cell with an equal wording has the same score: it says nothing about the change.
    cells = _cells(before).join(new, on=_CELL).filter(pl.col("rubric_hash") != pl.col("hash_after"))
    severities = before.attempts().select(*TRIALS.key, "severity")
    scores = (
        cells.join(severities, on=TRIALS.key, how="left")
        .rename({"score": "before", "rationale": "rationale_before"})
        .with_columns(change=pl.col("after") - pl.col("before"))
        .select(
            *_CELL, "severity", "before", "after", "change", "human", "rationale_before", "rationale_after"
        )
        .sort(pl.col("change").abs().round(9), *_CELL, descending=[True, *[False] * 4], nulls_last=True)
    )
    trials = cells.select(TRIALS.key).unique(maintain_order=True)
    verdicts = trials.join(severities, on=TRIALS.key, how="left")
    sides = (_grade(before, rule), _grade(after, rule), grade_people(before, rule))
    for name, frame in zip(_SIDES, sides, strict=True):
        side = frame.select(*TRIALS.key, pl.col("verdict").alias(name))
        verdicts = verdicts.join(side, on=TRIALS.key, how="left", maintain_order="left")
    verdicts = verdicts.with_columns(moved=_moved())
    towards, away = (verdicts["moved"].to_list().count(f"{way} humans") for way in ("towards", "away from"))
    gap = (pl.col("after") - pl.col("human")).abs() - (pl.col("before") - pl.col("human")).abs()
    gaps = scores.drop_nulls(_SIDES).group_by("case", maintain_order=True).agg(gap=gap.mean())
    return ScoreDiff(
        scores=scores,
        verdicts=verdicts,
        agreement=_agreement(scores, verdicts, before, level),
        nearer=stats.paired_t(gaps["gap"].to_numpy(), level=level),
        towards=stats.wilson(towards, towards + away, level=level),
    )


def _grade(evals: Evals, rule: PassRule) -> pl.DataFrame:
    # The wording is compared, not the grader that was chosen for the evals.
    graded: pl.DataFrame = grade_trials(_judged(evals), Scoring(rule=rule))
    return graded


def _judged(evals: Evals) -> Evals:
    return replace(evals, scores=evals.scores.filter(~IS_HUMAN))


def _cells(evals: Evals) -> pl.DataFrame:
    """Return the mean scores of judge and humans by trial and criterion."""
    judged = (
        evals.scores.filter(~IS_HUMAN)
        .sort("sample")
        .group_by(_CELL, maintain_order=True)
        .agg(pl.col("score").mean(), pl.col("rationale").drop_nulls().first(), pl.col("rubric_hash").first())
    )
    human = evals.scores.filter(IS_HUMAN).group_by(_CELL).agg(human=pl.col("score").mean())
    return judged.join(human, on=_CELL, how="left", maintain_order="left")


def _moved() -> pl.Expr:
    before, after, human = (pl.col(side).cast(pl.String) for side in _SIDES)
    is_known = human.is_not_null() & (human != "unscored")
    return (
        pl.when(before == after)
        .then(pl.lit(""))
        .when(is_known & (after == human))
        .then(pl.lit("towards humans"))
        .when(is_known & (before == human))
        .then(pl.lit("away from humans"))
        .otherwise(pl.lit("changed"))
    )


def grade_people(evals: Evals, rule: PassRule) -> pl.DataFrame:
    """Grade the trials in which humans scored all criteria."""
    none = evals.attempts().select(TRIALS.key).clear().with_columns(verdict=pl.lit(None, dtype=pl.String))
    human = evals.scores.filter(IS_HUMAN)
    if human.is_empty():
        return none
    merged = human.group_by(_CELL, maintain_order=True).agg(pl.col("score").mean())
    merged = merged.with_columns(grader=pl.lit("people"), grader_kind=pl.lit("judge"))
    try:
        graded = _grade(replace(evals, scores=type(evals).from_tables(scores=merged).scores), rule)
    except EvalkitError:
        return none
    judged = evals.scores.filter(~IS_HUMAN).select("run", "criterion").unique()
    complete = graded.join(judged.group_by("run").agg(criteria=pl.len()), on="run")
    complete = complete.filter(pl.col("scored") == pl.col("criteria"))
    return complete.with_columns(pl.col("verdict").cast(pl.String))


def _agreement(
    scores: pl.DataFrame, verdicts: pl.DataFrame, evals: Evals, level: float
) -> dict[str, tuple[Estimate, Estimate]]:
    agreement = {}
    codes = pl.col(_SIDES).cast(pl.String).replace_strict({"pass": 1.0, "fail": 0.0}, default=None)
    passed = verdicts.with_columns(codes).drop_nulls(_SIDES)
    if passed.height:
        agreement["verdict"] = _kappas(passed, np.array([0.0, 1.0]), level)
    declared = {row["criterion"]: row for row in evals.criteria.iter_rows(named=True)}
    parts = scores.drop_nulls(_SIDES).partition_by("criterion", as_dict=True, maintain_order=True)
    for (criterion,), part in parts.items():
        scale = {name: declared.get(criterion, {}).get(name) for name in ("scale_min", "scale_max", "kind")}
        ratings = part.select(pl.col("after").alias("judge"), pl.col("human").alias("reference"))
        points = scale_points(ratings.with_columns(grid=1.0, **{n: pl.lit(v) for n, v in scale.items()}))[0]
        if points is not None:
            agreement[str(criterion)] = _kappas(part, points, level)
    return agreement


def _kappas(rated: pl.DataFrame, points: np.ndarray, level: float) -> tuple[Estimate, Estimate]:
    options: dict[str, Any] = {"points": points, "level": level, "seed": 0}
    units, human = rated["case"].cast(pl.String).to_numpy(), rated["human"].to_numpy()
    sides = (rated[side].to_numpy() for side in _SIDES[:2])
    before, after = (estimate_agreement(side, human, units, **options)[0]["kappa"] for side in sides)
    return before, after


def _kappa(estimate: Estimate) -> str:
    return f"{fmt.number(estimate.estimate)} {fmt.interval(estimate.low, estimate.high)}"
