"""A gate: conditions that a build asks of an agent version, each passed, failed or not decided by the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.compare.compare import compare
from evalkit.compare.pairs import find_runs
from evalkit.grading.grade import grade
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.summarize import summarize
from evalkit.util.arguments import expect
from evalkit.util.errors import FormatError, SelectorError
from evalkit.util.format import percent
from evalkit.util.words import join_words, plural, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.compare.estimates import Metric
    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals

Outcome = Literal["pass", "fail", "undecided"]
TABLE: Final[dict[str, Any]] = {
    "condition": pl.String(),
    "outcome": pl.Enum(["fail", "undecided", "pass"]),
    "reason": pl.String(),
}
_OUTCOMES: Final[dict[str, Outcome]] = {
    "regressed": "fail",
    "improved": "pass",
    "no worse than margin": "pass",
    "regressed within margin": "pass",
    "inconclusive": "undecided",
}
# Of the trials without a verdict, as for W06: above it a rate is what was not judged as much as what was.
_MOST_UNSCORED: Final = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class Gate:
    """What `check_gate` found.

    Attributes
    ----------
    outcome
        "fail" when a condition failed; else "undecided" when the data could not decide one; else "pass".
    sentence
        The outcome in words.
    table
        polars frame, a row for each condition: `condition`, `outcome`, `reason` with its numbers.
    """

    outcome: Outcome
    sentence: str
    table: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return {"outcome": self.outcome, "sentence": self.sentence, "conditions": self.table.to_dicts()}

    def __repr__(self) -> str:
        rows = self.table.iter_rows(named=True)
        lines = [f"  {row['outcome']}: {row['condition']}. {row['reason']}" for row in rows]
        return printable("\n".join([self.sentence, *lines]))


def check_gate(
    evals: Evals,
    *,
    candidate: Selector | None = None,
    baseline: Selector | None = None,
    no_regressions: bool = False,
    margin: Mapping[str, float] | None = None,
    pass_rate_at_least: float | None = None,
    critical_must_pass: bool = False,
    rule: PassRule = DEFAULT_RULE,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    judge: Literal["same", "any"] = "same",
    criteria: Literal["same", "shared"] = "same",
    level: float = 0.95,
) -> Gate:
    """Say whether an agent version may pass, by the conditions that are asked.

    Parameters
    ----------
    evals
        The collection.
    candidate, baseline
        The version in question and what it is compared with, as for `evalkit.compare`. The candidate may be left out
        where the data hold one version alone.
    no_regressions
        The pass rate must not have regressed. With a `margin` that can be shown; without one only a regression or an
        improvement decides.
    margin
        The largest loss that would not matter, by metric, as for `evalkit.compare`. A margin of `mean_score` is a
        condition on the mean score too.
    pass_rate_at_least
        What the true pass rate must reach, 0 to 1: passed when the whole interval does, failed when none of it does.
    critical_must_pass
        Every scored trial of every case of severity "critical" must pass, and there must be one of each. A policy, not
        an estimate.
    rule, grader, rubric
        As for `evalkit.grade`.
    judge, criteria, level
        As for `evalkit.compare`.

    Returns
    -------
    Gate

    Raises
    ------
    FormatError
        No condition is asked, or one that makes no sense.
    SelectorError
        A side is not there, or has to be named.

    Examples
    --------
    >>> import evalkit as ek
    >>> check_gate(ek.demo.make(), baseline="v1", candidate="v2", no_regressions=True).outcome
    'pass'
    """
    expect(check_gate, locals())
    if not (no_regressions or critical_must_pass) and pass_rate_at_least is None:
        raise FormatError(
            "The gate has no condition; ask for no_regressions, pass_rate_at_least or critical_must_pass."
        )
    if margin and not no_regressions:
        raise FormatError("A margin belongs to no_regressions, which is not asked.")
    if pass_rate_at_least is not None and not 0 < pass_rate_at_least <= 1:
        raise FormatError(f"pass_rate_at_least is {pass_rate_at_least!r}; it is a share above 0, at most 1.")
    chosen: dict[str, Any] = {"grader": grader, "rubric": rubric}
    rows: list[tuple[str, Outcome, str]] = []
    if no_regressions:
        if baseline is None or candidate is None:
            raise SelectorError("no_regressions needs two sides: name baseline and candidate.")
        sides: dict[str, Any] = {"baseline": baseline, "candidate": candidate}
        alike: dict[str, Any] = {"judge": judge, "criteria": criteria}
        change = compare(evals, **sides, **chosen, **alike, rule=rule, margin=margin, level=level)
        metrics: list[Metric] = ["pass_rate"]
        if "mean_score" in (margin or {}):
            metrics.append("mean_score")
        rows += [_no_regression(change.estimates, metric, margin) for metric in metrics]
    if critical_must_pass or pass_rate_at_least is not None:
        mine = _of(evals, candidate)
        if pass_rate_at_least is not None:
            rates = summarize(mine, [], rule=rule, level=level, **chosen)
            rows.append(_rate(rates, pass_rate_at_least))
        if critical_must_pass:
            suites = mine.runs["suite"].fill_null("").unique().implode()
            declared = evals.cases.filter(pl.col("suite").is_in(suites), severity="critical")
            rows.append(_critical(grade(mine, rule, **chosen), declared))
    table = pl.DataFrame(rows, schema=TABLE, orient="row")
    outcome: Outcome = next((o for o in ("fail", "undecided") if o in table["outcome"]), "pass")
    return Gate(outcome=outcome, sentence=_sentence(outcome, table), table=table)


def _of(evals: Evals, candidate: Selector | None) -> Evals:
    if candidate is not None:
        return evals.filter(run=find_runs(evals, candidate)[1])
    column = "agent_version" if evals.runs["agent_version"].drop_nulls().len() else "run"
    names = evals.runs[column].cast(pl.String).fill_null("").unique().sort().to_list()
    if len(names) > 1:
        raise SelectorError(f"The data hold several versions ({join_words(names)}); name the candidate.")
    return evals


def _no_regression(
    estimates: pl.DataFrame, metric: Metric, margin: Mapping[str, float] | None
) -> tuple[str, Outcome, str]:
    row = estimates.filter(scope="overall", metric=metric).row(0, named=True)
    name = metric.replace("_", " ")
    bound = (margin or {}).get(metric)
    asked = f"no regression of the {name}" + ("" if bound is None else f" beyond {_size(bound, metric)}")
    outcome = _OUTCOMES[row["verdict"]]
    if row["difference"] is None or row["low"] is None:
        return asked, "undecided", f"There is no interval: {row['reason']}."
    reason = (
        f"{row['verdict'].capitalize()}: {_size(row['difference'], metric, sign='+')}, {row['level'] * 100:g}% interval "
        f"{_size(row['low'], metric, sign='+')} to {_size(row['high'], metric, sign='+')}, {plural(row['n'], 'case')}."
    )
    if outcome == "undecided" and bound is None:
        reason += " Without a margin nothing can show that there is none; declare one, e.g. margin={'pass_rate': 0.05}."
    return asked, outcome, reason


def _rate(rates: pl.DataFrame, least: float) -> tuple[str, Outcome, str]:
    asked = f"pass rate at least {percent(least)}"
    if rates.is_empty() or rates["low"][0] is None:
        return asked, "undecided", "No trial has a verdict."
    row = rates.row(0, named=True)
    reason = (
        f"It is {percent(row['pass_rate'])}, {row['level'] * 100:g}% interval {percent(row['low'])} to "
        f"{percent(row['high'])} ({row['method']}), {plural(row['n'], 'case')}."
    )
    share = row["unscored"] / row["trials"]
    if share > _MOST_UNSCORED:
        return (
            asked,
            "undecided",
            f"{reason} But {row['unscored']} of {plural(row['trials'], 'trial')} are unscored.",
        )
    outcome: Outcome = "pass" if row["low"] >= least else "fail" if row["high"] < least else "undecided"
    if outcome == "undecided":
        reason += " The interval holds what is asked: more cases would decide."
    return asked, outcome, reason


def _critical(graded: pl.DataFrame, declared: pl.DataFrame) -> tuple[str, Outcome, str]:
    asked = "every critical case passes"
    untried = declared.join(graded, on=["suite", "case"], how="anti", maintain_order="left")
    cases = (
        graded.filter(pl.col("severity") == "critical")
        .group_by("suite", "case")
        .agg(
            failed=(pl.col("verdict") == "fail").sum(),
            unscored=(pl.col("verdict") == "unscored").sum(),
            trials=pl.len(),
        )
        .sort("suite", "case")
    )
    if declared.is_empty():
        return asked, "undecided", "No case is of severity critical."
    words = {
        name: join_words(
            [f"{row['case']} ({row[name]} of {row['trials']})" for row in part.iter_rows(named=True)], limit=6
        )
        for name in ("failed", "unscored")
        if (part := cases.filter(pl.col(name) > 0)).height
    }
    if "failed" in words:
        return asked, "fail", f"Trials failed of: {words['failed']}."
    if untried.height:
        names = join_words(untried["case"].cast(pl.String), limit=6)
        return asked, "undecided", f"There is no trial of: {names}."
    if "unscored" in words:
        return asked, "undecided", f"Trials are unscored of: {words['unscored']}."
    return asked, "pass", f"{plural(cases.height, 'case')}, {plural(int(cases['trials'].sum()), 'trial')}."


def _size(value: float, metric: Metric, *, sign: str = "") -> str:
    text = f"{value * 100:{sign}.1f} points" if metric == "pass_rate" else f"{value:{sign}.2f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _sentence(outcome: Outcome, table: pl.DataFrame) -> str:
    total, counts = table.height, dict(table["outcome"].value_counts().iter_rows())
    verb = {"pass": "passes", "fail": "fails"}.get(outcome, "cannot decide")
    if total == 1:
        return f"The gate {verb}."
    if outcome == "pass":
        return f"The gate passes: all {total:,} conditions are met."
    told = {"pass": "met", "fail": "failed", "undecided": "undecided"}
    parts = [f"{counts[name]:,} {words}" for name, words in told.items() if name in counts]
    return f"The gate {verb}: of {total:,} conditions {', '.join(parts)}."
