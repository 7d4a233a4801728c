"""Several attempts at once, each in a thread of its own, and each kept by that thread before it makes another."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from evalkit.agents.attempt import failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from evalkit.agents.attempt import Attempt
    from evalkit.agents.case_input import AskedCase

_TICK_S: Final = 0.2


class Caller(Protocol):
    """Whatever makes an attempt."""

    def attempt(self, asked: AskedCase) -> Attempt:
        """Make one; called from several threads at once."""

    def close(self) -> None:
        """End what is under way."""


class Crew:
    """Threads that make attempts until there are none left, or they are told to stop.

    What an attempt came to is kept by the thread that made it: Ctrl-C reaches the main thread alone, so it cannot
    come between an answer and the disk.

    Parameters
    ----------
    caller
        Makes an attempt.
    keep
        Writes one down; called by one thread at a time.
    asked
        What to make attempts at, in this order.
    size
        How many threads.
    """

    def __init__(
        self,
        caller: Caller,
        keep: Callable[[AskedCase, Attempt], None],
        asked: Sequence[AskedCase],
        *,
        size: int,
    ) -> None:
        self._caller = caller
        self._keep = keep
        self._asked = iter(asked)
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._keeping = threading.Lock()
        self._news = threading.Condition()
        self._owed = 0
        self._closed = False
        self._results: queue.SimpleQueue[Attempt | Exception | None] = queue.SimpleQueue()
        self.running = min(size, len(asked))
        for _ in range(self.running):
            threading.Thread(target=self._work, daemon=True).start()

    def results(self) -> Iterator[Attempt | None]:
        """Yield each attempt that is kept, until all are made; None where nothing was new for a while.

        Raises
        ------
        Exception
            What `keep` raised: nothing more is begun then.
        """
        while self.running:
            try:
                result = self._results.get(timeout=_TICK_S)
            except queue.Empty:
                yield None
                continue
            if isinstance(result, Exception):
                raise result
            if result is None:
                self.running -= 1
            else:
                yield result

    def stop(self) -> None:
        """Begin no other attempt."""
        self._stopped.set()

    def close(self) -> None:
        """Begin no other, and keep nothing of those that are under way: what is made by now is kept, first."""
        self.stop()
        with self._news:
            self._closed = True
            self._news.wait_for(lambda: not self._owed)

    def _work(self) -> None:
        while not self._stopped.is_set():
            with self._turn:
                one = next(self._asked, None)
            if one is None:
                break
            attempt = self._attempt(one)
            with self._news:
                if self._closed:
                    return
                self._owed += 1
            try:
                with self._keeping:
                    self._keep(one, attempt)
            except Exception as error:
                self.stop()
                self._results.put(error)
                return
            finally:
                with self._news:
                    self._owed -= 1
                    self._news.notify_all()
            self._results.put(attempt)
        self._results.put(None)

    def _attempt(self, asked: AskedCase) -> Attempt:
        begun, at = time.monotonic(), datetime.now(UTC)
        try:
            attempt = self._caller.attempt(asked)
        except Exception as error:
            attempt = failed(asked, f"{type(error).__name__}: {error}")
        return replace(attempt, started_at=at, latency_s=time.monotonic() - begun)
