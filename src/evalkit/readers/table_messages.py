"""Conversations in a column of a score table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from evalkit.data.chat_messages import find_messages, turns

if TYPE_CHECKING:
    from collections.abc import Iterable

    Conversation = list[dict[str, Any]]


def read_conversations(cells: pl.Series | None) -> list[Conversation]:
    """Return the turns of each row; none without the column."""
    return [] if cells is None else [turns(find_messages(cell)) for cell in cells]


def texts_of(conversations: list[Conversation], name: str, role: str, place: int) -> pl.Series | None:
    """Return a text of a role in each conversation: the first (0) or the last (-1)."""
    if not conversations:
        return None
    said = ([t["content"] for t in each if t["role"] == role and t["content"]] for each in conversations)
    return pl.Series(name, [texts[place] if texts else None for texts in said], dtype=pl.String)


def turns_of(keys: Iterable[dict[str, Any]], conversations: list[Conversation]) -> pl.DataFrame | None:
    """Return the turns of each trial; those of its first row count."""
    first: dict[tuple[Any, ...], Conversation] = {}
    for key, made in zip(keys, conversations, strict=False):
        rows = [{**turn, **key, "turn": number} for number, turn in enumerate(made, 1)]
        first.setdefault(tuple(key.values()), rows)
    every = [row for rows in first.values() for row in rows]
    return pl.DataFrame(every, infer_schema_length=None) if every else None
