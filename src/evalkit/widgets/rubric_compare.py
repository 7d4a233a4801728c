"""From one wording of a rubric to another: which trials to judge again, and what that did to the scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import polars as pl

from evalkit import stats
from evalkit.agreement.estimates import estimate_agreement, scale_points
from evalkit.data.schema import Key
from evalkit.grading.grade import grade
from evalkit.util.errors import EvalkitError, SelectorError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.stats import Estimate

Choice = Literal["failures", "borderline", "disagreements", "random"]
"""Which trials are worth judging again: those that fail, those near the rule's mean, those on which people and the
judge differ (the widest apart first), or a draw."""

_TRIAL: Final = ["run", "case", "epoch"]
_CELL: Final = [*_TRIAL, "criterion"]
_NUMBERS: Final = {"before": pl.Float64, "after": pl.Float64, "human": pl.Float64}


@dataclass(frozen=True, eq=False)
class ScoreDiff:
    """What another wording did to the scores of the same trials.

    Attributes
    ----------
    scores
        polars frame, a row for each trial and criterion judged by both wordings, the furthest apart first: `run`,
        `case`, `epoch`, `criterion`, `severity`, `before`, `after` (means of the samples), `change`, `human` (mean of
        people; null where nobody scored it), `rationale_before`, `rationale_after`.
    verdicts
        polars frame, a row a trial: `run`, `case`, `epoch`, `severity`, `before`, `after`, `human` (verdicts; null
        where people did not score all criteria), `moved`: "towards people", "away from people", "changed" (nobody
        labelled it), or "" (the same).
    agreement
        Scope ("verdict" or a criterion) -> (before, after): kappa against people, on the trials judged by both.
    nearer
        The mean change of the distance to people's scores, case by case: below 0 is nearer.
    towards
        Of the changed verdicts that people have one for: the share that moved towards theirs.
    caution
        What to beware of when reading it.
    """

    scores: pl.DataFrame
    verdicts: pl.DataFrame
    agreement: dict[str, tuple[Estimate, Estimate]]
    nearer: Estimate
    towards: Estimate
    caution: str = ""

    @property
    def words(self) -> list[str]:
        """What happened, in a few sentences."""
        trials = self.verdicts.height
        if not trials:
            return ["No trial was judged by both wordings."]
        changed = self.verdicts.filter(pl.col("before") != pl.col("after"))
        lost = changed.filter(pl.col("before") == "pass").height
        won = changed.filter(pl.col("after") == "pass").height
        made = [
            f"{plural(trials, 'trial')} judged by both wordings: {plural(changed.height, 'verdict')} changed ({plural(won, 'now passes', plural='now pass')}, {lost:,} no longer)."
        ]
        if self.towards.n:
            made.append(
                f"Of {plural(self.towards.n, 'changed verdict')} that people have one for, towards people: {self.towards}."
            )
        if self.nearer.estimate is not None and self.nearer.low is not None:
            way = "nearer to" if self.nearer.estimate < 0 else "further from"
            made.append(
                f"Scores lie on average {abs(self.nearer.estimate):.2f} points {way} people's: the distance changed by "
                f"{self.nearer.estimate:+.2f} [{self.nearer.low:+.2f}, {self.nearer.high:+.2f}] ({self.nearer.level:.0%} "
                f"{self.nearer.method}, {plural(self.nearer.n, 'case')})."
            )
        for scope, (before, after) in self.agreement.items():
            made.append(
                f"{scope}: kappa against people {_kappa(before)} before, {_kappa(after)} after ({plural(after.n, 'answer')})."
            )
        if not self.agreement:
            made.append("Nobody has labelled these trials: whether the new words are better is not known.")
        return [*made, *([self.caution] if self.caution else [])]


def by_wording(evals: Evals, wordings: pl.DataFrame, grader: str) -> Evals:
    """Return the evaluations with only those judgements of a grader that were given by these words, and people's."""
    keys = ["run", "case", "criterion", "rubric_hash"]
    fitting = wordings.select(pl.col(key).cast(Key) for key in keys)
    scores = evals.scores
    human = scores.filter(pl.col("grader_kind").eq_missing("human"))
    mine = scores.filter(pl.col("grader") == grader, pl.col("grader_kind").ne_missing("human"))
    return replace(
        evals, scores=pl.concat([mine.join(fitting, on=keys, how="semi", maintain_order="left"), human])
    )


