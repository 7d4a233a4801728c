"""The samples of one Inspect log into columns: cases, trials, turns and scores."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import polars as pl

from evalkit.data.columns import as_text, decode, typed_columns
from evalkit.data.schema import CASES, SCORES, SEVERITIES, TRIALS, TURNS, Key, Table
from evalkit.readers.formats.inspect.records import (
    EVENT,
    MARK,
    POOLS,
    RAWS,
    Attachments,
    Call,
    Error,
    Limit,
    Message,
    Output,
    Sample,
    Score,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_Any = TypeVar("_Any")

LETTERS: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Inspect's words for correct, partly correct, incorrect and no answer."""

_YES_OR_NO: Final = frozenset({*LETTERS, "true", "false"})
_WORDS: Final = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_TURN: Final = ("role", "content", "reasoning", "tool_calls", "tool_name", "tool_call_id", "parts")
_SCORE: Final = ("criterion", "grader", "score", "label", "rationale", "answer", "error", "metadata")
_TRIAL: Final = (
    *(
        "output",
        "error",
        "stop_reason",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "latency_s",
        "started_at",
    ),
)
_CASE: Final = ("input", "ideal_behavior", "severity", "domain", "tags", "cluster")


class Columns:
    """The columns of one log, growing a sample at a time."""

    def __init__(self, run: str, graders: dict[str, str], tables: frozenset[str]) -> None:
        self.run = run
        self.graders = graders
        self.tables = tables
        self.seen: dict[tuple[str, int], None] = {}
        self.trials: list[tuple[Any, ...]] = []
        self.cases: dict[str, tuple[Any, ...]] = {}
        self.turns: list[tuple[Any, ...]] = []
        self.turn_counts: list[int] = []
        self.scores: list[tuple[Any, ...]] = []
        self.score_counts: list[int] = []
        self.lettered: dict[str, bool] = {}
        self.unkept: dict[str, None] = {}
        self.judged_by_model: dict[str, None] = {}
        self.invalid = 0
        self.split = False

    def take(self, sample: Any, add_problem: Callable[[str], None]) -> None:
        """Add one sample: a `Sample`, or as much of one as the tables need."""
        if sample.id is None:
            add_problem("a sample has no id")
            return
        case = as_text(sample.id) or ""
        if abs(sample.epoch) >= 2**31:
            add_problem(f"sample {case!r} has the epoch {sample.epoch!r:.40}, which is too large")
            return
        if (case, sample.epoch) in self.seen:
            add_problem(f"sample {case!r}, epoch {sample.epoch} is there twice; the first is kept")
            return
        self.seen[case, sample.epoch] = None
        texts = Attachments(getattr(sample, "attachments", msgspec.Raw()))
        if "trials" in self.tables:
            self.trials.append(_trial(sample, texts))
            self.invalid += bytes(sample.invalidation) not in (b"", b"null")
        if "cases" in self.tables and case not in self.cases:
            self.cases[case] = self._case(sample, texts)
        if "turns" in self.tables:
            messages = sample.messages or _from_events(sample)
            self.turn_counts.append(len(messages))
            self.turns += [_turn(message, texts) for message in messages]
        if "scores" in self.tables:
            before = len(self.scores)
            scores = sample.scores or ({"score": sample.score} if sample.score is not None else {})
            for name, score in scores.items():
                self._take_score(name, score, texts)
            if self.split:
                self._drop_doubled(before, add_problem)
            self.score_counts.append(len(self.scores) - before)

    def _drop_doubled(self, before: int, add_problem: Callable[[str], None]) -> None:
        """Leave out a score whose name another one has: `a` with a key `b` is `a/b`, and so may a scorer be."""
        names = [row[0] for row in self.scores[before:]]
        if len(set(names)) == len(names):
            return
        first = {name: place for place, name in reversed(list(enumerate(names)))}
        for name in dict.fromkeys(name for place, name in enumerate(names) if first[name] != place):
            add_problem(f"two scores are called {name!r}; the first is kept")
        self.scores[before:] = [self.scores[before + place] for place in sorted(first.values())]

    def _take_score(self, name: str, score: Score, texts: Attachments) -> None:
        metadata, judged = _metadata(score, texts)
        if judged or name.startswith("model_graded"):
            self.judged_by_model[name] = None
        rationale, answer = score.explanation, score.answer
        if rationale and MARK in rationale:
            rationale = texts.text(rationale)
        if answer and MARK in answer:
            answer = texts.text(answer)
        grader = self.graders.get(name, name)
        value = score.value
        if isinstance(value, dict | list):
            self.split = True
            values = _values(name, value)
        else:
            values = [(name, value)]
        for criterion, value in values:
            number, label, error = _number(value, score.reason)
            if number is not None:
                self.lettered[criterion] = self.lettered.get(criterion, True) and label in _YES_OR_NO
            self.scores.append((criterion, grader, number, label, rationale, answer, error, metadata, name))

    def _case(self, sample: Sample, texts: Attachments) -> tuple[Any, ...]:
        target = sample.target
        if isinstance(target, list):
            target = "\n".join(as_text(part) or "" for part in target)
        given = _decoded(sample.metadata)
        given = given if isinstance(given, dict) else {}
        known = {name: given.get(name) for name in ("severity", "domain", "tags", "cluster")}
        if str(known["severity"]).lower() not in SEVERITIES:
            known["severity"] = None
        if not isinstance(known["tags"], list):
            known["tags"] = None
        self.unkept.update(dict.fromkeys(name for name in given if known.get(name) is None))
        return (
            _asked(sample, texts),
            target and texts.text(target),
            known["severity"] and str(known["severity"]).lower(),
            as_text(known["domain"]),
            known["tags"] and [as_text(tag) for tag in known["tags"]],
            as_text(known["cluster"]),
        )

    def frames(self, source: str, suite: str) -> dict[str, pl.DataFrame]:
        """Return the tables of what was taken, as `evalkit.data.schema` has them."""
        made: dict[str, pl.DataFrame] = {}
        keys = [
            pl.Series("run", [self.run], dtype=Key).new_from_index(0, len(self.seen)),
            pl.Series("case", [case for case, _ in self.seen], dtype=pl.String).cast(Key),
            pl.Series("epoch", [epoch for _, epoch in self.seen], dtype=pl.Int32),
        ]
        origin = pl.Series("source", [source], dtype=pl.Categorical())
        if "trials" in self.tables:
            columns = typed_columns(_TRIAL, self.trials, TRIALS)
            made["trials"] = _table(TRIALS, [*keys, *columns, origin.new_from_index(0, len(self.trials))])
        if "turns" in self.tables:
            import numpy as np

            counts = np.asarray(self.turn_counts, dtype=np.int64)
            index = np.repeat(np.arange(len(counts)), counts)
            places = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
            turn = pl.Series("turn", places, dtype=pl.Int32)
            columns = typed_columns(_TURN, self.turns, TURNS)
            made["turns"] = _table(TURNS, [*(key.gather(index) for key in keys), turn, *columns])
        if "cases" in self.tables:
            rows = [(suite, case, *values) for case, values in self.cases.items()]
            made["cases"] = _table(CASES, typed_columns(("suite", "case", *_CASE), rows, CASES))
        if "scores" in self.tables:
            import numpy as np

            index = np.repeat(
                np.arange(len(self.score_counts)), np.asarray(self.score_counts, dtype=np.int64)
            )
            columns = typed_columns(_SCORE, self.scores, SCORES)
            judges = self.judged_by_model
            kinds = ["judge" if row[-1] in judges else "code" for row in self.scores] if judges else ["code"]
            kind = pl.Series("grader_kind", kinds, dtype=SCORES.schema["grader_kind"])
            if not judges:
                kind = kind.new_from_index(0, len(self.scores))
            columns = [*(key.gather(index) for key in keys), *columns, kind]
            made["scores"] = _table(SCORES, [*columns, origin.new_from_index(0, len(self.scores))])
        return made


