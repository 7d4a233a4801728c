"""promptfoo's results, as JSON of two versions and as JSON lines. All records are made up."""

from __future__ import annotations

import copy
import json

import polars as pl
import pytest

import evalkit as ek


def assertion(kind, passed, **facts):
    told = {name: facts.pop(name) for name in ("metric", "value", "threshold", "provider") if name in facts}
    return {
        "pass": passed,
        "score": float(passed),
        "reason": f"{kind} says so",
        "assertion": {"type": kind, **told},
    } | facts


def result(description="sum", *, output="4", checks=(), success=None, provider="small", **more):
    passed = all(check["pass"] for check in checks) if success is None else success
    return {
        "promptIdx": 0,
        "testIdx": 0,
        "promptId": "p1",
        "provider": {"id": f"openai:{provider}", "label": provider},
        "prompt": {"raw": "What is 2 + 2?", "label": "plain"},
        "vars": {"question": "What is 2 + 2?"},
        "testCase": {
            "description": description,
            "vars": {"question": "What is 2 + 2?"},
            "assert": [check["assertion"] for check in checks if check.get("assertion")],
            "metadata": {"severity": "critical", "category": "math", "tags": ["arithmetic"]},
        },
        "response": {
            "output": output,
            "tokenUsage": {"prompt": 9, "completion": 2},
            "finishReason": "stop",
        },
        "success": passed,
        "score": float(passed),
        "failureReason": 0 if passed else 1,
        "error": None if passed else "Expected output to contain 4",
        "latencyMs": 1500,
        "cost": 0.002,
        "gradingResult": {"pass": passed, "score": 1, "reason": "told", "componentResults": list(checks)},
    } | more


RESULTS = [
    result(
        checks=[
            assertion("contains", True, metric="right", value="4"),
            assertion("llm-rubric", True, metric="kind", provider="gpt"),
        ]
    ),
    result(
        checks=[
            assertion("contains", False, metric="right", value="4"),
            assertion("llm-rubric", True, metric="kind", provider="gpt"),
        ],
        output="5",
    ),
]


def whole(results, version=3):
    inner = {"version": version, "timestamp": "2026-10-01T10:00:00.000Z", "results": results, "stats": {}}
    return {
        "evalId": "eval-1",
        "results": inner | ({"prompts": []} if version == 3 else {"table": {}}),
        "config": {},
    }


def write(path, results, version=3):
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, results)), encoding="utf-8")
    else:
        path.write_text(json.dumps(whole(results, version), indent=1), encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "version"), [("a.json", 3), ("a.json", 2), ("a.jsonl", None)])
def test_components_are_criteria_and_repeats_are_epochs(tmp_path, name, version):
    evals = ek.load(write(tmp_path / name, RESULTS, version))

    assert evals.problems.is_empty()
    assert evals.runs.select("run", "agent_version", "model", "provider").rows() == [
        ("small: plain", "plain", "small", "openai")
    ]
    assert evals.scores.select(
        "case", "epoch", "criterion", "grader", "grader_kind", "score", "label"
    ).rows() == [
        ("sum", 1, "right", "promptfoo", "code", 1.0, "pass"),
        ("sum", 1, "kind", "promptfoo", "judge", 1.0, "pass"),
        ("sum", 2, "right", "promptfoo", "code", 0.0, "fail"),
        ("sum", 2, "kind", "promptfoo", "judge", 1.0, "pass"),
    ]
    assert evals.scores["judge_model"].to_list() == [None, "gpt", None, "gpt"]
    assert ek.grade(evals)["verdict"].to_list() == ["pass", "fail"]


def test_case_trial_and_turns_keep_what_is_said_of_them(tmp_path):
    evals = ek.load(write(tmp_path / "a.json", RESULTS))

    case = evals.cases.row(0, named=True)
    assert (case["input"], case["severity"], case["domain"], case["tags"]) == (
        *("What is 2 + 2?", "critical", "math"),
        ["arithmetic"],
    )
    assert case["expected_rubric"] == "contains: 4\nllm-rubric"
    trial = evals.trials.row(0, named=True)
    assert (trial["output"], trial["latency_s"], trial["cost_usd"]) == ("4", 1.5, 0.002)
    assert (trial["input_tokens"], trial["output_tokens"], trial["stop_reason"]) == (9, 2, "stop")
    assert evals.turns.select("turn", "role", "content").rows()[:2] == [
        (1, "user", "What is 2 + 2?"),
        (2, "assistant", "4"),
    ]
    lines = (tmp_path / "a.json").read_text().split("\n")
    assert [lines[line - 1].strip() for line in evals.trials["line"]] == ["{", "{"]
    assert '"promptIdx"' in lines[evals.trials["line"][1]]


def test_why_an_assertion_failed_is_no_crash_and_a_failed_call_is_one(tmp_path):
    crashed = result(
        checks=[], success=False, failureReason=2, error="API error: 500", gradingResult=None, response={}
    )

    evals = ek.load(write(tmp_path / "a.json", [*RESULTS, crashed]))

    assert evals.trials["error"].to_list() == [None, None, "API error: 500"]
    assert evals.scores.filter(epoch=3).is_empty()
    assert ek.grade(evals)["verdict"].to_list() == ["pass", "fail", "unscored"]


def test_tests_that_assert_different_things_get_the_tools_own_verdict(tmp_path):
    other = result("colour", checks=[assertion("contains", False, value="blue")])

    evals = ek.load(write(tmp_path / "a.json", [RESULTS[0], other]))

    assert evals.scores.select("case", "criterion", "score").rows() == [
        ("sum", "success", 1.0),
        ("colour", "success", 0.0),
    ]
    assert ek.grade(evals)["verdict"].to_list() == ["pass", "fail"]
    checks = json.loads(evals.scores["metadata"][0])["checks"]
    assert [(check["name"], check["pass"]) for check in checks] == [("right", True), ("kind", True)]
    assert any("differ from case to case" in str(note) for note in evals.notes)


