"""`evalkit summary`, `compare` and `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli.output import (
    any_table,
    as_csv,
    as_json,
    complain,
    emit,
    markdown_text,
    one_line,
    plain_rows,
    tell,
    working,
)
from evalkit.cli.spelling import size, spell
from evalkit.errors import NOT_GIVEN

if TYPE_CHECKING:
    import polars as pl

    from evalkit.comparison import Comparison
    from evalkit.evals import Evals
    from evalkit.rules import PassRule

_COUNTS: Final = ("trials", "passed", "failed", "unscored")
# Rows of the flips, and of the cases without a partner, before the rest is only counted.
_MOST_ROWS: Final = 20


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
    from evalkit.summary import summarize

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
    from evalkit.comparison import compare as compare_evals

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


def report(
    paths: opt.Paths,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to: .html, .md or .pdf.")
    ] = "report.html",
    baseline: opt.MaybeBaseline = None,
    candidate: opt.MaybeCandidate = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="What the charts go by.", show_default=False)
    ] = None,
    mapping: opt.MappingFile = None,
    notes: opt.Notes = False,
    title: Annotated[
        str | None, typer.Option("--title", help="What it is about.", show_default=False)
    ] = None,
    mean: opt.Mean = 4.0,
    floor: opt.Floor = 3.0,
    gate: opt.Gates = None,
    weight: opt.Weights = None,
    scale: opt.Scale = None,
    margin: opt.Margins = None,
    grader: opt.Graders = None,
    rubric: opt.Rubrics = None,
    judge: opt.Judged = "same",
    criteria: opt.Criteria = "same",
    redact: Annotated[
        bool, typer.Option("--redact", help="Mask secrets, e-mail addresses and phone numbers.")
    ] = False,
) -> None:
    """Write one offline file to send to a colleague.

    What ek.report writes. With --baseline and --candidate it begins with a verdict.
    """
    rule = opt.make_rule(mean, floor, gate, weight, scale)
    margins = opt.numbers(margin, "--margin") or None
    evals = opt.read_scored(paths, mapping, notes=notes)
    from evalkit.reports import report as write_report

    with working(f"Writing {output}"):
        path = write_report(
            evals,
            output,
            baseline=None if baseline is None else opt.side(evals, baseline),
            candidate=None if candidate is None else opt.side(evals, candidate),
            rule=rule,
            by=by,
            title=title,
            margin=margins,
            grader=opt.names(grader),
            rubric=opt.names(rubric),
            judge=judge,
            criteria=criteria,
            redact=redact,
        )
    emit(f"The report is in {one_line(path)} ({size(path.stat().st_size)}).")


def _group(evals: Evals) -> str:
    """Return what to group by when nothing was asked: the version, or the run where no version is known."""
    return "agent_version" if evals.runs["agent_version"].drop_nulls().len() else "run"


def _show_rates(table: pl.DataFrame, by: list[str], rule: PassRule, words: str, *, markdown: bool) -> str:
    from evalkit.wording import percent

    level = f"{table['level'][0] * 100:g} %" if table.height else ""
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


def _show_change(change: Comparison, words: str, *, markdown: bool) -> str:
    from evalkit.wording import cells

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


def _name(value: Any) -> str:
    return NOT_GIVEN if value in (None, "") else str(value)


def _p_value(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _between(low: float | None, high: float | None, factor: int, digits: int) -> str:
    if low is None or high is None:
        return ""
    return f"{low * factor:.{digits}f} to {high * factor:.{digits}f}"
