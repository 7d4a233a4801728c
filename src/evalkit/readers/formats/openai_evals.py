"""OpenAI evals: the log of `oaieval`, and saved output items of the hosted Evals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.assertions import Attempt, Check, add_checks
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_keys import first_records, outline
from evalkit.readers.json_values import mapping, sequence, severity_of, words

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_EVENT: Final = frozenset(("run_id", "event_id", "sample_id", "type", "data"))
_READ: Final = frozenset(("match", "sampling", "metrics", "error"))
_ITEM: Final = "eval.run.output_item"


def is_log(path: Path, head: bytes) -> bool:
    """Whether a line is the specification of an eval, or an event of its run."""
    return any(
        record.keys() >= _EVENT or "eval_name" in mapping(record.get("spec"))
        for record in first_records(head)
    )


def read_log(path: Path) -> Evals:
    """Read the log of `oaieval`: a sample is a case; a match, or a number among its metrics, is a score."""
    builder = EvalsBuilder(str(path))
    spec: dict[str, Any] = {}
    samples: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    report: Any = None
    for line, record in json_records.read(path, builder):
        if "spec" in record:
            spec = dict(mapping(record["spec"]))
        elif "final_report" in record:
            report = record["final_report"]
        elif record.get("sample_id") in (None, "") or not isinstance(record.get("type"), str):
            builder.add_problem(line, "an event without a sample_id or a type")
        else:
            # Events of a sample may be written after the report, and between those of others.
            samples.setdefault(str(as_text(record["sample_id"])), []).append((line, record))
    run, suite = _log_run(builder, spec, samples, report, path)
    for case, events in samples.items():
        _sample(builder, suite, (run, case, 1), events)
    return builder.build()


def _log_run(
    builder: EvalsBuilder,
    spec: dict[str, Any],
    samples: dict[str, list[tuple[int, dict[str, Any]]]],
    report: Any,
    path: Path,
) -> tuple[str, str]:
    told = next((record.get("run_id") for events in samples.values() for _, record in events), None)
    run = as_text(spec.get("run_id")) or as_text(told) or path.stem
    suite = as_text(spec.get("eval_name")) or ""
    models = sequence(spec.get("completion_fns")) or sequence(spec.get("model_name"))
    model = as_text(models[0]) if models else as_text(spec.get("model_name"))
    settings = {"run_config": spec.get("run_config"), "split": spec.get("split"), "final_report": report}
    builder.add_run(
        run,
        suite=suite,
        agent_version=model or run,
        model=model,
        started_at=as_text(spec.get("created_at")),
        config=as_text({name: value for name, value in settings.items() if value is not None}),
    )
    return run, suite


def _sample(
    builder: EvalsBuilder, suite: str, trial: tuple[str, str, int], events: list[tuple[int, dict[str, Any]]]
) -> None:
    data = {
        kind: [(line, mapping(record.get("data"))) for line, record in events if record["type"] == kind]
        for kind in _READ
    }
    calls = data["sampling"]
    # Where a model graded the answer its call is the last one.
    graded = any("choice" in metrics for _, metrics in data["metrics"])
    verdict = calls[-1][1] if graded and len(calls) > 1 else {}
    asked = calls[:-1] if verdict else calls
    last = asked[-1][1] if asked else {}
    output = _sampled(last.get("sampled"))
    errors = [as_text(error.get("message") or error.get("type")) for _, error in data["error"]]
    builder.add_trial(
        *trial,
        events[0][0],
        output=output,
        error="\n".join(e for e in errors if e) or None,
        started_at=as_text(events[0][1].get("created_at")),
    )
    turns = _prompt(last.get("prompt"))
    if output is not None:
        turns.append(message({"role": "assistant", "content": output}))
    builder.add_turns(*trial, turns)
    users = [turn["content"] for turn in turns if turn["role"] == "user"]
    match = data["match"][0][1] if data["match"] else {}
    builder.add_case(
        suite, trial[1], input=users[-1] if users else None, ideal_behavior=as_text(match.get("expected"))
    )
    for number, (line, facts) in enumerate(data["match"], 1):
        _match(builder, suite, trial, line, number, facts)
    for number, (line, facts) in enumerate(data["metrics"], 1):
        _metrics(builder, suite, trial, line, number, facts, _sampled(verdict.get("sampled")))
    builder.ignore_fields(
        *(f"{record['type']} events" for _, record in events if record["type"] not in _READ)
    )


def _prompt(prompt: Any) -> list[dict[str, Any]]:
    if isinstance(prompt, list):
        return [message(one) for one in prompt if isinstance(one, dict)]
    return [] if prompt is None else [message({"role": "user", "content": as_text(prompt)})]


def _sampled(value: Any) -> str | None:
    return as_text(value[0] if isinstance(value, list) and len(value) == 1 else value)


def _match(
    builder: EvalsBuilder, suite: str, trial: tuple[str, str, int], line: int, number: int, facts: Any
) -> None:
    correct = facts.get("correct")
    builder.add_criterion(suite, "match", kind="binary", scale_min=0, scale_max=1)
    builder.add_score(
        *trial,
        "match",
        line,
        sample=number,
        grader="oaieval",
        grader_kind="code",
        score=correct if isinstance(correct, bool | int | float) else None,
        error=None
        if isinstance(correct, bool | int | float)
        else "the event does not say whether it is correct",
        answer=as_text(facts.get("picked")),
        metadata=as_text({n: facts[n] for n in ("expected", "options") if n in facts}),
    )


def _metrics(
    builder: EvalsBuilder,
    suite: str,
    trial: tuple[str, str, int],
    line: int,
    number: int,
    facts: Any,
    reason: str | None,
) -> None:
    choice = as_text(facts.get("choice"))
    scores: dict[str, Any] = {n: v for n, v in facts.items() if isinstance(v, bool | int | float)}
    if choice is not None and not scores:
        # An answer of the judge that stands for no number.
        scores = {"choice": None}
    for name, value in scores.items():
        facts_of = {"kind": "binary", "scale_min": 0, "scale_max": 1} if isinstance(value, bool) else {}
        builder.add_criterion(suite, name, **facts_of)
        builder.add_score(
            *trial,
            name,
            line,
            sample=number,
            grader="oaieval",
            grader_kind="judge" if choice is not None else "code",
            score=value,
            label=choice,
            rationale=reason,
            error="the judge's choice stands for no number" if value is None else None,
        )


def is_items(path: Path, head: bytes) -> bool:
    """Whether it holds output items: a list of them, a page of the API, or one a line."""
    item = {"datasource_item", "results", "sample"}
    keys = outline(head)
    tops = ("", "[].", "data.[].")
    return any({f"{top}{name}" for name in item} <= keys for top in tops) or any(
        {f"{top}datasource_item_id", f"{top}run_id"} <= keys for top in tops
    )


def read_items(path: Path) -> Evals:
    """Read saved output items of the hosted Evals: an item of the data source is a case, a grader a criterion."""
    builder = EvalsBuilder(str(path))
    attempts: dict[str, list[Attempt]] = {}
    for line, item in json_records.read(path, builder, within="data"):
        run, case = as_text(item.get("run_id")), as_text(item.get("datasource_item_id"))
        if item.get("object") not in (None, _ITEM):
            builder.add_problem(line, f"this is an {item['object']!r:.40}, not an {_ITEM}")
        elif case is None and not item.get("datasource_item"):
            builder.add_problem(line, "there is neither a datasource_item_id nor a datasource_item")
        else:
            trial = _item(builder, run or path.stem, case, line, item)
            suite = as_text(item.get("eval_id")) or ""
            made = Attempt(suite, trial, line, None, _results(item))
            attempts.setdefault(trial[0], []).append(made)
    for made_of_run in attempts.values():
        add_checks(builder, made_of_run, grader="OpenAI Evals")
    return builder.build()


def _item(
    builder: EvalsBuilder, run: str, case: str | None, line: int, item: dict[str, Any]
) -> tuple[str, str, int]:
    suite = as_text(item.get("eval_id")) or ""
    asked = mapping(item.get("datasource_item"))
    sample = mapping(item.get("sample"))
    case = case or json_records.digest(item.get("datasource_item"))
    epoch = builder.next_epoch(run, case)
    model = as_text(sample.get("model"))
    settings = {n: sample.get(n) for n in ("temperature", "top_p", "seed", "max_completion_tokens")}
    config = as_text({name: value for name, value in settings.items() if value is not None})
    builder.add_run(
        run, suite=suite, agent_version=model or run, model=model, provider="openai", config=config
    )
    builder.add_case(
        suite,
        case,
        input=words(mapping(asked.get("item")) or asked or item.get("datasource_item")),
        severity=severity_of(asked, mapping(asked.get("item"))),
    )
    said = [message(one) for one in sequence(sample.get("output")) if isinstance(one, dict)]
    usage = mapping(sample.get("usage"))
    builder.add_trial(
        run,
        case,
        epoch,
        line,
        output=next((turn["content"] for turn in reversed(said) if turn["content"]), None),
        error=_item_error(item, sample),
        stop_reason=as_text(sample.get("finish_reason")),
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        started_at=json_records.moment(item.get("created_at")),
    )
    sent = [message(one) for one in sequence(sample.get("input")) if isinstance(one, dict)]
    builder.add_turns(run, case, epoch, [*sent, *said])
    return run, case, epoch


def _item_error(item: dict[str, Any], sample: Any) -> str | None:
    error = sample.get("error")
    facts = mapping(error)
    told = ": ".join(str(facts[name]) for name in ("code", "message") if facts.get(name))
    if not told and error and not facts:
        told = as_text(error) or ""
    return told or ("the item has the status error" if item.get("status") == "error" else None)


def _results(item: dict[str, Any]) -> list[Check]:
    checks = []
    for number, one in enumerate(sequence(item.get("results")), 1):
        result = mapping(one)
        sample = mapping(result.get("sample"))
        passed = result.get("passed")
        kind = as_text(result.get("type")) or ""
        said = [mapping(m).get("content") for m in sequence(sample.get("output"))]
        score = result.get("score")
        checks.append(
            Check(
                # Older exports do not name their graders.
                as_text(result.get("name")) or f"grader {number}",
                passed if isinstance(passed, bool) else None,
                rationale=as_text(said[-1]) if said else None,
                kind="judge" if sample or kind.endswith("_model") else "code",
                judge_model=as_text(sample.get("model")),
                facts={n: v for n, v in (("score", score), ("type", kind or None)) if v is not None},
            )
        )
    return checks


READERS: Final = (
    Reader("OpenAI evals log", is_log, read=read_log, whole=True, alone=True),
    Reader("OpenAI Evals output items", is_items, read=read_items, whole=True, alone=True),
)
