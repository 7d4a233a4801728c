"""Labels of people in the same table as the judge's scores."""

from __future__ import annotations

import polars as pl
import pytest

from evalkit.agreement.agreement import agreement
from evalkit.readers.load import load
from evalkit.util.errors import FormatError

ANSWERS = pl.DataFrame(
    {
        "ticket": ["t1", "t2", "t3", "t4"],
        "tone_llm": [4, 2, None, 5],
        "tone_llm_reason": ["kind", "curt", None, "kind"],
        "annotator_tone": ["3", None, "", "N/A"],
        "annotator": ["maria", None, None, "joe"],
    }
)
JUDGED = {
    "case": "ticket",
    "criteria": {"tone_llm": "tone"},
    "rationale": "{column}_reason",
    "scale": [1, 5],
    "run": {"value": "v1"},
}
LABELLED = {**JUDGED, "people": {"annotator_tone": "tone"}}


def test_labels_beside_the_judges_scores_are_judgements_of_people() -> None:
    evals = load(ANSWERS, mapping=LABELLED)

    rows = evals.scores.select("case", "grader", "grader_kind", "score", "rationale").rows()
    assert rows[:4] == [
        ("t1", "judge", "judge", 4.0, "kind"),
        ("t2", "judge", "judge", 2.0, "curt"),
        ("t3", "judge", "judge", None, None),
        ("t4", "judge", "judge", 5.0, "kind"),
    ]
    # What nobody labelled is no row; the judge's reason is not the person's; N/A is no label, and kept as a word.
    assert rows[4:] == [("t1", "maria", "human", 3.0, None), ("t4", "joe", "human", None, None)]
    assert evals.problems.is_empty()
    assert evals.scores.filter(case="t4", grader="joe")["label"].item() == "N/A"
    assert evals.criteria.select("criterion", "scale_max").rows() == [("tone", 5.0)]
    assert agreement(evals).summary.filter(scope="tone")["n"].item() == 1


@pytest.mark.parametrize(
    ("told", "grader"),
    [({}, "person"), ({"rater": "annotator"}, "maria"), ({"rater": "the team"}, "the team")],
)
def test_the_rater_is_a_column_a_name_or_a_person(told: dict[str, str], grader: str) -> None:
    answers = ANSWERS if told else ANSWERS.drop("annotator")
    people = load(answers, mapping=LABELLED | told).scores.filter(grader_kind="human")
    assert people["grader"][0] == grader


def test_a_column_of_names_with_gaps_does_not_say_who_judged() -> None:
    evals = load(ANSWERS, mapping=JUDGED)
    assert evals.scores["grader"].unique().to_list() == ["judge"]
    assert "Columns not read: annotator, annotator_tone." in map(str, evals.notes)
    assert load(ANSWERS.fill_null("joe"), mapping=JUDGED).scores["grader"].unique().to_list()[0] != "judge"


def test_a_table_of_a_persons_labels_alone_has_no_row_for_what_was_not_labelled() -> None:
    mapping = {**JUDGED, "criteria": {"annotator_tone": "tone"}, "rationale": None, "grader_kind": "human"}
    people = load(ANSWERS, mapping=mapping)
    assert people.scores["case"].to_list() == ["t1", "t4"]
    both = load(ANSWERS, mapping={**JUDGED, "grader": "llm"}) + people
    assert both.problems.is_empty()


def test_a_guess_tells_the_labels_of_people_from_the_judges_scores() -> None:
    evals = load(ANSWERS.rename({"annotator_tone": "human_tone"}).with_columns(human_tone=pl.lit(4)))
    kinds = evals.scores.select("criterion", "grader", "grader_kind").unique(maintain_order=True).rows()
    assert kinds == [
        ("tone", "llm", "judge"),
        *(("tone", who, "human") for who in ("maria", "person", "joe")),
    ]


def test_labels_stand_beside_a_column_a_criterion_only() -> None:
    with pytest.raises(FormatError, match="people and criterion"):
        load(ANSWERS, mapping={"case": "ticket", "criterion": "annotator", "people": ["annotator_tone"]})
