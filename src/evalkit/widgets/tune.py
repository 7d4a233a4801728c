"""`ek.tune`: move the pass rule, and see what it does to rates, flips and agreement with people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import polars as pl

from evalkit.data.schema import SEVERITIES
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.version_order import natural_order
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError
from evalkit.util.hostile_text import Html, escape, visible
from evalkit.util.words import NOT_GIVEN, plural
from evalkit.widgets.panel import Panel
from evalkit.widgets.tune_rates import Trials, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from evalkit.data.evals import Evals

_BY: Final = ("agent_version", "run", "model", "agent", "provider")
# So many changed trials are listed; the rest is plural, and in `flips`.
_LISTED: Final = 50
_Score = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
_Weight = Annotated[float, msgspec.Meta(ge=0, le=1000)]


class Set(msgspec.Struct, tag_field="kind", tag="set", forbid_unknown_fields=True):
    """Change the rule: what is not named stays. A gate that is null is none."""

    mean: _Score | None = None
    floor: _Score | None = None
    weight: dict[str, _Weight] | None = None
    gate: dict[str, _Score | None] | None = None
    target: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class Reset(msgspec.Struct, tag_field="kind", tag="reset", forbid_unknown_fields=True):
    """Go back to the rule that all is held against."""


class Keep(msgspec.Struct, tag_field="kind", tag="keep", forbid_unknown_fields=True):
    """Write the rule into its file."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is being tried.

    Attributes
    ----------
    rule
        The rule as it is set now.
    base
        The rule that it is held against.
    target
        The pass rate that a version has to show, from 0 to 1; 0: none is asked for.
    """

    rule: PassRule
    base: PassRule
    target: float = 0.0

    def moved(self, asked: Set, *, weights: dict[str, float]) -> Tuning:
        """Return the state after a change; the floor follows a mean that goes below it.

        `weights` are those that hold now: a rule that names one weight has to name all.
        """
        rule = self.rule
        mean = rule.mean if asked.mean is None else asked.mean
        floor = min(rule.floor if asked.floor is None else asked.floor, mean)
        gates = {**(rule.gates or {}), **(asked.gate or {})}
        changed = replace(
            rule,
            mean=mean,
            floor=floor,
            weights={**weights, **asked.weight} if asked.weight else rule.weights,
            gates={name: gate for name, gate in gates.items() if gate is not None} or None,
        )
        return replace(self, rule=changed, target=self.target if asked.target is None else asked.target)


class Tuner(Panel):
    """A pass rule to try. Displays itself in a notebook; made by `tune`.

    Attributes
    ----------
    rule
        The rule as it is set now: a `PassRule` to keep.
    flips
        polars frame, the trials whose verdict differs from that of the base rule, the worst severity first: `run`,
        `agent_version`, `model`, `case`, `epoch`, `severity`, `mean`, `before`, `after`.
    summary
        polars frame: pass rates under the rule, as `evalkit.summarize` has them.
    """

    name = "tune"
    parts = ("rule", "groups", "severities", "flipped", "agreed", "curve")
    messages = Set | Reset | Keep

    def __init__(
        self, trials: Trials, state: Tuning, *, by: str, level: float, path: Path | None, notes: Sequence[str]
    ) -> None:
        self.trials = trials
        self.state = state
        self.by = by
        self.level = level
        self.path = path
        self._made_up = next((note for note in notes if "made up" in note), "")
        self._base = trials.judge(state.base)

    def __repr__(self) -> str:
        rates = ", ".join(
            f"{visible(str(row[self.by]))} {row['pass_rate']:.0%}"
            for row in self.summary.iter_rows(named=True)
            if row["pass_rate"] is not None
        )
        return f"Tuner: {self.rule.words}; pass rates {rates}; {plural(self.flips.height, 'trial differs', plural='trials differ')}"

    @property
    def rule(self) -> PassRule:
        """The rule as it is set now."""
        return self.state.rule

    @property
    def flips(self) -> pl.DataFrame:
        """The trials whose verdict differs from that of the base rule."""
        codes, means = self._judged
        frame = self.trials.frame.select("run", "agent_version", "model", "case", "epoch", "severity")
        table = frame.with_columns(
            pl.Series("mean", means).fill_nan(None),
            words(self._base[0]).alias("before"),
            words(codes).alias("after"),
        )
        differ = table.filter(pl.Series(codes != self._base[0]))
        order = [
            pl.col("severity").to_physical(),
            natural_order("case"),
            natural_order("run"),
            pl.col("epoch"),
        ]
        return differ.sort(order, descending=[True, False, False, False], nulls_last=True)

    @property
    def summary(self) -> pl.DataFrame:
        """Pass rates under the rule."""
        return self.trials.rates(*self._judged, self.rule, [self.by], level=self.level)

    @property
    def _judged(self) -> tuple[np.ndarray, np.ndarray]:
        rule = self.state.rule
        if self._kept is None or self._kept[0] != rule:
            self._kept = (rule, self.trials.judge(rule))
        return self._kept[1]

    _kept: tuple[PassRule, tuple[np.ndarray, np.ndarray]] | None = None

    @cached_property
    def _rates_before(self) -> dict[str | None, float | None]:
        before = self.trials.rates(*self._base, self.state.base, [self.by], level=self.level)
        return dict(before.select(self.by, "pass_rate").iter_rows())

    def show(self) -> dict[str, Any]:
        """Return the sliders, the rates by group and severity, what flipped, the agreement, the curve."""
        return {
            "rule": self._sliders(),
            "groups": self._groups(),
            "severities": self._severities(),
            "flipped": self._flipped(),
            "agreed": self._agreed(),
            "curve": self._curve(),
        }

    def receive(self, message: Set | Reset | Keep) -> str | None:
        """Change, reset or keep the rule."""
        if isinstance(message, Keep):
            return f"Written to {self.save()}."
        if isinstance(message, Reset):
            self.state = replace(self.state, rule=self.state.base)
            return None
        for named in (message.weight, message.gate):
            for name in named or ():
                if name not in self.trials.criteria:
                    raise ColumnError(f"There is no criterion {name!r}.")
        ruled = self.trials.ruled(self.rule)
        state = self.state.moved(message, weights={name: one.weight for name, one in ruled.items()})
        # A rule for another scale is refused here, before anything has changed.
        self.trials.ruled(state.rule)
        self.state = state
        return None

    def save(self, path: str | Path | None = None) -> Path:
        """Write the rule as YAML: into the given file, or the one that `tune` was told, or `rule.yaml`.

        Returns
        -------
        pathlib.Path
            The file; `evalkit.PassRule.read` reads it.
        """
        return self.rule.write(Path(path) if path is not None else self.path or Path("rule.yaml"))

    def to_html(self) -> Html:
        """Return the rule, the rates and the flips as tables."""
        groups = "".join(
            f"<tr><th scope='row'>{escape(row['name'])}</th><td>{row['words']}</td><td>{row['n']}</td>"
            + (f"<td>{escape(row['gate'])}</td></tr>" if self.state.target else "</tr>")
            for row in self._groups()
        )
        flips = "".join(
            f"<tr><td>{escape(row['severity'])}</td><td>{escape(row['case'])}</td><td>{escape(row['run'])}</td>"
            f"<td>{row['epoch']}</td><td>{row['before']}</td><td>{row['after']}</td></tr>"
            for row in self._flipped()["rows"]
        )
        head = f"<th scope='col'>{escape(self.by.replace('_', ' '))}</th>"
        target = "<th scope='col'>target</th>" if self.state.target else ""
        agreed = self._agreed()
        return Html(
            f"<section class='ek ek-tuner'>{self._notice()}<p>A trial passes when {escape(self.rule.words)}. "
            f"{escape(self._flipped()['words'])} {escape(agreed['words'] if agreed else '')}</p>"
            f"<table><thead><tr>{head}<th scope='col'>pass rate</th><th scope='col'>cases</th>"
            f"{target}</tr></thead><tbody>{groups}</tbody></table>"
            + (
                "<table><caption>Trials whose verdict differs</caption><thead><tr><th scope='col'>severity</th>"
                "<th scope='col'>case</th><th scope='col'>run</th><th scope='col'>epoch</th><th scope='col'>before"
                f"</th><th scope='col'>now</th></tr></thead><tbody>{flips}</tbody></table>"
                if flips
                else ""
            )
            + "</section>"
        )

    def _notice(self) -> str:
        return f"<p><em>{escape(self._made_up)}</em></p>" if self._made_up else ""

    def _sliders(self) -> dict[str, Any]:
        low, high = self.trials.scale
        ruled = self.trials.ruled(self.rule)
        criteria = [
            {
                "name": name,
                "shown": visible(name),
                "weight": ruled[name].weight,
                "gate": (self.rule.gates or {}).get(name),
                "binary": not ruled[name].in_mean,
            }
            for name in self.trials.criteria
        ]
        return {
            "mean": self.rule.mean,
            "floor": self.rule.floor,
            "low": low,
            "high": high,
            "step": 0.05 if high - low <= 5 else (high - low) / 100,
            "target": self.state.target,
            "criteria": criteria,
            "words": visible(f"A trial passes when {self.rule.words}."),
            "base": visible(self.state.base.words),
            "same": self.rule == self.state.base,
            "path": str(self.path or "rule.yaml"),
            "notice": visible(self._made_up),
        }

    def _groups(self) -> list[dict[str, Any]]:
        made = []
        for row in self.summary.iter_rows(named=True):
            rate, before = row["pass_rate"], self._rates_before.get(row[self.by])
            made.append(
                {
                    "name": _named(row[self.by]),
                    "rate": rate,
                    "low": row["low"],
                    "high": row["high"],
                    "before": before,
                    "n": row["n"],
                    "unscored": row["unscored"],
                    "words": _rate_words(rate, row["low"], row["high"]),
                    "method": f"{row['level']:.0%} {row['method']}",
                    "gate": reads_target(rate, row["low"], row["high"], self.state.target),
                }
            )
        return made

    def _severities(self) -> dict[str, Any]:
        rates = self.trials.rates(*self._judged, self.rule, ["severity", self.by], level=self.level)
        names = [row["name"] for row in self._groups()]
        cells = {
            (_named(row["severity"]), _named(row[self.by])): {
                "words": "–" if row["pass_rate"] is None else f"{row['pass_rate']:.0%}",
                "title": f"{_rate_words(row['pass_rate'], row['low'], row['high'])}, {plural(row['n'], 'case')}",
                "fails": row["failed"],
            }
            for row in rates.iter_rows(named=True)
        }
        there = {severity for severity, _ in cells}
        order = [word for word in (*reversed(SEVERITIES), _named(None)) if word in there]
        return {
            "names": names,
            "rows": [{"name": s, "cells": [cells.get((s, n)) for n in names]} for s in order],
        }

    def _flipped(self) -> dict[str, Any]:
        flips = self.flips
        lost = flips.filter(pl.col("before") == "pass").height
        won = flips.filter(pl.col("after") == "pass").height
        rest = flips.height - lost - won
        parts = [
            plural(lost, "no longer passes", plural="no longer pass"),
            plural(won, "passes now", plural="pass now"),
            *([plural(rest, "changes otherwise", plural="change otherwise")] if rest else []),
        ]
        said = (
            "No trial's verdict differs from the base rule."
            if flips.is_empty()
            else (
                f"{flips.height:,} of {plural(self.trials.frame.height, 'trial')} with another verdict than under the base rule: {', '.join(parts)}."
            )
        )
        rows = [
            {
                **row,
                "case": visible(row["case"]),
                "run": visible(row["run"]),
                "severity": _named(row["severity"]),
                "mean": None if row["mean"] is None else round(row["mean"], 2),
            }
            for row in flips.head(_LISTED).iter_rows(named=True)
        ]
        return {"words": said, "rows": rows, "left": max(flips.height - _LISTED, 0)}

    def _agreed(self) -> dict[str, Any] | None:
        found = self.trials.agreement(self.rule, self._judged[0], level=self.level)
        if not found:
            return None
        same, kappa = found["exact"], found["kappa"]
        if not same.n:
            return {"words": "No trial has both a verdict and the labels of people on every criterion."}
        share = f"Of {plural(same.n, 'labelled trial')} {same.estimate:.0%} got the verdict that people's scores give"
        if kappa.estimate is None:
            return {"words": f"{share}."}
        between = "" if kappa.low is None else f" [{kappa.low:.2f}, {kappa.high:.2f}]"
        return {"words": f"{share}; kappa {kappa.estimate:.2f}{between} ({kappa.level:.0%} {kappa.method})."}

    def _curve(self) -> dict[str, Any]:
        lines = self.trials.curve(self.rule, self.by)
        return {
            "at": self.rule.mean,
            "lines": [{"name": _named(name or None), "points": points} for name, points in lines.items()],
        }


def tune(
    evals: Evals,
    rule: PassRule = DEFAULT_RULE,
    *,
    by: str = "agent_version",
    target: float = 0.0,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    level: float = 0.95,
    path: str | Path | None = None,
) -> Tuner:
    """Move the pass rule and see at once what it does.

    Sliders for the mean, the floor, the weights and the gates; beside them the pass rate of each version with its
    interval, the rates by severity, the trials whose verdict differs from the rule that was given, how far the
    verdicts agree with people's, and the pass rate at every threshold. Without a kernel: the same as tables.

    .. image:: ../docs/img/tuner_light.png

    Parameters
    ----------
    evals
        What was loaded, of one suite.
    rule
        The rule to begin with; flips are plural against it.
    by
        What the versions are told apart by: agent_version, run, model, agent or provider.
    target
        The pass rate (0 to 1) that a version has to show; it can be moved too.
    grader, rubric
        As for `evalkit.grade`.
    level
        Confidence of the intervals.
    path
        Where "Write" puts the rule; `rule.yaml` otherwise.

    Returns
    -------
    Tuner
        Displays itself; `.rule` is the rule as it is set, `.flips` and `.summary` are frames, `.save()` writes the
        rule as YAML.

    Raises
    ------
    SelectorError
        There are several suites, no scores, or several graders and nothing that chooses.
    RuleError
        The rule is for another scale.
    ColumnError
        `by` is no column of runs.

    Examples
    --------
    >>> import evalkit as ek
    >>> tuner = tune(ek.demo.make())
    >>> tuner.handle({"kind": "set", "mean": 4.5})
    >>> tuner.rule.mean, tuner.flips.height > 0
    (4.5, True)
    """
    expect(tune, locals())
    if by not in _BY:
        raise ColumnError.missing(by, table="runs", have=_BY)
    trials = Trials.of(evals, rule, grader=grader, rubric=rubric)
    trials.ruled(rule)
    state = Tuning(rule, rule, target)
    where = Path(path) if path is not None else None
    return Tuner(trials, state, by=by, level=level, path=where, notes=evals.notes)


def reads_target(rate: float | None, low: float | None, high: float | None, target: float) -> str:
    """Say whether a pass rate shows a target: with its whole interval, not at all, or neither.

    Examples
    --------
    >>> (
    ...     reads_target(0.9, 0.8, 0.95, 0.75),
    ...     reads_target(0.9, 0.6, 0.95, 0.75),
    ...     reads_target(0.5, 0.3, 0.7, 0.75),
    ... )
    ('shown', 'cannot be told', 'missed')
    """
    if not target:
        return ""
    if rate is None or low is None or high is None:
        return "cannot be told"
    return "shown" if low >= target else "missed" if high < target else "cannot be told"


def _rate_words(rate: float | None, low: float | None, high: float | None) -> str:
    return "nothing scored" if rate is None else f"{rate:.1%} [{low:.1%}, {high:.1%}]"


def _named(name: object) -> str:
    return NOT_GIVEN if name is None else visible(str(name))
