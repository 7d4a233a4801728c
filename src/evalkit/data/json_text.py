"""Decode JSON leniently, line by line."""

from __future__ import annotations

import gc
import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.schema import Problem
from evalkit.util.errors import PathError
from evalkit.util.format import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

BOM: Final = b"\xef\xbb\xbf"
SURROGATE: Final = re.compile("[\ud800-\udfff]")
DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
ENCODE_ERRORS: Final = (msgspec.MsgspecError, RecursionError, OverflowError, UnicodeEncodeError)
_START_CHARS: Final = 41


def read_bytes(path: str | Path) -> bytes:
    """Read a file without its byte-order mark."""
    path = Path(path)
    if not path.exists():
        raise PathError.missing(path)
    return path.read_bytes().removeprefix(BOM)


@contextmanager
def without_collector() -> Iterator[None]:
    """Turn the garbage collector off: decoded records have no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    r"""Yield the non-blank lines with their numbers, from 1; only a newline ends a line.

    >>> list(lines("1\r\n\n'a\u2028b'".encode()))
    [(1, b'1'), (3, b"'a\xe2\x80\xa8b'")]
    """
    number, start, end = 0, 0, len(data)
    while start < end:
        stop = data.find(b"\n", start)
        stop = end if stop < 0 else stop
        number += 1
        line = data[start:stop].strip()
        if line:
            yield number, line
        start = stop + 1


def decode(raw: bytes) -> Any:
    """Decode JSON; raise `ValueError` with the reason if invalid.

    A bare NaN or Infinity becomes that word, a lone surrogate U+FFFD.

    >>> decode(b'{"score": NaN}')
    {'score': 'NaN'}
    """
    try:
        return msgspec.json.decode(raw)
    except DECODE_ERRORS:
        pass
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of the line is not UTF-8") from None
    start = repr(shorten(text.strip(), _START_CHARS))
    try:
        value = json.loads(text, parse_constant=str, strict=False)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            raise ValueError(f"the JSON is cut off: {start}") from None
        raise ValueError(f"not JSON ({error.msg}, character {error.pos + 1}): {start}") from None
    except RecursionError:
        raise ValueError(f"nested too deeply: {start}") from None
    except ValueError:  # an integer of more digits than Python converts
        raise ValueError(f"not JSON that can be read: {start}") from None
    return encodable(value)


def encodable(value: Any) -> Any:
    r"""Replace each lone surrogate in a decoded value by U+FFFD.

    >>> encodable(["cut \ud83d off"])
    ['cut � off']
    """
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(SURROGATE.sub("\ufffd", text)) if SURROGATE.search(text) else value


def record(raw: bytes, source: str, number: int, problems: list[Problem]) -> dict[str, Any] | None:
    """Return the JSON object of a line, or None with a `Problem`."""
    try:
        value = decode(raw)
    except ValueError as error:
        problems.append(Problem(source, number, str(error)))
        return None
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a string", type(None): "null"}.get(type(value), f"{value!r:.40}")
        problems.append(Problem(source, number, f"a JSON object was expected, not {kind}"))
        return None
    return value


def as_text(value: Any) -> str | None:
    """Return a decoded value as text: strings and None unchanged, else compact JSON."""
    if value is None or isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except ENCODE_ERRORS:
        return SURROGATE.sub("\ufffd", repr(value))


def encode_json(value: Any) -> bytes:
    """Encode as compact JSON in UTF-8, a lone surrogate as U+FFFD."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, msgspec.MsgspecError):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain_data)
        return SURROGATE.sub("\ufffd", text).encode()


def _plain_data(value: Any) -> Any:
    return (
        msgspec.json.decode(value)
        if isinstance(value, msgspec.Raw)
        else msgspec.to_builtins(value, enc_hook=str)
    )


def raw_text(raw: msgspec.Raw) -> str | None:
    """Return a nested value as its text in the file; a string as its content."""
    data = bytes(raw)
    if not data or data == b"null":
        return None
    return str(decode(data)) if data.startswith(b'"') else data.decode()
