"""The base of what this package returns, and its way to print an estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.data.result import Result
from evalkit.util.format import interval, number, percent
from evalkit.util.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

HTML_ROWS = 40


@dataclass(frozen=True, eq=False, repr=False)
class JudgeResult(Result):
    """A sentence, the table behind it, and warnings.

    Attributes
    ----------
    sentence
        The main result with its numbers.
    summary
        The table.
    warnings
        polars frame `id` (W01 ...), `scope`, `text`.
    notes
        Choices made about the data.
    """

    sentence: str
    summary: pl.DataFrame
    warnings: pl.DataFrame
    notes: tuple[str, ...]

    @property
    def table(self) -> pl.DataFrame:
        """The table as a polars frame."""
        return self.summary

    def explain(self) -> str:
        """Return a paragraph for readers who do not read tables."""
        return printable(" ".join([self.sentence, *self.warnings["text"].to_list()[:3], *self.notes]))

    def _headline(self) -> str:
        return self.sentence

    def _remarks(self) -> Iterator[str]:
        yield from (f"{row['id']} {row['text']}" for row in self.warnings.iter_rows(named=True))
        yield from self.notes


def with_interval(
    value: float | None, low: float | None, high: float | None, *, as_percent: bool = False
) -> str:
    """Return a number with its interval, for example "0.61 [0.35, 0.78]"."""
    if value is None:
        return "not estimable"
    text = percent(value) if as_percent else number(value)
    return text if low is None else f"{text} {interval(low, high, percent=as_percent)}"
