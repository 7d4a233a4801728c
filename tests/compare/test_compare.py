"""Baseline against candidate, from pairs to words."""

from __future__ import annotations

import json
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evalkit.compare.compare import compare
from evalkit.compare.pairs import find_runs
from evalkit.data import demo
from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import PassRule
from evalkit.readers.load import load
from evalkit.util.errors import ArgumentError, ColumnError, FormatError, SelectorError

AZURE = Path(__file__).parents[2].parent / "shared/data/azure_rag/2024-02"
MAPPING = Path(__file__).parents[2] / "docs/mappings/azure_rag.yaml"
WORDS = {"regressed", "regressed within margin", "improved", "no worse than margin", "inconclusive"}


def evals_of(
    scores: dict[str, dict[str, list[float | None]]], *, models=("m",), criteria=("a",), cases=None, **extra
) -> Evals:
    """version -> case -> one score an epoch, the same for each model and criterion."""
    rows = [
        (f"{v}-{m}", c, e, name, s)
        for v, each in scores.items()
        for m in models
        for c, epochs in each.items()
        for e, s in enumerate(epochs, 1)
        for name in criteria
    ]
    frame = pl.DataFrame(
        rows, schema=["run", "case", "epoch", "criterion", "score"], orient="row"
    ).with_columns(grader_kind=pl.lit("judge"), **extra)
    names = sorted({c for each in scores.values() for c in each})
    return Evals.from_tables(
        cases=pl.DataFrame({"suite": "s", "case": names, **(cases or {})}),
        criteria=pl.DataFrame(
            {"suite": "s", "criterion": list(criteria), "scale_min": 1.0, "scale_max": 5.0}
        ),
        runs=pl.DataFrame(
            [(f"{v}-{m}", "s", v, m) for v in scores for m in models],
            schema=["run", "suite", "agent_version", "model"],
            orient="row",
        ),
        scores=frame,
    )


def flags(passes: str) -> dict[str, list[float]]:
    """'++-' -> three cases, one epoch each."""
    return {f"{at:02}": [5 if sign == "+" else 2] for at, sign in enumerate(passes)}


def test_single_trials_get_tangos_interval_and_the_mid_p():
    # Bentur et al. 2009: both 1, only first 1, only second 7, neither 12 (stats_golden: tango_1_1_7_12).
    old = flags("+" + "+" + "-" * 7 + "-" * 12)
    new = flags("+" + "-" + "+" * 7 + "-" * 12)

    change = compare(evals_of({"v1": old, "v2": new}), baseline="v1", candidate="v2")

    row = change.summary.row(0, named=True)
    assert (row["low"], row["high"]) == pytest.approx((0.02600303248, 0.5172322764), abs=1e-6)
    assert row["p_value"] == pytest.approx(0.0390625)
    assert (row["scope"], row["metric"], row["n"], row["method"]) == ("overall", "pass_rate", 21, "Tango")
    assert change.verdict == "improved"


def test_trials_a_case_are_the_harmonic_mean_of_the_sides():
    old = {f"{i}": [5, 2] for i in range(4)}
    new = {f"{i}": [5, 5, 2, 5, 5, 5] for i in range(4)}

    frame = compare(evals_of({"v1": old, "v2": new}), baseline="v1", candidate="v2").to_frame()

    assert frame["k"][0] == pytest.approx(2 / (1 / 2 + 1 / 6))


def test_repeated_trials_that_nearly_always_agree_count_as_so_many_cases():
    old, new = [5, 4, 3, 5, 5, 2, 0, 5, 4, 5], [5, 3, 3, 4, 5, 1, 0, 5, 2, 5]
    evals = evals_of(
        {
            version: {f"{i}": [5] * passes + [2] * (5 - passes) for i, passes in enumerate(counts)}
            for version, counts in (("v1", old), ("v2", new))
        }
    )

    summary = compare(evals, baseline="v1", candidate="v2").summary

    # The gaps of the cases vary little, but few trials of a case disagree: a case is worth little more than one trial.
    assert summary.select("metric", "n", "n_eff").rows() == [
        ("pass_rate", 10, pytest.approx(10 / 0.77)),
        ("mean_score", 10, 10.0),
    ]


