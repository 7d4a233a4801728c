"""Where the noise comes from, on scores made with known variances."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.stats import variance_components


def made(n=600, k=4, s=3, c=5, seed=0):
    rng = np.random.default_rng(seed)
    case, epoch, sample, criterion = (
        x.ravel() for x in np.meshgrid(*(np.arange(m) for m in (n, k, s, c)), indexing="ij")
    )
    score = (
        rng.normal(0, 0.8, n)[case]
        + rng.normal(0, 0.5, (n, k))[case, epoch]
        + rng.normal(0, 0.3, (n, k, s))[case, epoch, sample]
        + np.array([-0.5, -0.25, 0, 0.25, 0.5])[criterion]
    )
    return score, case, {"epochs": epoch, "samples": sample, "criteria": criterion}


def test_components_come_back_as_they_were_made():
    score, case, by = made()

    ours = variance_components(score, case, **by)

    assert (ours.case, ours.epoch, ours.sample) == pytest.approx((0.64, 0.25, 0.09), rel=0.12)
    assert ours.criterion == pytest.approx(0.15625, rel=0.01)
    assert (ours.cases, ours.epochs, ours.samples, ours.criteria) == (600, 4, 3, 5)
    assert sum(ours.shares().values()) == pytest.approx(1)


def test_missing_scores_change_little():
    score, case, by = made()
    score[np.random.default_rng(1).random(score.size) < 0.2] = np.nan

    ours = variance_components(score, case, **by)

    assert (ours.case, ours.epoch, ours.sample) == pytest.approx((0.64, 0.25, 0.09), rel=0.15)


def test_the_error_of_another_design_agrees_with_a_simulation():
    score, case, by = made()
    ours = variance_components(score, case, **by)

    means = [made(n=40, k=2, s=1, seed=seed)[0].mean() for seed in range(400)]

    assert ours.standard_error(cases=40, epochs=2, samples=1) == pytest.approx(np.std(means), rel=0.12)


def test_money_goes_where_the_noise_is():
    quiet_judge = variance_components(*made(k=1, s=1)[:2], **made(k=1, s=1)[2])
    score, case, by = made(n=60)
    noisy = variance_components(
        score + 3 * np.random.default_rng(0).normal(size=score.size).round(1), case, **by
    )

    assert next(iter(quiet_judge.best_next())) == "case"
    assert next(iter(noisy.best_next(agent_cost=1000, judge_cost=0.001))) == "sample"


def test_what_the_data_cannot_tell_apart_is_none():
    ours = variance_components([4, 3, 5, 2], ["a", "b", "c", "d"])

    assert (ours.epoch, ours.sample, ours.criterion) == (None, None, None)
    assert ours.case == pytest.approx(np.var([4, 3, 5, 2], ddof=1))


@pytest.mark.parametrize(("scores", "cases"), [([], []), ([np.nan], ["a"]), ([4, 5], ["a", "a"])])
def test_fewer_than_two_cases_are_not_estimable(scores, cases):
    ours = variance_components(scores, cases)

    assert (ours.status, ours.case) == ("not_estimable", None)
    assert ours.shares() == {}


def test_constant_scores_have_no_variance_and_no_best_buy():
    ours = variance_components([4, 4, 4, 4], ["a", "a", "b", "b"], epochs=[1, 2, 1, 2])

    assert (ours.case, ours.epoch) == (0, 0)
    assert ours.best_next() == {}


def test_two_cases_are_enough_and_their_variance_is_the_plain_one():
    ours = variance_components([1.0, 4.0], ["a", "b"])

    assert (ours.status, ours.cases, ours.case) == ("ok", 2, pytest.approx(4.5))
