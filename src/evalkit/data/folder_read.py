"""Read `transcripts.jsonl`: runs, trials and turns."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.columns import BOM, as_text, typed_columns, without_collector
from evalkit.data.columns import record as record_of
from evalkit.data.evals import Evals
from evalkit.data.folder_fields import MESSAGE_FIELDS, RUN_FIELDS, TRIAL_FIELDS, raw_text
from evalkit.data.schema import RUNS, TRIALS, TURNS, Key, Problem
from evalkit.util.errors import PathError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from evalkit.data.schema import Table

_Text = str | int | float | None


# What a field that is not there holds: told apart from the others without being looked into.
_NOTHING: Final = msgspec.Raw()

_BUFFER: Final = 1 << 20
# Bytes of lines that become columns together: so few that what is decoded stays in the processor's cache.
_BATCH: Final = 1 << 21


# Records are trees: the garbage collector need not watch them.
class _Message(msgspec.Struct, gc=False):
    role: _Text = None
    content: str | list[Any] | dict[str, Any] | None = None
    reasoning: str | None = None
    tool_calls: msgspec.Raw = _NOTHING
    tool_name: str | None = None
    tool_call_id: _Text = None
    parts: msgspec.Raw = _NOTHING
    turn: int | None = None


class _Trial(msgspec.Struct, gc=False):
    run: _Text = None
    suite: _Text = None
    agent: _Text = None
    agent_version: _Text = None
    model: _Text = None
    provider: _Text = None
    run_started_at: datetime | None = None
    config: msgspec.Raw = _NOTHING
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


def read_transcripts(path: str | Path, *, turns: bool = True) -> Evals:
    """Read a `transcripts.jsonl` into the tables `runs`, `trials` and, unless they are not wanted, `turns`.

    A line is `{run, suite, agent, agent_version, model, provider, run_started_at, config, case, epoch,
    messages: [{role, content, reasoning, tool_calls, tool_name, tool_call_id, parts}], output, error,
    stop_reason, input_tokens, output_tokens, cost_usd, latency_s, started_at}`. Only `run` and `case` are
    needed; a line without `case`, `messages` and `output` speaks of the run alone. A value of the wrong
    type is lost with a `Problem`, the rest of its line is kept.

    Raises
    ------
    PathError
        There is no such file.
    """
    path = Path(path)
    if not path.exists():
        raise PathError.missing(path)
    reader = _Transcripts(str(path))
    with without_collector():
        for _ in _batches(path, reader, turns=turns):
            reader.flush()
        return reader.evals()


def scan_transcripts(path: Path) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield the trials and the turns of a `transcripts.jsonl`, some lines at a time; what cannot be read is left out."""
    reader = _Transcripts(str(path))
    for _ in chain(_batches(path, reader, turns=True), [None]):
        reader.flush()
        yield reader.trials.pop(), reader.turns.pop()


def _batches(path: Path, reader: _Transcripts, *, turns: bool) -> Iterator[None]:
    """Let the reader take the lines, and yield whenever it is time to flush."""
    decode = msgspec.json.Decoder(_Trial).decode
    taken = 0
    with path.open("rb", buffering=_BUFFER) as file:
        for number, raw in enumerate(file, 1):
            line = raw.removeprefix(BOM) if number == 1 else raw
            try:
                record = decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                line = line.strip()
                loose = record_of(line, str(path), number, reader.problems) if line else None
                if loose is None:
                    continue
                record = _convert(loose, reader.complain(number))
            reader.take(number, record)
            if not turns:
                record.messages = None
            taken += len(raw)
            if taken > _BATCH:
                yield
                taken = 0


