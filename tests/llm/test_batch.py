"""A batch job against the fake server: every answer that is documented, and every fault, brought to its outcomes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace

import pytest

from evalkit.llm.answer_cache import Cache
from evalkit.llm.batch.submit import jobs, open_job, submit
from evalkit.llm.requests import Request
from evalkit.util.errors import JobError, ProviderError
from fakes import Answer, ApiError, BatchPlan, FakeClock, Fault
from fakes.jobs import ask, begin, outcomes, run

EXPIRED = BatchPlan(end="expired", run=2)
CANCELLED = BatchPlan(end="cancelled", run=0, rest="missing")


# --- what goes well


def test_a_job_goes_through_and_gives_each_answer_with_what_it_was_about(fake_groq, tmp_path):
    fake_groq.answer = lambda body: f"re: {body['messages'][0]['content']}"

    job = run(fake_groq, tmp_path, ask(5), shard_lines=2)

    assert job.state == "done"
    replies = {reply.custom_id: reply for reply in job.replies()}
    about = {request.custom_id: request.about for request in job.requests()}
    assert about == {f"r{number}": {"case": f"{number}"} for number in range(5)}
    for number in range(5):
        reply = replies[f"r{number}"]
        assert reply.body["choices"][0]["message"]["content"] == f"re: question {number}"
        assert (reply.outcome, reply.mode, reply.status) == ("success", "batch", 200)
        assert reply.batch_id in fake_groq.batches
    assert len(fake_groq.batches) == 3
    assert fake_groq.settle() == Counter({f"r{number}": 1 for number in range(5)})


def test_what_was_sent_is_what_was_asked_but_for_what_a_batch_does_not_take(fake_groq, tmp_path):
    requests = ask(1, stream=True, stream_options={"include_usage": True}, service_tier="flex", seed=7)

    job = run(fake_groq, tmp_path, requests)

    (_, content) = next(file for file in fake_groq.files.values() if file[0]["purpose"] == "batch")
    assert json.loads(content) == {
        "custom_id": "r0",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "openai/gpt-oss-20b",
            "messages": [{"role": "user", "content": "question 0"}],
            "max_completion_tokens": 100,
            "seed": 7,
        },
    }
    assert outcomes(job) == {"r0": "success"}


def test_it_works_inside_a_loop_that_runs_as_in_a_kernel(fake_groq, tmp_path):
    async def cell():
        return outcomes(run(fake_groq, tmp_path))

    assert asyncio.run(cell()) == dict.fromkeys(("r0", "r1", "r2"), "success")


def test_another_process_finds_the_job_days_later(fake_groq, tmp_path):
    begun = begin(fake_groq, tmp_path, note="the nine cases")
    clock = FakeClock(fake_groq, skew=3 * 86_400)

    (found,) = jobs(tmp_path, clock=clock)
    found.wait()

    assert found.name == begun.name
    assert found.status().note == "the nine cases"
    assert set(outcomes(open_job(tmp_path, begun.name)).values()) == {"success"}


def test_a_cell_that_is_run_twice_goes_on_with_the_same_job(fake_groq, tmp_path):
    fake_groq.plans = [BatchPlan(end=None)]

    first = begin(fake_groq, tmp_path, ask(3))
    second = begin(fake_groq, tmp_path, ask(3)[::-1])
    third = begin(fake_groq, tmp_path, ask(2))

    assert second.name == first.name
    assert third.name != first.name
    assert len(jobs(tmp_path)) == 2
    assert fake_groq.count("POST /batches") == 2


def test_openai_gets_one_model_to_a_file(fake_openai, tmp_path):
    requests = [
        Request(f"r{n}", {"model": fake_openai.models[n % 2], "messages": [{"role": "user", "content": "q"}]})
        for n in range(6)
    ]

    job = run(fake_openai, tmp_path, requests)

    assert set(outcomes(job).values()) == {"success"}
    assert len(fake_openai.batches) == 2


def test_groq_takes_several_models_in_a_file(fake_groq, tmp_path):
    requests = [
        Request(f"r{n}", {"model": fake_groq.models[n], "messages": [{"role": "user", "content": "q"}]})
        for n in range(3)
    ]

    job = run(fake_groq, tmp_path, requests)

    assert set(outcomes(job).values()) == {"success"}
    assert len(fake_groq.batches) == 1


def test_a_job_of_nothing_is_done(fake_groq, tmp_path):
    job = submit([], provider=fake_groq.provider(), folder=tmp_path)

    assert job.state == "done"
    assert list(job.replies()) == []
    assert fake_groq.log == []


# --- the five answers on which others fail


def test_expired_keeps_what_is_there_and_asks_only_for_the_rest(fake_groq, tmp_path):
    fake_groq.plans = [EXPIRED]

    job = run(fake_groq, tmp_path)

    assert set(outcomes(job).values()) == {"success"}
    assert fake_groq.settle() == Counter(r0=1, r1=1, r2=1)
    assert {reply.custom_id: reply.tries for reply in job.replies()} == {"r0": 1, "r1": 1, "r2": 2}


def test_expired_in_the_last_round_is_not_run(fake_groq, tmp_path):
    fake_groq.plans = [EXPIRED]

    job = run(fake_groq, tmp_path, max_rounds=1)

    assert outcomes(job) == {"r0": "success", "r1": "success", "r2": "not_run"}
    reply = next(reply for reply in job.replies() if reply.custom_id == "r2")
    assert reply.code == "batch_expired"
    assert job.state == "done"
    assert len(fake_groq.batches) == 1


def test_a_line_with_status_400_is_its_own_error_and_is_not_asked_again(fake_groq, tmp_path):
    fake_groq.plans = [
        BatchPlan(fail={"r2": ApiError(400, "messages: too long", code="context_length_exceeded")})
    ]

    job = run(fake_groq, tmp_path)

    reply = next(reply for reply in job.replies() if reply.custom_id == "r2")
    assert outcomes(job) == {"r0": "success", "r1": "success", "r2": "api_error"}
    assert (reply.status, reply.code, reply.message) == (400, "context_length_exceeded", "messages: too long")
    assert len(fake_groq.batches) == 1


@pytest.mark.parametrize("absent", ["null", "empty"])
def test_a_cancelled_batch_without_files_ends(fake_groq, tmp_path, absent):
    fake_groq.plans = [BatchPlan(end="cancelled", run=0, rest="missing", absent=absent)]

    job = run(fake_groq, tmp_path, max_rounds=1)

    assert set(outcomes(job).values()) == {"not_run"}
    assert {reply.code for reply in job.replies()} == {"batch_cancelled"}


def test_an_id_in_neither_file_is_missing_and_asked_again(fake_groq, tmp_path):
    fake_groq.plans = [BatchPlan(run=2, rest="missing")] * 2

    lost = run(fake_groq, tmp_path / "a", max_rounds=1)
    found = run(fake_groq, tmp_path / "b")

    assert outcomes(lost) == {"r0": "success", "r1": "success", "r2": "missing"}
    assert set(outcomes(found).values()) == {"success"}


@pytest.mark.parametrize("shape", ["array", "object"])
def test_a_batch_that_failed_its_validation_says_why_and_is_not_sent_again(fake_groq, tmp_path, shape):
    errors = [{"code": "invalid_file", "message": "The file cannot be used.", "param": None, "line": None}]
    fake_groq.plans = [BatchPlan(end="failed", errors=errors, errors_as=shape)]

    job = run(fake_groq, tmp_path)

    assert set(outcomes(job).values()) == {"not_run"}
    assert {(reply.code, reply.message) for reply in job.replies()} == {
        ("invalid_file", "The file cannot be used.")
    }
    assert len(fake_groq.batches) == 1
    assert fake_groq.settle() == Counter()


def test_a_line_that_spoils_a_batch_is_left_out_of_the_next(fake_openai, tmp_path):
    errors = [{"code": "invalid_json", "message": "bad line", "param": None, "line": 2}]
    fake_openai.plans = [BatchPlan(end="failed", errors=errors)]

    job = run(fake_openai, tmp_path, ask(3, model="gpt-6.1-terra"))

    assert outcomes(job) == {"r0": "success", "r1": "api_error", "r2": "success"}


# --- what is asked again, and what is not


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ApiError(429, "slow down", code="rate_limit_exceeded"), True),
        (ApiError(498, "no room", code="capacity_exceeded"), True),
        (ApiError(500, "oops"), True),
        (ApiError(503, "oops"), True),
        (ApiError(400, "no JSON", code="json_validate_failed"), True),
        (ApiError(413, "too large", code="rate_limit_exceeded"), False),
        (ApiError(400, "bad schema"), False),
        (ApiError(404, "no such model", code="model_not_found"), False),
        ({"code": "inference_failed", "message": "x"}, True),
        ({"code": "batch_expired", "message": "x"}, True),
        ({"code": 429, "message": "x"}, True),
        ({"code": 400, "message": "x"}, False),
        ({"code": "puzzling", "message": "x"}, False),
    ],
)
def test_only_what_may_go_well_is_asked_again(fake_groq, tmp_path, error, again):
    fake_groq.plans = [BatchPlan(fail={"r1": error})]

    job = run(fake_groq, tmp_path)

    assert outcomes(job)["r1"] == ("success" if again else "api_error")
    assert fake_groq.settle() == Counter(r0=1, r1=1 + again, r2=1)


def test_it_is_not_asked_again_for_ever(fake_groq, tmp_path):
    fake_groq.plans = [BatchPlan(fail={"r1": ApiError(400, "no JSON", code="json_validate_failed")})] * 9

    job = run(fake_groq, tmp_path, max_rounds=3)

    assert outcomes(job)["r1"] == "api_error"
    assert fake_groq.settle() == Counter(r0=1, r1=3, r2=1)
    assert job.status().outcomes == {"api_error": 1, "success": 2}


def test_more_rounds_can_be_allowed_later(fake_groq, tmp_path):
    fake_groq.plans = [EXPIRED]
    job = run(fake_groq, tmp_path, max_rounds=1)

    job.resume(max_rounds=2).wait()

    assert set(outcomes(job).values()) == {"success"}


def test_a_quota_that_was_full_is_tried_again_when_nothing_is_under_way(fake_openai, tmp_path):
    errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "line": None}]
    fake_openai.plans = [BatchPlan(), BatchPlan(end="failed", errors=errors)]

    job = run(fake_openai, tmp_path, ask(4, model="gpt-6.1-terra"), shard_lines=2)

    assert set(outcomes(job).values()) == {"success"}


def test_money_stops_it_before_it_is_spent_and_more_lets_it_go_on(fake_groq, tmp_path):
    fake_groq.answer = lambda body: Answer("4", usage={"prompt_tokens": 60, "completion_tokens": 100})
    one = 0.5 * (100 * 0.30 + 60 * 0.075) / 1e6

    job = run(fake_groq, tmp_path, ask(6), shard_lines=1, max_cost=3.5 * one)
    first = outcomes(job)
    state = job.state
    job.resume(max_cost=1.0).wait()

    assert Counter(first.values()) == {"success": 3, "not_run": 3}
    assert state == "stopped"
    assert "max_cost" not in {reply.code for reply in job.replies()}
    assert set(outcomes(job).values()) == {"success"}
    assert set(fake_groq.settle().values()) == {1}


def test_money_that_was_not_needed_is_there_for_the_next_file(fake_groq, tmp_path):
    fake_groq.answer = lambda body: Answer("4", usage={"prompt_tokens": 1, "completion_tokens": 1})
    one = 0.5 * (100 * 0.30 + 70 * 0.075) / 1e6

    job = run(fake_groq, tmp_path, ask(6), shard_lines=1, max_cost=2.2 * one)

    assert set(outcomes(job).values()) == {"success"}
    assert job.status().spent == pytest.approx(6 * 0.5 * (0.075 + 0.30) / 1e6)


def test_a_limit_needs_a_price(fake_groq, tmp_path):
    fake_groq.models.append("new")

    with pytest.raises(ProviderError, match=r"price .* at groq is unknown"):
        begin(fake_groq, tmp_path, ask(1, model="new"), max_cost=1)
    assert jobs(tmp_path) == []
    job = run(fake_groq, tmp_path, ask(1, model="new"))
    assert job.status().spent is None


# --- the cache


def test_what_was_answered_before_is_not_sent_and_what_is_answered_is_kept(fake_groq, tmp_path):
    with Cache(tmp_path / "answers.sqlite") as cache:
        run(fake_groq, tmp_path / "a", ask(3), cache=cache)
        job = run(fake_groq, tmp_path / "b", ask(5), cache=cache)
        last = run(fake_groq, tmp_path / "c", ask(5), cache=cache)

    assert fake_groq.settle() == Counter({f"r{n}": 1 for n in range(5)})
    assert set(outcomes(job).values()) == {"success"}
    assert {reply.custom_id for reply in job.replies() if reply.cached} == {"r0", "r1", "r2"}
    assert {request.custom_id: request.about for request in last.requests()} == {
        f"r{n}": {"case": f"{n}"} for n in range(5)
    }
    assert last.state == "done"
    assert last.status().cached == 5


# --- cancelling


def test_cancelling_waits_for_the_end_keeps_what_there_is_and_asks_nothing_again(fake_groq, tmp_path):
    fake_groq.plans = [BatchPlan(run=1)]
    job = begin(fake_groq, tmp_path)

    job.cancel()
    job.wait()

    assert job.state == "cancelled"
    assert outcomes(job) == {"r0": "success", "r1": "not_run", "r2": "not_run"}
    assert len(fake_groq.batches) == 1


def test_what_was_not_sent_yet_is_not_sent_after_cancelling(fake_groq, tmp_path):
    fake_groq.faults = [Fault("POST /files", status=503, times=99, skip=1)]
    job = begin(fake_groq, tmp_path, ask(4), shard_lines=2)
    fake_groq.faults = []

    job.cancel().wait()

    codes = {reply.custom_id: reply.code for reply in job.replies()}
    assert codes == {"r0": "batch_cancelled", "r1": "batch_cancelled", "r2": "cancelled", "r3": "cancelled"}
    assert fake_groq.count("POST /files") == 1 + 4


def test_a_cancelled_job_is_not_gone_on_with(fake_groq, tmp_path):
    job = begin(fake_groq, tmp_path)
    job.cancel()

    with pytest.raises(JobError, match="was cancelled"):
        job.resume(max_cost=1)


def test_cancelling_what_has_ended_changes_nothing(fake_groq, tmp_path):
    job = run(fake_groq, tmp_path)

    job.cancel()

    assert job.state == "done"
    assert set(outcomes(job).values()) == {"success"}


# --- the remote files


def test_files_are_deleted_only_when_everything_is_here(fake_groq, tmp_path):
    job = begin(fake_groq, tmp_path)

    with pytest.raises(JobError, match="has not ended"):
        job.delete_files()
    job.wait()
    count = job.delete_files()

    assert count == 2
    assert fake_groq.files == {}
    assert set(outcomes(job).values()) == {"success"}
    assert job.delete_files() == 2


# --- before anything is sent


@pytest.mark.parametrize(
    ("window", "words"), [("12h", "24h to 7d"), ("8d", "24h to 7d"), ("soon", "24h to 7d")]
)
def test_a_window_that_groq_does_not_have(fake_groq, tmp_path, window, words):
    with pytest.raises(ProviderError, match=f"window '{window}' at groq. Expected {words}"):
        begin(fake_groq, tmp_path, window=window)


def test_windows_that_they_have(fake_groq, fake_openai, tmp_path):
    assert begin(fake_groq, tmp_path, window="48h").state == "running"
    with pytest.raises(ProviderError, match="window '48h' at openai. Expected 24h, in"):
        begin(fake_openai, tmp_path, window="48h")


@pytest.mark.parametrize("key", ["", "é", "a" * 65, 'a"b', "a\nb"])
def test_an_id_that_cannot_be_sent(fake_groq, tmp_path, key):
    with pytest.raises(ProviderError, match="Invalid custom_id .* 1 to 64 printable ASCII"):
        begin(fake_groq, tmp_path, [Request(key, ask(1)[0].body)])
    assert fake_groq.log == []
    assert jobs(tmp_path) == []


def test_an_id_that_is_there_twice(fake_groq, tmp_path):
    with pytest.raises(ProviderError, match="Duplicate custom_id 'r0'"):
        begin(fake_groq, tmp_path, ask(2) + ask(1))


def test_an_endpoint_without_a_batch_api(fake_groq, tmp_path):
    with pytest.raises(ProviderError, match="groq .* has no known Batch API"):
        submit(ask(1), provider=fake_groq.provider(batch=None), folder=tmp_path)


def test_a_file_of_more_lines_than_are_allowed(fake_groq, tmp_path):
    with pytest.raises(ProviderError, match="shard_lines=50001 .* 1 to 50,000 requests"):
        begin(fake_groq, tmp_path, shard_lines=50_001)


def test_a_plan_without_batches_is_one_sentence_and_the_job_goes_on_when_it_is_changed(fake_groq, tmp_path):
    fake_groq.plan = "free"

    with pytest.raises(ProviderError, match=r"plan .* groq .* has no Batch API \(403 not_available") as e:
        begin(fake_groq, tmp_path)
    fake_groq.plan = "developer"
    (job,) = jobs(tmp_path, clock=FakeClock(fake_groq))

    assert "console.groq.com" in str(e.value)
    assert "\n" not in str(e.value)
    assert set(outcomes(job.resume().wait()).values()) == {"success"}


def test_a_plan_that_ends_while_it_runs_is_told_too(fake_groq, tmp_path):
    job = begin(fake_groq, tmp_path)
    fake_groq.plan = "free"

    with pytest.raises(ProviderError, match="has no Batch API"):
        job.refresh()
    fake_groq.plan = "developer"

    assert set(outcomes(job.wait()).values()) == {"success"}


def test_a_key_that_is_refused_is_told_and_never_repeated(fake_groq, tmp_path, monkeypatch):
    fake_groq.keys = {"right"}
    monkeypatch.setenv("A_KEY", "gsk_wrong_12345")
    fake_groq.faults = [
        Fault("POST /files", status=401, body={"error": {"message": "Invalid key: gsk_wrong_12345"}})
    ]

    with pytest.raises(ProviderError, match="A_KEY") as error:
        submit(ask(1), provider=replace(fake_groq.provider(), key_variable="A_KEY"), folder=tmp_path)

    assert "gsk_wrong" not in str(error.value)
    assert not any(b"gsk_wrong" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


# --- how it is shown


def test_it_says_how_it_is(fake_groq, tmp_path):
    fake_groq.plans = [EXPIRED, BatchPlan(end=None)]
    job = begin(fake_groq, tmp_path, note="<b>hi</b>\x1b[2J")
    for _ in range(6):
        job.refresh()

    status = job.status()

    assert (status.state, status.requests, status.waiting, status.rounds) == ("running", 3, 1, 2)
    assert status.outcomes == {"success": 2}
    assert status.shards == {"collected": 1, "finalizing": 1}
    assert status.spent > 0
    assert "2 of 3 requests done, 2 success" in repr(job)
    assert "round 2 of 3" in status.words
    assert "<b>" not in job._repr_html_()


def test_waiting_shows_a_line_for_each_change_and_ends_in_time(fake_groq, tmp_path, capsys):
    fake_groq.plans = [BatchPlan(end=None)]
    clock = FakeClock(fake_groq)
    job = begin(fake_groq, tmp_path, clock=clock)
    start = clock.time()

    job.wait(timeout=3_600, progress=True)
    lines = capsys.readouterr().out.splitlines()
    seen = []
    job.wait(timeout=10, progress=seen.append)

    assert clock.time() - start == pytest.approx(3_610, abs=1)
    assert 1 <= len(lines) <= 4
    assert all(line.startswith(f"{job.name}: running: 0 of 3 requests done") for line in lines)
    assert seen[0].state == "running"


def test_it_asks_ever_more_slowly(fake_groq, tmp_path):
    fake_groq.plans = [BatchPlan(end=None)]
    clock = FakeClock(fake_groq)

    begin(fake_groq, tmp_path, clock=clock).wait(timeout=4_000)

    assert 12 < clock.slept[0] < 18
    assert all(wait <= 300 * 1.15 for wait in clock.slept)
    assert clock.slept[7] > 250
    assert clock.slept[1] / clock.slept[0] != clock.slept[2] / clock.slept[1]
