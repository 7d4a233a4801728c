"""Statistics of evaluations: numpy arrays and floats in, frozen results out.

The case is the unit: average repeats inside the case first. Every number carries its n, its method and its level;
data that allows no interval gives ``status="not_estimable"`` and a reason, never nan and never zero width.
"""

from __future__ import annotations

from evalkit.stats.agreement import (
    Confusion,
    JudgeAccuracy,
    confusion,
    disagreement_weights,
    exact_agreement,
    gwet_ac,
    judge_accuracy,
    kappa_of_tables,
    weighted_kappa,
)
from evalkit.stats.bootstrap import bca, bootstrap_means, bootstrap_statistic
from evalkit.stats.correction import post_stratified, ppi_mean, rogan_gladen
from evalkit.stats.effects import cliffs_delta, d_z, vargha_delaney
from evalkit.stats.equivalence import (
    Equivalence,
    NonInferiority,
    non_inferiority_t,
    non_inferiority_tango,
    non_inferiority_tango_n_eff,
    tost,
)
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable
from evalkit.stats.items import Items, cronbach_alpha, item_statistics
from evalkit.stats.latent_truth import DawidSkene, dawid_skene
from evalkit.stats.means import standard_error, t_mean
from evalkit.stats.multiplicity import benjamini_hochberg, holm
from evalkit.stats.paired import paired_dominance, paired_t, tango, tango_clustered, tango_n_eff
from evalkit.stats.paired_alternatives import Posterior, bonett_price, dirichlet, newcombe_paired
from evalkit.stats.percase import boschloo, fisher
from evalkit.stats.permutation import McNemar, mcnemar, sign_flip
from evalkit.stats.planning import (
    cases_needed,
    mcnemar_cases,
    mcnemar_power,
    minimal_difference,
    non_inferiority_power,
    non_inferiority_power_tango,
    pilot_variances,
    power_of,
    whole_cases,
)
from evalkit.stats.proportions import (
    anova_icc,
    beta_interval,
    clopper_pearson,
    jeffreys,
    lower_bound_exact,
    newcombe_independent,
    wilson,
    wilson_clustered,
    wilson_n_eff,
)
from evalkit.stats.ranking import Omnibus, Ranking, bootstrap_ranks, cochran_q, friedman
from evalkit.stats.reliability import icc, kendall_tau, krippendorff_alpha, spearman
from evalkit.stats.repeats import (
    Churn,
    expected_churn,
    flakiness,
    observed_churn,
    pass_at_k,
    pass_at_k_rate,
    pass_hat_k,
    pass_hat_k_rate,
)
from evalkit.stats.sequential import EValue, e_path, e_value, pocock_alpha
from evalkit.stats.strata import Standardised, mantel_haenszel, standardised_difference, weighted_difference
from evalkit.stats.variance import VarianceComponents, variance_components
from evalkit.stats.verdicts import Verdict, verdict

__all__ = [
    "Churn",
    "Confusion",
    "DawidSkene",
    "EValue",
    "Equivalence",
    "Estimate",
    "Items",
    "JudgeAccuracy",
    "McNemar",
    "NonInferiority",
    "Omnibus",
    "Posterior",
    "Ranking",
    "Standardised",
    "StatisticsError",
    "VarianceComponents",
    "Verdict",
    "anova_icc",
    "bca",
    "benjamini_hochberg",
    "beta_interval",
    "bonett_price",
    "bootstrap_means",
    "bootstrap_ranks",
    "bootstrap_statistic",
    "boschloo",
    "cases_needed",
    "cliffs_delta",
    "clopper_pearson",
    "cochran_q",
    "confusion",
    "cronbach_alpha",
    "d_z",
    "dawid_skene",
    "dirichlet",
    "disagreement_weights",
    "e_path",
    "e_value",
    "exact_agreement",
    "expected_churn",
    "fisher",
    "flakiness",
    "friedman",
    "gwet_ac",
    "holm",
    "icc",
    "item_statistics",
    "jeffreys",
    "judge_accuracy",
    "kappa_of_tables",
    "kendall_tau",
    "krippendorff_alpha",
    "lower_bound_exact",
    "mantel_haenszel",
    "mcnemar",
    "mcnemar_cases",
    "mcnemar_power",
    "minimal_difference",
    "newcombe_independent",
    "newcombe_paired",
    "non_inferiority_power",
    "non_inferiority_power_tango",
    "non_inferiority_t",
    "non_inferiority_tango",
    "non_inferiority_tango_n_eff",
    "not_estimable",
    "observed_churn",
    "paired_dominance",
    "paired_t",
    "pass_at_k",
    "pass_at_k_rate",
    "pass_hat_k",
    "pass_hat_k_rate",
    "pilot_variances",
    "pocock_alpha",
    "post_stratified",
    "power_of",
    "ppi_mean",
    "rogan_gladen",
    "sign_flip",
    "spearman",
    "standard_error",
    "standardised_difference",
    "t_mean",
    "tango",
    "tango_clustered",
    "tango_n_eff",
    "tost",
    "vargha_delaney",
    "variance_components",
    "verdict",
    "weighted_difference",
    "weighted_kappa",
    "whole_cases",
    "wilson",
    "wilson_clustered",
    "wilson_n_eff",
]


def __dir__() -> list[str]:
    return __all__
