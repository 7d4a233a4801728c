"""Measure rubric drift: the same answers under two versions of a rubric."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.agreement.estimates import estimate_pairs
from evalkit.agreement.ratings import ANSWER, ITEM, AnswerFacts, criteria_of, grade_sides, meet
from evalkit.agreement.results import Row, bias_row, estimate_text, missing_row
from evalkit.util.format import number, percent
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring

NEEDED: Final = (
    "No answer was judged under two versions. Needed: rows of the same answer, criterion and judge with "
    "different rubric_hash or prompt_hash."
)


def drift_rows(
    evals: Evals, judged: pl.DataFrame, facts: AnswerFacts, scoring: Scoring, *, seed: int
) -> list[Row]:
    """Return shift, flips and kappa between first and last version of each judge.

    A judge is its model, else its name. Versions are in reading order.
    """
    rater = pl.coalesce(pl.col("judge_model").replace("", None), "grader").alias("rater")
    version = pl.concat_str(["rubric_hash", pl.col("prompt_hash").fill_null("")], separator="\x1f")
    named = judged.with_columns(rater, _version=version, _position="_row")
    key, position = ["rater", *ITEM], pl.col("_position")
    each = (
        named.group_by(*key, "_version", maintain_order=True)
        .agg(pl.col("score").mean(), position.min())
        .filter(pl.col("_version").n_unique().over(key) > 1)
    )
    first, last = (
        each.filter(position == end.over(key)).select(*key, "score")
        for end in (position.min(), position.max())
    )
    rows: list[Row] = []
    for (judge,), before in first.partition_by("rater", as_dict=True, maintain_order=True).items():
        name, after = judge or "the judge", last.filter(pl.col("rater") == judge)
        options: dict[str, Any] = {"level": scoring.level, "seed": seed}
        pairs = facts.describe(meet(after, before, ITEM, "score")).drop_nulls(["judge", "reference"])
        for criterion, is_criterion in criteria_of(pairs):
            rows += _rows(f"{name} · {criterion}", pairs.filter(is_criterion), **options)
        sides = {"judge": after, "reference": before}
        sides = {side: ratings.with_columns(rater=pl.lit("")) for side, ratings in sides.items()}
        mine = named.filter(pl.col("rater") == judge)
        graded, refused = grade_sides(evals, sides, mine, scoring.rule)
        if not refused:
            verdicts = facts.describe(meet(graded["judge"], graded["reference"], ANSWER, "verdict"))
            verdicts = verdicts.drop_nulls(["judge", "reference"])
            rows += _rows(f"{name} · verdict", verdicts, is_verdict=True, **options)
    return rows or [missing_row("drift", NEEDED)]


def _rows(
    scope: str, pairs: pl.DataFrame, *, level: float, seed: int, is_verdict: bool = False
) -> Iterator[Row]:
    if pairs.is_empty():
        return
    estimates = estimate_pairs(pairs, is_verdict=is_verdict, level=level, seed=seed).measures
    shift, same, kappa = (estimates[name] for name in ("bias", "exact", "kappa"))
    if not is_verdict:
        text = f"Under the new version the same answers score {estimate_text(shift)}."
        yield bias_row("drift", scope, shift, pairs, text)
    estimate, low, high = (None if x is None else 1 - x for x in (same.estimate, same.high, same.low))
    flips = replace(same, estimate=estimate, low=low, high=high)
    if is_verdict:
        method = f"{same.method}; p of the shift, paired t on case means"
        flips = replace(flips, p_value=shift.p_value, method=method)
    kind = "verdict" if is_verdict else "score"
    text = f"{percent(estimate, 0)} of {plural(pairs.height, kind)} changed (mean change {number(shift.estimate)})."
    yield bias_row("drift flips", scope, flips, pairs, text)
    text = f"Kappa between the versions {estimate_text(kappa)}."
    yield bias_row("drift kappa", scope, kappa, pairs, text)
