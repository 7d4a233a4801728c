"""Compare what a log says of itself with what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.util.format import number
from evalkit.util.notes import Note
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Mapping


def partial_log(
    source: str,
    run: str,
    *,
    declared: float | None,
    held: int,
    published: Mapping[str, float],
    own: Mapping[str, float | None],
) -> Note | None:
    """Return a note for a log that holds fewer samples than it declares; None if it holds all.

    `published` and `own` are the mean of each criterion, by the log and from the samples held.

    >>> print(partial_log("a", "r", declared=790, held=15, published={"acc": 0.61}, own={"acc": 0.5333}))
    a: The log declares 790 samples and holds 15. acc: 0.610 in the log, 0.533 here.
    """
    if declared is None or declared <= held:
        return None
    means = [
        f"{name}: {number(value, 3)} in the log, {number(here, 3)} here"
        for name, value in published.items()
        if (here := own.get(name)) is not None
    ]
    text = f"The log declares {plural(int(declared), 'sample')} and holds {held:,}."
    more = f" {join_words(means, limit=4)}." if means else ""
    return Note("partial_log", text + more, (source,), (run,) if run else ())
