"""The word for a difference."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats import StatisticsError, tango, verdict

checked = settings(max_examples=80, deadline=None, database=None)


@pytest.mark.parametrize(
    ("low", "high", "margin", "ni_low", "word"),
    [
        (-0.2, -0.1, None, None, "regressed"),
        (-0.2, -0.1, 0.05, -0.19, "regressed"),
        (-0.04, -0.01, 0.05, -0.035, "regressed within margin"),
        (0.01, 0.2, None, None, "improved"),
        (0.01, 0.2, 0.05, 0.02, "improved"),
        (-0.06, 0.02, 0.05, -0.045, "no worse than margin"),
        (-0.06, 0.02, 0.05, -0.05, "inconclusive"),
        (-0.04, 0.02, 0.05, None, "no worse than margin"),
        (-0.06, 0.02, None, -0.045, "inconclusive"),
        (-0.1, 0.0, None, None, "inconclusive"),
        (0.0, 0.1, None, None, "inconclusive"),
        (None, None, None, None, "inconclusive"),
        (None, None, 0.05, None, "inconclusive"),
    ],
)
def test_an_interval_and_a_margin_have_one_word(low, high, margin, ni_low, word):
    assert verdict(low, high, margin=margin, ni_low=ni_low) == word


@checked
@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 60))
def test_without_a_margin_nothing_says_no_worse(b, c, same):
    interval = tango(b, c, b + c + same)

    assert verdict(interval.low, interval.high) in {"regressed", "improved", "inconclusive"}


@pytest.mark.parametrize("margin", [0, -0.05])
def test_a_margin_that_is_not_a_loss_is_refused(margin):
    with pytest.raises(StatisticsError) as error:
        verdict(-0.1, 0.1, margin=margin)
    assert error.value.argument == "margin"
