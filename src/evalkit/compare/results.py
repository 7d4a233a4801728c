"""Bases of the results of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.compare.estimates import SUMMARY
from evalkit.compare.warnings import remark
from evalkit.data.result import Result, warnings_frame
from evalkit.util.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

    from evalkit.util.notes import Warning


class DescribedResult(Result):
    """A result with a sentence and notes."""

    sentence: str
    notes: tuple[str, ...]

    def explain(self) -> str:
        """Describe the result in a paragraph."""
        return printable(" ".join([self.sentence, *self.notes]))

    def _headline(self) -> str:
        return self.sentence

    def _remarks(self) -> Iterable[str]:
        return self.notes


class EstimatedResult(Result):
    """A result with a sentence, estimates and warnings."""

    sentence: str
    estimates: pl.DataFrame
    cautions: tuple[Warning, ...]

    @property
    def table(self) -> pl.DataFrame:
        """All columns of the estimates."""
        return self.estimates

    @property
    def summary(self) -> pl.DataFrame:
        """The main columns of the estimates."""
        return self.estimates.select(list(SUMMARY))

    @property
    def warnings(self) -> pl.DataFrame:
        """The warnings."""
        return warnings_frame(self.cautions)

    def _headline(self) -> str:
        return self.sentence

    def _remarks(self) -> Iterable[str]:
        return [remark(warning) for warning in self.cautions]
