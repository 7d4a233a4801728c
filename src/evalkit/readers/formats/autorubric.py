"""autorubric experiments: `items.jsonl`, with its `manifest.json` beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.json_text import as_text, decode
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, has_keys
from evalkit.readers.json_values import mapping, number, sequence

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

_ITEMS: Final = "items.jsonl"
_MANIFEST: Final = "manifest.json"
_MET: Final = {"MET": 1, "UNMET": 0}


def is_experiment(path: Path, data: bytes) -> bool:
    """Whether the path is the folder of an experiment."""
    return path.is_dir() and (path / _ITEMS).is_file() and (path / _MANIFEST).is_file()


def read_experiment(path: Path) -> Evals:
    """Read an experiment folder: the experiment is the run, an item the case."""
    file = fields.RecordFile.beside(path / _ITEMS)
    try:
        manifest = mapping(decode((path / _MANIFEST).read_bytes()))
    except ValueError as error:
        manifest = {}
        file.builder.add_problem(None, f"{_MANIFEST} cannot be read: {error}.")
    ITEMS.add(file, _items(file, manifest, run=as_text(manifest.get("experiment_name")) or path.name))
    return file.builder.build(files=[str(file.path), str(path / _MANIFEST)])


def _items(
    file: fields.RecordFile, manifest: fields.Record | None = None, run: str | None = None
) -> fields.Records:
    judges = [mapping(judge) for judge in sequence(fields.get(manifest or {}, "grader_config.judges"))]
    models = {str(judge.get("judge_id")): as_text(judge.get("model")) for judge in judges}
    common = {**fields.known("dataset_name", "started_at", "created_at")(manifest or {}), "run": run}
    for line, record in file.records():
        reports = sequence(fields.get(record, "report.criterion_reports"))
        error = as_text(fields.get(record, ("error", "report.error")))
        votes = [
            vote
            for place, each in enumerate(map(mapping, reports), 1)
            for vote in _votes(each, place, models)
        ]
        for name in dict.fromkeys(
            vote["name"] for vote in votes if vote["weight"] is not None and vote["weight"] < 0
        ):
            file.note("scale", f"{name} has a negative weight, so its scores are reversed: 1 is UNMET.")
        if record.get("item_idx") is not None and error and not reports:
            file.note("unscored", f"Line {line}: item {record['item_idx']} was not graded: {error}")
        yield line, {**record, **common, "votes": votes}
    file.builder.ignore_fields(
        "score and raw_score of a report", "duration_seconds", "token_usage of a report"
    )


def _votes(report: fields.Record, place: int, models: dict[str, str | None]) -> list[fields.Record]:
    criterion = mapping(report.get("criterion")) or report
    named = as_text(fields.get(criterion, ("name", "requirement"))) or f"criterion {place}"
    common = {"criterion": criterion, "name": named, "weight": number(criterion.get("weight"))}
    votes = [mapping(each) for name in ("votes", "multi_choice_votes") for each in sequence(report.get(name))]
    only = next(iter(models)) if len(models) == 1 else ""
    judged = ((vote, str(vote.get("judge_id") or only)) for vote in votes or [report])
    return [{**vote, **common, "judge": judge, "judge_model": models.get(judge)} for vote, judge in judged]


def _scale(vote: fields.Record) -> dict[str, Any]:
    criterion, weight = vote["criterion"], vote["weight"]
    options = [mapping(option) for option in sequence(criterion.get("options"))]
    kind = "ordinal" if criterion.get("scale_type") == "ordinal" else "continuous"
    anchors = {str(_turned(o.get("value"), weight)): o.get("label") for o in options if not o.get("na")}
    return {
        "description": as_text(criterion.get("requirement")),
        # A negative weight is a penalty: not met is the top of the scale.
        "weight": None if weight is None else abs(weight),
        "kind": kind if options else "binary",
        "scale_min": 0,
        "scale_max": 1,
        "anchors": as_text(anchors) if options else None,
    }


def _turned(value: Any, weight: float | None) -> float | None:
    """Return a value as a score; a penalty is inverted."""
    score = number(value)
    return 1 - score if score is not None and weight is not None and weight < 0 else score


def _label(vote: fields.Record) -> str | None:
    selected = ("multi_choice_verdict.selected_label", "selected_label")
    return as_text(fields.get(vote, ("verdict", "final_verdict", *selected)))


def _score(vote: fields.Record) -> float | None:
    if vote.get("error"):
        return None  # The verdict of a failed call is a stand-in.
    verdict = as_text(fields.get(vote, ("verdict", "final_verdict")))
    option = mapping(vote.get("multi_choice_verdict")) or vote
    value = _MET.get(verdict) if verdict is not None else None if option.get("na") else option.get("value")
    return _turned(value, vote["weight"])


def _error(vote: fields.Record) -> str | None:
    label = _label(vote)
    unread = f"the judge said {label}" if _score(vote) is None and label else None
    return as_text(vote.get("error")) or unread


ITEMS: Final = RecordFormat(
    records=_items,
    required=("item_idx",),
    suite="dataset_name",
    case="item_idx",
    runs={"started_at": ("started_at", "created_at")},
    scores="votes",
    criteria=_scale,
    score={
        "grader": "judge",
        "grader_kind": fields.always("judge"),
        "score": _score,
        "label": _label,
        "rationale": ("reason", "final_reason"),
        "error": _error,
        "judge_model": "judge_model",
        "metadata": lambda vote: {"superseded": True} if vote.get("superseded") else None,
    },
    counts_samples=True,
)

READERS: Final = (
    Reader("autorubric experiment", is_experiment, read=read_experiment, alone=True),
    Reader(
        "autorubric items", has_keys("item_idx", "report", "duration_seconds"), read=ITEMS.read, alone=True
    ),
)
