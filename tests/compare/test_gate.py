"""The gate: conditions, outcomes, words; and the commands `gate`, `agree` and `plan`."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import polars as pl
import pytest
from statsmodels.stats.proportion import proportion_confint

import evalkit as ek
from evalkit.compare.gate import check_gate
from evalkit.data.schema import TABLES
from evalkit.util.errors import FormatError, SelectorError

PASS, FAIL = 5, 2


def evals_of(versions: dict[str, list[float | None]], *, severity="critical") -> ek.Evals:
    """version -> one score a case; the first two cases are of the severity, the others low."""
    rows = [
        (version, f"{at:03}", "tone", score)
        for version, scores in versions.items()
        for at, score in enumerate(scores)
    ]
    most = max(len(scores) for scores in versions.values())
    return ek.Evals.from_tables(
        cases=pl.DataFrame(
            {
                "suite": "s",
                "case": [f"{at:03}" for at in range(most)],
                "severity": [severity if at < 2 else "low" for at in range(most)],
            }
        ),
        criteria=pl.DataFrame({"suite": "s", "criterion": ["tone"], "scale_min": 1.0, "scale_max": 5.0}),
        runs=pl.DataFrame({"run": list(versions), "suite": "s", "agent_version": list(versions)}),
        scores=pl.DataFrame(
            rows,
            schema={"run": pl.String, "case": pl.String, "criterion": pl.String, "score": pl.Float64},
            orient="row",
        ).with_columns(grader_kind=pl.lit("judge")),
    )


def outcome(evals, **asked):
    return check_gate(evals, **asked).table.row(0, named=True)["outcome"]


@pytest.mark.parametrize(
    ("new", "margin", "expected"),
    [
        ([FAIL] * 20 + [PASS] * 20, None, "fail"),
        ([FAIL] * 20 + [PASS] * 20, 0.1, "fail"),
        ([PASS] * 40, None, "undecided"),
        ([PASS] * 40, 0.2, "pass"),
        ([PASS] * 40, 0.01, "undecided"),
    ],
)
def test_a_regression_fails_and_only_a_margin_can_show_that_there_is_none(new, margin, expected):
    evals = evals_of({"v1": [PASS] * 40, "v2": new})

    found = outcome(
        evals,
        baseline="v1",
        candidate="v2",
        no_regressions=True,
        margin=margin and {"pass_rate": margin},
    )

    assert found == expected


def test_the_reasons_hold_the_numbers_with_their_level():
    evals = evals_of({"v1": [PASS] * 40, "v2": [FAIL] * 20 + [PASS] * 20})
    sides = {"baseline": "v1", "candidate": "v2"}

    gate = check_gate(evals, **sides, no_regressions=True, pass_rate_at_least=0.9, level=0.9)

    low, high = (100 * end for end in proportion_confint(20, 40, alpha=0.1, method="wilson"))
    worse, reached = gate.table["reason"]
    assert re.fullmatch(r"Regressed: −50\.0 points, 90% interval \[−6\d\.\d, −3\d\.\d\], 40 cases\.", worse)
    assert reached.startswith(f"It is 50.0%, 90% interval [{low:.1f}%, {high:.1f}%] (Wilson")


def test_an_improvement_is_no_regression():
    evals = evals_of({"v1": [FAIL] * 30 + [PASS] * 10, "v2": [PASS] * 40})

    assert outcome(evals, baseline="v1", candidate="v2", no_regressions=True) == "pass"


def test_an_undecided_regression_says_that_a_margin_would_help():
    evals = evals_of({"v1": [PASS] * 8, "v2": [PASS] * 8})

    gate = check_gate(evals, baseline="v1", candidate="v2", no_regressions=True)

    assert gate.outcome == "undecided"
    assert "margin={'pass_rate': 0.05}" in gate.table["reason"][0]


def test_a_margin_of_the_mean_score_is_a_condition_of_its_own():
    # All still pass, and every mean has fallen by a whole point.
    evals = evals_of({"v1": [5] * 40, "v2": [4, 4, 4.1, 3.9 + 0.1] * 10})

    gate = check_gate(
        evals,
        baseline="v1",
        candidate="v2",
        no_regressions=True,
        margin={"pass_rate": 0.2, "mean_score": 0.25},
    )

    assert gate.table["outcome"].to_list() == ["pass", "fail"]
    assert gate.outcome == "fail"


@pytest.mark.parametrize(
    ("passes", "least", "expected"),
    [
        (100, 0.9, "pass"),
        (60, 0.9, "fail"),
        (90, 0.9, "undecided"),
        (0, 0.9, "fail"),
        (100, 1.0, "undecided"),
        (99, 1.0, "fail"),
    ],
)
def test_the_whole_interval_must_reach_the_rate(passes, least, expected):
    evals = evals_of({"v1": [PASS] * passes + [FAIL] * (100 - passes)})
    gate = check_gate(evals, pass_rate_at_least=least)

    assert gate.outcome == expected
    assert ("more cases would decide" in gate.table["reason"][0]) == (expected == "undecided")


def test_too_many_unscored_trials_leave_the_rate_undecided():
    evals = evals_of({"v1": [PASS] * 94 + [None] * 6})
    fewer = evals_of({"v1": [PASS] * 95 + [None] * 5})

    assert outcome(evals, pass_rate_at_least=0.9) == "undecided"
    assert outcome(fewer, pass_rate_at_least=0.9) == "pass"


@pytest.mark.parametrize(
    ("scores", "severity", "expected", "reason"),
    [
        ([PASS, PASS, FAIL], "critical", "pass", "2 cases, 2 trials."),
        ([PASS, FAIL, PASS], "critical", "fail", "Failed trials: 001 (1 of 1)."),
        ([None, FAIL, PASS], "critical", "fail", "Failed trials: 001 (1 of 1)."),
        ([None, PASS, PASS], "critical", "undecided", "Unscored trials: 000 (1 of 1)."),
        ([PASS, PASS, PASS], "high", "undecided", "No case is of severity critical."),
    ],
)
def test_every_trial_of_a_critical_case_must_pass(scores, severity, expected, reason):
    row = check_gate(evals_of({"v1": scores}, severity=severity), critical_must_pass=True).table.row(
        0, named=True
    )

    assert (row["outcome"], row["reason"]) == (expected, reason)


def test_a_critical_case_that_the_candidate_was_not_tried_on_is_no_pass():
    evals = evals_of({"v1": [PASS] * 3, "v2": [PASS] * 3})
    lost = evals.filter((pl.col("run") != "v2") | (pl.col("case") != "001"))
    failed = evals_of({"v1": [PASS] * 3, "v2": [FAIL] * 3})

    row = check_gate(lost, candidate="v2", critical_must_pass=True).table.row(0, named=True)

    assert (row["outcome"], row["reason"]) == ("undecided", "No trials of 001.")
    assert outcome(lost, candidate="v1", critical_must_pass=True) == "pass"
    assert (
        outcome(
            failed.filter((pl.col("run") != "v2") | (pl.col("case") != "001")),
            candidate="v2",
            critical_must_pass=True,
        )
        == "fail"
    )


def test_only_the_candidate_s_cases_count():
    evals = evals_of({"v1": [FAIL] * 3, "v2": [PASS] * 3})

    assert outcome(evals, candidate="v2", critical_must_pass=True) == "pass"
    assert outcome(evals, candidate="v1", critical_must_pass=True) == "fail"


def test_sides_that_were_judged_differently_are_compared_only_when_asked(tmp_path):
    evals = evals_of({"v1": [PASS] * 3, "v2": [PASS] * 3})
    named = evals.scores.with_columns(judge_model=pl.col("run").cast(pl.String))
    evals = replace(evals, scores=TABLES["scores"].check(named))
    sides = {"baseline": "v1", "candidate": "v2"}

    with pytest.raises(SelectorError, match="judge_model is v1 for 'v1' and v2 for 'v2'"):
        outcome(evals, **sides, no_regressions=True)
    with pytest.raises(SelectorError, match="judge_model is v1 for 'v1' and v2 for 'v2'"):
        ek.report(evals, tmp_path / "refused.md", **sides)

    assert outcome(evals, **sides, no_regressions=True, judge="any") == "undecided"
    assert "W11" in ek.report(evals, tmp_path / "any.md", **sides, judge="any").read_text(encoding="utf-8")


def test_one_failed_condition_outweighs_one_that_is_undecided():
    evals = evals_of({"v1": [PASS, FAIL, PASS]})

    gate = check_gate(evals, pass_rate_at_least=0.5, critical_must_pass=True)

    assert gate.outcome == "fail"
    assert gate.sentence == "The gate fails: of 2 conditions 1 failed, 1 undecided."


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({}, FormatError, "The gate has no condition"),
        (
            {"margin": {"pass_rate": 0.1}, "critical_must_pass": True},
            FormatError,
            "needs no_regressions",
        ),
        ({"pass_rate_at_least": 90}, FormatError, "pass_rate_at_least=90"),
        ({"pass_rate_at_least": 0.0}, FormatError, "a share above 0"),
        ({"no_regressions": True}, SelectorError, "two sides"),
        ({"critical_must_pass": True}, SelectorError, "several versions (v1, v2)"),
        ({"critical_must_pass": True, "candidate": "v9"}, SelectorError, "v9"),
    ],
)
def test_what_cannot_be_asked_is_said(asked, error, words):
    evals = evals_of({"v1": [PASS] * 3, "v2": [PASS] * 3})

    with pytest.raises(error) as told:
        check_gate(evals, **asked)

    assert words in str(told.value)


# --- the commands


@pytest.mark.parametrize(
    ("options", "code", "start"),
    [
        (("--baseline", "v1", "--candidate", "v2", "--no-regressions"), 0, "The gate passes"),
        (("--baseline", "v2", "--candidate", "v1", "--no-regressions"), 1, "The gate fails"),
        (("--baseline", "v2", "--candidate", "v3", "--no-regressions"), 3, "The gate cannot decide"),
        (("--candidate", "v3", "--critical-must-pass"), 1, "The gate fails"),
        (("--candidate", "v3", "--pass-rate-at-least", "0.5"), 0, "The gate passes"),
    ],
)
def test_the_exit_code_is_the_outcome(run, data, options, code, start):
    got, out, _ = run("gate", data, *options)

    assert got == code
    assert out.startswith(start)


def test_the_gate_as_json_is_what_check_gate_returns(run, data):
    code, out, _ = run("gate", data, "--candidate", "v3", "--critical-must-pass", "--format", "json")

    assert code == 1
    assert json.loads(out) == check_gate(ek.load(data), candidate="v3", critical_must_pass=True).to_dict()


def test_the_gate_as_markdown_is_a_list(run, data):
    _, out, _ = run("gate", data, "--candidate", "v3", "--critical-must-pass", "--format", "md")

    assert out.startswith("**The gate fails")
    assert "\n- fail: every critical case passes." in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "Pass --no-regressions, --pass-rate-at-least or --critical-must-pass."),
        (("--critical-must-pass",), "Name one with --candidate."),
        (("--no-regressions",), "--no-regressions needs two sides, --baseline and --candidate."),
        (("--candidate", "v3", "--pass-rate-at-least", "90"), "--pass-rate-at-least 90.0"),
    ],
)
def test_a_gate_that_cannot_be_asked_ends_with_2_and_one_line(run, data, options, words):
    code, out, err = run("gate", data, *options)

    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]


@pytest.mark.parametrize("reference", ["human", "itself"])
def test_agree_prints_what_agreement_returns(run, data, reference):
    found = ek.agreement(ek.load(data), reference=reference)

    code, text, _ = run("agree", data, "--reference", reference)
    _, out, _ = run("agree", data, "--reference", reference, "--format", "json")
    _, page, _ = run("agree", data, "--reference", reference, "--format", "md")

    assert code == 0
    assert text.startswith(found.sentence)
    assert all(f"\n{scope} " in text for scope in found.summary["scope"])
    assert f"The largest of {found.disagreements.height} disagreements" in text
    assert json.loads(out) == json.loads(json.dumps(found.to_dict(), default=str))
    assert "| scope | n |" in page


def test_agree_with_a_reference_that_is_not_there_says_who_is(run, data):
    code, out, err = run("agree", data, "--reference", "nobody")

    assert (code, out) == (2, "")
    assert "nobody" in err


def test_plan_prints_what_plan_returns(run, data):
    found = ek.plan(ek.load(data), baseline="v1", candidate="v2", difference=0.1)
    asked = ("plan", data, "--baseline", "v1", "--candidate", "v2", "--difference", "0.1")

    code, text, _ = run(*asked)
    _, out, _ = run(*asked, "--format", "json")

    assert code == 0
    assert text.startswith(found.sentence)
    assert "\nmore cases " in text
    assert json.loads(out) == json.loads(json.dumps(found.to_dict(), default=str))


def test_plan_for_a_margin_plans_for_no_worse(run, data):
    code, out, _ = run("plan", data, "--margin", "pass_rate=0.1", "--format", "json")

    assert code == 0
    assert json.loads(out)["margin"] == 0.1


def test_plan_of_a_difference_and_a_margin_is_refused(run, data):
    code, out, err = run("plan", data, "--margin", "pass_rate=0.1", "--difference", "0.1")

    assert (code, out) == (2, "")
    assert "Pass one of them" in err
