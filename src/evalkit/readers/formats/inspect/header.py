"""The header of an Inspect log: its run, and what its scorers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.columns import as_text
from evalkit.data.schema import RUNS
from evalkit.readers.formats.inspect.samples import LETTERS, moment

if TYPE_CHECKING:
    from collections.abc import Iterable

NEWEST: Final = 3
"""The newest version of the format that was looked at."""

# As long a piece of an id as tells logs apart.
_ID: Final = 8
_EVAL: Final = (
    *("eval_set_id", "eval_id", "run_id", "task_id", "task_version", "task_file", "task_args", "solver"),
    *("solver_args", "model_args", "model_roles", "model_generate_config", "config", "revision", "packages"),
    *("metadata", "scorers", "sandbox", "headline_metric"),
)
_LOG: Final = (
    "version",
    "status",
    "plan",
    "results",
    "stats",
    "invalidated",
    "tags",
    "metadata",
    "log_updates",
)


class Header:
    """What the header of a log says, however much of it there is.

    Attributes
    ----------
    run
        The run's name: task, model and the start of the log's id.
    suite
        The task.
    """

    def __init__(self, log: dict[str, Any], name: str) -> None:
        self.log = log
        self.spec: dict[str, Any] = log["eval"] if isinstance(log.get("eval"), dict) else {}
        self.suite = as_text(self.spec.get("task")) or name
        self.model = as_text(self.spec.get("model"))
        ids = (self.spec.get(key) for key in ("eval_id", "run_id", "task_id", "created"))
        told = next((as_text(value) for value in ids if value), None) or name
        model = (self.model or "").rpartition("/")[2]
        # A time keeps its tail, an id its start.
        short = told if told == self.spec.get("created") else told[:_ID]
        self.run = "-".join(part for part in (self.suite.rpartition("/")[2], model, short) if part)

    @property
    def too_new(self) -> bool:
        """Whether the log is of a version that was not looked at."""
        version = self.log.get("version")
        return isinstance(version, int) and version > NEWEST

    def graders(self) -> dict[str, str]:
        """Return the scorer behind each score's name."""
        results = self.log.get("results")
        scores = results.get("scores") if isinstance(results, dict) else None
        rows = [row for row in scores or () if isinstance(row, dict)] if isinstance(scores, list) else []
        return {
            str(row["name"]): str(row["scorer"])
            for row in rows
            if isinstance(row.get("name"), str) and isinstance(row.get("scorer"), str)
        }

    def frame(self, source: str) -> pl.DataFrame:
        """Return the row of `runs`; `config` has the settings and the results as they were published."""
        spec, log = self.spec, self.log
        config = {key: log[key] for key in _LOG if log.get(key) not in (None, [], {})}
        config |= {key: spec[key] for key in _EVAL if spec.get(key) not in (None, [], {})}
        dataset = spec.get("dataset")
        if isinstance(dataset, dict):
            config["dataset"] = {key: value for key, value in dataset.items() if key != "sample_ids"}
        error = log.get("error")
        if isinstance(error, dict):
            config["error"] = error.get("message")
        stats = log.get("stats")
        started = stats.get("started_at") if isinstance(stats, dict) else None
        given = spec.get("metadata")
        version = given.get("agent_version") if isinstance(given, dict) else None
        row = {
            "run": self.run,
            "suite": self.suite,
            "agent": as_text(spec.get("solver")),
            "agent_version": as_text(version) or self.run,
            "model": self.model,
            "provider": self.model.partition("/")[0] if self.model and "/" in self.model else None,
            "started_at": moment(as_text(started)) or moment(as_text(spec.get("created"))),
            "config": as_text(config),
            "source": source,
        }
        return pl.DataFrame(
            {name: pl.Series([row[name]], dtype=dtype) for name, dtype in RUNS.schema.items()}
        )

    def criteria(self, lettered: dict[str, bool], seen: Iterable[str]) -> pl.DataFrame | None:
        """Return a row a criterion; Inspect declares a scale only by its letters."""
        rows = [
            (
                self.suite,
                name,
                _LETTERS if lettered.get(name) else None,
                *((0.0, 1.0, "binary") if lettered.get(name) else (None,) * 3),
            )
            for name in dict.fromkeys(seen)
        ]
        schema: dict[str, Any] = {
            "suite": pl.String,
            "criterion": pl.String,
            "description": pl.String,
            "scale_min": pl.Float64,
            "scale_max": pl.Float64,
            "kind": pl.String,
        }
        return pl.DataFrame(rows, schema=schema, orient="row") if rows else None


_LETTERS: Final = (
    f"Inspect's letters: {', '.join(f'{letter} is {value:g}' for letter, value in LETTERS.items())}."
)