def test_mean_scores_get_the_paired_t():
    old, new = [3, 4, 2, 5, 3, 4], [4, 4, 4, 5, 2, 5]
    evals = evals_of(
        {"v1": {str(i): [s] for i, s in enumerate(old)}, "v2": {str(i): [s] for i, s in enumerate(new)}}
    )

    row = compare(evals, baseline="v1", candidate="v2").summary.filter(metric="mean_score").row(0, named=True)

    wanted = scipy_stats.ttest_rel(new, old)
    interval = wanted.confidence_interval()
    assert row["p_value"] == pytest.approx(wanted.pvalue)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert row["difference"] == pytest.approx(0.5)


def test_the_columns_are_the_promised_ones():
    change = compare(evals_of({"v1": flags("+-"), "v2": flags("-+")}), baseline="v1", candidate="v2")

    assert change.summary.columns == [
        *("scope", "metric", "baseline", "candidate", "difference", "low", "high", "p_value", "p_adjusted"),
        *("n", "n_eff", "method", "level", "verdict"),
    ]
    assert change.flips.columns[:4] == ["case", "severity", "baseline", "candidate"]


def test_flips_come_regressions_first_and_worst_severity_first_with_their_counts():
    old = {"01": [5, 5, 5], "02": [5, 5, 2], "03": [2, 2, 2], "04": [5, 5, 5]}
    new = {"01": [2, 2, 2], "02": [2, 2, 5], "03": [5, 5, 5], "04": [5, 5, 2]}
    cases = {"severity": ["medium", "critical", "critical", "high"]}

    flips = compare(evals_of({"v1": old, "v2": new}, cases=cases), baseline="v1", candidate="v2").flips

    assert flips["case"].to_list() == ["02", "01", "03"]
    assert flips["kind"].to_list() == ["regression", "regression", "improvement"]
    assert flips.row(0, named=True) | {"p_value": None} == {
        "case": "02",
        "severity": "critical",
        "baseline": "pass",
        "candidate": "fail",
        "kind": "regression",
        "baseline_passes": 2,
        "baseline_trials": 3,
        "candidate_passes": 1,
        "candidate_trials": 3,
        "difference": pytest.approx(-1 / 3),
        "p_value": None,
        "suite": "s",
    }


def test_inside_a_severity_cases_come_as_a_person_counts():
    names = ["1", "2", "10", "case 9", "case 10"]

    change = compare(
        evals_of({"v1": {n: [5] for n in names}, "v2": {n: [2] for n in names}}),
        baseline="v1",
        candidate="v2",
    )

    assert change.cases["case"].to_list() == names
    assert change.flips["case"].to_list() == names


def test_a_case_has_an_exact_p_from_four_trials_a_side_on():
    few = compare(evals_of({"v1": {"01": [5] * 3}, "v2": {"01": [2] * 3}}), baseline="v1", candidate="v2")
    many = compare(evals_of({"v1": {"01": [5] * 5}, "v2": {"01": [2] * 5}}), baseline="v1", candidate="v2")

    assert few.flips["p_value"].to_list() == [None]
    # statistics.md: old 5/5, new 0/5, Boschloo p = .002
    assert many.flips["p_value"].item() == pytest.approx(0.002, abs=0.0005)


def test_a_case_that_half_passes_counts_as_failing_in_the_flips_only():
    change = compare(evals_of({"v1": {"01": [5, 5]}, "v2": {"01": [5, 2]}}), baseline="v1", candidate="v2")

    assert change.flips.select("candidate", "candidate_passes").row(0) == ("fail", 1)
    assert change.summary["candidate"][0] == 0.5


def test_cases_without_a_partner_are_listed_and_left_out():
    change = compare(
        evals_of({"v1": flags("+++-"), "v2": {**flags("++"), "09": [2]}}), baseline="v1", candidate="v2"
    )

    assert change.summary["n"][0] == 2
    assert change.unpaired.sort("case").select("case", "side", "verdict").rows() == [
        ("02", "baseline", "pass"),
        ("03", "baseline", "fail"),
        ("09", "candidate", "fail"),
    ]
    assert "W07" in change.warnings["id"].to_list()


def test_a_case_that_no_suite_describes_is_compared_like_any_other():
    evals = evals_of({"v1": flags("++--"), "v2": flags("+-+-")}, cases={"severity": ["high"] * 4})
    fewer = Evals.from_tables(
        cases=evals.cases.head(1), criteria=evals.criteria, runs=evals.runs, scores=evals.scores
    )

    change = compare(fewer, baseline="v1", candidate="v2", by="severity")

    assert change.summary.filter(metric="pass_rate").select("scope", "n").rows() == [
        ("overall", 4),
        ("high", 1),
        ("not given", 3),
    ]


