"""`evalkit run`: what it prints, what it writes, and what it says when something is wrong."""

from __future__ import annotations

import json
import sys

import pytest

from evalkit.cli import main
from evalkit.readers.load import load
from fakes import ApiError, FakeServer

SUITE = """
suite: small
criteria: [{name: Care}]
cases:
  - {id: "01", prompt: Do the first thing.}
  - {id: "02", prompt: Do the second thing.}
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "s.yaml").write_text(SUITE, encoding="utf-8")

    def run(*arguments):
        code = main(["run", "s.yaml", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def asking():
    with FakeServer("groq") as fake:
        yield fake, ("--provider", fake.base_url, "--model", "openai/gpt-oss-20b")


def test_it_says_what_was_run_where_it_is_and_what_comes_next(run, asking):
    _, where = asking

    code, out, err = run(*where, "--run", "first", "-o", "mine", "--epochs", "2")

    assert code == 0
    assert out == ("Run first: 4 trials, 0 with an error. They are in mine.\nNext: evalkit judge mine\n")
    assert err == ""
    assert load("mine").trials.height == 4


def test_a_dry_run_prints_the_estimate_and_neither_asks_nor_writes(run, tmp_path):
    code, out, _ = run("--model", "openai/gpt-oss-20b", "--dry-run", "--max-tokens", "100", "--run", "r")

    assert code == 0
    assert out.startswith("Run r: 2 requests to openai/gpt-oss-20b at groq: about ")
    assert "at most 200 received, $0.0001 at most." in out
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_names_a_model_that_is_gone(run, tmp_path):
    code, out, _ = run("--model", "llama-3.3-70b-versatile", "--dry-run")

    assert code == 0
    assert "But llama-3.3-70b-versatile was shut down at groq on 2026-08-16" in out


def test_the_provider_may_be_at_another_address(run, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "k")
    with FakeServer("groq") as fake:
        fake.keys = {"k"}
        where = ("--provider", "groq", "--base-url", fake.base_url, "--model", "openai/gpt-oss-20b")

        code, _, _ = run(*where, "--case", "01")

    assert code == 0
    assert load("runs").runs["provider"].to_list() == ["groq"]


def test_a_function_in_the_working_folder_is_an_agent(run, tmp_path):
    (tmp_path / "an_agent_of_mine.py").write_text(
        "def go(case):\n    return 'did ' + case.id\n", encoding="utf-8"
    )

    code, _, _ = run("--call", "an_agent_of_mine:go", "--version", "v1", "--name", "goer", "--case", "02")

    runs = load("runs")
    assert code == 0
    assert runs.trials.select("case", "output").rows() == [("02", "did 02")]
    assert runs.runs.select("agent", "agent_version").row(0) == ("goer", "v1")


def test_a_program_is_an_agent(run, tmp_path):
    (tmp_path / "a.py").write_text(
        "import json, sys; print(json.dumps(json.load(sys.stdin)['id']))", encoding="utf-8"
    )

    code, _, _ = run("--command", f"'{sys.executable}' a.py")

    assert code == 0
    assert sorted(load("runs").trials["output"].to_list()) == ["01", "02"]


def test_trials_with_an_error_are_told_and_the_others_are_kept(run, asking):
    fake, where = asking

    def answer(body):
        if "second" in str(body):
            raise ApiError(400, "\x1b[2Jno")
        return "Done."

    fake.answer = answer

    code, out, err = run(*where, "--run", "r")
    fake.answer = lambda body: "Done."
    again = run(*where, "--run", "r", "--retry-errors")

    assert code == 0
    assert "2 trials, 1 with an error" in out
    assert "1 of 2 trials with an error. First error: api_error (400" in err
    assert "\x1b" not in err
    assert "2 trials, 0 with an error" in again[1]


def test_where_every_trial_has_an_error_it_ends_with_2(run):
    code, out, err = run("--command", f"'{sys.executable}' -c 'raise SystemExit(3)'")

    assert (code, out) == (2, "")
    assert (
        err.splitlines()[-1]
        == "evalkit: All 2 trials failed. First error: exit code 3. Pass --retry-errors to try again."
    )


def test_what_is_there_already_is_told(run, asking):
    _, where = asking
    run(*where, "--run", "r")

    code, _, err = run(*where, "--run", "r")

    assert code == 0
    assert "all 2 trials were there already" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--case", "03"], "Unknown case '03'. Expected 01 or 02."),
        (["--prompt", "nofile.md"], "No file or folder 'nofile.md'."),
        (["--call", "nowhere:f"], "Unknown module 'nowhere'"),
        (["--epochs", "0"], "Invalid --epochs 0"),
        (["--provider", "grok"], "Unknown provider 'grok'."),
        (
            ["--provider", "local"],
            "No response from http://127.0.0.1:9/v1. Start it with: evalkit serve-local.",
        ),
        ([], "Missing API key for groq. Set GROQ_API_KEY in the environment"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(run, monkeypatch, arguments, said):
    monkeypatch.setenv("EVALKIT_LOCAL_URL", "http://127.0.0.1:9/v1")
    monkeypatch.delenv("GROQ_API_KEY", raising=False)

    code, out, err = run(*arguments)

    assert (code, out) == (2, "")
    assert err.startswith(f"evalkit: {said}")
    assert err.count("\n") == 1


def test_no_key_reaches_the_disk(run, monkeypatch, tmp_path):
    key = "gsk_" + "a1B2" * 8
    monkeypatch.setenv("EVALKIT_API_KEY", key)
    with FakeServer("groq") as fake:
        fake.keys = {key}

        code, out, err = run("--provider", fake.base_url, "--model", "openai/gpt-oss-20b")

    assert code == 0
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if key.encode() in path.read_bytes()]
    assert key not in out + err
    assert json.loads((tmp_path / "runs/transcripts.jsonl").read_text().splitlines()[0])["run"]
