"""The cache of answers that a judge looks into: the one given, or evalkit's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from evalkit.running.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def opened(cache: Cache | str | Path | None) -> Iterator[Cache]:
    """Give a cache that is open; one that was made here is closed afterwards."""
    if isinstance(cache, Cache):
        yield cache
        return
    with Cache(cache) as made:
        yield made
