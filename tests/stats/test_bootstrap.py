"""The case bootstrap, against scipy.stats.bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from evalkit.stats import StatisticsError, bootstrap_means, bootstrap_statistic
from evalkit.stats.bootstrap import fisher_z_interval, resampled_counts, sum_counted

ROWS = np.random.default_rng(3).integers(1, 6, size=(60, 4)).astype(float)


@pytest.mark.parametrize("interval", ["percentile", "BCa"])
def test_means_of_columns_agree_with_scipy(interval):
    ours = bootstrap_means(ROWS, interval=interval, resamples=20_000)

    for column, estimate in zip(ROWS.T, ours, strict=True):
        rng = np.random.default_rng(1)
        expected = reference.bootstrap((column,), np.mean, method=interval, n_resamples=20_000, rng=rng)
        low, high = expected.confidence_interval
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.02)
        assert estimate.low < estimate.estimate < estimate.high


@pytest.mark.parametrize("interval", ["percentile", "BCa"])
def test_any_statistic_agrees_with_scipy(interval):
    x = np.random.default_rng(5).exponential(size=40)
    rng = np.random.default_rng(1)
    low, high = reference.bootstrap(
        (x,), np.std, method=interval, n_resamples=6000, rng=rng
    ).confidence_interval

    ours = bootstrap_statistic(x, np.std, interval=interval, resamples=6000)

    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.03)


def test_the_percentile_ends_are_linear_quantiles_of_the_resampled_means():
    counts = np.concatenate(list(resampled_counts(60, resamples=25, seed=4)))
    expected = np.quantile(counts @ ROWS[:, 0] / 60, [0.05, 0.95])

    ours = bootstrap_means(ROWS[:, 0], resamples=25, seed=4, level=0.9)[0]

    assert (ours.low, ours.high) == pytest.approx(tuple(expected), abs=1e-12)


def test_columns_are_resampled_together_and_the_seed_decides():
    twice = np.column_stack([ROWS[:, 0], ROWS[:, 0]])

    first, second = bootstrap_means(twice, resamples=500)

    assert (first.low, first.high) == (second.low, second.high)
    assert bootstrap_means(twice, resamples=500) == [first, second]
    assert bootstrap_means(twice, resamples=500, seed=1) != [first, second]


def test_clusters_are_drawn_whole():
    values, labels = np.repeat(ROWS[:12, 0], 5), np.repeat(np.arange(12), 5)

    whole = bootstrap_means(values, clusters=labels, resamples=4000)[0]
    single = bootstrap_means(ROWS[:12, 0], resamples=4000)[0]
    apart = bootstrap_means(values, resamples=4000)[0]

    assert (whole.low, whole.high) == pytest.approx((single.low, single.high), abs=0.1)
    assert apart.high - apart.low < 0.6 * (whole.high - whole.low)
    assert (whole.n, whole.clusters) == (60, 12)


@pytest.mark.parametrize("interval", ["percentile", "BCa"])
@pytest.mark.parametrize("values", [[4.0] * 9, [10 / 3] * 7, [5.0], []])
def test_constant_or_single_data_give_no_interval_and_no_warning(values, interval):
    for ours in (
        bootstrap_means(np.array(values)[:, None], interval=interval, resamples=99)[0],
        bootstrap_statistic(values, lambda x: float(np.mean(x)), interval=interval, resamples=99),
    ):
        assert (ours.status, ours.low, ours.high) == ("not_estimable", None, None)
        assert ours.estimate == (pytest.approx(values[0]) if values else None)
        assert ours.reason


def test_a_statistic_that_is_often_undefined_is_not_estimable():
    def fragile(x):
        return float("nan") if len(set(x)) < 3 else 1.0 + x[0]

    assert bootstrap_statistic([1, 2, 3], fragile, resamples=200).status == "not_estimable"
    assert bootstrap_statistic([1, 1, 1], fragile, resamples=200).estimate is None


def test_missing_values_in_a_table_are_refused():
    with pytest.raises(StatisticsError, match="missing"):
        bootstrap_means([[1.0, float("nan")], [2.0, 1.0]])


@pytest.mark.parametrize(("undefined", "status"), [(20, "ok"), (21, "not_estimable")])
def test_up_to_a_fifth_of_undefined_resamples_are_left_out(undefined, status):
    calls = iter(range(101))  # the first call is for the data

    def flaky(x):
        return float("nan") if 0 < next(calls) <= undefined else float(np.mean(x))

    ours = bootstrap_statistic([1, 2, 3, 4, 9], flaky, interval="percentile", resamples=100)

    assert (ours.status, ours.estimate) == (status, 3.8)


def test_fishers_z_interval_is_its_closed_form():
    z = np.random.default_rng(0).normal(0.5, 0.2, 400)
    half = reference.norm.ppf(0.95) * np.std(z, ddof=1) * np.sqrt(10 / 9)

    def interval(replicates, estimate=0.45):
        return fisher_z_interval(
            estimate, replicates, n=10, level=0.9, method="m", seed=0, undefined="nothing"
        )

    ours = interval(np.append(np.tanh(z), [np.nan] * 100))

    assert (ours.low, ours.high) == pytest.approx(
        (np.tanh(np.arctanh(0.45) - half), np.tanh(np.arctanh(0.45) + half)), abs=1e-3
    )
    assert interval(np.append(np.tanh(z), [np.nan] * 101)).status == "not_estimable"
    assert interval(np.full(400, 0.45)).status == "not_estimable"
    assert interval(np.tanh(z), None).reason == "nothing"
    assert "no disagreement" in interval(np.tanh(z), 1.0).reason
    assert interval(np.tanh(z), -1.0).low is None


@pytest.mark.parametrize("shape", [(4, 9, 3), (25, 1000, 31), (1, 20_000, 31), (2, 300_000, 1)])
def test_sums_of_resamples_are_the_product_however_large(shape):
    rng = np.random.default_rng(0)
    counts, values = rng.poisson(1, shape[:2]).astype(float), rng.normal(size=shape[1:])

    ours = sum_counted(counts, values)

    assert ours == pytest.approx(np.einsum("ij,jk->ik", counts, values), rel=1e-9, abs=1e-9)
