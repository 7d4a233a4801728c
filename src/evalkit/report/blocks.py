"""The content of a report before it is HTML or Markdown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from evalkit.util.html_table import MISSING
from evalkit.util.words import NOT_GIVEN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from evalkit.report.chart_script import Drawn
    from evalkit.widgets.transcript_messages import JudgementView
    from evalkit.widgets.transcript_view import TranscriptView

_EMPTY = {"", MISSING, NOT_GIVEN}

Tone = Literal["", "error", "warn", "success", "muted"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell: its text, and its CSS classes (num, error, severity-high, ...)."""

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table with a caption; the first column names the row."""

    block: ClassVar[str] = "table"
    caption: str
    columns: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    key: str
    note: str = ""
    filterable: bool = False
    stacks: bool = False
    shown: ClassVar[int] = 20
    """Rows on the page; the others are folded."""

    @classmethod
    def of(
        cls,
        caption: str,
        heads: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        key: str,
        numeric: Collection[int] = (),
        **more: Any,
    ) -> ReportTable:
        """Make a table of cells or values; None is a missing value, `numeric` the columns aligned right."""
        kinds = ["num" if index in numeric else "" for index in range(len(heads))]
        columns = tuple(Cell(head, kind) for head, kind in zip(heads, kinds, strict=True))
        cells = (tuple(_cell(value, kind) for value, kind in zip(row, kinds, strict=True)) for row in rows)
        return cls(caption, columns, tuple(cells), key, **more)

    def trimmed(self) -> ReportTable:
        """Return the table without columns, after the first, that are empty in every row."""
        kept = [
            index
            for index in range(len(self.columns))
            if index == 0 or not self.rows or any(row[index].text not in _EMPTY for row in self.rows)
        ]
        return replace(
            self,
            columns=tuple(self.columns[index] for index in kept),
            rows=tuple(tuple(row[index] for index in kept) for row in self.rows),
        )


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    block: ClassVar[str] = "text"
    text: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class BulletList:
    """A list."""

    block: ClassVar[str] = "items"
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with a caption."""

    block: ClassVar[str] = "figure"
    key: str
    caption: str
    drawn: Drawn


@dataclass(frozen=True, slots=True)
class Reason:
    """A failed criterion: the mean that the rule used, its number of judgements, and the lowest of them."""

    criterion: str
    score: str
    samples: int
    lowest: JudgementView


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a flip: its counts, and one trial to read."""

    label: str
    verdict: str
    passes: int
    trials: int
    trial: str = ""
    reasons: tuple[Reason, ...] = ()
    transcript: TranscriptView | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """A case whose verdict changed, with a trial of each side."""

    block: ClassVar[str] = "flip"
    key: str
    case: str
    severity: str
    input: str
    candidate: Side
    baseline: Side
    test: str = ""


Block = ReportTable | Text | BulletList | Figure | Flip


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report with a heading that the table of contents links to."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report.

    Attributes
    ----------
    title, subject
        The title of the page, and the line above the headline.
    headline
        One sentence in pieces, each with its kind: "verdict", "severity", "alarm" (a critical or high case) or "".
    details
        The sentences below the headline.
    tone
        Colors the verdict.
    synthetic
        The notice of synthetic data, "" for real data.
    """

    title: str
    subject: str
    headline: tuple[tuple[str, str], ...]
    details: tuple[str, ...]
    tone: Tone
    figures: ReportTable
    asides: tuple[Text, ...]
    sections: tuple[Section, ...]
    made: str
    synthetic: str = ""


def if_known(text: Callable[..., str], *values: Any, **options: Any) -> str | None:
    """Return the values as text, None if one is missing."""
    return None if None in values else text(*values, **options)


def _cell(value: Any, kind: str) -> Cell:
    if isinstance(value, Cell):
        return replace(value, kind=f"{kind} {value.kind}".strip())
    if value is None:
        return Cell(MISSING, kind)
    return Cell(f"{value:,}" if isinstance(value, int) else str(value), kind)
