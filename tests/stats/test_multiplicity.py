"""Families of tests, against statsmodels."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from evalkit.stats import StatisticsError, benjamini_hochberg, holm

checked = settings(max_examples=60, deadline=None, database=None)
families = st.lists(st.floats(0, 1), min_size=1, max_size=30)


FIXED = [0.001, 0.2, 0.012, 0.012, 0.8, 0.04, 0.3, 0.0]


@pytest.mark.parametrize(("ours", "name"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
def test_adjustment_agrees_with_statsmodels(ours, name):
    # Once only: multipletests collects garbage on every call, which takes half a second in a large process.
    assert ours(FIXED) == pytest.approx(multipletests(FIXED, method=name)[1])


@checked
@given(families)
def test_exploration_agrees_with_scipy(p_values):
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values))


@checked
@given(families, st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_its_step_down_rule_rejects(p_values, alpha):
    rejected, waiting = set(), sorted(range(len(p_values)), key=lambda i: p_values[i])
    while waiting and p_values[waiting[0]] * len(waiting) <= alpha:
        rejected.add(waiting.pop(0))

    assert {i for i, p in enumerate(holm(p_values)) if p <= alpha} == rejected


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@checked
@given(families)
def test_missing_p_values_stay_missing_and_do_not_count(adjust, p_values):
    gaps = [None, *p_values, float("nan")]

    assert adjust(gaps) == [None, *adjust(p_values), None]


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_an_empty_family_is_empty_and_a_wrong_p_is_refused(adjust):
    assert adjust([]) == []
    assert adjust([None]) == [None]
    with pytest.raises(StatisticsError) as error:
        adjust([0.5, 1.5])
    assert error.value.argument == "p-value"
