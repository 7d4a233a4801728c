"""A number says what it is."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from evalkit.stats import Estimate, not_estimable, tango_n_eff


def test_a_number_prints_its_interval_level_method_and_n():
    text = str(tango_n_eff([1, 0.5, 0], [1, 1, 0.5], 2))

    for word in ("95%", "Tango n_eff", "n = 3", "K = 2", "p ="):
        assert word in text


def test_a_number_without_interval_prints_why():
    assert str(not_estimable("one case", n=1, method="t", level=0.9, estimate=4.0)) == (
        "4, interval not estimable: one case (90% t, n = 1)"
    )


def test_a_number_cannot_be_changed():
    estimate = Estimate(0.5, 0.4, 0.6, 0.95, "Wilson", 10)

    with pytest.raises(dataclasses.FrozenInstanceError):
        estimate.low = 0.0


def test_statistics_load_neither_scipy_stats_nor_frames():
    code = "import sys, evalkit.stats; print([m for m in ('scipy.stats', 'scipy.optimize', 'pandas', 'polars', 'statsmodels') if m in sys.modules])"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.5, 0.25, 0.75, 0.95, "m", 9, n_eff=9.0, k=1), "0.5 [0.25, 0.75] (95% m, n = 9)"),
        (
            Estimate(-0.5, -0.75, -0.25, 0.9, "m", 9, n_eff=4.5, k=3, clusters=3, p_value=0.0123),
            "-0.5 [-0.75, -0.25] (90% m, n = 9, K = 3, n_eff = 4.5, 3 clusters, p = 0.0123)",
        ),
        (Estimate(0.0, None, None, 0.95, "m", 9), "0 (95% m, n = 9)"),
        (Estimate(0.0, 0.0, None, 0.95, "m", 9), "0 (95% m, n = 9)"),
        (not_estimable("no cases", n=0, method="m", level=0.95), "not estimable: no cases (95% m, n = 0)"),
    ],
)
def test_a_number_prints_what_differs_from_the_plain_case_and_nothing_else(estimate, text):
    assert str(estimate) == text


def test_an_estimate_alone_in_a_cell_shows_its_words():
    assert repr(Estimate(0.5, 0.25, 0.75, 0.95, "m", 9)) == "<Estimate 0.5 [0.25, 0.75] (95% m, n = 9)>"
