"""How far a run of requests is, as a value; and shown where it runs: a terminal, a notebook, or nowhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalkit.util.hostile_text import escape

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDTH: Final = 24


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run of requests is.

    Attributes
    ----------
    done, total
        Requests that have a reply, and all of them; None where nobody knows how many there are.
    rate
        Replies a second, lately; those from the cache do not count.
    cost, saved
        US dollars spent so far, and not spent again thanks to the cache. A cost of None: the price is unknown.
    left
        Seconds it will take, at this rate; None where nobody knows.
    in_flight, limit
        Requests under way, and how many may be.
    cached, failed
        Replies from the cache, and those that are no success.
    waiting
        Seconds for which the endpoint asked to wait.
    ended
        Whether this is the last word on it.
    """

    done: int
    total: int | None
    rate: float
    cost: float | None
    saved: float
    left: float | None
    in_flight: int
    limit: int
    cached: int
    failed: int
    waiting: float
    ended: bool = False


def progress_words(progress: Progress) -> str:
    """Return how far it is, in words.

    Examples
    --------
    >>> print(progress_words(Progress(50, 100, 5.0, 0.0123, 0.0, 10.0, 8, 64, 3, 1, 0.0)))
    50 of 100, 5.0 a second, $0.0123, 10 s left, 3 from the cache, 1 failed
    >>> print(progress_words(Progress(5, None, 0.0, None, 0.0, None, 1, 1, 0, 0, 120.0)))
    5, price unknown, waiting 2 min: the endpoint asks for it
    """
    parts = [f"{progress.done:,}" if progress.total is None else f"{progress.done:,} of {progress.total:,}"]
    if progress.rate:
        parts.append(f"{progress.rate:.1f} a second")
    parts.append("price unknown" if progress.cost is None else f"${progress.cost:.4f}")
    if progress.left and not progress.waiting:
        parts.append(f"{_span(progress.left)} left")
    if progress.cached:
        parts.append(f"{progress.cached:,} from the cache")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.waiting >= 1:
        parts.append(f"waiting {_span(progress.waiting)}: the endpoint asks for it")
    return ", ".join(parts)


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3600:.1f} h"


def find_display() -> Callable[[Progress], None] | None:
    """Return what shows progress here: a line in a terminal, a cell's output; None where nobody looks."""
    if _in_notebook():
        return _Notebook()
    return _Terminal() if sys.stderr is not None and sys.stderr.isatty() else None


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class _Terminal:
    """One line, drawn over itself."""

    def __init__(self) -> None:
        self._length = 0

    def __call__(self, progress: Progress) -> None:
        bar = ""
        if progress.total:
            filled = round(_WIDTH * progress.done / progress.total)
            bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] "
        line = bar + progress_words(progress)
        sys.stderr.write(f"\r{line.ljust(self._length)}" + ("\n" if progress.ended else ""))
        sys.stderr.flush()
        self._length = len(line)


class _Notebook:
    """A bar and a line below the cell, replaced as it goes."""

    def __init__(self) -> None:
        self._handle: object | None = None

    def __call__(self, progress: Progress) -> None:
        from IPython.display import HTML, display

        bar = ""
        if progress.total:
            bar = f'<progress value="{progress.done}" max="{progress.total}" aria-label="requests answered"></progress> '
        shown = HTML(f"<div>{bar}{escape(progress_words(progress))}</div>")  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = display(shown, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown)  # type: ignore[attr-defined]
