"""Asking live, against a server on loopback: what is sent again, what never, what it costs, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from email.utils import formatdate

import pytest

from evalkit.llm import ask as live
from evalkit.llm.answer_cache import Cache
from evalkit.llm.ask import aask, ask
from evalkit.llm.providers import check_model, cost, provider
from evalkit.llm.requests import Request, request_key
from evalkit.util.errors import ProviderError
from fakes.interrupts import interrupt_at

LATER = {"error": {"message": "later", "type": "server_error"}}
RATE = {"error": {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}}


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "answers.sqlite") as cache:
        yield cache


def outcomes(replies):
    return sorted(reply.outcome for reply in replies)


def failing(*said, times):
    """Say something so many times to each request, then answer it."""
    return lambda body, before: said[0] if before < times else None


# --- what comes back


def test_each_request_gets_its_own_reply(server, groq, questions):
    server.script = lambda body, times: server.completion(f"answer {body['seed']}")

    replies = list(ask(questions(100), provider=groq))

    texts = {reply.custom_id: reply.body["choices"][0]["message"]["content"] for reply in replies}
    assert texts == {one.custom_id: f"answer {one.body['seed']}" for one in questions(100)}
    assert outcomes(replies) == ["success"] * 100
    assert set(server.times().values()) == {1}


def test_what_is_sent_is_the_body_as_it_was_with_the_key_beside_it(server, groq, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secret")
    body = {"model": "m", "z": 1, "a": {"y": "ü\u2028", "b": [1, None]}, "messages": []}

    [reply] = ask([Request("q", body)], provider=groq)

    assert (reply.status, reply.tries, reply.mode, reply.cached) == (200, 1, "live", False)
    assert reply.latency_s > 0
    assert [list(one) for one in server.asked] == [["model", "z", "a", "messages"]]
    assert server.asked == [body]
    assert server.headers[0]["authorization"] == "Bearer gsk_secret"


def test_keys_that_nobody_knows_are_kept(server, groq, questions):
    server.script = lambda body, times: server.completion(x_groq={"id": "req_1"}, brand_new=[1])

    [reply] = ask(questions(1), provider=groq)

    assert (reply.body["x_groq"], reply.body["brand_new"]) == ({"id": "req_1"}, [1])


def test_nothing_to_ask_gives_nothing_and_asks_nobody(server, groq):
    assert list(ask([], provider=groq)) == []
    assert server.paths == []


def test_it_works_inside_a_loop_that_runs_as_in_a_notebook(server, groq, questions):
    async def cell():
        return list(ask(questions(5), provider=groq))

    assert outcomes(asyncio.run(cell())) == ["success"] * 5


def test_the_asynchronous_face_gives_the_same(server, groq, questions):
    async def main():
        return [reply async for reply in aask(questions(20), provider=groq)]

    assert outcomes(asyncio.run(main())) == ["success"] * 20


def test_a_body_that_is_no_json_is_not_sent_and_costs_no_other(server, groq, questions):
    odd = [Request("set", {"model": "m", "messages": [{1, 2}.__iter__()]}), Request("half", {"a": "\ud800"})]

    replies = {reply.custom_id: reply for reply in ask([*odd, *questions(3)], provider=groq)}

    assert outcomes(replies.values()) == ["not_run"] * 2 + ["success"] * 3
    assert "cannot be sent as JSON" in replies["set"].message
    assert replies["half"].outcome == "not_run"


def test_requests_are_read_only_as_far_as_they_are_needed(groq, cache, questions):
    """Answers that wait for their reader hold up the rest: memory does not grow with the number of requests."""
    body = questions(1)[0].body
    cache.put(request_key(groq.base_url, body), {"choices": []}, model="m")
    taken = 0

    def endless():
        nonlocal taken
        for taken in range(1, 5_001):
            yield Request(f"q{taken}", body)

    async def main():
        async with contextlib.aclosing(aask(endless(), provider=groq, cache=cache)) as replies:
            await anext(replies)
            for _ in range(1_000):
                await asyncio.sleep(0)
            return taken

    assert asyncio.run(main()) < 1_000


def test_a_reader_that_pauses_pauses_the_rest(groq, cache, questions):
    body = questions(1)[0].body
    cache.put(request_key(groq.base_url, body), {"choices": []}, model="m")
    far = threading.Event()

    def endless():
        for n in range(20_000):
            if n == 1_000:
                far.set()
            yield Request(f"q{n}", body)

    with contextlib.closing(ask(endless(), provider=groq, cache=cache)) as replies:
        next(replies)
        assert not far.wait(0.2)
        assert sum(1 for _ in replies) == 19_999


def test_replies_come_while_others_are_still_to_be_asked(server, groq, questions):
    endless = (questions(i + 1)[i] for i in itertools.count())

    with contextlib.closing(ask(endless, provider=groq, concurrency=4)) as replies:
        first = [next(replies) for _ in range(10)]

    assert outcomes(first) == ["success"] * 10


def test_an_error_in_the_requests_themselves_reaches_the_reader(server, groq, questions, cache):
    def broken():
        yield from questions(3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(ask(broken(), provider=groq, cache=cache))

    assert len(cache) == len(server.asked)


# --- what is sent again, and what never


@pytest.mark.parametrize("status", [408, 409, 425, 429, 498, 500, 502, 503, 504, 529])
def test_what_passes_is_sent_again(server, groq, clock, questions, status):
    server.script = failing((status, LATER), times=2)

    [reply] = ask(questions(1), provider=groq, clock=clock)

    assert (reply.outcome, reply.tries, server.times()[0]) == ("success", 3, 3)


@pytest.mark.parametrize("fault", ["drop", "truncate"])
def test_a_connection_that_breaks_is_made_again(server, groq, clock, questions, fault):
    server.script = failing(fault, times=2)

    [reply] = ask(questions(1), provider=groq, clock=clock)

    assert (reply.outcome, reply.tries) == ("success", 3)


def test_each_wait_is_longer_than_the_one_before(server, groq, clock, questions):
    server.script = failing((500, LATER), times=5)

    list(ask(questions(1), provider=groq, clock=clock))

    assert len(clock.slept) == 5
    assert all(later > 1.05 * earlier for earlier, later in itertools.pairwise(clock.slept))


def test_a_request_is_given_up_after_its_tries(server, groq, clock, questions):
    server.script = lambda body, times: (503, LATER)

    [reply] = ask(questions(1), provider=groq, clock=clock, tries=4)

    assert (reply.outcome, reply.status, reply.message, reply.tries) == ("api_error", 503, "later", 4)
    assert server.times()[0] == 4


def test_a_connection_that_never_holds_is_a_transport_error(server, groq, clock, questions):
    server.script = lambda body, times: "drop"

    [reply] = ask(questions(1), provider=groq, clock=clock, tries=3)

    assert (reply.outcome, reply.status, reply.tries) == ("transport", None, 3)
    assert "connection failed" in reply.message


def test_an_answer_that_does_not_come_is_not_waited_for_longer_than_timeout(server, groq, clock, questions):
    server.script = lambda body, times: "silent"

    [reply] = ask(questions(1), provider=groq, clock=clock, timeout=0.05, tries=2)

    assert reply.outcome == "transport"
    assert reply.message == "no response within 0.05 s; sent 2 times"


@pytest.mark.parametrize("status", [400, 405, 413, 415, 422, 424, 499])
def test_what_stays_is_sent_once_and_costs_no_other(server, groq, questions, status):
    said = {"error": {"message": "no", "type": "invalid_request_error", "code": "some_code"}}
    server.script = lambda body, times: (status, said) if body["seed"] == 0 else None

    replies = {reply.custom_id: reply for reply in ask(questions(5), provider=groq)}

    bad = replies[questions(1)[0].custom_id]
    assert (bad.outcome, bad.status, bad.code, bad.message) == ("api_error", status, "some_code", "no")
    assert outcomes(replies.values()) == ["api_error"] + ["success"] * 4
    assert set(server.times().values()) == {1}


def test_a_request_larger_than_the_limit_is_sent_once_although_its_code_is_that_of_a_rate_limit(
    server, groq, questions
):
    server.script = lambda body, times: (413, RATE, {"Retry-After": "1"})

    [reply] = ask(questions(1), provider=groq)

    assert (reply.status, reply.code, len(server.asked)) == (413, "rate_limit_exceeded", 1)


def test_a_server_that_forbids_to_try_again_is_obeyed(server, groq, questions):
    server.script = lambda body, times: (500, LATER, {"x-should-retry": "false"})

    [reply] = ask(questions(1), provider=groq)

    assert (reply.status, len(server.asked)) == (500, 1)


def test_json_that_the_model_did_not_manage_is_for_the_judge_to_decide(server, groq, questions):
    said = {
        "error": {
            "message": "Failed to validate JSON",
            "code": "json_validate_failed",
            "failed_generation": "{",
        }
    }
    server.script = lambda body, times: (400, said) if body["seed"] == 1 else None

    replies = list(ask(questions(3), provider=groq))

    assert [reply.code for reply in replies if reply.outcome != "success"] == ["json_validate_failed"]


@pytest.mark.parametrize("content", [b"<html>busy</html>", b'{"choices": [', b"[]", b"{}", b"\xff\xfe"])
def test_a_200_that_is_no_completion_is_tried_again_and_then_malformed(
    server, groq, clock, questions, content, cache
):
    server.script = lambda body, times: (200, content) if body["seed"] == 0 or times == 0 else None

    replies = {
        one.custom_id: one for one in ask(questions(2), provider=groq, clock=clock, tries=3, cache=cache)
    }

    bad, good = (replies[one.custom_id] for one in questions(2))
    assert (bad.outcome, bad.tries, bad.body) == ("malformed", 3, None)
    assert "not a chat completion" in bad.message
    assert (good.outcome, good.tries, len(cache)) == ("success", 2, 1)


def test_half_a_character_in_an_answer_costs_that_character_and_no_second_payment(
    server, groq, questions, cache
):
    """Whoever cuts an answer by its tokens may cut an emoji in two, the same each time it is asked."""
    cut = json.dumps(server.completion("fine \ud83d")).encode()
    server.script = lambda body, times: (200, cut)

    [reply] = ask(questions(1), provider=groq, cache=cache)

    assert reply.body["choices"][0]["message"]["content"] == "fine \ufffd"
    assert (reply.outcome, len(server.asked), len(cache)) == ("success", 1, 1)


def test_an_error_that_comes_with_status_200_is_an_error(server, groq, questions, cache):
    server.script = lambda body, times: {"error": {"message": "upstream failed", "code": 502}}

    [reply] = ask(questions(1), provider=groq, cache=cache)

    assert (reply.outcome, reply.code, reply.message) == ("api_error", "502", "upstream failed")
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, "c", "m"),
        ({"error": {"message": "m", "type": "t", "code": None}}, "t", "m"),
        ({"error": "m"}, None, "m"),
        ({"message": "m", "code": 1210}, "1210", "m"),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, None, '[{"loc":["body"],"msg":"m"}]'),
        ([{"error": {"code": 400, "message": "m", "status": "INVALID"}}], "400", "m"),
        ("m", None, "m"),
        (b"<html>", None, None),
        (b"", None, None),
        ([], None, None),
    ],
)
def test_an_error_is_understood_in_every_shape(server, groq, questions, body, code, message):
    server.script = lambda _, times: (400, body)

    [reply] = ask(questions(1), provider=groq)

    assert (reply.outcome, reply.status, reply.code, reply.message) == ("api_error", 400, code, message)


# --- how long it waits


@pytest.mark.parametrize("seconds", [2, 300])
@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_it_is_asked_to(server, groq, clock, questions, seconds, status):
    times = []

    def script(body, before):
        times.append(clock.now)
        return (status, RATE, {"Retry-After": str(seconds)}) if before < 1 else None

    server.script = script

    [reply] = ask(questions(1), provider=groq, clock=clock)

    assert (reply.outcome, reply.tries) == ("success", 2)
    assert times[1] - times[0] >= seconds


def test_it_waits_until_the_date_that_it_is_given(server, groq, clock, questions):
    date = formatdate(clock.time() + 120, usegmt=True)
    server.script = failing((429, RATE, {"Retry-After": date}), times=1)

    [reply] = ask(questions(1), provider=groq, clock=clock)

    assert reply.outcome == "success"
    assert max(clock.slept) >= 119


def test_it_waits_as_the_words_say_where_the_header_is_missing(server, groq, clock, questions):
    words = "Rate limit reached ... Please try again in 9m38.016s. Visit ..."
    server.script = failing((429, {"error": {"message": words}}), times=1)

    [reply] = ask(questions(1), provider=groq, clock=clock)

    assert reply.outcome == "success"
    assert max(clock.slept) >= 578


def test_nothing_new_is_sent_while_it_waits(server, groq, clock, questions):
    times = []

    def script(body, before):
        times.append(clock.now)
        return (429, RATE, {"Retry-After": "60"}) if len(times) == 1 else None

    server.script = script

    replies = list(ask(questions(10), provider=groq, clock=clock, concurrency=1))

    assert outcomes(replies) == ["success"] * 10
    assert min(times[1:]) >= times[0] + 60


def test_a_limit_that_is_used_up_is_waited_for_before_it_is_run_into(server, groq, clock, questions):
    spent = {"x-ratelimit-remaining-tokens": "3", "x-ratelimit-reset-tokens": "59.5s"}
    server.script = lambda body, times: (200, server.completion(), spent if body["seed"] == 0 else {})

    list(ask(questions(2), provider=groq, clock=clock, concurrency=1))

    assert max(clock.slept) >= 59


def test_a_limit_by_the_day_ends_the_run_with_a_sentence(server, groq, questions):
    words = (
        "Rate limit reached for model `m` on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619."
    )
    said = (429, {"error": {"message": words, "code": "rate_limit_exceeded"}}, {"Retry-After": "7200"})
    server.script = lambda body, times: said

    replies = list(ask(questions(20), provider=groq, concurrency=1))

    assert outcomes(replies) == ["api_error"] + ["not_run"] * 19
    assert len(server.asked) == 1
    for reply in replies:
        assert "asks to wait 2 h" in reply.message
        assert "tokens per day (TPD)" in reply.message
        assert "patience=900" in reply.message


def test_requests_by_the_day_that_are_used_up_end_it_too(server, groq, questions):
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "5h12m0s"}
    server.script = lambda body, times: (200, server.completion(), spent)

    replies = list(ask(questions(3), provider=groq, concurrency=1))

    assert outcomes(replies) == ["not_run", "not_run", "success"]
    assert "asks to wait 5 h 12 min" in replies[-1].message


def test_a_server_that_bears_few_at_once_is_asked_fewer_at_once_and_none_is_lost(
    server, groq, clock, questions
):
    server.latency = 0.005
    server.script = lambda body, times: (429, RATE) if server.at_once > 4 else None

    replies = list(ask(questions(120), provider=groq, clock=clock, concurrency=32))

    assert outcomes(replies) == ["success"] * 120
    answered = 120
    assert len(server.asked) < 3 * answered


def test_being_told_to_wait_while_others_are_answered_is_no_failure(server, groq, clock, questions):
    server.script = lambda body, times: (429, RATE) if body["seed"] == 0 and times < 8 else None

    replies = list(ask(questions(40), provider=groq, clock=clock, concurrency=2, tries=3))

    assert outcomes(replies) == ["success"] * 40
    assert max(reply.tries for reply in replies) == 9


def test_there_are_never_more_at_once_than_allowed(server, groq, questions):
    server.latency = 0.005

    list(ask(questions(60), provider=groq, concurrency=5))

    assert server.most_at_once <= 5


def test_the_local_model_is_never_asked_more_than_it_can_work_on(server, questions):
    server.latency = 0.005

    list(ask(questions(60), provider=provider("local", base_url=server.url), concurrency=32))

    assert server.most_at_once <= 4


def test_more_go_at_once_while_answers_come(server, groq, questions):
    server.latency = 0.25

    list(ask(questions(120), provider=groq, concurrency=40))

    assert 16 < server.most_at_once <= 40


# --- what concerns all of them


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "invalid_api_key", "the API key in GROQ_API_KEY"),
        (402, None, "plan"),
        (403, "not_available_for_plan", "console.groq.com/settings/billing"),
        (404, "model_not_found", "the model m (404)"),
        (400, "blocked_api_access", "limits and balance"),
        (400, "organization_restricted", "balance"),
        (400, "model_decommissioned", "the model m (400)"),
        (429, "insufficient_quota", "balance"),
    ],
)
def test_an_error_that_concerns_all_stops_them_all(server, groq, questions, status, code, words):
    server.script = lambda body, times: (status, {"error": {"message": "no way", "code": code}})

    replies = list(ask(questions(500), provider=groq))

    assert set(outcomes(replies)) == {"api_error", "not_run"}
    assert len(server.asked) <= 16
    assert set(server.times().values()) == {1}
    assert {reply.message for reply in replies} == {replies[-1].message}
    assert words in replies[-1].message
    assert "no way" in replies[-1].message


def test_a_model_that_is_gone_stops_only_those_that_ask_for_it(server, groq, questions):
    gone = (404, {"error": {"message": "no such model", "code": "model_not_found"}})
    server.script = lambda body, times: gone if body["model"] == "old" else None
    mixed = [*questions(50, model="old"), *questions(50, model="new")]

    replies = list(ask(mixed, provider=groq, concurrency=4))

    assert outcomes(replies).count("success") == 50
    assert sum(body["model"] == "old" for body in server.asked) <= 16


def test_a_text_that_is_not_let_through_stops_no_other(server, groq, questions):
    said = (403, {"error": {"message": "Input was flagged by moderation", "code": 403}})
    server.script = lambda body, times: said if body["seed"] == 0 else None

    assert outcomes(ask(questions(20), provider=groq)) == ["api_error"] + ["success"] * 19


def test_a_key_that_the_server_repeats_is_in_no_reply(server, groq, questions, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_verysecret")
    said = [
        (401, {"error": {"message": "Incorrect API key provided: gsk_verysecret."}}),
        (200, b"gsk_verysecret?"),
    ]

    for one in said:
        server.script = lambda body, times, one=one: one
        replies = list(ask(questions(3), provider=groq, tries=1))
        assert "gsk_verysecret" not in repr(replies)
        assert "***" in repr(replies)


@pytest.mark.parametrize("status", [429, 500])
def test_an_endpoint_that_answers_nothing_is_not_hammered(server, groq, clock, questions, status):
    server.script = lambda body, times: (status, LATER)

    replies = list(ask(questions(2_000), provider=groq, clock=clock, concurrency=8))

    assert outcomes(replies).count("not_run") > 1_900
    [sentence] = {reply.message for reply in replies if reply.outcome == "not_run"}
    assert "answered none of the last" in sentence
    assert len(server.asked) < 200
    assert max(server.times().values()) <= 8


def test_where_nobody_answers_it_says_what_to_do(clock, questions, unused_port):
    nobody = provider("local", base_url=f"http://127.0.0.1:{unused_port}/v1")

    replies = list(ask(questions(200), provider=nobody, clock=clock, concurrency=4))

    assert set(outcomes(replies)) == {"transport", "not_run"}
    [sentence] = {reply.message for reply in replies if reply.outcome == "not_run"}
    assert "evalkit serve-local" in sentence


def test_without_a_key_nothing_is_started(monkeypatch, questions):
    monkeypatch.delenv("GROQ_API_KEY", raising=False)

    with pytest.raises(ProviderError, match="API key for groq. Set GROQ_API_KEY in the environment"):
        ask(questions(1), provider=provider("groq"))


# --- what it costs


def test_what_was_answered_is_in_the_cache_and_never_asked_again(server, groq, cache, questions):
    list(ask(questions(20), provider=groq, cache=cache))

    again = list(ask(questions(30), provider=groq, cache=cache))

    assert sum(reply.cached for reply in again) == 20
    assert {reply.tries for reply in again if reply.cached} == {0}
    assert set(server.times().values()) == {1}


def test_an_answer_is_in_the_cache_before_it_is_given(server, groq, cache, questions):
    for n, _ in enumerate(ask(questions(50), provider=groq, cache=cache), start=1):
        assert len(cache) >= n


def test_only_good_answers_are_kept(server, groq, cache, clock, questions):
    server.script = lambda body, times: [None, (400, LATER), (500, LATER), (200, b"?")][body["seed"]]

    list(ask(questions(4), provider=groq, cache=cache, clock=clock))

    assert len(cache) == 1


def test_the_same_at_the_same_time_is_sent_once(server, groq, cache, questions):
    server.latency = 0.01
    same = [Request(f"q{i}", questions(1)[0].body) for i in range(30)]

    replies = list(ask(same, provider=groq, cache=cache))

    assert outcomes(replies) == ["success"] * 30
    assert sum(reply.cached for reply in replies) == 29
    assert len(server.asked) == 1


def test_those_that_wait_for_the_same_answer_end_without_ending_it(server, groq, cache, questions):
    server.latency = 0.1
    first, other = questions(2)
    server.script = lambda body, times: None if body["seed"] else server.completion()
    same = [Request("other", other.body), *(Request(f"q{i}", first.body) for i in range(8))]
    list(ask(same[:1], provider=groq, cache=cache))

    for _ in ask(same, provider=groq, cache=cache):
        break

    assert len(server.asked) == len(cache) == 2


def test_without_a_cache_each_is_sent(server, groq, questions):
    same = [Request(f"q{i}", questions(1)[0].body) for i in range(3)]

    list(ask(same, provider=groq))

    assert len(server.asked) == 3


def test_another_address_is_another_question(server, groq, cache, questions):
    other = provider("groq", base_url=server.url.replace("127.0.0.1", "localhost"))

    list(ask(questions(1), provider=groq, cache=cache))
    [reply] = ask(questions(1), provider=other, cache=cache)

    assert not reply.cached


def test_a_cache_that_cannot_be_written_costs_no_answer(server, groq, cache, questions):
    with contextlib.closing(sqlite3.connect(cache.path)) as base:
        base.execute(
            "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )

    with pytest.warns(UserWarning, match=r"no longer cached\. .* cannot be written: disk full"):
        replies = list(ask(questions(5), provider=groq, cache=cache))

    assert outcomes(replies) == ["success"] * 5


MODEL = "openai/gpt-oss-20b"
# What the server says of each answer; 100 tokens in, 10 out.
EACH = cost(provider("groq"), MODEL, {"prompt_tokens": 100, "completion_tokens": 10}, mode="live")


def test_it_stops_before_it_spends_more_than_allowed(server, groq, questions):
    few = questions(500, model=MODEL, max_completion_tokens=100)
    most = 60 * EACH

    replies = list(ask(few, provider=groq, max_cost=most))

    paid = len(server.asked) * EACH
    assert 0.4 * most < paid <= most
    assert outcomes(replies).count("success") == len(server.asked)
    assert outcomes(replies).count("not_run") == 500 - len(server.asked)
    assert "Raise max_cost" in replies[-1].message


def test_what_is_under_way_counts_at_the_most_that_it_may_cost(server, groq, questions):
    """A thousand tokens may be written by each: two at once would be above the limit, so one goes at a time."""
    server.latency = 0.005
    few = questions(10, model=MODEL, max_completion_tokens=1_000)

    list(ask(few, provider=groq, max_cost=1.5 * 1_000 * 0.30 / 1e6))

    assert server.most_at_once == 1


def test_what_is_in_the_cache_costs_nothing(server, groq, cache, questions):
    few = questions(10, model=MODEL)
    seen = []
    list(ask(few, provider=groq, cache=cache))

    replies = list(ask(few, provider=groq, cache=cache, max_cost=1e-9, progress=seen.append))

    assert outcomes(replies) == ["success"] * 10
    assert (seen[-1].cost, seen[-1].saved, seen[-1].cached) == (0.0, pytest.approx(10 * EACH), 10)


@pytest.mark.parametrize("said", ["silent", (200, b"?")])
def test_what_may_be_paid_for_although_no_answer_came_counts_against_the_limit(
    server, groq, clock, questions, said
):
    server.script = lambda body, times: said
    few = questions(50, model=MODEL, max_completion_tokens=1_000)
    limit, seen = 4 * 1_000 * 0.30 / 1e6, []

    replies = list(ask(few, provider=groq, clock=clock, timeout=0.02, max_cost=limit, progress=seen.append))

    assert len(server.asked) <= 4
    assert "not_run" in outcomes(replies)
    # It is set aside, and not said to be spent: no row has that price.
    assert seen[-1].cost == 0.0
    told = " ".join(reply.message for reply in replies if reply.outcome == "not_run")
    assert re.search(r"\$0\.0000 spent \(and possibly \$0\.\d+ for", told)


def test_what_is_surely_not_paid_for_does_not(server, groq, clock, questions):
    server.script = failing((503, LATER), times=5)
    few = questions(1, model=MODEL, max_completion_tokens=1_000)

    [reply] = ask(few, provider=groq, clock=clock, max_cost=1.5 * 1_000 * 0.30 / 1e6)

    assert (reply.outcome, reply.tries) == ("success", 6)


def test_a_limit_on_money_needs_a_price(server, groq, questions):
    with pytest.raises(ProviderError, match=r"price of m at groq is unknown"):
        list(ask(questions(5), provider=groq, max_cost=1.0))

    assert server.asked == []


def test_the_local_model_costs_nothing_and_keeps_any_limit(server, questions):
    local = provider("local", base_url=server.url)

    assert outcomes(ask(questions(5), provider=local, max_cost=0.0)) == ["success"] * 5


# --- how it shows


def test_progress_is_told_in_the_thread_that_reads(server, groq, questions):
    seen, threads = [], set()

    def show(progress):
        seen.append(progress)
        threads.add(threading.current_thread())

    list(ask(questions(30, model=MODEL), provider=groq, progress=show))

    last = seen[-1]
    assert threads == {threading.current_thread()}
    assert (last.done, last.total, last.failed, last.in_flight, last.left) == (30, 30, 0, 0, 0.0)
    assert [one.ended for one in seen] == [False] * (len(seen) - 1) + [True]
    assert last.cost == pytest.approx(30 * EACH)


def test_a_price_that_nobody_knows_is_not_shown_as_nothing(server, groq, questions):
    seen = []

    list(ask(iter(questions(3)), provider=groq, progress=seen.append))

    assert (seen[-1].cost, seen[-1].total, seen[-1].left) == (None, None, None)


def test_the_asynchronous_face_tells_progress_too(server, groq, questions):
    seen = []

    async def main():
        return [reply async for reply in aask(questions(9), provider=groq, progress=seen.append)]

    asyncio.run(main())

    assert seen[-1].done == 9


def test_where_nobody_looks_nothing_is_printed(server, groq, questions, capfd):
    list(ask(questions(3), provider=groq))

    assert capfd.readouterr() == ("", "")


# --- how it stops


def slower_after(server, n):
    """Answer so many quickly, then slowly: whoever is to be stopped is stopped before the end, on any machine."""

    slow = threading.Event()

    def script(body, times):
        server.latency = 0.3 if len(server.asked) > n else 0.01
        if len(server.asked) > n:
            slow.set()

    server.script = script
    return slow


def test_answers_under_way_land_in_the_cache_when_the_reader_leaves(server, groq, cache, questions):
    slower_after(server, 40)

    for _ in ask(questions(500), provider=groq, cache=cache, concurrency=16):
        break

    assert len(cache) == len(server.asked) < 500


def test_what_does_not_come_is_not_waited_for(server, groq, cache, questions):
    server.script = lambda body, times: "silent" if body["seed"] else None

    for _ in ask(questions(50), provider=groq, cache=cache, grace=0.05):
        break

    assert len(cache) == 1


def test_what_fails_after_the_reader_left_is_not_sent_again(server, groq, cache, questions):
    def script(body, times):
        server.latency = 0.3 if body["seed"] else 0.0
        return (503, LATER) if body["seed"] else None

    server.script = script

    for _ in ask(questions(8), provider=groq, cache=cache):
        break

    assert set(server.times().values()) == {1}


def test_those_that_wait_their_turn_end_at_once(server, groq, cache, questions):
    """A wait of ten minutes that the endpoint asked for is not sat out by who leaves."""
    server.script = lambda body, times: (429, RATE, {"Retry-After": "600"}) if body["seed"] else None

    for _ in ask(questions(50), provider=groq, cache=cache, concurrency=2):
        break

    assert len(server.asked) <= 3


def test_the_asynchronous_face_stops_in_good_order_too(server, groq, cache, questions):
    server.latency = 0.02

    async def main():
        async with contextlib.aclosing(
            aask(questions(500), provider=groq, cache=cache, concurrency=8)
        ) as replies:
            async for _ in replies:
                break
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(main()) == []
    assert len(cache) == len(server.asked) < 500


SCRIPT = """
import sys
from evalkit.llm.providers import provider
from evalkit.llm.answer_cache import Cache
from evalkit.llm.ask import ask
from evalkit.llm.requests import Request, request_key

