"""`evalkit plan`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import any_table, as_json, emit, page, working

if TYPE_CHECKING:
    from evalkit.compare.power_plan import Plan


@dataclass(frozen=True, kw_only=True)
class Target:
    """The difference to detect."""

    difference: Annotated[
        float | None, opt.text_option("--difference", "SIZE", "True difference to detect; 0.05 is 5 points.")
    ] = None
    metric: Annotated[
        Literal["pass_rate", "mean_score"], typer.Option("--metric", help="Metric of the difference.")
    ] = "pass_rate"
    power: Annotated[float, typer.Option("--power", help="Probability of detecting it.")] = 0.8
    alpha: Annotated[float, typer.Option("--alpha", help="Probability of a false alarm.")] = 0.05
    margin: opt.Margins = None


def plan(
    data: opt.Data, sides: opt.Sides, target: Target, scoring: opt.ScoringOptions, form: opt.Form = "text"
) -> None:
    """Plan how many cases and epochs a difference takes.

    Prints the result of ek.plan.
    """
    arguments = scoring.arguments
    margin = opt.numbers(target.margin, "--margin") or None
    evals = data.read()
    from evalkit.compare.power_plan import plan as plan_evals

    with working("Planning"):
        result = plan_evals(
            evals,
            **sides.arguments(evals),
            **arguments,
            **vars(target) | {"margin": margin},
        )
    emit(as_json(result.to_dict()) if form == "json" else _show(result, markdown=form == "md"))


def _show(result: Plan, *, markdown: bool) -> str:
    from evalkit.compare.power_plan import HEADS

    heads, rows = list(HEADS), result.cells()
    table = any_table(heads, rows, left=("Option", "Method"), markdown=markdown) if rows else ""
    return page(result.sentence, [table], result.notes, markdown=markdown)
