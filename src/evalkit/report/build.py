"""Put a report together: reckon once, then the sections in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from evalkit.compare.pairs import find_runs, share_criteria
from evalkit.data.scoring import Scoring
from evalkit.grading.grade import grade
from evalkit.grading.summarize import summarize
from evalkit.report import flip_section as flips
from evalkit.report import provenance_sections as provenance
from evalkit.report import sections
from evalkit.report.blocks import Report, Table, Text, percent
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.compare.compare import Comparison
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.report.blocks import Section, Tone

# Where the sentence about the sides ends and the numbers begin; the names before it may hold anything.
_NUMBERS = (" Pass rate ", " No case was scored on both sides")
_GRAVE = ("critical", "high")


def build(
    evals: Evals,
    *,
    baseline: Any,
    candidate: Any,
    rule: PassRule,
    by: str | None,
    title: str | None,
    margin: Mapping[str, float] | None,
    grader: str | Sequence[str] | None,
    rubric: str | Sequence[str] | None,
    judge: Literal["same", "any"],
    criteria: Literal["same", "shared"],
    max_transcripts: int,
    version: str,
) -> Report:
    """Return the report's content. See `evalkit.report.report.report` for the parameters."""
    chosen: dict[str, Any] = {"grader": grader, "rubric": rubric}
    left_out: list[str] = []
    if baseline is not None:
        # Before anything is reckoned, so that every number of the report is by the same criteria.
        of_sides = dict(find_runs(evals, side) for side in (baseline, candidate))
        evals, left_out = share_criteria(
            evals, of_sides, Scoring(grader=grader, rubric=rubric), criteria=criteria
        )
    graded = grade(evals, rule, **chosen)
    subject = sections.Subject(evals, rule, by or _by(evals, baseline, candidate), graded, chosen)
    subject = replace(subject, fewer=sections.find_fewer(subject, left_out))
    if baseline is not None:
        subject = _compared(subject, baseline, candidate, margin, judge)
    change = subject.change
    time = provenance.now()
    parts: list[Section | None] = []
    if change is not None:
        runs = find_runs(evals, baseline)[1], find_runs(evals, candidate)[1]
        parts += [
            flips.regressions(evals, change, graded, runs, most=max_transcripts, counts=chosen),
            flips.improvements(change),
        ]
    rates = summarize(evals, [subject.by], rule, **chosen)
    frames = [rates] if change is None else [rates, change.summary]
    parts += [
        sections.changes(subject),
        sections.criteria(subject),
        sections.severity(subject),
        sections.trend(subject),
        sections.case_map(subject),
        sections.cases(subject),
        provenance.problems(evals),
        provenance.methods(subject, frames),
        provenance.inventory(evals, version=version, now=time),
    ]
    suites = [name for name in evals.runs["suite"].cast(pl.String).unique(maintain_order=True) if name]
    about = ", ".join(suites) or plural(evals.runs.height, "run")
    sides = f"{change.candidate} against {change.baseline}" if change else ""
    headline, details = _headline(subject, rates)
    return Report(
        title=title or (f"{sides} · {about}" if sides else about),
        subject=title or about,
        headline=headline,
        details=details,
        tone=_tone(change),
        figures=replace(_figures(subject, rates).trimmed(), stacks=True),
        asides=tuple(_asides(subject)),
        sections=tuple(_trimmed(part) for part in parts if part is not None),
        made=f"evalkit {version}, {time:%d %B %Y, %H:%M} UTC",
        made_up=evals.made_up_note,
    )


def _by(evals: Evals, *sides: Any) -> str:
    """Return what to group by: what the sides are, else the version where runs name one, else the run."""
    names = {str(side) for side in sides if isinstance(side, str)}
    for column in ("agent_version", "model") if names and len(names) == len(sides) else ():
        if names <= {*evals.runs[column].cast(pl.String)}:
            return column
    columns = {str(column) for side in sides if isinstance(side, Mapping) for column in side}
    if columns in ({"model"}, {"agent"}, {"provider"}, {"run"}):
        return columns.pop()
    return "agent_version" if evals.runs["agent_version"].drop_nulls().len() else "run"


