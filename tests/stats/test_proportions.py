"""One pass rate: against statsmodels, at the edges, and under copying."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from evalkit.stats import (
    StatisticsError,
    lower_bound_exact,
    wilson,
    wilson_clustered,
    wilson_n_eff,
)

checked = settings(max_examples=50, deadline=None, database=None)
counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


def check_contract(estimate):
    assert estimate.status == "ok"
    assert estimate.low <= estimate.estimate <= estimate.high
    assert 0 <= estimate.low < estimate.high <= 1


@checked
@given(counts, levels)
def test_the_wilson_interval_agrees_with_statsmodels(count, level):
    ours = wilson(*count, level=level)

    assert (ours.low, ours.high) == pytest.approx(
        proportion_confint(*count, alpha=1 - level, method="wilson")
    )
    check_contract(ours)


@checked
@given(counts, levels)
def test_the_exact_bound_is_the_lower_end_of_clopper_and_pearson(count, level):
    low, _ = proportion_confint(*count, alpha=2 * (1 - level), method="beta")

    assert lower_bound_exact(*count, level=level).low == pytest.approx(low, abs=1e-9)


@checked
@given(counts)
def test_counting_failures_mirrors_the_interval(count):
    passes, n = count
    up, down = wilson(passes, n), wilson(n - passes, n)

    assert (up.low, up.high) == pytest.approx((1 - down.high, 1 - down.low), abs=1e-9)


@pytest.mark.parametrize("method", [wilson, lower_bound_exact])
@pytest.mark.parametrize("n", [1, 2, 9, 5000])
def test_all_pass_and_all_fail_keep_a_valid_interval(method, n):
    everything, nothing = method(n, n), method(0, n)

    assert everything.high == 1
    assert everything.low < 1
    assert nothing.low == 0
    assert nothing.high > 0


@pytest.mark.parametrize("method", [wilson, lower_bound_exact])
def test_no_cases_give_no_number_and_a_reason(method):
    empty = method(0, 0)

    assert (empty.estimate, empty.low, empty.high, empty.status) == (None, None, None, "not_estimable")
    assert empty.reason


@pytest.mark.parametrize(("passes", "n"), [(3, 2), (-1, 5), (1, -1), (float("nan"), 5)])
def test_impossible_counts_are_refused(passes, n):
    with pytest.raises(StatisticsError) as error:
        wilson(passes, n)
    assert error.value.argument == "passes"


@pytest.mark.parametrize("level", [0, 1, 95, -0.5])
def test_a_level_in_percent_is_refused(level):
    with pytest.raises(StatisticsError) as error:
        wilson(1, 2, level=level)
    assert error.value.argument == "level"


@checked
@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_n_eff_equals_wilson_for_single_runs(outcomes):
    plain = wilson(sum(outcomes), len(outcomes))

    ours = wilson_n_eff([float(x) for x in outcomes], 1)

    assert (ours.low, ours.high, ours.n_eff) == pytest.approx((plain.low, plain.high, len(outcomes)))


@checked
@given(st.lists(st.booleans(), min_size=2, max_size=40), st.integers(2, 20))
def test_identical_copies_of_a_run_add_no_information(outcomes, copies):
    ours = wilson_n_eff([float(x) for x in outcomes], copies)

    assert ours.n_eff == pytest.approx(len(outcomes))


@checked
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(5, 9)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_order_of_cases_does_not_matter_and_n_eff_stays_in_range(cases, random):
    fractions, k = [c / n for c, n in cases], [float(n) for _, n in cases]
    ours = wilson_n_eff(fractions, k)
    order = list(range(len(cases)))
    random.shuffle(order)

    shuffled = wilson_n_eff([fractions[i] for i in order], [k[i] for i in order])

    check_contract(ours)
    assert (shuffled.low, shuffled.high) == pytest.approx((ours.low, ours.high))
    assert len(cases) - 1e-9 <= ours.n_eff <= sum(k) + 1e-9


def test_repeats_narrow_the_interval_but_less_than_rows_would():
    fractions = [0.8, 0.6, 1, 0.4, 0.8, 0.6, 1, 0.8] * 4

    ours = wilson_n_eff(fractions, 5)

    assert 32 < ours.n_eff < 160
    assert ours.n_eff == pytest.approx(32 / ((1 + 4 * 0.25) / 5))


def test_cases_without_a_fraction_or_without_runs_are_left_out():
    ours = wilson_n_eff([1, float("nan"), 0.5, 0.5], [2, 2, 2, 0])

    assert (ours.n, ours.estimate) == (2, 0.75)


@checked
@given(st.lists(st.booleans(), min_size=2, max_size=40), st.integers(2, 4))
def test_copies_of_every_row_in_its_own_cluster_change_nothing(outcomes, copies):
    fractions = [float(x) for x in outcomes]
    single = wilson_n_eff(fractions, 1)
    labels = np.repeat(np.arange(len(outcomes)), copies)

    ours = wilson_clustered(np.repeat(fractions, copies), labels)

    assert (ours.low, ours.high) == pytest.approx((single.low, single.high))
    assert ours.clusters == len(outcomes)


def test_few_clusters_are_not_trusted_to_be_uncorrelated():
    fractions, labels = [1, 0, 1, 0] * 24, np.repeat(np.arange(24), 4)

    ours = wilson_clustered(fractions, labels)

    assert ours.n_eff == pytest.approx(96 / (1 + 3 * 0.25))


def test_a_single_cluster_is_refused_with_its_rate_kept():
    ours = wilson_clustered([1, 0, 1], ["a", "a", "a"])

    assert (ours.status, ours.low) == ("not_estimable", None)
    assert ours.estimate == pytest.approx(2 / 3)
    assert "cluster" in ours.reason


def test_all_pass_in_clusters_counts_clusters():
    ours = wilson_clustered([1] * 12, list("aaaabbbbcccc"))

    assert ours.n_eff == 3
    assert ours.low == pytest.approx(wilson(3, 3).low)


def test_clusters_of_another_length_are_refused():
    with pytest.raises(StatisticsError) as error:
        wilson_clustered([1, 0], ["a"])
    assert error.value.argument == "number of clusters"


@pytest.mark.parametrize("fractions", [[0.5, 1.1], [-0.1, 0.5]])
def test_one_fraction_outside_0_to_1_is_enough_to_refuse(fractions):
    with pytest.raises(StatisticsError) as error:
        wilson_n_eff(fractions, 5)
    assert error.value.argument == "pass fractions"
