"""Synthetic runs of the Batch API suite with known truth; the same seed gives the same bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any, Final

import polars as pl

from evalkit.data import folder as native
from evalkit.data.demo.scores import PlannedTrial, human_scores, judge_scores
from evalkit.data.evals import Evals
from evalkit.data.folder_fields import SUITE_FILE
from evalkit.data.suite import Suite
from evalkit.data.suite_yaml import parse
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import PathError
from evalkit.util.notes import Note

__all__ = ["NOTICE", "PLAN", "TRUTHS", "make", "suite_path", "write"]

NOTICE: Final = (
    "Demo data: every run, transcript, judgement and human score in it is made up. "
    "demo-large, demo-small and demo-judge are no models of anybody's."
)
SEED: Final = 20261122
AGENT: Final = "demo-agent"
MODELS: Final = ("demo-large", "demo-small")
EPOCHS: Final = 3

_CASES: Final = ("01", "02", "03", "04", "05", "06", "07", "08", "09")
_PLANNED: Final = {
    "v1": ((0, 0), (1, 0), (3, 2), (0, 0), (0, 0), (0, 1), (0, 0), (0, 0), (2, 3)),
    "v2": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 2), (3, 3), (3, 3), (2, 3), (3, 3)),
    "v3": ((3, 3), (0, 0), (3, 3), (3, 3), (3, 3), (3, 3), (3, 3), (2, 3), (3, 3)),
}
PLAN: Final = {version: dict(zip(_CASES, plan, strict=True)) for version, plan in _PLANNED.items()}
"""By version and case: how many of three trials pass with demo-large and with demo-small.

The others fail, except `CRASHED` and `UNREADABLE`, which have no verdict.
"""

CRASHED: Final = ("v1-demo-large", "07", 2)
UNREADABLE: Final = ("v2-demo-small", "09", 3)

TRUTHS: Final[dict[str, Any]] = {
    "v1_to_v2": {
        "verdict": "improved",
        "improvements": ["01", "02", "04", "05", "06", "07", "08"],
        "regressions": [],
    },
    "v2_to_v3": {
        "verdict": "inconclusive",
        "improvements": [],
        "regressions": ["02"],
        "case_02": {"severity": "critical", "baseline_passes": 6, "candidate_passes": 0, "trials": 6},
    },
    "weaker": {"model": "demo-small", "than": "demo-large", "criterion": "Groq", "by": (0.5, 0.8)},
    "crashed": {"run": CRASHED[0], "case": CRASHED[1], "epoch": CRASHED[2]},
    "unreadable": {
        "run": UNREADABLE[0],
        "case": UNREADABLE[1],
        "epoch": UNREADABLE[2],
        "criterion": "Batch Api",
    },
    "rows": {"cases": 9, "criteria": 3, "runs": 6, "trials": 162},
}
"""The results of an analysis with the default rule."""

_STARTED: Final = {
    "v1": datetime(2026, 9, 7, 20, 0, tzinfo=UTC),
    "v2": datetime(2026, 10, 5, 20, 0, tzinfo=UTC),
    "v3": datetime(2026, 11, 2, 20, 0, tzinfo=UTC),
}
_SYSTEM: Final = (
    "You are a coding agent. You work on the user's machine with the tools you are given, run batch jobs on "
    "GroqCloud, and end with a short report. (Made-up transcript of the evalkit demo.)"
)
_OPENINGS: Final = {
    "v1": ("On it.", "Sure, let me do that.", "I will get this going right away."),
    "v2": (
        "Before I start, I check what is there.",
        "I will take this step by step.",
        "Let me look at the files and the job first.",
    ),
    "v3": ("Right.", "I keep it short.", "Taking this from the top."),
}
_CRASH: Final = "ToolTimeout: upload_file gave no answer within 600 s; the attempt was abandoned (made up)."


def make(*, seed: int = SEED) -> Evals:
    """Make the demo in memory.

    Parameters
    ----------
    seed
        Another seed gives other scores; of `TRUTHS` only the difference between the models changes.

    Returns
    -------
    Evals
        162 trials with their turns and scores, marked as `made_up`.

    Examples
    --------
    >>> evals = make()
    >>> evals.trials.height, evals.made_up
    (162, True)
    """
    suite = Suite.read(suite_path())
    attempts = _attempts(suite, seed=seed)
    trials, turns = [], []
    for attempt in attempts:
        trial, messages = _trial(attempt, seed=seed)
        trials.append(trial)
        turns += messages
    judged = [attempt for attempt in attempts if attempt.key != CRASHED]
    scores = judge_scores(judged, suite, unreadable=UNREADABLE, seed=seed)
    scores += human_scores(judged, scores, seed=seed)
    cases, criteria = suite.tables()
    return Evals.from_tables(
        cases=cases,
        criteria=criteria,
        runs=pl.DataFrame([_run(version, model, suite.suite) for version in PLAN for model in MODELS]),
        trials=pl.DataFrame(trials, infer_schema_length=None),
        turns=pl.DataFrame(turns, infer_schema_length=None),
        scores=pl.DataFrame(scores, infer_schema_length=None),
        notes=[Note("synthetic", NOTICE)],
    )


def write(folder: str | Path, *, seed: int = SEED) -> Path:
    """Write the demo as a native folder: suite.yaml, transcripts.jsonl, scores.jsonl.

    Parameters
    ----------
    folder
        Created if needed. The same seed writes the same bytes.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = suite_path().read_text(encoding="utf-8")
    header = f"# DEMO. {NOTICE}\n# The suite itself is a copy of suites/groq-batch-api.yaml; the runs beside it are invented.\n#\n"
    with atomic_write(folder / SUITE_FILE) as fresh:
        fresh.write_text(header + text, encoding="utf-8", newline="\n")
    return native.write(make(seed=seed), folder)


