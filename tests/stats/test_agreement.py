"""Two raters, against scikit-learn and worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from evalkit.stats import (
    StatisticsError,
    confusion,
    disagreement_weights,
    exact_agreement,
    gwet_ac,
    judge_accuracy,
    kappa_of_tables,
    weighted_kappa,
)

checked = settings(max_examples=40, deadline=None, database=None)
LABELS = [1, 2, 3, 4, 5]
pairs = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=60).filter(
    lambda p: len({x for pair in p for x in pair}) > 1
)


@pytest.mark.parametrize(
    ("weights", "name"), [("nominal", None), ("linear", "linear"), ("quadratic", "quadratic")]
)
@checked
@given(pairs)
def test_kappa_agrees_with_sklearn_and_does_not_mind_who_is_first(weights, name, rated):
    judge, human = np.array(rated).T
    expected = cohen_kappa_score(judge, human, labels=LABELS, weights=name)

    ours = weighted_kappa(judge, human, labels=LABELS, weights=weights, resamples=100)
    swapped = weighted_kappa(human, judge, labels=LABELS, weights=weights, resamples=100)

    assert ours.estimate == pytest.approx(expected, abs=1e-9)
    assert swapped.estimate == pytest.approx(ours.estimate, abs=1e-12)
    if ours.status == "ok":
        assert ours.low <= ours.estimate <= ours.high
        assert ours.low < ours.high


@checked
@given(pairs)
def test_the_confusion_table_agrees_with_sklearn(rated):
    judge, human = np.array(rated).T

    ours = confusion(judge, human, LABELS)

    assert np.array_equal(ours.counts, confusion_matrix(human, judge, labels=LABELS))
    assert ours.n == len(rated)


def test_labels_are_weighted_by_their_value_not_by_their_place_among_those_seen():
    judge, human = [1, 2, 5, 5, 1, 2, 5, 2], [1, 5, 5, 2, 1, 2, 5, 2]
    with_scale = weighted_kappa(judge, human, labels=LABELS, resamples=50).estimate

    by_place = cohen_kappa_score(judge, human, weights="quadratic")

    assert with_scale == pytest.approx(cohen_kappa_score(judge, human, labels=LABELS, weights="quadratic"))
    assert abs(with_scale - by_place) > 0.01


def test_constant_raters_are_undefined_with_their_raw_agreement():
    for statistic in (weighted_kappa,):
        ours = statistic([5] * 6, [5] * 6, labels=LABELS)

        assert (ours.estimate, ours.status) == (None, "not_estimable")
        assert "no variation" in ours.reason
        assert "100% of 6" in ours.reason


def test_perfect_agreement_has_no_interval_but_a_value():
    ours = weighted_kappa([1, 2, 3, 4], [1, 2, 3, 4], labels=LABELS)

    assert (ours.estimate, ours.low, ours.status) == (1.0, None, "not_estimable")


@pytest.mark.parametrize(
    ("judge", "human", "word"),
    [([], [], "no item"), ([3], [4], "one item"), ([3, np.nan], [np.nan, 4], "no item")],
)
def test_too_few_items_say_so(judge, human, word):
    ours = weighted_kappa(judge, human, labels=LABELS)

    assert ours.status == "not_estimable"
    assert word in ours.reason


def test_a_rating_outside_of_the_scale_is_refused_by_name():
    with pytest.raises(StatisticsError, match="rating of 7"):
        weighted_kappa([1, 7], [1, 2], labels=LABELS)


@checked
@given(pairs)
def test_gwet_agrees_with_its_formula_written_out(rated):
    judge, human = np.array(rated).T
    n, q = len(rated), len(LABELS)
    for weights, exponent in (("nominal", None), ("quadratic", 2)):
        agree = np.array(
            [
                [float(a == b) if exponent is None else 1 - abs(a - b) ** exponent / 16 for a in LABELS]
                for b in LABELS
            ]
        )
        pa = np.mean([agree[a - 1, b - 1] for a, b in rated])
        pi = np.array([(np.sum(judge == k) + np.sum(human == k)) / (2 * n) for k in LABELS])
        pe = agree.sum() / (q * (q - 1)) * np.sum(pi * (1 - pi))

        ours = gwet_ac(judge, human, labels=LABELS, weights=weights, resamples=50)

        assert ours.estimate == pytest.approx((pa - pe) / (1 - pe))


def test_agreement_below_minus_one_is_told_as_it_is():
    ours = gwet_ac([1, 1, 1, 2], [5, 5, 5, 4], labels=LABELS, weights="quadratic")

    assert ours.estimate == pytest.approx(-9 / 7)
    assert (ours.low, ours.status) == (None, "not_estimable")


def test_the_interval_of_kappa_covers_the_truth():
    rng = np.random.default_rng(0)

    def draw(n):
        true = rng.normal(size=n)
        return (np.clip(np.round(3 + true + rng.normal(scale=0.6, size=n)), 1, 5) for _ in range(2))

    w = disagreement_weights(LABELS)
    truth = float(kappa_of_tables(confusion(*draw(400_000), LABELS).counts, w))
    found = [weighted_kappa(*draw(50), labels=LABELS, resamples=300) for _ in range(300)]

    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.9


def test_agreement_within_a_point_counts_near_misses():
    assert exact_agreement([5, 4, 1, np.nan], [4, 4, 4, 4], within=1).estimate == pytest.approx(2 / 3)
    assert exact_agreement([0.1 + 0.2], [0.3]).estimate == 1


def test_a_judge_against_human_verdicts_counts_each_kind():
    ours = judge_accuracy([1, 1, 1, 0, 0, np.nan], [1, 1, 0, 0, 1, 1])

    assert (ours.tp, ours.fp, ours.fn, ours.tn) == (2, 1, 1, 1)
    assert ours.sensitivity.estimate == pytest.approx(2 / 3)
    assert ours.specificity.n == 2
    assert judge_accuracy([1], [1]).specificity.status == "not_estimable"


def test_kappa_of_a_stack_is_each_tables_own_in_counts_or_in_shares():
    # Worked by hand: 70% against 50% by chance; one label alone; 5 of 6 against 50%.
    tables = np.array([[[20, 5], [10, 15]], [[0, 0], [0, 7]], [[3, 1], [0, 2]]], dtype=float)
    expected = [0.4, np.nan, 2 / 3]

    for stack in (tables, tables / 50, tables * 1000):
        assert kappa_of_tables(stack, 1 - np.eye(2)) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(kappa_of_tables(np.zeros((1, 2, 2)), 1 - np.eye(2)))


def test_kappa_does_not_mind_the_unit_of_the_scale():
    judge, human = [1, 2, 5, 5, 1, 2, 5, 2], [1, 5, 5, 2, 1, 2, 5, 2]
    expected = cohen_kappa_score(judge, human, labels=LABELS, weights="quadratic")

    for unit in (0.01, 100):
        scaled = [np.array(side) * unit for side in (judge, human, LABELS)]
        ours = weighted_kappa(scaled[0], scaled[1], labels=scaled[2].tolist(), resamples=50)
        assert ours.estimate == pytest.approx(expected)
