"""The engine of declared formats, on a format made up here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import (
    PASS_OR_FAIL,
    RecordFormat,
    any_sniff,
    has_keys,
    has_paths,
    has_records,
)

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = RecordFormat(
    required=("id",),
    case="id",
    runs={"model": ("model.name", "model")},
    cases={"input": fields.words("question"), "severity": fields.severity("")},
    trials={"output": "answers.0.text", "latency_s": fields.seconds("took_ms"), "input_tokens": "usage.in"},
    scores="marks",
    criteria=fields.always(PASS_OR_FAIL),
    grader="tool",
    score={"score": "value", "rationale": "why"},
    counts_samples=True,
    ignored=("colour",),
)
RECORD: dict[str, Any] = {
    "id": 7,
    "model": {"name": "m"},
    "question": {"text": "Why?"},
    "severity": "High",
    "answers": [{"text": "So."}],
    "took_ms": "1500",
    "usage": '{"in": 3}',
    "marks": [{"name": "ok", "value": True, "why": "It is."}, {"name": "ok", "value": False}, {"value": 1}],
    "colour": "red",
}


def read(path: Path, *records: Any, how: RecordFormat = FORMAT) -> Any:
    path.write_text("\n".join(map(json.dumps, records)))
    return how.read(path)


def test_a_record_is_a_trial_with_its_scores(tmp_path: Path) -> None:
    evals = read(tmp_path / "v1.jsonl", RECORD, RECORD)

    assert evals.runs.select("run", "model").rows() == [("v1", "m")]
    assert evals.cases.select("case", "input", "severity").rows() == [("7", "Why?", "high")]
    columns = ("case", "epoch", "line", "output", "latency_s", "input_tokens")
    assert evals.trials.select(columns).rows() == [("7", 1, 1, "So.", 1.5, 3), ("7", 2, 2, "So.", 1.5, 3)]
    scores = evals.scores.select("epoch", "sample", "grader", "grader_kind", "score", "rationale").rows()
    assert scores[:2] == [(1, 1, "tool", "code", 1.0, "It is."), (1, 2, "tool", "code", 0.0, None)]
    assert evals.criteria.select("criterion", "kind", "scale_max").rows() == [("ok", "binary", 1.0)]
    assert any("colour" in str(note) for note in evals.notes)


def test_a_record_without_its_id_and_a_score_without_a_name_are_problems(tmp_path: Path) -> None:
    evals = read(tmp_path / "v1.jsonl", RECORD, {**RECORD, "id": None})

    assert evals.problems["line"].to_list() == [1, 2]
    assert "'id'" in evals.problems["reason"][1]
    assert evals.trials.height == 1


@pytest.mark.parametrize(
    ("on_repeat", "trials", "scores", "problems"), [("reject", 1, 2, 1), ("score", 1, 4, 0)]
)
def test_a_second_record_of_a_trial(
    on_repeat: Any, trials: int, scores: int, problems: int, tmp_path: Path
) -> None:
    from dataclasses import replace

    how = replace(FORMAT, epoch=fields.always(1), on_repeat=on_repeat)
    record = {**RECORD, "marks": RECORD["marks"][:2]}

    evals = read(tmp_path / "v1.jsonl", record, record, how=how)

    assert (evals.trials.height, evals.scores.height, evals.problems.height) == (trials, scores, problems)


def test_undeclared_input_and_output_come_from_the_turns(tmp_path: Path) -> None:
    how = RecordFormat(case="id", turns=lambda record: fields.chat_turns(record["messages"]))
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]

    evals = read(tmp_path / "v1.jsonl", {"id": "a", "messages": [*messages, "?"]}, how=how)

    assert (evals.cases["input"].item(), evals.trials["output"].item()) == ("Why?", "So.")
    assert evals.turns["content"].to_list() == ["Why?", "So."]


@pytest.mark.parametrize(
    ("sniff", "expected"),
    [
        (has_keys("id", any_of=("marks", "scores")), True),
        (has_keys("id", any_of=("scores",)), False),
        (has_paths("answers.[].text"), True),
        (has_paths("text"), False),
        (has_records("id", none_of=("colour",)), False),
        (any_sniff(has_paths("text"), has_records("id")), True),
    ],
)
def test_sniffs(sniff: Any, expected: bool, tmp_path: Path) -> None:
    assert sniff(tmp_path / "a.jsonl", json.dumps(RECORD).encode()) is expected


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.json"])
def test_records_of_each_kind_of_file_are_read_alike(name: str, tmp_path: Path) -> None:
    import polars as pl

    frame = pl.DataFrame({"id": ["x"], "marks": ['[{"name": "ok", "value": 1}]']})
    path = tmp_path / name
    {"a.csv": frame.write_csv, "a.parquet": frame.write_parquet, "a.json": frame.write_json}[name](path)

    assert FORMAT.read(path).scores.select("case", "score").rows() == [("x", 1.0)]
    assert has_keys("id", "marks")(path, path.read_bytes())
