"""Which cases are informative, against pingouin and numpy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from evalkit.stats import cronbach_alpha, item_statistics


def answers(rows=40, k=6, seed=0):
    rng = np.random.default_rng(seed)
    skill, difficulty = rng.normal(size=(rows, 1)), rng.normal(size=k)
    return (skill - difficulty + rng.normal(size=(rows, k)) > 0).astype(float)


def test_statistics_agree_with_numpy_and_pingouin():
    pandas = pytest.importorskip("pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pingouin

        expected = pingouin.cronbach_alpha(pandas.DataFrame(answers()))[0]
    x = answers()

    ours = item_statistics(x)

    assert ours.alpha == pytest.approx(expected)
    for j in range(x.shape[1]):
        rest = np.delete(x, j, axis=1).sum(axis=1)
        assert ours.item_rest[j] == pytest.approx(np.corrcoef(x[:, j], rest)[0, 1])
        assert ours.difficulty[j] == pytest.approx(x[:, j].mean())
        assert ours.discrimination[j] > 0
    assert ours.respondents == 40


def test_cases_that_always_pass_or_fail_are_named_and_have_no_correlation():
    x = np.column_stack([answers(k=2), np.ones(40), np.zeros(40)])

    ours = item_statistics(x)

    assert ours.always == ("neither", "neither", "pass", "fail")
    assert ours.item_rest[2] is None
    assert ours.item_rest[3] is None


@pytest.mark.parametrize("table", [np.empty((0, 3)), [[1, 0, 1]], [[1, 1], [1, 1]], [[1], [0]]])
def test_too_few_versions_give_none_and_no_warning(table):
    ours = item_statistics(table)

    assert ours.alpha is None
    assert all(r is None for r in ours.item_rest)
    assert cronbach_alpha(table) is None


def test_the_discrimination_is_the_gap_between_the_best_and_the_worst_third():
    # Totals 0, 1, 1, 2, 2, 3: the last two rows against the first two.
    table = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]]

    assert item_statistics(table).discrimination == (0.0, 1.0, 1.0)
