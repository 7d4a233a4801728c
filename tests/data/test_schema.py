"""The six tables: check raises, filter splits."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.data.schema import CASES, SCORES, SEVERITIES, TABLES, TRIALS, Problem
from evalkit.util.errors import ColumnError


def scores(**columns) -> pl.DataFrame:
    return pl.DataFrame(
        {"run": ["r", "r"], "case": ["01", "02"], "criterion": ["a", "a"], **columns}, strict=False
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_every_column_says_what_it_means_and_an_empty_table_passes_its_own_check(table):
    assert all(column.doc and column.doc.endswith((".", "}")) for column in table.columns)
    assert set(table.key) <= set(table.schema)
    assert table.check(table.empty()).equals(table.empty())


def test_severities_are_ordered_from_low_to_critical():
    frame = CASES.check(
        pl.DataFrame({"case": ["a", "b", "c", "d"], "severity": ["high", "low", "critical", "medium"]})
    )

    assert frame.sort("severity", descending=True)["severity"].to_list() == list(SEVERITIES[::-1])


def test_a_check_fills_what_may_be_left_out_and_drops_what_no_table_has():
    frame = SCORES.check(scores(score=[4, None], mood=["x", "y"]))

    assert list(frame.schema) == list(SCORES.schema)
    assert frame["epoch"].to_list() == [1, 1]
    assert frame["sample"].to_list() == [1, 1]
    assert frame["grader"].to_list() == ["", ""]
    assert frame["score"].to_list() == [4.0, None]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"score": ["4", "good"]}, "Row 2 of scores.score is 'good'. Expected a finite number"),
        ({"score": [4.0, float("nan")]}, "scores.score is nan"),
        ({"score": [4.0, float("inf")]}, "scores.score is inf"),
        ({"epoch": [1, 1.5]}, "scores.epoch is 1.5. Expected a whole number"),
        ({"grader_kind": ["judge", "robot"]}, "'robot'. Expected judge, human or code"),
        ({"case": ["01", None]}, r"scores.case has 1 null, first in row 2"),
        ({"case": ["01", "01"]}, "2 rows share a key, first run 'r', case '01', epoch 1, criterion 'a'"),
    ],
)
def test_a_check_says_what_is_wrong_where_and_what_is_allowed(columns, words):
    with pytest.raises(ColumnError, match=words):
        SCORES.check(scores(**columns))


def test_a_missing_key_column_is_named_with_the_likeliest_typo():
    with pytest.raises(ColumnError, match="trials table has no column 'case'. Did you mean 'cases'"):
        TRIALS.check(pl.DataFrame({"run": ["r"], "cases": ["1"]}))


def test_a_filter_keeps_the_good_rows_and_says_where_the_others_were():
    frame = pl.DataFrame(
        {
            "run": ["r"] * 5,
            "case": ["01", "02", "03", "01", None],
            "criterion": ["a"] * 5,
            "score": ["5", "bad", "3", "1", "2"],
            "source": ["f.csv"] * 5,
            "line": [2, 3, 4, 5, 6],
        }
    )

    good, problems = SCORES.filter(frame)

    assert good["score"].to_list() == [5.0, 3.0]
    assert [str(problem) for problem in problems] == [
        "f.csv:3: scores.score is 'bad'. Expected a finite number.",
        "f.csv:5: scores: a second row with the key run 'r', case '01', epoch 1, criterion 'a', sample 1; the first is kept.",
        "f.csv:6: scores.case is empty.",
    ]


def test_a_bad_row_does_not_take_the_place_of_a_good_one_with_its_key():
    good, problems = SCORES.filter(scores(case=["01", "01"], score=["bad", "5"]))

    assert good["score"].to_list() == [5.0]
    assert [problem.line for problem in problems] == [1]


def test_a_problem_without_a_line_means_the_whole_file():
    assert str(Problem("f.csv", None, "it is empty")) == "f.csv: it is empty"


@given(st.lists(st.one_of(st.none(), st.text(max_size=8), st.floats(), st.integers()), max_size=12))
def test_filter_keeps_exactly_the_rows_that_check_would_pass(values):
    frame = pl.DataFrame(
        {
            "run": ["r"] * len(values),
            "case": [str(at) for at in range(len(values))],
            "criterion": ["a"] * len(values),
            "score": [None if v is None else str(v) for v in values],
        },
        schema={"run": pl.String, "case": pl.String, "criterion": pl.String, "score": pl.String},
    )

    good, problems = SCORES.filter(frame)

    assert good.height + len(problems) == len(values)
    assert SCORES.check(good).equals(good)
