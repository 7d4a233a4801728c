"""Agreement of two raters, against scikit-learn, krippendorff, scipy and worked by hand."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from evalkit.stats import disagreement_weights, icc, kappa_of_tables
from evalkit.stats.agreement import (
    alpha_of_coincidences,
    alpha_of_tables,
    gwet_of_tables,
    icc_of_tables,
    resampled_tables,
    spearman_of_tables,
    tau_of_tables,
)
from evalkit.stats.bootstrap import fisher_z_interval

checked = settings(max_examples=40, deadline=None, database=None)
LABELS = [1, 2, 3, 4, 5]
pairs = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=60).filter(
    lambda p: len({x for pair in p for x in pair}) > 1
)
both_vary = pairs.filter(lambda p: all(len(set(side)) > 1 for side in zip(*p, strict=True)))


def table(judge, human) -> np.ndarray:
    return confusion_matrix(human, judge, labels=LABELS).astype(float)


def kappa(judge, human, *, resamples=300, units=None):
    """Quadratic kappa with the interval that `ek.agreement` gives it."""
    codes = [np.asarray(side, dtype=int) - 1 for side in (judge, human)]
    weights = disagreement_weights(LABELS)
    stacks = resampled_tables(*codes, len(LABELS), units=units, resamples=resamples)
    replicates = np.concatenate([kappa_of_tables(tables, weights) for tables in stacks])
    n = codes[0].size if units is None else int(np.max(units)) + 1
    return fisher_z_interval(replicates, n=n, level=0.95, method="m", seed=0, undefined="no variation")


@pytest.mark.parametrize(
    ("weights", "name"), [("nominal", None), ("linear", "linear"), ("quadratic", "quadratic")]
)
@checked
@given(pairs)
def test_kappa_agrees_with_sklearn_and_does_not_mind_who_is_first(weights, name, rated):
    judge, human = np.array(rated).T
    expected = cohen_kappa_score(judge, human, labels=LABELS, weights=name)
    w = disagreement_weights(LABELS, weights)

    ours, swapped = (kappa_of_tables(table(*sides), w) for sides in ((judge, human), (human, judge)))

    assert float(ours) == pytest.approx(expected, abs=1e-9)
    assert float(swapped) == pytest.approx(float(ours), abs=1e-12)


@checked
@given(pairs)
def test_the_first_table_is_that_of_the_data_and_the_interval_holds_its_kappa(rated):
    judge, human = np.array(rated).T

    first = next(iter(resampled_tables(judge - 1, human - 1, 5)))
    ours = kappa(judge, human, resamples=100)

    assert np.array_equal(first[0], table(judge, human))
    if ours.status == "ok":
        assert ours.low <= ours.estimate <= ours.high
        assert ours.low < ours.high


def test_labels_are_weighted_by_their_value_not_by_their_place_among_those_seen():
    judge, human = [1, 2, 5, 5, 1, 2, 5, 2], [1, 5, 5, 2, 1, 2, 5, 2]
    with_scale = float(kappa_of_tables(table(judge, human), disagreement_weights(LABELS)))

    by_place = cohen_kappa_score(judge, human, weights="quadratic")

    assert with_scale == pytest.approx(cohen_kappa_score(judge, human, labels=LABELS, weights="quadratic"))
    assert abs(with_scale - by_place) > 0.01


def test_constant_raters_are_undefined():
    ours = kappa([5] * 6, [5] * 6)

    assert (ours.estimate, ours.status, ours.reason) == (None, "not_estimable", "no variation")


def test_perfect_agreement_has_no_interval_but_a_value():
    ours = kappa([1, 2, 3, 4], [1, 2, 3, 4])

    assert (ours.estimate, ours.low, ours.status) == (1.0, None, "not_estimable")


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

        ours = gwet_of_tables(table(judge, human), disagreement_weights(LABELS, weights))

        assert float(ours) == pytest.approx((pa - pe) / (1 - pe))


def test_agreement_below_minus_one_has_a_value_and_no_interval():
    value = gwet_of_tables(table([1, 1, 1, 2], [5, 5, 5, 4]), disagreement_weights(LABELS))
    ours = fisher_z_interval(
        np.append(value, [0.1, 0.2]), n=4, level=0.95, method="m", seed=0, undefined="nothing"
    )

    assert ours.estimate == pytest.approx(-9 / 7)
    assert (ours.low, ours.status) == (None, "not_estimable")


@checked
@given(pairs)
def test_alpha_agrees_with_the_krippendorff_package(rated):
    ratings = np.array(rated, dtype=float).T
    expected = krippendorff.alpha(ratings, level_of_measurement="ordinal")

    assert float(alpha_of_tables(table(*ratings))) == pytest.approx(expected, abs=1e-9)


def test_alpha_of_several_raters_with_gaps_comes_from_their_coincidences():
    ratings = np.random.default_rng(0).integers(1, 6, (3, 20)).astype(float)
    ratings[0, :4] = np.nan
    counts = np.stack([(ratings == label).sum(axis=0) for label in LABELS], axis=1).astype(float)
    pairs_of = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(5)
    coincidences = (pairs_of / (counts.sum(axis=1) - 1)[:, None, None]).sum(axis=0)

    expected = krippendorff.alpha(ratings, level_of_measurement="ordinal")

    assert float(alpha_of_coincidences(coincidences)) == pytest.approx(expected, abs=1e-9)


@checked
@given(both_vary)
def test_ranks_and_icc_of_tables_agree_with_those_of_ratings(rated):
    x, y = np.array(rated, dtype=float).T
    t = table(x, y)
    absolute = icc([x, y], resamples=50).estimate

    assert float(spearman_of_tables(t)) == pytest.approx(float(reference.spearmanr(x, y).statistic), abs=1e-9)
    assert float(tau_of_tables(t)) == pytest.approx(float(reference.kendalltau(x, y).statistic), abs=1e-9)
    if absolute is not None:
        assert float(icc_of_tables(t, np.array(LABELS, dtype=float))) == pytest.approx(absolute, abs=1e-9)


def test_the_interval_of_kappa_covers_the_truth():
    rng = np.random.default_rng(0)

    def draw(n):
        true = rng.normal(size=n)
        return (np.clip(np.round(3 + true + rng.normal(scale=0.6, size=n)), 1, 5) for _ in range(2))

    truth = float(kappa_of_tables(table(*draw(400_000)), disagreement_weights(LABELS)))
    estimates = [kappa(*draw(50)) for _ in range(300)]

    assert np.mean([e.low <= truth <= e.high for e in estimates]) > 0.9


def test_units_are_resampled_with_all_their_items():
    judge, human = np.random.default_rng(1).integers(1, 6, (2, 12))
    apart = kappa(judge, human, resamples=2000)

    copies = kappa(
        np.repeat(judge, 4), np.repeat(human, 4), units=np.repeat(np.arange(12), 4), resamples=2000
    )

    assert (copies.low, copies.estimate, copies.high) == pytest.approx(
        (apart.low, apart.estimate, apart.high)
    )


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
        weights = disagreement_weights(np.array(LABELS) * unit)
        assert float(kappa_of_tables(table(judge, human), weights)) == pytest.approx(expected)
