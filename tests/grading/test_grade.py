"""The pass rule, from scores to verdicts."""

from __future__ import annotations

import json
import shlex
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.data.evals import Evals
from evalkit.data.scoring import Scoring
from evalkit.grading.grade import count_cases, grade, grade_criteria
from evalkit.grading.pass_rule import PassRule
from evalkit.grading.reduce import Codes
from evalkit.util.errors import ColumnError, RuleError, SelectorError

GOLDEN = Path(__file__).parents[2].parent / "shared/data/stats_golden.json"


def suite_of(*criteria: str, scale=(1, 5), kind="ordinal", weights=None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "suite": "s",
            "criterion": list(criteria),
            "scale_min": float(scale[0]),
            "scale_max": float(scale[1]),
            "kind": kind,
            "weight": weights or [None] * len(criteria),
        },
        schema_overrides={"weight": pl.Float64},
    )


def evals_of(rows: list[dict], criteria: pl.DataFrame | None = None, **tables) -> Evals:
    scores = pl.DataFrame([{"run": "r", "case": "01", **row} for row in rows], infer_schema_length=None)
    names = sorted(set(scores["criterion"]))
    return Evals.from_tables(
        criteria=suite_of(*names) if criteria is None else criteria,
        runs=pl.DataFrame({"run": scores["run"].unique(maintain_order=True), "suite": "s"}),
        scores=scores,
        **tables,
    )


def trial(*scores: float | None) -> list[dict]:
    return [{"criterion": f"c{i}", "score": score} for i, score in enumerate(scores)]


def scoring(**rule) -> Scoring:
    return Scoring(rule=PassRule(**rule))


def verdict_of(evals: Evals, rule: PassRule | None = None) -> str:
    return grade(evals, rule or PassRule())["verdict"].item()


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((4, 4, 4, 4, 4), "pass"),
        ((5, 5, 5, 3, 2), "fail"),
        ((5, 4, 4, 4, 3), "pass"),
        ((3.0, 3.8, 4.6, 4.6), "pass"),  # np.mean says 3.9999999999999996
        ((3.1, 4.0, 4.3, 4.6), "pass"),
        ((3.9, 4.1, 4.0), "pass"),
        ((5, 5, 2, 5), "fail"),
        ((4, 4, 4, 3), "fail"),
        ((5, 5, 2.9999), "fail"),
        ((3.999, 4, 4), "fail"),
    ],
)
def test_the_threshold_is_exact(scores, verdict):
    assert verdict_of(evals_of(trial(*scores))) == verdict


@pytest.mark.skipif(not GOLDEN.exists(), reason="the shared reference values are not on this machine")
def test_the_rule_agrees_with_the_golden_file():
    (golden,) = [g for g in json.loads(GOLDEN.read_text()) if g["name"] == "pass_rule_exact"]

    ours = [verdict_of(evals_of(trial(*scores))) == "pass" for scores in golden["inputs"]["scores"]]

    assert ours == [bool(value) for value in golden["expected"]]


@given(st.lists(st.integers(10, 50), min_size=1, max_size=6))
def test_tenths_are_graded_as_exact_fractions_are(tenths):
    exact = Fraction(sum(tenths), 10 * len(tenths)) >= 4 and min(tenths) >= 30

    verdict = verdict_of(evals_of(trial(*[t / 10 for t in tenths])))

    assert (verdict == "pass") == exact


@pytest.mark.parametrize(
    ("scores", "verdict", "reason"),
    [
        ((5, 5, None), "unscored", "a score is missing"),
        ((5, 2, None), "unscored", "a score is missing, and the others fail already"),
        ((3, 3, None), "unscored", "a score is missing, and the others fail already"),
        ((3, 4, None), "unscored", "a score is missing"),  # 3 + 4 + 5 = 12 reaches it
        ((None, None, None), "unscored", "a score is missing"),
    ],
)
def test_a_trial_that_lacks_a_score_is_unscored_whatever_the_others_say(scores, verdict, reason):
    row = grade(evals_of(trial(*scores))).row(0, named=True)

    assert row["certain_fail"] == (reason != "a score is missing")
    assert (row["verdict"], row["reason"], row["mean"]) == (verdict, reason, None)
    assert (row["scored"], row["expected"]) == (sum(s is not None for s in scores), 3)


