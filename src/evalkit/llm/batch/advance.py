"""One step of a batch job: whatever can be done now is done, and each fact is on disk before the next depends on it."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from evalkit.llm.batch.api import KNOWN, TERMINAL, Refused, Remote, Transient
from evalkit.llm.batch.input_files import Packer, read_abouts, read_requests, requests_path
from evalkit.llm.batch.output_files import Tally, read_shard, result_path, worth_asking_again
from evalkit.llm.providers import cost
from evalkit.llm.rate_limit import backoff
from evalkit.util.errors import ProviderError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.batch.journal import Facts, Journal, Record, Shard, State
    from evalkit.llm.clock import Clock
    from evalkit.llm.requests import Reply

_TRIES: Final = 4
_LONGEST_WAIT: Final = 60.0
# A create that nobody answered may still be on its way: the list is read again after so long.
_SETTLE_S: Final = 10.0
# How long after its creation a batch that the endpoint does not know is waited for.
_UNKNOWN_S: Final = 3_600.0
# How long after the end of a batch a file that it names is asked for again.
_FILE_S: Final = 900.0
_GRACE_S: Final = 3_600.0
_HOURS: Final = {"h": 3_600.0, "d": 86_400.0}
_MOST_ERRORS: Final = 1_000
_CHANCE: Final = random.Random()  # noqa: S311  (waits are spread by chance, nothing is secret)
_T = TypeVar("_T")


class Stepper:
    """Takes a job as far as it goes now; the journal's lock has to be held.

    Parameters
    ----------
    journal
        Of the job.
    record
        What it says; kept up to date with what is written.
    remote
        The endpoint.
    cache
        Where answers are kept too; None: nowhere.
    clock
        Tells the time.

    Attributes
    ----------
    trouble
        What went wrong and will be tried again, in words.
    wait
        Seconds that the endpoint asked to wait.
    """

    def __init__(
        self, journal: Journal, record: Record, *, remote: Remote, cache: Cache | None, clock: Clock
    ) -> None:
        self.record = record
        self.trouble: str = ""
        self.wait = 0.0
        self._journal = journal
        self._folder = journal.folder
        self._remote = remote
        self._cache = cache
        self._clock = clock

    def advance(self) -> None:
        """Submit what can be, look at what is under way, fetch what has ended, plan what is to be asked again."""
        while True:
            self._recover()
            self._submit()
            self._stop()
            self._look()
            self._fetch()
            if not self._plan_round():
                break

    # --- before a batch is there

    def _recover(self) -> None:
        """Find the batches that were asked for and never answered, and the twins of those that were found."""
        unknown = self._in("creating")
        doubtful = [shard for shard in self._in("submitted") if shard.doubtful]
        if unknown or doubtful:
            with self._trying():
                self._settle([*unknown, *doubtful])

    def _settle(self, shards: list[Shard]) -> None:
        """Find out by the endpoint's list what became of creates that nobody answered."""
        since = min(shard.file_at for shard in shards)
        found = self._find(shards, since)
        late = [shard for shard in shards if shard.state == "creating" and not found[shard.file_id]]
        if late:
            self._clock.sleep(_SETTLE_S)
            found.update(self._find(late, since))
        for shard in shards:
            self._adopt(shard, found[shard.file_id])

    def _find(self, shards: list[Shard], since: float) -> dict[str, list[dict[str, Any]]]:
        try:
            return self._remote.find([shard.file_id for shard in shards], since=since)
        except Refused as error:
            raise Transient(f"the list of batches cannot be read: {error}") from None

    def _adopt(self, shard: Shard, made: list[dict[str, Any]]) -> None:
        """Take the batch that is there, and stop any other, which would be paid for too."""
        if shard.state == "creating" and not made:
            self._write(shard, state="uploaded", doubtful=True)
        elif shard.state == "creating":
            best = min(made, key=lambda row: row.get("status") in ("failed", "cancelled", "cancelling"))
            self._write(
                shard, state="submitted", batch_id=best["id"], submitted_at=self._clock.time(), doubtful=True
            )
        for row in made:
            if row["id"] != shard.batch_id and row.get("status") not in TERMINAL | {"cancelling"}:
                self._remote.cancel(row["id"])
                self._note(f"The batch {row['id']} was a twin of {shard.batch_id}: it was cancelled.")

    def _submit(self) -> None:
        """Upload files and create batches, as far as the limit on money allows."""
        unsent = self._in("planned", "uploading", "uploaded")
        if self.record.cancelled:
            for shard in unsent:
                self._give_up(shard, "cancelled", "The job was cancelled before it was sent.")
            return
        for shard in unsent:
            if self._affordable(shard) and not self._push(shard):
                return
        if not self._in("creating", "submitted", "terminal"):
            most = self.record.facts.max_cost
            for shard in self._in("planned", "uploading", "uploaded"):
                words = f"The limit of ${most:g} does not allow it: ${self.spent:.4f} was spent, and it may cost ${shard.estimate:.4f}."
                self._give_up(shard, "max_cost", words)

    def _push(self, shard: Shard) -> bool:
        """Take one shard to a batch; False where nothing more should be sent now."""
        sent = False
        try:
            with self._trying():
                if shard.state != "uploaded":
                    self._upload(shard)
                try:
                    self._patiently(lambda: self._create(shard))
                except Refused as error:
                    if error.status != 404:
                        raise
                    # The input file is gone: too much time has passed since it was uploaded.
                    self._upload(shard)
                    self._patiently(lambda: self._create(shard))
                sent = True
        except Refused as error:
            sent = True
            outcomes = {"api_error": shard.lines}
            self._write(
                shard,
                state="collected",
                why="refused",
                why_status=error.status,
                message=str(error),
                outcomes=outcomes,
            )
            self._note(f"{self._remote.provider.name} refuses a file or its batch: {error}")
        return sent

    def _upload(self, shard: Shard) -> None:
        self._write(shard, state="uploading")
        name = file_name(self.record.facts, shard)
        facts = self._patiently(lambda: self._remote.upload(requests_path(self._folder, shard), name))
        self._write(
            shard, state="uploaded", file_id=str(facts["id"]), file_at=_number(facts.get("created_at"))
        )

    def _create(self, shard: Shard) -> None:
        """Create the batch, what is intended on disk first; ask again only when the list shows that there is none."""
        if shard.state == "creating":
            self._settle([shard])
            if shard.batch_id:
                return
        facts = self.record.facts
        self._write(shard, state="creating")
        try:
            made = self._remote.create(
                shard.file_id, window=facts.window, metadata={"evalkit": f"{facts.id}-{shard.number}"}
            )
        except (Refused, ProviderError):
            # An answer: it is certain that there is none.
            self._write(shard, state="uploaded")
            raise
        except Transient as error:
            if error.undone:
                self._write(shard, state="uploaded")
            raise
        self._write(
            shard,
            state="submitted",
            batch_id=str(made["id"]),
            status=str(made.get("status") or ""),
            submitted_at=self._clock.time(),
            expires_at=_number(made.get("expires_at")),
        )

    def _affordable(self, shard: Shard) -> bool:
        most = self.record.facts.max_cost
        if most is None or shard.state == "creating":
            return True
        under_way = sum(one.estimate or 0.0 for one in self._in("creating", "submitted", "terminal"))
        return self.spent + under_way + (shard.estimate or 0.0) <= most

    @property
    def spent(self) -> float:
        """US dollars for what was collected."""
        return sum(shard.spent for shard in self.record.shards)

    def _give_up(self, shard: Shard, why: str, words: str) -> None:
        self._write(shard, state="collected", why=why, message=words, outcomes={"not_run": shard.lines})

    # --- while it runs

    def _stop(self) -> None:
        """Ask every batch of a job that was cancelled to stop; it has ended when the endpoint says so."""
        if self.record.cancelled:
            for shard in self._in("submitted"):
                if shard.status != "cancelling":
                    self._cancel(shard)

    def _look(self) -> None:
        """Ask how the batches are."""
        shards = self._in("submitted")
        found: dict[str, dict[str, Any]] = {}
        with self._trying():
            found = self._remote.several([shard.batch_id for shard in shards])
        failures = 0
        for shard in shards:
            facts = found.get(shard.batch_id)
            if facts is None and failures < _TRIES:
                failures += 1
                with self._trying():
                    facts = self._remote.batch(shard.batch_id)
                    failures = 0
                    if facts is None:
                        self._miss(shard)
            if facts is not None:
                self._note_status(shard, facts)

    def _note_status(self, shard: Shard, facts: dict[str, Any]) -> None:
        """Write down what has changed of a batch."""
        status = str(facts.get("status") or "")
        changes: dict[str, Any] = {"status": status, "counts": _counts(facts), "unseen_at": 0.0}
        changes["expires_at"] = _number(facts.get("expires_at")) or shard.expires_at
        if status in TERMINAL:
            changes |= self._end(shard, facts)
        else:
            if status not in KNOWN:
                self._note(
                    f"The batch {shard.batch_id} has a status that is not known, {status!r}: it is asked on."
                )
            changes |= self._overdue(shard, facts)
        changes = {name: value for name, value in changes.items() if value != getattr(shard, name)}
        if changes:
            self._write(shard, **changes)

    def _end(self, shard: Shard, facts: dict[str, Any]) -> dict[str, Any]:
        """Return what changes for a batch that has ended: its file of answers may be named a little later."""
        now = self._clock.time()
        since = shard.terminal_at or now
        unnamed = bool(_counts(facts).get("completed")) and not facts.get("output_file_id")
        if unnamed and now - since <= _FILE_S:
            return {"terminal_at": since}
        if unnamed:
            self._lose(shard, "output", "was never named, though answers are plural")
        return {**_ending(facts), "state": "terminal", "terminal_at": now}

    def _overdue(self, shard: Shard, facts: dict[str, Any]) -> dict[str, Any]:
        """Return what changes for a batch that has not ended long after its time was up."""
        now = self._clock.time()
        due = shard.submitted_at + window_seconds(self.record.facts.window)
        # The endpoint's clock may be wrong, by a day or two at most.
        due = min(max(due, shard.expires_at), due + 2 * _HOURS["d"]) + _GRACE_S
        if now <= due:
            return {}
        if not shard.cancelling_at:
            self._cancel(shard)
            self._note(
                f"The batch {shard.batch_id} had not ended long after its time was up: it was asked to stop."
            )
            return {"cancelling_at": now}
        if now <= shard.cancelling_at + _GRACE_S:
            if facts.get("status") != "cancelling":
                self._cancel(shard)
            return {}
        self._note(
            f"The batch {shard.batch_id} never ended: what it left is taken, the rest counts as missing."
        )
        return {**_ending(facts), "state": "terminal", "terminal_at": now, "gone": ["batch"]}

    def _cancel(self, shard: Shard) -> None:
        with self._trying():
            self._remote.cancel(shard.batch_id)

    def _miss(self, shard: Shard) -> None:
        """Note that the endpoint does not know a batch; after a while, believe it."""
        now = self._clock.time()
        if not shard.unseen_at:
            self._write(shard, unseen_at=now)
        elif now - shard.unseen_at > _UNKNOWN_S:
            self._write(shard, state="terminal", terminal_at=now, gone=["batch"])
            self._note(f"{self._remote.provider.name} no longer has the batch {shard.batch_id}.")

    # --- after its end

    def _fetch(self) -> None:
        """Fetch what has ended: both files, whole, before anything is plural."""
        for shard in self._in("terminal"):
            if all([self._download(shard, "output"), self._download(shard, "error")]):
                self._collect(shard)

    def _download(self, shard: Shard, kind: Literal["output", "error"]) -> bool:
        """Have one result file here; True where it is, or where there is none to be had."""
        key = shard.output_file_id if kind == "output" else shard.error_file_id
        if not key or kind in shard.gone:
            return True
        here = False
        late = self._clock.time() - shard.terminal_at > _FILE_S
        try:
            with self._trying():
                path = result_path(self._folder, shard, kind)
                short = partial(self._lose, shard, kind, "is shorter than it is said to be") if late else None
                self._patiently(lambda: self._remote.download(key, path, short=short))
                here = True
        except Refused as error:
            if late:
                self._lose(shard, kind, f"cannot be fetched: {error}")
                here = True
            self.trouble = f"a result file cannot be fetched yet: {error}"
        return here

    def _lose(self, shard: Shard, kind: str, why: str) -> None:
        """Note that of a result file not all can be had: what it lacks was perhaps answered, and is not asked again."""
        self._write(shard, gone=[*shard.gone, kind])
        self._note(f"The {kind} file of the batch {shard.batch_id} {why}")

    def _collect(self, shard: Shard) -> None:
        """Bring each request of a shard to its outcome, and keep the answers."""
        tally, spent, unpriced = Tally(), 0.0, 0
        keys: dict[str, str] = {}
        if self._cache is not None:
            keys = {one.custom_id: one.key for one in read_abouts(self._folder, shard)}
        provider = self._remote.provider
        for reply in read_shard(self._folder, shard, whole=self._cache is not None, tally=tally):
            if reply.outcome != "success" or reply.body is None:
                continue
            model = shard.model or str(reply.body.get("model") or "")
            paid = cost(provider, model, reply.body.get("usage"), mode="batch")
            spent += paid or 0.0
            unpriced += paid is None
            if self._cache is not None and keys.get(reply.custom_id):
                self._cache.put(keys[reply.custom_id], reply.body, model=model)
        self._write(shard, state="collected", outcomes=dict(tally.outcomes), spent=spent, unpriced=unpriced)
        for count, words in (
            (tally.duplicates, "for a request that had one already; the first counts"),
            (tally.unknown, "for a request that was not in it"),
            (tally.unreadable, "without an id that can be read"),
        ):
            if count:
                some = f" ({', '.join(tally.examples)})" if tally.examples else ""
                self._note(f"The results of {shard.batch_id} have {plural(count, 'line')} {words}{some}.")

    def _plan_round(self) -> bool:
        """Plan new shards for what is worth asking again; False where there is nothing to do."""
        record = self.record
        if record.cancelled or any(shard.state != "collected" for shard in record.shards):
            return False
        ended = [
            s for s in record.shards if s.again is None and s.round < record.facts.max_rounds and s.number
        ]
        again: dict[str, dict[str, int]] = {}
        wanted: list[tuple[Shard, set[str]]] = []
        for shard in ended:
            worth = [] if _all_good(shard) else self._worth(shard)
            again[str(shard.number)] = dict(Counter(reply.outcome for reply in worth))
            wanted.append((shard, {reply.custom_id for reply in worth}))
        if not ended:
            return False
        limits = replace(self._remote.limits, shard_lines=record.facts.shard_lines)
        packer = Packer(
            self._folder,
            self._remote.provider,
            limits,
            round=max(shard.round for shard in ended) + 1,
            first=record.shards[-1].number + 1,
        )
        made = packer.pack(
            pair for shard, ids in wanted if ids for pair in read_requests(self._folder, shard, only=ids)
        )
        self._journal.write(self._clock.time(), shards=made, again=again)
        record.shards += made
        for shard in ended:
            shard.again = again[str(shard.number)]
        return bool(made)

    def _worth(self, shard: Shard) -> list[Reply]:
        replies = read_shard(self._folder, shard, whole=False)
        return [replace(reply, body=None) for reply in replies if worth_asking_again(reply)]

    # --- how it is done

    def _in(self, *states: State) -> list[Shard]:
        return [shard for shard in self.record.shards if shard.state in states]

    def _write(self, shard: Shard, **changes: Any) -> None:
        self._journal.write(self._clock.time(), shard=shard.number, **changes)
        for name, value in changes.items():
            setattr(shard, name, value)

    def _note(self, words: str) -> None:
        if words not in self.record.notes:
            self._journal.write(self._clock.time(), note=words)
            self.record.notes.append(words)

    @contextmanager
    def _trying(self) -> Iterator[None]:
        """Go on after what passes: the next step tries it again."""
        try:
            yield
        except Transient as error:
            self.trouble = str(error)
            self.wait = max(self.wait, error.wait or 0.0)

    def _patiently(self, call: Callable[[], _T]) -> _T:
        """Call until it goes well, a few times, waiting as long as the endpoint asks."""
        for attempt in range(1, _TRIES + 1):
            try:
                return call()
            except Transient as error:
                wait = max(error.wait or 0.0, backoff(attempt, chance=_CHANCE))
                if attempt == _TRIES or wait > _LONGEST_WAIT:
                    raise
                self._clock.sleep(wait)
        raise AssertionError("unreachable")


def file_name(facts: Facts, shard: Shard) -> str:
    """Return what the file of a shard is called at the endpoint."""
    return f"evalkit-{facts.id}-{shard.number:04d}.jsonl"


def window_seconds(window: str) -> float:
    """Return the seconds of a completion window.

    Examples
    --------
    >>> window_seconds("24h"), window_seconds("7d")
    (86400.0, 604800.0)
    """
    return int(window[:-1]) * _HOURS[window[-1]]


def _ending(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what the end of a batch leaves: its files (null and "" are none) and its errors, in either shape."""
    errors = facts.get("errors")
    rows = errors.get("data") if isinstance(errors, dict) else errors
    kept = [row for row in rows if isinstance(row, dict)][:_MOST_ERRORS] if isinstance(rows, list) else []
    files = {name: str(facts.get(name) or "") for name in ("output_file_id", "error_file_id")}
    return {**files, "errors": kept}


def _counts(facts: dict[str, Any]) -> dict[str, int]:
    counts = facts.get("request_counts")
    known = counts.items() if isinstance(counts, dict) else ()
    return {str(name): count for name, count in known if isinstance(count, int)}


def _all_good(shard: Shard) -> bool:
    return set(shard.outcomes) <= {"success"}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
