"""One case under two versions, against scipy's exact tests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import boschloo_exact

from evalkit.stats import StatisticsError, boschloo

checked = settings(max_examples=40, deadline=None, database=None)
side = st.integers(1, 10).flatmap(lambda k: st.tuples(st.integers(0, k), st.just(k)))


@settings(max_examples=25, deadline=None, database=None)
@given(side, side)
def test_boschloo_agrees_with_scipy(new, old):
    table = [[new[0], old[0]], [new[1] - new[0], old[1] - old[0]]]
    expected = float(boschloo_exact(table, n=256).pvalue)

    if expected == expected:  # scipy answers nan where a whole row is empty
        assert boschloo(*new, *old) == pytest.approx(min(1.0, expected), abs=2e-3)


@pytest.mark.parametrize(("passes", "expected"), [(0, 0.002), (1, 0.021), (2, 0.062)])
def test_the_table_of_flips_from_five_of_five(passes, expected):
    assert boschloo(passes, 5, 5, 5) == pytest.approx(expected, abs=6e-4)


@checked
@given(side, side)
def test_swapping_versions_or_outcomes_changes_nothing(new, old):
    ours = boschloo(*new, *old)

    assert 0 <= ours <= 1
    assert boschloo(*old, *new) == pytest.approx(ours, abs=1e-4)
    assert boschloo(new[1] - new[0], new[1], old[1] - old[0], old[1]) == pytest.approx(ours, abs=1e-4)


def test_without_runs_nothing_can_be_said_and_impossible_counts_are_refused():
    assert boschloo(0, 0, 3, 5) == boschloo(0, 0, 0, 0) == 1
    with pytest.raises(StatisticsError) as error:
        boschloo(6, 5, 0, 5)
    assert error.value.argument == "passes"


@pytest.mark.parametrize(("k_new", "k_old"), [(3, 4), (4, 7), (5, 5), (2, 9), (10, 3)])
def test_the_most_extreme_table_has_a_closed_form(k_new, k_old):
    # No other table is as extreme: p^k_old (1 - p)^k_new is largest at p = k_old / (k_new + k_old).
    p = k_old / (k_new + k_old)

    assert boschloo(0, k_new, k_old, k_old) == pytest.approx(2 * p**k_old * (1 - p) ** k_new, rel=1e-7)
