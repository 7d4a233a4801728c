"""Every published or cross-checked reference value, each against the function that offers it."""

from __future__ import annotations

import json
from math import comb, sqrt
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from evalkit import stats
from evalkit.stats.agreement import alpha_of_coincidences, gwet_of_tables

GOLDEN = Path(__file__).parents[2].parent / "shared" / "data" / "stats_golden.json"
ABSENT = "the reference values are not beside this checkout"

NOT_OFFERED = {
    "wilcoxon_depression": "Wilcoxon: exact only without ties and zeros, which 1-5 scores always have; sign_flip instead",
    "fleiss_kappa_wikipedia": "Fleiss: statsmodels.stats.inter_rater.fleiss_kappa",
    "bradley_terry_wikipedia": "Bradley-Terry: only for pairwise preferences, which evalkit does not collect",
    "cumulative_logit_wine": "cumulative logit: a sensitivity check for statsmodels, not core",
    "nemenyi_critical_difference": "Nemenyi: rank intervals from a joint bootstrap instead",
    "irt_rasch_lsat6": "Rasch: below twenty version-runs only classical item statistics are honest",
    "jeffreys_": "statsmodels.stats.proportion.proportion_confint",
    "beta11_": "scipy.stats.beta.interval",
    "newcombe_hybrid": "statsmodels.stats.proportion.confint_proportions_2indep",
    "newcombe_paired": "tango instead",
    "bonett_price": "tango instead",
    "bayes_paired": "scipy.stats.dirichlet",
    "bca_": "scipy.stats.bootstrap",
    "krippendorff": "krippendorff.alpha; the ordinal one of tables is tested below",
    "tost_": "statsmodels.stats.weightstats.ttost_paired",
    "cliffs_delta": "scipy.stats.mannwhitneyu",
    "tango_n_eff_repeats": "superseded: the design effect has a floor; see test_limits and the coverage study",
    "pass_rule_exact": "a rule on scores, not a statistic: evalkit.grading.grade tests it",
}


def ends(estimate):
    return [estimate.low, estimate.high]


def wilson(i):
    return ends(stats.wilson(i["passes"], i["n"], level=i.get("level", 0.95)))


def clopper_pearson(i):
    passes, n, one_sided = i["passes"], i["n"], (1 + i.get("level", 0.95)) / 2
    low, from_above = (stats.lower_bound_exact(x, n, level=one_sided).low for x in (passes, n - passes))
    return [low, 1 - from_above]


def flips(i):
    return i["only_first"], i["only_second"]


def cells(i):
    return [i[name] for name in ("both_pass", "only_first", "only_second", "both_fail")]


def mcnemar(i):
    found = stats.mcnemar(*flips(i))
    return {name: getattr(found, name) for name in ("exact", "mid_p", "asymptotic", "continuity")}


def non_inferiority(i):
    b, c, n = int(i["only_new"]), int(i["only_old"]), int(i["n"])
    new, old = [1.0] * b + [0.0] * c + [1.0] * (n - b - c), [0.0] * b + [1.0] * (n - b)
    found = stats.non_inferiority_tango_n_eff(new, old, 1, margin=i["margin"])
    return {"z": found.z, "p": found.p_value}


def e_value(i):
    better, worse = flips(i)
    value = stats.e_path([1] * better + [-1] * worse)[-1]
    return {"e_value": value, "anytime_p": min(1.0, 1 / value)}


def miller_se(i):
    a, b = np.array(i["a"]), np.array(i["b"])
    apart = sqrt(stats.standard_error(a) ** 2 + stats.standard_error(b) ** 2)
    return {"se_paired": stats.standard_error(a - b), "se_unpaired": apart}


def clustered_se(i):
    y, cluster = i["y"], i["cluster"]
    return {
        "cr0": stats.standard_error(y, clusters=cluster, correction="CR0"),
        "cr1": stats.standard_error(y, clusters=cluster),
        "naive": stats.standard_error(y),
    }


def design_effect(i):
    fractions, clusters = [], []
    for label, (passes, n) in enumerate(zip(i["passes_per_cluster"], i["n_per_cluster"], strict=True)):
        fractions += [1.0] * int(passes) + [0.0] * int(n - passes)
        clusters += [label] * int(n)
    found = stats.wilson_clustered(fractions, clusters)
    return {
        "p": found.estimate,
        "icc": stats.anova_icc(np.array(fractions), clusters),
        "deff": found.n / found.n_eff,
        "lo": found.low,
        "hi": found.high,
    }