def choose_trials(evals: Evals, rule: PassRule, choice: Choice, *, most: int, seed: int = 0) -> pl.DataFrame:
    """Return the trials to judge again, at most `most` of them: `run`, `case`, `epoch`.

    Parameters
    ----------
    evals
        With the judgements of one judge by one wording (`by_wording`), and people's.
    rule
        When a trial passes.
    choice
        See `Choice`.
    most
        How many.
    seed
        Of the draw.
    """
    graded: pl.DataFrame = grade(_judged(evals), rule).filter(pl.col("scored") > 0)
    if choice == "failures":
        picked = graded.filter(pl.col("verdict") == "fail").sort(
            pl.col("severity").to_physical(),
            "mean",
            *_TRIAL,
            descending=[True, False, False, False, False],
            nulls_last=True,
        )
    elif choice == "borderline":
        picked = graded.sort((pl.col("mean") - rule.mean).abs().round(9), *_TRIAL, nulls_last=True)
    elif choice == "disagreements":
        gaps = _cells(evals).filter(pl.col("human").is_not_null() & pl.col("score").is_not_null())
        worst = gaps.group_by(_TRIAL).agg(gap=(pl.col("score") - pl.col("human")).abs().max().round(9))
        picked = worst.filter(pl.col("gap") > 0).sort("gap", *_TRIAL, descending=[True, False, False, False])
    elif choice == "random":
        picked = graded.sort(_TRIAL).sample(fraction=1, shuffle=True, seed=seed)
    else:
        raise SelectorError.unknown(
            choice, kind="choice", have=("failures", "borderline", "disagreements", "random")
        )
    return picked.select(_TRIAL).head(most)


def compare_wordings(before: Evals, after: Evals, rule: PassRule, *, level: float = 0.95) -> ScoreDiff:
    """Compare what one judge said by two wordings of a rubric, on the trials that it judged by both.

    Parameters
    ----------
    before, after
        The same collection with the judgements by each wording (`by_wording`).
    rule
        When a trial passes.
    level
        Confidence of the intervals.
    """
    old, new = _cells(before), _cells(after)
    both = old.join(
        new.select(*_CELL, after="score", rationale_after="rationale", hash_after="rubric_hash"), on=_CELL
    )
    # What is worded alike is the same judgement: it says nothing about the change.
    cells = both.filter(pl.col("rubric_hash") != pl.col("hash_after"))
    trials = cells.select(_TRIAL).unique(maintain_order=True)
    severities = before.attempts().select(*_TRIAL, "severity")
    scores = (
        cells.join(severities, on=_TRIAL, how="left")
        .with_columns(change=pl.col("after") - pl.col("score"))
        .select(
            *_CELL,
            "severity",
            pl.col("score").alias("before"),
            "after",
            "change",
            "human",
            pl.col("rationale").alias("rationale_before"),
            "rationale_after",
        )
        .sort(
            pl.col("change").abs().round(9),
            *_CELL,
            descending=[True, False, False, False, False],
            nulls_last=True,
        )
    )
    verdicts = _verdicts(before, after, trials, rule).join(severities, on=_TRIAL, how="left")
    verdicts = verdicts.select(*_TRIAL, "severity", "before", "after", "human", "moved")
    return ScoreDiff(
        scores=scores,
        verdicts=verdicts,
        agreement=_agreement(scores, verdicts, before, level),
        nearer=_nearer(scores, level),
        towards=_towards(verdicts, level),
    )


def _judged(evals: Evals) -> Evals:
    return replace(evals, scores=evals.scores.filter(pl.col("grader_kind").ne_missing("human")))


def _cells(evals: Evals) -> pl.DataFrame:
    """Return what a judge and people gave, a row for each trial and criterion."""
    human = pl.col("grader_kind").eq_missing("human")
    judged = (
        evals.scores.filter(~human)
        .sort("sample")
        .group_by(_CELL, maintain_order=True)
        .agg(pl.col("score").mean(), pl.col("rationale").drop_nulls().first(), pl.col("rubric_hash").first())
    )
    people = evals.scores.filter(human).group_by(_CELL).agg(human=pl.col("score").mean())
    return judged.join(people, on=_CELL, how="left", maintain_order="left")


def _verdicts(before: Evals, after: Evals, trials: pl.DataFrame, rule: PassRule) -> pl.DataFrame:
    sides = {"before": _judged(before), "after": _judged(after)}
    made = trials
    for name, evals in sides.items():
        graded = grade(evals, rule).select(*_TRIAL, pl.col("verdict").alias(name))
        made = made.join(graded, on=_TRIAL, how="left", maintain_order="left")
    people = grade_people(before, rule)
    made = made.join(people, on=_TRIAL, how="left", maintain_order="left")
    changed = pl.col("before") != pl.col("after")
    told = pl.col("human").is_not_null() & (pl.col("human") != "unscored")
    moved = (
        pl.when(~changed)
        .then(pl.lit(""))
        .when(told & (pl.col("after") == pl.col("human")))
        .then(pl.lit("towards people"))
        .when(told & (pl.col("before") == pl.col("human")))
        .then(pl.lit("away from people"))
        .otherwise(pl.lit("changed"))
    )
    return made.with_columns(moved.alias("moved"))


