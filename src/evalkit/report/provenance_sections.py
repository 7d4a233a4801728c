"""Where the numbers of a report come from: problems, notes, rule, methods, warnings, graders, runs, files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit.data.evals import some_of
from evalkit.report.blocks import BulletList, Cell, ReportTable, Section, Text
from evalkit.util.format import bytes_size
from evalkit.util.html_table import MISSING
from evalkit.util.words import NOT_GIVEN, plural
from evalkit.widgets.transcript_view import scores_that_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.evals import Evals
    from evalkit.report.blocks import Block
    from evalkit.report.sections import Subject

_PROBLEM_LIMIT: Final = 50
_RUN_LIMIT: Final = 100
_CHUNK: Final = 1 << 20
_RUN_COLUMNS: Final = {
    "run": "Run",
    "suite": "Suite",
    "agent": "Agent",
    "agent_version": "Version",
    "model": "Model",
    "provider": "Provider",
}


def problems(evals: Evals) -> Section | None:
    """Return the records that could not be read and the notes; None without any."""
    blocks: list[Block] = []
    count = evals.problems.height
    if count:
        rows = [
            (
                Cell(f"{row['source']}:{row['line']}" if row["line"] is not None else row["source"], "code"),
                Cell(row["reason"], "long"),
            )
            for row in evals.problems.head(_PROBLEM_LIMIT).to_dicts()
        ]
        caption = f"{plural(count, 'record')} could not be read, or only in part"
        note = _and_more(count, _PROBLEM_LIMIT)
        blocks.append(ReportTable.of(caption, ("Where", "Problem"), rows, key="table-problems", note=note))
    if evals.notes:
        blocks += [Text("Notes from reading the data:"), BulletList(tuple(map(str, evals.notes)))]
    return Section("problems", "Problems and notes", tuple(blocks)) if blocks else None


def methods(subject: Subject) -> Section:
    """Return the rule in words, the methods, the warnings and the graders."""
    graded, change = subject.graded, subject.change
    counts = dict(graded["verdict"].cast(pl.String).value_counts().iter_rows())
    verdicts = ", ".join(
        f"{counts.get(verdict, 0):,} {word}"
        for verdict, word in (("pass", "passed"), ("fail", "failed"), ("unscored", "unscored"))
    )
    frames = [subject.rates] if change is None else [subject.rates, change.summary]
    used = pl.concat(frame["method"] for frame in frames).drop_nulls().unique(maintain_order=True)
    items = [
        f"Rule: a trial passes when {subject.rule_words}.",
        "Trials are averaged per case. Rates, means and intervals are over cases, and n counts cases.",
        f"{plural(graded.height, 'trial')}: {verdicts}. An unscored trial is no fail and is in no rate.",
        f"Methods: {'; '.join(used)}." if used.len() else "There is no interval.",
    ]
    reasons = subject.unscored["reason"].drop_nulls().value_counts(sort=True).rows()
    if reasons:
        items.append(f"Unscored: {'; '.join(f'{reason} ({count})' for reason, count in reasons)}.")
    blocks: list[Block] = [*subject.warnings()]
    if change is not None:
        margins = ", ".join(f"{name} {value:g}" for name, value in (change.margin or {}).items())
        items.append(f"Margin: {margins}." if margins else 'No margin set: no verdict is "no worse".')
        rows = [
            (Cell(row["id"], "nowrap"), Cell(row["scope"], "nowrap"), Cell(row["text"], "long"))
            for row in change.warnings.to_dicts()
        ]
        if rows:
            blocks.append(ReportTable.of("Warnings", ("ID", "Scope", "Warning"), rows, key="table-warnings"))
    blocks.append(_graders(subject))
    return Section("methods", "Rule, methods and warnings", (BulletList(tuple(items)), *blocks))


def inventory(evals: Evals, *, made: str) -> Section:
    """Return the runs, and every file read with its size and hash."""
    files: Block = Text("No file was read: the tables were in memory.")
    if evals.files:
        heads = ("File", "Size", "SHA-256")
        files = ReportTable.of("Files read", heads, map(_file, evals.files), key="table-files", numeric=(1,))
    counts = ", ".join(
        plural(
            some_of(frame, table.key[0]).height,
            "criterion" if table.name == "criteria" else table.name[:-1],
            plural=table.name,
        )
        for table, frame in evals.tables()
    )
    return Section("inputs", "Inputs", (_runs(evals), files, Text(f"{counts}. Made with {made}.")))


def _graders(subject: Subject) -> ReportTable:
    """Return the graders whose scores count; all of them if none was chosen."""
    by = ("grader_kind", "grader", "judge_model")
    table = (
        scores_that_count(subject.evals.scores.lazy(), subject.scoring)
        .group_by(*by, "rubric_hash", maintain_order=True)
        .agg(pl.len().alias("judgements"), pl.col("score").is_null().sum().alias("unscored"))
        .group_by(*by, maintain_order=True)
        .agg(pl.col("judgements", "unscored").sum(), (pl.col("rubric_hash") != "").sum().alias("rubrics"))
        .collect()
        .sort(pl.col(by).cast(pl.String), nulls_last=True)
    )
    rows = (
        (
            row["grader"] or NOT_GIVEN,
            Cell(row["grader_kind"] or MISSING, "nowrap"),
            row["judge_model"],
            row["judgements"],
            row["unscored"],
            row["rubrics"] or None,
        )
        for row in table.to_dicts()
    )
    heads = ("Grader", "Kind", "Model", "Judgements", "Unscored", "Rubric versions")
    return ReportTable.of("Graders", heads, rows, key="table-graders", numeric=(3, 4, 5))


def _runs(evals: Evals) -> ReportTable:
    trials = dict(evals.attempts().group_by("run").len().iter_rows())
    rows = (
        (
            *(row[name] or None for name in _RUN_COLUMNS),
            Cell(MISSING if row["started_at"] is None else f"{row['started_at']:%Y-%m-%d %H:%M}", "nowrap"),
            trials.get(row["run"], 0),
        )
        for row in evals.runs.head(_RUN_LIMIT).to_dicts()
    )
    heads = (*_RUN_COLUMNS.values(), "Started, UTC", "Trials")
    note = _and_more(evals.runs.height, _RUN_LIMIT)
    return ReportTable.of("Runs", heads, rows, key="table-runs", numeric=(len(heads) - 1,), note=note)


def _and_more(count: int, limit: int) -> str:
    return f"And {count - limit:,} more." if count > limit else ""


def _file(name: str) -> Sequence[Cell | str | None]:
    """Return the size and hash of a file, or why they are unknown."""
    path, cell = Path(name), Cell(name, "code")
    try:
        if not path.is_file():
            return cell, None, Cell("not on disk now", "muted")
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return cell, None, Cell(f"not readable now: {reason}", "muted")
    return cell, bytes_size(size), Cell(digest.hexdigest(), "code")
