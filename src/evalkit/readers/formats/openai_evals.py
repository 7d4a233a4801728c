"""OpenAI evals: `oaieval` logs, and saved output items of hosted evals."""

from __future__ import annotations

from typing import Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import PASS_OR_FAIL, RecordFormat, any_sniff, has_paths
from evalkit.readers.json_keys import first_records
from evalkit.readers.json_values import digest, mapping, moment, sequence, words

_EVENT: Final = frozenset(("run_id", "event_id", "sample_id", "type", "data"))
_READ: Final = ("match", "sampling", "metrics", "error")
_ITEM: Final = "eval.run.output_item"


def _is_log(path: object, data: bytes) -> bool:
    """Whether a line is the specification of an eval, or an event of its run."""
    return any(
        record.keys() >= _EVENT or "eval_name" in mapping(record.get("spec"))
        for record in first_records(data)
    )


def _samples(file: fields.RecordFile) -> fields.Records:
    """Yield the events of each sample, which may be interleaved or after the report."""
    spec: fields.Record = {}
    report: Any = None
    samples: dict[str, list[fields.Record]] = {}
    for line, record in file.records():
        if "spec" in record:
            spec = mapping(record["spec"])
        elif "final_report" in record:
            report = record["final_report"]
        elif record.get("sample_id") in (None, "") or not isinstance(record.get("type"), str):
            file.builder.add_problem(line, "An event has no 'sample_id' or no 'type'.")
        else:
            samples.setdefault(str(as_text(record["sample_id"])), []).append({**record, "line": line})
    models = sequence(spec.get("completion_fns")) or sequence(spec.get("model_name"))
    model = as_text(models[0] if models else spec.get("model_name"))
    run_ids = (event.get("run_id") for events in samples.values() for event in events)
    run = as_text(spec.get("run_id") or next(run_ids, None)) or file.path.stem
    suite = as_text(spec.get("eval_name")) or ""
    settings = fields.known("run_config", "split", "final_report")({**spec, "final_report": report})
    file.builder.add_run(
        run,
        suite=suite,
        agent_version=model or run,
        model=model,
        started_at=as_text(spec.get("created_at")),
        config=as_text(settings),
    )
    for case, events in samples.items():
        others = [event["type"] for event in events if event["type"] not in _READ]
        file.builder.ignore_fields(*(f"{kind} events" for kind in others))
        names = {"run": run, "suite": suite, "case": case, "created": events[0].get("created_at")}
        yield events[0]["line"], {**names, **_parts(events)}


def _parts(events: list[fields.Record]) -> dict[str, Any]:
    data = {
        kind: [
            {**mapping(event.get("data")), "line": event["line"]} for event in events if event["type"] == kind
        ]
        for kind in _READ
    }
    calls = data["sampling"]
    # With a model grader, the last call is the grader's.
    is_graded = any("choice" in metrics for metrics in data["metrics"]) and len(calls) > 1
    verdict = _sampled(calls[-1].get("sampled")) if is_graded else None
    answers = calls[:-1] if is_graded else calls
    scores = [{**_match(event), "sample": sample} for sample, event in enumerate(data["match"], 1)]
    for sample, event in enumerate(data["metrics"], 1):
        scores += [{**score, "rationale": verdict, "sample": sample} for score in _metrics(event)]
    return {
        "call": answers[-1] if answers else {},
        "expected": data["match"][0].get("expected") if data["match"] else None,
        "scores": scores,
        "error": fields.joined(error.get("message") or error.get("type") for error in data["error"]),
    }


def _match(event: fields.Record) -> dict[str, Any]:
    is_known = isinstance(event.get("correct"), bool | int | float)
    return {
        "name": "match",
        "line": event["line"],
        "score": event["correct"] if is_known else None,
        "error": None if is_known else "the event does not say whether it is correct",
        "answer": event.get("picked"),
        "metadata": {name: event[name] for name in ("expected", "options") if name in event},
        "scale": PASS_OR_FAIL,
    }


def _metrics(event: fields.Record) -> list[dict[str, Any]]:
    choice = as_text(event.get("choice"))
    numbers: dict[str, Any] = {n: v for n, v in event.items() if isinstance(v, bool | int | float)}
    del numbers["line"]
    if choice is not None and not numbers:
        numbers["choice"] = None
    return [
        {
            "name": name,
            "line": event["line"],
            "score": value,
            "grader_kind": "code" if choice is None else "judge",
            "label": choice,
            "error": "the judge's choice stands for no number" if value is None else None,
            "scale": PASS_OR_FAIL if isinstance(value, bool) else {},
        }
        for name, value in numbers.items()
    ]


