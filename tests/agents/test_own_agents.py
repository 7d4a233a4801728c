"""Agents of one's own, functions and commands: what they see, and what the worst of them may do."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from evalkit.agents import Agent, run_suite
from evalkit.agents.attempt import Attempt
from evalkit.agents.case_input import CaseInput
from evalkit.agents.command_agent import CommandCaller
from evalkit.agents.workers import Workers
from evalkit.data import folder as native

HIDDEN = "NOT-FOR-THE-AGENT"


def outcome(evals):
    return {
        case: output or error for case, output, error in evals.trials.select("case", "output", "error").rows()
    }


# --- functions


def test_a_function_sees_of_a_case_what_an_agent_may_see(suite, tmp_path):
    seen = []

    run_suite(suite, lambda case: seen.append(case) or "x", tmp_path / "runs", epochs=2, seed=5)

    assert HIDDEN not in repr(seen)
    assert {field.name for field in dataclasses.fields(seen[0])} == {"id", "prompt", "epoch", "seed"}
    assert sorted((one.id, one.epoch, one.seed) for one in seen)[:2] == [("01", 1, 5), ("01", 2, 6)]


def test_an_asynchronous_function_is_awaited_and_all_of_them_share_a_loop(suite, tmp_path):
    loops = set()

    async def agent(case):
        loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return f"done {case.id}"

    evals = run_suite(suite, agent, tmp_path / "runs")

    assert outcome(evals) == {"01": "done 01", "02": "done 02", "03": "done 03"}
    assert len(loops) == 1


def test_it_runs_inside_a_loop_that_is_running(suite, tmp_path):
    async def agent(case):
        return "x"

    async def cell():
        return run_suite(suite, agent, tmp_path / "runs")

    assert asyncio.run(cell()).trials.height == 3


class _Odd(BaseException):
    pass


def _raise(error):
    raise error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no\nluck"),
        SystemExit(3),
        KeyboardInterrupt(),
        _Odd("x"),
        GeneratorExit(),
        RecursionError(),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_whatever_one_attempt_raises_is_its_error_and_costs_no_other(suite, tmp_path, error, kind):
    def plain(case):
        return _raise(error) if case.id == "02" else "fine"

    async def later(case):
        return plain(case)

    evals = run_suite(suite, plain if kind == "plain" else later, tmp_path / "runs")

    made = outcome(evals)
    assert (made["01"], made["03"]) == ("fine", "fine")
    assert made["02"].startswith(type(error).__name__)
    assert "test_own_agents.py:" in made["02"]
    assert "\n" not in made["02"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_attempt_that_hangs_is_left_behind(suite, tmp_path, kind):
    never = threading.Event()

    def plain(case):
        if case.id == "02":
            never.wait()
        return "fine"

    async def later(case):
        if case.id == "02":
            await asyncio.sleep(3_600)
        return "fine"

    evals = run_suite(suite, plain if kind == "plain" else later, tmp_path / "runs", timeout=0.3)
    never.set()

    assert outcome(evals) == {"01": "fine", "02": "timeout: no transcript within 0.3 s", "03": "fine"}


def test_a_key_in_what_an_agent_raises_is_masked(suite, tmp_path):
    key = "gsk_" + "a1B2" * 8

    evals = run_suite(suite, lambda case: _raise(RuntimeError(f"bad key {key}")), tmp_path / "runs")

    assert "[secret-1]" in evals.trials["error"][0]
    assert key not in (tmp_path / "runs" / "transcripts.jsonl").read_text()


def test_keys_that_have_no_place_are_named(suite, tmp_path):
    evals = run_suite(suite, lambda case: {"output": "x", "messagez": []}, tmp_path / "runs")

    assert "ignored the field 'messagez' of the transcripts. Did you mean 'messages'?" in str(evals.notes[-1])


def test_money_that_an_agent_reports_stops_it(suite, tmp_path):
    evals = run_suite(
        suite, lambda case: {"output": "x", "cost_usd": 1.0}, tmp_path / "runs", max_cost=1.5, concurrency=1
    )

    # One more may be under way when the limit is reached.
    assert 2 <= evals.trials.height <= 3
    assert evals.trials["cost_usd"].to_list()[:2] == [1.0, 1.0]


def test_a_limit_on_money_that_nobody_counts_is_not_pretended(suite, tmp_path):
    many = suite

    evals = run_suite(many, lambda case: "x", tmp_path / "runs", max_cost=1, concurrency=1, epochs=20)

    assert evals.trials.height < 60
    assert "The agent reports no cost_usd, so max_cost=1 cannot be checked" in str(evals.notes[-1])


def test_a_function_may_use_more_threads_than_there_are_cases(suite, tmp_path):
    together = threading.Barrier(3)

    evals = run_suite(
        suite, lambda case: (together.wait(20) and "x") or "x", tmp_path / "runs", concurrency=8
    )

    assert outcome(evals) == {"01": "x", "02": "x", "03": "x"}


def interrupted(suite, folder, code):
    """Run a script that is interrupted, and return the cases that it kept: None is the run's own line."""
    suite.write(folder / "s.yaml")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "stopped\n", done.stderr
    kept = (folder / "runs/transcripts.jsonl").read_text().splitlines()
    return [json.loads(line).get("case") for line in kept]


