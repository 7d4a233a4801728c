"""Threads that run trials in parallel."""

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
    from evalkit.agents.case_input import CaseInput

_TICK_S: Final = 0.2


class Caller(Protocol):
    """An agent that can be called."""

    def attempt(self, case: CaseInput) -> Attempt:
        """Make one attempt. Several threads call this at a time."""

    def close(self) -> None:
        """Stop running attempts."""


class Workers:
    """Threads that make attempts until none are left or `stop` is called.

    Each thread saves its attempt before the next: Ctrl-C reaches only the main thread. `save` is called by one thread
    at a time.
    """

    def __init__(
        self,
        caller: Caller,
        save: Callable[[CaseInput, Attempt], None],
        cases: Sequence[CaseInput],
        *,
        size: int,
    ) -> None:
        self._caller = caller
        self._save = save
        self._cases = iter(cases)
        self._next_case = threading.Lock()
        self._saving = threading.Lock()
        self._stopped = threading.Event()
        self._state = threading.Condition()
        self._unsaved = 0
        self._closed = False
        self._results: queue.SimpleQueue[Attempt | Exception | None] = queue.SimpleQueue()
        self.running = min(size, len(cases))
        for _ in range(self.running):
            threading.Thread(target=self._work, daemon=True).start()

    def results(self) -> Iterator[Attempt | None]:
        """Yield saved attempts, or None while waiting; raise the error of `save`."""
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
        """Begin no further attempt."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, save completed attempts, and discard the running ones."""
        self.stop()
        with self._state:
            self._closed = True
            self._state.wait_for(lambda: not self._unsaved)

    def _work(self) -> None:
        while not self._stopped.is_set():
            with self._next_case:
                case = next(self._cases, None)
            if case is None:
                break
            attempt = self._attempt(case)
            with self._state:
                if self._closed:
                    return
                self._unsaved += 1
            try:
                with self._saving:
                    self._save(case, attempt)
            except Exception as error:
                self.stop()
                self._results.put(error)
                return
            finally:
                with self._state:
                    self._unsaved -= 1
                    self._state.notify_all()
            self._results.put(attempt)
        self._results.put(None)

    def _attempt(self, case: CaseInput) -> Attempt:
        begin, started_at = time.monotonic(), datetime.now(UTC)
        try:
            attempt = self._caller.attempt(case)
        except Exception as error:
            attempt = failed(case, f"{type(error).__name__}: {error}")
        return replace(attempt, started_at=started_at, latency_s=time.monotonic() - begin)
