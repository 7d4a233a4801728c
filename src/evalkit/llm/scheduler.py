"""Schedule live requests: send, retry, give up."""

from __future__ import annotations

import asyncio
import random
import warnings
from collections import deque
from collections.abc import Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypedDict
from weakref import WeakValueDictionary

import msgspec

from evalkit.llm.budget import Budget
from evalkit.llm.progress import Progress
from evalkit.llm.providers import connect, find_key, refusal, unreachable
from evalkit.llm.rate_limit import ConcurrencyLimit, backoff, read_limit_reset, read_retry_after, read_wait
from evalkit.llm.requests import Reply, Request, request_key
from evalkit.llm.responses import is_retryable
from evalkit.llm.send import Response, read_response, send
from evalkit.util.errors import FormatError
from evalkit.util.format import duration
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Unpack

    from openai import AsyncOpenAI

    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.clock import Clock
    from evalkit.llm.providers import Provider

# Unread replies. With more, no new request is sent.
_MAX_UNREAD: Final = 256
_UNREAD_POLL_S: Final = 0.05
# One request is never sent more often, also if the endpoint answers 429 each time.
_MAX_TRIES: Final = 10
# The endpoint is down after this many requests in a row that failed all their tries.
_DOWN_AFTER: Final = 5
_UNUSABLE_KEY: Final = frozenset(
    {"blocked_api_access", "insufficient_quota", "billing_hard_limit_reached", "organization_restricted"}
)
# Groq answers 400 for a model that was shut down.
_UNKNOWN_MODEL: Final = frozenset({"model_decommissioned", "model_not_found"})


class Settings(TypedDict, total=False):
    """Arguments of `ask` and `aask` besides the requests, the provider and the display."""

    cache: Cache | None
    concurrency: int
    max_cost: float | None
    timeout: float | None
    tries: int
    patience: float
    grace: float


