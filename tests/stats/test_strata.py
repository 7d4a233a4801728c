"""Strata: Simpson's paradox, weights and the Mantel-Haenszel odds ratio."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import StratifiedTable

from evalkit.stats import (
    StatisticsError,
    mantel_haenszel,
    paired_t,
    standardised_difference,
    weighted_difference,
)

checked = settings(max_examples=40, deadline=None, database=None)
KIDNEY_STONES = [[[81, 6], [234, 36]], [[192, 71], [55, 25]]]


@checked
@given(st.lists(st.tuples(*[st.integers(1, 40)] * 4), min_size=1, max_size=5))
def test_the_common_odds_ratio_agrees_with_statsmodels(rows):
    tables = np.array(rows, dtype=float).reshape(-1, 2, 2)
    reference = StratifiedTable(list(tables))

    ours = mantel_haenszel(tables)

    assert ours.estimate == pytest.approx(float(reference.oddsratio_pooled))
    low, high = reference.oddsratio_pooled_confint(alpha=0.05, method="normal")
    assert (ours.low, ours.high) == pytest.approx((low, high))


def test_kidney_stones_turn_round_when_stratified():
    pooled = np.sum(KIDNEY_STONES, axis=0)

    assert pooled[0, 0] * pooled[1, 1] / (pooled[0, 1] * pooled[1, 0]) < 1
    assert mantel_haenszel(KIDNEY_STONES).estimate > 1


@pytest.mark.parametrize("tables", [[], [[[0, 0], [0, 0]]], [[[5, 0], [3, 0]]]])
def test_tables_without_both_outcomes_are_not_estimable(tables):
    assert mantel_haenszel(tables).status == "not_estimable"


def test_one_stratum_is_the_paired_t():
    d = [0.5, -0.25, 1, 0, 0.75]
    plain = paired_t(d)

    ours = standardised_difference(d, ["a"] * 5)

    assert (ours.standardised.low, ours.standardised.high) == pytest.approx((plain.low, plain.high))
    assert ours.pooled == plain


def test_a_declared_mix_can_turn_the_sign_and_is_flagged():
    d = [0.3, 0.2, 0.25] * 10 + [-0.4, -0.5, -0.3] * 4
    strata = ["easy"] * 30 + ["hard"] * 12

    ours = standardised_difference(d, strata, mix={"easy": 1, "hard": 3})

    assert ours.pooled.estimate > 0 > ours.standardised.estimate
    assert ours.simpson
    assert ours.opposite == ("hard",)
    assert ours.standardised.estimate == pytest.approx(0.25 * 0.25 + 0.75 * -0.4)
    errors = [np.std(d[:30], ddof=1) / 30**0.5, np.std(d[30:], ddof=1) / 12**0.5]
    spread = ours.standardised.high - ours.standardised.low
    assert spread == pytest.approx(2 * 2.05 * np.hypot(0.25 * errors[0], 0.75 * errors[1]), rel=0.1)


@pytest.mark.parametrize(
    ("d", "strata", "reason"),
    [
        ([], [], "no pairs"),
        ([1, 2, 3], ["a", "a", "b"], "one case"),
        ([1, 1, 2, 2], ["a", "a", "b", "b"], "vary"),
    ],
)
def test_strata_too_small_to_have_spread_say_so(d, strata, reason):
    ours = standardised_difference(d, strata).standardised

    assert (ours.status, ours.low) == ("not_estimable", None)
    assert reason in ours.reason


def test_a_mix_with_an_empty_stratum_is_refused_by_name():
    with pytest.raises(StatisticsError, match="hard"):
        standardised_difference([1, 2], ["easy", "easy"], mix={"easy": 1, "hard": 1})


@checked
@given(
    st.lists(st.integers(-4, 4), min_size=2, max_size=30).filter(lambda d: len(set(d)) > 1), st.floats(0.1, 9)
)
def test_equal_weights_are_the_paired_t(d, weight):
    plain = paired_t(d)

    ours = weighted_difference(d, [weight] * len(d))

    assert (ours.low, ours.high, ours.p_value) == pytest.approx((plain.low, plain.high, plain.p_value))


def test_weights_move_the_estimate_and_zero_weights_leave_cases_out():
    assert weighted_difference([1, 0, 0.5], [3, 1, 0]).estimate == pytest.approx(0.75)
    assert weighted_difference([1, 0, 0.5], [3, 1, 0]).n == 2
    assert weighted_difference([0, 0], [1, 2]).p_value == 1
    assert weighted_difference([1], [1]).status == "not_estimable"
    assert weighted_difference([1, 2], [0, 0]).estimate is None
    with pytest.raises(StatisticsError, match="Weights"):
        weighted_difference([1, 2], [1, -1])


@pytest.mark.parametrize(("cases", "opposite"), [(9, ()), (10, ("hard",))])
def test_a_stratum_of_ten_cases_is_large_enough_to_be_called_opposite(cases, opposite):
    d = [0.3, 0.2, 0.25] * 20 + [-0.2, -0.3] * (cases // 2) + [-0.1] * (cases % 2)

    ours = standardised_difference(d, ["easy"] * 60 + ["hard"] * cases)

    assert ours.opposite == opposite
    assert not ours.simpson


def test_strata_of_a_pooled_difference_of_nothing_point_no_way():
    ours = standardised_difference([0.5, 0.3] * 5 + [-0.5, -0.3] * 5, ["a"] * 10 + ["b"] * 10)

    assert ours.pooled.estimate == pytest.approx(0)
    assert (ours.simpson, ours.opposite) == (False, ())
