"""Statistics of evaluations with the case as the unit: average repeats of a case first."""

from __future__ import annotations

from evalkit.stats.agreement import disagreement_weights, kappa_of_tables, raters_agreement
from evalkit.stats.correction import post_stratified, ppi_mean, rogan_gladen
from evalkit.stats.equivalence import (
    NonInferiority,
    Verdict,
    non_inferiority_t,
    non_inferiority_tango_n_eff,
    verdict,
)
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable
from evalkit.stats.items import Items, cronbach_alpha, item_statistics
from evalkit.stats.means import standard_error, t_mean
from evalkit.stats.multiplicity import benjamini_hochberg, holm
from evalkit.stats.paired import paired_t, tango, tango_clustered, tango_n_eff, weighted_difference
from evalkit.stats.percase import boschloo, flip_p_values
from evalkit.stats.permutation import McNemar, mcnemar, sign_flip
from evalkit.stats.planning import (
    cases_needed,
    mcnemar_cases,
    mcnemar_power,
    minimal_difference,
    non_inferiority_power,
    non_inferiority_power_tango,
    power_of,
    whole_cases,
)
from evalkit.stats.proportions import anova_icc, lower_bound_exact, wilson, wilson_clustered, wilson_n_eff
from evalkit.stats.ranking import Omnibus, Ranking, bootstrap_ranks, cochran_q, friedman
from evalkit.stats.reliability import icc, kendall_tau, pearson, spearman
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
from evalkit.stats.sequential import e_path, pocock_alpha
from evalkit.stats.variance import VarianceComponents, variance_components

__all__ = [
    "Churn",
    "Estimate",
    "Items",
    "McNemar",
    "NonInferiority",
    "Omnibus",
    "Ranking",
    "StatisticsError",
    "VarianceComponents",
    "Verdict",
    "anova_icc",
    "benjamini_hochberg",
    "bootstrap_ranks",
    "boschloo",
    "cases_needed",
    "cochran_q",
    "cronbach_alpha",
    "disagreement_weights",
    "e_path",
    "expected_churn",
    "flakiness",
    "flip_p_values",
    "friedman",
    "holm",
    "icc",
    "item_statistics",
    "kappa_of_tables",
    "kendall_tau",
    "lower_bound_exact",
    "mcnemar",
    "mcnemar_cases",
    "mcnemar_power",
    "minimal_difference",
    "non_inferiority_power",
    "non_inferiority_power_tango",
    "non_inferiority_t",
    "non_inferiority_tango_n_eff",
    "not_estimable",
    "observed_churn",
    "paired_t",
    "pass_at_k",
    "pass_at_k_rate",
    "pass_hat_k",
    "pass_hat_k_rate",
    "pearson",
    "pocock_alpha",
    "post_stratified",
    "power_of",
    "ppi_mean",
    "raters_agreement",
    "rogan_gladen",
    "sign_flip",
    "spearman",
    "standard_error",
    "t_mean",
    "tango",
    "tango_clustered",
    "tango_n_eff",
    "variance_components",
    "verdict",
    "weighted_difference",
    "whole_cases",
    "wilson",
    "wilson_clustered",
    "wilson_n_eff",
]

_CONFINT = "statsmodels.stats.proportion.proportion_confint"
_REPLACEMENTS = {
    **dict.fromkeys(("bca", "bootstrap_means", "bootstrap_statistic"), "scipy.stats.bootstrap"),
    "beta_interval": "scipy.stats.beta.interval",
    **dict.fromkeys(("bonett_price", "newcombe_paired"), "ek.stats.tango"),
    **dict.fromkeys(
        ("cliffs_delta", "vargha_delaney"), "scipy.stats.mannwhitneyu: U / (n * m) is A, 2 A - 1 is delta"
    ),
    "clopper_pearson": f'{_CONFINT}(..., method="beta")',
    **dict.fromkeys(("Confusion", "confusion"), "sklearn.metrics.confusion_matrix"),
    "d_z": "d.mean() / d.std(ddof=1)",
    **dict.fromkeys(("DawidSkene", "dawid_skene"), "crowdkit.aggregation.DawidSkene"),
    **dict.fromkeys(("dirichlet", "Posterior"), "scipy.stats.dirichlet"),
    **dict.fromkeys(("e_value", "EValue"), "ek.stats.e_path"),
    **dict.fromkeys(("Equivalence", "tost"), "statsmodels.stats.weightstats.ttost_paired"),
    "exact_agreement": "ek.agreement, or ek.stats.wilson on the number of hits",
    "fisher": "scipy.stats.fisher_exact",
    "gwet_ac": "ek.stats.raters_agreement",
    "jeffreys": f'{_CONFINT}(..., method="jeffreys")',
    **dict.fromkeys(
        ("judge_accuracy", "JudgeAccuracy"), 'ek.agreement, columns "sensitivity" and "specificity"'
    ),
    "krippendorff_alpha": "ek.stats.raters_agreement",
    "mantel_haenszel": "statsmodels.stats.contingency_tables.StratifiedTable",
    "newcombe_independent": "statsmodels.stats.proportion.confint_proportions_2indep",
    "non_inferiority_tango": "ek.stats.non_inferiority_tango_n_eff with k=1",
    "paired_dominance": "ek.stats.tango on the numbers of cases up and down",
    "pilot_variances": "ek.variance",
    **dict.fromkeys(("Standardised", "standardised_difference"), "ek.stats.weighted_difference"),
    "weighted_kappa": "sklearn.metrics.cohen_kappa_score(..., labels=..., weights=...)",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    removed = _REPLACEMENTS.get(name)
    hint = f". It was removed. Use {removed}." if removed else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
