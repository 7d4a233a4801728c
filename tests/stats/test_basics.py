"""What every estimator rests on, against scipy and worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from evalkit.stats import StatisticsError
from evalkit.stats.basics import (
    bisect,
    check_counts,
    cluster_codes,
    harmonic_mean,
    is_constant,
    present,
    quadrature,
    t_quantile,
    t_two_sided,
    together,
    with_clusters,
    z_quantile,
)

checked = settings(max_examples=40, deadline=None, database=None)
levels = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


@checked
@given(levels, st.integers(1, 300))
def test_quantiles_and_p_values_agree_with_scipy(level, df):
    t = t_quantile(level, df)

    assert z_quantile(level) == pytest.approx(float(reference.norm.interval(level)[1]))
    assert t == pytest.approx(float(reference.t.interval(level, df)[1]))
    assert t_two_sided(t, df) == t_two_sided(-t, df) == pytest.approx(1 - level)


@pytest.mark.parametrize("quantile", [z_quantile, lambda level: t_quantile(level, 5)])
@pytest.mark.parametrize("level", [0, 1, 95, -0.5, math.nan])
def test_a_level_that_is_no_share_is_refused(quantile, level):
    with pytest.raises(StatisticsError) as error:
        quantile(level)
    assert error.value.argument == "level"


def test_counts_that_no_data_can_produce_are_refused_and_the_ends_are_not():
    for passes, n in ((0, 0), (0, 5), (5, 5), (2.5, 3)):
        check_counts(passes, n)
    for passes, n in ((-1, 5), (6, 5), (0, -1), (math.nan, 5)):
        with pytest.raises(StatisticsError) as error:
            check_counts(passes, n)
        assert error.value.argument == "passes"


def test_rows_with_a_gap_on_either_side_are_left_out_and_a_scalar_stands_for_all():
    a, b, k = together([1, None, 3, 4], [1, 2, math.inf, 4], 5)

    assert (a.tolist(), b.tolist(), k.tolist()) == ([1, 4], [1, 4], [5, 5])
    assert present([1, None, math.nan, 3]).tolist() == [1, 3]
    with pytest.raises(StatisticsError) as error:
        together([1, 2], [1, 2, 3])
    assert error.value.argument == "lengths"


def test_clusters_follow_the_values_that_are_there_whatever_their_labels():
    values, codes = with_clusters([1, None, 3, 4], ["x", "y", "z", "x"])

    assert (values.tolist(), codes.tolist()) == ([1, 4, 3], [0, 0, 1])
    assert with_clusters([1, None], None)[1] is None
    assert cluster_codes(np.array([2, "b", 2, None], dtype=object)).tolist() == [0, 2, 0, 1]
    with pytest.raises(StatisticsError) as error:
        with_clusters([1, 2], ["x"])
    assert error.value.argument == "number of clusters"


@checked
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_the_mean_of_runs_is_scipys_harmonic_mean(runs):
    assert harmonic_mean(np.array(runs, dtype=float)) == pytest.approx(float(reference.hmean(runs)))
    assert harmonic_mean(np.full(7, 3.0)) == 3
    assert harmonic_mean(np.empty(0)) == 1


def test_noise_of_floating_point_is_no_variation_whatever_the_size_of_the_numbers():
    assert is_constant(np.array([0.1 + 0.2, 0.3]))
    assert is_constant(np.array([1e9 + 1e-4, 1e9]))
    assert is_constant(np.empty(0))
    assert not is_constant(np.array([1e-6, 0]))
    assert not is_constant(np.array([1e9 + 1, 1e9]))


@pytest.mark.parametrize("panels", [1, 2, 6])
def test_quadrature_gives_integrals_that_are_known(panels):
    nodes, weights = quadrature(panels)

    assert float(np.sum(weights)) == pytest.approx(2)
    assert float(weights @ nodes**7) == pytest.approx(0, abs=1e-12)
    assert float(weights @ np.exp(nodes)) == pytest.approx(math.e - 1 / math.e)


def test_bisection_finds_the_crossing_of_a_rising_or_falling_line_and_else_the_nearer_end():
    assert bisect(lambda x: x**2 - 2, 0, 2) == pytest.approx(math.sqrt(2))
    assert bisect(lambda x: 2 - x**2, 0, 2) == pytest.approx(math.sqrt(2))
    assert bisect(lambda x: x + 1, 0, 2) == 0
    assert bisect(lambda x: x - 5, 0, 2) == 2
