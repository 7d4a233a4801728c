"""The folder that a run is written into, trial by trial, and what of it is there already."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from evalkit.agents.case_input import hashed, seed_of
from evalkit.data import folder as native
from evalkit.data.evals import Evals
from evalkit.data.json_text import lines
from evalkit.data.suite import Suite
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import FormatError, PathError
from evalkit.util.notes import Note
from evalkit.util.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.agents.attempt import Attempt
    from evalkit.agents.case_input import AskedCase
    from evalkit.agents.settings import AgentSettings

Key = tuple[str, int]


@dataclass(frozen=True)
class RunFolder:
    """A native folder, the run that is written into it, and which of its trials are there.

    Attributes
    ----------
    folder
        Where it is; None: nowhere, for an estimate.
    run
        The run's name.
    seed
        The seed of its first epoch.
    done
        The attempts that are there and stay: case and epoch.
    errors
        The lines in which an attempt stands that is to be made again.
    """

    folder: Path | None
    suite: Suite
    run: str
    seed: int
    started: bool
    facts: dict[str, Any]
    done: frozenset[Key] = frozenset()
    errors: frozenset[int] = field(default=frozenset())

    @property
    def path(self) -> Path:
        """The file of transcripts."""
        return (self.folder or Path()) / native.TRANSCRIPTS_FILE

    def left(self, asked: Sequence[AskedCase]) -> list[AskedCase]:
        """Return the attempts that are not there."""
        return [one for one in asked if (one.id, one.epoch) not in self.done]

    def begin(self) -> None:
        """Write the suite, take out what is to be made again, and say which run it is."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _keep_suite(self.suite, self.folder)
        if self.errors:
            _without(self.path, self.errors)
        if not self.started:
            native.append(self.path, [self.facts])

    def add(self, asked: AskedCase, attempt: Attempt) -> None:
        """Write one trial; it is on the disk when this returns."""
        native.append(self.path, [attempt.record(self.run, asked)])

    def read(self) -> Evals:
        """Return the run as it is on the disk: one that has no trials is empty."""
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
    """Find the run that this is, in a folder that may hold others.

    Without a name it is the run that the same agent made of the same prompts, whenever that was; else a new one.

    Raises
    ------
    FormatError
        The folder holds another wording of the suite, or a run of that name that is another, or runs of the
        same version with other settings.
    """
    place = None if folder is None else Path(folder)
    if place is not None and place.exists() and not place.is_dir():
        raise FormatError(f"{str(place)!r} is a file; name a folder, new or with runs in it.")
    there = Evals.from_tables()
    if place is not None and (place / native.TRANSCRIPTS_FILE).is_file():
        there = native.read_transcripts(place / native.TRANSCRIPTS_FILE)
    if place is not None:
        _expect_suite(suite, place)
    known = {row["run"]: row for row in there.runs.iter_rows(named=True)}
    mine = _identity(agent, suite)
    _expect_one_version(known, mine, agent)
    same = [name for name, row in known.items() if _is_same(row, mine, seed)]
    if run is not None and run in known and run not in same:
        raise FormatError(
            f"The run {run!r} in {str(place)!r} is another: {_difference(known[run], mine, seed)}. Name another run, "
            "or another folder."
        )
    name = run or (same[-1] if same else _new_name(agent, known))
    config = _config(known[name]) if name in known else {}
    chosen = config.get("seed", seed) if name in same else seed
    chosen = chosen if isinstance(chosen, int) else seed_of(name)
    trials = there.trials.filter(pl.col("run").cast(str) == name)
    bad = trials.filter(pl.col("error").is_not_null()) if retry_errors else trials.clear()
    kept = trials.filter(pl.col("error").is_null()) if retry_errors else trials
    facts = {
        "run": name,
        **{k: mine[k] for k in ("suite", "agent", "agent_version", "model", "provider")},
        "run_started_at": datetime.now(UTC),
        "config": {
            **agent.config,
            "prompts_hash": mine["prompts_hash"],
            "seed": chosen,
            "evalkit": VERSION,
        },
    }
    return RunFolder(
        place,
        suite,
        name,
        chosen,
        started=name in known,
        facts=facts,
        done=frozenset(kept.select("case", "epoch").iter_rows()),
        errors=frozenset(bad["line"]),
    )


