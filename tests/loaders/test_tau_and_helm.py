"""tau-bench trajectories and HELM runs. All records are made up."""

from __future__ import annotations

import json

import pytest

import evalkit as ek

CALL = {"id": "c1", "type": "function", "function": {"name": "book", "arguments": '{"flight": "F1"}'}}


def trajectory(task=0, trial=0, reward=1.0, **more):
    return {
        "task_id": task,
        "reward": reward,
        "info": {
            "task": {
                "user_id": "u",
                "instruction": "Book F1.",
                "actions": [{"name": "book", "kwargs": {"flight": "F1"}}],
                "outputs": ["F1"],
            },
            "source": "user",
            "user_cost": 0.01,
            "reward_info": {"reward": reward},
        },
        "traj": [
            {"role": "system", "content": "You book."},
            {"role": "user", "content": "F1, please."},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "name": "book", "content": "done"},
            {"role": "assistant", "content": "Booked."},
        ],
        "trial": trial,
    } | more


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
    return path


TAU = [trajectory(), trajectory(1, reward=0.0), trajectory(trial=1, reward=0.0), trajectory(1, 1)]


def test_a_trajectory_is_a_trial_with_its_tool_calls(tmp_path):
    evals = ek.load(write(tmp_path / "gpt-x-airline.json", TAU))

    assert evals.problems.is_empty()
    assert evals.scores.select("run", "case", "epoch", "criterion", "score").rows() == [
        ("gpt-x-airline", "0", 1, "reward", 1.0),
        ("gpt-x-airline", "1", 1, "reward", 0.0),
        ("gpt-x-airline", "0", 2, "reward", 0.0),
        ("gpt-x-airline", "1", 2, "reward", 1.0),
    ]
    turns = evals.turns.filter(case="0", epoch=1)
    assert turns["role"].to_list() == ["system", "user", "assistant", "tool", "assistant"]
    assert json.loads(turns["tool_calls"][2]) == [{"id": "c1", "name": "book", "arguments": {"flight": "F1"}}]
    assert (turns["tool_name"][3], turns["tool_call_id"][3]) == ("book", "c1")
    assert evals.trials["output"][0] == "Booked."
    assert evals.cases.select("input", "expected_rubric").row(0) == (
        "Book F1.",
        'book {"flight":"F1"}\nsays F1',
    )
    assert ek.summarize(evals)["pass_rate"].item() == 0.5


def test_an_attempt_that_crashed_is_unscored_though_its_reward_is_0(tmp_path):
    crashed = trajectory(2, reward=0.0, info={"error": "Timeout"}, traj=[])

    evals = ek.load(write(tmp_path / "a.json", [*TAU, crashed]))

    assert evals.scores.filter(case="2").select("score", "error").row(0) == (
        None,
        "the trial crashed: Timeout",
    )
    assert evals.trials.filter(case="2")["error"].item() == "Timeout"
    assert ek.grade(evals).filter(case="2")["verdict"].item() == "unscored"


def test_trials_that_nobody_numbered_are_counted(tmp_path):
    made = [{k: v for k, v in trajectory().items() if k != "trial"} for _ in range(2)]

    assert ek.load(write(tmp_path / "a.json", made)).trials["epoch"].to_list() == [1, 2]


def test_of_a_list_that_is_cut_off_what_is_whole_is_read(tmp_path):
    path = write(tmp_path / "a.json", TAU)
    path.write_text(path.read_text()[:-300])

    evals = ek.load(path)

    assert evals.scores.height == 3
    assert "3 records before it were read" in evals.problems["reason"].item()


SPEC = {
    "name": "mmlu:subject=physics,model=org_tiny",
    "scenario_spec": {"class_name": "x.Scenario", "args": {}},
    "adapter_spec": {"method": "multiple_choice_joint", "model": "org/tiny"},
    "metric_specs": [],
}


def stat(name, value, **more):
    told = {"name": name, "split": "test"} | more
    return {"name": told, "count": 1, "sum": value, "sum_squared": value**2, "mean": value}


def instance(name="id1", score=1.0, **more):
    stats = [
        stat("exact_match", score),
        stat("f1_score", 0.5),
        stat("num_prompt_tokens", 12),
        stat("inference_runtime", 0.25),
        stat("num_bytes", 3),
        {"name": {"name": "bleu_1", "split": "test"}, "count": 0, "sum": 0},
    ]
    return {"instance_id": name, "train_trial_index": 0, "stats": stats} | more


