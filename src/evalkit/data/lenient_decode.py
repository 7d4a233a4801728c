"""Decode JSON into typed records; drop only the invalid values."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

import msgspec

from evalkit.data.json_text import DECODE_ERRORS, ENCODE_ERRORS, as_text, decode

if TYPE_CHECKING:
    from collections.abc import Callable

    AddProblem = Callable[[str], None]


def lenient_decode(
    kind: type[Any], decoder: msgspec.json.Decoder[Any], raw: bytes | msgspec.Raw, add_problem: AddProblem
) -> Any:
    """Return JSON as a record of `kind`; None if it is no JSON object."""
    try:
        return decoder.decode(raw)
    except DECODE_ERRORS:
        pass
    try:
        value = decode(bytes(raw))
    except ValueError as error:
        add_problem(str(error))
        return None
    return lenient_convert(kind, value, add_problem)


def lenient_convert(kind: type[Any], value: Any, add_problem: AddProblem, *, name: str = "") -> Any:
    """Return decoded JSON as a `msgspec.Struct`; each invalid value is a problem.

    >>> class Point(msgspec.Struct):
    ...     x: int | None = None
    ...     y: int | None = None
    >>> lenient_convert(Point, {"x": 1, "y": "far"}, print)
    y is 'far'. Expected `int | null`, got `str`.
    Point(x=1, y=None)
    """
    if not isinstance(value, dict):
        add_problem(f"{name or 'A record'} is {as_text(value)!r:.60}. Expected an object.")
        return None
    values = {
        field.name: _convert(
            field.type, value[field.encode_name], add_problem, f"{name}.{field.name}" if name else field.name
        )
        for field in msgspec.structs.fields(kind)
        if field.encode_name in value
    }
    try:
        return kind(**{field: each for field, each in values.items() if each is not None})
    except TypeError as error:  # a required field is missing
        add_problem(f"{name or 'A record'} cannot be read: {error}.")
        return None


def _convert(kind: Any, value: Any, add_problem: AddProblem, name: str) -> Any:
    if kind is msgspec.Raw:
        return msgspec.Raw(_encode(value))
    options = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    for option in options:
        container = get_origin(option)
        if isinstance(value, dict) and _is_struct(option):
            return lenient_convert(option, value, add_problem, name=name)
        if container in (list, dict) and isinstance(value, container):
            inner = get_args(option)[-1]
            if inner is msgspec.Raw or _is_struct(inner):
                return _convert_parts(inner, value, add_problem, name)
    try:
        return msgspec.convert(value, kind, strict=True)
    except (msgspec.ValidationError, OverflowError) as error:
        add_problem(f"{name} is {as_text(value)!r:.60}. {error}.")
        return None


def _convert_parts(kind: Any, value: Any, add_problem: AddProblem, name: str) -> Any:
    if isinstance(value, list):
        items = [
            _convert(kind, part, add_problem, f"{name} {number}") for number, part in enumerate(value, 1)
        ]
        return [item for item in items if item is not None]
    parts = {str(key): _convert(kind, part, add_problem, f"{name}.{key}") for key, part in value.items()}
    return {key: part for key, part in parts.items() if part is not None}


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _encode(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except ENCODE_ERRORS:
        return msgspec.json.encode(as_text(value))
