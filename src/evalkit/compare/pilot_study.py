"""What the data in hand say about how much versions vary: the pilot behind a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from evalkit import stats
from evalkit.compare.pairs import Selector, find_runs
from evalkit.compare.variance import find_judgements, split
from evalkit.grading.grade import grade
from evalkit.grading.version_order import natural_key
from evalkit.util.errors import SelectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.compare.estimates import Metric
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

# Below so many cases the normal formulas are too hopeful; two cases less stand for Student's t.
_FEW = 30
# Up to so many cases McNemar's power is counted exactly.
_COUNTED = 200


@dataclass(frozen=True, slots=True)
class Pilot:
    """How much case differences vary: omega2 + (run_a + judge_a / S) / K + (run_b + judge_b / S) / K.

    Attributes
    ----------
    n, k, samples
        The design in hand: cases on both sides, trials a case, judgements a trial (harmonic means).
    omega2
        Variance of the cases' true differences; what one trial a case cannot tell from it is inside.
    run, judge
        Variance of one trial inside a case, and of one judgement inside a trial, both sides together.
    runs_known, judge_known
        Whether the data could tell them.
    effect
        What clusters multiply the variance by.
    counted
        Whether single runs are pass or fail, so that power can be counted exactly.
    """

    n: int
    k: float
    samples: float
    omega2: float
    run: float
    judge: float
    runs_known: bool
    judge_known: bool
    effect: float = 1.0
    counted: bool = False

    def variance(self, k: float, samples: float) -> float:
        """Return the variance of one case's difference under a design."""
        return self.effect * (self.omega2 + (self.run + self.judge / samples) / k)

    def power(self, difference: float, n: float, k: float, samples: float, *, alpha: float) -> float | None:
        """Return the chance to see a difference; None where n is too small to say."""
        if self.is_counted(n, k):
            return stats.mcnemar_power(int(n), *self._flips(difference, samples), alpha=alpha)
        few = _fewer(n)
        return (
            None
            if few < 1
            else stats.power_of(difference, few, variance=self.variance(k, samples), alpha=alpha)
        )

    def least(self, n: float, k: float, samples: float, *, alpha: float, power: float) -> float | None:
        """Return the least difference that is seen with the power; None when not even the largest is."""
        few = _fewer(n)
        if few < 1:
            return None
        if self.is_counted(n, k):
            if (self.power(1.0, n, k, samples, alpha=alpha) or 0.0) < power:
                return None
            low, high = 0.0, 1.0
            for _ in range(12):
                middle = (low + high) / 2
                enough = (self.power(middle, n, k, samples, alpha=alpha) or 0.0) >= power
                low, high = (low, middle) if enough else (middle, high)
            return high
        z = (stats.minimal_difference(1, omega2=1.0, alpha=alpha, power=power) or 0.0) ** 2
        least = sqrt(z * self.variance(k, samples) / few)
        return least if least <= 1 or not self.counted else None

    def cases(self, difference: float, k: float, samples: float, *, alpha: float, power: float) -> int:
        """Return the cases that a difference needs."""
        omega2 = self.variance(k, samples)
        n = stats.whole_cases(stats.cases_needed(difference, omega2=omega2, alpha=alpha, power=power))
        if self.is_counted(n, k):
            return stats.mcnemar_cases(*self._flips(difference, samples), power=power, alpha=alpha) or n
        return n + 2 if n < _FEW else n

    def assurance(self, margin: float, n: float, k: float, samples: float, *, alpha: float) -> float | None:
        """Return the chance to conclude "no worse than the margin" of versions that are alike."""
        if self.is_counted(n, k):
            flips = self._flips(0.0, samples)
            return stats.non_inferiority_power_tango(int(n), margin, *flips, level=1 - alpha)
        few, variance = _fewer(n), self.variance(k, samples)
        return (
            None if few < 1 else stats.non_inferiority_power(few, margin, variance=variance, level=1 - alpha)
        )

    def cases_for_margin(self, margin: float, k: float, samples: float, *, alpha: float, power: float) -> int:
        """Return the cases that "no worse than the margin" needs, of versions that are alike."""
        # One-sided at alpha is two-sided at 2 alpha.
        needed = stats.cases_needed(margin, omega2=self.variance(k, samples), alpha=2 * alpha, power=power)
        n = stats.whole_cases(needed)
        return n + 2 if n < _FEW else n

    def is_counted(self, n: float, k: float) -> bool:
        """Say whether the power of a design is counted exactly: single runs of pass or fail, not too many, no clusters."""
        return self.counted and k == 1 and self.effect == 1 and n <= _COUNTED

    def _flips(self, difference: float, samples: float) -> tuple[float, float]:
        """Return the chances that a case of single runs flips up and down."""
        size = abs(difference)
        flips = min(1.0, max(size, self.variance(1, samples) + size**2))
        return (flips + size) / 2, (flips - size) / 2


