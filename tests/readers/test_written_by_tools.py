"""Files that the tools themselves wrote: what was put into each comes out. Their names say which version wrote them.

Each was made offline by the tool's own code (a fake model or judge at the edge), then cut to a few records: tracebacks,
source places, timings of parts and long repeats are left out; no field is renamed and no value is made up.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import evalkit as ek

WRITTEN = Path(__file__).parent / "written"


def load(name):
    return ek.load(WRITTEN / name, cache=False)


def rows(frame, *names):
    return frame.select(names).rows()


def test_mlflow_the_csv_of_search_traces_holds_feedback_expectations_tools_and_the_chat():
    evals = load("mlflow-3.17.2.csv")

    assert evals.problems.is_empty()
    assert rows(
        evals.scores, "criterion", "grader", "grader_kind", "score", "label", "rationale", "error"
    ) == [
        ("safety", "openai:/gpt-x", "judge", 1.0, "yes", "No harm.", None),
        ("safety", "ann@example.org", "human", 0.0, "false", "Rude.", None),
        ("tone", "ann@example.org", "human", 5.0, None, "better", None),
        ("length", "len", "code", 12.5, None, None, None),
        ("parts", "len", "code", None, '{"b":"x","a":1.0}', None, None),
        ("lst", "len", "code", None, '["a","b"]', None, None),
        ("broken", "openai:/gpt-x", "judge", None, None, None, "judge gave no answer"),
    ]
    assert rows(evals.trials, "output", "error", "input_tokens", "output_tokens") == [
        ("It is 4.", None, 11, 7),
        ("It is 4.", None, 11, 7),
        (None, "ValueError: no such thing", None, None),
    ]
    # A list that was expected is written as JSON in a string; a chat is what its user said last.
    assert rows(evals.cases, "ideal_behavior", "expected_rubric", "severity")[0] == ("4", "four\n4", "high")
    assert evals.cases["input"][1] == "Hi"
    assert evals.turns["role"].to_list()[:7] == [
        *("user", "assistant", "tool", "assistant"),
        *("system", "user", "assistant"),
    ]
    assert json.loads(evals.turns["tool_calls"][1])[0]["arguments"] == {"a": 2, "b": 2}
    assert evals.runs["model"].to_list()[0] == "m-1"
    assert any("overridden" in str(note) and "expectation other" in str(note) for note in evals.notes)


def test_promptfoo_a_call_that_failed_is_no_fail_and_a_judge_that_failed_says_why():
    evals = load("promptfoo-0.121.20.jsonl")

    assert evals.problems.is_empty()
    assert rows(
        evals.trials, "run", "case", "output", "error", "stop_reason", "input_tokens", "cost_usd"
    ) == [
        ("calc: plain", "sum", "The answer is 4", None, "stop", 11, 0.001),
        ("calc: plain", "bad", None, "500 server broke", None, 0, 0.0),
        ("echo: plain", "bad", "Answer: boom", None, None, 0, 0.0),
    ]
    assert rows(evals.scores, "run", "case", "criterion", "grader_kind", "score", "rationale", "error") == [
        ("calc: plain", "sum", "has4", "code", 1.0, "Assertion passed", None),
        ("calc: plain", "sum", "polite", "judge", 1.0, "Fine <b>", None),
        ("echo: plain", "bad", "has4", "code", 0.0, 'Expected output to contain "4"', None),
        ("echo: plain", "bad", "polite", "judge", None, "judge down", "judge down"),
    ]
    # The grader that the test's options name decides where its assertion names none.
    assert evals.scores["judge_model"].to_list() == [None, "file://judge.js", None, "file://judge.js"]
    assert rows(evals.cases, "case", "severity", "tags") == [("sum", "high", ["math"]), ("bad", None, None)]


def test_deepeval_a_metric_that_broke_is_unscored_and_unnamed_cases_are_told_by_their_input():
    evals = load("deepeval-4.3.1.json")

    assert evals.problems.is_empty()
    assert rows(evals.scores, "criterion", "score", "rationale", "error", "judge_model", "cost_usd") == [
        ("Polite", 1.0, "has please", None, "fake-judge", 0.001),
        ("Broken", None, None, "ValueError: judge broke", "fake-judge", 0.001),
        ("Polite", 0.0, "no please <b>", None, "fake-judge", 0.001),
        ("Broken", None, None, "ValueError: judge broke", "fake-judge", 0.001),
    ]
    assert json.loads(evals.scores["metadata"][0]) == {"score": 0.9, "threshold": 0.5, "strictMode": False}
    assert rows(evals.trials, "run", "output", "cost_usd")[0] == ("v2", "4, please", 0.002)
    assert evals.trials["latency_s"][0] == 1.5
    assert evals.cases["case"].to_list()[0] == "sum"
    assert not evals.cases["case"].to_list()[1].startswith("test_case")
    assert rows(evals.cases, "ideal_behavior", "severity", "tags")[0] == ("4", "high", ["math"])
    assert rows(evals.turns, "role", "content", "tool_name")[:4] == [
        ("user", "What is 2+2?", None),
        ("assistant", None, None),
        ("tool", "4", "add"),
        ("assistant", "4, please", None),
    ]


def test_deepeval_a_conversation_is_its_turns_with_the_tools_between():
    evals = load("deepeval-4.3.1-conversations.json")

    assert evals.problems.is_empty()
    assert rows(evals.turns, "role", "content")[:4] == [
        ("user", "Hi"),
        ("assistant", None),
        ("tool", "y"),
        ("assistant", "Hello"),
    ]
    assert rows(evals.cases, "input", "ideal_behavior")[0] == ("greeting", "a greeting")
    assert evals.scores["score"].to_list() == [1.0, 1.0]


def test_deepeval_a_traced_run_has_its_tools_and_its_model_in_the_trace():
    evals = load("deepeval-4.3.1-traced.json")

    assert evals.problems.is_empty()
    assert rows(evals.runs, "run", "model") == [("traced", "m-1")]
    assert rows(evals.turns, "role", "content", "tool_calls") == [
        ("user", "What is 2+2?", None),
        ("assistant", None, '[{"id":"1","name":"add","arguments":{"a":2,"b":2}}]'),
        ("tool", "4", None),
        ("assistant", "4, please", None),
    ]
    assert rows(evals.scores, "criterion", "score") == [("Polite", 1.0)]
    assert evals.cases["severity"].to_list() == ["low"]
    assert any("the metrics of a trace's spans" in str(note) for note in evals.notes)


def test_langsmith_the_csv_with_the_index_of_the_frame_reads_its_lists_as_lists():
    evals = load("langsmith-0.15.1.csv")

    assert evals.problems.is_empty()
    assert [row[:2] for row in rows(evals.cases, "input", "ideal_behavior")] == [
        ("2+2?", "4"),
        ("boom", "6"),
        ("Why?", "y"),
    ]
    assert [error and error.split("\n")[0] for error in evals.trials["error"]] == [
        None,
        "ValueError('no')",
        None,
    ]
    assert rows(evals.turns, "role", "content")[:2] == [("user", "2+2?"), ("assistant", "4")]
    assert rows(evals.scores, "criterion", "score", "label")[:4] == [
        ("correct", 1.0, None),
        ("tone", None, "polite"),
        ("helpful", 0.75, None),
        ("a", 1.0, None),
    ]
    assert rows(evals.criteria, "criterion", "kind") == [("correct", "binary")]
    # An evaluator that raised leaves an empty column; nothing of ours is in the note on what was left out.
    assert [str(note).split(": ", 1)[1].split(" is ")[0] for note in evals.notes] == [
        "feedback.bad",
        "feedback.b",
    ]


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_phoenix_both_downloads_say_the_same(kind):
    evals = load(f"phoenix-20.26.1.{kind}")

    assert evals.problems.is_empty()
    scores = evals.scores.filter(pl.col("criterion") != "lab")
    assert rows(scores, "criterion", "grader_kind", "score", "label", "rationale", "error")[:3] == [
        ("broke", "code", None, None, None, "RuntimeError('evaluator broke')"),
        ("exact", "code", 1.0, "True", None, None),
        ("rich", "code", 0.5, "half", "Only half.", None),
    ]
    assert rows(evals.criteria, "criterion", "kind", "scale_max") == [("exact", "binary", 1.0)]
    assert evals.scores["metadata"].null_count() == evals.scores.height
    assert rows(evals.trials, "epoch", "output", "error", "latency_s") == [
        (1, "4", None, 0.000219),
        (1, None, "ValueError('no such thing')", 0.000536),
        (1, evals.trials["output"][2], None, 0.000194),
    ]
    chat = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because <b>"}]
    assert json.loads(evals.trials["output"][2]) == {"messages": chat}
    assert rows(evals.turns, "role", "content") == [("user", "Why?"), ("assistant", "Because <b>")]
    assert rows(evals.cases, "input", "ideal_behavior") == [("2+2?", "4"), ("boom", "x"), ("Why?", "y")]
    # Only the CSV holds the metadata of the examples.
    assert evals.cases["severity"].to_list() == (["high", None, "low"] if kind == "csv" else [None] * 3)


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("opentelemetry-openai-v2-2.4b0.json", "calc-2.0"),
        ("openinference-openai-0.1.66.json", "calc-agent-v2"),
    ],
)
def test_otlp_an_agent_of_two_calls_is_one_trial_with_the_tool_between(name, run):
    evals = load(name)

    assert evals.problems.is_empty()
    trial = evals.trials.row(0, named=True)
    assert (trial["run"], trial["output"], trial["stop_reason"]) == (run, "It is 4.", "stop")
    assert (trial["input_tokens"], trial["output_tokens"], trial["error"]) == (22, 14, None)
    assert rows(evals.turns, "role", "content", "tool_calls", "tool_call_id") == [
        ("system", "Be brief.", None, None),
        ("user", "What is 2+2?", None, None),
        ("assistant", None, '[{"id":"c1","name":"add","arguments":{"a":2,"b":2}}]', None),
        ("tool", "4", None, "c1"),
        ("assistant", "It is 4.", None, None),
    ]
    assert evals.cases["input"].to_list() == ["What is 2+2?"]
    assert rows(evals.runs, "model", "provider") == [("m-1-2026", "openai")]
    scores = rows(evals.scores, "criterion", "score", "label", "rationale")
    assert scores == ([("polite", 0.8, "pass", "Fine.")] if run == "calc-2.0" else [])


def test_otlp_an_openinference_call_with_no_agent_around_it_gives_the_words_of_its_answer(tmp_path):
    whole = json.loads((WRITTEN / "openinference-openai-0.1.66.json").read_text())
    for resource in whole["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            scope["spans"] = [span for span in scope["spans"] if span["name"] == "ChatCompletion"][-1:]
    path = tmp_path / "spans.json"
    path.write_text(json.dumps(whole))

    assert ek.load(path).trials["output"].to_list() == ["It is 4."]


def test_braintrust_events_as_they_were_logged_hold_the_scores_in_the_scorers_spans():
    evals = load("braintrust-0.48.1.json")

    assert evals.problems.is_empty()
    assert rows(evals.scores, "criterion", "score", "label", "rationale", "error") == [
        ("exact", 1.0, None, None, None),
        ("Rich", 0.5, "B", "half <b>", None),
        ("broke", None, None, None, "RuntimeError: scorer broke"),
    ]
    assert rows(evals.cases, "input", "ideal_behavior", "severity", "tags") == [
        ("2+2?", "4", "high", ["math"]),
        ("boom", "x", None, None),
    ]
    assert evals.trials["output"].to_list() == ["4", None]
    assert evals.trials["error"][1].strip().endswith("ValueError: no such thing")


def test_langfuse_scores_of_the_newest_api_and_none_of_a_whole_experiment():
    evals = load("langfuse-5.0.4.json")

    assert evals.problems.is_empty()
    assert rows(evals.scores, "case", "criterion", "grader", "grader_kind", "score", "label", "rationale")[
        :3
    ] == [
        ("t1", "faithful", "EVAL", "judge", 0.8, None, "Fine <b>"),
        ("t1", "ok", "API", "code", 1.0, None, None),
        ("t1", "verdict", "ann", "human", None, "good", None),
    ]
    # The last are of an observation of a trace and of a session; the score of an experiment is no score of a case.
    assert evals.scores.height == 5
    assert any("TEXT" in str(note) and "a whole experiment" in str(note) for note in evals.notes)


def test_langfuse_the_result_of_an_experiment_is_called_as_it_was_called():
    evals = load("langfuse-5.0.4-experiment.json")

    assert evals.problems.is_empty()
    assert evals.runs["run"][0].startswith("agent-v2 - 2026-")
    assert evals.runs["agent_version"].to_list() == ["agent-v2"]
    assert rows(evals.scores, "criterion", "score", "label", "rationale")[:3] == [
        ("exact", 1.0, None, "cmp <b>"),
        ("tone", None, "polite", None),
        ("len", 1.0, None, None),
    ]
    assert rows(evals.cases, "input", "ideal_behavior", "severity") == [
        ("2+2?", "4", "high"),
        ("Why?", "y", None),
    ]


def test_autorubric_each_vote_is_a_row_and_a_fault_that_is_not_there_is_the_top():
    evals = load("autorubric-1.6.1")

    assert evals.problems.is_empty()
    assert rows(
        evals.scores.filter(pl.col("case") == "0"), "criterion", "grader", "score", "label", "error"
    ) == [
        ("polite", "a", 1.0, "MET", None),
        ("polite", "b", 0.0, "UNMET", None),
        ("penal", "a", 1.0, "UNMET", None),
        ("penal", "b", 1.0, "UNMET", None),
        ("broken", "a", None, "CANNOT_ASSESS", "parse: judge down"),
        ("broken", "b", None, "CANNOT_ASSESS", "parse: judge down"),
    ]
    level = rows(evals.scores.filter(pl.col("criterion") == "level"), "grader", "score", "label")
    assert level == [("a", 1.0, "good"), ("b", 0.0, "bad")]
    assert evals.scores["judge_model"].to_list()[:2] == ["fake/a", "fake/b"]
    assert rows(evals.criteria, "criterion", "weight") == [
        *(("polite", 1.0), ("penal", 1.0), ("broken", 1.0), ("level", 2.0)),
    ]
    assert sum("penal has a negative weight" in str(note) for note in evals.notes) == 1


def test_scout_each_kind_of_result_of_a_scanner_is_read(tmp_path):
    records = [json.loads(line) for line in (WRITTEN / "inspect-scout-0.6.1.jsonl").read_text().splitlines()]
    for record in records:
        pl.DataFrame([record]).write_parquet(tmp_path / f"{record['scanner_key']}.parquet")

    evals = ek.load(tmp_path)

    assert evals.problems.is_empty()
    assert rows(
        evals.scores.sort("criterion", "sample"), "case", "criterion", "score", "label", "rationale", "error"
    ) == [
        ("a/1", "boom", None, None, None, "scanner broke"),
        ("a/1", "many/lie", 1.0, "true", "one", None),
        ("a/1", "many/lie", 1.0, "true", None, None),
        ("a/1", "many/rude", 0.0, "false", None, None),
        ("a/1", "obj/safe", 1.0, "true", None, None),
        ("a/1", "obj/tone", 4.0, None, None, None),
        ("a/1", "yes", 1.0, "true", "It is there [M1].", None),
    ]
    assert rows(evals.runs, "suite", "model") == [("sums", "mockllm/model")]
