"""`evalkit gate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import as_json, emit, page, working
from evalkit.util.words import for_shell

_EXIT_CODES: Final = {"pass": 0, "fail": 1, "undecided": 3}


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions to check."""

    no_regressions: Annotated[
        bool, typer.Option("--no-regressions", help="Fail if the candidate regressed. See --margin.")
    ] = False
    margin: opt.Margins = None
    pass_rate_at_least: Annotated[
        float | None,
        opt.text_option("--pass-rate-at-least", "RATE", "Minimum true pass rate, for example 0.9."),
    ] = None
    critical_must_pass: Annotated[
        bool, typer.Option("--critical-must-pass", help="Require every trial of critical cases to pass.")
    ] = False
    level: opt.Level = 0.95


def gate(
    data: opt.Data,
    sides: opt.Sides,
    conditions: Conditions,
    scoring: opt.ScoringOptions,
    matching: opt.Matching,
    form: opt.Form = "text",
) -> None:
    """Check conditions: exit code 0 pass, 1 fail, 3 undecided.

    For a build: each condition with its numbers.
    """
    arguments = scoring.arguments
    margin = opt.numbers(conditions.margin, "--margin") or None
    evals = data.read()
    from evalkit.compare.gate import check_gate

    with working("Checking"):
        result = check_gate(
            evals,
            **sides.arguments(evals),
            **arguments,
            **matching.arguments,
            **vars(conditions) | {"margin": margin},
        )
    lines = [
        f"{outcome}: {condition}. {for_shell(reason)}" for condition, outcome, reason in result.conditions
    ]
    markdown = form == "md"
    emit(as_json(result.to_dict()) if form == "json" else page(result.sentence, [], lines, markdown=markdown))
    raise typer.Exit(_EXIT_CODES[result.outcome])
