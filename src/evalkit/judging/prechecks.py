"""What needs no judge: answers that hold nothing, which some judges are known to pass.

One token (":", "Thought process:") makes some judges say "pass" (arXiv 2507.08794). Such an answer is not
sent to one: each of its criteria has no score, and says why.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from evalkit.judging.transcripts import Trial

# The openers of that paper, and their like: a promise of an answer, with no answer after it.
_OPENERS: Final = re.compile(
    r"(?i)\W*(?:thought process|thinking|reasoning|solution|the solution|answer|the answer(?: is)?|final answer|response|explanation"
    r"|let'?s (?:solve this|think)[^.:\n]{0,40}(?:step by step)?|here is (?:the|my) (?:answer|solution)|sure|certainly|of course"
    r"|解|解答|解决方案|かいせつ|解説|respuesta|soluci[oó]n|lösung|antwort)\W*"
)
_WORD: Final = re.compile(r"[^\W_]{4,}")


def find_fault(trial: Trial, *, shortest: int, expected: str | None = None) -> tuple[str, str] | None:
    """Return why a trial is not worth a judge's while, as a word and a sentence; None where it is.

    Parameters
    ----------
    trial
        The trial.
    shortest
        How many letters and digits an answer must have. An agent that called tools may end without any.
    expected
        The words of the case; where given, an answer that shares none of them has matched no fact.
    """
    answer = unicodedata.normalize("NFKC", trial.answer).strip()
    letters = sum(sign.isalnum() for sign in answer)
    if not answer and not trial.acted:
        if trial.row.get("error"):
            return "crashed", "the attempt crashed and left no answer"
        return "empty", "the answer is empty"
    if answer and not letters:
        return "no words", "the answer holds no letter and no digit"
    if answer and _OPENERS.fullmatch(answer):
        return "opener", "the answer is an opening phrase with nothing after it"
    if trial.acted:
        return None
    if letters < shortest:
        return "too short", f"the answer has {letters} letters and digits, fewer than {shortest}"
    if expected is not None and not _words(answer) & _words(expected):
        return "no fact", "the answer shares no word with the case"
    return None


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
