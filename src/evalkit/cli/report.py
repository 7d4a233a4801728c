"""The command `evalkit report`."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli import options as opt
from evalkit.cli.spelling import size
from evalkit.cli.terminal import (
    emit,
    one_line,
    working,
)


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
    from evalkit.report.report import report as write_report

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
