"""Agreement on criteria without an order, on mixed scales, and of several people."""

from __future__ import annotations

import json

import krippendorff
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

import evalkit as ek
from evalkit.agreement.agreement import agreement
from evalkit.data.evals import Evals
from evalkit.util.errors import SelectorError

# Gwet's four raters (Krippendorff's data); AC1 of irrCAC 0.77544.
FOUR = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
ORDER_FREE = ("bias", "within_one", "icc", "tau_b", "spearman", "pearson", "sensitivity", "specificity")


def rows_of(scores, grader, kind, criterion="winner"):
    return [
        {"run": "r", "case": f"{at:03}", "epoch": 1, "criterion": criterion, "grader": grader,
         "grader_kind": kind, "score": None if score is None else float(score)}
        for at, score in enumerate(scores)
    ]  # fmt: skip


def evals_of(*parts, scales=None):
    rows = [row for part in parts for row in part]
    criteria = None
    if scales:
        criteria = pl.DataFrame(
            {
                "suite": "s",
                "criterion": list(scales),
                "scale_min": [float(low) for low, _ in scales.values()],
                "scale_max": [float(high) for _, high in scales.values()],
            }
        )
    return Evals.from_tables(
        criteria=criteria, runs=pl.DataFrame({"run": ["r"], "suite": "s"}), scores=pl.DataFrame(rows)
    )


def row_of(found, scope="winner"):
    return found.summary.filter(scope=scope, group="all").row(0, named=True)


def random_winners(seed, n=80):
    draw = np.random.default_rng(seed)
    human = draw.choice([1, 2, 9], n)
    judge = np.where(draw.random(n) < 0.75, human, draw.choice([1, 2, 9], n))
    return judge, human


@pytest.mark.parametrize("seed", range(4))
def test_kinds_without_an_order_have_the_nominal_coefficients(seed):
    judge, human = random_winners(seed)
    evals = evals_of(rows_of(judge, "judge", "judge"), rows_of(human, "ann", "human"))

    row = row_of(agreement(evals, nominal="winner"))

    assert row["kind"] == "nominal"
    assert row["kappa"] == pytest.approx(cohen_kappa_score(human, judge), abs=1e-12)
    alpha = krippendorff.alpha(np.array([judge, human], float), level_of_measurement="nominal")
    assert row["alpha"] == pytest.approx(alpha, abs=1e-12)
    assert row["ac2"] == pytest.approx(
        ek.stats.raters_agreement([judge, human], [1, 2, 9], resamples=2).estimate
    )
    assert all(row[name] is None for name in ORDER_FREE)


def test_other_names_of_the_kinds_change_no_coefficient():
    judge, human = random_winners(1)
    names = {1: 4, 2: 1, 9: 2}
    first, second = (
        row_of(
            agreement(evals_of(rows_of(a, "judge", "judge"), rows_of(b, "ann", "human")), nominal="winner")
        )
        for a, b in ((judge, human), ([names[x] for x in judge], [names[x] for x in human]))
    )

    for name in ("exact", "kappa", "kappa_low", "kappa_high", "alpha", "ac2"):
        assert first[name] == pytest.approx(second[name], abs=1e-9)


def test_the_confusion_of_kinds_counts_every_answer():
    judge, human = random_winners(2)
    found = agreement(
        evals_of(rows_of(judge, "judge", "judge"), rows_of(human, "ann", "human")), nominal=["winner"]
    )

    cells = {(row["reference"], row["judge"]): row["count"] for row in found.confusion.to_dicts()}
    assert cells == {(a, b): int(((human == a) & (judge == b)).sum()) for a, b in cells}
    assert sum(cells.values()) == len(human)


def test_people_vote_on_kinds_and_a_tie_is_no_rating():
    people = [[1, 1, 3, 3], [1, 2, 3, 1], [2, 3, 3, None]]
    evals = evals_of(
        rows_of([1, 2, 3, 1], "judge", "judge"),
        *(rows_of(scores, f"p{at}", "human") for at, scores in enumerate(people)),
    )

    row = row_of(agreement(evals, nominal="winner"))

    # 1, 1, 2 is 1 (their mean is 1.33); 1, 2, 3 and 3, 1 are ties (their mean is 2).
    assert (row["n"], row["exact"]) == (2, 1.0)


def test_kinds_take_no_part_in_the_verdict():
    good = [1, 1, 0, 1, 0, 1, 0, 0]
    kinds = [1, 2, 3, 1, 2, 3, 1, 2]
    parts = [rows_of(good, name, kind, "good") for name, kind in (("judge", "judge"), ("ann", "human"))]
    parts += [rows_of(kinds, "judge", "judge"), rows_of(kinds[::-1], "ann", "human")]
    evals = evals_of(*parts, scales={"good": (0, 1)})

    row = row_of(agreement(evals, nominal="winner"), "verdict")

    assert (row["n"], row["exact"], row["sensitivity"]) == (8, 1.0, 1.0)


def test_an_unknown_criterion_without_order_is_refused():
    evals = evals_of(rows_of([1, 2], "judge", "judge"), rows_of([1, 2], "ann", "human"))

    with pytest.raises(SelectorError) as error:
        agreement(evals, nominal="winer")
    assert error.value.choices == ("winner",)


def test_each_criterion_has_its_own_scale():
    rng = np.random.default_rng(3)
    parts, wanted = [], {}
    for name, top in (("stars", 5), ("points", 10)):
        human = rng.integers(1, top + 1, 40)
        judge = np.clip(human + rng.integers(-1, 2, 40), 1, top)
        parts += [rows_of(judge, "judge", "judge", name), rows_of(human, "ann", "human", name)]
        wanted[name] = cohen_kappa_score(human, judge, labels=range(1, top + 1), weights="quadratic")

    found = agreement(evals_of(*parts, scales={"stars": (1, 5), "points": (1, 10)}))

    assert {name: row_of(found, name)["kappa"] for name in wanted} == pytest.approx(wanted)


def test_gwets_coefficient_of_four_people_is_that_of_irr_cac():
    evals = evals_of(
        rows_of([1] * 12, "judge", "judge"),
        *(rows_of(scores, f"p{at}", "human") for at, scores in enumerate(FOUR)),
    )

    row = row_of(agreement(evals, nominal="winner"))

    assert row["human_ac"] == pytest.approx(0.77544, abs=5e-6)
    assert row["human_raters"] == 4
    assert row["human_ac_low"] < row["human_ac"] < row["human_ac_high"]


def test_two_people_without_a_judge_agree_with_each_other():
    judge, human = random_winners(4)
    evals = evals_of(rows_of(human, "ann", "human"), rows_of(judge, "bea", "human"))

    found = agreement(evals, nominal="winner")

    assert (found.judge, found.reference) == ("bea", "ann")
    assert row_of(found)["kappa"] == pytest.approx(cohen_kappa_score(human, judge))


def test_no_ratings_and_one_kind_give_a_reason_and_no_number():
    same = evals_of(rows_of([2] * 9, "judge", "judge"), rows_of([2] * 9, "ann", "human"))
    none = evals_of(rows_of([None] * 9, "judge", "judge"), rows_of([2] * 9, "ann", "human"))

    for evals in (same, none):
        found = agreement(evals, nominal="winner")
        row = row_of(found)
        assert row["kappa"] is None
        assert row["reason"]
        assert json.loads(found.to_json())
