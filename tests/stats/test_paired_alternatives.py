"""Second opinions on a paired pass-rate difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from evalkit.stats import bonett_price, dirichlet, newcombe_paired, tango

checked = settings(max_examples=30, deadline=None, database=None)
tables = st.tuples(*[st.integers(0, 40)] * 4).filter(lambda t: sum(t) > 0)


@checked
@given(tables)
def test_every_alternative_holds_its_estimate_and_mirrors(table):
    a, b, c, d = table
    n = sum(table)
    for ours, swapped in (
        (newcombe_paired(a, b, c, d), newcombe_paired(a, c, b, d)),
        (bonett_price(b, c, n), bonett_price(c, b, n)),
        (dirichlet(b, c, n).interval, dirichlet(c, b, n).interval),
    ):
        assert -1 <= ours.low <= ours.estimate <= ours.high <= 1
        assert ours.high > ours.low
        assert (ours.low, ours.high) == pytest.approx((-swapped.high, -swapped.low), abs=1e-7)


def test_alternatives_come_near_tango_on_many_cases():
    expected = tango(40, 80, 1000)

    for ours in (
        newcombe_paired(500, 40, 80, 380),
        bonett_price(40, 80, 1000),
        dirichlet(40, 80, 1000).interval,
    ):
        assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high), abs=0.003)


@pytest.mark.parametrize(("b", "c", "n"), [(1, 7, 21), (0, 0, 9), (9, 0, 9), (3, 2, 50)])
def test_the_posterior_agrees_with_a_million_draws(b, c, n):
    p = np.random.default_rng(1).dirichlet([b + 0.5, c + 0.5, n - b - c + 1.0], 1_000_000)
    difference = p[:, 0] - p[:, 1]
    low, high = np.quantile(difference, [0.025, 0.975])

    ours = dirichlet(b, c, n)

    estimate = (b - c) / n
    assert (ours.interval.low, ours.interval.high) == pytest.approx(
        (min(low, estimate), max(high, estimate)), abs=2e-3
    )
    assert ours.p_worse == pytest.approx(np.mean(difference < 0), abs=2e-3)
    assert ours.p_worse == pytest.approx(beta.cdf(0.5, b + 0.5, c + 0.5))


def test_no_pairs_give_no_number():
    for empty in (newcombe_paired(0, 0, 0, 0), bonett_price(0, 0, 0), dirichlet(0, 0, 0).interval):
        assert (empty.estimate, empty.status) == (None, "not_estimable")
