"""Advance a batch job. Each fact is on disk before the next depends on it."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from evalkit.llm.batch.api import ENDED, KNOWN, BatchApi, RejectedError, RetryableError
from evalkit.llm.batch.collect import collect_shard, plan_next_round
from evalkit.llm.batch.input_files import requests_path
from evalkit.llm.batch.output_files import result_path
from evalkit.llm.rate_limit import backoff
from evalkit.util.arguments import is_number
from evalkit.util.errors import ProviderError
from evalkit.util.format import money

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.batch.journal import JobRecord, Journal, Shard
    from evalkit.llm.clock import Clock

_TRIES: Final = 4
_MAX_WAIT_S: Final = 60.0
# A create call without a response may still be in transit: read the list again after this time.
_LIST_AGAIN_S: Final = 10.0
# How long an unknown batch may still appear, a missing result file be requested, an overdue batch end.
_UNKNOWN_BATCH_S: Final = 3_600.0
_MISSING_FILE_S: Final = 900.0
_OVERDUE_S: Final = 3_600.0
_MAX_ERRORS: Final = 1_000
_HOURS: Final = {"h": 3_600.0, "d": 86_400.0}
_RANDOM: Final = random.Random()  # noqa: S311  (spreads waits, not security)
_T = TypeVar("_T")


@dataclass(slots=True)
class JobRunner:
    """Advance a job. The caller holds the lock of its journal."""

    journal: Journal
    record: JobRecord  # kept up to date
    api: BatchApi
    cache: Cache | None
    clock: Clock
    last_error: str = ""  # the last temporary error
    wait_s: float = 0.0  # the provider asks to wait so long

    def advance(self) -> None:
        """Submit, poll, download and plan further rounds, as far as possible now."""
        while True:
            unclear = [shard for shard in self.record.in_state("submitted") if shard.doubtful]
            unclear += self.record.in_state("creating")
            if unclear:
                with self._deferred():
                    self.reconcile(unclear)
            self._submit_all()
            self._poll()
            for shard in self.record.in_state("terminal"):
                if all([self._download(shard, "output"), self._download(shard, "error")]):
                    changes, notes = collect_shard(
                        self.journal.folder, shard, provider=self.api.provider, cache=self.cache
                    )
                    self._write(shard, **changes)
                    for note in notes:
                        self._note(note)
            next_round = plan_next_round(self.journal.folder, self.record, self.api.provider)
            if next_round is None:
                return
            shards, again = next_round
            self.journal.write(self.clock.time(), shards=shards, again=again)
            for shard in self.record.shards:
                shard.again = again.get(str(shard.number), shard.again)
            self.record.shards += shards
            if not shards:
                return

    def reconcile(self, shards: list[Shard]) -> None:
        """List batches to find ones whose create call got no response."""
        since = min(shard.file_at for shard in shards)
        batches = self.api.find([shard.file_id for shard in shards], since=since)
        absent = [shard for shard in shards if shard.state == "creating" and not batches[shard.file_id]]
        if absent:
            self.clock.sleep(_LIST_AGAIN_S)
            batches.update(self.api.find([shard.file_id for shard in absent], since=since))
        for shard in shards:
            self.claim_batch(shard, batches[shard.file_id])

    def claim_batch(self, shard: Shard, batches: list[dict[str, Any]]) -> None:
        """Take a batch of the shard's file and cancel its duplicates."""
        if shard.state == "creating" and not batches:
            self._write(shard, state="uploaded", doubtful=True)
        elif shard.state == "creating":
            best = min(batches, key=lambda row: row.get("status") in ("failed", "cancelled", "cancelling"))
            now = self.clock.time()
            self._write(shard, state="submitted", batch_id=best["id"], submitted_at=now, doubtful=True)
        for row in batches:
            if row["id"] != shard.batch_id and row.get("status") not in ENDED | {"cancelling"}:
                self.api.cancel(row["id"])
                self._note(f"The batch {row['id']} duplicates {shard.batch_id} and was cancelled.")

    def _submit_all(self) -> None:
        pending = self.record.in_state("planned", "uploaded")
        if self.record.cancelled:
            for shard in pending:
                self._skip(shard, "cancelled", "The job was cancelled before the request was sent.")
            return
        for shard in pending:
            if self._is_affordable(shard) and not self._submit(shard):
                return
        if not self.record.in_state("creating", "submitted", "terminal"):
            for shard in self.record.in_state("planned", "uploaded"):
                self._skip(
                    shard,
                    "max_cost",
                    f"The limit max_cost={self.record.settings.max_cost:g} is reached: {money(self._spent)} spent, and "
                    f"this file may cost {money(shard.estimate)}.",
                )

    def _submit(self, shard: Shard) -> bool:
        is_done = False
        try:
            with self._deferred():
                if shard.state == "planned":
                    self._upload(shard)
                try:
                    self._retried(lambda: self._create(shard))
                except RejectedError as error:
                    if error.status != 404:
                        raise
                    # The provider deleted the input file: it was uploaded too long ago.
                    self._upload(shard)
                    self._retried(lambda: self._create(shard))
                is_done = True
        except RejectedError as error:
            self._skip(shard, "refused", str(error), outcome="api_error", why_status=error.status)
            self._note(f"{self.api.provider.name} rejects a file or its batch: {error}")
            is_done = True
        return is_done

    def _upload(self, shard: Shard) -> None:
        name = f"evalkit-{self.record.settings.id}-{shard.number:04d}.jsonl"
        file = self._retried(lambda: self.api.upload(requests_path(self.journal.folder, shard), name))
        self._write(shard, state="uploaded", file_id=str(file["id"]), file_at=_number(file.get("created_at")))

    def _create(self, shard: Shard) -> None:
        """Create a batch, its intent on disk first. After a lost response, look for it before a retry."""
        if shard.state == "creating":
            self.reconcile([shard])
            if shard.batch_id:
                return
        settings = self.record.settings
        self._write(shard, state="creating")
        try:
            batch = self.api.create(
                shard.file_id,
                window=settings.window,
                metadata={"evalkit": f"{settings.id}-{shard.number}"},
            )
        except (RejectedError, ProviderError):
            self._write(shard, state="uploaded")  # a response: there is no batch
            raise
        except RetryableError as error:
            if error.had_no_effect:
                self._write(shard, state="uploaded")
            raise
        self._write(
            shard,
            state="submitted",
            batch_id=str(batch["id"]),
            status=str(batch.get("status") or ""),
            submitted_at=self.clock.time(),
        )

    def _is_affordable(self, shard: Shard) -> bool:
        limit = self.record.settings.max_cost
        running = self.record.in_state("creating", "submitted", "terminal")
        reserved = sum(other.estimate or 0.0 for other in running)
        return limit is None or self._spent + reserved + (shard.estimate or 0.0) <= limit

    @property
    def _spent(self) -> float:
        return sum(shard.spent for shard in self.record.shards)

    def _skip(
        self,
        shard: Shard,
        why: str,
        message: str,
        *,
        outcome: str = "not_run",
        why_status: int | None = None,
    ) -> None:
        outcomes = {outcome: shard.lines}
        self._write(
            shard, state="collected", why=why, why_status=why_status, message=message, outcomes=outcomes
        )

    def _poll(self) -> None:
        shards = self.record.in_state("submitted")
        if self.record.cancelled:
            for shard in shards:
                if shard.status != "cancelling":
                    self._cancel(shard)
        batches: dict[str, dict[str, Any]] = {}
        with self._deferred():
            batches = self.api.batches([shard.batch_id for shard in shards])
        failures = 0
        for shard in shards:
            batch = batches.get(shard.batch_id)
            if batch is None and failures < _TRIES:
                failures += 1
                with self._deferred():
                    batch = self.api.batch(shard.batch_id)
                    failures = 0
                    if batch is None:
                        self._note_unknown(shard)
            if batch is not None:
                self._update(shard, batch)

    def _update(self, shard: Shard, batch: dict[str, Any]) -> None:
        status = str(batch.get("status") or "")
        changes: dict[str, Any] = {"status": status, "unseen_at": 0.0}
        if status in ENDED:
            changes |= self._end(shard, batch)
        else:
            if status not in KNOWN:
                self._note(
                    f"The batch {shard.batch_id} has the unknown status {status!r}. Polling continues."
                )
            changes |= self._check_overdue(shard, batch)
        changes = {name: value for name, value in changes.items() if value != getattr(shard, name)}
        if changes:
            self._write(shard, **changes)

    def _end(self, shard: Shard, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the changes for an ended batch. Its output file may be named a little later."""
        now = self.clock.time()
        since = shard.terminal_at or now
        counts = batch.get("request_counts")
        is_unnamed = isinstance(counts, dict) and counts.get("completed") and not batch.get("output_file_id")
        if is_unnamed and now - since <= _MISSING_FILE_S:
            return {"terminal_at": since}
        if is_unnamed:
            self.mark_lost(shard, "output", "was never named, although the batch counts completed requests.")
        return {**_results_of(batch), "state": "terminal", "terminal_at": now}

    def _check_overdue(self, shard: Shard, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the changes for an overdue batch: cancelled, later given up."""
        now = self.clock.time()
        due = shard.submitted_at + window_seconds(self.record.settings.window)
        # The provider's clock may be wrong, by two days at most.
        due = min(max(due, _number(batch.get("expires_at"))), due + 2 * _HOURS["d"])
        if now <= due + _OVERDUE_S:
            return {}
        if not shard.cancelling_at:
            self._cancel(shard)
            self._note(f"The batch {shard.batch_id} ran long after its window and was cancelled.")
            return {"cancelling_at": now}
        if now <= shard.cancelling_at + _OVERDUE_S:
            if batch.get("status") != "cancelling":
                self._cancel(shard)
            return {}
        self._note(
            f"The batch {shard.batch_id} never ended. Its results are used, the other requests are missing."
        )
        return {**_results_of(batch), "state": "terminal", "terminal_at": now, "gone": ["batch"]}

    def _cancel(self, shard: Shard) -> None:
        with self._deferred():
            self.api.cancel(shard.batch_id)

    def _note_unknown(self, shard: Shard) -> None:
        now = self.clock.time()
        if not shard.unseen_at:
            self._write(shard, unseen_at=now)
        elif now - shard.unseen_at > _UNKNOWN_BATCH_S:
            self._write(shard, state="terminal", terminal_at=now, gone=["batch"])
            self._note(f"{self.api.provider.name} no longer has the batch {shard.batch_id}.")

    def _download(self, shard: Shard, kind: Literal["output", "error"]) -> bool:
        """Download a result file; return whether it is complete, lost or absent."""
        file_id = shard.output_file_id if kind == "output" else shard.error_file_id
        if not file_id or kind in shard.gone:
            return True
        path = result_path(self.journal.folder, shard, kind)
        is_late = self.clock.time() - shard.terminal_at > _MISSING_FILE_S
        on_short = partial(self.mark_lost, shard, kind, "is shorter than stated.") if is_late else None
        try:
            with self._deferred():
                self._retried(lambda: self.api.download(file_id, path, on_short=on_short))
                return True
        except RejectedError as error:
            self.last_error = f"a result file cannot be downloaded yet: {error}"
            if is_late:
                self.mark_lost(shard, kind, f"cannot be downloaded: {error}")
                return True
        return False

    def mark_lost(self, shard: Shard, kind: str, why: str) -> None:
        """Record that a result file is incomplete. Its missing requests may be billed, so they are not retried."""
        self._write(shard, gone=[*shard.gone, kind])
        self._note(f"The {kind} file of the batch {shard.batch_id} {why}")

    def _write(self, shard: Shard, **changes: Any) -> None:
        self.journal.write(self.clock.time(), shard=shard.number, **changes)
        for name, value in changes.items():
            setattr(shard, name, value)

    def _note(self, text: str) -> None:
        if text not in self.record.notes:
            self.journal.write(self.clock.time(), note=text)
            self.record.notes.append(text)

    @contextmanager
    def _deferred(self) -> Iterator[None]:
        try:
            yield
        except RetryableError as error:
            self.last_error = str(error)
            self.wait_s = max(self.wait_s, error.wait_s or 0.0)

    def _retried(self, call: Callable[[], _T]) -> _T:
        for attempt in range(1, _TRIES + 1):
            try:
                return call()
            except RetryableError as error:
                wait_s = max(error.wait_s or 0.0, backoff(attempt, random=_RANDOM))
                if attempt == _TRIES or wait_s > _MAX_WAIT_S:
                    raise
                self.clock.sleep(wait_s)
        raise AssertionError("unreachable")


def window_seconds(window: str) -> float:
    """Return the seconds of a completion window, such as "24h" or "7d"."""
    return int(window[:-1]) * _HOURS[window[-1]]


def _results_of(batch: dict[str, Any]) -> dict[str, Any]:
    """Return the result files and the errors of a batch; null and "" mean none."""
    errors = batch.get("errors")
    rows = errors.get("data") if isinstance(errors, dict) else errors
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    files = {name: str(batch.get(name) or "") for name in ("output_file_id", "error_file_id")}
    return {**files, "errors": rows[:_MAX_ERRORS]}


def _number(value: Any) -> float:
    return float(value) if is_number(value) else 0.0
