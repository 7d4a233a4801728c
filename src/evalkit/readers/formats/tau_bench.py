"""tau-bench: trajectories of an agent with a simulated user and tools."""

from __future__ import annotations

from typing import Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import PASS_OR_FAIL, RecordFormat, has_paths
from evalkit.readers.json_values import mapping, sequence


def action_text(action: Any, arguments: str) -> str:
    """Return an expected tool call as a line."""
    name, values = (as_text(mapping(action).get(key)) for key in ("name", arguments))
    return f"{name or 'action'} {values or ''}".rstrip()


def _rubric(record: fields.Record) -> str | None:
    task = mapping(fields.get(record, "info.task"))
    actions = [action_text(action, "kwargs") for action in sequence(task.get("actions"))]
    return fields.joined([*actions, *(f"says {as_text(output)}" for output in sequence(task.get("outputs")))])


def _crash(record: fields.Record) -> str | None:
    error = as_text(fields.get(record, "info.error"))
    return f"the trial crashed: {error}" if error else None


TRAJECTORIES: Final = RecordFormat(
    required=("task_id",),
    case="task_id",
    epoch=fields.to(lambda trial: trial + 1 if type(trial) is int else None, "trial"),
    is_version=True,
    cases={
        "input": "info.task.instruction",
        "expected_rubric": _rubric,
        "severity": fields.severity("info.task"),
    },
    trials={"error": "info.error"},
    turns=lambda record: fields.chat_turns(record.get("traj")),
    scores=lambda record: [record],
    criterion=fields.always("reward"),
    criteria=fields.always(PASS_OR_FAIL),
    grader="tau-bench",
    score={
        # tau-bench gives a crashed trial reward 0, though it is unscored.
        "score": lambda record: None if _crash(record) else record.get("reward"),
        "error": _crash,
        "metadata": fields.known(reward_info="info.reward_info", user_cost_usd="info.user_cost"),
    },
    on_repeat="reject",
)

READERS: Final = (
    Reader(
        "tau-bench trajectories",
        # The first trajectory may begin after the sniffed head.
        has_paths("[].task_id", "[].reward", any_of=("[].traj", "[].info", "[].info.task")),
        read=TRAJECTORIES.read,
        whole=True,
        alone=True,
    ),
)
