"""Clocks that do not wait, or hardly."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from evalkit.llm.clock import Clock

if TYPE_CHECKING:
    from fakes.server import FakeServer


class FakeClock(Clock):
    """Tells a time of its own; to sleep moves it on, and with it the server's.

    Attributes
    ----------
    now
        Seconds since 1970.
    slept
        How long each sleep was.
    """

    def __init__(self, fake: FakeServer | None = None, *, skew: float = 0.0) -> None:
        self.now = time.time() + skew
        self.slept: list[float] = []
        self._fake = fake

    def time(self) -> float:
        """Return seconds since 1970."""
        return self.now

    def monotonic(self) -> float:
        """Return the same seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.slept.append(seconds)
        self.now += seconds
        if self._fake is not None:
            self._fake.shift += seconds

    async def sleep_async(self, seconds: float) -> None:
        """Move on to the end of this sleep, however many others sleep meanwhile."""
        until = self.now + seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.now = max(self.now, until)


class BriefClock(FakeClock):
    """Really sleeps for a moment, too: what is waited for goes by the time on the wall."""

    def sleep(self, seconds: float) -> None:
        """Move on."""
        time.sleep(min(seconds, 0.25))
        super().sleep(seconds)
