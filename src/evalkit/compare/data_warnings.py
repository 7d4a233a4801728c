"""Warnings of what the data lack: scores that are not missing at random, directions that nobody declared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit.compare.pairs import SIDES
from evalkit.data.schema import TRIAL_KEY
from evalkit.grading.grade import grade_trial_criteria
from evalkit.util.format import p_value, percent
from evalkit.util.notes import Warning
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.compare.pairs import Pairs
    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring

_ALPHA: Final = 0.05
# Fewer trials with a missing score show nothing.
_LEAST: Final = 5
# Cases that are enough to see what missing scores go with.
_SAMPLE: Final = 2000
_LOWER_NAMES: Final = re.compile(
    r"(?i)(?:^|[^a-z])(?:toxic(?:ity)?|bias|hallucinations?|harm(?:ful(?:ness)?)?|error(?:s|_rate)?|hate|violence|unsafe|risk"
    r"|stereotype|violations?|perplexity|loss|wer|cer|leak(?:age)?)(?:$|[^a-z])"
)


def warn_of_directions(evals: Evals, pairs: Pairs) -> Iterator[Warning]:
    """Yield W27 for a criterion whose name says that lower is better, if no direction is declared."""
    used = set(evals.judged.filter(pl.col("run").is_in(pairs.all_runs))["criterion"].cast(pl.String))
    declared = set(evals.criteria.filter(pl.col("direction").is_not_null())["criterion"].cast(pl.String))
    names = sorted(name for name in used - declared if _LOWER_NAMES.search(name))
    if names:
        text = f"Higher counts as better for {join_words(names, limit=4)}, and the name says otherwise."
        fix = "Declare the direction, lower or higher, in the mapping or the suite."
        yield Warning("W27", "overall", text, fix)


def warn_of_missing(evals: Evals, pairs: Pairs, scoring: Scoring) -> Iterator[Warning]:
    """Yield W28 if missing scores go with the version or with the other scores: then leaving them out misleads.

    By version: sign flips of the difference of each case's share of unscored trials. By the other scores: the rate at
    which the present scores pass, of trials with and without a missing one, by sign flips over the cases that have both.
    """
    from evalkit import stats

    sides = pairs.sides
    if sides["unscored"].sum() < _LEAST:
        return
    share = pl.col("unscored").sum() / (pl.col("trials") + pl.col("unscored")).sum()
    cells = sides.group_by("suite", "case", "side").agg(share=share)
    wide = cells.pivot("side", index=["suite", "case"], values="share")
    if set(SIDES) <= set(wide.columns):
        wide = wide.drop_nulls(SIDES).sort(pl.col("suite", "case").cast(pl.String))
        p = stats.sign_flip((wide["candidate"] - wide["baseline"]).to_numpy())
        if p < _ALPHA:
            each = " and ".join(f"{percent(wide[side].mean())} of the {side}" for side in SIDES)  # type: ignore[arg-type]
            text = f"Missing scores go with the version: {each} are unscored ({p_value(p)}, sign flips over cases)."
            yield Warning("W28", "overall", text, "Judge the missing ones before you compare.")
    names = sides["case"].unique().sort()
    if len(names) > _SAMPLE:
        names = names.sample(_SAMPLE, seed=0)
    part = evals.filter(run=pairs.all_runs, case=names)
    rows = grade_trial_criteria(part, scoring)
    trials = rows.group_by("suite", "case", *TRIAL_KEY[::2]).agg(
        lacks=pl.col("score").is_null().any(),
        passes=(pl.col("verdict") == "pass").sum(),
        n=pl.col("score").count(),
    )
    by_case = (
        trials.filter(pl.col("n") > 0)
        .group_by("suite", "case", "lacks")
        .agg(rate=pl.col("passes").sum() / pl.col("n").sum())
    )
    both = by_case.pivot("lacks", index=["suite", "case"], values="rate")
    if {"true", "false"} <= set(both.columns):
        both = both.drop_nulls(["true", "false"]).sort(pl.col("suite", "case").cast(pl.String))
        p = stats.sign_flip((both["true"] - both["false"]).to_numpy()) if both.height else 1.0
        if p < _ALPHA:
            rates = percent(both["true"].mean()), percent(both["false"].mean())
            text = (
                f"Missing scores go with the other scores: beside a missing one {rates[0]} of them pass, "
                f"elsewhere {rates[1]} ({p_value(p)}, sign flips over cases)."
            )
            yield Warning("W28", "overall", text, "Judge the missing ones before you compare.")
