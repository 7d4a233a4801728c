"""Ctrl-C at the very write: no answer is lost, none is paid twice, and no row is there twice."""

from __future__ import annotations

import signal

import pytest

import evalkit as ek
from evalkit.data import folder as native
from evalkit.judging import score_file as results
from evalkit.llm.answer_cache import Cache
from evalkit.llm.batch.journal import Journal
from evalkit.util.errors import FormatError
from fakes import FakeClock
from fakes.interrupts import interrupt_at

WHEN = ["before", "after"]
KEY = ["run", "case", "epoch", "criterion", "rubric_hash", "sample"]


@pytest.fixture
def data(make_evals, monkeypatch, tmp_path):
    """Return a folder with two trials, in which each row is written as it comes."""
    monkeypatch.setattr(results, "_WRITE_INTERVAL_S", -1.0)
    return native.write(make_evals(), tmp_path / "data")


def scored(fake, folder):
    """Return how many judgements are there, after looking that each is there, and was asked for, once."""
    loaded = native.read_scores(folder / "scores.jsonl")
    assert loaded.problems.is_empty()
    assert not loaded.scores.select(KEY).is_duplicated().any()
    assert loaded.scores["score"].null_count() == 0
    assert set(fake.bodies.values()) == {1}
    return loaded.scores.height


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_ctrl_c_at_a_write_of_the_scores(fake, make_judge, make_evals, data, at, when):
    """The first of six writes is of what needs no judge, the last is at the end."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, native, "append", at=at, when=when)
        with pytest.raises(KeyboardInterrupt):
            make_judge().run(make_evals(), folder=data, progress=None)

    make_judge().run(make_evals(), folder=data, progress=None)

    assert scored(fake, data) == 4


def test_an_answer_is_in_the_cache_before_anybody_has_it(fake, make_judge, make_evals):
    def stop(told):
        if told.done:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make_judge().run(make_evals(), progress=stop, concurrency=1)

    out = make_judge().run(make_evals(), progress=None)

    assert set(fake.bodies.values()) == {1}
    assert out.scores["score"].to_list() == [4.0] * 4


@pytest.mark.parametrize("when", WHEN)
def test_ctrl_c_where_no_cache_can_be_written_loses_no_row_in_hand(fake, make_judge, make_evals, data, when):
    def full(*_, **__):
        raise FormatError("The cache cannot be written: disk full.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cache, "put", full)
        interrupt_at(patch, native, "append", at=5, when=when)
        with pytest.warns(UserWarning, match="no longer cached"), pytest.raises(KeyboardInterrupt):
            make_judge().run(make_evals(), folder=data, progress=None)

    make_judge().run(make_evals(), folder=data, progress=None)

    assert scored(fake, data) == 4


@pytest.mark.parametrize("when", WHEN)
def test_ctrl_c_while_the_rubric_lab_judges_again(fake, make_judge, make_evals, data, when):
    judge = make_judge()
    lab = ek.rubric_lab(judge.run(make_evals(), folder=data, progress=None), judge, folder=data)
    lab.handle({"kind": "edit", "description": "Knows GroqCloud well."})
    lab.handle({"kind": "sample", "choice": "random", "most": 2})
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, native, "append", at=2, when=when)
        with pytest.raises(KeyboardInterrupt):
            lab.handle({"kind": "rejudge"})

    lab.handle({"kind": "rejudge"})

    # Two of the two criteria, and two of the reworded one.
    assert scored(fake, data) == 6
    assert lab.diff.scores.height == 2


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("at", range(1, 9))
def test_ctrl_c_at_a_fact_of_the_journal(fake, make_judge, make_evals, data, at, when):
    settings = {"folder": data, "clock": FakeClock(fake)}
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, Journal, "write", at=at, when=when)
        with pytest.raises(KeyboardInterrupt):
            make_judge().submit(make_evals(), **settings).wait().collect()

    make_judge().submit(make_evals(), **settings).wait().collect()

    assert scored(fake, data) == 4
    assert set(fake.settle().values()) == {1}


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("at", [1, 2])
def test_ctrl_c_while_a_batch_is_collected(fake, make_judge, make_evals, data, at, when):
    job = make_judge().submit(make_evals(), folder=data, clock=FakeClock(fake))
    job.job.wait()
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, native, "append", at=at, when=when)
        with pytest.raises(KeyboardInterrupt):
            job.collect()

    job.collect()

    assert scored(fake, data) == 4
