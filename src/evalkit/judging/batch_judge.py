"""Judge through a Batch API: the same rows as live, from the journals alone, in any process.

Unreadable replies are retried in a job of their own. All jobs of a folder together give the scores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalkit.judging.notes import make_notes
from evalkit.judging.request_details import details_of
from evalkit.judging.requests import plan_requests
from evalkit.judging.score_file import ScoreFile, with_scores
from evalkit.judging.score_rows import final_rows, is_unreadable, key_columns, parse_or_retry, score_key
from evalkit.llm.answer_cache import opened
from evalkit.llm.batch import submit as batch
from evalkit.llm.requests import request_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.data.evals import Evals
    from evalkit.judging.requests import JudgingPlan
    from evalkit.judging.settings import JudgeSettings
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.batch.job import JobStatus
    from evalkit.llm.batch.submit import Job
    from evalkit.llm.clock import Clock
    from evalkit.llm.requests import Reply, Request


_RETRY: Final = ", retry"


@dataclass(slots=True)
class BatchScores:
    """Score rows of batch jobs.

    Attributes
    ----------
    rows
        Rows of completed requests, without those to retry.
    retries
        Requests to retry that are in none of the jobs.
    unreadable
        Their rows, without scores, if they are not retried.
    forgotten
        Requests whose response gives no scores: the cache must not serve it again.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    retries: list[Request] = field(default_factory=list)
    unreadable: list[dict[str, Any]] = field(default_factory=list)
    forgotten: list[Request] = field(default_factory=list)


def collect_scores(jobs: Iterable[Job]) -> BatchScores:
    """Return the score rows of batch jobs in any order, from their journals.

    Pending requests have no rows, nor do requests that are not judging requests.
    """
    jobs = list(jobs)
    replies: dict[str, Reply] = {}
    for job in jobs:
        for reply in job.replies():
            # Two jobs may have the same request, for example after a budget ran out.
            if reply.custom_id not in replies or reply.outcome == "success":
                replies[reply.custom_id] = reply
    scores, seen = BatchScores(), set[str]()
    unreadable: dict[str, tuple[Request, list[dict[str, Any]]]] = {}
    for job in jobs:
        for request in job.requests():
            if request.custom_id in seen:
                continue
            seen.add(request.custom_id)
            if request.custom_id not in replies:
                continue
            if is_unreadable(request, replies[request.custom_id]):
                scores.forgotten.append(request)
            rows, retry = parse_or_retry(request, replies[request.custom_id])
            scores.rows += rows
            if retry is not None:
                unreadable[retry.custom_id] = retry, final_rows(request, replies[request.custom_id])
    for custom_id, (retry, rows) in unreadable.items():
        if custom_id not in seen:
            scores.retries.append(retry)
            scores.unreadable += rows
    return scores


def save_job_scores(
    job: Job, *, cache: Cache | str | Path | None = None, clock: Clock | None = None
) -> Job | None:
    """Save the scores of a completed batch job to the `scores.jsonl` of its folder, and submit retries.

    It needs only the journal, and can be repeated.

    Parameters
    ----------
    job
        Any batch job; one without judging requests saves nothing.
    cache
        Cache of model responses; None: evalkit's own.
    clock
        For tests.

    Returns
    -------
    Job or None
        The job of the retries, to wait for and save in its turn; None: nothing to retry.
    """
    folder = job.folder.parents[2]
    with ScoreFile(folder) as file:
        scores = collect_scores([job])
        file.add(scores.rows)
        if scores.forgotten:
            with opened(cache) as answers:
                for request in scores.forgotten:
                    answers.forget(request_key(job.provider.base_url, request.body))
        if job.state == "cancelled":
            file.add(scores.unreadable)
            return None
        retries = {request.custom_id: request for request in scores.retries}
        for other in batch.jobs(folder, clock=clock) if retries else ():
            for request in other.requests():
                retries.pop(request.custom_id, None)
        if not retries:
            return None
        status = job.status()
        budget = None if status.max_cost is None else max(status.max_cost - (status.spent or 0.0), 0.0)
        with opened(cache) as answers:
            return batch.submit(
                retries.values(),
                provider=job.provider,
                folder=folder,
                max_cost=budget,
                note=f"{status.note.removesuffix(_RETRY)}{_RETRY}",
                cache=answers,
                clock=clock,
            )


