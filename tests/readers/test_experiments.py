"""What experiment trackers export: Phoenix, MLflow, LangSmith, Langfuse, Braintrust. All records are made up."""

from __future__ import annotations

import json

import polars as pl
import pytest

import evalkit as ek

PHOENIX = [
    {
        "example_id": "ex-1",
        "repetition_number": 1,
        "input": {"question": "Why?"},
        "reference_output": {"answer": "Because."},
        "output": "Because <b>I</b> say so.",
        "error": None,
        "latency_ms": 1500.0,
        "start_time": "2026-10-01T10:00:00+00:00",
        "end_time": "2026-10-01T10:00:01.5+00:00",
        "trace_id": "t1",
        "prompt_token_count": 12,
        "completion_token_count": 7,
        "annotations": [
            {
                "name": "correctness",
                "annotator_kind": "LLM",
                "label": "correct",
                "score": 1.0,
                "explanation": "It says so.",
                "error": None,
                "metadata": {"model": "j"},
            },
            {"name": "correctness", "annotator_kind": "HUMAN", "label": "wrong", "score": 0.0},
            {"name": "length", "annotator_kind": "CODE", "label": None, "score": None, "error": "boom"},
            {"annotator_kind": "CODE", "score": 1},
        ],
    },
    {"example_id": "ex-1", "repetition_number": 2, "input": {}, "output": None, "error": "Timeout"},
    {"repetition_number": 1, "output": "nobody's"},
]


def write(path, value, *, lines=False):
    text = "\n".join(json.dumps(one) for one in value) if lines else json.dumps(value)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("lines", [False, True])
def test_a_phoenix_experiment_keeps_each_annotation_with_its_annotator(tmp_path, lines):
    evals = ek.load(write(tmp_path / "v2.json", PHOENIX, lines=lines))

    assert evals.scores.select("run", "case", "epoch", "criterion", "grader", "grader_kind").rows() == [
        ("v2", "ex-1", 1, "correctness", "llm", "judge"),
        ("v2", "ex-1", 1, "correctness", "human", "human"),
        ("v2", "ex-1", 1, "length", "code", "code"),
    ]
    assert evals.scores["score"].to_list() == [1.0, 0.0, None]
    assert evals.scores["rationale"][0] == "It says so."
    assert evals.scores["error"][2] == "boom"
    assert evals.cases.select("input", "ideal_behavior").row(0) == ("Why?", "Because.")
    trials = evals.trials.select("output", "error", "input_tokens", "output_tokens", "latency_s")
    assert trials.rows() == [
        ("Because <b>I</b> say so.", None, 12, 7, 1.5),
        (None, "Timeout", None, None, None),
    ]
    assert "'example_id'" in evals.problems["reason"].to_list()[-1]
    assert any("trace_id" in str(note) for note in evals.notes)


def test_a_phoenix_csv_says_what_its_json_says(tmp_path):
    columns = {
        "example_id": ["ex-1"],
        "repetition_number": [1],
        "input": ['{"question": "Why?"}'],
        "reference_output": ['{"answer": "Because."}'],
        "output": ["Because <b>I</b> say so."],
        "latency_ms": [1500.0],
        "annotation_correctness_label": ["correct"],
        "annotation_correctness_score": [1.0],
        "annotation_correctness_explanation": ["It says so."],
        "annotation_correctness_annotator_kind": ["LLM"],
    }
    pl.DataFrame(columns).write_csv(tmp_path / "v2.csv")

    read = ek.load(tmp_path / "v2.csv")
    same = ek.load(write(tmp_path / "v2.json", PHOENIX[:1]))

    wanted = ["run", "case", "criterion", "grader", "score", "label", "rationale"]
    assert read.scores.select(wanted).rows() == same.scores.select(wanted).rows()[:1]
    assert read.cases.equals(same.cases)