def test_a_missing_score_fails_when_the_rule_says_so():
    assert verdict_of(evals_of(trial(5, 5, None)), PassRule(missing="fail")) == "fail"


def test_a_criterion_without_any_record_in_a_trial_is_missing_there():
    rows = trial(5, 5) + [{"case": "02", "criterion": "c0", "score": 5}]

    graded = grade(evals_of(rows)).sort("case")

    assert graded["verdict"].to_list() == ["pass", "unscored"]
    assert graded["expected"].to_list() == [2, 2]


def test_a_crashed_trial_is_unscored_and_counted():
    trials = pl.DataFrame({"run": "r", "case": ["01", "02"], "error": [None, "timeout"]})

    graded = grade(evals_of(trial(5, 5), trials=trials)).sort("case")

    assert graded["verdict"].to_list() == ["pass", "unscored"]
    assert graded["reason"].to_list() == [None, "the trial crashed"]


def test_samples_are_averaged_inside_the_criterion_before_the_rule():
    rows = [{"criterion": "a", "score": s, "sample": i} for i, s in enumerate([2, 3, 4], 1)]
    rows += [{"criterion": "b", "score": 5}]

    row = grade(evals_of(rows)).row(0, named=True)

    assert (row["mean"], row["lowest"], row["verdict"]) == (4.0, 3.0, "pass")


def test_samples_are_averaged_also_criterion_by_criterion_and_in_a_bare_frame():
    rows = [{"criterion": "a", "score": s, "sample": i} for i, s in enumerate([2, 3, None, 4], 1)]
    evals = evals_of(rows)
    scores = evals.scores.with_columns(scale_min=pl.lit(1.0), scale_max=pl.lit(5.0))

    assert grade_criteria(evals).select("score", "samples").rows() == [(3.0, 3)]
    assert grade(scores).select("mean", "scored").rows() == [(3.0, 1)]


def test_thirds_from_three_samples_reach_four_exactly():
    rows = [{"criterion": "a", "score": s, "sample": i} for i, s in enumerate([2, 3, 3], 1)]
    for name in "bcde":
        rows += [{"criterion": name, "score": s, "sample": i} for i, s in enumerate([4, 4, 5], 1)]

    assert np.mean([8 / 3] + [13 / 3] * 4) < 4
    assert verdict_of(evals_of(rows), PassRule(floor=2)) == "pass"


def test_an_unreadable_sample_does_not_lower_the_others():
    rows = [{"criterion": "a", "score": 5, "sample": 1}, {"criterion": "a", "score": None, "sample": 2}]

    assert grade(evals_of(rows))["mean"].item() == 5.0


def test_weights_of_the_rule_replace_those_of_the_suite_and_the_floor_ignores_both():
    criteria = suite_of("c0", "c1", weights=[1.0, 3.0])
    evals = evals_of(trial(5, 3), criteria)

    assert grade(evals)["mean"].item() == pytest.approx(3.5)
    assert grade(evals, PassRule(weights={"c0": 3, "c1": 1}))["mean"].item() == pytest.approx(4.5)
    assert verdict_of(evals_of(trial(5, 2), criteria), PassRule(weights={"c0": 1, "c1": 0})) == "fail"


@pytest.mark.parametrize(
    ("first", "certain"),
    [
        (3.6, True),  # 3 * 3.6 + 5 = 15.8 of the 16 needed
        (3.7, False),  # 3 * 3.7 + 5 = 16.1
    ],
)
def test_what_a_missing_score_could_still_bring_counts_by_its_weight(first, certain):
    graded = grade(evals_of(trial(first, None)), PassRule(weights={"c0": 3, "c1": 1}))

    assert graded.select("verdict", "certain_fail").rows() == [("unscored", certain)]


