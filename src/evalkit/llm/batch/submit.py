"""Batch jobs: many requests at half the price, which a crash neither loses nor pays for twice."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.folder import locked
from evalkit.llm.batch.advance import window_seconds
from evalkit.llm.batch.api import Remote
from evalkit.llm.batch.input_files import Answered, Packer, check_ids
from evalkit.llm.batch.job import Job, state_of
from evalkit.llm.batch.journal import Facts, Journal, sync_folder
from evalkit.llm.clock import Clock
from evalkit.llm.requests import request_key
from evalkit.util.errors import PathError, ProviderError, SelectorError
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.providers import BatchLimits, Provider
    from evalkit.llm.requests import Request

__all__ = ["Job", "jobs", "open_job", "submit"]

_JOBS: Final = Path(".evalkit") / "jobs"
_WINDOW: Final = re.compile(r"[1-9][0-9]{0,3}[hd]")


def submit(
    requests: Iterable[Request],
    *,
    provider: Provider,
    folder: str | Path,
    window: str = "24h",
    max_cost: float | None = None,
    max_rounds: int = 3,
    shard_lines: int | None = None,
    note: str | None = None,
    cache: Cache | None = None,
    clock: Clock | None = None,
) -> Job:
    """Ask for many chat completions through a Batch API: half the price, an answer within hours.

    Everything is on disk before anything is sent. What passes (a lost connection, a 503) does not raise: the job
    is returned, and `wait`, `refresh` or `resume` go on with it.

    Parameters
    ----------
    requests
        What to ask; read once, so a generator of any length is fine. Parameters that have no place in a batch
        (`stream`, `service_tier`) are left out.
    provider
        Whom to ask.
    folder
        Where the data is: the job's own folder is made in its `.evalkit/jobs`.
    window
        How long the endpoint may take: `24h`; at Groq up to `7d`.
    max_cost
        US dollars that the job may spend, what is under way counted at the most it may cost. What does not fit
        ends as `not_run`.
    max_rounds
        How often a request may be asked that expired, was lost, or failed in a way that passes.
    shard_lines
        How many requests a file holds; None: what the provider recommends.
    note
        Words that the job is shown with.
    cache
        What was answered before is not asked again; what is answered is kept there.
    clock
        For tests.

    Returns
    -------
    Job
        Submitted as far as that went well. Where an unfinished job in this folder asks the very same, as after
        running a cell twice, that one is gone on with instead.

    Raises
    ------
    ProviderError
        There is no Batch API, no key, no such window, no known price for `max_cost`, or ids or sizes that
        cannot be sent: then nothing is. Or the plan behind the key has no Batch API: then the job is kept.
    """
    limits = _checked(provider, window, shard_lines)
    clock = clock or Clock()
    home = Path(folder) / _JOBS
    home.mkdir(parents=True, exist_ok=True)
    token = os.urandom(6).hex()
    place = home / f"{time.strftime('%Y-%m-%d-%H%M%S', time.gmtime(clock.time()))}-{token[:4]}"
    place.mkdir()
    try:
        content = hashlib.sha256(provider.base_url.encode())
        packer = Packer(place, provider, limits)
        with Answered(place) as answered:
            fresh = packer.pack(_unanswered(requests, provider, cache, answered, content))
            shards = answered.finish() + fresh
        if max_cost is not None and any(shard.estimate is None for shard in shards):
            raise ProviderError(
                f"The price of a model at {provider.name} is not known, so max_cost={max_cost:g} cannot be kept: leave "
                "it out, or use a model whose price is known."
            )
        facts = Facts(
            id=token,
            content=content.hexdigest(),
            created_at=clock.time(),
            provider=provider.name,
            base_url=provider.base_url,
            key_variable=provider.key_variable,
            window=window,
            max_cost=max_cost,
            max_rounds=max(1, max_rounds),
            shard_lines=limits.shard_lines,
            note=note or "",
            cache=str(cache.path.absolute()) if cache is not None else "",
        )
        with locked(home / "lock", "the jobs of this folder"):
            same = _find_same(home, facts, clock)
            if same is None:
                sync_folder(place)
                Journal(place).write(clock.time(), job=facts, shards=shards)
                sync_folder(home)
    except BaseException:
        if not (place / "journal.jsonl").exists():
            shutil.rmtree(place, ignore_errors=True)
        raise
    if same is not None:
        shutil.rmtree(place, ignore_errors=True)
    return (same or Job(place, clock=clock)).refresh()


def open_job(folder: str | Path, name: str | None = None, *, clock: Clock | None = None) -> Job:
    """Return a job that was submitted before, by whatever process.

    Parameters
    ----------
    folder
        Where the data is.
    name
        Of the job, or the beginning of it; None: the only one.
    clock
        For tests.

    Raises
    ------
    SelectorError
        There is no such job, or several fit.
    """
    found = jobs(folder, clock=clock)
    fitting = [job for job in found if name is None or job.name == name] or [
        job for job in found if name and job.name.startswith(name)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if not found:
        raise SelectorError(f"There are no batch jobs in {str(folder)!r}.")
    if fitting:
        raise SelectorError(f"{len(fitting):,} jobs fit; name one: {join_words(j.name for j in fitting)}.")
    raise SelectorError.unknown(name, kind="job", have=[job.name for job in found])


def jobs(folder: str | Path, *, clock: Clock | None = None) -> list[Job]:
    """Return the batch jobs whose journals lie beside the data in a folder, the oldest first.

    Raises
    ------
    PathError
        There is no such folder.
    """
    if not Path(folder).is_dir():
        raise PathError.missing(folder)
    home = Path(folder) / _JOBS
    places = sorted(path.parent for path in home.glob("*/journal.jsonl")) if home.is_dir() else []
    return [Job(place, clock=clock) for place in places]


def _checked(provider: Provider, window: str, shard_lines: int | None) -> BatchLimits:
    """Return what a file for this endpoint may hold, after all that can be said before anything is written."""
    with Remote(provider) as remote:  # says so where there is no Batch API, or no key
        limits = remote.limits
    lowest, highest = window_seconds(limits.windows[0]), window_seconds(limits.windows[-1])
    if not _WINDOW.fullmatch(window) or not lowest <= window_seconds(window) <= highest:
        span = " to ".join(dict.fromkeys((limits.windows[0], limits.windows[-1])))
        raise ProviderError(
            f"{provider.name} has no completion window {window!r}: it takes {span}, in hours (h) or days (d)."
        )
    lines = limits.shard_lines if shard_lines is None else shard_lines
    if not 1 <= lines <= limits.lines:
        raise ProviderError(
            f"A file for a batch at {provider.name} holds 1 to {limits.lines:,} requests, not {lines:,}."
        )
    return replace(limits, shard_lines=lines)


def _unanswered(
    requests: Iterable[Request], provider: Provider, cache: Cache | None, answered: Answered, content: Any
) -> Iterator[tuple[Request, str]]:
    """Yield what has to be sent, each with the key of its answer; hand what was answered before to `answered`."""
    total = 0
    for request in check_ids(requests):
        total += int.from_bytes(hashlib.sha256(request.custom_id.encode()).digest())
        key = ""
        if cache is not None:
            key = request_key(provider.base_url, request.body)
            body = cache.get(key)
            if body is not None:
                answered.add(request, body, key)
                continue
        yield request, key
    # The order does not matter: the same requests are the same job.
    content.update(total.to_bytes(64))


def _find_same(home: Path, facts: Facts, clock: Clock) -> Job | None:
    """Return an unfinished job that asks the very same."""
    for path in sorted(home.glob("*/journal.jsonl")):
        record = Journal(path.parent).read()
        if record.facts.content == facts.content and state_of(record) == "running":
            return Job(path.parent, clock=clock)
    return None


def __dir__() -> list[str]:
    return __all__
