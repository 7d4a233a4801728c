"""lm-evaluation-harness: `samples_*.jsonl`, with the `results_*.json` that lies beside them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.base import head as head_of
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_keys import first_records, outline, read_object
from evalkit.readers.json_values import mapping, sequence
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_GRADER: Final = "lm-eval"
_NAME: Final = re.compile(r"samples_(?P<task>.+?)(?:_(?P<date>\d{4}-\d{2}-\d{2}T[\d.:+-]+))?$")
_SAMPLE: Final = frozenset(
    (
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
        *("doc_hash", "prompt_hash", "target_hash"),
    )
)
# Metrics that are 0 or 1 for each sample by their definition; of any other only true and false are.
_BINARY: Final = frozenset(
    ("acc", "acc_norm", "acc_norm_nosim", "acc_mutual_info", "acc_bytes", "exact_match", "em", "contains")
)
# Under which a document keeps what it asks, most telling first.
_ASKED: Final = ("question", "problem", "query", "ctx", "input", "prompt", "instruction", "text", "sentence")
_DROPPED: Final = ("prompt_hash", "target_hash")


def is_samples(path: Path, head: bytes) -> bool:
    """Whether a line is a document with the answers to it."""
    return any(
        {"doc_id", "doc", "target"} <= record.keys() and bool({"resps", "filtered_resps"} & record.keys())
        for record in first_records(head)
    )


def is_results(path: Path, head: bytes) -> bool:
    """Whether it holds metrics with their filters, as in "acc,none"."""
    keys = outline(head)
    return "results" in keys and any(
        key.startswith("results.") and "," in key.rsplit(".", 1)[-1] for key in keys
    )


def read_results(path: Path) -> Evals:
    """Read the totals of a run: they are no answers; the samples that lie beside them carry what is known of the run."""
    builder = EvalsBuilder(str(path))
    whole, _ = read_object(path, builder)
    tasks = list(mapping(whole.get("results")))
    beside = {_task_of(other) for other in path.parent.iterdir() if _NAME.match(other.stem)}
    bare = [task for task in tasks if task not in beside]
    if not tasks or len(bare) < len(tasks):
        told = f"; no samples lie beside it for {join_words(bare)}" if bare else ""
        builder.notes.append(f"{path}: totals, of which the samples beside them are the answers{told}.")
    else:
        builder.add_problem(
            None,
            "these are the totals of a run alone: the answers are in samples_*.jsonl, which --log_samples writes",
        )
    return builder.build()


def read_samples(path: Path) -> Evals:
    """Read the samples of a task: a document is a case, a metric a criterion."""
    builder = EvalsBuilder(str(path))
    task = _task_of(path)
    summary = _summary_beside(path, task)
    whole = {} if summary is None else read_object(summary, EvalsBuilder(str(summary)))[0]
    if summary is None:
        builder.notes.append(
            f"{path}: no results file of the task {task!r} lies beside it: the model is taken from the folder's name."
        )
    run = _run(builder, whole, task, path)
    rows = _current(builder, list(json_records.read(path, builder)))
    seen: dict[tuple[str, str], int] = {}
    epochs: dict[str, int] = {}
    for line, record in rows:
        case = _case(builder, task, record)
        if case is None:
            builder.add_problem(line, "there is no doc")
            continue
        kind = as_text(record.get("filter")) or "none"
        epoch = seen[case, kind] = seen.get((case, kind), 0) + 1
        if epoch > epochs.get(case, 0):
            epochs[case] = epoch
            _trial(builder, (run, case, epoch), line, record)
        _scores(builder, task, (run, case, epoch), line, record)
        builder.ignore_fields(*(name for name in _DROPPED if record.get(name)))
    return builder.build(files=[str(path)] if summary is None else [str(path), str(summary)])


def _task_of(path: Path) -> str:
    hit = _NAME.match(path.stem)
    return hit["task"] if hit else path.stem


def _summary_beside(path: Path, task: str) -> Path | None:
    """Return the results file of the same run: of the same date, or the only one that knows the task."""
    hit = _NAME.match(path.stem)
    date = hit["date"] if hit else None
    fitting = []
    for other in sorted(path.parent.glob("*.json")):
        if not is_results(other, head_of(other)):
            continue
        if date and date in other.name:
            return other
        if task in mapping(read_object(other, EvalsBuilder(str(other)))[0].get("results")):
            fitting.append(other)
    return fitting[0] if len(fitting) == 1 and not date else None


def _run(builder: EvalsBuilder, whole: dict[str, Any], task: str, path: Path) -> str:
    config = mapping(whole.get("config"))
    given = re.search(r"(?:pretrained|model|engine)=([^,]+)", as_text(config.get("model_args")) or "")
    name = as_text(whole.get("model_name")) or (given[1] if given else None)
    model = name or path.parent.name or "model"
    settings = {
        name: value
        for name, value in {
            "task": mapping(mapping(whole.get("configs")).get(task)) or None,
            "config": config or None,
            "lm_eval_version": whole.get("lm_eval_version"),
            "published": mapping(whole.get("results")).get(task),
        }.items()
        if value is not None
    }
    run = f"{model}: {task}"
    builder.add_run(
        run,
        suite=task,
        agent_version=model,
        model=model,
        provider=as_text(whole.get("model_source") or config.get("model")),
        config=as_text(settings) if settings else None,
    )
    return run


def _current(
    builder: EvalsBuilder, rows: list[tuple[int, dict[str, Any]]]
) -> list[tuple[int, dict[str, Any]]]:
    """Return the rows without those that a later one replaces: lm-eval appends to a file that is there."""
    last: dict[Any, int] = {}
    for line, record in rows:
        last[_key(line, record)] = line
    for line, record in rows:
        now = last[_key(line, record)]
        if now != line:
            builder.add_problem(
                line, f"doc_id {record.get('doc_id')!r} is in line {now} again; the later one is kept"
            )
    return [(line, record) for line, record in rows if last[_key(line, record)] == line]


def _key(line: int, record: dict[str, Any]) -> Any:
    number = as_text(record.get("doc_id"))
    return line if number is None else (number, as_text(record.get("filter")))


def _case(builder: EvalsBuilder, task: str, record: dict[str, Any]) -> str | None:
    """Return the document's hash, which is the same in every run; older files do not have it: it is made."""
    doc = record.get("doc")
    given = as_text(record.get("doc_hash"))
    if not given and doc is None:
        return None
    if not given:
        given = hashlib.sha256(
            json.dumps(doc, indent=2, ensure_ascii=False).encode(errors="replace")
        ).hexdigest()
    case = given[:12]
    facts = mapping(doc)
    asked = next((facts[name] for name in _ASKED if isinstance(facts.get(name), str) and facts[name]), None)
    builder.add_case(
        task,
        case,
        input=asked or as_text(doc),
        ideal_behavior=as_text(record.get("target")),
        severity=json_records.severity_of(facts),
        domain=as_text(facts.get("subject") or facts.get("type") or facts.get("category")),
    )
    return case


