"""Records inside JSON, and the fields inside records: `results`, `eval.*`, `a[].b`; `scores.tone`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.chat_messages import is_messages
from evalkit.data.columns import series
from evalkit.data.json_text import decode
from evalkit.readers.guess_rules import RECORD_PLACES, ROLES, plain_name
from evalkit.util.errors import FormatError
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    Record = dict[str, Any]

KEY: Final = "__key"
PLACE: Final = "__place"
"""The columns of a record's key in an object, and of its place in a list below that key."""

_DEPTH: Final = 3
_STEP: Final = re.compile(r"\[\]|\*|[^.\[\]*]+")
_NAMES: Final = ("name", "metric", "metric_name")


def is_records(value: Any) -> bool:
    """Whether a value is a list of objects that are no messages."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) for one in value)
        and not is_messages(value)
    )


def find_places(root: Any) -> list[tuple[str, list[Record]]]:
    """Return each place of a decoded file that holds records, with its path."""
    if not isinstance(root, dict):
        return [("", [one for one in root if isinstance(one, dict)])] if is_records(root) else []
    names = {plain_name(key) for key in root}
    if names & {*ROLES["input"][0]} and names & {*ROLES["output"][0]}:
        return [("", [root])]
    places: list[tuple[str, list[Record]]] = []
    for key, value in root.items():
        if is_records(value):
            places.append((key, value))
            inner = [
                name
                for name in value[0]
                if all(is_records(one.get(name)) and not _is_named(one[name]) for one in value)
            ]
            paths = (f"{key}[].{name}" for name in inner)
            places += [(path, rows) for path in paths if len(rows := records_at(root, path)) > len(value)]
        elif isinstance(value, dict):
            below = _by_key(key, value)
            places += below or [
                (f"{key}.{path}", rows) for path, rows in find_places(value) if path[:1] != "*"
            ]
    return places + _by_key("", root)


def _by_key(key: str, value: Record) -> list[tuple[str, list[Record]]]:
    path = f"{key}.*" if key else "*"
    if len(value) < 2:
        return []
    if all(isinstance(one, dict) and one for one in value.values()):
        names = [name for one in value.values() for name in one]
        common = [name for name in set(names) if names.count(name) >= 0.6 * len(value)]
        return [(path, records_at(value, "*"))] if 2 * len(common) >= len(set(names)) else []
    if all(is_records(one) for one in value.values()):
        return [(f"{path}[]", records_at(value, "*[]"))]
    return []


def records_at(root: Any, path: str, *, source: str = "") -> list[Record]:
    """Return the records at a path; raise `FormatError` for a path that is not in the file.

    >>> root = {"eval": {"t1": [{"ok": True}, {"ok": False}]}}
    >>> [(row["__key"], row["__place"], row["ok"]) for row in records_at(root, "eval.*[]")]
    [('t1', 1, True), ('t1', 2, False)]
    >>> records_at({"a": [{"id": 1, "b": [{"x": 2}]}]}, "a[].b")
    [{'id': 1, 'x': 2}]
    """
    values: list[tuple[Record, Any]] = [({}, root)]
    for step in _STEP.findall(path):
        values = [item for known, value in values for item in _follow(known, value, step, source, path)]
    rows: list[Record] = []
    for known, value in values:
        found = value if isinstance(value, list) else [value]
        rows += [{**known, **one} for one in found if isinstance(one, dict)]
    return rows


def _follow(known: Record, value: Any, step: str, source: str, path: str) -> Iterator[tuple[Record, Any]]:
    if step == "*" and isinstance(value, dict):
        yield from (({**known, KEY: key}, one) for key, one in value.items())
    elif step == "[]" and isinstance(value, list):
        is_keyed = KEY in known
        for place, one in enumerate(value, 1):
            yield ({**known, PLACE: place} if is_keyed else known), one
    elif isinstance(value, dict) and step in value:
        plain = {name: one for name, one in value.items() if not isinstance(one, dict | list)}
        yield ({**known, **plain} if known or "[]" in path.split(step)[0] else known), value[step]
    elif isinstance(value, dict):
        sizes = (f"{key} ({len(one)})" if isinstance(one, dict | list) else key for key, one in value.items())
        raise FormatError(
            f"{source}: The mapping's records, {path!r}, are not in it: no key {step!r}."
            f"{did_you_mean(step, value)} It has {join_words(sizes, limit=12)}.",
            argument="mapping",
        )


def weigh_place(path: str, rows: list[Record]) -> float:
    """Return how likely a place holds the records: by its name and its size."""
    return min(len(rows), 30) / 60 + 0.5 * (path.split(".")[0].split("[")[0] in RECORD_PLACES)


def dotted(frame: pl.DataFrame, *, only: Collection[str] | None = None) -> pl.DataFrame:
    """Add a column per field inside objects of JSON text, such as `scores.tone`; up to three levels deep.

    `only`: the dotted names that are needed. A column of that very name stays.
    """
    wanted = None if only is None else {name.partition(".")[0] for name in only if "." in name}
    added: list[pl.Series] = []
    for column in frame.get_columns():
        if column.dtype != pl.String or (wanted is not None and column.name not in wanted):
            continue
        first = column.drop_nulls().head(1)
        if not len(first) or first[0].lstrip()[:1] not in ("{", "["):
            continue
        rows = [_flat(_decoded(text), f"{column.name}.") for text in column.to_list()]
        names = dict.fromkeys(name for row in rows for name in row)
        kept = [name for name in names if name not in frame.columns]
        added += [series(name, [row.get(name) for row in rows]) for name in kept]
    return frame.with_columns(added) if added else frame


def _decoded(text: str | None) -> Any:
    try:
        return None if text is None else decode(text.encode())
    except ValueError:
        return None


def _flat(value: Any, before: str, depth: int = 1) -> Record:
    if isinstance(value, list) and _is_named(value):
        named = {str(next(one[n] for n in _NAMES if n in one)): one for one in value}
        value = {key: {n: v for n, v in one.items() if n not in _NAMES} for key, one in named.items()}
    if not isinstance(value, dict):
        return {}
    flat: Record = {}
    for key, one in value.items():
        is_inner = isinstance(one, dict) or (isinstance(one, list) and _is_named(one))
        if is_inner and one and depth < _DEPTH:
            flat |= _flat(one, f"{before}{key}.", depth + 1)
        else:
            flat[f"{before}{key}"] = one
    return flat


def _is_named(value: Any) -> bool:
    """Whether a value is a list of objects with a name each, such as scores."""
    return (
        is_records(value)
        and all(any(isinstance(one.get(name), str) for name in _NAMES) for one in value)
        and any(len(one) > 1 for one in value)
    )
