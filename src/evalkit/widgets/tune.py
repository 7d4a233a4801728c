"""`ek.tune`: move the pass rule and see its effect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec
import polars as pl

from evalkit.data.schema import SEVERITIES
from evalkit.grading.select_scores import choose_scoring
from evalkit.grading.version_order import natural_order
from evalkit.util import format as fmt
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError
from evalkit.util.hostile_text import Html, visible
from evalkit.util.html_table import html_table
from evalkit.util.words import NOT_GIVEN, plural
from evalkit.widgets.panel import Panel, Score, section
from evalkit.widgets.tune_rates import ScoreArray, Verdicts, to_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.evals import Evals
    from evalkit.grading.applied_rule import AppliedRule
    from evalkit.grading.pass_rule import PassRule

_BY: Final = ("agent_version", "run", "model", "agent", "provider")
# Listed trials; the others are counted, and in `flips`.
_LISTED: Final = 50
_FLIP_HEADS: Final = ("Severity", "Case", "Run", "Epoch", "Mean", "Before", "After")
_Weight = Annotated[float, msgspec.Meta(ge=0, le=1000)]
_Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Tuning:
    """A rule, the base rule, and the target pass rate (0: none)."""

    rule: PassRule
    base: PassRule
    target: float = 0.0


@dataclass(eq=False, repr=False)
class Tuner(Panel):
    """The widget that `tune` returns."""

    name: ClassVar[str] = "tune"

    state: Tuning
    trials: ScoreArray
    by: str
    level: float
    path: Path
    # A sentence for synthetic data, or "".
    notice: str

    def __post_init__(self) -> None:
        base = self.state.base
        self._base = self.trials.judge(base)
        self._judged = (base, self._base)
        rates = self.trials.rates(self._base, base, [self.by], level=self.level)
        self._rates_before = dict(rates.select(self.by, "pass_rate").rows())

    def __repr__(self) -> str:
        scored = self.summary.drop_nulls("pass_rate").select(self.by, "pass_rate").iter_rows()
        rates = ", ".join(f"{_label(name)} {fmt.percent(rate, 0)}" for name, rate in scored)
        return f"Tuner: {self._words(self.rule)}. Pass rates: {rates}. {self._flip_summary(self.flips)}"

    @property
    def rule(self) -> PassRule:
        """The current rule."""
        return self.state.rule

    @property
    def flips(self) -> pl.DataFrame:
        """The trials whose verdict differs from the base rule, most severe first.

        Columns: `run`, `agent_version`, `model`, `case`, `epoch`, `severity`, `mean`, `before`, `after`.
        """
        verdicts = self._verdicts
        table = self.trials.frame.select(
            "run", "agent_version", "model", "case", "epoch", "severity"
        ).with_columns(
            pl.Series("mean", verdicts.means).fill_nan(None),
            to_words(self._base.codes).alias("before"),
            to_words(verdicts.codes).alias("after"),
        )
        order = [pl.col("severity").to_physical(), *map(natural_order, ("case", "run")), pl.col("epoch")]
        flipped = table.filter(pl.col("before") != pl.col("after"))
        return flipped.sort(order, descending=[True, False, False, False], nulls_last=True)

    @property
    def summary(self) -> pl.DataFrame:
        """Pass rates under the rule, as of `evalkit.summarize`."""
        return self._rates(self.by)

    def _words(self, rule: PassRule) -> str:
        criteria = ({**row, "criterion": name} for name, row in self.trials.declared.items())
        return rule.words_for(criteria)

    @property
    def _verdicts(self) -> Verdicts:
        if self._judged[0] != self.rule:
            self._judged = (self.rule, self.trials.judge(self.rule))
        return self._judged[1]

    def _rates(self, *by: str) -> pl.DataFrame:
        return self.trials.rates(self._verdicts, self.rule, by, level=self.level)

    def _on_set(
        self,
        mean: Score | None = None,
        floor: Score | None = None,
        weight: dict[str, _Weight] | None = None,
        gate: dict[str, Score | None] | None = None,
        target: _Rate | None = None,
        drop: Literal["mean", "floor"] | None = None,
    ) -> None:
        """Change the given fields. The floor follows a lower mean; a null gate is removed.

        Mean and floor are on the scale of the sliders: 0 to 1 if the criteria have different scales.
        """
        for name in {**(weight or {}), **(gate or {})}:
            if name not in self.trials.criteria:
                raise ColumnError(f"Unknown criterion {name!r}.", value=name, choices=self.trials.criteria)
        rule, state = self.rule, self.state
        applied = self.trials.apply(rule)
        chosen = {
            "mean": applied.mean if mean is None else mean,
            "floor": applied.floor if floor is None else floor,
        }
        if drop is not None:
            chosen[drop] = None
        if chosen["mean"] is not None and chosen["floor"] is not None:
            chosen["floor"] = min(chosen["floor"], chosen["mean"])
        gates = {name: low for name, low in {**(rule.gates or {}), **(gate or {})}.items() if low is not None}
        # A rule that names one weight has to name all.
        weights = {name: ruled.weight for name, ruled in applied.criteria.items()}

        def threshold(field: str) -> float | str | None:
            # A threshold that was not moved stays as it was given.
            value = chosen[field]
            return getattr(rule, field) if value == getattr(applied, field) else _threshold(value, applied)

        rule = replace(
            rule,
            mean=threshold("mean"),
            floor=threshold("floor"),
            weights={**weights, **weight} if weight else rule.weights,
            gates=gates or None,
        )
        # A rule for another scale is refused here, before anything changes.
        self.trials.apply(rule)
        self.state = replace(state, rule=rule, target=state.target if target is None else target)

    def _on_reset(self) -> None:
        self.state = replace(self.state, rule=self.state.base)

    def _on_save(self) -> str:
        return f"Saved to {self.save()}."

    def save(self, path: str | Path | None = None) -> Path:
        """Write the rule as YAML, by default to the path given to `tune`."""
        return self.rule.write(self.path if path is None else Path(path))

    def show(self) -> dict[str, Any]:
        """Return the sliders, the rates, the flips, the agreement and the curve."""
        curve, applied = self.trials.curve(self.rule, self.by), self.trials.apply(self.rule)
        return {
            "rule": self._sliders(),
            "groups": {"target": self.state.target, "rows": self._groups()},
            "severities": self._severities(),
            "flipped": self._flipped(),
            "agreement": self._agreement(),
            "curve": {
                "mean": applied.mean,
                "high": applied.scale[1],
                "lines": [{"name": _label(name or None), "points": points} for name, points in curve.items()],
            },
        }

    def to_html(self) -> Html:
        """Return the rule, the rates and the flips as tables."""
        target = ["Target"] if self.state.target else []
        head = [self.by.replace("_", " ").capitalize(), "Pass rate", "Cases", *target]
        rows = [[row["name"], row["words"], row["n"], row["gate"]][: len(head)] for row in self._groups()]
        flipped = self._flipped()
        flips = html_table(_FLIP_HEADS, flipped["rows"], caption="Changed verdicts")
        words = f"A trial passes when {self._words(self.rule)}. {flipped['words']}. {self._agreement() or ''}"
        rates = html_table(head, rows, row_heads=True)
        return section("tuner", self.notice, words, rates, flips if flipped["rows"] else "")

    def _sliders(self) -> dict[str, Any]:
        rule, applied = self.rule, self.trials.apply(self.rule)
        low, high = applied.scale
        criteria = [
            {
                "name": name,
                "label": visible(name),
                "weight": one.weight,
                "gate": one.gate if name in (rule.gates or {}) else None,
                "binary": not one.in_mean,
                "low": one.scale_min,
                "high": one.scale_max,
                "step": _step(one.scale_min, one.scale_max),
                "lower": one.is_lower,
            }
            for name, one in applied.criteria.items()
        ]
        return {
            "mean": applied.mean,
            "floor": applied.floor,
            "mixed": applied.is_mixed,
            "target": self.state.target,
            "criteria": criteria,
            "low": low,
            "high": high,
            "step": _step(low, high),
            "words": visible(f"A trial passes when {self._words(rule)}."),
            "base": visible(self._words(self.state.base)),
            "same": rule == self.state.base,
            "path": str(self.path),
            "notice": visible(self.notice),
        }

    def _groups(self) -> list[dict[str, Any]]:
        return [
            {
                **{name: row[name] for name in ("low", "high", "n", "unscored")},
                "name": _label(row[self.by]),
                "rate": row["pass_rate"],
                "before": self._rates_before.get(row[self.by]),
                "words": _rate_words(row),
                "method": f"{fmt.level(row['level'])} {row['method']}",
                "gate": reads_target(row["pass_rate"], row["low"], row["high"], self.state.target),
            }
            for row in self.summary.iter_rows(named=True)
        ]

    def _severities(self) -> dict[str, Any]:
        names = [_label(name) for name in self.summary[self.by]]
        cells: dict[str, dict[str, Any]] = {}
        for row in self._rates("severity", self.by).iter_rows(named=True):
            cells.setdefault(_label(row["severity"]), {})[_label(row[self.by])] = {
                "words": "–" if row["pass_rate"] is None else fmt.percent(row["pass_rate"], 0),
                "title": f"{_rate_words(row)}, {plural(row['n'], 'case')}",
                "fails": row["failed"],
            }
        order = [severity for severity in (*reversed(SEVERITIES), NOT_GIVEN) if severity in cells]
        rows = [{"name": one, "cells": [cells[one].get(name) for name in names]} for one in order]
        return {"names": names, "rows": rows}

    def _flip_summary(self, flips: pl.DataFrame) -> str:
        if flips.is_empty():
            return "No trial changes verdict"
        counts = flips["after"].cast(pl.String).value_counts().sort("after").rows()
        parts = ", ".join(f"{fmt.count(count)} now {word}" for word, count in counts)
        of = plural(self.trials.frame.height, "trial")
        return f"{fmt.count(flips.height)} of {of} change{'s' * (flips.height == 1)} verdict: {parts}"

    def _flipped(self) -> dict[str, Any]:
        flips = self.flips
        listed = flips.head(_LISTED).select(name.lower() for name in _FLIP_HEADS)
        rows = [
            [
                _label(severity),
                visible(case),
                visible(run),
                epoch,
                "–" if mean is None else fmt.number(mean),
                *verdicts,
            ]
            for severity, case, run, epoch, mean, *verdicts in listed.iter_rows()
        ]
        return {"words": self._flip_summary(flips), "rows": rows, "left": max(flips.height - _LISTED, 0)}

    def _agreement(self) -> str | None:
        estimates = self.trials.agreement(self.rule, self._verdicts.codes, level=self.level)
        if not estimates:
            return None
        exact, kappa = estimates["exact"], estimates["kappa"]
        if not exact.n:
            return "No trial has both a verdict and human labels on every criterion."
        labeled = plural(exact.n, "labeled trial")
        share = f"{fmt.percent(exact.estimate, 0)} of {labeled} have the human verdict."
        if kappa.estimate is None:
            return share
        interval = "" if kappa.low is None else f" {fmt.interval(kappa.low, kappa.high)}"
        method = f"{fmt.level(kappa.level)} {kappa.method}"
        return f"{share} Kappa {fmt.number(kappa.estimate)}{interval} ({method})."


def _threshold(value: float | None, applied: AppliedRule) -> float | str | None:
    return f"{100 * value:g}%" if applied.is_mixed and value is not None else value


def _step(low: float | None, high: float | None) -> float:
    span = 1.0 if low is None or high is None else high - low
    return 0.05 if 1 < span <= 5 else span / 100


def tune(
    evals: Evals,
    rule: PassRule | None = None,
    *,
    by: str = "agent_version",
    target: float = 0.0,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    level: float | None = None,
    path: str | Path | None = None,
) -> Tuner:
    """Move the pass rule and see its effect at once.

    Sliders set the mean, the floor, the weights and the gates. Beside them: pass rates with intervals, rates by
    severity, changed verdicts, the agreement with human labels, and the pass rate at every threshold. Without a
    kernel: tables.

    .. image:: ../docs/img/tuner_light.png

    Parameters
    ----------
    evals
        The evaluations, of one suite.
    rule
        The first rule; flips are counted against it. None: the rule of the evals.
    by
        The column of versions: agent_version, run, model, agent or provider.
    target
        The required pass rate, 0 to 1.
    grader, rubric
        As for `evalkit.grade`.
    level
        Confidence level of the intervals; None: 0.95.
    path
        The file that "Save rule" writes; None: `rule.yaml`.

    Raises
    ------
    SelectorError
        Several suites, no scores, or several graders and no `grader`.
    RuleError
        The rule is for another scale.
    ColumnError
        Unknown `by`.

    Examples
    --------
    >>> import evalkit as ek
    >>> tuner = tune(ek.demo.make())
    >>> tuner.handle({"kind": "set", "mean": 4.5})
    >>> tuner.rule.mean, tuner.flips.height > 0
    (4.5, True)
    """
    expect(tune, locals(), judged=True)
    if by not in _BY:
        raise ColumnError.missing(by, table="runs", have=_BY)
    scoring = choose_scoring(evals, rule=rule, grader=grader, rubric=rubric, level=level)
    trials = ScoreArray.of(evals, scoring)
    trials.apply(scoring.rule)
    state = Tuning(scoring.rule, scoring.rule, target)
    return Tuner(state, trials, by, scoring.level, Path(path or "rule.yaml"), evals.made_up_note)


def reads_target(rate: float | None, low: float | None, high: float | None, target: float) -> str:
    """Return whether the whole interval reaches the target: reached, missed or inconclusive."""
    if not target:
        return ""
    if rate is None or low is None or high is None:
        return "inconclusive"
    return "reached" if low >= target else "missed" if high < target else "inconclusive"


def _rate_words(row: dict[str, Any]) -> str:
    if row["pass_rate"] is None:
        return "unscored"
    return f"{fmt.percent(row['pass_rate'])} {fmt.interval(row['low'], row['high'], percent=True)}"


def _label(name: object) -> str:
    return NOT_GIVEN if name is None else visible(str(name))
