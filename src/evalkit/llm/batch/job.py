"""State and actions of a batch job."""

from __future__ import annotations

import random
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from evalkit.llm.answer_cache import Cache
from evalkit.llm.batch.advance import JobRunner
from evalkit.llm.batch.api import BatchApi
from evalkit.llm.batch.collect import is_undecided
from evalkit.llm.batch.input_files import read_abouts, read_requests
from evalkit.llm.batch.journal import Journal
from evalkit.llm.batch.output_files import read_shard
from evalkit.llm.clock import Clock
from evalkit.llm.providers import provider as find_provider
from evalkit.util.errors import BusyError, JobError
from evalkit.util.format import money
from evalkit.util.hostile_text import Html, escape, visible
from evalkit.util.html_table import html_list, html_table
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evalkit.llm.batch.journal import JobRecord
    from evalkit.llm.providers import Provider
    from evalkit.llm.requests import Reply, Request

JobState = Literal["running", "cancelling", "done", "cancelled", "stopped"]
"""`stopped`: a cost limit or a rejected file kept some requests from being sent."""

_FIRST_POLL_S: Final = 15.0
_MAX_POLL_S: Final = 300.0
_POLL_FACTOR: Final = 1.6
_CANCEL_LOCK_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Status of a job, from its journal. Money is in US dollars."""

    name: str
    state: JobState
    provider: str
    note: str
    requests: int
    waiting: int  # requests without an outcome
    outcomes: dict[str, int]  # requests per outcome
    shards: dict[str, int]  # files per state
    rounds: int  # attempts at the most often sent request
    max_rounds: int
    spent: float | None  # for collected results; None: the price is unknown
    estimate: float | None  # maximum cost of running batches
    max_cost: float | None
    cached: int  # requests answered from the cache
    notes: tuple[str, ...]  # unexpected events
    trouble: str = ""  # the last temporary error, to be retried

    @property
    def words(self) -> str:
        """The status as a short text."""
        done = self.requests - self.waiting
        parts = [f"{self.state}: {done:,} of {plural(self.requests, 'request')} done"]
        parts += [f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(self.outcomes.items())]
        if self.cached:
            parts.append(f"{self.cached:,} from the cache")
        files = ", ".join(f"{count} {name}" for name, count in self.shards.items()) or "none"
        rounds = f", round {self.rounds} of {self.max_rounds}" if self.rounds > 1 else ""
        cost = f"{money(self.spent)} spent"
        if self.estimate:
            cost += f", up to {money(self.estimate)} running"
        error = f" Last error, to be retried: {self.trouble}." if self.trouble else ""
        return f"{', '.join(parts)}. Files: {files}{rounds}. {cost}.{error}"


class Job:
    """A batch job: requests at a provider and a journal in `.evalkit/jobs`.

    `submit` returns it; `open_job` opens it in any process.
    """

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.folder = folder
        self.name = folder.name
        self._journal = Journal(folder)
        self._clock = clock or Clock()
        self._last_error = ""
        self._wait_s = 0.0
        self._api: BatchApi | None = None
        self._settings = self._journal.read().settings

    @property
    def provider(self) -> Provider:
        """The provider of the job."""
        settings = self._settings
        return replace(
            find_provider(settings.provider), base_url=settings.base_url, key_variable=settings.key_variable
        )

    @property
    def state(self) -> JobState:
        """The state of the job, from its journal."""
        return job_state(self._journal.read())

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.state not in ("running", "cancelling")

    def status(self) -> JobStatus:
        """Return the status from the journal, without a request."""
        record = self._journal.read()
        settings = record.settings
        outcomes: Counter[str] = Counter()
        for shard in record.shards:
            outcomes.update(shard.outcomes)
            outcomes.subtract(shard.again or {})
        sent = [shard for shard in record.shards if shard.number]
        states = [
            shard.status if shard.state == "submitted" and shard.status else shard.state for shard in sent
        ]
        estimates = [shard.estimate for shard in record.in_state("creating", "submitted", "terminal")]
        known = [estimate for estimate in estimates if estimate is not None]
        is_priced = not any(shard.unpriced for shard in record.shards)
        return JobStatus(
            name=self.name,
            state=job_state(record),
            provider=settings.provider,
            note=settings.note,
            requests=sum(shard.lines for shard in record.shards if shard.round <= 1),
            waiting=sum(shard.lines for shard in sent if shard.state != "collected"),
            outcomes={name: count for name, count in sorted(outcomes.items()) if count},
            shards=dict(sorted(Counter(states).items())),
            rounds=max((shard.round for shard in sent), default=0),
            max_rounds=settings.max_rounds,
            spent=sum(shard.spent for shard in record.shards) if is_priced else None,
            estimate=sum(known) if len(known) == len(estimates) else None,
            max_cost=settings.max_cost,
            cached=sum(shard.lines for shard in record.shards if not shard.number),
            notes=tuple(record.notes),
            trouble=self._last_error,
        )

    def refresh(self) -> Job:
        """Advance the job as far as possible now and return it.

        Raises ProviderError if the API key or its plan is rejected, and BusyError if another process works on it.
        """
        with self._held():
            self._advance()
        return self

    def resume(self, *, max_cost: float | None = None, max_rounds: int | None = None) -> Job:
        """Resume the job with new limits. Requests held back by an old limit are sent."""
        limits = {"max_cost": max_cost, "max_rounds": max_rounds}
        changes = {name: value for name, value in limits.items() if value is not None}
        with self._held():
            record = self._journal.read()
            if changes and record.cancelled:
                raise JobError(
                    f"The job {self.name!r} was cancelled. Submit the remaining requests as a new job."
                )
            if changes:
                self._journal.write(self._clock.time(), job=changes)
            for shard in record.shards:
                if max_cost is not None and shard.why == "max_cost":
                    reset = {"state": "planned", "why": "", "message": "", "outcomes": {}}
                    self._journal.write(self._clock.time(), shard=shard.number, **reset)
            self._advance()
        return self

    def cancel(self) -> Job:
        """Cancel the job: nothing more is sent, and its batches are cancelled.

        Requests that have started are billed. `wait()` or `refresh()` downloads their results.
        """
        with self._held(patience_s=_CANCEL_LOCK_S):
            record = self._journal.read()
            if not record.cancelled and job_state(record) == "running":
                self._journal.write(self._clock.time(), cancelled=True)
            self._advance()
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        progress: Literal[True] | Callable[[JobStatus], None] | None = None,
    ) -> Job:
        """Wait until the job has ended; retry temporary errors.

        Interrupting it does not stop the job.

        Parameters
        ----------
        timeout
            Seconds after which it returns in any state; None: no limit.
        progress
            True: print each change; or a function that takes a `JobStatus`.

        Raises ProviderError if the API key or its plan is rejected.
        """
        show = _print_changes() if progress is True else progress
        end = None if timeout is None else self._clock.time() + timeout
        interval_s = _FIRST_POLL_S
        with self._connected():
            if self._wait_s and not self.ended:
                self._clock.sleep(self._wait_s if timeout is None else min(self._wait_s, timeout))
            while True:
                try:
                    self.refresh()
                except BusyError as error:
                    # Another process polls, and writes the same journal.
                    self._last_error = error.what.rstrip(".")
                if show:
                    show(self.status())
                if self.ended:
                    return self
                pause_s = max(interval_s, self._wait_s) * random.uniform(0.85, 1.15)  # noqa: S311  (spreads polls)
                if end is not None:
                    pause_s = min(pause_s, end - self._clock.time())
                if pause_s <= 0:
                    return self
                self._clock.sleep(pause_s)
                interval_s = min(interval_s * _POLL_FACTOR, _MAX_POLL_S)

    def requests(self) -> Iterator[Request]:
        """Yield every request of the job as sent, with its `about`."""
        for shard in self._journal.read().shards:
            if shard.round <= 1:
                yield from (request for request, _ in read_requests(self.folder, shard))

    def replies(self) -> Iterator[Reply]:
        """Yield the last reply to each finished request, in no order."""
        record = self._journal.read()
        last_round: dict[str, int] = {}
        for shard in record.shards:
            if shard.round > 1:
                ids = (about.custom_id for about in read_abouts(self.folder, shard))
                last_round |= dict.fromkeys(ids, shard.round)
        for shard in record.in_state("collected"):
            for reply in read_shard(self.folder, shard, full=True):
                if last_round.get(reply.custom_id, shard.round) == shard.round:
                    yield reply

    def delete_files(self) -> int:
        """Delete the files of the job at the provider and return their number.

        Raises JobError if the job has not ended.
        """
        with self._held(), self._connected() as api:
            record = self._journal.read()
            if job_state(record) in ("running", "cancelling"):
                raise JobError(
                    f"The job {self.name!r} has not ended. Its files are needed until all results are downloaded."
                )
            files = [
                file_id
                for shard in record.shards
                if not shard.gone
                for file_id in (shard.file_id, shard.output_file_id, shard.error_file_id)
                if file_id
            ]
            for file_id in files:
                api.delete_file(file_id)
        return len(files)

    def _advance(self) -> None:
        record = self._journal.read()
        self._last_error, self._wait_s = "", 0.0
        if job_state(record) not in ("running", "cancelling"):
            return
        path = record.settings.cache
        with Cache(path) if path else nullcontext() as cache, self._connected() as api:
            runner = JobRunner(self._journal, record, api, cache, self._clock)
            try:
                runner.advance()
            finally:
                self._last_error, self._wait_s = runner.last_error, runner.wait_s

    @contextmanager
    def _connected(self) -> Iterator[BatchApi]:
        if self._api is not None:
            yield self._api
            return
        with BatchApi(self.provider) as self._api:
            try:
                yield self._api
            finally:
                self._api = None

    @contextmanager
    def _held(self, *, patience_s: float = 0.0) -> Iterator[None]:
        """Hold the lock of the job, waiting for another process if allowed."""
        end = self._clock.time() + patience_s
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(self._journal.held())
                    break
                except BusyError:
                    if self._clock.time() >= end:
                        raise
                    self._clock.sleep(0.5)
            yield

    def __repr__(self) -> str:
        return f"Job({self.name!r}): {self.status().words}"

    def _repr_html_(self) -> Html:
        status = self.status()
        rows: list[tuple[str, int]] = [("requests", status.requests), ("waiting", status.waiting)]
        rows += [(name.replace("_", " "), count) for name, count in status.outcomes.items()]
        rows += [(f"files {name}", count) for name, count in status.shards.items()]
        table = html_table(["Status", "Count"], rows, row_heads=True)
        return Html(f"<p>{escape(repr(self))}</p>{table}{html_list(status.notes)}")


def job_state(record: JobRecord) -> JobState:
    """Return the state of a job from its journal."""
    if any(shard.state != "collected" for shard in record.shards):
        return "cancelling" if record.cancelled else "running"
    if record.cancelled:
        return "cancelled"
    if any(is_undecided(record, shard) for shard in record.shards):
        return "running"
    return "stopped" if any(shard.why for shard in record.shards) else "done"


def _print_changes() -> Callable[[JobStatus], None]:
    last = ""

    def show(status: JobStatus) -> None:
        nonlocal last
        text = f"{status.name}: {status.words}"
        if text != last:
            sys.stdout.write(f"{visible(text)}\n")
            sys.stdout.flush()
            last = text

    return show
