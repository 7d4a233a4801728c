"""The fake's HTTP: a thread with a loop of its own on a port of loopback, its routes, and the faults on them."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

from evalkit.llm.providers import PROVIDERS, Provider
from evalkit.llm.requests import canonical
from fakes import batches
from fakes.answers import ApiError, complete, default_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_MOST_IDS = 200
_FOR_BATCH = ("/files", "/batches")


@dataclass
class Fault:
    """What goes wrong on a route.

    Attributes
    ----------
    route
        As in `POST /batches` or `GET /batches/{id}`; `*` is every route.
    status, headers, body
        Answered in place of what would have been; status None: nothing of it is changed.
    times, skip
        How many requests it hits, after how many it lets through.
    after
        The request has its effect first: a create is accepted, and its answer lost.
    drop
        The connection is closed without an answer.
    truncate
        Only so many bytes of the answer are sent, and the connection is closed.
    delay
        Seconds before anything is read: a slow upload, a slow answer.
    """

    route: str
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    times: int = 1
    skip: int = 0
    after: bool = False
    drop: bool = False
    truncate: int | None = None
    delay: float = 0.0


class FakeServer:
    """See the docstring of the package."""

    def __init__(self, profile: Literal["groq", "openai"] = "groq") -> None:
        self.groq = profile == "groq"
        self.root = "/openai/v1" if self.groq else "/v1"
        self.models = (
            ["openai/gpt-oss-120b", "openai/gpt-oss-20b", "qwen/qwen3.8-27b"]
            if self.groq
            else ["gpt-6.1-terra", "gpt-5-mini", "gpt-4.1"]
        )
        self.answer: Callable[[dict[str, Any]], Any] = default_answer
        self.faults: list[Fault] = []
        self.plans: list[batches.BatchPlan] = []
        self.keys: set[str] | None = None
        self.plan: Literal["developer", "free"] = "developer"
        self.latency = 0.0
        self.shift = 0.0
        self.page_size = 20
        self.most_lines = 50_000
        self.most_bytes = 200_000_000
        self.retention = 30 * 86_400.0
        self.window_runs_out = True
        self.knows_ranges = True
        self.ranges: list[dict[str, str]] = []
        self.files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self.batches: dict[str, tuple[dict[str, Any], batches.BatchPlan, list[str]]] = {}
        self.runs: Counter[str] = Counter()
        self.bodies: Counter[bytes] = Counter()
        self.log: list[tuple[str, str, dict[str, Any], int]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.port = 0

    def now(self) -> float:
        """Return the time on the server's clock."""
        return time.time() + self.shift

    @property
    def base_url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}{self.root}"

    def provider(self, **changes: Any) -> Provider:
        """Return the provider it plays, at its address, without a key; `changes` are fields of `Provider`."""
        known = PROVIDERS["groq" if self.groq else "openai"]
        return replace(known, base_url=self.base_url, key_variable=None, **changes)

    def settle(self) -> Counter[str]:
        """Let every batch that can end do so; return how often each custom_id was run in a batch."""
        for key, (facts, plan, steps) in self.batches.items():
            for _ in range(len(steps) + 2):
                if facts["status"] not in batches.TERMINAL and plan.end:
                    batches.step(self, key)
        return self.runs

    def count(self, route: str) -> int:
        """Return how many requests a route had, however they were answered."""
        method, path = route.split(" ")
        return sum(1 for m, p, _, _ in self.log if m == method and _pattern(p) == path)

    # --- the thread

    def __enter__(self) -> FakeServer:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        if not self._ready.wait(20):
            raise RuntimeError("The fake server did not start.")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    # --- one request

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(self.root)
        fault = self._fault(request.method, path)
        query: dict[str, Any] = {name: request.query.getall(name) for name in request.query}
        entry = len(self.log)
        self.log.append((request.method, path, query, 0))
        if fault and fault.delay:
            await asyncio.sleep(fault.delay)
        response: web.Response | None = None
        if fault is None or fault.after or (fault.status is None and not fault.drop):
            response = await self._respond(request, path)
        if fault and fault.status is not None:
            body = fault.body if fault.body is not None else {"error": {"message": f"fault {fault.status}"}}
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            response = _json(fault.status, content, fault.headers)
        self.log[entry] = (
            request.method,
            path,
            query,
            response.status if response and not (fault and fault.drop) else 0,
        )
        if fault and (fault.drop or fault.truncate is not None):
            return await _cut(request, response, None if fault.drop else fault.truncate)
        assert response is not None
        return response

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.route in ("*", f"{method} {path}", f"{method} {_pattern(path)}") and fault.times > 0:
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    async def _respond(self, request: web.Request, path: str) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self._let_in(request, path)
            route = self._routes().get(f"{request.method} {_pattern(path)}")
            if route is None or not request.path.startswith(self.root + "/"):
                raise ApiError(
                    404, f"Unknown request URL: {request.method} {request.path}.", code="unknown_url"
                )
            return await route(request)
        except ApiError as error:
            return _json(error.status, json.dumps(error.body).encode())
        finally:
            self.at_once -= 1

    def _let_in(self, request: web.Request, path: str) -> None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.keys is not None and key not in self.keys:
            raise ApiError(401, "Invalid API Key", code="invalid_api_key")
        if self.plan == "free" and path.startswith(_FOR_BATCH):
            raise ApiError(403, "Batch is not available for your plan.", code="not_available_for_plan")

    def _routes(self) -> dict[str, Callable[[web.Request], Awaitable[web.Response]]]:
        return {
            "GET /models": self._models,
            "POST /chat/completions": self._chat,
            "POST /files": self._upload,
            "GET /files": self._files,
            "GET /files/{id}": self._file,
            "DELETE /files/{id}": self._delete,
            "GET /files/{id}/content": self._content,
            "POST /batches": self._create,
            "GET /batches": self._list,
            "GET /batches/{id}": self._batch,
            "POST /batches/{id}/cancel": self._cancel,
        }

    async def _models(self, _: web.Request) -> web.Response:
        rows = [{"id": name, "object": "model", "owned_by": "fake", "active": True} for name in self.models]
        return _ok({"object": "list", "data": rows})

    async def _chat(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except ValueError:
            raise ApiError(400, "The body is no JSON.") from None
        if self.latency:
            await asyncio.sleep(self.latency)
        self.bodies[canonical(body)] += 1
        headers = {
            "x-ratelimit-limit-requests": "500000",
            "x-ratelimit-remaining-requests": "499999",
            "x-ratelimit-reset-requests": "172.8ms",
            "x-ratelimit-limit-tokens": "250000000",
            "x-ratelimit-remaining-tokens": "249999000",
            "x-ratelimit-reset-tokens": "0.24s",
        }
        made = complete(self, body)
        return _json(200, json.dumps(made, ensure_ascii=False).encode(), headers)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form.get("file")
        if not isinstance(file, web.FileField):
            raise ApiError(400, "file is required")
        return _ok(batches.add_file(self, file.filename, str(form.get("purpose")), file.file.read()))

    async def _files(self, _: web.Request) -> web.Response:
        return _ok({"object": "list", "data": [facts for facts, _ in self.files.values()]})

    async def _file(self, request: web.Request) -> web.Response:
        return _ok(batches.find_file(self, _id(request))[0])

    async def _content(self, request: web.Request) -> web.Response:
        content = batches.find_file(self, _id(request))[1]
        self.ranges.append({name: value for name, value in request.headers.items() if name == "Range"})
        start = request.http_range.start
        if self.knows_ranges and start:  # [?] of both: a server may send the whole instead
            if start >= len(content):
                return web.Response(status=416)
            headers = {"content-range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            return web.Response(status=206, body=content[start:], headers=headers)
        return web.Response(body=content, content_type="application/octet-stream")

    async def _delete(self, request: web.Request) -> web.Response:
        batches.find_file(self, _id(request))
        del self.files[_id(request)]
        return _ok({"id": _id(request), "object": "file", "deleted": True})

    async def _create(self, request: web.Request) -> web.Response:
        return _ok(batches.create(self, await request.json()))

    async def _batch(self, request: web.Request) -> web.Response:
        return _ok(batches.find(self, _id(request)))

    async def _cancel(self, request: web.Request) -> web.Response:
        return _ok(batches.cancel(self, _id(request)))

    async def _list(self, request: web.Request) -> web.Response:
        """Newest first; Groq: `?cursor=` and `?id=` (again and again), OpenAI: `?after=` and `has_more`."""
        rows = [facts for facts, _, _ in reversed(self.batches.values())]
        size = min(int(request.query.get("limit", self.page_size)), self.page_size)
        if not self.groq:
            ids = [facts["id"] for facts in rows]
            after = request.query.get("after")
            start = ids.index(after) + 1 if after in ids else 0
            page = rows[start : start + size]
            return _ok(
                {
                    "object": "list",
                    "data": page,
                    "first_id": page[0]["id"] if page else None,
                    "last_id": page[-1]["id"] if page else None,
                    "has_more": start + size < len(rows),
                }
            )
        wanted = request.query.getall("id", [])
        if len(wanted) > _MOST_IDS:
            raise ApiError(400, f"at most {_MOST_IDS} ids are allowed")
        if wanted:
            for key in wanted:
                if key in self.batches:
                    batches.step(self, key)
            return _ok({"object": "list", "data": [facts for facts in rows if facts["id"] in wanted]})
        cursor = request.query.get("cursor")
        start = int(base64.b64decode(cursor)) if cursor else 0
        # Counted from the oldest, so that a batch which is created between two pages shifts none.
        oldest_first = len(rows) - start if cursor else 0
        page = rows[oldest_first : oldest_first + size]
        left = len(rows) - oldest_first - len(page)
        paging = {"next_cursor": base64.b64encode(str(left).encode()).decode()} if left else {}
        return _ok({"object": "list", "data": page, "paging": paging})


def _pattern(path: str) -> str:
    """Return the route of a path: what follows /files or /batches is an id."""
    parts = path.split("/")
    if len(parts) > 2 and parts[1] in ("files", "batches"):
        parts[2] = "{id}"
    return "/".join(parts)


def _id(request: web.Request) -> str:
    parts = request.path.split("/")
    return next(parts[at + 1] for at, part in enumerate(parts) if part in ("files", "batches"))


def _ok(value: Any) -> web.Response:
    return _json(200, json.dumps(value, ensure_ascii=False).encode())


def _json(status: int, content: bytes, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=content, content_type="application/json", headers=headers)


async def _cut(request: web.Request, response: web.Response | None, most: int | None) -> web.StreamResponse:
    """Send the beginning of an answer, and close."""
    cut = web.StreamResponse(status=response.status if response is not None else 200)
    if response is not None and most is not None:
        if "content-range" in response.headers:
            cut.headers["content-range"] = response.headers["content-range"]
        content = bytes(response.body)  # type: ignore[arg-type]
        cut.content_length = len(content)
        cut.content_type = response.content_type
        await cut.prepare(request)
        await cut.write(content[:most])
    if request.transport is not None:
        request.transport.close()
    return cut
