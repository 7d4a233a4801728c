"""Export to the Every Eval Ever format."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.json_text import decode
from evalkit.data.schema import TRIAL_KEY
from evalkit.util.arguments import expect_evals
from evalkit.util.atomic_files import is_free
from evalkit.util.errors import FormatError
from evalkit.util.version import VERSION as EVALKIT_VERSION

if TYPE_CHECKING:
    from evalkit.data.evals import Evals

VERSION: Final = "0.3.0"
"""The version of the format."""

# Folder names that some operating system reserves.
_NO_NAME: Final = re.compile(r"(?:data|con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_NO_SIGN: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_PLACE: Final = uuid.UUID("6c1f4f0e-5a3b-4a53-9d5e-0b7f3a4b1f11")


def every_eval_ever(evals: Evals, folder: str | Path) -> Path:
    """Write `data/<suite>/<developer>/<model>/<uuid>.json` and `<uuid>_samples.jsonl` for each run.

    Parameters
    ----------
    evals
        The evaluations.
    folder
        A new or an empty folder. The same evaluations give the same files.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    FormatError
        The folder is not empty, or there are no scores.

    Notes
    -----
    Evidence and rubric hashes are dropped. A rationale goes into `metadata`. A null score has no line and is counted
    in the aggregate. `is_correct`: the score is the highest of its scale, or of the observed range if no scale is
    declared (the aggregate says so). The developer is the part of the model name before the slash, else the
    provider. Deployment and availability are "unknown".
    """
    expect_evals(evals, "exports.every_eval_ever", loaded=True)
    folder = Path(folder)
    if not is_free(folder):
        raise FormatError(f"{str(folder)!r} is not empty. Name a new or an empty folder.")
    if not evals.scores["score"].count():
        raise FormatError("There is no score to export. The format holds scores alone.")
    folder.mkdir(parents=True, exist_ok=True)
    scales = _scales(evals)
    for run in evals.runs.iter_rows(named=True):
        scores = evals.scores.filter(pl.col("run") == run["run"])
        if scores["score"].count():
            _write(folder, evals, run, scores, scales)
    return folder


def _write(
    folder: Path, evals: Evals, run: dict[str, Any], scores: pl.DataFrame, scales: dict[Any, dict[str, Any]]
) -> None:
    # The format requires a random UUID; this one is stable per run.
    name = str(uuid.UUID(bytes=uuid.uuid5(_PLACE, run["run"]).bytes, version=4))
    suite, model = run["suite"] or "unnamed", run["model"] or "unknown"
    maker, _, rest = model.partition("/")
    developer = maker if maker and rest else run["provider"] or "unknown"
    place = Path("data", *map(_component, (suite, developer, rest or model)))
    (folder / place).mkdir(parents=True, exist_ok=True)
    started = str(int(run["started_at"].timestamp())) if run["started_at"] else "0"
    identity = f"{suite}/{model}/{run['run']}"
    lines = [
        _sample(row, identity, model, suite, scales[run["suite"] or "", row["criterion"]])
        for row in _rows(evals, run, scores).iter_rows(named=True)
    ]
    text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines).encode()
    (folder / place / f"{name}_samples.jsonl").write_bytes(text)
    aggregate = {
        "schema_version": VERSION,
        "evaluation_id": identity,
        "retrieved_timestamp": started,
        "source_metadata": {
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "evalkit", "version": EVALKIT_VERSION},
        "model_info": {
            "name": model,
            "id": model,
            "developer": developer,
            "additional_details": {
                **_texts(run, "agent", "agent_version"),
                "deployment_type": "unknown",
                "model_availability": "unknown",
            },
        },
        "evaluation_results": [
            _result(criterion, frame, suite, scales[run["suite"] or "", criterion])
            for (criterion,), frame in scores.group_by("criterion", maintain_order=True)
            if frame["score"].count()
        ],
        "detailed_evaluation_results": {
            "format": "jsonl",
            "file_path": (place / f"{name}_samples.jsonl").as_posix(),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(text).hexdigest(),
            "total_rows": len(lines),
        },
    }
    told = json.dumps(aggregate, ensure_ascii=False, allow_nan=False, indent=1)
    (folder / place / f"{name}.json").write_text(told + "\n", encoding="utf-8")


def _component(name: str) -> str:
    """Return a name as a folder name that every system allows."""
    made = _NO_SIGN.sub("_", name.strip()).rstrip(". ") or "unnamed"
    return f"_{made}" if _NO_NAME.fullmatch(made) else made


def _rows(evals: Evals, run: dict[str, Any], scores: pl.DataFrame) -> pl.DataFrame:
    turns = evals.turns.filter(pl.col("run") == run["run"]).sort("turn")
    messages = turns.group_by(TRIAL_KEY).agg(pl.struct(pl.exclude(*TRIAL_KEY)).alias("messages"))
    cases = evals.cases.filter(pl.col("suite") == (run["suite"] or ""))
    joined = scores.filter(pl.col("score").is_not_null()).join(
        evals.trials.select(
            *TRIAL_KEY,
            "output",
            "latency_s",
            trial_error="error",
            sent="input_tokens",
            received="output_tokens",
        ),
        on=TRIAL_KEY,
        how="left",
        maintain_order="left",
    )
    joined = joined.join(messages, on=TRIAL_KEY, how="left", maintain_order="left")
    return joined.join(
        cases.select("case", "input", "prompt", "ideal_behavior", "severity"),
        on="case",
        how="left",
        maintain_order="left",
    )


def _sample(
    row: dict[str, Any], identity: str, model: str, suite: str, scale: dict[str, Any]
) -> dict[str, Any]:
    messages = [_message(place, turn) for place, turn in enumerate(row["messages"] or ())]
    calls = sum(len(message.get("tool_calls") or ()) for message in messages)
    asked, reference = (
        row["prompt"] or row["input"] or "",
        [row["ideal_behavior"]] if row["ideal_behavior"] else [],
    )
    single = len(messages) <= 2 and not calls
    known = row["sent"] is not None and row["received"] is not None
    answer = (
        row["output"]
        if row["output"] is not None
        else next((m["content"] for m in reversed(messages) if m["role"] == "assistant"), None)
    )
    return {
        "schema_version": VERSION,
        "evaluation_id": identity,
        "model_id": model,
        "evaluation_name": f"{suite}/{row['criterion']}",
        "evaluation_result_id": row["criterion"],
        "sample_id": row["case"],
        "sample_hash": hashlib.sha256("\n".join([asked, *reference]).encode()).hexdigest(),
        "interaction_type": "single_turn" if single else "agentic" if calls else "multi_turn",
        "input": {"raw": asked, "reference": reference},
        "output": {"raw": [answer or ""]} if single else None,
        "messages": None if single else messages,
        "answer_attribution": [
            {
                "turn_idx": 0 if single else len(messages) - 1,
                "source": "output.raw" if single else f"messages[{len(messages) - 1}].content",
                "extracted_value": row["answer"] or answer or "",
                "extraction_method": "llm_judge" if row["grader_kind"] == "judge" else "custom",
                "is_terminal": True,
            }
        ],
        "evaluation": {
            "score": row["score"],
            "is_correct": row["score"] <= scale["min_score"]
            if scale.get("lower_is_better")
            else row["score"] >= scale["max_score"],
            "num_turns": max(len(messages), 1),
            "tool_calls_count": calls,
        },
        "token_usage": {
            "input_tokens": row["sent"],
            "output_tokens": row["received"],
            "total_tokens": row["sent"] + row["received"],
        }
        if known
        else None,
        "performance": {"latency_ms": 1000 * row["latency_s"]} if row["latency_s"] is not None else None,
        "error": row["trial_error"],
        "metadata": _texts(row, "epoch", "sample", "grader", "grader_kind", "severity", "rationale"),
    }


def _message(place: int, turn: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"turn_idx": place, "role": turn["role"] or "unknown", "content": turn["content"]}
    if turn["reasoning"] is not None:
        made["reasoning_trace"] = turn["reasoning"]
    if turn["tool_call_id"] is not None:
        made["tool_call_id"] = [turn["tool_call_id"]]
    calls = decode(turn["tool_calls"].encode()) if turn["tool_calls"] else None
    if isinstance(calls, list):
        made["tool_calls"] = [_call(call) for call in calls if isinstance(call, dict)]
    return made


def _call(call: dict[str, Any]) -> dict[str, Any]:
    given = call.get("arguments")
    pairs = given if isinstance(given, dict) else {} if given is None else {"arguments": given}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in pairs.items()}
    return {"id": str(call.get("id") or ""), "name": str(call.get("name") or ""), "arguments": texts}


def _result(criterion: str, scores: pl.DataFrame, suite: str, scale: dict[str, Any]) -> dict[str, Any]:
    """Return a criterion's mean over cases, after averaging epochs and samples."""
    cases = (
        scores.drop_nulls("score").group_by("case", maintain_order=True).agg(pl.col("score").mean())["score"]
    )
    deviation = cases.std()
    uncertainty: dict[str, Any] = {"num_samples": cases.len()}
    if isinstance(deviation, float):
        error = deviation / cases.len() ** 0.5
        uncertainty |= {
            "standard_deviation": deviation,
            "standard_error": {"value": error, "method": "analytic"},
        }
    return {
        "evaluation_result_id": criterion,
        "evaluation_name": f"{suite}/{criterion}",
        "source_data": {"dataset_name": suite, "source_type": "other"},
        "metric_config": {"lower_is_better": False, **scale},
        "score_details": {
            "score": cases.mean(),
            "details": {
                "without_score": str(scores["score"].null_count()),
                "scores": str(scores["score"].count()),
            },
            "uncertainty": uncertainty,
        },
    }


def _scales(evals: Evals) -> dict[Any, dict[str, Any]]:
    suites = evals.runs.select("run", pl.col("suite").fill_null(""))
    seen = (
        evals.scores.join(suites, on="run", how="left")
        .group_by("suite", "criterion")
        .agg(low=pl.col("score").min(), high=pl.col("score").max())
        .join(evals.criteria, on=["suite", "criterion"], how="left")
    )
    made = {}
    for row in seen.iter_rows(named=True):
        told = row["scale_min"] is not None and row["scale_max"] is not None
        low, high = (row["scale_min"], row["scale_max"]) if told else (row["low"], row["high"])
        kind = "binary" if row["kind"] == "binary" else "continuous"
        scale: dict[str, Any] = {"score_type": kind, "min_score": low, "max_score": high}
        if row["direction"] == "lower":
            scale["lower_is_better"] = True
        if row["description"]:
            scale["evaluation_description"] = row["description"]
        if not told:
            scale["additional_details"] = {"scale": "not declared; the range that was seen"}
        made[row["suite"], row["criterion"]] = scale
    return made


def _texts(row: dict[str, Any], *names: str) -> dict[str, str]:
    return {name: str(row[name]) for name in names if row[name] is not None and row[name] != ""}
