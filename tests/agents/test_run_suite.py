"""Running a suite through a model: what is sent, written, resumed and paid, and what faults cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import polars as pl
import pytest

from evalkit.agents import Agent, run_suite
from evalkit.data import folder as native
from evalkit.data.suite import Suite
from evalkit.readers.load import load
from evalkit.util.errors import (
    ArgumentError,
    EvalkitError,
    FormatError,
    ProviderError,
    SelectorError,
    SuiteError,
)
from fakes import Answer, ApiError, Fault
from fakes.interrupts import interrupt_at

HIDDEN = "NOT-FOR-THE-AGENT"
GROQ = "openai/gpt-oss-20b"


@pytest.fixture
def agent(fake):
    return Agent(model=GROQ, prompt="You run batch jobs.", provider=fake.provider())


def bodies(fake):
    return [json.loads(body) for body in fake.bodies]


# --- what is sent


def test_an_agent_is_sent_the_prompt_and_nothing_else_of_a_case(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "runs")

    sent = bodies(fake)
    assert HIDDEN not in str(sent)
    assert sorted(body["messages"][1]["content"] for body in sent) == [case.prompt for case in suite.cases]
    assert {body["messages"][0]["content"] for body in sent} == {"You run batch jobs."}


def test_each_epoch_has_its_own_seed_and_none_is_answered_by_another(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "runs", epochs=3, seed=100)

    assert sorted({body["seed"] for body in bodies(fake)}) == [100, 101, 102]
    assert set(fake.bodies.values()) == {1}
    assert len(fake.bodies) == 9


def test_sampling_is_sent_only_where_it_is_set(fake, suite, tmp_path):
    agent = Agent(model=GROQ, temperature=0.2, effort="low", max_tokens=50, provider=fake.provider())

    run_suite(suite, agent, tmp_path / "runs", only="01")

    (sent,) = bodies(fake)
    assert {name: sent[name] for name in sent if name not in ("messages", "seed")} == {
        "model": GROQ,
        "temperature": 0.2,
        "reasoning_effort": "low",
        "max_completion_tokens": 50,
    }


# --- what is written


def test_what_a_model_said_and_used_is_in_the_tables(fake, suite, agent, tmp_path):
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    fake.answer = lambda body: Answer("Done.", reasoning="Hm.", tool_calls=[call])

    evals = run_suite(suite, agent, tmp_path / "runs", only=["01"], run="v1")

    trial = evals.trials.row(0, named=True)
    assert (trial["run"], trial["case"], trial["epoch"], trial["output"], trial["error"]) == (
        *("v1", "01", 1, "Done."),
        None,
    )
    assert trial["stop_reason"] == "stop"
    assert trial["input_tokens"] > 0
    assert trial["output_tokens"] == 1
    assert trial["cost_usd"] == pytest.approx(
        (trial["input_tokens"] * 0.075 + trial["output_tokens"] * 0.30) / 1e6
    )
    assert trial["latency_s"] > 0
    last = evals.turns.row(-1, named=True)
    assert (last["role"], last["reasoning"]) == ("assistant", "Hm.")
    assert json.loads(last["tool_calls"]) == [{"id": "c1", "name": "look", "arguments": {}}]


def test_the_folder_holds_the_suite_and_loads_equal_to_what_was_returned(suite, agent, tmp_path):
    evals = run_suite(suite, agent, tmp_path / "runs")

    there = load(tmp_path / "runs")
    assert there.trials.equals(evals.trials)
    assert there.turns.equals(evals.turns)
    assert there.cases["case"].to_list() == ["01", "02", "03"]
    assert there.problems.is_empty()
    assert Suite.read(tmp_path / "runs" / "suite.yaml") == suite


def test_what_the_run_was_is_written_down_without_a_key(fake, suite, tmp_path, monkeypatch, lines):
    key = "gsk_" + "a1B2" * 8
    monkeypatch.setenv("SOME_KEY_HERE", key)
    monkeypatch.setenv("EVALKIT_TEST_KEY", key)
    fake.keys = {key}
    fake.answer = lambda body: f"My key is {key}."
    agent = Agent(
        model=GROQ,
        prompt="p",
        temperature=0.5,
        provider=replace(fake.provider(), key_variable="EVALKIT_TEST_KEY"),
    )

    run_suite(suite, agent, tmp_path / "runs", seed=4)

    config = lines(tmp_path / "runs")[0]["config"]
    assert config["sampling"] == {"max_completion_tokens": 4096, "temperature": 0.5}
    assert config["seed"] == 4
    assert len(config["prompt_hash"]) == 12
    assert config["evalkit"]
    assert key not in (tmp_path / "runs" / "transcripts.jsonl").read_text()


def test_an_empty_answer_is_an_answer_and_says_why_it_stopped(fake, suite, agent, tmp_path):
    fake.answer = lambda body: Answer("", finish_reason="length")

    evals = run_suite(suite, agent, tmp_path / "runs")

    assert evals.trials["output"].to_list() == [""] * 3
    assert evals.trials["stop_reason"].to_list() == ["length"] * 3
    assert evals.trials["error"].null_count() == 3


def test_a_refusal_is_an_answer(fake, suite, agent, tmp_path):
    fake.answer = lambda body: Answer(None, refusal="I will not.")

    evals = run_suite(suite, agent, tmp_path / "runs", only="01")

    assert evals.trials.select("output", "stop_reason").row(0) == ("I will not.", "refusal")


@pytest.mark.parametrize("choices", [[], [None], [{"index": 0}], [{"message": "x"}]])
def test_an_answer_without_a_message_is_an_error_and_costs_no_other(fake, suite, agent, tmp_path, choices):
    fake.answer = lambda body: Answer(raw={"choices": choices}) if "Task 2" in str(body) else "Done."

    evals = run_suite(suite, agent, tmp_path / "runs")

    assert evals.trials.sort("case")["error"].to_list() == [
        *(None, "the response has no message"),
        None,
    ]


# --- going on


def test_what_is_there_is_not_asked_again(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "runs", only=["01", "02"])
    before = sum(fake.bodies.values())

    evals = run_suite(suite, agent, tmp_path / "runs")
    again = run_suite(suite, agent, tmp_path / "runs")

    assert before == 2
    assert sum(fake.bodies.values()) == 3
    assert evals.trials.height == again.trials.height == 3
    assert evals.runs.height == 1
    assert "were there already" in str(again.notes[-1])


def test_more_epochs_go_on_with_the_same_run(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "runs")

    evals = run_suite(suite, agent, tmp_path / "runs", epochs=2)

    assert evals.trials.group_by("case").len()["len"].to_list() == [2, 2, 2]
    assert set(fake.bodies.values()) == {1}
    assert len(fake.bodies) == 6


def test_another_run_of_the_same_agent_is_answered_anew(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "runs", run="a")
    run_suite(suite, agent, tmp_path / "runs", run="b")

    assert len(fake.bodies) == 6
    assert load(tmp_path / "runs").trials.group_by("run").len()["len"].to_list() == [3, 3]


def test_the_same_seed_elsewhere_is_not_paid_twice_and_says_so(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "one", seed=1)
    evals = run_suite(suite, agent, tmp_path / "two", seed=1)

    assert set(fake.bodies.values()) == {1}
    assert "3 answers were cached by an earlier run" in str(evals.notes[-1])
    assert evals.trials["cost_usd"].to_list() == [0.0] * 3


def test_a_line_that_a_crash_cut_off_is_asked_again_and_nothing_else(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "runs")
    path = tmp_path / "runs" / "transcripts.jsonl"
    path.write_bytes(path.read_bytes()[:-40])

    evals = run_suite(suite, agent, tmp_path / "runs")

    assert sorted(evals.trials["case"].to_list()) == ["01", "02", "03"]
    # The answer was kept apart from the file.
    assert set(fake.bodies.values()) == {1}


def test_a_process_that_is_killed_loses_nothing_that_was_written(fake, suite, tmp_path):
    suite.write(tmp_path / "s.yaml")
    fake.faults += [Fault("POST /chat/completions", skip=2, times=1, delay=60)]
    code = f"""
        import os, sys, threading, time
        import evalkit as ek
        from evalkit.llm.providers import provider
        from pathlib import Path
        def watch():
            path = Path("runs/transcripts.jsonl")
            while not path.exists() or path.read_bytes().count(b"\\n") < 3:
                time.sleep(0.02)
            os.kill(os.getpid(), 9)
        threading.Thread(target=watch, daemon=True).start()
        groq = provider("groq", base_url={fake.base_url!r})
        ek.run_suite("s.yaml", ek.Agent(model={GROQ!r}, provider=groq), "runs", progress=None)
    """
    environment = {**os.environ, "GROQ_API_KEY": "gsk_test"}

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, env=environment, check=False
    )
    fake.faults.clear()
    evals = run_suite(suite, Agent(model=GROQ, provider=fake.provider()), tmp_path / "runs")

    assert done.returncode == -9
    assert sorted(evals.trials["case"].to_list()) == ["01", "02", "03"]
    assert evals.trials["error"].null_count() == 3
    assert evals.runs.height == 1
    answered = [
        json.loads(body)["messages"][0]["content"] for body, n in fake.bodies.items() for _ in range(n)
    ]
    assert len(answered) == len(set(answered)) == 3


def test_trials_with_an_error_are_attempted_again_only_when_asked(fake, suite, agent, tmp_path):
    def answer(body):
        raise ApiError(400, "no")

    fake.answer = answer
    first = run_suite(suite, agent, tmp_path / "runs")
    fake.answer = lambda body: "Done."
    same = run_suite(suite, agent, tmp_path / "runs")
    again = run_suite(suite, agent, tmp_path / "runs", retry_errors=True)

    assert first.trials["error"].null_count() == 0
    assert same.trials.equals(first.trials)
    assert again.trials["output"].to_list() == ["Done."] * 3
    assert native.read_transcripts(tmp_path / "runs" / "transcripts.jsonl").problems.is_empty()


# --- faults


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST /chat/completions", status=429, headers={"retry-after": "0.2"}, times=3),
        Fault("POST /chat/completions", status=500, times=3),
        Fault("POST /chat/completions", status=503, times=3),
        Fault("POST /chat/completions", drop=True, times=2),
        Fault("POST /chat/completions", truncate=40, times=2),
    ],
    ids=["429", "500", "503", "drop", "truncated"],
)
def test_a_fault_that_passes_costs_no_trial(fake, suite, agent, tmp_path, fault):
    fake.faults.append(fault)

    evals = run_suite(suite, agent, tmp_path / "runs")

    assert evals.trials.height == 3
    assert evals.trials["error"].null_count() == 3


def test_a_request_that_is_refused_is_a_trial_with_the_endpoint_s_words(fake, suite, agent, tmp_path):
    def answer(body):
        if "Task 2" in str(body):
            raise ApiError(400, "This is not allowed.", code="policy")
        return "Done."

    fake.answer = answer

    evals = run_suite(suite, agent, tmp_path / "runs")

    failed = evals.trials.filter(pl.col("error").is_not_null())
    assert failed.select("case", "error").rows() == [("02", "api_error (400 policy): This is not allowed.")]
    assert "1 of 3 trials with an error" in str(evals.notes[-1])
    assert evals.turns.filter(pl.col("case") == "02")["role"].to_list() == ["system", "user"]


def test_money_that_is_spent_stops_the_run_and_what_is_left_is_no_trial(fake, suite, agent, tmp_path):
    agent = replace(agent, max_tokens=1_000)
    fake.answer = lambda body: Answer("Done.", usage={"completion_tokens": 1_000})

    evals = run_suite(suite, agent, tmp_path / "runs", max_cost=0.00035, concurrency=1)

    assert evals.trials.height == 1
    assert "2 of 3 trials skipped. The limit max_cost=0.00035 is reached" in str(evals.notes[-1])
    assert run_suite(suite, agent, tmp_path / "runs").trials.height == 3


def test_where_nothing_could_be_run_it_says_why(fake, suite, agent, tmp_path):
    with pytest.raises(EvalkitError, match=r"No trial was run. The limit max_cost=1e-09 is reached"):
        run_suite(suite, agent, tmp_path / "runs", max_cost=1e-9)


def test_a_model_that_is_not_there_is_said_before_anything_is_written(fake, suite, tmp_path):
    agent = Agent(model="llama-3.1-8b-instant", provider=fake.provider())

    with pytest.raises(ProviderError, match="was shut down at groq"):
        run_suite(suite, agent, tmp_path / "runs")

    assert not (tmp_path / "runs").exists()


def test_a_model_that_could_not_be_looked_up_is_asked_and_a_note_says_so(fake, suite, agent, tmp_path):
    fake.faults.append(Fault("GET /models", status=404, times=3))

    evals = run_suite(suite, agent, tmp_path / "runs")

    assert evals.trials["error"].null_count() == 3
    assert f"{GROQ} was not checked" in str(evals.notes[0])


# --- runs beside each other


def test_two_versions_stand_in_one_folder_side_by_side(fake, suite, agent, tmp_path):
    run_suite(suite, replace(agent, version="v1"), tmp_path / "runs")
    run_suite(suite, replace(agent, version="v2", prompt="Check twice."), tmp_path / "runs")

    evals = load(tmp_path / "runs")
    assert sorted(evals.runs["agent_version"].to_list()) == ["v1", "v2"]
    assert evals.trials.height == 6
    assert evals.problems.is_empty()


def test_two_agents_of_one_version_are_refused(fake, suite, agent, tmp_path):
    run_suite(suite, replace(agent, version="v1"), tmp_path / "runs")

    with pytest.raises(FormatError, match="is also version 'v1', but its agent had another prompt"):
        run_suite(suite, replace(agent, version="v1", prompt="Check twice."), tmp_path / "runs")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": "Check twice."}, "its agent_version is"),
        ({"model": "openai/gpt-oss-120b"}, "its model is 'openai/gpt-oss-20b'"),
    ],
)
def test_a_run_of_that_name_by_another_agent_is_refused(fake, suite, agent, tmp_path, change, said):
    run_suite(suite, agent, tmp_path / "runs", run="mine")

    with pytest.raises(FormatError, match=f"has a different run 'mine': {said}"):
        run_suite(suite, replace(agent, **change), tmp_path / "runs", run="mine")


def test_another_wording_of_the_suite_in_the_folder_is_refused(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "runs")
    suite.case("01").prompt = "Something else."

    with pytest.raises(FormatError, match=r"suite\.yaml' has another wording of the suite 'small'"):
        run_suite(suite, agent, tmp_path / "runs")


def test_cases_that_were_asked_in_other_words_are_not_mixed_into_a_run(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "runs", run="mine")
    suite.case("01").prompt = "Something else."
    suite.write(tmp_path / "runs" / "suite.yaml")

    with pytest.raises(FormatError, match="its cases have other prompts"):
        run_suite(tmp_path / "runs", agent, tmp_path / "runs", run="mine")


def test_a_second_suite_in_the_folder_has_a_file_of_its_own(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "runs")
    suite.suite = "other"
    run_suite(suite, agent, tmp_path / "runs")

    evals = load(tmp_path / "runs")
    assert sorted(evals.runs["suite"].to_list()) == ["other", "small"]
    assert evals.problems.is_empty()


# --- what cannot be


def test_a_case_without_a_prompt_is_refused_because_its_input_gives_the_mistake_away(suite, tmp_path):
    suite.case("02").prompt = ""

    with pytest.raises(SuiteError, match=r"has no prompt for 02. .* never its input"):
        run_suite(suite, lambda case: "x", tmp_path / "runs")


def test_a_case_that_is_not_there_is_named(suite, tmp_path):
    with pytest.raises(SelectorError, match="Unknown case '07'"):
        run_suite(suite, lambda case: "x", tmp_path / "runs", only=["01", "07"])


def test_a_suite_without_cases_is_refused(tmp_path):
    with pytest.raises(SuiteError, match="has no cases to run"):
        run_suite(Suite(suite="empty"), lambda case: "x", tmp_path / "runs")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 0}, "Invalid epochs 0. Expected a whole number from 1"),
        ({"epochs": True}, "Invalid epochs True"),
        ({"seed": -1}, "Invalid seed -1"),
        ({"timeout": 0}, "Invalid timeout 0. Expected a number above 0."),
        ({"max_cost": "1"}, "Invalid max_cost '1'"),
        ({"concurrency": -1}, "Invalid concurrency -1"),
    ],
)
def test_a_setting_that_cannot_be_is_told_in_one_sentence(suite, tmp_path, settings, said):
    with pytest.raises((ArgumentError, FormatError)) as told:
        run_suite(suite, lambda case: "x", tmp_path / "runs", **settings)

    assert str(told.value).startswith(said)


def test_a_file_in_the_place_of_the_folder_is_said(suite, tmp_path):
    (tmp_path / "runs").write_text("mine")

    with pytest.raises(FormatError, match="is a file. Pass a folder"):
        run_suite(suite, lambda case: "x", tmp_path / "runs")


# --- before


def test_an_estimate_counts_what_would_be_asked_and_asks_nothing(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "runs", only="01")
    before = len(fake.log)

    estimate = agent.estimate(suite, tmp_path / "runs", epochs=2)

    assert (estimate.attempts, estimate.done, estimate.cached) == (5, 1, 0)
    assert estimate.output_tokens == 5 * 4096
    assert estimate.price == pytest.approx((estimate.input_tokens * 0.075 + 5 * 4096 * 0.30) / 1e6)
    assert len(fake.log) == before
    assert "5 requests to openai/gpt-oss-20b at groq" in repr(estimate)


def test_an_estimate_knows_what_was_answered_before(fake, suite, agent, tmp_path):
    run_suite(suite, agent, tmp_path / "one", seed=1)

    estimate = agent.estimate(suite, tmp_path / "two", seed=1)

    assert (estimate.attempts, estimate.cached, estimate.price) == (3, 3, 0.0)


def test_an_estimate_of_an_agent_of_one_s_own_knows_no_price(suite):
    estimate = Agent(call=lambda case: "x").estimate(suite, epochs=2)

    assert (estimate.attempts, estimate.price) == (6, None)
    assert "6 trials" in repr(estimate)


# --- Ctrl-C


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_ctrl_c_at_a_write_loses_no_answer_and_pays_none_twice(fake, suite, agent, lines, tmp_path, at, when):
    """The first of four writes says which run it is."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, native, "append", at=at, when=when)
        with pytest.raises(KeyboardInterrupt):
            run_suite(suite, agent, tmp_path / "runs", run="r", progress=None)

    run_suite(suite, agent, tmp_path / "runs", run="r", progress=None)

    assert set(fake.bodies.values()) == {1}
    assert sorted(line["case"] for line in lines(tmp_path / "runs") if "case" in line) == ["01", "02", "03"]
