"""Result lines: every shape that is met is read, and nothing that a server writes costs a good line."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.llm.batch.output_files import (
    Tally,
    is_worth_retrying,
    merge_output_lines,
    read_line,
    read_outcome,
)
from evalkit.llm.requests import Reply

GOOD = {
    "custom_id": "a",
    "response": {"status_code": 200, "body": {"choices": [], "model": "m"}},
    "error": None,
}


def line(**changes):
    return json.dumps({**GOOD, **changes}).encode()


def absent(key, number):
    return Reply(key, "missing", mode="batch")


def read(folder, content, sent, **more):
    path = folder / "output.jsonl"
    path.write_bytes(content)
    return list(merge_output_lines([path], sent, absent=absent, read=read_line, **more))


@pytest.mark.parametrize(
    ("text", "outcome", "status", "code"),
    [
        (line(), "success", 200, None),
        (line(error={}), "success", 200, None),
        (json.dumps({k: v for k, v in GOOD.items() if k != "error"}).encode(), "success", 200, None),
        (line(response={"body": {"choices": []}}), "success", 200, None),
        (line(response={"status_code": 200, "body": '{"choices": []}'}), "success", 200, None),
        (
            line(response={"status_code": 400, "body": {"error": {"message": "m", "type": "t"}}}),
            "api_error",
            400,
            "t",
        ),
        (line(response={"status_code": 429, "body": '{"error": {"code": "c"}}'}), "api_error", 429, "c"),
        (line(response={"status_code": 500, "body": "oops"}), "api_error", 500, None),
        (line(response={"status_code": 503, "body": None}), "api_error", 503, None),
        (
            line(response=None, error={"code": "batch_expired", "message": "late"}),
            "not_run",
            None,
            "batch_expired",
        ),
        (line(response=None, error={"code": "batch_cancelled"}), "not_run", None, "batch_cancelled"),
        (line(response=None, error={"code": 429, "message": "x"}), "api_error", 429, "429"),
        (line(response=None, error={"code": "inference_failed"}), "api_error", None, "inference_failed"),
        (line(response=None, error="it broke"), "api_error", None, None),
        (b'{"custom_id":"a","error":{"message":"no response key"}}', "api_error", None, None),
        (line(response={"status_code": 200, "body": {"error": {"code": "c"}}}), "api_error", 200, "c"),
        (line(response={"status_code": 200, "body": {"x": 1}}), "malformed", 200, None),
        (line(response={"status_code": 200, "body": "not JSON"}), "malformed", 200, None),
        (line(response=None, error=None), "malformed", None, None),
        (line(response=[1], error=None), "malformed", None, None),
        (line(response={"status_code": "200", "body": {"choices": []}}), "success", 200, None),
        (b'{"custom_id":"a","response":{"status_code":200,"body":{"cho', "malformed", None, None),
    ],
)
def test_a_line_is_brought_to_its_outcome(text, outcome, status, code):
    reply = read_line(text)

    assert (reply.custom_id, reply.outcome, reply.status, reply.code) == ("a", outcome, status, code)
    assert read_outcome(text).outcome == outcome


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"",
        b"null",
        b"[]",
        b"7",
        b'"a"',
        b"\xff\xfe",
        b"[" * 100_000,
        line(custom_id=None),
        line(custom_id=""),
        line(custom_id=["a"]),
    ],
)
def test_a_line_without_an_id_is_no_reply(text):
    assert read_line(text) is None
    assert read_outcome(text) is None


def test_an_id_that_comes_back_as_a_number_is_its_text():
    assert read_line(line(custom_id=7)).custom_id == "7"


def test_a_lone_surrogate_costs_one_character():
    text = line().replace(b'"m"', b'"\\ud800m"')

    assert read_line(text).body["model"] == "\ufffdm"
    msgspec.json.encode(read_line(text).body)


def test_an_id_inside_an_answer_is_not_taken_for_the_line_s_own():
    hostile = json.dumps({"response": {"body": {"choices": ['{"custom_id": "b"']}}})[:-3].encode()

    assert read_line(hostile) is None


def test_the_first_line_of_a_request_counts_and_the_rest_is_counted(tmp_path):
    lines = [line(), line(response={"status_code": 500, "body": None}), line(custom_id="stranger"), b"{"]
    tally = Tally()

    replies = read(tmp_path, b"\n".join(lines), ["a", "b"], tally=tally)

    assert [(reply.custom_id, reply.outcome) for reply in replies] == [("a", "success"), ("b", "missing")]
    assert (tally.duplicates, tally.unknown, tally.unreadable) == (1, 1, 1)
    assert tally.examples == ["a", "stranger"]


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_a_sign_that_others_take_for_the_end_of_a_line_is_text(tmp_path, sign):
    good = {**GOOD, "response": {"status_code": 200, "body": {"choices": [], "model": f"a{sign}b"}}}
    content = json.dumps(good, ensure_ascii=False).encode()

    (reply,) = read(tmp_path, content + b"\n", ["a"])

    assert reply.body["model"] == f"a{sign}b"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_a_reader_fail(data):
    for reader in (read_line, read_outcome):
        reply = reader(data)
        assert reply is None or isinstance(reply.custom_id, str)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(response=json_values, error=json_values, status=json_values, body=json_values)
def test_no_json_makes_a_reader_fail_and_both_readers_agree(response, error, status, body):
    for inner in (
        response,
        {"status_code": status, "body": body},
        {"status_code": 200, "body": {"choices": body}},
    ):
        text = json.dumps({"custom_id": "a", "response": inner, "error": error}).encode()

        whole, quick = read_line(text), read_outcome(text)

        assert whole.custom_id == quick.custom_id == "a"
        assert (whole.outcome, whole.status, whole.code) == (quick.outcome, quick.status, quick.code)
        is_worth_retrying(whole)


junk = st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"").replace(b'"custom_id"', b""))


@settings(deadline=None)
@given(st.lists(junk, max_size=6), st.permutations(range(5)), st.booleans())
def test_whatever_stands_between_them_no_good_line_is_lost(tmp_path_factory, between, order, ends):
    lines = [line(custom_id=f"r{number}") for number in order]
    for at, data in enumerate(between):
        lines.insert(at * 2 % (len(lines) + 1), data)
    content = b"\n".join(lines) + (b"\n" if ends else b"")

    replies = read(tmp_path_factory.mktemp("lines"), content, [f"r{number}" for number in range(5)])

    assert sorted(reply.custom_id for reply in replies) == [f"r{number}" for number in range(5)]
    assert {reply.outcome for reply in replies} == {"success"}


@pytest.mark.parametrize("order", ["error first", "answer first", "torn first"])
def test_of_several_lines_the_answer_counts(order, tmp_path):
    error = line(response={"status_code": 500, "body": {"error": {"message": "m"}}})
    torn = line()[:-30]
    lines = {"error first": [error, line()], "answer first": [line(), error], "torn first": [torn, line()]}[
        order
    ]
    tally = Tally()

    (reply,) = read(tmp_path, b"\n".join(lines) + b"\n", ["a"], tally=tally)

    assert (reply.outcome, reply.status) == ("success", 200)
    assert tally.duplicates == 1
    assert tally.outcomes == {"success": 1}


def test_an_error_is_worth_more_than_a_torn_line(tmp_path):
    error = line(response={"status_code": 500, "body": {"error": {"message": "m"}}})

    (reply,) = read(tmp_path, line()[:-30] + b"\n" + error + b"\n", ["a"])

    assert (reply.outcome, reply.status) == ("api_error", 500)
