"""McNemar against statsmodels and scipy. (The sign-flip permutation is held in test_paired.)"""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
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
    with pytest.raises(StatisticsError, match="whole cases"):
        mcnemar(b, c)


def test_fifteen_pairs_are_enumerated_well_under_fifty_milliseconds():
    d = np.random.default_rng(0).normal(size=15)
    started = time.perf_counter()

    sign_flip(d)

    assert time.perf_counter() - started < 0.05
