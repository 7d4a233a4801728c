"""The same answers judged under two versions of a rubric or a prompt: what the rewording did to the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit import stats
from evalkit.agreement.estimates import estimate_agreement, scale_points
from evalkit.agreement.finding import finding, nothing_found, number, reach
from evalkit.agreement.ratings import ANSWER, grade_sides, meet
from evalkit.grading.version_order import natural_key
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.stats import Estimate

_ITEM: Final = [*ANSWER, "criterion"]
NEEDED: Final = (
    "No answer was judged under two versions. Needed: rows of the same answer, criterion and judge with "
    "different rubric_hash or prompt_hash."
)


def find_drift(
    evals: Evals,
    judged: pl.DataFrame,
    rule: PassRule,
    dressed: Callable[[pl.DataFrame], pl.DataFrame],
    *,
    level: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Return rows: shift of the mean, share of verdicts that flip, and kappa between the first and the last version.

    A judge is its model (its name where no model is known); versions are in the order in which they were read.
    """
    who = pl.coalesce(pl.col("judge_model").replace("", None), "grader").alias("rater")
    version = pl.concat_str(["rubric_hash", pl.col("prompt_hash").fill_null("")], separator="\x1f")
    named = judged.with_columns(who, _version=version, _at=pl.int_range(pl.len()))
    key = ["rater", *_ITEM]
    each = (
        named.group_by(*key, "_version", maintain_order=True)
        .agg(pl.col("score").mean(), pl.col("_at").min())
        .filter(pl.col("_version").n_unique().over(key) > 1)
    )
    first = each.filter(pl.col("_at") == pl.col("_at").min().over(key)).select(*key, "score")
    last = each.filter(pl.col("_at") == pl.col("_at").max().over(key)).select(*key, "score")
    if first.is_empty():
        return [nothing_found("drift", NEEDED)]
    rows = []
    for (judge,), before in first.partition_by("rater", as_dict=True, maintain_order=True).items():
        after = last.filter(pl.col("rater") == judge)
        pairs = dressed(meet(after, before, _ITEM, value="score")).drop_nulls(["judge", "reference"])
        for suite, name in sorted(pairs.select("suite", "criterion").unique().iter_rows(), key=natural_key):
            part = pairs.filter((pl.col("suite") == suite) & (pl.col("criterion") == name))
            rows += _of_scope(f"{judge or 'the judge'} · {name}", part, level, seed, verdict=False)
        sides = {
            "judge": after.with_columns(rater=pl.lit("")),
            "reference": before.with_columns(rater=pl.lit("")),
        }
        told, refused = grade_sides(evals, sides, named.filter(pl.col("rater") == judge), rule)
        if not refused:
            both = dressed(meet(told["judge"], told["reference"], ANSWER, value="verdict"))
            rows += _of_scope(
                f"{judge or 'the judge'} · verdict",
                both.drop_nulls(["judge", "reference"]),
                level,
                seed,
                verdict=True,
            )
    return rows


def _of_scope(
    scope: str, part: pl.DataFrame, level: float, seed: int, *, verdict: bool
) -> list[dict[str, Any]]:
    import numpy as np

    if part.is_empty():
        return []
    points, why, _ = (np.array([0.0, 1.0]), "", "") if verdict else scale_points(part)
    judge, reference, units = (part[name].to_numpy() for name in ("judge", "reference", "unit"))
    made, _ = estimate_agreement(judge, reference, units, points=points, why=why, level=level, seed=seed)
    n, cases = part.height, part["unit"].n_unique()
    shift, same, kappa = made["bias"], made["exact"], made["kappa"]
    what = "verdict" if verdict else "score"
    changed = None if same.estimate is None else 1 - same.estimate
    rows = []
    if not verdict:
        text = f"Under the new version the same answers score {reach(shift.estimate, shift.low, shift.high)}."
        rows.append(finding("drift", scope, shift, n, cases, text))
    flips = stats.Estimate(
        changed,
        None if same.high is None else 1 - same.high,
        None if same.low is None else 1 - same.low,
        level,
        same.method,
        n,
        status=same.status,
        reason=same.reason,
    )
    if verdict:
        flips = _with_p(flips, shift)
    share = "" if changed is None else f"{changed:.0%} of {plural(n, 'answer')} changed in {what}"
    rows.append(
        finding("drift flips", scope, flips, n, cases, f"{share} (mean {what} {number(shift.estimate)}).")
    )
    text = f"Kappa between the versions {reach(kappa.estimate, kappa.low, kappa.high)}."
    return [*rows, finding("drift kappa", scope, kappa, n, cases, text)]


def _with_p(flips: Estimate, shift: Estimate) -> Estimate:
    from dataclasses import replace

    return replace(
        flips, p_value=shift.p_value, method=f"{flips.method}; p of the shift, paired t on case means"
    )
