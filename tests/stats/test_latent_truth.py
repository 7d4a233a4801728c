"""Dawid and Skene's model on made-up judges of known quality."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.stats import dawid_skene


def judged(accuracies, n=400, seed=0, gaps=0.0):
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.7).astype(float)
    answers = np.array([np.where(rng.random(n) < a, truth, 1 - truth) for a in accuracies])
    answers[rng.random(answers.shape) < gaps] = np.nan
    return truth, answers


def test_judges_are_weighed_by_how_well_they_know():
    truth, answers = judged([0.95, 0.9, 0.55, 0.55, 0.55])

    ours = dawid_skene(answers)

    right = np.mean(np.array(ours.decided) == truth)
    majority = np.mean(np.array(ours.majority) == truth)
    assert right > majority + 0.05
    assert np.diagonal(ours.judges, axis1=1, axis2=2)[:, 1] == pytest.approx(
        [0.95, 0.9, 0.55, 0.55, 0.55], abs=0.1
    )
    assert ours.converged
    assert ours.prior[1] == pytest.approx(0.7, abs=0.08)


def test_order_of_judges_and_items_does_not_matter_and_gaps_are_allowed():
    _, answers = judged([0.9, 0.8, 0.7], n=80, gaps=0.2)
    answers[:, 0] = np.nan

    ours, turned = dawid_skene(answers), dawid_skene(answers[::-1, ::-1])

    assert ours.posterior[1:] == pytest.approx(turned.posterior[::-1][1:], abs=1e-6)
    assert ours.decided[0] is None
    assert ours.majority[0] is None
    assert ours.n == 79


def test_probabilities_never_reach_zero_or_one_in_the_confusion():
    answers = np.ones((3, 60))
    answers[:, ::2] = 0

    ours = dawid_skene(answers)

    assert ours.status == "ok"
    assert 0 < ours.judges.min() < ours.judges.max() < 1
    assert ours.posterior.sum(axis=1) == pytest.approx(np.ones(60))


@pytest.mark.parametrize("answers", [[[1, 0, 1]], np.full((3, 4), np.nan), np.empty((0, 0))])
def test_too_few_judges_or_items_say_so(answers):
    ours = dawid_skene(answers)

    assert ours.status == "not_estimable"
    assert ours.reason


def test_the_first_step_and_the_majority_worked_by_hand():
    # Of three judges the shares for 1 are 1, 0, 2/3, 1: 8/3 of four items.
    ours = dawid_skene([[1, 0, 1, 1], [1, 0, 0, 1], [1, 0, 1, 1]], pseudo_count=1, iterations=1)

    assert ours.prior == pytest.approx([(4 / 3 + 1 / 2) / 5, (8 / 3 + 1 / 2) / 5])
    assert ours.judges[0, 1] == pytest.approx([(1 / 2) / (11 / 3), (8 / 3 + 1 / 2) / (11 / 3)])
    assert ours.judges[1, 1] == pytest.approx([(2 / 3 + 1 / 2) / (11 / 3), (2 + 1 / 2) / (11 / 3)])
    assert ours.majority == (1, 0, 1, 1)
    assert dawid_skene([[1, 0], [0, 0]]).majority == (None, 0)
