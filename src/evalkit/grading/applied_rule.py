"""A pass rule on the criteria of a suite: each threshold as a score, each score on one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evalkit.grading.pass_rule import PassRule, field_error, rule_option, score_at, share_of, spell
from evalkit.util.errors import RuleError
from evalkit.util.words import Option, Sentence, join_words

if TYPE_CHECKING:
    from collections.abc import Mapping

_USUAL_SCALES: Final = ((0.0, 1.0), (1.0, 5.0), (0.0, 5.0), (0.0, 10.0), (0.0, 100.0))
# Sums of floats are equal to their decimal value within this share of the largest score.
EXACT: Final = 1e-12


def tolerance_of(*scores: float | None) -> float:
    """Return the largest error of a float among scores of this size."""
    return EXACT * max([1.0, *(abs(score) for score in scores if score is not None)])


@dataclass(frozen=True, slots=True)
class RuledCriterion:
    """A criterion under a rule; `mean`, `floor` and `gate` are scores of its own scale, None for no condition."""

    scale_min: float | None
    scale_max: float | None
    weight: float
    in_mean: bool
    is_lower: bool
    mean: float | None
    floor: float | None
    gate: float | None
    # Without a better end a criterion is shown and counts in no verdict.
    has_direction: bool = True
    # A score times `factor` plus `offset` lies on the scale of the mean, higher is better.
    factor: float = 1.0
    offset: float = 0.0

    @property
    def threshold(self) -> float | None:
        """The score that passes this criterion by itself; None if every score does."""
        return next((value for value in (self.gate, self.mean, self.floor) if value is not None), None)

    @property
    def least(self) -> float | None:
        """The worst score that does not fail the trial by itself; None if every score is allowed."""
        return self.floor if self.gate is None else self.gate

    @property
    def direction(self) -> str:
        """The better end: higher, lower or none."""
        return "lower" if self.is_lower else "higher" if self.has_direction else "none"

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is."""
        return -1 if self.is_lower else 1

    @property
    def tolerance(self) -> float:
        """The largest error of a float in a score of this scale."""
        return tolerance_of(self.scale_min, self.scale_max, self.gate)


@dataclass(frozen=True, slots=True)
class AppliedRule:
    """A rule on criteria. `mean`, `floor` are on `scale`: that of all criteria, or 0 to 1 if their scales differ."""

    rule: PassRule
    criteria: dict[str, RuledCriterion]
    scale: tuple[float, float]
    mean: float | None
    floor: float | None
    is_mixed: bool

    @property
    def has_condition(self) -> bool:
        """Whether a score can fail a trial."""
        has_gate = any(c.gate is not None for c in self.criteria.values())
        return self.mean is not None or self.floor is not None or has_gate

    @property
    def tolerance(self) -> float:
        """The largest error of a float in a mean of scores."""
        return tolerance_of(*self.scale)

    @property
    def floor_reason(self) -> str:
        """Why a trial fails at the floor."""
        is_plain = not self.is_mixed and not any(c.is_lower for c in self.criteria.values())
        return (
            f"a criterion is below {self.floor:g}"
            if is_plain and self.floor is not None
            else "a criterion misses its floor"
        )

    @property
    def mean_reason(self) -> str:
        """Why a trial fails by its mean."""
        if self.is_mixed or self.mean is None:
            return f"the mean is below {spell(self.rule.mean)} of the scale"
        return f"the mean is below {self.mean:g}"


def apply_rule(declared: Mapping[str, Mapping[str, Any]], rule: PassRule) -> AppliedRule:
    """Apply a rule to declared criteria: rows of the `criteria` table by name.

    `score_range` of a row is an observed range, for the error if no scale is declared. Raises RuleError if the rule has
    an unknown criterion, a number for another scale, or needs a scale that is not declared.
    """
    for field in ("weights", "gates"):
        for name in getattr(rule, field) or {}:
            if declared and name not in declared:
                what = Sentence("{option} names an unknown criterion.", option=rule_option(field, name))
                raise RuleError(what, argument=field, value=name, choices=declared)
    scales = {name: _scale(facts, rule) for name, facts in declared.items()}
    undirected = {name for name, facts in declared.items() if _has_no_better_end(facts)}
    counted = {name: facts for name, facts in declared.items() if name not in undirected}
    _require_scales(counted, {name: scales[name] for name in counted}, rule)
    in_mean = {name for name, facts in declared.items() if facts.get("kind") != "binary"} - undirected
    distinct = {scale for name, scale in scales.items() if name in in_mean and scale is not None}
    is_mixed = len(distinct) > 1
    if is_mixed:
        _refuse_numbers(rule, {name: scales[name] for name in sorted(in_mean)})
    common = (0.0, 1.0) if is_mixed else next(iter(distinct), (0.0, 1.0))
    criteria = {
        name: _ruled(name, facts, scales[name], rule, in_mean=name in in_mean, is_mixed=is_mixed)
        for name, facts in declared.items()
    }
    mean, floor = (None if value is None else score_at(value, *common) for value in (rule.mean, rule.floor))
    if mean is not None and floor is not None and floor > mean:
        raise field_error("floor", rule.floor, f"at most the mean ({spell(rule.mean)})")
    return AppliedRule(rule, criteria, common, mean, floor, is_mixed)


def _has_no_better_end(facts: Mapping[str, Any]) -> bool:
    return facts.get("direction") == "none" or facts.get("kind") == "nominal"


def _scale(facts: Mapping[str, Any], rule: PassRule) -> tuple[float, float] | None:
    low, high = facts.get("scale_min"), facts.get("scale_max")
    if low is not None and high is not None:
        return float(low), float(high)
    if rule.scale is not None:
        return rule.scale
    return (0.0, 1.0) if facts.get("kind") == "binary" else None


