"""Summarize an `Evals` for a terminal or a notebook."""

from __future__ import annotations

from typing import Any

import polars as pl

from evalkit.data.frames import some_of
from evalkit.util.format import shorten
from evalkit.util.hostile_text import escape
from evalkit.util.html_table import Html, html_list, html_table
from evalkit.util.words import NOT_GIVEN, plural, printable

_NAMES = 4
_NAME_CHARS = 40
_ERROR_CHARS = 90


def as_text(evals: Any) -> str:
    """Return the counts and a line per table."""
    lines = [f"Evals: {', '.join(_counts(evals))}"]
    lines += [f"  {name:<9}{height:>9,}  {facts}".rstrip() for name, height, facts in _rows(evals)]
    return "\n".join(lines)


def as_html(evals: Any) -> Html:
    """Return the counts, a row per table, and the notes."""
    rows = [(name, f"{height:,}", facts) for name, height, facts in _rows(evals)]
    table = html_table(["Table", "Rows", "Content"], rows, numeric=["Rows"], row_heads=True)
    counts = escape(", ".join(_counts(evals)))
    return Html(f"<p><strong>Evals</strong>: {counts}</p>{table}{html_list(evals.notes)}")


def _trial_counts(evals: Any) -> dict[str, int]:
    """Count cases and trials, including those only in `scores`."""
    trials = evals.attempts()
    cases = evals.cases.height or trials["case"].n_unique()
    return {"cases": cases, "trials": trials.height}


def _counts(evals: Any) -> list[str]:
    suites = pl.concat([evals.cases["suite"], evals.runs["suite"].drop_nulls()]).unique()
    named = _trial_counts(evals)
    counts = [
        (named["cases"], "case"),
        (evals.runs.height, "run"),
        (named["trials"], "trial"),
        (some_of(evals.scores, "run").height, "score"),
        (evals.problems.height, "problem"),
    ]
    suite_count = len([name for name in suites if name])
    suite = [plural(suite_count, "suite")] if suite_count else []
    return suite + [plural(count, word) for count, word in counts]


def _rows(evals: Any) -> list[tuple[str, int, str]]:
    scores = some_of(evals.scores, "score", "grader")
    errors = some_of(evals.trials, "error")["error"].drop_nulls()
    facts = {
        "cases": _severities(evals.cases["severity"]),
        "criteria": _names(evals.criteria["criterion"]),
        "runs": f"versions {_names(evals.runs['agent_version'])}; models {_names(evals.runs['model'])}",
        "trials": _crashes(errors),
        "scores": f"{scores['score'].null_count():,} without a score; graders {_names(scores['grader'])}",
    }
    named = _trial_counts(evals)
    rows: list[tuple[str, int, str]] = []
    for table, frame in evals.tables():
        height = some_of(frame, table.key[0]).height
        parts = [facts[table.name]] if height and table.name in facts else []
        only_scored = named.get(table.name, 0) - height
        if only_scored > 0:
            word = "more " if height else ""
            parts.append(f"{only_scored:,} {word}only in the scores")
        rows.append((table.name, height, "; ".join(parts)))
    return [*rows, ("problems", evals.problems.height, "")]


def _names(series: pl.Series) -> str:
    names = sorted({str(name) for name in series.drop_nulls().unique() if name != ""})
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(_plain(name, _NAME_CHARS) for name in names[:_NAMES]) + more if names else NOT_GIVEN


def _crashes(errors: pl.Series) -> str:
    if errors.is_empty():
        return "0 crashed"
    error, count = errors.value_counts().sort("count", "error", descending=[True, False]).row(0)
    share = "" if count == errors.len() else f", {count:,} of them"
    return f"{errors.len():,} crashed{share}: {_plain(str(error), _ERROR_CHARS)}"


def _severities(series: pl.Series) -> str:
    counts = series.drop_nulls().value_counts().sort(series.name, descending=True)
    return ", ".join(f"{count} {name}" for name, count in counts.iter_rows()) or f"severity {NOT_GIVEN}"


def _plain(text: str, limit: int) -> str:
    return shorten(printable(text.replace("\n", "\N{REPLACEMENT CHARACTER}")), limit)
