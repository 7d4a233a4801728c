"""Transcripts as a judge sees them: turns as JSON, redacted, cut in the middle if too long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.schema import TRIAL_KEY
from evalkit.judging.prompt_injection import as_lines, neutralize_all
from evalkit.util.redact import redact
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from evalkit.data.evals import Evals


# Share of the limit for the beginning of a long transcript: the task is there, the outcome at the end.
_HEAD: Final = 0.3
# Share of the limit for a single text.
_LONGEST: Final = 0.25
_BYTES_PER_TOKEN: Final = 4
# More deeply nested tool calls are shown as text.
_MAX_DEPTH: Final = 40
# Parts that say what the text of the message is.
_FLAGS: Final = ("refusal", "error")
# Parts of a message that are named without being sent.
_MAX_PARTS: Final = 100


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial: its key (run, case, epoch), its row of `trials` (or {}) and its ordered rows of `turns`."""

    key: tuple[str, str, int]
    row: Mapping[str, Any] = field(default_factory=dict)
    turns: Sequence[Mapping[str, Any]] = ()

    @property
    def answer(self) -> str:
        """The trial's output, else the last message of the assistant."""
        if self.row.get("output"):
            return str(self.row["output"])
        texts = [turn["content"] for turn in self.turns if turn["role"] == "assistant" and turn["content"]]
        return str(texts[-1]) if texts else ""

    @property
    def has_tool_calls(self) -> bool:
        """Whether the agent called a tool."""
        return any(turn["tool_calls"] not in (None, "", "[]") for turn in self.turns)


@dataclass(frozen=True, slots=True)
class PromptTranscript:
    """A transcript as it is sent.

    Attributes
    ----------
    lines
        One line of JSON per turn.
    redacted
        The number of redacted values per kind.
    cut_tokens
        The approximate number of tokens cut from the middle.
    not_sent
        Kinds of content that are named and not sent, such as images.
    beside
        The texts beside it, redacted together with it.
    """

    lines: tuple[str, ...]
    redacted: dict[str, int]
    cut_tokens: int
    not_sent: tuple[str, ...]
    beside: tuple[str, ...] = ()


def read_trials(evals: Evals) -> list[Trial]:
    """Return the trials with a transcript or a row, in the order of the tables."""
    rows = {tuple(row[name] for name in TRIAL_KEY): row for row in evals.trials.iter_rows(named=True)}
    turns: dict[Any, list[dict[str, Any]]] = {key: [] for key in rows}
    for turn in evals.turns.sort("turn", maintain_order=True).iter_rows(named=True):
        turns.setdefault(tuple(turn[name] for name in TRIAL_KEY), []).append(turn)
    order = {key: index for index, key in enumerate(evals.attempts().select(TRIAL_KEY).iter_rows())}
    keys = sorted(turns, key=lambda key: order.get(key, len(order)))
    return [Trial(key, rows.get(key, {}), turns[key]) for key in keys]


def write_transcript(
    trial: Trial,
    *,
    max_tokens: int,
    redacts: bool,
    patterns: Mapping[str, str] | None = None,
    beside: Sequence[str] = (),
) -> PromptTranscript:
    """Return the transcript as it is sent.

    Parameters
    ----------
    trial
        The trial.
    max_tokens
        Approximate limit in tokens.
    redacts
        Whether secrets, e-mail addresses and phone numbers are redacted.
    patterns
        Further patterns to redact; see `evalkit.util.redact.redact`.
    beside
        Texts to redact with the same placeholders, such as the case's expectation.
    """
    # Texts beside it come first, so that their placeholders are the same for each trial of the case.
    texts = [*beside, *_texts(trial)]
    redacted: dict[str, int] = {}
    if redacts:
        result = redact(texts, patterns=patterns)
        texts, redacted = list(result.texts), result.counts
    entries, not_sent = _entries(trial, iter(texts[len(beside) :]))
    lines, cut_tokens = _fit(entries, max_tokens)
    return PromptTranscript(tuple(lines), redacted, cut_tokens, tuple(not_sent), tuple(texts[: len(beside)]))


def count_tokens(text: str) -> int:
    """Return the approximate number of tokens: one per four bytes.

    Examples
    --------
    >>> count_tokens("four bytes are one token")
    6
    """
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def _texts(trial: Trial) -> Iterator[str]:
    """Yield the texts of a trial in the order in which `_entries` consumes them."""
    for turn in trial.turns:
        for name in ("content", "tool_calls", "tool_name"):
            yield str(turn[name] or "")
    yield trial.answer
    yield str(trial.row.get("error") or "")


