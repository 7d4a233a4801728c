"""For logs that inspect_ai wrote, what evalkit reads equals inspect_ai's own dataframes, value by value."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from evalkit.readers.load import load

# Never imported here: it changes asyncio for the whole process.
pytestmark = pytest.mark.skipif(find_spec("inspect_ai") is None, reason="inspect_ai is not installed")

LONG = "First line.\n\n" + "  and a second that goes on" * 80
PICTURE = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which inspect_ai has written logs, and its own dataframes of them."""
    folder = tmp_path_factory.mktemp("inspect")
    script = Path(__file__).with_name("inspect_peer.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], check=False, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    return folder


def written_log(folder: Path) -> Path:
    (path,) = folder.glob("*_log.*")
    return path


@pytest.fixture(params=["eval", "json"])
def log(request: pytest.FixtureRequest, written: Path) -> Path:
    return written_log(written / request.param)


@pytest.fixture
def table(log: Path) -> Any:
    """A function that returns one of inspect_ai's own dataframes of the log."""
    return lambda what: pd.read_pickle(log.with_name(f"{what}.pickle"))


def key(frame: pl.DataFrame) -> list[tuple[str, int]]:
    return list(zip(frame["case"].cast(pl.String), frame["epoch"], strict=True))


def clean(value: Any) -> Any:
    return None if pd.isna(value) else value


def test_every_score_of_every_scorer_is_what_samples_df_has(log: Path, table: Any) -> None:
    evals = load(log)
    theirs = table("scores")

    ours = {
        (case, epoch, criterion): row
        for (case, epoch), criterion, row in zip(
            key(evals.scores),
            evals.scores["criterion"].cast(pl.String),
            evals.scores.iter_rows(named=True),
            strict=True,
        )
    }
    letters = {"C": 1.0, "P": 0.5, "I": 0.0}
    expected = 0
    for row in theirs.to_dict("records"):
        if row["error"]:
            continue
        case, epoch = str(row["id"]), row["epoch"]
        correct = ours[case, epoch, "correct"]
        assert (correct["label"], correct["score"]) == (row["score_correct"], letters[row["score_correct"]])
        assert correct["rationale"] == row["score_correct_explanation"] == LONG
        assert correct["answer"] == row["score_correct_answer"]
        assert json.loads(correct["metadata"]) == json.loads(row["score_correct_metadata"])
        assert ours[case, epoch, "tone"]["score"] == row["score_tone"] == 4.5
        parts = json.loads(row["score_parts"])
        assert {n: ours[case, epoch, f"parts/{n}"]["score"] for n in ("facts", "style")} == parts
        unsure = ours[case, epoch, "unsure"]
        assert (unsure["score"], unsure["error"], unsure["rationale"]) == (None, "grader_failed", "no JSON")
        assert clean(row["score_unsure"]) is None
        expected += 5
    assert evals.scores.height == expected == 30
    assert evals.problems.is_empty()


def test_scores_alone_are_the_same_scores(log: Path) -> None:
    whole, alone = load(log).scores, load(log, tables=("scores",)).scores
    order = ["case", "epoch", "criterion"]
    plain = pl.col("rationale").str.replace_all(r"\s+", " ")

    columns = [c for c in whole.columns if c not in ("rationale", "metadata")]
    whole, alone = (frame.sort([pl.col(c).cast(pl.String) for c in order]) for frame in (whole, alone))
    assert alone.select(columns).equals(whole.select(columns))
    assert alone.select(plain).equals(whole.select(plain)), "nothing is cut off"


def test_every_message_is_what_messages_df_has(log: Path, table: Any) -> None:
    evals = load(log, tables=("turns",))
    theirs = table("messages")
    samples = table("samples").set_index("sample_id")

    assert evals.turns.height == samples["message_count"].sum() == 6 * 5 + 2
    ours = {
        (*place, row["turn"]): row
        for place, row in zip(key(evals.turns), evals.turns.iter_rows(named=True), strict=True)
    }
    # Of a message that stands in several epochs messages_df keeps the first.
    assert len(theirs) == evals.turns.height - 8
    for row in theirs.to_dict("records"):
        sample = samples.loc[row["sample_id"]]
        turn = ours[str(sample["id"]), int(sample["epoch"]), row["order"]]
        assert (turn["role"], turn["content"]) == (row["role"], row["content"])
        assert turn["tool_call_id"] == clean(row["tool_call_id"])
        assert turn["tool_name"] == clean(row["tool_call_function"])
        assert (turn["tool_calls"] is None) == (clean(row["tool_calls"]) is None)
    turns = evals.turns.filter(pl.col("tool_calls").is_not_null())
    calls = json.loads(turns["tool_calls"][0])
    assert calls[0]["name"] == "look_up"
    assert calls[0]["arguments"] == {"query": "batch", "deep": {"n": [1, 2.5, None]}}
    assert set(evals.turns["reasoning"].drop_nulls()) == {"It says so."}
    pictures = evals.turns["parts"].drop_nulls()
    # The type of a picture is kept, never its bytes.
    assert [json.loads(part)[0]["image"] for part in pictures] == [
        f"(data:image/png, {len(PICTURE)} characters)"
    ] * 6


def test_usage_times_and_errors_are_what_samples_df_has(log: Path, table: Any) -> None:
    trials = load(log, tables=("trials",)).trials
    theirs = {(str(row["id"]), row["epoch"]): row for row in table("samples").to_dict("records")}

    assert trials.height == len(theirs) == 8
    for place, row in zip(key(trials), trials.iter_rows(named=True), strict=True):
        other = theirs[place]
        assert row["latency_s"] == pytest.approx(other["total_time"])
        if place[0] == "breaks":
            assert "the tool is gone" in row["error"]
            assert "the tool is gone" in other["error"]
            assert row["input_tokens"] is None
            continue
        usage = json.loads(other["model_usage"])["mockllm/model"]
        assert row["input_tokens"] == usage["input_tokens"] + usage["input_tokens_cache_read"]
        assert row["output_tokens"] == usage["output_tokens"] == 14
        assert row["cost_usd"] == usage["total_cost"] == 0.5
        assert (row["error"], row["stop_reason"]) == (None, "stop")
        assert row["output"] == "Yes,\nso."


def test_the_cases_are_the_samples(log: Path) -> None:
    cases = load(log).cases.sort(pl.col("case").cast(pl.String))

    assert cases["case"].cast(pl.String).to_list() == ["7", "a/b", "breaks", "plain"]
    assert cases["input"].to_list() == ["y" * 9000 + "\nA) so\nB) no", "How?\nNow.", "When?", "Why?"]
    assert cases["ideal_behavior"].to_list() == ["so", "so\nthus", "so", "so"]
    assert cases["severity"].to_list() == [None, None, None, "high"]


def test_the_run_is_what_evals_df_has(log: Path, table: Any) -> None:
    runs = load(log, tables=("runs",)).runs
    theirs = table("evals").to_dict("records")[0]
    run = runs.row(0, named=True)

    assert (runs.height, run["suite"], run["model"], run["provider"]) == (
        1,
        "peer",
        "mockllm/model",
        "mockllm",
    )
    config = json.loads(run["config"])
    assert (config["eval_id"], config["status"]) == (theirs["eval_id"], theirs["status"])
    published = {score["name"]: score["metrics"] for score in config["results"]["scores"]}
    assert published["correct"]["accuracy"]["value"] == theirs["score_correct_accuracy"]
    assert published["correct"]["stderr"]["value"] == theirs["score_correct_stderr"]
    assert published["tone"]["mean"]["value"] == theirs["score_tone_mean"]


def test_an_edited_score_keeps_the_last_value_with_its_history(log: Path) -> None:
    scores = (
        load(log.with_name("edited.eval"))
        .scores.filter(case="a/b", epoch=1, criterion="correct")
        .row(0, named=True)
    )

    assert (scores["score"], scores["label"], scores["rationale"]) == (1.0, "C", "looked again")
    history = json.loads(scores["metadata"])["history"]
    assert [step["value"] for step in history] == ["I", "C"]
    assert history[-1]["provenance"]["author"] == "ann"


def test_accuracy_comes_out_of_the_rows(log: Path) -> None:
    evals = load(log, tables=("scores", "runs"))
    config = json.loads(evals.runs["config"][0])
    published = next(s for s in config["results"]["scores"] if s["name"] == "correct")["metrics"]["accuracy"]

    scores = evals.scores.filter(criterion="correct")

    assert math.isclose(
        scores.group_by("case").agg(pl.col("score").mean())["score"].mean(), published["value"]
    )


def test_a_log_with_chunked_samples_is_the_log_that_it_was_made_of(written: Path) -> None:
    """inspect_ai writes them, and its dataframes do not read them yet: they are held against the log they came from."""
    ours, whole = (load(written_log(written / name)) for name in ("chunked", "eval"))

    assert ours.problems.is_empty()
    for table, frame in whole.tables():
        other = getattr(ours, table.name)
        order = [pl.col(name).cast(pl.String) for name in table.key]
        kept = pl.exclude("source", "config")
        assert other.sort(order).select(kept).equals(frame.sort(order).select(kept)), table.name
    assert ours.turns.height == 32