def state(name="id1", **more):
    return {
        "instance": {
            "input": {"text": "What falls?"},
            "references": [
                {"output": {"text": "All."}, "tags": ["correct"]},
                {"output": {"text": "None."}, "tags": []},
            ],
            "split": "test",
            "id": name,
        },
        "train_trial_index": 0,
        "output_mapping": {"A": "All.", "B": "None."},
        "request": {"model": "org/tiny", "prompt": "Q: What falls?\nA. All.\nB. None.\nAnswer:"},
        "result": {
            "success": True,
            "completions": [{"text": " A", "logprob": -1.0, "tokens": []}],
            "request_time": 0.2,
            "request_datetime": 1_760_000_000,
        },
    } | more


def helm(folder, instances, states, spec=SPEC):
    write(folder / "per_instance_stats.json", instances)
    if states is not None:
        write(folder / "scenario_state.json", {"adapter_spec": {}, "request_states": states})
    if spec is not None:
        write(folder / "run_spec.json", spec)
    return folder


def test_an_instance_is_a_case_and_a_metric_a_criterion(tmp_path):
    evals = ek.load(helm(tmp_path / "run", [instance()], [state()]))

    assert evals.problems.is_empty()
    assert evals.runs.select("run", "suite", "agent_version", "model", "provider").row(0) == (
        "mmlu:subject=physics,model=org_tiny",
        "mmlu:subject=physics",
        "org/tiny",
        "org/tiny",
        "org",
    )
    assert evals.scores.select("case", "epoch", "criterion", "score", "answer").rows() == [
        ("id1", 1, "exact_match", 1.0, "All."),
        ("id1", 1, "f1_score", 0.5, "All."),
    ]
    assert evals.criteria.select("criterion", "kind", "scale_min", "scale_max").rows() == [
        ("exact_match", "binary", 0.0, 1.0),
        ("f1_score", "continuous", 0.0, 1.0),
    ]
    trial = evals.trials.row(0, named=True)
    assert (trial["output"], trial["input_tokens"], trial["latency_s"], trial["line"]) == (" A", 12, 0.25, 2)
    assert evals.cases.select("input", "ideal_behavior", "tags").row(0) == ("What falls?", "All.", ["test"])
    assert evals.turns["role"].to_list() == ["user", "assistant"]
    assert any("num_bytes" in note for note in evals.notes)
    assert ek.grade(evals.filter(criterion="exact_match"))["verdict"].to_list() == ["pass"]


def test_perturbed_instances_are_left_out_and_training_trials_are_epochs(tmp_path):
    changed = {"name": "typos"}
    made = [instance(), instance(score=0.0, perturbation=changed), instance(score=0.0, train_trial_index=1)]
    asked = [state(), state(), state(train_trial_index=1)]
    asked[1]["instance"] = asked[1]["instance"] | {"perturbation": changed}

    evals = ek.load(helm(tmp_path / "run", made, asked))

    scores = evals.scores.filter(criterion="exact_match")
    assert scores.select("case", "epoch", "score").rows() == [("id1", 1, 1.0), ("id1", 2, 0.0)]
    assert any("perturbed" in note for note in evals.notes)


def test_a_request_that_failed_is_a_crashed_trial(tmp_path):
    failed = state(result={"success": False, "error": "no quota", "completions": []})

    assert ek.load(helm(tmp_path / "run", [instance()], [failed])).trials["error"].item() == "no quota"


@pytest.mark.parametrize("missing", ["state", "spec"])
def test_a_run_with_a_file_missing_loads_what_there_is(tmp_path, missing):
    made = helm(
        tmp_path / "run",
        [instance()],
        None if missing == "state" else [state()],
        None if missing == "spec" else SPEC,
    )

    evals = ek.load(made / "per_instance_stats.json")

    assert evals.scores.height == 2
    assert any("there is no such file" in note for note in evals.notes)


def test_a_run_without_scores_of_its_instances_says_so(tmp_path):
    evals = ek.load(write(tmp_path / "run" / "run_spec.json", SPEC))

    assert "no score of a case" in evals.problems["reason"].item()


def test_two_models_on_one_scenario_compare(tmp_path):
    helm(tmp_path / "a", [instance()], [state()])
    other = SPEC | {"name": "mmlu:subject=physics,model=org_large", "adapter_spec": {"model": "org/large"}}
    helm(tmp_path / "b", [instance(score=0.0)], [state()], other)
    evals = ek.load(tmp_path).filter(criterion="exact_match")

    change = ek.compare(evals, baseline="org/tiny", candidate="org/large")

    assert change.flips["case"].to_list() == ["id1"]
