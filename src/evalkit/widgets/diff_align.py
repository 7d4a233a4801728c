"""Compare texts word by word, and transcripts turn by turn."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.widgets.transcript_messages import MessagePart, TranscriptMessage

# Words, white space and single characters.
_WORDS: Final = re.compile(r"\w+|\s+|[^\w\s]")
# Longer stretches of turns are paired in order: comparing every pair would take too long.
_MAX_PAIRS: Final = 20_000
# Words compared one by one in a pair of transcripts; after that, whole sections differ.
BUDGET: Final = 60_000
_MAX_TEXT: Final = 20_000
_SAME_ROLE: Final = 0.2
# With less than this share in common, marking single words is noise.
_MIN_SAME: Final = 0.4

Change = tuple[str, str]
"""A piece of text, and whether it is "same", "added" or "removed"."""
Piece = tuple[str, bool]
"""A piece of text, and whether the other side lacks it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A turn of the baseline beside one of the candidate; None: no turn."""

    left: int | None
    right: int | None
    same: bool


Section = tuple[str, tuple[Piece, ...]]
"""A section of a message: its head ("" for its text), and its words, those that differ apart."""


def word_diff(before: str, after: str) -> list[Change]:
    """Diff two texts word by word; with little in common, replace everything."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    changes: list[Change] = []
    same = 0
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, old, new).get_opcodes():
        left, right = "".join(old[i1:i2]), "".join(new[j1:j2])
        if kind == "equal":
            same += len(left.strip())
            changes.append((left, "same"))
        else:
            changes += [(left, "removed"), (right, "added")]
    if 2 * same < _MIN_SAME * (len(before) + len(after)):
        changes = [(before, "removed"), (after, "added")]
    return [change for change in changes if change[0]]


def align(left: Sequence[TranscriptMessage], right: Sequence[TranscriptMessage]) -> list[Row]:
    """Align the turns of two transcripts.

    Equal turns are anchors. Between them, turns of the same role (and tools) are paired by similarity.
    """
    old, new = ([_token(message) for message in side] for side in (left, right))
    rows: list[Row] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        pairs = (
            zip(range(i1, i2), range(j1, j2), strict=True)
            if kind == "equal"
            else _pair(left, right, range(i1, i2), range(j1, j2))
        )
        rows += [Row(i, j, same=kind == "equal") for i, j in pairs]
    return rows


def first_difference(rows: Sequence[Row]) -> int | None:
    """Return the index of the first row that differs, or None."""
    return next((index for index, row in enumerate(rows) if not row.same), None)


def compare_words(
    left: TranscriptMessage, right: TranscriptMessage, *, budget: int = BUDGET
) -> tuple[list[Section], list[Section], int]:
    """Return both messages with differing words apart, and the words compared.

    A section above the budget, or with little in common, differs as a whole.
    """
    old, new = ([_head(part.summary) for part in message.parts] for message in (left, right))
    before: list[Section] = []
    after: list[Section] = []
    spent = 0
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            before += whole_sections(left.parts[i1:i2], differs=True)
            after += whole_sections(right.parts[j1:j2], differs=True)
            continue
        for one, other in zip(left.parts[i1:i2], right.parts[j1:j2], strict=True):
            a, b, used = _pieces(one.text[:_MAX_TEXT], other.text[:_MAX_TEXT], budget - spent)
            spent += used
            before.append((_head(one.summary), a))
            after.append((_head(other.summary), b))
    return before, after, spent


def whole_sections(parts: Sequence[MessagePart], *, differs: bool) -> list[Section]:
    """Return the sections of a message without comparing words."""
    return [(_head(part.summary), ((part.text[:_MAX_TEXT], differs),)) for part in parts]


def _pieces(left: str, right: str, budget: int) -> tuple[tuple[Piece, ...], tuple[Piece, ...], int]:
    if left == right:
        return ((left, False),), ((right, False),), 0
    count = len(_WORDS.findall(left)) + len(_WORDS.findall(right))
    if count > budget:
        return ((left, True),), ((right, True),), 0
    changes = word_diff(left, right)
    before, after = (
        tuple((text, kind == mine) for text, kind in changes if kind in ("same", mine))
        for mine in ("removed", "added")
    )
    return before, after, count


def _token(message: TranscriptMessage) -> str:
    parts = (f"{_head(part.summary)}\x1e{' '.join(part.text.split())}" for part in message.parts)
    return "\x1f".join([message.role, *parts])


def _head(summary: str) -> str:
    """Return the kind of a folded part, such as "Tool call write_file"."""
    return re.sub(r" \([\d,]+ characters\)", "", summary).split(":")[0]


def _pair(
    left: Sequence[TranscriptMessage], right: Sequence[TranscriptMessage], first: range, second: range
) -> list[tuple[int | None, int | None]]:
    """Pair the turns between two anchors for the largest sum of similarities."""
    n, m = len(first), len(second)
    if n * m > _MAX_PAIRS:
        both = min(n, m)
        pairs: list[tuple[int | None, int | None]] = list(zip(first[:both], second[:both], strict=True))
        return [*pairs, *((i, None) for i in first[both:]), *((None, j) for j in second[both:])]
    bags = [[_bag(side[i]) for i in turns] for side, turns in ((left, first), (right, second))]
    similarity = [[0.0] * m for _ in first]
    best = [[0.0] * (m + 1) for _ in range(n + 1)]
    for a in range(n - 1, -1, -1):
        for b in range(m - 1, -1, -1):
            if left[first[a]].kind == right[second[b]].kind:
                similarity[a][b] = _SAME_ROLE + _overlap(bags[0][a], bags[1][b])
            best[a][b] = max(best[a + 1][b], best[a][b + 1], best[a + 1][b + 1] + similarity[a][b])
    pairs = []
    a = b = 0
    while a < n and b < m:
        if similarity[a][b] and best[a][b] == best[a + 1][b + 1] + similarity[a][b]:
            pairs.append((first[a], second[b]))
            a, b = a + 1, b + 1
        elif best[a][b] == best[a + 1][b]:
            pairs.append((first[a], None))
            a += 1
        else:
            pairs.append((None, second[b]))
            b += 1
    return [*pairs, *((i, None) for i in first[a:]), *((None, j) for j in second[b:])]


def _bag(message: TranscriptMessage) -> Counter[str]:
    # The name of a tool counts as much as a sentence: another call of the same tool is the same step.
    heads = [_head(part.summary) for part in message.parts for _ in range(8) if part.summary]
    texts = (part.text[:_MAX_TEXT].split()[:400] for part in message.parts)
    return Counter([*heads, *chain.from_iterable(texts)])


def _overlap(first: Counter[str], second: Counter[str]) -> float:
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 1.0
