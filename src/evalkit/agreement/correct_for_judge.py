"""What would people say? A judge's pass rate and mean score, corrected by the labels of a few answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import polars as pl

from evalkit import stats
from evalkit.agreement.estimates import share
from evalkit.agreement.finding import Finding, reach, warnings_frame
from evalkit.agreement.ratings import ANSWER, Ratings, pair_ratings, split_by
from evalkit.agreement.warnings import FEW_CASES, FEW_LABELS, few_labels, selection_words
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.util.arguments import expect
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import altair as alt

    from evalkit.data.evals import Evals
    from evalkit.stats import Estimate

Population = Literal["same", "other"]
Labels = Literal["random", "selected"]

SUMMARY: Final[dict[str, Any]] = {
    "scope": pl.String(),
    "metric": pl.Enum(["pass_rate", "mean_score"]),
    **{name: pl.Float64() for name in ("judged", "judged_low", "judged_high", "labelled")},
    **{name: pl.Float64() for name in ("corrected", "low", "high", "shift")},
    **{name: pl.Int64() for name in ("n", "n_judged", "cases")},
    "method": pl.String(),
    "level": pl.Float64(),
    "seed": pl.Int64(),
    "status": pl.String(),
    "reason": pl.String(),
}


@dataclass(frozen=True, eq=False, repr=False)
class Corrected(Finding):
    """What `correct_for_judge` found.

    Attributes
    ----------
    sentence
        The corrected pass rate in words.
    summary
        polars frame, two rows (pass_rate in 0 to 1, mean_score in the scores' units) for all and for each group of
        `by`: `scope`, `metric`, `judged` (what the judge says, mean of the cases) with `judged_low`, `judged_high`,
        `labelled` (what the labels alone say), `corrected`, `low`, `high`, `shift` (corrected minus judged), `n`
        (labelled answers), `n_judged` (judged answers), `cases` (with labels), `method`, `level`, `seed`, `status`
        ("ok" or "not_estimable"), `reason`.
    warnings
        polars frame `id`, `scope`, `text`.
    rule, population, labels, level
        What was asked.
    """

    rule: PassRule
    population: Population
    labels: Labels
    level: float

    def chart(self) -> alt.TopLevelMixin:
        """Draw what the judge says beside what people would say; see `evalkit.charts.correction`."""
        from evalkit import charts

        return charts.correction(self.summary)

    def _cells(self) -> tuple[Sequence[str], list[list[str]]]:
        heads = ["scope", "metric", "the judge says", "people would say", "labels", "method"]
        rows = [
            [
                row["scope"],
                row["metric"].replace("_", " "),
                _number(row, row["judged"], row["judged_low"], row["judged_high"]),
                _number(row, row["corrected"], row["low"], row["high"])
                if row["status"] == "ok"
                else f"not estimable: {row['reason']}",
                f"{plural(row['n'], 'answer')} of {plural(row['cases'], 'case')}",
                row["method"],
            ]
            for row in self.summary.iter_rows(named=True)
        ]
        return heads, rows


def correct_for_judge(
    evals: Evals,
    *,
    by: str | Sequence[str] | None = None,
    rule: PassRule = DEFAULT_RULE,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    population: Population = "same",
    labels: Labels = "random",
    level: float = 0.95,
    seed: int = 0,
) -> Corrected:
    """Estimate the pass rate and the mean score that people would give, from many verdicts of a judge and few labels.

    Parameters
    ----------
    evals
        The collection: a judge's scores, and people's for some of the same answers.
    by
        Also for each group of these columns of runs or cases.
    rule, grader, rubric
        As for `evalkit.grade`.
    population
        "same": the labels are a sample of the answers of the group itself. "other": they may come from answers with
        another pass rate, so only the judge's error rates are taken over, from all labels there are; about twice as
        wide.
    labels
        "random": drawn at random from what was judged. "selected": chosen some other way (by their score, because they
        looked wrong): refused, because no formula undoes a choice it does not know.
    level, seed
        Of the intervals.

    Returns
    -------
    Corrected
        What cannot be estimated has status "not_estimable" and a reason.

    Raises
    ------
    SelectorError
        Several graders or rubrics and nothing that chooses; or an unknown `population` or `labels`.
    ColumnError
        `by` names no column of runs or cases.

    Notes
    -----
    Pass rate: the judge's passes and fails, each with the share of them that people pass (post-stratified, Chen et al.,
    arXiv 2601.05420), or Rogan-Gladen with Lee et al.'s interval (arXiv 2511.21140). Answers of one case are not
    independent: every count enters as its effective number (Wilson's, clustered by case). Mean score: PPI++ (arXiv
    2311.01453) on case means, from 50 labels and 10 cases on.

    Examples
    --------
    >>> import evalkit as ek
    >>> print(ek.correct_for_judge(ek.demo.make()).sentence)
    demo-judge passes 68.9% [51.3%, 82.4%]; people would pass 60.6% [38.7%, 77.7%] ...
    """
    expect(correct_for_judge, locals())
    columns = (by,) if isinstance(by, str) else tuple(by or ())
    ratings = pair_ratings(evals, grader=grader, rubric=rubric, rule=rule)
    answers = ratings.judged.join(
        ratings.verdicts.select(*ANSWER, "reference", "reference_mean"),
        on=ANSWER,
        how="left",
        maintain_order="left",
    )
    refused = ratings.refused
    if labels == "selected":
        refused = refused or "the labels were selected, not drawn at random: a correction would be biased"
    rows = []
    for scope, part in split_by(answers, columns):
        taken = answers if population == "other" else part
        rate = _pass_rate(part, taken, population, refused, level, seed)
        rows.append(_row(scope, "pass_rate", part, "judge", "reference", rate, level))
        mean = _mean_score(part, population, refused, level)
        rows.append(_row(scope, "mean_score", part, "judge_mean", "reference_mean", mean, level))
    summary = pl.DataFrame(rows, schema=SUMMARY)
    return Corrected(
        sentence=_sentence(summary.row(0, named=True), ratings),
        summary=summary,
        warnings=warnings_frame(list(_caveats(ratings, summary, labels))),
        notes=ratings.notes,
        rule=rule,
        population=population,
        labels=labels,
        level=level,
    )


def _pass_rate(
    part: pl.DataFrame, labelled: pl.DataFrame, population: Population, refused: str, level: float, seed: int
) -> Estimate:
    method = "post-stratified" if population == "same" else "Rogan-Gladen (Lee)"
    known = labelled.filter(pl.col("judge").is_not_null() & pl.col("reference").is_not_null())
    judged = part.filter(pl.col("judge").is_not_null())
    nothing = _nothing(refused, known.height, judged.height)
    if nothing:
        return stats.not_estimable(nothing, n=known.height, method=method, level=level)
    rate, n = _rate(judged, level)
    told, true = (known[side].to_numpy() > 0.5 for side in ("judge", "reference"))
    units = known["unit"].to_numpy()
    if population == "same":
        (tp, fp), (fn, tn) = (_effective(true[side], units[side], level) for side in (told, ~told))
        counts: dict[str, Any] = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        e = stats.post_stratified(**counts, passes=rate * n, n=n, level=level, seed=seed)  # type: ignore[arg-type]
    else:
        (right, wrong), (missed, caught) = (
            _effective(told[side], units[side], level) for side in (true, ~true)
        )
        q0 = caught / (missed + caught) if missed + caught else 0.0
        q1 = right / (right + wrong) if right + wrong else 0.0
        e = stats.rogan_gladen(rate, n, q0, missed + caught, q1, right + wrong, level=level)
    return replace(e, n=known.height)


def _rate(judged: pl.DataFrame, level: float) -> tuple[float, float]:
    """Return the mean of the cases' pass rates, and on how many independent answers it stands."""
    cases = judged.group_by("unit", maintain_order=True).agg(pl.col("judge").mean(), pl.len())
    e = stats.wilson_n_eff(cases["judge"].to_numpy(), cases["len"].to_numpy(), level=level)
    return float(e.estimate or 0.0), float(e.n_eff or cases.height)


