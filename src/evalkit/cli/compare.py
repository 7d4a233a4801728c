"""`evalkit summary`, `compare` and `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from evalkit.cli import options as opt
from evalkit.cli.spelling import spell
from evalkit.cli.terminal import (
    _name,
    any_table,
    as_json,
    complain,
    emit,
    markdown_text,
    one_line,
    working,
)

if TYPE_CHECKING:
    from evalkit.compare.compare import Comparison

# Rows of the flips, and of the cases without a partner, before the rest is only counted.
_MOST_ROWS: Final = 20


def compare(
    paths: opt.Paths,
    baseline: opt.Baseline,
    candidate: opt.Candidate,
    by: opt.By = None,
    mapping: opt.MappingFile = None,
    notes: opt.Notes = False,
    mean: opt.Mean = 4.0,
    floor: opt.Floor = 3.0,
    gate: opt.Gates = None,
    weight: opt.Weights = None,
    scale: opt.Scale = None,
    margin: opt.Margins = None,
    level: opt.Level = 0.95,
    grader: opt.Graders = None,
    rubric: opt.Rubrics = None,
    judge: opt.Judged = "same",
    criteria: opt.Criteria = "same",
    rerun: opt.Rerun = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="VERDICT",
            help="Exit with 1 when the overall verdict is this one: regressed, inconclusive; may be given again.",
            show_default=False,
        ),
    ] = None,
    form: opt.Form = "text",
) -> None:
    """Compare two sides: a verdict, differences, flips.

    What ek.compare returns.
    """
    gates = opt.verdicts(fail_on)
    rule = opt.make_rule(mean, floor, gate, weight, scale)
    margins = opt.numbers(margin, "--margin") or None
    evals = opt.read_scored(paths, mapping, notes=notes)
    from evalkit.compare.compare import compare as compare_evals

    with working("Comparing"):
        change = compare_evals(
            evals,
            baseline=opt.side(evals, baseline),
            candidate=opt.side(evals, candidate),
            rule=rule,
            by=opt.columns(by) or None,
            margin=margins,
            level=level,
            grader=opt.names(grader),
            rubric=opt.names(rubric),
            judge=judge,
            criteria=criteria,
            rerun=None if rerun is None else opt.side(evals, rerun),
        )
    emit(
        as_json(change.to_dict())
        if form == "json"
        else _show_change(change, rule.words_for(evals.criteria["kind"]), markdown=form == "md")
    )
    if change.verdict in gates:
        complain(f"The verdict is {change.verdict!r}, on which --fail-on ends with 1.")
        raise typer.Exit(1)


def _show_change(change: Comparison, words: str, *, markdown: bool) -> str:
    from evalkit.compare.sentences import cells

    text = markdown_text if markdown else one_line
    parts = [f"**{text(change.sentence)}**" if markdown else text(change.sentence)]
    heads = cells(None)
    rows = [cells(row) for row in change.estimates.iter_rows(named=True)]
    left = [head in ("scope", "metric", "method", "verdict") for head in heads]
    parts.append(any_table(heads, rows, left=left, markdown=markdown))
    sign = "- " if markdown else ""
    warnings = [
        text(
            spell(
                f"{row['id']} {'' if row['scope'] == 'overall' else _name(row['scope']) + ': '}{row['text']}"
            )
        )
        for row in change.warnings.iter_rows(named=True)
    ]
    if warnings:
        parts.append("\n".join(f"{sign}{line}" for line in warnings))
    parts.append(text(f"A trial passes when {words}."))
    if change.flips.height:
        parts.append(_show_flips(change, markdown=markdown))
    if change.unpaired.height:
        heads = change.unpaired.columns
        rows = [[_name(cell) for cell in row] for row in change.unpaired.iter_rows()]
        table = _first_rows(heads, rows, left=[True] * len(heads), markdown=markdown)
        parts.append(f"Cases that only one side has scored:\n{'' if not markdown else chr(10)}{table}")
    return "\n\n".join(parts)


def _show_flips(change: Comparison, *, markdown: bool) -> str:
    heads = ["flipped case", "severity", "kind", "baseline", "candidate", "p"]
    rows = [
        [
            *(_name(row["case"]), _name(row["severity"]), row["kind"]),
            *(f"{row[s]} {row[f'{s}_passes']}/{row[f'{s}_trials']}" for s in ("baseline", "candidate")),
            _p_value(row["p_value"]),
        ]
        for row in change.flips.iter_rows(named=True)
    ]
    return _first_rows(heads, rows, left=[True] * 5 + [False], markdown=markdown)


def _first_rows(heads: list[str], rows: list[list[str]], *, left: list[bool], markdown: bool) -> str:
    """Return a table of the first rows, and how many more there are."""
    table = any_table(heads, rows[:_MOST_ROWS], left=left, markdown=markdown)
    more = len(rows) - _MOST_ROWS
    gap = "\n\n" if markdown else "\n"
    return f"{table}{gap}and {more:,} more (--format json has all)" if more > 0 else table


def _p_value(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
