"""`evalkit batch list`, `status`, `resume` and `cancel`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import any_table, as_json, emit, one_line, shell_line, working
from evalkit.util.format import money

if TYPE_CHECKING:
    from evalkit.llm.batch.job import Job, JobStatus

app = typer.Typer(
    name="batch", help="Resume and inspect batch jobs.", no_args_is_help=True, rich_markup_mode=None
)

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Folder with the evaluations.")]
Name = Annotated[
    str | None,
    typer.Argument(
        metavar="JOB", help="Its name or the start of it. Default: the only one.", show_default=False
    ),
]


@app.command("list")
def list_jobs(folder: Folder = ".", form: opt.DataForm = "text") -> None:
    """List the jobs of a folder from their journals.

    Works offline.
    """
    from evalkit.llm.batch.submit import jobs

    found = [job.status() for job in jobs(folder)]
    if form == "json":
        emit(as_json([_facts(status) for status in found]))
        return
    if not found:
        emit(f"No batch jobs in '{one_line(folder)}'.")
        return
    heads = ["job", "state", "provider", "requests", "ended", "success", "spent", "note"]
    left = ("job", "state", "provider", "note")
    emit(any_table(heads, [_row(status) for status in found], left=left))


@app.command()
def status(folder: Folder = ".", job: Name = None, form: opt.DataForm = "text") -> None:
    """Show one job from its journal.

    Works offline.
    """
    from evalkit.llm.batch.submit import open_job

    _show(open_job(folder, job), form)


@app.command()
def resume(
    folder: Folder = ".",
    job: Name = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is completed; Ctrl-C is safe.")] = False,
    max_cost: Annotated[
        float | None, opt.text_option("--max-cost", "DOLLARS", "A new budget for the whole job.")
    ] = None,
    max_rounds: Annotated[
        int | None, opt.text_option("--max-rounds", "N", "Most attempts per request.")
    ] = None,
) -> None:
    """Resume a job and save its scores.

    Submit pending requests, fetch results, retry what can be retried.
    """
    from evalkit.judging.batch_judge import save_job_scores
    from evalkit.llm.batch.submit import open_job

    current = open_job(folder, job)
    with working(f"Resuming {current.name}"):
        current.resume(max_cost=max_cost, max_rounds=max_rounds)
    if wait:
        current.wait(progress=True)
    while current.ended:
        _show(current, "text")
        retry = save_job_scores(current)
        _tell_scores(current, folder)
        if retry is None:
            return
        emit(f"Unreadable responses are requested once more: {retry.name}")
        current = retry.wait(progress=True) if wait else retry
    _show(current, "text")
    emit(f"Next: {shell_line('evalkit', 'batch', 'resume', folder, current.name, '--wait')}")


def _tell_scores(job: Job, folder: str) -> None:
    first = next(job.requests(), None)
    if first is not None and first.about.get("what") == "judgement":
        emit(f"The scores are in {one_line(Path(folder) / 'scores.jsonl')}.")


@app.command()
def cancel(folder: Folder = ".", job: Name = None) -> None:
    """Cancel a job: nothing more is sent.

    Requests already running are still completed and billed.
    """
    from evalkit.llm.batch.submit import open_job

    current = open_job(folder, job)
    with working(f"Cancelling {current.name}"):
        current.cancel()
    _show(current, "text")
    if not current.ended:
        command = shell_line("evalkit", "batch", "resume", folder, current.name)
        emit(f"Cancelling takes up to ten minutes. Then fetch the results: {command}")


def _show(job: Job, form: str) -> None:
    current = job.status()
    if form == "json":
        emit(as_json(_facts(current)))
        return
    emit(", ".join(one_line(part) for part in (current.name, current.provider, current.note) if part))
    emit(one_line(current.words))
    for note in current.notes:
        emit(f"Note: {one_line(note)}")


def _row(current: JobStatus) -> list[str]:
    spent = "unknown" if current.spent is None else money(current.spent)
    ended = current.requests - current.waiting
    counts = [f"{count:,}" for count in (current.requests, ended, current.outcomes.get("success", 0))]
    return [current.name, current.state, current.provider, *counts, spent, current.note]


def _facts(current: JobStatus) -> dict[str, object]:
    return {**asdict(current), "words": current.words}
