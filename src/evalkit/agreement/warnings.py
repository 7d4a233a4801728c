"""Warnings about labels: too few, of one kind, or selected (W06, W11 to W16, W18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.agreement.estimates import estimate_share
from evalkit.agreement.ratings import ANSWER, Ratings
from evalkit.util.format import number, percent
from evalkit.util.notes import Warning
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW_LABELS: Final = 50
FEW_OF_CLASS: Final = 5
FEW_CASES: Final = 10
DOMINANT_SHARE: Final = 0.8


def agreement_warnings(
    ratings: Ratings, summary: pl.DataFrame, reference: str, *, conflicts: int = 0
) -> Iterator[Warning]:
    """Yield the warnings of an agreement."""
    rows = summary.filter(pl.col("group") == "all")
    most, cases = (int(rows[name].max() or 0) for name in ("n", "cases"))  # type: ignore[arg-type]
    if reference == "human" and not ratings.people:
        yield no_labels("every score is the judge's, not people's")
    elif most == 0:
        yield Warning("W13", "overall", "No answer was rated by both.")
    else:
        has_verdicts = rows.filter(pl.col("kind") == "verdict")["n"].sum() > 0
        yield from few_labels(ratings, most, has_verdicts=has_verdicts, what="kappa")
    yield from few_cases(cases)
    for row in rows.iter_rows(named=True):
        yield from _dominant_score(ratings, row)
    if selection := describe_selection(ratings):
        yield Warning("W16", "overall", f"{selection} The agreement holds for answers like the labeled ones.")
    if conflicts:
        text = f"{plural(conflicts, 'answer')} left out: sources hold another output for them, so the raters saw different answers."
        yield Warning("W23", "overall", text)
    if ratings.incomplete:
        text = f"{plural(ratings.incomplete, 'answer')} without a verdict of the reference, which left a criterion unscored."
        yield Warning("W06", "verdict", text)
    lost = ratings.pairs.filter(pl.col("judge").is_null() & pl.col("reference").is_not_null()).height
    if lost:
        text = f"{plural(lost, 'rating')} of the reference left out: the judge gave no score."
        yield Warning("W06", "overall", text)
    if ratings.other_rubric:
        text = f"{plural(ratings.other_rubric, 'label')} given under another wording of the rubric than the judge's. Differences may come from the wording."
        yield Warning("W11", "overall", text)


def no_labels(consequence: str) -> Warning:
    """Return W12."""
    return Warning("W12", "overall", f"No human labels: {consequence}.")


def few_cases(cases: int) -> Iterator[Warning]:
    """Yield W18 for fewer than ten cases."""
    if 0 < cases < FEW_CASES:
        text = (
            f"Only {plural(cases, 'case')} (or clusters), however many answers: the intervals are unreliable."
        )
        yield Warning("W18", "overall", text)


def few_labels(ratings: Ratings, most: int, *, has_verdicts: bool, what: str) -> Iterator[Warning]:
    """Yield W13 for few answers rated by both, or few passes or fails."""
    parts = []
    if most < FEW_LABELS:
        parts.append(f"only {plural(most, 'answer')} rated by both (at least {FEW_LABELS} needed)")
    known = ratings.verdicts.filter(pl.col("judge").is_not_null())["reference"].drop_nulls()
    for verdict, name, names in ((0, "fail", "fails"), (1, "pass", "passes")):
        count = int((known == verdict).sum())
        if has_verdicts and count < FEW_OF_CLASS:
            parts.append(
                f"only {plural(count, name, plural=names)} of the reference (at least {FEW_OF_CLASS} needed)"
            )
    if parts:
        text = "; ".join(parts)
        yield Warning("W13", "overall", f"{text[0].upper()}{text[1:]}: {what} is unstable.")


def _dominant_score(ratings: Ratings, row: dict[str, Any]) -> Iterator[Warning]:
    """Yield W14 if one score dominates, W15 if it is the only one of a side."""
    if not row["n"]:
        return
    scope, is_verdict = row["scope"], row["kind"] == "verdict"
    both = (ratings.verdicts if is_verdict else ratings.pairs).drop_nulls(["judge", "reference"])
    if not is_verdict:
        with_suite = pl.concat_str("suite", pl.lit(" · "), "criterion")
        both = both.filter((pl.col("criterion") == scope) | (with_suite == scope))
    scores = pl.concat([both["judge"], both["reference"]])
    top, count = scores.value_counts(sort=True).row(0)
    exact = f"they agree exactly on {percent(row['exact'], 0)}"
    constant = [f"the {side}" for side in ("judge", "reference") if both[side].n_unique() == 1]
    if constant:
        text = f"{scope}: {' and '.join(constant)} gave one score only, so agreement beyond chance is undefined or 0; {exact} of {row['n']}."
        yield Warning("W15", scope, text)
    elif count / len(scores) > DOMINANT_SHARE:
        name = ("pass" if top else "fail") if is_verdict else f"{top:g}"
        coefficient = "AC1" if row["kind"] in ("verdict", "binary", "nominal") else "AC2"
        text = f"{scope}: {percent(count / len(scores), 0)} of the ratings are {name}, which deflates kappa; {coefficient} is {number(row['ac2'])}, and {exact}."
        yield Warning("W14", scope, text)


def describe_selection(ratings: Ratings) -> str:
    """Describe how labelled answers differ in pass rate beyond chance, or ""."""
    judged = ratings.judged.drop_nulls("judge")
    labelled = ratings.verdicts.drop_nulls("reference").select(ANSWER).unique()
    inside, outside = (judged.join(labelled, on=ANSWER, how=how) for how in ("semi", "anti"))
    if inside.height < 5 or outside.height < 5:
        return ""
    first, second = (
        estimate_share(part["judge"].to_numpy() > 0.5, part["unit"].to_numpy(), 0.95)
        for part in (inside, outside)
    )
    ends = (first.estimate, first.low, first.high, second.estimate, second.low, second.high)
    if None in ends:
        return ""
    p1, low1, high1, p2, low2, high2 = (float(end or 0) for end in ends)
    # Newcombe's hybrid of the two intervals (1998): zero outside of it is no accident of sampling.
    low = p1 - p2 - ((p1 - low1) ** 2 + (high2 - p2) ** 2) ** 0.5
    high = p1 - p2 + ((high1 - p1) ** 2 + (p2 - low2) ** 2) ** 0.5
    if low <= 0 <= high:
        return ""
    shares = f"{percent(p1, 0)} of {plural(inside.height, 'labeled answer')} but {percent(p2, 0)} of {outside.height:,} others"
    return f"The judge passes {shares}: the labels are not a random sample."