def _table(table: Table, columns: list[pl.Series]) -> pl.DataFrame:
    """Return a table of some of its columns, the others null."""
    have = {series.name: series for series in columns}
    height = len(columns[0])
    filled = {"sample": 1, "rubric_hash": ""}
    return pl.DataFrame(
        [
            have[name]
            if name in have
            else pl.Series(name, [filled.get(name)], dtype=dtype).new_from_index(0, height)
            for name, dtype in table.schema.items()
        ]
    )


def _trial(sample: Sample, texts: Attachments) -> tuple[Any, ...]:
    output = sample.output
    choice = output.choices[0] if output is not None and output.choices else None
    text = output.completion if output is not None else None
    if text is None and choice is not None and choice.message is not None:
        text = _content(choice.message.content, texts)[0]
    error = sample.error.message if isinstance(sample.error, Error) else sample.error
    limit = sample.limit.type if isinstance(sample.limit, Limit) else sample.limit
    usage = list((sample.model_usage or {}).values())
    costs = [one.total_cost for one in usage if one.total_cost is not None]
    return (
        text and texts.text(text),
        error,
        f"limit: {limit}" if limit else choice and choice.stop_reason,
        sum(
            u.input_tokens + (u.input_tokens_cache_read or 0) + (u.input_tokens_cache_write or 0)
            for u in usage
        )
        if usage
        else None,
        sum(one.output_tokens for one in usage) if usage else None,
        math.fsum(costs) if costs else None,
        sample.total_time,
        moment(sample.started_at),
    )


def _turn(message: Message, texts: Attachments) -> tuple[Any, ...]:
    calls = message.tool_calls
    content, reasoning, parts = _content(message.content, texts)
    if bytes(message.error) not in (b"", b"null"):
        parts = [*(parts or ()), {"type": "error", "error": decode(bytes(message.error))}]
    return (
        message.role,
        content,
        reasoning,
        as_text([_call(call, texts) for call in calls]) if calls else None,
        message.function,
        message.tool_call_id,
        as_text(parts),
    )


