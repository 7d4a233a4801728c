"""Families of tests, against statsmodels."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from evalkit.stats import StatisticsError, benjamini_hochberg, holm

checked = settings(max_examples=60, deadline=None, database=None)
families = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@pytest.mark.parametrize(("ours", "name"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
@checked
@given(families)
def test_adjustment_agrees_with_statsmodels(ours, name, p_values):
    assert ours(p_values) == pytest.approx(multipletests(p_values, method=name)[1])


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
    with pytest.raises(StatisticsError, match="between 0 and 1"):
        adjust([0.5, 1.5])
