"""DeepEval's test runs. All records are made up."""

from __future__ import annotations

import json

import polars as pl
import pytest

import evalkit as ek


def metric(name="Relevancy", *, success=True, score=0.9, **more):
    return {
        "name": name,
        "threshold": 0.5,
        "success": success,
        "score": score,
        "reason": "It is.",
        "strictMode": False,
        "evaluationModel": "gpt-j",
        "evaluationCost": 0.001,
    } | more


def case(name="test_case_0", *, metrics=None, **more):
    metrics = [metric()] if metrics is None else metrics
    return {
        "name": name,
        "input": "Where is it?",
        "actualOutput": "There.",
        "expectedOutput": "Here.",
        "success": all(one["success"] for one in metrics),
        "metricsData": metrics,
        "tokenCost": 0.01,
        "completionTime": 2.5,
        "tags": ["place"],
        "metadata": {"severity": "low"},
        "order": 0,
    } | more


def run(cases, **more):
    passed = [one["success"] for one in cases]
    return {
        "testFile": "t.py",
        "testCases": cases,
        "conversationalTestCases": [],
        "metricsScores": [{"metric": "Relevancy", "scores": [0.9], "passes": 1, "fails": 0, "errors": 0}],
        "hyperparameters": {"model": "gpt-x"},
        "testPassed": sum(passed),
        "testFailed": len(passed) - sum(passed),
        "runDuration": 3.0,
    } | more


def write(path, made, *, wrapped=False):
    path.write_text(json.dumps({"testRunData": made, "testRunLink": "x"} if wrapped else made, indent=2))
    return path


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_metric_passes_where_deepeval_says_so_and_its_score_stays(tmp_path, wrapped):
    cases = [case(), case("test_case_1", input="Who?", metrics=[metric(success=False, score=0.45)])]

    evals = ek.load(write(tmp_path / "test_run_1", run(cases), wrapped=wrapped))

    assert evals.problems.is_empty()
    assert evals.runs.select("run", "agent_version", "model").row(0) == ("test_run_1", "test_run_1", "gpt-x")
    rows = evals.scores.select("criterion", "score", "label", "rationale", "judge_model", "cost_usd").rows()
    assert rows == [
        ("Relevancy", 1.0, "pass", "It is.", "gpt-j", 0.001),
        ("Relevancy", 0.0, "fail", "It is.", "gpt-j", 0.001),
    ]
    assert json.loads(evals.scores["metadata"][1]) == {"score": 0.45, "threshold": 0.5, "strictMode": False}
    trial = evals.trials.row(0, named=True)
    assert (trial["output"], trial["cost_usd"], trial["latency_s"]) == ("There.", 0.01, 2.5)
    told = evals.cases.select("input", "ideal_behavior", "severity", "tags").row(0)
    assert told == ("Where is it?", "Here.", "low", ["place"])
    lines = (tmp_path / "test_run_1").read_text().split("\n")
    assert {lines[line - 1].strip() for line in evals.scores["line"]} == {"{"}
    assert ek.grade(evals)["verdict"].to_list() == ["pass", "fail"]


def test_a_case_that_is_called_after_its_place_is_called_after_what_is_asked(tmp_path):
    first = ek.load(write(tmp_path / "a.json", run([case(), case("test_case_1", input="Who?")])))
    moved = ek.load(write(tmp_path / "b.json", run([case(input="Who?"), case("test_case_1")])))

    asked = [dict(evals.cases.select("input", "case").rows()) for evals in (first, moved)]
    assert asked[0] == asked[1]
    assert ek.load(write(tmp_path / "c.json", run([case("where")]))).cases["case"].item() == "where"


def test_the_same_input_again_is_another_epoch(tmp_path):
    evals = ek.load(write(tmp_path / "a.json", run([case(), case("test_case_1")])))

    assert evals.trials["epoch"].to_list() == [1, 2]