def find_pilot(
    evals: Evals,
    baseline: Selector | None,
    candidate: Selector | None,
    *,
    metric: Metric,
    rule: PassRule,
    grader: str | Sequence[str] | None,
    rubric: str | Sequence[str] | None,
) -> tuple[Pilot | None, list[tuple[str, str]], list[str]]:
    """Return the pilot (None: nothing varies, or nothing is there), the pairs it rests on, and what was assumed."""
    sides, pairs = _find_sides(evals, baseline, candidate)
    runs = [run for names in sides.values() for run in names]
    if not runs:
        return None, [], ["There is no run."]
    chosen = evals.filter(run=runs)
    asked = {"grader": grader, "rubric": rubric}
    trials = _trials(grade(chosen, rule, **asked), sides, metric)
    judge, samples = _judging(find_judgements(chosen, metric, rule, **asked), sides)
    if pairs:
        found = [_paired(trials, *pair, metric) for pair in pairs]
        notes = []
        if len(pairs) > 1:
            notes.append(
                f"No single pair was named: the variances are the mean over {len(pairs)} pairs of versions."
            )
    else:
        found = [_alone(trials, metric)]
        notes = [
            "There is one version: it is assumed that how hard a case is for the next one correlates by 0.5 with how hard it is for this one."
        ]
    usable = [pilot for pilot in found if pilot is not None]
    if not usable:
        return None, pairs, ["Fewer than two cases were scored on both sides."]
    pilot = _average(usable)
    if judge is not None:
        at_hand = 2 * judge / samples
        if pilot.runs_known:
            pilot = replace(pilot, run=max(0.0, pilot.run - at_hand))
        else:
            pilot = replace(pilot, omega2=max(0.0, pilot.omega2 - at_hand))
        pilot = replace(pilot, judge=2 * judge, judge_known=True, samples=samples)
    if not pilot.runs_known:
        notes.append("Each case was tried once, so nothing says what more epochs would bring.")
    elif pilot.omega2 <= 1e-12:
        notes.append(
            "What differs between the sides is no more than trials differ by themselves, so epochs look as good as cases; do not count on that with few cases."
        )
    if pilot.effect > 1:
        notes.append(f"Cases come in clusters, which multiplies the cases needed by {pilot.effect:.2f}.")
    if pilot.variance(pilot.k, pilot.samples) <= 1e-12:
        return None, pairs, ["No case differs between the sides, so nothing says how much they vary."]
    if pilot.n < _FEW:
        notes.append(
            f"The variances themselves come from few cases (n = {pilot.n}): take the numbers for their size only."
        )
    return pilot, pairs, notes


def _find_sides(
    evals: Evals, baseline: Selector | None, candidate: Selector | None
) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    sides: dict[str, list[str]] = {}
    for selector in (baseline, candidate):
        if selector is not None:
            name, runs = find_runs(evals, selector)
            sides[name] = runs
    given = list(sides)
    if baseline is not None and candidate is not None:
        if len(given) < 2 or set(sides[given[0]]) & set(sides[given[1]]):
            raise SelectorError(f"The two sides of a plan are the same: {' and '.join(given)}.")
        return sides, [(given[0], given[1])]
    versions = evals.runs.with_columns(pl.col("agent_version", "run").cast(pl.String).fill_null(""))
    column = "agent_version" if versions["agent_version"].n_unique() > 1 else "run"
    if column == "run" and not given:
        # One version: its runs are more trials of it.
        return {"all": versions["run"].to_list()}, []
    taken = {run for runs in sides.values() for run in runs}
    for name in sorted(set(versions[column]), key=lambda name: natural_key([name])):
        runs = [run for run in versions.filter(pl.col(column) == name)["run"] if run not in taken]
        if runs and column == "agent_version":
            sides.setdefault(name, runs)
    names = list(sides)
    if given:
        pairs = [(given[0], name) for name in names if name != given[0]]
        return sides, pairs if candidate is None else [(name, first) for first, name in pairs]
    return sides, list(pairwise(names))


def _trials(graded: pl.DataFrame, sides: dict[str, list[str]], metric: Metric) -> pl.DataFrame:
    owner = {run: name for name, runs in sides.items() for run in runs}
    value = (pl.col("verdict") == "pass").cast(pl.Float64) if metric == "pass_rate" else pl.col("mean")
    return (
        graded.filter(pl.col("verdict") != "unscored")
        .with_columns(value.alias("value"), pl.col("agent", "model").cast(pl.String).fill_null(""))
        .filter(pl.col("value").is_not_null())
        .with_columns(pl.col("run").cast(pl.String).replace_strict(owner, default=None).alias("side"))
    )


