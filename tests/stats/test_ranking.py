"""Several versions: against statsmodels and scipy, and with nothing to find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import friedmanchisquare
from statsmodels.stats.contingency_tables import cochrans_q

from evalkit.stats import StatisticsError, bootstrap_ranks, cochran_q, friedman

checked = settings(max_examples=40, deadline=None, database=None)
shapes = st.tuples(st.integers(3, 30), st.integers(3, 6))


@checked
@given(shapes.flatmap(lambda shape: arrays(int, shape, elements=st.integers(0, 1))))
def test_cochran_agrees_with_statsmodels(passes):
    ours = cochran_q(passes)

    if np.all(passes.min(axis=1) == passes.max(axis=1)):
        assert (ours.p_value, ours.status) == (1.0, "ok")
    else:
        expected = cochrans_q(passes)
        assert (ours.statistic, ours.p_value) == pytest.approx(
            (expected.statistic, expected.pvalue), abs=1e-9
        )


@checked
@given(shapes.flatmap(lambda shape: arrays(int, shape, elements=st.integers(1, 5))))
def test_friedman_agrees_with_scipy(scores):
    ours = friedman(scores)

    if np.all(scores.min(axis=1) == scores.max(axis=1)):
        assert ours.p_value == 1.0
    else:
        expected = friedmanchisquare(*scores.T)
        assert (ours.statistic, ours.p_value) == pytest.approx(
            (expected.statistic, expected.pvalue), abs=1e-9
        )


@pytest.mark.parametrize("table", [np.empty((0, 3)), [[np.nan, 1, 0]], [[1], [0]]])
def test_nothing_to_compare_is_not_estimable(table):
    for ours in (cochran_q(table), friedman(table), bootstrap_ranks(table)):
        assert ours.status == "not_estimable"
        assert ours.reason


def test_fractions_are_not_counted_as_single_runs():
    with pytest.raises(StatisticsError, match="friedman"):
        cochran_q([[0.5, 1, 0]])


def test_a_clear_winner_is_alone_and_equals_are_tied():
    rng = np.random.default_rng(0)
    base = rng.random(120)
    values = np.column_stack([base, base + 0.3 + rng.normal(0, 0.1, 120), base + rng.normal(0, 0.3, 120)])

    ours = bootstrap_ranks(values, resamples=1000)

    assert ours.ranks[1] == 1
    assert (ours.low[1], ours.high[1]) == (1, 1)
    assert ours.p_best[1] > 0.99
    assert ours.tied_with_best == (False, True, False)
    assert sum(ours.p_best) == pytest.approx(1)


def test_identical_versions_share_the_first_place():
    column = np.random.default_rng(0).random(30)

    ours = bootstrap_ranks(np.column_stack([column] * 4), resamples=500)

    assert ours.ranks == (2.5,) * 4
    assert ours.p_best == pytest.approx((0.25,) * 4)
    assert all(ours.tied_with_best)
    assert ours.winner_bonus == pytest.approx(0, abs=0.02)


def test_the_best_of_many_identical_versions_looks_better_than_it_is():
    passes = (np.random.default_rng(3).random((50, 10)) < 0.7).astype(float)

    ours = bootstrap_ranks(passes, resamples=2000)

    assert ours.winner_bonus > 0.02
    assert sum(ours.tied_with_best) > 5
    for low, rank, high in zip(ours.low, ours.ranks, ours.high, strict=True):
        assert low <= rank <= high


def test_order_of_versions_only_reorders_the_answer():
    values = np.random.default_rng(1).random((40, 3))
    ours, turned = bootstrap_ranks(values, resamples=300), bootstrap_ranks(values[:, ::-1], resamples=300)

    assert ours.p_best == pytest.approx(turned.p_best[::-1])
    assert ours.ranks == turned.ranks[::-1]


@pytest.mark.parametrize(("versions", "df"), [(1, 0), (3, 2), (5, 4)])
@pytest.mark.parametrize("test", [cochran_q, friedman])
def test_without_a_complete_row_the_degrees_of_freedom_stay_those_of_the_versions(test, versions, df):
    ours = test(np.full((4, versions), np.nan))

    assert (ours.statistic, ours.p_value, ours.df, ours.versions) == (None, None, df, versions)
