"""No worse than a margin."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ttest_1samp

from evalkit.stats import (
    StatisticsError,
    non_inferiority_t,
    non_inferiority_tango_n_eff,
)

checked = settings(max_examples=50, deadline=None, database=None)
differences = st.lists(st.integers(-8, 8).map(lambda x: x / 4), min_size=2, max_size=30).filter(
    lambda d: len(set(d)) > 1
)
margins = st.sampled_from([0.02, 0.05, 0.1, 0.3])


def single_runs(only_candidate, only_baseline, n, **options):
    """Tango's own test: one run per case."""
    same = [1.0] * (n - only_candidate - only_baseline)
    new = [1.0] * only_candidate + [0.0] * only_baseline + same
    old = [0.0] * only_candidate + [1.0] * only_baseline + same
    return non_inferiority_tango_n_eff(new, old, 1, **options)


@checked
@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 60), margins)
def test_the_limit_the_p_value_and_the_verdict_say_the_same(b, c, same, margin):
    ours = single_runs(b, c, b + c + same, margin=margin)
    assume(abs(ours.p_value - 0.05) > 1e-6)

    assert ours.non_inferior == (ours.p_value < 0.05) == (ours.low > -margin)


@checked
@given(differences, margins)
def test_the_t_version_agrees_with_scipy(d, margin):
    ours = non_inferiority_t(d, margin=margin)

    assert ours.p_value == pytest.approx(
        float(ttest_1samp(d, -margin, alternative="greater").pvalue), abs=1e-9
    )


def test_single_runs_give_the_plain_test_and_repeats_tell_more():
    new, old = [1, 1, 0, 1, 0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 1, 1, 1, 1, 1]
    plain = single_runs(1, 1, 10, margin=0.1)

    ours = non_inferiority_tango_n_eff(new, old, 1, margin=0.1)
    repeated = non_inferiority_tango_n_eff([0.9] * 10, [0.9] * 10, 10, margin=0.1)
    clustered = non_inferiority_tango_n_eff(new, old, 1, margin=0.1, clusters=list("aabbccddee"))

    assert (ours.z, ours.p_value, ours.low) == pytest.approx((plain.z, plain.p_value, plain.low))
    assert repeated.low > ours.low
    assert clustered.low <= ours.low + 1e-9


@pytest.mark.parametrize(
    "ours",
    [
        non_inferiority_tango_n_eff([], [], 1, margin=0.1),
        non_inferiority_t([0.5], margin=0.25),
        non_inferiority_t([0.0, 0.0, 0.0], margin=0.25),
    ],
)
def test_too_little_data_concludes_nothing_and_says_why(ours):
    assert ours.status == "not_estimable"
    assert ours.reason
    assert ours.p_value is None
    assert ours.non_inferior is None


def test_margins_and_levels_that_make_no_sense_are_refused():
    for wrong in (0, 1, -0.1, 5):
        with pytest.raises(StatisticsError) as error:
            single_runs(1, 1, 10, margin=wrong)
        assert error.value.argument == "margin"
    with pytest.raises(StatisticsError) as error:
        non_inferiority_t([0.1, 0.2], margin=0)
    assert error.value.argument == "margin"
    with pytest.raises(StatisticsError) as error:
        non_inferiority_t([0.1, 0.2], margin=0.1, level=0.4)
    assert error.value.argument == "one-sided level"


def test_a_case_that_was_never_run_or_has_a_gap_counts_nothing():
    new, old, k = [0.8, 0.4, 1.0, 0.6, 1.0], [1.0, 0.6, 0.8, 0.6, 0.8], [5, 5, 5, 5, 5]
    plain = non_inferiority_tango_n_eff(new, old, k, margin=0.2)

    never = non_inferiority_tango_n_eff([*new, 1.0], [*old, 0.0], [*k, 0], margin=0.2)
    gap = non_inferiority_tango_n_eff([*new, float("nan")], [*old, 0.0], [*k, 5], margin=0.2)

    assert never == gap == plain
    assert plain.n == 5


@checked
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12), st.booleans())
def test_a_margin_at_the_limit_is_decided_by_the_last_hair_of_p(passes, clustered):
    new, old = ([side / 5 for side in column] for column in zip(*passes, strict=True))
    clusters = [at // 2 for at in range(len(new))] if clustered and len(new) > 3 else None
    low = non_inferiority_tango_n_eff(new, old, 5, margin=0.5, clusters=clusters).low
    assume(-0.95 < low < -0.01)

    ours = non_inferiority_tango_n_eff(new, old, 5, margin=-low, clusters=clusters)

    assert (ours.z, ours.p_value) == pytest.approx((norm.ppf(0.95), 0.05), abs=1e-6)