MLFLOW = {
    "info": {
        "trace_id": "tr-1",
        "trace_location": {"type": "MLFLOW_EXPERIMENT"},
        "request_time": "2026-10-01T10:00:00Z",
        "state": "OK",
        "execution_duration": 2500,
        "trace_metadata": {
            "mlflow.sourceRun": "run-a",
            "mlflow.trace.tokenUsage": '{"input_tokens": 5, "output_tokens": 6}',
        },
        "tags": {"mlflow.traceName": "agent", "severity": "High"},
        "assessments": [
            {
                "assessment_name": "safety",
                "source": {"source_type": "LLM_JUDGE", "source_id": "judge-x"},
                "rationale": "No harm.",
                "feedback": {"value": "yes"},
                "valid": True,
            },
            {
                "assessment_name": "safety",
                "source": {"source_type": "HUMAN", "source_id": "ann@x.org"},
                "feedback": {"value": False},
            },
            {"assessment_name": "tone", "source": {"source_type": "CODE"}, "feedback": {"value": 3.5}},
            {"assessment_name": "tone", "feedback": {"value": 1}, "valid": False},
            {
                "assessment_name": "facts",
                "source": {"source_type": "LLM_JUDGE"},
                "feedback": {"value": None, "error": {"error_code": "X", "error_message": "no answer"}},
            },
            {"assessment_name": "expected_response", "expectation": {"value": "Four."}},
        ],
    },
    "data": {
        "spans": [
            {
                "span_id": "a",
                "parent_span_id": None,
                "name": "agent",
                "attributes": {
                    "mlflow.spanInputs": '{"messages": [{"role": "user", "content": "2+2?"}]}',
                    "mlflow.spanOutputs": '"4"',
                    "mlflow.spanType": '"AGENT"',
                },
            },
            {
                "span_id": "b",
                "parent_span_id": "a",
                "name": "add",
                "attributes": {
                    "mlflow.spanInputs": '{"a": 2, "b": 2}',
                    "mlflow.spanOutputs": "4",
                    "mlflow.spanType": '"TOOL"',
                },
            },
        ]
    },
}


def test_mlflow_traces_keep_who_assessed_what_and_why(tmp_path):
    evals = ek.load(write(tmp_path / "traces.json", [MLFLOW]))

    rows = evals.scores.select("criterion", "grader", "grader_kind", "score", "label", "error").rows()
    assert rows == [
        ("safety", "judge-x", "judge", 1.0, "yes", None),
        ("safety", "ann@x.org", "human", 0.0, "false", None),
        ("tone", "", "code", 3.5, None, None),
        ("facts", "", "judge", None, None, "no answer"),
    ]
    assert evals.criteria.select("criterion", "kind", "scale_max").rows() == [("safety", "binary", 1.0)]
    assert evals.cases.select("ideal_behavior", "severity").row(0) == ("Four.", "high")
    assert evals.trials.select("run", "output", "input_tokens", "latency_s").row(0) == ("run-a", "4", 5, 2.5)
    assert evals.turns["role"].to_list() == ["user", "assistant", "tool", "assistant"]
    assert evals.turns["tool_calls"][1] == '[{"id":null,"name":"add","arguments":{"a":2,"b":2}}]'
    assert any("overridden" in str(note) for note in evals.notes)


def test_what_search_traces_gives_says_the_same_as_parquet_and_as_json(tmp_path):
    row = {"trace_id": "tr-1", "trace": json.dumps(MLFLOW), "assessments": [], "state": "OK"}
    pl.DataFrame({"trace_id": ["tr-1"], "trace": [json.dumps(MLFLOW)], "assessments": ["[]"]}).write_parquet(
        tmp_path / "found.parquet"
    )

    as_json = ek.load(write(tmp_path / "found.json", [row]))
    as_parquet = ek.load(tmp_path / "found.parquet")

    assert as_json.scores.height == 4
    assert as_json.scores.drop("source").equals(as_parquet.scores.drop("source"))


