"""The whole suite on llmock, a stand-in that others wrote and that judges how a client behaves."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from evalkit.agents import Agent, run_suite
from evalkit.llm.providers import provider

pytestmark = pytest.mark.skipif(find_spec("llmock") is None, reason="llmock is not installed")

SUITE = Path(__file__).parents[2] / "data/suites/groq-batch-api.yaml"
# On the answers alone: the list of models is asked for once, and a run goes on without it.
_CHAT = {"match": {"path": "*chat*"}}
FAULTS = {
    "nothing": [],
    "429 with Retry-After": [{"type": "fail", "status": 429, "retry_after": 0.3, "times": 4, **_CHAT}],
    "500": [{"type": "fail", "status": 500, "times": 4, **_CHAT}],
    "503": [{"type": "fail", "status": 503, "times": 4, **_CHAT}],
    "slow": [{"type": "delay", "seconds": 0.5, "times": 5, **_CHAT}],
}


def _call(url, path, content=None):
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(f"{url}/_llmock/{path}", data=data, method="POST" if data else "GET")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def url():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--log-level", "critical"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            assert process.poll() is None, "llmock ended before it listened"
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_nine_cases_run_whatever_passes_and_its_verdict_finds_nothing(url, tmp_path, monkeypatch, fault):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
    _call(url, "reset", {})
    if FAULTS[fault]:
        _call(url, "scenario", {"behaviors": FAULTS[fault]})
    groq = provider("groq", base_url=f"{url}/groq/openai/v1")
    agent = Agent(model="openai/gpt-oss-20b", prompt="You run batch jobs.", provider=groq)

    evals = run_suite(SUITE, agent, tmp_path / "runs", epochs=2)

    assert evals.trials.height == 18
    assert evals.trials["error"].null_count() == 18
    assert evals.trials["output"].null_count() == 0
    posted = [one for one in _call(url, "requests")["requests"] if one["method"] == "POST"]
    answered = [
        json.dumps(one["body"], sort_keys=True) for one in posted if one["status"] == 200 and one["completed"]
    ]
    assert len(answered) == len(set(answered)) == 18
    assert _call(url, "verdict")["findings"] == []
