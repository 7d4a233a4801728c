"""Corrected rates and the biases of a judge."""

from __future__ import annotations

import polars as pl
import pytest

import evalkit as ek
from evalkit import charts


@pytest.fixture
def correction(families):
    return families["correction"][1]


@pytest.fixture
def bias(families):
    return families["judge_bias"][1]


def test_every_scope_has_both_sides_with_their_intervals(correction, drawn):
    rows = drawn(charts.correction(correction), "side")

    assert [(row["name"], row["side"], row["words"]) for row in rows] == [
        ("all", "judge", "70.0% [60.0%, 80.0%]"),
        ("v1", "judge", "50.0% [30.0%, 70.0%]"),
        ("all", "people (estimated)", "60.0% [40.0%, 75.0%]"),
        ("v1", "people (estimated)", "not estimable"),
    ]


def test_a_correction_of_the_mean_score_is_no_pass_rate(correction):
    chart = charts.correction(correction.with_columns(metric=pl.lit("mean_score")))

    assert "no data" in charts.spec(chart)["description"]


def test_a_correction_that_cannot_be_estimated_is_said_in_the_title(correction):
    first = charts.correction(correction.filter(scope="v1"))

    title = charts.spec(first)["title"]["text"]
    assert title == "The judge passes 50.0%; the corrected rate cannot be estimated"


def test_scopes_beyond_the_first_are_counted(correction):
    many = pl.concat([correction.with_columns(scope=pl.lit(f"s{at}")) for at in range(20)])

    spec = charts.spec(charts.correction(many))

    assert "16 more not shown" in spec["title"]["subtitle"]


def test_a_finding_is_a_panel_and_what_has_no_value_is_in_none(bias, drawn):
    chart = charts.judge_bias(bias)

    assert [panel["title"]["text"] for panel in charts.spec(chart)["vconcat"]] == ["leniency", "entropy"]
    assert {row["finding"] for row in drawn(chart, "finding")} == {"leniency", "entropy"}


def test_only_what_stands_after_adjustment_is_marked(bias, drawn):
    rows = drawn(charts.judge_bias(bias), "significant")

    assert [(row["words"], row["significant"]) for row in rows] == [
        ("0.50 [0.25, 0.75]", True),
        ("−0.25 [−0.75, 0.25]", False),
        ("2.00", False),
    ]


def test_a_zero_line_stands_only_where_zero_means_that_there_is_nothing(bias):
    panels = charts.spec(charts.judge_bias(bias))["vconcat"]

    assert [panel["layer"][0]["encoding"]["x"]["field"] == "at" for panel in panels] == [True, False]


def test_the_results_draw_themselves():
    evals = ek.demo.make()
    looks, fixed = ek.judge_forensics(evals), ek.correct_for_judge(evals, by="agent_version")

    assert charts.spec(looks.chart()) == charts.spec(charts.judge_bias(looks.summary))
    assert charts.spec(fixed.chart()) == charts.spec(charts.correction(fixed.summary))


def test_the_old_name_names_the_new_one():
    with pytest.raises(AttributeError, match=r"charts\.judge_bias"):
        charts.habits  # noqa: B018