def _trial(builder: EvalsBuilder, trial: tuple[str, str, int], line: int, record: dict[str, Any]) -> None:
    asked, endings = _arguments(record.get("arguments"))
    output = _output(record, endings)
    builder.add_trial(*trial, line, output=output)
    turns = [message({"role": "user", "content": asked})] if asked is not None else []
    if output is not None:
        turns.append(message({"role": "assistant", "content": output}))
    builder.add_turns(*trial, turns)


def _arguments(value: Any) -> tuple[str | None, list[str]]:
    """Return the prompt, and the endings whose likelihood was asked; older files hold lists instead of objects."""
    calls = list(value.values()) if isinstance(value, dict) else sequence(value)
    parts = [list(call.values()) if isinstance(call, dict) else sequence(call) for call in calls]
    asked = as_text(parts[0][0]) if parts and parts[0] else None
    endings = [part[1] for part in parts if len(part) > 1 and isinstance(part[1], str)]
    return asked, endings if len(endings) == len(parts) else []


def _output(record: dict[str, Any], endings: list[str]) -> str | None:
    """Return what the model said; of endings the likeliest."""
    answers = sequence(record.get("resps"))
    if endings:
        likely = [_likelihood(answer) for answer in answers]
        if len(likely) == len(endings) and None not in likely:
            return endings[max(range(len(likely)), key=lambda at: likely[at] or 0.0)]
        return None
    first = answers[0] if answers else None
    repeats = first if isinstance(first, list) else [first]
    return as_text(repeats[0] if len(repeats) == 1 else repeats) if repeats else None


def _likelihood(answer: Any) -> float | None:
    while isinstance(answer, list) and answer:
        answer = answer[0]
    return json_records.number(answer)


def _scores(
    builder: EvalsBuilder, task: str, trial: tuple[str, str, int], line: int, record: dict[str, Any]
) -> None:
    kind = as_text(record.get("filter")) or "none"
    named = [name for name in sequence(record.get("metrics")) if isinstance(name, str)]
    metrics = [name for name in named if name in record] or [name for name in record if name not in _SAMPLE]
    answer = record.get("filtered_resps")
    answer = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
    for name in metrics:
        value = record[name]
        criterion = name if kind == "none" else f"{name},{kind}"
        binary = name in _BINARY or isinstance(value, bool)
        builder.add_criterion(
            task,
            criterion,
            **({"kind": "binary", "scale_min": 0, "scale_max": 1} if binary else {"kind": None}),
        )
        several = isinstance(value, list | dict)
        builder.add_score(
            *trial,
            criterion,
            line,
            grader=_GRADER,
            grader_kind="code",
            score=None if several else value,
            answer=as_text(answer) if isinstance(answer, str) else None,
            error="several values, which lm-eval puts together over all samples" if several else None,
            metadata=as_text({"doc_id": record.get("doc_id"), **({"value": value} if several else {})}),
        )


READERS: Final = (
    Reader("lm-evaluation-harness samples", is_samples, read=read_samples, whole=True, beside=True),
    Reader("lm-evaluation-harness results", is_results, read=read_results, describes=True, beside=True),
)
