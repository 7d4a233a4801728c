"""Journal of a batch job: one line of JSON per fact, synced to disk before anything depends on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from evalkit.data.folder import append, locked
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

ShardState = Literal["planned", "uploaded", "creating", "submitted", "terminal", "collected"]
"""Progress of a shard. `creating`: a batch may exist whose ID is unknown. `terminal`: the batch has ended."""

_FILE: Final = "journal.jsonl"


class Shard(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One file of requests and its batch. Shard 0 holds cached answers and is never sent.

    Attributes
    ----------
    round
        1 for the first attempt at its requests; retries are in later rounds.
    model
        The only model in the file; empty if there are several.
    estimate
        Maximum cost in US dollars; None if the price is unknown.
    file_at, status, errors
        As the provider reports them.
    submitted_at, terminal_at, unseen_at, cancelling_at
        By the local clock: batch created, first seen as ended, first reported unknown, cancelled as overdue.
    doubtful
        A create call got no response, so a duplicate of the batch may still appear.
    gone
        Results that are lost: "batch", "output" or "error".
    why, why_status, message
        Why the file was not sent or was rejected.
    outcomes, spent, unpriced
        Of a collected shard: requests per outcome, their cost, requests with an unknown price.
    again
        Requests per outcome that a later round retries; None before that is decided.
    """

    number: int
    round: int
    lines: int
    bytes: int = 0
    model: str = ""
    estimate: float | None = None
    state: ShardState = "planned"
    file_id: str = ""
    file_at: float = 0.0
    batch_id: str = ""
    status: str = ""
    submitted_at: float = 0.0
    output_file_id: str = ""
    error_file_id: str = ""
    errors: list[dict[str, Any]] = []
    terminal_at: float = 0.0
    unseen_at: float = 0.0
    doubtful: bool = False
    cancelling_at: float = 0.0
    gone: list[str] = []
    why: str = ""
    why_status: int | None = None
    message: str = ""
    outcomes: dict[str, int] = {}
    spent: float = 0.0
    unpriced: int = 0
    again: dict[str, int] | None = None


class JobSettings(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Settings of a job.

    Attributes
    ----------
    id
        Unique; sent with each batch as metadata.
    content
        Hash of the address and the request IDs: equal for jobs that send the same requests.
    key_variable
        Name of the environment variable with the API key. The key itself is never stored.
    cache
        Path of the answer cache; empty if there is none.
    """

    id: str
    content: str
    created_at: float
    provider: str
    base_url: str
    key_variable: str | None = None
    window: str = "24h"
    max_cost: float | None = None
    max_rounds: int = 3
    shard_lines: int = 1_000
    note: str = ""
    cache: str = ""


class JobRecord(msgspec.Struct, kw_only=True):
    """Content of a journal. Notes are unique; shards are in the order of their numbers."""

    settings: JobSettings
    shards: list[Shard]
    cancelled: bool
    notes: list[str]

    def in_state(self, *states: ShardState) -> list[Shard]:
        """Return the shards in any of the given states."""
        return [shard for shard in self.shards if shard.state in states]


class Journal:
    """Journal file in the folder of a job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / _FILE

    def held(self) -> AbstractContextManager[None]:
        """Lock the job, so that no two processes act on it at once."""
        return locked(self.folder / "lock", f"the job {self.folder.name!r}")

    def write(self, at: float, **fact: Any) -> None:
        """Append a fact: `job=`, `shards=` (new), `shard=` with changed fields, `again=`, `cancelled=` or `note=`.

        The line is on disk when this returns.
        """
        is_new = not self.path.exists()
        append(self.path, [{"at": round(at, 3), **fact}])
        if is_new:
            sync_folder(self.folder)

    def read(self) -> JobRecord:
        """Read the journal. Skip a line that a crash left incomplete: nothing depended on it.

        Raises
        ------
        FormatError
            The file is missing or is not a journal.
        """
        settings: dict[str, Any] = {}
        shards: dict[int, dict[str, Any]] = {}
        notes: dict[str, None] = {}
        cancelled = False
        try:
            for event in self._events():
                settings.update(event.get("job", {}))
                shards.update({fields["number"]: fields for fields in event.get("shards", ())})
                if "shard" in event:
                    shards[event["shard"]].update(
                        {name: value for name, value in event.items() if name not in ("at", "shard")}
                    )
                for number, again in event.get("again", {}).items():
                    shards[int(number)]["again"] = again
                if "note" in event:
                    notes[event["note"]] = None
                cancelled = cancelled or "cancelled" in event
            for fields in shards.values():
                if fields.get("state") == "uploading":  # evalkit until 2026-12 wrote it before each upload
                    fields["state"] = "planned"
            return JobRecord(
                settings=msgspec.convert(settings, JobSettings),
                shards=[msgspec.convert(shards[number], Shard) for number in sorted(shards)],
                cancelled=cancelled,
                notes=list(notes),
            )
        except (msgspec.ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(
                f"{str(self.path)!r} is not a journal that this version of evalkit can read ({error}). "
                "Use the version that wrote it, or delete the folder of the job."
            ) from None

    def _events(self) -> Iterator[dict[str, Any]]:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise FormatError(f"Cannot read the journal {str(self.path)!r}: {error.strerror}.") from None
        for line in lines:
            try:
                event = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(event, dict):
                yield event


def sync_folder(folder: Path) -> None:
    """Sync the file names in a folder to disk."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
