"""Progress of live requests, and its display in a terminal or a notebook."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalkit.util.format import duration, money, number
from evalkit.util.hostile_text import escape

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDTH: Final = 24


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a run of requests. None is unknown."""

    done: int  # requests with a reply
    total: int | None
    rate: float  # recent replies per second without cached ones
    cost: float | None  # US dollars
    saved: float  # US dollars saved by the cache
    left: float | None  # estimated seconds
    in_flight: int
    limit: int  # current limit of concurrent requests
    cached: int
    failed: int
    waiting: float  # seconds that the endpoint asks to wait
    ended: bool = False


def progress_words(progress: Progress) -> str:
    """Return the progress as text."""
    parts = [f"{progress.done:,}" if progress.total is None else f"{progress.done:,} of {progress.total:,}"]
    if progress.rate:
        parts.append(f"{number(progress.rate, 1)} per second")
    parts.append(money(progress.cost))
    if progress.left and not progress.waiting:
        parts.append(f"{duration(progress.left)} left")
    if progress.cached:
        parts.append(f"{progress.cached:,} from the cache")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.waiting >= 1:
        parts.append(f"waiting {duration(progress.waiting)} for the rate limit")
    return ", ".join(parts)


def find_display() -> Callable[[Progress], None] | None:
    """Return the display for this place: a terminal line or a notebook output; None elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return _notebook_display()
    return _terminal_display() if sys.stderr is not None and sys.stderr.isatty() else None


def _terminal_display() -> Callable[[Progress], None]:
    length = 0

    def show(progress: Progress) -> None:
        nonlocal length
        bar = ""
        if progress.total:
            filled = round(_WIDTH * progress.done / progress.total)
            bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] "
        line = bar + progress_words(progress)
        sys.stderr.write(f"\r{line.ljust(length)}" + ("\n" if progress.ended else ""))
        sys.stderr.flush()
        length = len(line)

    return show


def _notebook_display() -> Callable[[Progress], None]:
    from IPython.display import HTML, DisplayHandle

    handle: DisplayHandle | None = None

    def show(progress: Progress) -> None:
        nonlocal handle
        bar = ""
        if progress.total:
            bar = f'<progress value="{progress.done}" max="{progress.total}" aria-label="requests answered"></progress> '
        output = HTML(f"<div>{bar}{escape(progress_words(progress))}</div>")  # type: ignore[no-untyped-call]
        if handle is None:
            handle = DisplayHandle()  # type: ignore[no-untyped-call]
            handle.display(output)  # type: ignore[no-untyped-call]
        else:
            handle.update(output)  # type: ignore[no-untyped-call]

    return show