def test_ctrl_c_keeps_what_was_done(suite, tmp_path):
    code = """
        import os, signal, threading
        import evalkit as ek
        def agent(case):
            if case.id == "03":
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait()
            return "fine"
        try:
            ek.run_suite("s.yaml", agent, "runs", concurrency=1, run="r")
        except KeyboardInterrupt:
            print("stopped")
    """

    assert interrupted(suite, tmp_path, code) == [None, "01", "02"]


def test_ctrl_c_between_an_answer_and_the_disk_loses_nothing(suite, tmp_path):
    code = """
        import os, signal
        import evalkit as ek
        from evalkit.data import folder as native
        write = native.append
        def append(path, records):
            if records[0].get("case") == "01":
                os.kill(os.getpid(), signal.SIGINT)
            write(path, records)
        native.append = append
        try:
            ek.run_suite("s.yaml", lambda case: "fine", "runs", concurrency=1, run="r")
        except KeyboardInterrupt:
            print("stopped")
    """

    assert interrupted(suite, tmp_path, code)[:2] == [None, "01"]


class Door:
    """A lock that says when somebody comes to it."""

    def __init__(self):
        self.lock, self.came = threading.Lock(), threading.Semaphore(0)

    def __enter__(self):
        self.came.release()
        self.lock.acquire()

    def __exit__(self, *_):
        self.lock.release()


def test_what_is_made_while_another_is_written_is_kept_when_it_is_stopped():
    go, write, kept, door = threading.Event(), threading.Event(), [], Door()

    class Caller:
        def attempt(self, asked):
            go.wait()
            return Attempt(output=asked.id)

    def keep(asked, attempt):
        write.wait()
        kept.append(attempt.output)

    crew = Workers(Caller(), keep, [CaseInput(name, "?", 1, 1) for name in "abcdef"], size=6)
    crew._saving = door
    stop = crew.stop
    crew.stop = lambda: (stop(), write.set())
    go.set()
    for _ in range(6):
        door.came.acquire()
    # One of them is being written, five wait for their turn.
    crew.close()

    assert sorted(kept) == list("abcdef")


def test_a_disk_that_takes_nothing_more_ends_the_run(suite, tmp_path, monkeypatch):
    write = native.append

    def append(path, records):
        if records[0].get("case") == "02":
            raise OSError(28, "No space left on device")
        write(path, records)

    monkeypatch.setattr(native, "append", append)

    with pytest.raises(OSError, match="No space left"):
        run_suite(suite, lambda case: "fine", tmp_path / "runs", concurrency=1)
    monkeypatch.undo()
    assert outcome(run_suite(suite, lambda case: "fine", tmp_path / "runs")) == dict.fromkeys(
        ("01", "02", "03"), "fine"
    )


# --- commands


def test_a_command_reads_the_case_and_prints_a_transcript(suite, script, tmp_path):
    command = script(
        "import sys, json; case = json.load(sys.stdin); print(json.dumps({'output': json.dumps(case)}))"
    )

    evals = run_suite(suite, Agent(command=command), tmp_path / "runs", only="02", seed=9)

    seen = json.loads(evals.trials["output"].item())
    assert seen == {"id": "02", "prompt": "Task 2: collect the batch.", "epoch": 1, "seed": 9}