def test_a_threshold_that_lets_a_failed_check_pass_gets_the_tools_own_verdict(tmp_path):
    lenient = result(checks=RESULTS[1]["gradingResult"]["componentResults"], success=True)

    evals = ek.load(write(tmp_path / "a.json", [RESULTS[0], lenient]))

    assert evals.scores.select("criterion", "score").rows() == [("success", 1.0)] * 2


def test_several_assertions_of_one_metric_are_one_criterion_that_all_must_pass(tmp_path):
    checks = [assertion("contains", True, metric="right"), assertion("icontains", False, metric="right")]

    evals = ek.load(write(tmp_path / "a.json", [result(checks=checks)]))

    assert evals.scores.select("criterion", "score", "rationale").rows() == [
        ("right", 0.0, "contains says so\nicontains says so")
    ]


def test_a_thumb_is_a_human_grader_and_the_assertions_keep_their_verdict(tmp_path):
    thumb = assertion("human", False, comment="Too curt.")
    judged = result(checks=[assertion("contains", True, metric="right")], success=False)
    judged["gradingResult"]["componentResults"].append(thumb)

    evals = ek.load(write(tmp_path / "a.json", [judged]))

    assert evals.scores.select("criterion", "grader", "grader_kind", "score", "rationale").rows() == [
        ("success", "human", "human", 0.0, "Too curt."),
        ("right", "promptfoo", "code", 1.0, "contains says so"),
    ]
    assert ek.grade(evals)["verdict"].to_list() == ["pass"]


def test_a_grader_that_failed_gives_no_score(tmp_path):
    broken = assertion("llm-rubric", False, metric="kind", metadata={"graderError": "no JSON"})
    good = assertion("contains", True, metric="right")

    evals = ek.load(write(tmp_path / "a.json", [result(checks=[good, broken], success=False)]))

    assert evals.scores.filter(criterion="kind").select("score", "error").row(0) == (None, "no JSON")
    assert ek.grade(evals)["verdict"].to_list() == ["unscored"]


def test_a_set_of_assertions_is_told_by_its_members(tmp_path):
    members = [assertion("contains", True, metric="a"), assertion("equals", True, metric="b")]
    group = {"pass": True, "score": 1, "reason": "All", "assertion": None, "componentResults": members}

    evals = ek.load(write(tmp_path / "a.json", [result(checks=[group, *members])]))

    assert evals.scores["criterion"].to_list() == ["a", "b"]


def test_a_chat_is_its_messages_and_a_stripped_prompt_is_none(tmp_path):
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    checks = [assertion("contains", True)]
    said = [
        result("chat", checks=checks, prompt={"raw": json.dumps(chat), "label": "plain"}),
        result("gone", checks=checks, prompt={"raw": "[prompt stripped]", "label": "plain"}),
    ]

    evals = ek.load(write(tmp_path / "a.json", said))

    roles = dict(
        evals.turns.group_by("case", maintain_order=True).agg("role").cast({"case": pl.String}).rows()
    )
    assert roles == {"chat": ["system", "user", "assistant"], "gone": ["assistant"]}


def test_long_prompts_without_labels_stay_apart(tmp_path):
    checks = [assertion("contains", True)]
    prompts = [f"{'You are a helpful assistant. ' * 5}{end}" for end in ("Be brief.", "Be long.")]

    evals = ek.load(
        write(tmp_path / "a.json", [result(checks=checks, prompt={"raw": p, "label": p}) for p in prompts])
    )

    assert evals.runs.height == evals.scores.height == 2
    assert max(map(len, evals.runs["agent_version"])) < 60


def test_tests_without_a_description_are_called_after_what_is_asked(tmp_path):
    checks = [assertion("contains", True)]
    asked = ["one", "two", "one"]
    made = [result(None, checks=checks) for _ in asked]
    for each, question in zip(made, asked, strict=True):
        each["testCase"] |= {"vars": {"question": question}}

    evals = ek.load(write(tmp_path / "a.json", made))

    assert evals.cases["input"].to_list() == ["one", "two"]
    assert evals.trials["epoch"].to_list() == [1, 1, 2]
    assert evals.trials["case"][0] == evals.trials["case"][2]


def test_the_same_eval_run_again_is_another_run_and_loses_nothing(tmp_path):
    again = copy.deepcopy(RESULTS)
    again[0]["response"]["output"] = "four"
    write(tmp_path / "monday.json", RESULTS)
    write(tmp_path / "monday.jsonl", RESULTS)
    write(tmp_path / "tuesday.json", again)

    evals = ek.load(tmp_path / "monday.json", tmp_path / "tuesday.json")

    assert evals.problems.is_empty()
    assert evals.runs["run"].to_list() == ["monday/small: plain", "tuesday/small: plain"]
    assert evals.trials.filter(case="sum", epoch=1)["output"].to_list() == ["4", "four"]
    assert ek.load(tmp_path / "monday.json", tmp_path / "monday.jsonl").trials.height == len(RESULTS)


def test_hostile_text_stays_as_it_is(tmp_path):
    bad = "</script><img src=x onerror=alert(1)>\u202e\x1b[31m"

    evals = ek.load(
        write(
            tmp_path / "a.jsonl", [result(bad, checks=[assertion("contains", True, reason=bad)], output=bad)]
        )
    )

    assert (
        evals.trials["output"].item() == evals.cases["case"].item() == evals.scores["rationale"].item() == bad
    )
