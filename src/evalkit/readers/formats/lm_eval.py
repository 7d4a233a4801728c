"""lm-evaluation-harness: `samples_*.jsonl` with `results_*.json` beside them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import PASS_OR_FAIL, RecordFormat, has_records
from evalkit.readers.json_keys import outline
from evalkit.readers.json_values import mapping, moment, number, sequence
from evalkit.readers.partial_logs import partial_log
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = re.compile(r"samples_(?P<task>.+?)(?:_(?P<date>\d{4}-\d{2}-\d{2}T[\d.:+-]+))?$")
# Fields that are no metrics.
_SAMPLE: Final = frozenset(
    (
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
        *("doc_hash", "prompt_hash", "target_hash", "run", "task", "case", "epoch"),
    )
)
# Metrics defined as 0 or 1 per sample; others are binary only if boolean.
_BINARY: Final = frozenset(
    ("acc", "acc_norm", "acc_norm_nosim", "acc_mutual_info", "acc_bytes", "exact_match", "em", "contains")
)
# The keys of a document's question, in order of preference.
_QUESTION: Final = (
    "question",
    "problem",
    "query",
    "ctx",
    "input",
    "prompt",
    "instruction",
    "text",
    "sentence",
)


def is_results(path: Path, data: bytes) -> bool:
    """Whether a file has metrics with filters, such as "acc,none"."""
    metrics = (key for key in outline(data) if key.startswith("results."))
    return any("," in key.rsplit(".", 1)[-1] for key in metrics)


def _totals(file: fields.RecordFile) -> fields.Records:
    """Report the totals of a run; its answers are in the samples files."""
    tasks = list(mapping(file.read_object().get("results")))
    beside = {_task_of(other) for other in file.path.parent.iterdir() if _NAME.match(other.stem)}
    bare = [task for task in tasks if task not in beside]
    if not tasks or len(bare) < len(tasks):
        missing = f" There are none for {join_words(bare)}." if bare else ""
        file.note("skipped", f"The file has totals. The answers are in the samples beside it.{missing}")
    else:
        reason = "The file has totals alone. The answers are in samples_*.jsonl, which --log_samples writes."
        file.builder.add_problem(None, reason)
    return ()


def _task_of(path: Path) -> str:
    match = _NAME.match(path.stem)
    return match["task"] if match else path.stem


def _summary_beside(file: fields.RecordFile, task: str) -> fields.RecordFile | None:
    """Return the results file of the same run: same date, or the only one with the task."""
    match = _NAME.match(file.path.stem)
    date = match["date"] if match else None
    others = file.others(is_results, "*.json")
    if date:
        return next((other for other in others if date in other.path.name), None)
    fitting = [other for other in others if task in mapping(other.read_object().get("results"))]
    return fitting[0] if len(fitting) == 1 else None


def _samples(file: fields.RecordFile) -> fields.Records:
    task = _task_of(file.path)
    summary = _summary_beside(file, task)
    if summary is None:
        file.note(
            "default",
            f"No results file of the task {task!r} is beside it. The model is named after the folder.",
        )
    else:
        file.files = [str(file.path), str(summary.path)]
    totals = {} if summary is None else summary.read_object()
    run = _add_run(file, totals, task)
    _note_partial(file, totals, task, run)
    epochs: dict[tuple[str | None, str], int] = {}
    for line, record in _current(file):
        case, kind = _case(record), as_text(record.get("filter")) or "none"
        epoch = epochs[case, kind] = epochs.get((case, kind), 0) + 1
        yield line, {**record, "run": run, "task": task, "case": case, "epoch": epoch, "filter": kind}


def _note_partial(file: fields.RecordFile, totals: dict[str, Any], task: str, run: str) -> None:
    """Note that the totals count more documents than the samples hold."""
    declared = number(fields.get(totals, f"n-samples.{task}.effective"))
    results = mapping(mapping(totals.get("results")).get(task))
    published = {
        name.removesuffix(",none"): value
        for name, cell in results.items()
        if name.endswith(",none") and "stderr" not in name and (value := number(cell)) is not None
    }
    rows = [record for _, record in _current(file)] if declared is not None else []
    values = {name: [v for row in rows if (v := number(row.get(name))) is not None] for name in published}
    own = {name: sum(found) / len(found) if found else None for name, found in values.items()}
    held = len({as_text(row.get("doc_id")) for row in rows})
    note = partial_log(str(file.path), run, declared=declared, held=held, published=published, own=own)
    if note is not None:
        file.builder.notes.append(note)


def _add_run(file: fields.RecordFile, summary: dict[str, Any], task: str) -> str:
    arguments = as_text(fields.get(summary, "config.model_args")) or ""
    match = re.search(r"(?:pretrained|model|engine)=([^,]+)", arguments)
    name = as_text(summary.get("model_name")) or (match[1] if match else None)
    model = name or file.path.parent.name or "model"
    settings = fields.known(
        task=fields.to(lambda configs: mapping(mapping(configs).get(task)) or None, "configs"),
        config=fields.not_empty("config"),
        lm_eval_version="lm_eval_version",
        published=fields.to(lambda results: mapping(results).get(task), "results"),
    )
    run = f"{model}: {task}"
    file.builder.add_run(
        run,
        suite=task,
        agent_version=model,
        model=model,
        provider=as_text(fields.get(summary, ("model_source", "config.model"))),
        started_at=_started(file.path),
        config=as_text(settings(summary) or None),
    )
    return run


def _started(path: Path) -> str | None:
    """Return the time in the name of a file."""
    match = _NAME.match(path.stem)
    date, _, time = ((match["date"] if match else None) or "").partition("T")
    return moment(f"{date}T{time.replace('-', ':')}") if time else None


def _current(file: fields.RecordFile) -> fields.Records:
    """Yield the rows that no later row replaces: lm-eval appends."""
    rows = list(file.records())
    last = {_key(line, record): line for line, record in rows}
    for line, record in rows:
        kept = last[_key(line, record)]
        if kept == line:
            yield line, record
        else:
            doc = record.get("doc_id")
            file.builder.add_problem(line, f"doc_id {doc!r} is in line {kept} again. The later one is kept.")


def _key(line: int | None, record: fields.Record) -> Any:
    doc_id = as_text(record.get("doc_id"))
    return line if doc_id is None else (doc_id, as_text(record.get("filter")))


def _case(record: fields.Record) -> str | None:
    """Return the document's hash; compute it for older files."""
    doc_hash, doc = as_text(record.get("doc_hash")), record.get("doc")
    if doc_hash or doc is None:
        return doc_hash[:12] if doc_hash else None
    text = json.dumps(doc, indent=2, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


def _question(doc: Any) -> str | None:
    texts = (mapping(doc).get(name) for name in _QUESTION)
    return next((text for text in texts if text and isinstance(text, str)), None) or as_text(doc)


def _arguments(record: fields.Record) -> tuple[str | None, list[str]]:
    """Return the prompt and the scored endings; older files have lists."""
    value = record.get("arguments")
    calls = list(value.values()) if isinstance(value, dict) else sequence(value)
    parts = [list(call.values()) if isinstance(call, dict) else sequence(call) for call in calls]
    endings = [part[1] for part in parts if len(part) > 1 and isinstance(part[1], str)]
    prompt = as_text(parts[0][0]) if parts and parts[0] else None
    return prompt, endings if len(endings) == len(parts) else []


def _output(record: fields.Record) -> str | None:
    answers, endings = sequence(record.get("resps")), _arguments(record)[1]
    if endings:
        likelihoods = [_likelihood(answer) for answer in answers]
        if len(likelihoods) != len(endings) or None in likelihoods:
            return None
        return endings[max(range(len(endings)), key=lambda place: likelihoods[place] or 0.0)]
    first = answers[0] if answers else None
    repeats = first if isinstance(first, list) else [first]
    return as_text(repeats[0] if len(repeats) == 1 else repeats) if repeats else None


def _likelihood(answer: Any) -> float | None:
    while isinstance(answer, list) and answer:
        answer = answer[0]
    return number(answer)


def _scores(record: fields.Record) -> list[fields.Record]:
    named = [name for name in sequence(record.get("metrics")) if isinstance(name, str) and name in record]
    kind, answer = record["filter"], record.get("filtered_resps")
    answer = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
    return [
        {
            "name": name if kind == "none" else f"{name},{kind}",
            "is_binary": name in _BINARY or isinstance(record[name], bool),
            "is_several": isinstance(record[name], list | dict),
            "value": record[name],
            "answer": answer if isinstance(answer, str) else None,
            "doc_id": record.get("doc_id"),
        }
        for name in named or [name for name in record if name not in _SAMPLE]
    ]


SAMPLES: Final = RecordFormat(
    records=_samples,
    required=("case",),
    suite="task",
    cases={
        "input": fields.to(_question, "doc"),
        "ideal_behavior": "target",
        "severity": fields.severity("doc"),
        "domain": ("doc.subject", "doc.type", "doc.category"),
    },
    trials={"output": _output},
    turns=lambda record: (
        fields.as_turns("user", _arguments(record)[0]) + fields.as_turns("assistant", _output(record))
    ),
    scores=_scores,
    criteria=lambda score: PASS_OR_FAIL if score["is_binary"] else {},
    grader="lm-eval",
    score={
        "score": lambda score: None if score["is_several"] else score["value"],
        "answer": "answer",
        "error": lambda score: (
            "several values, which lm-eval puts together over all samples" if score["is_several"] else None
        ),
        "metadata": lambda score: (
            {"doc_id": score["doc_id"], **({"value": score["value"]} if score["is_several"] else {})}
        ),
    },
    on_repeat="score",
    ignored=("prompt_hash", "target_hash"),
)
TOTALS: Final = RecordFormat(records=_totals)

READERS: Final = (
    Reader(
        "lm-evaluation-harness samples",
        has_records("doc_id", "doc", "target", any_of=("resps", "filtered_resps")),
        read=SAMPLES.read,
        whole=True,
        beside=True,
    ),
    Reader("lm-evaluation-harness results", is_results, read=TOTALS.read, describes=True, beside=True),
)
