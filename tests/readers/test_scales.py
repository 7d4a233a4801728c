"""A scale that a mapping declares for files that are no tables of scores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from evalkit.grading.pass_rule import PassRule
from evalkit.grading.summarize import summarize
from evalkit.readers.load import load
from evalkit.util.errors import RuleError

if TYPE_CHECKING:
    from pathlib import Path


def log(path: Path, *values: float) -> Path:
    """Write an Inspect log with a score of each criterion."""
    scores = {f"c{at}": {"value": value} for at, value in enumerate(values)} | {"right": {"value": "C"}}
    sample = {"id": "a", "epoch": 1, "input": "?", "messages": [], "scores": scores}
    spec = {"task": "support", "model": "large", "eval_id": "Qb7xkLm3ZpR"}
    path.write_text(json.dumps({"version": 2, "status": "success", "eval": spec, "samples": [sample]}))
    return path


def test_a_scale_is_declared_for_a_log_that_has_none(tmp_path: Path) -> None:
    path = log(tmp_path / "log.json", 4, 0.5)

    evals = load(path, mapping={"scale": {"c0": [1, 5], "c1": [0, 1]}})

    ends = evals.criteria.select("criterion", "scale_min", "scale_max").sort("criterion").rows()
    assert ends == [("c0", 1.0, 5.0), ("c1", 0.0, 1.0), ("right", 0.0, 1.0)]
    assert not [str(note) for note in evals.notes if "without the mapping" in str(note)]


def test_what_is_pass_or_fail_keeps_its_scale_and_what_lies_outside_is_told(tmp_path: Path) -> None:
    evals = load(log(tmp_path / "log.json", 7), mapping={"scale": [1, 5]})
    assert evals.criteria.sort("criterion")["scale_max"].to_list() == [5.0, 1.0]
    assert evals.scores.sort("criterion")["score"].to_list() == [None, 1.0]
    assert evals.problems.height == 1


@pytest.mark.parametrize(
    ("score", "example"),
    [
        (0.5, "PassRule(scale=(0, 1))"),
        (4, "PassRule(scale=(1, 5)), or when loading: mapping={'scale': [1, 5]}"),
        (88, "PassRule(scale=(0, 100))"),
        (-3, "PassRule(scale=(-3, -2))"),
    ],
)
def test_the_error_shows_a_rule_for_the_scores_that_are_there(tmp_path: Path, score, example) -> None:
    evals = load(log(tmp_path / "log.json", score))
    with pytest.raises(RuleError) as told:
        summarize(evals)
    assert example in str(told.value)
    assert f"between {score:g} and {score:g}" in str(told.value)


def test_what_the_error_says_is_enough(tmp_path: Path) -> None:
    evals = load(log(tmp_path / "log.json", 0.9))
    rule = PassRule(scale=(0, 1))
    assert summarize(evals, rule=rule)["pass_rate"].to_list() == [1.0]
