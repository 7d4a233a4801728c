"""Missing scores that go with something, and directions that nobody declared."""

from __future__ import annotations

import random

import polars as pl
import pytest

import evalkit as ek
from evalkit.data.evals import Evals


def _evals(lost, *, criterion="B", direction=None, cases=60, epochs=3):
    """Two versions of one agent; `lost(version, other score)` says whether the score of the second criterion is lost."""
    draw = random.Random(1)
    rows = []
    for version in ("v1", "v2"):
        for case in range(cases):
            for epoch in range(1, epochs + 1):
                first, second = (5.0 if draw.random() < 0.7 else 1.0 for _ in range(2))
                gone = draw.random() < lost(version, first)
                rows += [
                    (version, f"c{case}", epoch, "A", first),
                    (version, f"c{case}", epoch, criterion, None if gone else second),
                ]
    scores = pl.DataFrame(rows, schema=["run", "case", "epoch", "criterion", "score"], orient="row")
    criteria = {
        "suite": "s",
        "criterion": ["A", criterion],
        "scale_min": 1.0,
        "scale_max": 5.0,
        "direction": [None, direction],
    }
    return Evals.from_tables(
        criteria=pl.DataFrame(criteria),
        runs=pl.DataFrame({"run": ["v1", "v2"], "suite": "s", "agent_version": ["v1", "v2"]}),
        scores=scores.with_columns(grader_kind=pl.lit("judge")),
    )


def _ids(evals):
    return ek.compare(evals, "v1", "v2").warnings["id"].to_list()


@pytest.mark.parametrize(
    ("lost", "count"),
    [
        (lambda version, other: 0.0, 0),
        (lambda version, other: 0.2, 0),
        (lambda version, other: 0.3 if version == "v2" else 0.0, 1),
        (lambda version, other: 0.5 if other == 1.0 else 0.05, 1),
    ],
)
def test_missing_scores_that_go_with_version_or_other_scores_are_told(lost, count):
    assert _ids(_evals(lost)).count("W28") == count


@pytest.mark.parametrize(
    ("name", "direction", "warned"),
    [
        ("toxicity", None, True),
        ("bias_score", None, True),
        ("error_rate", None, True),
        ("toxicity", "lower", False),
        ("toxicity", "higher", False),
        ("tone", None, False),
        ("terror management", None, False),
        ("unbiased", None, False),
    ],
)
def test_a_name_that_says_lower_is_better_asks_for_a_direction(name, direction, warned):
    evals = _evals(lambda version, other: 0.0, criterion=name, direction=direction, cases=6, epochs=1)

    assert ("W27" in _ids(evals)) == warned
