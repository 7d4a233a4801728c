"""tau2-bench: the results of a run, with its tasks and the simulation of each trial of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_keys import listed_in, outline, read_object
from evalkit.readers.json_values import counter, mapping, number, sequence

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

# tau2-bench gives a trial that ended so the reward 0, though it is not the agent that broke.
_CRASHED: Final = ("user_error", "infrastructure_error")
_KEPT: Final = ("id", "seed", "user_cost", "reward_info")


def is_results(path: Path, head: bytes) -> bool:
    """Whether it is an object that says which agent talked to which user."""
    return {"info.agent_info", "info.user_info", "info.num_trials"} <= outline(head)


def read(path: Path) -> Evals:
    """Read a run: a task is a case, a trial an epoch, the reward the one criterion."""
    builder = EvalsBuilder(str(path))
    whole, data = read_object(path, builder)
    info, run = mapping(whole.get("info")), json_records.run_name(path)
    agent = mapping(info.get("agent_info"))
    model = as_text(agent.get("llm"))
    environment = mapping(info.get("environment_info"))
    suite = as_text(environment.get("domain_name")) or ""
    # The policy and the tools of a domain are the same in every run of it, and long.
    settings = {**info, "environment_info": {"domain_name": suite}} if info else None
    builder.add_run(
        run,
        suite=suite,
        agent=as_text(agent.get("implementation")),
        agent_version=run,
        model=model,
        provider=model.split("/", 1)[0] if model and "/" in model else None,
        started_at=as_text(whole.get("timestamp")),
        config=as_text(settings),
    )
    builder.ignore_fields("the domain's policy and tools", "the time, cost and usage of each message")
    for _, task in listed_in(whole, data, "tasks", builder=builder) if whole else ():
        _case(builder, suite, task)
    seen: dict[tuple[str, int], int | None] = {}
    for line, record in listed_in(whole, data, "simulations", builder=builder):
        case = as_text(record.get("task_id"))
        if case is None:
            builder.add_problem(line, "there is no task_id")
            continue
        counted = (
            counter((number(record.get("trial")) or 0.0) + 1) if record.get("trial") is not None else None
        )
        epoch = counted or builder.next_epoch(run, case)
        if (case, epoch) in seen:
            builder.add_problem(line, f"task {case!r}, trial {epoch - 1} is there already; the first is kept")
            continue
        seen[case, epoch] = line
        _take(builder, suite, (run, case, epoch), line, record)
    return builder.build()


def _case(builder: EvalsBuilder, suite: str, task: dict[str, Any]) -> None:
    case = as_text(task.get("id"))
    if case is None:
        builder.add_problem(None, "a task without an id")
        return
    criteria = mapping(task.get("evaluation_criteria"))
    scenario = mapping(task.get("user_scenario"))
    asked = scenario.get("instructions")
    points = [
        *map(_action, sequence(criteria.get("actions"))),
        *(f"says {as_text(one)}" for one in sequence(criteria.get("communicate_info"))),
        *(as_text(one) or "" for one in sequence(criteria.get("nl_assertions"))),
    ]
    builder.add_case(
        suite,
        case,
        input="\n".join(f"{name}: {as_text(text)}" for name, text in asked.items() if text)
        if isinstance(asked, dict)
        else as_text(asked),
        expected_rubric="\n".join(points) or None,
        severity=json_records.severity_of(task),
    )


def _take(
    builder: EvalsBuilder, suite: str, trial: tuple[str, str, int], line: int | None, record: dict[str, Any]
) -> None:
    ended = as_text(record.get("termination_reason"))
    reward = mapping(record.get("reward_info")).get("reward")
    crashed = f"the trial crashed: {ended}" if ended in _CRASHED else None
    turns = [_message(one) for one in _messages(record.get("messages"))]
    said = [turn["content"] for turn in turns if turn["role"] == "assistant" and turn["content"]]
    builder.add_trial(
        *trial,
        line,
        output=said[-1] if said else None,
        error=crashed,
        stop_reason=ended,
        cost_usd=record.get("agent_cost"),
        latency_s=record.get("duration"),
        started_at=as_text(record.get("start_time")),
    )
    builder.add_turns(*trial, turns)
    builder.add_criterion(suite, "reward", kind="binary", scale_min=0, scale_max=1)
    builder.add_score(
        *trial,
        "reward",
        line,
        grader="tau2-bench",
        grader_kind="code",
        score=None if crashed else reward,
        error=crashed or (None if reward is not None else "there is no reward_info"),
        metadata=as_text({name: record[name] for name in _KEPT if record.get(name) is not None}),
    )


def _messages(messages: Any) -> list[dict[str, Any]]:
    """Return the messages; what several tools gave at once is a message each."""
    made = []
    for one in sequence(messages):
        several = one.get("tool_messages") if isinstance(one, dict) else None
        made += several if isinstance(several, list) else [one]
    return [one for one in made if isinstance(one, dict)]


def _message(one: dict[str, Any]) -> dict[str, Any]:
    # What a tool gave has the id of its call.
    return message({**one, "tool_call_id": one.get("id")} if one.get("role") == "tool" else one)


def _action(action: Any) -> str:
    facts = mapping(action)
    return f"{as_text(facts.get('name')) or 'action'} {as_text(facts.get('arguments')) or ''}".rstrip()


READERS: Final = (Reader("tau2-bench results", is_results, read=read, whole=True, alone=True),)
