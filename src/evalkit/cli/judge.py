"""`evalkit judge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli.spelling import spell
from evalkit.cli.terminal import emit, one_line, tell, terminal_width, text_table
from evalkit.util.errors import FormatError
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.judging import Judge

# A mean this near to what passes could as well be on the other side of it.
_NEAR: Final = 0.5
_WORDS: Final = ("failures", "borderline", "unscored")


def judge(
    paths: opt.Paths,
    model: Annotated[
        str,
        typer.Option("--model", metavar="NAME", help="The judge's model; without it the provider's own."),
    ] = "",
    provider: opt.ProviderName = "groq",
    base_url: opt.BaseUrl = None,
    rubric: Annotated[
        str | None,
        typer.Option(
            "--rubric",
            metavar="FILE",
            help="A suite in YAML to judge by; without it the criteria that are loaded.",
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        Literal["criterion", "all", "binary"],
        typer.Option("--mode", help="Each criterion alone, all at once, or one pass or fail."),
    ] = "criterion",
    samples: Annotated[int, typer.Option("--samples", help="How often each judgement is asked for.")] = 3,
    temperature: Annotated[float, typer.Option("--temperature", help="From 0 to 2.")] = 1.0,
    effort: opt.Effort = None,
    seed: Annotated[int, typer.Option("--seed", help="The seed of the first sample.")] = 0,
    max_tokens: opt.MaxTokens = 2048,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What the judge is called in the scores.", show_default=False
        ),
    ] = None,
    no_redact: Annotated[
        bool, typer.Option("--no-redact", help="Send transcripts as they are, secrets and addresses too.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="WHICH",
            help="failures, borderline or unscored trials; or COLUMN=VALUE, as in severity=critical.",
            show_default=False,
        ),
    ] = None,
    grader: opt.Graders = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where scores.jsonl is kept; without it in PATH, where that is a folder of evalkit's.",
            show_default=False,
        ),
    ] = None,
    dry_run: opt.DryRun = False,
    controls: Annotated[
        bool,
        typer.Option("--controls", help="First judge attempts whose score is known; see docs/judging.md."),
    ] = False,
    max_cost: opt.MaxCost = None,
    concurrency: Annotated[int, typer.Option("--concurrency", help="The most requests at once.")] = 64,
    batch: Annotated[
        bool, typer.Option("--batch", help="Through the endpoint's Batch API: half the price, within a day.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="With --batch: wait until all is answered.")] = False,
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            metavar="TIME",
            help="With --batch: how long it may take, 24h or at Groq up to 7d.",
            show_default=False,
        ),
    ] = None,
    mapping: opt.MappingFile = None,
    notes: opt.Notes = False,
) -> None:
    """Let a model score the trials by the rubric.

    The estimate of what it costs is said first.
    """
    from evalkit.data.folder import SCORES_FILE, holding
    from evalkit.judging import Judge
    from evalkit.llm.providers import provider as find_provider

    if (wait or window is not None) and not batch:
        raise FormatError(
            f"{'--wait' if wait else '--window'} goes with --batch; without it each answer is waited for."
        )
    # An estimate is kept nowhere.
    home = Path() if dry_run else _home(paths, output)
    asking = Judge(
        model=model,
        rubric=rubric,
        provider=find_provider(provider, base_url=base_url),
        mode=mode,
        samples=samples,
        temperature=temperature,
        seed=seed,
        effort=effort,
        max_tokens=max_tokens,
        redact=False if no_redact else None,
        name=name,
    )
    evals = opt.read(paths, mapping, notes=notes)
    chosen = None if only is None else _chosen(evals, only, opt.names(grader))
    estimate = asking.estimate(evals, only=chosen)
    emit(estimate.words)
    opt.warn_of_price(estimate.price_batch if batch else estimate.price_live, max_cost)
    if dry_run:
        return
    # From before the controls on, so that a second process pays for nothing.
    with holding(home, SCORES_FILE):
        held = None
        if controls:
            known = evals if rubric is None else rubric
            held = asking.controls(known, max_cost=max_cost, concurrency=concurrency)
            emit(f"Controls: {one_line(held.words)}")
        if batch:
            job = asking.submit(evals, folder=home, only=chosen, window=window, max_cost=max_cost)
            emit(one_line(repr(job)))
            if not wait and not job.ended:
                emit(f"Next, today or tomorrow: evalkit batch resume {one_line(home)} --wait")
                return
            out = job.wait(progress=True).collect()
        else:
            out = asking.run(
                evals, folder=home, only=chosen, max_cost=max_cost, concurrency=concurrency, controls=held
            )
    _sum_up(out, evals, asking)
    emit(
        f"The scores are in {one_line(home / 'scores.jsonl')}. Next: evalkit summary {_named(paths, home)} --grader '{one_line(asking.grader)}'"
    )


def _home(paths: list[str], output: str | None) -> Path:
    """Return the folder that the scores go into."""
    from evalkit.data import folder as native

    if output is not None:
        return Path(output)
    if len(paths) == 1 and any(
        (Path(paths[0]) / name).is_file() for name in (native.TRANSCRIPTS_FILE, native.SCORES_FILE)
    ):
        return Path(paths[0])
    raise FormatError(
        "Say where the scores are to be kept: --output DIR, which can be loaded beside the rest."
    )


def _named(paths: list[str], home: Path) -> str:
    all_of_it = [*paths] if str(home) in paths else [*paths, str(home)]
    return " ".join(one_line(path) for path in all_of_it)


def _chosen(evals: Evals, only: str, grader: Any) -> Any:
    """Return which trials `--only` means."""
    import polars as pl

    from evalkit.grading.grade import grade

    if "=" in only:
        column, _, value = only.partition("=")
        return evals.filter(**{column.strip(): value.strip()}).attempts()
    if only not in _WORDS:
        raise typer.BadParameter(
            f"--only is {only!r}; it may be {join_words(_WORDS)}, or COLUMN=VALUE.{did_you_mean(only, _WORDS)}"
        )
    graded = grade(evals, grader=grader)
    if only == "borderline":
        from evalkit.grading.pass_rule import DEFAULT_RULE

        return graded.filter((pl.col("mean") - DEFAULT_RULE.mean).abs() <= _NEAR)
    return graded.filter(pl.col("verdict") == {"failures": "fail", "unscored": "unscored"}[only])


def _sum_up(out: Evals, before: Evals, asking: Judge) -> None:
    """Print what this judge says now, a row a criterion, and what is to be said of it."""
    import polars as pl

    mine = out.scores.filter(pl.col("grader") == asking.grader)
    table = mine.group_by("criterion", maintain_order=True).agg(
        pl.col("score").count().alias("scored"),
        pl.col("score").null_count().alias("unscored"),
        pl.col("score").mean().alias("mean"),
        # A price that nobody knows is no 0.
        pl.when((pl.col("score").is_null() | pl.col("cost_usd").is_not_null()).all())
        .then(pl.col("cost_usd").sum())
        .alias("cost"),
    )
    rows = [
        [
            str(row["criterion"]),
            f"{row['scored']:,}",
            f"{row['unscored']:,}",
            "" if row["mean"] is None else f"{row['mean']:.2f}",
            "not known" if row["cost"] is None else f"${row['cost']:.4f}",
        ]
        for row in table.iter_rows(named=True)
    ]
    heads = ["criterion", "scored", "unscored", "mean", "cost"]
    emit(text_table(heads, rows, left=[True, False, False, False, False], width=terminal_width()))
    for note in out.notes:
        if note not in before.notes:
            tell(f"Note: {spell(note)}")
