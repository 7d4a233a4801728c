"""Describe an agreement in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.agreement.results import with_interval
from evalkit.util.format import level, number, percent
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.agreement.ratings import Ratings
    from evalkit.stats import Estimate

# Krippendorff's limits (2004, Content Analysis, ch. 11), applied to the ends of the interval.
RELIABLE: Final = 0.80
TENTATIVE: Final = 0.667


def read_kappa(kappa: Estimate) -> str:
    """Return the reading of a kappa, as in `Agreement.verdict`."""
    if kappa.low is None or kappa.high is None:
        is_perfect = kappa.estimate is not None and kappa.estimate > 1 - 1e-9
        return "no disagreement seen" if is_perfect else "not estimable"
    if kappa.low >= TENTATIVE:
        return "reliable" if kappa.low >= RELIABLE else "tentative"
    return "not reliable" if kappa.high < TENTATIVE else "not shown reliable"


def main_row(summary: pl.DataFrame) -> dict[str, Any] | None:
    """Return the row of the verdicts, else of the weakest criterion."""
    rows = summary.filter((pl.col("group") == "all") & pl.col("kappa").is_not_null())
    verdicts, criteria = (
        rows.filter((pl.col("kind") == "verdict") == is_verdict) for is_verdict in (True, False)
    )
    chosen = verdicts if verdicts.height else criteria.sort("kappa_low", "kappa", nulls_last=True)
    return chosen.row(0, named=True) if chosen.height else None


def agreement_sentence(ratings: Ratings, summary: pl.DataFrame, reference: str) -> str:
    """Describe the agreement in one sentence with its numbers."""
    sides = f"{ratings.judge} against {ratings.reference}"
    main = main_row(summary)
    if main is None:
        rows = summary.filter((pl.col("group") == "all") & (pl.col("reason") != ""))
        reasons = [
            *rows.sort("n", descending=True, maintain_order=True)["reason"],
            "no answer was rated by both",
        ]
        return f"{sides}: agreement is not estimable ({reasons[0]})."
    return f"{sides}: {' '.join(_sentences(ratings, summary, main, reference))}"


def _sentences(
    ratings: Ratings, summary: pl.DataFrame, main: dict[str, Any], reference: str
) -> Iterator[str]:
    is_verdict = main["kind"] == "verdict"
    reading = "no reading" if main["reading"] == "not estimable" else main["reading"]
    yield f"{reading} on {'pass/fail' if is_verdict else main['scope']}."
    n = f"n = {plural(main['n'], 'answer')} of {plural(main['cases'], 'case')}"
    yield f"Kappa {_interval_of(main, 'kappa')} ({level(main['level'])} {main['method']}, {n})."
    ratings_of = "verdict" if is_verdict else "score"
    yield f"They give {percent(main['exact'], 0)} of the answers the same {ratings_of}."
    if main["reading"] == "not shown reliable":
        yield f"The interval reaches below {TENTATIVE:g}, the minimum for tentative conclusions."
    if reference == "itself":
        yield f"Judged again, {percent(1 - main['exact'], 0)} of the {ratings_of}s changed."
        return
    criteria = summary.filter(pl.col("kind") != "verdict")
    weakest = main_row(criteria) if is_verdict else None
    if weakest and criteria.filter((pl.col("group") == "all") & pl.col("kappa").is_not_null()).height > 1:
        yield f"Weakest criterion: {weakest['scope']}, {_interval_of(weakest, 'kappa')}."
    if main["human_human"] is not None:
        between = f"{_interval_of(main, 'human_human')} ({plural(main['human_human_n'], 'answer')})"
        yield f"Two people agree with each other at {between}."
        if main["kappa_low"] is not None and main["kappa_low"] >= main["human_human"]:
            yield "The judge's lower end is at least as high."
    labels = ratings.rows.filter((pl.col("side") == "reference") & (pl.col("grader_kind") == "human"))
    if reference != "human" and labels.is_empty():
        yield "Two judges that agree can be wrong together."


def explanation(
    sentence: str, summary: pl.DataFrame, disagreements: pl.DataFrame, warnings: pl.DataFrame
) -> str:
    """Describe the agreement in a paragraph."""
    parts = [sentence]
    main = main_row(summary)
    if main is not None and main["bias"] is not None and main["kind"] != "verdict":
        parts.append(_bias_sentence(main))
    for row in summary.filter((pl.col("group") == "all") & (pl.col("kind") == "verdict")).iter_rows(
        named=True
    ):
        if row["sensitivity"] is not None and row["specificity"] is not None:
            passed, failed = (percent(row[name], 0) for name in ("sensitivity", "specificity"))
            parts.append(
                f"It passes {passed} of what the reference passes and fails {failed} of what it fails."
            )
    if disagreements.height:
        worst = disagreements.row(0, named=True)
        parts.append(
            f"They differ on {plural(disagreements.height, 'rating')}. The largest difference is case {worst['case']}, "
            f"{worst['criterion']}: {worst['judge']:g} against {worst['reference']:g}."
        )
    return " ".join([*parts, *warnings["text"].to_list()[:3]])


def _bias_sentence(row: dict[str, Any]) -> str:
    if row["bias_low"] is None or row["bias_low"] <= 0 <= row["bias_high"]:
        return "These cases do not show whether it scores higher or lower than the reference."
    direction = "higher" if row["bias"] > 0 else "lower"
    return f"It scores {number(abs(row['bias']))} {direction} than the reference on average."


def _interval_of(row: dict[str, Any], name: str) -> str:
    return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
