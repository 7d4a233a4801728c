"""Judging through a Batch API: the same rows as live, from the journal alone, in whatever process.

A second try for what could not be read is a job of its own beside the first. All jobs of a folder together say
what there is: nothing depends on the process that submitted them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalkit.judging.notes import make_notes
from evalkit.judging.requests import about, make_questions
from evalkit.judging.score_file import ScoreFile, with_scores
from evalkit.judging.score_rows import fault_rows, give_up, settle
from evalkit.llm.answer_cache import opened
from evalkit.llm.batch import submit as batch
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.data.evals import Evals
    from evalkit.judging.requests import Questions
    from evalkit.judging.settings import JudgeSettings
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.batch.job import JobStatus
    from evalkit.llm.batch.submit import Job
    from evalkit.llm.clock import Clock
    from evalkit.llm.requests import Reply, Request


_AGAIN: Final = ", once more"


@dataclass(slots=True)
class Settled:
    """What batch jobs come to.

    Attributes
    ----------
    rows
        Rows of `scores` for all that has ended, but for what is worth asking once more.
    again
        The requests to ask that with, where none of these jobs has them.
    lost
        The rows of what they are asked for: without a score, should they not be asked.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    again: list[Request] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)


def collect(jobs: Iterable[Job]) -> Settled:
    """Turn what came of batch jobs into rows of scores, from their journals alone.

    Parameters
    ----------
    jobs
        First tries and second ones, in any order; requests that ask for no judgement are passed over. What has
        not ended yet is not there.

    Returns
    -------
    Settled
        The rows, and what could not be read.
    """
    found = list(jobs)
    replies: dict[str, Reply] = {}
    for job in found:
        for reply in job.replies():
            # Asked in two jobs, as after a limit on money: an answer is worth more than none.
            if reply.custom_id not in replies or reply.outcome == "success":
                replies[reply.custom_id] = reply
    made, seen = Settled(), set[str]()
    unread: list[tuple[Request, list[dict[str, Any]]]] = []
    for job in found:
        for request in job.requests():
            if request.custom_id in seen or about(request) is None:
                continue
            seen.add(request.custom_id)
            reply_or_none = replies.get(request.custom_id)
            if reply_or_none is None:
                continue
            rows, once_more = settle(request, reply_or_none)
            made.rows += rows
            if once_more is not None:
                unread.append((once_more, give_up(request, reply_or_none)))
    for once_more, lost in unread:
        if once_more.custom_id not in seen:
            made.again.append(once_more)
            made.lost += lost
    return made


def settle_job(
    job: Job, *, cache: Cache | str | Path | None = None, clock: Clock | None = None
) -> Job | None:
    """Add the scores of a batch job that has ended to the `scores.jsonl` beside it, and submit second tries.

    It needs nothing but the journal, days later, in another process; doing it again adds nothing.

    Parameters
    ----------
    job
        Any; of one that asks for no judgement there is nothing to add.
    cache
        Where answers are kept; None: in evalkit's own folder.
    clock
        For tests.

    Returns
    -------
    Job or None
        The job of second tries, to be waited for and settled in its turn; None where there is nothing to ask.
    """
    folder = _home(job)
    with ScoreFile(folder) as file:
        return _settle(job, folder, file, cache, clock)


def _settle(
    job: Job, folder: Path, file: ScoreFile, cache: Cache | str | Path | None, clock: Clock | None
) -> Job | None:
    found = collect([job])
    others = {
        request.custom_id
        for other in batch.jobs(folder, clock=clock)
        if other.name != job.name and found.again
        for request in other.requests()
    }
    again = [request for request in found.again if request.custom_id not in others]
    give_up_now = job.state == "cancelled"
    file.add(found.rows)
    if give_up_now:
        file.add(found.lost)
    if not again or give_up_now:
        return None
    status = job.status()
    left = None if status.max_cost is None else max(status.max_cost - (status.spent or 0.0), 0.0)
    with opened(cache) as answers:
        return batch.submit(
            again,
            provider=job.provider,
            folder=folder,
            max_cost=left,
            note=f"{status.note.removesuffix(_AGAIN)}{_AGAIN}",
            cache=answers,
            clock=clock,
        )


