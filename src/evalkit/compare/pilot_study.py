"""Estimate from a pilot how much versions vary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl

from evalkit import stats
from evalkit.compare.pairs import find_runs, shared_columns
from evalkit.compare.variance import find_judgements, split_variance
from evalkit.grading.grade import grade_trials
from evalkit.grading.summarize import find_clusters
from evalkit.grading.version_order import order_versions
from evalkit.stats.basics import z_quantile
from evalkit.stats.limits import least_run_effect
from evalkit.util.errors import SelectorError
from evalkit.util.format import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalkit.compare.estimates import Metric
    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring

# Below this many cases the normal formulas are too optimistic; two cases less stand for Student's t.
_FEW: Final = 30
# Up to this many cases McNemar's power is exact.
_EXACT: Final = 200


class Design(NamedTuple):
    """Cases, trials per case and judgements per trial, on each side."""

    cases: float
    epochs: float
    samples: float

    @property
    def effective_cases(self) -> float:
        """The cases of a normal formula."""
        return self.cases - 2 if self.cases < _FEW else self.cases


@dataclass(frozen=True, slots=True)
class Pilot:
    """Variance of a case's difference: effect * (omega2 + (run + judge / samples) / epochs).

    `n`, `k` and `samples` are the design at hand (harmonic means). `omega2` is the variance of the cases' true
    differences, with one trial per case also that of trials. `run` and `judge` are variances of a trial and of a
    judgement, over both sides; `runs_known` and `judge_known` are whether the data show them. `effect` is the factor
    of clusters. `counted` is true for pass or fail: the power of single runs is then exact.
    """

    n: int
    k: float
    omega2: float
    run: float
    runs_known: bool
    effect: float
    counted: bool
    samples: float = 1.0
    judge: float = 0.0
    judge_known: bool = False

    @property
    def design(self) -> Design:
        """The design at hand."""
        return Design(self.n, self.k, self.samples)

    def variance(self, k: float, samples: float) -> float:
        """Return the variance of one case's difference under a design."""
        return self.effect * (self.omega2 + (self.run + self.judge / samples) / k)

    def used_variance(self, design: Design) -> float:
        """Return the variance that the interval of a pass rate uses: its design effect has a floor."""
        n, k, samples = design
        variance = self.variance(k, samples)
        if not self.counted or k <= 1 or not self.runs_known:
            return variance
        # f (1 - f) of k trials is on average the variance of a trial times 1 - 1/k.
        within = n * (self.run + self.judge / samples) * (1 - 1 / k)
        return max(variance, least_run_effect(k, within) * self.variance(1, samples))

    def power(self, size: float, design: Design, *, alpha: float, no_worse: bool = False) -> float | None:
        """Return the power to detect a difference, or of "no worse"; None: too few cases."""
        n, k, samples = design
        if self.is_exact(design):
            if no_worse:
                return stats.non_inferiority_power_tango(
                    int(n), size, *self._flips(0.0, samples), level=1 - alpha
                )
            return stats.mcnemar_power(int(n), *self._flips(size, samples), alpha=alpha)
        few = design.effective_cases
        if few < 1:
            return None
        variances = {"variance": self.variance(k, samples), "used": self.used_variance(design)}
        if no_worse:
            return stats.non_inferiority_power(few, size, **variances, level=1 - alpha)
        return stats.power_of(size, few, **variances, alpha=alpha)

    def minimal_difference(self, design: Design, *, alpha: float, power: float) -> float | None:
        """Return the least difference detected with this power; None if none is."""
        if design.effective_cases < 1:
            return None
        if not self.is_exact(design):
            few, variance = design.effective_cases, self.variance(design.epochs, design.samples)
            more = sqrt(self.used_variance(design) / few) - sqrt(variance / few)
            least = stats.minimal_difference(few, omega2=variance, alpha=alpha, power=power) or 0.0
            least += z_quantile(1 - alpha) * more
            return least if least <= 1 or not self.counted else None
        low, high = 0.0, 1.0
        if (self.power(high, design, alpha=alpha) or 0.0) < power:
            return None
        for _ in range(12):
            middle = (low + high) / 2
            is_enough = (self.power(middle, design, alpha=alpha) or 0.0) >= power
            low, high = (low, middle) if is_enough else (middle, high)
        return high

    def cases_needed(
        self, size: float, k: float, samples: float, *, alpha: float, power: float, no_worse: bool = False
    ) -> int:
        """Return the cases needed for a difference, or for "no worse"."""
        # One-sided at alpha is two-sided at 2 alpha.
        two_sided = 2 * alpha if no_worse else alpha
        omega2 = self.variance(k, samples)
        n = stats.whole_cases(stats.cases_needed(size, omega2=omega2, alpha=two_sided, power=power))
        if not no_worse and self.is_exact(Design(n, k, samples)):
            return stats.mcnemar_cases(*self._flips(size, samples), power=power, alpha=alpha) or n
        n = n + 2 if n < _FEW else n
        options: dict[str, Any] = {"alpha": alpha, "no_worse": no_worse}
        if self.used_variance(Design(n, k, samples)) <= self.variance(k, samples):
            return n

        def suffices(cases: int) -> bool:
            return (self.power(size, Design(cases, k, samples), **options) or 0.0) >= power

        low, high = n - 1, n
        while not suffices(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if suffices(middle) else (middle, high)
        return high

    def is_exact(self, design: Design) -> bool:
        """Whether the power is exact: few single pass/fail runs, no clusters."""
        return self.counted and design.epochs == 1 and self.effect == 1 and design.cases <= _EXACT

    def _flips(self, difference: float, samples: float) -> tuple[float, float]:
        """Return the chances that a case of single runs flips up and down."""
        size = abs(difference)
        flips = min(1.0, max(size, self.variance(1, samples) + size**2))
        return (flips + size) / 2, (flips - size) / 2


def find_pilot(
    evals: Evals, baseline: Selector | None, candidate: Selector | None, metric: Metric, scoring: Scoring
) -> tuple[Pilot | None, list[tuple[str, str]], list[str]]:
    """Return the pilot (None: not estimable), its pairs of versions, and the assumptions."""
    sides, pairs = _find_sides(evals, baseline, candidate)
    runs = [run for names in sides.values() for run in names]
    if not runs:
        return None, [], ["There are no runs."]
    chosen = evals.filter(run=runs)
    trials = _trials(grade_trials(chosen, scoring), sides, metric)
    judge, samples = _judge_variance(find_judgements(chosen, metric, scoring), sides)
    notes = []
    if pairs:
        pilots = [_pair_pilot(trials, *pair, metric) for pair in pairs]
        order = order_versions(chosen, "agent_version")
        if baseline is None and candidate is None and len(order.names) > 1 and order.note:
            notes.append(order.note)
        if len(pairs) > 1:
            notes.append(f"No pair was named: variances are means over {len(pairs)} pairs of versions.")
    else:
        pilots = [_single_pilot(trials, metric)]
        notes = [
            "There is one version: case difficulty is assumed to correlate by 0.5 with that of the next version."
        ]
    usable = [pilot for pilot in pilots if pilot is not None]
    if not usable:
        return None, pairs, ["Fewer than two cases were scored on both sides."]
    pilot = _average(usable)
    if judge is not None:
        noise = 2 * judge / samples
        part = "run" if pilot.runs_known else "omega2"
        pilot = replace(pilot, **{part: max(0.0, getattr(pilot, part) - noise)})
        pilot = replace(pilot, judge=2 * judge, judge_known=True, samples=samples)
    if not pilot.runs_known:
        notes.append("Each case has one trial, so the effect of more epochs is unknown.")
    elif pilot.omega2 <= 1e-12:
        notes.append(
            "The sides differ no more than trials do, so epochs look as good as cases. "
            "Do not count on that with few cases."
        )
    if pilot.effect > 1:
        notes.append(f"Cases come in clusters, which multiplies the cases needed by {number(pilot.effect)}.")
    if pilot.variance(pilot.k, pilot.samples) <= 1e-12:
        return None, pairs, ["No case differs between the sides, so their variance is unknown."]
    if pilot.n < _FEW:
        notes.append(f"The variances come from few cases (n = {pilot.n}): all numbers are rough.")
    return pilot, pairs, notes


def _find_sides(
    evals: Evals, baseline: Selector | None, candidate: Selector | None
) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    sides = dict(find_runs(evals, side) for side in (baseline, candidate) if side is not None)
    given = list(sides)
    if baseline is not None and candidate is not None:
        if len(given) < 2 or set(sides[given[0]]) & set(sides[given[1]]):
            raise SelectorError(f"The two sides of a plan are the same: {' and '.join(given)}.")
        return sides, [(given[0], given[1])]
    versions = evals.runs.with_columns(pl.col("agent_version", "run").cast(pl.String).fill_null(""))
    if versions["agent_version"].n_unique() > 1:
        taken = {run for runs in sides.values() for run in runs}
        # Runs without a version come last.
        named = order_versions(evals, "agent_version").names
        for name in [*named, *sorted(set(versions["agent_version"]) - set(named))]:
            runs = [run for run in versions.filter(agent_version=name)["run"] if run not in taken]
            if runs:
                sides.setdefault(name, runs)
    elif not given:
        # Runs of one version are more trials of it.
        return {"all": versions["run"].to_list()}, []
    names = list(sides)
    if not given:
        return sides, list(pairwise(names))
    pairs = [(given[0], name) for name in names if name != given[0]]
    return sides, pairs if candidate is None else [(name, first) for first, name in pairs]


def _trials(graded: pl.DataFrame, sides: Mapping[str, list[str]], metric: Metric) -> pl.DataFrame:
    owner = {run: name for name, runs in sides.items() for run in runs}
    value = (pl.col("verdict") == "pass").cast(pl.Float64) if metric == "pass_rate" else pl.col("mean")
    return (
        graded.filter(pl.col("verdict") != "unscored")
        .with_columns(value.alias("value"), pl.col("agent", "model").cast(pl.String).fill_null(""))
        .filter(pl.col("value").is_not_null())
        .with_columns(pl.col("run").cast(pl.String).replace_strict(owner, default=None).alias("side"))
    )


def _case_means(trials: pl.DataFrame, strata: list[str]) -> tuple[pl.DataFrame, float, int]:
    """Return the cases of one side, the variance within them and its df."""
    # Sorted: the order of rows must not change the last digit of a sum.
    key = ["suite", "case", *strata]
    trials = trials.sort(pl.col(key).cast(pl.String), "value")
    cells = trials.group_by(key, maintain_order=True).agg(
        mean=pl.col("value").mean(),
        squares=((pl.col("value") - pl.col("value").mean()) ** 2).sum(),
        trials=pl.len(),
        cluster=pl.col("cluster").first(),
    )
    df = int((cells["trials"] - 1).sum()) if cells.height else 0
    sigma2 = float(cells["squares"].sum()) / df if df else 0.0
    cases = cells.group_by("suite", "case", maintain_order=True).agg(
        pl.col("mean").mean(), pl.col("trials").sum(), pl.col("cluster").first()
    )
    return cases, sigma2, df


def _pair_pilot(trials: pl.DataFrame, baseline: str, candidate: str, metric: Metric) -> Pilot | None:
    sides = [trials.filter(side=side) for side in (baseline, candidate)]
    strata = shared_columns(sides, ("agent", "model"))
    (old, sigma_old, df_old), (new, sigma_new, df_new) = (_case_means(side, strata) for side in sides)
    both = old.join(new.drop("cluster"), on=["suite", "case"], suffix="_new", maintain_order="left")
    if both.height < 2:
        return None
    k_old, k_new = (_harmonic_mean(both[column]) for column in ("trials", "trials_new"))
    is_known = df_old > 0 and df_new > 0
    differences = both.select("cluster", value=pl.col("mean_new") - pl.col("mean"))
    noise = sigma_old / k_old + sigma_new / k_new if is_known else 0.0
    run = sigma_old + sigma_new if is_known else 0.0
    return _make_pilot(
        differences, metric, k=2 / (1 / k_old + 1 / k_new), noise=noise, run=run, is_known=is_known
    )


def _single_pilot(trials: pl.DataFrame, metric: Metric) -> Pilot | None:
    """Estimate a pilot from one version: 2 (1 - rho) tau^2 with rho = 1/2."""
    if trials["side"].n_unique() != 1:
        return None
    cases, sigma2, df = _case_means(trials, ["agent", "model"])
    if cases.height < 2:
        return None
    k = _harmonic_mean(cases["trials"])
    means = cases.select("cluster", value="mean")
    return _make_pilot(means, metric, k=k, noise=sigma2 / k, run=2 * sigma2, is_known=df > 0)


def _make_pilot(
    cases: pl.DataFrame, metric: Metric, *, k: float, noise: float, run: float, is_known: bool
) -> Pilot:
    values = cases["value"].to_numpy()
    spread = float(np.var(values, ddof=1))
    clusters, effect = find_clusters(cases), 1.0
    if clusters is not None and spread > 1e-12:
        error = stats.standard_error(values, clusters=clusters)
        effect = 1.0 if error is None else max(1.0, len(values) * error**2 / spread)
    return Pilot(
        n=cases.height,
        k=k,
        omega2=max(0.0, spread - noise),
        run=run,
        runs_known=is_known,
        effect=effect,
        counted=metric == "pass_rate",
    )


def _judge_variance(judgements: pl.DataFrame, sides: Mapping[str, list[str]]) -> tuple[float | None, float]:
    """Return the variance of a judgement (None: one per trial), and judgements per trial."""
    variances, samples = [], []
    for runs in sides.values():
        own = judgements.filter(pl.col("run").is_in(runs))
        parts = split_variance(own) if own.height else None
        if parts is not None and parts.sample is not None:
            variances.append(parts.sample)
            samples.append(parts.samples)
    return (float(np.mean(variances)), float(np.mean(samples))) if variances else (None, 1.0)


def _average(pilots: list[Pilot]) -> Pilot:
    used = [pilot for pilot in pilots if pilot.runs_known] or pilots

    def mean(name: str) -> float:
        return float(np.mean([getattr(pilot, name) for pilot in used]))

    parts = {name: mean(name) for name in ("k", "omega2", "run", "effect")}
    return replace(used[0], n=round(mean("n")), **parts)  # type: ignore[arg-type]


def _harmonic_mean(counts: pl.Series) -> float:
    return float(len(counts) / (1.0 / counts.to_numpy()).sum())