with Cache(sys.argv[2]) as cache:
    requests = [Request(f"q{i}", {"model": "m", "seed": i, "messages": []}) for i in range(500)]
    replies = [reply for reply in ask(requests, provider=provider(sys.argv[1]), cache=cache, concurrency=8)]
    print(sum(reply.cached for reply in replies), len(replies))
"""


def run_script(server, path):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, server.url, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_after_ctrl_c_or_a_kill_only_the_rest_is_asked(server, tmp_path, kill):
    path = tmp_path / "answers.sqlite"
    slow = slower_after(server, 60)

    first = run_script(server, path)
    assert slow.wait(60)
    first.send_signal(kill)
    _, said = first.communicate(timeout=60)
    begun = set(server.times())
    with Cache(path) as cache:
        kept = len(cache)
    server.latency = 0.0
    server.script = lambda body, times: None
    second = run_script(server, path)
    out, errors = second.communicate(timeout=60)

    assert errors == ""
    assert out == f"{kept} 500\n"
    assert first.returncode == -kill, said
    if kill == signal.SIGINT:
        assert said.strip().endswith("KeyboardInterrupt")
        assert "never" not in said
        assert "ResourceWarning" not in said
        assert kept == len(begun) < 500
        assert set(server.times().values()) == {1}
    else:
        # What was under way when it was killed is all that is asked twice: eight at once.
        assert len(begun) - 8 <= kept <= len(begun) < 500


def test_ctrl_c_before_the_first_request_is_heard(server, groq, cache, questions, monkeypatch):
    """It comes when the thread is there and its loop is not yet: nobody to be told, and yet it has to stop."""
    main, stop, stopping = live._Thread._main, live._Thread._stop, threading.Event()

    def begin(self):
        os.kill(os.getpid(), signal.SIGINT)
        stopping.wait()
        main(self)

    def end(self):
        stopping.set()
        stop(self)

    monkeypatch.setattr(live._Thread, "_main", begin)
    monkeypatch.setattr(live._Thread, "_stop", end)

    with pytest.raises(KeyboardInterrupt):
        list(ask(questions(500), provider=groq, cache=cache))

    assert len(cache) == len(server.asked) < 100


@pytest.mark.parametrize("when", ["before", "after"])
def test_two_ctrl_c_at_once_leave_no_thread_that_asks_on(server, groq, cache, questions, when):
    slower_after(server, 40)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, live.atexit, "unregister", at=1, when=when)
        replies = ask(questions(500), provider=groq, cache=cache, concurrency=8)
        next(replies)
        with pytest.raises(KeyboardInterrupt):
            replies.throw(KeyboardInterrupt())

    assert [one for one in threading.enumerate() if one.name == "evalkit-ask"] == []
    assert len(server.asked) < 500


STOPS = """
import sys
from evalkit.llm.providers import provider
from evalkit.llm.answer_cache import Cache
from evalkit.llm.ask import ask
from evalkit.llm.requests import Request, request_key

