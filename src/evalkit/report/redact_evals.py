"""Redact the texts of evaluations before a report is made."""

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


def redact_evals(evals: Evals) -> Evals:
    """Redact secrets, e-mail addresses and phone numbers in all texts.

    A value has the same placeholder everywhere. A note counts each kind.

    Examples
    --------
    >>> from evalkit.data.evals import Evals
    >>> key = "gsk_" + "a1B2" * 8
    >>> trials = pl.DataFrame({"run": ["a"], "case": ["01"], "output": [f"I used {key}."]})
    >>> redacted = redact_evals(Evals.from_tables(trials=trials))
    >>> redacted.trials["output"].item(), [str(note) for note in redacted.notes]
    ('I used [secret-1].', ['Redacted: 1 of kind secret.'])
    """
    expect_evals(evals, "ek.report with redact=True", loaded=True)
    texts = {
        text: None
        for table, columns in _TEXTS.items()
        for column in columns
        for text in getattr(evals, table)[column].drop_nulls().unique(maintain_order=True)
    }
    redaction = redact(texts)
    changed = {old: new for old, new in zip(texts, redaction.texts, strict=True) if old != new}
    tables = {
        table: getattr(evals, table).with_columns(pl.col(columns).replace(changed))
        for table, columns in _TEXTS.items()
    }
    text = f"Redacted: {describe(redaction.counts)}." if changed else "Nothing had to be redacted."
    return replace(evals, **tables, notes=(*evals.notes, Note("redaction", text)))
