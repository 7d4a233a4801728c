"""Build the content of a report: compute once, then the sections in the order of a reader's questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.compare.compare import compare
from evalkit.compare.pairs import find_runs, share_criteria
from evalkit.compare.sentences import change_parts
from evalkit.grading.grade import grade_trials, scoring_to_view
from evalkit.grading.select_scores import choose_scoring
from evalkit.grading.summarize import summarize
from evalkit.report import flip_section as flips
from evalkit.report import provenance_sections as provenance
from evalkit.report import sections
from evalkit.report.blocks import Report, ReportTable, Text
from evalkit.util.arguments import JUDGE_THEM
from evalkit.util.format import percent
from evalkit.util.version import VERSION
from evalkit.util.words import plural

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.report.blocks import Section

_GRAVE: Final = ("critical", "high")


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """The arguments of `evalkit.report.report.report` beside the scoring of the Evals."""

    baseline: Any = None
    candidate: Any = None
    by: str | None = None
    title: str | None = None
    margin: Mapping[str, float] | None = None
    judge: Literal["same", "any"] = "same"
    criteria: Literal["same", "shared"] = "same"
    max_transcripts: int = 20


def build(evals: Evals, options: ReportOptions) -> Report:
    """Return the content of a report, by the scoring of the Evals."""
    scoring = scoring_to_view(evals, choose_scoring(evals))
    evals = replace(evals, scoring=scoring)
    has_sides = options.baseline is not None
    left_out: list[str] = []
    runs: tuple[list[str], ...] = ()
    if has_sides:
        # First, so that every number of the report uses the same criteria.
        sides = [find_runs(evals, side) for side in (options.baseline, options.candidate)]
        runs = tuple(names for _, names in sides)
        evals, left_out = share_criteria(evals, dict(sides), scoring, criteria=options.criteria)
    by = options.by or _by(evals, options)
    subject = sections.Subject(evals, scoring, by, grade_trials(evals, scoring), summarize(evals, [by]))
    subject = replace(subject, fewer=sections.find_fewer(subject, left_out))
    if has_sides:
        subject = _compared(subject, options)
    parts: list[Section | None] = []
    if subject.change is not None:
        parts += [
            flips.regressions(subject, subject.change, runs, limit=options.max_transcripts),
            flips.improvements(subject.change),
        ]
    made = f"evalkit {VERSION}, {datetime.now(UTC):%d %B %Y, %H:%M} UTC"
    parts += [
        sections.changes(subject),
        *(
            (sections.criteria(subject), sections.severity(subject), sections.trend(subject))
            if subject.is_judged
            else ()
        ),
        sections.case_map(subject),
        sections.cases(subject),
        provenance.problems(evals),
        provenance.methods(subject),
        provenance.inventory(evals, made=made),
    ]
    change = subject.change
    suites = [name for name in evals.runs["suite"].cast(pl.String).unique(maintain_order=True) if name]
    about = ", ".join(suites) or plural(evals.runs.height, "run")
    against = f"{change.candidate} against {change.baseline} · " if change else ""
    figures = sections.key_figures(change) if change else sections.rates_table(subject, key="key-figures")
    headline, details = _compared_headline(subject) if change else _headline(subject)
    return Report(
        title=options.title or f"{against}{about}",
        subject=options.title or about,
        headline=headline,
        details=details,
        tone=sections.TONES.get(change.verdict, "muted") if change else "",
        figures=replace(figures.trimmed(), stacks=True),
        asides=(_aside(subject),),
        sections=tuple(_trimmed(part) for part in parts if part is not None),
        made=made,
        synthetic=evals.made_up_note,
    )


def _by(evals: Evals, options: ReportOptions) -> str:
    """Return the column to group by: that of the sides, else the version if runs have one, else the run."""
    sides = (options.baseline, options.candidate)
    names = {side for side in sides if isinstance(side, str)}
    for column in ("agent_version", "model") if len(names) == len(sides) else ():
        if names <= {*evals.runs[column].cast(pl.String)}:
            return column
    columns = {str(column) for side in sides if isinstance(side, Mapping) for column in side}
    if columns in ({"model"}, {"agent"}, {"provider"}, {"run"}):
        return columns.pop()
    return "agent_version" if evals.runs["agent_version"].drop_nulls().len() else "run"


def _compared(subject: sections.Subject, options: ReportOptions) -> sections.Subject:
    arguments: dict[str, Any] = {"margin": options.margin, "judge": options.judge}
    sides = options.baseline, options.candidate

    def split(by: str) -> pl.DataFrame:
        return compare(subject.evals, *sides, by=by, **arguments).table.filter(pl.col("scope") != "overall")

    return replace(
        subject,
        change=compare(subject.evals, *sides, **arguments),
        by_criterion=split("criterion"),
        by_severity=split("severity") if subject.has_severity else None,
    )


def _trimmed(section: Section) -> Section:
    blocks = (block.trimmed() if isinstance(block, ReportTable) else block for block in section.blocks)
    return replace(section, blocks=tuple(blocks))


def _compared_headline(subject: sections.Subject) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the sentence of the comparison in pieces, and the numbers behind it."""
    change: Any = subject.change
    parts = change_parts(change.table, change.flips, change.churn)
    pieces = [(f"{change.candidate} against {change.baseline}: ", ""), (change.verdict, "verdict")]
    if not parts.regressions:
        pieces.append((f"{parts.scope}.", ""))
    elif parts.worst in _GRAVE and change.has_more_flips_than_chance:
        pieces += [(f"{parts.scope}; ", ""), (parts.severity, "severity")]
        pieces.append((f"{' ' if parts.severity else ''}{parts.regressions}.", "alarm"))
    else:
        severity = f"{parts.severity} " if parts.severity else ""
        pieces.append((f"{parts.scope}; {severity}{parts.regressions}.", ""))
    return tuple(piece for piece in pieces if piece[0]), (parts.numbers,)


