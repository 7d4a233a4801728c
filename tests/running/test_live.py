"""Asking live, against a server on loopback: what is sent again, what never, what it costs, and how it stops."""

from __future__ import annotations

import pytest

from evalkit.running.cache import Cache
from evalkit.running.live import ask
from evalkit.running.requests import Request, custom_id


def questions(n, *, model="m", **more):
    return [
        Request(
            custom_id("q", i),
            {"model": model, "seed": i, "messages": [{"role": "user", "content": f"{i}?"}], **more},
        )
        for i in range(n)
    ]


def test_each_request_gets_its_own_reply(server, groq):
    server.script = lambda body, times: None

    replies = list(ask(questions(100), provider=groq))

    assert {reply.custom_id for reply in replies} == {request.custom_id for request in questions(100)}
    assert {reply.outcome for reply in replies} == {"success"}
    assert set(server.times().values()) == {1}


@pytest.mark.parametrize("status", [408, 409, 429, 498, 500, 502, 503, 529])
def test_what_passes_is_sent_again(server, groq, clock, status):
    server.script = lambda body, times: (status, {"error": {"message": "later"}}) if times < 2 else None

    [reply] = ask(questions(1), provider=groq, clock=clock)

    assert (reply.outcome, reply.tries) == ("success", 3)


def test_what_was_answered_is_in_the_cache_and_never_asked_again(server, groq, tmp_path):
    with Cache(tmp_path / "a.sqlite") as cache:
        list(ask(questions(20), provider=groq, cache=cache))

        again = list(ask(questions(30), provider=groq, cache=cache))

    assert sum(reply.cached for reply in again) == 20
    assert set(server.times().values()) == {1}
