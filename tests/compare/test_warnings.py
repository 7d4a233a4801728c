"""The warnings of a comparison: when each is given, and the numbers in it, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from evalkit.compare.compare import compare
from evalkit.data.evals import Evals
from evalkit.data.schema import SCORES

PASS, FAIL = 5.0, 2.0
Cases = dict[str, list[float | None]]


def evals_of(versions: dict[str, Cases], *, grader_kind: str | None = "judge", **facts) -> Evals:
    """version -> case -> a score an epoch."""
    rows = [
        (version, case, epoch, score)
        for version, cases in versions.items()
        for case, scores in cases.items()
        for epoch, score in enumerate(scores, 1)
    ]
    scores = pl.DataFrame(
        rows,
        schema={"run": pl.String, "case": pl.String, "epoch": pl.Int64, "score": pl.Float64},
        orient="row",
    )
    names = sorted({case for cases in versions.values() for case in cases})
    return Evals.from_tables(
        cases=pl.DataFrame({"suite": "s", "case": names, **facts}),
        criteria=pl.DataFrame({"suite": "s", "criterion": ["a"], "scale_min": 1.0, "scale_max": 5.0}),
        runs=pl.DataFrame({"run": list(versions), "suite": "s", "agent_version": list(versions)}),
        scores=scores.with_columns(criterion=pl.lit("a"), grader_kind=pl.lit(grader_kind, dtype=pl.String)),
    )


def cases(signs: str, epochs: int = 1) -> Cases:
    """'+-?' -> three cases, passed, failed, without a score."""
    meant = {"+": PASS, "-": FAIL, "?": None}
    return {f"{at:02}": [meant[sign]] * epochs for at, sign in enumerate(signs)}


def said(number: str, old: Cases, new: Cases, *, facts: dict | None = None, **asked) -> list[str]:
    """Return the texts of one warning."""
    change = compare(
        evals_of({"v1": old, "v2": new}, **(facts or {})), baseline="v1", candidate="v2", **asked
    )
    return change.warnings.filter(id=number)["text"].to_list()


def test_few_cases_say_what_change_would_be_missed():
    # One gap of -1 among 8: sd = sqrt(1/8), so 2.8016 * .35355 / sqrt(8) = .350.
    assert said("W01", cases("+" * 8), cases("-" + "+" * 7)) == [
        "8 cases are few: the interval is wide. "
        "A true change of less than about 35 points would be missed more than one time in five."
    ]
    assert said("W01", cases("+"), cases("-")) == ["1 case is few: the interval is wide."]


@pytest.mark.parametrize(("count", "warned"), [(29, True), (30, False)])
def test_thirty_cases_are_not_few(count, warned):
    assert bool(said("W01", cases("+" * count), cases("+" * count))) == warned


def test_scopes_in_which_too_few_cases_changed_are_named_with_how_many_did():
    facts = {"severity": ["high"] * 2 + ["low"] * 10}
    old, new = cases("+-" + "+-" * 5), cases("-+" + "-+" * 4 + "+-")

    # Of 10 low cases 8 changed, which is enough; of the two high ones both did, one each way.
    assert said("W02", old, new, facts=facts, by="severity", weights={"high": 2}) == [
        "Too few cases changed in: high (2 of 2). No result there can reach p < 0.05, whatever is true."
    ]
    assert said("W02", old, cases("?" * 12), facts=facts) == []
    assert said("W02", cases("+" * 12), cases("-" + "+" * 11), facts=facts, weights={"high": 2}) == [
        "Too few cases changed in: overall (1 of 12). No result there can reach p < 0.05, whatever is true."
    ]


def test_where_all_cases_pass_the_rate_that_is_still_possible_is_named():
    # .05 ** (1/9) = .717
    assert said("W03", cases("+" * 9), cases("+" * 8 + "-")) == [
        "All 9 cases pass on the baseline side; that is compatible with a true rate of 72%."
    ]
    assert said("W03", cases("-"), cases("+")) == [
        "1 case passes on the candidate side; that is compatible with a true rate of 5%."
    ]


def test_repeats_say_how_much_narrower_rows_would_look():
    assert said("W04", cases("+-", epochs=3), cases("+-")) == [
        "Cases were tried up to 3 times a side; trials are averaged inside the case. "
        "Counting rows would make the interval look up to 1.7 times narrower."
    ]
    assert said("W04", cases("+-"), cases("+-")) == []


@pytest.mark.parametrize(
    ("once", "twice", "retried"),
    [
        ("+++++", "++++-", True),  # phi = 5 / sqrt(5 * 5 * 9 * 1) = .333
        ("++++-", "+++--", False),  # phi = 5 / sqrt(5 * 5 * 7 * 3) = .218
        ("++++-", "+++++", False),  # cases that pass were tried more often
    ],
)
def test_unequal_repeats_are_named_and_retries_of_failures_suspected(once, twice, retried):
    signs = once + twice
    old = {case: scores * (1 + (int(case) >= 5)) for case, scores in cases(signs).items()}

    (text,) = said("W05", old, cases(signs))

    start = "Cases have unequal numbers of scored trials (1 to 2 on the baseline side, 1 on the candidate side); every case still counts once."
    assert text.startswith(start)
    assert ("if failures were retried" in text) == retried
    assert said("W05", cases(signs, epochs=2), cases(signs)) == []


def test_unscored_trials_are_counted_and_bounded():
    assert said("W06", cases("+" * 10), cases("+" * 8 + "??")) == [
        "0 baseline trials and 2 candidate trials without a verdict are left out. Counted as fails, the difference is −20.0 points; "
        "at the extremes it lies between −20.0 points and +0.0 points."
    ]
    assert said("W06", cases("?" * 2 + "-" * 8), cases("+" * 2 + "-" * 8)) == [
        "2 baseline trials and 0 candidate trials without a verdict are left out. Counted as fails, the difference is +20.0 points; "
        "at the extremes it lies between +0.0 points and +20.0 points."
    ]


@pytest.mark.parametrize(
    ("new", "blocked"), [("+" * 10 + "-" * 9 + "?", False), ("+" * 10 + "-" * 8 + "??", True)]
)
def test_more_than_a_twentieth_unscored_forbids_a_verdict_where_it_could_decide(new, blocked):
    # 2 of 40 trials are 5%, 3 are more; either way the bounds lie on both sides of 0.
    (text,) = said("W06", cases("+" * 10 + "-" * 9 + "?"), cases(new))

    assert ("More than 5% are missing and they could decide the sign: no verdict." in text) == blocked


def test_cases_of_one_side_are_named_and_held_against_the_others():
    old, new = cases("+++-"), {**cases("++"), "09": [FAIL]}

    assert said("W07", old, new) == [
        "2 cases are on both sides and compared; left out: 2 only on the baseline side, 1 only on the candidate side (02, 03, 09)."
        " Those on the baseline side pass 50% of the time, the compared ones 100%: they are not alike."
        " Those on the candidate side pass 0% of the time, the compared ones 100%: they are not alike."
    ]
    (text,) = said("W07", cases("++++"), cases("++"))
    assert "not alike" not in text


def test_several_scopes_name_the_adjustment():
    facts = {"severity": ["high", "low"]}
    asked = {"old": cases("+-"), "new": cases("-+"), "facts": facts}

    (holm,) = said("W08", **asked, by="severity")
    (bh,) = said("W08", **asked, by="severity", adjust="bh")

    assert holm.startswith("2 scopes are tested for each metric; p_adjusted is Holm's")
    assert "Benjamini-Hochberg's" in bh
    assert said("W08", **asked) == []
    assert said("W08", cases("+-"), cases("-+"), facts={"severity": ["low"] * 2}, by="severity") == []


@pytest.mark.parametrize("column", ["judge_model", "prompt_hash", "rubric_hash"])
@pytest.mark.parametrize("change", [False, True])
def test_sides_judged_in_two_ways_are_named_where_that_was_allowed(column, change):
    evals = evals_of({"v1": cases("+-"), "v2": cases("-+")})
    mark = pl.col("run").cast(pl.String) if change else pl.lit("x")
    scores = evals.scores.with_columns(mark.alias(column))

    found = compare(
        replace(evals, scores=SCORES.check(scores)), baseline="v1", candidate="v2", judge="any", rubric="any"
    ).warnings.filter(id="W11")

    assert found.height == change


@pytest.mark.parametrize(("kind", "warned"), [("judge", True), (None, True), ("code", False)])
def test_a_judge_alone_is_not_people(kind, warned):
    assert bool(said("W12", cases("+-"), cases("-+"), facts={"grader_kind": kind})) == warned


def test_a_pooled_difference_of_the_other_sign_is_named():
    old = {"easy": [PASS] * 10, "hard": [FAIL]}
    new = {"easy": [PASS], "hard": [PASS] + [FAIL] * 9}

    # Pooled 2/11 - 10/11; paired (0 + .1) / 2.
    assert said("W17", old, new) == [
        "Pooled over all trials the difference is −72.7 points, paired by case it is +5.0 points: "
        "the sides hold different mixes of cases, and only the paired figure is a comparison."
    ]


@pytest.mark.parametrize(
    ("count", "texts"), [(10, ["The 10 low cases moved the other way (−10.0 points); exploratory."]), (9, [])]
)
def test_ten_cases_of_a_severity_that_moved_the_other_way_are_named(count, texts):
    old, new = cases("-" * 20 + "+" * count), cases("+" * 20 + "-" + "+" * (count - 1))

    assert said("W17", old, new, facts={"severity": ["high"] * 20 + ["low"] * count}) == texts


@pytest.mark.parametrize(
    ("count", "texts"),
    [
        (9, ["Only 9 clusters stand behind the interval (t, df = 8): trust it little."]),
        (10, []),
    ],
)
def test_few_clusters_are_named(count, texts):
    signs = "+-" * count

    assert (
        said("W18", cases(signs), cases(signs), facts={"cluster": [str(at // 2) for at in range(2 * count)]})
        == texts
    )


def test_flips_are_held_against_what_the_baseline_s_own_repeats_let_expect():
    old = {"00": [PASS, PASS, FAIL], "01": [PASS] * 3, "02": [FAIL] * 3, "03": [PASS] * 3}
    new = {"00": [PASS] * 3, "01": [FAIL] * 3, "02": [FAIL] * 3, "03": [PASS] * 3}

    # Two draws without replacement of one pass in three differ in 2 of 3 pairs.
    assert said("W19", old, new) == [
        "1 case flipped. Judging by the baseline's own repeats, about 0.7 of 4 would flip between two single runs of the same version."
    ]
    assert said("W19", old, old) == []


@pytest.mark.parametrize(
    ("count", "texts"),
    [
        (
            10,
            [
                "The rule is applied to each trial. Applied to each case's averaged scores it would move the baseline by +5.0 points and the candidate by +0.0 points."
            ],
        ),
        (11, []),
    ],
)
def test_the_rule_on_averaged_scores_is_named_where_it_moves_a_rate_by_five_points(count, texts):
    # A mean of 5 and 3 is 4, which passes; of the two trials one does.
    new = cases("+" * count, epochs=2)

    assert said("W21", {**new, "00": [5.0, 3.0]}, new) == texts
