"""Judgements of a table that cannot be read: one problem per text, an error if they are many."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from evalkit.data.schema import Problem
from evalkit.util.errors import FormatError
from evalkit.util.words import Option, Sentence, join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

# A table loses at most this share of its judgements, or this many, without an error.
_MOST_LOST: Final = 0.2
_FEW_LOST: Final = 2
_LINES_SHOWN: Final = 3


@dataclass(slots=True)
class Loss:
    """Counts of the judgements of a table: `given`, `lost`, and the unreadable texts per criterion."""

    source: str
    given: int = 0
    lost: int = 0
    unread: Counter[tuple[str, str]] = field(default_factory=Counter)

    def report(self, bad: pl.DataFrame) -> Iterator[Problem]:
        """Yield a problem per text that is no score; `bad` has `error`, `line` and `criterion`."""
        self.lost += bad.height
        for text, lines, criteria in (
            bad.group_by("error", maintain_order=True).agg("line", "criterion").iter_rows()
        ):
            names = ", ".join(dict.fromkeys(criteria))
            self.unread[text, names] += len(lines)
            places = list(map(str, dict.fromkeys(lines)))
            some = f"{', '.join(places[:_LINES_SHOWN])}{', ...' if len(places) > _LINES_SHOWN else ''}"
            more = f" ({len(places)} rows, lines {some})" if len(places) > 1 else ""
            reason = f"{names}: the score is {text!r}, not a finite number{more}"
            yield Problem(self.source, lines[0], reason)

    def refuse(self) -> None:
        """Raise if more than a fifth of the judgements are lost."""
        if self.lost <= max(_MOST_LOST * self.given, _FEW_LOST):
            return
        what = f"{self.source}: {plural(self.lost, 'judgement')} of {self.given} cannot be read."
        load_anyway = Option("strict", value=False, shell="--lenient")
        if not self.unread:
            text = "Several rows have the same case, run and epoch, and only the first of them is kept."
            fix = 'Map "epoch" to the column that tells them apart, or to "count"; to load anyway: {option}.'
            raise FormatError(f"{what} {text}", argument="mapping", fix=Sentence(fix, option=load_anyway))
        common = self.unread.most_common(3)
        seen = join_words(f"{text!r} of {names} ({count})" for (text, names), count in common)
        words = {text: None for (text, _), _ in common}
        fix = Sentence(
            "Say what each is worth (null: unscored): {values}; to load anyway: {option}.",
            values=Option(
                "values", words, python=f'"criteria": {{{common[0][0][1]!r}: {{"values": {words!r}}}}}'
            ),
            option=load_anyway,
        )
        raise FormatError(f"{what} The commonest: {seen}.", argument="mapping", fix=fix)