class JudgeJob:
    """Judging that goes on at an endpoint: wait for it, ask how it is, collect the scores.

    Nothing is lost with this object: submitting the same again, or `settle_job`, goes on with it.

    Attributes
    ----------
    folder
        Where the data, the journal and the scores are.
    job
        The batch job that is under way, of first or of second tries; None where there was nothing to ask.
    """

    def __init__(
        self,
        judge: JudgeSettings,
        evals: Evals,
        questions: Questions,
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
        self._questions = questions
        self._cache = cache
        self._clock = clock

    def wait(self, timeout: float | None = None, *, progress: Any = None) -> JudgeJob:
        """Wait until all is answered, second tries too; see `evalkit.llm.batch.submit.Job.wait`.

        Stop it whenever you like: the endpoint goes on.

        Returns
        -------
        JudgeJob
            Itself; `ended` says whether all is there, or the time was up.
        """
        while self.job is not None:
            self.job.wait(timeout, progress=progress)
            if not self.job.ended:
                break
            following = settle_job(self.job, cache=self._cache, clock=self._clock)
            if following is None:
                break
            self.job = following
        return self

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.job is None or self.job.ended

    def status(self) -> JobStatus | None:
        """Return how the job under way is, from its journal; None where there was nothing to ask."""
        return None if self.job is None else self.job.status()

    def cancel(self) -> JudgeJob:
        """Stop it; what has begun is finished and paid for."""
        if self.job is not None:
            self.job.cancel()
        return self

    def collect(self) -> Evals:
        """Return the evaluations with the scores that are there by now; they are in `scores.jsonl` too.

        Returns
        -------
        Evals
            As `Judge.run` returns it. What is still under way is not in it, and a note says how much.
        """
        wanted = {_place(row) for row in _expected(self._questions)}
        with ScoreFile(self.folder) as file:
            found = collect(batch.jobs(self.folder, clock=self._clock))
            # Second tries that nobody has submitted leave their judgements without a score.
            came = found.rows + found.lost
            file.add(came)
        mine = [row for row in came if _place(row) in wanted]
        rows = [row for fault in self._questions.faults for row in fault_rows(*fault)] + mine
        notes = make_notes(self._judge, self._questions, rows, None)
        waiting = len(wanted) - len({_place(row) for row in mine})
        if waiting:
            notes.append(
                f"{self._judge.grader}: {plural(waiting, 'judgement is', plural='judgements are')} still under way in a batch."
            )
        return with_scores(self._evals, rows, self._judge, notes)

    def __repr__(self) -> str:
        status = self.status()
        return f"JudgeJob of {self._judge.grader}: {'there was nothing to ask.' if status is None else status.words}"


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
    """Do what `Judge.submit` says."""
    job = None
    with ScoreFile(folder) as file, opened(cache) as answers:
        evals = file.added_to(evals)
        questions = make_questions(judge, evals, only=only)
        if questions.requests:
            _check_model(judge)
        file.add([row for fault in questions.faults for row in fault_rows(*fault)])
        if questions.requests:
            job = batch.submit(
                questions.requests,
                provider=judge.endpoint,
                folder=folder,
                window=window or "24h",
                max_cost=max_cost,
                note=f"judging by {judge.grader}",
                cache=answers,
                clock=clock,
            )
    return JudgeJob(judge, evals, questions, Path(folder), job, cache=cache, clock=clock)


def _check_model(judge: JudgeSettings) -> None:
    from evalkit.llm.providers import check_model

    check_model(judge.endpoint, judge.model)


def _home(job: Job) -> Path:
    """Return the folder with the data that a job lies in: see `evalkit.llm.batch.submit.Job.name`."""
    return job.folder.parents[2]


def _expected(questions: Questions) -> Iterable[dict[str, Any]]:
    for request in questions.requests:
        what = about(request)
        if what is not None:
            for one in what.asked:
                yield {
                    "run": what.run,
                    "case": what.case,
                    "epoch": what.epoch,
                    "criterion": one.criterion,
                    "rubric_hash": one.rubric_hash,
                    "sample": what.sample,
                    "grader": what.grader,
                }


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(
        row[name] for name in ("run", "case", "epoch", "criterion", "rubric_hash", "sample", "grader")
    )
