"""Where a report's numbers come from: problems, notes, rule, methods, warnings, graders, runs, files."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.evals import some_of
from evalkit.report.blocks import MINUS, NOTHING, Cell, Items, Section, Table, Text
from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.report.blocks import Block
    from evalkit.report.sections import Subject

_MOST_PROBLEMS = 50
_MOST_RUNS = 100
_CHUNK = 1 << 20
_NEGATIVE = re.compile(r"(?<![\w.-])-(?=\d)")
# A report is read by people who were sent it: what is said to whoever wrote the code is said otherwise.
_TO_READERS: Final = {
    "W20": 'Nobody declared beforehand what loss would not matter (a margin), so nothing here can say "no regression", only what was seen.',
}


def problems(evals: Evals) -> Section | None:
    """Return what could not be read, and what was taken for what; None where there is neither."""
    blocks: list[Block] = []
    if evals.problems.height:
        rows = tuple(
            (
                Cell(f"{row['source']}:{row['line']}" if row["line"] is not None else row["source"], "code"),
                Cell(row["reason"], "long"),
            )
            for row in evals.problems.head(_MOST_PROBLEMS).to_dicts()
        )
        more = evals.problems.height - len(rows)
        blocks.append(
            Table(
                f"{plural(evals.problems.height, 'record')} could not be read, or not wholly",
                (Cell("Where"), Cell("What is wrong")),
                rows,
                key="table-problems",
                note=f"And {more:,} more." if more else "",
            )
        )
    if evals.notes:
        blocks += [Text("Notes made while reading:"), Items(tuple(map(str, evals.notes)))]
    return Section("problems", "Problems and notes", tuple(blocks)) if blocks else None


def methods(subject: Subject, frames: list[pl.DataFrame]) -> Section:
    """Return the rule in words, the methods behind the numbers, the warnings, and who judged."""
    graded = subject.graded
    unscored = graded.filter(pl.col("verdict") == "unscored").height
    used = list(dict.fromkeys(m for frame in frames for m in frame["method"].drop_nulls().to_list()))
    items = [
        f"The rule: a trial passes when {subject.rule.words_for(subject.evals.criteria['kind'])}.",
        "A case's trials are averaged inside the case; rates, means and intervals are over cases. n counts cases.",
        f"{plural(graded.height, 'trial')}: {_verdicts(graded)}. What could not be judged is unscored: never a fail, and in no rate.",
        f"Methods: {'; '.join(used)}." if used else "No interval could be given.",
    ]
    if unscored:
        reasons = (
            graded.filter(pl.col("verdict") == "unscored")["reason"].drop_nulls().value_counts(sort=True)
        )
        items.append(
            "Why unscored: " + "; ".join(f"{reason} ({count})" for reason, count in reasons.iter_rows()) + "."
        )
    blocks: list[Block] = [Text(words, "warn") for words in subject.fewer]
    if subject.change is not None:
        change = subject.change
        margin = getattr(change, "margin", None)
        items.append(
            "Margin: " + ", ".join(f"{name} {value:g}" for name, value in margin.items()) + "."
            if margin
            else 'No margin was declared: nothing here says "no worse".'
        )
        warned = tuple(
            (Cell(row["id"], "nowrap"), Cell(str(row["scope"]), "nowrap"), Cell(_told(row), "long"))
            for row in change.warnings.to_dicts()
        )
        if warned:
            blocks.append(
                Table(
                    "Warnings",
                    (Cell("Id"), Cell("Scope"), Cell("What to keep in mind")),
                    warned,
                    key="table-warnings",
                )
            )
    return Section(
        "methods", "Rule, methods and warnings", (Items(tuple(items)), *blocks, _graders(subject.evals))
    )


def inventory(evals: Evals, *, version: str, now: datetime) -> Section:
    """Return the runs, and every file that was read with its size and hash."""
    files = tuple(_file(name) for name in evals.files)
    blocks: list[Block] = [_runs(evals)]
    if files:
        blocks.append(
            Table(
                "Files read", (Cell("File"), Cell("Size", "num"), Cell("SHA-256")), files, key="table-files"
            )
        )
    else:
        blocks.append(Text("No file was read: the tables were in memory."))
    counts = ", ".join(
        plural(
            some_of(frame, table.key[0]).height,
            "criterion" if table.name == "criteria" else table.name[:-1],
            plural=table.name,
        )
        for table, frame in evals.tables()
    )
    blocks.append(Text(f"{counts}. Made with evalkit {version}, {now:%d %B %Y, %H:%M} UTC."))
    return Section("inputs", "Inputs", tuple(blocks))


def now() -> datetime:
    """Return the time that a report says it was made at."""
    return datetime.now(UTC)


def _told(warning: dict[str, Any]) -> str:
    """Return a warning as a reader of the report is told it, with true minus signs."""
    return _NEGATIVE.sub(MINUS, _TO_READERS.get(warning["id"], warning["text"]))


def _verdicts(graded: pl.DataFrame) -> str:
    counts = dict(graded["verdict"].cast(pl.String).value_counts().iter_rows())
    words = {"pass": "passed", "fail": "failed", "unscored": "unscored"}
    return ", ".join(f"{counts.get(verdict, 0):,} {word}" for verdict, word in words.items())


def _graders(evals: Evals) -> Table:
    table = (
        evals.scores.lazy()
        .group_by("grader_kind", "grader", "judge_model", "rubric_hash", maintain_order=True)
        .agg(
            pl.len().alias("judgements"),
            pl.col("score").is_null().sum().alias("unscored"),
            pl.col("criterion").n_unique().alias("criteria"),
        )
        .group_by("grader_kind", "grader", "judge_model", maintain_order=True)
        .agg(pl.col("judgements", "unscored").sum(), (pl.col("rubric_hash") != "").sum().alias("rubrics"))
        .collect()
    )
    rows = tuple(
        (
            Cell(str(row["grader"] or NOT_GIVEN)),
            Cell(row["grader_kind"] or NOTHING, "nowrap"),
            Cell(row["judge_model"] or NOTHING),
            Cell(f"{row['judgements']:,}", "num"),
            Cell(f"{row['unscored']:,}", "num"),
            Cell(f"{row['rubrics']:,}" if row["rubrics"] else NOTHING, "num"),
        )
        for row in table.to_dicts()
    )
    names = ("Grader", "Kind", "Model", "Judgements", "Without a score", "Rubric wordings")
    return Table(
        "Who judged",
        tuple(Cell(name, "num" if at > 2 else "") for at, name in enumerate(names)),
        rows,
        key="table-graders",
    )


def _runs(evals: Evals) -> Table:
    trials = dict(evals.attempts().group_by("run").len().iter_rows())
    shown = evals.runs.head(_MOST_RUNS).to_dicts()
    rows = tuple(
        (
            Cell(str(row["run"])),
            *(
                Cell(str(row[name] or NOTHING))
                for name in ("suite", "agent", "agent_version", "model", "provider")
            ),
            Cell(NOTHING if row["started_at"] is None else f"{row['started_at']:%Y-%m-%d %H:%M}", "nowrap"),
            Cell(f"{trials.get(row['run'], 0):,}", "num"),
        )
        for row in shown
    )
    names = ("Run", "Suite", "Agent", "Version", "Model", "Provider", "Started, UTC")
    more = evals.runs.height - len(shown)
    return Table(
        "Runs", (*(Cell(name) for name in names), Cell("Trials", "num")), rows, key="table-runs", note=f"And {more:,} more." if more else ""
    )  # fmt: skip


def _file(name: str) -> tuple[Cell, ...]:
    """Return a row of the inventory; a file that is gone, or cannot be read, says so."""
    path = Path(name)
    try:
        if not path.is_file():
            return Cell(name, "code"), Cell(NOTHING, "num"), Cell("not on disk now", "muted")
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except (OSError, ValueError) as error:
        return Cell(name, "code"), Cell(NOTHING, "num"), Cell(f"cannot be read now: {_why(error)}", "muted")
    return Cell(name, "code"), Cell(_bytes(size), "num"), Cell(digest.hexdigest(), "code")


def _why(error: Any) -> str:
    return getattr(error, "strerror", None) or str(error)


def _bytes(size: int) -> str:
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f} {unit}"
    return f"{size} B"
