"""`evalkit run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import emit, one_line, shell_line, tell_about
from evalkit.util.errors import EvalkitError
from evalkit.util.format import money
from evalkit.util.words import plural

if TYPE_CHECKING:
    from evalkit.agents.agent import Agent


@dataclass(frozen=True, kw_only=True)
class AgentOptions(opt.ModelOptions):
    """The agent: a model with a system prompt, a function or a program."""

    model: Annotated[
        str | None,
        opt.text_option(
            "--model", "NAME", "Model. Default: the provider's. Only recorded with --call and --command."
        ),
    ] = None
    prompt: Annotated[str | None, opt.text_option("--prompt", "FILE", "File with the system prompt.")] = None
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="From 0 to 2.", show_default=False)
    ] = None
    top_p: Annotated[float | None, typer.Option("--top-p", help="From 0 to 1.", show_default=False)] = None
    max_tokens: opt.MaxTokens = 4096
    call: Annotated[
        str | None,
        opt.text_option("--call", "MODULE:FUNCTION", "Function that takes a case and returns a transcript."),
    ] = None
    command: Annotated[
        str | None,
        opt.text_option(
            "--command", "PROGRAM", "Program that reads a case and prints a transcript, as JSON."
        ),
    ] = None
    name: Annotated[str | None, opt.text_option("--name", "NAME", "Name of the agent.")] = None
    version: Annotated[
        str | None,
        opt.text_option("--version", "NAME", "Version of the agent. Default: a hash of settings and source."),
    ] = None

    def make(self) -> Agent:
        """Return the agent."""
        from evalkit.agents.agent import Agent

        return Agent(**self.settings | {"prompt": None if self.prompt is None else Path(self.prompt)})


@dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """The trials to run."""

    run: Annotated[str | None, opt.text_option("--run", "NAME", "Run name. A new name starts a new run.")] = (
        None
    )
    epochs: Annotated[int, typer.Option("--epochs", help="Trials per case.")] = 1
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed of the first epoch.", show_default=False)
    ] = None
    only: Annotated[
        list[str] | None, opt.text_option("--case", "CASE", "Only this case; repeat for more.")
    ] = None
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Retry failed trials.")] = False


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """Limits of time, cost and concurrency."""

    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="Most trials at a time.", show_default=False)
    ] = None
    timeout: Annotated[float | None, opt.text_option("--timeout", "SECONDS", "Time limit of a trial.")] = None
    max_cost: opt.MaxCost = None


def run(
    suite: Annotated[
        str, typer.Argument(metavar="SUITE", help="A suite in YAML, or its folder.", show_default=False)
    ],
    agent: AgentOptions,
    trials: TrialOptions,
    limits: LimitOptions,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Folder for the transcripts.")
    ] = "runs",
    dry_run: opt.DryRun = False,
) -> None:
    """Run a suite through an agent: a model, or your own.

    evalkit judge scores the transcripts. Completed trials are not sent again.
    """
    from evalkit.agents.run_suite import run_suite

    made, which = agent.make(), vars(trials)
    if dry_run:
        estimate = made.estimate(suite, output, **which)
        emit(one_line(f"Run {estimate.run}: {estimate.words}"))
        opt.warn_of_price(estimate.price, limits.max_cost)
        return
    evals = run_suite(suite, made, output, **vars(limits), **which)
    _summarize(evals, output)


def _summarize(evals: Any, output: str) -> None:
    trials = evals.trials
    errors = trials["error"].drop_nulls()
    if len(errors) == trials.height:
        count = (
            f"All {len(errors)} trials failed. First error" if len(errors) > 1 else "The only trial failed"
        )
        raise EvalkitError(f"{count}: {errors[0].rstrip('.')}. Pass --retry-errors to try again.")
    tell_about(evals, notes=True)
    cost = trials["cost_usd"].drop_nulls()
    spent = f", {money(cost.sum())}" if len(cost) else ""
    emit(
        f"Run {one_line(evals.runs['run'][0])}: {plural(trials.height, 'trial')}, {len(errors)} with an error{spent}. "
        f"They are in {one_line(output)}."
    )
    emit(f"Next: {shell_line('evalkit', 'judge', output)}")
