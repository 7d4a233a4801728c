"""Harbor: trajectories in the Agent Trajectory Interchange Format (ATIF)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat
from evalkit.readers.json_keys import outline
from evalkit.readers.json_values import mapping, number, sequence

if TYPE_CHECKING:
    from pathlib import Path

# Harbor writes <trial>/agent/trajectory.json.
_PLAIN: Final = ("agent", "logs", "trajectory", "trajectories")


def is_trajectory(path: Path, data: bytes) -> bool:
    """Whether a file has trajectories with their version, agent and steps."""
    keys = outline(data)
    has_steps = {"steps", "agent", "[].steps", "[].agent"} & keys
    return bool(has_steps) and bool({"schema_version", "[].schema_version"} & keys) and b'"ATIF-' in data


def _trajectories(file: fields.RecordFile) -> fields.Records:
    for line, record in file.records():
        steps = [dict(step) for step in map(mapping, sequence(record.get("steps")))]
        agent = mapping(record.get("agent"))
        names = [as_text(agent.get(name)) for name in ("name", "version", "model_name")]
        yield (
            line,
            {
                **record,
                "steps": steps,
                "case": record.get("session_id") or record.get("trajectory_id") or _trial_name(file),
                "run": "-".join(dict.fromkeys(name for name in names if name)) or None,
                "timestamp": next((step["timestamp"] for step in steps if step.get("timestamp")), None),
            },
        )


def _trial_name(file: fields.RecordFile) -> str:
    parts = [file.path.stem, *(parent.name for parent in file.path.parents)]
    return next((part for part in parts if part and part not in _PLAIN), file.path.stem)


def _tokens(total: str, each: str) -> fields.Field:
    """Return a field with the tokens of a trajectory: its own total, else the sum of its steps."""

    def count(record: fields.Record) -> float | None:
        own = number(fields.get(record, f"final_metrics.{total}"))
        if own is not None:
            return own
        counts = [number(fields.get(step, f"metrics.{each}")) for step in record["steps"]]
        known = [count for count in counts if count is not None]
        return sum(known) if known else None

    return count


def _input(record: fields.Record) -> Any:
    turns = fields.chat_turns(record["steps"])
    return next((turn["content"] for turn in turns if turn["role"] == "user" and turn["content"]), None)


TRAJECTORIES: Final = RecordFormat(
    records=_trajectories,
    required=("steps",),
    case="case",
    runs={
        "agent": "agent.name",
        "agent_version": ("agent.version", "run"),
        "model": "agent.model_name",
        "provider": fields.provider("agent.model_name"),
    },
    cases={"input": _input},
    trials={
        "input_tokens": _tokens("total_prompt_tokens", "prompt_tokens"),
        "output_tokens": _tokens("total_completion_tokens", "completion_tokens"),
        "cost_usd": _tokens("total_cost_usd", "cost_usd"),
        "started_at": "timestamp",
    },
    turns=lambda record: fields.chat_turns(record["steps"]),
    scores=fields.always([]),
    ignored=("continued_trajectory_ref", "notes", "subagent_trajectories"),
)

READERS: Final = (
    Reader("Harbor trajectory (ATIF)", is_trajectory, read=TRAJECTORIES.read, whole=True, alone=True),
)