LANGSMITH = {
    "inputs.question": ["2+2?", "3+3?", "2+2?"],
    "outputs.answer": ["4", None, "5"],
    "reference.answer": ["4", "6", "4"],
    "error": [None, "ValueError()", None],
    "feedback.correct": [1, None, 0],
    "feedback.tone": ["polite", None, None],
    "execution_time": [1.25, 0.5, 1.0],
    "example_id": ["e1", "e2", "e1"],
    "id": ["r1", "r2", "r3"],
}
FEEDBACK = [
    {
        "id": "f1",
        "run_id": "r1",
        "key": "correct",
        "score": 0,
        "value": None,
        "comment": "It is 4.0.",
        "feedback_source": {"type": "app"},
        "correction": {"answer": "4.0"},
    },
    {"id": "f2", "run_id": "r3", "key": "helpful", "score": True, "feedback_source": {"type": "model"}},
]


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_a_langsmith_experiment_reads_alike_from_each_file(tmp_path, kind):
    frame, path = pl.DataFrame(LANGSMITH), tmp_path / f"exp.{kind}"
    {"csv": frame.write_csv, "parquet": frame.write_parquet, "json": frame.write_json}[kind](path)

    evals = ek.load(path)

    assert evals.trials.select("run", "case", "epoch", "output", "error", "latency_s").rows() == [
        ("exp", "e1", 1, "4", None, 1.25),
        ("exp", "e2", 1, None, "ValueError()", 0.5),
        ("exp", "e1", 2, "5", None, 1.0),
    ]
    assert evals.scores.select("case", "epoch", "criterion", "score", "label").rows() == [
        ("e1", 1, "correct", 1.0, None),
        ("e1", 1, "tone", None, "polite"),
        ("e1", 2, "correct", 0.0, None),
    ]
    assert evals.cases.select("input", "ideal_behavior").rows() == [("2+2?", "4"), ("3+3?", "6")]


def test_langsmith_feedback_beside_an_experiment_says_who_and_why_and_counts_once(tmp_path):
    pl.DataFrame(LANGSMITH).write_csv(tmp_path / "exp.csv")
    write(tmp_path / "feedback.json", FEEDBACK)

    evals = ek.load(tmp_path)

    assert evals.problems.is_empty()
    rows = evals.scores.select("case", "epoch", "criterion", "grader_kind", "score", "rationale").rows()
    assert rows == [
        ("e1", 1, "correct", "human", 0.0, "It is 4.0."),
        ("e1", 1, "tone", None, None, None),
        ("e1", 2, "helpful", "judge", 1.0, None),
        ("e1", 2, "correct", None, 0.0, None),
    ]
    assert "correction" in evals.scores["metadata"][0]


def test_langsmith_feedback_alone_is_kept_and_says_what_it_lacks(tmp_path):
    evals = ek.load(write(tmp_path / "feedback.json", FEEDBACK))

    assert evals.scores["case"].to_list() == ["r1", "r3"]
    assert any("run_id" in str(note) for note in evals.notes)


LANGFUSE = [
    {
        "id": "s1",
        "name": "faithful",
        "value": 0.8,
        "dataType": "NUMERIC",
        "source": "EVAL",
        "traceId": "t1",
        "datasetRunId": "exp-1",
        "comment": "Mostly.",
    },
    {
        "id": "s2",
        "name": "verdict",
        "value": 1,
        "stringValue": "good",
        "dataType": "CATEGORICAL",
        "source": "ANNOTATION",
        "authorUserId": "ann",
        "traceId": "t1",
        "datasetRunId": "exp-1",
    },
    {"id": "s3", "name": "ok", "value": 1, "dataType": "BOOLEAN", "source": "API", "traceId": "t1"},
    {
        "id": "s4",
        "name": "faithful",
        "value": 0.5,
        "dataType": "NUMERIC",
        "source": "EVAL",
        "subject": {"kind": "trace", "id": "t2"},
    },
    {"id": "s5", "name": "note", "value": "x", "dataType": "TEXT", "source": "API", "traceId": "t1"},
    {"id": "s6", "name": "lost", "value": 1, "dataType": "NUMERIC", "source": "API"},
]