def suite_path() -> Path:
    """Return the path of the bundled suite."""
    package = Path(__file__).parents[2]
    for data in (package / "_share/data", package.parents[1] / "data"):
        path = data / "suites/groq-batch-api.yaml"
        if path.is_file():
            return path
    raise PathError.missing(package / "_share/data/suites/groq-batch-api.yaml")


def _attempts(suite: Suite, *, seed: int) -> list[PlannedTrial]:
    text = resources.files("evalkit.data.demo").joinpath("content.yaml").read_text(encoding="utf-8")
    content = parse(text, name="content.yaml").data
    attempts = []
    for version, plan in PLAN.items():
        for at, model in enumerate(MODELS):
            for case in suite.cases:
                chance = Random(f"{seed}/epochs/{version}/{model}/{case.id}")  # noqa: S311
                failing = set(_some(range(1, EPOCHS + 1), EPOCHS - plan[case.id][at], chance))
                for epoch in range(1, EPOCHS + 1):
                    passes = epoch not in failing
                    told = content[f"case {case.id}"]["good" if passes else "bad"]
                    # The weaker model never mentions GroqCloud.
                    best = passes and model == "demo-large" and chance.randrange(5) > 1
                    attempts.append(PlannedTrial(version, model, case, epoch, passes, told, best))
    return attempts


def _some(items: range, count: int, chance: Random) -> list[int]:
    left = list(items)
    return [left.pop(chance.randrange(len(left))) for _ in range(count)]


def _run(version: str, model: str, suite: str) -> dict[str, Any]:
    return {
        "run": f"{version}-{model}",
        "suite": suite,
        "agent": AGENT,
        "agent_version": version,
        "model": model,
        "provider": "made up",
        "started_at": _STARTED[version] + timedelta(hours=MODELS.index(model)),
        "config": json.dumps({"made_up": True, "temperature": 0.7, "max_turns": 20}),
        "made_up": True,
    }


def _trial(attempt: PlannedTrial, *, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    chance = attempt.random("transcript", seed=seed)
    crashed = attempt.key == CRASHED
    ids = {
        f"<{kind}>": f"{kind.replace('out', 'file').replace('err', 'file')}_01{_letters(chance)}"
        for kind in ("batch", "file", "out", "err")
    }
    messages = _messages(attempt, chance, crashed=crashed)
    for message in messages:
        for key in ("content", "tool_calls"):
            for mark, name in ids.items():
                message[key] = message[key].replace(mark, name) if message.get(key) else None
    run, case, epoch = attempt.key
    where = {"run": run, "case": case, "epoch": epoch}
    turns = [{**where, "turn": turn, **message} for turn, message in enumerate(messages, start=1)]
    said = sum(
        len(m["content"] or "") + len(m["tool_calls"] or "") for m in messages if m["role"] == "assistant"
    )
    read = sum(len(message["content"] or "") for message in messages) * (len(messages) - 2) // 2
    minutes = 2 * (3 * (int(case) - 1) + epoch)
    trial = {
        **where,
        "output": None if crashed else messages[-1]["content"],
        "error": _CRASH if crashed else None,
        "stop_reason": "error" if crashed else "stop",
        "input_tokens": read // 4,
        "output_tokens": said // 4,
        # Synthetic prices: 0.20 and 0.80 dollars per million tokens; a third for the small model.
        "cost_usd": (read // 4 * 20 + said // 4 * 80)
        // (1 if attempt.model == "demo-large" else 3)
        / 100_000_000,
        "latency_s": 600.0 if crashed else (said // 4 + chance.randrange(40, 400)) / 20,
        "started_at": _STARTED[attempt.version]
        + timedelta(hours=MODELS.index(attempt.model), minutes=minutes),
    }
    return trial, turns


def _messages(attempt: PlannedTrial, chance: Random, *, crashed: bool) -> list[dict[str, Any]]:
    openings = _OPENINGS[attempt.version]
    opening = openings[chance.randrange(len(openings))]
    messages = [_message("system", _SYSTEM), _message("user", attempt.case.prompt)]
    steps = attempt.told["steps"][:2] if crashed else attempt.told["steps"]
    for number, step in enumerate(steps, start=1):
        say = f"{opening} {step['say']}" if number == 1 else step["say"]
        call = {"id": f"call_{number}", "name": step["tool"], "arguments": step["arguments"]}
        messages.append(_message("assistant", say, tool_calls=json.dumps([call], ensure_ascii=False)))
        if not (crashed and number == len(steps)):
            answer = _message("tool", step["result"])
            messages.append({**answer, "tool_name": step["tool"], "tool_call_id": call["id"]})
    return messages if crashed else [*messages, _message("assistant", attempt.answer)]


def _message(role: str, content: str, *, tool_calls: str | None = None) -> dict[str, Any]:
    empty = {"tool_name": None, "tool_call_id": None}
    return {"role": role, "content": content, "tool_calls": tool_calls, **empty}


def _letters(chance: Random) -> str:
    return "".join("0123456789abcdefghjkmnpqrstvwxyz"[chance.randrange(32)] for _ in range(8))


def __dir__() -> list[str]:
    return __all__
