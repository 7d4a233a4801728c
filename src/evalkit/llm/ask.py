"""Send live requests: many at once, in a script or a running kernel."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from evalkit.llm.clock import Clock
from evalkit.llm.progress import find_display
from evalkit.llm.scheduler import LiveRun
from evalkit.util.atomic_files import delay_interrupt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from typing import Unpack

    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.progress import Progress
    from evalkit.llm.providers import Provider
    from evalkit.llm.requests import Reply, Request
    from evalkit.llm.scheduler import Settings

    Display = bool | None | Callable[[Progress], None]

_INTERVAL_S: Final = 0.2


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
    progress: Display = True,
    clock: Clock | None = None,
) -> Iterator[Reply]:
    """Send many chat completions at once and yield each reply as it arrives.

    Works in a script and in a running kernel. An answer is cached before it is yielded. Ctrl-C, or leaving the loop,
    sends nothing more. The next call sends only the rest.

    Parameters
    ----------
    requests
        Read as needed, in another thread.
    cache
        Cached answers are not requested again. Equal requests are sent once.
    concurrency
        Most concurrent requests; it starts with 16.
    max_cost
        Budget in US dollars. Running requests count at their maximum cost; requests above it are `not_run`.
    timeout
        Seconds per response; None: the provider's default.
    tries
        Attempts after temporary errors: 408, 409, 425, 429, 498, 5xx, a lost connection.
    patience
        Most seconds that the endpoint may ask to wait. A longer wait makes the rest `not_run`.
    grace
        Seconds for running requests after an interruption.
    progress
        True: a bar; None: nothing; or a function that takes a `Progress`, called a few times per second.

    Yields
    ------
    Reply
        One per request, in order of arrival. An error that concerns all requests, such as a rejected API key, makes
        the rest `not_run`.

    Raises
    ------
    ProviderError
        The API key is missing, or `max_cost` is given and the price is unknown.
    """
    run = LiveRun(
        requests,
        provider=provider,
        clock=clock or Clock(),
        cache=cache,
        concurrency=concurrency,
        max_cost=max_cost,
        timeout=timeout,
        tries=tries,
        patience=patience,
        grace=grace,
    )
    return _Thread(run).replies(_display(progress))


async def aask(
    requests: Iterable[Request],
    *,
    provider: Provider,
    progress: Display = None,
    clock: Clock | None = None,
    **settings: Unpack[Settings],
) -> AsyncIterator[Reply]:
    """Send requests like `ask`, in the running event loop.

    To leave the loop early, use `contextlib.aclosing`; otherwise requests continue until garbage collection.
    """
    run = LiveRun(requests, provider=provider, clock=clock or Clock(), **settings)
    show = _display(progress)
    changed = asyncio.Event()
    task = asyncio.create_task(run.run(changed.set))
    task.add_done_callback(lambda _: changed.set())
    try:
        while not task.done() or run.replies:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _INTERVAL_S)
            changed.clear()
            while run.replies:
                yield run.replies.popleft()
            if show:
                show(run.progress())
        await task
    finally:
        run.close()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # retrieved: it was raised above, or the reader has left
        if show:
            show(run.progress())


def _display(progress: Display) -> Callable[[Progress], None] | None:
    return progress if callable(progress) else find_display() if progress else None


class _Thread:
    """Run requests in a daemon thread: concurrent.futures would block the exit."""

    def __init__(self, run: LiveRun) -> None:
        self._run = run
        self._thread = threading.Thread(target=self._main, name="evalkit-ask", daemon=True)
        self._changed = threading.Event()
        self._started = threading.Event()
        self._ended = False
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def replies(self, show: Callable[[Progress], None] | None) -> Iterator[Reply]:
        """Start the thread, yield the replies, and stop it when the reader leaves."""
        try:
            # A half-started thread could not be stopped, and would send on.
            with delay_interrupt():
                # An iterator that is never closed is stopped at exit.
                atexit.register(self._stop)
                self._thread.start()
            shown_at, ended = 0.0, False
            while not ended:
                self._changed.wait(_INTERVAL_S)
                self._changed.clear()
                ended = self._ended
                while self._run.replies:
                    yield self._run.replies.popleft()
                if show and time.monotonic() - shown_at >= _INTERVAL_S:
                    show(self._run.progress())
                    shown_at = time.monotonic()
            if self._error is not None:
                raise self._error
        finally:
            self._stop()
            if show:
                show(self._run.progress())

    def _main(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as error:  # raised in the reading thread
            self._error = error
        finally:
            self._ended = True
            self._started.set()
            self._changed.set()

    async def _send_all(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started.set()
        await self._run.run(self._changed.set)

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None and not self._ended:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                self._loop.call_soon_threadsafe(function)

    def _stop(self) -> None:
        if sys.is_finalizing() or not self._thread.ident:
            return
        try:
            with delay_interrupt():
                atexit.unregister(self._stop)
                self._started.wait()  # before that the loop cannot be called
                self._call(self._run.close)
            self._thread.join()
        except KeyboardInterrupt:
            self._call(self._run.abort)
            self._thread.join()
            raise
