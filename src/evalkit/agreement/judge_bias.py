"""Find the biases of a judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from evalkit import stats
from evalkit.agreement.estimates import estimate_bias, estimate_share, scale_points
from evalkit.agreement.length_bias import correlate_ranks, regress
from evalkit.agreement.position_bias import position_rows
from evalkit.agreement.ratings import (
    ITEM,
    AnswerFacts,
    criteria_of,
    meet,
    merge_raters,
    rate_answers,
    with_suites,
)
from evalkit.agreement.results import (
    BIAS_ROWS,
    HTML_ROWS,
    JudgeResult,
    Row,
    bias_row,
    estimate_text,
    with_interval,
)
from evalkit.agreement.rubric_drift import drift_rows
from evalkit.agreement.warnings import no_labels
from evalkit.data.result import warnings_frame
from evalkit.data.schema import IS_HUMAN, TRIAL_KEY
from evalkit.grading.select_scores import choose_scoring
from evalkit.grading.version_order import natural_key
from evalkit.util.arguments import expect
from evalkit.util.errors import SelectorError
from evalkit.util.format import number, percent
from evalkit.util.html_table import html_table
from evalkit.util.notes import Warning
from evalkit.util.words import as_names, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import altair as alt

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.stats import Estimate
    from evalkit.util.html_table import Html


@dataclass(frozen=True, eq=False, repr=False)
class Forensics(JudgeResult):
    """The result of `judge_forensics`.

    Attributes
    ----------
    summary
        polars frame: `finding` ("length correlation", "length effect", "heaping", "entropy", "mean", "leniency",
        "judges differ", "drift", "drift flips", "drift kappa", "position", "position shift"), `scope` (judge and
        criterion), `value`, `low`, `high`, `n` (answers), `cases`, `method`, `level`, `p_value`, `p_adjusted`
        (Benjamini-Hochberg over all rows), `text`, `status`, `reason`.
    level
        Confidence level of the intervals.
    """

    level: float

    def chart(self) -> alt.TopLevelMixin:
        """Plot a panel per finding; see `evalkit.charts.judge_bias`."""
        from evalkit import charts

        return charts.judge_bias(self.summary)

    def _html_tables(self) -> Iterator[Html]:
        head = ["finding", "scope", "value", "p (adjusted)", "n", "method", "text"]
        rows = [
            [
                *(row["finding"], row["scope"], with_interval(row["value"], row["low"], row["high"])),
                None if row["p_adjusted"] is None else number(row["p_adjusted"], 3),
                *(row["n"], row["method"], row["text"]),
            ]
            for row in self.summary.iter_rows(named=True)
        ]
        yield html_table(head, rows, limit=HTML_ROWS)


def judge_forensics(
    evals: Evals,
    *,
    grader: str | Sequence[str] | None = None,
    rule: PassRule | None = None,
    level: float | None = None,
    seed: int = 0,
) -> Forensics:
    """Find effects on a judge's scores other than the quality of the answer.

    Parameters
    ----------
    evals
        The collection.
    grader
        The judges; None: all of them, each by itself.
    rule
        When an answer passes: for verdicts that flip between two versions of a rubric.
    level, seed
        Of the intervals.

    Raises
    ------
    SelectorError
        The judge is unknown.

    Notes
    -----
    Length: judge minus people, regressed on log2 of the answer's length, CR1 standard errors by case with t of G - 1
    degrees of freedom; without labels only the rank correlation of score and length, which good long answers explain
    too. Heaping: the share of the most frequent score (Wilson by case) and the entropy of the scores. Leniency:
    paired t on case means. Drift: the same answers judged under two versions of a rubric or prompt. Position:
    McNemar's mid-p on pairs that were judged in both orders. These are observations, not experiments: p_adjusted is
    Benjamini-Hochberg's.

    Examples
    --------
    >>> import evalkit as ek
    >>> result = ek.judge_forensics(ek.demo.make())
    >>> print(result.sentence)
    None of 6 tests is significant after adjustment. That does not show that there is no effect.
    >>> "heaping" in result.summary["finding"].to_list()
    True
    """
    expect(judge_forensics, locals(), judged=True)
    scoring = choose_scoring(evals, rule=rule, grader=grader, level=level)
    scores = with_suites(evals, "metadata")
    judged = _of_graders(scores.filter(pl.col("grader_kind").fill_null("judge") == "judge"), scoring.grader)
    people = scores.filter(IS_HUMAN)
    facts = AnswerFacts.collect(evals, scores, scoring.rule)
    labels, lengths = merge_raters(rate_answers(people, "grader"), facts), _log_lengths(evals)
    rows: list[Row] = []
    ratings = {}
    for name in sorted(judged["grader"].unique(), key=lambda name: natural_key((name,))):
        mine, judge = judged.filter(pl.col("grader") == name), name or "the judge"
        ratings[judge] = merge_raters(rate_answers(mine))
        rated = facts.describe(ratings[judge].rename({"score": "judge"}))
        pairs = facts.describe(meet(ratings[judge], labels, ITEM, "score"))
        single = facts.describe(mine.select(*ITEM, judge="score", reference="score"))
        for criterion, is_criterion in criteria_of(rated):
            scope = f"{judge} · {criterion}"
            frames = (frame.filter(is_criterion).drop_nulls("judge") for frame in (rated, pairs, single))
            answers, labelled, judgements = frames
            labelled = labelled.drop_nulls("reference")
            rows += _length_rows(scope, answers, labelled, lengths, scoring.level, seed)
            rows += _heaping_rows(scope, judgements, people.filter(is_criterion), scoring.level)
            rows += _leniency_rows(scope, answers, labelled, scoring.level)
    rows += _rows_between(ratings, facts, scoring.level)
    rows += drift_rows(evals, judged, facts, scoring, seed=seed)
    rows += position_rows(judged, facts, level=scoring.level)
    adjusted = stats.benjamini_hochberg([row.get("p_value") for row in rows])
    rows = [row | {"level": scoring.level, "p_adjusted": p} for row, p in zip(rows, adjusted, strict=True)]
    summary = pl.DataFrame([{name: row.get(name) for name in BIAS_ROWS} for row in rows], schema=BIAS_ROWS)
    return Forensics(
        sentence=_sentence(summary, scoring.level) if ratings else "No judge scored any answer.",
        summary=summary,
        warnings=warnings_frame(_warnings(people, summary)),
        notes=(),
        level=scoring.level,
    )


def _of_graders(judged: pl.DataFrame, grader: str | Sequence[str] | None) -> pl.DataFrame:
    if grader is None or grader == "judge":
        return judged
    names = as_names(grader)
    have = set(judged["grader"])
    for name in names:
        if name not in have:
            raise SelectorError.unknown(name, kind="judge", have=sorted(have))
    return judged.filter(pl.col("grader").is_in(names))


def _log_lengths(evals: Evals) -> pl.DataFrame:
    """Return log2 of the characters of each answer."""
    is_reply = (pl.col("role") == "assistant") & (pl.col("content").fill_null("") != "")
    replies = evals.turns.lazy().filter(is_reply).sort("turn").group_by(TRIAL_KEY, maintain_order=True)
    outputs = evals.outputs.with_columns(pl.col("output").str.len_chars())
    texts = outputs.join(
        replies.agg(pl.col("content").last().str.len_chars()), on=TRIAL_KEY, how="full", coalesce=True
    )
    size = pl.coalesce("output", "content").cast(pl.Float64)
    keys = texts.select(pl.col("run", "case").cast(pl.String), "epoch", size=size)
    return keys.filter(pl.col("size") > 0).with_columns(length=pl.col("size").log(2)).collect()


def _length_rows(
    scope: str, answers: pl.DataFrame, labelled: pl.DataFrame, lengths: pl.DataFrame, level: float, seed: int
) -> Iterator[Row]:
    known = answers.join(lengths, on=TRIAL_KEY, maintain_order="left")
    score, length, units = (known[name].to_numpy() for name in ("judge", "length", "unit"))
    e = correlate_ranks(score, length, units, level=level, seed=seed)
    text = f"Rank correlation of score and length {estimate_text(e)}. Longer answers may be better, so this alone is no bias."
    yield bias_row("length correlation", scope, e, known, text)
    if labelled.height:
        known = labelled.join(lengths, on=TRIAL_KEY, maintain_order="left")
        gap = (known["judge"] - known["reference"]).to_numpy()
        e = regress(gap, known["length"].to_numpy(), known["unit"].to_numpy(), level=level)
        text = f"Each doubling of the answer's length moves the judge by {estimate_text(e)} against people."
        yield bias_row("length effect", scope, e, known, text)


def _heaping_rows(scope: str, single: pl.DataFrame, labels: pl.DataFrame, level: float) -> Iterator[Row]:
    if single.is_empty():
        return
    mode, _ = _most_frequent(single["judge"])
    e = estimate_share(single["judge"].to_numpy() == mode, single["unit"].to_numpy(), level)
    text = f"{percent(e.estimate, 0)} of its scores are {mode:g}"
    scores = labels["score"].drop_nulls()
    if len(scores):
        top, share = _most_frequent(scores)
        text += f"; the most frequent human score is {top:g} ({percent(share, 0)} of {len(scores)})"
    yield bias_row("heaping", scope, e, single, f"{text}.")
    shares = single["judge"].value_counts().sort("judge")["count"].to_numpy() / single.height
    bits = abs(float(-(shares * np.log2(shares)).sum()))
    points, _, _ = scale_points(single)
    most = "" if points is None else f" of at most {np.log2(points.size):.2f} for {points.size} points"
    entropy = stats.Estimate(bits, None, None, level, "Shannon, bits", single.height)
    yield bias_row("entropy", scope, entropy, single, f"Its scores carry {bits:.2f} bits{most}.")


def _most_frequent(scores: pl.Series) -> tuple[float, float]:
    """Return the most frequent score (the highest of several) and its share."""
    score, count = scores.value_counts().sort("count", scores.name, descending=True).row(0)
    return score, count / len(scores)


def _leniency_rows(scope: str, answers: pl.DataFrame, labelled: pl.DataFrame, level: float) -> Iterator[Row]:
    cases = answers.group_by("unit", maintain_order=True).agg(pl.col("judge").mean())
    e = replace(stats.t_mean(cases["judge"].to_numpy(), level=level), method="t on case means")
    yield bias_row("mean", scope, e, answers, f"Its mean score is {estimate_text(e)}.")
    if labelled.height:
        e = _shift(labelled, level)
        reading = "not distinguishable from people's mean"
        if e.low is not None and e.high is not None and not e.low <= 0 <= e.high:
            reading = "more lenient than people" if e.low > 0 else "stricter than people"
        text = f"Judge minus people {estimate_text(e)}: {reading}."
        yield bias_row("leniency", scope, e, labelled, text)


def _rows_between(ratings: dict[str, pl.DataFrame], facts: AnswerFacts, level: float) -> Iterator[Row]:
    judges = list(ratings)
    for index, first in enumerate(judges):
        for second in judges[index + 1 :]:
            pairs = facts.describe(meet(ratings[second], ratings[first], ITEM, "score"))
            pairs = pairs.drop_nulls(["judge", "reference"])
            for criterion, is_criterion in criteria_of(pairs):
                part = pairs.filter(is_criterion)
                e = _shift(part, level)
                text = f"On the same answers {second} minus {first} is {estimate_text(e)}."
                yield bias_row("judges differ", f"{second} against {first} · {criterion}", e, part, text)


def _shift(pairs: pl.DataFrame, level: float) -> Estimate:
    return estimate_bias((pairs["judge"] - pairs["reference"]).to_numpy(), pairs["unit"].to_numpy(), level)


def _sentence(summary: pl.DataFrame, level: float) -> str:
    tested = summary.filter(pl.col("p_value").is_not_null())
    if tested.is_empty():
        return "Too little data for any test of the judge's bias."
    significant = tested.filter(pl.col("p_adjusted") < 1 - level).sort("p_adjusted")
    if significant.is_empty():
        tests = plural(tested.height, "test")
        return f"None of {tests} is significant after adjustment. That does not show that there is no effect."
    texts = [f"{row['scope']}: {row['text']}" for row in significant.head(3).iter_rows(named=True)]
    if significant.height > 3:
        texts.append(f"And {significant.height - 3} more.")
    verb = "is" if significant.height == 1 else "are"
    return f"{significant.height} of {tested.height} tests {verb} significant after adjustment. {' '.join(texts)}"


def _warnings(people: pl.DataFrame, summary: pl.DataFrame) -> Iterator[Warning]:
    if people.is_empty():
        yield no_labels("a judge's bias cannot be separated from the quality of the answers")
    tests = summary["p_value"].count()
    if tests > 1:
        text = f"{plural(tests, 'test')} were made. p_adjusted is Benjamini-Hochberg's over all of them."
        yield Warning("W08", "overall", text)
