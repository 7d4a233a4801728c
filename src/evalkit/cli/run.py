"""`evalkit run` and `serve-local`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import emit, one_line, tell, tell_about, working
from evalkit.llm.providers import LOCAL_PORT
from evalkit.util.errors import EvalkitError
from evalkit.util.words import plural


def run(
    suite: Annotated[
        str,
        typer.Argument(metavar="SUITE", help="A suite in YAML, or a folder with one.", show_default=False),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where the transcripts are written, trial by trial."
        ),
    ] = "runs",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The model to ask; without it the provider's own. With --call and --command only noted.",
            show_default=False,
        ),
    ] = None,
    provider: opt.ProviderName = "groq",
    base_url: opt.BaseUrl = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="FILE", help="A file with the system prompt.", show_default=False),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="From 0 to 2.", show_default=False)
    ] = None,
    top_p: Annotated[float | None, typer.Option("--top-p", help="From 0 to 1.", show_default=False)] = None,
    effort: opt.Effort = None,
    max_tokens: opt.MaxTokens = 4096,
    call: Annotated[
        str | None,
        typer.Option(
            "--call",
            metavar="MODULE:FUNCTION",
            help="An agent of your own: a function that is given a case and returns a transcript.",
            show_default=False,
        ),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            "--command",
            metavar="PROGRAM",
            help="An agent of your own: reads a case as JSON, prints a transcript as JSON.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What the agent is called.", show_default=False),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--version",
            metavar="NAME",
            help="Which version it is; without it a hash of its prompt and settings, or its source.",
            show_default=False,
        ),
    ] = None,
    run_name: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="NAME",
            help="What the run is called; another name asks everything anew.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", help="How often each case is attempted.")] = 1,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The seed of the first epoch.", show_default=False)
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--case", metavar="CASE", help="Only this case; give it again for more.", show_default=False
        ),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="The most attempts at once.", show_default=False)
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help="What an attempt may take.", show_default=False),
    ] = None,
    max_cost: opt.MaxCost = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Attempt again what is there with an error.")
    ] = False,
    dry_run: opt.DryRun = False,
) -> None:
    """Run a suite through an agent: a model, or your own.

    Its transcripts are what evalkit judge scores. What is there already is not asked again.
    """
    from evalkit.agents import Agent, run_suite
    from evalkit.llm.providers import provider as find_provider

    agent = Agent(
        model=model,
        prompt=None if prompt is None else Path(prompt),
        provider=find_provider(provider, base_url=base_url),
        temperature=temperature,
        top_p=top_p,
        effort=effort,
        max_tokens=max_tokens,
        call=call,
        command=command,
        name=name,
        version=version,
    )
    chosen: dict[str, Any] = {
        "epochs": epochs,
        "only": only,
        "run": run_name,
        "seed": seed,
        "retry_errors": retry_errors,
    }
    if dry_run:
        estimate = agent.estimate(suite, output, **chosen)
        emit(one_line(f"Run {estimate.run}: {estimate.words}"))
        opt.warn_of_price(estimate.price, max_cost)
        return
    evals = run_suite(
        suite, agent, output, concurrency=concurrency, timeout=timeout, max_cost=max_cost, **chosen
    )
    trials = evals.trials
    bad = trials["error"].drop_nulls()
    if len(bad) == trials.height:
        which = (
            f"All {len(bad)} trials have an error, the first"
            if len(bad) > 1
            else "The only trial has an error"
        )
        raise EvalkitError(f"{which}: {bad[0]} (--retry-errors attempts again)")
    tell_about(evals, notes=True)
    spent = trials["cost_usd"].drop_nulls()
    money = f", ${spent.sum():.4f}" if len(spent) else ""
    run = evals.runs["run"][0]
    emit(
        f"Run {one_line(run)}: {plural(trials.height, 'trial')}, {len(bad)} with an error{money}; they are in {one_line(output)}."
    )
    emit(f"Next: evalkit judge {one_line(output)}")


def serve_local(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where to listen; 0 takes a free port.")
    ] = LOCAL_PORT,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="FILE.gguf",
            help="Serve this model instead of SmolLM2 with 135 million parameters.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a small model here, with no key, until Ctrl-C.

    Then --provider local asks it.
    """
    from contextlib import ExitStack

    from evalkit.llm import local_server as serving

    # A polite kill is as good as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as running:
        with working("Loading the weights"):
            address, model = running.enter_context(serving.serve(host=host, port=port, weights=weights))
        try:
            emit(f"Serving {one_line(model)} at {address} (Ctrl-C stops it).")
            if weights is None:
                emit(serving.SMALL)
            where = "" if port == LOCAL_PORT else f"export EVALKIT_LOCAL_URL={address}; "
            named = "" if weights is None else f" --model {one_line(model)}"
            suite = "data/suites/groq-batch-api.yaml"
            emit(f"Next, in another terminal: {where}evalkit run {suite} --provider local{named}")
            while True:
                # In pieces, because on Windows nothing interrupts a sleep.
                time.sleep(1.0)
        except KeyboardInterrupt:
            tell("Stopped.")
            # The engine's own end can wait for ever on a thread that has just begun, and there is nothing to keep.
            sys.stdout.flush()
            os._exit(0)
