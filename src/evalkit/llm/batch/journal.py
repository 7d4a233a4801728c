"""What is known of a batch job, on disk before anything depends on it: one line of JSON a fact, each synced."""

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

State = Literal["planned", "uploading", "uploaded", "creating", "submitted", "terminal", "collected"]
"""How far a shard is. `creating` says that a batch may exist which nobody has the id of."""

_FILE: Final = "journal.jsonl"


class Shard(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One file of requests, and what became of it.

    Attributes
    ----------
    number, round
        Which file; the first round asks everything, later ones what was worth asking again. The shard 0
        was never sent: all of it was answered before.
    lines, bytes, model, estimate
        Its size, the one model that it asks (empty: several), and the most that it may cost in US dollars (None: the
        price is unknown).
    state
        See `State`.
    file_id, file_at, batch_id, status, expires_at, counts, output_file_id, error_file_id, errors
        What the endpoint says.
    submitted_at
        When it was submitted, by the clock here.
    terminal_at, unseen_at
        When it was seen to have ended, and since when the endpoint does not know its batch.
    doubtful
        An attempt to create it went unanswered: a twin of its batch may turn up.
    cancelling_at
        When it was asked to stop because its time was up.
    gone
        What of it the endpoint no longer has: "batch", "output", "error".
    why, why_status, message
        Why it was not sent, or not taken.
    outcomes, spent, unpriced
        Once it is collected: how many requests ended how, what they cost, how many at an unknown price.
    again
        Of its outcomes, those that a later round asks again; None: nobody has looked yet.
    """

    number: int
    round: int
    lines: int
    bytes: int = 0
    model: str = ""
    estimate: float | None = None
    state: State = "planned"
    file_id: str = ""
    file_at: float = 0.0
    batch_id: str = ""
    status: str = ""
    submitted_at: float = 0.0
    expires_at: float = 0.0
    counts: dict[str, int] = {}
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


class Facts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a job was made with.

    Attributes
    ----------
    id
        Sent with each batch, so that it can be found again: unlike the ids of all other jobs.
    content
        The same for jobs that ask the same of the same endpoint.
    provider, base_url, key_variable
        Whom it asks; never the key.
    window, max_cost, max_rounds, shard_lines, note
        As they were given.
    cache
        The file in which answers are looked up and kept; empty: none.
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


class Record(msgspec.Struct, kw_only=True):
    """The whole of a journal, read.

    Attributes
    ----------
    facts
        What the job was made with.
    shards
        In the order of their numbers.
    cancelled
        Somebody asked to cancel it: nothing is asked again.
    notes
        What was odd on the way, each once.
    """

    facts: Facts
    shards: list[Shard]
    cancelled: bool
    notes: list[str]


class Journal:
    """The record of one job in its folder. A line is on the disk when `write` returns.

    Parameters
    ----------
    folder
        Of the job.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / _FILE

    def held(self) -> AbstractContextManager[None]:
        """Hold the job: two processes never act for it at once."""
        return locked(self.folder / "lock", f"the job {self.folder.name!r}")

    def write(self, at: float, **fact: Any) -> None:
        """Add a fact: `job=`, `shards=` (new ones), `shard=` with what has changed of it, `cancelled=`, `note=`."""
        fresh = not self.path.exists()
        append(self.path, [{"at": round(at, 3), **fact}])
        if fresh:
            sync_folder(self.folder)

    def read(self) -> Record:
        """Return what the journal says now.

        Raises
        ------
        FormatError
            It does not begin with a job. A line that a crash left half-written is passed over: nothing was
            done that depended on it.
        """
        facts: dict[str, Any] = {}
        shards: dict[int, dict[str, Any]] = {}
        notes: dict[str, None] = {}
        cancelled = False
        for event in self._events():
            if "job" in event:
                facts.update(event["job"])
            for one in event.get("shards", ()):
                shards[one["number"]] = one
            if "shard" in event:
                changes = {name: value for name, value in event.items() if name not in ("at", "shard")}
                shards[event["shard"]].update(changes)
            for number, again in event.get("again", {}).items():
                shards[int(number)]["again"] = again
            if "note" in event:
                notes[event["note"]] = None
            cancelled = cancelled or "cancelled" in event
        try:
            return Record(
                facts=msgspec.convert(facts, Facts),
                shards=[msgspec.convert(shards[number], Shard) for number in sorted(shards)],
                cancelled=cancelled,
                notes=list(notes),
            )
        except msgspec.ValidationError as error:
            raise FormatError(f"The journal {str(self.path)!r} cannot be read: {error}.") from None

    def _events(self) -> Iterator[dict[str, Any]]:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise FormatError(f"There is no journal {str(self.path)!r}: {error.strerror}.") from None
        for line in lines:
            try:
                event = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(event, dict):
                yield event


def sync_folder(folder: Path) -> None:
    """Make sure that the names in a folder are on the disk."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