def test_a_metric_that_could_not_be_measured_is_unscored(tmp_path):
    broken = metric("Faithfulness", success=False, score=None, error="Timeout")

    evals = ek.load(write(tmp_path / "a.json", run([case(metrics=[metric(), broken])])))

    assert evals.scores.filter(criterion="Faithfulness").select("score", "error").row(0) == (None, "Timeout")
    assert ek.grade(evals)["verdict"].to_list() == ["unscored"]


def test_cases_with_different_metrics_get_deepevals_own_verdict(tmp_path):
    cases = [case(), case("b", input="Who?", metrics=[metric("Bias", success=False)])]

    evals = ek.load(write(tmp_path / "a.json", run(cases)))

    assert evals.scores.select("criterion", "score").rows() == [("success", 1.0), ("success", 0.0)]
    assert ek.grade(evals)["verdict"].to_list() == ["pass", "fail"]


def test_a_case_with_an_unmeasured_metric_among_different_ones_is_unscored(tmp_path):
    broken = metric("Bias", success=False, score=None, error="Timeout")

    evals = ek.load(write(tmp_path / "a.json", run([case(), case("b", input="Who?", metrics=[broken])])))

    assert evals.scores.filter(case="b").select("score", "error").row(0) == (None, "Bias: Timeout")


def test_a_conversation_is_its_turns_with_their_tools(tmp_path):
    call = {"name": "search", "inputParameters": {"q": "x"}, "output": ["found"]}
    talk = {
        "name": "conversational_test_case_0",
        "scenario": "Somebody asks.",
        "expectedOutcome": "An answer.",
        "turns": [
            {"role": "user", "content": "Where?", "order": 0},
            {"role": "assistant", "content": "There.", "toolsCalled": [call], "order": 1},
        ],
        "success": True,
        "metricsData": [metric()],
    }

    evals = ek.load(write(tmp_path / "a.json", run([], conversationalTestCases=[talk])))

    assert evals.cases.select("input", "ideal_behavior").row(0) == ("Somebody asks.", "An answer.")
    assert evals.turns.select("role", "content", "tool_name").rows() == [
        ("user", "Where?", None),
        ("assistant", None, None),
        ("tool", '["found"]', "search"),
        ("assistant", "There.", None),
    ]
    assert json.loads(evals.turns["tool_calls"][1]) == [
        {"id": "1", "name": "search", "arguments": {"q": "x"}}
    ]
    assert evals.trials["output"].item() == "There."


def test_two_test_runs_compare(tmp_path):
    write(tmp_path / "test_run_1.json", run([case(metrics=[metric(success=False)])]))
    write(tmp_path / "test_run_2.json", run([case()]))

    change = ek.compare(ek.load(tmp_path), baseline="test_run_1", candidate="test_run_2")

    assert change.flips.height == 1


def test_runs_of_one_identifier_in_two_files_are_told_apart(tmp_path):
    write(tmp_path / "test_run_1.json", run([case(metrics=[metric(success=False)])], identifier="nightly"))
    write(tmp_path / "test_run_2.json", run([case()], identifier="nightly"))

    evals = ek.load(tmp_path)

    assert evals.problems.is_empty()
    assert evals.runs["run"].cast(pl.String).to_list() == ["test_run_1/nightly", "test_run_2/nightly"]


def test_of_a_file_that_is_cut_off_the_cases_before_the_cut_are_read(tmp_path):
    path = write(tmp_path / "a.json", run([case("a"), case("b"), case("c")]))
    text = path.read_text()
    path.write_text(text[: text.index('"c"') + 20])

    evals = ek.load(path)

    assert evals.scores["case"].to_list() == ["a", "b"]
    told = evals.problems["reason"].to_list()
    assert "cut off" in told[0]
    assert "2 records before it could be read" in told[1]
    assert text.split("\n")[evals.problems["line"][1] - 1].strip() == "{"
