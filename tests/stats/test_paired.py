"""Candidate against baseline on the same cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as reference

from evalkit.stats import (
    StatisticsError,
    paired_t,
    sign_flip,
    tango,
    tango_clustered,
    tango_n_eff,
    weighted_difference,
)

checked = settings(max_examples=50, deadline=None, database=None)
tables = st.tuples(*[st.integers(0, 40)] * 3).filter(lambda t: sum(t) > 0)
fractions = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30)


def profile_likelihood_q(b, c, n, d):
    """The constrained estimate of the other flip probability, by brute maximisation."""

    def loss(q):
        p = q + d
        if q < 0 or p < 0 or p + q > 1:
            return np.inf
        rest = max(1 - p - q, 1e-300)
        return -(b * np.log(max(p, 1e-300)) + c * np.log(max(q, 1e-300)) + (n - b - c) * np.log(rest))

    return optimize.minimize_scalar(
        loss, bounds=(max(0, -d), (1 - d) / 2), method="bounded", options={"xatol": 1e-12}
    ).x


@checked
@given(tables)
def test_limits_are_where_the_constrained_score_reaches_z(table):
    b, c, same = table
    n = b + c + same

    ours = tango(b, c, n)

    for limit, z in ((ours.low, 1.959964), (ours.high, -1.959964)):
        if abs(limit) > 0.999 or b == 0 or c == 0:
            continue
        q = profile_likelihood_q(b, c, n, limit)
        score = (b - c - n * limit) / np.sqrt(n * (2 * q + limit * (1 - limit)))
        assert score == pytest.approx(z, abs=2e-3)


@checked
@given(tables)
def test_swapping_the_versions_mirrors_the_interval(table):
    b, c, same = table
    n = b + c + same
    ours, swapped = tango(b, c, n), tango(c, b, n)

    assert (ours.low, ours.high) == pytest.approx((-swapped.high, -swapped.low), abs=1e-9)
    assert ours.p_value == swapped.p_value


@checked
@given(tables)
def test_an_interval_holds_its_estimate_and_never_has_zero_width(table):
    b, c, same = table

    ours = tango(b, c, b + c + same)

    assert -1 <= ours.low <= ours.estimate <= ours.high <= 1
    assert ours.high - ours.low > 1e-3


@pytest.mark.parametrize("n", [1, 2, 9, 1000])
def test_without_flips_the_limits_have_their_closed_form(n):
    ours = tango(0, 0, n)

    z2 = 1.959963984540054**2
    assert (ours.low, ours.high) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)), abs=1e-9)
    assert ours.p_value == 1


def test_no_pairs_give_no_number():
    for empty in (
        tango(0, 0, 0),
        tango_n_eff([], [], 1),
        tango_clustered([], [], []),
        paired_t([]),
    ):
        assert (empty.estimate, empty.low, empty.p_value, empty.status) == (None, None, None, "not_estimable")
        assert empty.reason == "no pairs"


@pytest.mark.parametrize(("b", "c", "n"), [(3, 3, 5), (-1, 0, 5), (float("nan"), 0, 5)])
def test_impossible_flips_are_refused(b, c, n):
    with pytest.raises(StatisticsError) as error:
        tango(b, c, n)
    assert error.value.argument == "flips"


@checked
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_n_eff_equals_tango_for_single_runs(pairs):
    new, old = np.array(pairs, dtype=float).T
    b, c = int(np.sum(new > old)), int(np.sum(new < old))
    plain = tango(b, c, len(pairs))

    ours = tango_n_eff(new, old, 1)

    assert (ours.low, ours.high, ours.p_value) == pytest.approx((plain.low, plain.high, plain.p_value))


@checked
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40), st.integers(2, 9))
def test_identical_copies_of_a_run_never_narrow_the_interval(pairs, copies):
    new, old = np.array(pairs, dtype=float).T
    single = tango_n_eff(new, old, 1)

    ours = tango_n_eff(new, old, copies)

    assert (ours.low, ours.high) == pytest.approx((single.low, single.high))
    assert ours.n_eff <= len(pairs) + 1e-9


@checked
@given(fractions, st.randoms(use_true_random=False))
def test_repeats_swap_permute_and_stay_in_range(pairs, random):
    new, old = np.array(pairs, dtype=float).T / 5
    ours, swapped = tango_n_eff(new, old, 5), tango_n_eff(old, new, 5)
    order = list(range(len(pairs)))
    random.shuffle(order)
    shuffled = tango_n_eff(new[order], old[order], 5)

    assert (ours.low, ours.high) == pytest.approx((-swapped.high, -swapped.low), abs=1e-9)
    assert (ours.low, ours.high) == pytest.approx((shuffled.low, shuffled.high), abs=1e-9)
    assert ours.low <= ours.estimate <= ours.high
    assert ours.high > ours.low
    assert ours.estimate == pytest.approx(np.mean(new - old), abs=1e-12)
    assert len(pairs) - 1e-9 <= ours.n_eff <= 5 * len(pairs) + 1e-9


@checked
@given(fractions, st.integers(2, 4))
def test_copies_of_every_row_in_its_own_cluster_change_nothing(pairs, copies):
    new, old = np.array(pairs, dtype=float).T / 5
    single = tango_n_eff(new, old, 5)

    labels = np.repeat(np.arange(len(pairs)), copies)
    ours = tango_clustered(np.repeat(new, copies), np.repeat(old, copies), labels, k=5)

    assert (ours.low, ours.high) == pytest.approx((single.low, single.high), abs=1e-6)
    assert ours.n_eff == pytest.approx(single.n_eff)


def test_one_case_a_cluster_is_the_plain_answer():
    new, old = [1, 0.8, 0.6, 1], [1, 1, 0.8, 0.6]
    plain = tango_n_eff(new, old, 5)

    ours = tango_clustered(new, old, ["a", "b", "c", "d"], k=5)

    assert (ours.low, ours.high, ours.p_value, ours.clusters) == (plain.low, plain.high, plain.p_value, 4)


def test_one_cluster_is_refused_with_its_difference_kept():
    ours = tango_clustered([1, 0, 1], [1, 1, 1], ["a", "a", "a"])

    assert ours.status == "not_estimable"
    assert ours.estimate == pytest.approx(-1 / 3)


def test_correlated_cases_widen_the_interval():
    new, old = [1, 1, 1, 0, 0, 0] * 4, [0, 0, 0, 0, 0, 0] * 4
    labels = np.repeat(np.arange(8), 3)

    together, apart = tango_clustered(new, old, labels), tango_n_eff(new, old, 1)

    assert together.n_eff < 10 < apart.n_eff
    assert together.high - together.low > apart.high - apart.low


@checked
@given(
    st.lists(st.integers(-8, 8).map(lambda x: x / 4), min_size=2, max_size=40).filter(
        lambda d: len(set(d)) > 1
    )
)
def test_paired_t_agrees_with_scipy_and_swaps(differences):
    expected = reference.ttest_1samp(differences, 0)
    interval = expected.confidence_interval(0.95)

    ours, swapped = paired_t(differences), paired_t([-d for d in differences])

    assert ours.p_value == pytest.approx(float(expected.pvalue), abs=1e-9)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert (ours.low, ours.high) == pytest.approx((-swapped.high, -swapped.low), abs=1e-9)


@pytest.mark.parametrize(
    ("differences", "clusters", "estimate", "p"),
    [
        ([0.0] * 5, None, 0.0, 1.0),
        ([0.1 + 0.2 - 0.3] * 4, None, 0.0, 1.0),
        ([0.5] * 6, None, 0.5, 2 / 2**6),
        ([0.5], None, 0.5, None),
        ([0.5, 0.25], ["a", "a"], 0.375, None),
    ],
)
def test_differences_that_do_not_vary_give_no_interval_but_what_can_be_said(
    differences, clusters, estimate, p
):
    ours = paired_t(differences, clusters=clusters)

    assert (ours.status, ours.low, ours.high) == ("not_estimable", None, None)
    assert ours.estimate == pytest.approx(estimate, abs=1e-12)
    assert ours.p_value == (None if p is None else pytest.approx(p))


def test_clusters_replace_cases_in_the_degrees_of_freedom():
    d, labels = [0.5, 0.25, -0.25, 0.0, 1.0, 0.5], list("aabbcc")
    means = [0.375, -0.125, 0.75]
    interval = reference.ttest_1samp(means, 0).confidence_interval(0.95)

    ours = paired_t(d, clusters=labels)

    assert (ours.low, ours.high, ours.clusters) == pytest.approx((interval.low, interval.high, 3))


@checked
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_sign_flip_equals_counting_every_pattern(differences):
    d = np.array(differences, dtype=float)
    signs = np.array(list(itertools.product([1, -1], repeat=d.size)))
    expected = np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-9)

    assert sign_flip(d) == pytest.approx(expected)


def test_sampled_sign_flips_come_near_the_exact_answer_on_both_paths():
    rng = np.random.default_rng(4)
    for d in (rng.normal(0.25, 1, 40), rng.integers(-2, 4, 60) / 5):
        expected = reference.ttest_1samp(d, 0).pvalue

        assert sign_flip(d) == pytest.approx(expected, abs=0.02)
        assert sign_flip(d) == sign_flip(d)
        assert sign_flip(-d) == sign_flip(d)


def test_a_sampled_p_value_is_never_zero():
    assert sign_flip([1] * 40) == pytest.approx(2 / 2**40)
    assert sign_flip(1 + np.arange(40) / 997) == 1 / 10_000
    assert sign_flip(1 + np.arange(40) / 997, resamples=99) == 1 / 100


def test_five_flips_can_never_reach_significance_and_six_can():
    assert sign_flip([1] * 5) == 2 / 2**5
    assert sign_flip([1] * 6) == pytest.approx(0.03125)
    assert sign_flip([]) == sign_flip([0, 0]) == 1


def test_clusters_are_flipped_whole():
    assert sign_flip([1, 1, 1, 1], clusters=["a", "a", "b", "b"]) == sign_flip([2, 2])


@checked
@given(
    st.lists(st.integers(-4, 4), min_size=2, max_size=30).filter(lambda d: len(set(d)) > 1), st.floats(0.1, 9)
)
def test_equal_weights_are_the_paired_t(d, weight):
    plain = paired_t(d)

    ours = weighted_difference(d, [weight] * len(d))

    assert (ours.low, ours.high, ours.p_value) == pytest.approx((plain.low, plain.high, sign_flip(d)))


def test_weights_move_the_estimate_and_zero_weights_leave_cases_out():
    assert weighted_difference([1, 0, 0.5], [3, 1, 0]).estimate == pytest.approx(0.75)
    assert weighted_difference([1, 0, 0.5], [3, 1, 0]).n == 2
    assert weighted_difference([0, 0], [1, 2]).p_value == 1
    assert weighted_difference([1], [1]).status == "not_estimable"
    assert weighted_difference([1, 2], [0, 0]).estimate is None
    with pytest.raises(StatisticsError) as error:
        weighted_difference([1, 2], [1, -1])
    assert error.value.argument == "weight"


def test_a_case_of_a_cluster_that_was_never_run_counts_nothing():
    new, old, labels, k = [0.8, 0.4, 1.0, 0.6], [1.0, 0.6, 0.8, 0.6], list("aabb"), [5, 5, 5, 5]

    ours = tango_clustered([*new, 1.0], [*old, 0.0], [*labels, "c"], k=[*k, 0])

    assert ours == tango_clustered(new, old, labels, k=k)
