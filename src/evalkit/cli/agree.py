"""`evalkit agree`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import any_table, as_json, emit, number_cell, page, working

if TYPE_CHECKING:
    from evalkit.agreement.agreement import Agreement

# Rows of the disagreements before the rest is left to --format json.
_ROWS_SHOWN: Final = 10


def agree(
    data: opt.Data,
    scoring: opt.ScoringOptions,
    reference: Annotated[
        str,
        typer.Option("--reference", metavar="NAME", help='"human", a grader, or "itself" (its own samples).'),
    ] = "human",
    nominal: Annotated[
        list[str] | None,
        opt.text_option(
            "--nominal", "NAME", "A criterion whose scores are names without an order; repeat for more."
        ),
    ] = None,
    by: opt.By = None,
    level: opt.Level = 0.95,
    form: opt.Form = "text",
) -> None:
    """Measure how far a judge agrees with people.

    Prints the result of ek.agreement.
    """
    arguments = scoring.arguments
    evals = data.read()
    from evalkit.agreement.agreement import agreement

    with working("Comparing"):
        result = agreement(
            evals,
            reference=reference,
            nominal=nominal or (),
            by=opt.split_columns(by) or None,
            level=level,
            **arguments,
        )
    emit(as_json(result.to_dict()) if form == "json" else _show(result, markdown=form == "md"))


def _show(result: Agreement, *, markdown: bool) -> str:
    heads = ["scope", "n", "cases", "exact", "bias", "kappa", "alpha", "AC2", "Pearson r", "reading"]
    rows = [
        [
            row["scope"] if row["group"] == "all" else f"{row['scope']} · {row['group']}",
            *(str(row["n"]), str(row["cases"])),
            "" if row["exact"] is None else f"{row['exact']:.0%}",
            *(_estimate(row[m], row[f"{m}_low"], row[f"{m}_high"]) for m in ("bias", "kappa")),
            *(number_cell(row["alpha"]), number_cell(row["ac2"]), number_cell(row["pearson"])),
            row["reading"] + (f": {row['reason']}" if row["reason"] else ""),
        ]
        for row in result.summary.iter_rows(named=True)
    ]
    parts = [any_table(heads, rows, left=("scope", "reading"), markdown=markdown)]
    if result.disagreements.height:
        heads = ["case", "run", "epoch", "criterion", "reference", "judge", "difference"]
        worst = result.disagreements.head(_ROWS_SHOWN).select(heads)
        rows = [
            [number_cell(cell) if isinstance(cell, float) else str(cell) for cell in row]
            for row in worst.iter_rows()
        ]
        title = f"The largest of {result.disagreements.height:,} disagreements (--format json prints all):"
        table = any_table(heads, rows, left=("case", "run", "criterion"), markdown=markdown)
        parts.append(f"{title}{chr(10) * (1 + markdown)}{table}")
    warnings = [f"{row['id']} {row['text']}" for row in result.warnings.iter_rows(named=True)]
    return page(result.sentence, parts, [*warnings, *result.notes], markdown=markdown)


def _estimate(value: float | None, low: float | None, high: float | None) -> str:
    text = number_cell(value)
    return text if low is None or high is None else f"{text} [{number_cell(low)}, {number_cell(high)}]"
