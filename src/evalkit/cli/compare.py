"""`evalkit compare`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import (
    any_table,
    as_json,
    emit,
    markdown_text,
    name_cell,
    one_line,
    page,
    print_error,
    working,
)
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.compare.compare import Comparison

# Rows of the flips, and of the cases without a pair, before the rest is counted.
_ROWS_SHOWN: Final = 20
_FAILING: Final = ("regressed", "inconclusive", "regressed within margin")


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions(opt.Sides):
    """What to compare, and how."""

    by: opt.By = None
    margin: opt.Margins = None
    level: opt.Level = 0.95
    rerun: Annotated[
        str | None,
        opt.text_option(
            "--rerun", "NAME", "Another run of the baseline's version, to count flips without a change."
        ),
    ] = None


def compare(
    data: opt.Data,
    sides: ComparisonOptions,
    scoring: opt.ScoringOptions,
    matching: opt.Matching,
    fail_on: Annotated[
        list[str] | None,
        opt.text_option("--fail-on", "VERDICT", "Exit with 1 on this overall verdict; repeat for more."),
    ] = None,
    form: opt.Form = "text",
) -> None:
    """Compare two versions: verdict, differences, flips.

    Prints the result of ek.compare.
    """
    failing = _check_verdicts(fail_on)
    rule = scoring.rule
    margin = opt.numbers(sides.margin, "--margin") or None
    evals = data.read()
    from evalkit.compare.compare import compare as compare_evals

    with working("Comparing"):
        change = compare_evals(
            evals,
            **sides.arguments(evals),
            **scoring.arguments,
            **matching.arguments,
            by=opt.split_columns(sides.by) or None,
            margin=margin,
            level=sides.level,
            rerun=None if sides.rerun is None else opt.find_side(evals, sides.rerun),
        )
    words = rule.words_for(evals.criteria.iter_rows(named=True))
    emit(as_json(change.to_dict()) if form == "json" else _show(change, words, markdown=form == "md"))
    if change.verdict in failing:
        print_error(f"The verdict is {change.verdict!r}. --fail-on turns it into exit code 1.")
        raise typer.Exit(1)


def _check_verdicts(fail_on: Sequence[str] | None) -> list[str]:
    """Return the verdicts of `--fail-on`. A misspelled one would let everything pass."""
    for word in fail_on or ():
        if word not in _FAILING:
            raise typer.BadParameter(
                f"Unknown --fail-on verdict {word!r}. Expected {join_words(_FAILING)}.{did_you_mean(word, _FAILING)}"
            )
    return list(fail_on or ())


def _show(change: Comparison, words: str, *, markdown: bool) -> str:
    from evalkit.compare.sentences import SUMMARY_HEADS, summary_cells
    from evalkit.compare.warnings import remark

    heads = list(SUMMARY_HEADS)
    rows = [summary_cells(row) for row in change.estimates.iter_rows(named=True)]
    left = ("Scope", "Metric", "Method", "Verdict")
    warnings = [remark(warning) for warning in change.cautions]
    rates = any_table(heads, rows, left=left, markdown=markdown)
    text = markdown_text if markdown else one_line
    parts = [
        page(change.sentence, [rates], warnings, markdown=markdown),
        text(f"A trial passes when {words}."),
    ]
    if change.flips.height:
        parts.append(_show_flips(change, markdown=markdown))
    if change.unpaired.height:
        heads = change.unpaired.columns
        rows = [[name_cell(cell) for cell in row] for row in change.unpaired.iter_rows()]
        table = _first_rows(heads, rows, left=heads, markdown=markdown)
        parts.append(f"Cases scored on one side only:\n{chr(10) if markdown else ''}{table}")
    return "\n\n".join(parts)


def _show_flips(change: Comparison, *, markdown: bool) -> str:
    heads = ["flipped case", "severity", "kind", "baseline", "candidate", "p"]
    rows = [
        [
            *(name_cell(row["case"]), name_cell(row["severity"]), row["kind"]),
            *(f"{row[s]} {row[f'{s}_passes']}/{row[f'{s}_trials']}" for s in ("baseline", "candidate")),
            _p_value(row["p_value"]),
        ]
        for row in change.flips.iter_rows(named=True)
    ]
    return _first_rows(heads, rows, left=heads[:-1], markdown=markdown)


def _first_rows(heads: list[str], rows: list[list[str]], *, left: list[str], markdown: bool) -> str:
    table = any_table(heads, rows[:_ROWS_SHOWN], left=left, markdown=markdown)
    more = len(rows) - _ROWS_SHOWN
    gap = "\n\n" if markdown else "\n"
    return f"{table}{gap}and {more:,} more (--format json prints all)" if more > 0 else table


def _p_value(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
