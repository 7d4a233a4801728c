"""What a report is made of, before it is HTML or Markdown: headline, sections, tables, figures; numbers in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from evalkit.util.words import NOT_GIVEN

if TYPE_CHECKING:
    from evalkit.report.chart_script import Drawn
    from evalkit.widgets.transcript_messages import JudgementView
    from evalkit.widgets.transcript_view import TranscriptView

MINUS = "\u2212"
NOTHING = "–"
_EMPTY = {"", NOTHING, NOT_GIVEN}

Tone = Literal["", "bad", "warn", "good", "muted"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell: its text, and how it is shown. `kind` is the CSS class: num, bad, severity-high, ..."""

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
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
    """So many rows are on the page; the others are folded."""

    def trimmed(self) -> Table:
        """Return the table without the columns, but for the first, that say nothing in any row."""
        kept = [
            at
            for at in range(len(self.columns))
            if at == 0 or not self.rows or any(row[at].text not in _EMPTY for row in self.rows)
        ]
        return replace(
            self,
            columns=tuple(self.columns[at] for at in kept),
            rows=tuple(tuple(row[at] for at in kept) for row in self.rows),
        )


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    block: ClassVar[str] = "text"
    text: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Items:
    """A list; more of it than fits is counted."""

    block: ClassVar[str] = "items"
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its number in words."""

    block: ClassVar[str] = "figure"
    key: str
    caption: str
    drawn: Drawn


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a criterion failed: the mean that the rule used, over how many judgements, and the lowest of them."""

    criterion: str
    score: str
    samples: int
    said: JudgementView


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a flip: how its trials went, and one of them to read."""

    label: str
    verdict: str
    passes: int
    trials: int
    chosen: str = ""
    reasons: tuple[Reason, ...] = ()
    transcript: TranscriptView | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """A case whose verdict changed, with a trial of either side."""

    block: ClassVar[str] = "flip"
    key: str
    case: str
    severity: str
    kind: str
    asked: str
    candidate: Side
    baseline: Side
    test: str = ""


Block = Table | Text | Items | Figure | Flip


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
    title
        What it is about: the page's title and the line above the headline.
    headline, details
        The verdict: one sentence in pieces, each with what it is ("verdict", "severity", "alarm" for what a
        critical or high case does, "" for the rest); then what else must be known at once.
    tone
        Colours the verdict's word.
    made_up
        What says that the data is made up, "" where it is not.
    """

    title: str
    subject: str
    headline: tuple[tuple[str, str], ...]
    details: tuple[str, ...]
    tone: Tone
    figures: Table
    asides: tuple[Text, ...]
    sections: tuple[Section, ...]
    made: str
    made_up: str = ""


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with a true minus sign; a dash where there is none.

    Examples
    --------
    >>> number(-0.257), number(None), number(3, 0)
    ('−0.26', '–', '3')
    """
    if value is None:
        return NOTHING
    text = f"{value:,.{digits}f}"
    return text.replace("-", MINUS) if float(text.replace(",", "")) != 0 else text.removeprefix("-")


def signed(value: float | None, digits: int = 2) -> str:
    """Return a difference with its sign.

    Examples
    --------
    >>> signed(0.25), signed(-0.001), signed(None)
    ('+0.25', '0.00', '–')
    """
    text = number(value, digits)
    return f"+{text}" if value is not None and text.strip("0.") and not text.startswith(MINUS) else text


def percent(value: float | None, digits: int = 1) -> str:
    """Return a rate as a percentage; what is not quite all or none is not rounded to it.

    Examples
    --------
    >>> percent(0.8889), percent(0.9999), percent(1.0), percent(None)
    ('88.9%', '>99.9%', '100%', '–')
    """
    if value is None:
        return NOTHING
    if value in (0, 1):
        return f"{value * 100:.0f}%"
    text = f"{value * 100:.{digits}f}"
    if float(text) in (0, 100):
        step = 10**-digits
        return f">{100 - step:.{digits}f}%" if value > 0.5 else f"<{step:.{digits}f}%"
    return f"{text}%"


def interval(low: float | None, high: float | None, *, metric: str = "mean_score") -> str:
    """Return an interval of a difference, in points of a percentage for a rate.

    Examples
    --------
    >>> interval(-0.25, 0.105, metric="pass_rate"), interval(None, 1.0)
    ('[−25.0, +10.5]', '–')
    """
    if low is None or high is None:
        return NOTHING
    factor, digits = (100, 1) if metric == "pass_rate" else (1, 2)
    return f"[{signed(low * factor, digits)}, {signed(high * factor, digits)}]"
