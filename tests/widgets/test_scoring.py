"""A widget made with a grader shows the scores of nobody else."""

from __future__ import annotations

import json

import polars as pl
import pytest

import evalkit as ek

GRADERS = {"judge": ("judge-1", 1.0, "Judge words"), "human": ("ann", 5.0, "Human words")}


@pytest.fixture
def contradicting():
    """Two graders: the judge fails every trial, the person passes every trial."""
    keys = pl.DataFrame({"run": ["a", "b"], "case": "01"}).join(
        pl.DataFrame({"criterion": ["c", "d"]}), how="cross"
    )
    scores = [
        keys.with_columns(
            grader=pl.lit(name), grader_kind=pl.lit(kind), score=pl.lit(score), rationale=pl.lit(words)
        )
        for kind, (name, score, words) in GRADERS.items()
    ]
    return ek.Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["c", "d"], "scale_min": [1.0] * 2, "scale_max": [5.0] * 2}),
        runs=pl.DataFrame({"run": ["a", "b"], "agent_version": ["v1", "v2"]}),
        trials=pl.DataFrame({"run": ["a", "b"], "case": "01", "output": "x"}),
        scores=pl.concat(scores),
    )


def kept(evals, grader=None):
    return evals.with_scoring(grader=grader)


WIDGETS = {
    "transcript": lambda evals, folder, **grader: ek.transcript(kept(evals, **grader), run="a", case="01"),
    "transcript_diff": lambda evals, folder, **grader: ek.transcript_diff(
        kept(evals, **grader), "01", baseline="a", candidate="b"
    ),
    "explore_kept": lambda evals, folder, **grader: ek.explore(kept(evals, **grader)),
    "explore": lambda evals, folder, **grader: ek.explore(evals, **grader),
    "tune": lambda evals, folder, **grader: ek.tune(evals, **grader),
    "label": lambda evals, folder, **grader: ek.label(
        evals, rater="bob", path=folder / "l.jsonl", blind=False, **grader
    ),
}


@pytest.mark.parametrize("grader", ["human", "ann"])
@pytest.mark.parametrize("name", WIDGETS)
def test_only_the_scores_of_the_grader_are_shown(contradicting, tmp_path, name, grader):
    widget = WIDGETS[name](contradicting, tmp_path, grader=grader)

    shown = json.dumps(widget.show()) + widget.to_html()
    assert "Judge words" not in shown
    assert "1 of 5" not in shown
    if name in ("explore", "explore_kept", "label", "transcript"):
        assert "Human words" in shown


def test_the_verdicts_are_those_of_the_grader(contradicting):
    explorer, tuner = ek.explore(contradicting, grader="human"), ek.tune(contradicting, grader="human")

    assert set(explorer.selection["verdict"]) == {"pass"}
    assert tuner.summary["pass_rate"].to_list() == [1.0, 1.0]


def test_the_search_finds_the_words_of_the_grader_only(contradicting):
    explorer = ek.explore(contradicting, grader="human", search="judge words")

    namespace = {"evals": contradicting}
    exec(explorer.code, namespace)
    assert explorer.selection.is_empty()
    assert namespace["selection"].equals(explorer.selection)
    assert ek.explore(contradicting, search="judge words").selection.height == 2
