"""The folder of a run and its completed trials."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from evalkit.agents.case_input import seed_of, short_hash
from evalkit.data import folder as native
from evalkit.data.evals import Evals
from evalkit.data.folder_fields import RUN_FIELDS, SUITE_FILE, TRANSCRIPTS_FILE, suite_files
from evalkit.data.json_text import lines
from evalkit.data.suite import Suite
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import FormatError, PathError
from evalkit.util.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.agents.attempt import Attempt
    from evalkit.agents.case_input import CaseInput
    from evalkit.agents.settings import AgentSettings


@dataclass(frozen=True)
class RunFolder:
    """A native folder, the run written into it, and its completed trials.

    `folder` is None for an estimate. `started`: the folder already describes the run, else `facts` does. `done` has
    case and epoch of the trials to keep, `errors` the line numbers of those to retry.
    """

    folder: Path | None
    suite: Suite
    run: str
    seed: int
    started: bool
    facts: dict[str, Any]
    done: frozenset[tuple[str, int]] = frozenset()
    errors: frozenset[int] = frozenset()

    @property
    def path(self) -> Path:
        """The file of transcripts."""
        return (self.folder or Path()) / TRANSCRIPTS_FILE

    def pending(self, cases: Sequence[CaseInput]) -> list[CaseInput]:
        """Return the inputs without a trial."""
        return [case for case in cases if (case.id, case.epoch) not in self.done]

    def begin(self) -> None:
        """Write the suite and the run, and remove the trials to retry."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _save_suite(self.suite, self.folder)
        if self.errors:
            _remove_lines(self.path, self.errors)
        if not self.started:
            native.append(self.path, [self.facts])

    def add(self, case: CaseInput, attempt: Attempt) -> None:
        """Append one trial; it is on disk when this returns."""
        native.append(self.path, [attempt.record(self.run, case)])

    def read(self) -> Evals:
        """Return the run as it is on disk; empty without trials."""
        evals = native.read(self.folder or Path())
        if not (evals.trials["run"] == self.run).any():
            return Evals.from_tables()
        return evals.filter(run=self.run)


def open_folder(
    folder: str | Path | None,
    suite: Suite,
    agent: AgentSettings,
    *,
    run: str | None,
    seed: int | None,
    retry_errors: bool,
) -> RunFolder:
    """Find the run to resume, or name a new one.

    Without a name, the run of the same agent and prompts is resumed. Raises FormatError for another wording of the
    suite, another run of that name, or other settings of the same version.
    """
    place = None if folder is None else Path(folder)
    if place is not None and place.exists() and not place.is_dir():
        raise FormatError(f"{str(place)!r} is a file. Pass a folder, new or with runs in it.")
    existing = Evals.from_tables()
    if place is not None:
        if (place / TRANSCRIPTS_FILE).is_file():
            existing = native.read_transcripts(place / TRANSCRIPTS_FILE)
        _check_suite(suite, place)
    runs = {row["run"]: row for row in existing.runs.iter_rows(named=True)}
    identity = _identity(agent, suite)
    _check_version(runs, identity, agent)
    same = [name for name, row in runs.items() if _difference(row, identity, seed) is None]
    if run is not None and run in runs and run not in same:
        raise FormatError(
            f"The folder {str(place)!r} has a different run {run!r}: {_difference(runs[run], identity, seed)}. "
            "Choose another run name or another folder."
        )
    name = run or (same[-1] if same else _new_name(agent, runs))
    saved_seed = _config(runs[name]).get("seed", seed) if name in same else seed
    run_seed = saved_seed if isinstance(saved_seed, int) else seed_of(name)
    trials = existing.trials.filter(pl.col("run").cast(str) == name)
    retried = trials.filter(pl.col("error").is_not_null()) if retry_errors else trials.clear()
    kept = trials.filter(pl.col("error").is_null()) if retry_errors else trials
    config = {"prompts_hash": identity["prompts_hash"], "seed": run_seed, "evalkit": VERSION}
    facts = {
        "run": name,
        **{key: identity[key] for key in RUN_FIELDS},
        "run_started_at": datetime.now(UTC),
        "config": {**agent.config, **config},
    }
    return RunFolder(
        place,
        suite,
        name,
        run_seed,
        started=name in runs,
        facts=facts,
        done=frozenset(kept.select("case", "epoch").iter_rows()),
        errors=frozenset(retried["line"]),
    )