def _compared(
    subject: sections.Subject,
    baseline: Any,
    candidate: Any,
    margin: Mapping[str, float] | None,
    judge: Literal["same", "any"],
) -> sections.Subject:
    from evalkit.compare.compare import compare

    def against(by: str | None) -> Comparison:
        return compare(
            subject.evals,
            baseline=baseline,
            candidate=candidate,
            rule=subject.rule,
            by=by,
            margin=margin,
            judge=judge,
            **subject.chosen,
        )

    known = subject.graded["severity"].is_not_null().any()
    return replace(
        subject,
        change=against(None),
        by_criterion=against("criterion").summary.filter(pl.col("scope") != "overall"),
        by_severity=against("severity").summary.filter(pl.col("scope") != "overall") if known else None,
    )


def _trimmed(section: Section) -> Section:
    blocks = (block.trimmed() if isinstance(block, Table) else block for block in section.blocks)
    return replace(section, blocks=tuple(blocks))


def _pieces(change: Comparison) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the comparison's sentence in pieces, and the numbers behind it."""
    sentence = change.sentence.strip()
    cut = max(sentence.rfind(words) for words in _NUMBERS)
    head, numbers = (sentence[:cut], (sentence[cut:].strip(),)) if cut > 0 else (sentence, ())
    start = head.find(change.verdict, len(f"{change.candidate} against {change.baseline}"))
    if start < 0:
        return ((head, ""),), numbers
    end = start + len(change.verdict)
    before, after = (head[:start], ""), head[end:]
    down = change.flips.filter(pl.col("kind") == "regression")
    worst = down["severity"][0] if down.height else None
    comma, semicolon, alarm = after.partition("; ")
    if worst not in _GRAVE or not alarm:
        return (before, (change.verdict, "verdict"), (after, "")), numbers
    word, rest = (worst, alarm.removeprefix(worst)) if alarm.startswith(f"{worst} ") else ("", alarm)
    said = ((word, "severity"), (rest, "alarm")) if word else ((rest, "alarm"),)
    return (before, (change.verdict, "verdict"), (comma + semicolon, ""), *said), numbers


def _headline(
    subject: sections.Subject, rates: pl.DataFrame
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    if subject.change is not None:
        return _pieces(subject.change)
    evals, graded = subject.evals, subject.graded
    cases = graded.select("suite", "case").unique().height
    words = f"{plural(cases, 'case')}, {plural(evals.runs.height, 'run')}, {plural(graded.height, 'trial')}"
    best = rates.drop_nulls("pass_rate").sort("pass_rate")
    if best.height:
        low, high = best.row(0, named=True), best.row(-1, named=True)
        words += f": pass rate {percent(high['pass_rate'])}"
        if best.height > 1 and percent(high["pass_rate"]) == percent(low["pass_rate"]):
            words += f" for each of the {best.height}"
        elif best.height > 1:
            words += f" ({high[subject.by]}) down to {percent(low['pass_rate'])} ({low[subject.by]})"
    return ((f"{words}.", ""),), (
        "No baseline and candidate were named, so this describes and gives no verdict.",
    )


def _tone(change: Comparison | None) -> Tone:
    return "" if change is None else sections.TONES.get(change.verdict, "muted")


def _figures(subject: sections.Subject, rates: pl.DataFrame) -> Table:
    if subject.change is None:
        return sections.rates_table(rates, by=subject.by, key="key-figures")
    return sections.key_figures(subject.change)


def _asides(subject: sections.Subject) -> list[Text]:
    change = subject.change
    unscored = subject.graded.filter(pl.col("verdict") == "unscored").height
    words = []
    if change is not None:
        kinds = dict(change.flips["kind"].cast(pl.String).value_counts().iter_rows())
        words.append(
            f"{plural(kinds.get('regression', 0), 'case')} regressed, {kinds.get('improvement', 0)} improved"
        )
        if change.unpaired.height:
            words.append(f"{plural(change.unpaired.height, 'case')} on one side only")
    words.append(f"{plural(unscored, 'trial')} of {subject.graded.height:,} unscored")
    if subject.evals.problems.height:
        words.append(f"{plural(subject.evals.problems.height, 'record')} could not be read")
    if change is not None and change.warnings.height:
        ids = ", ".join(dict.fromkeys(change.warnings["id"].to_list()))
        words.append(f"warnings {ids} (under Rule, methods and warnings)")
    rule = subject.rule.words_for(subject.evals.criteria["kind"])
    return [Text(f"{'; '.join(words)}. A trial passes when {rule}.")]
