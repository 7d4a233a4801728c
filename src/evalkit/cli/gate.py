"""`evalkit gate`, `agree` and `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import _page, as_json, emit, working

if TYPE_CHECKING:
    from evalkit.compare.gate import Gate

_CODES: Final = {"pass": 0, "fail": 1, "undecided": 3}
# Rows of the disagreements before the rest is left to --format json.
_WORST: Final = 10


def gate(
    paths: opt.Paths,
    candidate: opt.MaybeCandidate = None,
    baseline: opt.MaybeBaseline = None,
    no_regressions: Annotated[
        bool, typer.Option("--no-regressions", help="Fail when the candidate regressed; see --margin.")
    ] = False,
    margin: opt.Margins = None,
    pass_rate_at_least: Annotated[
        float | None,
        typer.Option(
            "--pass-rate-at-least",
            metavar="RATE",
            help="What the true pass rate must reach, e.g. 0.9.",
            show_default=False,
        ),
    ] = None,
    critical_must_pass: Annotated[
        bool, typer.Option("--critical-must-pass", help="Every trial of every critical case must pass.")
    ] = False,
    mapping: opt.MappingFile = None,
    notes: opt.Notes = False,
    mean: opt.Mean = 4.0,
    floor: opt.Floor = 3.0,
    gate: opt.Gates = None,
    weight: opt.Weights = None,
    scale: opt.Scale = None,
    grader: opt.Graders = None,
    rubric: opt.Rubrics = None,
    judge: opt.Judged = "same",
    criteria: opt.Criteria = "same",
    level: opt.Level = 0.95,
    form: opt.Form = "text",
) -> None:
    """Check conditions: 0 all met, 1 one failed, 3 undecided.

    For a build: each condition that is asked, with its numbers.
    """
    rule = opt.make_rule(mean, floor, gate, weight, scale)
    margins = opt.numbers(margin, "--margin") or None
    evals = opt.read_scored(paths, mapping, notes=notes)
    from evalkit.compare.gate import check_gate

    with working("Checking"):
        found = check_gate(
            evals,
            candidate=None if candidate is None else opt.side(evals, candidate),
            baseline=None if baseline is None else opt.side(evals, baseline),
            no_regressions=no_regressions,
            margin=margins,
            pass_rate_at_least=pass_rate_at_least,
            critical_must_pass=critical_must_pass,
            rule=rule,
            grader=opt.names(grader),
            rubric=opt.names(rubric),
            judge=judge,
            criteria=criteria,
            level=level,
        )
    emit(as_json(found.to_dict()) if form == "json" else _show_gate(found, markdown=form == "md"))
    raise typer.Exit(_CODES[found.outcome])


def _show_gate(found: Gate, *, markdown: bool) -> str:
    lines = [f"{row['outcome']}: {row['condition']}. {row['reason']}" for row in found.table.to_dicts()]
    return _page(found.sentence, "", lines, markdown=markdown)
