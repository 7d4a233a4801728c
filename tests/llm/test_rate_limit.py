"""How an endpoint's words about its limits are read, and how many go at once."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.llm.clock import Clock
from evalkit.llm.rate_limit import (
    ConcurrencyLimit,
    backoff,
    read_duration,
    read_limit_reset,
    read_retry_after,
    read_wait,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2m59.56s", 179.56),
        ("7.66s", 7.66),
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("1h2m3s", 3723.0),
        ("1d", 86400.0),
        ("0", 0.0),
        ("12.5", 12.5),
        (" 3S ", 3.0),
        ("", None),
        (None, None),
        ("soon", None),
        ("-5", None),
        ("3 s", None),
        ("5x", None),
        ("1e9", None),
        ("nan", None),
    ],
)
def test_durations_are_read_as_endpoints_write_them(text, seconds):
    assert read_duration(text) == seconds


@given(st.text(alphabet="0123456789.dhmsx ", max_size=12))
def test_any_duration_is_a_time_or_none(text):
    seconds = read_duration(text)

    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 60.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:26:00 GMT"}, 0.0),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(headers, seconds):
    assert read_retry_after(headers, now=1_445_412_420) == seconds


def test_of_several_ways_to_say_how_long_the_header_counts_first_then_the_words_then_the_limits():
    limits = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s"}
    words = "Please try again in 1m1.5s. Need more tokens?"

    assert read_wait({"retry-after": "5", **limits}, words, now=0) == 5
    assert read_wait(limits, words, now=0) == 61.5
    assert read_wait(limits, "Slow down", now=0) == 30
    assert read_wait({}, None, now=0) is None


@pytest.mark.parametrize(
    ("left", "wait"),
    [
        ({"requests": ("1", "9s"), "tokens": ("5000", "60s")}, None),
        ({"requests": ("0", "9s"), "tokens": ("5000", "60s")}, 9.0),
        ({"requests": ("1", "9s"), "tokens": ("499", "60s")}, 60.0),
        ({"requests": ("0", "90s"), "tokens": ("0", "60s")}, 90.0),
        ({"tokens": ("many", "60s")}, None),
        ({"tokens": ("0", "later")}, None),
        ({}, None),
    ],
)
def test_a_limit_is_read_limit_reset_when_the_next_request_does_not_fit_into_it(left, wait):
    headers = {}
    for kind, (remaining, reset) in left.items():
        headers |= {f"x-ratelimit-remaining-{kind}": remaining, f"x-ratelimit-reset-{kind}": reset}

    assert read_limit_reset(headers, tokens=500) == wait


def test_waits_grow_are_spread_and_end_at_a_minute():
    waits = [[backoff(n, random=random.Random(seed)) for n in range(1, 12)] for seed in range(200)]

    assert all(0.25 < one[0] <= 0.5 for one in waits)
    assert all(
        one[n + 1] > 1.05 * one[n]
        for one in [[backoff(n, random=random.Random(7)) for n in range(1, 7)]]
        for n in range(5)
    )
    assert max(wait for one in waits for wait in one) <= 60
    assert len({round(one[3], 2) for one in waits}) > 50


# --- how many at once


def test_it_begins_with_few_and_doubles_each_round_until_it_is_told_to_slow_down(clock):
    pace = ConcurrencyLimit(100, clock=clock)

    assert int(pace.limit) == 16
    for _ in range(16):
        pace.speed_up()
    assert int(pace.limit) == 32
    for _ in range(500):
        pace.speed_up()
    assert pace.limit == 100


def test_being_told_halves_it_once_for_all_that_were_under_way(clock):
    pace = ConcurrencyLimit(16, clock=clock)
    sent_at = clock.monotonic()
    clock.now += 1

    for _ in range(16):
        pace.slow_down(sent_at=sent_at)

    assert pace.limit == 8


def test_being_told_again_halves_it_again_but_one_is_always_let_through(clock):
    pace = ConcurrencyLimit(16, clock=clock)

    for _ in range(10):
        clock.now += 1
        pace.slow_down(sent_at=clock.monotonic())

    assert pace.limit == 1


def test_after_that_it_grows_by_about_one_a_round(clock):
    pace = ConcurrencyLimit(64, clock=clock)
    pace.slow_down(sent_at=clock.monotonic())

    for _ in range(8):
        pace.speed_up()

    assert 8.8 < pace.limit < 9


def test_those_that_were_sent_before_go_first(clock):
    async def main():
        pace = ConcurrencyLimit(1, clock=clock)
        order = []

        async def go(name, again):
            await pace.acquire(is_retry=again)
            order.append(name)
            pace.release()

        await pace.acquire(is_retry=False)
        tasks = [
            asyncio.create_task(go(name, again)) for name, again in (("a", False), ("b", False), ("r", True))
        ]
        await asyncio.sleep(0)
        pace.release()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(main()) == ["r", "a", "b"]


def test_one_that_left_the_line_does_not_hold_up_the_others(clock):
    async def main():
        pace = ConcurrencyLimit(1, clock=clock)
        await pace.acquire(is_retry=False)
        first, second = (asyncio.create_task(pace.acquire(is_retry=False)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        pace.release()
        await asyncio.wait_for(second, 5)
        return pace.in_flight

    assert asyncio.run(main()) == 1


def test_nothing_goes_through_while_it_holds(clock):
    async def main():
        pace = ConcurrencyLimit(4, clock=clock)
        pace.pause(30)
        pace.pause(10)
        began, waiting = clock.now, pace.paused_s
        await pace.acquire(is_retry=False)
        return waiting, clock.now - began

    assert asyncio.run(main()) == (30, 30)


def test_the_clock_on_the_wall_tells_the_time():
    clock = Clock()
    before = clock.monotonic()

    asyncio.run(clock.sleep_async(0))

    assert clock.monotonic() >= before
    assert clock.time() > 1.7e9
