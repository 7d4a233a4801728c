"""A reply is a score or a reason; a score is never found in prose."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.judging.parse_reply import CriterionScore, parse_reply, usage_of
from evalkit.judging.request_details import CriterionSpec
from evalkit.llm.requests import Reply

ONE = (CriterionSpec("Groq", "h", "", (1.0, 5.0), (1, 2, 3, 4, 5)),)
TWO = (
    CriterionSpec("Groq", "h", "criterion_1", (1.0, 5.0), (1, 2, 3, 4, 5)),
    CriterionSpec("Share", "h", "criterion_2", (0.0, 1.0), None),
)
CANARY, DECOY = "c" * 16, "d" * 16
GOOD = {
    "evidence": ["a", "b"],
    "reasoning": "because",
    "score": 4,
    "flags": {"canary": CANARY, "tries_to_influence_judge": False},
}


def reply(content, finish="stop", **message):
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    choice = {"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    return Reply("id", "success", {"choices": [choice]})


def read(answer, asked=ONE):
    return parse_reply(
        answer if isinstance(answer, Reply) else reply(answer), asked, canary=CANARY, decoy=DECOY
    )


def changed(**changes):
    return {**GOOD, **changes}


def test_an_answer_of_the_form_asked_for_is_read():
    answer = read(GOOD)

    assert answer.failure is None
    assert answer.scores[0].score == 4.0
    assert answer.scores[0].evidence == ("a", "b")
    assert answer.influenced is False


def test_all_at_once_each_score_goes_to_its_criterion():
    part = {"evidence": [], "reasoning": "r"}
    answer = read(
        {
            "criterion_2": {**part, "score": 0.25},
            "criterion_1": {**part, "score": 5},
            "flags": GOOD["flags"],
        },
        TWO,
    )

    assert [judgement.score for judgement in answer.scores] == [5.0, 0.25]


@pytest.mark.parametrize(
    ("given", "failure", "words"),
    [
        (reply(None, refusal="I will not."), "refusal", "I will not."),
        (reply("I'm sorry, I can’t help with that."), "refusal", "declined"),
        (reply("", "content_filter"), "refusal", "withheld"),
        (reply(json.dumps(GOOD)[:40], "length"), "truncated", "max_tokens is too low"),
        (reply(json.dumps(GOOD), "length"), "truncated", "finish_reason length"),
        (reply(""), "empty", "empty"),
        (reply(" \n"), "empty", "empty"),
        (reply(None), "empty", "empty"),
        (reply("The score is 5."), "invalid_json", "not JSON"),
        (reply(f"Here:\n```json\n{json.dumps(GOOD)}\n```"), "invalid_json", "not JSON"),
        (reply(f"```\n{json.dumps(GOOD)}\n```\n```\n{json.dumps(GOOD)}\n```"), "invalid_json", "not JSON"),
        (reply(f"<think>{json.dumps(GOOD)}"), "invalid_json", "not JSON"),
        (reply(f"```json\n{json.dumps(changed(score=6))}\n```"), "out_of_range", "outside"),
        (reply(json.dumps(GOOD) + json.dumps(GOOD)), "invalid_json", "not JSON"),
        (reply('{"score": NaN}'), "invalid_json", "not JSON"),
        (reply("[" * 100_000), "invalid_json", "not JSON"),
        (reply([GOOD]), "schema", "not a JSON object"),
        (reply("5"), "schema", "not a JSON object"),
        (reply({k: v for k, v in GOOD.items() if k != "evidence"}), "schema", "lacks evidence"),
        (reply(changed(extra=1)), "schema", "unexpected fields: extra"),
        (reply(changed(score="4")), "schema", 'the score of the response is "4", not a number'),
        (reply(changed(score=True)), "schema", "not a number"),
        (reply(changed(score=None)), "schema", "not a number"),
        (reply(changed(score=4.5)), "schema", "is none of 1, 2, 3, 4, 5"),
        (reply(changed(score=6)), "out_of_range", "6 is outside the scale 1 to 5"),
        (reply(changed(score=0)), "out_of_range", "outside"),
        (reply(changed(score=10**400)), "out_of_range", "outside the scale 1 to 5"),
        (reply(changed(score=1e400)), "invalid_json", "not JSON"),
        (reply(changed(evidence="a")), "schema", "not a list of texts"),
        (reply(changed(reasoning=["x"])), "schema", "not a text"),
        (reply(changed(flags=[])), "schema", "flags is not a JSON object"),
        (reply(changed(flags={"canary": CANARY})), "schema", "lacks tries_to_influence_judge"),
        (reply(changed(flags={**GOOD["flags"], "tries_to_influence_judge": "no"})), "schema", "neither"),
        (reply(json.dumps(GOOD)[:-1] + ', "score": 5}'), "schema", "twice"),
        (reply(changed(flags={**GOOD["flags"], "canary": "x"})), "canary", "is missing"),
        (reply(changed(flags={**GOOD["flags"], "canary": DECOY})), "canary", "inside the transcript"),
        (reply(changed(reasoning=f"the word is {DECOY}")), "canary", "inside the transcript"),
        (
            reply(json.dumps(changed(reasoning=DECOY)).replace("d", r"\u0064")),
            "canary",
            "inside the transcript",
        ),
        (Reply("id", "success", {"choices": []}), "malformed", "no message"),
        (Reply("id", "success", {}), "malformed", "no message"),
        (Reply("id", "success", None), "malformed", "no message"),
        (Reply("id", "transport"), "transport", "no response"),
        (Reply("id", "not_run", message="The limit of $1 is reached."), "not_run", "The limit of $1"),
        (Reply("id", "missing", mode="batch"), "missing", "no response to it"),
        (Reply("id", "malformed"), "malformed", "cannot be read"),
        (Reply("id", "api_error", status=413, code="rate_limit_exceeded"), "api_error", "413"),
        (Reply("id", "api_error", status=400, code="json_validate_failed"), "invalid_json", "endpoint"),
    ],
)
def test_every_way_to_fail_has_its_word_and_a_sentence(given, failure, words):
    answer = read(given)

    assert answer.failure == failure
    assert words in answer.reason
    assert answer.scores == ()


@pytest.mark.parametrize(
    "content",
    [
        f"```json\n{json.dumps(GOOD)}\n```",
        f"```\n{json.dumps(GOOD, indent=1)}\n```\n",
        f"\ufeff{json.dumps(GOOD)}",
        f"<think>Is it a 5? {{}} ```</think>\n{json.dumps(GOOD)}",
        f"<think>x</think>```json\n{json.dumps(GOOD)}\n```",
        [{"type": "text", "text": json.dumps(GOOD)}],
        [{"type": "text", "text": json.dumps(GOOD)[:20]}, {"type": "text", "text": json.dumps(GOOD)[20:]}],
    ],
)
def test_one_whole_object_is_read_out_of_its_wrapping(content):
    body = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}

    assert read(Reply("id", "success", body)).scores[0].score == GOOD["score"]


@pytest.mark.parametrize("arguments", [json.dumps(GOOD), GOOD])
def test_a_tool_call_may_carry_the_object(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "judge", "arguments": arguments}}
    message = {"content": None, "tool_calls": [call]}
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}

    assert read(Reply("id", "success", body)).scores[0].score == GOOD["score"]
    body["choices"][0]["message"]["tool_calls"] = [call, call]
    assert read(Reply("id", "success", body)).failure == "empty"


def test_a_whole_score_may_be_written_as_a_float():
    assert read(changed(score=4.0)).scores[0].score == 4.0


def test_half_a_character_that_a_judge_cut_off_is_no_reason_to_lose_its_score():
    answer = read(changed(reasoning="It is so \ud83d", evidence=["\udc00"]))

    assert answer.scores == (CriterionScore(("\ufffd",), "It is so \ufffd", 4.0),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON | st.fixed_dictionaries({name: JSON | st.just(value) for name, value in GOOD.items()}))
def test_whatever_json_comes_it_is_a_score_on_the_scale_or_a_reason(value):
    answer = read(reply(json.dumps(value)))

    if answer.failure is None:
        assert answer.scores[0].score in {1.0, 2.0, 3.0, 4.0, 5.0}
        assert value["flags"]["canary"] == CANARY
    else:
        assert answer.reason


@given(st.text() | st.builds("{}{}".format, st.text(), st.just(json.dumps(GOOD))))
def test_whatever_text_comes_it_never_raises_and_prose_has_no_score(text):
    answer = read(reply(text))

    if text.strip() != json.dumps(GOOD):
        assert answer.failure is not None


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["choices", "message", "content", "refusal", "finish_reason"]), x
            )
        ),
    )
)
def test_whatever_completion_comes_it_never_raises(body):
    assert read(Reply("id", "success", body if isinstance(body, dict) else {"choices": body})).failure


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"usage": {"prompt_tokens": 12, "completion_tokens": 0}}, (12, 0)),
        ({"usage": {"prompt_tokens": 2**63 - 1, "completion_tokens": 2**63}}, (2**63 - 1, None)),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": True}}, (None, None)),
        ({"usage": {"prompt_tokens": 1.5}}, (None, None)),
        ({"usage": [12, 3]}, (None, None)),
        ({}, (None, None)),
        (None, (None, None)),
    ],
)
def test_tokens_are_whole_numbers_that_a_table_holds_or_unknown(body, tokens):
    assert usage_of(body) == tokens
