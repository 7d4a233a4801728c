"""What every finding has: a sentence, a table, warnings, and how a terminal and a notebook show them."""

from __future__ import annotations

import html
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.stats import Estimate

WARNINGS: Final = {"id": pl.String(), "scope": pl.String(), "text": pl.String()}
_MOST: Final = 40


@dataclass(frozen=True, eq=False, repr=False)
class Finding:
    """A sentence, the table it stands on, and what to beware of.

    Attributes
    ----------
    sentence
        What was found, with its numbers.
    summary
        The table.
    warnings
        polars frame `id` (W01 ...), `scope`, `text`.
    notes
        What was taken for what.
    """

    sentence: str
    summary: pl.DataFrame
    warnings: pl.DataFrame
    notes: tuple[str, ...]

    def to_frame(self) -> pl.DataFrame:
        """Return the table."""
        return self.summary

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    def explain(self) -> str:
        """Return a paragraph for somebody who does not read tables."""
        from evalkit.util.words import printable

        return printable(" ".join([self.sentence, *self.warnings["text"].to_list()[:3], *self.notes]))

    def __repr__(self) -> str:
        from evalkit.util.words import printable

        lines = [
            self.sentence,
            *(f"  {row['id']} {row['text']}" for row in self.warnings.iter_rows(named=True)),
        ]
        return printable("\n".join([*lines, *(f"  {note}" for note in self.notes)]))

    def _repr_html_(self) -> str:
        warnings = "".join(
            f"<li>{html.escape(row['text'])} <small>({html.escape(row['id'])})</small></li>"
            for row in self.warnings.iter_rows(named=True)
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        said = f"<ul>{warnings}{notes}</ul>" if warnings or notes else ""
        return f"<p><strong>{html.escape(self.sentence)}</strong></p>{table(*self._cells())}{said}"

    def _cells(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return the heads and the rows that a notebook shows."""
        return self.summary.columns, [[_cell(value) for value in row] for row in self.summary.iter_rows()]


def finding(name: str, scope: str, e: Estimate, n: int, cases: int, text: str) -> dict[str, Any]:
    """Return a row of the table of forensics; without an estimate the text says why."""
    return {
        "finding": name,
        "scope": scope,
        "value": e.estimate,
        "low": e.low,
        "high": e.high,
        "n": n,
        "cases": cases,
        "method": e.method,
        "p_value": e.p_value,
        "text": text if e.status == "ok" else f"Not estimable: {e.reason}.",
        "status": e.status,
        "reason": e.reason,
    }


def nothing_found(name: str, text: str) -> dict[str, Any]:
    """Return the row of a finding for which there are no data: the text says what it needs."""
    return {
        "finding": name,
        "scope": "all",
        "n": 0,
        "cases": 0,
        "method": "",
        "text": text,
        "status": "not_estimable",
        "reason": "the data for it is not there",
    }


def table(heads: Sequence[str], body: list[list[str]]) -> str:
    """Return an HTML table; every text in it is escaped."""
    head = "".join(f"<th scope='col' style='text-align:left'>{html.escape(name)}</th>" for name in heads)
    rows = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(text)}</td>" for text in row) + "</tr>"
        for row in body[:_MOST]
    )
    rest = f"<p>{plural(len(body) - _MOST, 'more row')}.</p>" if len(body) > _MOST else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{rest}"


def number(value: float | None, digits: int = 2) -> str:
    """Return a number as words; "" where there is none."""
    return "" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def reach(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """Return a number with its interval as words, e.g. "0.61 [0.35, 0.78]"."""
    if value is None:
        return "not estimable"
    return number(value, digits) + (
        "" if low is None else f" [{number(low, digits)}, {number(high, digits)}]"
    )


def warnings_frame(found: Sequence[tuple[str, str, str]]) -> pl.DataFrame:
    """Return warnings as a frame, one row for each number and text."""
    return pl.DataFrame(list(dict.fromkeys(found)), schema=WARNINGS, orient="row")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return number(value, 3)
    return "" if value is None else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        return value.to_dicts()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return list(value) if isinstance(value, tuple) else value