def test_several_models_are_paired_within_and_averaged_so_that_n_stays_the_number_of_cases():
    one = compare(evals_of({"v1": flags("++--"), "v2": flags("+++-")}), baseline="v1", candidate="v2")
    two = compare(
        evals_of({"v1": flags("++--"), "v2": flags("+++-")}, models=("m", "n")), baseline="v1", candidate="v2"
    )

    assert two.summary["n"].to_list() == one.summary["n"].to_list() == [4, 4]
    assert two.summary["difference"].to_list() == one.summary["difference"].to_list()
    assert two.cases["baseline_trials"].to_list() == [2] * 4


def test_a_model_that_only_one_side_has_does_not_enter():
    evals = evals_of({"v1": flags("++"), "v2": flags("++")}, models=("m", "n"))

    change = compare(evals.filter(pl.col("run") != "v2-n"), baseline="v1", candidate="v2")

    assert change.cases["baseline_trials"].to_list() == [1, 1]


def test_models_are_compared_within_each_version():
    rows = {"v1": flags("++++"), "v2": flags("----")}
    evals = evals_of(rows, models=("m", "n"))

    change = compare(evals, baseline="m", candidate="n", by="agent_version")

    assert change.summary.filter(metric="pass_rate")["difference"].to_list() == [0.0, 0.0, 0.0]
    assert change.summary["scope"].unique(maintain_order=True).to_list() == ["overall", "v1", "v2"]


def test_by_criterion_adjusts_over_the_criteria_and_a_verdict_needs_the_adjusted_p():
    shift = {"v1": {str(i): [3.0] for i in range(8)}, "v2": {str(i): [3 + (i % 3) / 3] for i in range(8)}}
    evals = evals_of(shift, criteria=("a", "b", "c", "d", "e"))

    change = compare(evals, baseline="v1", candidate="v2", by="criterion")

    rows = change.summary.filter((pl.col("scope") != "overall") & (pl.col("metric") == "mean_score"))
    assert rows["scope"].to_list() == ["a", "b", "c", "d", "e"]
    assert rows["p_adjusted"].to_list() == pytest.approx([p * 5 for p in rows["p_value"]])
    assert 0.01 < rows["p_value"][0] < 0.05
    assert (rows["low"] > 0).all()
    assert rows["verdict"].to_list() == ["inconclusive"] * 5
    assert change.summary.row(1, named=True)["verdict"] == "improved"


@pytest.mark.parametrize(
    ("shift", "margin", "alone", "verdict"),
    [
        (1 / 3, None, "improved", "inconclusive"),
        (-1 / 3, None, "regressed", "inconclusive"),
        (1 / 3, 1.0, "improved", "no worse than margin"),
        (-1 / 3, 1.0, "regressed within margin", "no worse than margin"),
        (-1 / 3, 0.3, "regressed", "inconclusive"),
        (0.0, 1.0, "no worse than margin", "no worse than margin"),
    ],
)
def test_what_the_adjusted_p_takes_back_leaves_no_worse_than_the_margin(shift, margin, alone, verdict):
    old = {str(i): [3.5] for i in range(9)}
    new = {str(i): [3.5 + shift * (i % 3) + (i - 4) / 100] for i in range(9)}
    asked = {"baseline": "v1", "candidate": "v2", "by": "criterion"}
    declared = margin and {"mean_score": margin}

    one = compare(evals_of({"v1": old, "v2": new}), **asked, margin=declared).summary
    many = compare(evals_of({"v1": old, "v2": new}, criteria="abcdefgh"), **asked, margin=declared).summary

    mine = (pl.col("scope") != "overall") & (pl.col("metric") == "mean_score")
    assert one.filter(mine)["verdict"].to_list() == [alone]
    assert many.filter(mine)["verdict"].to_list() == [verdict] * 8


def test_by_severity_tags_and_a_grid_split_the_cases():
    cases = {"severity": ["high", "critical", "high"], "tags": [["t"], ["t", "u"], ["u"]]}
    evals = evals_of({"v1": flags("+++"), "v2": flags("+--")}, cases=cases, criteria=("a", "b"))
    asked = {"baseline": "v1", "candidate": "v2"}

    def scopes(by):
        rows = compare(evals, **asked, by=by).summary.filter(metric="pass_rate")
        return dict(rows.select("scope", "n").rows())

    assert scopes("severity") == {"overall": 3, "critical": 1, "high": 2}
    assert scopes("tags") == {"overall": 3, "t": 2, "u": 2}
    assert list(scopes(["criterion", "severity"])) == [
        "overall",
        "a · critical",
        "a · high",
        "b · critical",
        "b · high",
    ]


