"""HELM: a run folder with the statistics, requests and answers of its instances."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.base import head as head_of
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import (
    PASS_OR_FAIL,
    ZERO_TO_ONE,
    RecordFormat,
    any_sniff,
    has_paths,
)
from evalkit.readers.json_keys import outline
from evalkit.readers.json_values import mapping, moment, sequence

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_STATS: Final = "per_instance_stats.json"
_STATE: Final = "scenario_state.json"
_SPEC: Final = "run_spec.json"
# Counts per instance that are no quality metrics.
_COUNTED: Final = re.compile(
    r"(num|training|inference|finish_reason|batch|max_prob|logprob|prompt_truncated|predicted_index|"
    r"logits|denoised)(_|$)"
)
_USAGE: Final = {
    "num_prompt_tokens": "input_tokens",
    "num_output_tokens": "output_tokens",
    "inference_runtime": "latency_s",
}
# Metrics defined as 0 or 1, and as 0 to 1, per instance.
_BINARY: Final = re.compile(
    r"((quasi_)?(prefix_)?exact_match|exact_match_indicator|final_number_exact_match)(@\d+)?$"
)
_SHARE: Final = re.compile(r"(f1_score|f1_set_match|rouge_(1|2|l)|bleu_(1|4))$")

# A metric that names a model is its judgement, if the run has annotators.
_JUDGE: Final = re.compile(
    r"(?:^|_)(gpt|claude|llama|gemini|mistral|qwen|deepseek|judge|autograder)(?=_|\d|$)"
)

_is_stats = has_paths("[].instance_id", "[].stats")


def is_run(path: Path, data: bytes) -> bool:
    """Whether the path is a run folder."""
    stats = path / _STATS
    is_folder = path.is_dir() and stats.is_file() and (path / _SPEC).is_file()
    return is_folder and _is_stats(stats, head_of(stats))


def _is_scenario(path: Path, data: bytes) -> bool:
    return {"name", "definition_path"} <= outline(data) <= {"name", "description", "tags", "definition_path"}


def read(folder: Path) -> Evals:
    """Read a run: instance = case, training trial = epoch, metric = criterion."""
    file = fields.RecordFile.beside(folder / _STATS)
    if not file.path.is_file():
        file.builder.add_problem(None, f"Missing {_STATS}. A HELM run without it has no scores of cases.")
    names = _add_run(file, folder)
    states = _states(file, folder / _STATE, names)
    if file.path.is_file():
        SCORES.add(file, _instances(file, names, states))
    TRIALS.add(file, ((state["line"], state) for state in states.values()))
    files = [str(folder / name) for name in (_STATS, _STATE, _SPEC) if (folder / name).is_file()]
    return file.builder.build(files=files)


def _add_run(file: fields.RecordFile, folder: Path) -> dict[str, Any]:
    spec_file = fields.RecordFile.beside(folder / _SPEC)
    if spec_file.path.is_file():
        spec = spec_file.read_object()
        file.builder.problems += spec_file.builder.problems
    else:
        spec = {}
        file.note("default", f"Missing {_SPEC}. The run is named after its folder.")
    model = as_text(fields.get(spec, "adapter_spec.model"))
    run = as_text(spec.get("name")) or folder.name
    suite = re.sub(r"[,:]?model=[^,]*", "", run).replace(":,", ":").strip(",:") or run
    file.builder.add_run(
        run,
        suite=suite,
        agent_version=model or run,
        model=model,
        provider=fields.provider("adapter_spec.model")(spec),
        config=as_text({name: value for name, value in spec.items() if name != "name"} if spec else None),
    )
    return {"run": run, "suite": suite, "is_annotated": bool(spec.get("annotators"))}


def _states(
    file: fields.RecordFile, path: Path, names: dict[str, Any]
) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the request and answer of each unperturbed instance."""
    if not path.is_file():
        file.note("missing", f"Missing {_STATE}. The prompts and answers are not known.")
        return {}
    state_file = fields.RecordFile.beside(path)
    state_file.read_object()
    states: dict[tuple[str, int], dict[str, Any]] = {}
    for line, state in state_file.list_in("request_states"):
        case = as_text(fields.get(state, "instance.id"))
        if case is None:
            state_file.builder.add_problem(line, "An instance has no 'id'.")
        elif fields.get(state, "instance.perturbation") is None:
            if state.get("reference_index") is not None:
                file.builder.ignore_fields("the requests that ask for the likelihood of each reference")
                state = {**state, "result": None, "request": None}
            key = case, _epoch(state)
            states.setdefault(key, {**state, **names, "case": case, "epoch": key[1], "line": None})
    file.builder.problems += state_file.builder.problems
    return states


