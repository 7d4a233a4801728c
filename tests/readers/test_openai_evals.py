"""OpenAI evals: the log of `oaieval`, and output items of the hosted Evals. All records are made up."""

from __future__ import annotations

import json

import pytest

import evalkit as ek

SPEC = {
    "spec": {
        "completion_fns": ["gpt-x"],
        "eval_name": "sums.dev.v0",
        "base_eval": "sums",
        "split": "dev",
        "run_config": {"seed": 1},
        "created_by": "",
        "run_id": "run-1",
        "created_at": "2026-10-01 10:00:00.5",
    }
}


def event(kind, data, sample="sums.dev.0", number=0):
    return {
        "run_id": "run-1",
        "event_id": number,
        "sample_id": sample,
        "type": kind,
        "data": data,
        "created_by": "",
        "created_at": "2026-10-01 10:00:01.5+00:00",
    }


CHAT = [{"role": "system", "content": "Add."}, {"role": "user", "content": "2 + 2"}]
LOG = [
    SPEC,
    event("sampling", {"prompt": CHAT, "sampled": ["4"]}),
    {"final_report": {"accuracy": 0.5}},
    event("sampling", {"prompt": "1 + 1", "sampled": "3"}, "sums.dev.1"),
    # Written late, after the report.
    event("match", {"correct": True, "expected": "4", "picked": "4", "options": ["4"]}),
    event("match", {"correct": False, "expected": "2", "picked": None}, "sums.dev.1"),
]


def write(path, records):
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def test_a_match_is_a_score_also_when_it_is_written_after_the_report(tmp_path):
    evals = ek.load(write(tmp_path / "log.jsonl", LOG))

    assert evals.problems.is_empty()
    assert evals.runs.select("run", "suite", "agent_version", "model").rows() == [
        ("run-1", "sums.dev.v0", "gpt-x", "gpt-x")
    ]
    assert evals.scores.select("case", "criterion", "score", "answer").rows() == [
        ("sums.dev.0", "match", 1.0, "4"),
        ("sums.dev.1", "match", 0.0, None),
    ]
    assert evals.trials["output"].to_list() == ["4", "3"]
    assert evals.cases.select("input", "ideal_behavior").rows() == [("2 + 2", "4"), ("1 + 1", "2")]
    assert evals.turns.filter(case="sums.dev.0")["role"].to_list() == ["system", "user", "assistant"]
    assert json.loads(evals.runs["config"].item())["final_report"] == {"accuracy": 0.5}
    assert ek.summarize(evals)["pass_rate"].item() == 0.5


def test_a_model_that_grades_is_no_part_of_the_conversation(tmp_path):
    graded = [
        SPEC,
        event("sampling", {"prompt": CHAT, "sampled": ["4"]}),
        event("sampling", {"prompt": [{"role": "user", "content": "Is it right?"}], "sampled": ["Yes.\nA"]}),
        event("metrics", {"choice": "A", "score": 1.0}),
    ]

    evals = ek.load(write(tmp_path / "log.jsonl", graded))

    assert evals.turns["content"].to_list() == ["Add.", "2 + 2", "4"]
    assert evals.scores.select("criterion", "grader_kind", "score", "label", "rationale").rows() == [
        ("score", "judge", 1.0, "A", "Yes.\nA")
    ]
    assert evals.criteria["scale_max"].to_list() == [None]


def test_numbers_among_the_metrics_are_criteria_and_flags_pass_or_fail(tmp_path):
    evals = ek.load(
        write(tmp_path / "log.jsonl", [SPEC, event("metrics", {"f1": 0.5, "valid": True, "note": "x"})])
    )

    assert evals.scores.select("criterion", "score").rows() == [("f1", 0.5), ("valid", 1.0)]
    assert dict(evals.criteria.select("criterion", "kind").rows()) == {"f1": None, "valid": "binary"}


def test_a_choice_that_stands_for_no_number_is_unscored(tmp_path):
    evals = ek.load(write(tmp_path / "log.jsonl", [SPEC, event("metrics", {"choice": "__invalid__"})]))

    assert evals.scores.select("criterion", "score", "label").row(0) == ("choice", None, "__invalid__")


