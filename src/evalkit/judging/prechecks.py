"""Answers without content, which no judge needs to see."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from evalkit.judging.transcript_prompt import Trial

# Openers that promise an answer (arXiv 2507.08794); alone they are none.
_OPENERS: Final = re.compile(
    r"(?i)\W*(?:thought process|thinking|reasoning|solution|the solution|answer|the answer(?: is)?|final answer|response|explanation"
    r"|let'?s (?:solve this|think)[^.:\n]{0,40}(?:step by step)?|here is (?:the|my) (?:answer|solution)|sure|certainly|of course"
    r"|解|解答|解决方案|かいせつ|解説|respuesta|soluci[oó]n|lösung|antwort)\W*"
)
_WORD: Final = re.compile(r"[^\W_]{4,}")


def find_precheck(trial: Trial, *, min_chars: int, expected: str | None = None) -> tuple[str, str] | None:
    """Return why an answer is not sent to the judge, as a word and a clause; None if it is.

    Parameters
    ----------
    trial
        The trial.
    min_chars
        Letters and digits an answer needs; after a tool call none.
    expected
        Text of the case; an answer must share a word with it.
    """
    answer = unicodedata.normalize("NFKC", trial.answer).strip()
    length = sum(character.isalnum() for character in answer)
    if not answer and not trial.has_tool_calls:
        if trial.row.get("error"):
            return "crashed", "the attempt crashed without an answer"
        return "empty", "the answer is empty"
    if answer and not length:
        return "no words", "the answer has no letter and no digit"
    if answer and _OPENERS.fullmatch(answer):
        return "opener", "the answer is only an opening phrase"
    if trial.has_tool_calls:
        return None
    if length < min_chars:
        return "too short", f"the answer has {length} letters and digits, fewer than {min_chars}"
    if expected is not None and not _words(answer) & _words(expected):
        return "no fact", "the answer shares no word with the case"
    return None


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