def _epoch(record: fields.Record) -> int:
    index = record.get("train_trial_index")
    return index + 1 if type(index) is int and index >= 0 else 1


def _instances(
    file: fields.RecordFile, names: dict[str, Any], states: dict[tuple[str, int], dict[str, Any]]
) -> fields.Records:
    """Yield instance statistics; add their usage and lines to `states`."""
    for line, record in file.records():
        case, scores = as_text(record.get("instance_id")), []
        if record.get("perturbation") is not None:
            file.builder.ignore_fields("instances that were perturbed")
            continue
        key = case or "", _epoch(record)
        state = states.setdefault(key, {**names, "case": case, "epoch": key[1], "line": line}) if case else {}
        state["line"] = state.get("line") or line
        # The text of an answer that is a letter.
        answer = mapping(state.get("output_mapping")).get((_output(state) or "").strip())
        for stat in map(mapping, sequence(record.get("stats"))):
            metric = as_text(fields.get(stat, "name.name"))
            if metric in _USAGE:
                state[_USAGE[metric]] = stat.get("mean")
            elif metric is not None and _COUNTED.match(metric):
                file.builder.ignore_fields(
                    "statistics that do not say how good an answer is, such as num_bytes and finish_reason_stop"
                )
            elif metric is None or (stat.get("count") and fields.get(stat, "name.perturbation") is None):
                judge = _JUDGE.search(metric or "") if names["is_annotated"] else None
                scores.append({**stat, "metric": metric, "answer": answer, "judge": judge and judge[1]})
        yield line, {**record, **names, "epoch": key[1], "scores": scores}


def _output(state: fields.Record) -> str | None:
    return as_text(fields.get(state, "result.completions.0.text"))


def _ideal(state: fields.Record) -> str | None:
    references = map(mapping, sequence(fields.get(state, "instance.references")))
    correct = [each for each in references if "correct" in sequence(each.get("tags"))]
    texts = [as_text(fields.get(each, "output.text")) for each in correct]
    return fields.joined(texts)


def _error(state: fields.Record) -> str | None:
    if fields.get(state, "result.success") is not False:
        return None
    return as_text(fields.get(state, "result.error")) or "the request failed"


def _stop_reason(reason: Any) -> Any:
    return reason.get("reason") if isinstance(reason, dict) else reason


def _turns(state: fields.Record) -> fields.Turns:
    turns = fields.chat_turns(fields.get(state, "request.messages"))
    turns = turns or fields.as_turns("user", fields.get(state, "request.prompt") or None)
    return turns + fields.as_turns("assistant", _output(state))


def _scale(stat: fields.Record) -> dict[str, Any]:
    return (
        PASS_OR_FAIL if _BINARY.match(stat["metric"]) else ZERO_TO_ONE if _SHARE.match(stat["metric"]) else {}
    )


def _split(*paths: str) -> fields.Field:
    return fields.to(lambda split: [as_text(split)] if split else None, *paths)


SCORES: Final = RecordFormat(
    required=("instance_id",),
    case="instance_id",
    cases={"tags": _split("scores.0.name.split")},
    trials=None,
    criterion="metric",
    criteria=_scale,
    grader="HELM",
    score={
        "score": "mean",
        "error": fields.to(lambda mean: "there is no mean" if mean is None else None, "mean"),
        "answer": "answer",
        "grader_kind": lambda stat: "judge" if stat["judge"] else "code",
        "judge_model": "judge",
    },
)
TRIALS: Final = RecordFormat(
    cases={
        "input": ("instance.input.text", "instance.input.messages"),
        "ideal_behavior": _ideal,
        "tags": _split("instance.split"),
    },
    trials={
        "output": _output,
        "error": _error,
        "stop_reason": fields.to(_stop_reason, "result.completions.0.finish_reason"),
        "started_at": fields.to(moment, "result.request_datetime"),
        **{name: name for name in _USAGE.values()},
    },
    turns=_turns,
)

READERS: Final = (
    Reader("HELM run", is_run, read=read, whole=True, alone=True),
    Reader(
        "file of a HELM run",
        any_sniff(
            _is_stats,
            _is_scenario,
            has_paths("adapter_spec", any_of=("request_states", "scenario_spec")),
            has_paths("[].name.name", "[].name.split", "[].count", "[].sum_squared"),
        ),
        read=lambda path: read(path.parent),
        whole=True,
        beside=True,
    ),
)
