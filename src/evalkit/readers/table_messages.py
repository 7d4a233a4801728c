"""Conversations in a column of a score table."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.chat_messages import find_messages, turns
from evalkit.data.json_text import as_text, decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    Conversation = list[dict[str, Any]]


_MOST_CHARS: Final = 1_000_000


def read_conversations(cells: pl.Series | None) -> list[Conversation]:
    """Return the turns of each row; none without the column."""
    return [] if cells is None else [turns(find_messages(cell)) for cell in cells]


def read_exchanges(
    asked: pl.Series | None, contexts: pl.Series, answers: pl.Series | None
) -> list[Conversation]:
    """Return the question, the retrieved contexts as a tool's result, and the answer of each row."""
    rows = []
    empty: list[Any] = [None] * len(contexts)
    questions, replies = (empty if cells is None else cells.to_list() for cells in (asked, answers))
    for question, found, answer in zip(questions, contexts.to_list(), replies, strict=True):
        texts = _context_texts(found)
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": as_text(question)},
            {"role": "tool", "name": "retrieved_contexts", "content": "\n\n".join(texts)},
            {"role": "assistant", "content": as_text(answer)},
        ]
        rows.append(turns(one for one in messages if one["content"]))
    return rows


def _context_texts(value: Any) -> list[str]:
    """Return the texts of a list, of JSON, or of Python's spelling of a list."""
    if isinstance(value, str) and value.lstrip()[:1] == "[" and len(value) <= _MOST_CHARS:
        value = _list(value)
    parts = value if isinstance(value, list | tuple | pl.Series) else [value]
    return [text for part in parts if (text := as_text(part))]


def _list(text: str) -> Any:
    try:
        return decode(text.encode())
    except ValueError:
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text


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
