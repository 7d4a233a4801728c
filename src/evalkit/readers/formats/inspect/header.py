"""The header of an Inspect log: run and scorers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.json_text import as_text
from evalkit.data.schema import RUNS
from evalkit.readers.formats.fields import get, provider
from evalkit.readers.formats.inspect.records import LETTERS, moment
from evalkit.readers.json_values import number

if TYPE_CHECKING:
    from collections.abc import Iterable

NEWEST: Final = 3
"""The newest version of the format that is known."""

# An ID prefix this long is unique.
_ID: Final = 8
_EVAL: Final = (
    *("eval_set_id", "eval_id", "run_id", "task_id", "task_version", "task_file", "task_args", "solver"),
    *("solver_args", "model_args", "model_roles", "model_generate_config", "config", "revision", "packages"),
    *("metadata", "scorers", "sandbox", "headline_metric"),
)
_LOG: Final = (
    *("version", "status", "plan", "results", "stats", "invalidated", "tags", "metadata", "log_updates"),
)
_CRITERIA: Final = {
    "suite": pl.String,
    "criterion": pl.String,
    "description": pl.String,
    "scale_min": pl.Float64,
    "scale_max": pl.Float64,
    "kind": pl.String,
}
_LETTERS: Final = (
    f"Inspect's letters: {', '.join(f'{letter} is {value:g}' for letter, value in LETTERS.items())}."
)


class Header:
    """The header of a log; unreadable fields are null.

    `run` is the task, the model and the start of the log's ID.
    """

    def __init__(self, log: dict[str, Any], name: str) -> None:
        self.log = log
        self.spec: dict[str, Any] = log["eval"] if isinstance(log.get("eval"), dict) else {}
        self.suite = as_text(self.spec.get("task")) or name
        self.model = as_text(self.spec.get("model"))
        ids = (self.spec.get(key) for key in ("eval_id", "run_id", "task_id", "created"))
        log_id = next((as_text(value) for value in ids if value), None) or name
        # Shorten a time at the start, an ID at the end.
        short = log_id if log_id == self.spec.get("created") else log_id[:_ID]
        parts = (self.suite.rpartition("/")[2], (self.model or "").rpartition("/")[2], short)
        self.run = "-".join(part for part in parts if part)

    @property
    def is_too_new(self) -> bool:
        """Whether the log has an unknown version."""
        version = self.log.get("version")
        return isinstance(version, int) and version > NEWEST

    def graders(self) -> dict[str, str]:
        """Return the scorer of each score name."""
        scores = get(self.log, "results.scores")
        rows = [row for row in scores if isinstance(row, dict)] if isinstance(scores, list) else []
        pairs = [(row.get("name"), row.get("scorer")) for row in rows]
        return {name: scorer for name, scorer in pairs if isinstance(name, str) and isinstance(scorer, str)}

    def only_score(self) -> str:
        """Return the name of a sample's one score in old logs: its scorer's."""
        names = [get(self.log, "results.scorer.name"), *self.graders()]
        return next((name for name in map(as_text, names) if name), "score")

    def sample_count(self) -> float | None:
        """Return how many samples the log says it has; for an unfinished log, how many were planned."""
        total = number(get(self.log, "results.total_samples"))
        if total is not None:
            return total
        samples, limit = number(get(self.spec, "dataset.samples")), get(self.spec, "config.limit")
        if samples is None or isinstance(limit, list):
            return None
        epochs = number(get(self.spec, "config.epochs")) or 1
        return min(samples, number(limit) or samples) * epochs

    def means(self) -> dict[str, float]:
        """Return the mean of each score that the log publishes."""
        scores = get(self.log, "results.scores")
        rows = [row for row in scores if isinstance(row, dict)] if isinstance(scores, list) else []
        means = {
            as_text(row.get("name")) or "": number(get(row, ("metrics.mean.value", "metrics.accuracy.value")))
            for row in rows
        }
        return {name: value for name, value in means.items() if value is not None}

    def frame(self, source: str) -> pl.DataFrame:
        """Return the row of `runs`; `config` has the settings and published results."""
        spec, log = self.spec, self.log
        config = {key: log[key] for key in _LOG if log.get(key) not in (None, [], {})}
        config |= {key: spec[key] for key in _EVAL if spec.get(key) not in (None, [], {})}
        if isinstance(spec.get("dataset"), dict):
            config["dataset"] = {key: v for key, v in spec["dataset"].items() if key != "sample_ids"}
        if isinstance(log.get("error"), dict):
            config["error"] = log["error"].get("message")
        started = moment(as_text(get(log, "stats.started_at")))
        row = {
            "run": self.run,
            "suite": self.suite,
            "agent": as_text(spec.get("solver")),
            "agent_version": as_text(get(spec, "metadata.agent_version")) or self.run,
            "model": self.model,
            "provider": provider("model")(spec),
            "started_at": started or moment(as_text(spec.get("created"))),
            "config": as_text(config),
            "source": source,
        }
        return pl.DataFrame(
            [pl.Series(name, [row.get(name)], dtype=dtype) for name, dtype in RUNS.schema.items()]
        )

    def criteria(self, lettered: dict[str, bool], names: Iterable[str]) -> pl.DataFrame | None:
        """Return a row per criterion; only letter grades have a scale."""
        rows = [
            (self.suite, name, *((_LETTERS, 0.0, 1.0, "binary") if lettered.get(name) else (None,) * 4))
            for name in names
        ]
        return pl.DataFrame(rows, schema=_CRITERIA, orient="row") if rows else None
