"""Answers that hold nothing do not reach a judge; short ones that hold something do."""

from __future__ import annotations

import pytest

from evalkit.judging.prechecks import find_precheck
from evalkit.judging.transcript_prompt import Trial


def trial(output=None, *, error=None, calls=False):
    turns = [{"role": "assistant", "content": None, "tool_calls": '[{"name":"x"}]'}] if calls else []
    return Trial(("v1", "01", 1), {"output": output, "error": error}, turns)


@pytest.mark.parametrize(
    ("output", "word"),
    [
        ("", "empty"),
        (None, "empty"),
        (" \n\t", "empty"),
        (":", "no words"),
        ("...", "no words"),
        ("：", "no words"),
        ("🙂", "no words"),
        ("Thought process:", "opener"),
        ("**Thought process:**\n", "opener"),
        ("Let's solve this problem step by step.", "opener"),
        ("Solution", "opener"),
        ("The answer is:", "opener"),
        ("解", "opener"),
        ("かいせつ", "opener"),
        ("Respuesta", "opener"),
        ("ok", "too short"),
    ],
)
def test_an_answer_that_holds_nothing_is_found(output, word):
    assert find_precheck(trial(output), min_chars=3)[0] == word


@pytest.mark.parametrize(
    "output",
    [
        "yes",
        "42.5",
        "Thought process: I joined by custom_id and counted what was missing.",
        "Solution: use custom_id.",
        "Sure, it is batch_01.",
    ],
)
def test_an_answer_that_holds_something_goes_to_the_judge(output):
    assert find_precheck(trial(output), min_chars=3) is None


def test_an_agent_that_acted_may_end_without_words_but_not_with_a_trick():
    assert find_precheck(trial(None, calls=True), min_chars=3) is None
    assert find_precheck(trial("ok", calls=True), min_chars=3) is None
    assert find_precheck(trial(":", calls=True), min_chars=3)[0] == "no words"
    assert find_precheck(trial("Thought process:", calls=True), min_chars=3)[0] == "opener"


def test_a_crash_is_told_apart_from_silence():
    assert find_precheck(trial(None, error="timeout"), min_chars=3)[0] == "crashed"


def test_an_answer_that_shares_no_word_with_its_case_is_found_when_that_is_asked_for():
    expected = "Joins results by custom_id."

    assert find_precheck(trial("I like trains a lot."), min_chars=3, expected=expected)[0] == "no fact"
    assert find_precheck(trial("The results are in."), min_chars=3, expected=expected) is None
    assert find_precheck(trial("I like trains a lot."), min_chars=3) is None
