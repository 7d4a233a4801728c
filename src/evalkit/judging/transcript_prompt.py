"""What a judge gets to see of a trial: its turns as entries, masked, and cut in the middle where they are too long."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.judging.prompt_injection import as_lines, neutral_all
from evalkit.util.redact import redact
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from evalkit.data.evals import Evals


# Of a transcript that is too long, the share of the room that its beginning gets: the task is there, the outcome at the end.
_HEAD: Final = 0.3
# No single text may take more than this share of the room.
_LONGEST: Final = 0.25
_BYTES_A_TOKEN: Final = 4
# Tool calls that are nested deeper are shown as the text that they are.
_DEEPEST: Final = 40
# Of one message, so many parts that are no text are named.
_MOST_PARTS: Final = 100


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: its key, its row of `trials` and its rows of `turns`.

    Attributes
    ----------
    key
        run, case, epoch.
    row
        `output`, `error` and the others of `trials`; empty where there is no such row.
    turns
        The rows of `turns`, in order.
    """

    key: tuple[str, str, int]
    row: Mapping[str, Any] = field(default_factory=dict)
    turns: Sequence[Mapping[str, Any]] = ()

    @property
    def answer(self) -> str:
        """The final answer: the trial's output, else the last thing that the assistant said."""
        if self.row.get("output"):
            return str(self.row["output"])
        said = [turn["content"] for turn in self.turns if turn["role"] == "assistant" and turn["content"]]
        return str(said[-1]) if said else ""

    @property
    def acted(self) -> bool:
        """Whether the agent called a tool."""
        return any(turn["tool_calls"] not in (None, "", "[]") for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a trial goes to the judge.

    Attributes
    ----------
    lines
        One line of JSON for each turn.
    masked
        How many values of each kind were masked.
    left_out
        About how many tokens were left out in the middle; 0 where all is there.
    not_sent
        What is named and not sent, such as images.
    beside
        The texts that go beside it, masked together with it.
    """

    lines: tuple[str, ...]
    masked: dict[str, int]
    left_out: int
    not_sent: tuple[str, ...]
    beside: tuple[str, ...] = ()


def trials_of(evals: Evals) -> list[Trial]:
    """Return the trials of which something can be read, in the order of the tables."""
    columns = ["run", "case", "epoch"]
    rows = {(r["run"], r["case"], r["epoch"]): r for r in evals.trials.iter_rows(named=True)}
    turns: dict[tuple[str, str, int], list[dict[str, Any]]] = {key: [] for key in rows}
    for turn in evals.turns.sort("turn", maintain_order=True).iter_rows(named=True):
        turns.setdefault((turn["run"], turn["case"], turn["epoch"]), []).append(turn)
    places = {key: at for at, key in enumerate(evals.attempts().select(columns).iter_rows())}
    ordered = sorted(turns, key=lambda key: places.get(key, len(places)))
    return [Trial(key, rows.get(key, {}), turns[key]) for key in ordered]


def show(
    trial: Trial,
    *,
    room: int,
    masking: bool,
    patterns: Mapping[str, str] | None = None,
    beside: Sequence[str] = (),
) -> Shown:
    """Return what of a trial goes to the judge.

    Parameters
    ----------
    trial
        The trial.
    room
        About how many tokens it may take.
    masking
        Whether secrets, addresses and numbers are masked first.
    patterns
        What else is masked; see `evalkit.util.redact.redact`.
    beside
        Texts that go beside it, as what is expected in the case.
    """
    # What goes beside it comes first, so that a value in it has the same name for each trial of the case.
    texts = [*beside, *_texts(trial)]
    masked: dict[str, int] = {}
    if masking:
        made = redact(texts, patterns=patterns)
        texts, masked = list(made.texts), made.counts
    entries, not_sent = _entries(trial, iter(texts[len(beside) :]))
    lines, left_out = _fit(entries, room)
    return Shown(tuple(lines), masked, left_out, tuple(not_sent), tuple(texts[: len(beside)]))


def count_tokens(text: str) -> int:
    """Return about how many tokens a text has: four bytes are one.

    Examples
    --------
    >>> count_tokens("four bytes are one token")
    6
    """
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_A_TOKEN)


def _texts(trial: Trial) -> Iterator[str]:
    """Yield the texts of a trial in the order in which `_entries` takes them back."""
    for turn in trial.turns:
        for name in ("content", "tool_calls", "tool_name"):
            yield str(turn[name] or "")
    yield trial.answer
    yield str(trial.row.get("error") or "")


def _entries(trial: Trial, texts: Iterator[str]) -> tuple[list[dict[str, Any]], list[str]]:
    made: list[dict[str, Any]] = []
    not_sent: list[str] = []
    last = ""
    for turn in trial.turns:
        content, calls, tool = next(texts), next(texts), next(texts)
        entry: dict[str, Any] = {"turn": turn["turn"], "role": turn["role"] or "unknown"}
        if tool:
            entry["tool"] = tool
        if content:
            entry["text"] = content
        if calls not in ("", "[]"):
            entry["tool_calls"] = _decoded(calls)
        if kinds := _not_text(turn["parts"]):
            entry["not_sent"] = kinds
            not_sent += kinds
        if turn["role"] == "assistant" and content:
            last = content
        made.append(entry)
    answer = next(texts)
    if answer and answer != last:
        made.append({"role": "assistant", "final_answer": answer})
    if error := next(texts):
        made.append({"the_attempt_ended_with_an_error": error})
    return made, not_sent


def _decoded(text: str) -> Any:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return text
    level = [value]
    for _ in range(_DEEPEST):
        level = [part for one in level if isinstance(one, dict | list) for part in _parts(one)]
    return text if level else value


def _parts(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _not_text(parts: str | None) -> list[str]:
    """Return the kinds of those parts of a message that are no text."""
    value = _decoded(parts) if parts else []
    found = []
    for part in value if isinstance(value, list) else [value]:
        kind = str(part.get("type", "part")) if isinstance(part, dict) else "part"
        if kind != "text" and not isinstance(part, str):
            found.append(kind[:40])
    return found[:_MOST_PARTS]


def _fit(entries: list[dict[str, Any]], room: int) -> tuple[list[str], int]:
    """Return the lines that fit, and about how many tokens were left out."""
    lines = as_lines(entries)
    whole = sum(count_tokens(line) for line in lines)
    if whole <= room:
        return lines, 0
    most = max(200, int(room * _LONGEST) * _BYTES_A_TOKEN)
    lines = [_shortened(entry, line, most) for entry, line in zip(entries, lines, strict=True)]
    sizes = [count_tokens(line) for line in lines]
    if sum(sizes) > room:
        head = _count_that_fit(sizes, int(room * _HEAD))
        tail = _count_that_fit(sizes[head:][::-1], room - sum(sizes[:head]))
        tail = max(tail, 1)
        gone = sum(sizes[head : len(sizes) - tail])
        note = f"{plural(len(sizes) - head - tail, 'turn')}, about {gone:,} tokens"
        lines = [*lines[:head], *as_lines([{"left_out_here": note}]), *lines[len(lines) - tail :]]
    return lines, whole - sum(count_tokens(line) for line in lines)


def _count_that_fit(sizes: Sequence[int], room: int) -> int:
    taken = 0
    for count, size in enumerate(sizes):
        taken += size
        if taken > room:
            return count
    return len(sizes)


def _shortened(entry: dict[str, Any], line: str, most: int) -> str:
    """Return the line of an entry with every text in it cut to `most` bytes, and itself not much longer."""
    made: str = as_lines([_shorten(neutral_all(entry), most)])[0]
    if len(made.encode()) > 2 * most:  # of many small texts
        made = as_lines([{"turn": entry.get("turn"), "role": entry.get("role"), "cut": _cut(line, most)}])[0]
    return made


def _shorten(value: Any, most: int) -> Any:
    """Return a value whose texts have at most about `most` bytes."""
    if isinstance(value, str):
        return _cut(value, most)
    if isinstance(value, list):
        return [_shorten(part, most) for part in value]
    if isinstance(value, dict):
        return {name: _shorten(part, most) for name, part in value.items()}
    return value


def _cut(text: str, most: int) -> str:
    """Return a text of at most about `most` bytes; what was cut is said in the middle."""
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return text
    head, tail = (part.decode("utf-8", "ignore") for part in (data[: most // 2], data[-(most // 2) :]))
    return f"{head} ⟦{len(text) - len(head) - len(tail):,} characters left out⟧ {tail}"


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
