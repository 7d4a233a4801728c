"""What the lines of the native files hold, in the order in which they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evalkit.data.columns import decode
from evalkit.data.schema import SCORES

if TYPE_CHECKING:
    import msgspec

SUITE_FILE: Final = "suite.yaml"
TRANSCRIPTS_FILE: Final = "transcripts.jsonl"
SCORES_FILE: Final = "scores.jsonl"

RUN_FIELDS: Final = ("suite", "agent", "agent_version", "model", "provider")
TRIAL_FIELDS: Final = (
    *("output", "error", "stop_reason", "input_tokens", "output_tokens", "cost_usd", "latency_s"),
    "started_at",
)
MESSAGE_FIELDS: Final = ("role", "content", "reasoning", "tool_calls", "tool_name", "tool_call_id", "parts")
SCORE_FIELDS: Final = tuple(c for c in SCORES.columns if c.name not in ("source", "line"))


def raw_text(raw: msgspec.Raw) -> str | None:
    """Return a nested value as the text it was in the file; a string in the file is that string."""
    data = bytes(raw)
    if not data or data == b"null":
        return None
    return str(decode(data)) if data.startswith(b'"') else data.decode()
