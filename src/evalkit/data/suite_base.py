"""What a suite shows of itself: in a terminal, in a notebook cell, and where it is asked for what it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import BaseModel, ConfigDict

from evalkit.util.hostile_text import escape, visible
from evalkit.util.words import did_you_mean, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic._internal._model_construction import ModelMetaclass

else:
    ModelMetaclass = type(BaseModel)

# How much is shown: letters of a text, rows of a list.
_LETTERS: Final = 60
_ROWS: Final = 20


class _Told(ModelMetaclass):
    """What a class of suites has not is said with what it has: pydantic says the name alone."""

    def __getattr__(cls, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            if name.startswith("_"):
                raise
            have = [one for one in dir(cls) if one[0] != "_"]
            read = f" A file is read by {cls.__name__}.read(path)." if "read" in have else ""
            text = f"{cls.__name__} has no attribute {name!r}.{did_you_mean(name, have)}{read}"
            raise AttributeError(text, name=name, obj=cls) from None

    def __dir__(cls) -> list[str]:
        return _ours(super().__dir__())


# What pydantic has in every class, and nobody looks for in a suite.
_THEIRS: Final = {name for name in dir(BaseModel) if not name.startswith("_")}


def _ours(names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in _THEIRS]


class Part(BaseModel, metaclass=_Told):
    """A piece of a suite: no key that it does not know, checked again when it is changed."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    def __dir__(self) -> list[str]:
        return _ours(super().__dir__())

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield what was said, short: no page of anchors in a notebook cell."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value != field.default and isinstance(value, str | float | tuple):
                yield name, _short(value) if isinstance(value, str) else value


class RubricParts(Protocol):
    """A rubric as it is displayed."""

    suite: str
    criteria: Any


def told(rubric: RubricParts) -> str:
    """Return a rubric or a suite as lines: what it is, its criteria, its cases."""
    head, lists = _parts(rubric)
    lines = [head]
    for rows in lists.values():
        widths = [max((len(row[at]) for row in rows), default=0) for at in (0, 1)]
        lines += [f"  {name:<{widths[0]}}  {fact:<{widths[1]}}  {text}".rstrip() for name, fact, text in rows]
    return "\n".join(lines)


def told_html(rubric: RubricParts) -> str:
    """Return the same as tables, everything escaped."""
    head, lists = _parts(rubric)
    tables = ""
    for heads, rows in lists.items():
        cells = "".join(f"<th scope='col' style='text-align:left'>{one}</th>" for one in heads)
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        tables += f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    return f"<p><strong>{escape(head)}</strong></p>{tables}"


def _parts(rubric: RubricParts) -> tuple[str, dict[tuple[str, str, str], list[tuple[str, str, str]]]]:
    criteria, cases = rubric.criteria, getattr(rubric, "cases", None)
    counts = [plural(len(criteria), "criterion", plural="criteria")]
    lists = {
        ("criterion", "scale", "what it judges"): [
            (_short(one.name), f"{one.scale[0]:g} to {one.scale[1]:g}", _short(one.description))
            for one in criteria[:_ROWS]
        ]
    }
    if cases is not None:
        counts.insert(0, plural(len(cases), "case"))
        lists["case", "severity", "what it asks"] = [
            (_short(one.id), one.severity or "", _short(one.input or one.prompt)) for one in cases[:_ROWS]
        ]
        if len(cases) > _ROWS:
            lists["case", "severity", "what it asks"].append(("…", "", f"and {len(cases) - _ROWS:,} more"))
    return f"{type(rubric).__name__}: {visible(rubric.suite)}, {', '.join(counts)}", lists


def _short(text: str) -> str:
    line = " ".join(visible(text).split())
    return f"{line[: _LETTERS - 1]}…" if len(line) > _LETTERS else line
