"""Every published or cross-checked reference value, each against the function that offers it."""

from __future__ import annotations

import itertools
import json
from math import comb, sqrt
from pathlib import Path

import numpy as np
import pytest

from evalkit import stats

GOLDEN = Path(__file__).parents[2].parent / "shared" / "data" / "stats_golden.json"
ABSENT = "the reference values are not beside this checkout"

NOT_OFFERED = {
    "wilcoxon_depression": "Wilcoxon: exact only without ties and zeros, which 1-5 scores always have; sign_flip instead",
    "fleiss_kappa_wikipedia": "Fleiss: Krippendorff's alpha does the same and takes gaps",
    "bradley_terry_wikipedia": "Bradley-Terry: only for pairwise preferences, which evalkit does not collect",
    "cumulative_logit_wine": "cumulative logit: a sensitivity check for statsmodels, not core",
    "nemenyi_critical_difference": "Nemenyi: rank intervals from a joint bootstrap instead",
    "irt_rasch_lsat6": "Rasch: below twenty version-runs only classical item statistics are honest",
    "pass_rule_exact": "a rule on scores, not a statistic: evalkit.grading.grade tests it",
}


def ends(estimate):
    return [estimate.low, estimate.high]


def proportion(function):
    return lambda i: ends(function(i["passes"], i["n"], level=i.get("level", 0.95)))


def flips(i):
    return i["only_first"], i["only_second"]


def cells(i):
    return [i[name] for name in ("both_pass", "only_first", "only_second", "both_fail")]


def mcnemar(i):
    found = stats.mcnemar(*flips(i))
    return {name: getattr(found, name) for name in ("exact", "mid_p", "asymptotic", "continuity")}


def non_inferiority(i):
    found = stats.non_inferiority_tango(i["only_new"], i["only_old"], i["n"], margin=i["margin"])
    return {"z": found.z, "p": found.p_value}


def e_value(i):
    found = stats.e_value(*flips(i))
    return {"e_value": found.e_value, "anytime_p": found.p_value}


def miller_se(i):
    a, b = np.array(i["a"]), np.array(i["b"])
    apart = sqrt(stats.standard_error(a) ** 2 + stats.standard_error(b) ** 2)
    return {"se_paired": stats.standard_error(a - b), "se_unpaired": apart}


def bca_acceleration(i):
    x = np.array(i["x"])
    return stats.bca(x, x.mean(), x - x.mean()).acceleration


def bca_enumerated(i):
    x = np.array(i["x"])
    replicates = np.array([np.mean(drawn) for drawn in itertools.product(x, repeat=x.size)])
    found = stats.bca(replicates, float(x.mean()), x - x.mean())
    low, high = np.quantile(replicates, [found.alpha_low, found.alpha_high])
    return {
        "z0": found.z0,
        "a": found.acceleration,
        "alpha_lo": found.alpha_low,
        "alpha_hi": found.alpha_high,
        "lo": low,
        "hi": high,
    }


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


def alphas(i):
    ratings = np.array(i["ratings_raters_by_units"], dtype=float)
    names = ("nominal", "ordinal", "interval", "ratio")
    return {name: stats.krippendorff_alpha(ratings, measure=name, resamples=50).estimate for name in names}


def cohen(i):
    table, weights = np.array(i["table"]), np.array(i["disagreement_weights"])
    plain = stats.disagreement_weights([1, 2, 3], "nominal")
    return {
        "kappa": float(stats.kappa_of_tables(table, plain)),
        "weighted": float(stats.kappa_of_tables(table, weights)),
    }


def weighted_kappas(i):
    names = {"unweighted": "nominal", "linear": "linear", "quadratic": "quadratic"}
    pair, labels = (i["judge"], i["human"]), i["categories"]
    return {
        name: stats.weighted_kappa(*pair, labels=labels, weights=weights, resamples=50).estimate
        for name, weights in names.items()
    }


def rank_agreement(i):
    pair = i["judge"], i["human"]
    return {
        "tau_b": stats.kendall_tau(*pair, resamples=50).estimate,
        "rho": stats.spearman(*pair, resamples=50).estimate,
    }


