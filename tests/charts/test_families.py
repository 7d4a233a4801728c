"""Each family: the numbers drawn are the numbers given, and what is left out is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace

import polars as pl
import pytest

from evalkit import charts
from evalkit.data import demo
from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import PassRule
from evalkit.grading.summarize import distribution, summarize
from evalkit.util.errors import ColumnError


def title_of(chart):
    title = charts.spec(chart)["title"]
    return " ".join([title["text"], *title.get("subtitle", [])])


# criteria


def test_criteria_draw_each_count_at_its_score(made, drawn):
    rows = drawn(charts.criteria(made.scores()), "zone")

    first = [(r["score"], r["count"], r["mean"]) for r in rows if (r["row"], r["group"]) == ("Groq", "v1")]
    assert first == [(1, 1, 3.6), (2, 2, 3.6), (3, 0, 3.6), (4, 4, 3.6), (5, 3, 3.6)]


def test_a_score_that_nobody_gave_has_a_place_too(made, drawn):
    rows = drawn(charts.criteria(made.scores().filter(pl.col("count") > 0)), "zone")

    assert sorted({r["score"] for r in rows}) == [1, 2, 3, 4, 5]


def test_criteria_show_the_rule_they_are_given(made, drawn):
    rows = drawn(charts.criteria(made.scores(), rule=PassRule(mean=3.5, floor=2)), "zone")

    assert {(r["rule_mean"], r["rule_floor"]) for r in rows} == {(3.5, 2.0)}
    assert {r["score"]: r["zone"] for r in rows} == {
        1: "below 2",
        2: "2 to under 3.5",
        3: "2 to under 3.5",
        4: "3.5 and above",
        5: "3.5 and above",
    }


def test_shares_are_drawn_on_every_scale_and_numbers_only_on_theirs(made, drawn):
    ten = made.scores().with_columns(scale_max=pl.lit(10.0))

    rows = drawn(charts.criteria(ten), "zone")
    other = drawn(charts.criteria(ten, rule=PassRule(mean=4, floor=3, scale=(1, 5))), "zone")

    assert {(r["rule_mean"], r["rule_floor"]) for r in rows} == {(7.75, 5.5)}
    assert {r["rule_mean"] for r in other} == {None}


def test_lower_is_better_is_marked_and_its_zones_are_turned(made, drawn):
    table = made.scores().with_columns(direction=pl.lit("lower"))

    chart = charts.criteria(table)

    rows = drawn(chart, "zone")
    assert "lower is better" in str(chart.to_dict()["title"])
    assert all(r["row"].endswith("↓") for r in rows)
    assert {r["score"]: r["zone"] for r in rows} == {
        1.0: "2 and below",
        2.0: "2 and below",
        3.0: "over 2 to 3",
        4.0: "above 3",
        5.0: "above 3",
    }


def test_criteria_say_how_many_answers_have_no_score(made):
    assert "4 unscored" in title_of(charts.criteria(made.scores()))


def test_a_criterion_that_a_version_was_not_judged_by_keeps_its_place(made, drawn):
    table = made.scores().filter((pl.col("criterion") == "Groq") | (pl.col("agent_version") == "v2"))

    cells = {(r["row"], r["group"]): (r["n"], r["mean"]) for r in drawn(charts.criteria(table), "zone")}

    assert cells[("Batch Api", "v1")] == (0, None)
    assert cells[("Batch Api", "v2")] == (10, 3.6)
    assert len(cells) == 4


def test_answers_of_a_cell_without_any_score_are_counted_as_unscored(made):
    none = (pl.col("agent_version") == "v1") & (pl.col("criterion") == "Groq")
    table = made.scores().with_columns(
        count=pl.when(none).then(0).otherwise("count"),
        n=pl.when(none).then(0).otherwise("n"),
        mean=pl.when(none).then(None).otherwise("mean"),
        unscored=pl.when(none).then(11).otherwise("unscored"),
    )

    assert "10 answers per cell, 14 unscored" in title_of(charts.criteria(table))


def test_too_many_criteria_and_versions_are_counted_not_drawn(made, drawn):
    table = made.scores([f"v{at}" for at in range(15)], [f"c{at}" for at in range(12)])

    chart = charts.criteria(table)

    assert len(drawn(chart, "zone")) == 12 * 10 * 5
    assert "2 more criteria not shown; 3 more agent versions not shown" in title_of(chart)


# severity


def test_severity_bars_are_the_counts_end_to_end(made, drawn):
    rows = drawn(charts.severity(made.severities()), "verdict")

    bars = [(r["verdict"], r["count"], r["start"], r["end"]) for r in rows[:3]]
    assert bars == [
        ("pass", 6, 0, pytest.approx(6 / 9)),
        ("unscored", 1, pytest.approx(6 / 9), pytest.approx(7 / 9)),
        ("fail", 2, pytest.approx(7 / 9), pytest.approx(1)),
    ]


def test_the_worst_severity_comes_first_and_unsaid_last(made):
    shuffled = made.severities().reverse()

    spec = charts.spec(charts.severity(shuffled))

    assert spec["facet"]["row"]["sort"] == ["critical", "high", "not given"]


def test_a_bar_with_room_says_its_word_and_a_narrow_one_its_number(made, drawn):
    table = made.summary([(("high", "v1"), 97, 1, 2)], by=("severity", "agent_version"))

    rows = drawn(charts.severity(table), "verdict")

    assert [r["words"] for r in rows] == ["97 pass", "", ""]


# trend


def test_trend_draws_rates_and_intervals_in_the_order_given(made, drawn):
    table = made.versions()

    rows = drawn(charts.trend(table), "pass_rate")

    assert [r["group"] for r in rows] == ["v1", "v2", "v10"]
    assert [(r["pass_rate"], r["low"], r["high"]) for r in rows] == table.select(
        "pass_rate", "low", "high"
    ).rows()


def test_a_version_without_a_score_has_no_rate_and_is_not_left_out(made, drawn):
    table = made.summary([(("v1",), 5, 1, 0), (("v2",), 0, 0, 6)], by=("agent_version",))

    rows = drawn(charts.trend(table), "pass_rate")

    assert rows[1]["pass_rate"] is None
    assert (rows[1]["rate"], rows[1]["unscored_text"]) == ("unknown", "6 unscored")


def test_no_score_at_all_is_said(made):
    table = made.summary([(("v1",), 0, 0, 6)], by=("agent_version",))

    assert "none of 6 trials was scored" in charts.spec(charts.trend(table))["description"]


def lines_of(chart):
    layers = charts.spec(chart)["vconcat"][0]["layer"]
    return [layer for layer in layers if layer["mark"]["type"] == "line"]


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (("v1", "v2", "v10"), True),
        (("1.9", "1.10.2", "2.0"), True),
        (("2026-01-31", "2026-02-01"), True),
        (("bad_reply", "text_retrieval"), False),
        (("a", "v1"), False),
    ],
)
def test_trend_joins_only_versions_whose_order_is_known(made, names, ordered):
    chart = charts.trend(made.versions(names))

    assert len(lines_of(chart)) == ordered
    assert ("goes from" in title_of(chart)) is ordered
    assert ("Pass rates from" in title_of(chart)) is not ordered


@pytest.mark.parametrize(
    ("days", "ordered"), [((1, 2), True), ((2, 1), True), ((1, None), False), ((1, 1), False)]
)
def test_trend_joins_runs_that_started_one_after_the_other(days, ordered):
    evals = Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
        runs=pl.DataFrame({"run": ["base", "tuned"], "started_at": [day and datetime(2026, 1, day, tzinfo=UTC) for day in days]}),
        scores=pl.DataFrame({"run": ["base", "tuned"], "case": "01", "criterion": "Groq", "score": [2, 5]}),
    )  # fmt: skip

    assert len(lines_of(charts.trend(evals, by="run"))) == ordered


def test_trend_by_model_gives_each_a_shape_beside_its_colour(made):
    groups = [((v, m), 5, 1, 0) for v in ("v1", "v2") for m in ("a", "b")]
    table = made.summary(groups, by=("agent_version", "model"))

    points = charts.spec(charts.trend(table, color="model"))["vconcat"][0]["layer"][1]["encoding"]

    assert points["shape"]["scale"]["range"] == ["circle", "square"]
    assert points["color"]["scale"]["domain"] == ["a", "b"]


# regression and forest


def test_differences_are_drawn_in_points_with_their_ends_worst_first(made, drawn):
    rows = drawn(charts.regression(made.differences()), "difference")

    assert [r["name"] for r in rows] == ["overall", "Batch Api", "Groq"]
    assert [r["difference"] for r in rows] == pytest.approx([-10, -40, 20])
    assert [r["low"] for r in rows] == pytest.approx([-30, -60, 5])
    assert [r["verdict"] for r in rows] == ["inconclusive", "regressed", "improved"]


def test_a_forest_keeps_the_order_of_its_table(made, drawn):
    rows = drawn(charts.forest(made.differences()), "difference")

    assert [r["name"] for r in rows] == ["overall", "Groq", "Batch Api"]


def test_a_mean_score_keeps_its_unit(made, drawn):
    rows = drawn(charts.regression(made.differences(), metric="mean_score"), "difference")

    assert [(r["difference"], r["words"]) for r in rows] == [(-0.25, "−0.25 [−0.50, +0.00]")]


def test_the_margin_is_a_band_only_where_it_was_declared(made, drawn):
    with_margin = charts.regression(made.differences(), margin={"pass_rate": 0.05})

    assert drawn(with_margin, "from") == [{"from": -5.0, "to": 0.0}]
    assert "margin of 5.0 points" in title_of(with_margin)
    assert not drawn(charts.regression(made.differences()), "from")
    assert "no margin set" in title_of(charts.regression(made.differences()))


def test_a_comparison_brings_its_own_margin_and_names(made, drawn):
    change = SimpleNamespace(
        summary=made.differences(),
        flips=made.flips(),
        margin={"pass_rate": 0.1},
        baseline="v1",
        candidate="v2",
    )

    assert drawn(charts.regression(change), "from") == [{"from": -10.0, "to": 0.0}]
    assert {r["group"] for r in drawn(charts.flips(change), "arrow")} == {"baseline v1", "candidate v2"}


def test_a_difference_that_cannot_be_estimated_is_a_row_with_words(made, drawn):
    table = made.differences().with_columns(
        pl.when(pl.col("scope") == "Groq").then(None).otherwise(pl.col("difference")).alias("difference")
    )

    rows = drawn(charts.regression(table), "difference")

    assert [r["words"] for r in rows if r["name"] == "Groq"] == ["not estimable"]


# cases and flips


def test_a_cell_says_passed_of_scored_and_unscored_apart(made, drawn):
    groups = [
        (("01", "high", "v1"), 2, 1, 0),
        (("01", "high", "v2"), 1, 0, 2),
        (("02", "high", "v1"), 0, 0, 3),
    ]
    table = made.summary(groups, by=("case", "severity", "agent_version"))

    cells = {(r["name"], r["group"]): (r["words"], r["state"]) for r in drawn(charts.cases(table), "state")}

    assert cells == {
        ("01", "v1"): ("2/3", "half or more"),
        ("01", "v2"): ("1/1 (2?)", "all pass"),
        ("02", "v1"): ("(3?)", "unscored"),
        ("02", "v2"): ("–", "not run"),
    }


def test_of_many_cases_the_forty_worst_are_shown_by_severity(made, drawn):
    chart = charts.cases(made.cases(200, names=[f"v{at}" for at in range(12)]))

    rows = drawn(chart, "state")

    assert len(rows) == 40 * 12
    assert "40 worst of 200 cases shown" in title_of(chart)
    assert "40 worst of 200 cases shown" in charts.spec(chart)["description"]
    assert [r["severity"] for r in rows] == sorted(
        (r["severity"] for r in rows), key=["critical", "high"].index
    )


def test_a_critical_case_that_always_passes_gives_way_to_a_low_one_that_fails(made, drawn):
    groups = [((f"c{at:02d}", "critical", "v1"), 3, 0, 0) for at in range(40)]
    table = made.summary([*groups, (("z", "low", "v1"), 0, 3, 0)], by=("case", "severity", "agent_version"))

    assert "z" in {r["name"] for r in drawn(charts.cases(table), "state")}


def test_long_ids_that_differ_at_the_end_stay_apart(made, drawn):
    table = made.cases(4, label="a-very-long-identifier-of-a-case-{:04d}-about-ids")

    names = {r["name"] for r in drawn(charts.cases(table), "state")}

    assert len(names) == 4
    assert {name[-14:-10] for name in names} == {"0000", "0001", "0002", "0003"}
    assert max(map(len, names)) <= 26


def test_flips_show_both_sides_and_the_way_in_a_word(made, drawn):
    rows = drawn(charts.flips(made.flips()), "arrow")

    assert [(r["name"], r["group"], r["words"], r["arrow"]) for r in rows] == [
        ("02", "baseline", "3/3", "▼ regression"),
        ("02", "candidate", "0/3", "▼ regression"),
        ("07", "baseline", "1/3", "▲ improvement"),
        ("07", "candidate", "2/3", "▲ improvement"),
    ]


# the others


def test_ranks_are_drawn_best_first(families, drawn):
    draw, table, *_ = families["ranks"]

    rows = drawn(draw(table), "p_best")

    assert [(r["name"], r["rank"], r["low"], r["high"]) for r in rows] == [
        ("v3", 1, 1, 2),
        ("v2", 2, 1, 2),
        ("v1", 3, 3, 3),
    ]


def test_a_matrix_counts_agreement_and_names_kappa():
    table = pl.DataFrame({"reference": [1, 1, 2, 3], "judge": [1, 2, 2, 1], "count": [5, 3, 10, 2]})

    words = title_of(charts.agreement(table, kappa=-0.123, interval=(-0.5, 0.25)))

    assert "Kappa −0.12; judge and reference agree exactly on 75%" in words
    assert "interval [−0.50, 0.25]; n = 20 answers; within one step: 90%" in words


def test_more_scores_than_a_matrix_shows_are_refused():
    table = pl.DataFrame({"reference": range(13), "judge": range(13), "count": [1] * 13})

    with pytest.raises(ColumnError, match="13 different scores"):
        charts.agreement(table)


def test_power_names_the_first_number_of_cases_that_is_enough():
    table = pl.DataFrame({"n": [10, 20, 30], "difference": [0.1] * 3, "power": [0.5, 0.81, 0.9]})

    assert "20 cases show a difference of 10 points" in title_of(charts.power(table))
    assert "No number of cases drawn reaches 95%" in title_of(charts.power(table, target=0.95))


def test_power_says_the_number_of_cases_that_was_solved_for(drawn):
    table = pl.DataFrame({"n": [10, 94, 102], "difference": [0.1] * 3, "power": [0.5, 0.801, 0.83]})

    chart = charts.power(table, needed={0.1: 94})

    assert "94 cases show a difference of 10 points" in title_of(chart)
    assert [(row["n"], row["power"]) for row in drawn(chart, "words")] == [(94, 0.801)]


def test_words_of_lines_that_end_together_do_not_overprint(drawn):
    table = pl.DataFrame(
        {"n": [10, 20] * 3, "difference": [0.05, 0.05, 0.1, 0.1, 0.2, 0.2], "power": [0.1, 0.4, 0.3, 0.99, 0.8, 1.0]}
    )  # fmt: skip

    ends = [row["label"] for row in drawn(charts.power(table), "label")]

    assert len(ends) == 3
    assert min(high - low for high, low in pairwise(ends)) * 280 >= 15


def test_a_variance_that_cannot_be_told_is_not_nothing(drawn):
    table = pl.DataFrame({"component": ["epoch", "case", "sample"], "variance": [0.25, 0.75, None]})

    rows = drawn(charts.variance(table), "share")

    assert [(r["name"], r["share"]) for r in rows] == [("case", 0.75), ("epoch", 0.25), ("sample", None)]
    assert rows[2]["words"] == "not estimable"
    assert "75% of the variance is between cases" in title_of(charts.variance(table))


def test_evidence_of_nought_and_without_end_has_a_place():
    table = pl.DataFrame({"look": [1, 2], "e_value": [0.0, float("inf")]})

    chart = charts.evidence(table)

    assert "look 2: e-value inf" in title_of(chart)
    assert charts.png(chart).startswith(b"\x89PNG")


# from an Evals


@pytest.fixture
def evals():
    cases = pl.DataFrame({"case": ["01", "02"], "severity": ["critical", "low"]})
    criteria = pl.DataFrame({"criterion": ["Groq"], "scale_min": [1.0], "scale_max": [5.0]})
    runs = pl.DataFrame({"run": ["a", "b"], "agent_version": ["v1", "v2"], "model": ["m", "m"]})
    trials = pl.DataFrame({"run": ["a", "a", "b", "b"], "case": ["01", "02", "01", "02"]})
    scores = trials.with_columns(criterion=pl.lit("Groq"), score=pl.Series([2.0, 5.0, 5.0, None]))
    return Evals.from_tables(cases=cases, criteria=criteria, runs=runs, trials=trials, scores=scores)


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (charts.criteria, lambda evals: distribution(evals, by="agent_version")),
        (charts.severity, lambda evals: summarize(evals, by=["agent_version", "severity"])),
        (charts.trend, lambda evals: summarize(evals, by=["agent_version"])),
        (charts.cases, lambda evals: summarize(evals, by=["case", "severity", "agent_version"])),
    ],
)
def test_an_evals_draws_what_its_summary_draws(evals, draw, table):
    assert charts.spec(draw(evals)) == charts.spec(draw(table(evals)))


def test_a_chart_of_a_comparison_given_an_evals_says_which_table_it_draws():
    with pytest.raises(ColumnError, match=r"a table \(change\.summary\), not an Evals"):
        charts.regression(demo.make())


def test_the_end_of_a_scale_of_ten_is_written_in_digits(made):
    svg = charts.svg(charts.criteria(made.scores().with_columns(scale_max=pl.lit(10.0))))

    assert "e+1" not in svg
    assert ">10<" in svg


def test_a_difference_on_a_lower_is_better_criterion_is_marked_and_turned(made, drawn):
    rows = [("tone", "higher", -0.2), ("toxicity", "lower", 0.5), ("bias", "lower", -0.4)]
    base = made.differences().filter(metric="mean_score", scope="overall").drop("scope", "difference")
    table = pl.concat(
        [
            base.with_columns(scope=pl.lit(name), difference=pl.lit(value), direction=pl.lit(way))
            for name, way, value in rows
        ]
    )

    chart = charts.regression(table, metric="mean_score", margin={"mean_score": 0.3})

    names = [row["name"] for row in drawn(chart, "difference")]
    assert names[:3] == ["toxicity ↓", "tone", "bias ↓"]
    assert "lower is better" in str(chart.to_dict()["title"])
    assert [(row["from"], row["to"]) for row in drawn(chart, "from")] == [(-0.3, 0.3)]
    only = charts.forest(table.filter(direction="lower"), metric="mean_score", margin={"mean_score": 0.3})
    assert [(row["from"], row["to"]) for row in drawn(only, "from")] == [(0.0, 0.3)]
    assert "◄ better, worse ►" in json.dumps(only.to_dict(), ensure_ascii=False)


def test_a_lower_is_better_criterion_is_marked_among_pass_rates_too(made, drawn):
    table = made.differences()
    lower = table.filter(scope="Groq").with_columns(metric=pl.lit("mean_score"), direction=pl.lit("lower"))
    table = pl.concat([table.with_columns(direction=pl.lit("higher")), lower])

    names = {row["name"] for row in drawn(charts.forest(table), "difference")}

    assert names == {"overall", "Groq ↓", "Batch Api"}


@pytest.mark.parametrize("chart", [charts.trend, charts.severity])
def test_rates_with_unscored_trials_have_their_two_bounds(made, drawn, chart):
    groups = [(("v1", "high"), 6, 2, 2), (("v2", "high"), 5, 5, 0)]
    table = made.summary(groups, by=("agent_version", "severity")).with_columns(
        if_all_fail=pl.Series([0.6, 0.5]), if_all_pass=pl.Series([0.8, 0.5])
    )

    rows = {(row["group"], row["bounds"]) for row in drawn(chart(table), "bounds")}
    without = {row["bounds"] for row in drawn(chart(table.drop("if_all_fail")), "bounds")}

    assert rows == {("v1", "[60.0%, 80.0%]"), ("v2", "")}
    assert without == {""}