def _entries(trial: Trial, texts: Iterator[str]) -> tuple[list[dict[str, Any]], list[str]]:
    entries: list[dict[str, Any]] = []
    not_sent: list[str] = []
    last_content = ""
    for turn in trial.turns:
        content, calls, tool = next(texts), next(texts), next(texts)
        entry: dict[str, Any] = {"turn": turn["turn"], "role": turn["role"] or "unknown"}
        if tool:
            entry["tool"] = tool
        if content:
            entry["text"] = content
        if calls not in ("", "[]"):
            entry["tool_calls"] = _decode(calls)
        kinds = _kinds_of_media(turn["parts"])
        entry |= {f"is_{kind}": True for kind in _FLAGS if kind in kinds}
        if kinds := [kind for kind in kinds if kind not in _FLAGS]:
            entry["not_sent"] = kinds
            not_sent += kinds
        if turn["role"] == "assistant" and content:
            last_content = content
        entries.append(entry)
    answer = next(texts)
    if answer and answer != last_content:
        entries.append({"role": "assistant", "final_answer": answer})
    if error := next(texts):
        entries.append({"the_attempt_ended_with_an_error": error})
    return entries, not_sent


def _decode(text: str) -> Any:
    """Return decoded JSON; the text itself if it is invalid or nested too deeply."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return text
    level = [value]
    for _ in range(_MAX_DEPTH):
        children = [
            list(v.values()) if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)
        ]
        level = [child for values in children for child in values]
    return text if level else value


def _kinds_of_media(parts: str | None) -> list[str]:
    value = _decode(parts) if parts else []
    kinds = []
    for part in value if isinstance(value, list) else [value]:
        kind = str(part.get("type", "part")) if isinstance(part, dict) else "part"
        if kind != "text" and not isinstance(part, str):
            kinds.append(kind[:40])
    return kinds[:_MAX_PARTS]


def _fit(entries: list[dict[str, Any]], max_tokens: int) -> tuple[list[str], int]:
    """Return the lines that fit, and the approximate number of tokens that were cut."""
    lines = as_lines(entries)
    total = sum(count_tokens(line) for line in lines)
    if total <= max_tokens:
        return lines, 0
    max_bytes = max(200, int(max_tokens * _LONGEST) * _BYTES_PER_TOKEN)
    lines = [_shorten_line(entry, line, max_bytes) for entry, line in zip(entries, lines, strict=True)]
    sizes = [count_tokens(line) for line in lines]
    if sum(sizes) > max_tokens:
        head = _count_fitting(sizes, int(max_tokens * _HEAD))
        tail = max(_count_fitting(sizes[head:][::-1], max_tokens - sum(sizes[:head])), 1)
        cut = sum(sizes[head : len(sizes) - tail])
        note = f"{plural(len(sizes) - head - tail, 'turn')}, about {cut:,} tokens"
        lines = [*lines[:head], *as_lines([{"left_out_here": note}]), *lines[len(lines) - tail :]]
    return lines, total - sum(count_tokens(line) for line in lines)


def _count_fitting(sizes: Sequence[int], limit: int) -> int:
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > limit:
            return count
    return len(sizes)


def _shorten_line(entry: dict[str, Any], line: str, max_bytes: int) -> str:
    """Return the line of an entry with its texts cut to `max_bytes`, itself at most twice as long."""
    short: str = as_lines([_shorten_texts(neutralize_all(entry), max_bytes)])[0]
    if len(short.encode()) > 2 * max_bytes:  # many small texts
        cut = {"turn": entry.get("turn"), "role": entry.get("role"), "cut": _cut(line, max_bytes)}
        short = as_lines([cut])[0]
    return short


def _shorten_texts(value: Any, max_bytes: int) -> Any:
    if isinstance(value, str):
        return _cut(value, max_bytes)
    if isinstance(value, list):
        return [_shorten_texts(part, max_bytes) for part in value]
    if isinstance(value, dict):
        return {name: _shorten_texts(part, max_bytes) for name, part in value.items()}
    return value


def _cut(text: str, max_bytes: int) -> str:
    """Cut the middle of a text, visibly."""
    data = text.encode("utf-8", "replace")
    if len(data) <= max_bytes:
        return text
    half = max_bytes // 2
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{head} ⟦{len(text) - len(head) - len(tail):,} characters left out⟧ {tail}"
