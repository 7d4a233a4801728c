"""Read records of JSON in any layout, and convert their values."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.json_text import BOM, DECODE_ERRORS, as_text, decode, lines, read_bytes, record
from evalkit.data.schema import SEVERITIES
from evalkit.readers.formats.json_list import elements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evalkit.readers.builder import EvalsBuilder

# Keys inside a string do not match: their quotes are escaped.
_NAME: Final = re.compile(rb'(?<!\\)"([\w.$-]+)"\s*:')
# Generic file names; the run is named after the folder.
_PLAIN: Final = re.compile(
    r"batch|data|errors?|events|experiments?|export|feedback|inputs?|items|logs?|outputs?|requests|results|"
    r"scores|spans|traces?",
    re.IGNORECASE,
)


@lru_cache(maxsize=2)
def names(head: bytes) -> frozenset[str]:
    r"""Return the keys in the beginning of a JSON file, at any depth.

    >>> sorted(names(rb'[{"a": 1, "b": {"c": "\"d\": 2"}}]'))
    ['a', 'b', 'c']
    """
    if head.removeprefix(BOM).lstrip()[:1] not in (b"{", b"["):
        return frozenset()
    return frozenset(name.decode() for name in _NAME.findall(head))


def read(
    path: Path, builder: EvalsBuilder, *, within: str | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of a list, object or JSON-lines file with its first line.

    `within` is the key of the list in a single object. `builder` gets a problem for anything else.
    """
    data = read_bytes(path)
    for line, value in _values(data, builder, within):
        if isinstance(value, dict):
            yield line, value
        else:
            builder.add_problem(line, f"a JSON object was expected, not {value!r:.40}")


def words(value: Any) -> str | None:
    """Return a value as text; an object with a single text gives that text.

    >>> words({"question": "Why?"}), words({"a": 1, "b": "x"}), words(None)
    ('Why?', '{"a":1,"b":"x"}', None)
    """
    if isinstance(value, dict) and len(value) == 1 and isinstance(only := next(iter(value.values())), str):
        return only
    return as_text(value)


def digest(value: Any) -> str:
    """Return 12 hex digits of the content, the case ID of a record without one."""
    try:
        data = msgspec.json.encode(value, order="sorted")
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError, TypeError):
        data = repr(value).encode(errors="replace")
    return hashlib.sha256(data).hexdigest()[:12]


def run_name(path: Path) -> str:
    """Return the run name of a file: its name, or its folder's."""
    return path.parent.name if _PLAIN.fullmatch(path.stem) and path.parent.name else path.stem


def severity_of(*facts: Any) -> str | None:
    """Return the first known severity in some objects."""
    for each in facts:
        said = str(each.get("severity") or "").strip().lower() if isinstance(each, dict) else ""
        if said in SEVERITIES:
            return said
    return None


def decoded(value: Any) -> Any:
    """Decode text that is a JSON object, list or string; return anything else as it is.

    >>> decoded('{"a": 1}'), decoded('"a"'), decoded("[broken"), decoded("1")
    ({'a': 1}, 'a', '[broken', '1')
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "[", '"'):
        return value
    try:
        return decode(value.encode(errors="replace"))
    except ValueError:
        return value


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object, decoding JSON text; {} for anything else."""
    value = decoded(value)
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return a list, decoding JSON text; [] for anything else."""
    value = decoded(value)
    return value if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """Return a number, decoding text; true is 1; None for anything else."""
    if isinstance(value, bool | int | float):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def counter(value: Any) -> int | None:
    """Return a whole number from 1; None for anything else."""
    made = number(value)
    return int(made) if made is not None and 1 <= made < 2**31 and made == int(made) else None


def moment(value: Any) -> str | None:
    """Return seconds since 1970 in ISO 8601; text as it is; None for anything else.

    >>> moment(0), moment("2026-01-31T09:00:00Z"), moment(True)
    ('1970-01-01T00:00:00+00:00', '2026-01-31T09:00:00Z', None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else None
    try:
        return datetime.fromtimestamp(value, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _values(data: bytes, builder: EvalsBuilder, within: str | None) -> Iterator[tuple[int, Any]]:
    if data.lstrip()[:1] == b"[":
        yield from elements(data, builder.source, builder.problems)
        return
    try:
        whole = msgspec.json.decode(data)
    except DECODE_ERRORS:
        for number_, raw in lines(data):
            value = record(raw, builder.source, number_, builder.problems)
            if value is not None:
                yield from _inside(number_, value, within)
        return
    yield from _inside(1, whole, within)


def _inside(line: int, value: Any, within: str | None) -> Iterator[tuple[int, Any]]:
    held = value.get(within) if within is not None and isinstance(value, dict) else None
    if isinstance(held, list):
        yield from ((line, one) for one in held)
    else:
        yield line, value