def test_a_margin_lets_it_say_no_worse_and_without_one_it_never_does():
    same = {"v1": flags("++--" * 50), "v2": flags("++--" * 50)}
    asked = {"baseline": "v1", "candidate": "v2"}

    without = compare(evals_of(same), **asked)
    with_one = compare(evals_of(same), **asked, margin={"pass_rate": 0.05, "mean_score": 0.25})

    assert without.verdict == "inconclusive"
    assert "W20" in without.warnings["id"].to_list()
    assert with_one.verdict == "no worse than margin"
    assert "W20" not in with_one.warnings["id"].to_list()


@pytest.mark.parametrize(
    ("metric", "margin", "verdict"),
    [
        # Without a flip in 200 cases the lower limit is -z^2 / (n + z^2): -.0188 at 95%, -.0134 at one-sided 95%.
        ("pass_rate", 0.016, "no worse than margin"),
        ("pass_rate", 0.013, "inconclusive"),
        # Gaps of +-0.5 over 200 cases: sd .5013, t(199) is 1.972 and 1.6525, so -.0699 and -.0586.
        ("mean_score", 0.064, "no worse than margin"),
        ("mean_score", 0.058, "inconclusive"),
    ],
)
def test_no_worse_is_held_against_the_one_sided_limit(metric, margin, verdict):
    old = {f"{i:03}": [2.0 if i % 2 else 4.5] for i in range(200)}
    new = {f"{i:03}": [old[f"{i:03}"][0] + (0.5 if i % 4 < 2 else -0.5)] for i in range(200)}

    change = compare(evals_of({"v1": old, "v2": new}), baseline="v1", candidate="v2", margin={metric: margin})

    assert change.summary.filter(metric=metric)["verdict"].item() == verdict


def test_a_small_sure_loss_inside_the_margin_is_called_that():
    old, new = flags("+" * 200), flags("-" * 6 + "+" * 194)

    change = compare(
        evals_of({"v1": old, "v2": new}), baseline="v1", candidate="v2", margin={"pass_rate": 0.1}
    )

    assert change.verdict == "regressed within margin"


@pytest.mark.parametrize(
    ("margin", "words"),
    [
        ({"pass_rat": 0.1}, "Did you mean 'pass_rate'"),
        ({"pass_rate": 5}, "below 1"),
        ({"mean_score": -1}, "above 0"),
    ],
)
def test_a_margin_that_means_nothing_is_refused(margin, words):
    with pytest.raises(ColumnError, match=words):
        compare(evals_of({"v1": flags("+"), "v2": flags("+")}), baseline="v1", candidate="v2", margin=margin)


def test_weights_add_a_scope_in_which_severe_cases_count_more():
    cases = {"severity": ["critical", "low", "low", "low"]}
    evals = evals_of({"v1": flags("++++"), "v2": flags("-+++")}, cases=cases)

    rows = compare(evals, baseline="v1", candidate="v2", weights={"critical": 3}).summary.filter(
        metric="pass_rate"
    )

    assert rows.select("scope", "difference").rows() == [("overall", -0.25), ("weighted", -0.5)]
    light = compare(evals, baseline="v1", candidate="v2", weights={"critical": 0.3, "low": 0.1})
    sides = light.summary.filter(scope="weighted", metric="pass_rate").select("baseline", "candidate").row(0)
    assert sides == pytest.approx((1.0, 0.5))
    none = compare(evals, baseline="v1", candidate="v2", weights={"critical": 0, "low": 0})
    row = none.to_frame().filter(scope="weighted", metric="pass_rate").row(0, named=True)
    assert (row["status"], row["verdict"]) == ("not_estimable", "inconclusive")
    assert row["candidate"] == 0.75
    with pytest.raises(ColumnError, match="Did you mean 'critical'"):
        compare(evals, baseline="v1", candidate="v2", weights={"critcal": 3})


def test_a_selector_is_a_run_a_version_a_model_or_a_dict():
    evals = evals_of({"v1": flags("+"), "v2": flags("+")}, models=("m", "n"))

    assert find_runs(evals, "v1-m") == ("v1-m", ["v1-m"])
    assert find_runs(evals, "v1") == ("v1", ["v1-m", "v1-n"])
    assert find_runs(evals, "n") == ("n", ["v1-n", "v2-n"])
    assert find_runs(evals, {"agent_version": "v2", "model": "m"})[1] == ["v2-m"]


