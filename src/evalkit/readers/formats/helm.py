"""HELM: the folder of a run, with the statistics of each instance and what was asked and answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.base import head as head_of
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_keys import listed_in, outline, read_object
from evalkit.readers.json_values import mapping, moment, sequence

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_STATS: Final = "per_instance_stats.json"
_STATE: Final = "scenario_state.json"
_SPEC: Final = "run_spec.json"
_GRADER: Final = "HELM"
# What HELM counts of each instance beside how good the answer is.
_COUNTED: Final = re.compile(
    r"(num|training|inference|finish_reason|batch|max_prob|logprob|prompt_truncated|predicted_index|"
    r"logits|denoised)(_|$)"
)
_USAGE: Final = {
    "num_prompt_tokens": "input_tokens",
    "num_output_tokens": "output_tokens",
    "inference_runtime": "latency_s",
}
# 0 or 1 for each instance, and between 0 and 1, by their definitions.
_BINARY: Final = re.compile(
    r"((quasi_)?(prefix_)?exact_match|exact_match_indicator|final_number_exact_match)(@\d+)?$"
)
_SHARE: Final = re.compile(r"(f1_score|f1_set_match|rouge_(1|2|l)|bleu_(1|4))$")


def is_run(path: Path, head: bytes) -> bool:
    """Whether it is the folder of a run."""
    if not path.is_dir():
        return False
    stats = path / _STATS
    return stats.is_file() and (path / _SPEC).is_file() and _is_stats(head_of(stats))


def is_file(path: Path, head: bytes) -> bool:
    """Whether it is one of the files of such a folder."""
    keys = outline(head)
    return (
        _is_stats(head)
        or {"adapter_spec", "request_states"} <= keys
        or {"scenario_spec", "adapter_spec"} <= keys
        or {"name", "definition_path"} <= keys <= {"name", "description", "tags", "definition_path"}
        or {"[].name.name", "[].name.split", "[].count", "[].sum_squared"} <= keys
    )


def _is_stats(head: bytes) -> bool:
    return {"[].instance_id", "[].stats"} <= outline(head)


def read_file(path: Path) -> Evals:
    """Read the run to which a file belongs."""
    return read(path.parent)


def read(folder: Path) -> Evals:
    """Read a run: an instance is a case, a training trial an epoch, a metric a criterion."""
    stats = folder / _STATS
    builder = EvalsBuilder(str(stats))
    if not stats.is_file():
        builder.add_problem(
            None, f"there is no such file: a HELM run without {_STATS} has no score of a case"
        )
    spec = _object(folder / _SPEC, builder)
    model = as_text(mapping(spec.get("adapter_spec")).get("model"))
    run = as_text(spec.get("name")) or folder.name
    suite = re.sub(r"[,:]?model=[^,]*", "", run).replace(":,", ":").strip(",:") or run
    builder.add_run(
        run,
        suite=suite,
        agent_version=model or run,
        model=model,
        provider=model.split("/", 1)[0] if model and "/" in model else None,
        config=as_text({name: value for name, value in spec.items() if name != "name"}) if spec else None,
    )
    asked = _asked(folder / _STATE, builder)
    usage: dict[tuple[str, int], dict[str, Any]] = {}
    lines: dict[tuple[str, int], int] = {}
    if stats.is_file():
        for line, record in json_records.read(stats, builder):
            _take(builder, (suite, run), line, record, asked, usage, lines)
    for (case, epoch), (split, state) in asked.items():
        key = (case, epoch)
        _trial(builder, suite, (run, case, epoch), lines.get(key), state, split, usage.get(key, {}))
    files = [folder / name for name in (_STATS, _STATE, _SPEC)]
    return builder.build(files=[str(file) for file in files if file.is_file()])


def _object(path: Path, builder: EvalsBuilder) -> dict[str, Any]:
    if not path.is_file():
        builder.notes.append(f"{path}: there is no such file.")
        return {}
    file_builder = EvalsBuilder(str(path))
    whole, _ = read_object(path, file_builder)
    builder.problems += file_builder.problems
    return whole


def _asked(path: Path, builder: EvalsBuilder) -> dict[tuple[str, int], tuple[str | None, dict[str, Any]]]:
    """Return what was asked and answered of each instance; of those that were changed, nothing."""
    if not path.is_file():
        builder.notes.append(f"{path}: there is no such file: what was asked and answered is not known.")
        return {}
    file_builder = EvalsBuilder(str(path))
    whole, data = read_object(path, file_builder)
    made: dict[tuple[str, int], tuple[str | None, dict[str, Any]]] = {}
    for line, state in listed_in(whole, data, "request_states", builder=file_builder):
        instance = mapping(state.get("instance"))
        case = as_text(instance.get("id"))
        if case is None:
            file_builder.add_problem(line, "an instance without an id")
        elif instance.get("perturbation") is None:
            if state.get("reference_index") is not None:
                builder.ignore_fields("the requests that ask for the likelihood of each reference")
                state = {**state, "result": None, "request": None}
            made.setdefault((case, _epoch(state)), (as_text(instance.get("split")), state))
    builder.problems += file_builder.problems
    return made


def _epoch(record: dict[str, Any]) -> int:
    trial = record.get("train_trial_index")
    return trial + 1 if isinstance(trial, int) and not isinstance(trial, bool) and trial >= 0 else 1


def _take(
    builder: EvalsBuilder,
    names: tuple[str, str],
    line: int,
    record: dict[str, Any],
    asked: dict[tuple[str, int], tuple[str | None, dict[str, Any]]],
    usage: dict[tuple[str, int], dict[str, Any]],
    lines: dict[tuple[str, int], int],
) -> None:
    case = as_text(record.get("instance_id"))
    if case is None:
        builder.add_problem(line, "there is no instance_id")
        return
    if record.get("perturbation") is not None:
        builder.ignore_fields("instances that were perturbed")
        return
    key = (case, _epoch(record))
    answer = _answer(asked[key][1]) if key in asked else None
    for stat in map(mapping, sequence(record.get("stats"))):
        name = mapping(stat.get("name"))
        metric = as_text(name.get("name"))
        if metric is None:
            builder.add_problem(line, f"a statistic without a name: {as_text(dict(stat))!r:.60}")
        elif metric in _USAGE:
            usage.setdefault(key, {})[_USAGE[metric]] = stat.get("mean")
        elif _COUNTED.match(metric):
            builder.ignore_fields(
                "statistics that do not say how good an answer is, such as num_bytes and finish_reason_stop"
            )
        elif stat.get("count") and name.get("perturbation") is None:
            _score(builder, names, key, line, metric, stat, answer)
    lines.setdefault(key, line)
    asked.setdefault(key, (None, {}))


def _score(
    builder: EvalsBuilder,
    names: tuple[str, str],
    key: tuple[str, int],
    line: int,
    metric: str,
    stat: Any,
    answer: str | None,
) -> None:
    suite, run = names
    scale: dict[str, Any] = {}
    if _BINARY.match(metric):
        scale = {"kind": "binary", "scale_min": 0, "scale_max": 1}
    elif _SHARE.match(metric):
        scale = {"kind": "continuous", "scale_min": 0, "scale_max": 1}
    builder.add_criterion(suite, metric, **scale)
    split = as_text(mapping(stat.get("name")).get("split"))
    builder.add_case(suite, key[0], tags=[split] if split else None)
    mean = stat.get("mean")
    builder.add_score(
        run,
        *key,
        metric,
        line,
        grader=_GRADER,
        grader_kind="code",
        score=mean,
        error="there is no mean" if mean is None else None,
        answer=answer,
    )


def _answer(state: dict[str, Any]) -> str | None:
    """Return what the letter stands for that was answered, where the answer is a letter."""
    said = _said(state)
    return as_text(mapping(state.get("output_mapping")).get(said.strip())) if said else None


def _said(state: dict[str, Any]) -> str | None:
    answers = [mapping(one).get("text") for one in sequence(mapping(state.get("result")).get("completions"))]
    return as_text(answers[0]) if answers else None


def _trial(
    builder: EvalsBuilder,
    suite: str,
    trial: tuple[str, str, int],
    line: int | None,
    state: dict[str, Any],
    split: str | None,
    usage: dict[str, Any],
) -> None:
    instance, result = mapping(state.get("instance")), mapping(state.get("result"))
    asked = mapping(instance.get("input"))
    right = [
        as_text(mapping(mapping(one).get("output")).get("text"))
        for one in sequence(instance.get("references"))
        if "correct" in sequence(mapping(one).get("tags"))
    ]
    builder.add_case(
        suite,
        trial[1],
        input=as_text(asked.get("text") or asked.get("messages")),
        ideal_behavior="\n".join(text for text in right if text) or None,
        tags=[split] if split else None,
    )
    output = _said(state)
    failed = result.get("success") is False
    builder.add_trial(
        *trial,
        line,
        output=output,
        error=as_text(result.get("error")) or "the request failed" if failed else None,
        stop_reason=_stop(result),
        started_at=moment(result.get("request_datetime")),
        **usage,
    )
    request = mapping(state.get("request"))
    chat = [message(one) for one in sequence(request.get("messages")) if isinstance(one, dict)]
    if not chat and request.get("prompt"):
        chat = [message({"role": "user", "content": as_text(request["prompt"])})]
    if output is not None:
        chat.append(message({"role": "assistant", "content": output}))
    builder.add_turns(*trial, chat)


def _stop(result: Any) -> str | None:
    first = mapping(next(iter(sequence(result.get("completions"))), None))
    reason = first.get("finish_reason")
    return as_text(mapping(reason).get("reason") if isinstance(reason, dict) else reason)


READERS: Final = (
    Reader("HELM run", is_run, read=read, whole=True, alone=True),
    Reader("file of a HELM run", is_file, read=read_file, whole=True, beside=True),
)