cache = Cache(sys.argv[2])
requests = [Request(f"q{i}", {"model": "m", "seed": i, "messages": []}) for i in range(300)]
replies = ask(requests, provider=provider(sys.argv[1]), cache=cache, concurrency=8, grace=float(sys.argv[3]))
kept = next(replies)
print("read", flush=True)
if sys.argv[4] == "stay":
    list(replies)
"""


def run_stops(server, path, *words):
    command = [sys.executable, "-W", "error", "-c", STOPS, server.url, path, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_replies_that_are_never_read_to_their_end_do_not_keep_a_program_from_ending(server, tmp_path):
    slower_after(server, 60)

    ended = run_stops(server, tmp_path / "a.sqlite", "5", "leave")
    _, errors = ended.communicate(timeout=60)

    assert (ended.returncode, errors) == (0, "")
    with Cache(tmp_path / "a.sqlite") as cache:
        assert len(cache) == len(server.asked)


def test_a_second_ctrl_c_does_not_wait_for_what_is_under_way(server, tmp_path):
    server.script = lambda body, times: "silent" if body["seed"] else None

    stopped = run_stops(server, tmp_path / "a.sqlite", "3600", "stay")
    assert stopped.stdout.readline() == "read\n"
    while stopped.poll() is None:
        stopped.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            stopped.wait(0.5)

    errors = stopped.communicate()[1]
    assert stopped.returncode == -signal.SIGINT
    assert "Task was destroyed" not in errors
    assert "ResourceWarning" not in errors


def test_a_reader_that_is_cancelled_leaves_nothing_behind(server, groq, questions):
    server.script = lambda body, times: "silent"

    async def main():
        reading = asyncio.create_task(anext(aask(questions(9), provider=groq, grace=0.01)))
        while not server.asked:
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(main()) == []


# --- redirects


@pytest.fixture
def redirected(questions):
    """Return a provider that redirects elsewhere, and what arrived there."""
    arrived: list[str] = []

    def handler(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                answer(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        return Handler

    def elsewhere(request):
        arrived.append(request.path)
        request.send_response(200)
        request.send_header("content-length", "2")
        request.end_headers()
        request.wfile.write(b"{}")

    with contextlib.ExitStack() as stack:
        servers = []
        for answer in (elsewhere, lambda request: redirect(request)):
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(answer)))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            servers.append(server)
        target = f"http://127.0.0.1:{servers[0].server_port}"

        def redirect(request):
            request.send_response(307)
            request.send_header("location", f"{target}{request.path}")
            request.send_header("content-length", "0")
            request.end_headers()

        yield provider(f"http://127.0.0.1:{servers[1].server_port}/v1"), arrived


def test_a_redirect_is_not_followed(redirected, questions):
    endpoint, arrived = redirected

    replies = list(ask(questions(2), provider=endpoint))

    assert [(reply.outcome, reply.status, reply.code) for reply in replies] == [
        ("api_error", 307, "redirect")
    ] * 2
    assert arrived == []


def test_a_redirect_of_the_list_of_models_is_not_followed(redirected):
    endpoint, arrived = redirected

    assert "307" in (check_model(endpoint, "m") or "")
    assert arrived == []
