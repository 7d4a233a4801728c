"""People's scores: every rater is kept, and where only people scored, their scores count."""

from __future__ import annotations

import polars as pl
import pytest

import evalkit as ek
from evalkit.util.errors import SelectorError


def _labels(raters):
    """Six answers, a column of scores and one of raters; the first two raters agree on four of six."""
    scores = {"ann": [1, 2, 3, 4, 5, 5], "bob": [1, 2, 3, 4, 4, 4], "cat": [5, 5, 5, 5, 5, 5]}
    rows = [(case, rater, scores[rater][case]) for rater in raters for case in range(6)]
    return pl.DataFrame(rows, schema=["case_id", "rater", "tone"], orient="row")


MAPPING = {
    "case": "case_id",
    "criteria": ["tone"],
    "scale": [1, 5],
    "grader": "rater",
    "run": {"value": "v1"},
}
PEOPLE = {**MAPPING, "grader_kind": {"value": "human"}}


def test_a_rater_column_beside_a_column_of_scores_keeps_every_judgement():
    evals = ek.load(_labels(["ann", "bob"]), mapping=MAPPING)

    assert (evals.scores.height, evals.problems.height) == (12, 0)
    assert evals.scores.group_by("grader").len().sort("grader").rows() == [("ann", 6), ("bob", 6)]


def test_a_repeated_row_of_one_rater_is_still_a_problem():
    evals = ek.load(pl.concat([_labels(["ann"]), _labels(["ann"])]), mapping=MAPPING, strict=False)

    assert (evals.scores.height, evals.problems.height) == (6, 6)


def test_two_people_without_a_judge_agree_with_each_other():
    found = ek.agreement(ek.load(_labels(["bob", "ann"]), mapping=PEOPLE))

    row = found.summary.filter(scope="tone").row(0, named=True)
    assert (found.judge, found.reference) == ("bob", "ann")
    assert (row["n"], row["exact"]) == (6, pytest.approx(4 / 6))


def test_of_three_people_two_are_asked_for():
    with pytest.raises(SelectorError) as refused:
        ek.agreement(ek.load(_labels(["ann", "bob", "cat"]), mapping=PEOPLE))

    assert refused.value.choices == ("ann", "bob", "cat")


def test_a_set_that_only_people_scored_is_summarized_and_compared_by_their_scores():
    rows = [
        (f"{case}", version, score, "maria")
        for case in range(6)
        for version, score in (("v1", case % 2), ("v2", 1))
    ]
    table = pl.DataFrame(rows, schema=["case_id", "version", "correct", "annotator"], orient="row")
    mapping = {"case": "case_id", "criteria": ["correct"], "scale": [0, 1], "grader": "annotator"}
    evals = ek.load(table, mapping={**mapping, "grader_kind": {"value": "human"}})

    rates = ek.summarize(evals)
    change = ek.compare(evals)

    assert rates.select("agent_version", "passed", "trials", "unscored").rows() == [
        ("v1", 3, 6, 0),
        ("v2", 6, 6, 0),
    ]
    assert change.estimates["difference"][0] == 0.5
    assert "W12" in change.warnings["id"].to_list()


def test_people_do_not_count_beside_a_judge_unless_asked():
    judge = ek.load(_labels(["cat"]), mapping={**MAPPING, "grader_kind": {"value": "judge"}})
    people = ek.load(_labels(["ann"]), mapping=PEOPLE)

    both = judge + people

    assert ek.summarize(both)["mean_score"].to_list() == [5.0]
    assert ek.summarize(both, grader="human")["mean_score"].item() == pytest.approx(20 / 6)
