"""A batch through llmock, a server that others wrote: its happy path, and faults on every route of it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec

import pytest

from evalkit.llm.batch.submit import submit
from evalkit.llm.providers import provider
from fakes import FakeClock
from fakes.jobs import ask, outcomes

pytestmark = pytest.mark.skipif(find_spec("llmock") is None, reason="llmock is not installed")


class Patience(FakeClock):
    """Waits a little in truth: llmock's batches take three seconds."""

    def sleep(self, seconds):
        time.sleep(min(seconds, 2.0))
        super().sleep(seconds)


@pytest.fixture(scope="module")
def mock():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--log-level", "critical"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                call(url, "GET", "verdict")
                break
            except OSError:
                assert time.monotonic() < until, "llmock did not start"
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def call(url, method, path, content=None):
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(f"{url}/_llmock/{path}", data=data, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("faults", [0, 2], ids=["all well", "each route fails first"])
def test_a_batch_goes_through_and_each_request_has_its_answer(mock, tmp_path, faults):
    call(mock, "POST", "reset")
    behaviors = [
        {"match": {"path": f"*{path}*"}, "type": "fail", "status": status, "times": faults}
        for path in ("files", "batches")
        for status in (503, 429)
        if faults
    ]
    if behaviors:
        call(mock, "POST", "scenario", {"behaviors": behaviors})
    groq = provider("groq", base_url=f"{mock}/groq/openai/v1")

    job = submit(ask(7), provider=groq, folder=tmp_path, shard_lines=3, clock=Patience()).wait(timeout=20_000)

    assert job.state == "done"
    assert outcomes(job) == {f"r{number}": "success" for number in range(7)}
    verdict = call(mock, "GET", "verdict")
    # Each upload has a boundary of its own, by which llmock takes a second try for another call.
    uploads = {("gave_up", "POST /groq/openai/v1/files")}
    assert {(one["code"], one["path"]) for one in verdict["findings"]} == (uploads if faults else set())
    assert verdict["faults_injected"] == 4 * faults