@pytest.mark.parametrize(
    ("selector", "error", "words"),
    [
        ("v3", SelectorError, "Unknown run, agent_version or model 'v3'"),
        ({"agent_versoin": "v1"}, ColumnError, "Did you mean 'agent_version'"),
        ({"agent_version": "v9"}, SelectorError, "Unknown agent version 'v9'"),
        ({"agent_version": "v2", "model": "m", "run": "v1-m"}, SelectorError, "No run has"),
    ],
)
def test_a_selector_that_means_nothing_is_refused(selector, error, words):
    with pytest.raises(error, match=words):
        find_runs(evals_of({"v1": flags("+"), "v2": flags("+")}), selector)


def test_a_name_that_is_both_a_version_and_a_model_asks_for_a_dict_unless_the_runs_are_the_same():
    runs = pl.DataFrame({"run": ["a", "b"], "agent_version": ["x", "y"], "model": ["y", "x"]})

    with pytest.raises(
        SelectorError, match="agent_version and of a model.*{'agent_version': 'x'} or {'model': 'x'}"
    ):
        find_runs(Evals.from_tables(runs=runs), "x")
    same = pl.DataFrame({"run": ["a"], "agent_version": ["a"], "model": ["a"]})
    assert find_runs(Evals.from_tables(runs=same), "a") == ("a", ["a"])


def test_a_run_on_both_sides_is_refused():
    with pytest.raises(SelectorError, match="'v1-m' is on both sides"):
        compare(evals_of({"v1": flags("+")}), baseline="v1", candidate="m")


def test_a_split_by_what_the_sides_do_not_share_is_refused():
    evals = evals_of({"v1": flags("+"), "v2": flags("+")})

    with pytest.raises(ColumnError, match="Cannot split .* by 'agent_version'"):
        compare(evals, baseline="v1", candidate="v2", by="agent_version")
    with pytest.raises(ColumnError, match="Did you mean 'severity'"):
        compare(evals, baseline="v1", candidate="v2", by="severty")


def test_two_rubrics_or_judges_are_refused_with_the_way_to_override():
    asked = {"baseline": "v1", "candidate": "v2"}
    old = pl.col("run").str.starts_with("v1")
    rubrics = evals_of(
        {"v1": flags("+-"), "v2": flags("++")},
        rubric_hash=pl.when(old).then(pl.lit("x")).otherwise(pl.lit("y")),
    )
    judges = evals_of(
        {"v1": flags("+-"), "v2": flags("++")},
        judge_model=pl.when(old).then(pl.lit("x")).otherwise(pl.lit("y")),
    )

    with pytest.raises(SelectorError, match="rubric='any'"):
        compare(rubrics, **asked)
    with pytest.raises(SelectorError, match="judge_model is x for .v1. and y for .v2..*judge='any'"):
        compare(judges, **asked)
    assert "W11" in compare(rubrics, **asked, rubric="any").warnings["id"].to_list()
    assert "W11" in compare(judges, **asked, judge="any").warnings["id"].to_list()


def test_only_the_judges_that_count_must_be_the_same():
    both = {"v1": flags("+-"), "v2": flags("++")}
    first = evals_of(both, grader=pl.lit("a"), judge_model=pl.lit("x"))
    second = evals_of({"v2": flags("++")}, grader=pl.lit("b"), judge_model=pl.lit("y"))

    change = compare(first + second, baseline="v1", candidate="v2", grader="a")

    assert set(change.summary["n"]) == {2}


def test_unscored_trials_that_could_decide_the_sign_block_the_verdict():
    old = {f"{i:02}": [5.0] if i < 14 else [2.0] for i in range(40)}
    new: dict[str, list[float | None]] = {f"{i:02}": [5.0] if i < 24 else [2.0] for i in range(40)}
    clear = compare(evals_of({"v1": old, "v2": new}), baseline="v1", candidate="v2")
    for i in range(0, 24, 2):
        new[f"{i:02}"] = [None]

    blocked = compare(evals_of({"v1": old, "v2": new}), baseline="v1", candidate="v2")

    assert clear.verdict == "improved"
    assert blocked.verdict == "inconclusive"
    (text,) = blocked.warnings.filter(id="W06")["text"]
    assert text.startswith("0 baseline trials and 12 candidate trials")


