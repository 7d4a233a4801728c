"""`evalkit batch list`, `status`, `resume` and `cancel`: the batch jobs whose journals lie beside the data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalkit.cli.terminal import as_json, emit, one_line, terminal_width, text_table, working

if TYPE_CHECKING:
    from evalkit.llm.batch.job import JobStatus
    from evalkit.llm.batch.submit import Job

app = typer.Typer(
    name="batch",
    help="Go on with batch jobs, though their process has ended.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Where the data is.")]
Name = Annotated[
    str | None,
    typer.Argument(
        metavar="JOB", help="Its name, or the beginning of it; without it the only one.", show_default=False
    ),
]
Form = Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")]


@app.command("list")
def show_all(folder: Folder = ".", form: Form = "text") -> None:
    """Print the jobs of a folder from their journals.

    Nobody is asked.
    """
    from evalkit.llm.batch.submit import jobs

    found = jobs(folder)
    if form == "json":
        emit(as_json([_facts(job.status()) for job in found]))
        return
    if not found:
        emit(f"There are no batch jobs in '{one_line(folder)}'.")
        return
    heads = ["job", "state", "provider", "requests", "ended", "success", "spent", "note"]
    rows = [_row(job.status()) for job in found]
    left = [True, True, True, False, False, False, False, True]
    emit(text_table(heads, rows, left=left, width=terminal_width()))


@app.command()
def status(folder: Folder = ".", job: Name = None, form: Form = "text") -> None:
    """Print how one job is from its journal.

    Nobody is asked.
    """
    from evalkit.llm.batch.submit import open_job

    _show(open_job(folder, job), form)


@app.command()
def resume(
    folder: Folder = ".",
    job: Name = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it has ended; Ctrl-C loses nothing.")
    ] = False,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost", metavar="DOLLARS", help="A new limit for the whole job.", show_default=False
        ),
    ] = None,
    max_rounds: Annotated[
        int | None,
        typer.Option(
            "--max-rounds", metavar="N", help="How often a request may be asked.", show_default=False
        ),
    ] = None,
) -> None:
    """Go on with a job and keep its scores.

    Submit what is not, fetch what has ended, ask again what is worth it.
    """
    from evalkit.judging.batch_judge import settle_job
    from evalkit.llm.batch.submit import open_job

    found = open_job(folder, job)
    with working(f"Going on with {found.name}"):
        found.resume(max_cost=max_cost, max_rounds=max_rounds)
    if wait:
        found.wait(progress=True)
    while found.ended:
        _show(found, "text")
        more = settle_job(found)
        _tell_scores(found, folder)
        if more is None:
            return
        emit(f"Answers that could not be read are asked for once more: {more.name}")
        found = more.wait(progress=True) if wait else more
    _show(found, "text")
    emit(f"Next: evalkit batch resume {one_line(folder)} {found.name} --wait")


def _tell_scores(job: Job, folder: str) -> None:
    """Say where the scores are, where the job asked for any."""
    first = next(job.requests(), None)
    if first is not None and first.about.get("what") == "judgement":
        emit(f"The scores are in {one_line(Path(folder) / 'scores.jsonl')}.")


@app.command()
def cancel(folder: Folder = ".", job: Name = None) -> None:
    """Stop a job: nothing more is sent or asked again.

    What had begun is still finished and paid for.
    """
    from evalkit.llm.batch.submit import open_job

    found = open_job(folder, job)
    with working(f"Cancelling {found.name}"):
        found.cancel()
    _show(found, "text")
    if not found.ended:
        emit(
            f"It takes up to ten minutes. Then fetch what there is: evalkit batch resume {one_line(folder)} {found.name}"
        )


def _show(job: Job, form: str) -> None:
    found = job.status()
    if form == "json":
        emit(as_json(_facts(found)))
        return
    emit(
        f"{one_line(found.name)}, {one_line(found.provider)}{f', {one_line(found.note)}' if found.note else ''}"
    )
    emit(one_line(found.words))
    for note in found.notes:
        emit(f"Note: {one_line(note)}")


def _row(found: JobStatus) -> list[str]:
    spent = "unknown" if found.spent is None else f"${found.spent:.4f}"
    done = found.requests - found.waiting
    success = found.outcomes.get("success", 0)
    counts = [f"{count:,}" for count in (found.requests, done, success)]
    return [found.name, found.state, found.provider, *counts, spent, found.note]


def _facts(found: JobStatus) -> dict[str, object]:
    """Return the status as plain data."""
    from dataclasses import asdict

    return {**asdict(found), "words": found.words}
