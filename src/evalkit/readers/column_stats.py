"""What the cells of a column say about it."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import is_messages
from evalkit.data.content_blocks import arguments
from evalkit.readers import guess_rules as rules
from evalkit.readers.guess_rules import plain_name
from evalkit.readers.score_values import parse_number

if TYPE_CHECKING:
    import polars as pl

_FEW_WORDS: Final = 12
_SHORT: Final = 30
_NOTATIONS: Final = {
    "85%": re.compile(r"[-+\d.,]+\s*%"),
    "4/5": re.compile(r"[-\d.,]+\s*/\s*\d+"),
    "4,5": re.compile(r"-?\d+,\d+"),
    "4": re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?\.?"),
}


class ColumnStats:
    """A column of a sample of records.

    `plain` is its name to compare by, `last` the part after the last dot.
    """

    def __init__(self, cells: pl.Series, *, decimal: str = ".") -> None:
        self.name = cells.name
        self.rows = len(cells)
        self.decimal = decimal
        self.is_nested = cells.dtype.is_nested()
        self.cells: list[Any] = [
            value
            for value in cells.to_list()
            if value is not None and not (isinstance(value, str) and not value.strip())
        ]
        self.plain = plain_name(self.name)
        self.last = self.plain.rpartition(".")[2]
        self.parents = self.plain.split(".")[:-1]

    @property
    def flat(self) -> str:
        """The plain name without dots."""
        return self.plain.replace(".", "_")

    @property
    def count(self) -> int:
        """The number of cells that are not empty."""
        return len(self.cells)

    @cached_property
    def texts(self) -> list[str]:
        """The cells as text."""
        return [
            str(cell).strip().lower() if isinstance(cell, bool) else str(cell).strip() for cell in self.cells
        ]

    @cached_property
    def numbers(self) -> list[float]:
        """The cells that are numbers."""
        if all(isinstance(cell, int | float) for cell in self.cells):
            return [float(cell) for cell in self.cells if math.isfinite(cell)]
        parsed = (parse_number(text, self.decimal) for text in self.texts)
        return [value for value in parsed if value is not None]

    @cached_property
    def words(self) -> Counter[str]:
        """How often each text occurs, without case."""
        return Counter(text.casefold() for text in self.texts)

    @cached_property
    def distinct(self) -> int:
        """The number of different cells."""
        return len(set(self.texts))

    @cached_property
    def length(self) -> float:
        """The mean length of the texts."""
        return sum(map(len, self.texts)) / max(self.count, 1)

    @cached_property
    def is_boolean(self) -> bool:
        """Whether every cell is true or false."""
        return bool(self.cells) and set(self.words) <= {"true", "false"}

    @cached_property
    def is_numeric(self) -> bool:
        """Whether most cells are numbers."""
        return bool(self.cells) and not self.is_boolean and len(self.numbers) >= 0.6 * self.count

    @cached_property
    def is_text(self) -> bool:
        """Whether most cells are neither numbers nor true or false."""
        return bool(self.cells) and not self.is_boolean and len(self.numbers) < 0.5 * self.count

    @cached_property
    def is_json(self) -> bool:
        """Whether the cells are lists or objects."""
        return self.is_nested or all(text[:1] in ("{", "[") for text in self.texts[:5])

    @cached_property
    def is_whole(self) -> bool:
        """Whether every number is whole."""
        return all(value == int(value) for value in self.numbers)

    @cached_property
    def verdict_share(self) -> float:
        """The share of cells that are words of a verdict, 0 if the column is none."""
        if not self.cells or self.is_numeric or len(self.words) > _FEW_WORDS or self.length > _SHORT:
            return 0.0
        if not set(self.words) & (rules.YES | rules.NO):
            return 0.0
        known = rules.YES | rules.NO | rules.UNSCORED | rules.OPEN_WORDS
        return sum(n for word, n in self.words.items() if word in known) / self.count

    @cached_property
    def notations(self) -> set[str]:
        """The ways in which its numbers are written."""
        return {
            name
            for text in set(self.texts)
            for name, pattern in _NOTATIONS.items()
            if pattern.fullmatch(text)
        }

    @cached_property
    def is_metric(self) -> bool:
        """Whether its name is that of a metric from 0 to 1."""
        names = {self.last, re.sub(r"_(score|metric|value)$", "", self.last), *self.plain.split(".")}
        return bool(names & rules.METRICS_01) or bool(rules.RETRIEVAL.search(self.last))

    @cached_property
    def is_named_score(self) -> bool:
        """Whether its name is that of a judgement."""
        return bool(rules.SCORE_NAME.search(self.last) or self.is_metric or rules.LOWER.search(self.last))

    @property
    def is_inside_scores(self) -> bool:
        """Whether it is a field of `scores`, `metrics` or the like."""
        # `outputs.latency` may be anything, `outputs.judge.tone` is a metric.
        is_deep = len(self.parents) > 1
        return any(
            rules.SCORE_PARENTS.search(parent) and (is_deep or parent not in rules.WIDE_PARENTS)
            for parent in self.parents
        )

    @cached_property
    def is_prose(self) -> bool:
        """Whether the cells are texts of words, no codes."""
        spaced = sum(
            " " in text.strip() or len(text) > 40 or text.strip(" .,!?").isalpha() for text in self.texts
        )
        return self.is_text and not self.is_json and 2 * spaced >= self.count

    @cached_property
    def holds_messages(self) -> bool:
        """Whether its cells are lists of chat messages."""
        return bool(self.cells) and all(is_messages(arguments(cell)) for cell in self.cells[:5])
