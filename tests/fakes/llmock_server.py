"""llmock, a stand-in for an endpoint that others wrote, in a process of its own; it also judges how a client behaves."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

from evalkit.llm.providers import provider

# llmock lets each batch take three seconds, whatever is in it.
_SERVE = """
import sys
from llmock.cli import app
from llmock.routers import batch
batch._BATCH_DELAY = 0.2
sys.exit(app(["serve", "--port", sys.argv[1], "--log-level", "critical"]))
"""


class LlmockServer:
    """A running llmock, spoken to over HTTP as any other program would."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.groq = provider("groq", base_url=f"{self.url}/groq/openai/v1")

    def call(self, method, path, content=None):
        """Send a request to its control interface; return the decoded answer."""
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self.url}/_llmock/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def reset(self):
        """Forget every request, fault and finding."""
        self.call("POST", "reset")

    def faults(self, *behaviors):
        """Let the next requests that match fail as told."""
        self.call("POST", "scenario", {"behaviors": list(behaviors)})

    def verdict(self):
        """Return what it found wrong with the client, and how much went wrong."""
        return self.call("GET", "verdict")

    def paid(self):
        """Return the bodies of the requests that were answered in full, in order."""
        return [
            request["body"]
            for request in self.call("GET", "requests")["requests"]
            if request["status"] == 200 and request["completed"] and request["method"] == "POST"
        ]


@contextmanager
def llmock_server():
    """Run an llmock until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _listens(port):
            assert process.poll() is None, "llmock ended before it listened"
            time.sleep(0.05)
        yield LlmockServer(port)
    finally:
        process.terminate()
        process.wait()


def _listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
