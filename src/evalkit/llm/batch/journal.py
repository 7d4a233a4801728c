"""Journal of a batch job: one line of JSON per fact, synced to disk before anything depends on it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from evalkit.data.folder import append
from evalkit.util.errors import FormatError
from evalkit.util.file_lock import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

ShardState = Literal["planned", "uploaded", "creating", "submitted", "terminal", "collected"]
"""Progress of a shard. `creating`: a batch may exist whose ID is unknown. `terminal`: the batch has ended."""

_FILE: Final = "journal.jsonl"


class Shard(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One file of requests and its batch. Times are by the local clock; `file_at` by the provider's."""

    number: int  # 0: cached answers, never sent
    round: int  # 1 for the first attempt at its requests
    lines: int
    bytes: int = 0
    model: str = ""  # empty: several models
    estimate: float | None = None  # maximum cost in US dollars; None: unknown price
    state: ShardState = "planned"
    file_id: str = ""
    file_at: float = 0.0
    batch_id: str = ""
    status: str = ""
    submitted_at: float = 0.0
    output_file_id: str = ""
    error_file_id: str = ""
    errors: list[dict[str, Any]] = []
    terminal_at: float = 0.0  # first seen as ended
    unseen_at: float = 0.0  # first reported unknown
    doubtful: bool = False  # a create call got no response, so a duplicate of the batch may appear
    cancelling_at: float = 0.0  # cancelled as overdue
    gone: list[str] = []  # lost results: "batch", "output" or "error"
    why: str = ""  # not sent, or rejected
    why_status: int | None = None
    message: str = ""
    outcomes: dict[str, int] = {}
    spent: float = 0.0
    unpriced: int = 0  # requests with an unknown price
    again: dict[str, int] | None = None  # requests per outcome that a later round retries; None: undecided


class JobSettings(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Settings of a job."""

    id: str  # unique; sent with each batch as metadata
    content: str  # hash of the address and the request IDs, equal for equal jobs
    created_at: float
    provider: str
    base_url: str
    key_variable: str | None = None  # the name of the variable; the API key is never stored
    window: str = "24h"
    max_cost: float | None = None
    max_rounds: int = 3
    shard_lines: int = 1_000
    note: str = ""
    cache: str = ""  # path of the answer cache


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

    def write(self, time_s: float, **fact: Any) -> None:
        """Append a fact (`job`, `shards`, `shard`, `again`, `cancelled` or `note`), synced to disk."""
        is_new = not self.path.exists()
        append(self.path, [{"at": round(time_s, 3), **fact}])
        if is_new:
            sync_folder(self.folder)

    def read(self) -> JobRecord:
        """Read the journal except an incomplete last line; raise FormatError if it is invalid."""
        settings: dict[str, Any] = {}
        shards: dict[int, dict[str, Any]] = {}
        notes: dict[str, None] = {}
        cancelled = False
        try:
            for event in _events(self.path):
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


def _events(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise FormatError(f"Cannot read the journal {str(path)!r}: {error.strerror}.") from None
    for line in lines:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            event = msgspec.json.decode(line)
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
