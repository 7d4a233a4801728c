"""Correct a pass rate and a mean score of a judge by few human labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit import stats
from evalkit.agreement.estimates import estimate_share
from evalkit.agreement.ratings import ANSWER, Ratings, pair_ratings, split_by
from evalkit.agreement.results import HTML_ROWS, JudgeResult, with_interval
from evalkit.agreement.warnings import (
    FEW_CASES,
    FEW_LABELS,
    describe_selection,
    few_cases,
    few_labels,
    no_labels,
)
from evalkit.data.result import warnings_frame
from evalkit.grading.select_scores import choose_scoring
from evalkit.util.arguments import expect
from evalkit.util.format import level as level_text
from evalkit.util.html_table import html_table
from evalkit.util.notes import Warning
from evalkit.util.words import as_names, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import altair as alt
    import numpy as np

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.stats import Estimate
    from evalkit.util.html_table import Html

Population = Literal["same", "other"]
Labels = Literal["random", "selected"]

SUMMARY: Final[dict[str, Any]] = {
    "scope": pl.String(),
    "metric": pl.Enum(["pass_rate", "mean_score"]),
    **dict.fromkeys(("judged", "judged_low", "judged_high", "labelled"), pl.Float64()),
    **dict.fromkeys(("corrected", "low", "high", "shift"), pl.Float64()),
    **dict.fromkeys(("n", "n_judged", "cases"), pl.Int64()),
    "method": pl.String(),
    "level": pl.Float64(),
    "seed": pl.Int64(),
    **dict.fromkeys(("status", "reason"), pl.String()),
}


@dataclass(frozen=True, eq=False, repr=False)
class Corrected(JudgeResult):
    """The result of `correct_for_judge`.

    Attributes
    ----------
    summary
        polars frame, two rows (pass_rate in 0 to 1, mean_score in the scores' units) for all and for each group of
        `by`: `scope`, `metric`, `judged` (by the judge, mean of the cases) with `judged_low`, `judged_high`, `labelled`
        (by the labels only), `corrected`, `low`, `high`, `shift` (corrected minus judged), `n` (labelled answers),
        `n_judged` (judged answers), `cases` (with labels), `method`, `level`, `seed`, `status` ("ok" or
        "not_estimable"), `reason`.
    rule, population, labels, level
        The arguments.
    """

    rule: PassRule
    population: Population
    labels: Labels
    level: float

    def chart(self) -> alt.TopLevelMixin:
        """Plot the judge's rate beside the corrected one; see `evalkit.charts.correction`."""
        from evalkit import charts

        return charts.correction(self.summary)

    def _html_tables(self) -> Iterator[Html]:
        head = ["scope", "metric", "judge", "people (estimated)", "labels", "method"]
        rows = [
            [
                *(row["scope"], row["metric"].replace("_", " "), _judged(row)),
                _corrected(row) if row["status"] == "ok" else f"not estimable: {row['reason']}",
                *(f"{plural(row['n'], 'answer')} of {plural(row['cases'], 'case')}", row["method"]),
            ]
            for row in self.summary.iter_rows(named=True)
        ]
        yield html_table(head, rows, limit=HTML_ROWS)


def correct_for_judge(
    evals: Evals,
    *,
    by: str | Sequence[str] | None = None,
    rule: PassRule | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    population: Population = "same",
    labels: Labels = "random",
    level: float | None = None,
    seed: int = 0,
) -> Corrected:
    """Estimate people's pass rate and mean score from a judge's scores and few labels.

    Parameters
    ----------
    evals
        The collection: a judge's scores, and people's for some of the same answers.
    by
        Also for each group of these columns of runs or cases.
    rule, grader, rubric
        As for `evalkit.grade`.
    population
        "same": the labels are a sample of the answers of the group. "other": they may come from answers with another
        pass rate, so only the judge's error rates are used, from all labels; about twice as wide.
    labels
        "random": drawn at random from the judged answers. "selected": chosen in another way; refused, as no formula
        corrects it.
    level, seed
        Of the intervals.

    Returns
    -------
    Corrected
        A number that cannot be estimated has status "not_estimable" and a reason.

    Raises
    ------
    SelectorError
        There are several graders or rubrics.
    ArgumentError
        `population` or `labels` is unknown.
    ColumnError
        `by` has an unknown column of runs or cases.

    Notes
    -----
    Pass rate: the judge's passes and fails, each with the share of them that people pass (post-stratified, Chen et al.,
    arXiv 2601.05420), or Rogan-Gladen with Lee et al.'s interval (arXiv 2511.21140). Every count enters as its
    effective number (Wilson's, clustered by case). Mean score: PPI++ (arXiv 2311.01453) on case means, from 50 labels
    and 10 cases on.

    Examples
    --------
    >>> import evalkit as ek
    >>> print(ek.correct_for_judge(ek.demo.make()).sentence)
    demo-judge passes 68.9% [40.4%, 89.2%]; people would pass 60.6% [32.1%, 82.9%] ...
    """
    expect(correct_for_judge, locals(), judged=True)
    scoring = choose_scoring(evals, rule=rule, grader=grader, rubric=rubric, level=level)
    by = as_names(by)
    ratings = pair_ratings(evals, scoring)
    human = ratings.verdicts.select(*ANSWER, "reference", "reference_mean")
    answers = ratings.judged.join(human, on=ANSWER, how="left", maintain_order="left")
    refused = ratings.refused
    if labels == "selected":
        refused = refused or "the labels were selected, so a correction would be biased"
    rows = []
    for scope, part in split_by(answers, by):
        labelled = answers if population == "other" else part
        rate = _pass_rate_row(part, labelled, population, refused, scoring.level, seed)
        mean = _mean_score_row(part, population, refused, scoring.level)
        rows += [{"scope": scope, **row} for row in (rate, mean)]
    summary = pl.DataFrame(rows, schema=SUMMARY)
    return Corrected(
        sentence=_sentence(summary.row(0, named=True), ratings),
        summary=summary,
        warnings=warnings_frame(_warnings(ratings, summary, labels)),
        notes=ratings.notes,
        rule=scoring.rule,
        population=population,
        labels=labels,
        level=scoring.level,
    )


def _pass_rate_row(
    part: pl.DataFrame, labelled: pl.DataFrame, population: Population, refused: str, level: float, seed: int
) -> dict[str, Any]:
    known, judged = labelled.drop_nulls(["judge", "reference"]), part.drop_nulls("judge")
    cases = judged.group_by("unit", maintain_order=True).agg(pl.col("judge").mean(), pl.len())
    by_judge = stats.wilson_n_eff(cases["judge"].to_numpy(), cases["len"].to_numpy(), level=level)
    rate, n = float(by_judge.estimate or 0.0), float(by_judge.n_eff or by_judge.n)
    judge, people = (known[side].to_numpy() > 0.5 for side in ("judge", "reference"))
    units = known["unit"].to_numpy()
    if reason := _why_not(refused, known.height, judged.height):
        method = "post-stratified" if population == "same" else "Rogan-Gladen (Lee)"
        e = stats.not_estimable(reason, n=known.height, method=method, level=level)
    elif population == "same":
        tp, fp = _effective_counts(people[judge], units[judge], level)
        fn, tn = _effective_counts(people[~judge], units[~judge], level)
        e = stats.post_stratified(tp, fp, fn, tn, passes=rate * n, n=n, level=level, seed=seed)  # type: ignore[arg-type]
    else:
        tp, fn = _effective_counts(judge[people], units[people], level)
        fp, tn = _effective_counts(judge[~people], units[~people], level)
        specificity, sensitivity = (
            hits / (hits + misses) if hits + misses else 0.0 for hits, misses in ((tn, fp), (tp, fn))
        )
        e = stats.rogan_gladen(rate, n, specificity, fp + tn, sensitivity, tp + fn, level=level)
    return {"metric": "pass_rate", **_row(judged, "reference", by_judge, e)}


def _effective_counts(hits: np.ndarray, units: np.ndarray, level: float) -> tuple[float, float]:
    """Return hits and misses as numbers of independent answers."""
    if hits.size == 0:
        return 0.0, 0.0
    e = estimate_share(hits, units, level)
    n = e.n_eff if e.n_eff is not None else float(hits.size if e.status == "ok" else 1.0)
    rate = float(hits.mean())
    return rate * n, (1 - rate) * n


def _mean_score_row(part: pl.DataFrame, population: Population, refused: str, level: float) -> dict[str, Any]:
    judged = part.drop_nulls("judge_mean")
    by_judge = stats.t_mean(_case_means(judged)["judge_mean"].to_numpy(), level=level)
    is_labelled = pl.col("reference_mean").is_not_null()
    known, rest = judged.filter(is_labelled), judged.filter(~is_labelled)
    cases, others = _case_means(known), _case_means(rest)["judge_mean"].to_numpy()
    judge, people = (cases[f"{side}_mean"].to_numpy() for side in ("judge", "reference"))
    reason = _why_not(refused, known.height, judged.height)
    if not reason and population == "other":
        reason = "error rates do not apply to mean scores, which need labels of these answers"
    if not reason and (known.height < FEW_LABELS or cases.height < FEW_CASES):
        have = f"there are {known.height} of {cases.height}"
        reason = f"{FEW_LABELS} labels of {FEW_CASES} cases are needed; {have}"
    if reason:
        e = stats.not_estimable(reason, n=known.height, method="PPI++ t on case means", level=level)
    elif others.size < 2:
        e = replace(stats.t_mean(people, level=level), method="t on case means, the labels alone")
    else:
        e = stats.ppi_mean(people, judge, others, level=level)
        e = replace(e, method=f"{e.method} on case means")
    return {"metric": "mean_score", **_row(judged, "reference_mean", by_judge, e)}


def _case_means(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.group_by("unit", maintain_order=True).agg(pl.col("judge_mean", "reference_mean").mean())


def _why_not(refused: str, labels: int, judged: int) -> str:
    if refused:
        return refused
    if not judged:
        return "the judge scored no answer"
    return "" if labels else "no person labeled any of these answers"


def _row(judged: pl.DataFrame, reference: str, by_judge: Estimate, e: Estimate) -> dict[str, Any]:
    known = judged.drop_nulls(reference)
    labelled = known.group_by("unit", maintain_order=True).agg(pl.col(reference).mean())[reference].mean()
    # An estimate without its interval would be taken for a result.
    corrected = e.estimate if e.status == "ok" else None
    shift = None if corrected is None or by_judge.estimate is None else corrected - by_judge.estimate
    return {
        "judged": by_judge.estimate,
        "judged_low": by_judge.low,
        "judged_high": by_judge.high,
        "labelled": labelled,
        "corrected": corrected,
        "low": e.low,
        "high": e.high,
        "shift": shift,
        "n": known.height,
        "n_judged": judged.height,
        "cases": known["unit"].n_unique(),
        "method": e.method,
        "level": e.level,
        "seed": e.seed,
        "status": e.status,
        "reason": e.reason,
    }


def _sentence(row: dict[str, Any], ratings: Ratings) -> str:
    judge = (
        f"{ratings.judge} passes {_judged(row)}" if row["n_judged"] else f"{ratings.judge} gave no verdict"
    )
    if row["status"] != "ok":
        return f"{judge}; people's pass rate is not estimable: {row['reason']}."
    n = f"{plural(row['n'], 'label')} of {plural(row['cases'], 'case')}"
    return f"{judge}; people would pass {_corrected(row)} ({level_text(row['level'])} {row['method']}, {n})."


def _judged(row: dict[str, Any]) -> str:
    as_percent = row["metric"] == "pass_rate"
    return with_interval(row["judged"], row["judged_low"], row["judged_high"], as_percent=as_percent)


def _corrected(row: dict[str, Any]) -> str:
    return with_interval(row["corrected"], row["low"], row["high"], as_percent=row["metric"] == "pass_rate")


def _warnings(ratings: Ratings, summary: pl.DataFrame, labels: Labels) -> Iterator[Warning]:
    if not ratings.people:
        yield no_labels("the rate is the judge's, not people's")
        return
    overall = summary.row(0, named=True)
    yield from few_labels(ratings, overall["n"], has_verdicts=not ratings.refused, what="the correction")
    for row in summary.filter(metric="pass_rate")[1:].iter_rows(named=True):
        if row["n"] < FEW_LABELS:
            text = f"{row['scope']}: only {plural(row['n'], 'label')} (at least {FEW_LABELS} needed)."
            yield Warning("W13", row["scope"], text)
    yield from few_cases(overall["cases"])
    if labels == "selected":
        text = "The labels were selected. Label a random sample of the judged answers instead."
        yield Warning("W16", "overall", text)
    elif selection := describe_selection(ratings):
        text = f"{selection} The correction allows for that within the judge's passes and fails; any other choice biases it."
        yield Warning("W16", "overall", text)
    if ratings.incomplete:
        text = (
            f"{plural(ratings.incomplete, 'answer')} labeled on some of the judge's criteria only: left out."
        )
        yield Warning("W06", "overall", text)
