"""The pass rule: the scores a trial needs to pass."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from evalkit.util.arguments import expect, is_number
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import PathError, RuleError, SuiteError
from evalkit.util.words import Option, Sentence, join_words

TOLERANCE: Final = 1e-9
"""How far below a threshold a sum of scores may lie and still reach it."""
_USUAL_SCALES: Final = ((0.0, 1.0), (1.0, 5.0), (0.0, 5.0), (0.0, 10.0), (0.0, 100.0))


@dataclass(frozen=True, slots=True)
class PassRule:
    """The condition for a trial to pass: a minimum mean, a minimum per criterion, and gates.

    A binary criterion is a gate at its maximum and is left out of the mean. If all criteria are binary, a trial
    passes when all of them pass.

    Attributes
    ----------
    mean
        Minimum mean over the criteria, in score units.
    floor
        Minimum score of every criterion, whatever its weight.
    weights
        Weight per criterion in the mean. None: the suite's weights, else 1.
    gates
        Minimum score of single criteria.
    missing
        Verdict of a trial that lacks a score. "unscored": it fails only if no missing score could make it pass.
        "fail": it fails.
    scale
        Scale of these numbers. None: the default rule (4.0 and 3.0) needs a scale of 1 to 5; any other rule
        uses the declared scale of the criteria.

    Examples
    --------
    >>> PassRule().words
    'the mean of the criteria is at least 4 and none is below 3'
    >>> PassRule(mean=4.5, weights={"Groq": 2, "Batch Api": 1}, gates={"Groq": 4}).words
    'the weighted mean of the criteria is at least 4.5 and none is below 3, and Groq reaches 4'
    """

    mean: float = 4.0
    floor: float = 3.0
    weights: Mapping[str, float] | None = None
    gates: Mapping[str, float] | None = None
    missing: Literal["unscored", "fail"] = "unscored"
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        scale: Any = self.scale
        is_pair = isinstance(scale, tuple | list) and len(scale) == 2 and all(map(is_number, scale))
        checks = {
            "mean": (is_number(self.mean), "a number, for example 4.0"),
            "floor": (is_number(self.floor), "a number, for example 3.0"),
            "missing": (self.missing in ("unscored", "fail"), "unscored or fail"),
            "weights": (_is_numbers(self.weights), "a number per criterion, for example {'Groq': 2}"),
            "gates": (_is_numbers(self.gates), "a number per criterion, for example {'Groq': 2}"),
            "scale": (scale is None or (is_pair and scale[0] < scale[1]), "(low, high), for example (1, 5)"),
        }
        for name, (is_valid, expected) in checks.items():
            if not is_valid:
                raise _field_error(name, getattr(self, name), expected)
        for name, weight in (self.weights or {}).items():
            if weight < 0:
                raise _field_error("weights", weight, "0 or more", key=name)
        if self.floor > self.mean:
            raise _field_error("floor", self.floor, f"at most the mean ({self.mean:g})")

    @property
    def words(self) -> str:
        """Describe the rule, to follow "a trial passes when"."""
        return self.words_for(())

    def words_for(self, kinds: Iterable[str | None]) -> str:
        """Describe the rule for criteria of these kinds."""
        kinds = set(kinds)
        mean = "weighted mean" if self.weights else "mean"
        text = f"the {mean} of the criteria is at least {self.mean:g} and none is below {self.floor:g}"
        if kinds == {"binary"}:
            text = "every criterion passes"
        elif "binary" in kinds:
            text += ", and every binary criterion passes"
        if self.gates:
            text += ", and " + ", ".join(f"{name} reaches {gate:g}" for name, gate in self.gates.items())
        return text + (" (a missing score fails)" if self.missing == "fail" else "")

    @classmethod
    def read(cls, path: str | Path) -> PassRule:
        """Read a rule from a YAML file; its keys are the attributes.

        Raises PathError if the file does not exist, and RuleError for an unknown key or an invalid value.
        """
        from evalkit.data.suite_yaml import parse

        expect(cls.read, locals())
        path = Path(path)
        if not path.is_file():
            raise PathError.missing(path)
        try:
            data = parse(path.read_text(encoding="utf-8"), name=str(path)).data
        except (SuiteError, UnicodeDecodeError) as error:
            raise RuleError(f"Not a rule file. {error}") from None
        known = [field.name for field in fields(cls)]
        for name in data:
            if name not in known:
                raise RuleError(
                    f"{path}: Unknown key {name!r}.", argument="path", value=str(name), choices=known
                )
        scale = data.get("scale")
        try:
            return cls(**{**data, **({"scale": tuple(scale)} if scale is not None else {})})
        except (RuleError, TypeError, ValueError, AttributeError) as error:
            raise RuleError(f"{path}: {error}") from None

    def write(self, path: str | Path) -> Path:
        """Write the rule as YAML, atomically, and return the path."""
        from evalkit.data.suite_yaml import fresh

        expect(PassRule.write, locals())
        path = Path(path)
        if not path.parent.is_dir():
            raise PathError.missing(path.parent)
        values = {name: value for name, value in self.to_dict().items() if value is not None}
        with atomic_write(path) as file:
            file.write_text(f"# A trial passes when {self.words}.\n{fresh(values)}", encoding="utf-8")
        return path

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RuledCriterion:
    """A criterion under a rule."""

    scale_min: float
    scale_max: float
    weight: float
    gate: float | None
    in_mean: bool


def apply_rule(declared: Mapping[str, Mapping[str, Any]], rule: PassRule) -> dict[str, RuledCriterion]:
    """Return each declared criterion under the rule.

    `score_range` stands in for an unknown scale. Raises RuleError if the rule has an unknown criterion or another
    scale.
    """
    for field in ("weights", "gates"):
        for name in getattr(rule, field) or {}:
            if declared and name not in declared:
                what = Sentence("{option} names an unknown criterion.", option=_rule_option(field, name))
                raise RuleError(what, argument=field, value=name, choices=declared)
    if not rule.scale:
        _require_scales(declared)
    criteria = {}
    for name, facts in declared.items():
        low, high = facts.get("scale_min"), facts.get("scale_max")
        is_binary = facts.get("kind") == "binary"
        if low is None or high is None:
            low, high = rule.scale or (0.0, 1.0)
        gate = (rule.gates or {}).get(name, high if is_binary else None)
        weight = 1.0 if facts.get("weight") is None else facts["weight"]
        if rule.weights:
            weight = rule.weights.get(name, 0.0)
        if gate is not None and not low <= gate <= high:
            raise _field_error("gates", gate, f"a score on its scale, {low:g} to {high:g}", key=name)
        criteria[name] = RuledCriterion(low, high, weight, gate, in_mean=not is_binary)
        if not is_binary:
            _require_fit(name, (low, high), rule)
    scales = {name: f"{c.scale_min:g} to {c.scale_max:g}" for name, c in criteria.items() if c.in_mean}
    if len(set(scales.values())) > 1:
        each = "; ".join(f"{name!r} {scale}" for name, scale in scales.items())
        option = Option(
            "criterion",
            python="evals.filter(criterion=[...])",
            shell="name the criteria of one scale in --mapping FILE.yaml",
        )
        raise RuleError(
            f"Criteria on different scales have no common mean ({each}).",
            fix=Sentence("Grade one scale at a time: {option}.", option=option),
        )
    return criteria


def _is_numbers(value: object) -> bool:
    return value is None or (isinstance(value, Mapping) and all(map(is_number, value.values())))


def _field_error(field: str, value: object, expected: str, *, key: str = "") -> RuleError:
    what = Sentence("Invalid {option}: {value}.", option=_rule_option(field, key), value=repr(value)[:60])
    return RuleError(what, argument=field, value=value, expected=expected)


def _rule_option(field: str, key: str = "") -> Option:
    shell = {"gates": "--gate", "weights": "--weight"}.get(field, f"--{field}")
    if not key:
        return Option(field, python=f"PassRule.{field}", shell=shell)
    return Option(field, python=f"PassRule.{field}[{key!r}]", shell=f"{shell} {shlex.quote(key)}")


DEFAULT_RULE: Final = PassRule()


def _whole_rule(mean: str, floor: str, low: float, high: float) -> Option:
    mean_word, floor_word = ("MEAN", "FLOOR") if mean == "..." else (mean, floor)
    return Option(
        "rule",
        python=f"PassRule(mean={mean}, floor={floor}, scale=({low:g}, {high:g}))",
        shell=f"--mean {mean_word} --floor {floor_word} --scale {low:g},{high:g}",
    )


def _require_scales(declared: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise if a criterion has no scale; the error shows a rule that declares one."""
    scales = {
        name: (facts.get("scale_min"), facts.get("scale_max"))
        for name, facts in declared.items()
        if facts.get("kind") != "binary"
    }
    lacking = [name for name, scale in scales.items() if None in scale]
    if not lacking:
        return
    known = dict.fromkeys(f"{low:g} to {high:g}" for low, high in scales.values() if None not in (low, high))
    text = f"No scale is declared for {join_words(map(repr, lacking), limit=6)}."
    if known:
        text += f" The other criteria are on {join_words(known)}."
    lowest, highest = declared[lacking[0]].get("score_range") or (None, None)
    if lowest is not None and highest is not None:
        text += f" The scores lie between {lowest:g} and {highest:g}."
    low, high = _likely_scale(lowest, highest)
    # The shares of the scale that the default rule takes on 1 to 5.
    mean, floor = (f"{low + share * (high - low):g}" for share in (0.75, 0.5))
    mapping = "mapping={'scale': [1, 5]}"
    template = "Declare it with the rule, for example {rule}"
    template += ", or when loading: {mapping}." if (low, high) == (1, 5) else "."
    parts = {
        "rule": _whole_rule(mean, floor, low, high),
        "mapping": Option("mapping", python=mapping, shell="--mapping FILE.yaml holding {'scale': [1, 5]}"),
    }
    raise RuleError(text, argument="scale", fix=Sentence(template, **parts))