def grade_people(evals: Evals, rule: PassRule) -> pl.DataFrame:
    """Return the verdicts that people's scores give, where they scored all criteria: `run`, `case`, `epoch`, `human`."""
    none = evals.attempts().select(_TRIAL).clear().with_columns(human=pl.lit(None, dtype=pl.String))
    human = evals.scores.filter(pl.col("grader_kind").eq_missing("human"))
    if human.is_empty():
        return none
    merged = human.group_by(_CELL, maintain_order=True).agg(pl.col("score").mean())
    merged = merged.with_columns(grader=pl.lit("people"), grader_kind=pl.lit("judge"))
    scores = type(evals).from_tables(scores=merged).scores
    try:
        graded = grade(replace(evals, scores=scores), rule)
    except EvalkitError:
        return none
    asked = _judged(evals).scores.select("run", "criterion").unique().group_by("run").agg(asked=pl.len())
    whole: pl.DataFrame = graded.join(asked, on="run", how="left").filter(pl.col("scored") == pl.col("asked"))
    return whole.select(*_TRIAL, pl.col("verdict").cast(pl.String).alias("human"))


def _agreement(
    scores: pl.DataFrame, verdicts: pl.DataFrame, evals: Evals, level: float
) -> dict[str, tuple[Estimate, Estimate]]:
    made: dict[str, tuple[Estimate, Estimate]] = {}
    told = verdicts.filter(
        *(pl.col(c).cast(pl.String).is_in(["pass", "fail"]) for c in ("before", "after", "human"))
    )
    if told.height:
        points = np.array([0.0, 1.0])
        sides = [
            (told[c].cast(pl.String) == "pass").to_numpy().astype(float) for c in ("before", "after", "human")
        ]
        made["verdict"] = _two(sides, told, points, level)
    facts = {row["criterion"]: row for row in evals.criteria.iter_rows(named=True)}
    rated = scores.filter(pl.all_horizontal(pl.col(c).is_not_null() for c in _NUMBERS))
    for (criterion,), part in rated.partition_by("criterion", as_dict=True, maintain_order=True).items():
        known = facts.get(criterion, {})
        scale = _points(known, part)
        if scale is not None:
            made[str(criterion)] = _two([part[c].to_numpy() for c in _NUMBERS], part, scale, level)
    return made


def _points(facts: dict[str, Any], part: pl.DataFrame) -> np.ndarray | None:
    """Return the scores of a scale, as `evalkit.agreement` has them."""
    scale = {
        "scale_min": facts.get("scale_min"),
        "scale_max": facts.get("scale_max"),
        "kind": facts.get("kind"),
        "grid": 1.0,
    }
    frame = part.select(pl.col("after").alias("judge"), pl.col("human").alias("reference")).with_columns(
        pl.lit(value).alias(name) for name, value in scale.items()
    )
    return scale_points(frame)[0]


def _two(
    sides: list[np.ndarray], told: pl.DataFrame, points: np.ndarray, level: float
) -> tuple[Estimate, Estimate]:
    units = told["case"].cast(pl.String).to_numpy()
    before, after = (
        estimate_agreement(side, sides[2], units, points=points, level=level, seed=0)[0]["kappa"]
        for side in sides[:2]
    )
    return before, after


def _nearer(scores: pl.DataFrame, level: float) -> Estimate:
    rated = scores.filter(pl.all_horizontal(pl.col(c).is_not_null() for c in _NUMBERS))
    gaps = rated.with_columns(
        gap=(pl.col("after") - pl.col("human")).abs() - (pl.col("before") - pl.col("human")).abs()
    )
    by_case = gaps.group_by("case", maintain_order=True).agg(pl.col("gap").mean())
    return stats.paired_t(by_case["gap"].to_numpy(), level=level)


def _towards(verdicts: pl.DataFrame, level: float) -> Estimate:
    moved = verdicts["moved"]
    nearer, away = (moved.is_in([f"{way} people"]).arg_true().len() for way in ("towards", "away from"))
    return stats.wilson(nearer, nearer + away, level=level)


def _kappa(estimate: Estimate) -> str:
    if estimate.estimate is None or estimate.low is None:
        return "cannot be told"
    return f"{estimate.estimate:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