def _identity(agent: AgentSettings, suite: Suite) -> dict[str, Any]:
    """Return what makes a run the one it is; two with the same are one."""
    return {
        "suite": suite.suite,
        "agent": agent.agent,
        "agent_version": agent.agent_version,
        "model": agent.model,
        "provider": agent.endpoint.name if agent.kind == "model" else None,
        "agent_hash": agent.hash,
        "prompts_hash": hashed([[case.id, case.prompt] for case in suite.cases]),
    }


def _config(row: dict[str, Any]) -> dict[str, Any]:
    try:
        made = msgspec.json.decode(row["config"] or "null")
    except msgspec.MsgspecError:
        return {}
    return made if isinstance(made, dict) else {}


def _is_same(row: dict[str, Any], mine: dict[str, Any], seed: int | None) -> bool:
    return _difference(row, mine, seed) is None


def _difference(row: dict[str, Any], mine: dict[str, Any], seed: int | None) -> str | None:
    """Return in what a run that is there differs from this one, as words; None where it is the same."""
    for name in ("suite", "agent", "agent_version", "model", "provider"):
        if (row[name] or None) != (mine[name] or None):
            return f"its {name} is {row[name]!r}, not {mine[name]!r}"
    config = _config(row)
    if config.get("agent_hash") != mine["agent_hash"]:
        return "its agent has another prompt, other settings or another source"
    if config.get("prompts_hash") != mine["prompts_hash"]:
        return "its cases were asked in other words"
    if seed is not None and config.get("seed") != seed:
        return f"its seed is {config.get('seed')}, not {seed}"
    return None


def _expect_one_version(known: dict[str, dict[str, Any]], mine: dict[str, Any], agent: AgentSettings) -> None:
    """Refuse to call two agents by one version: nobody could tell them apart in a comparison."""
    if agent.version is None:
        return
    for name, row in known.items():
        names_alike = all(row[one] == mine[one] for one in ("suite", "agent", "agent_version"))
        theirs = _config(row).get("agent_hash")
        if names_alike and theirs is not None and theirs != mine["agent_hash"]:
            raise FormatError(
                f"The run {name!r} is of version {agent.version!r} too, and its agent had another prompt, other "
                "settings or another source: give this one another version."
            )


def _new_name(agent: AgentSettings, known: dict[str, Any]) -> str:
    """Return a name that no run has: version, model, date."""
    model = (agent.model or "").rpartition("/")[2]
    parts = [agent.agent_version, model, datetime.now(UTC).strftime("%Y-%m-%d")]
    name = base = "_".join(part for part in parts if part)
    number = 2
    while name in known:
        name, number = f"{base}_{number}", number + 1
    return name


def _suite_files(folder: Path) -> list[Path]:
    return [
        path for path in (folder / native.SUITE_FILE, *sorted(folder.glob("suite-*.yaml"))) if path.is_file()
    ]


def _expect_suite(suite: Suite, folder: Path) -> None:
    for path in _suite_files(folder):
        there = Suite.read(path)
        if there.suite == suite.suite and there != suite:
            raise FormatError(
                f"{str(path)!r} words the suite {suite.suite!r} differently: run that one "
                f"(evalkit run {path}), or name another folder."
            )


def _keep_suite(suite: Suite, folder: Path) -> None:
    """Write the suite beside its runs, unless it is there."""
    files = _suite_files(folder)
    if any(Suite.read(path).suite == suite.suite for path in files):
        return
    name = native.SUITE_FILE if not files else f"suite-{len(files) + 1}.yaml"
    if (folder / name).exists():
        raise PathError(f"{str(folder / name)!r} is in the way of the suite {suite.suite!r}.")
    suite.write(folder / name)


def _without(path: Path, numbers: frozenset[int]) -> None:
    """Take lines out of a file, so that it is there whole, before or after."""
    kept = [raw + b"\n" for number, raw in lines(path.read_bytes()) if number not in numbers]
    with atomic_write(path) as fresh:
        fresh.write_bytes(b"".join(kept))


def as_suite(suite: Suite | str | Path) -> Suite:
    """Return a suite, read where its path is given."""
    return suite if isinstance(suite, Suite) else Suite.read(suite)


def with_notes(evals: Evals, notes: Sequence[str]) -> Evals:
    """Return the evaluations with more notes."""
    return replace(evals, notes=(*evals.notes, *(Note("run", note) for note in notes)))
