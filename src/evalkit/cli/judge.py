"""`evalkit judge`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import any_table, emit, note_line, number_cell, one_line, shell_line, tell
from evalkit.util.errors import FormatError
from evalkit.util.format import money
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.judging.judge import Judge

# A mean this near to the threshold, as a share of the scale, is borderline.
_NEAR: Final = 0.125
_SUBSETS: Final = ("failures", "borderline", "unscored")


@dataclass(frozen=True, kw_only=True)
class JudgeOptions(opt.ModelOptions):
    """The judge: model, rubric, sampling."""

    model: Annotated[
        str, opt.text_option("--model", "NAME", "The judge's model. Default: the provider's recommended one.")
    ] = ""
    rubric: Annotated[
        str | None,
        opt.text_option("--rubric", "FILE", "Suite in YAML to judge by. Default: the loaded criteria."),
    ] = None
    mode: Annotated[
        Literal["criterion", "all", "binary"],
        typer.Option("--mode", help="One request per criterion, one for all, or one pass/fail."),
    ] = "criterion"
    samples: Annotated[int, typer.Option("--samples", help="Samples of each judgement.")] = 3
    temperature: Annotated[float, typer.Option("--temperature", help="From 0 to 2.")] = 1.0
    seed: Annotated[int, typer.Option("--seed", help="Seed of the first sample.")] = 0
    max_tokens: opt.MaxTokens = 2048
    name: Annotated[str | None, opt.text_option("--name", "NAME", "Name of the judge in the scores.")] = None
    no_redact: Annotated[
        bool,
        typer.Option("--no-redact", help="Send transcripts as they are, secrets and addresses included."),
    ] = False

    def make(self) -> Judge:
        """Return the judge."""
        from evalkit.judging.judge import Judge

        settings = self.settings
        return Judge(redact=False if settings.pop("no_redact") else None, **settings)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The trials to judge, and where their scores go."""

    only: Annotated[
        str | None,
        opt.text_option(
            "--only", "WHICH", "failures, borderline or unscored trials, or COLUMN=VALUE (severity=critical)."
        ),
    ] = None
    grader: Annotated[
        list[str] | None, opt.text_option("--grader", "NAME", 'Grader whose scores count, or "human".')
    ] = None
    output: Annotated[
        str | None,
        opt.text_option(
            "--output", "DIR", "Folder of scores.jsonl. Default: PATH, if it is an evalkit folder.", "-o"
        ),
    ] = None

    def find(self, evals: Evals) -> Any:
        """Return the trials that `--only` selects; None: all."""
        import polars as pl

        from evalkit.grading.grade import grade_trials, nearness
        from evalkit.grading.select_scores import choose_scoring

        if self.only is None:
            return None
        if "=" in self.only:
            column, _, value = self.only.partition("=")
            return evals.filter(**{column.strip(): value.strip()}).attempts()
        if self.only not in _SUBSETS:
            raise typer.BadParameter(
                f"Unknown --only {self.only!r}. Expected {join_words(_SUBSETS)} or COLUMN=VALUE."
                f"{did_you_mean(self.only, _SUBSETS)}"
            )
        scoring = choose_scoring(evals, grader=opt.one_or_list(self.grader))
        graded = grade_trials(evals, scoring)
        if self.only == "borderline":
            return graded.filter(nearness(evals, scoring) <= _NEAR)
        return graded.filter(pl.col("verdict") == {"failures": "fail", "unscored": "unscored"}[self.only])

    def folder(self, paths: list[str]) -> Path:
        """Return the folder that the scores go into."""
        from evalkit.data.folder import SCORES_FILE, TRANSCRIPTS_FILE

        if self.output is not None:
            return Path(self.output)
        if len(paths) == 1 and any(
            (Path(paths[0]) / name).is_file() for name in (TRANSCRIPTS_FILE, SCORES_FILE)
        ):
            return Path(paths[0])
        raise FormatError("No folder for the scores. Pass --output DIR and load it beside the rest.")


