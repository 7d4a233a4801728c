"""How many cases: against statsmodels, brute force and simulation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial
from statsmodels.stats.power import NormalIndPower

from evalkit.stats import (
    StatisticsError,
    cases_needed,
    mcnemar,
    mcnemar_cases,
    mcnemar_power,
    minimal_difference,
    non_inferiority_power,
    non_inferiority_power_tango,
    non_inferiority_tango_n_eff,
    power_of,
    whole_cases,
)

checked = settings(max_examples=40, deadline=None, database=None)


@checked
@given(st.floats(0.02, 0.5), st.floats(0.01, 1), st.floats(0, 1), st.integers(1, 10))
def test_cases_difference_and_power_are_inverses(delta, omega2, sigma2, k):
    design = {"omega2": omega2, "sigma2_a": sigma2, "sigma2_b": sigma2, "k_a": k, "k_b": k}
    n = cases_needed(delta, **design)

    assert minimal_difference(n, **design) == pytest.approx(delta)
    assert power_of(delta, n, variance=omega2 + 2 * sigma2 / k) == pytest.approx(0.8, abs=1e-4)
    assert cases_needed(-delta, **design) == pytest.approx(n)


@checked
@given(st.floats(0.05, 1), st.integers(5, 300), st.sampled_from([0.01, 0.05, 0.1]))
def test_power_agrees_with_statsmodels(delta, n, alpha):
    expected = NormalIndPower(ddof=0).power(delta, n, alpha, ratio=0)

    assert power_of(delta, n, variance=1, alpha=alpha) == pytest.approx(float(expected), abs=1e-9)


def test_clusters_multiply_the_cases_and_repeats_have_a_limit():
    base = cases_needed(0.1, omega2=0.2, sigma2_a=0.1, sigma2_b=0.1)

    assert cases_needed(
        0.1, omega2=0.2, sigma2_a=0.1, sigma2_b=0.1, cluster_size=5, rho=0.25
    ) == pytest.approx(2 * base)
    assert cases_needed(0.1, omega2=0.2, sigma2_a=0.1, sigma2_b=0.1, k_a=1e9, k_b=1e9) == pytest.approx(
        base / 2
    )


def outcomes(n, p, q):
    for b in range(n + 1):
        for c in range(n + 1 - b):
            yield b, c, multinomial.pmf([b, c, n - b - c], n, [p, q, 1 - p - q])


@pytest.mark.parametrize(("n", "p", "q"), [(12, 0.1, 0.4), (20, 0.2, 0.2), (1, 0.5, 0.5), (9, 0.0, 1.0)])
def test_exact_power_agrees_with_listing_every_outcome(n, p, q):
    expected = sum(chance for b, c, chance in outcomes(n, p, q) if mcnemar(b, c).mid_p <= 0.05)

    assert mcnemar_power(n, p, q) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("n", "margin", "p", "q"), [(15, 0.1, 0.1, 0.1), (20, 0.2, 0.0, 0.1), (10, 0.3, 0.0, 0.0)]
)
def test_exact_non_inferiority_power_agrees_with_listing_every_outcome(n, margin, p, q):
    def concludes(b, c):
        new, old = [1.0] * b + [0.0] * c + [1.0] * (n - b - c), [0.0] * b + [1.0] * (n - b)
        return non_inferiority_tango_n_eff(new, old, 1, margin=margin).p_value < 0.05

    expected = sum(chance for b, c, chance in outcomes(n, p, q) if chance > 0 and concludes(b, c))

    assert non_inferiority_power_tango(n, margin, p, q) == pytest.approx(expected, abs=1e-9)


def test_the_fewest_cases_reach_the_power_and_one_less_does_not():
    n = mcnemar_cases(0.05, 0.25)

    assert mcnemar_power(n, 0.05, 0.25) >= 0.8
    assert min(mcnemar_power(n - 1, 0.05, 0.25), mcnemar_power(n, 0.05, 0.25)) < 0.8
    assert mcnemar_cases(0.2, 0.2) is None
    assert mcnemar_cases(0.2, 0.201, most=50) is None


def test_identical_versions_are_found_no_worse_more_often_with_more_cases():
    few, many = (non_inferiority_power_tango(n, 0.1, 0.13, 0.13) for n in (50, 200))

    assert few < 0.5 < many
    assert non_inferiority_power(200, 0.1, variance=0.26) == pytest.approx(many, abs=0.05)


def test_plans_that_make_no_sense_are_refused_and_empty_ones_have_no_number():
    with pytest.raises(StatisticsError) as error:
        cases_needed(0, omega2=0.1)
    assert error.value.argument == "delta"
    with pytest.raises(StatisticsError) as error:
        cases_needed(0.1, omega2=-0.1)
    assert error.value.argument == "variances"
    with pytest.raises(StatisticsError) as error:
        mcnemar_power(10, 0.7, 0.7)
    assert error.value.argument == "flips"
    with pytest.raises(StatisticsError) as error:
        power_of(0.1, 0, variance=1)
    assert error.value.argument == "n"
    with pytest.raises(StatisticsError) as error:
        non_inferiority_power(0, 0.1, variance=1)
    assert error.value.argument == "n"
    assert minimal_difference(0, omega2=0.1) is None
    assert (
        mcnemar_power(0, 0.1, 0.1) == mcnemar_power(5, 0, 0) == non_inferiority_power_tango(0, 0.1, 0, 0) == 0
    )
    assert whole_cases(968.2) == 969
