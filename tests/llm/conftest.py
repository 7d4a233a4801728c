"""A server on loopback that says what a test tells it to, and counts what it was asked."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import Counter

import pytest

from evalkit.llm.providers import provider
from evalkit.llm.requests import Request, custom_id
from fakes import FakeClock, FakeServer


def completion(text="4", **more):
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        **more,
    }


class Server:
    """Answers every request with a completion, unless `script` says something else.

    `script(body, times)` is given what was sent and how often the same was sent before; it returns None for a
    completion, a dict for a body with status 200, `(status, body)`, `(status, body, headers)`, or one of
    "drop", "truncate" and "silent".
    """

    completion = staticmethod(completion)

    def __init__(self):
        self.script = lambda body, times: None
        self.asked = []
        self.headers = []
        self.paths = []
        self.at_once = self.most_at_once = 0
        self.latency = 0.0
        self.models = ["m", "openai/gpt-oss-20b", "openai/gpt-oss-120b"]
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self.serve, "127.0.0.1", 0), self.loop
        ).result()
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"

    def times(self):
        """Return how often each body was asked, by its seed."""
        return Counter(body.get("seed") for body in self.asked)

    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        self.paths.append(f"{method} {path}")
        self.headers.append(headers)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            said = self.said(method, content)
            await asyncio.sleep(self.latency)
            return await self.say(writer, said)
        finally:
            self.at_once -= 1

    def said(self, method, content):
        if method == "GET":
            if callable(self.models):
                return self.models()
            return {"object": "list", "data": [{"id": name} for name in self.models]}
        body = json.loads(content)
        times = self.asked.count(body)
        self.asked.append(body)
        said = self.script(body, times)
        return completion() if said is None else said

    async def say(self, writer, said):
        if said == "drop":
            return False
        if said == "silent":
            await asyncio.sleep(3600)
        cut = said == "truncate"
        if cut or isinstance(said, dict):
            said = (200, completion() if cut else said)
        status, body, *more = said
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {
            "Content-Type": "application/json",
            "Content-Length": len(content),
            **(more[0] if more else {}),
        }
        head = f"HTTP/1.1 {status} Said\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        writer.write(head.encode() + (content[:-20] if cut else content))
        await writer.drain()
        return not cut

    def close(self):
        async def end():
            self.server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def groq(server):
    return provider("groq", base_url=server.url)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def questions():
    """Make so many requests, each with a seed of its own."""

    def make(n, *, model="m", **more):
        return [
            Request(
                custom_id("q", model, seed),
                {"model": model, "seed": seed, "messages": [{"role": "user", "content": f"{seed}?"}], **more},
            )
            for seed in range(n)
        ]

    return make


@pytest.fixture
def unused_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def fake_groq():
    with FakeServer("groq") as fake:
        yield fake


@pytest.fixture
def fake_openai():
    with FakeServer("openai") as fake:
        yield fake