def _sampled(value: Any) -> str | None:
    return as_text(value[0] if isinstance(value, list) and len(value) == 1 else value)


def _turns(record: fields.Record) -> fields.Turns:
    prompt = record["call"].get("prompt")
    turns = fields.chat_turns(prompt) if isinstance(prompt, list) else fields.as_turns("user", prompt)
    return turns + fields.as_turns("assistant", _sampled(record["call"].get("sampled")))


LOG: Final = RecordFormat(
    records=_samples,
    epoch=fields.always(1),
    cases={"ideal_behavior": "expected"},
    trials={
        "output": fields.to(_sampled, "call.sampled"),
        "error": "error",
        "started_at": "created",
    },
    turns=_turns,
    criteria=lambda score: score["scale"],
    grader="oaieval",
    score={
        **fields.same("line", "sample", "score", "label", "rationale", "error", "answer", "metadata"),
        "grader_kind": lambda score: score.get("grader_kind", "code"),
    },
)


def _items(file: fields.RecordFile) -> fields.Records:
    for line, item in file.records(within="data"):
        if item.get("object") not in (None, _ITEM):
            file.builder.add_problem(line, f"Unexpected object {item['object']!r:.40}. Expected {_ITEM!r}.")
        else:
            content = item.get("datasource_item")
            results = enumerate(map(mapping, sequence(item.get("results"))), 1)
            names = {
                "case": as_text(item.get("datasource_item_id")) or (digest(content) if content else None),
                "checks": [{**result, "number": number} for number, result in results],
                "run": item.get("run_id") or file.path.stem,
            }
            yield line, {**item, **names}


def _input(item: fields.Record) -> str | None:
    content = mapping(item.get("datasource_item"))
    return words(mapping(content.get("item")) or content or item.get("datasource_item"))


def _output(item: fields.Record) -> str | None:
    texts = [
        turn["content"] for turn in fields.chat_turns(fields.get(item, "sample.output")) if turn["content"]
    ]
    return texts[-1] if texts else None


def _error(item: fields.Record) -> str | None:
    error = fields.get(item, "sample.error")
    details = mapping(error)
    parts = ": ".join(str(details[name]) for name in ("code", "message") if details.get(name))
    if not parts and error and not details:
        parts = as_text(error) or ""
    return parts or ("the item has the status error" if item.get("status") == "error" else None)


def _rationale(result: fields.Record) -> Any:
    messages = sequence(fields.get(result, "sample.output"))
    return mapping(messages[-1]).get("content") if messages else None


def _is_judged(result: fields.Record) -> bool:
    return bool(mapping(result.get("sample"))) or str(result.get("type") or "").endswith("_model")


ITEMS: Final = RecordFormat(
    records=_items,
    required=("case",),
    suite="eval_id",
    runs={
        "agent_version": ("sample.model", "run"),
        "model": "sample.model",
        "provider": fields.always("openai"),
        "config": lambda item: fields.known("temperature", "top_p", "seed", "max_completion_tokens")(
            mapping(item.get("sample"))
        ),
    },
    cases={"input": _input, "severity": fields.severity("datasource_item", "datasource_item.item")},
    trials={
        "output": _output,
        "error": _error,
        "stop_reason": "sample.finish_reason",
        "input_tokens": "sample.usage.prompt_tokens",
        "output_tokens": "sample.usage.completion_tokens",
        "started_at": fields.to(moment, "created_at"),
    },
    turns=lambda item: [
        *fields.chat_turns(fields.get(item, "sample.input")),
        *fields.chat_turns(fields.get(item, "sample.output")),
    ],
    checks="checks",
    check={
        # Older exports have no grader names.
        "name": lambda result: result.get("name") or f"grader {result['number']}",
        "passed": "passed",
        "rationale": _rationale,
        "kind": lambda result: "judge" if _is_judged(result) else "code",
        "judge_model": "sample.model",
        "facts": fields.known("score", type=fields.not_empty("type")),
    },
    grader="OpenAI Evals",
)

_TOPS: Final = ("", "[].", "data.[].")
READERS: Final = (
    Reader("OpenAI evals log", _is_log, read=LOG.read, whole=True, alone=True),
    Reader(
        "OpenAI Evals output items",
        # A list, an API page, or JSON lines.
        any_sniff(
            *(has_paths(f"{top}datasource_item", f"{top}results", f"{top}sample") for top in _TOPS),
            *(has_paths(f"{top}datasource_item_id", f"{top}run_id") for top in _TOPS),
        ),
        read=ITEMS.read,
        whole=True,
        alone=True,
    ),
)
