"""Bases of results, and rows of `judge_forensics`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.result import Result
from evalkit.util.format import interval, number, percent
from evalkit.util.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.stats import Estimate

Row = dict[str, Any]

BIAS_ROWS: Final[dict[str, Any]] = {
    **dict.fromkeys(("finding", "scope"), pl.String()),
    **dict.fromkeys(("value", "low", "high"), pl.Float64()),
    **dict.fromkeys(("n", "cases"), pl.Int64()),
    "method": pl.String(),
    **dict.fromkeys(("level", "p_value", "p_adjusted"), pl.Float64()),
    **dict.fromkeys(("text", "status", "reason"), pl.String()),
}
HTML_ROWS = 40


@dataclass(frozen=True, eq=False, repr=False)
class JudgeResult(Result):
    """A result with a sentence, a summary, warnings and notes."""

    sentence: str
    summary: pl.DataFrame
    warnings: pl.DataFrame
    notes: tuple[str, ...]

    @property
    def table(self) -> pl.DataFrame:
        """The table as a polars frame."""
        return self.summary

    def explain(self) -> str:
        """Describe the result in a paragraph."""
        return printable(" ".join([self.sentence, *self.warnings["text"].to_list()[:3], *self.notes]))

    def _headline(self) -> str:
        return self.sentence

    def _remarks(self) -> Iterator[str]:
        yield from (f"{row['id']} {row['text']}" for row in self.warnings.iter_rows(named=True))
        yield from self.notes


def with_interval(
    value: float | None, low: float | None, high: float | None, *, as_percent: bool = False
) -> str:
    """Format a number with its interval: "0.61 [0.35, 0.78]"."""
    if value is None:
        return "not estimable"
    text = percent(value) if as_percent else number(value)
    return text if low is None else f"{text} {interval(low, high, percent=as_percent)}"


def estimate_text(e: Estimate) -> str:
    """Format an estimate with its interval."""
    return with_interval(e.estimate, e.low, e.high)


def bias_row(finding: str, scope: str, e: Estimate, answers: pl.DataFrame, text: str) -> Row:
    """Return the row of an estimate over answers."""
    return {
        "finding": finding,
        "scope": scope,
        "value": e.estimate,
        "low": e.low,
        "high": e.high,
        "n": answers.height,
        "cases": answers["unit"].n_unique(),
        "method": e.method,
        "p_value": e.p_value,
        "text": text if e.status == "ok" else f"Not estimable: {e.reason}.",
        "status": e.status,
        "reason": e.reason,
    }


def missing_row(finding: str, text: str) -> Row:
    """Return the row of a finding without data; the text names what it needs."""
    return {
        "finding": finding,
        "scope": "all",
        "n": 0,
        "cases": 0,
        "method": "",
        "text": text,
        "status": "not_estimable",
        "reason": "no such data",
    }