def _cells(trials: pl.DataFrame, side: str, strata: list[str]) -> tuple[pl.DataFrame, float, int]:
    """Return the cases of one side (`mean`, `trials`, `cluster`), the variance inside them and its df."""
    inside = (
        trials.filter(side=side)
        .group_by("suite", "case", *strata, maintain_order=True)
        .agg(
            mean=pl.col("value").mean(),
            squares=((pl.col("value") - pl.col("value").mean()) ** 2).sum(),
            trials=pl.len(),
            cluster=pl.col("cluster").first(),
        )
    )
    df = int((inside["trials"] - 1).sum()) if inside.height else 0
    sigma2 = float(inside["squares"].sum()) / df if df else 0.0
    cases = inside.group_by("suite", "case", maintain_order=True).agg(
        pl.col("mean").mean(), pl.col("trials").sum(), pl.col("cluster").first()
    )
    return cases, sigma2, df


def _paired(trials: pl.DataFrame, baseline: str, candidate: str, metric: Metric) -> Pilot | None:
    strata = [
        column
        for column in ("agent", "model")
        if set(trials.filter(side=baseline)[column]) & set(trials.filter(side=candidate)[column])
    ]
    old, sigma_old, df_old = _cells(trials, baseline, strata)
    new, sigma_new, df_new = _cells(trials, candidate, strata)
    both = old.join(new.drop("cluster"), on=["suite", "case"], suffix="_new", maintain_order="left")
    if both.height < 2:
        return None
    d = (both["mean_new"] - both["mean"]).to_numpy()
    k_old, k_new = (_harmonic(both[column]) for column in ("trials", "trials_new"))
    spread = float(np.var(d, ddof=1))
    known = df_old > 0 and df_new > 0
    noise = sigma_old / k_old + sigma_new / k_new if known else 0.0
    return Pilot(
        n=both.height,
        k=2 / (1 / k_old + 1 / k_new),
        samples=1.0,
        omega2=max(0.0, spread - noise),
        run=sigma_old + sigma_new if known else 0.0,
        judge=0.0,
        runs_known=known,
        judge_known=False,
        effect=_effect(d, both["cluster"], spread),
        counted=metric == "pass_rate",
    )


def _alone(trials: pl.DataFrame, metric: Metric) -> Pilot | None:
    """Return what one version lets expect of a comparison with the next."""
    names = trials["side"].unique().to_list()
    if len(names) != 1:
        return None
    cases, sigma2, df = _cells(trials, names[0], ["agent", "model"])
    if cases.height < 2:
        return None
    k = _harmonic(cases["trials"])
    means = cases["mean"].to_numpy()
    spread = float(np.var(means, ddof=1))
    # 2 (1 - rho) tau^2 with rho = 1/2.
    return Pilot(
        n=cases.height,
        k=k,
        samples=1.0,
        omega2=max(0.0, spread - sigma2 / k),
        run=2 * sigma2,
        judge=0.0,
        runs_known=df > 0,
        judge_known=False,
        effect=_effect(means, cases["cluster"], spread),
        counted=metric == "pass_rate",
    )


def _judging(judgements: pl.DataFrame, sides: dict[str, list[str]]) -> tuple[float | None, float]:
    """Return the variance of one judgement inside a trial, and judgements a trial; None where judged once."""
    known = []
    for runs in sides.values():
        mine = judgements.filter(pl.col("run").is_in(runs))
        found = split(mine) if mine.height else None
        if found is not None and found.sample is not None:
            known.append((found.sample, found.samples))
    if not known:
        return None, 1.0
    return float(np.mean([value for value, _ in known])), float(np.mean([count for _, count in known]))


def _average(pilots: list[Pilot]) -> Pilot:
    def mean(name: str, of: list[Pilot]) -> float:
        return float(np.mean([getattr(pilot, name) for pilot in of]))

    known = [pilot for pilot in pilots if pilot.runs_known]
    use = known or pilots
    return replace(
        use[0],
        n=round(mean("n", use)),
        k=mean("k", use),
        omega2=mean("omega2", use),
        run=mean("run", use),
        effect=mean("effect", use),
    )


def _effect(d: np.ndarray, clusters: pl.Series, spread: float) -> float:
    if clusters.drop_nulls().is_unique().all() or spread <= 1e-12:
        return 1.0
    labels = [f"\0{at}" if name is None else str(name) for at, name in enumerate(clusters.to_list())]
    error = stats.standard_error(d, clusters=labels)
    return 1.0 if error is None else max(1.0, len(d) * error**2 / spread)


def _harmonic(counts: pl.Series) -> float:
    return float(len(counts) / (1.0 / counts.to_numpy()).sum())


def _fewer(n: float) -> float:
    return n - 2 if n < _FEW else n
