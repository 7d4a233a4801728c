"""Write the native folder, and add lines to its files."""

from __future__ import annotations

import json
import os
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.columns import SURROGATE
from evalkit.data.folder_fields import (
    MESSAGE_FIELDS,
    RUN_FIELDS,
    SCORE_FIELDS,
    SCORES_FILE,
    SUITE_FILE,
    TRANSCRIPTS_FILE,
)
from evalkit.data.schema import CASES, CRITERIA
from evalkit.util.arguments import expect_evals
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import FormatError, PathError, SuiteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evalkit.data.evals import Evals
    from evalkit.data.suite import Suite

_NESTED: Final = ("config", "tool_calls", "parts", "metadata")
# Left out of a line when they are empty: reading puts the empty string back.
_EMPTY_UNLESS_GIVEN: Final = ("suite", "grader", "rubric_hash")
# What a suite without a name is called in a suite file, which needs one.
_UNNAMED: Final = "unnamed"


def write(evals: Evals, folder: str | Path) -> Path:
    """Write the three files of a native folder, each whole or not at all.

    The same tables always give the same bytes: fields stand in schema order, nulls are left out, rows
    keep their order. `source` and `line` are not written. A table without rows has no file. A `suite.yaml` that is there and says the same
    is left as it is, with its comments.

    Returns
    -------
    pathlib.Path
        The folder.

    Examples
    --------
    >>> import tempfile
    >>> from evalkit.data.evals import Evals
    >>> evals = Evals.from_tables(
    ...     scores=pl.DataFrame({"run": ["a"], "case": ["01"], "criterion": ["Groq"], "score": [4.0]})
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print((write(evals, folder) / "scores.jsonl").read_text())
    {"run":"a","case":"01","epoch":1,"criterion":"Groq","sample":1,"score":4.0}
    """
    expect_evals(evals, "native.write", loaded=True)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_suites(evals, folder)
    names = [c.name for c in SCORE_FIELDS]
    rows = evals.scores.select(names).iter_rows()
    _write_lines(folder / SCORES_FILE, (_given(zip(names, row, strict=True)) for row in rows))
    _write_lines(folder / TRANSCRIPTS_FILE, _trial_lines(evals))
    return folder


