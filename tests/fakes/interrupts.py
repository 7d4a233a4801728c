"""Ctrl-C at an exact place: a function that interrupts the main thread at one of its calls."""

from __future__ import annotations

import signal


def interrupt_at(monkeypatch, owner, name, *, at, when):
    """Have the call number `at` of a function raise SIGINT, "before" or "after" it does its work."""
    function, calls = getattr(owner, name), 0

    def hooked(*arguments, **named):
        nonlocal calls
        calls += 1
        if (calls, when) == (at, "before"):
            signal.raise_signal(signal.SIGINT)
        made = function(*arguments, **named)
        if (calls, when) == (at, "after"):
            signal.raise_signal(signal.SIGINT)
        return made

    monkeypatch.setattr(owner, name, hooked)