def test_a_command_has_the_environment_and_it_is_written_down_nowhere(suite, script, tmp_path, monkeypatch):
    monkeypatch.setenv("AGENT_API_KEY", "my-very-own-key-0001")
    command = script("import os, json; print(json.dumps('key ' + os.environ['AGENT_API_KEY']))")

    evals = run_suite(suite, Agent(command=command), tmp_path / "runs", only="01")

    assert evals.trials["output"].item() == "key ***"
    assert "my-very-own-key-0001" not in (tmp_path / "runs" / "transcripts.jsonl").read_text()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('Hello there')", "the output is not a transcript: not JSON"),
        ("print('{\"output\": \"Hel', end='')", "the output is not a transcript: the JSON is cut off"),
        ("import sys; sys.stdout.buffer.write(b'\"\\xff\"')", "the output is not a transcript: byte"),
        ("pass", "printed nothing"),
        ("print(3)", "the agent returned int"),
        ("import sys; print('oh no', file=sys.stderr); sys.exit(7)", "exit code 7: oh no"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
        ("raise ValueError('x')", "exit code 1: ValueError: x"),
        ("print('[' * 100_000)", "the output is not a transcript"),
    ],
)
def test_a_command_that_prints_no_transcript_is_an_error_with_a_sentence(suite, script, tmp_path, code, said):
    evals = run_suite(suite, Agent(command=script(code)), tmp_path / "runs", only="01")

    assert evals.trials["error"].item().startswith(said)


def test_lone_surrogates_that_a_command_prints_are_replaced(suite, script, tmp_path):
    evals = run_suite(suite, Agent(command=script(r"print('\"a \\ud800 b\"')")), tmp_path / "runs", only="01")

    assert evals.trials["output"].item() == "a \ufffd b"


def test_a_command_that_prints_without_end_is_killed(suite, script, tmp_path):
    command = script("import sys\nwhile True: sys.stdout.write('x' * 65536)")
    caller = CommandCaller(command, timeout=60, max_bytes=1 << 20)
    from evalkit.agents import CaseInput

    attempt = caller.attempt(CaseInput("01", "p", 1, 1))

    assert attempt.error == "printed more than 1 MB"


def test_megabytes_that_are_a_transcript_are_kept(suite, script, tmp_path):
    command = script("import json; print(json.dumps('x' * 5_000_000))")

    evals = run_suite(suite, Agent(command=command), tmp_path / "runs", only="01")

    assert len(evals.trials["output"].item()) == 5_000_000


@pytest.mark.skipif(os.name == "nt", reason="no process groups there")
def test_a_command_that_hangs_is_killed_with_what_it_started(suite, script, tmp_path):
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(600)
"""

    evals = run_suite(suite, Agent(command=script(code)), tmp_path / "runs", only="01", timeout=3)

    assert evals.trials["error"].item() == "timeout: killed after 3 s"
    assert _gone(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(os.name == "nt", reason="no process groups there")
def test_a_program_that_a_command_leaves_behind_is_ended_and_holds_nothing_up(suite, script, tmp_path):
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
print('"done"', flush=True)
"""

    evals = run_suite(suite, Agent(command=script(code)), tmp_path / "runs", only="01", timeout=60)

    assert evals.trials["output"].item() == "done"
    assert _gone(int((tmp_path / "pid").read_text()))


def test_a_command_that_reads_nothing_is_no_error(suite, script, tmp_path):
    suite.case("01").prompt = "long " * 100_000

    evals = run_suite(suite, Agent(command=script("print('\"ok\"')")), tmp_path / "runs", only="01")

    assert evals.trials["output"].item() == "ok"


def test_a_program_that_is_gone_meanwhile_is_an_error_of_each_trial(suite, script, tmp_path):
    path = tmp_path / "tool"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    agent = Agent(command=[str(path)])
    path.unlink()

    evals = run_suite(suite, agent, tmp_path / "runs")

    assert evals.trials["error"].str.contains("cannot run: No such file").all()


def _gone(pid):
    """Wait until a process has ended, or is only waiting to be reaped."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
    return False


def test_a_broken_transcript_keeps_its_good_messages(suite, tmp_path):
    evals = run_suite(
        suite, lambda case: [{"role": "assistant", "content": "half"}, 3], tmp_path / "runs", only="01"
    )

    assert evals.trials.select("output", "error").row(0) == (
        "half",
        "incomplete transcript: message 2 is not an object with role and content",
    )
    assert evals.turns.filter(pl.col("role") == "assistant")["content"].to_list() == ["half"]


def test_a_note_says_how_many_trials_have_an_error(suite, tmp_path):
    evals = run_suite(suite, lambda case: _raise(ValueError("x")), tmp_path / "runs")

    assert "3 of 3 trials with an error. First error: ValueError: x" in str(evals.notes[-1])
