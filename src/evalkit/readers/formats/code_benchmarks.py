"""Results of code benchmarks: SWE-bench reports, EvalPlus and BigCodeBench; BFCL totals are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import PASS_OR_FAIL, RecordFormat, has_paths, has_records
from evalkit.readers.json_values import mapping, sequence
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SWE_ERRORS: Final = (
    "error_ids",
    "install_fail",
    "reset_failed",
    "test_timeout",
    "test_errored",
    "incomplete_ids",
)
# A patch that was not made resolves nothing.
_SWE_EMPTY: Final = ("empty_patch_ids", "no_generation", "no_apply")
_STATUS: Final = {"pass": 1, "fail": 0, "timeout": 0}


def _swe_bench(file: fields.RecordFile) -> fields.Records:
    report = file.read_object()
    resolved = [as_text(one) for one in sequence(report.get("resolved_ids") or report.get("resolved"))]
    submitted = sequence(report.get("submitted_ids") or report.get("generated"))
    named = [
        as_text(one)
        for key in (*_SWE_ERRORS, *_SWE_EMPTY, "unresolved_ids")
        for one in sequence(report.get(key))
    ]
    cases = list(dict.fromkeys([*map(as_text, submitted), *resolved, *named]))
    if not submitted and not named:
        total = fields.get(report, ("submitted_instances", "total_instances", "stats.generated")) or "more"
        file.builder.add_problem(
            None,
            f"A SWE-bench report with {plural(len(resolved), 'resolved ID')} of {total}, without the IDs that failed. "
            "The report.json of the harness has them.",
        )
        return
    failed = {as_text(one) for key in _SWE_ERRORS for one in sequence(report.get(key))}
    name = file.path.stem.partition(".")[0] or "run"
    for case in cases:
        error = "the harness failed" if case in failed and case not in resolved else None
        yield (
            None,
            {"run": name, "case": case, "resolved": None if error else int(case in resolved), "error": error},
        )


SWE_BENCH: Final = RecordFormat(
    records=_swe_bench,
    required=("case",),
    is_version=True,
    suite=fields.always("SWE-bench"),
    scores=lambda record: [record],
    criterion=fields.always("resolved"),
    criteria=fields.always(PASS_OR_FAIL),
    grader="SWE-bench",
    score={"score": "resolved", "error": "error"},
)


_is_eval = has_paths("eval", any_of=("date", "hash"))


def _is_eval_plus(path: Path, data: bytes) -> bool:
    return _is_eval(path, data) and (b'"base_status"' in data or b'"status"' in data)


def _eval_plus(file: fields.RecordFile) -> fields.Records:
    report = file.read_object()
    for case, attempts in mapping(report.get("eval")).items():
        rows = (
            attempts if isinstance(attempts, list) else sequence(mapping(attempts).get("base")) or [attempts]
        )
        for epoch, row in enumerate(rows, 1):
            yield None, {"case": case, "epoch": epoch, **mapping(row)}


def _statuses(record: fields.Record) -> Iterator[dict[str, Any]]:
    for key, name in (("base_status", "base"), ("plus_status", "plus"), ("status", "passed")):
        if key in record:
            status = as_text(record[key])
            yield {"name": name, "score": _STATUS.get(status or ""), "label": status}


EVAL_PLUS: Final = RecordFormat(
    records=_eval_plus,
    required=("case",),
    is_version=True,
    trials={"output": "solution"},
    scores=_statuses,
    criteria=fields.always(PASS_OR_FAIL),
    grader="tests",
    score={
        "score": "score",
        "label": "label",
        "error": lambda one: f"the status is {one['label']!r:.40}" if one["score"] is None else None,
    },
)


def _bfcl(file: fields.RecordFile) -> fields.Records:
    _, first = next(iter(file.records()), (None, {}))
    file.builder.add_problem(
        1,
        f"A BFCL score file lists the failures alone (accuracy {first.get('accuracy')}, {first.get('correct_count')} of "
        f"{first.get('total_count')}). The result file has every case.",
    )
    return ()


READERS: Final = (
    Reader(
        "SWE-bench report",
        lambda path, data: (
            has_paths(
                "resolved_ids", any_of=("submitted_ids", "unresolved_ids", "error_ids", "submitted_instances")
            )(path, data)
            or has_paths("resolved", "generated")(path, data)
            or has_paths("resolved", "stats")(path, data)
        ),
        read=SWE_BENCH.read,
        whole=True,
        alone=True,
    ),
    Reader("EvalPlus results", _is_eval_plus, read=EVAL_PLUS.read, whole=True, alone=True),
    Reader(
        "BFCL score file",
        has_records("accuracy", "correct_count", "total_count"),
        read=RecordFormat(records=_bfcl).read,
    ),
)
