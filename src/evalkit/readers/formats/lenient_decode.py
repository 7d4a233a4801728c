"""Decode into typed records; where one value does not fit, keep all the others."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

import msgspec

from evalkit.data.columns import as_text, decode

if TYPE_CHECKING:
    from collections.abc import Callable


def salvage(kind: type[Any], value: Any, add_problem: Callable[[str], None], *, where: str = "") -> Any:
    """Return decoded JSON as a record of `kind`, what does not fit left out with a complaint each.

    Parameters
    ----------
    kind
        A `msgspec.Struct`.
    value
        The decoded value.
    add_problem
        Is told of each value that is left out.

    Returns
    -------
    Any
        The record; None where the value is no object at all.

    Examples
    --------
    >>> class Point(msgspec.Struct):
    ...     x: int | None = None
    ...     y: int | None = None
    >>> salvage(Point, {"x": 1, "y": "far"}, print)
    y is 'far'; expected `int | null`, got `str`
    Point(x=1, y=None)
    """
    if not isinstance(value, dict):
        add_problem(f"{where or 'a record'} is {as_text(value)!r:.60}; an object was expected")
        return None
    made: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in value:
            continue
        given = value[field.encode_name]
        named = f"{where}.{field.name}" if where else field.name
        fitted = _fit(field.type, given, add_problem, named)
        if fitted is not None:
            made[field.name] = fitted
    try:
        return kind(**made)
    except TypeError as error:  # a field that there must be
        add_problem(f"{where or 'a record'} cannot be read: {error}")
        return None


def read(
    kind: type[Any],
    decoder: msgspec.json.Decoder[Any],
    raw: bytes | msgspec.Raw,
    add_problem: Callable[[str], None],
) -> Any:
    """Return JSON as a record of `kind`: at once where all of it fits, else with `salvage`; None where it is no JSON."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        value = decode(bytes(raw))
    except ValueError as error:
        add_problem(str(error))
        return None
    return salvage(kind, value, add_problem)


def _fit(kind: Any, value: Any, add_problem: Callable[[str], None], where: str) -> Any:
    if kind is msgspec.Raw:
        return msgspec.Raw(_encode(value))
    nested = _nested(kind, value)
    if nested is None:
        try:
            return msgspec.convert(value, kind, strict=True)
        except (msgspec.ValidationError, OverflowError) as error:
            reason = str(error)
            add_problem(f"{where} is {as_text(value)!r:.60}; {reason[:1].lower()}{reason[1:]}")
            return None
    if isinstance(nested, type):
        return salvage(nested, value, add_problem, where=where)
    inner = get_args(nested)[-1]
    if isinstance(value, list):
        parts = [_fit(inner, part, add_problem, f"{where} {number}") for number, part in enumerate(value, 1)]
        return [part for part in parts if part is not None]
    pairs = {str(name): _fit(inner, part, add_problem, f"{where}.{name}") for name, part in value.items()}
    return {name: part for name, part in pairs.items() if part is not None}


def _nested(kind: Any, value: Any) -> Any:
    """Return the member of a union that holds records and that the value may be: a Struct, a list or a dict of them."""
    union = get_origin(kind) in (Union, types.UnionType)
    for option in get_args(kind) if union else (kind,):
        if isinstance(option, type) and issubclass(option, msgspec.Struct) and isinstance(value, dict):
            return option
        origin = get_origin(option)
        if origin in (list, dict) and isinstance(value, origin) and _is_record(get_args(option)[-1]):
            return option
    return None


def _is_record(kind: Any) -> bool:
    return kind is msgspec.Raw or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


def _encode(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (msgspec.MsgspecError, RecursionError, OverflowError, UnicodeEncodeError):
        return msgspec.json.encode(as_text(value))
