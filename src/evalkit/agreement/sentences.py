"""What an agreement is worth, in words: no adjectives of size, only limits that somebody has argued for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import polars as pl

from evalkit.agreement.finding import reach
from evalkit.util.words import plural

if TYPE_CHECKING:
    from evalkit.agreement.ratings import Ratings
    from evalkit.stats import Estimate

RELIABLE: Final = 0.80
TENTATIVE: Final = 0.667
"""Krippendorff's limits (2004, Content Analysis, ch. 11), held against the lower end of the interval."""


def read_kappa(kappa: Estimate) -> str:
    """Say what an agreement is worth, by the lower end of its interval; see `Agreement.verdict`."""
    if kappa.low is None or kappa.high is None:
        perfect = kappa.estimate is not None and kappa.estimate > 1 - 1e-9
        return "no disagreement seen" if perfect else "not estimable"
    if kappa.low >= TENTATIVE:
        return "reliable" if kappa.low >= RELIABLE else "tentative"
    return "not reliable" if kappa.high < TENTATIVE else "not shown reliable"


def main_row(summary: pl.DataFrame) -> dict[str, Any] | None:
    """Return the row that the sentence is about: the verdicts, or else the criterion with the lowest lower end."""
    whole = summary.filter((pl.col("group") == "all") & pl.col("kappa").is_not_null())
    verdicts = whole.filter(pl.col("kind") == "verdict")
    found = verdicts if verdicts.height else whole.sort("kappa_low", "kappa", nulls_last=True)
    return found.row(0, named=True) if found.height else None


def say(ratings: Ratings, summary: pl.DataFrame, main: dict[str, Any] | None, reference: str) -> str:
    """Say the reading in one line: the words, the numbers, the weakest criterion, people among themselves."""
    sides = f"{ratings.judge} against {ratings.reference}"
    if main is None:
        rows = summary.filter((pl.col("group") == "all") & (pl.col("reason") != ""))
        reasons = rows.sort("n", descending=True)["reason"].to_list()
        why = reasons[0] if reasons else "no answer was rated by both"
        return f"{sides}: agreement is not estimable ({why})."
    about = "pass/fail" if main["kind"] == "verdict" else main["scope"]
    reading = {"not estimable": "no reading"}.get(main["reading"], main["reading"])
    text = (
        f"{sides}: {reading} on {about}. Kappa {reach(main['kappa'], main['kappa_low'], main['kappa_high'])}"
    )
    text += f" ({main['level'] * 100:g}% {main['method']}, n = {plural(main['n'], 'answer')} of {plural(main['cases'], 'case')})"
    text += (
        f"; they give the same {'verdict' if main['kind'] == 'verdict' else 'score'} to {main['exact']:.0%}."
    )
    if main["reading"] == "not shown reliable":
        text += (
            f" The interval reaches below {TENTATIVE:g}, the least that permits even tentative conclusions."
        )
    if reference == "itself":
        return text + f" Asked again, it changed {1 - main['exact']:.0%} of them."
    weakest = _weakest(summary, main)
    text += f" Weakest criterion: {weakest}." if weakest else ""
    if main["human_human"] is not None:
        ceiling = reach(main["human_human"], main["human_human_low"], main["human_human_high"])
        text += f" Two people among themselves reach {ceiling} ({plural(main['human_human_n'], 'answer')})"
        low = main["kappa_low"]
        at_least = low is not None and low >= main["human_human"]
        text += ", no more than the judge's lower end." if at_least else "."
    if reference != "human" and not _human(ratings):
        text += " Two judges that agree can be wrong together."
    return text


class AgreementFacts(Protocol):
    """An agreement as its sentence reads it."""

    @property
    def sentence(self) -> str:
        """The main result in a sentence."""
        ...

    @property
    def summary(self) -> pl.DataFrame:
        """One row per scope and metric."""
        ...

    @property
    def disagreements(self) -> pl.DataFrame:
        """One row per disagreement."""
        ...

    @property
    def warnings(self) -> pl.DataFrame:
        """One row per warning."""
        ...


def explain(found: AgreementFacts) -> str:
    """Say what was found in a paragraph."""
    from evalkit.util.words import printable

    parts = [found.sentence]
    whole = found.summary.filter(pl.col("group") == "all")
    main = main_row(found.summary)
    if main is not None and main["bias"] is not None and main["kind"] != "verdict":
        parts.append(_bias_words(main))
    for row in whole.filter(pl.col("kind") == "verdict").iter_rows(named=True):
        if row["sensitivity"] is not None and row["specificity"] is not None:
            parts.append(
                f"Of what the reference passes it passes {row['sensitivity']:.0%}; of what the reference fails it fails {row['specificity']:.0%}."
            )
    if found.disagreements.height:
        worst = found.disagreements.row(0, named=True)
        parts.append(
            f"They differ on {plural(found.disagreements.height, 'rating')}; the widest gap is case {worst['case']}, "
            f"{worst['criterion']}: {worst['judge']:g} against {worst['reference']:g}."
        )
    return printable(" ".join([*parts, *found.warnings["text"].to_list()[:3]]))


def _human(ratings: Ratings) -> bool:
    side = ratings.rows.filter(pl.col("side") == "reference")
    return bool((side["grader_kind"] == "human").any())


def _weakest(summary: pl.DataFrame, main: dict[str, Any]) -> str:
    rows = summary.filter(
        (pl.col("group") == "all") & (pl.col("kind") != "verdict") & pl.col("kappa").is_not_null()
    ).sort("kappa_low", "kappa", nulls_last=True)
    if main["kind"] != "verdict" or rows.height < 2:
        return ""
    row = rows.row(0, named=True)
    return f"{row['scope']}, {reach(row['kappa'], row['kappa_low'], row['kappa_high'])}"


def _bias_words(row: dict[str, Any]) -> str:
    word = "higher" if row["bias"] > 0 else "lower"
    sure = row["bias_low"] is not None and (row["bias_low"] > 0 or row["bias_high"] < 0)
    if not sure:
        return "Whether it scores higher or lower than the reference cannot be told from these cases."
    return f"It scores {abs(row['bias']):.2f} {word} than the reference on average."
