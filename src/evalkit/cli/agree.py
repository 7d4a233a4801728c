"""The command `evalkit agree`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import options as opt
from evalkit.cli.gate import _WORST
from evalkit.cli.terminal import _page, any_table, as_json, emit, working

if TYPE_CHECKING:
    from evalkit.agreement.agreement import Agreement


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
    from evalkit.agreement.agreement import agreement

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


def _show_agreement(found: Agreement, *, markdown: bool) -> str:
    from evalkit.agreement.finding import number, reach

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
