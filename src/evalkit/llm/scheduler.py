"""One run of live requests: what is sent, what is sent again, what is given up, and in which order it ends."""

from __future__ import annotations

import asyncio
import random
import warnings
from collections import deque
from collections.abc import Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypedDict

import msgspec

from evalkit.llm.budget import Spending
from evalkit.llm.progress import Progress
from evalkit.llm.providers import connect, find_key, hide_key, refusal, unreachable
from evalkit.llm.rate_limit import Pace, backoff, read_retry_after, read_wait, used_up
from evalkit.llm.requests import Reply, Request, request_key
from evalkit.llm.responses import decoded, passes, read_error
from evalkit.llm.send import Answer, send
from evalkit.util.errors import FormatError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from openai import AsyncOpenAI

    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.clock import Clock
    from evalkit.llm.providers import Provider

# However often an endpoint says "later", one request is not sent more often than this.
_MOST_TRIES: Final = 10
# So many requests in a row that got nothing after all their tries: the endpoint is down.
_DOWN_AFTER: Final = 5
_DEAD_KEY: Final = frozenset(
    {"blocked_api_access", "insufficient_quota", "billing_hard_limit_reached", "organization_restricted"}
)
# Groq answers 400 for a model that was shut down.
_DEAD_MODEL: Final = frozenset({"model_decommissioned", "model_not_found"})


class Settings(TypedDict, total=False):
    """What `ask` and `aask` take beside the requests and the provider."""

    cache: Cache | None
    concurrency: int
    max_cost: float | None
    timeout: float | None
    tries: int
    patience: float
    grace: float


