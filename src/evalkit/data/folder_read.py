"""Read `transcripts.jsonl`: runs, trials and turns."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime  # noqa: TC003  (msgspec reads the annotations)
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.chat_messages import ROLES
from evalkit.data.chat_messages import turns as message_turns
from evalkit.data.columns import typed_columns, utc
from evalkit.data.content_blocks import tool_calls, without_data
from evalkit.data.evals import Evals
from evalkit.data.folder_fields import MESSAGE_FIELDS, RUN_FIELDS, TRIAL_FIELDS
from evalkit.data.json_text import (
    BOM,
    DECODE_ERRORS,
    ENCODE_ERRORS,
    as_text,
    decode,
    raw_text,
    record,
    without_collector,
)
from evalkit.data.lenient_decode import lenient_convert
from evalkit.data.schema import RUNS, TRIALS, TURNS, Key, Problem
from evalkit.util.errors import PathError
from evalkit.util.format import shorten
from evalkit.util.notes import Note
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from evalkit.data.schema import Table

_Text = str | int | float | None

_MISSING: Final = msgspec.Raw()
"""The value of a nested field that is not there."""

_RUN_COLUMNS: Final = (*RUN_FIELDS, "started_at", "config", "made_up")
_BUFFER_BYTES: Final = 1 << 20
# Lines per batch: decoded records fit the processor's cache.
_BATCH_BYTES: Final = 1 << 21


# Records are trees: no garbage collection needed. A line with anything else takes the slow way.
class _Message(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    role: _Text = None
    content: str | None = None
    reasoning: str | None = None
    tool_calls: msgspec.Raw = _MISSING
    tool_name: str | None = None
    tool_call_id: _Text = None
    parts: msgspec.Raw = _MISSING
    turn: int | None = None


class _Trial(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    run: _Text = None
    suite: _Text = None
    agent: _Text = None
    agent_version: _Text = None
    model: _Text = None
    provider: _Text = None
    run_started_at: datetime | None = None
    config: msgspec.Raw = _MISSING
    made_up: bool | None = None
    case: _Text = None
    epoch: int | float | None = None
    messages: list[_Message] | None = None
    output: str | None = None
    error: str | None = None
    stop_reason: str | None = None
    input_tokens: int | float | None = None
    output_tokens: int | float | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    started_at: datetime | None = None
    uid: str | None = None


_TRIAL: Final = frozenset(_Trial.__struct_fields__)
_MESSAGE: Final = frozenset(_Message.__struct_fields__)
_OWN_ROLES: Final = frozenset(("user", "assistant", "tool", "system", None))
_FOREIGN_CALL: Final = re.compile(r'"(?:function|args)"\s*:')
_KINDS: Final[dict[str, Any]] = {
    "content": str | list | dict,
    "reasoning": str | list | dict,
    "tool_name": str,
    "turn": int,
}
_MAX_NAME: Final = 60
# Shorter parts hold no picture.
_MIN_BYTES: Final = 1000


def read_transcripts(path: str | Path, *, turns: bool = True) -> Evals:
    """Read a `transcripts.jsonl` into `runs`, `trials` and `turns`.

    Only `run` and `case` are required; a line without `case`, `messages` and `output` describes a run. An
    invalid value is dropped with a `Problem`. Raise `PathError` if the file is missing.
    """
    path = Path(path)
    if not path.exists():
        raise PathError.missing(path)
    transcripts = _Transcripts(str(path))
    with without_collector():
        for _ in _batches(path, transcripts, turns=turns):
            transcripts.flush()
        return transcripts.evals()


def scan_transcripts(path: Path) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield the trials and turns of a `transcripts.jsonl` in batches; bad records are dropped."""
    transcripts = _Transcripts(str(path))
    for _ in chain(_batches(path, transcripts, turns=True), [None]):
        transcripts.flush()
        yield transcripts.trials.pop(), transcripts.turns.pop()


def _batches(path: Path, transcripts: _Transcripts, *, turns: bool) -> Iterator[None]:
    decode = msgspec.json.Decoder(_Trial).decode
    size = 0
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        for number, raw in enumerate(file, 1):
            line = raw.removeprefix(BOM) if number == 1 else raw
            trial = _decode_own(decode, line)
            if trial is None:
                line = line.strip()
                value = record(line, str(path), number, transcripts.problems) if line else None
                if value is None:
                    continue
                value = transcripts.normalize(number, value)
                try:
                    trial = decode(msgspec.json.encode(value))
                except (*DECODE_ERRORS, *ENCODE_ERRORS):
                    trial = lenient_convert(_Trial, value, transcripts.add_problem(number))
            transcripts.add(number, trial)
            if not turns:
                trial.messages = None
            size += len(raw)
            if size > _BATCH_BYTES:
                yield
                size = 0


