"""The command `evalkit plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import _digits, _page, any_table, as_json, emit, working

if TYPE_CHECKING:
    from evalkit.compare.power_plan import Plan


def plan(
    paths: opt.Paths,
    baseline: opt.MaybeBaseline = None,
    candidate: opt.MaybeCandidate = None,
    difference: Annotated[
        float | None,
        typer.Option(
            "--difference",
            metavar="SIZE",
            help="The true difference to be seen: 0.05 is 5 points.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        Literal["pass_rate", "mean_score"], typer.Option("--metric", help="Of what.")
    ] = "pass_rate",
    power: Annotated[float, typer.Option("--power", help="The chance of seeing it.")] = 0.8,
    alpha: Annotated[float, typer.Option("--alpha", help="The chance of a false alarm.")] = 0.05,
    margin: opt.Margins = None,
    mapping: opt.MappingFile = None,
    notes: opt.Notes = False,
    mean: opt.Mean = 4.0,
    floor: opt.Floor = 3.0,
    gate: opt.Gates = None,
    weight: opt.Weights = None,
    scale: opt.Scale = None,
    grader: opt.Graders = None,
    rubric: opt.Rubrics = None,
    form: opt.Form = "text",
) -> None:
    """Say how many cases and epochs a difference takes.

    What ek.plan returns.
    """
    rule = opt.make_rule(mean, floor, gate, weight, scale)
    margins = opt.numbers(margin, "--margin") or None
    evals = opt.read_scored(paths, mapping, notes=notes)
    from evalkit.compare.power_plan import plan as plan_evals

    with working("Planning"):
        found = plan_evals(
            evals,
            baseline=None if baseline is None else opt.side(evals, baseline),
            candidate=None if candidate is None else opt.side(evals, candidate),
            difference=difference,
            metric=metric,
            power=power,
            alpha=alpha,
            margin=margins,
            rule=rule,
            grader=opt.names(grader),
            rubric=opt.names(rubric),
        )
    emit(as_json(found.to_dict()) if form == "json" else _show_plan(found, markdown=form == "md"))


def _show_plan(found: Plan, *, markdown: bool) -> str:
    heads = ["option", "cases", "epochs", "samples", "least seen", "power", "price", "method"]
    points = found.metric == "pass_rate"
    rows = [
        [
            row["option"],
            *(_digits(row[name]) for name in ("cases", "epochs", "samples")),
            "" if row["mde"] is None else f"{row['mde'] * 100:.1f} points" if points else f"{row['mde']:.2f}",
            "" if row["power"] is None else f"{row['power']:.0%}",
            "" if row["price_usd"] is None else f"${row['price_usd']:,.2f}",
            row["reason"] or row["method"],
        ]
        for row in found.table.iter_rows(named=True)
    ]
    left = [head in ("option", "method") for head in heads]
    table = any_table(heads, rows, left=left, markdown=markdown) if rows else ""
    return _page(found.sentence, table, found.notes, markdown=markdown)
