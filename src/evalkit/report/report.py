"""Write a report: one file to send to a colleague."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evalkit.util.arguments import expect
from evalkit.util.errors import FormatError
from evalkit.util.words import Option, Sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

_FORMATS = (".html", ".md", ".pdf")


def report(
    evals: Evals,
    path: str | Path = "report.html",
    *,
    baseline: Selector | None = None,
    candidate: Selector | None = None,
    rule: PassRule | None = None,
    by: str | None = None,
    title: str | None = None,
    margin: Mapping[str, float] | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    judge: Literal["same", "any"] = "same",
    criteria: Literal["same", "shared"] = "same",
    max_transcripts: int = 20,
    redact: bool = False,
) -> Path:
    """Write one offline file: the verdict first, then what regressed, then the rest.

    Charts in HTML are interactive; without scripts they are pictures. Transcripts and rationales are escaped.

    Parameters
    ----------
    evals
        The evaluations.
    path
        The file; the suffix is the format: `.html`, `.md` (text and tables only) or `.pdf` (needs the extra `pdf` and
        a Chromium). Folders are made. An earlier file is replaced.
    baseline, candidate
        The two sides: a run, an agent version, a model or a dict of columns. Without both there is no verdict.
    rule, grader, rubric
        As for `grade`. No other scores are shown anywhere.
    by
        The column that the charts go by. None: the column of the sides, else the agent version, else the run.
    title
        The title; by default the suites and the two sides.
    margin
        Largest loss that does not matter, per metric: `{"pass_rate": 0.05}`.
    judge, criteria
        As for `compare`; "shared" criteria apply to every number of the report.
    max_transcripts
        The number of flips with transcripts, worst severity first.
    redact
        Redact secrets, e-mail addresses and phone numbers in every text, names and IDs included.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FormatError
        Unknown suffix, one side without the other, or a PDF without a browser.
    SelectorError
        A side is unknown, or the sides were scored on different criteria.

    Examples
    --------
    >>> import polars as pl, tempfile
    >>> from evalkit.data.evals import Evals
    >>> evals = Evals.from_tables(
    ...     criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
    ...     scores=pl.DataFrame({"run": "a", "case": ["01", "02"], "criterion": "Groq", "score": [2, 5]}),
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report(evals, f"{folder}/out/report.md").name
    'report.md'
    """
    expect(report, locals())
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise FormatError(
            f"Unknown report format {path.suffix!r} of {path.name!r}.",
            argument="path",
            value=path.suffix,
            choices=_FORMATS,
        )
    if (baseline is None) != (candidate is None):
        missing = "baseline" if baseline is None else "candidate"
        raise FormatError(
            "A comparison needs two sides.",
            argument=missing,
            fix=Sentence("Pass {missing} as well.", missing=Option(missing)),
        )
    from evalkit.report.build import ReportOptions, build
    from evalkit.report.write import write

    evals = evals.with_scoring(rule=rule, grader=grader, rubric=rubric)
    if redact:
        from evalkit.report.redact_evals import redact_evals

        evals, baseline, candidate, title = redact_evals(evals, baseline, candidate, title)
    options = ReportOptions(baseline, candidate, by, title, margin, judge, criteria, max_transcripts)
    return write(build(evals, options), path)
