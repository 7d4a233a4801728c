"""A criterion without a better end is shown and counts in no verdict."""

from __future__ import annotations

import polars as pl

import evalkit as ek


def _evals() -> ek.Evals:
    rows = [
        (v, str(i), tone, refused)
        for v in ("v1", "v2")
        for i, (tone, refused) in enumerate([(5, 0), (2, 1), (4, None)])
    ]
    frame = pl.DataFrame(rows, schema=["version", "id", "tone", "refusal"], orient="row")
    criteria = {"tone": {"scale": [1, 5]}, "refusal": {"scale": [0, 1], "direction": "none"}}
    return ek.load(frame, mapping={"case": "id", "criteria": criteria})


def test_it_counts_in_no_verdict() -> None:
    graded = ek.grade(_evals())
    assert graded.filter(pl.col("run") == "v1")["verdict"].cast(pl.String).to_list() == [
        "pass",
        "fail",
        "pass",
    ]
    rows = ek.grade_criteria(_evals()).filter(pl.col("criterion") == "refusal")
    assert set(rows["verdict"].cast(pl.String)) == {"unscored"}
    assert set(rows["direction"].cast(pl.String)) == {"none"}


def test_it_is_shown_and_not_compared() -> None:
    evals = _evals()
    assert "refusal" in ek.distribution(evals, "agent_version")["criterion"].cast(pl.String).to_list()
    change = ek.compare(evals, "v1", "v2", by="criterion")
    assert "refusal" not in change.table["scope"].to_list()


def test_a_name_without_a_direction_is_guessed_as_none() -> None:
    frame = pl.DataFrame(
        {
            "id": ["a", "b", "c"],
            "question": ["x", "y", "z"],
            "refused": [True, False, True],
            "tone": [5, 1, 3],
        }
    )
    evals = ek.load(frame)
    ways = dict(evals.criteria.select(pl.col("criterion", "direction").cast(pl.String)).rows())
    assert ways == {"refused": "none", "tone": None}


def test_a_bare_frame_may_have_it() -> None:
    rows = [("1", "tone", 5.0, 1.0, 5.0, "higher"), ("1", "refusal", 0.0, 0.0, 1.0, "none")]
    frame = pl.DataFrame(
        rows, schema=["case", "criterion", "score", "scale_min", "scale_max", "direction"], orient="row"
    )
    assert ek.grade(frame)["verdict"].to_list() == ["pass"]


def test_a_nominal_criterion_counts_in_no_verdict_and_agrees_by_name() -> None:
    rows = [
        (str(i), who, w, 5)
        for who, words in (("a", [1, 2, 3, 1]), ("b", [1, 2, 1, 1]))
        for i, w in enumerate(words)
    ]
    frame = pl.DataFrame(rows, schema=["case", "grader", "winner", "tone"], orient="row")
    evals = ek.load(
        frame, mapping={"criteria": ["winner", "tone"], "grader_kind": {"value": "human"}, "scale": [1, 5]}
    )
    kinds = evals.criteria.with_columns(
        kind=pl.when(pl.col("criterion") == "winner")
        .then(pl.lit("nominal"))
        .cast(evals.criteria.schema["kind"])
    )
    evals = ek.Evals.from_tables(
        cases=evals.cases,
        criteria=kinds,
        runs=evals.runs,
        trials=evals.trials,
        turns=evals.turns,
        scores=evals.scores,
    )
    assert set(ek.grade(evals, grader="a")["verdict"].cast(pl.String)) == {"pass"}
    by_kind = ek.agreement(evals).summary.filter(scope="winner")
    by_argument = ek.agreement(evals, nominal="winner").summary.filter(scope="winner")
    assert by_kind["kappa"].item() == by_argument["kappa"].item()