def test_the_verdicts_of_a_case_are_counted_by_floor_and_gate_as_well():
    rows = [
        {"case": case, **row} for case, last in (("01", 5), ("02", 2), ("03", 4)) for row in trial(5, 5, last)
    ]

    by_floor = count_cases(evals_of(rows), scoring())
    by_gate = count_cases(evals_of(rows), scoring(gates={"c2": 5}))

    assert by_floor.select("case", "passes", "trials").rows() == [("01", 1, 1), ("02", 0, 1), ("03", 1, 1)]
    assert by_gate.select("case", "passes", "trials").rows() == [("01", 1, 1), ("02", 0, 1), ("03", 0, 1)]


def test_a_gate_must_be_reached_whatever_the_mean():
    evals = evals_of(trial(5, 5, 4))

    row = grade(evals, PassRule(gates={"c2": 5})).row(0, named=True)

    assert (row["verdict"], row["reason"]) == ("fail", "a gate is not reached")
    assert verdict_of(evals, PassRule(gates={"c2": 4})) == "pass"


def test_a_binary_criterion_passes_at_its_maximum_and_stays_out_of_the_mean():
    criteria = pl.concat([suite_of("c0"), suite_of("c1", scale=(0, 1), kind="binary")])

    assert verdict_of(evals_of(trial(4, 1), criteria)) == "pass"
    assert verdict_of(evals_of(trial(5, 0), criteria)) == "fail"
    assert grade(evals_of(trial(4, 1), criteria))["mean"].item() == 4.0


def test_a_suite_of_binary_criteria_passes_when_all_do():
    criteria = suite_of("c0", "c1", scale=(0, 1), kind="binary")

    assert [verdict_of(evals_of(trial(*s), criteria)) for s in ((1, 1), (1, 0), (1, None), (0, None))] == [
        "pass",
        "fail",
        "unscored",
        "unscored",
    ]


@pytest.mark.parametrize(
    ("criteria", "rule", "argument", "numbers"),
    [
        (suite_of("c0", scale=(0, 1)), PassRule(mean=0.7, floor=0.5, scale=(1, 5)), "rule", "for 1 to 5"),
        (suite_of("c0"), PassRule(mean=9), "rule", "mean of 9 .*'c0', 1 to 5"),
        (suite_of("c0"), PassRule(mean=5, floor=0.5), "rule", "floor of 0.5 .*'c0', 1 to 5"),
        (suite_of("c0"), PassRule(floor=4.5), "floor", "at most the mean"),
        (suite_of("c1"), PassRule(), "scale", r"'c0'.* 1 and 1\..*PassRule\(scale=\(0, 1\)\)"),
        (suite_of("c0"), PassRule(gates={"c00": 5}), "gates", "Did you mean 'c0'"),
        (suite_of("c0"), PassRule(weights={"zzz": 5}), "weights", "Expected c0"),
    ],
)
def test_a_rule_that_does_not_fit_the_scores_is_refused(criteria, rule, argument, numbers):
    with pytest.raises(RuleError, match=numbers) as refused:
        grade(evals_of(trial(1), criteria), rule)

    assert refused.value.argument == argument


def test_a_rule_is_spelled_for_the_command_line():
    with pytest.raises(RuleError) as refused:
        grade(evals_of(trial(1), suite_of("c1")))

    assert "--scale 0,1" in refused.value.for_shell()
    assert "PassRule" not in refused.value.for_shell()


def test_a_rule_with_other_numbers_serves_the_scale_that_is_declared():
    evals = evals_of(trial(0.8, 0.6), suite_of("c0", "c1", scale=(0, 1)))

    assert verdict_of(evals, PassRule(mean=0.7, floor=0.5)) == "pass"


@pytest.mark.parametrize("lacking", [["scale_min"], ["scale_max"], ["scale_min", "scale_max"]])
def test_a_rule_says_the_scale_where_the_criteria_do_not(lacking):
    criteria = suite_of("c0").with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in lacking)

    assert verdict_of(evals_of(trial(4), criteria), PassRule(scale=(1, 5))) == "pass"
    assert verdict_of(evals_of(trial(3), criteria), PassRule(scale=(1, 5))) == "fail"