def pass_k(rows):
    one = [
        (float(stats.pass_at_k(r["c"], r["n"], r["k"])), float(stats.pass_hat_k(r["c"], r["n"], r["k"])))
        for r in rows
    ]
    return [list(pair) for pair in one]


def cohen(i):
    table, weights = np.array(i["table"]), np.array(i["disagreement_weights"])
    plain = stats.disagreement_weights([1, 2, 3], "nominal")
    return {
        "kappa": float(stats.kappa_of_tables(table, plain)),
        "weighted": float(stats.kappa_of_tables(table, weights)),
    }


def table_of(i):
    return confusion_matrix(i["human"], i["judge"], labels=i["categories"]).astype(float)


def weighted_kappas(i):
    names = {"unweighted": "nominal", "linear": "linear", "quadratic": "quadratic"}
    weights = {name: stats.disagreement_weights(i["categories"], kind) for name, kind in names.items()}
    return {name: float(stats.kappa_of_tables(table_of(i), w)) for name, w in weights.items()}


def rank_agreement(i):
    pair = i["judge"], i["human"]
    return {
        "tau_b": stats.kendall_tau(*pair, resamples=50).estimate,
        "rho": stats.spearman(*pair, resamples=50).estimate,
    }


def paradox(i):
    table, plain = table_of(i), stats.disagreement_weights(i["categories"], "nominal")
    return {
        "agreement": np.trace(table) / table.sum(),
        "kappa": float(stats.kappa_of_tables(table, plain)),
        "ac1": float(gwet_of_tables(table, plain)),
    }


def lee(i):
    found = stats.rogan_gladen(
        i["judge_pass_rate"], i["n"], i["specificity"], i["m0"], i["sensitivity"], i["m1"]
    )
    return {"theta": found.estimate, "lo": found.low, "hi": found.high}


def ppi(i):
    n, passes = i["Yhat_unlabeled_n"], i["Yhat_unlabeled_passes"]
    rest = [1.0] * passes + [0.0] * (n - passes)
    found = stats.ppi_mean(i["Y"], i["Yhat"], rest, lam=i["lam"], interval="normal", level=i["level"])
    return {"theta": found.estimate, "lo": found.low, "hi": found.high}


def friedman(i):
    found = stats.friedman(i["matrix"])
    return {"chi2": found.statistic, "p": found.p_value}


def miller_n(i):
    return stats.cases_needed(
        i["delta"], omega2=i["omega2"], sigma2_a=i["sigmaA2"], sigma2_b=i["sigmaB2"], k_a=i["KA"], k_b=i["KB"],
        alpha=i["alpha"], power=i["power"],
    )  # fmt: skip


def mde(rows):
    return [
        stats.minimal_difference(
            r["n"], omega2=r["omega2"], sigma2_a=r["sigmaA2"], sigma2_b=r["sigmaB2"], k_a=r["K"], k_b=r["K"]
        )
        for r in rows
    ]


def lsat(_):
    values = json.loads(GOLDEN.read_text(encoding="utf-8"))
    patterns = next(value for value in values if value["name"] == "irt_rasch_lsat6")["inputs"]["patterns"]
    rows = [
        [int(x) for x in text] for text, count in (p.split(":") for p in patterns) for _ in range(int(count))
    ]
    found = stats.item_statistics(rows)
    return {"item_rest": list(found.item_rest), "alpha": found.alpha}


BY_PREFIX = {
    "wilson_design_effect": design_effect,
    "wilson_": wilson,
    "clopper_pearson_": clopper_pearson,
    "rule_of_three": lambda i: stats.lower_bound_exact(i["passes"], i["n"], level=i["one_sided_level"]).low,
    "tango_all_concordant": lambda i: stats.tango(*flips(i), i["n"]).high,
    "tango_": lambda i: ends(stats.tango(*flips(i), sum(cells(i)))),
    "mcnemar_exact": lambda i: stats.mcnemar(*flips(i)).exact,
    "mcnemar_": mcnemar,
    "noninferiority_tango": non_inferiority,
    "anytime_valid": e_value,
    "miller_paired_se": miller_se,
    "exact_sign_flip": lambda i: stats.sign_flip(i["d"]),
    "clustered_se": clustered_se,
    "pass_at_k": pass_k,
    "cohen_kappa": cohen,
    "weighted_kappa": weighted_kappas,
    "kendall_tau": rank_agreement,
    "kappa_prevalence": paradox,
    "lee_bias": lee,
    "ppi_mean": ppi,
    "friedman": friedman,
    "miller_sample_size": miller_n,
    "mde_": mde,
    "item_discrimination": lsat,
}


def goldens():
    return json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else []


