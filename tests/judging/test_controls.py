"""Attempts whose score is known: a judge that fails them is not to be believed, and the run says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.data.evals import Evals
from evalkit.data.suite import Suite
from evalkit.util.errors import FormatError
from fakes import Answer
from fakes.judges import judged

BUNDLED = Path(__file__).parents[2] / "data" / "suites" / "groq-batch-api.yaml"


def fair(body):
    """Judge as a good judge would: the fake knows the two by their words."""
    suite = Suite.read(BUNDLED)
    user = body["messages"][1]["content"]
    bad = any(" ".join(case.input.split())[:40] in " ".join(user.split()) for case in suite.cases)
    return judged(body, 1 if bad else 5)


def test_nine_cases_give_eighteen_controls_and_a_good_judge_holds_them(fake, make_judge):
    fake.answer = fair

    controls = make_judge(rubric=BUNDLED).controls(BUNDLED)

    assert controls.table.height == 18
    assert fake.count("POST /chat/completions") == 54
    assert (controls.held, controls.passed) == (18, True)
    assert controls.words == "18 of 18 controls held."
    assert controls.table.columns == [
        *("case", "control", "score", "lowest", "highest", "criteria", "scored", "held", "expected")
    ]


def test_a_judge_that_is_kind_to_everything_fails_half_of_them_and_the_run_says_so(
    fake, make_judge, make_evals, suite, parts
):
    fake.answer = lambda body: judged(body, 5)
    judge = make_judge()

    controls = judge.controls(suite)
    out = judge.run(make_evals(), controls=controls)

    assert (controls.held, controls.passed) == (2, False)
    assert controls.table.filter(control="ideal")["held"].all()
    assert not controls.table.filter(control="bad")["held"].any()
    assert parts(out)["controls"] == controls.words
    assert "2 of 4 controls held. Failed: case 01 bad 5.0, case 02 bad 5.0." in controls.words


@pytest.mark.parametrize(
    ("ideal", "bad", "passed"), [(5, 2, True), (4, 2, False), (5, 3, False), (5, 1, True)]
)
def test_what_holds_is_a_five_and_at_most_a_two(fake, make_judge, suite, ideal, bad, passed):
    fake.answer = lambda body: judged(body, bad if "gets 0" in body["messages"][1]["content"] else ideal)

    assert make_judge().controls(suite).passed is passed


def test_a_control_that_cannot_be_scored_is_neither_held_nor_failed(fake, make_judge, suite):
    fake.answer = lambda body: Answer("")

    controls = make_judge().controls(suite)

    assert controls.passed is None
    assert "4 could not be scored" in controls.words


def test_binary_controls_pass_the_ideal_and_fail_the_bad(fake, make_judge, suite):
    fake.answer = lambda body: judged(body, 0 if "gets 0" in body["messages"][1]["content"] else 1)

    assert make_judge(mode="binary").controls(suite).passed is True


def test_controls_come_from_loaded_cases_too_and_refuse_what_has_none(fake, make_judge, make_evals, suite):
    fake.answer = lambda body: judged(body, 1 if "gets 0" in body["messages"][1]["content"] else 5)

    assert make_judge().controls(make_evals()).passed is True
    with pytest.raises(FormatError, match="No case has both an input"):
        make_judge().controls(Evals.from_tables())
    with pytest.raises(FormatError, match="Invalid suite of type int"):
        make_judge().controls(3)


def test_controls_show_themselves_without_markup_of_others(fake, make_judge, suite):
    fake.answer = lambda body: judged(body, 5)
    suite.case("01").id = "<b>x</b>"

    controls = make_judge(rubric=suite).controls(suite)

    assert "<b>" not in controls._repr_html_()
    assert "Controls of openai/gpt-oss-120b" in repr(controls)
