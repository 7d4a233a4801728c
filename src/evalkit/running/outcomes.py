"""What became of each request of a shard: what its result files say, and what follows where they say nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from evalkit.running.answers import read_error
from evalkit.running.requests import Reply
from evalkit.running.results import Tally, read_line, read_outcome, reconcile
from evalkit.running.shards import read_abouts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evalkit.running.journal import Shard


def read_shard(folder: Path, shard: Shard, *, whole: bool, tally: Tally | None = None) -> Iterator[Reply]:
    """Yield one reply for each request of a shard that has ended.

    Parameters
    ----------
    folder, shard
        Whose.
    whole
        With the answers; else of a success only its model and its usage are there, which is faster.
    tally
        Counts what is odd.
    """
    paths = [result_path(folder, shard, kind) for kind in ("output", "error")]
    facts: dict[str, Any] = {
        "batch_id": shard.batch_id or None,
        "tries": shard.round,
        "cached": shard.number == 0,
    }
    yield from reconcile(
        [path for path in paths if path.exists()],
        (one.custom_id for one in read_abouts(folder, shard)),
        absent=partial(_absent, shard),
        read=partial(read_line if whole else read_outcome, **facts),
        tally=tally,
    )


def _absent(shard: Shard, key: str, number: int) -> Reply:
    """Return the reply of a request that is in no result file."""
    reply = Reply(
        key,
        "not_run",
        code=shard.why or None,
        message=shard.message or None,
        mode="batch",
        batch_id=shard.batch_id or None,
        tries=shard.round,
    )
    if shard.why == "refused":
        return replace(reply, outcome="api_error", status=shard.why_status)
    if shard.why:
        return reply
    lines = {error.get("line"): error for error in shard.errors}
    if number in lines:
        code, words = read_error(lines[number])
        return replace(reply, outcome="api_error", code=code, message=words)
    if shard.status == "failed":
        code, words = read_error(shard.errors)
        named = any(isinstance(line, int) for line in lines)
        code = "other_line_invalid" if named else code or "batch_failed"
        return replace(reply, code=code, message=words or "The batch failed its validation.")
    if "batch" in shard.gone:
        words = "Its batch never ended, or the endpoint no longer has it."
        return replace(reply, outcome="missing", code="batch_gone", message=words)
    if shard.gone:
        words = "The endpoint no longer has its result file."
        return replace(reply, outcome="missing", code="file_gone", message=words)
    if shard.status in ("expired", "cancelled") and not (shard.output_file_id or shard.error_file_id):
        return replace(reply, code=f"batch_{shard.status}", message=f"Its batch was {shard.status}.")
    return replace(reply, outcome="missing", message="It is in neither of the result files.")


def result_path(folder: Path, shard: Shard, kind: str) -> Path:
    """Return where a result file of a shard lies: `kind` is "output" or "error"."""
    return folder / f"{shard.number:04d}.{kind}.jsonl"
