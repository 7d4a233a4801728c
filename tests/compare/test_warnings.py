"""The warnings of a comparison: when each is given, and the numbers in it, worked out by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import polars as pl
import pytest

from evalkit.compare.compare import compare
from evalkit.compare.warnings import remark
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


def numbers(*said_of, **asked) -> list[list[str]]:
    """Return the numbers in the texts of one warning."""
    return [re.findall(r"[−+]?\d+(?:\.\d+)?", text) for text in said(*said_of, **asked)]


def test_few_cases_say_what_change_would_be_missed():
    # One gap of -1 among 8: sd = sqrt(1/8), so 2.8016 * .35355 / sqrt(8) = .350.
    assert numbers("W01", cases("+" * 8), cases("-" + "+" * 7)) == [["8", "35"]]
    assert numbers("W01", cases("+"), cases("-")) == [["1"]]


@pytest.mark.parametrize(("count", "warned"), [(29, True), (30, False)])
def test_thirty_cases_are_not_few(count, warned):
    assert bool(said("W01", cases("+" * count), cases("+" * count))) == warned


def test_scopes_in_which_too_few_cases_changed_are_named_with_how_many_did():
    facts = {"severity": ["high"] * 2 + ["low"] * 10}
    old, new = cases("+-" + "+-" * 5), cases("-+" + "-+" * 4 + "+-")

    # Of 10 low cases 8 changed, which is enough; of the two high ones both did, one each way.
    (text,) = said("W02", old, new, facts=facts, by="severity", weights={"high": 2})
    assert "high (2 of 2)" in text
    assert numbers("W02", old, new, facts=facts, by="severity", weights={"high": 2}) == [["2", "2", "0.05"]]
    assert said("W02", old, cases("?" * 12), facts=facts) == []
    (text,) = said("W02", cases("+" * 12), cases("-" + "+" * 11), facts=facts, weights={"high": 2})
    assert "overall (1 of 12)" in text


def test_where_all_cases_pass_the_rate_that_is_still_possible_is_named():
    # .05 ** (1/9) = .717
    assert numbers("W03", cases("+" * 9), cases("+" * 8 + "-")) == [["9", "72"]]
    (text,) = said("W03", cases("+" * 9), cases("+" * 8 + "-"))
    assert "baseline side" in text
    assert numbers("W03", cases("-"), cases("+")) == [["5"]]


def test_repeats_say_how_much_narrower_rows_would_look():
    assert numbers("W04", cases("+-", epochs=3), cases("+-")) == [["3", "1.7"]]
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

    assert "(baseline 1 to 2, candidate 1)" in text
    assert ("if failures were retried" in text) == retried
    assert said("W05", cases(signs, epochs=2), cases(signs)) == []


def test_unscored_trials_are_counted_and_bounded():
    assert numbers("W06", cases("+" * 10), cases("+" * 8 + "??")) == [
        ["0", "2", "10.0", "−20.0", "−20.0", "+0.0"]
    ]
    assert numbers("W06", cases("?" * 2 + "-" * 8), cases("+" * 2 + "-" * 8)) == [
        ["2", "0", "10.0", "+20.0", "+0.0", "+20.0"]
    ]


@pytest.mark.parametrize(
    ("new", "blocked"), [("+" * 10 + "-" * 9 + "?", False), ("+" * 10 + "-" * 8 + "??", True)]
)
def test_more_than_a_twentieth_unscored_forbids_a_verdict_where_it_could_decide(new, blocked):
    # 2 of 40 trials are 5%, 3 are more; either way the bounds lie on both sides of 0.
    (text,) = said("W06", cases("+" * 10 + "-" * 9 + "?"), cases(new))

    assert ("no verdict" in text) == blocked


def test_cases_of_one_side_are_named_and_held_against_the_others():
    old, new = cases("+++-"), {**cases("++"), "09": [FAIL]}

    assert numbers("W07", old, new) == [["2", "2", "1", "02", "03", "09", "50", "100", "0", "100"]]
    assert said("W07", old, new)[0].count("not alike") == 2
    (text,) = said("W07", cases("++++"), cases("++"))
    assert "not alike" not in text


def test_several_scopes_name_the_adjustment():
    facts = {"severity": ["high", "low"]}
    asked = {"old": cases("+-"), "new": cases("-+"), "facts": facts}

    (holm,) = said("W08", **asked, by="severity")
    (bh,) = said("W08", **asked, by="severity", adjust="bh")

    assert holm.startswith("2 scopes")
    assert "Holm" in holm
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
    assert numbers("W17", old, new) == [["−72.7", "+5.0"]]


@pytest.mark.parametrize(("count", "found"), [(10, [["10", "−10.0"]]), (9, [])])
def test_ten_cases_of_a_severity_that_moved_the_other_way_are_named(count, found):
    old, new = cases("-" * 20 + "+" * count), cases("+" * 20 + "-" + "+" * (count - 1))

    assert numbers("W17", old, new, facts={"severity": ["high"] * 20 + ["low"] * count}) == found


@pytest.mark.parametrize(("count", "found"), [(9, [["9", "8"]]), (10, [])])
def test_few_clusters_are_named(count, found):
    signs = "+-" * count
    clusters = [str(case // 2) for case in range(2 * count)]

    assert numbers("W18", cases(signs), cases(signs), facts={"cluster": clusters}) == found


def test_flips_are_held_against_what_the_baseline_s_own_repeats_let_expect():
    old = {"00": [PASS, PASS, FAIL], "01": [PASS] * 3, "02": [FAIL] * 3, "03": [PASS] * 3}
    new = {"00": [PASS] * 3, "01": [FAIL] * 3, "02": [FAIL] * 3, "03": [PASS] * 3}

    # Two draws without replacement of one pass in three differ in 2 of 3 pairs.
    assert numbers("W19", old, new) == [["1", "0.7", "4"]]
    assert said("W19", old, old) == []


@pytest.mark.parametrize(("count", "found"), [(10, [["+5.0", "+0.0"]]), (11, [])])
def test_the_rule_on_averaged_scores_is_named_where_it_moves_a_rate_by_five_points(count, found):
    # A mean of 5 and 3 is 4, which passes; of the two trials one does.
    new = cases("+" * count, epochs=2)

    assert numbers("W21", {**new, "00": [5.0, 3.0]}, new) == found


def test_a_warning_names_an_option_of_the_command_line_as_well():
    change = compare(evals_of({"v1": cases("+-"), "v2": cases("-+")}), "v1", "v2")

    (margin,) = (remark(warning) for warning in change.cautions if warning.id == "W20")
    assert margin in repr(change)
    assert "margin={'pass_rate': 0.05}" in margin
    assert "--margin pass_rate=0.05" in margin.for_shell()


def test_the_words_of_the_warnings(golden):
    facts = {"severity": ["high"] * 2 + ["low"] * 10, "cluster": [str(case // 2) for case in range(12)]}
    mixed = cases("+-" * 5 + "+?", epochs=3)
    uneven = {**cases("-+" * 4), "08": [PASS, None], "20": [FAIL]}
    found = {
        "few": evals_of({"v1": cases("+" * 9), "v2": cases("+" * 8 + "-")}),
        "repeats": evals_of({"v1": mixed, "v2": uneven}, severity=[*facts["severity"], None]),
        "clusters": evals_of({"v1": cases("+-" * 6), "v2": cases("-+" * 6)}, **facts),
    }
    texts = [f"[{name}]\n{compare(evals, 'v1', 'v2', by='severity')!r}" for name, evals in found.items()]

    golden("warnings", "\n\n".join(texts))
