"""TruLens databases (SQLite): feedback tables, or evaluations as OpenTelemetry events."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from evalkit.data.json_text import decode
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat
from evalkit.readers.json_values import mapping
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SQLITE: Final = b"SQLite format 3\x00"
_KEY: Final = "ai.observability."
_MOST_CHARS: Final = 10_000_000


def sniff(path: Path, head: bytes) -> bool:
    """Whether a file is an SQLite database."""
    return head.startswith(_SQLITE)


def _records(file: fields.RecordFile) -> fields.Records:
    uri = f"file:{quote(str(file.path.resolve()))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as base:
            base.text_factory = lambda data: data[:_MOST_CHARS].decode(errors="replace")
            tables = {row[0] for row in base.execute("select name from sqlite_master where type = 'table'")}
            if "trulens_records" not in tables and "trulens_events" not in tables:
                names = ", ".join(sorted(tables)[:8]) or "none"
                raise FormatError(f"{file.path}: An SQLite database of no known tool. Its tables: {names}.")
            rows: dict[str, dict[str, Any]] = {}
            if "trulens_records" in tables:
                _read_feedback(base, rows)
            if not rows and "trulens_events" in tables:
                _read_events(base, rows)
    except sqlite3.Error as error:
        raise FormatError(f"{file.path}: The database cannot be read: {error}.") from None
    for row in rows.values():
        if row.get("output") is not None or row["scores"]:
            yield None, row


def _read_feedback(base: sqlite3.Connection, rows: dict[str, dict[str, Any]]) -> None:
    columns = {row[1] for row in base.execute("pragma table_info(trulens_apps)")}
    app = "a.app_name || '-' || a.app_version" if "app_version" in columns else "a.app_id"
    query = f"select r.record_id, {app}, r.input, r.output from trulens_records r left join trulens_apps a on a.app_id = r.app_id"  # noqa: S608 - no value of the file
    for record, run, asked, answer in base.execute(query):
        rows[record] = {"case": record, "run": run, "input": asked, "output": answer, "scores": []}
    for record, name, result, status, error in base.execute(
        "select record_id, name, result, status, error from trulens_feedbacks"
    ):
        if record in rows and (result is not None or status != "none"):
            rows[record]["scores"].append({"name": name, "score": result, "error": error or None})


def _read_events(base: sqlite3.Connection, rows: dict[str, dict[str, Any]]) -> None:
    for (text,) in base.execute("select record_attributes from trulens_events order by start_timestamp"):
        event = _event(text)
        record = str(event.get("record_id"))
        row = rows.setdefault(
            record, {"case": record, "run": None, "input": None, "output": None, "scores": []}
        )
        names = [str(event[key]) for key in ("app_name", "app_version") if event.get(key)]
        row["run"] = "-".join(names) or row["run"]
        if event.get("span_type") == "record_root":
            row |= {"input": event.get("record_root.input"), "output": event.get("record_root.output")}
        name = event.get("eval_root.metric_name", event.get("eval.metric_name"))
        if event.get("span_type") == "eval_root" and name:
            higher = event.get("eval_root.higher_is_better")
            row["scores"].append(
                {
                    "name": name,
                    "score": event.get("eval_root.score"),
                    "rationale": event.get("eval_root.explanation"),
                    "error": event.get("eval_root.error"),
                    "direction": "lower" if higher is False else None,
                }
            )


def _event(text: Any) -> dict[str, Any]:
    try:
        event = mapping(decode(text.encode()) if isinstance(text, str) else None)
    except ValueError:
        return {}
    return {key.removeprefix(_KEY): value for key, value in event.items()}


def _scores(record: fields.Record) -> Iterator[Any]:
    yield from record["scores"]


RECORDS: Final = RecordFormat(
    records=_records,
    required=("case",),
    is_version=True,
    cases={"input": "input"},
    trials={"output": "output"},
    turns=lambda record: (
        fields.as_turns("user", record["input"]) + fields.as_turns("assistant", record["output"])
    ),
    scores=_scores,
    # A feedback function gives 0 to 1.
    criteria=lambda score: {
        "kind": "continuous",
        "scale_min": 0,
        "scale_max": 1,
        "direction": score.get("direction"),
    },
    score={
        "grader": fields.always("TruLens"),
        "grader_kind": fields.always("judge"),
        "score": "score",
        "rationale": "rationale",
        "error": lambda score: score.get("error") or ("not scored" if score.get("score") is None else None),
    },
    counts_samples=True,
)

READERS: Final = (Reader("TruLens database", sniff, read=RECORDS.read, whole=True, alone=True),)