@dataclass(frozen=True, kw_only=True)
class Sending:
    """How requests are sent, and what they may cost."""

    dry_run: opt.DryRun = False
    controls: Annotated[
        bool,
        typer.Option("--controls", help="First judge answers whose score is known. See docs/judging.md."),
    ] = False
    max_cost: opt.MaxCost = None
    concurrency: Annotated[int, typer.Option("--concurrency", help="Most requests at a time.")] = 64
    batch: Annotated[
        bool, typer.Option("--batch", help="Use the Batch API: half the price, within a day.")
    ] = False
    wait: Annotated[bool, typer.Option("--wait", help="With --batch: wait for the results.")] = False
    window: Annotated[
        str | None,
        opt.text_option("--window", "TIME", "With --batch: completion window, 24h or at Groq up to 7d."),
    ] = None

    def check(self) -> None:
        """Raise for an option of a batch without `--batch`."""
        if (self.wait or self.window is not None) and not self.batch:
            raise FormatError(f"{'--wait' if self.wait else '--window'} needs --batch.")


def judge(data: opt.Data, options: JudgeOptions, selection: Selection, sending: Sending) -> None:
    """Score the trials with a model, by the rubric.

    Prints the cost estimate first.
    """
    from evalkit.data.folder import SCORES_FILE, holding

    sending.check()
    # An estimate is not saved.
    home = Path() if sending.dry_run else selection.folder(data.paths)
    asking = options.make()
    evals = data.read(needs_records=False)
    chosen = selection.find(evals)
    estimate = asking.estimate(evals, only=chosen)
    emit(estimate.words)
    opt.warn_of_price(estimate.price_batch if sending.batch else estimate.price_live, sending.max_cost)
    if sending.dry_run:
        return
    # The lock covers the controls too, so that a second process pays for nothing.
    with holding(home, SCORES_FILE):
        judged = _run(asking, evals, chosen, home, options, sending)
    if judged is None:
        return
    _summarize(judged, evals, asking)
    folders = data.paths if str(home) in data.paths else [*data.paths, home]
    emit(
        f"The scores are in {one_line(home / SCORES_FILE)}. "
        f"Next: {shell_line('evalkit', 'summary', *folders, '--grader', asking.grader)}"
    )


def _run(
    asking: Judge, evals: Evals, chosen: Any, home: Path, options: JudgeOptions, sending: Sending
) -> Evals | None:
    """Return the evaluations with the new scores; None while a batch is pending."""
    controls = None
    if sending.controls:
        known = evals if options.rubric is None else options.rubric
        controls = asking.controls(known, max_cost=sending.max_cost, concurrency=sending.concurrency)
        emit(f"Controls: {one_line(controls.words)}")
    if not sending.batch:
        return asking.run(
            evals,
            folder=home,
            only=chosen,
            max_cost=sending.max_cost,
            concurrency=sending.concurrency,
            controls=controls,
        )
    job = asking.submit(evals, folder=home, only=chosen, window=sending.window, max_cost=sending.max_cost)
    emit(one_line(repr(job)))
    if not sending.wait and not job.ended:
        emit(f"Next, today or tomorrow: {shell_line('evalkit', 'batch', 'resume', home, '--wait')}")
        return None
    return job.wait(progress=True).collect()


def _summarize(judged: Evals, before: Evals, asking: Judge) -> None:
    import polars as pl

    table = (
        judged.scores.filter(pl.col("grader") == asking.grader)
        .group_by("criterion", maintain_order=True)
        .agg(
            pl.col("score").count().alias("scored"),
            pl.col("score").null_count().alias("unscored"),
            pl.col("score").mean().alias("mean"),
            # An unknown price is not 0.
            pl.when((pl.col("score").is_null() | pl.col("cost_usd").is_not_null()).all())
            .then(pl.col("cost_usd").sum())
            .alias("cost"),
        )
    )
    rows = [
        [
            str(row["criterion"]),
            f"{row['scored']:,}",
            f"{row['unscored']:,}",
            number_cell(row["mean"]),
            "unknown" if row["cost"] is None else money(row["cost"]),
        ]
        for row in table.iter_rows(named=True)
    ]
    emit(any_table(["criterion", "scored", "unscored", "mean", "cost"], rows, left=["criterion"]))
    for note in judged.notes:
        if note not in before.notes:
            tell(f"Note: {note_line(note)}")
