"""The native files and their fields in the order of writing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evalkit.data.schema import SCORES

if TYPE_CHECKING:
    from pathlib import Path

SUITE_FILE: Final = "suite.yaml"
TRANSCRIPTS_FILE: Final = "transcripts.jsonl"
SCORES_FILE: Final = "scores.jsonl"

RUN_FIELDS: Final = ("suite", "agent", "agent_version", "model", "provider")
TRIAL_FIELDS: Final = (
    *("output", "error", "stop_reason", "input_tokens", "output_tokens", "cost_usd", "latency_s"),
    *("started_at", "uid"),
)
MESSAGE_FIELDS: Final = ("role", "content", "reasoning", "tool_calls", "tool_name", "tool_call_id", "parts")
SCORE_FIELDS: Final = tuple(c for c in SCORES.columns if c.name not in ("source", "line"))


def suite_files(folder: Path) -> list[Path]:
    """Return the suites of a folder: `suite.yaml`, then `suite-2.yaml` and so on."""
    paths = (folder / SUITE_FILE, *sorted(folder.glob("suite-*.yaml")))
    return [path for path in paths if path.is_file()]
