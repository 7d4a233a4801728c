"""Judging by batch: the rows that judging live gives, from the journal alone, whoever goes on with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import evalkit as ek
from evalkit.data import folder as native
from evalkit.judging import Judge, save_job_scores
from evalkit.judging.batch_judge import collect_scores
from evalkit.judging.request_details import RequestDetails
from evalkit.llm.batch import submit as batch
from evalkit.llm.requests import Request
from fakes import Answer, ApiError, BatchPlan, FakeServer
from fakes.clock import FakeClock
from fakes.judges import judged, metadata

DEMO = Path(__file__).parents[2] / "data" / "demo"
KEY = ["run", "case", "epoch", "criterion", "grader", "rubric_hash", "sample"]
SAME = [*KEY, "score", "label", "rationale", "evidence", "error", "judge_model", "prompt_hash", "seed"]


@pytest.fixture
def submit(fake, make_judge, make_evals, tmp_path):
    """Return what submits a small collection, with a clock that does not wait."""

    def submit(judge=None, evals=None, **settings):
        settings = {"folder": tmp_path / "data", "clock": FakeClock(fake), **settings}
        return (judge or make_judge()).submit(make_evals() if evals is None else evals, **settings)

    return submit


def varied(body):
    """Answer by what is asked, so that a mix-up shows; some of it cannot be read."""
    number = sum(json.dumps(body["messages"]).encode())
    if number % 29 == 0:
        return Answer("")
    number += body["seed"]
    if number % 17 == 0:
        return Answer("", finish_reason="length")
    if number % 19 == 0:
        return "I would say 4."
    if number % 23 == 0:
        return Answer(refusal="No.")
    return judged(body, number % 5 + 1, reasoning=f"because of {number}")


@pytest.mark.parametrize("profile", ["groq", "openai"])
def test_the_demo_judged_live_and_by_batch_has_equal_rows(profile, tmp_path):
    evals = ek.load(DEMO)
    evals = evals.filter(agent_version=["v1", "v3"])
    with FakeServer(profile) as fake:
        fake.answer = varied
        judge = Judge(model=fake.models[0], provider=fake.provider(), samples=2, seed=3)
        live = judge.run(evals, cache=tmp_path / "live.sqlite", progress=None)
        job = judge.submit(
            evals, folder=tmp_path / "data", cache=tmp_path / "batch.sqlite", clock=FakeClock(fake)
        )

        by_batch = job.wait().collect()
        jobs = batch.jobs(tmp_path / "data")

    mine = live.scores.filter(grader=judge.grader)
    theirs = by_batch.scores.filter(grader=judge.grader)
    assert mine.height == 2 * 3 * evals.trials.height
    assert mine["score"].null_count() > 0
    assert mine.select(SAME).equals(theirs.select(SAME))
    assert set(theirs["mode"]) == {"batch"}
    assert theirs["input_tokens"].sum() == mine["input_tokens"].sum()
    # Live, trials that are the same word for word share an answer that is paid once.
    both = mine.join(theirs, on=KEY, suffix="_batch").filter(pl.col("cost_usd") > 0)
    assert 0 < both.height <= mine.height
    assert both["cost_usd_batch"].to_list() == pytest.approx((both["cost_usd"] / 2).to_list())
    assert theirs["cost_usd"].sum() == pytest.approx(sum(one.status().spent for one in jobs))
    facts = metadata(theirs.row(0, named=True))
    assert facts["batch_id"].startswith("batch_")


def test_the_rows_are_in_the_folder_and_load(submit, tmp_path):
    out = submit().wait().collect()

    assert ek.load(tmp_path / "data").scores.select(SAME).sort(KEY).equals(out.scores.select(SAME).sort(KEY))


def test_the_fields_of_the_schema_keep_their_order_in_the_file(fake, submit):
    submit()

    uploaded = next(iter(fake.files.values()))[1].splitlines()
    schema = json.loads(uploaded[0])["body"]["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["evidence", "reasoning", "score", "flags"]


def test_another_process_writes_the_same_rows_from_the_journal_alone(fake, submit, tmp_path):
    fake.answer = varied
    submit()
    job = batch.open_job(tmp_path / "data", clock=FakeClock(fake))

    while job is not None:
        job.wait()
        job = save_job_scores(job, cache=tmp_path / "other.sqlite", clock=FakeClock(fake))

    written = native.read_scores(tmp_path / "data" / "scores.jsonl")
    assert written.problems.is_empty()
    assert written.scores.height == 4
    fresh = submit(folder=tmp_path / "fresh", cache=tmp_path / "third.sqlite").wait().collect()
    assert written.scores.select(SAME).sort(KEY).equals(fresh.scores.select(SAME).sort(KEY))


def test_what_cannot_be_read_is_asked_again_in_a_job_of_its_own_at_most_twice(fake, submit, tmp_path):
    fake.answer = lambda body: judged(body) if body["seed"] >= 20_000 else Answer("")

    out = submit().wait().collect()

    assert len(batch.jobs(tmp_path / "data")) == 3
    assert out.scores["score"].to_list() == [4.0] * 4
    assert {metadata(row)["tries"] for row in out.scores.iter_rows(named=True)} == {3}


def test_an_answer_that_stays_unreadable_is_a_null_with_its_reason(fake, submit, parts):
    fake.answer = lambda body: Answer("no")

    out = submit().wait().collect()

    assert out.scores["score"].null_count() == 4
    assert out.scores["error"].str.contains(r"^invalid_json: .*\(3 tries\)$").all()
    assert "scored" in parts(out)


def test_submitting_again_goes_on_with_the_job_that_is_there(fake, submit, make_judge, tmp_path):
    first = submit()

    second = submit()

    assert first.job.name == second.job.name
    assert fake.count("POST /batches") == 1
    assert second.wait().collect().scores["score"].to_list() == [4.0] * 4


def test_what_is_there_is_not_submitted(fake, submit, make_judge, make_evals, tmp_path):
    out = submit().wait().collect()

    again = submit(evals=out)
    fresh = submit()

    assert again.job is None
    assert again.wait().collect().scores.height == 4
    assert "no requests" in repr(again)
    assert again.status() is None
    assert fresh.job is None
    assert fake.count("POST /batches") == 1


def test_what_was_answered_live_is_not_sent(fake, submit, make_judge, make_evals):
    make_judge().run(make_evals())

    out = submit().wait().collect()

    assert out.scores["score"].to_list() == [4.0] * 4
    assert fake.count("POST /batches") == 0
    assert out.scores["cost_usd"].to_list() == [0.0] * 4
    assert {metadata(row)["cached"] for row in out.scores.iter_rows(named=True)} == {True}


def test_what_is_spent_on_a_model_that_answers_by_another_name_is_what_its_rows_cost(fake, submit, tmp_path):
    def answer(body):
        said = {"role": "assistant", "content": json.dumps(judged(body))}
        usage = {"prompt_tokens": 1_000, "completion_tokens": 100}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        return Answer(raw={"choices": [choice], "usage": usage, "model": "a-name-without-a-price"})

    fake.answer = answer
    out = submit().wait().collect()

    [job] = batch.jobs(tmp_path / "data")
    assert job.status().spent == pytest.approx(out.scores["cost_usd"].sum())
    assert job.status().spent > 0


def test_while_it_is_under_way_a_note_says_how_much(fake, submit, parts):
    fake.plans += [BatchPlan(steps=("validating", "in_progress"), end=None)]

    job = submit()
    out = job.collect()

    assert not job.ended
    assert out.scores.is_empty()
    assert parts(out)["pending"] == "4 judgements are"


def test_what_a_batch_did_not_run_is_no_score_and_is_asked_by_the_next_call(
    fake, submit, make_judge, tmp_path
):
    fake.plans += [BatchPlan(end="cancelled", run=1)]
    job = submit()
    job.cancel()

    out = job.wait().collect()
    rest = submit(evals=out).wait().collect()

    lost = out.scores.filter(pl.col("score").is_null())
    assert lost.height == 3
    assert lost["error"].str.contains("^(not_run|missing): ").all()
    assert rest.scores["score"].to_list() == [4.0] * 4
    assert ek.load(tmp_path / "data").scores["score"].null_count() == 0


def test_after_a_job_was_cancelled_nothing_is_asked_again_and_the_file_says_so(fake, submit, tmp_path):
    fake.answer = lambda body: Answer("no")
    job = submit()
    fake.settle()
    job.cancel()
    job.wait()

    assert len(batch.jobs(tmp_path / "data")) == 1
    errors = native.read_scores(tmp_path / "data" / "scores.jsonl").scores["error"]
    assert errors.len() == 4
    assert errors.str.starts_with("invalid_json: ").all()


def test_prechecks_need_no_batch(fake, submit, make_evals, tmp_path):
    job = submit(evals=make_evals([":", ""]))

    assert job.job is None
    assert fake.count("POST /files") == 0
    assert job.collect().scores["error"].str.starts_with("precheck: ").all()
    assert native.read_scores(tmp_path / "data" / "scores.jsonl").scores.height == 4


def test_a_plan_without_batch_is_told_in_a_sentence(fake, submit):
    fake.plan = "free"

    with pytest.raises(ek.EvalkitError, match="plan"):
        submit()


def test_an_error_line_is_no_score(fake, submit):
    def answer(body):
        raise ApiError(400, "context too long", code="context_length_exceeded")

    fake.answer = answer

    out = submit().wait().collect()

    assert out.scores["error"].str.contains("api_error: .*400 context_length_exceeded").all()


def test_all_at_once_by_batch(fake, submit, make_judge):
    out = submit(make_judge(mode="all", samples=2)).wait().collect()

    assert out.scores.height == 8
    assert out.scores["score"].null_count() == 0


def test_no_key_is_in_the_journal_or_the_scores(fake, make_judge, make_evals, tmp_path, monkeypatch):
    secret = "gsk_" + "k9" * 20
    monkeypatch.setenv("GROQ_API_KEY", secret)
    fake.keys = {secret}
    judge = make_judge(provider=replace(fake.provider(), key_variable="GROQ_API_KEY"))

    job = judge.submit(make_evals(), folder=tmp_path / "data", clock=FakeClock(fake))
    out = job.wait().collect()

    assert out.scores["score"].null_count() == 0
    assert secret not in repr((job, job.status(), out.notes))
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_jobs_that_ask_for_no_judgement_are_passed_over(fake, tmp_path):
    fake.answer = lambda body: "hello"
    body = {"model": "openai/gpt-oss-120b", "messages": [{"role": "user", "content": "hi"}]}
    job = batch.submit(
        [Request("a", body, {"what": "else"})],
        provider=fake.provider(),
        folder=tmp_path,
        clock=FakeClock(fake),
    )
    job.wait()

    assert save_job_scores(job, cache=tmp_path / "c.sqlite") is None
    assert collect_scores([job]).rows == []
    assert not (tmp_path / "scores.jsonl").exists()


def test_what_a_request_is_about_holds_nothing_of_the_transcript():
    assert not {"messages", "output", "content", "lines"} & set(RequestDetails.__struct_fields__)