class _Transcripts:
    """The columns of runs, trials and turns, extended by batches of lines."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.trials: list[pl.DataFrame] = []
        self.turns: list[pl.DataFrame] = []
        self.ignored: Counter[str] = Counter()
        self._run_facts: set[tuple[Any, ...]] = set()
        self._lines: dict[tuple[str, str, int], int] = {}
        self._batch: list[_Trial] = []
        self._keys: list[tuple[Any, ...]] = []

    def add_problem(self, number: int) -> Callable[[str], None]:
        return lambda reason: self.problems.append(Problem(self.source, number, reason))

    def normalize(self, number: int, value: dict[str, Any]) -> dict[str, Any]:
        """Return a line with native fields only: messages of any vendor as turns; count what has no column."""
        self.ignored.update(name for name, held in value.items() if name not in _TRIAL and held is not None)
        value = {name: held for name, held in value.items() if name in _TRIAL}
        messages = value.get("messages")
        if isinstance(messages, list) and any(isinstance(m, dict) and _is_foreign(m) for m in messages):
            add_problem = self.add_problem(number)
            for place, message in enumerate(messages, 1):
                for fault in _faults(message):
                    add_problem(f"messages {place}{fault}")
            ignored: Counter[str] = Counter()
            value["messages"] = message_turns(messages, ignored=ignored)
            self.ignored.update({f"messages.{name}": count for name, count in ignored.items()})
        return value

    def add(self, number: int, trial: _Trial) -> None:
        add_problem = self.add_problem(number)
        if trial.run is None:
            add_problem("there is no run")
            return
        run = str(_id(trial.run))
        self._add_run(run, trial, add_problem)
        if trial.case is None:
            if trial.messages is not None or trial.output is not None:
                add_problem("there is no case")
            return
        case, epoch = str(_id(trial.case)), _whole(trial.epoch, "epoch", add_problem)
        if trial.epoch is not None and epoch is None:
            return
        key = (run, case, 1 if epoch is None else epoch)
        if key in self._lines:
            text = f"run {run!r}, case {case!r}, epoch {key[2]} is in line {self._lines[key]} already"
            add_problem(f"{text}; the first is kept")
            return
        self._lines[key] = number
        trial.input_tokens = _whole(trial.input_tokens, "input_tokens", add_problem)
        trial.output_tokens = _whole(trial.output_tokens, "output_tokens", add_problem)
        self._keys.append((*key, number))
        self._batch.append(trial)

    def _add_run(self, run: str, trial: _Trial, add_problem: Callable[[str], None]) -> None:
        facts = (
            *(trial.run, trial.suite, trial.agent, trial.agent_version, trial.model, trial.provider),
            *(trial.run_started_at, trial.made_up),
            None if trial.config is _MISSING else bytes(trial.config),
        )
        if facts in self._run_facts:
            return
        self._run_facts.add(facts)
        names = [_id(getattr(trial, name)) for name in RUN_FIELDS]
        config = raw_text(trial.config)
        made_up = True if trial.made_up or _is_made_up(config) else trial.made_up
        known = self.runs.setdefault(run, dict.fromkeys(_RUN_COLUMNS))
        values = (*names, _utc(trial.run_started_at), config, made_up)
        for name, value in zip(_RUN_COLUMNS, values, strict=True):
            if known[name] is None:
                known[name] = value
            elif value is not None and value != known[name]:
                text = f"run {run!r} has {name} {value!r} here and {known[name]!r} before"
                add_problem(f"{text}; the first is kept")

    def evals(self) -> Evals:
        self.flush()
        source = pl.lit(self.source, dtype=Key).alias("source")
        columns = {name: [facts[name] for facts in self.runs.values()] for name in _RUN_COLUMNS}
        schema = {name: dtype for name, dtype in RUNS.schema.items() if name != "source"}
        runs = pl.DataFrame({"run": list(self.runs), **columns}, schema_overrides=schema)
        synthetic = any(facts["made_up"] for facts in self.runs.values())
        notes = []
        if synthetic:
            notes.append(Note("synthetic", "made up, not measured, as the file says.", (self.source,)))
        if self.ignored:
            names = [f"{shorten(name, _MAX_NAME)} ({count:,})" for name, count in self.ignored.items()]
            notes.append(Note("ignored", f"Ignored fields: {join_words(names, limit=20)}.", (self.source,)))
        if not (self._lines or self.runs or self.problems):
            self.problems.append(Problem(self.source, None, "the file is empty"))
        return Evals.from_tables(
            runs=runs.with_columns(source),
            trials=pl.concat(self.trials).rechunk().with_columns(source),
            turns=pl.concat(self.turns).rechunk(),
            problems=self.problems,
            notes=notes,
            files=[self.source],
        )

    def flush(self) -> None:
        """Convert the lines since the last flush to columns."""
        keys = typed_columns((*TRIALS.key, "line"), self._keys, TRIALS)
        columns = {name: _all(name, self._batch) for name in TRIAL_FIELDS}
        columns["started_at"] = list(map(_utc, columns["started_at"]))
        self.trials.append(pl.DataFrame([*keys, *_typed(columns, TRIALS)]))
        lists = [messages or () for messages in _all("messages", self._batch)]
        index = [place for place, messages in enumerate(lists) for _ in messages]
        turns = _typed(_turns(lists), TURNS)
        self.turns.append(pl.DataFrame([*(key.gather(index) for key in keys[:3]), *turns]))
        self._keys, self._batch = [], []


def _all(name: str, records: Sequence[Any]) -> list[Any]:
    return list(map(attrgetter(name), records))


def _typed(columns: dict[str, list[Any]], table: Table) -> list[pl.Series]:
    """Return values as columns of the table's types; a number out of range is null."""
    return [
        pl.Series(name, values, dtype=table.schema[name], strict=False) for name, values in columns.items()
    ]


