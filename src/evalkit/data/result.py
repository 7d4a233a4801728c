"""The base of the results of verbs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import polars as pl

from evalkit.util.format import number
from evalkit.util.hostile_text import escape
from evalkit.util.html_table import Html, html_list, html_table
from evalkit.util.words import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from evalkit.util.notes import Warning

T = TypeVar("T")

WARNINGS: Final = {"id": pl.String(), "scope": pl.String(), "text": pl.String()}
SCHEMA_VERSION: Final = 1
_ROWS: Final = 40


class Result:
    """A finished analysis: a polars frame with exports.

    Subclasses define `table` and may override `_headline`, `_remarks`, `_html_tables` and `_facts`.
    """

    __slots__ = ()
    schema: ClassVar[str] = ""

    @property
    def table(self) -> pl.DataFrame:
        """The main table."""
        raise NotImplementedError(type(self).__name__)

    def to_frame(self) -> pl.DataFrame:
        """Return the main table as a polars frame."""
        return self.table

    def to_pandas(self) -> Any:
        """Return the main table as a pandas frame."""
        return self.table.to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """Return `schema`, `schema_version` and the result's fields as plain data."""
        name = self.schema or type(self).__name__.lower()
        return {"schema": f"evalkit/{name}", "schema_version": SCHEMA_VERSION, **self._facts()}

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), allow_nan=False, default=str, ensure_ascii=False, indent=indent)

    def pipe(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return `function(self, ...)`."""
        return function(self, *args, **kwargs)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return printable("\n".join([self._headline(), *(f"  {remark}" for remark in self._remarks())]))

    def _repr_html_(self) -> str:
        headline = f"<p><strong>{escape(self._headline())}</strong></p>"
        return headline + "".join(self._html_tables()) + html_list(self._remarks())

    def _headline(self) -> str:
        return f"{type(self).__name__}: {self.table.height:,} rows"

    def _remarks(self) -> Iterable[str]:
        return ()

    def _html_tables(self) -> Iterable[Html]:
        yield frame_table(self.table)

    def _facts(self) -> dict[str, Any]:
        fields: Any = getattr(self, "__dataclass_fields__", ())
        return {name: plain_data(getattr(self, name)) for name in fields} or {"table": self.table.to_dicts()}


def frame_table(frame: pl.DataFrame, *, limit: int = _ROWS) -> Html:
    """Return a frame as an HTML table of at most `limit` rows."""
    rows = [[_cell(value) for value in row] for row in frame.head(limit + 1).iter_rows()]
    numeric = [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
    table = html_table(frame.columns, rows[:limit], numeric=numeric)
    rest = frame.height - limit
    return Html(f"{table}<p>… and {rest:,} more rows</p>") if rest > 0 else table


def warnings_frame(warnings: Iterable[Warning]) -> pl.DataFrame:
    """Return warnings as a frame: `id`, `scope`, `text`."""
    rows = [(warning.id, warning.scope, warning.text) for warning in warnings]
    return pl.DataFrame(rows, schema=WARNINGS, orient="row")


def plain_data(value: Any) -> Any:
    """Return JSON data: frames as rows, dataclasses and mappings as dicts."""
    if isinstance(value, pl.DataFrame):
        return value.to_dicts()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_data(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _cell(value: object) -> object:
    if isinstance(value, float):
        return number(value, 0 if value == int(value) else 3) if value == value else None
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value
