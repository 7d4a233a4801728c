"""The RAG agent's results as its makers left them: their own published figures come out."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from evalkit.readers.load import load

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "azure_rag"
MAPPING = ROOT / "docs" / "mappings" / "azure_rag.yaml"
RUNS = ("baseline_3", "badprompt_ignoresources_1", "refinedprompt_1", "refinedprompt_2", "text_retrieval")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project")


@pytest.fixture(scope="module")
def evals():
    return load(*(DATA / "2024-02" / run for run in RUNS), mapping=MAPPING)


def test_the_runs_load_with_the_failed_rows_as_problems(evals) -> None:
    assert evals.runs.select("run", "agent_version").rows() == [(run, run) for run in RUNS]
    assert evals.trials.group_by("run").len()["len"].to_list() == [200] * 5
    # One problem for all rows with one text.
    assert evals.problems.select("line").height == 1
    assert evals.problems["reason"].str.contains("(Failed)", literal=True).all()
    failed = evals.scores.filter(pl.col("score").is_null())
    assert (failed.height, set(failed["error"]), set(failed["run"])) == (33, {"(Failed)"}, {"text_retrieval"})
    assert evals.scores.filter(run="text_retrieval", criterion="similarity").is_empty()


@pytest.mark.parametrize("run", RUNS)
def test_the_published_means_and_counts_come_out(run: str, evals) -> None:
    published = json.loads((DATA / "2024-02" / run / "summary.json").read_text())

    for name in ("groundedness", "relevance", "coherence", "similarity"):
        if f"gpt_{name}" not in published:
            continue
        scores = evals.scores.filter(run=run, criterion=name)["score"]
        told = published[f"gpt_{name}"]
        assert scores.mean() == pytest.approx(told["mean_rating"], abs=0.0051)
        assert (scores >= 4).sum() == told["pass_count"]
        assert (scores >= 4).sum() / 200 == pytest.approx(told["pass_rate"], abs=0.0051)


def test_the_later_runs_load_with_the_same_mapping() -> None:
    evals = load(DATA / "2024-08", mapping=MAPPING)

    assert evals.problems.is_empty()
    assert (evals.runs.height, evals.trials.height, evals.scores.height) == (4, 800, 1600)
    assert evals.trials["latency_s"].null_count() == 0


def test_pairing_by_line_keeps_questions_that_are_asked_twice(evals) -> None:
    inputs = evals.cases.select(pl.col("case").cast(pl.String), "input")

    assert inputs.height == 200
    assert inputs["input"].n_unique() == 198
    asked = dict(inputs.rows())
    assert (asked["8"], asked["113"]) == (asked["77"], asked["158"])