class JudgeJob:
    """A judging job at a provider. Submitting it again, or `save_job_scores`, resumes it in any process.

    Attributes
    ----------
    folder
        The folder of data, journal and scores.
    job
        The current batch job, of first requests or of retries; None: nothing was sent.
    """

    def __init__(
        self,
        judge: JudgeSettings,
        evals: Evals,
        plan: JudgingPlan,
        folder: Path,
        job: Job | None,
        *,
        cache: Cache | str | Path | None,
        clock: Clock | None,
    ) -> None:
        self.folder = folder
        self.job = job
        self._judge = judge
        self._evals = evals
        self._plan = plan
        self._cache = cache
        self._clock = clock

    def wait(self, timeout: float | None = None, *, progress: Any = None) -> JudgeJob:
        """Wait until all requests and retries are completed; see `evalkit.llm.batch.submit.Job.wait`.

        Ctrl-C is safe: the provider continues. `ended` is False after a timeout.
        """
        while self.job is not None:
            self.job.wait(timeout, progress=progress)
            if not self.job.ended:
                break
            retry = save_job_scores(self.job, cache=self._cache, clock=self._clock)
            if retry is None:
                break
            self.job = retry
        return self

    @property
    def ended(self) -> bool:
        """Whether the current job is completed, failed or cancelled."""
        return self.job is None or self.job.ended

    def status(self) -> JobStatus | None:
        """Return the status of the current job, from its journal."""
        return None if self.job is None else self.job.status()

    def cancel(self) -> JudgeJob:
        """Cancel the job. Running requests are still completed and billed."""
        if self.job is not None:
            self.job.cancel()
        return self

    def collect(self) -> Evals:
        """Return the evaluations with the scores so far, and save these to `scores.jsonl`.

        The result is that of `Judge.run`; a note counts the pending judgements.
        """
        with ScoreFile(self.folder) as file:
            scores = collect_scores(batch.jobs(self.folder, clock=self._clock))
            # Nobody has submitted these retries.
            collected = scores.rows + scores.unreadable
            file.add(collected)
        expected = {
            score_key(key_columns(details, spec))
            for details in map(details_of, self._plan.requests)
            if details is not None
            for spec in details.criteria
        }
        completed = [row for row in collected if score_key(row) in expected]
        pending = len(expected) - len({score_key(row) for row in completed})
        rows = self._plan.precheck_rows + completed
        notes = make_notes(self._judge, self._plan, rows, None, pending=pending)
        return with_scores(self._evals, rows, self._judge, notes)

    def __repr__(self) -> str:
        status = self.status()
        return f"JudgeJob of {self._judge.grader}: {'no requests.' if status is None else status.words}"


def submit(
    judge: JudgeSettings,
    evals: Evals,
    *,
    folder: str | Path,
    only: Any,
    window: str | None,
    max_cost: float | None,
    cache: Cache | str | Path | None,
    clock: Clock | None,
) -> JudgeJob:
    """Return the result of `Judge.submit`."""
    from evalkit.llm.providers import check_model

    job = None
    with ScoreFile(folder) as file, opened(cache) as answers:
        evals = file.added_to(evals)
        plan = plan_requests(judge, evals, only=only)
        if plan.requests:
            check_model(judge.endpoint, judge.model)
        file.add(plan.precheck_rows)
        if plan.requests:
            job = batch.submit(
                plan.requests,
                provider=judge.endpoint,
                folder=folder,
                window=window or "24h",
                max_cost=max_cost,
                note=f"judging by {judge.grader}",
                cache=answers,
                clock=clock,
            )
    return JudgeJob(judge, evals, plan, Path(folder), job, cache=cache, clock=clock)
