"""Write the native folder, and append lines to its files."""

from __future__ import annotations

import os
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.folder_fields import (
    MESSAGE_FIELDS,
    RUN_FIELDS,
    SCORE_FIELDS,
    SCORES_FILE,
    SUITE_FILE,
    TRANSCRIPTS_FILE,
)
from evalkit.data.json_text import encode_json
from evalkit.util.arguments import expect_evals
from evalkit.util.atomic_files import append_all, atomic_write, explain_full_disk, open_for_append
from evalkit.util.errors import FormatError, PathError, SuiteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import FileIO

    from evalkit.data.evals import Evals
    from evalkit.data.suite import Suite

_NESTED: Final = ("config", "tool_calls", "parts", "metadata")
# Left out if empty: reading restores the empty string.
_OPTIONAL: Final = ("suite", "grader", "rubric_hash")
# A suite file needs a name.
_UNNAMED: Final = "unnamed"
_BLOCK_BYTES: Final = 1 << 16


def write(evals: Evals, folder: str | Path) -> Path:
    """Write a native folder, each file atomically.

    The same tables give the same bytes. `source` and `line` are not written; a table without rows has no
    file. An equal `suite.yaml` keeps its comments.

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
    _write_lines(folder / SCORES_FILE, (_fields(zip(names, row, strict=True)) for row in rows))
    _write_lines(folder / TRANSCRIPTS_FILE, _trial_lines(evals))
    return folder


def append(path: str | Path, records: Iterable[dict[str, Any]]) -> None:
    """Append one JSON object per line; return when it is on disk.

    A last line that a crash cut short is removed first. Raise `PathError` for a full disk, and `FormatError` for a
    link, a pipe or a device in place of the file.

    Parameters
    ----------
    path
        The file; it and its folder are created if missing.
    records
        The objects. None values are left out; a lone surrogate becomes U+FFFD.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(encode_json(_fields(record.items())) + b"\n" for record in records)
    if not data:
        return
    with explain_full_disk(path), open_for_append(path) as file:
        append_all(file, _cut_torn_line(file) + data)


def _cut_torn_line(file: FileIO) -> bytes:
    """Cut off a last line that a crash left unreadable; return the line end that a readable one lacks."""
    size = file.seek(0, os.SEEK_END)
    tail, start = b"", size
    while start and b"\n" not in tail:
        start = max(start - _BLOCK_BYTES, 0)
        file.seek(start)
        tail = file.read(size - start)
    last = tail[tail.rfind(b"\n") + 1 :]
    if not last.strip():
        return b""
    try:
        msgspec.json.decode(last)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        file.truncate(size - len(last))
        return b""
    return b"\n"


def _write_suites(evals: Evals, folder: Path) -> None:
    criteria = evals.criteria.filter(pl.col("scale_min").is_not_null() & pl.col("scale_max").is_not_null())
    cases = evals.cases.filter(pl.col("case") != "")
    names = pl.concat([cases["suite"], criteria["suite"]]).unique(maintain_order=True)
    for number, name in enumerate(names, 1):
        path = folder / (SUITE_FILE if number == 1 else f"suite-{number}.yaml")
        tables = cases.filter(pl.col("suite") == name), criteria.filter(pl.col("suite") == name)
        if not _is_current(path, *tables):
            try:
                suite = _suite(name or _UNNAMED, *tables)
            except ValueError as error:
                raise FormatError(f"The suite {name!r} cannot be written as YAML: {error}") from None
            suite.write(path)


def _is_current(path: Path, cases: pl.DataFrame, criteria: pl.DataFrame) -> bool:
    from evalkit.data.suite import Suite

    try:
        file_cases, file_criteria = Suite.read(path).tables()
    except (SuiteError, PathError):
        return False
    return file_cases.equals(cases) and file_criteria.equals(criteria)


def _suite(name: str, cases: pl.DataFrame, criteria: pl.DataFrame) -> Suite:
    from evalkit.data.suite import Suite

    criterion_fields = ("description", "weight", "kind", "direction")
    case_fields = ("input", "prompt", "check", "domain", "severity", "tags", "cluster")
    return Suite.model_validate(
        {
            "suite": name,
            "criteria": [
                {
                    "name": row["criterion"],
                    "scale": (row["scale_min"], row["scale_max"]),
                    "anchors": msgspec.json.decode(row["anchors"]) if row["anchors"] else {},
                    **{key: row[key] for key in criterion_fields if row[key] is not None},
                }
                for row in criteria.iter_rows(named=True)
            ],
            "cases": [
                {
                    "id": row["case"],
                    "expected": {
                        "ideal_behavior": row["ideal_behavior"] or "",
                        "rubric": (row["expected_rubric"] or "").splitlines(),
                    },
                    **{key: row[key] for key in case_fields if row[key] is not None},
                }
                for row in cases.iter_rows(named=True)
            ],
        }
    )


def _trial_lines(evals: Evals) -> Iterator[dict[str, Any]]:
    messages: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    columns = ("run", "case", "epoch", "turn", *MESSAGE_FIELDS)
    for run, case, epoch, turn, *values in (
        evals.turns.sort("turn", maintain_order=True).select(columns).iter_rows()
    ):
        turns = messages.setdefault((run, case, epoch), [])
        message = _fields(zip(MESSAGE_FIELDS, values, strict=True))
        turns.append(message if turn == len(turns) + 1 else {"turn": turn, **message})
    runs = {row["run"]: _run_fields(row) for row in evals.runs.iter_rows(named=True)}

    def line(
        key: tuple[Any, ...], turns: list[dict[str, Any]] | None, values: dict[str, Any]
    ) -> dict[str, Any]:
        run, case, epoch = key
        fields = _fields({"case": case, "epoch": epoch, "messages": turns, **values}.items())
        return {**runs.get(run, {"run": run}), **fields}

    for row in evals.trials.drop("source", "line").iter_rows(named=True):
        key = (row.pop("run"), row.pop("case"), row.pop("epoch"))
        yield line(key, messages.pop(key, None), row)
    for key, turns in messages.items():
        yield line(key, turns, {})
    idle = runs.keys() - set(evals.trials["run"].unique()) - set(evals.turns["run"].unique())
    yield from (fields for run, fields in runs.items() if run in idle)


def _run_fields(row: dict[str, Any]) -> dict[str, Any]:
    config = row["config"] or ""
    # The demo's config has it already.
    made_up = row["made_up"] if '"made_up"' not in config else None
    names = {name: row[name] for name in ("run", *RUN_FIELDS)}
    more = {"run_started_at": row["started_at"], "config": row["config"], "made_up": made_up}
    return _fields({**names, **more}.items())


def _fields(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a line's non-empty fields, with times and nested JSON as written."""
    fields = {}
    for name, value in items:
        if value is None or (value == "" and name in _OPTIONAL):
            continue
        if isinstance(value, datetime):
            value = value.isoformat().replace("+00:00", "Z")
        elif name in _NESTED and isinstance(value, str):
            value = _as_json(value)
        fields[name] = value
    return fields


def _as_json(text: str) -> Any:
    """Return text of a JSON object or list as raw JSON; else the text."""
    if text[:1] not in ("{", "[") or text[-1:] not in ("}", "]") or "\n" in text:
        return text
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text
    return msgspec.Raw(text.encode())


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    records = iter(records)
    first = next(records, None)
    if first is None:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as fresh, fresh.open("wb") as file:
        for fields in chain([first], records):
            file.write(msgspec.json.encode(fields) + b"\n")
