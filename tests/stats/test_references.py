"""Reference values of outside libraries, of publications, and worked by hand."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from evalkit import stats
from evalkit.stats.agreement import (
    alpha_of_tables,
    coincidences_of,
    disagreement_weights,
    gwet_of_tables,
    kappa_of_tables,
    one_sided_bound,
    pearson_of_tables,
    rating_counts,
)

GAP = np.nan
# Krippendorff (2011), example C; also `cac.raw4raters` of Gwet's irrCAC.
FOUR = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
        [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
    ]
)
FIVE = [1, 2, 3, 4, 5]


def of_four(statistic, weights):
    return stats.raters_agreement(FOUR, FIVE, statistic=statistic, weights=weights, resamples=50).estimate


@pytest.mark.parametrize(
    ("statistic", "weights", "expected"),
    [
        ("alpha", "nominal", 0.74342),  # Krippendorff (2011)
        ("alpha", "ordinal", 0.81539),
        ("alpha", "quadratic", 0.849107),  # interval
        ("gwet", "nominal", 0.77544),  # irrCAC, gwet.ac1.raw(cac.raw4raters)
    ],
)
def test_four_raters_with_gaps_have_their_published_agreement(statistic, weights, expected):
    assert of_four(statistic, weights) == pytest.approx(expected, abs=6e-6)


@pytest.mark.parametrize(
    ("weights", "level"), [("nominal", "nominal"), ("ordinal", "ordinal"), ("quadratic", "interval")]
)
@pytest.mark.parametrize("seed", range(3))
def test_alpha_of_several_raters_is_krippendorffs(weights, level, seed):
    rng = np.random.default_rng(seed)
    ratings = np.clip(rng.integers(1, 6, 25) + rng.integers(-1, 2, (4, 25)), 1, 5).astype(float)
    ratings[rng.random(ratings.shape) < 0.15] = GAP
    expected = krippendorff.alpha(ratings, level_of_measurement=level)

    ours = stats.raters_agreement(ratings, FIVE, statistic="alpha", weights=weights, resamples=50)

    assert ours.estimate == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_two_raters_of_a_nominal_scale_are_those_of_the_references(seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 3, 60)
    b = np.where(rng.random(60) < 0.7, a, rng.integers(0, 3, 60))
    table, plain = np.zeros((3, 3)), disagreement_weights([0, 1, 2], "nominal")
    np.add.at(table, (a, b), 1)

    assert float(kappa_of_tables(table, plain)) == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
    alpha = krippendorff.alpha(np.array([a, b], dtype=float), level_of_measurement="nominal")
    assert float(alpha_of_tables(table[None], plain)[0]) == pytest.approx(alpha, abs=1e-12)
    two = stats.raters_agreement([a, b], [0, 1, 2], resamples=50)
    assert two.estimate == pytest.approx(float(gwet_of_tables(table, plain)), abs=1e-12)


def test_three_raters_are_between_fleiss_and_raw_agreement():
    # All three agree on 9 of 10 items; worked by hand: pa = (9 + 1/3) / 10, pi = (27 + 1) / 30.
    ratings = np.ones((3, 10))
    ratings[:2, 9] = 2
    pa, pi = (9 + 1 / 3) / 10, 28 / 30
    pe = 2 * pi * (1 - pi)

    ours = stats.raters_agreement(ratings, [1, 2], resamples=200)

    assert ours.estimate == pytest.approx((pa - pe) / (1 - pe))
    assert fleiss_kappa(rating_counts(ratings, [1, 2])) < ours.estimate < pa
    assert ours.low < ours.estimate < ours.high


@pytest.mark.parametrize("n", [5, 12, 40])
def test_pearson_is_scipys(n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    y = x + rng.normal(size=n)
    expected = scipy_stats.pearsonr(x, y)
    interval = expected.confidence_interval(0.95)

    ours = stats.pearson(x, y)

    assert (ours.estimate, ours.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))


def test_pearson_of_a_table_is_that_of_its_ratings():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 5, (2, 50))
    table = np.zeros((5, 5))
    np.add.at(table, (a, b), 1)

    ours = pearson_of_tables(table[None], np.arange(5.0))[0]

    assert ours == pytest.approx(scipy_stats.pearsonr(a, b).statistic)
    assert stats.pearson([1, 1, 1], [1, 2, 3]).status == "not_estimable"
    assert stats.pearson([1, 2, 3, 4], [2, 4, 6, 8]).estimate == 1


@pytest.mark.parametrize(("n", "expected"), [(9, 2 * 0.05 ** (1 / 9) - 1), (20, 2 * 0.05 ** (1 / 20) - 1)])
def test_perfect_agreement_has_the_lower_limit_of_the_rule_of_three(n, expected):
    # Two kinds, half each: kappa = (p - 1/2) / (1/2), p at its exact lower limit.
    table, plain = np.diag([n / 2, n / 2]), disagreement_weights([0, 1], "nominal")

    ours = one_sided_bound(table, lambda t: kappa_of_tables(t, plain), n, 0.95)

    assert ours == pytest.approx(expected)
    assert one_sided_bound(np.diag([float(n), 0.0]), lambda t: kappa_of_tables(t, plain), n, 0.95) is None


def test_raters_who_agree_completely_get_a_bound():
    ratings = np.tile([1, 2, 3, 1, 2, 3, 1, 2, 3], (3, 1))

    ours = stats.raters_agreement(ratings, [1, 2, 3], statistic="alpha")

    assert (ours.estimate, ours.high, ours.status) == (1, 1, "ok")
    assert 0.5 < ours.low < 0.6
    assert "one-sided" in ours.method
    assert stats.spearman([1, 2, 3, 4], [1, 2, 3, 4]).low < 0.5


def test_coincidences_of_two_raters_are_their_table_and_its_mirror():
    counts = rating_counts([[1, 2, 2], [1, 2, 1]], [1, 2])

    assert coincidences_of(counts).tolist() == [[2, 1], [1, 2]]


def test_flips_are_adjusted_over_every_case_that_was_compared():
    counts = [(0, 5, 5, 5), (1, 5, 5, 5), *[(5, 5, 5, 5)] * 8, (0, 3, 3, 3)]
    raw = [scipy_stats.boschloo_exact([[a, c], [b - a, d - c]]).pvalue for a, b, c, d in counts[:10]]
    expected = multipletests(np.nan_to_num(raw, nan=1.0), method="holm")[1]

    ours = stats.flip_p_values(counts)

    assert ours[:10] == pytest.approx(list(expected), abs=1e-5)
    assert ours[10] is None
    assert ours[0] == pytest.approx(10 * 2 / 2**10, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_an_exact_sign_flip_of_signed_ranks_is_wilcoxons(seed):
    rng = np.random.default_rng(seed)
    d = np.arange(1, 23) * rng.choice([-1, 1], 22, p=[0.3, 0.7])

    assert stats.sign_flip(d / 6) == pytest.approx(scipy_stats.wilcoxon(d, method="exact").pvalue)


@pytest.mark.parametrize(("up", "down"), [(13, 5), (20, 9), (12, 12), (40, 11)])
def test_an_exact_sign_flip_of_equal_differences_is_the_binomial_test(up, down):
    expected = scipy_stats.binomtest(up, up + down).pvalue

    assert stats.sign_flip([0.5] * up + [-0.5] * down + [0.0]) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "size"), [(9, 1), (50, 5), (200, 1)])
def test_without_a_flip_repeats_do_not_narrow_the_closed_form(n, size):
    z2 = scipy_stats.norm.ppf(0.975) ** 2 * size

    ours = stats.tango_clustered(np.ones(n), np.ones(n), np.arange(n) // size, k=6)

    assert ours.low == pytest.approx(-z2 / (n + z2), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_weighted_difference_is_statsmodels_with_kishs_number_of_cases(seed):
    rng = np.random.default_rng(seed)
    d, w = rng.integers(-3, 3, 14) / 6, rng.choice([1.0, 2.0, 5.0], 14)
    n_eff = w.sum() ** 2 / (w**2).sum()
    reference = DescrStatsW(
        d, weights=w * n_eff / w.sum()
    )  # ddof and degrees of freedom follow the sum of weights

    ours = stats.weighted_difference(d, w)

    assert ours.n_eff == pytest.approx(n_eff)
    assert ours.estimate == pytest.approx(reference.mean)
    assert (ours.low, ours.high) == pytest.approx(reference.tconfint_mean(0.05))


def test_three_weighted_flips_are_no_proof():
    ours = stats.weighted_difference([-1, -1, -1, *[0] * 9], [10, 9, 11, *[1] * 9])

    assert ours.p_value == 0.25  # 2 of 2^3 patterns
    assert stats.verdict(ours.low, ours.high) in ("regressed", "inconclusive")


@pytest.mark.parametrize("baseline", [2, 3, 4, 5])
def test_a_unanimous_drop_has_an_interval_on_a_bounded_scale(baseline):
    n = 14
    bounds = (np.full(n, 1 - baseline), np.full(n, 5 - baseline))
    share = 1 - 0.025 ** (1 / n)  # Clopper-Pearson, 0 of 14

    ours = stats.paired_t([-1.0] * n, bounds=bounds)

    assert ours.p_value == pytest.approx(2 / 2**n)
    assert ours.high == pytest.approx(-1 + share * (5 - baseline + 1))
    assert ours.low == pytest.approx(-1 - share * (baseline - 2))
    assert stats.verdict(ours.low, ours.high) == "regressed"
    assert stats.weighted_difference([-1.0] * n, [2.0] * n, bounds=bounds).high == pytest.approx(ours.high)


def test_equal_scores_have_an_interval_on_a_bounded_scale_and_none_without():
    whole = stats.t_mean([5.0] * 20, bounds=(1, 5))
    clopper = scipy_stats.binomtest(0, 20).proportion_ci(0.95).high

    assert (whole.low, whole.high) == pytest.approx((5 - 4 * clopper, 5))
    assert stats.t_mean([5.0] * 20).status == "not_estimable"
    assert stats.t_mean([5.0], bounds=(1, 5)).status == "not_estimable"
