"""A run judged by made-up answers is marked as made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from evalkit.data import demo
from evalkit.judging.fake_judge import cache_fake_replies
from evalkit.judging.judge import Judge

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_that_a_fake_judge_scored_is_made_up(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-none")
    evals = demo.make().filter(case="01", agent_version="v1")
    real = evals.runs.with_columns(made_up=pl.lit(None, dtype=pl.Boolean))
    evals = evals.from_tables(cases=evals.cases, criteria=evals.criteria, runs=real, trials=evals.trials)
    judge = Judge(model="openai/gpt-oss-20b", mode="criterion")

    cache_fake_replies(judge, evals, cache=tmp_path / "answers.sqlite")
    judged = judge.run(evals, cache=tmp_path / "answers.sqlite", progress=False)

    assert not evals.made_up
    assert judged.scores.height
    assert judged.made_up
    assert judged.made_up_note