def test_a_rule_may_name_criteria_where_nothing_was_scored_yet():
    evals = Evals.from_tables(
        runs=pl.DataFrame({"run": ["r"], "suite": ["s"]}), trials=pl.DataFrame({"run": ["r"], "case": ["01"]})
    )

    assert verdict_of(evals, PassRule(gates={"c0": 5})) == "unscored"


def test_criteria_on_different_scales_have_a_mean_of_shares():
    criteria = pl.concat([suite_of("c0", scale=(1, 5)), suite_of("c1", scale=(0, 10))])

    row = grade(evals_of(trial(4, 6), criteria)).row(0, named=True)

    # 75 % and 60 % of the scales.
    assert (row["mean"], row["lowest"], row["verdict"]) == (0.675, 0.6, "fail")
    assert verdict_of(evals_of(trial(4, 7.5), criteria)) == "pass"
    assert verdict_of(evals_of(trial(5, 4.9), criteria)) == "fail"


@pytest.mark.parametrize("fields", [{"mean": 4.5, "floor": None}, {"mean": None, "floor": 2}])
def test_a_number_is_refused_where_the_scales_differ(fields):
    criteria = pl.concat([suite_of("c0", scale=(1, 5)), suite_of("c1", scale=(1, 10))])

    with pytest.raises(RuleError) as refused:
        grade(evals_of(trial(5, 9), criteria), PassRule(**fields))

    assert refused.value.argument in fields


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [((5, 0.2), "pass"), ((5, 0.3), "fail"), ((4, 0.1), "fail"), ((5, 0.0), "pass"), ((3, 0.5), "fail")],
)
def test_lower_is_better_is_reversed_in_the_mean_and_a_gate_is_a_maximum(scores, verdict):
    lower = suite_of("c1", scale=(0, 1)).with_columns(direction=pl.lit("lower"))
    criteria = pl.concat([suite_of("c0").with_columns(direction=pl.lit(None, pl.String)), lower])
    rule = PassRule(gates={"c0": 4.5, "c1": 0.2})

    evals = evals_of(trial(*scores), criteria)

    assert verdict_of(evals, rule) == verdict
    share = ((scores[0] - 1) / 4 + 1 - scores[1]) / 2
    assert grade(evals)["mean"].item() == pytest.approx(share, abs=1e-12)


def test_a_lower_is_better_criterion_by_itself_passes_at_or_below_its_threshold():
    criteria = suite_of("c0", scale=(0, 10)).with_columns(direction=pl.lit("lower"))

    graded = grade_criteria(
        evals_of([{"case": str(s), "criterion": "c0", "score": s} for s in (0, 2.5, 2.6)], criteria)
    )

    assert graded.select("score", "threshold", "least", "direction", "verdict").rows() == [
        (0.0, 2.5, 5.0, "lower", "pass"),
        (2.5, 2.5, 5.0, "lower", "pass"),
        (2.6, 2.5, 5.0, "lower", "fail"),
    ]


def test_a_rule_of_gates_alone_needs_no_scale():
    criteria = suite_of("c0", "c1").with_columns(scale_min=None, scale_max=None)
    rule = PassRule(mean=None, floor=None, gates={"c0": 7})

    assert verdict_of(evals_of(trial(7, -3), criteria), rule) == "pass"
    assert verdict_of(evals_of(trial(6.9, 99), criteria), rule) == "fail"
    assert verdict_of(evals_of(trial(None, 99), criteria), rule) == "unscored"


SCALES = st.sampled_from([(0, 1), (1, 5), (0, 10), (-3, 3), (0, 100), (1000, 1001)])


@st.composite
def ruled_trials(draw):
    """Draw criteria with scales, directions, weights and decimal scores, and a rule."""
    shared = draw(st.none() | SCALES)
    criteria = []
    for number in range(draw(st.integers(1, 4))):
        low, high = shared or draw(SCALES)
        places = draw(st.integers(0, 4))
        score = low + Fraction(draw(st.integers(0, 10**places * (high - low))), 10**places)
        weight = Fraction(draw(st.integers(0, 30)), 10)
        criteria.append((f"c{number}", low, high, draw(st.booleans()), weight, score))
    mean = Fraction(draw(st.integers(0, 100)), 100)
    floor = min(mean, Fraction(draw(st.integers(0, 100)), 100))
    return criteria, mean, floor


