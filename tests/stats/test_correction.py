"""What humans would say: coverage, symmetry and edges. (Published values are in test_golden.)"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats import StatisticsError, post_stratified, ppi_mean, rogan_gladen, t_mean

checked = settings(max_examples=40, deadline=None, database=None)
cells = st.tuples(*[st.integers(0, 30)] * 4).filter(lambda t: sum(t) > 0)


@checked
@given(cells, st.integers(0, 200))
def test_the_corrected_rate_lies_in_its_interval_and_mirrors(table, passes):
    tp, fp, fn, tn = table

    ours = post_stratified(tp, fp, fn, tn, passes, 200, draws=2000)
    mirrored = post_stratified(tn, fn, fp, tp, 200 - passes, 200, draws=2000)

    assert 0 <= ours.low <= ours.estimate <= ours.high <= 1
    assert ours.high > ours.low
    assert mirrored.estimate == pytest.approx(1 - ours.estimate)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - ours.high, 1 - ours.low), abs=0.06)


def test_the_corrected_rate_covers_the_human_one():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        human = rng.random(400) < 0.8
        judge = np.where(rng.random(400) < 0.85, human, ~human)
        h, j = human[:50], judge[:50]
        found = post_stratified(
            np.sum(h & j), np.sum(~h & j), np.sum(h & ~j), np.sum(~h & ~j), judge.sum(), 400, draws=1000
        )
        hits += found.low <= 0.8 <= found.high

    assert hits / 300 > 0.915


def test_a_perfect_judge_leaves_the_rate_alone():
    assert post_stratified(40, 0, 0, 10, passes=730, n=1000).estimate == pytest.approx(0.73)
    assert rogan_gladen(0.73, 1000, 1.0, 50, 1.0, 50).estimate == pytest.approx(0.73)


@pytest.mark.parametrize("arguments", [(0, 0, 0, 0, 5, 10), (1, 1, 1, 1, 0, 0)])
def test_without_labels_or_judged_cases_nothing_is_corrected(arguments):
    assert post_stratified(*arguments).status == "not_estimable"


@pytest.mark.parametrize(
    ("specificity", "n_fail", "sensitivity", "n_pass"),
    [(0.5, 50, 0.5, 50), (0.2, 50, 0.3, 50), (1, 0, 0.9, 50)],
)
def test_a_judge_like_a_coin_or_labels_of_one_kind_are_not_estimable(
    specificity, n_fail, sensitivity, n_pass
):
    ours = rogan_gladen(0.6, 500, specificity, n_fail, sensitivity, n_pass)

    assert (ours.status, ours.low) == ("not_estimable", None)


@checked
@given(st.floats(0, 1), st.floats(0.6, 1), st.floats(0.6, 1), st.integers(5, 100))
def test_the_other_correction_stays_in_its_range(rate, specificity, sensitivity, m):
    ours = rogan_gladen(rate, 500, specificity, m, sensitivity, m)

    if ours.status == "ok":
        assert 0 <= ours.low <= ours.estimate <= ours.high <= 1
        assert ours.low < ours.high


def test_a_judge_that_helps_narrows_the_mean_and_one_that_does_not_is_ignored():
    rng = np.random.default_rng(1)
    human = rng.normal(4, 0.6, 60)
    rest_human = rng.normal(4, 0.6, 2000)
    gold = t_mean(human)

    good = ppi_mean(human, human + 0.5 + rng.normal(0, 0.1, 60), rest_human + 0.5 + rng.normal(0, 0.1, 2000))
    useless = ppi_mean(human, -human, -rest_human)

    assert good.high - good.low < 0.4 * (gold.high - gold.low)
    assert good.low < 4 < good.high
    assert (useless.low, useless.high) == pytest.approx((gold.low, gold.high))


@pytest.mark.parametrize(
    ("labels", "judged", "rest"),
    [([], [], [1, 2]), ([4], [4], [4, 5]), ([4, 5, 3], [4, 5, 3], [4]), ([4, 4], [4, 4], [4, 4])],
)
def test_too_few_or_constant_labels_say_so(labels, judged, rest):
    assert ppi_mean(labels, judged, rest).status == "not_estimable"


def test_values_that_make_no_sense_are_refused():
    with pytest.raises(StatisticsError) as error:
        post_stratified(-1, 0, 0, 5, 1, 2)
    assert error.value.argument == "label counts"
    with pytest.raises(StatisticsError) as error:
        rogan_gladen(40, 1000, 0.7, 10, 0.9, 10)
    assert error.value.argument == "pass_rate"
    with pytest.raises(StatisticsError) as error:
        ppi_mean([1, 2, 3], [1, 2, 2], [1, 2, 3], lam=2)
    assert error.value.argument == "lam"


def test_rogan_gladen_gives_what_lee_et_al_print():
    ours = rogan_gladen(0.4, 1000, 0.7, 200, 0.9, 200)

    assert ours.estimate == pytest.approx(1 / 6)
    assert (ours.low, ours.high) == pytest.approx((0.0564, 0.2627), abs=5e-5)
