"""Agreement on any scale and in rank, against pingouin and scipy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from evalkit.stats import icc, kendall_tau, spearman

checked = settings(max_examples=40, deadline=None, database=None)
pairs = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=3, max_size=50).filter(
    lambda p: len({a for a, _ in p}) > 1 and len({b for _, b in p}) > 1
)


def test_icc_agrees_with_pingouin():
    pandas = pytest.importorskip("pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pingouin
    rng = np.random.default_rng(1)
    table = rng.normal(size=12) + rng.normal(scale=0.5, size=(3, 12)) + np.array([[0.0], [0.4], [-0.2]])
    long = pandas.DataFrame(
        {"rater": np.repeat([0, 1, 2], 12), "item": np.tile(np.arange(12), 3), "score": table.ravel()}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = pingouin.intraclass_corr(long, targets="item", raters="rater", ratings="score").set_index(
            "Type"
        )
    expected = rows.loc["ICC(A,1)" if "ICC(A,1)" in rows.index else "ICC2", "ICC"]

    ours = icc(table)

    assert ours.estimate == pytest.approx(float(expected), abs=1e-9)
    assert ours.low < ours.estimate < ours.high


def test_icc_sees_leniency_and_rank_agreement_does_not():
    human, judge = np.array([1, 2, 3, 4, 1, 2, 3, 4.0]), np.array([2, 3, 4, 5, 2, 3, 4, 5.0])

    assert icc([human, judge]).estimate < 0.75
    assert spearman(human, judge).estimate == pytest.approx(1)
    assert icc([[3, 3, 3], [3, 3, 3]]).status == "not_estimable"
    assert icc([[3], [4]]).status == "not_estimable"


@checked
@given(pairs)
def test_rank_statistics_agree_with_scipy(rated):
    x, y = np.array(rated, dtype=float).T

    rho, tau = spearman(x, y, resamples=60), kendall_tau(x, y, resamples=60)

    assert rho.estimate == pytest.approx(float(reference.spearmanr(x, y).statistic), abs=1e-9)
    assert tau.estimate == pytest.approx(float(reference.kendalltau(x, y).statistic), abs=1e-9)
    for ours in (rho, tau):
        if ours.status == "ok":
            assert -1 <= ours.low <= ours.estimate <= ours.high <= 1


def test_many_distinct_values_take_the_closed_form():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = x + rng.normal(size=200)

    for ours, expected in (
        (spearman(x, y), reference.spearmanr(x, y).statistic),
        (kendall_tau(x, y), reference.kendalltau(x, y).statistic),
    ):
        assert ours.estimate == pytest.approx(float(expected))
        assert 0.05 < ours.high - ours.low < 0.25
        assert "bootstrap" not in ours.method


def test_ranks_without_variation_are_undefined():
    for statistic in (spearman, kendall_tau):
        assert statistic([1, 1, 1], [1, 2, 3]).estimate is None
        assert statistic([], []).status == "not_estimable"
        assert statistic(np.arange(60), np.arange(60)).status == "not_estimable"


@pytest.mark.parametrize("table", [[[3, 3, 3], [4, 4, 4]], [[1, 2], [2, 1]]])
def test_icc_of_items_that_do_not_differ_or_cancel_is_undefined(table):
    # Leniency is all there is; or items, raters and the mean square of both leave a denominator of 0.
    ours = icc(table)

    assert (ours.estimate, ours.status) == (None, "not_estimable")
    assert "no variation" in ours.reason


def test_icc_worked_by_hand():
    # Item means 1.5, 2.5, 4.5 and rater means 8/3, 3: MSR 14/3, MSC 1/6, MSE 2/3.
    assert icc([[1, 3, 4], [2, 2, 5]]).estimate == pytest.approx(
        (14 / 3 - 2 / 3) / (14 / 3 + 2 / 3 + 2 * (1 / 6 - 2 / 3) / 3)
    )
