"""One file to send to a colleague: the verdict first, then what it rests on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.util.arguments import expect
from evalkit.util.errors import FormatError
from evalkit.util.words import Option, join_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals

_FORMS = (".html", ".md", ".pdf")


def report(
    evals: Evals,
    path: str | Path = "report.html",
    *,
    baseline: Selector | None = None,
    candidate: Selector | None = None,
    rule: PassRule = DEFAULT_RULE,
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
    """Write one file that says what happened: the verdict first, then what regressed, then the rest.

    The HTML needs no network and asks for none. Its charts are interactive; where scripts are off they are
    pictures. Transcripts and judges' words are text in it, whatever they hold.

    Parameters
    ----------
    evals
        What was loaded.
    path
        Where to; the suffix decides: `.html`, `.md` (tables and words alone), `.pdf` (needs the extra `pdf`
        and a Chromium on the machine). Folders are made; an earlier file is replaced as a whole.
    baseline, candidate
        The two sides, each a run, an agent version, a model or a dict of columns. Without both the report
        describes and gives no verdict.
    rule
        When a trial passes.
    by
        The column that the charts go by; None: what the two sides are, else the agent version where runs name one,
        else the run.
    title
        What the report is about; by default the suites and the two sides.
    margin
        What loss is tolerable for each metric, e.g. `{"pass_rate": 0.05}`; None declares none.
    grader, rubric
        Whose scores count, as for `grade`.
    judge, criteria
        As for `compare`: "same" refuses sides that were judged differently, or scored on different criteria; "any"
        compares them anyway, "shared" goes by the criteria that both have, in every number of the report.
    max_transcripts
        For how many of the flips transcripts are put in, worst severity first.
    redact
        Mask secrets, e-mail addresses and phone numbers in all that is quoted; the report says how many.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FormatError
        Another suffix, or one side without the other, or a PDF without a browser.
    SelectorError
        A side that is not there, or sides that were scored on different criteria.

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
    if path.suffix.lower() not in _FORMS:
        raise FormatError(
            f"A report is written as {join_words(_FORMS)}; {path.name!r} ends in {path.suffix!r}."
        )
    if (baseline is None) != (candidate is None):
        missing = "candidate" if candidate is None else "baseline"
        raise FormatError("A comparison needs two sides.", argument=missing, fix=Option(missing))
    from evalkit.report.build import build
    from evalkit.report.write import write

    try:
        version = installed("evalkit-lab")
    except PackageNotFoundError:
        version = "(not installed)"
    if redact:
        from evalkit.report.redact_evals import mask

        evals = mask(evals)
    made = build(
        evals,
        baseline=baseline,
        candidate=candidate,
        rule=rule,
        by=by,
        title=title,
        margin=margin,
        grader=grader,
        rubric=rubric,
        judge=judge,
        criteria=criteria,
        max_transcripts=max_transcripts,
        version=version,
    )
    return write(made, path, version=version)
