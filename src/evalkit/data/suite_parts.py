"""Base classes of a suite's parts, severities, hashes and rubric display."""

from __future__ import annotations

import hashlib
import json
import operator
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import BaseModel, ConfigDict

from evalkit.util.format import shorten
from evalkit.util.hostile_text import escape, visible
from evalkit.util.html_table import Html, html_table
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

_TEXT_CHARS: Final = 60
_ROWS: Final = 20
_Cells = tuple[str, str, str]


_INHERITED: Final = {name for name in dir(BaseModel) if not name.startswith("_")}


class _PartType(ModelMetaclass):
    """Limit completion to names of the suite, without pydantic's."""

    def __dir__(cls) -> list[str]:
        return [name for name in super().__dir__() if name not in _INHERITED]


class Part(BaseModel, metaclass=_PartType):
    """A part of a suite: unknown keys are refused, changes are validated."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _INHERITED]

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield the short fields that differ from their default."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value != field.default and isinstance(value, str | float | tuple):
                yield name, _short(value) if isinstance(value, str) else value


def _by_rank(compare: Callable[[int, int], bool]) -> Callable[[Severity, str], bool]:
    return lambda left, right: compare(left.rank, Severity(right).rank)


class Severity(StrEnum):
    """Severity of a failure: critical > high > medium > low.

    Examples
    --------
    >>> Severity.critical > Severity.high, Severity("low") < "medium"
    (True, True)
    >>> sorted(["high", "critical", "low"], key=Severity, reverse=True)
    ['critical', 'high', 'low']
    """

    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"

    @property
    def rank(self) -> int:
        """0 for the mildest, 3 for the worst."""
        return list(Severity).index(self)

    __lt__ = _by_rank(operator.lt)
    __le__ = _by_rank(operator.le)
    __gt__ = _by_rank(operator.gt)
    __ge__ = _by_rank(operator.ge)


def digest(content: object) -> str:
    """Return 12 hex digits of the content, ignoring white space."""
    text = json.dumps(_squeezed(content), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def _squeezed(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, dict):
        return {key: _squeezed(item) for key, item in value.items()}
    return [_squeezed(item) for item in value] if isinstance(value, list) else value


class RubricParts(Protocol):
    """The displayed parts of a rubric."""

    suite: str
    criteria: Any


def as_text(rubric: RubricParts) -> str:
    """Return a rubric or suite as lines: name, criteria, cases."""
    headline, tables = _parts(rubric)
    lines = [headline]
    for rows in tables.values():
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        lines += [f"  {name:<{widths[0]}}  {fact:<{widths[1]}}  {text}".rstrip() for name, fact, text in rows]
    return "\n".join(lines)


def as_html(rubric: RubricParts) -> Html:
    """Return a rubric or suite as tables."""
    headline, tables = _parts(rubric)
    body = "".join(html_table(head, rows) for head, rows in tables.items())
    return Html(f"<p><strong>{escape(headline)}</strong></p>{body}")


def _parts(rubric: RubricParts) -> tuple[str, dict[_Cells, list[_Cells]]]:
    criteria, cases = rubric.criteria, getattr(rubric, "cases", None)
    counts = [plural(len(criteria), "criterion", plural="criteria")]
    tables = {
        ("Criterion", "Scale", "Description"): [
            (_short(each.name), f"{each.scale[0]:g} to {each.scale[1]:g}", _short(each.description))
            for each in criteria[:_ROWS]
        ]
    }
    if cases is not None:
        counts.insert(0, plural(len(cases), "case"))
        rows = [
            (_short(case.id), case.severity or "", _short(case.input or case.prompt))
            for case in cases[:_ROWS]
        ]
        if len(cases) > _ROWS:
            rows.append(("…", "", f"and {len(cases) - _ROWS:,} more"))
        tables["Case", "Severity", "Input"] = rows
    return f"{type(rubric).__name__}: {visible(rubric.suite)}, {', '.join(counts)}", tables


def _short(text: str) -> str:
    return shorten(" ".join(visible(text).split()), _TEXT_CHARS)
