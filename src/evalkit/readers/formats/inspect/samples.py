"""Collect the samples of one Inspect log into columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.chat_messages import turns as message_turns
from evalkit.data.columns import typed_columns
from evalkit.data.folder_fields import MESSAGE_FIELDS, TRIAL_FIELDS
from evalkit.data.json_text import DECODE_ERRORS, as_text, decode
from evalkit.data.schema import CASES, SCORES, SEVERITIES, TRIALS, TURNS, Key, Table
from evalkit.readers.formats.inspect.records import (
    EVENT,
    LETTERS,
    MARK,
    POOLS,
    RAWS,
    Attachments,
    Call,
    Error,
    Limit,
    Message,
    Sample,
    Score,
    is_given,
    moment,
    ranges,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_YES_OR_NO: Final = frozenset({*LETTERS, "true", "false"})
_WORDS: Final = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_SCORE: Final = ("criterion", "grader", "score", "label", "rationale", "answer", "error", "metadata")
_CASE: Final = ("input", "ideal_behavior", "severity", "domain", "tags", "cluster")


class Columns:
    """The columns of one log; `add` extends them by a sample.

    `lettered`: whether all scores of a criterion are letters or booleans. `ignored`: metadata without a
    column. `invalid`: number of samples marked as invalid.
    """

    def __init__(
        self, run: str, graders: dict[str, str], tables: frozenset[str], *, only_score: str = "score"
    ) -> None:
        self.tables = tables
        self.lettered: dict[str, bool] = {}
        self.ignored: dict[str, None] = {}
        self.invalid = 0
        self._run = run
        self._graders = graders
        self._only_score = only_score
        self._keys: dict[tuple[str, int], None] = {}
        self._trials: list[tuple[Any, ...]] = []
        self._cases: dict[str, tuple[Any, ...]] = {}
        self._turns: list[tuple[Any, ...]] = []
        self._turn_counts: list[int] = []
        self._scores: list[tuple[Any, ...]] = []
        self._score_counts: list[int] = []
        self._model_graded: set[str] = set()
        self._has_parts = False

    @property
    def height(self) -> int:
        """The number of samples."""
        return len(self._keys)

    def add(self, sample: Any, add_problem: Callable[[str], None]) -> None:
        """Add a `Sample`, or the part of one that the tables need."""
        if sample.id is None:
            add_problem("A sample has no id.")
            return
        case = as_text(sample.id) or ""
        if abs(sample.epoch) >= 2**31:
            add_problem(f"Sample {case!r} has the epoch {sample.epoch!r:.40}, which is too large.")
            return
        if (case, sample.epoch) in self._keys:
            add_problem(f"Sample {case!r}, epoch {sample.epoch} is there twice. The first is kept.")
            return
        self._keys[case, sample.epoch] = None
        texts = Attachments(getattr(sample, "attachments", msgspec.Raw()))
        if "trials" in self.tables:
            self._trials.append(_trial(sample, texts))
            self.invalid += is_given(sample.invalidation)
        if "cases" in self.tables and case not in self._cases:
            self._cases[case] = self._case(sample, texts)
        if "turns" in self.tables:
            before = len(self._turns)
            for message in sample.messages or _from_events(sample):
                self._turns += _turns(message, texts)
            self._turn_counts.append(len(self._turns) - before)
        if "scores" in self.tables:
            before = len(self._scores)
            scores = sample.scores or ({self._only_score: sample.score} if sample.score is not None else {})
            for name, score in scores.items():
                self._add_score(name, score, texts)
            if self._has_parts:
                self._drop_copies(before, add_problem)
            self._score_counts.append(len(self._scores) - before)

    def _drop_copies(self, before: int, add_problem: Callable[[str], None]) -> None:
        """Drop a second score of a name: key `b` of score `a` is `a/b`, also a valid scorer name."""
        rows: dict[str, tuple[Any, ...]] = {}
        copies: dict[str, None] = {}
        for row in self._scores[before:]:
            if rows.setdefault(row[0], row) is not row:
                copies[row[0]] = None
        for name in copies:
            add_problem(f"Two scores are called {name!r}. The first is kept.")
        self._scores[before:] = rows.values()

    def _add_score(self, name: str, score: Score, texts: Attachments) -> None:
        metadata = _metadata(score, texts)
        # Model-graded scores have a transcript.
        if name.startswith("model_graded") or (metadata is not None and '"grading"' in metadata):
            self._model_graded.add(name)
        rationale, answer, value = score.explanation, score.answer, score.value
        if rationale and MARK in rationale:
            rationale = texts.text(rationale)
        if answer and MARK in answer:
            answer = texts.text(answer)
        grader = self._graders.get(name, name)
        values = [(name, value)]
        if isinstance(value, dict | list):
            self._has_parts = True
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            values = [(f"{name}/{key}", part) for key, part in parts]
        for criterion, part in values:
            number, label, error = _number(part, score.reason)
            if number is not None:
                self.lettered[criterion] = self.lettered.get(criterion, True) and label in _YES_OR_NO
            self._scores.append((criterion, grader, number, label, rationale, answer, error, metadata, name))

    def _case(self, sample: Sample, texts: Attachments) -> tuple[Any, ...]:
        target = sample.target
        if isinstance(target, list):
            target = "\n".join(as_text(part) or "" for part in target)
        metadata = _decoded(sample.metadata)
        metadata = metadata if isinstance(metadata, dict) else {}
        severity = str(metadata.get("severity")).lower()
        tags = metadata.get("tags")
        known = {
            "severity": severity if severity in SEVERITIES else None,
            "domain": as_text(metadata.get("domain")),
            "tags": [as_text(tag) for tag in tags] if isinstance(tags, list) else None,
            "cluster": as_text(metadata.get("cluster")),
        }
        self.ignored.update(dict.fromkeys(name for name in metadata if known.get(name) is None))
        return _input(sample, texts), target and texts.text(target), *known.values()

    def frames(self, source: str, suite: str) -> dict[str, Any]:
        """Return the tables with the columns of `evalkit.data.schema`."""
        frames: dict[str, Any] = {}
        keys = [
            pl.Series("run", [self._run], dtype=Key).new_from_index(0, len(self._keys)),
            pl.Series("case", [case for case, _ in self._keys], dtype=pl.String).cast(Key),
            pl.Series("epoch", [epoch for _, epoch in self._keys], dtype=pl.Int32),
        ]
        if "trials" in self.tables:
            frames["trials"] = _table(
                TRIALS, keys + typed_columns(TRIAL_FIELDS, self._trials, TRIALS), source
            )
        if "turns" in self.tables:
            index, places = _repeated(self._turn_counts)
            turn = pl.Series("turn", places, dtype=pl.Int32)
            columns = [
                *(key.gather(index) for key in keys),
                turn,
                *typed_columns(MESSAGE_FIELDS, self._turns, TURNS),
            ]
            frames["turns"] = _table(TURNS, columns, source)
        if "cases" in self.tables:
            rows = [(suite, case, *values) for case, values in self._cases.items()]
            frames["cases"] = _table(CASES, typed_columns(("suite", "case", *_CASE), rows, CASES), source)
        if "scores" in self.tables:
            index, _ = _repeated(self._score_counts)
            kinds = ["judge" if row[-1] in self._model_graded else "code" for row in self._scores]
            kind = pl.Series("grader_kind", kinds, dtype=SCORES.schema["grader_kind"])
            columns = [
                *(key.gather(index) for key in keys),
                kind,
                *typed_columns(_SCORE, self._scores, SCORES),
            ]
            frames["scores"] = _table(SCORES, columns, source)
        return frames


def _repeated(counts: list[int]) -> tuple[Any, Any]:
    """Return the sample of each row, and the row's place in it from 1."""
    import numpy as np

    sizes = np.asarray(counts, dtype=np.int64)
    index = np.repeat(np.arange(len(sizes)), sizes)
    return index, np.arange(len(index)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1


def _table(table: Table, columns: list[pl.Series], source: str) -> pl.DataFrame:
    known = {series.name: series for series in columns}
    filled = {"sample": 1, "rubric_hash": "", "source": source}
    height = len(columns[0])
    return pl.DataFrame(
        [
            known[name]
            if name in known
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
    costs = [each.total_cost for each in usage if each.total_cost is not None]
    cached = sum((u.input_tokens_cache_read or 0) + (u.input_tokens_cache_write or 0) for u in usage)
    return (
        text and texts.text(text),
        error,
        f"limit: {limit}" if limit else choice and choice.stop_reason,
        sum(each.input_tokens for each in usage) + cached if usage else None,
        sum(each.output_tokens for each in usage) if usage else None,
        math.fsum(costs) if costs else None,
        sample.total_time,
        moment(sample.started_at),
        sample.uuid,
    )


def _turns(message: Message, texts: Attachments) -> Iterator[tuple[Any, ...]]:
    """Yield a message as turns: the calls and results of tools on the model's side are in its content."""
    content, reasoning, parts = _content(message.content, texts)
    calls = [_call(call, texts) for call in message.tool_calls or ()]
    turn = (message.role, content, reasoning, as_text(calls or None), message.function, message.tool_call_id)
    error = decode(bytes(message.error)) if message.error and is_given(message.error) else None
    failed = [] if error is None else [{"type": "error", "error": error}]
    if not parts:
        yield *turn, as_text(failed or None)
        return
    record = {"role": message.role, "content": _spaced(texts.value(message.content)), "tool_calls": calls}
    record |= {"tool_name": message.function, "tool_call_id": message.tool_call_id, "parts": failed}
    for made in message_turns([record]):
        yield tuple(made[name] for name in MESSAGE_FIELDS)


def _spaced(blocks: list[Any]) -> list[Any]:
    """Return content with a line break between its texts, as Inspect joins them."""
    is_text = [
        isinstance(each, str) or (isinstance(each, dict) and each.get("type") == "text") for each in blocks
    ]
    between = zip(blocks, is_text, [False, *is_text], strict=False)
    return [
        part for block, text, before in between for part in (["\n", block] if text and before else [block])
    ]


def _content(
    content: str | list[Any] | None, texts: Attachments
) -> tuple[str | None, str | None, list[Any] | None]:
    if content is None or isinstance(content, str):
        return content and texts.text(content), None, None
    answer, reasoning, others = [], [], []
    for part in texts.value(content):
        kind = part.get("type") if isinstance(part, dict) else "text"
        if kind == "text":
            answer.append(part if isinstance(part, str) else as_text(part.get("text")) or "")
        elif kind == "reasoning":
            thought = part.get("summary") if part.get("redacted") else part.get("reasoning")
            reasoning.append(as_text(thought) or "")
        else:
            others.append(part)
    return "\n".join(answer), "\n".join(reasoning) if reasoning else None, others or None


def _call(call: Call, texts: Attachments) -> dict[str, Any]:
    arguments: Any = call.arguments
    if not bytes(arguments):
        arguments = None
    elif MARK.encode() in bytes(arguments):
        arguments = texts.value(decode(bytes(arguments)))
    record = {"id": call.id, "name": call.function, "arguments": arguments}
    return record if call.parse_error is None else {**record, "parse_error": call.parse_error}


def _from_events(sample: Sample) -> list[Message]:
    """Return the messages of the last model call of an interrupted sample."""
    if not is_given(sample.events):
        return []
    try:
        pool = (POOLS.decode(sample.events_data).messages or []) if bytes(sample.events_data) else []
        for raw in reversed(RAWS.decode(sample.events)):
            event = EVENT.decode(raw) if b'"model"' in bytes(raw) else None
            if event is not None and event.event == "model":
                choices = (event.output.choices if event.output is not None else None) or []
                answers = [choice.message for choice in choices[:1] if choice.message is not None]
                return [*(event.input or ranges(pool, event.input_refs or [])), *answers]
    except DECODE_ERRORS:
        return []
    return []


def _number(value: Any, reason: str | None) -> tuple[float | None, str | None, str | None]:
    """Return the score, label and error of a value; NaN means unscored."""
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
    if not isinstance(value, str):
        return None, None, f"the score is {as_text(value)!r:.80}, not a number"
    if value in LETTERS:
        return LETTERS[value], value, None
    try:
        number = _WORDS.get(value.strip().lower(), math.nan)
        number = float(value) if math.isnan(number) else number
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number, value, None
    return None, value, reason or f"the score is {value!r:.80}, not a number"


def _metadata(score: Score, texts: Attachments) -> str | None:
    text, value, reason = texts.json(score.metadata), score.value, score.reason or None
    if reason and (value is None or value == "NaN" or value != value):
        reason = None  # it is the error
    if not score.history and reason is None:
        return text
    metadata = decode(text.encode()) if text else {}
    metadata = metadata if isinstance(metadata, dict) else {"metadata": metadata}
    if reason is not None:
        metadata["reason"] = reason
    if score.history:
        metadata["history"] = [texts.value(decode(bytes(step))) for step in score.history]
    return as_text(metadata)


def _input(sample: Sample, texts: Attachments) -> str | None:
    prompt = sample.input
    if isinstance(prompt, list):
        shown = [(message.role, _shown(message, texts)) for message in prompt]
        prompt = "\n".join(f"{role}: {text}" if len(shown) > 1 else text for role, text in shown)
    elif prompt is not None:
        prompt = texts.text(prompt)
    if sample.choices:
        lines = [f"{chr(65 + place)}) {as_text(choice)}" for place, choice in enumerate(sample.choices)]
        prompt = "\n".join([prompt or "", *lines])
    return prompt


def _shown(message: Message, texts: Attachments) -> str:
    text, _, parts = _content(message.content, texts)
    kinds = [str(part.get("type", "part")).capitalize() for part in parts or () if isinstance(part, dict)]
    return "\n".join([text or "", *(f"({kind})" for kind in kinds)]).strip("\n")


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return decode(bytes(raw)) if bytes(raw) else None
    except ValueError:
        return None
