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
    assert "3 records before it could be read" in evals.problems["reason"].item()


SPEC = {
    "name": "mmlu:subject=physics,model=org_tiny",
    "scenario_spec": {"class_name": "x.Scenario", "args": {}},
    "adapter_spec": {"method": "multiple_choice_joint", "model": "org/tiny"},
    "metric_specs": [],
}


INFO = {
    "git_commit": "c",
    "num_trials": 2,
    "max_steps": 100,
    "user_info": {"implementation": "user_simulator", "llm": "org/user"},
    "agent_info": {"implementation": "llm_agent", "llm": "org/tiny", "llm_args": {"temperature": 0.0}},
    "environment_info": {"domain_name": "airline", "policy": "Be kind.", "tool_defs": None},
}
TASK = {
    "id": "7",
    "user_scenario": {
        "instructions": {"domain": "airline", "reason_for_call": "Book F1.", "known_info": None}
    },
    "evaluation_criteria": {
        "actions": [{"action_id": "7_0", "name": "book", "arguments": {"flight": "F1"}}],
        "communicate_info": ["120"],
        "nl_assertions": ["The agent is kind."],
    },
}


def simulation(trial=0, reward=1.0, **more):
    call = {"id": "c1", "name": "book", "arguments": {"flight": "F1"}}
    gave = [{"id": "c1", "role": "tool", "content": "done"}, {"id": "c2", "role": "tool", "content": "120"}]
    return {
        "id": f"s{trial}",
        "task_id": "7",
        "start_time": "2026-10-01T10:00:00",
        "duration": 2.5,
        "termination_reason": "user_stop",
        "agent_cost": 0.01,
        "user_cost": 0.02,
        "reward_info": {"reward": reward, "reward_breakdown": {"DB": reward}},
        "messages": [
            {"role": "assistant", "content": "Hi!", "tool_calls": None},
            {"role": "user", "content": "F1, please."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_messages": gave},
            {"role": "assistant", "content": "Booked."},
        ],
        "trial": trial,
    } | more


def tau2(folder, *simulations, tasks=(TASK,)):
    results = {"timestamp": "2026-10-01T10:00:00", "info": INFO, "tasks": tasks, "simulations": simulations}
    return write(folder / "tiny-airline.json", results)


def test_a_simulation_of_tau2_is_a_trial_with_its_reward(tmp_path):
    evals = ek.load(tau2(tmp_path, simulation(), simulation(1, 0.0)))

    assert evals.problems.is_empty()
    assert evals.runs.select("run", "suite", "agent", "agent_version", "model", "provider").row(0) == (
        *("tiny-airline", "airline", "llm_agent", "tiny-airline"),
        *("org/tiny", "org"),
    )
    assert evals.scores.select("case", "epoch", "criterion", "score").rows() == [
        ("7", 1, "reward", 1.0),
        ("7", 2, "reward", 0.0),
    ]
    trial = evals.trials.row(0, named=True)
    assert (trial["output"], trial["stop_reason"], trial["cost_usd"], trial["latency_s"]) == (
        *("Booked.", "user_stop"),
        *(0.01, 2.5),
    )
    turns = evals.turns.filter(epoch=1)
    assert turns["role"].to_list() == ["assistant", "user", "assistant", "tool", "tool", "assistant"]
    assert turns["tool_call_id"].to_list() == [None, None, None, "c1", "c2", None]
    assert json.loads(turns["tool_calls"][2]) == [{"id": "c1", "name": "book", "arguments": {"flight": "F1"}}]
    assert evals.cases.select("suite", "case", "input", "expected_rubric").row(0) == (
        *("airline", "7", "domain: airline\nreason_for_call: Book F1."),
        'book {"flight":"F1"}\nsays 120\nThe agent is kind.',
    )
    assert ek.grade(evals)["verdict"].to_list() == ["pass", "fail"]
    assert "Be kind" not in evals.runs["config"][0]


def test_of_tau2_what_was_not_judged_is_unscored_and_what_is_there_twice_is_a_problem(tmp_path):
    evals = ek.load(
        tau2(
            tmp_path,
            simulation(0, 0.0, termination_reason="user_error"),
            simulation(1, reward_info=None),
            simulation(1),
            simulation(2, 0.0, termination_reason="max_steps"),
            simulation(3, task_id=None),
            "?",
        )
    )

    assert evals.scores.select("epoch", "score", "error").rows() == [
        (1, None, "the trial crashed: user_error"),
        (2, None, "there is no reward_info"),
        (3, 0.0, None),
    ]
    twice, missing, other = evals.problems["reason"]
    assert ("'7'" in twice, "'task_id'" in missing, "'?'" in other) == (True, True, True)
    assert evals.problems["line"].null_count() == 0


def test_of_tau2_results_that_are_cut_off_the_simulations_before_that_are_read(tmp_path):
    path = tau2(tmp_path, simulation(), simulation(1), simulation(2))
    path.write_text(path.read_text()[:-40])

    evals = ek.load(path)

    assert evals.scores["epoch"].to_list() == [1, 2]
    assert evals.problems.height


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
    assert any("num_bytes" in str(note) for note in evals.notes)
    assert ek.grade(evals.filter(criterion="exact_match"))["verdict"].to_list() == ["pass"]


def test_perturbed_instances_are_left_out_and_training_trials_are_epochs(tmp_path):
    changed = {"name": "typos"}
    made = [instance(), instance(score=0.0, perturbation=changed), instance(score=0.0, train_trial_index=1)]
    asked = [state(), state(), state(train_trial_index=1)]
    asked[1]["instance"] = asked[1]["instance"] | {"perturbation": changed}

    evals = ek.load(helm(tmp_path / "run", made, asked))

    scores = evals.scores.filter(criterion="exact_match")
    assert scores.select("case", "epoch", "score").rows() == [("id1", 1, 1.0), ("id1", 2, 0.0)]
    assert any("perturbed" in str(note) for note in evals.notes)


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
    assert any("Missing" in str(note) for note in evals.notes)


def test_a_run_without_scores_of_its_instances_says_so(tmp_path):
    evals = ek.load(write(tmp_path / "run" / "run_spec.json", SPEC))

    assert "per_instance_stats.json" in evals.problems["reason"].item()


def test_two_models_on_one_scenario_compare(tmp_path):
    helm(tmp_path / "a", [instance()], [state()])
    other = SPEC | {"name": "mmlu:subject=physics,model=org_large", "adapter_spec": {"model": "org/large"}}
    helm(tmp_path / "b", [instance(score=0.0)], [state()], other)
    evals = ek.load(tmp_path).filter(criterion="exact_match")

    change = ek.compare(evals, baseline="org/tiny", candidate="org/large")

    assert change.flips["case"].to_list() == ["id1"]
