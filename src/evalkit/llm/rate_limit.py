"""Rate limits: read them from responses, and limit the number of concurrent requests."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from evalkit.llm.clock import Clock


_FIRST_LIMIT: Final = 16
_MAX_BACKOFF_S: Final = 60.0
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TRY_AGAIN: Final = re.compile(r"try again in\s+((?:\d+(?:\.\d+)?(?:ms|[dhms]))+)", re.IGNORECASE)


def read_duration(text: str | None) -> float | None:
    """Return the seconds of a duration as APIs write it, such as "2m59.56s"; None if invalid."""
    text = (text or "").strip().lower()
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return round(sum(float(number) * _UNITS[unit] for number, unit in parts), 6)
    return float(text) if re.fullmatch(r"\d+(?:\.\d+)?", text) else None


def read_retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds in `retry-after-ms` or `retry-after` (maybe a date); None if missing."""
    milliseconds = read_duration(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = read_duration(text)
    if seconds is not None or not text:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def read_wait(headers: Mapping[str, str], message: str | None, *, now: float) -> float | None:
    """Return the seconds that a 429 asks to wait, from headers or message."""
    seconds = read_retry_after(headers, now=now)
    if seconds is not None:
        return seconds
    match = _TRY_AGAIN.search(message or "")
    return read_duration(match[1]) if match else read_limit_reset(headers, tokens=1)


def read_limit_reset(headers: Mapping[str, str], *, tokens: float) -> float | None:
    """Return the seconds until an exhausted limit resets; None if the tokens fit."""
    waits = []
    for kind, needed in (("requests", 1.0), ("tokens", tokens)):
        try:
            is_exhausted = float(headers.get(f"x-ratelimit-remaining-{kind}", "inf")) < needed
        except ValueError:
            continue
        wait_s = read_duration(headers.get(f"x-ratelimit-reset-{kind}"))
        if is_exhausted and wait_s is not None:
            waits.append(wait_s)
    return max(waits, default=None)


def backoff(failures: int, *, random: Random) -> float:
    """Return the wait in seconds after the nth failure: doubling, with jitter."""
    return min(_MAX_BACKOFF_S, 0.5 * 2.0 ** (failures - 1)) * random.uniform(0.55, 1.0)


class ConcurrencyLimit:
    """Limit the concurrent requests, and pause them while the API asks to wait.

    It grows by one per response, after the first `slow_down` by one per round. Each `slow_down` halves it.
    """

    def __init__(self, maximum: int, *, clock: Clock) -> None:
        self.maximum = maximum
        self.limit = float(min(maximum, _FIRST_LIMIT))
        self.in_flight = 0
        self._clock = clock
        self._free_at = clock.monotonic()
        self._slowed_at: float | None = None
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def paused_s(self) -> float:
        """Seconds until the pause ends; 0.0 without one."""
        return max(0.0, self._free_at - self._clock.monotonic())

    async def acquire(self, *, is_retry: bool) -> None:
        """Wait for a place. Retries go first."""
        while True:
            paused_s = self.paused_s
            if paused_s > 0:
                await self._clock.sleep_async(paused_s)
            elif self.in_flight < int(self.limit):
                break
            else:
                place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                (self._queue.appendleft if is_retry else self._queue.append)(place)
                await place
        self.in_flight += 1

    def release(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
        free = int(self.limit) - self.in_flight
        while free > 0 and self._queue:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1

    def speed_up(self) -> None:
        """Raise the limit after a response."""
        if self.limit < self.maximum:
            step = 1.0 if self._slowed_at is None else 1.0 / self.limit
            self.limit = min(float(self.maximum), self.limit + step)

    def slow_down(self, *, sent_at: float) -> None:
        """Halve the limit, once for all requests that were in flight together."""
        if self._slowed_at is None or sent_at >= self._slowed_at:
            self.limit = max(1.0, self.limit / 2)
            self._slowed_at = self._clock.monotonic()

    def pause(self, seconds: float) -> None:
        """Start no request for some time."""
        self._free_at = max(self._free_at, self._clock.monotonic() + seconds)
