"""Ask an endpoint live: many at once, from a script or inside a running kernel, and stop whenever you like."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from evalkit.llm.clock import Clock
from evalkit.llm.progress import find_display
from evalkit.llm.scheduler import Asking
from evalkit.util.atomic_files import uninterrupted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from typing import Unpack

    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.progress import Progress
    from evalkit.llm.providers import Provider
    from evalkit.llm.requests import Reply, Request
    from evalkit.llm.scheduler import Settings

    Shown = bool | None | Callable[[Progress], None]

# Replies that wait for their reader; beyond that no new request is sent.
_UNREAD: Final = 256
_EVERY_S: Final = 0.2


def ask(
    requests: Iterable[Request],
    *,
    provider: Provider,
    cache: Cache | None = None,
    concurrency: int = 64,
    max_cost: float | None = None,
    timeout: float | None = None,
    tries: int = 8,
    patience: float = 900.0,
    grace: float = 5.0,
    progress: Shown = True,
    clock: Clock | None = None,
) -> Iterator[Reply]:
    """Ask for many chat completions at once; give each reply as it arrives.

    It works in a script and inside a running kernel: the requests run in a thread of their own. An answer is
    in the cache before it is given. Stop it with Ctrl-C, or by leaving the loop: nothing new is sent, answers
    that are under way get `grace` seconds to land in the cache, and the next call asks only for the rest.

    Parameters
    ----------
    requests
        What to ask; read as it is needed, so a generator of any length is fine. It is read in the other thread.
    provider
        Whom to ask.
    cache
        Where answers are kept and looked up. With it, requests that are equal in all that is sent are sent
        once; without it, each is sent, and an answer that nobody reads is lost.
    concurrency
        The most requests at once. It begins with 16 and grows while the endpoint bears it; the local model is
        never asked more than it can work on.
    max_cost
        US dollars that this call may spend: it stops before, counting what is under way at the most it may
        cost. The rest are `not_run`.
    timeout
        Seconds that one answer may take; None: what the provider's answers may take.
    tries
        How often a request is sent that fails in a way that passes: 408, 409, 429, 498, 5xx, a dropped
        connection. Between them it waits as long as the endpoint asks, or longer each time. Any other error
        is final: sending it again would only cost.
    patience
        Seconds that the endpoint may ask to wait. A longer wait, as for a limit by the day, ends the run with a
        sentence: the rest are `not_run`.
    grace
        Seconds that answers under way get when it is stopped.
    progress
        True: a bar in a terminal or a notebook, nothing elsewhere; None: nothing; or what is called with a
        `Progress` a few times a second, in the thread that reads the replies.
    clock
        For tests.

    Yields
    ------
    Reply
        One for each request, in the order in which they arrive. An error that concerns all requests (a key that
        is refused, a model that is gone, a plan, a limit on spending) makes the rest `not_run`, with its sentence.

    Raises
    ------
    ProviderError
        The key is not set, or there is a `max_cost` and no known price.
    """
    asking = Asking(
        requests,
        provider=provider,
        cache=cache,
        concurrency=concurrency,
        max_cost=max_cost,
        timeout=timeout,
        tries=tries,
        patience=patience,
        grace=grace,
        clock=clock or Clock(),
    )
    return _Thread(asking).replies(_find_display(progress))


async def aask(
    requests: Iterable[Request],
    *,
    provider: Provider,
    progress: Shown = None,
    clock: Clock | None = None,
    **settings: Unpack[Settings],
) -> AsyncIterator[Reply]:
    """Do as `ask` does, in the loop that is running: for code that is asynchronous itself.

    It takes the same arguments. Leave its loop early only inside `contextlib.aclosing`, or what is under way
    goes on until the interpreter finds the time to end it.

    Yields
    ------
    Reply
        One for each request, in the order in which they arrive.
    """
    asking = Asking(requests, provider=provider, clock=clock or Clock(), **settings)
    show = _find_display(progress)
    queue: asyncio.Queue[Reply | None] = asyncio.Queue()
    room = asyncio.Semaphore(_UNREAD)

    async def put(reply: Reply) -> None:
        await room.acquire()
        queue.put_nowait(reply)

    async def tick(show: Callable[[Progress], None]) -> None:
        while True:
            show(asking.progress())
            await asyncio.sleep(_EVERY_S)

    task = asyncio.create_task(asking.run(put))
    task.add_done_callback(lambda _: queue.put_nowait(None))
    ticking = asyncio.create_task(tick(show)) if show else None
    try:
        while (reply := await queue.get()) is not None:
            yield reply
            room.release()
        await task
    finally:
        asking.close()
        if ticking:
            ticking.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # looked at: it is raised above, or nobody reads on
        if show:
            show(asking.progress())


def _find_display(progress: Shown) -> Callable[[Progress], None] | None:
    return progress if callable(progress) else find_display() if progress else None


class _Thread:
    """A thread with a loop of its own in which requests run, and the replies that come out of it."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._thread = threading.Thread(target=self._main, name="evalkit-ask", daemon=True)
        self._replies: deque[Reply] = deque()
        self._news = threading.Event()
        self._begun = threading.Event()
        self._ended = False
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room: asyncio.Event | None = None

    def replies(self, show: Callable[[Progress], None] | None) -> Iterator[Reply]:
        """Start it, give its replies as they come, and end it when nobody reads on."""
        try:
            # Half started it could not be ended, and would ask and pay on.
            with uninterrupted():
                # A reader that is never closed is still ended in good order when the interpreter exits.
                atexit.register(self._stop)
                self._thread.start()
            shown_at = 0.0
            while True:
                self._news.wait(_EVERY_S)
                self._news.clear()
                ended = self._ended
                while self._replies:
                    yield self._replies.popleft()
                    if len(self._replies) == _UNREAD // 2:
                        self._make_room()
                self._make_room()
                if show and time.monotonic() - shown_at >= _EVERY_S:
                    show(self._asking.progress())
                    shown_at = time.monotonic()
                if ended:
                    break
            if self._error is not None:
                raise self._error
        finally:
            self._stop()
            if show:
                show(self._asking.progress())

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # it is raised where the replies are read
            self._error = error
        finally:
            self._ended = True
            self._begun.set()
            self._news.set()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._begun.set()
        await self._asking.run(self._put)

    async def _put(self, reply: Reply) -> None:
        self._replies.append(reply)
        self._news.set()
        while len(self._replies) >= _UNREAD and self._room is not None:
            # The reader sets it from its thread by way of the loop, so never between these two lines.
            self._room.clear()
            await self._room.wait()

    def _make_room(self) -> None:
        if self._room is not None:
            self._call(self._room.set)

    def _call(self, what: Callable[[], object]) -> None:
        """Have the loop call something, if it still runs."""
        if self._loop is not None and not self._ended:
            with contextlib.suppress(RuntimeError):  # it was closed just now
                self._loop.call_soon_threadsafe(what)

    def _stop(self) -> None:
        if sys.is_finalizing() or not self._thread.ident:
            return
        try:
            with uninterrupted():
                atexit.unregister(self._stop)
                self._begun.wait()  # before that nobody would hear it
                self._call(self._asking.close)
            self._thread.join()
        except KeyboardInterrupt:
            self._call(self._asking.abort)
            self._thread.join()
            raise
