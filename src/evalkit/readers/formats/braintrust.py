"""Braintrust experiments: exported events, and what `Eval` returns, saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_values import digest, mapping, moment, number, sequence, severity_of, words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evalkit.data.evals import Evals


def is_events(path: Path, head: bytes) -> bool:
    """Whether its records are the events of an experiment."""
    names = json_records.names(head)
    return {"root_span_id", "scores"} <= names and bool(
        {"is_root", "span_attributes", "span_parents"} & names
    )


def is_summary(path: Path, head: bytes) -> bool:
    """Whether it is what `Eval` returns: a summary, and results with scores."""
    names = json_records.names(head)
    return {"results", "scores", "summary"} <= names and bool({"experimentName", "experiment_name"} & names)


def read_events(path: Path) -> Evals:
    """Read events: a root span is an attempt, its scorers' spans say why.

    Scores lie between 0 and 1, as Braintrust declares them.
    """
    builder = EvalsBuilder(str(path))
    events = list(json_records.read(path, builder, within="events"))
    below: dict[str, list[dict[str, Any]]] = {}
    for _, event in events:
        if not _is_root(event):
            below.setdefault(str(event.get("root_span_id")), []).append(event)
    for line, event in events:
        if _is_root(event):
            _take(builder, path, line, event, below.get(str(event.get("root_span_id")), []))
    return builder.build()


def read_summary(path: Path) -> Evals:
    """Read what `Eval` returns, saved as JSON."""
    builder = EvalsBuilder(str(path))
    for line, record in json_records.read(path, builder):
        summary = mapping(record.get("summary"))
        name = summary.get("experimentName") or summary.get("experiment_name")
        for result in map(mapping, sequence(record.get("results"))):
            _take(builder, path, line, {**result, "experiment_id": name}, [])
    return builder.build()


def _take(
    builder: EvalsBuilder, path: Path, line: int, event: dict[str, Any], spans: list[dict[str, Any]]
) -> None:
    metadata, metrics = mapping(event.get("metadata")), mapping(event.get("metrics"))
    asked, answered = event.get("input"), event.get("output")
    run = as_text(event.get("experiment_id")) or json_records.run_name(path)
    case = as_text(mapping(event.get("origin")).get("id")) or digest(asked)
    epoch = builder.next_epoch(run, case)
    models = [mapping(span.get("metadata")).get("model") for span in spans if _type(span) == "llm"]
    model = metadata.get("model") or next((m for m in models if m), None)
    builder.add_run(run, model=as_text(model), agent_version=as_text(metadata.get("version")))
    tags = [str(tag) for tag in sequence(event.get("tags"))]
    builder.add_case(
        "",
        case,
        input=words(asked),
        ideal_behavior=words(event.get("expected")),
        severity=severity_of(metadata),
        tags=tags or None,
    )
    start, end = number(metrics.get("start")), number(metrics.get("end"))
    builder.add_trial(
        run,
        case,
        epoch,
        line,
        output=words(answered),
        error=words(event["error"]) if event.get("error") else None,
        input_tokens=_sum("prompt_tokens", metrics, spans),
        output_tokens=_sum("completion_tokens", metrics, spans),
        latency_s=None if start is None or end is None else end - start,
        started_at=as_text(event.get("created")) or moment(start),
    )
    messages = asked if isinstance(asked, list) else mapping(asked).get("messages")
    turns = [message(m) for m in sequence(messages) if isinstance(m, dict) and "role" in m]
    if turns and answered is not None:
        turns.append(message({"role": "assistant", "content": words(answered)}))
    builder.add_turns(run, case, epoch, turns)
    scores, why = _scores(event, metadata, spans)
    for name, score in scores.items():
        builder.add_criterion("", name, kind="continuous", scale_min=0, scale_max=1)
        span = mapping(why.get(name))
        told = mapping(span.get("metadata")) or mapping(mapping(span.get("output")).get("metadata"))
        builder.add_score(
            run,
            case,
            epoch,
            name,
            line,
            score=score,
            label=as_text(told.get("choice")),
            rationale=as_text(told.get("rationale")),
            error=_last_line(span["error"]) if span.get("error") else None,
        )
    kept = {"comments", "facets", "classifications", "context"}
    builder.ignore_fields(*(name for name in kept if event.get(name)))


def _scores(
    event: dict[str, Any], metadata: Mapping[str, Any], spans: list[dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the scores of an attempt by name, and of each the span that says why.

    Events as they were logged hold a score in its scorer's span alone; a scorer that failed gave none, and its
    traceback stands in its span and in the root's metadata.
    """
    scores, why = dict(mapping(event.get("scores"))), {}
    for span in filter(_is_scorer, spans):
        given = mapping(span.get("scores"))
        called = str(mapping(span.get("span_attributes")).get("name"))
        for name, score in (given or ({called: None} if span.get("error") else {})).items():
            scores.setdefault(name, score)
        why.update(dict.fromkeys([called, *given], span))
    for name, trace in mapping(metadata.get("scorer_errors")).items():
        scores.setdefault(name, None)
        why.setdefault(name, {"error": trace})
    return scores, why


def _last_line(error: Any) -> str:
    """Return what a traceback ends in: what went wrong."""
    lines = (words(error) or "").strip().splitlines()
    return lines[-1] if lines else "the scorer failed"


def _is_root(event: dict[str, Any]) -> bool:
    said = event.get("is_root")
    return said if isinstance(said, bool) else not event.get("span_parents")


def _is_scorer(span: dict[str, Any]) -> bool:
    return _type(span) == "score" or mapping(span.get("span_attributes")).get("purpose") == "scorer"


def _type(span: dict[str, Any]) -> Any:
    return mapping(span.get("span_attributes")).get("type")


def _sum(name: str, metrics: Any, spans: list[dict[str, Any]]) -> float | None:
    """Return the tokens of an attempt: the root's own figure, or those of its calls; a judge's are not its own."""
    own = number(metrics.get(name))
    if own is not None:
        return own
    calls = [
        number(mapping(s.get("metrics")).get(name)) for s in spans if _type(s) == "llm" and not _is_scorer(s)
    ]
    counted = [count for count in calls if count is not None]
    return sum(counted) if counted else None


READERS: Final = (
    Reader("Braintrust events", is_events, read=read_events, alone=True),
    Reader("Braintrust results", is_summary, read=read_summary, alone=True),
)
