"""One batch job: what can be asked of it and done with it, from any process, whatever became of the last one."""

from __future__ import annotations

import random
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from evalkit.llm.answer_cache import Cache
from evalkit.llm.batch.advance import Stepper
from evalkit.llm.batch.api import Remote
from evalkit.llm.batch.input_files import read_abouts, read_requests
from evalkit.llm.batch.journal import Journal, Record, Shard
from evalkit.llm.batch.output_files import read_shard
from evalkit.llm.clock import Clock
from evalkit.llm.providers import provider as find_provider
from evalkit.util.errors import BusyError, JobError
from evalkit.util.hostile_text import escape, visible
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evalkit.llm.providers import Provider
    from evalkit.llm.requests import Reply, Request

JobState = Literal["running", "cancelling", "done", "cancelled", "stopped"]
"""`stopped`: it ended before everything was asked, because of a limit on money or a refusal."""

_FIRST_POLL: Final = 15.0
_SLOWER: Final = 1.6
_LONGEST_POLL: Final = 300.0
_LOCK_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job is, from its journal: nobody was asked.

    Attributes
    ----------
    name, state, provider, note
        Which job, and how far it is.
    requests
        How many there are; `outcomes` says how those that have ended did, `waiting` how many have not.
    shards
        How many files are in which state.
    rounds, max_rounds
        How often something was asked, and how often it may be.
    spent, estimate, max_cost
        US dollars: for what was collected; the most that what is under way may cost; the limit. None: the
        price is unknown, there is no limit.
    cached
        Requests that were answered before, and not sent.
    notes
        What was odd on the way.
    trouble
        What went wrong last and will be tried again.
    """

    name: str
    state: JobState
    provider: str
    note: str
    requests: int
    waiting: int
    outcomes: dict[str, int]
    shards: dict[str, int]
    rounds: int
    max_rounds: int
    spent: float | None
    estimate: float | None
    max_cost: float | None
    cached: int
    notes: tuple[str, ...]
    trouble: str = ""

    @property
    def words(self) -> str:
        """It in a sentence or two."""
        done = self.requests - self.waiting
        parts = [f"{done:,} of {plural(self.requests, 'request')} ended"]
        parts += [f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(self.outcomes.items())]
        if self.cached:
            parts.append(f"{self.cached:,} answered before")
        money = "price unknown" if self.spent is None else f"${self.spent:.4f} spent"
        if self.estimate:
            money += f", at most ${self.estimate:.4f} under way"
        shards = ", ".join(f"{count} {name}" for name, count in self.shards.items())
        rounds = f", round {self.rounds} of at most {self.max_rounds}" if self.rounds > 1 else ""
        text = f"{self.state}: {', '.join(parts)}. Files: {shards or 'none'}{rounds}. {money}."
        return text if not self.trouble else f"{text} Trouble, to be tried again: {self.trouble}."


class Job:
    """A batch job: files of requests at an endpoint, and a journal beside the data that knows all of it.

    It is made by `submit` and found again by `open_job`, in any process, days later. Nothing of it is in
    memory only: a kernel may be killed at any point.

    Attributes
    ----------
    name
        Of its folder, in `.evalkit/jobs` of the folder with the data.
    folder
        Its own.
    """

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.folder = folder
        self.name = folder.name
        self._journal = Journal(folder)
        self._clock = clock or Clock()
        self._trouble = ""
        self._wait = 0.0
        self._remote: Remote | None = None
        self._facts = self._journal.read().facts

    @property
    def provider(self) -> Provider:
        """Whom it asks."""
        facts = self._facts
        return replace(
            find_provider(facts.provider), base_url=facts.base_url, key_variable=facts.key_variable
        )

    @property
    def state(self) -> JobState:
        """How far it is, from its journal."""
        return state_of(self._journal.read())

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state not in ("running", "cancelling")

    def status(self) -> JobStatus:
        """Return how it is, from its journal: nobody is asked, and nothing is changed."""
        record = self._journal.read()
        facts = record.facts
        outcomes: Counter[str] = Counter()
        for shard in record.shards:
            outcomes.update(shard.outcomes)
            outcomes.subtract(shard.again or {})
        asked = [shard for shard in record.shards if shard.number]
        waiting = sum(shard.lines for shard in asked if shard.state != "collected")
        under_way = [s for s in asked if s.state in ("creating", "submitted", "terminal")]
        states = Counter(_shard_words(shard) for shard in asked)
        unknown = any(shard.unpriced for shard in record.shards)
        return JobStatus(
            name=self.name,
            state=state_of(record),
            provider=facts.provider,
            note=facts.note,
            requests=sum(shard.lines for shard in record.shards if shard.round <= 1),
            waiting=waiting,
            outcomes={name: count for name, count in sorted(outcomes.items()) if count},
            shards=dict(sorted(states.items())),
            rounds=max((shard.round for shard in asked), default=0),
            max_rounds=facts.max_rounds,
            spent=None if unknown else sum(shard.spent for shard in record.shards),
            estimate=_total(under_way),
            max_cost=facts.max_cost,
            cached=sum(shard.lines for shard in record.shards if not shard.number),
            notes=tuple(record.notes),
            trouble=self._trouble,
        )

    def refresh(self) -> Job:
        """Do whatever can be done now: submit, ask how it is, fetch what has ended, ask again what is worth it.

        Returns
        -------
        Job
            Itself.

        Raises
        ------
        ProviderError
            The key is missing or refused, or its plan does not allow it. Nothing is lost.
        BusyError
            Another process is at work on it.
        """
        with self._held():
            self._advance(self._journal.read())
        return self

    def resume(self, *, max_cost: float | None = None, max_rounds: int | None = None) -> Job:
        """Go on with it after whatever has happened, with other limits if they are given; then as `refresh`.

        Parameters
        ----------
        max_cost, max_rounds
            New limits: what an old one kept from being asked is asked now.
        """
        limits = {"max_cost": max_cost, "max_rounds": max_rounds}
        given = {name: value for name, value in limits.items() if value is not None}
        with self._held():
            record = self._journal.read()
            if given and record.cancelled:
                raise JobError(f"The job {self.name!r} was cancelled; submit what is left as a new one.")
            if given:
                self._journal.write(self._clock.time(), job=given)
            for shard in record.shards:
                if max_cost is not None and shard.why == "max_cost":
                    back = {"state": "planned", "why": "", "message": "", "outcomes": {}}
                    self._journal.write(self._clock.time(), shard=shard.number, **back)
            self._advance(self._journal.read())
        return self

    def cancel(self) -> Job:
        """Stop it: what was not sent is not sent, what is under way is asked to stop, nothing is asked again.

        An endpoint takes up to ten minutes for it; what had begun is finished and paid for. `wait()` or
        `refresh()` fetches what there is.
        """
        with self._held(patience=_LOCK_S):
            record = self._journal.read()
            if not record.cancelled and state_of(record) == "running":
                self._journal.write(self._clock.time(), cancelled=True)
                record = self._journal.read()
            self._advance(record)
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        progress: Literal[True] | Callable[[JobStatus], None] | None = None,
    ) -> Job:
        """Wait until it has ended, asking seldom: after 15 seconds, then ever more slowly, every 5 minutes at most.

        Stop it whenever you like; the job goes on at the endpoint. What passes (a lost connection, a 503) never
        ends it.

        Parameters
        ----------
        timeout
            Seconds after which it returns, whatever the state; None: never.
        progress
            True: a line whenever something has changed; or what is called with a `JobStatus`.

        Raises
        ------
        ProviderError
            The key is missing or refused, or its plan does not allow it. Nothing is lost.
        """
        with self._connected():
            return self._poll(timeout, _Line() if progress is True else progress)

    def _poll(self, timeout: float | None, show: Callable[[JobStatus], None] | None) -> Job:
        end = None if timeout is None else self._clock.time() + timeout
        interval = _FIRST_POLL
        if self._wait and not self.ended:
            self._clock.sleep(self._wait if timeout is None else min(self._wait, timeout))
        while True:
            try:
                self.refresh()
            except BusyError as error:
                # Another process does the same: its journal is this one's.
                self._trouble = str(error).partition(": ")[0]
            if show:
                show(self.status())
            if self.ended:
                return self
            pause = max(interval, self._wait) * random.uniform(0.85, 1.15)  # noqa: S311  (spreads polls)
            left = None if end is None else end - self._clock.time()
            if left is not None and left <= 0:
                return self
            self._clock.sleep(pause if left is None else min(pause, left))
            interval = min(interval * _SLOWER, _LONGEST_POLL)

    def requests(self) -> Iterator[Request]:
        """Yield every request of the job with what it is about, as it was sent, one at a time."""
        for shard in self._journal.read().shards:
            if shard.round <= 1:
                yield from (request for request, _ in read_requests(self.folder, shard))

    def replies(self) -> Iterator[Reply]:
        """Yield what came of each request that has ended, one at a time, in no order.

        Each request comes at most once, and exactly once when the job has ended: with its answer if there is
        one, else as it ended the last time it was asked.
        """
        record = self._journal.read()
        last: dict[str, int] = {}
        for shard in record.shards:
            if shard.round > 1:
                last |= dict.fromkeys((one.custom_id for one in read_abouts(self.folder, shard)), shard.round)
        for shard in record.shards:
            if shard.state == "collected":
                for reply in read_shard(self.folder, shard, whole=True):
                    if last.get(reply.custom_id, shard.round) == shard.round:
                        yield reply

    def delete_files(self) -> int:
        """Delete the job's files at the endpoint, once all of them are here; return how many.

        They hold what was sent and answered, and are kept for up to 30 days otherwise.

        Raises
        ------
        JobError
            It has not ended.
        """
        with self._held():
            record = self._journal.read()
            if state_of(record) in ("running", "cancelling"):
                raise JobError(
                    f"The job {self.name!r} has not ended: its files are needed until its results are here."
                )
            with self._connected() as remote:
                gone = [
                    key
                    for shard in record.shards
                    if not shard.gone
                    for key in (shard.file_id, shard.output_file_id, shard.error_file_id)
                    if key
                ]
                for key in gone:
                    remote.delete_file(key)
        return len(gone)

    def _advance(self, record: Record) -> None:
        self._trouble, self._wait = "", 0.0
        if state_of(record) not in ("running", "cancelling"):
            return
        with _open_cache(record.facts.cache) as cache, self._connected() as remote:
            stepper = Stepper(self._journal, record, remote=remote, cache=cache, clock=self._clock)
            try:
                stepper.advance()
            finally:
                self._trouble, self._wait = stepper.trouble, stepper.wait

    @contextmanager
    def _connected(self) -> Iterator[Remote]:
        """Have a connection: the one that is there, or one of its own."""
        if self._remote is not None:
            yield self._remote
            return
        with Remote(self.provider) as self._remote:
            try:
                yield self._remote
            finally:
                self._remote = None

    @contextmanager
    def _held(self, *, patience: float = 0.0) -> Iterator[None]:
        """Hold the job's lock: two processes never act for it at once."""
        until = self._clock.time() + patience
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(self._journal.held())
                    break
                except BusyError:
                    if self._clock.time() >= until:
                        raise
                    self._clock.sleep(0.5)
            yield

    def __repr__(self) -> str:
        return f"Job({self.name!r}): {self.status().words}"

    def _repr_html_(self) -> str:
        status = self.status()
        rows = [("requests", f"{status.requests:,}"), ("waiting", f"{status.waiting:,}")]
        rows += [(name.replace("_", " "), f"{count:,}") for name, count in status.outcomes.items()]
        rows += [(f"files {name}", str(count)) for name, count in status.shards.items()]
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)
        notes = "".join(f"<li>{escape(note)}</li>" for note in status.notes)
        return f"<p>{escape(repr(self))}</p><table>{cells}</table>" + (f"<ul>{notes}</ul>" if notes else "")


def state_of(record: Record) -> JobState:
    """Return how far a job is by its journal."""
    if any(shard.state != "collected" for shard in record.shards):
        return "cancelling" if record.cancelled else "running"
    if record.cancelled:
        return "cancelled"
    if any(one.number and one.again is None and one.round < record.facts.max_rounds for one in record.shards):
        return "running"
    return "stopped" if any(shard.why for shard in record.shards) else "done"


def _shard_words(shard: Shard) -> str:
    return (shard.status or shard.state) if shard.state == "submitted" else shard.state


def _total(shards: list[Shard]) -> float | None:
    known = [shard.estimate for shard in shards if shard.estimate is not None]
    return sum(known) if len(known) == len(shards) else None


def _open_cache(path: str) -> Any:
    return Cache(path) if path else nullcontext()


class _Line:
    """Prints how a job is, when that has changed."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, status: JobStatus) -> None:
        words = f"{status.name}: {status.words}"
        if words != self._last:
            sys.stdout.write(f"{visible(words)}\n")
            sys.stdout.flush()
            self._last = words
