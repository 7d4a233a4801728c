"""Redact every text of evaluations before a report is made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from evalkit.util.arguments import expect_evals
from evalkit.util.notes import Note
from evalkit.util.redact import describe, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.data.evals import Evals


def redact_evals(evals: Evals, *beside: Any) -> tuple[Any, ...]:
    """Redact secrets, e-mail addresses and phone numbers in every text: names, IDs and notes too.

    A value has the same placeholder everywhere, so that redacted IDs still join. A note counts each kind.

    Parameters
    ----------
    evals
        The evaluations.
    *beside
        What is shown or looked up with them, such as a title or the sides: texts, or mappings and sequences of texts.

    Returns
    -------
    tuple
        The redacted evaluations, and each of `beside`.

    Examples
    --------
    >>> from evalkit.data.evals import Evals
    >>> key = "gsk_" + "a1B2" * 8
    >>> trials = pl.DataFrame({"run": [key], "case": ["01"], "output": [f"I used {key}."]})
    >>> redacted, title = redact_evals(Evals.from_tables(trials=trials), f"About {key}")
    >>> redacted.trials.select("run", "output").row(0), title
    (('[secret-1]', 'I used [secret-1].'), 'About [secret-1]')
    >>> [str(note) for note in redacted.notes]
    ['Redacted: 1 of kind secret.']
    """
    expect_evals(evals, "ek.report with redact=True", loaded=True)
    frames: dict[str, pl.DataFrame] = {table.name: frame for table, frame in evals.tables()}
    frames["problems"] = evals.problems
    scoring, rule = evals.scoring, evals.scoring.rule
    of_rule = (rule.weights, rule.gates) if rule else (None, None)
    names = (scoring.grader, scoring.rubric, *of_rule)
    plain = [evals.files, [(note.text, *note.files) for note in evals.notes], *names, *beside]
    texts: dict[str, None] = dict.fromkeys(text for frame in frames.values() for text in _frame_texts(frame))
    texts |= dict.fromkeys(text for value in plain for text in _texts(value))
    redaction = redact(texts)
    changed = {old: new for old, new in zip(texts, redaction.texts, strict=True) if old != new}
    counts = f"Redacted: {describe(redaction.counts)}." if changed else "Nothing had to be redacted."
    notes = [
        Note(note.kind, changed.get(note.text, note.text), _replaced(note.files, changed))
        for note in evals.notes
    ]
    grader, rubric, weights, gates = (_replaced(value, changed) for value in names)
    rule = replace(rule, weights=weights, gates=gates) if rule else None
    made: dict[str, Any] = {name: _redacted_frame(frame, changed) for name, frame in frames.items()}
    redacted = replace(
        evals,
        **made,
        notes=(*notes, Note("redaction", counts)),
        files=_replaced(evals.files, changed),
        scoring=replace(scoring, rule=rule, grader=grader, rubric=rubric),
    )
    return (redacted, *(_replaced(value, changed) for value in beside))


def _frame_texts(frame: pl.DataFrame) -> Iterator[str]:
    for series in frame.get_columns():
        if isinstance(series.dtype, pl.List):
            series = series.explode()
        if series.dtype in (pl.String, pl.Categorical):
            yield from series.drop_nulls().unique(maintain_order=True).cast(pl.String)


def _redacted_frame(frame: pl.DataFrame, changed: dict[str, str]) -> pl.DataFrame:
    if not changed:
        return frame
    new = []
    for name, dtype in frame.schema.items():
        if dtype in (pl.String, pl.Categorical):
            new.append(pl.col(name).cast(pl.String).replace(changed).cast(dtype))
        elif dtype == pl.List(pl.String):
            new.append(pl.col(name).list.eval(pl.element().replace(changed)))
    return frame.with_columns(new)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _replaced(value: Any, changed: dict[str, str]) -> Any:
    """Return a value with its texts replaced, whole ones only."""
    if isinstance(value, str):
        return changed.get(value, value)
    if isinstance(value, dict):
        return {_replaced(key, changed): _replaced(item, changed) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(item, changed) for item in value)
    return value
