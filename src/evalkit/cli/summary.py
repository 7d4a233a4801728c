"""The command `evalkit summary`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import (
    _between,
    _name,
    _number,
    any_table,
    as_csv,
    as_json,
    emit,
    markdown_text,
    one_line,
    plain_rows,
    tell,
    working,
)

if TYPE_CHECKING:
    import polars as pl

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule


_COUNTS: Final = ("trials", "passed", "failed", "unscored")


def summary(
    paths: opt.Paths,
    by: opt.By = None,
    mapping: opt.MappingFile = None,
    notes: opt.Notes = False,
    mean: opt.Mean = 4.0,
    floor: opt.Floor = 3.0,
    gate: opt.Gates = None,
    weight: opt.Weights = None,
    scale: opt.Scale = None,
    missing: opt.Missing = "exclude",
    grader: opt.Graders = None,
    rubric: opt.Rubrics = None,
    level: opt.Level = 0.95,
    form: Annotated[
        Literal["table", "csv", "json", "md"], typer.Option("--format", help="How to print it.")
    ] = "table",
) -> None:
    """Show pass rates with intervals, for each group.

    What ek.summarize returns.
    """
    rule = opt.make_rule(mean, floor, gate, weight, scale)
    evals = opt.read_scored(paths, mapping, notes=notes)
    from evalkit.grading.summarize import summarize

    if not evals.scores.height:
        tell(f"Note: No trial has a score yet: evalkit judge {' '.join(map(one_line, paths))}")
    groups = opt.columns(by) or [_group(evals)]
    with working("Grading"):
        table = summarize(
            evals,
            groups,
            rule,
            missing=missing,
            grader=opt.names(grader),
            rubric=opt.names(rubric),
            level=level,
        )
    if form == "csv":
        emit(as_csv(table))
    elif form == "json":
        emit(as_json(plain_rows(table)))
    else:
        words = rule.words_for(evals.criteria["kind"])
        emit(_show_rates(table, groups, rule, words, markdown=form == "md"))


def _group(evals: Evals) -> str:
    """Return what to group by when nothing was asked: the version, or the run where no version is known."""
    return "agent_version" if evals.runs["agent_version"].drop_nulls().len() else "run"


def _show_rates(table: pl.DataFrame, by: list[str], rule: PassRule, words: str, *, markdown: bool) -> str:
    from evalkit.util.format import percent

    level = f"{table['level'][0] * 100:g}%" if table.height else ""
    methods = table["method"].unique(maintain_order=True).to_list()
    heads = [*by, "pass rate", f"{level} interval".strip(), "n", "n_eff", *_COUNTS]
    heads += ["mean score", f"{level} interval".strip()]
    judged = "verdict" in table.columns
    heads += ["lowest", "verdict"] if judged else []
    heads += ["method"] if len(methods) > 1 else []
    rows = []
    for row in table.iter_rows(named=True):
        cells = [_name(row[column]) for column in by]
        cells += [percent(row["pass_rate"]), _between(row["low"], row["high"], 100, 1), str(row["n"])]
        cells += ["" if row["n_eff"] is None else f"{row['n_eff']:.1f}"]
        cells += [str(row[count]) for count in _COUNTS]
        cells += [_number(row["mean_score"]), _between(row["mean_low"], row["mean_high"], 1, 2)]
        cells += [_number(row["lowest"]), str(row["verdict"])] if judged else []
        rows.append([*cells, *([row["method"]] if len(methods) > 1 else [])])
    left = [head in (*by, "verdict", "method") for head in heads]
    unit = "a score" if "criterion" in by else "a trial"
    if "criterion" in by:
        words = f"it reaches {rule.mean:g}"
    notes = [f"n: cases; n_eff: the cases they are worth. Passing: {unit} passes when {words}."]
    if judged:
        notes.append(
            f"verdict: the criterion's mean over cases is at least {rule.mean:g} and none is below {rule.floor:g}."
        )
    if len(methods) == 1:
        notes.append(f"Method: {methods[0]}, {level}; mean scores: t over case means, {level}.")
    shown = [markdown_text(note) if markdown else one_line(note) for note in notes]
    return "\n".join([any_table(heads, rows, left=left, markdown=markdown), "", *shown])
