"""No result depends on the order of rows, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit import stats

FUNCTIONS = {
    "tango_n_eff": lambda x: stats.tango_n_eff(x["new"], x["old"], x["k"]),
    "tango_clustered": lambda x: stats.tango_clustered(x["new"], x["old"], x["cluster"], k=x["k"]),
    "non_inferiority": lambda x: stats.non_inferiority_tango_n_eff(
        x["new"], x["old"], x["k"], margin=0.1, clusters=x["cluster"]
    ),
    "non_inferiority_t": lambda x: stats.non_inferiority_t(x["d"], margin=0.1, clusters=x["cluster"]),
    "wilson_n_eff": lambda x: stats.wilson_n_eff(x["new"], x["k"]),
    "wilson_clustered": lambda x: stats.wilson_clustered(x["new"], x["cluster"], k=x["k"]),
    "t_mean": lambda x: stats.t_mean(x["d"]),
    "paired_t": lambda x: stats.paired_t(x["d"], clusters=x["cluster"]),
    "weighted": lambda x: stats.weighted_difference(x["d"], x["weight"]),
    "sign_flip": lambda x: stats.sign_flip(x["d"]),
    "sign_flip sampled": lambda x: stats.sign_flip(x["d"] * np.sqrt(2)),
    "variance": lambda x: stats.variance_components(x["d"], x["cluster"], epochs=x["k"]),
    "churn": lambda x: stats.expected_churn(x["new"], x["k"]),
    "observed churn": lambda x: stats.observed_churn(x["new"], x["old"]),
    "ppi": lambda x: stats.ppi_mean(x["d"], x["new"], x["old"]),
    "icc": lambda x: stats.icc([x["new"], x["old"]], resamples=100),
    "spearman": lambda x: stats.spearman(x["new"], x["old"], resamples=100),
    "kendall": lambda x: stats.kendall_tau(x["new"], x["old"], resamples=100),
    "pearson": lambda x: stats.pearson(x["new"], x["old"]),
    "raters": lambda x: stats.raters_agreement(
        np.round([x["new"], x["old"], x["new"]]), [0, 1], units=x["cluster"], resamples=100
    ),
    "ranks": lambda x: stats.bootstrap_ranks(np.column_stack([x["new"], x["old"], x["d"]]), resamples=200),
    "friedman": lambda x: stats.friedman(np.column_stack([x["new"], x["old"], x["d"]])),
    "flips": lambda x: sorted(
        stats.flip_p_values(
            zip(
                *[(x[n] * 6).astype(int).tolist() if n else [6] * 40 for n in ("new", "", "old", "")],
                strict=True,
            )
        )
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_shuffled_rows_give_the_same_result(name):
    rng = np.random.default_rng(3)
    rows = {
        "new": rng.binomial(6, 0.8, 40) / 6,
        "old": rng.binomial(6, 0.7, 40) / 6,
        "k": rng.choice([5.0, 6.0], 40),
        "d": rng.normal(0, 1, 40).round(3) / 7,
        "weight": rng.choice([1.0, 2.5, 0.3], 40),
        "cluster": np.array([f"c{at % 11}" for at in range(40)]),
    }
    expected = FUNCTIONS[name](rows)

    for _ in range(15):
        order = rng.permutation(40)
        assert FUNCTIONS[name]({key: column[order] for key, column in rows.items()}) == expected