class _Transcripts:
    """The columns of runs, trials and turns, growing a batch of lines at a time."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.known: set[tuple[Any, ...]] = set()
        self.seen: dict[tuple[str, str, int], int] = {}
        self.taken: list[_Trial] = []
        self.keys: list[tuple[Any, ...]] = []
        self.trials: list[pl.DataFrame] = []
        self.turns: list[pl.DataFrame] = []

    def complain(self, number: int) -> Callable[[str], None]:
        return lambda reason: self.problems.append(Problem(self.source, number, reason))

    def take(self, number: int, record: _Trial) -> None:
        """Add one line."""
        complain = self.complain(number)
        if record.run is None:
            complain("there is no run")
            return
        run = str(_id(record.run))
        self._take_run(run, record, complain)
        if record.case is None:
            if record.messages is not None or record.output is not None:
                complain("there is no case")
            return
        case, epoch = str(_id(record.case)), _whole(record.epoch, "epoch", complain)
        if record.epoch is not None and epoch is None:
            return
        key = (run, case, 1 if epoch is None else epoch)
        if key in self.seen:
            complain(
                f"run {run!r}, case {case!r}, epoch {key[2]} is in line {self.seen[key]} already; the first is kept"
            )
            return
        self.seen[key] = number
        record.input_tokens = _whole(record.input_tokens, "input_tokens", complain)
        record.output_tokens = _whole(record.output_tokens, "output_tokens", complain)
        self.keys.append((*key, number))
        self.taken.append(record)

    def _take_run(self, run: str, record: _Trial, complain: Callable[[str], None]) -> None:
        told = (
            *(record.run, record.suite, record.agent, record.agent_version, record.model, record.provider),
            *(record.run_started_at, None if record.config is _NOTHING else bytes(record.config)),
        )
        if told in self.known:
            return
        self.known.add(told)
        facts = (
            run,
            *(_id(getattr(record, name)) for name in RUN_FIELDS),
            _utc(record.run_started_at),
            raw_text(record.config),
        )
        names = (*RUN_FIELDS, "started_at", "config")
        have = self.runs.setdefault(run, dict.fromkeys(names))
        for name, value in zip(names, facts[1:], strict=True):
            if have[name] is None:
                have[name] = value
            elif value is not None and value != have[name]:
                complain(
                    f"run {run!r} has {name} {value!r} here and {have[name]!r} before; the first is kept"
                )

    def evals(self) -> Evals:
        """Return what was taken."""
        runs = pl.DataFrame(
            {
                "run": list(self.runs),
                **{
                    name: [run[name] for run in self.runs.values()]
                    for name in (*RUN_FIELDS, "started_at", "config")
                },
            },
            schema_overrides={n: d for n, d in RUNS.schema.items() if n != "source"},
        ).with_columns(source=pl.lit(self.source, dtype=Key))
        self.flush()
        made_up = [run for run, facts in self.runs.items() if _says_made_up(facts["config"])]
        notes = [f"{self.source}: made up, not measured, as the config of its runs says."] if made_up else []
        if not (self.seen or self.runs or self.problems):
            self.problems.append(Problem(self.source, None, "the file is empty"))
        trials = pl.concat(self.trials).rechunk().with_columns(source=pl.lit(self.source, dtype=Key))
        return Evals.from_tables(
            runs=runs,
            trials=trials,
            turns=pl.concat(self.turns).rechunk(),
            problems=self.problems,
            notes=notes,
            files=[self.source],
        )

    def flush(self) -> None:
        """Make columns of the lines that were taken since the last time."""
        keys = typed_columns((*TRIALS.key, "line"), self.keys, TRIALS)
        columns = {name: _all(name, self.taken) for name in TRIAL_FIELDS}
        columns["started_at"] = [_utc(time) for time in columns["started_at"]]
        self.trials.append(pl.DataFrame([*keys, *_typed(columns, TRIALS)]))
        lists = [messages or () for messages in _all("messages", self.taken)]
        index = [place for place, messages in enumerate(lists) for _ in messages]
        turns = _typed(_turns(lists), TURNS)
        self.turns.append(pl.DataFrame([*(key.gather(index) for key in keys[:3]), *turns]))
        self.keys, self.taken = [], []


def _all(name: str, records: Sequence[Any]) -> list[Any]:
    return list(map(attrgetter(name), records))


def _typed(columns: dict[str, list[Any]], table: Table) -> list[pl.Series]:
    """Return columns whose values are of the table's types already; a number that does not fit is null."""
    return [
        pl.Series(name, values, dtype=table.schema[name], strict=False) for name, values in columns.items()
    ]


