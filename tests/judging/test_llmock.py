"""Judging against llmock, which others wrote: it knows schemas and no code words, so all is null, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

import evalkit as ek
from fakes.clock import BriefClock
from fakes.judges import metadata

DEMO = Path(__file__).parents[2] / "data" / "demo"


@pytest.fixture
def judge(mock):
    return ek.Judge(provider=mock.groq, samples=1)


def one_run():
    return ek.load(DEMO).filter(run="v3-demo-large", epoch=1)


def test_the_whole_suite_is_judged_live_and_what_cannot_be_read_is_null_with_a_reason(mock, judge, tmp_path):
    out = judge.run(one_run(), cache=tmp_path / "a.sqlite", progress=None)

    mine = out.scores.filter(grader=judge.grader)
    assert mine.height == 27
    assert mine["score"].null_count() == 27
    assert {metadata(row)["failure"] for row in mine.iter_rows(named=True)} <= {
        "canary",
        "schema",
        "invalid_json",
    }
    assert mine["error"].str.contains(r"\(3 tries\)").all()
    assert mock.verdict()["findings"] == []


def test_a_batch_goes_through_too(judge, tmp_path):
    job = judge.submit(one_run(), folder=tmp_path / "data", cache=tmp_path / "b.sqlite", clock=BriefClock())

    out = job.wait().collect()

    mine = out.scores.filter(grader=judge.grader)
    assert mine.height == 27
    assert mine["error"].is_not_null().all()
