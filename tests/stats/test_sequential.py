"""Looking while it runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from evalkit.stats import StatisticsError, e_path, pocock_alpha

checked = settings(max_examples=60, deadline=None, database=None)


def e_value(b, c):
    return float(e_path([1] * b + [-1] * c + [0])[-1])


@checked
@given(st.integers(0, 30), st.integers(0, 30))
def test_the_e_value_is_the_mixture_of_likelihood_ratios(b, c):
    expected = quad(lambda p: (2 * p) ** b * (2 * (1 - p)) ** c, 0, 1)[0]

    ours = e_value(b, c)

    assert ours == pytest.approx(expected, rel=1e-6)
    assert e_value(c, b) == pytest.approx(ours)


@checked
@given(st.integers(0, 30), st.integers(0, 30))
def test_under_no_change_the_next_pair_is_expected_to_add_nothing(b, c):
    assert (e_value(b + 1, c) + e_value(b, c + 1)) / 2 == pytest.approx(e_value(b, c))


def test_peeking_after_every_pair_keeps_false_alarms_under_five_percent():
    rng = np.random.default_rng(0)
    flips = rng.choice([1, -1], size=(1000, 100))

    alarms = np.mean([e_path(row).max() >= 20 for row in flips])

    assert alarms <= 0.05


def test_the_path_ends_where_the_counts_do_and_huge_evidence_does_not_overflow():
    assert e_path([1, 0, -1, 1])[-1] == pytest.approx(e_value(2, 1))
    assert np.isfinite(e_value(5000, 0))
    assert e_value(5000, 0) > 1e300
    assert e_value(0, 0) == 1
    assert e_path([]).size == 0


def test_planned_looks_keep_their_total_false_alarm_rate():
    looks = 6
    steps = np.random.default_rng(1).normal(size=(200_000, looks)).cumsum(axis=1)
    bound = norm.isf(pocock_alpha(looks) / 2)

    crossed = np.mean(np.any(np.abs(steps) > bound * np.sqrt(np.arange(1, looks + 1)), axis=1))

    assert crossed == pytest.approx(0.05, abs=0.002)


def test_no_looks_are_refused():
    with pytest.raises(StatisticsError) as error:
        pocock_alpha(0)
    assert error.value.argument == "looks"
