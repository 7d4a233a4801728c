"""tau-bench: the trajectories of an agent that talks to a simulated user and calls tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_keys import outline
from evalkit.readers.json_values import mapping, sequence

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_KEYS: Final = ("task_id", "reward", "traj")


def is_trajectories(path: Path, head: bytes) -> bool:
    """Whether it is a list of tasks with their reward and their trajectory."""
    keys = outline(head)
    # The first trajectory may begin beyond what is looked at.
    return {"[].task_id", "[].reward"} <= keys and bool({"[].traj", "[].info", "[].info.task"} & keys)


def read(path: Path) -> Evals:
    """Read trajectories: a task is a case, a trial an epoch, the reward the one criterion."""
    builder = EvalsBuilder(str(path))
    run = json_records.run_name(path)
    builder.add_run(run, agent_version=run)
    seen: dict[tuple[str, int], int] = {}
    for line, record in json_records.read(path, builder):
        case = as_text(record.get("task_id"))
        if case is None:
            builder.add_problem(line, "there is no task_id")
            continue
        trial = record.get("trial")
        counted = isinstance(trial, int) and not isinstance(trial, bool) and trial >= 0
        epoch = trial + 1 if counted else builder.next_epoch(run, case)  # type: ignore[operator]
        if seen.setdefault((case, epoch), line) != line:
            first = seen[case, epoch]
            builder.add_problem(
                line, f"task {case!r}, trial {epoch - 1} is in line {first} already; the first is kept"
            )
            continue
        _take(builder, (run, case, epoch), line, record)
    return builder.build()


def _take(builder: EvalsBuilder, trial: tuple[str, str, int], line: int, record: dict[str, Any]) -> None:
    info = mapping(record.get("info"))
    task = mapping(info.get("task"))
    builder.add_case(
        "",
        trial[1],
        input=as_text(task.get("instruction")),
        expected_rubric="\n".join([*map(_action, sequence(task.get("actions"))), *_outputs(task)]) or None,
        severity=json_records.severity_of(task),
    )
    turns = [message(one) for one in sequence(record.get("traj")) if isinstance(one, dict)]
    said = [turn["content"] for turn in turns if turn["role"] == "assistant" and turn["content"]]
    error = as_text(info.get("error"))
    builder.add_trial(*trial, line, output=said[-1] if said else None, error=error)
    builder.add_turns(*trial, turns)
    builder.add_criterion("", "reward", kind="binary", scale_min=0, scale_max=1)
    facts = {"reward_info": info.get("reward_info"), "user_cost_usd": info.get("user_cost")}
    builder.add_score(
        *trial,
        "reward",
        line,
        grader="tau-bench",
        grader_kind="code",
        # tau-bench gives an attempt that crashed the reward 0; nothing of it was judged.
        score=None if error else record.get("reward"),
        error=f"the trial crashed: {error}" if error else None,
        metadata=as_text({name: value for name, value in facts.items() if value is not None}),
    )


def _action(action: Any) -> str:
    facts = mapping(action)
    return f"{as_text(facts.get('name')) or 'action'} {as_text(facts.get('kwargs')) or ''}".rstrip()


def _outputs(task: Any) -> list[str]:
    return [f"says {as_text(output)}" for output in sequence(task.get("outputs"))]


READERS: Final = (Reader("tau-bench trajectories", is_trajectories, read=read, whole=True, alone=True),)
