"""`evalkit batch`: what each command prints, and how it ends."""

from __future__ import annotations

import json

import pytest

import evalkit as ek
from evalkit.data import folder as native
from evalkit.llm.batch.submit import jobs
from fakes import Answer, BatchPlan, FakeClock
from fakes.jobs import ask, begin, outcomes
from fakes.jobs import run as finish
from fakes.judges import judged


@pytest.fixture
def quick(fake_groq, monkeypatch, tmp_path):
    """The clock that the commands use does not wait, and their cache is the test's own."""
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "caches"))
    for module in ("job", "submit"):
        monkeypatch.setattr(f"evalkit.llm.batch.{module}.Clock", lambda: FakeClock(fake_groq))


def test_a_folder_without_jobs(run, tmp_path):
    assert run("batch", "list", tmp_path) == (0, f"No batch jobs in '{tmp_path}'.\n", "")
    code, out, err = run("batch", "status", tmp_path)
    assert (code, out) == (2, "")
    assert err == f"evalkit: There are no batch jobs in '{tmp_path}'.\n"


def test_a_folder_that_is_not_there(run, tmp_path):
    code, _, err = run("batch", "list", tmp_path / "gone")

    assert code == 2
    assert err.startswith("evalkit: No file or folder")


def test_the_list_has_a_line_for_each_job_and_asks_nobody(run, fake_groq, tmp_path):
    finish(fake_groq, tmp_path, ask(3), note="first\x1b[2J")
    begin(fake_groq, tmp_path, ask(2, start=10))
    asked = len(fake_groq.log)

    code, out, _ = run("batch", "list", tmp_path)
    _, text, _ = run("batch", "list", tmp_path, "--format", "json")

    assert code == 0
    assert len(out.splitlines()) == 4
    assert "done" in out
    assert "running" in out
    assert "\x1b" not in out + text
    rows = json.loads(text)
    assert sorted(row["requests"] for row in rows) == [2, 3]
    assert len(fake_groq.log) == asked


def test_the_status_says_what_became_of_the_requests(run, fake_groq, tmp_path):
    fake_groq.plans = [BatchPlan(end="expired", run=2)]
    job = finish(fake_groq, tmp_path, note="the nine cases", max_rounds=1)

    code, out, _ = run("batch", "status", tmp_path, job.name[:12])
    _, text, _ = run("batch", "status", tmp_path, job.name, "--format", "json")

    assert code == 0
    assert out.startswith(
        f"{job.name}, groq, the nine cases\ndone: 3 of 3 requests done, 1 not run, 2 success."
    )
    assert json.loads(text)["outcomes"] == {"not_run": 1, "success": 2}


def test_a_job_that_is_not_there_and_one_of_several(run, fake_groq, tmp_path):
    begin(fake_groq, tmp_path, ask(1))
    begin(fake_groq, tmp_path, ask(2))

    _, _, unknown = run("batch", "status", tmp_path, "nope")
    code, _, several = run("batch", "status", tmp_path)

    assert "Unknown job 'nope'." in unknown
    assert code == 2
    assert "2 jobs match" in several


@pytest.mark.usefixtures("quick")
def test_resume_goes_on_with_a_job_and_waits_if_it_is_told(run, fake_groq, tmp_path):
    job = begin(fake_groq, tmp_path)

    code, out, _ = run("batch", "resume", tmp_path)
    waited, last, _ = run("batch", "resume", tmp_path, "--wait")

    assert code == waited == 0
    assert f"Next: evalkit batch resume {tmp_path} {job.name} --wait" in out
    assert "done: 3 of 3 requests done, 3 success" in last
    assert "Next:" not in last
    assert set(outcomes(job).values()) == {"success"}


@pytest.mark.usefixtures("quick")
def test_resume_writes_the_scores_of_a_judge_and_asks_once_more_what_cannot_be_read(
    run, fake_groq, tmp_path, data
):
    spoiled = set()

    def answer(body):
        question = json.dumps(body["messages"][-1])
        if len(spoiled) < 2 and question not in spoiled:
            spoiled.add(question)
            return Answer("", finish_reason="length")
        return judged(body)

    fake_groq.answer = answer
    evals = ek.load(data).filter(agent_version="v1", case=["01", "02"])
    judge = ek.Judge(model="openai/gpt-oss-20b", provider=fake_groq.provider(), samples=1)
    folder = tmp_path / "judged"
    judge.submit(evals, folder=folder, cache=tmp_path / "answers.sqlite", clock=FakeClock(fake_groq))

    code, out, _ = run("batch", "resume", folder, "--wait")

    found = native.read_scores(folder / "scores.jsonl").scores
    assert code == 0
    assert f"The scores are in {folder / 'scores.jsonl'}." in out
    assert "requested once more: " in out
    assert found.height == 3 * evals.trials.height
    assert found["score"].null_count() == 0
    assert len(spoiled) == 2


@pytest.mark.usefixtures("quick")
def test_resume_with_new_limits(run, fake_groq, tmp_path):
    fake_groq.plans = [BatchPlan(end="expired", run=2)]
    job = finish(fake_groq, tmp_path, max_rounds=1)

    code, _, _ = run("batch", "resume", tmp_path, "--wait", "--max-rounds", "2", "--max-cost", "1")

    assert code == 0
    assert set(outcomes(job).values()) == {"success"}


@pytest.mark.usefixtures("quick")
def test_a_plan_without_batches_is_one_line_and_the_exit_code_2(run, fake_groq, tmp_path):
    begin(fake_groq, tmp_path)
    fake_groq.plan = "free"

    code, out, err = run("batch", "resume", tmp_path)

    assert (code, out) == (2, "")
    assert "has no Batch API (403 not_available_for_plan)" in err
    assert len(err.splitlines()) == 1


@pytest.mark.usefixtures("quick")
def test_cancel_says_how_what_there_is_can_be_fetched(run, fake_groq, tmp_path):
    fake_groq.plans = [BatchPlan(run=1)]
    job = begin(fake_groq, tmp_path)
    fake_groq.batches[next(iter(fake_groq.batches))][0]["status"] = "in_progress"

    code, out, _ = run("batch", "cancel", tmp_path, job.name)
    run("batch", "resume", tmp_path, job.name, "--wait")
    (found,) = jobs(tmp_path)

    assert code == 0
    assert "cancel" in out
    assert found.state == "cancelled"
    assert outcomes(found) == {"r0": "success", "r1": "not_run", "r2": "not_run"}


def test_batch_alone_shows_its_commands(run):
    _, out, _ = run("batch", "--help")

    for name in ("list", "status", "resume", "cancel"):
        assert name in out
