"""The pass rule: what a trial must reach, and what that means for each criterion of a suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from evalkit.util.arguments import expect, is_number
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import PathError, RuleError, SuiteError
from evalkit.util.words import did_you_mean, join_words

TOLERANCE: Final = 1e-9
"""How far below a threshold a sum of scores may lie and still reach it."""


@dataclass(frozen=True, slots=True)
class PassRule:
    """When a trial passes: the mean of its criteria reaches `mean`, none is below `floor`, every gate is reached.

    Attributes
    ----------
    mean
        What the mean of the criteria must reach, in the scores' own units.
    floor
        What every single criterion must reach.
    weights
        Criterion -> weight in the mean; None takes the suite's own weights (1 where it names none). The
        floor ignores weights.
    gates
        Criterion -> the score that it must reach, whatever the mean.
    missing
        What a trial is that lacks a score: "unscored" (or a certain fail, where no value of the missing score
        could let it pass), or "fail".
    scale
        The scale the numbers above are on. None: 4.0 and 3.0 are for a declared 1 to 5, other numbers for the
        scale that the criteria declare.

    Notes
    -----
    A binary criterion is a gate at its maximum and does not enter the mean; where all are binary, a trial
    passes when all of them do.

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
        for field in ("mean", "floor"):
            value = getattr(self, field)
            if not is_number(value):
                raise RuleError(f"PassRule.{field} is {value!r}; it may be a number, such as 4.0.")
        if self.missing not in ("unscored", "fail"):
            raise RuleError(f"PassRule.missing is {self.missing!r}; it may be 'unscored' or 'fail'.")
        for field in ("weights", "gates"):
            value = getattr(self, field)
            if value is not None and not (isinstance(value, Mapping) and all(map(is_number, value.values()))):
                raise RuleError(
                    f"PassRule.{field} is {value!r:.60}; it may be a criterion with its number: {{'Groq': 2}}."
                )
        pair: Any = self.scale
        if pair is not None and not (
            isinstance(pair, tuple | list) and len(pair) == 2 and all(map(is_number, pair))
        ):
            raise RuleError(f"PassRule.scale is {pair!r:.60}; it may be two numbers, such as (1, 5).")
        if pair is not None and pair[0] >= pair[1]:
            raise RuleError(
                f"PassRule.scale is {pair[0]:g} to {pair[1]:g}; it may be the lowest and the highest, such as (1, 5)."
            )
        if self.floor > self.mean:
            raise RuleError(
                f"PassRule.floor is {self.floor:g}, above the mean of {self.mean:g}; it may be at most the mean."
            )
        bad = [name for name, weight in (self.weights or {}).items() if not 0 <= weight < float("inf")]
        if bad:
            raise RuleError(
                f"PassRule.weights[{bad[0]!r}] is {(self.weights or {})[bad[0]]!r}; it may be 0 or more."
            )

    @property
    def words(self) -> str:
        """The rule as words for a sentence: "a trial passes when ..."."""
        return self.words_for(())

    def words_for(self, kinds: Iterable[str | None]) -> str:
        """Return the rule as words, for criteria of these kinds: what is pass or fail has no mean of 4.

        Examples
        --------
        >>> PassRule().words_for(["binary", "binary"])
        'every criterion passes'
        >>> PassRule().words_for(["binary", "ordinal"])
        'the mean of the criteria is at least 4 and none is below 3, and every one that is pass or fail passes'
        """
        found = set(kinds)
        kind = "weighted mean" if self.weights else "mean"
        text = f"the {kind} of the criteria is at least {self.mean:g} and none is below {self.floor:g}"
        if found == {"binary"}:
            text = "every criterion passes"
        elif "binary" in found:
            text += ", and every one that is pass or fail passes"
        if self.gates:
            text += ", and " + ", ".join(f"{name} reaches {gate:g}" for name, gate in self.gates.items())
        return text + (" (a missing score fails)" if self.missing == "fail" else "")

    @classmethod
    def read(cls, path: str | Path) -> PassRule:
        """Read a rule from a YAML file with the keys mean, floor, weights, gates, missing, scale.

        Raises
        ------
        PathError
            There is no such file.
        RuleError
            It has a key that no rule has, or a value that none may have; the message begins with the file.
        """
        from evalkit.data.suite_yaml import parse

        expect(cls.read, locals())
        path = Path(path)
        if not path.is_file():
            raise PathError.missing(path)
        try:
            data = parse(path.read_text(encoding="utf-8"), name=str(path)).data
        except (SuiteError, UnicodeDecodeError) as error:
            raise RuleError(f"This is no rule: {error}") from None
        known = [field.name for field in fields(cls)]
        for name in data:
            if name not in known:
                raise RuleError(
                    f"{path}: a rule has no key {name!r}.{did_you_mean(name, known)} It has: {join_words(known)}."
                )
        scale = data.get("scale")
        try:
            return cls(**{**data, **({"scale": tuple(scale)} if scale is not None else {})})
        except (RuleError, TypeError, ValueError, AttributeError) as error:
            raise RuleError(f"{path}: {error}") from None

    def write(self, path: str | Path) -> Path:
        """Write the rule as YAML, whole or not at all.

        Returns
        -------
        pathlib.Path
            The file.
        """
        from evalkit.data.suite_yaml import fresh

        expect(PassRule.write, locals())
        path = Path(path)
        if not path.parent.is_dir():
            raise PathError.missing(path.parent)
        said = {name: value for name, value in self.to_dict().items() if value is not None}
        with atomic_write(path) as file:
            file.write_text(f"# A trial passes when {self.words}.\n{fresh(said)}", encoding="utf-8")
        return path

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain data."""
        return asdict(self)


DEFAULT_RULE: Final = PassRule()


@dataclass(frozen=True, slots=True)
class RuledCriterion:
    """What the rule makes of one criterion."""

    scale_min: float
    scale_max: float
    weight: float
    gate: float | None
    in_mean: bool


def apply_rule(declared: Mapping[str, Mapping[str, Any]], rule: PassRule) -> dict[str, RuledCriterion]:
    """Say what `rule` makes of each criterion; refuse a scale that it is not for."""
    for field in ("weights", "gates"):
        for name in getattr(rule, field) or {}:
            if declared and name not in declared:
                raise RuleError(
                    f"PassRule.{field} names the criterion {name!r}, which nobody scored.{did_you_mean(name, declared)} There is: {join_words(declared)}."
                )
    _refuse_unscaled(declared, rule)
    made = {}
    for name, facts in declared.items():
        low, high = facts.get("scale_min"), facts.get("scale_max")
        binary = facts.get("kind") == "binary"
        if low is None or high is None:
            low, high = rule.scale or (0.0, 1.0)
        gate = (rule.gates or {}).get(name, high if binary else None)
        own = facts.get("weight")
        weight = rule.weights.get(name, 0.0) if rule.weights else (1.0 if own is None else own)
        if gate is not None and not low <= gate <= high:
            raise RuleError(
                f"PassRule.gates[{name!r}] is {gate:g}; it may be on the scale of the criterion, {low:g} to {high:g}."
            )
        made[name] = RuledCriterion(low, high, weight, gate, in_mean=not binary)
        if not binary:
            _check_scale(name, (low, high), rule)
    scales = {(c.scale_min, c.scale_max) for c in made.values() if c.in_mean}
    if len(scales) > 1:
        words = "; ".join(f"{n!r} {c.scale_min:g} to {c.scale_max:g}" for n, c in made.items() if c.in_mean)
        raise RuleError(
            f"One mean over criteria on different scales has no meaning ({words}); grade them apart: evals.filter(criterion=[...])."
        )
    return made


def _refuse_unscaled(declared: Mapping[str, Mapping[str, Any]], rule: PassRule) -> None:
    """Raise where nothing says on what scale a criterion is: name all of them, and all that has to be said."""
    scales = {
        name: (facts.get("scale_min"), facts.get("scale_max"))
        for name, facts in declared.items()
        if facts.get("kind") != "binary"
    }
    lacking = [name for name, scale in scales.items() if None in scale]
    if rule.scale or not lacking:
        return
    others = join_words(
        dict.fromkeys(f"{low:g} to {high:g}" for low, high in scales.values() if high is not None)
    )
    beside = f" (the others are on {others})" if len(lacking) < len(scales) else ""
    seen = declared[lacking[0]].get("seen") or (None, None)
    known = "" if None in seen else f"; the scores given lie between {seen[0]:g} and {seen[1]:g}"
    low, high = _likely_scale(*seen)
    # As high on it as the default rule asks on 1 to 5.
    mean, floor = (low + part * (high - low) for part in (0.75, 0.5))
    loading = ""
    if (low, high) == (1, 5):
        loading = "; or declare it when loading: mapping={'scale': [1, 5]}"
    raise RuleError(
        f"No scale is declared for {join_words(map(repr, lacking), limit=6)}{beside}{known}. Say it together with what must be reached on it, "
        f"as in PassRule(mean={mean:g}, floor={floor:g}, scale=({low:g}, {high:g})){loading}."
    )


def _likely_scale(low: float | None, high: float | None) -> tuple[float, float]:
    """Return a scale that scores between two ends may be on: to show how one is declared, never to go by."""
    if low is None or high is None:
        return (1.0, 5.0)
    usual = ((0.0, 1.0), (1.0, 5.0), (0.0, 5.0), (0.0, 10.0), (0.0, 100.0))
    return next((scale for scale in usual if scale[0] <= low and high <= scale[1]), (low, max(high, low + 1)))


def _check_scale(name: str, scale: tuple[float, float], rule: PassRule) -> None:
    words = f"{scale[0]:g} to {scale[1]:g}"
    fits = scale[0] <= rule.floor and rule.mean <= scale[1]
    default = (rule.mean, rule.floor) == (DEFAULT_RULE.mean, DEFAULT_RULE.floor)
    wanted = rule.scale or ((1.0, 5.0) if default else scale)
    if tuple(wanted) == tuple(scale) and fits:
        return
    if tuple(wanted) == tuple(scale):
        name_, value = ("mean", rule.mean) if rule.mean > scale[1] else ("floor", rule.floor)
        wrong = f"The rule's {name_} of {value:g} lies outside the scale of {name!r}, {words}."
    else:
        wrong = f"The criterion {name!r} is on {words}; the rule (mean {rule.mean:g}, floor {rule.floor:g}) is for {wanted[0]:g} to {wanted[1]:g}."
    raise RuleError(
        f"{wrong} Give a rule for {words}: PassRule(mean=..., floor=..., scale=({scale[0]:g}, {scale[1]:g}))."
    )
