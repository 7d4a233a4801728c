"""A comparison in words: what each number looks like, and what is said of none, one and many."""

from __future__ import annotations

import polars as pl
import pytest

from evalkit.compare.compare import compare
from evalkit.compare.sentences import SUMMARY_HEADS, interval_text, summary_cells
from evalkit.data.evals import Evals

Row = dict[str, object]


def row_of(**fields) -> Row:
    return {
        "scope": "overall",
        "metric": "pass_rate",
        "baseline": 0.9,
        "candidate": 0.8,
        "difference": -0.1,
        "low": -0.21,
        "high": 0.012,
        "p_adjusted": 0.04,
        "n": 21,
        "level": 0.95,
        "method": "Tango",
        "verdict": "inconclusive",
        "reason": "",
        **fields,
    }


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "[−21.0, +1.2]"),
        ({"metric": "mean_score", "low": -0.5, "high": 0.25}, "[−0.50, +0.25]"),
        ({"low": None, "high": None, "reason": "no pairs"}, "no interval: no pairs"),
    ],
)
def test_an_interval_as_words(fields, text):
    assert interval_text(row_of(**fields)) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, ""), (0.04, "0.040"), (0.001, "0.001"), (0.00099, "< 0.001"), (1.0, "> 0.999")],
)
def test_the_p_value_of_a_table(p, text):
    assert summary_cells(row_of(p_adjusted=p))[6] == text


def test_the_cells_of_a_table_are_in_the_order_of_its_heads():
    assert dict(zip(SUMMARY_HEADS, summary_cells(row_of()), strict=True)) == {
        "Scope": "overall",
        "Metric": "pass rate",
        "Baseline": "90.0%",
        "Candidate": "80.0%",
        "Difference": "−10.0 points",
        "Interval": "[−21.0, +1.2]",
        "p (adjusted)": "0.040",
        "n": "21",
        "Method": "95% Tango",
        "Verdict": "inconclusive",
    }
    scores = summary_cells(row_of(metric="mean_score", baseline=4.125, candidate=None, difference=None))
    assert scores[1:5] == ["mean score", "4.12", "unknown", "unknown"]


def change_of(old: list[list[float]], new: list[list[float]], severity: str | None = None):
    versions = {"v1": old, "v2": new}
    rows = [
        (version, f"{at:02}", epoch, score)
        for version, cases in versions.items()
        for at, scores in enumerate(cases)
        for epoch, score in enumerate(scores, 1)
    ]
    scores = pl.DataFrame(rows, schema=["run", "case", "epoch", "score"], orient="row")
    evals = Evals.from_tables(
        cases=pl.DataFrame(
            {"suite": "s", "case": [f"{at:02}" for at in range(len(old))], "severity": severity},
            schema_overrides={"severity": pl.String},
        ),
        criteria=pl.DataFrame({"suite": "s", "criterion": ["a"], "scale_min": 1.0, "scale_max": 5.0}),
        runs=pl.DataFrame({"run": list(versions), "suite": "s", "agent_version": list(versions)}),
        scores=scores.with_columns(criterion=pl.lit("a"), grader_kind=pl.lit("judge")),
    )
    return compare(evals, baseline="v1", candidate="v2")


def test_the_sentence_tells_repeated_trials_from_single_ones():
    single = change_of([[5], [2]], [[5], [2]]).sentence
    repeated = change_of([[5, 5], [2, 2]], [[5, 5], [2, 2]]).sentence

    assert "n = 2 cases" in single
    assert "trials each" not in single
    assert "n = 2 cases, 2 trials each" in repeated


@pytest.mark.parametrize(
    ("old", "new", "words", "unsaid"),
    [
        ("+-", "+-", ["No case changed its verdict."], ["passed before and fail", "failed before and"]),
        ("+-", "--", ["Case 00 passed before and fails now"], ["No case changed", "failed before and"]),
        (
            "+-",
            "++",
            ["Case 01 failed before and passes now."],
            ["No case changed", "passed before and fail"],
        ),
        ("+++++", "-----", ["Case 00, case 01, case 02 and 2 more passed before and fail now"], ["case 03"]),
    ],
)
def test_the_paragraph_names_the_cases_that_changed(old, new, words, unsaid):
    meant = {"+": [5.0], "-": [2.0]}

    text = change_of([meant[sign] for sign in old], [meant[sign] for sign in new]).explain()

    assert all(part in text for part in words)
    assert not any(part in text for part in unsaid)


@pytest.mark.parametrize(
    ("count", "severity", "words"),
    [
        (
            3,
            None,
            "; case 00 fails (0/1, was 1/1), case 01 fails (0/1, was 1/1), case 02 fails (0/1, was 1/1).",
        ),
        (4, None, "; 4 cases regressed, 0 improved."),
        (4, "high", "; 4 cases regressed (4 high), 0 improved."),
    ],
)
def test_the_sentence_names_up_to_three_regressions(count, severity, words):
    assert words in change_of([[5.0]] * count, [[2.0]] * count, severity).sentence