def append(path: str | Path, records: Iterable[dict[str, Any]]) -> None:
    """Add one JSON object a line to a file, and do not return before it is on the disk.

    A last line that a crash left half-written is closed first, so that it costs no other record.

    Parameters
    ----------
    path
        The file; it and its folder are made when they are not there.
    records
        What to write. Nones are left out; a lone surrogate, which UTF-8 cannot hold, becomes U+FFFD.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(_encode(_given(record.items())) + b"\n" for record in records)
    if not data:
        return
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            data = data if file.read(1) == b"\n" else b"\n" + data
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _write_suites(evals: Evals, folder: Path) -> None:
    """Write a suite file for each suite of which a case, or a criterion with its scale, is known."""
    criteria = evals.criteria.filter(pl.col("scale_min").is_not_null() & pl.col("scale_max").is_not_null())
    cases = evals.cases.filter(pl.col("case") != "")
    names = pl.concat([cases["suite"], criteria["suite"]]).unique(maintain_order=True)
    for number, name in enumerate(names, 1):
        path = folder / (SUITE_FILE if number == 1 else f"suite-{number}.yaml")
        wanted = cases.filter(pl.col("suite") == name), criteria.filter(pl.col("suite") == name)
        if not _says_the_same(path, *wanted):
            try:
                suite = _suite(name or _UNNAMED, *wanted)
            except ValueError as error:
                raise FormatError(f"The suite {name!r} cannot be written as YAML: {error}") from None
            suite.write(path)


def _says_the_same(path: Path, cases: pl.DataFrame, criteria: pl.DataFrame) -> bool:
    from evalkit.data.suite import Suite

    try:
        have_cases, have_criteria = Suite.read(path).tables()
    except (SuiteError, PathError):
        return False
    return CASES.check(have_cases).equals(cases) and CRITERIA.check(have_criteria).equals(criteria)


def _suite(name: str, cases: pl.DataFrame, criteria: pl.DataFrame) -> Suite:
    from evalkit.data.suite import Case, Criterion, Suite

    made_criteria = []
    for row in criteria.iter_rows(named=True):
        given = {key: row[key] for key in ("description", "weight", "kind") if row[key] is not None}
        anchors = msgspec.json.decode(row["anchors"]) if row["anchors"] else {}
        scale = (row["scale_min"], row["scale_max"])
        made_criteria.append(
            Criterion.model_validate({"name": row["criterion"], "scale": scale, "anchors": anchors, **given})
        )
    made_cases = []
    for row in cases.iter_rows(named=True):
        plain = ("input", "prompt", "check", "domain", "severity", "tags", "cluster")
        given = {key: row[key] for key in plain if row[key] is not None}
        expected = {
            "ideal_behavior": row["ideal_behavior"] or "",
            "rubric": (row["expected_rubric"] or "").splitlines(),
        }
        made_cases.append(Case.model_validate({"id": row["case"], "expected": expected, **given}))
    return Suite(suite=name, criteria=made_criteria, cases=made_cases)


def _trial_lines(evals: Evals) -> Iterator[dict[str, Any]]:
    """Yield the lines of `transcripts.jsonl`: the trials in order, then the runs that have none."""
    messages: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    turns = evals.turns.sort("turn", maintain_order=True).select(
        "run", "case", "epoch", "turn", *MESSAGE_FIELDS
    )
    for run, case, epoch, turn, *values in turns.iter_rows():
        trial = messages.setdefault((run, case, epoch), [])
        message = _given(zip(MESSAGE_FIELDS, values, strict=True))
        trial.append(message if turn == len(trial) + 1 else {"turn": turn, **message})
    runs = {row.pop("run"): row for row in evals.runs.drop("source").iter_rows(named=True)}
    for row in evals.trials.drop("source", "line").iter_rows(named=True):
        key = (row.pop("run"), row.pop("case"), row.pop("epoch"))
        yield _trial_line(key, runs.get(key[0], {}), messages.pop(key, None), row)
    for key, rest in messages.items():
        yield _trial_line(key, runs.get(key[0], {}), rest, {})
    idle = set(runs) - set(evals.trials["run"].unique()) - set(evals.turns["run"].unique())
    for run, facts in runs.items():
        if run in idle:
            yield _run_facts(run, facts)


def _run_facts(run: str, facts: dict[str, Any]) -> dict[str, Any]:
    names = {name: facts.get(name) for name in RUN_FIELDS}
    return _given(
        {
            "run": run,
            **names,
            "run_started_at": facts.get("started_at"),
            "config": facts.get("config"),
        }.items()
    )


def _trial_line(
    key: tuple[Any, ...],
    facts: dict[str, Any],
    messages: list[dict[str, Any]] | None,
    values: dict[str, Any],
) -> dict[str, Any]:
    run, case, epoch = key
    start = _run_facts(run, facts)
    return {**start, **_given({"case": case, "epoch": epoch, "messages": messages, **values}.items())}


def _given(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a line's fields without those that say nothing, times and nested JSON as they are written."""
    made = {}
    for name, value in items:
        if value is None or (value == "" and name in _EMPTY_UNLESS_GIVEN):
            continue
        if isinstance(value, datetime):
            value = value.isoformat().replace("+00:00", "Z")
        elif name in _NESTED and isinstance(value, str):
            value = _as_json(value)
        made[name] = value
    return made


def _as_json(text: str) -> Any:
    """Return text that is a JSON object or list so that it is written as one, byte for byte; else the text."""
    if text[:1] not in ("{", "[") or text[-1:] not in ("}", "]") or "\n" in text:
        return text
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text
    return msgspec.Raw(text.encode())


def _encode(fields: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(fields)
    except (UnicodeEncodeError, msgspec.MsgspecError):
        # A lone surrogate: paid-for text is worth more than the one character.
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), default=_nested)
        return SURROGATE.sub("\ufffd", text).encode()


def _nested(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else str(value)


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write the lines, or take the file away where there are none."""
    records = iter(records)
    first = next(records, None)
    if first is None:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as fresh, fresh.open("wb") as file:
        for fields in chain([first], records):
            file.write(msgspec.json.encode(fields) + b"\n")