@given(ruled_trials())
@settings(deadline=None)
def test_any_rule_is_exact_as_fractions_are(drawn):
    criteria, mean, floor = drawn
    shares = [(high - s if lower else s - low) / (high - low) for _, low, high, lower, _, s in criteria]
    weights = [weight for *_, weight, _ in criteria]
    total = sum(weights)
    passes = min(shares) >= floor and sum(w * s for w, s in zip(weights, shares, strict=True)) >= mean * total
    names = ["criterion", "scale_min", "scale_max", "direction", "weight", "score"]
    rows = [
        (n, low, high, "lower" if d else "higher", float(w), float(s)) for n, low, high, d, w, s in criteria
    ]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(case=pl.lit("01"))
    rule = PassRule(mean=f"{float(100 * mean):g}%", floor=f"{float(100 * floor):g}%")

    assert grade(frame, rule)["verdict"].to_list() == ["pass" if passes else "fail"]
    assert grade(frame.to_pandas(), rule)["verdict"].tolist() == ["pass" if passes else "fail"]


@pytest.mark.parametrize(
    ("fields", "argument", "value"),
    [
        ({"mean": 4, "floor": 4.5}, "floor", 4.5),
        ({"floor": "80%"}, "floor", "80%"),
        ({"mean": "120%"}, "mean", "120%"),
        ({"mean": "high"}, "mean", "high"),
        ({"missing": "pass"}, "missing", "pass"),
        ({"weights": {"a": -1}}, "weights", -1),
        ({"weights": {"a": 1, "b": "2"}}, "weights", {"a": 1, "b": "2"}),
        ({"gates": ["a"]}, "gates", ["a"]),
        ({"scale": (5,)}, "scale", (5,)),
        ({"scale": (5, 1)}, "scale", (5, 1)),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(fields, argument, value):
    with pytest.raises(RuleError) as refused:
        PassRule(**fields)

    assert (refused.value.argument, refused.value.value) == (argument, value)
    assert refused.value.expected or refused.value.choices


def test_humans_count_only_when_asked():
    rows = [
        {"criterion": "a", "score": 5, "grader": "j", "grader_kind": "judge"},
        {"criterion": "a", "score": 1, "grader": "ann", "grader_kind": "human"},
    ]
    evals = evals_of(rows)

    assert grade(evals)["mean"].item() == 5.0
    assert grade(evals, grader="human")["mean"].item() == 1.0
    assert grade(evals, grader="ann")["mean"].item() == 1.0
    assert grade(evals, grader=["j", "ann"])["mean"].item() == 3.0


def test_two_judges_of_a_criterion_must_be_told_apart():
    evals = evals_of([{"criterion": "a", "score": 5, "grader": g, "grader_kind": "judge"} for g in "jk"])

    with pytest.raises(
        SelectorError,
        match="Several graders.*grader='j' .1 score., grader='k' .1 score.*grader='any' to average",
    ):
        grade(evals)
    with pytest.raises(SelectorError, match="Unknown grader 'l'.*j or k"):
        grade(evals, grader="l")
    assert grade(evals, grader="k")["mean"].item() == 5.0


def test_graders_are_told_apart_also_in_a_bare_frame_and_criterion_by_criterion():
    two = evals_of([{"criterion": "a", "score": 5, "grader": g, "grader_kind": "judge"} for g in "jk"])
    people = evals_of(
        [
            {"criterion": "a", "score": 5, "grader": "j", "grader_kind": "judge"},
            {"criterion": "a", "score": 1, "grader": "ann", "grader_kind": "human"},
        ]
    )
    scale = {"scale_min": pl.lit(1.0), "scale_max": pl.lit(5.0)}

    for refused in (lambda: grade(two.scores.with_columns(**scale)), lambda: grade_criteria(two)):
        with pytest.raises(SelectorError, match="Several graders"):
            refused()
    assert grade(people.scores.with_columns(**scale))["mean"].item() == 5.0
    assert grade_criteria(people)["score"].item() == 5.0


def test_a_hostile_grader_name_is_quoted_for_the_shell():
    names = ['a"; rm -rf ~; "', "b"]
    evals = evals_of([{"criterion": "a", "score": 5, "grader": g, "grader_kind": "judge"} for g in names])

    with pytest.raises(SelectorError) as refused:
        grade(evals)

    assert f"--grader {shlex.quote(names[0])}" in refused.value.for_shell()


def test_of_many_graders_the_first_six_are_named_and_the_others_counted():
    evals = evals_of(
        [{"criterion": "a", "score": 5, "grader": f"g{n}", "grader_kind": "judge"} for n in range(8)]
    )

    with pytest.raises(SelectorError, match="grader='g5' .1 score. and 2 more.*grader='any'"):
        grade(evals)


def test_two_rubrics_of_a_criterion_must_be_told_apart_but_cases_may_differ():
    same = [{"criterion": "a", "score": s, "rubric_hash": h} for s, h in ((5, "old"), (3, "new"))]
    differing = [{"criterion": "a", "score": 5, "case": c, "rubric_hash": c} for c in ("01", "02")]

    with pytest.raises(SelectorError, match="Several rubrics.*rubric='new'.*rubric='any' to mix"):
        grade(evals_of(same))
    assert grade(evals_of(same), rubric="old")["mean"].item() == 5.0
    assert grade(evals_of(same), rubric="any")["mean"].item() == 4.0
    assert grade(evals_of(differing)).height == 2


def test_only_the_criteria_of_the_chosen_rubric_are_expected():
    rows = [
        {"criterion": "a", "score": 5, "rubric_hash": "old"},
        {"criterion": "a", "score": 2, "rubric_hash": "new"},
        {"criterion": "b", "score": 5, "rubric_hash": "new"},
    ]

    row = grade(evals_of(rows), rubric="old").row(0, named=True)

    assert (row["verdict"], row["scored"], row["expected"]) == ("pass", 1, 1)


def bare() -> pl.DataFrame:
    rows = [
        ("r", "01", 1, "a", 5.0),
        ("r", "01", 1, "b", 3.0),
        ("r", "01", 2, "a", 5.0),
        ("r", "01", 2, "b", None),
        ("q", "02", 1, "a", 2.0),
        ("q", "02", 1, "b", 5.0),
    ]
    frame = pl.DataFrame(rows, schema=["run", "case", "epoch", "criterion", "score"], orient="row")
    return frame.with_columns(scale_min=pl.lit(1.0), scale_max=pl.lit(5.0), agent_version=pl.lit("v1"))


def test_polars_eager_lazy_and_pandas_give_the_same_answer_in_their_own_kind():
    eager = grade(bare())
    lazy = grade(bare().lazy())
    pandas = grade(bare().to_pandas())

    assert isinstance(eager, pl.DataFrame)
    assert isinstance(lazy, pl.LazyFrame)
    assert isinstance(pandas, pd.DataFrame)
    wanted = eager.rows()
    assert eager["verdict"].to_list() == ["fail", "pass", "unscored"]
    assert lazy.collect().rows() == wanted
    assert pl.from_pandas(pandas).rows() == wanted


def test_criteria_of_a_frame_come_back_in_its_own_kind():
    wanted = grade_criteria(bare()).sort("run", "case", "epoch", "criterion")["verdict"].to_list()

    assert wanted == ["fail", "pass", "pass", "fail", "pass", "unscored"]
    assert isinstance(grade_criteria(bare().lazy()), pl.LazyFrame)
    pandas = grade_criteria(bare().to_pandas()).sort_values(["run", "case", "epoch", "criterion"])
    assert isinstance(pandas, pd.DataFrame)
    assert pandas["verdict"].tolist() == wanted


def test_an_evals_and_its_bare_scores_agree():
    evals = evals_of(trial(5, 3) + [{"case": "02", **row} for row in trial(5, None)])
    scores = evals.scores.with_columns(scale_min=pl.lit(1.0), scale_max=pl.lit(5.0))

    assert (
        grade(evals).sort("case").select("mean", "lowest", "scored", pl.col("verdict").cast(pl.String)).rows()
        == grade(scores).sort("case").select("mean", "lowest", "scored", "verdict").rows()
    )


@pytest.mark.parametrize("column", ["case", "criterion", "score"])
def test_a_bare_frame_that_lacks_a_column_is_refused_by_name(column):
    with pytest.raises(ColumnError, match=f"no column '{column}'"):
        grade(bare().drop(column))


def test_a_bare_frame_must_carry_its_scale():
    with pytest.raises(RuleError, match="No scale"):
        grade(bare().drop("scale_min", "scale_max"))
    with pytest.raises(ColumnError, match="Cannot grade int"):
        grade(3)


def test_two_suites_with_criteria_of_the_same_name_are_graded_each_by_its_own():
    one = evals_of(trial(5), suite_of("c0", scale=(1, 5)))
    two = Evals.from_tables(
        criteria=suite_of("c0", scale=(0, 1), kind="binary").with_columns(suite=pl.lit("t")),
        runs=pl.DataFrame({"run": ["q"], "suite": ["t"]}),
        scores=pl.DataFrame({"run": ["q"], "case": ["01"], "criterion": ["c0"], "score": [0]}),
    )

    assert grade(one + two).sort("run")["verdict"].to_list() == ["fail", "pass"]
    assert count_cases(one + two, scoring()).select("run", "passes", "trials").rows() == [
        ("q", 0, 1),
        ("r", 1, 1),
    ]


def test_nothing_in_gives_nothing_out():
    assert grade(Evals.from_tables()).is_empty()
    assert grade_criteria(Evals.from_tables()).is_empty()


def test_each_criterion_is_graded_by_the_mean_and_a_crash_is_unscored_in_each():
    trials = pl.DataFrame({"run": "r", "case": ["01", "02"], "error": [None, "timeout"]})

    rows = grade_criteria(evals_of(trial(4, 3.9), trials=trials)).sort("case", "criterion")

    assert rows["verdict"].to_list() == ["pass", "fail", "unscored", "unscored"]
    assert rows["samples"].to_list() == [1, 1, 0, 0]
    strict = grade_criteria(evals_of(trial(4, None)), PassRule(missing="fail"))
    assert strict.sort("criterion")["verdict"].to_list() == ["pass", "fail"]
    assert rows["scale_max"].to_list() == [5.0] * 4


trials_of_two_runs = st.lists(
    st.tuples(
        st.sampled_from(["v1", "v2"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 3) | st.just(2**31 - 1),
        st.lists(st.none() | st.integers(1, 5), min_size=2, max_size=2),
    ),
    unique_by=lambda row: row[:3],
    max_size=12,
)


@given(trials_of_two_runs, st.sampled_from(["unscored", "fail"]), st.sets(st.sampled_from("abc")))
@settings(deadline=None)
def test_the_verdicts_of_a_case_are_counted_as_slowly_by_hand(trials, missing, described):
    rows = [
        (run, case, epoch, criterion, score)
        for run, case, epoch, scores in trials
        for criterion, score in zip("xy", scores, strict=True)
    ]
    columns = {
        "run": pl.String,
        "case": pl.String,
        "epoch": pl.Int64,
        "criterion": pl.String,
        "score": pl.Int64,
    }
    crashed = [("v1", "c", 7), ("v2", "d", 1)]
    evals = Evals.from_tables(
        cases=pl.DataFrame(
            {"suite": "s", "case": sorted(described)}, schema={"suite": pl.String, "case": pl.String}
        ),
        criteria=pl.DataFrame({"suite": "s", "criterion": ["x", "y"], "scale_min": 1.0, "scale_max": 5.0}),
        runs=pl.DataFrame({"run": ["v1", "v2"], "suite": "s"}),
        trials=pl.DataFrame(crashed, schema=["run", "case", "epoch"], orient="row"),
        scores=pl.DataFrame(rows, schema=columns, orient="row").with_columns(grader_kind=pl.lit("judge")),
    )
    expected: dict[tuple[str, str], list[float]] = {}
    for run, case, _, scores in [*trials, *((*key, [None, None]) for key in crashed)]:
        known = [s for s in scores if s is not None]
        undecided = len(known) < 2
        failed = not undecided and (min(known) < 3 or sum(known) < 8)
        cell = expected.setdefault((case, run), [0, 0, 0, 0, 0])
        lost = undecided and missing == "unscored"
        cell[0] += not failed and not undecided
        cell[1] += not lost
        cell[2] += lost
        if len(known) == 2:
            cell[3] += sum(known) / 2
            cell[4] += 1

    counts = count_cases(evals, scoring(missing=missing))

    assert [(row[1], row[0]) for row in counts.iter_rows()] == sorted(expected)
    assert [list(row[2:]) for row in counts.iter_rows()] == [expected[key] for key in sorted(expected)]


def test_ids_too_far_apart_for_one_small_number_are_still_told_apart():
    scores = [("v1", "first", 1), ("v1", "first", 2**31 - 1), ("v2", "last", 1), ("v2", "last", 2**31 - 1)]
    evals = evals_of([{"run": r, "case": c, "epoch": e, "criterion": "a", "score": 5} for r, c, e in scores])
    wide = Codes(low=(0, 0, 0), span=(2**32, 2**32, 2**31))

    made = evals.scores.select(wide.trial().alias("trial")).with_columns(wide.cell("trial").alias("cell"))

    assert made["trial"].n_unique() == 4
    assert wide.name(made.select("cell").unique(), evals).sort("case")["case"].cast(pl.String).to_list() == [
        "first",
        "last",
    ]


def test_the_sides_of_a_comparison_may_carry_different_criteria_run_by_run():
    rows = [
        {"run": "v1", "case": "01", "epoch": 1, "criterion": "a", "score": 5},
        {"run": "v2", "case": "01", "epoch": 1, "criterion": "a", "score": 5},
        {"run": "v2", "case": "02", "epoch": 1, "criterion": "a", "score": 5},
        {"run": "v2", "case": "02", "epoch": 1, "criterion": "b", "score": 5},
    ]

    counts = count_cases(evals_of(rows), scoring())

    # v2 carries a and b, so its first case lacks one; v1 carries a alone.
    assert counts.select("run", "case", "passes", "unscored").rows() == [
        ("v1", "01", 1, 0),
        ("v2", "01", 0, 1),
        ("v2", "02", 1, 0),
    ]


def test_the_mean_of_a_run_is_held_against_the_criteria_that_run_carries():
    rows = [
        {"run": "v1", "criterion": "a", "score": 5},
        {"run": "v2", "criterion": "a", "score": 5},
        {"run": "v2", "criterion": "b", "score": 3.5},
        {"run": "v3", "criterion": "a", "score": 4},
        {"run": "v3", "criterion": "b", "score": 3.5},
    ]

    graded = grade(evals_of(rows))

    assert graded.select("run", "mean", "verdict").rows() == [
        ("v1", 5.0, "pass"),
        ("v2", 4.25, "pass"),
        ("v3", 3.75, "fail"),
    ]


ROW = {"criterion": "a", "scale_min": 1.0, "scale_max": 5.0, "kind": "ordinal", "direction": None}
BINARY = {"criterion": "b", "scale_min": 0.0, "scale_max": 1.0, "kind": "binary", "direction": None}
ON_1_TO_5 = "the mean of the criteria is at least 4 and none is below 3"


@pytest.mark.parametrize(
    ("rule", "criteria", "words"),
    [
        (PassRule(), [BINARY], "every criterion passes"),
        (PassRule(), [ROW], ON_1_TO_5),
        (PassRule(), [ROW, {**ROW, "scale_max": 10.0}], PassRule().words),
        (PassRule(), [BINARY, ROW], f"{ON_1_TO_5}, and every binary criterion passes"),
        (
            PassRule(mean=None, floor=None, gates={"a": "80%"}),
            [{**ROW, "direction": "lower"}],
            "a is at most 1.8",
        ),
        (PassRule(mean=None), [ROW], "no criterion is below 3"),
        (PassRule(mean=None, floor=None), [ROW], "a condition is set (there is none)"),
    ],
)
def test_the_rule_in_words_says_what_it_does_on_the_criteria(rule, criteria, words):
    assert rule.words_for(criteria) == words
