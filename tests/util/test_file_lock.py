"""Two at once: the second is told who is at work, a killed one leaves nothing behind, and nothing is paid twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import polars as pl
import pytest

from evalkit.data import folder as native
from evalkit.data.evals import Evals
from evalkit.data.suite import Case, Criterion, Expected, Suite
from evalkit.util.errors import BusyError, FormatError
from evalkit.util.file_lock import holding, locked
from fakes import BatchPlan, FakeServer
from fakes.holders import held_elsewhere
from fakes.judges import judged


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two trials to judge."""
    expected = Expected(ideal_behavior="Joins by custom_id.")
    cases = [Case(id=n, prompt=f"Do task {n}.", expected=expected) for n in ("01", "02")]
    criteria = [Criterion(name="Groq", anchors={1: "Wrong.", 5: "Right."})]
    suite = Suite(suite="small", criteria=criteria, cases=cases)
    tables = suite.tables()
    trials = pl.DataFrame(
        {"run": "v1", "case": ["01", "02"], "output": ["I joined them all.", "I zipped them."]}
    )
    runs = pl.DataFrame({"run": ["v1"], "suite": ["small"]})
    native.write(
        Evals.from_tables(cases=tables[0], criteria=tables[1], runs=runs, trials=trials), tmp_path / "runs"
    )
    return tmp_path / "runs"


class Slow:
    """An answer of the fake that begins, and goes on when it is told to."""

    def __init__(self, *, after=0):
        self.begun, self.go = threading.Event(), threading.Event()
        self.left = after

    def wait_for(self, process):
        """Wait until it has begun for a process, or that has ended."""
        while not self.begun.wait(0.1):
            assert process.poll() is None, process.communicate()

    def __call__(self, body):
        if self.left:
            self.left -= 1
            return judged(body)
        self.begun.set()
        self.go.wait()
        return judged(body)


@pytest.fixture
def slow():
    with FakeServer("groq") as fake:
        fake.answer = Slow()
        yield fake
        fake.answer.go.set()


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return what begins the command in a process of its own."""
    environment = {**os.environ, "EVALKIT_CACHE_DIR": str(tmp_path / "cache"), "GROQ_API_KEY": "gsk_test"}
    begun = []

    def start(*arguments):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from evalkit.cli import main; sys.exit(main())",
                *map(str, arguments),
            ],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def judge(fake, folder):
    told = ("--base-url", fake.base_url, "--model", "openai/gpt-oss-20b", "--samples", 1)
    return ("judge", folder, *told, "--concurrency", 1)


def scored(folder):
    lines = (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    return sorted(json.loads(line)["case"] for line in lines)


# --- the lock


def test_another_process_is_told_who_is_at_work(tmp_path):
    path = tmp_path / ".evalkit" / "scores.jsonl.lock"
    with held_elsewhere(path) as other, pytest.raises(BusyError) as told, holding(tmp_path, "scores.jsonl"):
        pass

    name = str(tmp_path / "scores.jsonl")
    assert str(told.value).startswith(f"Another process holds {name!r} (process {other.pid} on ")
    assert str(told.value).endswith("Nothing was done. Wait for it or stop it.")


def test_a_killed_process_leaves_no_lock(tmp_path):
    path = tmp_path / ".evalkit" / "scores.jsonl.lock"
    with held_elsewhere(path) as other:
        other.kill()
        other.wait()

        with holding(tmp_path, "scores.jsonl"):
            assert path.read_text().startswith(f"process {os.getpid()} on ")


def test_a_thread_may_take_its_lock_again_and_no_other_thread_may(tmp_path):
    told = []

    def other():
        try:
            with locked(tmp_path / "lock", "it"):
                told.append("mine")
        except BusyError as error:
            told.append(str(error))

    with locked(tmp_path / "lock", "it"):
        with locked(tmp_path / "lock", "it"):
            pass
        one = threading.Thread(target=other)
        one.start()
        one.join()
    other()

    assert told[0].startswith("Another process holds it")
    assert told[1] == "mine"


@pytest.mark.skipif(os.name == "nt", reason="fcntl is not on Windows")
def test_a_disk_that_knows_no_locks_is_named(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)

    words = r"Cannot lock .* \(No locks available\)"
    with pytest.raises(FormatError, match=words), holding(tmp_path, "scores.jsonl"):
        pass


def test_where_nothing_came_of_it_nothing_is_left(tmp_path):
    with holding(tmp_path / "runs", "scores.jsonl"):
        pass

    assert list(tmp_path.iterdir()) == []


# --- the commands


def test_two_runs_into_one_folder_attempt_each_case_once(start, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import sys\n"
        "def agent(case):\n"
        "    print(case.id, flush=True)\n"
        "    sys.stdin.readline()\n"
        "    return 'fine'\n"
    )
    suite = Suite(
        suite="small",
        criteria=[Criterion(name="Care")],
        cases=[Case(id=n, prompt="Do it.") for n in ("01", "02")],
    )
    suite.write(tmp_path / "s.yaml")
    command = ("run", "s.yaml", "--call", "mine:agent", "--concurrency", 1, "--run", "r")

    first = start(*command)
    assert first.stdout.readline() == "01\n"
    second = start(*command)
    out, said = second.communicate(timeout=300)
    rest, _ = first.communicate("go\ngo\n", timeout=300)

    assert (first.returncode, second.returncode) == (0, 2), said
    assert f"(process {first.pid} on " in said
    assert (rest.startswith("02\n"), out) == (True, "")


def test_two_that_judge_one_folder_ask_once(start, slow, folder):
    first = start(*judge(slow, folder))
    slow.answer.wait_for(first)
    second = start(*judge(slow, folder), "--controls")
    _, said = second.communicate(timeout=300)
    slow.answer.go.set()
    first.communicate(timeout=300)

    assert (first.returncode, second.returncode) == (0, 2)
    assert f"(process {first.pid} on " in said
    assert set(slow.bodies.values()) == {1}
    assert len(slow.bodies) == 2
    assert scored(folder) == ["01", "02"]


def test_what_a_killed_judge_was_answered_is_not_asked_again(start, slow, folder):
    slow.answer = Slow(after=1)
    first = start(*judge(slow, folder))
    slow.answer.wait_for(first)
    answered = next(iter(slow.bodies))
    first.kill()
    first.wait()
    slow.answer.go.set()

    second = start(*judge(slow, folder))
    _, said = second.communicate(timeout=300)

    assert second.returncode == 0, said
    assert slow.bodies[answered] == 1
    assert scored(folder) == ["01", "02"]


def test_two_that_resume_one_batch_fetch_and_score_it_once(start, slow, folder):
    slow.plans = [BatchPlan(steps=("validating",))]
    start(*judge(slow, folder), "--batch").communicate(timeout=300)

    first = start("batch", "resume", folder)
    slow.answer.wait_for(first)
    second = start("batch", "resume", folder)
    _, said = second.communicate(timeout=300)
    slow.answer.go.set()
    first.communicate(timeout=300)

    assert (first.returncode, second.returncode) == (0, 2)
    assert f"(process {first.pid} on " in said
    assert set(slow.settle().values()) == {1}
    assert scored(folder) == ["01", "02"]
