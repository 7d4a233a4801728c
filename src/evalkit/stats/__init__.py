"""Statistics of evaluations: numpy arrays and floats in, frozen results out.

The case is the unit: average repeats inside the case first. Every number carries its n, its method and its level;
data that allows no interval gives ``status="not_estimable"`` and a reason, never nan and never zero width.
"""

from __future__ import annotations

from evalkit.stats.equivalence import (
    Equivalence,
    NonInferiority,
    non_inferiority_t,
    non_inferiority_tango,
    non_inferiority_tango_n_eff,
    tost,
)
from evalkit.stats.estimates import Estimate, StatisticsError, not_estimable
from evalkit.stats.means import standard_error, t_mean
from evalkit.stats.multiplicity import benjamini_hochberg, holm
from evalkit.stats.paired import paired_dominance, paired_t, tango, tango_clustered, tango_n_eff
from evalkit.stats.paired_alternatives import Posterior, bonett_price, dirichlet, newcombe_paired
from evalkit.stats.permutation import McNemar, mcnemar, sign_flip
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
from evalkit.stats.verdicts import Verdict, verdict

__all__ = [
    "Equivalence",
    "Estimate",
    "McNemar",
    "NonInferiority",
    "Posterior",
    "StatisticsError",
    "Verdict",
    "anova_icc",
    "benjamini_hochberg",
    "beta_interval",
    "bonett_price",
    "clopper_pearson",
    "dirichlet",
    "holm",
    "jeffreys",
    "lower_bound_exact",
    "mcnemar",
    "newcombe_independent",
    "newcombe_paired",
    "non_inferiority_t",
    "non_inferiority_tango",
    "non_inferiority_tango_n_eff",
    "not_estimable",
    "paired_dominance",
    "paired_t",
    "sign_flip",
    "standard_error",
    "t_mean",
    "tango",
    "tango_clustered",
    "tango_n_eff",
    "tost",
    "verdict",
    "wilson",
    "wilson_clustered",
    "wilson_n_eff",
]