class LiveRun:
    """A run of live requests for `ask` and `aask`, which document the settings."""

    def __init__(
        self,
        requests: Iterable[Request],
        *,
        provider: Provider,
        clock: Clock,
        **settings: Unpack[Settings],
    ) -> None:
        concurrency = settings.get("concurrency", 64)
        self.replies: deque[Reply] = deque()
        self._total = len(requests) if isinstance(requests, Sized) else None
        self._requests = iter(requests)
        self._provider = provider
        self._clock = clock
        self._cache = settings.get("cache")
        self._concurrency = max(1, min(concurrency, provider.at_once or concurrency))
        self._timeout_s = settings.get("timeout") or provider.answer_s
        self._tries = min(settings.get("tries", 8), _MAX_TRIES)
        self._patience_s = settings.get("patience", 900.0)
        self._grace_s = settings.get("grace", 5.0)
        self._key = find_key(provider)
        self._random = random.Random()  # noqa: S311  (spreads waits, not security)
        # Why nothing more is sent: to any model (None), or to one.
        self._stop_messages: dict[str | None, str] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # of equal requests
        self._sending: set[asyncio.Task[Any]] = set()
        self._failed_in_a_row = 0
        self._done = self._cached = self._failed = self._answered = 0
        self._average_tokens = 0.0
        self._history: deque[tuple[float, int]] = deque(maxlen=50)
        self._closed = asyncio.Event()
        self._ended = False
        self._limit = ConcurrencyLimit(self._concurrency, clock=clock)
        self._budget = Budget(provider, settings.get("max_cost"))

    async def run(self, notify: Callable[[], object]) -> None:
        """Send all requests; append each reply to `replies` and call `notify`."""
        client = connect(self._provider, timeout=self._timeout_s)
        workers = [asyncio.create_task(self._work(client, notify)) for _ in range(self._concurrency)]
        working: asyncio.Future[list[BaseException | None]] = asyncio.gather(*workers, return_exceptions=True)
        closing = asyncio.create_task(self._closed.wait())
        try:
            ends: set[asyncio.Future[Any]] = {working, closing}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for worker in workers:
                if worker not in self._sending:
                    worker.cancel()
            if self._sending:
                await asyncio.wait(self._sending, timeout=self._grace_s)
            for worker in workers:
                worker.cancel()
            closing.cancel()
            results = await working
            await client.close()
            self._ended = True
        for result in results:
            if isinstance(result, Exception):
                raise result

    def close(self) -> None:
        """Send nothing more. Requests in flight may still complete."""
        self._closed.set()

    def abort(self) -> None:
        """Cancel the requests in flight."""
        for task in self._sending:
            task.cancel()

    def progress(self) -> Progress:
        """Return the progress of the run."""
        now = self._clock.monotonic()
        live = self._done - self._cached
        self._history.append((now, live))
        start, before = self._history[0]
        rate = (live - before) / (now - start) if now > start else 0.0
        return Progress(
            done=self._done,
            total=self._total,
            rate=rate,
            cost=self._budget.spent if self._budget.priced else None,
            saved=self._budget.saved,
            left=(self._total - self._done) / rate if rate and self._total is not None else None,
            in_flight=self._limit.in_flight,
            limit=int(self._limit.limit),
            cached=self._cached,
            failed=self._failed,
            waiting=self._limit.paused_s,
            ended=self._ended,
        )

    async def _work(self, client: AsyncOpenAI, notify: Callable[[], object]) -> None:
        try:
            for request in self._requests:
                reply = await self._reply(client, request)
                self._done += 1
                self._cached += reply.cached
                self._failed += reply.outcome != "success"
                if self._closed.is_set():
                    return
                self.replies.append(reply)
                notify()
                while len(self.replies) >= _MAX_UNREAD:
                    await asyncio.sleep(_UNREAD_POLL_S)
        except BaseException:
            self.close()
            raise

    async def _reply(self, client: AsyncOpenAI, request: Request) -> Reply:
        """Reply from the cache or the endpoint. Equal requests are sent once."""
        try:
            content = msgspec.json.encode(request.body)
            key = request_key(self._provider.base_url, request.body)
        except (TypeError, ValueError, RecursionError) as error:
            message = f"The request cannot be sent as JSON: {error}."
            return Reply(request.custom_id, "not_run", message=message, tries=0)
        cache, model = self._cache, str(request.body.get("model"))
        if cache is None:
            return await self._ask(client, request, content)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            body = cache.get(key)
            if body is not None:
                self._budget.save(body, model)
                return Reply(request.custom_id, "success", body, 200, cached=True, tries=0)
            reply = await self._ask(client, request, content)
            if reply.body is not None:
                self._keep(key, reply.body, model)
            return reply

    def _keep(self, key: str, body: dict[str, Any], model: str) -> None:
        """Cache an answer. A full disk costs the cache, not the answer."""
        if self._cache is None:
            return
        try:
            self._cache.put(key, body, model=model)
        except FormatError as error:
            self._cache = None
            warnings.warn(f"Answers are no longer cached. {error}", stacklevel=2)

    async def _ask(self, client: AsyncOpenAI, request: Request, content: bytes) -> Reply:
        model = str(request.body.get("model"))
        reply = Reply(request.custom_id, "not_run", message=self._stop_message(model), tries=0)
        if reply.message:
            return reply
        estimate = self._budget.estimate(request.body, len(content))
        failures, answered = 0, self._answered
        while True:
            response, sent_at = await self._send(client, content, model, estimate, is_retry=reply.tries > 0)
            if response is None:
                return reply if reply.tries else replace(reply, message=self._stop_message(model))
            latency_s = self._clock.monotonic() - sent_at
            reply = read_response(response, reply, key=self._key, latency_s=latency_s)
            is_success = reply.outcome == "success"
            maybe_billed = response.timed_out or (response.status == 200 and not is_success)
            self._budget.release(estimate, reply.body, model, maybe_billed=maybe_billed)
            if is_success:
                self._note_success(response, reply)
                return reply
            wait_s = self._retry_wait(response, reply, model, sent_at=sent_at, failures=failures)
            # A 429 while other requests are answered is not a failure of this one.
            failures += not (reply.status == 429 and self._answered > answered)
            answered = self._answered
            if wait_s is None:
                return replace(reply, message=self._stop_message(model) or reply.message)
            if self._closed.is_set():
                return reply
            if failures >= self._tries or reply.tries >= _MAX_TRIES:
                self._note_failure(reply)
                return reply
            await self._clock.sleep_async(wait_s)

    async def _send(
        self, client: AsyncOpenAI, content: bytes, model: str, estimate: float, *, is_retry: bool
    ) -> tuple[Response | None, float]:
        """Send a request within the limits; return the response (None: not sent) and the time.

        After a response, the caller releases the reserved money.
        """
        over_budget = await self._budget.reserve(estimate)
        if over_budget:
            self._stop_messages[None] = over_budget
            return None, 0.0
        response: Response | None = None
        sent_at = 0.0
        try:
            await self._limit.acquire(is_retry=is_retry)
            try:
                sent_at = self._clock.monotonic()
                if not self._stop_message(model):
                    task = asyncio.current_task()
                    assert task is not None  # noqa: S101
                    self._sending.add(task)
                    try:
                        response = await send(client, content, timeout=self._timeout_s)
                    finally:
                        self._sending.discard(task)
            finally:
                self._limit.release()
        finally:
            if response is None:
                self._budget.release(estimate, None, model, maybe_billed=False)
        return response, sent_at

    def _note_success(self, response: Response, reply: Reply) -> None:
        self._answered += 1
        self._failed_in_a_row = 0
        self._limit.speed_up()
        usage = reply.body.get("usage") if reply.body else None
        tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
        if isinstance(tokens, int):
            average = self._average_tokens
            self._average_tokens = average * 0.9 + tokens * 0.1 if average else float(tokens)
        wait_s = read_limit_reset(response.headers, tokens=self._average_tokens)
        if wait_s is not None:
            self._pause(wait_s, "a limit is exhausted")

    def _note_failure(self, reply: Reply) -> None:
        """Count a request that failed all its tries; after several in a row, stop."""
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _DOWN_AFTER and None not in self._stop_messages:
            cause = unreachable(self._provider) if reply.status is None else f"It says: {reply.message}"
            count = plural(self._failed_in_a_row, "request")
            self._stop_messages[None] = f"{self._provider.name} answered none of the last {count}. {cause}"

    def _retry_wait(
        self, response: Response, reply: Reply, model: str, *, sent_at: float, failures: int
    ) -> float | None:
        """Return the seconds to wait before a retry; None if the reply is final."""
        status = response.status
        if status is not None and self._is_final(response, reply, model):
            return None
        if status is None or status in (429, 498, 503, 529):
            self._limit.slow_down(sent_at=sent_at)
        now = self._clock.time()
        if status == 429:
            wait_s = read_wait(response.headers, reply.message, now=now)
        else:
            wait_s = read_retry_after(response.headers, now=now)
        if wait_s is None:
            return backoff(failures + 1, random=self._random)
        if not self._pause(wait_s, reply.message or f"status {status}"):
            return None
        return wait_s + self._random.uniform(0.0, min(1.0, 0.1 * wait_s))

    def _is_final(self, response: Response, reply: Reply, model: str) -> bool:
        """Return whether an error is permanent; record what it means for other requests."""
        provider, status, message = self._provider, reply.status or 0, reply.message or ""
        if reply.outcome == "malformed":
            return status != 200
        if status in (401, 402) or reply.code in _UNUSABLE_KEY:
            self._stop_messages[None] = refusal(provider, status, message)
        elif status == 403 and "moderation" not in f"{reply.code} {message}".lower():
            self._stop_messages[model] = refusal(provider, status, message)
        elif status == 404 or reply.code in _UNKNOWN_MODEL:
            self._stop_messages[model] = (
                f"{provider.name} ({provider.base_url}) does not serve the model {model} ({status}). "
                f"Check its name and the address. It says: {message}"
            )
        elif response.headers.get("x-should-retry") != "false":
            return not is_retryable(status)
        return True

    def _pause(self, seconds: float, why: str) -> bool:
        """Pause all requests; if that takes too long, stop and return False."""
        if seconds <= self._patience_s:
            self._limit.pause(seconds)
            return True
        self._stop_messages[None] = (
            f"{self._provider.name} asks to wait {duration(seconds)}, longer than patience={self._patience_s:g} s "
            f"({why}). Run again later. Answered requests are kept."
        )
        return False

    def _stop_message(self, model: str) -> str | None:
        return self._stop_messages.get(None) or self._stop_messages.get(model)
