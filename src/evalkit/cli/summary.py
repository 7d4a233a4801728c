"""`evalkit summary`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import (
    any_table,
    as_csv,
    as_json,
    emit,
    markdown_text,
    name_cell,
    number_cell,
    one_line,
    shell_line,
    tell,
    working,
)
from evalkit.util.format import interval, percent
from evalkit.util.format import level as level_text

if TYPE_CHECKING:
    import polars as pl

_COUNTS: Final = ("trials", "passed", "failed", "unscored")


def summary(
    data: opt.Data,
    scoring: opt.ScoringOptions,
    by: opt.By = None,
    missing: Annotated[
        Literal["exclude", "fail"],
        typer.Option("--missing", help="Exclude unscored trials from the rates, or count them as fails."),
    ] = "exclude",
    level: opt.Level = 0.95,
    form: Annotated[
        Literal["table", "csv", "json", "md"], typer.Option("--format", help="Output format.")
    ] = "table",
) -> None:
    """Show pass rates with intervals per group.

    Prints the result of ek.summarize.
    """
    rule = scoring.rule
    evals = data.read()
    from evalkit.grading.summarize import summarize
    from evalkit.grading.version_order import version_column

    if not evals.scores.height:
        tell(f"Note: No trial has a score yet. Next: {shell_line('evalkit', 'judge', *data.paths)}")
    groups = opt.split_columns(by) or [version_column(evals)]
    with working("Grading"):
        table = summarize(evals, groups, missing=missing, level=level, **scoring.arguments)
    if form == "csv":
        emit(as_csv(table))
    elif form == "json":
        emit(as_json(table.to_dicts()))
    else:
        describe = rule.words_for_criterion if "criterion" in groups else rule.words_for
        words = describe(evals.criteria.iter_rows(named=True))
        emit(_show_rates(table, groups, words, markdown=form == "md"))


def _show_rates(table: pl.DataFrame, by: list[str], words: str, *, markdown: bool) -> str:
    level = level_text(table["level"][0]) if table.height else ""
    methods = table["method"].unique(maintain_order=True).to_list()
    has_verdict, has_method = "verdict" in table.columns, len(methods) > 1
    heads = [*by, "pass rate", f"{level} interval".strip(), "n", "n_eff", *_COUNTS]
    heads += ["mean score", f"{level} interval".strip()]
    heads += ["lowest", "verdict"] if has_verdict else []
    heads += ["method"] if has_method else []
    rows = []
    for row in table.iter_rows(named=True):
        cells = [name_cell(row[column]) for column in by]
        cells += [percent(row["pass_rate"]), _interval(row["low"], row["high"], percent=True), str(row["n"])]
        cells += [number_cell(row["n_eff"], 1), *(str(row[count]) for count in _COUNTS)]
        cells += [number_cell(row["mean_score"]), _interval(row["mean_low"], row["mean_high"])]
        cells += [number_cell(row["lowest"]), str(row["verdict"])] if has_verdict else []
        cells += [row["method"]] if has_method else []
        rows.append(cells)
    left = (*by, "verdict", "method")
    subject = "A score passes when it" if "criterion" in by else "A trial passes when"
    notes = [f"n: cases; n_eff: effective number of cases. {subject} {words}."]
    rows_open = [row for row in table.iter_rows(named=True) if row["unscored"]]
    if rows_open:
        low, high = min(row["if_all_fail"] for row in rows_open), max(row["if_all_pass"] for row in rows_open)
        notes.append(
            "Unscored trials are left out. If all of them failed or passed, the rates of their groups would lie "
            f"between {percent(low)} and {percent(high)}."
        )
    if has_verdict:
        notes.append(
            "verdict: the mean over cases reaches the criterion's threshold and no case misses the floor."
        )
    if len(methods) == 1:
        notes.append(f"Method: {methods[0]}, {level}; mean scores: t over case means, {level}.")
    shown = [markdown_text(note) if markdown else one_line(note) for note in notes]
    return "\n".join([any_table(heads, rows, left=left, markdown=markdown), "", *shown])


def _interval(low: float | None, high: float | None, *, percent: bool = False) -> str:
    return "" if low is None or high is None else interval(low, high, percent=percent)
