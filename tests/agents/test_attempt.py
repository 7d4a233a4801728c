"""Transcripts in every shape that an agent may return, and in those that it may not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.agents import CaseInput
from evalkit.agents.attempt import read_transcript
from evalkit.data import folder as native

ASKED = CaseInput("01", "Add 1 and 1.", 1, 7)
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 1}'}}
TOOLS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Add 1 and 1."},
    {"role": "assistant", "content": None, "reasoning": "I need a tool.", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "name": "add", "content": "2"},
    {"role": "assistant", "content": "2"},
]


class Message:
    """What the client of an endpoint returns: an object with `model_dump`."""

    def __init__(self, **fields):
        self.fields = fields

    def model_dump(self):
        return self.fields


def read_back(attempt, folder):
    native.append(folder / "transcripts.jsonl", [attempt.record("r", ASKED)])
    return native.read_transcripts(folder / "transcripts.jsonl")


def test_a_text_is_the_answer_to_the_prompt():
    made = read_transcript("2", ASKED)

    assert [(one["role"], one["content"]) for one in made.messages] == [
        ("user", "Add 1 and 1."),
        ("assistant", "2"),
    ]
    assert (made.output, made.error) == ("2", None)


def test_tool_calls_their_results_and_the_reasoning_are_kept(tmp_path):
    evals = read_back(read_transcript(TOOLS, ASKED), tmp_path)

    turns = evals.turns
    assert evals.problems.is_empty()
    assert turns["role"].to_list() == ["system", "user", "assistant", "tool", "assistant"]
    assert json.loads(turns["tool_calls"][2]) == [{"id": "c1", "name": "add", "arguments": {"a": 1, "b": 1}}]
    assert turns["reasoning"][2] == "I need a tool."
    assert (turns["tool_name"][3], turns["tool_call_id"][3], turns["content"][3]) == ("add", "c1", "2")
    assert evals.trials["output"].item() == "2"


def test_messages_that_are_objects_of_a_client_are_read_like_dicts():
    made = read_transcript([Message(role="assistant", content="2", tool_calls=None)], ASKED)

    assert (made.output, made.error) == ("2", None)


def test_what_was_asked_is_put_before_messages_that_lack_it():
    made = read_transcript([{"role": "system", "content": "s"}, {"role": "assistant", "content": "2"}], ASKED)

    assert [one["role"] for one in made.messages] == ["system", "user", "assistant"]


def test_a_dict_may_hold_usage_a_price_and_why_it_stopped():
    made = read_transcript(
        {
            "messages": TOOLS,
            "output": "two",
            "usage": {"prompt_tokens": 20, "completion_tokens": 3},
            "cost_usd": 0.01,
            "stop_reason": "done",
        },
        ASKED,
    )

    assert (made.output, made.input_tokens, made.output_tokens, made.cost_usd, made.stop_reason) == (
        "two",
        20,
        3,
        0.01,
        "done",
    )


def test_usage_by_its_other_names_is_read_too():
    made = read_transcript({"output": "2", "usage": {"input_tokens": 5, "output_tokens": 1}}, ASKED)

    assert (made.input_tokens, made.output_tokens) == (5, 1)


def test_an_error_that_an_agent_reports_is_the_trial_s_and_its_messages_stay():
    made = read_transcript({"messages": TOOLS[:4], "error": "the tool broke"}, ASKED)

    assert made.error == "the tool broke"
    assert len(made.messages) == 4


def test_of_messages_the_good_ones_are_kept_and_the_first_bad_one_is_named():
    made = read_transcript(
        [
            {"role": "user", "content": "x"},
            "hello",
            {"role": "robot", "content": "y"},
            {"role": "assistant", "content": 3},
        ],
        ASKED,
    )

    assert (
        made.error == "incomplete transcript: message 2 is not an object with role and content (and 2 more)"
    )
    assert [one["content"] for one in made.messages] == ["x"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "the agent returned nothing. Expected a text"),
        (3.5, "the agent returned float"),
        (b"bytes", "the agent returned bytes"),
        ({}, "the transcript is a dict without messages and output. Keys: none"),
        ({"messagez": []}, "the transcript is a dict without messages and output. Did you mean 'messages'?"),
        ({"messages": "x"}, "messages is str. Expected a list of messages"),
        ({"output": 3}, "output is int. Expected a text"),
        ([], "incomplete transcript: no message of the assistant"),
        (
            [{"role": "assistant", "content": "x", "tool_calls": "y"}],
            "incomplete transcript: message 1 has tool_calls",
        ),
    ],
)
def test_anything_else_is_an_error_with_a_sentence(value, said):
    assert read_transcript(value, ASKED).error.startswith(said)


def test_an_object_that_breaks_when_it_is_looked_at_is_an_error():
    class Trap:
        @property
        def model_dump(self):
            raise RuntimeError("boo")

    assert read_transcript([Trap()], ASKED).error == "cannot read the transcript: RuntimeError: boo"


def test_a_list_that_holds_itself_is_written_and_read(tmp_path):
    knot = {"role": "assistant", "content": "x", "tool_calls": []}
    knot["tool_calls"].append({"id": "c", "name": "f", "arguments": knot})

    evals = read_back(read_transcript([knot], ASKED), tmp_path)

    assert evals.trials.height == 1
    assert evals.problems.is_empty()


def test_two_thousand_turns_are_kept(tmp_path):
    long = [{"role": "user" if n % 2 else "assistant", "content": f"turn {n}"} for n in range(2_000)]

    evals = read_back(read_transcript(long, ASKED), tmp_path)

    assert evals.turns.height == 2_000


def test_lone_surrogates_are_replaced_and_cost_nothing_else(tmp_path):
    evals = read_back(read_transcript("before \ud800 after", ASKED), tmp_path)

    assert evals.trials["output"].item() == "before \ufffd after"


def test_the_keys_of_the_environment_are_in_no_transcript(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_SERVICE_KEY", "a-long-and-secret-value")

    evals = read_back(read_transcript("I used a-long-and-secret-value.", ASKED), tmp_path)

    assert evals.trials["output"].item() == "I used ***."
    assert "a-long-and-secret-value" not in (tmp_path / "transcripts.jsonl").read_text()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["messages", "output", "usage", "role", "content", "tool_calls", "name", "error", "cost_usd"]
)
LIKELY = st.dictionaries(FIELDS, JSON | st.lists(st.dictionaries(FIELDS, JSON, max_size=4)), max_size=5)


@settings(deadline=None)
@given(JSON | LIKELY | st.lists(LIKELY, max_size=4))
def test_whatever_is_returned_is_one_trial_that_can_be_read_back(tmp_path_factory, value):
    made = read_transcript(value, ASKED)

    evals = read_back(made, tmp_path_factory.mktemp("any"))

    assert evals.trials.height == 1
    assert evals.problems.is_empty(), evals.problems.to_dicts()
    assert (
        evals.trials["output"].item() is not None or evals.trials["error"].item() is not None or made.messages
    )