def _headline(subject: sections.Subject) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    graded = subject.graded
    counts = {
        "case": graded.select("suite", "case").unique().height,
        "run": subject.evals.runs.height,
        "trial": graded.height,
    }
    words = ", ".join(plural(count, name) for name, count in counts.items())
    rates = subject.rates.drop_nulls("pass_rate").sort("pass_rate")
    if rates.height:
        low, high = rates.row(0, named=True), rates.row(-1, named=True)
        texts = percent(low["pass_rate"]), percent(high["pass_rate"])
        words += f": pass rate {texts[1]}"
        if rates.height > 1 and texts[0] == texts[1]:
            words += f" for each of the {rates.height}"
        elif rates.height > 1:
            words += f" ({high[subject.by]}) down to {texts[0]} ({low[subject.by]})"
    if not subject.is_judged:
        return ((f"{words}: not judged yet.", ""),), (JUDGE_THEM,)
    return ((f"{words}.", ""),), ("No baseline and candidate were given, so there is no verdict.",)


def _aside(subject: sections.Subject) -> Text:
    change, problems = subject.change, subject.evals.problems.height
    words = []
    if change is not None:
        kinds = dict(change.flips["kind"].cast(pl.String).value_counts().iter_rows())
        words.append(
            f"{plural(kinds.get('regression', 0), 'case')} regressed, {kinds.get('improvement', 0)} improved"
        )
        if change.unpaired.height:
            words.append(f"{plural(change.unpaired.height, 'case')} on one side only")
    words.append(f"{plural(subject.unscored.height, 'trial')} of {subject.graded.height:,} unscored")
    if problems:
        words.append(f"{plural(problems, 'record')} could not be read")
    if change is not None and change.warnings.height:
        ids = ", ".join(dict.fromkeys(change.warnings["id"].to_list()))
        words.append(f"warnings {ids} (under Rule, methods and warnings)")
    return Text(f"{'; '.join(words)}. A trial passes when {subject.rule_words}.")
