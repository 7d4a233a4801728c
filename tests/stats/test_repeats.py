"""Repeated runs: pass@k, pass^k and chance flips."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats import (
    StatisticsError,
    expected_churn,
    flakiness,
    observed_churn,
    pass_at_k,
    pass_at_k_rate,
    pass_hat_k,
    pass_hat_k_rate,
)

checked = settings(max_examples=80, deadline=None, database=None)
runs = st.integers(1, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n), st.integers(1, 30)))


@checked
@given(runs)
def test_both_agree_with_counting_combinations(run):
    c, n, k = run

    ours = float(pass_at_k(c, n, k)), float(pass_hat_k(c, n, k))

    if n < k:
        assert np.isnan(ours).all()
    else:
        assert ours == pytest.approx((1 - comb(n - c, k) / comb(n, k), comb(c, k) / comb(n, k)))


def test_a_case_with_too_few_runs_is_unknown_not_perfect():
    ours = pass_at_k_rate([0, 2, 5], [1, 5, 5], 2)

    assert ours.n == 2
    assert ours.estimate == pytest.approx((0.7 + 1) / 2)
    assert pass_at_k_rate([1], [1], 2).status == "not_estimable"


def test_all_k_passing_is_not_the_pass_rate_to_the_power_of_k():
    passes = [5, 5, 0, 0]

    ours = pass_hat_k_rate(passes, [5] * 4, 5)

    assert ours.estimate == 0.5
    assert 0 < ours.low < 0.5 < ours.high < 1
    assert ours.n_eff == pytest.approx(4)


def test_more_passes_than_runs_are_refused():
    with pytest.raises(StatisticsError) as error:
        pass_at_k([9], [5], 1)
    assert error.value.argument == "passes"
    with pytest.raises(StatisticsError) as error:
        pass_hat_k([1], [5], 0)
    assert error.value.argument == "k"


def test_chance_flips_agree_with_simulated_identical_versions():
    rng = np.random.default_rng(2)
    truth = rng.beta(1, 0.5, 4000)
    k = 5
    fractions = rng.binomial(k, truth) / k
    first, second = (rng.random(4000) < truth for _ in range(2))

    ours = expected_churn(fractions, k)
    seen = observed_churn(first.astype(float), second.astype(float))

    assert ours.flips == pytest.approx(seen.flips, rel=0.1)
    assert ours.recover == pytest.approx(np.mean(second[~first]), abs=0.03)
    assert ours.relapse == pytest.approx(np.mean(~second[first]), abs=0.03)
    assert seen.recover == pytest.approx(np.mean(second[~first]), abs=0.03)


def test_cases_run_once_say_nothing_about_chance():
    ours = expected_churn([1, 0, 0.5], [1, 1, 2])

    assert (ours.unknown, ours.n, ours.share) == (2, 3, 1.0)
    alone = expected_churn([1, 0], 1)
    assert (alone.share, alone.recover, alone.unknown) == (None, None, 2)
    assert expected_churn([1, 1], 5).recover is None
    assert observed_churn([], []).share is None


def test_flakiness_is_unbiased_and_unknown_for_one_run():
    ours = flakiness([0.5, 0, 1, 1], [2, 5, 5, 1])

    assert ours[:3].tolist() == [0.5, 0, 0]
    assert np.isnan(ours[3])


def test_what_never_fails_has_no_chance_to_recover():
    churn = observed_churn([1, 1, 1], [1, 1, 1])

    assert (churn.flips, churn.recover, churn.relapse) == (0.0, None, 0.0)
