"""`evalkit judge`: the price first, then the scores, in the folder that they belong to."""

from __future__ import annotations

import pytest

import evalkit as ek
from evalkit.cli import main
from evalkit.data import folder as native
from fakes import Answer
from fakes.clock import FakeClock
from fakes.judges import judged

CHAT = "POST /chat/completions"


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def folder(make_evals, tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    return native.write(make_evals(), tmp_path / "data")


@pytest.fixture
def asking(fake):
    """Return the options that lead to the fake."""
    return ["--provider", fake.base_url, "--model", "openai/gpt-oss-120b", "--samples", "1"]


def test_a_dry_run_says_what_it_would_cost_and_sends_nothing(run, fake, folder):
    code, out, _ = run("judge", folder, "--dry-run", "--samples", "1")

    assert code == 0
    assert "4 requests to openai/gpt-oss-120b at groq. Estimated: " in out
    assert "by batch" in out
    assert fake.log == []
    assert not (folder / "scores.jsonl").exists()


@pytest.mark.parametrize(("limit", "told"), [("0.00001", True), ("100", False)])
def test_an_estimate_above_the_limit_is_told(run, folder, limit, told):
    code, out, _ = run("judge", folder, "--dry-run", "--max-cost", limit)

    assert (code, f"That is more than --max-cost {float(limit):g}" in out) == (0, told)


def test_the_controls_keep_to_the_concurrency_too(run, fake, folder, asking):
    fake.latency = 0.02

    code, out, _ = run("judge", folder, *asking, "--controls", "--concurrency", "1")

    assert (code, "Controls: " in out) == (0, True)
    assert fake.most_at_once == 1


def test_what_nobody_has_judged_says_what_to_do(run, folder):
    code, _, err = run("summary", folder)

    assert (code, f"evalkit judge {folder}" in err) == (0, True)


@pytest.mark.parametrize("verb", ["estimate", "run"])
def test_a_path_in_place_of_evaluations_says_how_to_load_it(make_judge, verb):
    with pytest.raises(ek.EvalkitError, match=rf"Load it first: judge\.{verb}\(ek\.load\(path\), \.\.\.\)"):
        getattr(make_judge(), verb)("data/demo")


def test_the_scores_land_beside_the_transcripts(run, fake, folder, asking):
    code, out, err = run("judge", folder, *asking)

    assert code == 0
    assert "Batch Api" in out
    assert "4.00" in out
    assert "evalkit summary" in out
    # Nobody knows what this endpoint takes.
    assert ("unknown" in out, "$0.0000" in out) == (True, False)
    assert "the controls were not run" in err
    assert ek.load(folder).scores["score"].to_list() == [4.0] * 4


def test_a_second_call_asks_nothing(run, fake, folder, asking):
    run("judge", folder, *asking)

    code, out, _ = run("judge", folder, *asking)

    assert code == 0
    assert "0 requests" in out
    assert "4 scores are there already" in out
    assert fake.count(CHAT) == 4


@pytest.mark.parametrize(
    ("only", "cases"),
    [("failures", {"02"}), ("borderline", {"01"}), ("case=01", {"01"}), ("severity=high", None)],
)
def test_only_some_trials_are_judged(run, fake, folder, asking, only, cases):
    fake.answer = lambda body: judged(body, 1 if "Do task 02" in body["messages"][0]["content"] else 4)
    run("judge", folder, *asking, "--name", "first")

    code, _, err = run("judge", folder, *asking, "--name", "second", "--only", only, "--grader", "first")

    if cases is None:
        assert code == 2
        assert "severity" in err
    else:
        assert code == 0
        assert set(ek.load(folder).scores.filter(grader="second")["case"]) == cases


def test_an_estimate_needs_no_place_for_scores(run, folder):
    dry, out, _ = run("judge", folder, folder, "--dry-run")
    wet, _, err = run("judge", folder, folder)

    assert (dry, wet) == (0, 2)
    assert " requests to " in out
    assert "--output" in err


def test_a_dry_run_names_a_model_that_is_gone(run, folder):
    code, out, _ = run("judge", folder, "--model", "qwen/qwen3-32b", "--dry-run")

    assert code == 0
    assert "But qwen/qwen3-32b was shut down at groq on 2026-07-17" in out


def test_controls_come_first_and_are_told(run, fake, folder, asking):
    fake.answer = lambda body: judged(body, 1 if "gets 0" in body["messages"][1]["content"] else 5)

    code, out, err = run("judge", folder, *asking, "--controls")

    assert code == 0
    assert "Controls: 4 of 4 controls held." in out
    assert "controls were not run" not in err


def test_by_batch_it_says_how_to_go_on_and_the_second_call_finds_the_job(run, fake, folder, monkeypatch):
    monkeypatch.setattr("evalkit.llm.batch.job.Clock", lambda: FakeClock(fake))
    monkeypatch.setattr("evalkit.llm.batch.submit.Clock", lambda: FakeClock(fake))
    fake.keys = {"k"}
    monkeypatch.setenv("GROQ_API_KEY", "k")
    groq = ["--provider", "groq", "--base-url", fake.base_url, "--samples", "1"]

    code, out, _ = run("judge", folder, *groq, "--batch")
    assert (code, f"evalkit batch resume {folder} --wait" in out) == (0, True)
    code, out, _ = run("judge", folder, *groq, "--batch", "--wait", "--window", "24h")

    assert code == 0
    assert "4.00" in out
    assert fake.count("POST /batches") == 1
    assert ek.load(folder).scores["mode"].to_list() == ["batch"] * 4


def test_what_has_no_score_is_counted_and_told(run, fake, folder, asking):
    fake.answer = lambda body: Answer("\x1b[2J")

    code, out, err = run("judge", folder, *asking)

    assert code == 0
    assert "inconclusive" in err
    assert "\x1b" not in out + err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--only", "failure"], "--only 'failure'"),
        (["--samples", "0"], "samples"),
        (["--rubric", "nowhere.yaml"], "No file or folder 'nowhere.yaml'"),
        (["--provider", "grok"], "Unknown provider 'grok'."),
        (["--model", "none-such"], "no model 'none-such'"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(run, fake, folder, asking, options, words):
    code, out, err = run("judge", folder, *asking, *options)

    assert code == 2
    assert words in err
    assert "Traceback" not in out + err


def test_without_a_key_it_says_which_one(run, folder, monkeypatch):
    monkeypatch.delenv("GROQ_API_KEY", raising=False)

    code, _, err = run("judge", folder)

    assert code == 2
    assert "Set GROQ_API_KEY in the environment, or use --provider local" in err


@pytest.mark.parametrize("options", [[], ["--batch"]])
def test_a_judge_that_cannot_be_asked_leaves_no_row_behind(run, make_evals, tmp_path, monkeypatch, options):
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    folder = native.write(
        make_evals(outputs=("I joined them by custom_id, line by line.", ":")), tmp_path / "data"
    )

    code, out, _ = run("judge", folder, *options)

    assert (code, "3 judgements need no judge" in out or "judgements need no judge" in out) == (2, True)
    assert not (folder / "scores.jsonl").exists()


def test_scores_of_a_file_need_a_folder_of_their_own(run, fake, folder, asking, tmp_path):
    code, _, err = run("judge", folder / "transcripts.jsonl", *asking)
    assert code == 2
    assert "--output DIR" in err

    code, out, _ = run(
        "judge", folder / "transcripts.jsonl", folder / "suite.yaml", *asking, "--output", tmp_path / "judged"
    )

    assert code == 0
    assert native.read_scores(tmp_path / "judged" / "scores.jsonl").scores.height == 4
    assert f"{folder / 'transcripts.jsonl'}" in out