class Asking:
    """A run of live requests, for `ask` and `aask`, which say what the settings mean."""

    def __init__(
        self,
        requests: Iterable[Request],
        *,
        provider: Provider,
        clock: Clock,
        cache: Cache | None = None,
        concurrency: int = 64,
        max_cost: float | None = None,
        timeout: float | None = None,
        tries: int = 8,
        patience: float = 900.0,
        grace: float = 5.0,
    ) -> None:
        self._total = len(requests) if isinstance(requests, Sized) else None
        self._requests = iter(requests)
        self._provider = provider
        self._clock = clock
        self._cache = cache
        self._concurrency = max(1, min(concurrency, provider.at_once or concurrency))
        self._timeout = timeout or provider.answer_s
        self._tries = min(tries, _MOST_TRIES)
        self._patience = patience
        self._grace = grace
        self._key = find_key(provider)
        self._chance = random.Random()  # noqa: S311  # waits are spread by chance, nothing is secret
        self._max_cost = max_cost
        # What is left alone from now on, and why: all models (None), or one.
        self._given_up: dict[str | None, str] = {}
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._sending: set[asyncio.Task[Any]] = set()
        self._lost = 0
        self._done = self._cached = self._failed = self._answered = 0
        self._average = 0.0
        self._seen: deque[tuple[float, int]] = deque(maxlen=50)
        self._closed = asyncio.Event()
        self._ended = False
        self._pace = Pace(self._concurrency, clock=clock)
        self._spending = Spending(provider, max_cost)

    async def run(self, put: Callable[[Reply], Awaitable[None]]) -> None:
        """Ask for everything; hand each reply to `put`, which may keep it waiting."""
        client = connect(self._provider, timeout=self._timeout)
        workers = [asyncio.create_task(self._work(client, put)) for _ in range(self._concurrency)]
        working: asyncio.Future[list[BaseException | None]] = asyncio.gather(*workers, return_exceptions=True)
        closing = asyncio.create_task(self._closed.wait())
        try:
            ends: set[asyncio.Future[Any]] = {working, closing}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._wind_up(workers)
            closing.cancel()
            results = await working
            await client.close()
            self._ended = True
        for result in results:
            if isinstance(result, Exception):
                raise result

    def close(self) -> None:
        """Send nothing more; what is under way may still land."""
        self._closed.set()

    def abort(self) -> None:
        """Do not wait for what is under way either."""
        for task in self._sending:
            task.cancel()

    def progress(self) -> Progress:
        """Return how far it is."""
        now = self._clock.monotonic()
        live = self._done - self._cached
        self._seen.append((now, live))
        began, before = self._seen[0]
        rate = (live - before) / (now - began) if now > began else 0.0
        left = (self._total - self._done) / rate if rate and self._total is not None else None
        spending = self._spending
        return Progress(
            done=self._done,
            total=self._total,
            rate=rate,
            cost=spending.spent if spending.priced else None,
            saved=spending.saved,
            left=left,
            in_flight=self._pace.in_flight,
            limit=int(self._pace.limit),
            cached=self._cached,
            failed=self._failed,
            waiting=self._pace.waiting,
            ended=self._ended,
        )

    async def _wind_up(self, workers: list[asyncio.Task[None]]) -> None:
        """End the workers: at once those that wait, in a moment those that are owed an answer."""
        for worker in workers:
            if worker not in self._sending:
                worker.cancel()
        if self._sending:
            await asyncio.wait(self._sending, timeout=self._grace)
        for worker in workers:
            worker.cancel()

    async def _work(self, client: AsyncOpenAI, put: Callable[[Reply], Awaitable[None]]) -> None:
        try:
            for request in self._requests:
                reply = await self._reply(client, request)
                self._count(reply)
                if self._closed.is_set():
                    return
                await put(reply)
        except BaseException:
            self.close()
            raise

    def _count(self, reply: Reply) -> None:
        self._done += 1
        self._cached += reply.cached
        self._failed += reply.outcome != "success"

    async def _reply(self, client: AsyncOpenAI, request: Request) -> Reply:
        """Answer from the cache, or ask; what is asked for twice at the same time is sent once."""
        try:
            content = msgspec.json.encode(request.body)
            key = request_key(self._provider.base_url, request.body)
        except (TypeError, ValueError, RecursionError) as error:
            return Reply(
                request.custom_id, "not_run", message=f"It cannot be sent as JSON: {error}.", tries=0
            )
        cache = self._cache
        if cache is None:
            return await self._ask(client, request, content)
        while True:
            body = cache.get(key)
            if body is not None:
                self._spending.save(body, str(request.body.get("model")))
                return Reply(request.custom_id, "success", body, 200, cached=True, tries=0)
            if key not in self._asked:
                break
            # Not awaited itself, or ending this one would end what the other is waiting for.
            await asyncio.wait({self._asked[key]})
        self._asked[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._ask(client, request, content)
            if reply.outcome == "success" and reply.body is not None:
                self._keep(key, reply.body, str(request.body.get("model")))
            return reply
        finally:
            self._asked.pop(key).set_result(None)

    def _keep(self, key: str, body: dict[str, Any], model: str) -> None:
        """Put an answer into the cache; a disk that is full costs the cache, not the answer."""
        if self._cache is None:
            return
        try:
            self._cache.put(key, body, model=model)
        except FormatError as error:
            self._cache = None
            warnings.warn(f"Answers are no longer kept. {error}", stacklevel=2)

    async def _ask(self, client: AsyncOpenAI, request: Request, content: bytes) -> Reply:
        """Send a request until there is an answer that stays."""
        model = str(request.body.get("model"))
        reply = Reply(request.custom_id, "not_run", tries=0)
        if self._stopped(model):
            return replace(reply, message=self._stopped(model))
        estimate = self._spending.estimate(request.body, len(content))
        failures, before = 0, self._answered
        while True:
            answer, begun = await self._send_in_turn(client, content, model, estimate, again=reply.tries > 0)
            if answer is None:
                return reply if reply.tries else replace(reply, message=self._stopped(model))
            reply = self._read(answer, reply, latency_s=self._clock.monotonic() - begun)
            if reply.outcome == "success":
                self._went_well(answer, reply)
                return reply
            wait = self._wait(answer, reply, model, sent_at=begun, failures=failures)
            # Being told to wait while others are answered is no failure of this request.
            failures += not (reply.status == 429 and self._answered > before)
            before = self._answered
            if wait is None:
                return replace(reply, message=self._stopped(model) or reply.message)
            if self._closed.is_set():
                return reply
            if failures >= self._tries or reply.tries >= _MOST_TRIES:
                self._lose(reply)
                return reply
            await self._clock.sleep_async(wait)

    async def _send_in_turn(
        self, client: AsyncOpenAI, content: bytes, model: str, estimate: float, *, again: bool
    ) -> tuple[Answer | None, float]:
        """Send it once there is money and room for it, and say when; None where it may not be sent any more."""
        poor = await self._spending.reserve(estimate)
        if poor:
            self._given_up[None] = poor
            return None, 0.0
        answer = None
        try:
            await self._pace.enter(again=again)
            try:
                begun = self._clock.monotonic()
                if not self._stopped(model):
                    task = asyncio.current_task()
                    assert task is not None  # noqa: S101
                    self._sending.add(task)
                    try:
                        answer = await send(client, content, timeout=self._timeout)
                    finally:
                        self._sending.discard(task)
            finally:
                self._pace.leave()
        finally:
            body = None if answer is None else answer.body
            doubtful = answer is not None and answer.doubtful
            self._spending.settle(estimate, body, model, doubtful=doubtful)
        return answer, begun

    def _read(self, answer: Answer, last: Reply, *, latency_s: float) -> Reply:
        """Return the reply that an answer is, should it be the last one."""
        reply = Reply(
            last.custom_id, "transport", status=answer.status, latency_s=latency_s, tries=last.tries + 1
        )
        if answer.status is None:
            return replace(reply, message=f"{answer.problem}; sent {reply.tries} times")
        if answer.body is not None:
            return replace(reply, outcome="success", body=answer.body)
        said = decoded(answer.content)
        code, message = read_error(said)
        message = hide_key(message, self._key) if message else None
        if answer.status < 400 and not (isinstance(said, dict) and said.get("error")):
            start = hide_key(answer.content[:200].decode("utf-8", "replace"), self._key)
            text = f"status {answer.status} with what is no chat completion: {start!r}"
            return replace(reply, outcome="malformed", message=text)
        return replace(reply, outcome="api_error", code=code, message=message)

    def _went_well(self, answer: Answer, reply: Reply) -> None:
        self._answered += 1
        self._lost = 0
        self._pace.went_well()
        usage = reply.body.get("usage") if reply.body else None
        tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
        if isinstance(tokens, int):
            self._average = self._average * 0.9 + tokens * 0.1 if self._average else float(tokens)
        wait = used_up(answer.headers, need=self._average)
        if wait is not None:
            self._hold(wait, "a limit is used up")

    def _wait(
        self, answer: Answer, reply: Reply, model: str, *, sent_at: float, failures: int
    ) -> float | None:
        """Return how long to wait before it is sent again; None: never."""
        status = answer.status
        if status is not None and self._is_final(answer, reply, model):
            return None
        if status is None or status in (429, 498, 503, 529):
            self._pace.slow_down(sent_at=sent_at)
        now = self._clock.time()
        asked = (
            read_wait(answer.headers, reply.message, now=now)
            if status == 429
            else read_retry_after(answer.headers, now=now)
        )
        if asked is None:
            return backoff(failures + 1, chance=self._chance)
        if not self._hold(asked, reply.message or f"status {status}"):
            return None
        return asked + self._chance.uniform(0.0, min(1.0, 0.1 * asked))

    def _is_final(self, answer: Answer, reply: Reply, model: str) -> bool:
        """Whether an answer with a status stays; note what it says of all other requests."""
        status = reply.status or 0
        if reply.outcome == "malformed":
            return status != 200
        if status in (401, 402) or reply.code in _DEAD_KEY:
            self._given_up[None] = refusal(self._provider, status, reply.message or "")
        elif status == 403 and "moderation" not in f"{reply.code} {reply.message}".lower():
            self._given_up[model] = refusal(self._provider, status, reply.message or "")
        elif status == 404 or reply.code in _DEAD_MODEL:
            self._given_up[model] = (
                f"{self._provider.name} has nothing at {self._provider.base_url} for the model {model} ({status}): "
                f"check its name and the address. It says: {reply.message}"
            )
        elif answer.headers.get("x-should-retry") == "false":
            return True
        else:
            return not passes(status)
        return True

    def _hold(self, seconds: float, why: str) -> bool:
        """Let nothing through for so long; where that is too long, give up, and return False."""
        if seconds <= self._patience:
            self._pace.hold(seconds)
            return True
        self._given_up[None] = (
            f"{self._provider.name} asks to wait {seconds / 3600:.1f} h, longer than patience={self._patience:g} s "
            f"({why}). Run it again then: what was answered is kept."
        )
        return False

    def _lose(self, reply: Reply) -> None:
        """Count a request that got nothing after all its tries; several in a row mean that nobody is there."""
        self._lost += 1
        if self._lost >= _DOWN_AFTER and None not in self._given_up:
            what = unreachable(self._provider) if reply.status is None else f"It says: {reply.message}"
            self._given_up[None] = (
                f"{self._provider.name} answered none of the last {plural(self._lost, 'request')}. {what}"
            )

    def _stopped(self, model: str) -> str | None:
        return self._given_up.get(None) or self._given_up.get(model)
