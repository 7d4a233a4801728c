"""`evalkit gate`, `agree` and `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli.output import any_table, as_json, emit, markdown_text, one_line, working
from evalkit.cli.spelling import spell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.agreements import Agreement
    from evalkit.gates import Gate
    from evalkit.plans import Plan

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
    from evalkit.gates import check_gate

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


def agree(
    paths: opt.Paths,
    reference: Annotated[
        str,
        typer.Option("--reference", metavar="NAME", help='"human", a grader, or "itself" (its own samples).'),
    ] = "human",
    by: opt.By = None,
    mapping: opt.MappingFile = None,
    notes: opt.Notes = False,
    mean: opt.Mean = 4.0,
    floor: opt.Floor = 3.0,
    gate: opt.Gates = None,
    weight: opt.Weights = None,
    scale: opt.Scale = None,
    grader: opt.Graders = None,
    rubric: opt.Rubrics = None,
    level: opt.Level = 0.95,
    form: opt.Form = "text",
) -> None:
    """Say how far a judge agrees with people or another.

    What ek.agreement returns.
    """
    rule = opt.make_rule(mean, floor, gate, weight, scale)
    evals = opt.read_scored(paths, mapping, notes=notes)
    from evalkit.agreements import agreement

    with working("Comparing"):
        found = agreement(
            evals,
            reference=reference,
            grader=opt.names(grader),
            rubric=opt.names(rubric),
            by=opt.columns(by) or None,
            rule=rule,
            level=level,
        )
    emit(as_json(found.to_dict()) if form == "json" else _show_agreement(found, markdown=form == "md"))


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
    from evalkit.plans import plan as plan_evals

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


def _show_gate(found: Gate, *, markdown: bool) -> str:
    lines = [f"{row['outcome']}: {row['condition']}. {row['reason']}" for row in found.table.to_dicts()]
    return _page(found.sentence, "", lines, markdown=markdown)


def _show_agreement(found: Agreement, *, markdown: bool) -> str:
    from evalkit.agreements.results import number, reach

    heads = ["scope", "n", "cases", "exact", "bias", "kappa", "alpha", "AC2", "reading"]
    rows = [
        [
            row["scope"] if row["group"] == "all" else f"{row['scope']} · {row['group']}",
            *(str(row["n"]), str(row["cases"])),
            "" if row["exact"] is None else f"{row['exact']:.0%}",
            *(reach(row[m], row[f"{m}_low"], row[f"{m}_high"]) for m in ("bias", "kappa")),
            *(number(row["alpha"]), number(row["ac2"])),
            row["reading"] + (f": {row['reason']}" if row["reason"] else ""),
        ]
        for row in found.summary.iter_rows(named=True)
    ]
    left = [head in ("scope", "reading") for head in heads]
    parts = [any_table(heads, rows, left=left, markdown=markdown)]
    worst = found.disagreements
    if worst.height:
        heads = ["case", "run", "epoch", "criterion", "reference", "judge", "difference"]
        rows = [
            [number(cell) if isinstance(cell, float) else str(cell) for cell in row]
            for row in worst.head(_WORST).select(heads).iter_rows()
        ]
        left = [head in ("case", "run", "criterion") for head in heads]
        parts.append(
            f"The largest of {worst.height:,} disagreements (--format json has all):{chr(10) * (1 + markdown)}"
            + any_table(heads, rows, left=left, markdown=markdown)
        )
    said = [f"{row['id']} {row['text']}" for row in found.warnings.iter_rows(named=True)]
    return _page(found.sentence, "\n\n".join(parts), [*said, *found.notes], markdown=markdown)


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


def _page(sentence: str, table: str, lines: Iterable[str], *, markdown: bool) -> str:
    """Return a sentence, a table and what there is to say, as lines of text or Markdown."""
    text: Any = markdown_text if markdown else one_line
    first = text(spell(sentence))
    said = "\n".join(f"{'- ' if markdown else ''}{text(spell(line))}" for line in lines)
    return "\n\n".join(part for part in (f"**{first}**" if markdown else first, table, said) if part)


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