def offered(name):
    prefixes = [prefix for prefix in BY_PREFIX if name.startswith(prefix)]
    return BY_PREFIX[max(prefixes, key=len)] if prefixes else None


def is_offered(name):
    return not name.startswith(tuple(NOT_OFFERED))


def flat(value):
    if isinstance(value, dict):
        return [x for key in sorted(value) for x in flat(value[key])]
    if isinstance(value, (list, tuple)):
        return [x for one in value for x in flat(one)]
    return [float(value)]


@pytest.mark.skipif(not GOLDEN.exists(), reason=ABSENT)
@pytest.mark.parametrize("golden", [g for g in goldens() if is_offered(g["name"])], ids=lambda g: g["name"])
def test_a_reference_value_is_reproduced(golden):
    function = offered(golden["name"])
    assert function, f"{golden['name']} is neither covered nor listed as not offered"

    ours = function(golden["inputs"])

    if isinstance(golden["expected"], dict):
        assert sorted(ours) == sorted(golden["expected"])
    assert flat(ours) == pytest.approx(flat(golden["expected"]), abs=golden["tolerance"])


@pytest.mark.skipif(not GOLDEN.exists(), reason=ABSENT)
def test_what_is_listed_as_not_offered_is_in_the_reference_file():
    names = [golden["name"] for golden in goldens()]

    assert [prefix for prefix in NOT_OFFERED if not any(name.startswith(prefix) for name in names)] == []


PUBLISHED = {
    "Newcombe 1998 Table I, Wilson 81/263": (lambda: ends(stats.wilson(81, 263)), [0.2553, 0.3662]),
    "Newcombe 1998 Table I, Wilson 0/20": (lambda: ends(stats.wilson(0, 20)), [0.0, 0.1611]),
    "Newcombe 1998 Table I, exact 1/29": (lambda: clopper_pearson({"passes": 1, "n": 29}), [0.0009, 0.1776]),
    "Fagerland 2014, Tango on the airway data": (lambda: ends(stats.tango(1, 7, 21)), [-0.5172, -0.0260]),
    "Fagerland 2013, McNemar exact": (lambda: stats.mcnemar(1, 7).exact, 0.0703),
    "Fagerland 2013, McNemar mid-p": (lambda: stats.mcnemar(1, 7).mid_p, 0.0391),
    "Fagerland 2013, McNemar asymptotic": (lambda: stats.mcnemar(1, 7).asymptotic, 0.0339),
    "Fagerland 2013, McNemar continuity": (lambda: stats.mcnemar(1, 7).continuity, 0.0771),
    "Armitage & Berry 1994": (lambda: stats.mcnemar(12, 2).exact, 0.0129),
    "Chen 2021, pass@2 of 3 in 5": (lambda: stats.pass_at_k(3, 5, 2), 1 - comb(2, 2) / comb(5, 2)),
    "Miller 2024 sec. 5": (lambda: stats.cases_needed(0.03, omega2=1 / 9), 968.9975),
    "Pocock 1977, 2 looks": (lambda: stats.pocock_alpha(2), 0.0294),
    "Pocock 1977, 3 looks": (lambda: stats.pocock_alpha(3), 0.0221),
    "Pocock 1977, 4 looks": (lambda: stats.pocock_alpha(4), 0.0182),
    "Pocock 1977, 5 looks": (lambda: stats.pocock_alpha(5), 0.0158),
    "Lee 2025 readme": (lambda: ends(stats.rogan_gladen(0.4, 1000, 0.7, 200, 0.9, 200)), [0.0564, 0.2627]),
    "Krippendorff 2011 example C, ordinal": (
        lambda: float(alpha_of_coincidences(coincidences(np.array(EXAMPLE_C)))),
        0.8154,
    ),
    "Boschloo 5/5 to 0/5": (lambda: stats.boschloo(0, 5, 5, 5), 2 * 0.5**10),
}


def coincidences(ratings):
    """Krippendorff's coincidence matrix of raters by items, gaps allowed."""
    labels = np.unique(ratings[np.isfinite(ratings)])
    counts = np.stack([(ratings == label).sum(axis=0) for label in labels], axis=1).astype(float)
    counts = counts[counts.sum(axis=1) > 1]
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(labels.size)
    return (pairs / (counts.sum(axis=1) - 1)[:, None, None]).sum(axis=0)


GAP = float("nan")
EXAMPLE_C = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
    [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_value_is_reproduced_without_the_reference_file(name):
    compute, expected = PUBLISHED[name]

    assert flat(compute()) == pytest.approx(flat(expected), abs=6e-5)
