"""`evalkit report`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import emit, one_line, working
from evalkit.util.format import bytes_size


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The file and what it shows."""

    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="File to write: .html, .md or .pdf.")
    ] = "report.html"
    by: Annotated[str | None, opt.text_option("--by", "COLUMN", "Column that the charts compare.")] = None
    title: Annotated[str | None, opt.text_option("--title", "TEXT", "Title of the report.")] = None
    margin: opt.Margins = None
    redact: Annotated[
        bool, typer.Option("--redact", help="Redact secrets, e-mail addresses and phone numbers.")
    ] = False


def report(
    data: opt.Data, sides: opt.Sides, layout: Layout, scoring: opt.ScoringOptions, matching: opt.Matching
) -> None:
    """Write one offline file to send to a colleague.

    Writes the file of ek.report. With --baseline and --candidate it begins with a verdict.
    """
    arguments = scoring.arguments
    margin = opt.numbers(layout.margin, "--margin") or None
    evals = data.read()
    from evalkit.report.report import report as write_report

    with working(f"Writing {layout.output}"):
        path = write_report(
            evals,
            layout.output,
            **sides.arguments(evals),
            **arguments,
            **matching.arguments,
            by=layout.by,
            title=layout.title,
            margin=margin,
            redact=layout.redact,
        )
    emit(f"Wrote {one_line(path)} ({bytes_size(path.stat().st_size)}).")
