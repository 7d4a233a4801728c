"""Braintrust experiments: exported events, and what `Eval` returns, saved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import ZERO_TO_ONE, RecordFormat, has_keys
from evalkit.readers.json_values import mapping, moment, number, sequence, words


def _root_events(file: fields.RecordFile) -> fields.Records:
    events = list(file.records(within="events"))
    below: dict[str, list[fields.Record]] = {}
    for _, event in events:
        if not _is_root(event):
            below.setdefault(str(event.get("root_span_id")), []).append(event)
    for line, event in events:
        if _is_root(event):
            yield line, {**event, "spans": below.get(str(event.get("root_span_id")), [])}


def _results(file: fields.RecordFile) -> fields.Records:
    for line, record in file.records():
        name = fields.get(record, ("summary.experimentName", "summary.experiment_name"))
        for result in map(mapping, sequence(record.get("results"))):
            yield line, {**result, "experiment_id": name, "spans": []}


def _is_root(event: fields.Record) -> bool:
    is_root = event.get("is_root")
    return is_root if isinstance(is_root, bool) else not event.get("span_parents")


def _is_scorer(span: fields.Record) -> bool:
    attributes = mapping(span.get("span_attributes"))
    return bool(attributes.get("type") == "score" or attributes.get("purpose") == "scorer")


def _calls(event: fields.Record) -> list[fields.Record]:
    return [span for span in event["spans"] if fields.get(span, "span_attributes.type") == "llm"]


def _model(event: fields.Record) -> Any:
    models = (fields.get(each, "metadata.model") for each in (event, *_calls(event)))
    return next((model for model in models if model), None)


def _tokens(name: str) -> fields.Field:
    """Return a field with a trial's tokens, without those of judges."""

    def count(event: fields.Record) -> float | None:
        own = number(fields.get(event, f"metrics.{name}"))
        if own is not None:
            return own
        calls = [span for span in _calls(event) if not _is_scorer(span)]
        counts = [number(fields.get(span, f"metrics.{name}")) for span in calls]
        known = [each for each in counts if each is not None]
        return sum(known) if known else None

    return count


def _latency(event: fields.Record) -> float | None:
    start, end = (number(fields.get(event, f"metrics.{name}")) for name in ("start", "end"))
    return None if start is None or end is None else end - start


def _turns(event: fields.Record) -> fields.Turns:
    return fields.exchange(event.get("input"), event.get("output"))


def _scores(event: fields.Record) -> list[fields.Record]:
    """Return the scores of a trial, each with the span that has its reason.

    Logged events have a score in its scorer's span only; a failed scorer's traceback is in its span and the
    root.
    """
    scores, spans = dict(mapping(event.get("scores"))), {}
    for span in filter(_is_scorer, event["spans"]):
        own = mapping(span.get("scores"))
        called = str(fields.get(span, "span_attributes.name"))
        for name, score in (own or ({called: None} if span.get("error") else {})).items():
            scores.setdefault(name, score)
        spans.update(dict.fromkeys([called, *own], span))
    for name, trace in mapping(fields.get(event, "metadata.scorer_errors")).items():
        scores.setdefault(name, None)
        spans.setdefault(name, {"error": trace})
    return [{**mapping(spans.get(name)), "name": name, "score": score} for name, score in scores.items()]


def _reason(name: str) -> fields.Field:
    def reason(span: fields.Record) -> Any:
        own = mapping(span.get("metadata")) or mapping(fields.get(span, "output.metadata"))
        return own.get(name)

    return reason


def _last_line(error: Any) -> str | None:
    if not error:
        return None
    lines = (words(error) or "").strip().splitlines()
    return lines[-1] if lines else "the scorer failed"


EVENTS: Final = RecordFormat(
    records=_root_events,
    run="experiment_id",
    case=fields.id_or_digest("origin.id", "input"),
    runs={"model": _model, "agent_version": "metadata.version"},
    cases={
        "input": fields.words("input"),
        "ideal_behavior": fields.words("expected"),
        "severity": fields.severity("metadata"),
        "tags": fields.texts("tags"),
    },
    trials={
        "output": fields.reply("output"),
        "error": fields.to(lambda error: words(error or None), "error"),
        "input_tokens": _tokens("prompt_tokens"),
        "output_tokens": _tokens("completion_tokens"),
        "latency_s": _latency,
        "started_at": lambda event: (
            as_text(event.get("created")) or moment(number(fields.get(event, "metrics.start")))
        ),
    },
    turns=_turns,
    scores=_scores,
    # Braintrust scores lie between 0 and 1.
    criteria=fields.always(ZERO_TO_ONE),
    score={
        "score": "score",
        "label": _reason("choice"),
        "rationale": _reason("rationale"),
        "error": fields.to(_last_line, "error"),
    },
    ignored=("classifications", "comments", "context", "facets"),
)
RESULTS: Final = replace(EVENTS, records=_results)

READERS: Final = (
    Reader(
        "Braintrust events",
        has_keys("root_span_id", "scores", any_of=("is_root", "span_attributes", "span_parents")),
        read=EVENTS.read,
        alone=True,
    ),
    Reader(
        "Braintrust results",
        has_keys("results", "scores", "summary", any_of=("experimentName", "experiment_name")),
        read=RESULTS.read,
        alone=True,
    ),
)
