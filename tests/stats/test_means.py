"""A mean score: against scipy and statsmodels, and where no interval exists."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from evalkit.stats import standard_error, t_mean

checked = settings(max_examples=40, deadline=None, database=None)
scores = st.lists(st.floats(1, 5).map(lambda x: round(x, 2)), min_size=2, max_size=50).filter(
    lambda x: len(set(x)) > 1
)


@checked
@given(scores, st.sampled_from([0.8, 0.95, 0.99]))
def test_the_interval_agrees_with_scipy(values, level):
    low, high = reference.t.interval(level, len(values) - 1, np.mean(values), reference.sem(values))

    ours = t_mean(values, level=level)

    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-9)
    assert ours.low < ours.estimate < ours.high


@checked
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(1, 5).map(lambda x: round(x, 2))), min_size=8, max_size=40
    )
)
def test_the_clustered_error_agrees_with_statsmodels(rows):
    clusters, values = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if len(set(clusters)) < 2 or np.ptp(values) == 0:
        return
    groups, n = len(set(clusters)), len(values)
    fit = sm.OLS(values, np.ones(n)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )

    ours = standard_error(values, clusters=clusters)

    assert ours == pytest.approx(float(fit.bse[0]) * np.sqrt(groups / (groups - 1)), abs=1e-9)


def test_copies_of_every_row_in_its_own_cluster_change_nothing():
    values = [3.0, 4.0, 4.5, 2.0]
    single = t_mean(values)

    ours = t_mean(np.repeat(values, 3), clusters=np.repeat(np.arange(4), 3))

    assert (ours.estimate, ours.low, ours.high) == pytest.approx((single.estimate, single.low, single.high))


@pytest.mark.parametrize(
    ("values", "clusters", "estimate", "word"),
    [
        ([], None, None, "no scored"),
        ([float("nan")], None, None, "no scored"),
        ([4.0], None, 4.0, "one case"),
        ([10 / 3] * 7, None, 10 / 3, "same"),
        ([3.0, 4.0], ["a", "a"], 3.5, "one cluster"),
        ([3.0, 4.0, 3.0, 4.0], ["a", "a", "b", "b"], 3.5, "do not differ"),
    ],
)
def test_too_little_data_keeps_the_mean_and_says_why_there_is_no_interval(values, clusters, estimate, word):
    ours = t_mean(values, clusters=clusters)

    assert (ours.status, ours.low, ours.high) == ("not_estimable", None, None)
    assert ours.estimate == (None if estimate is None else pytest.approx(estimate))
    assert word in ours.reason


def test_a_missing_value_and_its_cluster_are_left_out_together():
    ours = t_mean([1, float("nan"), 3, 5], clusters=["a", "z", "b", "c"])

    assert (ours.n, ours.clusters) == (3, 3)


def test_one_cluster_has_no_standard_error():
    assert standard_error([1.0, 2.0, 4.0], clusters=["a", "a", "a"]) is None
    assert standard_error([], clusters=[]) is None