def test_an_error_is_a_trial_that_failed_and_other_events_are_noted(tmp_path):
    events = [
        SPEC,
        event("error", {"type": "Timeout", "message": "60 s"}),
        event("embedding", {"x": 1}, "sums.dev.1"),
    ]

    evals = ek.load(write(tmp_path / "log.jsonl", events))

    assert evals.trials["error"].to_list() == ["60 s", None]
    assert any("embedding events" in str(note) for note in evals.notes)


def test_a_broken_line_costs_no_other(tmp_path):
    path = write(tmp_path / "log.jsonl", LOG)
    path.write_text(
        path.read_text() + '\n{"run_id": "run-1", "event\n' + json.dumps(event("match", {}, None))
    )

    evals = ek.load(path)

    assert evals.scores.height == 2
    assert evals.problems["line"].to_list() == [7, 8]


def item(number=0, *, passed=True, **more):
    return {
        "id": f"outputitem_{number}",
        "object": "eval.run.output_item",
        "created_at": 1_790_000_000,
        "run_id": "evalrun_1",
        "eval_id": "eval_1",
        "status": "pass" if passed else "fail",
        "datasource_item_id": number,
        "datasource_item": {"question": f"{number} + 1", "severity": "high"},
        "results": [
            {"name": "exact", "type": "string_check", "passed": passed, "score": float(passed)},
            {
                "name": "tone",
                "passed": True,
                "score": 6.0,
                "sample": {"model": "gpt-j", "output": [{"role": "assistant", "content": "Kind."}]},
            },
        ],
        "sample": {
            "input": [{"role": "user", "content": f"{number} + 1"}],
            "output": [{"role": "assistant", "content": str(number + 1)}],
            "model": "gpt-x",
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
            "temperature": 0,
            "error": None,
        },
    } | more


ITEMS = [item(), item(1, passed=False)]


@pytest.mark.parametrize("layout", ["list", "page", "lines"])
def test_saved_output_items_load_as_they_were_saved(tmp_path, layout):
    path = tmp_path / "items.json"
    page = {"object": "list", "data": ITEMS, "first_id": "a", "last_id": "b", "has_more": False}
    text = {
        "list": json.dumps(ITEMS, indent=1),
        "page": json.dumps(page),
        "lines": "\n".join(map(json.dumps, ITEMS)),
    }
    path.write_text(text[layout])

    evals = ek.load(path)

    assert evals.problems.is_empty()
    assert evals.runs.select("run", "suite", "model").rows() == [("evalrun_1", "eval_1", "gpt-x")]
    assert evals.scores.select("case", "criterion", "grader_kind", "score", "rationale").rows() == [
        ("0", "exact", "code", 1.0, None),
        ("0", "tone", "judge", 1.0, "Kind."),
        ("1", "exact", "code", 0.0, None),
        ("1", "tone", "judge", 1.0, "Kind."),
    ]
    assert json.loads(evals.scores["metadata"][1])["score"] == 6.0
    assert evals.trials.select("output", "stop_reason", "input_tokens", "output_tokens").row(0) == (
        "1",
        "stop",
        5,
        1,
    )
    assert evals.cases["severity"].to_list() == ["high", "high"]
    assert ek.grade(evals)["verdict"].to_list() == ["pass", "fail"]


def test_older_items_do_not_name_their_graders(tmp_path):
    old = item(results=[{"passed": True, "score": 1.0}, {"passed": False, "score": 0.0}])

    evals = ek.load(write(tmp_path / "items.jsonl", [old]))

    assert evals.scores.select("criterion", "score").rows() == [("grader 1", 1.0), ("grader 2", 0.0)]


def test_an_item_that_failed_is_a_crashed_trial(tmp_path):
    failed = item(2, status="error", results=[])
    failed["sample"] |= {"error": {"code": "rate_limit", "message": "Slow down."}, "output": []}

    evals = ek.load(write(tmp_path / "items.jsonl", [*ITEMS, failed]))

    assert evals.trials["error"].to_list() == [None, None, "rate_limit: Slow down."]
    assert ek.grade(evals)["verdict"].to_list() == ["pass", "fail", "unscored"]


def test_two_runs_of_an_eval_compare_by_item(tmp_path):
    again = [item(run_id="evalrun_2"), item(1, run_id="evalrun_2")]

    change = ek.compare(
        ek.load(write(tmp_path / "items.jsonl", [*ITEMS, *again])),
        baseline="evalrun_1",
        candidate="evalrun_2",
    )

    assert change.flips["case"].to_list() == ["1"]