def _turns(lists: Sequence[Sequence[_Message]]) -> dict[str, list[Any]]:
    """Return the columns of the messages of many trials."""
    messages = list(chain.from_iterable(lists))
    columns = {name: _all(name, messages) for name in ("turn", *MESSAGE_FIELDS)}
    if {*columns["turn"]} <= {None}:
        columns["turn"] = [number for made in lists for number in range(1, len(made) + 1)]
    else:
        columns["turn"] = [number for made in lists for number in _numbers(made)]
    for name in ("role", "tool_call_id"):
        if not _are_texts(columns[name]):
            columns[name] = [_id(value) for value in columns[name]]
    for name in ("tool_calls", "parts"):
        columns[name] = [None if raw is _NOTHING else raw_text(raw) for raw in columns[name]]
    if not _are_texts(columns["content"]):
        made = [_content(content) for content in columns["content"]]
        columns["content"] = [text for text, _ in made]
        columns["parts"] = [own or parts for own, (_, parts) in zip(columns["parts"], made, strict=True)]
    return columns


def _are_texts(values: Iterable[Any]) -> bool:
    """Whether there is nothing but text and nulls: most files hold nothing else, and this is quick to see."""
    return {*map(type, values)} <= {str, type(None)}


def _numbers(messages: Sequence[_Message]) -> Sequence[int]:
    """Return the number of each turn: its own where it says one that is free, else its place."""
    numbers: list[int] = []
    for position, message in enumerate(messages, 1):
        numbers.append(position if message.turn is None or message.turn in numbers else message.turn)
    return numbers


def _says_made_up(config: str | None) -> bool:
    try:
        value = msgspec.json.decode(config) if config else None
    except msgspec.MsgspecError:
        return False
    return isinstance(value, dict) and value.get("made_up") is True


def _convert(record: dict[str, Any], complain: Callable[[str], None]) -> _Trial:
    """Return a decoded line as a trial, each value that does not fit left out with a complaint."""
    messages = record.get("messages")
    kept = []
    if messages is not None and not isinstance(messages, list):
        complain("messages is not a list")
    elif messages is not None:
        for position, message in enumerate(messages, 1):
            if isinstance(message, dict):
                kept.append(_fields(_Message, message, complain, about=f"message {position}: "))
            else:
                complain(f"message {position} is not an object")
    made: _Trial = _fields(_Trial, {**record, "messages": None}, complain)
    made.messages = kept if isinstance(messages, list) else None
    return made


def _fields(
    kind: type[Any], record: dict[str, Any], complain: Callable[[str], None], *, about: str = ""
) -> Any:
    made = {}
    for field in msgspec.structs.fields(kind):
        value = record.get(field.name)
        if value is None:
            continue
        if field.type is msgspec.Raw:
            made[field.name] = msgspec.Raw(
                (as_text(value) if not isinstance(value, str) else json.dumps(value)) or ""
            )
            continue
        try:
            made[field.name] = msgspec.convert(value, field.type)
        except (msgspec.ValidationError, OverflowError) as error:
            complain(
                f"{about}{field.name} is {as_text(value)!r:.80}; {str(error)[:1].lower()}{str(error)[1:]}"
            )
    return kind(**made)


def _content(content: Any) -> tuple[str | None, str | None]:
    """Return a message's text, and as JSON the parts of it that are not text alone."""
    if content is None or isinstance(content, str):
        return content, None
    pieces = content if isinstance(content, list) else [content]
    texts = [p if isinstance(p, str) else p.get("text") if isinstance(p, dict) else None for p in pieces]
    plain = all(isinstance(p, str) or (isinstance(p, dict) and p.get("type") == "text") for p in pieces)
    text = "".join(text for text in texts if isinstance(text, str))
    return text, None if plain else as_text(pieces)


def _id(value: _Text) -> str | None:
    return value if type(value) is str else as_text(value)


def _whole(value: float | None, name: str, complain: Callable[[str], None]) -> int | None:
    if value is None or (type(value) is int and -(2**31) < value < 2**31):
        return value
    if value != int(value) or abs(value) >= 2**63 or (name == "epoch" and abs(value) >= 2**31):
        complain(f"{name} is {value}; it may be a whole number")
        return None
    return int(value)


def _utc(time: datetime | None) -> datetime | None:
    if time is None:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
