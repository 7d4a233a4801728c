"""Explain errors of a suite file in one sentence, with file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, get_args

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from evalkit.util.errors import SuiteError
from evalkit.util.format import shorten
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from evalkit.data.suite_yaml import Document, Path

_VALUE_CHARS = 60


def broken_rule(at: Path, text: str) -> PydanticCustomError:
    """Return the error of a rule about several values; `at` is relative to the model."""
    return PydanticCustomError("evalkit", "{text}", {"text": text, "at": at})


def check_unique(names: list[str], at: tuple[str, str]) -> None:
    """Raise for a repeated name; `at` is list and key, such as ("cases", "id")."""
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        if name in seen:
            raise broken_rule((at[0], place, at[1]), f"{at[0]}: the {at[1]} {name!r} is there twice")
        seen[name] = place


def explained(error: ValidationError, document: Document, model: type[BaseModel], *, name: str) -> SuiteError:
    """Return the first error as a sentence with file and line; count the others."""
    details = error.errors()
    detail = min(details, key=lambda each: document.line(_path(each)))
    line = document.line(_path(detail))
    more = f" ({len(details) - 1} more in this file.)" if len(details) > 1 else ""
    where = f"{name}:{line}" if document.lines else name
    return SuiteError(f"{where}: {_sentence(detail, document, model)}{more}")


def _path(detail: ErrorDetails) -> Path:
    path = tuple(step for step in detail["loc"] if step != "[key]")
    return path + tuple(detail.get("ctx", {}).get("at", ())) if detail["type"] == "evalkit" else path


def _sentence(detail: ErrorDetails, document: Document, model: type[BaseModel]) -> str:
    path, kind, value = _path(detail), detail["type"], detail["input"]
    what = _called(path, document)
    taken = document.taken_for(path)
    if kind == "evalkit":
        return _twice(path, document, detail["msg"])
    if kind == "extra_forbidden":
        have = _fields(path[:-1], model)
        return f"there is no key {str(path[-1])!r} here.{did_you_mean(str(path[-1]), have)} There is: {join_words(have, limit=20)}."
    if "[key]" in detail["loc"]:
        return f"there is no key {str(path[-1])!r} here. There is: {join_words(_options(detail))}."
    if kind == "missing":
        return f"{what} is missing."
    if kind == "string_type" and taken is not None:
        return f'{what} is {taken[0]} without quotes, which YAML takes for {taken[1]}; write "{taken[0]}".'
    if kind in ("enum", "literal_error"):
        options = _options(detail)
        return f"{what} is {value!r}. Expected {join_words(options)}.{did_you_mean(str(value), options)}"
    if kind == "string_too_short":
        return f"{what} is empty."
    wanted = {
        "string_type": "text",
        "list_type": "a list",
        "tuple_type": "a list such as [1, 5]",
        "dict_type": "keys with values",
        "model_type": "keys with values",
        "float_type": "a number",
        "float_parsing": "a number",
    }.get(kind)
    text = shorten(repr(value), _VALUE_CHARS)
    if wanted is None:
        return f"{what} is {text}: {detail['msg'][0].lower()}{detail['msg'][1:]}."
    return f"{what} is {text}. Expected {wanted}."


def _twice(path: Path, document: Document, text: str) -> str:
    """Return the sentence of a broken rule; for a repeated name, with the first line."""
    if not text.endswith("twice"):
        return text
    listing, place, key = path
    parts = document.data.get(str(listing), [])
    wanted = parts[cast("int", place)].get(key) if parts else None
    for at, part in enumerate(parts):
        if part.get(key) == wanted:
            return f"{text}, first on line {document.line((listing, at, key))}."
    return f"{text}."


def _called(path: Path, document: Document) -> str:
    """Return a place in words, such as `case '02': severity`."""
    if len(path) < 2 or not isinstance(path[1], int):
        return ".".join(str(step) for step in path)
    parts: Any = document.data.get(str(path[0]))
    part = parts[path[1]] if isinstance(parts, list) and path[1] < len(parts) else None
    name = (part.get("id") or part.get("name")) if isinstance(part, dict) else None
    one = {"cases": "case", "criteria": "criterion"}.get(str(path[0]), str(path[0]))
    who = f"{one} {name!r}" if name is not None and "id" not in path else f"{one} {path[1] + 1}"
    rest = ".".join(str(step) for step in path[2:])
    return f"{who}: {rest}" if rest else who


def _fields(path: Path, model: type[BaseModel]) -> list[str]:
    for step in path:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation
        inner = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        model = next((kind for kind in inner if issubclass(kind, BaseModel)), model)
    return list(model.model_fields)


def _options(detail: ErrorDetails) -> list[str]:
    """Return the allowed words from pydantic's `'a', 'b' or 'c'`."""
    words = str(detail.get("ctx", {}).get("expected", "")).replace(" or ", ", ")
    return [word.strip().strip("'") for word in words.split(",")]
