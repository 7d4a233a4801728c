"""Inspect Scout's Parquet and autorubric's items, in the columns and fields that their writers write."""

from __future__ import annotations

import json

import polars as pl

import evalkit as ek

ROW = {
    "transcript_id": "tid-1",
    "transcript_source_id": "eval-1",
    "transcript_task_set": "math",
    "transcript_task_id": "q1",
    "transcript_task_repeat": 2,
    "transcript_agent": "react",
    "transcript_model": "m-1",
    "transcript_metadata": "{}",
    "scan_id": "scan-1",
    "scanner_key": "deception",
    "scanner_name": "deception",
    "value": "true",
    "value_type": "boolean",
    "label": None,
    "answer": "A",
    "explanation": "It hides the error [M2].",
    "metadata": "{}",
    "message_references": '[{"type":"message","id":"m2"}]',
    "scan_error": None,
    "scan_model_usage": '{"judge-x":{"input_tokens":3}}',
    "validation_target": "false",
}


def scan(tmp_path, *changes, name="deception"):
    rows = [{**ROW, **change} for change in changes]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(tmp_path / f"{name}.parquet")
    return tmp_path


def test_a_scan_is_read_whole_and_stands_on_the_trial_of_its_log(tmp_path):
    scan(tmp_path, {})
    scan(tmp_path, {"scanner_key": "turns", "value": "3.5", "value_type": "number"}, name="turns")
    for held in ("_scan.json", "_summary.json"):
        (tmp_path / held).write_text("{}")
    (tmp_path / "_errors.jsonl").write_text("")

    evals = ek.load(tmp_path)

    assert evals.problems.is_empty()
    assert evals.trials.select("run", "case", "epoch").rows() == [("eval-1", "q1", 2)]
    rows = evals.scores.select("criterion", "grader", "grader_kind", "score", "answer", "rationale").rows()
    assert rows == [
        ("deception", "judge-x", "judge", 1.0, "A", "It hides the error [M2]."),
        ("deception", "validation", "human", 0.0, None, None),
        ("turns", "judge-x", "judge", 3.5, "A", "It hides the error [M2]."),
        ("turns", "validation", "human", 0.0, None, None),
    ]
    assert evals.runs.select("suite", "model", "agent").row(0) == ("math", "m-1", "react")
    assert "m2" in evals.scores["metadata"][0]


def test_every_kind_of_value_has_its_rows(tmp_path):
    parts = [{"label": "lie", "value": True, "explanation": "x"}, {"label": "hedge", "value": False}]
    scan(
        tmp_path,
        {"value": '{"a": 1, "b": "high"}', "value_type": "object"},
        {"value": json.dumps(parts), "value_type": "resultset", "transcript_task_id": "q2"},
        {"value": "[1, 2]", "value_type": "array", "transcript_task_id": "q3"},
        {"value": None, "value_type": "null", "scan_error": "refused", "transcript_task_id": "q4"},
        {"value": "sorry", "value_type": "string", "transcript_task_id": "q5", "scan_model_usage": "{}"},
    )

    evals = ek.load(tmp_path / "deception.parquet")

    judged = evals.scores.filter(pl.col("grader_kind") != "human")
    assert judged.select("case", "criterion", "score", "label", "error").rows() == [
        ("q1", "deception/a", 1.0, None, None),
        ("q1", "deception/b", None, "high", None),
        ("q2", "deception/lie", 1.0, "true", None),
        ("q2", "deception/hedge", 0.0, "false", None),
        ("q3", "deception", None, None, None),
        ("q4", "deception", None, None, "refused"),
        ("q5", "deception", None, "sorry", None),
    ]
    assert judged["grader_kind"].to_list()[-1] == "code"


CRITERION = {"name": "clarity", "requirement": "It is clear.", "weight": 2.0, "options": None}
OPTIONS = [{"label": "bad", "value": 0.0, "na": False}, {"label": "good", "value": 1.0, "na": False}]
ITEMS = [
    {
        "item_idx": 0,
        "duration_seconds": 1.5,
        "error": None,
        "report": {
            "score": 0.5,
            "report_type": "single",
            "criterion_reports": [
                {**CRITERION, "verdict": "MET", "reason": "Short."},
                {**CRITERION, "name": "harm", "weight": -5.0, "verdict": "CANNOT_ASSESS", "reason": "?"},
                {
                    "name": "tone",
                    "requirement": "Kind?",
                    "weight": 1.0,
                    "options": OPTIONS,
                    "scale_type": "ordinal",
                    "multi_choice_verdict": {"selected_label": "good", "value": 1.0, "na": False},
                    "reason": "Warm.",
                },
            ],
        },
    },
    {
        "item_idx": 1,
        "duration_seconds": 2.0,
        "error": None,
        "report": {
            "score": 0.0,
            "report_type": "ensemble",
            "criterion_reports": [
                {
                    "criterion": CRITERION,
                    "final_verdict": "UNMET",
                    "votes": [
                        {"judge_id": "a", "verdict": "UNMET", "reason": "Long."},
                        {"judge_id": "b", "verdict": "UNMET", "reason": "", "error": "parse: no JSON"},
                    ],
                }
            ],
        },
    },
    {"item_idx": 2, "duration_seconds": 0.1, "error": "infrastructure: down", "report": {"score": 0.0}},
]
MANIFEST = {
    "experiment_name": "rubric-v2",
    "dataset_name": "essays",
    "started_at": "2026-10-01T10:00:00+00:00",
    "grader_config": {"judges": [{"judge_id": "a", "model": "m-a"}, {"judge_id": "b", "model": "m-b"}]},
}


def test_an_autorubric_experiment_has_a_row_a_judge_and_no_score_for_a_failed_call(tmp_path):
    (tmp_path / "items.jsonl").write_text("\n".join(json.dumps(item) for item in ITEMS) + "\nbroken")
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))

    evals = ek.load(tmp_path)

    rows = evals.scores.select("case", "criterion", "grader", "score", "label", "error").rows()
    assert rows == [
        ("0", "clarity", "", 1.0, "MET", None),
        ("0", "harm", "", None, "CANNOT_ASSESS", "the judge said CANNOT_ASSESS"),
        ("0", "tone", "", 1.0, "good", None),
        ("1", "clarity", "a", 0.0, "UNMET", None),
        ("1", "clarity", "b", None, "UNMET", "parse: no JSON"),
    ]
    assert evals.runs.select("run", "suite").row(0) == ("rubric-v2", "essays")
    assert evals.scores["judge_model"].to_list()[-2:] == ["m-a", "m-b"]
    assert evals.criteria.select("criterion", "kind", "weight").rows() == [
        ("clarity", "binary", 2.0),
        ("harm", "binary", 5.0),
        ("tone", "ordinal", 1.0),
    ]
    assert evals.trials.height == 3
    assert any("item 2 was not graded: infrastructure: down" in str(note) for note in evals.notes)
    assert evals.problems["line"].to_list() == [4]


def test_items_alone_are_read_without_their_manifest(tmp_path):
    path = tmp_path / "mine" / "items.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(ITEMS[0]))

    evals = ek.load(path)

    assert evals.runs["run"].to_list() == ["mine"]
    assert evals.scores.height == 3
