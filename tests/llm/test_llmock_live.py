"""Asking llmock live: a stand-in for an endpoint that others wrote, which also judges how a client behaves."""

from __future__ import annotations

from collections import Counter

import pytest

from evalkit.llm.answer_cache import Cache
from evalkit.llm.ask import ask
from evalkit.llm.providers import check_model
from evalkit.llm.requests import Request, custom_id

MODEL = "openai/gpt-oss-20b"


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "answers.sqlite") as cache:
        yield cache


def questions(n):
    return [
        Request(
            custom_id(seed),
            {"model": MODEL, "seed": seed, "messages": [{"role": "user", "content": f"Is {seed} even?"}]},
        )
        for seed in range(n)
    ]


def answered(mock):
    """Return how often each seed was answered, paid for."""
    return Counter(body["seed"] for body in mock.paid())


def test_all_are_answered_and_the_verdict_finds_nothing(mock, cache):
    replies = list(ask(questions(100), provider=mock.groq, cache=cache))

    assert {reply.outcome for reply in replies} == {"success"}
    assert answered(mock) == dict.fromkeys(range(100), 1)
    assert mock.verdict()["findings"] == []


# It drops connections of streams only: for others the server of our own does it.
FAULTS = {
    "429 with Retry-After": {"type": "fail", "status": 429, "retry_after": 0.3, "times": 8},
    "429 without": {"type": "fail", "status": 429, "times": 8},
    "500": {"type": "fail", "status": 500, "times": 10},
    "503": {"type": "fail", "status": 503, "times": 10},
    "503 with Retry-After": {"type": "fail", "status": 503, "retry_after": 0.2, "times": 5},
    "529": {"type": "fail", "status": 529, "times": 5},
    "slow": {"type": "delay", "seconds": 0.5, "times": 10},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_with_a_fault_none_is_lost_none_is_paid_twice_and_the_verdict_finds_nothing(mock, cache, fault):
    mock.faults(FAULTS[fault])

    replies = list(ask(questions(40), provider=mock.groq, cache=cache))

    assert {reply.outcome for reply in replies} == {"success"}
    assert answered(mock) == dict.fromkeys(range(40), 1)
    assert mock.call("GET", "scenario")["pending"] == []
    verdict = mock.verdict()
    assert verdict["findings"] == []
    assert fault == "slow" or verdict["faults_injected"] == FAULTS[fault]["times"]


def test_all_of_them_at_once(mock, cache):
    mock.faults(*({**fault, "times": 3} for fault in FAULTS.values()))

    replies = list(ask(questions(120), provider=mock.groq, cache=cache))

    assert {reply.outcome for reply in replies} == {"success"}
    assert answered(mock) == dict.fromkeys(range(120), 1)
    assert mock.verdict()["findings"] == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_be_mended_is_not_sent_again(mock, cache, status):
    mock.faults({"type": "fail", "status": status, "times": None})

    replies = list(ask(questions(30), provider=mock.groq, cache=cache))

    assert {reply.outcome for reply in replies} <= {"api_error", "not_run"}
    assert {reply.status for reply in replies} <= {status, None}
    assert mock.verdict()["findings"] == []


def test_an_outage_is_borne_with_few_tries(mock, cache):
    mock.faults({"type": "fail", "status": 503, "retry_after": 0.1, "times": None})

    replies = list(ask(questions(30), provider=mock.groq, cache=cache, tries=3))

    assert {reply.outcome for reply in replies} == {"api_error", "not_run"}
    assert mock.verdict()["errors"] == 0
    # After the outage only what has no answer is asked, and that is all of it.
    mock.reset()
    assert {reply.outcome for reply in ask(questions(30), provider=mock.groq, cache=cache)} == {"success"}
    assert answered(mock) == dict.fromkeys(range(30), 1)


def test_a_model_is_looked_up_in_its_list(mock):
    note = check_model(mock.groq, MODEL)

    assert note is None or "was not checked" in note