def _effective(hits: np.ndarray, units: np.ndarray, level: float) -> tuple[float, float]:
    """Return hits and misses as the counts of independent answers that they are worth."""
    if hits.size == 0:
        return 0.0, 0.0
    e = share(hits, np.unique(units, return_inverse=True)[1], level)
    n = e.n_eff if e.n_eff is not None else float(hits.size if e.status == "ok" else 1.0)
    rate = float(hits.mean())
    return rate * n, (1 - rate) * n


def _mean_score(part: pl.DataFrame, population: Population, refused: str, level: float) -> Estimate:
    known = part.filter(pl.col("judge_mean").is_not_null() & pl.col("reference_mean").is_not_null())
    rest = part.filter(pl.col("judge_mean").is_not_null() & pl.col("reference_mean").is_null())
    judged = known.height + rest.height
    options: dict[str, Any] = {"method": "PPI++ t on case means", "level": level}
    nothing = _nothing(refused, known.height, judged)
    if not nothing and population == "other":
        nothing = "error rates say nothing of mean scores: the labels must be of these answers"
    cases = _case_means(known)
    if not nothing and (known.height < FEW_LABELS or cases.height < FEW_CASES):
        nothing = (
            f"{FEW_LABELS} labels of {FEW_CASES} cases are needed; there are {known.height} of {cases.height}"
        )
    if nothing:
        return stats.not_estimable(nothing, n=known.height, **options)
    others = _case_means(rest)
    if others.height < 2:
        whole = stats.t_mean(cases["reference_mean"].to_numpy(), level=level)
        return replace(whole, n=known.height, method="t on case means, the labels alone")
    e = stats.ppi_mean(
        cases["reference_mean"].to_numpy(),
        cases["judge_mean"].to_numpy(),
        others["judge_mean"].to_numpy(),
        level=level,
    )
    return replace(e, n=known.height, method=f"{e.method} on case means")


