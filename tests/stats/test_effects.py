"""Effect sizes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from evalkit.stats import cliffs_delta, d_z, vargha_delaney

checked = settings(max_examples=60, deadline=None, database=None)
scores = st.lists(st.integers(1, 5), min_size=1, max_size=30)


@checked
@given(scores, scores)
def test_dominance_agrees_with_the_mann_whitney_statistic(x, y):
    expected = (
        mannwhitneyu(x, y, method="asymptotic").statistic / (len(x) * len(y)) if len({*x, *y}) > 1 else 0.5
    )

    assert vargha_delaney(x, y) == pytest.approx(expected)
    assert cliffs_delta(x, y) == pytest.approx(-cliffs_delta(y, x))


def test_nothing_to_compare_has_no_effect_size():
    assert vargha_delaney([], [1]) is None
    assert cliffs_delta([1], []) is None
    assert d_z([1]) is None
    assert d_z([2, 2, 2]) is None
    assert d_z([1, 2, 3, float("nan")]) == pytest.approx(2.0)


def test_the_standardised_difference_is_the_mean_over_the_standard_deviation():
    # Mean 2; squares about it 4 + 0 + 4, over n - 1 = 2: sd 2.
    assert d_z([0, 2, 4]) == pytest.approx(1.0)