def _content(
    content: str | list[Any] | None, texts: Attachments
) -> tuple[str | None, str | None, list[Any] | None]:
    """Return a message's text, its reasoning, and the parts that are neither."""
    if content is None:
        return None, None, None
    if isinstance(content, str):
        return texts.text(content), None, None
    said, thought, others = [], [], []
    for part in texts.value(content):
        kind = part.get("type") if isinstance(part, dict) else "text"
        if kind == "text":
            said.append(part if isinstance(part, str) else as_text(part.get("text")) or "")
        elif kind == "reasoning":
            thought.append(
                as_text(part.get("summary") if part.get("redacted") else part.get("reasoning")) or ""
            )
        else:
            others.append(part)
    return "\n".join(said), "\n".join(thought) if thought else None, others or None


def _call(call: Call, texts: Attachments) -> dict[str, Any]:
    arguments: Any = call.arguments
    if not bytes(arguments):
        arguments = None
    elif b"attachment://" in bytes(arguments):
        arguments = texts.value(decode(bytes(arguments)))
    made = {"id": call.id, "name": call.function, "arguments": arguments}
    return made if call.parse_error is None else {**made, "parse_error": call.parse_error}


def _from_events(sample: Sample) -> list[Message]:
    """Return the messages of a sample that was cut short before they were written: those of its last model call."""
    if bytes(sample.events) in (b"", b"null", b"[]"):
        return []
    try:
        pool = (POOLS.decode(sample.events_data).messages or []) if bytes(sample.events_data) else []
        for raw in reversed(RAWS.decode(sample.events)):
            if b'"model"' not in bytes(raw)[:4096] and b'"model"' not in bytes(raw):
                continue
            event = EVENT.decode(raw)
            if event.event == "model":
                given = event.input or ranges(pool, event.input_refs or [])
                return [*given, *_answers(event.output)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    return []


def ranges(pool: list[_Any], refs: list[list[int]]) -> list[_Any]:
    """Return what is in half-open ranges of a pool."""
    return [message for ref in refs if len(ref) == 2 for message in pool[ref[0] : ref[1]]]


def _answers(output: Output | None) -> list[Message]:
    choices = (output.choices if output is not None else None) or []
    return [choice.message for choice in choices[:1] if choice.message is not None]


def _values(name: str, value: dict[str, Any] | list[Any]) -> list[tuple[str, Any]]:
    """Return each criterion of a score with its value: one a key, or one a place."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    return [(f"{name}/{key}", part) for key, part in parts]


def _number(value: Any, reason: str | None) -> tuple[float | None, str | None, str | None]:
    """Return score, label and error of one value; NaN is Inspect's word for not scored."""
    if isinstance(value, bool):
        return float(value), "true" if value else "false", None
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return None, None, f"the score is {value!r:.40}, not a finite number"
        return (number, None, None) if math.isfinite(number) else (None, None, reason or "not scored")
    if value is None or value == "NaN":
        return None, None, reason or "not scored"
    if isinstance(value, str):
        if value in LETTERS:
            return LETTERS[value], value, None
        number = _WORDS.get(value.strip().lower(), math.nan)
        if math.isnan(number):
            try:
                number = float(value)
            except ValueError:
                number = math.nan
        if math.isfinite(number):
            return number, value, None
        return None, value, reason or f"the score is {value!r:.80}, not a number"
    return None, None, f"the score is {as_text(value)!r:.80}, not a number"


def _metadata(score: Score, texts: Attachments) -> tuple[str | None, bool]:
    """Return what else came with a score as JSON, and whether a model graded (it left its transcript)."""
    text = texts.json(score.metadata)
    judged = text is not None and '"grading"' in text
    value = score.value
    told = score.reason if score.reason and not (value is None or value == "NaN" or value != value) else None
    if not score.history and told is None:
        return text, judged
    made = decode(text.encode()) if text else {}
    made = made if isinstance(made, dict) else {"metadata": made}
    if told is not None:
        made["reason"] = told
    if score.history:
        made["history"] = [texts.value(decode(bytes(step))) for step in score.history]
    return as_text(made), judged


def _asked(sample: Sample, texts: Attachments) -> str | None:
    """Return a sample's input as text, its choices below it."""
    given = sample.input
    if isinstance(given, list):
        several = len(given) > 1
        said = []
        for message in given:
            text, _, parts = _content(message.content, texts)
            shown = "\n".join(
                [
                    text or "",
                    *(
                        f"({str(part.get('type', 'part')).capitalize()})"
                        for part in parts or ()
                        if isinstance(part, dict)
                    ),
                ]
            ).strip("\n")
            said.append(f"{message.role}: {shown}" if several else shown)
        given = "\n".join(said)
    elif given is not None:
        given = texts.text(given)
    if sample.choices:
        lines = [f"{chr(65 + place)}) {as_text(choice)}" for place, choice in enumerate(sample.choices)]
        given = "\n".join([given or "", *lines])
    return given


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return decode(bytes(raw)) if bytes(raw) else None
    except ValueError:
        return None


def moment(text: str | None) -> datetime | None:
    """Return an ISO 8601 time in UTC; None where it is none."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
