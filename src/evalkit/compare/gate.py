"""Check the conditions that a build sets for an agent version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.compare.compare import compare_sides
from evalkit.compare.estimates import CompareOptions, Metric
from evalkit.compare.pairs import find_runs
from evalkit.compare.verdicts import OUTCOMES, Outcome
from evalkit.compare.warnings import MARGIN_FIX, MOST_UNSCORED
from evalkit.data.result import Result
from evalkit.grading.grade import grade_trials
from evalkit.grading.select_scores import choose_scoring
from evalkit.grading.summarize import summarize
from evalkit.grading.version_order import version_column
from evalkit.util import format as fmt
from evalkit.util.arguments import expect
from evalkit.util.errors import FormatError, SelectorError
from evalkit.util.words import Option, Sentence, join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring
    from evalkit.grading.pass_rule import PassRule
    from evalkit.util.html_table import Html

CONDITIONS: Final[dict[str, Any]] = {
    "condition": pl.String(),
    "outcome": pl.Enum(["fail", "undecided", "pass"]),
    "reason": pl.String(),
}
Condition = tuple[str, Outcome, str]
_ARGUMENTS: Final = (
    *("baseline", "candidate", "margin"),
    *("no_regressions", "pass_rate_at_least", "critical_must_pass"),
)
_COUNTED: Final = {"pass": "met", "fail": "failed", "undecided": "undecided"}


@dataclass(frozen=True, eq=False, repr=False)
class Gate(Result):
    """The result of `check_gate`.

    Attributes
    ----------
    outcome
        "fail" if a condition failed, else "undecided" if one is undecided, else "pass".
    sentence
        The outcome in words.
    table
        polars frame, one row per condition: `condition`, `outcome`, `reason`.
    """

    outcome: Outcome
    sentence: str
    conditions: tuple[Condition, ...]

    @property
    def table(self) -> pl.DataFrame:
        """The conditions."""
        return pl.DataFrame(self.conditions, schema=CONDITIONS, orient="row")

    def _headline(self) -> str:
        return self.sentence

    def _remarks(self) -> Iterable[Sentence]:
        for condition, outcome, reason in self.conditions:
            yield Sentence(
                "{outcome}: {condition}. {reason}", outcome=outcome, condition=condition, reason=reason
            )

    def _html_tables(self) -> Iterable[Html]:
        return ()

    def _facts(self) -> dict[str, Any]:
        return {"outcome": self.outcome, "sentence": self.sentence, "conditions": self.table.to_dicts()}


def check_gate(
    evals: Evals,
    *,
    candidate: Selector | None = None,
    baseline: Selector | None = None,
    no_regressions: bool = False,
    margin: Mapping[str, float] | None = None,
    pass_rate_at_least: float | None = None,
    critical_must_pass: bool = False,
    rule: PassRule | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    judge: Literal["same", "any"] = "same",
    criteria: Literal["same", "shared"] = "same",
    level: float | None = None,
) -> Gate:
    """Check whether an agent version meets conditions.

    Parameters
    ----------
    evals
        The collection.
    candidate, baseline
        The version in question and the one to compare with, as for `evalkit.compare`. The candidate may be omitted if
        the data have one version.
    no_regressions
        The pass rate must not have regressed. Without a `margin`, only a regression or an improvement decides.
    margin
        Largest acceptable loss per metric, as for `evalkit.compare`. A margin of `mean_score` adds a condition.
    pass_rate_at_least
        Required true pass rate, 0 to 1: met if the whole interval reaches it, failed if none of it does.
    critical_must_pass
        Every scored trial of every case of severity "critical" must pass, and each such case must have one.
    rule, grader, rubric
        As for `evalkit.grade`.
    judge, criteria, level
        As for `evalkit.compare`.

    Raises
    ------
    FormatError
        There is no condition, or an invalid one.
    SelectorError
        A side is unknown or missing.

    Examples
    --------
    >>> import evalkit as ek
    >>> check_gate(ek.demo.make(), baseline="v1", candidate="v2", no_regressions=True).outcome
    'pass'
    """
    expect(check_gate, locals())
    if not (no_regressions or critical_must_pass) and pass_rate_at_least is None:
        fix = _sentence("Pass {no_regressions}, {pass_rate_at_least} or {critical_must_pass}.")
        raise FormatError("The gate has no condition.", fix=fix)
    if margin and not no_regressions:
        raise FormatError(_sentence("{margin} needs {no_regressions}."), argument="margin")
    if pass_rate_at_least is not None and not 0 < pass_rate_at_least <= 1:
        raise FormatError(
            Sentence("Invalid {option}.", option=Option("pass_rate_at_least", pass_rate_at_least)),
            argument="pass_rate_at_least",
            value=pass_rate_at_least,
            expected="a share above 0, at most 1",
        )
    scoring = choose_scoring(evals, rule=rule, grader=grader, rubric=rubric, level=level)
    rows: list[Condition] = []
    if no_regressions:
        if baseline is None or candidate is None:
            text = _sentence("{no_regressions} needs two sides, {baseline} and {candidate}.")
            raise SelectorError(text, argument="no_regressions")
        compare_options = CompareOptions(margin=margin, judge=judge, criteria=criteria)
        change, _ = compare_sides(evals, baseline, candidate, scoring, compare_options)
        metrics: list[Metric] = ["pass_rate"]
        if "mean_score" in (margin or {}):
            metrics.append("mean_score")
        rows += [_check_regression(change.estimates, metric, margin or {}) for metric in metrics]
    if critical_must_pass or pass_rate_at_least is not None:
        own = _of_candidate(evals, candidate)
        if pass_rate_at_least is not None:
            rows.append(_check_rate(own, scoring, pass_rate_at_least))
        if critical_must_pass:
            suites = own.runs["suite"].fill_null("").unique().implode()
            declared = evals.cases.filter(pl.col("suite").is_in(suites), severity="critical")
            rows.append(_check_critical(grade_trials(own, scoring), declared))
    outcomes = [outcome for _, outcome, _ in rows]
    outcome: Outcome = "fail" if "fail" in outcomes else "undecided" if "undecided" in outcomes else "pass"
    return Gate(outcome, _describe(outcome, outcomes), tuple(rows))


def _sentence(template: str) -> Sentence:
    return Sentence(template, **{name: Option(name) for name in _ARGUMENTS})


def _of_candidate(evals: Evals, candidate: Selector | None) -> Evals:
    if candidate is not None:
        return evals.filter(run=find_runs(evals, candidate)[1])
    column = version_column(evals)
    names = evals.runs[column].cast(pl.String).fill_null("").unique().sort().to_list()
    if len(names) > 1:
        raise SelectorError(
            f"The data hold several versions ({join_words(names)}).",
            argument="candidate",
            fix=_sentence("Name one with {candidate}."),
        )
    return evals


def _check_regression(estimates: pl.DataFrame, metric: Metric, margin: Mapping[str, float]) -> Condition:
    row = estimates.filter(scope="overall", metric=metric).row(0, named=True)
    condition = f"no regression of the {metric.replace('_', ' ')}"
    if metric in margin:
        condition += f" beyond {fmt.difference_of(margin[metric], metric, sign=False)}"
    if row["difference"] is None or row["low"] is None:
        return condition, "undecided", f"There is no interval: {row['reason']}."
    outcome = OUTCOMES[row["verdict"]]
    limits = fmt.interval(row["low"], row["high"], points=metric == "pass_rate", sign=True)
    reason = (
        f"{row['verdict'].capitalize()}: {fmt.difference_of(row['difference'], metric)}, "
        f"{fmt.level(row['level'])} interval {limits}, {plural(row['n'], 'case')}."
    )
    if outcome == "undecided" and metric not in margin:
        return condition, outcome, Sentence("{reason} {fix}", reason=reason, fix=MARGIN_FIX)
    return condition, outcome, reason


def _check_rate(evals: Evals, scoring: Scoring, least: float) -> Condition:
    condition = f"pass rate at least {fmt.percent(least)}"
    rates = summarize(
        evals, [], scoring.rule, grader=scoring.grader, rubric=scoring.rubric, level=scoring.level
    )
    if rates.is_empty() or rates["low"][0] is None:
        return condition, "undecided", "No trial has a verdict."
    row = rates.row(0, named=True)
    reason = (
        f"It is {fmt.percent(row['pass_rate'])}, {fmt.level(row['level'])} interval "
        f"{fmt.interval(row['low'], row['high'], percent=True)} ({row['method']}), {plural(row['n'], 'case')}."
    )
    if row["unscored"] / row["trials"] > MOST_UNSCORED:
        unscored = f"{row['unscored']} of {plural(row['trials'], 'trial')} are unscored"
        return condition, "undecided", f"{reason} But {unscored}."
    outcome: Outcome = "pass" if row["low"] >= least else "fail" if row["high"] < least else "undecided"
    if outcome == "undecided":
        reason += " The interval contains the required rate: more cases would decide."
    return condition, outcome, reason


def _check_critical(graded: pl.DataFrame, declared: pl.DataFrame) -> Condition:
    condition = "every critical case passes"
    if declared.is_empty():
        return condition, "undecided", "No case is of severity critical."
    verdict = pl.col("verdict")
    cases = (
        graded.filter(pl.col("severity") == "critical")
        .group_by("suite", "case")
        .agg(
            # Whatever score is missing, a certain fail stays one.
            failed=((verdict == "fail") | pl.col("certain_fail")).sum(),
            unscored=(verdict == "unscored").sum(),
            trials=pl.len(),
        )
        .sort("suite", "case")
    )

    def named(column: str) -> str:
        rows = cases.filter(pl.col(column) > 0).iter_rows(named=True)
        return join_words((f"{row['case']} ({row[column]} of {row['trials']})" for row in rows), limit=6)

    if cases["failed"].sum():
        return condition, "fail", f"Failed trials: {named('failed')}."
    without = declared.join(graded, on=["suite", "case"], how="anti", maintain_order="left")
    if without.height:
        return condition, "undecided", f"No trials of {join_words(without['case'].cast(pl.String), limit=6)}."
    if cases["unscored"].sum():
        return condition, "undecided", f"Unscored trials: {named('unscored')}."
    return (
        condition,
        "pass",
        f"{plural(cases.height, 'case')}, {plural(int(cases['trials'].sum()), 'trial')}.",
    )


def _describe(outcome: Outcome, outcomes: Sequence[Outcome]) -> str:
    total = len(outcomes)
    verb = {"pass": "passes", "fail": "fails"}.get(outcome, "cannot decide")
    if total == 1:
        return f"The gate {verb}."
    if outcome == "pass":
        return f"The gate passes: all {total} conditions are met."
    counts = [f"{outcomes.count(name)} {word}" for name, word in _COUNTED.items() if name in outcomes]
    return f"The gate {verb}: of {total} conditions {', '.join(counts)}."