def paradox(i):
    pair, labels = (i["judge"], i["human"]), i["categories"]
    return {
        "agreement": stats.exact_agreement(*pair).estimate,
        "kappa": stats.weighted_kappa(*pair, labels=labels, weights="nominal", resamples=50).estimate,
        "ac1": stats.gwet_ac(*pair, labels=labels, resamples=50).estimate,
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


def tost(i):
    found = stats.tost(i["d"], low=i["low"], high=i["upp"])
    return {"p_lower": found.p_lower, "p_upper": found.p_upper, "p": found.p_value}


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


def repeats(i):
    new, old, k = np.array(i["pass_fraction_new"]), np.array(i["pass_fraction_old"]), i["K"]
    found = stats.tango_n_eff(new, old, k)
    b, c = float(np.sum(new * (1 - old))), float(np.sum(old * (1 - new)))
    return {"diff": found.estimate, "b": b, "c": c, "deff": found.n / found.n_eff, "ci": ends(found)}


def dominance(i):
    return {"A": stats.vargha_delaney(i["x"], i["y"]), "delta": stats.cliffs_delta(i["x"], i["y"])}


BY_PREFIX = {
    "wilson_design_effect": design_effect,
    "wilson_": proportion(stats.wilson),
    "clopper_pearson_": proportion(stats.clopper_pearson),
    # The published Jeffreys limits are not clamped at 0/n and n/n.
    "jeffreys_": lambda i: ends(stats.beta_interval(i["passes"], i["n"], prior=(0.5, 0.5), clamp=False)),
    "beta11_": lambda i: ends(stats.beta_interval(i["passes"], i["n"], clamp=False)),
    "rule_of_three": lambda i: stats.lower_bound_exact(i["passes"], i["n"], level=i["one_sided_level"]).low,
    "newcombe_hybrid": lambda i: ends(stats.newcombe_independent(i["k1"], i["n1"], i["k2"], i["n2"])),
    "newcombe_paired": lambda i: ends(stats.newcombe_paired(*cells(i))),
    "bonett_price": lambda i: ends(stats.bonett_price(*flips(i), sum(cells(i)))),
    "tango_all_concordant": lambda i: stats.tango(*flips(i), i["n"]).high,
    "tango_n_eff": repeats,
    "tango_": lambda i: ends(stats.tango(*flips(i), sum(cells(i)))),
    "mcnemar_exact": lambda i: stats.mcnemar(*flips(i)).exact,
    "mcnemar_": mcnemar,
    "noninferiority_tango": non_inferiority,
    "bayes_paired": lambda i: stats.dirichlet(*flips(i), sum(flips(i)), prior=i["prior"]).p_worse,
    "anytime_valid": e_value,
    "miller_paired_se": miller_se,
    "exact_sign_flip": lambda i: stats.sign_flip(i["d"]),
    "bca_acceleration": bca_acceleration,
    "bca_mean": bca_enumerated,
    "clustered_se": clustered_se,
    "pass_at_k": pass_k,
    "krippendorff": alphas,
    "cohen_kappa": cohen,
    "weighted_kappa": weighted_kappas,
    "kendall_tau": rank_agreement,
    "kappa_prevalence": paradox,
    "lee_bias": lee,
    "ppi_mean": ppi,
    "tost_": tost,
    "cliffs_delta": dominance,
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


def flat(value):
    if isinstance(value, dict):
        return [x for key in sorted(value) for x in flat(value[key])]
    if isinstance(value, (list, tuple)):
        return [x for one in value for x in flat(one)]
    return [float(value)]


@pytest.mark.skipif(not GOLDEN.exists(), reason=ABSENT)
@pytest.mark.parametrize(
    "golden", [g for g in goldens() if g["name"] not in NOT_OFFERED], ids=lambda g: g["name"]
)
def test_a_reference_value_is_reproduced(golden):
    function = offered(golden["name"])
    assert function, f"{golden['name']} is neither covered nor listed as not offered"

    ours = function(golden["inputs"])

    if isinstance(golden["expected"], dict):
        assert sorted(ours) == sorted(golden["expected"])
    assert flat(ours) == pytest.approx(flat(golden["expected"]), abs=golden["tolerance"])


@pytest.mark.skipif(not GOLDEN.exists(), reason=ABSENT)
def test_what_is_listed_as_not_offered_is_in_the_reference_file():
    assert set(NOT_OFFERED) <= {golden["name"] for golden in goldens()}


PUBLISHED = {
    "Newcombe 1998 Table I, Wilson 81/263": (lambda: ends(stats.wilson(81, 263)), [0.2553, 0.3662]),
    "Newcombe 1998 Table I, Wilson 0/20": (lambda: ends(stats.wilson(0, 20)), [0.0, 0.1611]),
    "Newcombe 1998 Table I, exact 1/29": (lambda: ends(stats.clopper_pearson(1, 29)), [0.0009, 0.1776]),
    "Newcombe 1998, 56/70 against 48/80": (
        lambda: ends(stats.newcombe_independent(56, 70, 48, 80)),
        [0.0524, 0.3339],
    ),
    "Fagerland 2014, Tango on the airway data": (lambda: ends(stats.tango(1, 7, 21)), [-0.5172, -0.0260]),
    "Fagerland 2014, Newcombe on it": (lambda: ends(stats.newcombe_paired(1, 1, 7, 12)), [-0.5069, -0.0256]),
    "Fagerland 2014, Bonett-Price on it": (lambda: ends(stats.bonett_price(1, 7, 21)), [-0.5084, -0.0134]),
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
        lambda: stats.krippendorff_alpha(EXAMPLE_C, resamples=50).estimate,
        0.8154,
    ),
    "Boschloo 5/5 to 0/5": (lambda: stats.boschloo(0, 5, 5, 5), 2 * 0.5**10),
}

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
