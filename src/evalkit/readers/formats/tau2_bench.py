"""tau2-bench: a run's tasks and simulations."""

from __future__ import annotations

from typing import Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import PASS_OR_FAIL, RecordFormat, has_paths
from evalkit.readers.formats.tau_bench import action_text
from evalkit.readers.json_values import mapping, number, sequence

# tau2-bench gives reward 0 for these ends, though the agent did not fail.
_CRASHED: Final = ("user_error", "infrastructure_error")


def _simulations(file: fields.RecordFile) -> fields.Records:
    document = file.read_object()
    info = mapping(document.get("info"))
    suite = as_text(fields.get(info, "environment_info.domain_name")) or ""
    # A domain's policy and tools are long and the same in every run.
    settings = {**info, "environment_info": {"domain_name": suite}} if info else None
    file.builder.ignore_fields("the domain's policy and tools", "the time, cost and usage of each message")
    if document:
        TASKS.add(file, ((line, {**task, "suite": suite}) for line, task in file.list_in("tasks")))
    common = {"suite": suite, "settings": settings, "timestamp": document.get("timestamp")}
    for line, record in file.list_in("simulations"):
        yield line, {**record, **common, "agent": info.get("agent_info")}


def _instructions(instructions: Any) -> str | None:
    if isinstance(instructions, dict):
        return "\n".join(f"{name}: {as_text(text)}" for name, text in instructions.items() if text)
    return as_text(instructions)


def _rubric(task: fields.Record) -> str | None:
    criteria = mapping(task.get("evaluation_criteria"))
    return fields.joined(
        [
            *(action_text(action, "arguments") for action in sequence(criteria.get("actions"))),
            *(f"says {as_text(each)}" for each in sequence(criteria.get("communicate_info"))),
            *sequence(criteria.get("nl_assertions")),
        ]
    )


def _turns(record: fields.Record) -> fields.Turns:
    """Return the messages; tool results in one message are separate turns."""
    messages: list[Any] = []
    for each in sequence(record.get("messages")):
        several = each.get("tool_messages") if isinstance(each, dict) else None
        messages += several if isinstance(several, list) else [each]
    return fields.chat_turns(
        [
            {**each, "tool_call_id": each.get("id")} if mapping(each).get("role") == "tool" else each
            for each in messages
        ]
    )


def _crash(record: fields.Record) -> str | None:
    reason = as_text(record.get("termination_reason"))
    return f"the trial crashed: {reason}" if reason in _CRASHED else None


def _error(record: fields.Record) -> str | None:
    has_reward = fields.get(record, "reward_info.reward") is not None
    return _crash(record) or (None if has_reward else "there is no reward_info")


TASKS: Final = RecordFormat(
    row="case",
    required=("id",),
    case="id",
    cases={
        "input": fields.to(_instructions, "user_scenario.instructions"),
        "expected_rubric": _rubric,
        "severity": fields.severity(""),
    },
)
SIMULATIONS: Final = RecordFormat(
    records=_simulations,
    required=("task_id",),
    case="task_id",
    epoch=fields.to(lambda trial: None if trial is None else (number(trial) or 0.0) + 1, "trial"),
    is_version=True,
    runs={
        "agent": "agent.implementation",
        "model": "agent.llm",
        "provider": fields.provider("agent.llm"),
        "started_at": "timestamp",
        "config": "settings",
    },
    # The input is in the tasks.
    cases={"input": fields.always(None)},
    trials={
        "error": _crash,
        "stop_reason": "termination_reason",
        "cost_usd": "agent_cost",
        "latency_s": "duration",
        "started_at": "start_time",
    },
    turns=_turns,
    scores=lambda record: [record],
    criterion=fields.always("reward"),
    criteria=fields.always(PASS_OR_FAIL),
    grader="tau2-bench",
    score={
        "score": lambda record: None if _crash(record) else fields.get(record, "reward_info.reward"),
        "error": _error,
        "metadata": fields.known("id", "seed", "user_cost", "reward_info"),
    },
    on_repeat="reject",
)

READERS: Final = (
    Reader(
        "tau2-bench results",
        has_paths("info.agent_info", "info.user_info", "info.num_trials"),
        read=SIMULATIONS.read,
        whole=True,
        alone=True,
    ),
)
