"""The live routes of the project's own fake, with each of its faults: one success or one error for each request."""

from __future__ import annotations

import pytest

from evalkit.llm.answer_cache import Cache
from evalkit.llm.ask import ask
from evalkit.llm.providers import check_model
from evalkit.llm.requests import Request, canonical, custom_id
from evalkit.util.errors import ProviderError
from fakes import ApiError, FakeServer, Fault

ROUTE = "POST /chat/completions"
SAID = [{"role": "user", "content": "Right?"}]


@pytest.fixture(params=["groq", "openai"])
def fake(request):
    with FakeServer(request.param) as fake:
        yield fake


def asked(fake, n=12, **more):
    return [
        Request(custom_id(seed), {"model": fake.models[0], "seed": seed, "messages": SAID, **more})
        for seed in range(n)
    ]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(ROUTE, status=500, times=5),
        Fault(ROUTE, status=502, body=b"<html>bad gateway</html>", times=5),
        Fault(ROUTE, status=503, headers={"retry-after": "2"}, times=5),
        Fault(ROUTE, status=429, headers={"retry-after": "2"}, times=5),
        Fault(ROUTE, status=429, headers={"retry-after": "300"}, times=5),
        Fault(ROUTE, status=498, body={"error": {"code": "capacity_exceeded"}}, times=5),
        Fault(ROUTE, drop=True, times=5),
        Fault(ROUTE, truncate=40, times=5),
        Fault(ROUTE, truncate=0, times=5),
        Fault(ROUTE, status=200, body=b"<html>", times=5),
        Fault(ROUTE, delay=0.05, times=5),
    ],
    ids=lambda fault: f"{fault.status} {fault.drop} {fault.truncate} {fault.headers}",
)
def test_a_fault_that_passes_costs_no_answer(fake, fault, clock, tmp_path):
    fake.faults.append(Fault(**{name: getattr(fault, name) for name in Fault.__dataclass_fields__}))

    with Cache(tmp_path / "answers.sqlite") as cache:
        replies = list(ask(asked(fake), provider=fake.provider(), cache=cache, clock=clock))

    assert [reply.outcome for reply in replies] == ["success"] * 12
    assert {reply.custom_id for reply in replies} == {request.custom_id for request in asked(fake)}
    # An answer that was lost on its way has to be asked for again; no other is.
    lost = 5 if fault.truncate is not None else 0
    assert sum(fake.bodies.values()) == 12 + lost
    assert set(fake.bodies) == {canonical(request.body) for request in asked(fake)}


def test_a_413_and_a_400_are_sent_once(fake):
    fake.faults += [Fault(ROUTE, status=413, headers={"retry-after": "1"}), Fault(ROUTE, status=400)]

    replies = list(ask(asked(fake), provider=fake.provider(), concurrency=1))

    assert [reply.status for reply in replies] == [413, 400, *[200] * 10]
    assert fake.count(ROUTE) == 12


def test_json_that_fails_is_an_error_of_its_request_alone(fake):
    def answer(body):
        if body["seed"] == 3:
            raise ApiError(400, "Failed to generate JSON", code="json_validate_failed", failed_generation="{")
        return "4"

    fake.answer = answer

    replies = list(ask(asked(fake), provider=fake.provider()))

    assert [(r.status, r.code) for r in replies if r.outcome != "success"] == [(400, "json_validate_failed")]


def test_a_key_that_is_not_accepted_stops_all(fake):
    fake.keys = {"right"}

    replies = list(ask(asked(fake, 100), provider=fake.provider(), concurrency=2))

    assert {reply.outcome for reply in replies} == {"api_error", "not_run"}
    assert fake.count(ROUTE) <= 2


def test_what_one_endpoint_does_not_take_is_told_in_its_words(fake):
    replies = list(ask(asked(fake, 2, logprobs=True), provider=fake.provider()))

    refused = not fake.provider().logprobs
    assert {reply.outcome for reply in replies} == {"api_error" if refused else "success"}


def test_its_models_are_found_and_others_are_not(fake):
    assert check_model(fake.provider(), fake.models[1]) is None
    with pytest.raises(ProviderError, match="has no model"):
        check_model(fake.provider(), fake.models[0] + "x")
