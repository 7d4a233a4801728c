"""The case bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from evalkit.stats import StatisticsError
from evalkit.stats.bootstrap import fisher_z_interval, resampled_counts, sum_counted


def test_fishers_z_interval_is_its_closed_form():
    z = np.random.default_rng(0).normal(0.5, 0.2, 400)
    half = reference.norm.ppf(0.95) * np.std(z, ddof=1) * np.sqrt(10 / 9)

    def interval(replicates, estimate=0.45, n=10):
        replicates = np.concatenate([[estimate], replicates])
        return fisher_z_interval(replicates, n=n, level=0.9, method="m", seed=0, undefined="nothing")

    ours = interval(np.append(np.tanh(z), [np.nan] * 100))

    assert (ours.low, ours.high) == pytest.approx(
        (np.tanh(np.arctanh(0.45) - half), np.tanh(np.arctanh(0.45) + half)), abs=1e-3
    )
    assert interval(np.append(np.tanh(z), [np.nan] * 101)).status == "not_estimable"
    assert interval(np.full(400, 0.45)).status == "not_estimable"
    assert interval(np.tanh(z), np.nan).reason == "nothing"
    for perfect in (interval(np.tanh(z), 1.0), interval(np.tanh(z), -1.0), interval(np.tanh(z), n=1)):
        assert (perfect.low, perfect.status) == (None, "not_estimable")
        assert perfect.reason


def test_each_resample_draws_as_many_cases_as_there_are_and_the_seed_decides():
    first, again, other = (
        np.concatenate(list(resampled_counts(60, resamples=1000, seed=s))) for s in (4, 4, 5)
    )

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (1000, 60)
    assert np.all(first.sum(axis=1) == 60)
    assert first.mean(axis=0) == pytest.approx(np.ones(60), abs=0.15)
    for cases, resamples in ((0, 10), (10, 0)):
        with pytest.raises(StatisticsError) as error:
            next(resampled_counts(cases, resamples=resamples))
        assert error.value.argument == "cases and resamples"


@pytest.mark.parametrize("shape", [(4, 9, 3), (25, 1000, 31), (1, 20_000, 31), (2, 300_000, 1)])
def test_sums_of_resamples_are_the_product_however_large(shape):
    rng = np.random.default_rng(0)
    counts, values = rng.poisson(1, shape[:2]).astype(float), rng.normal(size=shape[1:])

    ours = sum_counted(counts, values)

    assert ours == pytest.approx(np.einsum("ij,jk->ik", counts, values), rel=1e-9, abs=1e-9)
