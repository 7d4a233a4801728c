"""What to beware of in labels: too few of them, of one kind, or chosen. W12 to W16, W18, W06, W11."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from evalkit.agreement.estimates import share
from evalkit.agreement.ratings import ANSWER, Ratings
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW_LABELS: Final = 50
FEW_OF_CLASS: Final = 5
FEW_CASES: Final = 10


def find_doubts(ratings: Ratings, summary: pl.DataFrame, reference: str) -> Iterator[tuple[str, str, str]]:
    """Yield the warnings of an agreement: number, scope, text."""
    whole = summary.filter(pl.col("group") == "all")
    told = whole.filter(pl.col("kind") == "verdict").row(0, named=True)
    most = int(whole["n"].max() or 0)  # type: ignore[arg-type]
    if reference == "human" and not ratings.people:
        yield (
            "W12",
            "overall",
            "No person has labelled any of these: every score is what the judge says, not what people would say.",
        )
    elif most == 0:
        yield "W13", "overall", "No answer was rated by both."
    else:
        yield from few_labels(ratings, most, classes=bool(told["n"]), what="kappa")
    cases = int(whole["cases"].max() or 0)  # type: ignore[arg-type]
    if 0 < cases < FEW_CASES:
        yield (
            "W18",
            "overall",
            f"Only {plural(cases, 'case')} (or clusters) stand behind the intervals, however many answers they hold: trust them little.",
        )
    for row in whole.iter_rows(named=True):
        yield from _one_score(ratings, row)
    yield from _selected(ratings)
    if ratings.partly:
        yield (
            "W06",
            "verdict",
            f"{plural(ratings.partly, 'answer of the reference lacks', plural='answers of the reference lack')} a score on some criterion and therefore a verdict.",
        )
    lost = ratings.pairs.filter(pl.col("judge").is_null() & pl.col("reference").is_not_null()).height
    if lost:
        yield (
            "W06",
            "overall",
            f"{plural(lost, 'rating of the reference meets', plural='ratings of the reference meet')} no score of the judge: left out.",
        )
    if ratings.other_rubric:
        yield (
            "W11",
            "overall",
            f"{plural(ratings.other_rubric, 'label')} were given under another wording of the rubric than the judge's: a difference may be the wording's.",
        )


def few_labels(ratings: Ratings, most: int, *, classes: bool, what: str) -> Iterator[tuple[str, str, str]]:
    """Yield W13 where answers rated by both, or their passes or fails, are few."""
    found = []
    if most < FEW_LABELS:
        found.append(f"only {plural(most, 'answer')} rated by both ({FEW_LABELS} are wanted)")
    known = ratings.verdicts.filter(pl.col("judge").is_not_null())["reference"].drop_nulls()
    for word, words, count in (
        ("fail", "fails", int((known == 0).sum())),
        ("pass", "passes", int((known == 1).sum())),
    ):
        if classes and count < FEW_OF_CLASS:
            found.append(
                f"only {plural(count, word, plural=words)} of the reference ({FEW_OF_CLASS} are wanted)"
            )
    if found:
        text = "; ".join(found)
        yield "W13", "overall", f"{text[0].upper()}{text[1:]}: {what} is unstable."


def _one_score(ratings: Ratings, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """W14: one score dominates; W15: it is the only one."""
    if not row["n"]:
        return
    scope = row["scope"]
    frame = ratings.verdicts if row["kind"] == "verdict" else ratings.pairs
    both = frame.filter(pl.col("judge").is_not_null() & pl.col("reference").is_not_null())
    if row["kind"] != "verdict":
        both = both.filter(
            (pl.col("criterion") == scope) | (pl.concat_str("suite", pl.lit(" · "), "criterion") == scope)
        )
    scores = pl.concat([both["judge"], both["reference"]])
    top = scores.value_counts(sort=True).row(0)
    share = top[1] / len(scores)
    word = ("pass" if top[0] else "fail") if row["kind"] == "verdict" else f"{top[0]:g}"
    constant = [side for side in ("judge", "reference") if both[side].n_unique() == 1]
    if constant:
        who = " and ".join(f"the {side}" for side in constant)
        yield (
            "W15",
            scope,
            f"{scope}: {who} gave{' both' if len(constant) > 1 else ''} one score only, so agreement beyond chance is not defined or 0; they agree on {row['exact']:.0%} of {row['n']}.",
        )
    elif share > 0.8:
        other = (
            f"AC{1 if row['kind'] in ('verdict', 'binary') else 2} is {row['ac2']:.2f}"
            if row["ac2"] is not None
            else "see the raw share"
        )
        yield (
            "W14",
            scope,
            f"{scope}: {share:.0%} of the ratings are {word}, which deflates kappa; {other}, and they agree exactly on {row['exact']:.0%}.",
        )


def _selected(ratings: Ratings) -> Iterator[tuple[str, str, str]]:
    text = selection_words(ratings)
    if text:
        yield "W16", "overall", f"{text} The agreement holds for answers like the labelled ones."


def selection_words(ratings: Ratings) -> str:
    """Say so where the judge passes the labelled answers and the others at different rates, beyond chance."""
    judged = ratings.judged.filter(pl.col("judge").is_not_null())
    labelled = ratings.verdicts.filter(pl.col("reference").is_not_null()).select(ANSWER).unique()
    inside = judged.join(labelled, on=ANSWER, how="semi")
    outside = judged.join(labelled, on=ANSWER, how="anti")
    if inside.height < 5 or outside.height < 5:
        return ""
    ends = []
    for part in (inside, outside):
        codes = np.unique(part["unit"].to_numpy(), return_inverse=True)[1]
        ends.append(share(part["judge"].to_numpy() > 0.5, codes, 0.95))
    first, second = ends
    if None in (first.low, first.high, second.low, second.high):
        return ""
    # Newcombe's hybrid of the two intervals (1998): zero outside of it is no accident of sampling.
    p1, p2 = float(first.estimate or 0), float(second.estimate or 0)
    d = p1 - p2
    low = d - ((p1 - float(first.low or 0)) ** 2 + (float(second.high or 0) - p2) ** 2) ** 0.5
    high = d + ((float(first.high or 0) - p1) ** 2 + (p2 - float(second.low or 0)) ** 2) ** 0.5
    if low <= 0 <= high:
        return ""
    return f"The judge passes {p1:.0%} of the {plural(inside.height, 'labelled answer')} but {p2:.0%} of the {plural(outside.height, 'other')}: the labels are no random sample."
