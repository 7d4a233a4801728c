"""Single native files: a suite, transcripts or scores."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from evalkit.data import folder as native
from evalkit.data.folder_fields import SCORE_FIELDS, TRANSCRIPTS_FILE
from evalkit.readers.base import NATIVE_SCORES, Reader
from evalkit.readers.formats.jsonl import first_record

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_SUITE: Final = re.compile(rb"^suite\s*:", re.MULTILINE)
_PARTS: Final = re.compile(rb"^(?:criteria|cases)\s*:", re.MULTILINE)
# In YAML, text that looks like JSON is indented.
_JSON: Final = re.compile(rb"^[{\[]", re.MULTILINE)
_FIELDS: Final = frozenset(column.name for column in SCORE_FIELDS)


def is_suite(path: Path, head: bytes) -> bool:
    """Whether a file is YAML with a suite name and criteria or cases."""
    if _SUITE.search(head) is None or _JSON.search(head) is not None:
        return False
    return _PARTS.search(head) is not None or path.suffix in (".yaml", ".yml")


def is_transcripts(path: Path, head: bytes) -> bool:
    """Whether a line has a run, and messages or no score fields."""
    record = first_record(head)
    if record is None or "run" not in record or "criterion" in record:
        return False
    return isinstance(record.get("messages"), list) or (
        path.name == TRANSCRIPTS_FILE and not {"score", "criteria"} & set(record)
    )


def is_scores(path: Path, head: bytes) -> bool:
    """Whether a line is a judgement with native field names only."""
    record = first_record(head)
    return record is not None and {"run", "case", "criterion"} <= record.keys() <= _FIELDS


def read_transcripts(path: Path, tables: frozenset[str]) -> Evals:
    """Read the trials, and the messages if requested."""
    return native.read_transcripts(path, turns="turns" in tables)


READERS: Final = (
    Reader("suite", is_suite, read=native.read_suite, gives=("cases", "criteria"), describes=True),
    Reader(
        "native transcripts",
        is_transcripts,
        partly=read_transcripts,
        gives=("runs", "trials", "turns"),
        describes=True,
        alone=True,
    ),
    Reader(NATIVE_SCORES, is_scores, read=native.read_scores, gives=("scores",), alone=True),
)