def _case_means(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.group_by("unit", maintain_order=True).agg(pl.col("judge_mean", "reference_mean").mean())


def _nothing(refused: str, labels: int, judged: int) -> str:
    if refused:
        return refused
    if not judged:
        return "the judge scored no answer"
    return "" if labels else "no person has labelled any of these answers"


def _row(
    scope: str, metric: str, part: pl.DataFrame, judge: str, reference: str, e: Estimate, level: float
) -> dict[str, Any]:
    judged = part.filter(pl.col(judge).is_not_null())
    known = judged.filter(pl.col(reference).is_not_null())
    cases = judged.group_by("unit", maintain_order=True).agg(pl.col(judge).mean(), pl.len())
    values, sizes = cases[judge].to_numpy(), cases["len"].to_numpy()
    if metric == "pass_rate":
        told = stats.wilson_n_eff(values, sizes, level=level)
    else:
        told = stats.t_mean(values, level=level)
    labelled = known.group_by("unit").agg(pl.col(reference).mean())[reference].mean()
    # An estimate without its interval would be taken for an answer.
    value = e.estimate if e.status == "ok" else None
    return {
        "scope": scope,
        "metric": metric,
        "judged": told.estimate,
        "judged_low": told.low,
        "judged_high": told.high,
        "labelled": labelled,
        "corrected": value,
        "low": e.low,
        "high": e.high,
        "shift": None if value is None or told.estimate is None else value - told.estimate,
        "n": known.height,
        "n_judged": judged.height,
        "cases": known["unit"].n_unique(),
        "method": e.method,
        "level": level,
        "seed": e.seed,
        "status": e.status,
        "reason": e.reason,
    }


def _sentence(row: dict[str, Any], ratings: Ratings) -> str:
    said = f"{ratings.judge} passes {_number(row, row['judged'], row['judged_low'], row['judged_high'])}"
    said = said if row["n_judged"] else f"{ratings.judge} gave no verdict"
    if row["status"] != "ok":
        return f"{said}; what people would say is not estimable: {row['reason']}."
    return (
        f"{said}; people would pass {_number(row, row['corrected'], row['low'], row['high'])} "
        f"({row['level'] * 100:g}% {row['method']}, {plural(row['n'], 'label')} of {plural(row['cases'], 'case')})."
    )


def _number(row: dict[str, Any], value: float | None, low: float | None, high: float | None) -> str:
    if row["metric"] != "pass_rate" or value is None:
        return reach(value, low, high)
    return f"{value:.1%}" + ("" if low is None else f" [{low:.1%}, {high:.1%}]")


def _caveats(ratings: Ratings, summary: pl.DataFrame, labels: Labels) -> Iterator[tuple[str, str, str]]:
    whole = summary.row(0, named=True)
    if not ratings.people:
        yield (
            "W12",
            "overall",
            "No person has labelled any of these: the rate is what the judge says, not what people would say.",
        )
        return
    yield from few_labels(ratings, whole["n"], classes=not ratings.refused, what="the correction")
    for row in summary.filter((pl.col("metric") == "pass_rate") & (pl.col("scope") != "all")).iter_rows(
        named=True
    ):
        if row["n"] < FEW_LABELS:
            yield (
                "W13",
                row["scope"],
                f"{row['scope']}: only {plural(row['n'], 'label')} ({FEW_LABELS} are wanted).",
            )
    if 0 < whole["cases"] < FEW_CASES:
        yield (
            "W18",
            "overall",
            f"The labels are of {plural(whole['cases'], 'case')} only, however many answers these hold: trust the interval little.",
        )
    words = selection_words(ratings)
    if labels == "selected":
        yield (
            "W16",
            "overall",
            "The labels were selected. Draw some at random from what was judged, and label those.",
        )
    elif words:
        yield (
            "W16",
            "overall",
            f"{words} Within the judge's passes and fails that is allowed for; any other choice biases the correction.",
        )
    if ratings.partly:
        yield (
            "W06",
            "overall",
            f"{plural(ratings.partly, 'answer')} labelled on some of the judge's criteria only could not be used.",
        )