def test_langfuse_scores_keep_their_source_and_type(tmp_path):
    evals = ek.load(write(tmp_path / "prod.json", LANGFUSE))

    rows = evals.scores.select("run", "case", "criterion", "grader", "grader_kind", "score", "label").rows()
    assert rows == [
        ("exp-1", "t1", "faithful", "EVAL", "judge", 0.8, None),
        ("exp-1", "t1", "verdict", "ann", "human", None, "good"),
        ("prod", "t1", "ok", "API", "code", 1.0, None),
        ("prod", "t2", "faithful", "EVAL", "judge", 0.5, None),
    ]
    assert "'traceId'" in evals.problems["reason"].item()
    assert any("TEXT" in str(note) for note in evals.notes)


def test_langfuse_items_are_trials_with_their_evaluations(tmp_path):
    items = [
        {
            "item": {"id": "i1", "input": {"q": "2+2?"}, "expected_output": "4"},
            "output": "4",
            "evaluations": [{"name": "exact", "value": True, "comment": "Same."}, {"value": 1}],
            "trace_id": "t1",
            "dataset_run_id": "exp-1",
        }
    ]

    evals = ek.load(write(tmp_path / "items.json", items))

    assert evals.trials.select("run", "case", "output").rows() == [("exp-1", "i1", "4")]
    assert evals.scores.select("criterion", "score", "rationale").rows() == [("exact", 1.0, "Same.")]
    assert "{'value': 1}" in evals.problems["reason"].item()


BRAINTRUST = [
    {
        "id": "1",
        "span_id": "a",
        "root_span_id": "a",
        "is_root": True,
        "span_attributes": {"name": "eval", "type": "eval"},
        "input": {"messages": [{"role": "user", "content": "2+2?"}]},
        "output": "4",
        "expected": "4",
        "scores": {"Exact": 1, "Fluent": None},
        "metadata": {"severity": "critical"},
        "tags": ["math"],
        "metrics": {"start": 1759312800.0, "end": 1759312802.0},
        "origin": {"object_type": "dataset", "id": "row-1"},
        "experiment_id": "exp-9",
        "comments": [{"text": "?"}],
    },
    {
        "id": "2",
        "span_id": "b",
        "root_span_id": "a",
        "is_root": False,
        "span_attributes": {"name": "Exact", "type": "score", "purpose": "scorer"},
        "scores": {"Exact": 1},
        "metadata": {"rationale": "Equal.", "choice": "Y"},
    },
    {
        "id": "3",
        "span_id": "c",
        "root_span_id": "a",
        "is_root": False,
        "span_attributes": {"name": "chat", "type": "llm"},
        "metadata": {"model": "m-1"},
        "metrics": {"prompt_tokens": 10, "completion_tokens": 3},
    },
]


@pytest.mark.parametrize("lines", [False, True])
def test_braintrust_events_take_the_reason_from_the_scorer_and_the_tokens_from_the_call(tmp_path, lines):
    evals = ek.load(write(tmp_path / "events.json", BRAINTRUST, lines=lines))

    assert evals.scores.select("run", "case", "criterion", "score", "rationale", "label").rows() == [
        ("exp-9", "row-1", "Exact", 1.0, "Equal.", "Y"),
        ("exp-9", "row-1", "Fluent", None, None, None),
    ]
    trials = evals.trials.select("output", "input_tokens", "output_tokens", "latency_s")
    assert trials.rows() == [("4", 10, 3, 2.0)]
    assert evals.runs["model"].to_list() == ["m-1"]
    assert evals.cases.select("severity", "tags").row(0) == ("critical", ["math"])
    assert evals.criteria["scale_max"].to_list() == [1.0, 1.0]
    assert any("comments" in str(note) for note in evals.notes)


def test_what_braintrust_eval_returns_is_read(tmp_path):
    summary = {
        "summary": {"experimentName": "mine"},
        "results": [{"input": "2+2?", "output": "4", "expected": "4", "scores": {"Exact": 1}, "error": None}],
    }

    evals = ek.load(write(tmp_path / "out.json", summary))

    assert evals.scores.select("run", "criterion", "score").rows() == [("mine", "Exact", 1.0)]