def test_declared_clusters_widen_the_interval():
    versions = {"v1": flags("++++----++++"), "v2": flags("----++++++++")}
    loose = compare(evals_of(versions), baseline="v1", candidate="v2").to_frame().row(0, named=True)
    tied = compare(
        evals_of(versions, cases={"cluster": [str(i // 4) for i in range(12)]}), baseline="v1", candidate="v2"
    )

    row = tied.to_frame().row(0, named=True)
    assert row["high"] - row["low"] > loose["high"] - loose["low"]
    assert row["clusters"] == 3
    assert "W18" in tied.warnings["id"].to_list()


@pytest.mark.parametrize(
    ("scores", "ids"),
    [
        ({"v1": flags("+++"), "v2": flags("+++")}, {"W01", "W02", "W03", "W12", "W20"}),
        ({"v1": flags("+-" * 20), "v2": flags("-+" * 20)}, {"W12", "W19", "W20"}),
        ({"v1": {"01": [5, 5], "02": [2, 2, 2]}, "v2": {"01": [5], "02": [2]}}, {"W04", "W05"}),
    ],
)
def test_warnings_name_what_to_beware_of(scores, ids):
    assert ids <= set(compare(evals_of(scores), baseline="v1", candidate="v2").warnings["id"])


@pytest.mark.parametrize(
    ("changed", "epochs", "level", "least", "warned"),
    [
        # All one way, the p-value is 1 / 2^m by the mid-p of single trials, 2 / 2^m by a permutation of several.
        (4, 1, 0.95, 1 / 16, True),
        (5, 1, 0.95, 1 / 32, False),
        (5, 3, 0.95, 2 / 32, True),
        (6, 3, 0.95, 2 / 64, False),
        (6, 1, 0.99, 1 / 64, True),
        (4, 1, 0.9, 1 / 16, False),
    ],
)
def test_too_few_changed_cases_are_warned_of_where_no_p_could_be_small_enough(
    changed, epochs, level, least, warned
):
    old = {f"{i:02}": [5] * epochs for i in range(12)}
    new = {f"{i:02}": [2 if i < changed else 5] * epochs for i in range(12)}

    change = compare(evals_of({"v1": old, "v2": new}), baseline="v1", candidate="v2", level=level)

    assert change.summary["p_value"][0] == pytest.approx(least)
    texts = change.warnings.filter(id="W02")["text"].to_list()
    assert len(texts) == warned
    assert all(f"overall ({changed} of 12)" in text and f"p < {1 - level:.2g}" in text for text in texts)


def test_sides_scored_on_different_criteria_are_refused_unless_told_to_share():
    easy = evals_of({"v1": flags("+" * 40), "v2": flags("+" * 40)}, criteria=("easy", "hard"))
    hard = pl.when(
        (pl.col("criterion") == "hard") & pl.col("run").cast(pl.String).str.starts_with("v1")
    ).then(2.0)
    scores = easy.scores.with_columns(score=hard.otherwise("score")).filter(
        ~((pl.col("criterion") == "hard") & (pl.col("run").cast(pl.String) == "v2-m"))
    )
    evals = Evals.from_tables(cases=easy.cases, criteria=easy.criteria, runs=easy.runs, scores=scores)
    asked = {"baseline": "v1", "candidate": "v2"}

    with pytest.raises(SelectorError, match="'v2' lacks hard.*easy.*criteria='shared'"):
        compare(evals, **asked)
    shared = compare(evals, **asked, criteria="shared")
    assert shared.verdict == "inconclusive"
    assert "Only one side was scored on hard" in " ".join(shared.warnings.filter(id="W07")["text"])
    with pytest.raises(SelectorError, match="share no criterion"):
        compare(
            evals.filter(pl.col("agent_version") == "v2")
            + evals.filter(agent_version="v1", criterion="hard"),
            **asked,
        )


def test_a_human_who_labelled_one_criterion_is_no_difference_of_criteria():
    evals = evals_of({"v1": flags("+-+"), "v2": flags("+++")})
    label = pl.DataFrame(
        {
            "run": ["v1-m"],
            "case": ["00"],
            "criterion": ["tone"],
            "score": [5],
            "grader": ["ann"],
            "grader_kind": ["human"],
        }
    )

    assert (
        compare(evals + Evals.from_tables(scores=label), baseline="v1", candidate="v2").summary["n"][0] == 3
    )


@pytest.mark.parametrize("thing", [pl.DataFrame({"a": [1]}), "scores.csv", None])
def test_what_is_no_evals_is_refused_with_the_way_to_make_one(thing):
    with pytest.raises(
        FormatError, match=r"compare takes an Evals, not .*Load it first: ek\.compare\(ek\.load"
    ):
        compare(thing, baseline="v1", candidate="v2")


def test_many_flips_are_counted_and_not_listed_in_the_sentence():
    names = {"severity": ["critical"] * 5 + ["low"] * 5}
    evals = evals_of({"v1": flags("+" * 9 + "-"), "v2": flags("-" * 9 + "+")}, cases=names)

    assert (
        "; 9 cases regressed (5 critical), 1 improved."
        in compare(evals, baseline="v1", candidate="v2").sentence
    )


def test_an_a_a_run_says_how_many_cases_flip_by_themselves():
    versions = {"v1": flags("++++----"), "again": flags("+++-+---"), "v2": flags("--++++--")}

    asked = {"baseline": "v1", "candidate": "v2"}
    alone = compare(evals_of(versions), **asked).warnings.filter(id="W19")["text"].item()
    known = compare(evals_of(versions), **asked, rerun="again").warnings.filter(id="W19")["text"].item()

    assert "unknown" in alone
    assert alone.startswith("4 cases")
    assert known.startswith("4 cases")
    assert "2.0 of 8" in known


def test_retried_failures_are_noticed():
    old = {f"{i:02}": [5] if i % 2 else [2, 2, 2] for i in range(10)}

    warnings = compare(evals_of({"v1": old, "v2": flags("+" * 10)}), baseline="v1", candidate="v2").warnings

    assert any("if failures were retried" in text for text in warnings.filter(id="W05")["text"])


@pytest.mark.parametrize(
    "scores",
    [
        {"v1": {"01": [5]}, "v2": {"01": [5]}},
        {"v1": {"01": [5]}, "v2": {"02": [5]}},
        {"v1": {"01": [None]}, "v2": {"01": [None]}},
        {"v1": {"01": [5], "02": [None]}, "v2": {"01": [None], "02": [5]}},
        {"v1": flags("+" * 9), "v2": flags("+" * 9)},
        {"v1": flags("-" * 9), "v2": flags("-" * 9)},
    ],
)
@pytest.mark.parametrize("by", [None, "criterion", "severity"])
def test_no_data_that_a_run_can_leave_is_an_error_or_a_nan_or_a_point(scores, by):
    change = compare(
        evals_of(scores), baseline="v1", candidate="v2", by=by, margin={"pass_rate": 0.1, "mean_score": 0.5}
    )

    for row in change.to_frame().iter_rows(named=True):
        assert row["verdict"] in WORDS
        if row["status"] == "ok":
            assert row["low"] < row["high"]
            assert row["low"] <= row["difference"] <= row["high"]
        else:
            assert row["reason"]
            assert (row["low"], row["high"]) == (None, None)
    assert repr(change)
    assert change.explain()
    assert json.dumps(change.to_dict(), allow_nan=False)


counts = st.lists(st.tuples(st.sampled_from([2, 4, 5]), st.sampled_from([2, 4, 5])), min_size=1, max_size=12)


@given(counts)
@settings(max_examples=40, deadline=None)
def test_swapping_the_sides_negates_and_the_order_of_rows_does_not_matter(pairs):
    old = {f"{i:02}": [a] for i, (a, _) in enumerate(pairs)}
    new = {f"{i:02}": [b] for i, (_, b) in enumerate(pairs)}
    evals = evals_of({"v1": old, "v2": new})
    rows = list(range(evals.scores.height))
    random.Random(3).shuffle(rows)
    shuffled = Evals.from_tables(
        cases=evals.cases, criteria=evals.criteria, runs=evals.runs, scores=evals.scores[rows]
    )

    forth = compare(evals, baseline="v1", candidate="v2").summary
    back = compare(evals, baseline="v2", candidate="v1").summary
    again = compare(shuffled, baseline="v1", candidate="v2").summary

    for a, b, c in zip(
        forth.iter_rows(named=True), back.iter_rows(named=True), again.iter_rows(named=True), strict=True
    ):
        assert b["difference"] == pytest.approx(-a["difference"], abs=1e-12)
        if a["low"] is not None:
            assert (b["low"], b["high"]) == pytest.approx((-a["high"], -a["low"]), abs=1e-9)
        assert c["low"] == pytest.approx(a["low"]) if a["low"] is not None else c["low"] is None
        assert (
            c["p_value"] == pytest.approx(a["p_value"]) if a["p_value"] is not None else c["p_value"] is None
        )


def test_the_same_data_gives_the_same_bits_every_time():
    random_scores = random.Random(5)
    rows = {
        v: {f"{i:02}": [random_scores.randint(1, 5) / 3 + 1 for _ in range(5)] for i in range(60)}
        for v in ("v1", "v2")
    }
    evals = evals_of(rows, criteria=("a", "b", "c"))

    seen = {json.dumps(compare(evals, baseline="v1", candidate="v2").to_dict()) for _ in range(10)}

    assert len(seen) == 1


def test_the_words_hold_the_numbers_and_the_worst_flip():
    cases = {"severity": ["critical", "high", "medium"]}
    evals = evals_of(
        {
            "v1": {c: [5, 5, 5] for c in ("00", "01", "02")},
            "v2": {"00": [2, 2, 2], "01": [5, 5, 5], "02": [5, 5, 5]},
        },
        cases=cases,
    )

    change = compare(evals, baseline="v1", candidate="v2")

    assert change.sentence.startswith(
        "v2 against v1: inconclusive overall; critical case 00 fails (0/3, was 3/3)."
    )
    assert "100.0% to 66.7%, −33.3 points" in change.sentence
    assert "n = 3 cases, 3 trials each" in change.sentence
    assert "no regression" not in change.explain().replace('"no regression"', "")


def test_hostile_names_are_text_in_every_form():
    evil = "<img src=x onerror=alert(1)>\x1b[31m"
    evals = evals_of({"v1": {evil: [5]}, evil: {evil: [2]}})

    change = compare(evals, baseline="v1", candidate={"agent_version": evil})

    assert "<img" not in change._repr_html_()
    assert "\x1b" not in repr(change)
    assert "\x1b" not in change.explain()


@pytest.mark.skipif(not AZURE.exists(), reason="the shared real data is not on this machine")
@pytest.mark.parametrize(
    ("criterion", "difference", "interval", "down", "up", "exact"),
    [
        ("groundedness", -0.560, (-0.775, -0.345), 29, 4, 1.09e-5),
        ("relevance", -0.645, None, 39, 6, 5.4e-7),
        ("coherence", -0.200, None, 20, 7, 0.0192),
        ("similarity", -0.675, None, 61, 10, 4.6e-10),
    ],
)
def test_the_paired_table_of_real_data_comes_out(criterion, difference, interval, down, up, exact):
    from evalkit import stats

    evals = load(AZURE / "baseline_3", AZURE / "badprompt_ignoresources_1", mapping=MAPPING)

    change = compare(
        evals.filter(criterion=criterion),
        baseline="baseline_3",
        candidate="badprompt_ignoresources_1",
        rule=PassRule(mean=4.0, floor=3.0),
    )

    mean = change.summary.filter(metric="mean_score").row(0, named=True)
    assert (mean["n"], mean["difference"]) == (200, pytest.approx(difference, abs=0.0005))
    if interval:
        assert (mean["low"], mean["high"]) == pytest.approx(interval, abs=0.0006)
    kinds = dict(change.flips["kind"].cast(pl.String).value_counts().iter_rows())
    assert kinds == {"regression": down, "improvement": up}
    test = stats.mcnemar(up, down)
    assert test.exact == pytest.approx(exact, rel=0.02)
    assert change.summary["p_value"][0] == pytest.approx(test.mid_p)
    assert change.verdict == "regressed"


def test_a_margin_of_nothing_in_particular_is_refused():
    with pytest.raises(
        ArgumentError, match=r"Invalid margin 0\.05\. .*Did you mean \{'pass_rate': 0\.05\}\?"
    ):
        compare(demo.make(), baseline="v2", candidate="v3", margin=0.05)


def test_a_unanimous_drop_of_scores_is_a_regression_on_a_declared_scale():
    cases = {f"{i:02}": [3] for i in range(14)}
    evals = evals_of({"v1": {case: [4] for case in cases}, "v2": cases})

    row = (
        compare(evals, baseline="v1", candidate="v2").estimates.filter(metric="mean_score").row(0, named=True)
    )

    assert row["difference"] == -1
    assert (row["verdict"], row["status"]) == ("regressed", "ok")
    assert row["high"] == pytest.approx(-1 + 3 * (1 - 0.025 ** (1 / 14)))  # a 3 may rise by 2, to 5