def _turns(lists: Sequence[Sequence[_Message]]) -> dict[str, list[Any]]:
    messages = list(chain.from_iterable(lists))
    columns = {name: _all(name, messages) for name in ("turn", *MESSAGE_FIELDS)}
    if {*columns["turn"]} <= {None}:
        columns["turn"] = [number for turns in lists for number in range(1, len(turns) + 1)]
    else:
        columns["turn"] = [number for turns in lists for number in _numbers(turns)]
    for name in ("role", "tool_call_id"):
        if not _are_texts(columns[name]):
            columns[name] = list(map(_id, columns[name]))
    if not {*columns["role"]} <= _OWN_ROLES:
        columns["role"] = [ROLES.get(role, role) for role in columns["role"]]
    for name in ("tool_calls", "parts"):
        columns[name] = [None if raw is _MISSING else raw_text(raw) for raw in columns[name]]
    columns["tool_calls"] = list(map(_own_calls, columns["tool_calls"]))
    columns["parts"] = list(map(_own_parts, columns["parts"]))
    return columns


def _own_parts(text: str | None) -> str | None:
    """Return parts without bytes: those of a picture are never kept."""
    if text is None or len(text) < _MIN_BYTES:
        return text
    try:
        return as_text(without_data(decode(text.encode())))
    except ValueError:
        return text


def _decode_own(decode: Callable[[bytes], _Trial], line: bytes) -> _Trial | None:
    """Return a line with native fields only; None for any other, also if Gemini has the content in `parts`."""
    try:
        trial = decode(line)
    except DECODE_ERRORS:
        return None
    if b'"parts"' in line and any(
        m.content is None and m.parts is not _MISSING for m in trial.messages or ()
    ):
        return None
    return trial


def _own_calls(text: str | None) -> str | None:
    """Return tool calls with native keys; OpenAI and LangChain have others."""
    if text is None or not _FOREIGN_CALL.search(text):
        return text
    try:
        return as_text(tool_calls(decode(text.encode())))
    except ValueError:
        return text


def _is_foreign(message: dict[str, Any]) -> bool:
    content = message.get("content")
    has_parts_alone = content is None and message.get("parts") is not None
    return (
        has_parts_alone
        or isinstance(content, list | dict)
        or any(held is not None and name not in _MESSAGE for name, held in message.items())
    )


def _faults(message: Any) -> Iterator[str]:
    if not isinstance(message, dict):
        yield f" is {as_text(message)!r:.60}. Expected `object`."
        return
    for name, kind in _KINDS.items():
        if not isinstance(message.get(name), kind | None):
            yield f".{name} is {as_text(message[name])!r:.60}. Expected another type."


def _are_texts(values: Iterable[Any]) -> bool:
    return {*map(type, values)} <= {str, type(None)}


def _numbers(messages: Sequence[_Message]) -> Sequence[int]:
    """Return the number of each turn: its own if unused, else its position."""
    numbers: list[int] = []
    for position, message in enumerate(messages, 1):
        numbers.append(position if message.turn is None or message.turn in numbers else message.turn)
    return numbers


def _is_made_up(config: str | None) -> bool:
    try:
        value = msgspec.json.decode(config) if config else None
    except msgspec.MsgspecError:
        return False
    return isinstance(value, dict) and value.get("made_up") is True


def _id(value: _Text) -> str | None:
    return value if type(value) is str else as_text(value)


def _whole(value: float | None, name: str, add_problem: Callable[[str], None]) -> int | None:
    if value is None or (type(value) is int and -(2**31) < value < 2**31):
        return value
    if value != int(value) or abs(value) >= 2**63 or (name == "epoch" and abs(value) >= 2**31):
        add_problem(f"{name} is {value}. Expected a whole number.")
        return None
    return int(value)


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else utc(time)
