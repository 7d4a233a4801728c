"""McNemar and the sign-flip permutation, against statsmodels and scipy. (More of the latter: test_paired.)"""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, permutation_test
from statsmodels.stats.contingency_tables import mcnemar as reference

from evalkit.stats import StatisticsError, mcnemar, sign_flip

checked = settings(max_examples=60, deadline=None, database=None)


@checked
@given(st.integers(0, 60), st.integers(0, 60))
def test_p_values_agree_with_the_references(b, c):
    ours = mcnemar(b, c)

    table = [[5, b], [c, 5]]
    assert ours.exact == pytest.approx(min(1.0, reference(table, exact=True).pvalue))
    fewer = min(b, c)
    mid_p = 1.0 if b == c else 2 * binom.cdf(fewer, b + c, 0.5) - binom.pmf(fewer, b + c, 0.5)
    assert ours.mid_p == pytest.approx(mid_p)
    if b + c:
        assert ours.asymptotic == pytest.approx(reference(table, exact=False, correction=False).pvalue)
    if abs(b - c) > 1:
        assert ours.continuity == pytest.approx(reference(table, exact=False, correction=True).pvalue)
    assert mcnemar(c, b).mid_p == ours.mid_p


@pytest.mark.parametrize(("b", "c"), [(0.5, 1), (-1, 2)])
def test_fractions_of_cases_are_refused(b, c):
    with pytest.raises(StatisticsError) as error:
        mcnemar(b, c)
    assert error.value.argument == "flips"


def test_fifteen_pairs_are_enumerated_well_under_fifty_milliseconds():
    d = np.random.default_rng(0).normal(size=15)
    started = time.perf_counter()

    sign_flip(d)

    assert time.perf_counter() - started < 0.05


@pytest.mark.parametrize(("up", "down"), [(13, 5), (20, 9), (12, 12), (5, 13)])
def test_many_equal_differences_give_the_binomial_sign_test(up, down):
    expected = float(binomtest(up, up + down).pvalue)

    assert sign_flip([0.5] * up + [-0.5] * down + [0.0]) == pytest.approx(expected, abs=0.02)


def test_many_unequal_differences_agree_with_scipys_permutation_test():
    d = np.random.default_rng(0).normal(0.35, 1, 30)
    expected = permutation_test(
        (d,), np.sum, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(1)
    )

    assert sign_flip(d) == pytest.approx(float(expected.pvalue), abs=0.02)


def test_whole_clusters_are_flipped_not_their_cases():
    # Four clusters, three up: of 16 patterns 10 are as far from 0.
    labels = np.repeat(list("abcd"), 5)
    d = np.repeat([0.2, 0.2, 0.2, -0.2], 5)

    assert sign_flip(d, clusters=labels) == 10 / 16


def test_the_least_p_of_sampled_patterns_counts_the_pattern_that_was_seen():
    assert sign_flip(1 + np.arange(60) / 997, resamples=99) == 1 / 100
