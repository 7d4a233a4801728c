"""How many requests at once, and when: what the endpoint says of its limits is obeyed."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from evalkit.llm.clock import Clock


_FIRST: Final = 16
_LONGEST_BACKOFF: Final = 60.0
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TRY_AGAIN: Final = re.compile(r"try again in\s+((?:\d+(?:\.\d+)?(?:ms|[dhms]))+)", re.IGNORECASE)


def read_duration(text: str | None) -> float | None:
    """Return the seconds in a duration as endpoints write them; None where it is none.

    Examples
    --------
    >>> read_duration("2m59.56s"), read_duration("7.66s"), read_duration("120ms"), read_duration("12")
    (179.56, 7.66, 0.12, 12.0)
    >>> read_duration("soon") is None
    True
    """
    text = (text or "").strip().lower()
    if not text:
        return None
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return round(sum(float(number) * _UNITS[unit] for number, unit in parts), 6)
    return float(text) if re.fullmatch(r"\d+(?:\.\d+)?", text) else None


def read_retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return how many seconds an answer asks to wait; None where it does not say.

    Parameters
    ----------
    headers
        Of the answer: `retry-after-ms`, or `retry-after` in seconds or as a date.
    now
        Seconds since 1970, for a date.

    Examples
    --------
    >>> read_retry_after({"retry-after": "2"}, now=0)
    2.0
    >>> read_retry_after({"retry-after": "Thu, 01 Jan 1970 00:05:00 GMT"}, now=0)
    300.0
    """
    exact = read_duration(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    text = headers.get("retry-after")
    seconds = read_duration(text)
    if seconds is not None or not text:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def read_wait(headers: Mapping[str, str], message: str | None, *, now: float) -> float | None:
    """Return how long a 429 asks to wait: its header, else its words, else the limit that is used up."""
    asked = read_retry_after(headers, now=now)
    if asked is not None:
        return asked
    words = _TRY_AGAIN.search(message or "")
    if words:
        return read_duration(words[1])
    return used_up(headers, need=1)


def used_up(headers: Mapping[str, str], *, need: float) -> float | None:
    """Return the seconds until a limit that is used up is there again; None where none is.

    Parameters
    ----------
    headers
        `x-ratelimit-remaining-requests` and `-tokens` with their `x-ratelimit-reset-...`.
    need
        How many tokens a request takes.
    """
    waits = []
    for kind, least in (("requests", 1.0), ("tokens", need)):
        left = headers.get(f"x-ratelimit-remaining-{kind}")
        if left is None:
            continue
        try:
            short = float(left) < least
        except ValueError:
            continue
        wait = read_duration(headers.get(f"x-ratelimit-reset-{kind}")) if short else None
        if wait is not None:
            waits.append(wait)
    return max(waits, default=None)


def backoff(failures: int, *, chance: random.Random) -> float:
    """Return how long to wait after the nth failure in a row: twice as long each time, spread by chance.

    The spread is wide, so that clients that failed together do not come back together, and leaves each
    wait longer than the one before.
    """
    return min(_LONGEST_BACKOFF, 0.5 * 2.0 ** (failures - 1)) * chance.uniform(0.55, 1.0)


class Pace:
    """Lets requests through: as many at once as the endpoint bears, and none while it asks to wait.

    It begins with a few and, until it is first told to slow down, lets one more through for each answer;
    being told halves it, and from then on it grows by one for each round of answers.
    """

    def __init__(self, most: int, *, clock: Clock) -> None:
        self.most = most
        self.limit = float(min(most, _FIRST))
        self.in_flight = 0
        self._clock = clock
        self._free_at = clock.monotonic()
        self._slowed_at: float | None = None
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> float:
        """Seconds for which nothing is let through."""
        return max(0.0, self._free_at - self._clock.monotonic())

    async def enter(self, *, again: bool) -> None:
        """Wait for a place; one that was sent before goes first."""
        while True:
            wait = self.waiting
            if wait > 0:
                await self._clock.sleep_async(wait)
            elif self.in_flight < int(self.limit):
                break
            else:
                place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                (self._line.appendleft if again else self._line.append)(place)
                await place
        self.in_flight += 1

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        room = int(self.limit) - self.in_flight
        while room > 0 and self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                room -= 1

    def went_well(self) -> None:
        """Let more through: an answer came."""
        if self.limit < self.most:
            step = 1.0 if self._slowed_at is None else 1.0 / self.limit
            self.limit = min(float(self.most), self.limit + step)

    def slow_down(self, *, sent_at: float) -> None:
        """Let half as many through, once for all that were under way together."""
        if self._slowed_at is None or sent_at >= self._slowed_at:
            self.limit = max(1.0, self.limit / 2)
            self._slowed_at = self._clock.monotonic()

    def hold(self, seconds: float) -> None:
        """Let nothing through for so long."""
        self._free_at = max(self._free_at, self._clock.monotonic() + seconds)
