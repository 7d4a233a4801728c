"""What must not leave the machine, masked before a report is made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit.util.arguments import expect_evals
from evalkit.util.notes import Note
from evalkit.util.redact import describe, redact

if TYPE_CHECKING:
    from evalkit.data.evals import Evals

_TEXTS: Final = {
    "cases": ("input", "prompt", "ideal_behavior", "expected_rubric"),
    "trials": ("output", "error"),
    "turns": ("content", "reasoning", "tool_calls", "parts"),
    "scores": ("rationale", "evidence", "answer", "error", "metadata"),
}


def mask(evals: Evals) -> Evals:
    """Return the evaluations with secrets, e-mail addresses and phone numbers masked wherever somebody wrote them.

    One value is the same placeholder everywhere. A note says how many of each kind there were, never which.

    Examples
    --------
    >>> from evalkit.data.evals import Evals
    >>> key = "gsk_" + "a1B2" * 8
    >>> trials = pl.DataFrame({"run": ["a"], "case": ["01"], "output": [f"I used {key}."]})
    >>> masked = mask(Evals.from_tables(trials=trials))
    >>> masked.trials["output"].item(), [str(note) for note in masked.notes]
    ('I used [secret-1].', ['Masked before this was written: 1 of kind secret.'])
    """
    expect_evals(evals, "ek.report with redact=True", loaded=True)
    found: dict[str, None] = {}
    for table, columns in _TEXTS.items():
        for column in columns:
            found.update(
                dict.fromkeys(getattr(evals, table)[column].drop_nulls().unique(maintain_order=True))
            )
    made = redact(found)
    changed = {old: new for old, new in zip(found, made.texts, strict=True) if old != new}
    if not changed:
        return replace(
            evals,
            notes=(*evals.notes, Note("redaction", "Nothing had to be masked before this was written.")),
        )
    tables = {
        table: getattr(evals, table).with_columns(pl.col(column).replace(changed) for column in columns)
        for table, columns in _TEXTS.items()
    }
    note = Note("redaction", f"Masked before this was written: {describe(made.counts)}.")
    return replace(evals, **tables, notes=(*evals.notes, note))
