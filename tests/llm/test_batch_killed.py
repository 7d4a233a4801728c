"""A process that is killed at any point of a batch job: another goes on, and no request is paid for twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.llm.answer_cache import Cache
from evalkit.llm.batch.submit import jobs, submit
from fakes import BatchPlan, FakeClock
from fakes.jobs import ask, outcomes

ROOT = Path(__file__).parents[2]
# More writes than a job of two files and two rounds makes.
MOST = 60

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


@pytest.fixture
def die():
    """Return what runs a job in a process of its own, and says by which signal it died."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    with subprocess.Popen(
        [sys.executable, "-m", "fakes.dying"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:

        def die(**told):
            process.stdin.write(json.dumps(told) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield die
        process.stdin.close()


def states_seen(folder):
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]
    return {event["state"] for event in events if "state" in event}


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_fact_of_the_journal_a_job_is_gone_on_with(fake_groq, tmp_path, die, when):
    killed = 0
    seen = set()
    for at in range(1, MOST):
        start = at * 10
        # One file expires with one of its two requests run; the rest is asked again.
        fake_groq.plans = [BatchPlan(end="expired", run=1)]
        folder, cache = tmp_path / f"{at}", tmp_path / f"{at}.sqlite"
        told = {"url": fake_groq.base_url, "folder": str(folder), "cache": str(cache), "start": start}

        if die(**told, at=at, when=when) != signal.SIGKILL:
            break
        killed += 1
        found = jobs(folder, clock=FakeClock(fake_groq))
        if found:
            (job,) = found
            seen |= states_seen(job.folder)
        else:
            with Cache(cache) as kept:
                job = submit(
                    ask(3, start=start),
                    provider=fake_groq.provider(),
                    folder=folder,
                    clock=FakeClock(fake_groq),
                    cache=kept,
                    shard_lines=2,
                )
        job.wait()

        names = [f"r{number}" for number in range(start, start + 3)]
        assert outcomes(job) == dict.fromkeys(names, "success"), (at, when)
        runs = fake_groq.settle()
        assert {name: runs[name] for name in names} == dict.fromkeys(names, 1), (at, when)
        with Cache(cache) as kept:
            assert len(kept) == 3
    assert killed > 15
    if when == "after":
        assert seen == {"uploaded", "creating", "submitted", "terminal", "collected"}


def test_a_process_that_is_not_killed_ends_well(fake_groq, tmp_path, die):
    told = {
        "url": fake_groq.base_url,
        "folder": str(tmp_path / "a"),
        "cache": str(tmp_path / "c"),
        "start": 0,
    }

    assert die(**told, at=0, when="before") == 0
    (job,) = jobs(tmp_path / "a")
    assert job.state == "done"
