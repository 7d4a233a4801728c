"""Submit batch jobs and open them again."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalkit.llm.batch.advance import window_seconds
from evalkit.llm.batch.api import BatchApi
from evalkit.llm.batch.input_files import BatchFileWriter, check_ids
from evalkit.llm.batch.job import Job, job_state
from evalkit.llm.batch.journal import JobSettings, Journal, sync_folder
from evalkit.llm.budget import unknown_price
from evalkit.llm.clock import Clock
from evalkit.llm.requests import request_key
from evalkit.util.errors import PathError, ProviderError, SelectorError
from evalkit.util.file_lock import locked

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
    """Submit chat completions to a Batch API: half the price, results within hours.

    Everything is on disk before anything is sent. After a temporary error, `wait`, `refresh` or `resume` retries.

    Parameters
    ----------
    requests
        Read once. `stream` and `service_tier` are removed.
    folder
        The folder with the data. The job is in its `.evalkit/jobs`.
    window
        Completion window: `24h`; at Groq up to `7d`.
    max_cost
        Budget in US dollars. Running batches count at their maximum cost; requests above it end as `not_run`.
    max_rounds
        Most attempts at a request that expired, is missing or failed temporarily.
    shard_lines
        Requests per file; None: the provider's recommendation.
    cache
        Cached answers are not requested again; new answers are cached.

    Returns
    -------
    Job
        The submitted job, or the unfinished job of the same requests in this folder.

    Raises ProviderError without a Batch API or an API key, or for an invalid window, ID or size, or `max_cost` with an
    unknown price.
    """
    limits = _checked_limits(provider, window, shard_lines)
    clock = clock or Clock()
    home = Path(folder) / _JOBS
    home.mkdir(parents=True, exist_ok=True)
    token = os.urandom(6).hex()
    place = home / f"{time.strftime('%Y-%m-%d-%H%M%S', time.gmtime(clock.time()))}-{token[:4]}"
    place.mkdir()
    duplicate = None
    try:
        content = hashlib.sha256(provider.base_url.encode())
        shards = BatchFileWriter(place, provider, limits).write(
            _with_answers(requests, provider, cache, content)
        )
        if max_cost is not None and any(shard.estimate is None for shard in shards):
            raise unknown_price(provider, "a model", max_cost)
        settings = JobSettings(
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
            duplicate = _running_job(home, settings.content, clock)
            if duplicate is None:
                sync_folder(place)
                Journal(place).write(clock.time(), job=settings, shards=shards)
                sync_folder(home)
    finally:
        if not (place / "journal.jsonl").exists():
            shutil.rmtree(place, ignore_errors=True)
    return (duplicate or Job(place, clock=clock)).refresh()


def open_job(folder: str | Path, name: str | None = None, *, clock: Clock | None = None) -> Job:
    """Open a job of a folder by the beginning of its name; None: the only job.

    Raises SelectorError if no job matches, or several do.
    """
    all_jobs = jobs(folder, clock=clock)
    matches = [job for job in all_jobs if name is None or job.name == name] or [
        job for job in all_jobs if name and job.name.startswith(name)
    ]
    if len(matches) == 1:
        return matches[0]
    if not all_jobs:
        raise SelectorError(f"There are no batch jobs in {str(folder)!r}.")
    if matches:
        names = [job.name for job in matches]
        raise SelectorError(f"{len(names):,} jobs match.", argument="name", value=name, choices=names)
    raise SelectorError.unknown(name, kind="job", have=[job.name for job in all_jobs])


def jobs(folder: str | Path, *, clock: Clock | None = None) -> list[Job]:
    """Return the jobs of a folder, oldest first; raise PathError for an unknown folder."""
    if not Path(folder).is_dir():
        raise PathError.missing(folder)
    return [Job(path.parent, clock=clock) for path in sorted((Path(folder) / _JOBS).glob("*/journal.jsonl"))]


def _checked_limits(provider: Provider, window: str, shard_lines: int | None) -> BatchLimits:
    with BatchApi(provider) as api:  # raises without a Batch API or an API key
        limits = api.limits
    shortest, longest = window_seconds(limits.windows[0]), window_seconds(limits.windows[-1])
    if not _WINDOW.fullmatch(window) or not shortest <= window_seconds(window) <= longest:
        span = " to ".join(dict.fromkeys((limits.windows[0], limits.windows[-1])))
        raise ProviderError(
            f"Unknown completion window {window!r} at {provider.name}.",
            argument="window",
            value=window,
            expected=f"{span}, in hours (h) or days (d)",
        )
    lines = limits.shard_lines if shard_lines is None else shard_lines
    if not 1 <= lines <= limits.lines:
        raise ProviderError(
            f"Invalid shard_lines={lines} at {provider.name}.",
            argument="shard_lines",
            value=lines,
            expected=f"1 to {limits.lines:,} requests",
        )
    return replace(limits, shard_lines=lines)


def _with_answers(
    requests: Iterable[Request], provider: Provider, cache: Cache | None, content: Any
) -> Iterator[tuple[Request, str, dict[str, Any] | None]]:
    """Yield each request with its cache key and its cached answer; hash all IDs."""
    total = 0
    for request in check_ids(requests):
        total += int.from_bytes(hashlib.sha256(request.custom_id.encode()).digest())
        key = "" if cache is None else request_key(provider.base_url, request.body)
        yield request, key, None if cache is None else cache.get(key)
    # A sum: the order of the requests does not matter.
    content.update(total.to_bytes(64))


def _running_job(home: Path, content: str, clock: Clock) -> Job | None:
    for path in sorted(home.glob("*/journal.jsonl")):
        record = Journal(path.parent).read()
        if record.settings.content == content and job_state(record) == "running":
            return Job(path.parent, clock=clock)
    return None


def __dir__() -> list[str]:
    return __all__
