"""Two transcripts side by side: which turn stands opposite which, and which words differ."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.widgets.transcript_messages import Message

# Words, runs of white space and single signs.
_WORDS: Final = re.compile(r"\w+|\s+|[^\w\s]")
# Beyond this a stretch of turns is paired in order: to weigh every pair would take too long.
_WEIGHED: Final = 20_000
# So many words are compared one by one in a pair of transcripts; after that whole sections.
BUDGET: Final = 60_000
_LONGEST: Final = 20_000
_KINSHIP: Final = 0.2
# Where less than this share of the words is the same, marking the rest one by one is noise.
_REWORDED: Final = 0.4

Piece = tuple[str, bool]
"""A stretch of text, and whether the other side lacks it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A turn of the baseline opposite a turn of the candidate; None: that side has none there."""

    left: int | None
    right: int | None
    same: bool


@dataclass(frozen=True, slots=True)
class Words:
    """One section of a message: what it is ("" for its text), and its words with those that differ apart."""

    head: str
    pieces: tuple[Piece, ...]


def align(left: Sequence[Message], right: Sequence[Message]) -> list[Row]:
    """Put the turns of two transcripts opposite each other.

    Turns that are equal but for white space are anchors; between them, turns of the same role (and the same tools)
    stand opposite each other where their words are akin.
    """
    tokens = [_token(message) for message in left], [_token(message) for message in right]
    rows: list[Row] = []
    matcher = SequenceMatcher(None, tokens[0], tokens[1], autojunk=False)
    for word, i1, i2, j1, j2 in matcher.get_opcodes():
        if word == "equal":
            rows += [Row(i, j, same=True) for i, j in zip(range(i1, i2), range(j1, j2), strict=True)]
        else:
            rows += [Row(i, j, same=False) for i, j in _between(left, right, (i1, i2), (j1, j2))]
    return rows


def first_difference(rows: Sequence[Row]) -> int | None:
    """Return where the first row stands that differs, or None."""
    return next((at for at, row in enumerate(rows) if not row.same), None)


def compare_words(
    left: Message, right: Message, *, budget: int = BUDGET
) -> tuple[list[Words], list[Words], int]:
    """Return both messages in sections with the words that differ apart, and how many words were compared.

    Of sections that are longer than the budget, or have little in common, all differs.
    """
    heads = [[_head(part.summary) for part in message.parts] for message in (left, right)]
    sides: tuple[list[Words], list[Words]] = ([], [])
    spent = 0
    matcher = SequenceMatcher(None, heads[0], heads[1], autojunk=False)
    for word, i1, i2, j1, j2 in matcher.get_opcodes():
        if word == "equal":
            for i, j in zip(range(i1, i2), range(j1, j2), strict=True):
                a, b, used = _pieces(left.parts[i].text, right.parts[j].text, budget - spent)
                spent += used
                sides[0].append(Words(heads[0][i], a))
                sides[1].append(Words(heads[1][j], b))
        else:
            sides[0].extend(
                Words(heads[0][i], ((left.parts[i].text[:_LONGEST], True),)) for i in range(i1, i2)
            )
            sides[1].extend(
                Words(heads[1][j], ((right.parts[j].text[:_LONGEST], True),)) for j in range(j1, j2)
            )
    return *sides, spent


def whole_message(message: Message, *, differs: bool) -> list[Words]:
    """Return a message in sections, none of its words compared."""
    return [Words(_head(part.summary), ((part.text[:_LONGEST], differs),)) for part in message.parts]


def _token(message: Message) -> str:
    """Return a turn as one string: its role and everything in it, white space evened out."""
    return "\x1f".join(
        [message.role, *(f"{_head(p.summary)}\x1e{' '.join(p.text.split())}" for p in message.parts)]
    )


def _head(summary: str) -> str:
    """Return what a folded part is, without its size and its beginning: "Tool call write_file"."""
    return re.sub(r" \([\d,]+ characters\)", "", summary).split(":")[0]


def _between(
    left: Sequence[Message], right: Sequence[Message], ours: tuple[int, int], theirs: tuple[int, int]
) -> list[tuple[int | None, int | None]]:
    """Pair the turns between two anchors so that the sum of their kinships is the largest."""
    first, second = range(*ours), range(*theirs)
    if len(first) * len(second) > _WEIGHED:
        both = min(len(first), len(second))
        pairs: list[tuple[int | None, int | None]] = list(zip(first[:both], second[:both], strict=True))
        return [*pairs, *((i, None) for i in first[both:]), *((None, j) for j in second[both:])]
    bags = {i: _bag(left[i]) for i in first}, {j: _bag(right[j]) for j in second}
    best = [[0.0] * (len(second) + 1) for _ in range(len(first) + 1)]
    kin = [[0.0] * len(second) for _ in first]
    for a in range(len(first) - 1, -1, -1):
        for b in range(len(second) - 1, -1, -1):
            i, j = first[a], second[b]
            if left[i].kind == right[j].kind:
                kin[a][b] = _KINSHIP + _overlap(bags[0][i], bags[1][j])
            best[a][b] = max(best[a + 1][b], best[a][b + 1], best[a + 1][b + 1] + kin[a][b])
    made: list[tuple[int | None, int | None]] = []
    a = b = 0
    while a < len(first) and b < len(second):
        if kin[a][b] and best[a][b] == best[a + 1][b + 1] + kin[a][b]:
            made.append((first[a], second[b]))
            a, b = a + 1, b + 1
        elif best[a][b] == best[a + 1][b]:
            made.append((first[a], None))
            a += 1
        else:
            made.append((None, second[b]))
            b += 1
    return [*made, *((i, None) for i in first[a:]), *((None, j) for j in second[b:])]


def _bag(message: Message) -> Counter[str]:
    # A tool's name counts as much as a sentence: the same tool called otherwise is the same step.
    heads = [_head(part.summary) for part in message.parts for _ in range(8) if part.summary]
    return Counter([*heads, *(word for part in message.parts for word in part.text[:_LONGEST].split()[:400])])


def _overlap(first: Counter[str], second: Counter[str]) -> float:
    every = first.total() + second.total()
    return 2 * (first & second).total() / every if every else 1.0


def _pieces(left: str, right: str, budget: int) -> tuple[tuple[Piece, ...], tuple[Piece, ...], int]:
    left, right = left[:_LONGEST], right[:_LONGEST]
    if left == right:
        return ((left, False),), ((right, False),), 0
    words = _WORDS.findall(left), _WORDS.findall(right)
    count = len(words[0]) + len(words[1])
    if count > budget:
        return ((left, True),), ((right, True),), 0
    codes = SequenceMatcher(None, words[0], words[1]).get_opcodes()
    same = sum(len("".join(words[0][i1:i2]).strip()) for word, i1, i2, _, _ in codes if word == "equal")
    if 2 * same < _REWORDED * (len(left) + len(right)):
        return ((left, True),), ((right, True),), count
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    for word, i1, i2, j1, j2 in codes:
        for side, text in zip(sides, ("".join(words[0][i1:i2]), "".join(words[1][j1:j2])), strict=True):
            if text:
                side.append((text, word != "equal"))
    return tuple(sides[0]), tuple(sides[1]), count