def _identity(agent: AgentSettings, suite: Suite) -> dict[str, Any]:
    return {
        "suite": suite.suite,
        "agent": agent.agent,
        "agent_version": agent.agent_version,
        "model": agent.model,
        "provider": agent.endpoint.name if agent.kind == "model" else None,
        "agent_hash": agent.hash,
        "prompts_hash": short_hash([[case.id, case.prompt] for case in suite.cases]),
    }


def _config(row: dict[str, Any]) -> dict[str, Any]:
    try:
        config = msgspec.json.decode(row["config"] or "null")
    except msgspec.MsgspecError:
        return {}
    return config if isinstance(config, dict) else {}


def _difference(row: dict[str, Any], identity: dict[str, Any], seed: int | None) -> str | None:
    """Return how an existing run differs; None if it is the same."""
    for name in RUN_FIELDS:
        if (row[name] or None) != (identity[name] or None):
            return f"its {name} is {row[name]!r}, not {identity[name]!r}"
    config = _config(row)
    if config.get("agent_hash") != identity["agent_hash"]:
        return "its agent has another prompt, other settings or another source"
    if config.get("prompts_hash") != identity["prompts_hash"]:
        return "its cases have other prompts"
    if seed is not None and config.get("seed") != seed:
        return f"its seed is {config.get('seed')}, not {seed}"
    return None


def _check_version(runs: dict[str, dict[str, Any]], identity: dict[str, Any], agent: AgentSettings) -> None:
    """Refuse one version name for two agents: comparisons could not separate them."""
    if agent.version is None:
        return
    for name, row in runs.items():
        is_same_name = all(row[key] == identity[key] for key in ("suite", "agent", "agent_version"))
        agent_hash = _config(row).get("agent_hash")
        if is_same_name and agent_hash is not None and agent_hash != identity["agent_hash"]:
            raise FormatError(
                f"The run {name!r} is also version {agent.version!r}, but its agent had another prompt, other settings "
                "or another source. Choose another version name."
            )


def _new_name(agent: AgentSettings, runs: dict[str, Any]) -> str:
    model = (agent.model or "").rpartition("/")[2]
    parts = [agent.agent_version, model, datetime.now(UTC).strftime("%Y-%m-%d")]
    name = base = "_".join(part for part in parts if part)
    number = 2
    while name in runs:
        name, number = f"{base}_{number}", number + 1
    return name


def _check_suite(suite: Suite, folder: Path) -> None:
    for path in suite_files(folder):
        saved = Suite.read(path)
        if saved.suite == suite.suite and saved != suite:
            raise FormatError(
                f"{str(path)!r} has another wording of the suite {suite.suite!r}. Run that one "
                f"(evalkit run {path}), or choose another folder."
            )


def _save_suite(suite: Suite, folder: Path) -> None:
    files = suite_files(folder)
    if any(Suite.read(path).suite == suite.suite for path in files):
        return
    name = SUITE_FILE if not files else f"suite-{len(files) + 1}.yaml"
    if (folder / name).exists():
        raise PathError(f"{str(folder / name)!r} is in the way of the suite {suite.suite!r}.")
    suite.write(folder / name)


def _remove_lines(path: Path, numbers: frozenset[int]) -> None:
    kept = [raw + b"\n" for number, raw in lines(path.read_bytes()) if number not in numbers]
    with atomic_write(path) as fresh:
        fresh.write_bytes(b"".join(kept))


def with_notes(evals: Evals, notes: Sequence[Any]) -> Evals:
    """Return the evaluations with more notes."""
    return replace(evals, notes=tuple(dict.fromkeys((*evals.notes, *notes))))
