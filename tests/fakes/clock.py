"""A clock that does not wait."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fakes.server import FakeServer


class FakeClock:
    """Tells a time of its own; to sleep moves it on, and with it the server's.

    Attributes
    ----------
    slept
        How long each sleep was.
    """

    def __init__(self, fake: FakeServer | None = None, *, skew: float = 0.0) -> None:
        self.slept: list[float] = []
        self._now = time.time() + skew
        self._fake = fake

    def time(self) -> float:
        """Return seconds since 1970."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.slept.append(seconds)
        self._now += seconds
        if self._fake is not None:
            self._fake.shift += seconds