def _likely_scale(low: float | None, high: float | None) -> tuple[float, float]:
    """Return a usual scale that holds these scores, as an example."""
    if low is None or high is None:
        return (1.0, 5.0)
    fitting = (scale for scale in _USUAL_SCALES if scale[0] <= low and high <= scale[1])
    return next(fitting, (low, max(high, low + 1)))


def _require_fit(name: str, scale: tuple[float, float], rule: PassRule) -> None:
    low, high = scale
    is_default = (rule.mean, rule.floor) == (DEFAULT_RULE.mean, DEFAULT_RULE.floor)
    rule_low, rule_high = rule.scale or ((1.0, 5.0) if is_default else scale)
    if (rule_low, rule_high) != (low, high):
        what = (
            f"The criterion {name!r} is on {low:g} to {high:g}. "
            f"The rule (mean {rule.mean:g}, floor {rule.floor:g}) is for {rule_low:g} to {rule_high:g}."
        )
    elif rule.mean > high or rule.floor < low:
        field, value = ("mean", rule.mean) if rule.mean > high else ("floor", rule.floor)
        what = f"The rule's {field} of {value:g} is outside the scale of {name!r}, {low:g} to {high:g}."
    else:
        return
    fix = Sentence("Pass a rule for this scale: {rule}.", rule=_whole_rule("...", "...", low, high))
    raise RuleError(what, argument="rule", fix=fix)
