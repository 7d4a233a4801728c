"""autorubric experiments: `items.jsonl`, with its `manifest.json` beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.columns import as_text, decode
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_values import mapping, number, sequence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evalkit.data.evals import Evals

_ITEMS: Final = "items.jsonl"
_MANIFEST: Final = "manifest.json"
_MET: Final = {"MET": 1, "UNMET": 0}
_TYPES: Final = frozenset({"single", "ensemble"})


def is_experiment(path: Path, head: bytes) -> bool:
    """Whether it is the folder of an experiment."""
    return path.is_dir() and (path / _ITEMS).is_file() and (path / _MANIFEST).is_file()


def is_items(path: Path, head: bytes) -> bool:
    """Whether its lines are graded items."""
    return {"item_idx", "report", "duration_seconds"} <= json_records.names(head)


def read_experiment(path: Path) -> Evals:
    """Read an experiment's folder: the experiment is the run, an item the case."""
    builder = EvalsBuilder(str(path / _ITEMS))
    try:
        manifest = mapping(decode((path / _MANIFEST).read_bytes()))
    except ValueError as error:
        manifest = {}
        builder.add_problem(None, f"{_MANIFEST} beside it: {error}")
    _read(builder, path / _ITEMS, manifest, run=as_text(manifest.get("experiment_name")) or path.name)
    return builder.build(files=[str(path / _ITEMS), str(path / _MANIFEST)])


def read_items(path: Path) -> Evals:
    """Read graded items alone."""
    builder = EvalsBuilder(str(path))
    _read(builder, path, {}, run=json_records.run_name(path))
    return builder.build()


def _read(builder: EvalsBuilder, path: Path, manifest: Mapping[str, Any], *, run: str) -> None:
    suite = as_text(manifest.get("dataset_name")) or ""
    judges = [mapping(j) for j in sequence(mapping(manifest.get("grader_config")).get("judges"))]
    models = {str(judge.get("judge_id")): as_text(judge.get("model")) for judge in judges}
    builder.add_run(
        run, suite=suite, started_at=as_text(manifest.get("started_at") or manifest.get("created_at"))
    )
    for line, record in json_records.read(path, builder):
        if record.get("item_idx") is None:
            builder.add_problem(line, "there is no item_idx")
            continue
        case = str(record["item_idx"])
        epoch = builder.next_epoch(run, case)
        builder.add_case(suite, case)
        builder.add_trial(run, case, epoch, line)
        report = mapping(record.get("report"))
        failed = as_text(record.get("error") or report.get("error"))
        graded = sequence(report.get("criterion_reports"))
        for at, each in enumerate(map(mapping, graded), 1):
            criterion = mapping(each.get("criterion")) or each
            name = (
                as_text(criterion.get("name")) or as_text(criterion.get("requirement")) or f"criterion {at}"
            )
            _declare(builder, suite, name, criterion)
            weight = number(criterion.get("weight"))
            for vote in _votes(each):
                judge = str(vote.get("judge_id") or (next(iter(models)) if len(models) == 1 else ""))
                _score(builder, (run, case, epoch), name, line, vote, judge, models.get(judge), weight)
        if failed and not graded:
            builder.notes.append(f"{builder.source}:{line}: item {case} was not graded: {failed}")
    builder.ignore_fields("score and raw_score of a report", "duration_seconds", "token_usage of a report")


def _declare(builder: EvalsBuilder, suite: str, name: str, criterion: Mapping[str, Any]) -> None:
    options = [mapping(option) for option in sequence(criterion.get("options"))]
    weight = number(criterion.get("weight"))
    builder.add_criterion(
        suite,
        name,
        description=as_text(criterion.get("requirement")),
        # A negative weight is a penalty for what is met: without the fault is the top of our scale.
        weight=None if weight is None else abs(weight),
        kind=("ordinal" if criterion.get("scale_type") == "ordinal" else "continuous")
        if options
        else "binary",
        scale_min=0,
        scale_max=1,
        anchors=as_text(
            {str(_turned(o.get("value"), weight)): o.get("label") for o in options if not o.get("na")}
        )
        if options
        else None,
    )
    if weight is not None and weight < 0:
        note = f"{builder.source}: {name} has a negative weight: its scores are turned round, 1 is UNMET."
        builder.notes += [] if note in builder.notes else [note]


def _turned(value: Any, weight: float | None) -> float | None:
    """Return a value as a score: of a penalty the other way round."""
    score = number(value)
    return score if score is None or weight is None or weight >= 0 else 1 - score


def _votes(each: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the judgements of a criterion: one a judge, or the only one there is."""
    votes = [mapping(v) for v in (*sequence(each.get("votes")), *sequence(each.get("multi_choice_votes")))]
    yield from votes or [each]


def _score(
    builder: EvalsBuilder,
    trial: tuple[str, str, int],
    criterion: str,
    line: int,
    vote: Mapping[str, Any],
    judge: str,
    model: str | None,
    weight: float | None,
) -> None:
    said = mapping(vote.get("multi_choice_verdict")) or vote
    verdict = as_text(vote.get("verdict") or vote.get("final_verdict"))
    label = verdict or as_text(said.get("selected_label"))
    if verdict is not None:
        score = _turned(_MET.get(verdict), weight)
    else:
        score = None if said.get("na") else _turned(said.get("value"), weight)
    wrong = as_text(vote.get("error"))
    builder.add_score(
        *trial,
        criterion,
        line,
        grader=judge,
        grader_kind="judge",
        sample=builder.next_sample(*trial, criterion, judge),
        # What stands in for a verdict where the call failed is none.
        score=None if wrong else score,
        label=label,
        rationale=as_text(vote.get("reason") or vote.get("final_reason")),
        error=wrong or (f"the judge said {label}" if score is None and label else None),
        judge_model=model,
        metadata='{"superseded":true}' if vote.get("superseded") else None,
    )


READERS: Final = (
    Reader("autorubric experiment", is_experiment, read=read_experiment, alone=True),
    Reader("autorubric items", is_items, read=read_items, alone=True),
)
