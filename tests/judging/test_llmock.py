"""Judging against llmock, which others wrote: it knows schemas and no code words, so all is null, and says why."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

import evalkit as ek
from evalkit.llm.providers import provider
from fakes.clock import FakeClock
from fakes.judges import metadata

pytestmark = pytest.mark.skipif(find_spec("llmock") is None, reason="llmock is not installed")

DEMO = Path(__file__).parents[2] / "data" / "demo"


@pytest.fixture(scope="module")
def mock():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--log-level", "critical"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_llmock/verdict", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def judge(mock, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "not-a-key")
    return ek.Judge(provider=provider("groq", base_url=f"{mock}/groq/openai/v1"), samples=1)


class Hasty(FakeClock):
    """Waits a moment where a minute is meant: llmock ends its batches by a clock of its own."""

    def sleep(self, seconds):
        super().sleep(seconds)
        time.sleep(0.05)


def one_run():
    return ek.load(DEMO).filter(run="v3-demo-large", epoch=1)


def test_the_whole_suite_is_judged_live_and_what_cannot_be_read_is_null_with_a_reason(mock, judge, tmp_path):
    out = judge.run(one_run(), cache=tmp_path / "a.sqlite", progress=None)

    mine = out.scores.filter(grader=judge.grader)
    assert mine.height == 27
    assert mine["score"].null_count() == 27
    assert {metadata(row)["failure"] for row in mine.iter_rows(named=True)} <= {
        "canary",
        "schema",
        "invalid_json",
    }
    assert mine["error"].str.contains(r"\(asked 3 times\)").all()
    with urllib.request.urlopen(f"{mock}/_llmock/verdict", timeout=20) as answer:
        assert not json.loads(answer.read()).get("findings")


def test_a_batch_goes_through_too(judge, tmp_path):
    job = judge.submit(one_run(), folder=tmp_path / "data", cache=tmp_path / "b.sqlite", clock=Hasty())

    out = job.wait().collect()

    mine = out.scores.filter(grader=judge.grader)
    assert mine.height == 27
    assert mine["error"].is_not_null().all()
