"""Several attempts at once, each in a thread of its own; what they come to is read in one."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from evalkit.agents.attempts import failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalkit.agents.asked import AskedCase
    from evalkit.agents.attempts import Attempt

_TICK_S: Final = 0.2


class Caller(Protocol):
    """Whatever makes an attempt."""

    def attempt(self, asked: AskedCase) -> Attempt:
        """Make one; called from several threads at once."""

    def close(self) -> None:
        """End what is under way."""


class Crew:
    """Threads that make attempts until there are none left, or they are told to stop.

    Parameters
    ----------
    caller
        Makes an attempt.
    asked
        What to make attempts at, in this order.
    size
        How many threads.
    """

    def __init__(self, caller: Caller, asked: Sequence[AskedCase], *, size: int) -> None:
        self._caller = caller
        self._asked = iter(asked)
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._results: queue.SimpleQueue[tuple[AskedCase, Attempt] | None] = queue.SimpleQueue()
        self.running = min(size, len(asked))
        for _ in range(self.running):
            threading.Thread(target=self._work, daemon=True).start()

    def results(self) -> Iterator[tuple[AskedCase, Attempt] | None]:
        """Yield what each attempt came to, until all are made; None where nothing was new for a while."""
        while self.running:
            try:
                result = self._results.get(timeout=_TICK_S)
            except queue.Empty:
                yield None
                continue
            if result is None:
                self.running -= 1
            else:
                yield result

    def stop(self) -> None:
        """Begin no other attempt."""
        self._stopped.set()

    def finished(self) -> Iterator[tuple[AskedCase, Attempt]]:
        """Yield what has been made and not been read."""
        while not self._results.empty():
            result = self._results.get()
            if result is not None:
                yield result

    def _work(self) -> None:
        while not self._stopped.is_set():
            with self._turn:
                one = next(self._asked, None)
            if one is None:
                break
            self._results.put((one, self._attempt(one)))
        self._results.put(None)

    def _attempt(self, asked: AskedCase) -> Attempt:
        begun, at = time.monotonic(), datetime.now(UTC)
        try:
            attempt = self._caller.attempt(asked)
        except Exception as error:
            attempt = failed(asked, f"{type(error).__name__}: {error}")
        return replace(attempt, started_at=at, latency_s=time.monotonic() - begun)
