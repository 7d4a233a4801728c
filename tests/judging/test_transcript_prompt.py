"""What a judge gets to see: all of it, masked, in order; and where it is too long, what is missing and where."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.data.evals import Evals
from evalkit.judging.transcript_prompt import Trial, count_tokens, read_trials, write_transcript

KEY = "gsk_" + "a1B2c3D4" * 5


def turn(at, role, content=None, calls=None, **more):
    return {
        "turn": at,
        "role": role,
        "content": content,
        "tool_calls": calls,
        "tool_name": None,
        "parts": None,
        **more,
    }


def shown(turns, output=None, *, max_tokens=10_000, redacts=False):
    trial = Trial(("v1", "01", 1), {"output": output}, turns)
    made = write_transcript(trial, max_tokens=max_tokens, redacts=redacts)
    return made, [json.loads(line) for line in made.lines]


def test_every_turn_is_a_line_with_its_calls_and_what_they_returned():
    _, lines = shown(
        [
            turn(1, "user", "Do it."),
            turn(2, "assistant", None, '[{"name": "write", "arguments": {"path": "a"}}]'),
            turn(3, "tool", "written", tool_name="write"),
            turn(4, "assistant", "Done."),
        ],
        "Done.",
    )

    assert [line["role"] for line in lines] == ["user", "assistant", "tool", "assistant"]
    assert lines[1]["tool_calls"] == [{"name": "write", "arguments": {"path": "a"}}]
    assert lines[2]["tool"] == "write"


def test_a_final_answer_that_is_no_turn_stands_at_the_end():
    _, lines = shown([turn(1, "user", "Do it.")], "Here.")

    assert lines[-1] == {"role": "assistant", "final_answer": "Here."}


@pytest.mark.parametrize("depth", [45, 400, 990, 5_000, 100_000])
def test_calls_that_are_nested_without_end_are_shown_as_text(depth):
    """`{"a": {"a": ...`: deeper than Python goes, and what is in it is not hidden by that."""
    calls = '{"a":' * depth + '"rm -rf /"' + "}" * depth

    made, lines = shown([turn(1, "assistant", "Done.", calls)], max_tokens=10_000_000)

    assert lines[0]["tool_calls"] == calls
    assert made.cut_tokens == 0


@pytest.mark.parametrize("number", ["9" * 5_000, "1e999", "-" + "9" * 30, "NaN"])
def test_numbers_that_python_does_not_take_are_shown_as_they_are(number):
    _, lines = shown([turn(1, "assistant", "Done.", f'[{{"size": {number}}}]')])

    assert number in json.dumps(lines[0]["tool_calls"])


@pytest.mark.parametrize(
    "hostile",
    [
        {"content": "\u200b" * 700_000},
        {"content": "\u202e" * 700_000},
        {"content": '"\\' * 1_000_000},
        {"content": "漢" * 700_000},
        {"calls": json.dumps([{"a": "b"}] * 200_000)},
        {"calls": json.dumps([{"x" * 1_000_000: 1}])},
        {"parts": json.dumps([{"type": "y" * 40}] * 40_000)},
        {"content": "fine", "calls": json.dumps({f"k{at}": at for at in range(150_000)})},
    ],
    ids=lambda one: next(iter(one)),
)
def test_two_megabytes_of_anything_keep_to_the_room(hostile):
    """What is dear to send is dear to pay: signs that grow when they are shown, and many small parts, count too."""
    more = {name: value for name, value in hostile.items() if name == "parts"}
    last = turn(3, "assistant", hostile.get("content"), hostile.get("calls"), **more)
    turns = [turn(1, "user", "Do it."), {**last, "turn": 2}, last]

    made, lines = shown(turns, max_tokens=4_000)

    # The last of them is what the attempt came to: some of it is always there.
    assert sum(count_tokens(line) for line in made.lines) <= 4_500
    assert lines[-1]["turn"] == 3
    assert lines[0]["text"] == "Do it."


def test_two_names_that_look_alike_do_not_hide_one_of_their_values():
    _, lines = shown([turn(1, "assistant", None, '[{"<s>": "rm -rf /", "‹s>": "ls"}]')])

    assert "rm -rf /" in json.dumps(lines)
    assert "ls" in json.dumps(lines)


def test_images_are_named_and_not_sent():
    parts = json.dumps(
        [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:abc"}}]
    )

    made, lines = shown([turn(1, "user", "see", parts=parts)])

    assert made.not_sent == ("image_url",)
    assert lines[0]["not_sent"] == ["image_url"]
    assert "data:abc" not in made.lines[0]


def test_the_agents_hidden_reasoning_is_not_shown():
    made, _ = shown([turn(1, "assistant", "Done.", reasoning="secretly wrong")])

    assert "secretly wrong" not in "".join(made.lines)


def test_what_is_masked_is_the_same_placeholder_in_every_turn_and_in_calls():
    calls = json.dumps([{"name": "set", "arguments": json.dumps({"key": KEY})}])

    made, lines = shown(
        [turn(1, "user", f"Use {KEY}."), turn(2, "assistant", None, calls)], f"I used {KEY}.", redacts=True
    )

    assert KEY[4:] not in "".join(made.lines)
    assert "".join(made.lines).count("[secret-1]") == 3
    assert isinstance(lines[1]["tool_calls"], list)
    assert made.redacted == {"secret": 1}


def test_a_long_transcript_loses_its_middle_and_says_so():
    turns = [turn(at, "assistant", f"turn {at} " + "word " * 200) for at in range(1, 101)]

    made, lines = shown(turns, max_tokens=4_000)

    gaps = [at for at, line in enumerate(lines) if "left_out_here" in line]
    assert len(gaps) == 1
    assert lines[0]["turn"] == 1
    assert lines[-1]["turn"] == 100
    kept = [line["turn"] for line in lines if "turn" in line]
    assert int(lines[gaps[0]]["left_out_here"].split()[0]) == 100 - len(kept)
    assert made.cut_tokens > 0


def test_a_long_message_is_cut_inside_and_says_how_much():
    _, lines = shown(
        [turn(1, "user", "Do it."), turn(2, "tool", "x" * 100_000), turn(3, "assistant", "End.")],
        max_tokens=2_000,
    )

    assert "characters left out" in lines[1]["text"]
    assert lines[2]["text"] == "End."


@given(st.lists(st.text(max_size=5_000), min_size=1, max_size=30), st.integers(500, 5_000))
@settings(deadline=None)
def test_what_is_shown_is_never_much_longer_than_the_limit(texts, limit):
    made, lines = shown([turn(at, "assistant", text) for at, text in enumerate(texts, 1)], max_tokens=limit)

    size = sum(count_tokens(line) for line in made.lines)
    # A single last turn is kept even where signs make it longer than it was.
    assert size <= limit or len([line for line in lines if "left_out_here" not in line]) <= 1
    assert (made.cut_tokens == 0) == (
        not any("left_out_here" in line or "characters left out" in str(line) for line in lines)
        or "left out" in "".join(texts)
    )


def test_trials_come_in_the_order_of_the_tables_with_their_turns_in_order():
    evals = Evals.from_tables(
        runs=pl.DataFrame({"run": ["a"]}),
        trials=pl.DataFrame({"run": ["a", "a"], "case": ["02", "01"], "output": ["x", "y"]}),
        turns=pl.DataFrame(
            {"run": "a", "case": "01", "turn": [2, 1], "role": ["assistant", "user"], "content": ["y", "q"]}
        ),
    )

    found = read_trials(evals)

    assert [trial.key for trial in found] == [("a", "02", 1), ("a", "01", 1)]
    assert [turn["content"] for turn in found[1].turns] == ["q", "y"]