def _ruled(
    name: str,
    facts: Mapping[str, Any],
    scale: tuple[float, float] | None,
    rule: PassRule,
    *,
    in_mean: bool,
    is_mixed: bool,
) -> RuledCriterion:
    is_lower = facts.get("direction") == "lower"
    weight = 1.0 if facts.get("weight") is None else float(facts["weight"])
    if rule.weights:
        weight = float(rule.weights.get(name, 0.0))
    gate = (rule.gates or {}).get(name)
    if _has_no_better_end(facts):
        low_high = scale or (None, None)
        return RuledCriterion(
            scale_min=low_high[0],
            scale_max=low_high[1],
            weight=weight,
            in_mean=False,
            is_lower=False,
            mean=None,
            floor=None,
            gate=None,
            has_direction=False,
        )
    if scale is None:
        return RuledCriterion(
            None, None, weight, in_mean, is_lower, None, None, None if gate is None else float(gate)
        )
    low, high = scale
    worse, better = (high, low) if is_lower else (low, high)
    if gate is not None:
        gate = score_at(gate, worse, better)
        if not low <= gate <= high:
            raise field_error("gates", gate, f"a score on its scale, {low:g} to {high:g}", key=name)
    elif not in_mean:
        gate = better
    thresholds: dict[str, float | None] = {"mean": None, "floor": None}
    for field in thresholds if in_mean else ():
        value = getattr(rule, field)
        if value is None:
            continue
        score = score_at(value, low, high)
        is_elsewhere = share_of(value) is None and rule.scale not in (None, scale)
        if is_elsewhere or not low <= score <= high:
            where = (
                f"for {rule.scale[0]:g} to {rule.scale[1]:g}, not for"
                if is_elsewhere and rule.scale
                else "outside"
            )
            raise RuleError(
                f"The rule's {field} of {score:g} is {where} the scale of {name!r}, {low:g} to {high:g}.",
                argument="rule",
                fix=Sentence("Pass a rule for this scale: {rule}.", rule=_shares()),
            )
        thresholds[field] = low + high - score if is_lower else score
    factor, offset = (-1.0, low + high) if is_lower else (1.0, 0.0)
    if is_mixed and in_mean:
        span = high - low
        factor, offset = (-1 / span, high / span) if is_lower else (1 / span, -low / span)
    return RuledCriterion(
        low,
        high,
        weight,
        in_mean,
        is_lower,
        mean=thresholds["mean"],
        floor=thresholds["floor"],
        gate=gate,
        factor=factor,
        offset=offset,
    )


def _shares() -> Option:
    return Option("rule", python='PassRule(mean="75%", floor="50%")', shell="--mean 75% --floor 50%")


def _refuse_numbers(rule: PassRule, scales: Mapping[str, tuple[float, float] | None]) -> None:
    """Raise if the mean or the floor is a number: it fits one of several scales at most."""
    for field in ("mean", "floor"):
        value = getattr(rule, field)
        if value is not None and share_of(value) is None:
            each = "; ".join(f"{name!r} {low:g} to {high:g}" for name, (low, high) in _known(scales).items())
            raise RuleError(
                f"A {field} of {spell(value)} is for one scale, and the criteria are on several ({each}).",
                argument=field,
                value=value,
                fix=Sentence("Pass shares of the scales: {rule}.", rule=_shares()),
            )


def _known(scales: Mapping[str, tuple[float, float] | None]) -> dict[str, tuple[float, float]]:
    return {name: scale for name, scale in scales.items() if scale is not None}


def _require_scales(
    declared: Mapping[str, Mapping[str, Any]],
    scales: Mapping[str, tuple[float, float] | None],
    rule: PassRule,
) -> None:
    """Raise if a criterion needs a scale and has none; the error shows a rule that declares one."""
    has_mean = rule.mean is not None or rule.floor is not None
    gates = rule.gates or {}
    lacking = [
        name
        for name, scale in scales.items()
        if scale is None and (has_mean or share_of(gates.get(name)) is not None)
    ]
    if not lacking:
        return
    known = dict.fromkeys(f"{low:g} to {high:g}" for low, high in _known(scales).values())
    text = f"No scale is declared for {join_words(map(repr, lacking), limit=6)}."
    if known:
        text += f" The other criteria are on {join_words(known)}."
    lowest, highest = declared[lacking[0]].get("score_range") or (None, None)
    if lowest is not None and highest is not None:
        text += f" The scores lie between {lowest:g} and {highest:g}."
    low, high = _likely_scale(lowest, highest)
    template = "Declare it with the rule, for example {rule}"
    template += ", or when loading: {mapping}." if (low, high) == (1, 5) else "."
    parts = {
        "rule": Option(
            "rule", python=f"PassRule(scale=({low:g}, {high:g}))", shell=f"--scale {low:g},{high:g}"
        ),
        "mapping": Option(
            "mapping",
            python="mapping={'scale': [1, 5]}",
            shell="--mapping FILE.yaml holding {'scale': [1, 5]}",
        ),
    }
    raise RuleError(text, argument="scale", fix=Sentence(template, **parts))


def _likely_scale(low: float | None, high: float | None) -> tuple[float, float]:
    """Return a usual scale that holds these scores, as an example."""
    if low is None or high is None:
        return (1.0, 5.0)
    fitting = (scale for scale in _USUAL_SCALES if scale[0] <= low and high <= scale[1])
    return next(fitting, (low, max(high, low + 1)))
