"""One more failure never improves a verdict, more cases never widen an interval, and repeats are not cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats import (
    non_inferiority_tango_n_eff,
    sign_flip,
    tango_clustered,
    tango_n_eff,
    verdict,
    wilson,
    wilson_n_eff,
)

checked = settings(max_examples=150, deadline=None, database=None)
ORDER = {"fail": 0, "undecided": 1, "pass": 2}
GATES = {"regressed": "fail", "inconclusive": "undecided"}


@st.composite
def pairs(draw, clusters: bool = False):
    """Passes of n cases with K runs under two versions, and a case that the candidate does not always fail."""
    k, n = draw(st.sampled_from([1, 2, 3, 6, 20])), draw(st.integers(2, 12))
    start = st.sampled_from([0, k, k, k, k - 1])
    old = draw(st.lists(start, min_size=n, max_size=n))
    changed = st.sampled_from([0, k, -1, -1, -1])
    new = [
        o if c == -1 else c for o, c in zip(old, draw(st.lists(changed, min_size=n, max_size=n)), strict=True)
    ]
    for at in draw(st.lists(st.integers(0, n - 1), max_size=4)):
        new[at] = draw(st.integers(0, k))
    at = draw(st.integers(0, n - 1))
    new[at] = max(1, new[at])
    return np.array(new), np.array(old), k, at


def judged(new, old, k, margin, clusters=None):
    test = non_inferiority_tango_n_eff(new / k, old / k, k, margin=margin, clusters=clusters)
    if clusters is None:
        whole = tango_n_eff(new / k, old / k, k)
    else:
        whole = tango_clustered(new / k, old / k, clusters, k=k)
    word = verdict(whole.low, whole.high, margin=margin, ni_low=test.low)
    if whole.p_value >= 0.05 and word in ("regressed", "improved", "regressed within margin"):
        within = test.low is not None and test.low > -margin
        word = "no worse than margin" if within else "inconclusive"
    return GATES.get(word, "pass"), whole, test


@checked
@given(pairs(), st.sampled_from([0.02, 0.05, 0.1, 0.2, 0.3, 0.5]))
def test_one_more_failure_never_improves_a_verdict_or_a_limit(data, margin):
    new, old, k, at = data
    worse = new.copy()
    worse[at] -= 1

    before, whole, test = judged(new, old, k, margin)
    after, whole_after, test_after = judged(worse, old, k, margin)

    assert ORDER[after] <= ORDER[before]
    assert test_after.low <= test.low + 1e-9
    assert whole_after.low <= whole.low + 1e-9
    assert whole_after.high <= whole.high + 1e-9


@checked
@given(pairs(), st.integers(1, 4))
def test_one_more_failure_in_a_cluster_never_raises_a_limit(data, size):
    new, old, k, at = data
    labels = np.arange(new.size) // size
    if labels[-1] == 0:
        return
    worse = new.copy()
    worse[at] -= 1

    before = non_inferiority_tango_n_eff(new / k, old / k, k, margin=0.1, clusters=labels)
    after = non_inferiority_tango_n_eff(worse / k, old / k, k, margin=0.1, clusters=labels)

    assert after.low <= before.low + 1e-9
    assert after.z <= before.z + 1e-9


@checked
@given(pairs())
def test_one_more_failure_never_raises_a_pass_rate(data):
    new, _, k, at = data
    worse = new.copy()
    worse[at] -= 1
    before, after = wilson_n_eff(new / k, k), wilson_n_eff(worse / k, k)

    assert after.low <= before.low + 1e-9
    assert after.high <= before.high + 1e-9


@checked
@given(pairs())
def test_twice_the_cases_never_widen_an_interval(data):
    new, old, k, _ = data
    once = tango_n_eff(new / k, old / k, k)
    twice = tango_n_eff(np.tile(new / k, 2), np.tile(old / k, 2), k)
    rate, rate_twice = wilson_n_eff(new / k, k), wilson_n_eff(np.tile(new / k, 2), k)

    assert twice.high - twice.low <= once.high - once.low + 1e-9
    assert rate_twice.high - rate_twice.low <= rate.high - rate.low + 1e-9


@checked
@given(pairs())
def test_n_eff_is_bounded_by_the_least_correlation_of_runs(data):
    new, old, k, _ = data
    most = new.size * k / (1 + 0.25 * (k - 1))

    assert new.size - 1e-9 <= tango_n_eff(new / k, old / k, k).n_eff <= most + 1e-9
    assert wilson_n_eff(new / k, k).n_eff <= most + 1e-9


@checked
@given(pairs())
def test_the_score_of_a_margin_and_the_limit_tell_the_same(data):
    new, old, k, _ = data
    for margin in (0.05, 0.2):
        test = non_inferiority_tango_n_eff(new / k, old / k, k, margin=margin)

        assert (test.p_value < 0.05) == test.non_inferior or abs(test.p_value - 0.05) < 1e-6


NINE = [1.0] * 9


def test_nine_cases_of_six_runs_pass_no_gate_of_ten_points_and_fail_none():
    candidates = [NINE, [1.0] * 8 + [5 / 6], [1.0] * 5 + [5 / 6] * 4, [1.0] * 8 + [0.0]]
    widths = []
    for candidate in candidates:
        interval = tango_n_eff(candidate, NINE, 6)
        test = non_inferiority_tango_n_eff(candidate, NINE, 6, margin=0.1)

        assert verdict(interval.low, interval.high, margin=0.1, ni_low=test.low) == "inconclusive"
        assert interval.n_eff <= 24
        widths.append(interval.high - interval.low)
    assert widths == sorted(widths)
    assert tango_n_eff([1.0] * 8 + [0.99], NINE, 100).n_eff < 10


def test_a_cluster_that_could_break_whole_is_one_vote():
    labels = np.repeat(np.arange(10), 5)

    ours = tango_clustered(np.ones(50), np.ones(50), labels)

    assert ours.low < -0.26  # ten clusters: the rule of three
    assert ours.n_eff == pytest.approx(10)


@checked
@given(pairs())
def test_a_difference_stays_within_what_both_rates_allow(data):
    new, old, k, _ = data
    rate, other = wilson_n_eff(new / k, k), wilson_n_eff(old / k, k)

    ours = tango_n_eff(new / k, old / k, k)

    assert rate.low - other.high - 1e-9 <= ours.low
    assert ours.high <= rate.high - other.low + 1e-9


def test_a_limit_beyond_the_room_that_the_baseline_leaves_is_marked():
    half = [1.0, 0.0] * 20

    assert tango_n_eff(NINE, NINE, 6).limited
    assert tango_n_eff([0.0] * 9, [0.0] * 9, 6).limited
    assert not tango_n_eff(half, half[::-1], 1).limited


@pytest.mark.parametrize(("passes", "n"), [(0, 9), (9, 9), (5, 9), (48, 50)])
def test_single_runs_are_wilsons(passes, n):
    ours, plain = wilson_n_eff([1.0] * passes + [0.0] * (n - passes), 1), wilson(passes, n)

    assert (ours.low, ours.high) == pytest.approx((plain.low, plain.high), abs=1e-9)


def test_a_sign_flip_p_falls_with_each_further_loss():
    rng = np.random.default_rng(1)
    d = rng.integers(-3, 3, 30) / 6
    values = []
    for at in np.argsort(d)[:20]:
        d[at] -= 1 / 6
        values.append(sign_flip(d))

    assert np.all(np.diff(values) <= 0) or d.sum() > 0
