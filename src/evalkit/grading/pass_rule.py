"""The pass rule: the scores a trial needs to pass."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

from evalkit.util.arguments import expect, is_number
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import PathError, RuleError, SuiteError
from evalkit.util.words import Option, Sentence

Threshold = float | str
"""A score, or a share of the scale as text: "75%" is 4 on 1 to 5."""

_SHARE: Final = re.compile(r"\s*(\d{1,3}(?:\.\d{1,9})?)\s*%\s*")
_EXPECTED: Final = 'a score, for example 4.0, a share of the scale, for example "75%"'


@dataclass(frozen=True, slots=True)
class PassRule:
    """The condition for a trial to pass: a minimum mean, a minimum per criterion, and gates.

    A threshold is a score, or a share of each criterion's scale: "75%" is 4 on 1 to 5. Criteria on different scales
    have a mean of shares. A lower-is-better criterion is reversed in the mean and at the floor. A binary criterion is a
    gate at its better end and is left out of the mean. If all criteria are binary, a trial passes when all of them pass.

    Attributes
    ----------
    mean
        Minimum mean over the criteria; None for no such condition.
    floor
        Minimum of every criterion, whatever its weight; None for no such condition. Without any condition a trial has
        no verdict.
    weights
        Weight per criterion in the mean. None: the suite's weights, else 1.
    gates
        Threshold of single criteria: the minimum score, or the maximum of a lower-is-better criterion. A share is
        counted from the worse end: "80%" of 0 to 1 is at most 0.2 where lower is better.
    missing
        Verdict of a trial that lacks a score: "unscored" or "fail".
    scale
        Scale of criteria without a declared one.

    Examples
    --------
    >>> PassRule().words
    'the mean of the criteria is at least 75% of the scale and none is below 50%'
    >>> PassRule(mean=4.5, floor=3, weights={"Groq": 2, "Batch Api": 1}, gates={"Groq": 4}).words
    'the weighted mean of the criteria is at least 4.5 and none is below 3, and Groq reaches 4'
    >>> PassRule(mean=None, floor=None, gates={"faithfulness": "80%"}).words
    'faithfulness reaches 80% of its scale'
    """

    mean: Threshold | None = "75%"
    floor: Threshold | None = "50%"
    weights: Mapping[str, float] | None = None
    gates: Mapping[str, Threshold] | None = None
    missing: Literal["unscored", "fail"] = "unscored"
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        scale: Any = self.scale
        is_pair = isinstance(scale, tuple | list) and len(scale) == 2 and all(map(is_number, scale))
        checks = {
            "mean": (self.mean is None or _is_threshold(self.mean), f"{_EXPECTED}, or None"),
            "floor": (self.floor is None or _is_threshold(self.floor), f"{_EXPECTED}, or None"),
            "missing": (self.missing in ("unscored", "fail"), "unscored or fail"),
            "weights": (_is_map(self.weights, is_number), "a number per criterion, for example {'Groq': 2}"),
            "gates": (
                _is_map(self.gates, _is_threshold),
                "a score or a share per criterion, for example {'Groq': 2}",
            ),
            "scale": (scale is None or (is_pair and scale[0] < scale[1]), "(low, high), for example (1, 5)"),
        }
        for name, (is_valid, expected) in checks.items():
            if not is_valid:
                raise field_error(name, getattr(self, name), expected)
        for name, weight in (self.weights or {}).items():
            if weight < 0:
                raise field_error("weights", weight, "0 or more", key=name)
        mean, floor = share_of(self.mean), share_of(self.floor)
        if mean is None and floor is None:
            mean, floor = _number(self.mean), _number(self.floor)
        if mean is not None and floor is not None and floor > mean:
            raise field_error("floor", self.floor, f"at most the mean ({spell(self.mean)})")

    @property
    def words(self) -> str:
        """Describe the rule, to follow "a trial passes when"."""
        return self.words_for(())

    def words_for(self, criteria: Iterable[Mapping[str, Any]]) -> str:
        """Describe the rule for criteria: rows of the `criteria` table."""
        rows = list(criteria)
        in_mean = [row for row in rows if row.get("kind") != "binary"]
        scale = self._scale_of(in_mean)
        parts = self._mean_and_floor(scale) if in_mean or not rows else []
        if len(in_mean) < len(rows):
            parts.append(f"every {'binary ' * bool(in_mean)}criterion passes")
        known = {row["criterion"]: row for row in rows}
        if self.gates:
            gates = (_gate_words(name, gate, known.get(name, {})) for name, gate in self.gates.items())
            parts.append(", and ".join(gates))
        text = ", and ".join(parts) or "a condition is set (there is none)"
        reversed_names = [str(row["criterion"]) for row in in_mean if row.get("direction") == "lower"]
        if reversed_names and (self.mean is not None or self.floor is not None):
            text += f" (lower is better for {', '.join(reversed_names)}: reversed)"
        return text + (" (a missing score fails)" if self.missing == "fail" else "")

    def words_for_criterion(self, criteria: Iterable[Mapping[str, Any]]) -> str:
        """Describe the condition of a single criterion, to follow "a score passes when it"."""
        rows = list(criteria)
        in_mean = [row for row in rows if row.get("kind") != "binary"]
        scale = self._scale_of(in_mean)
        mean = self.floor if self.mean is None else self.mean
        parts = []
        if mean is not None and (in_mean or not rows):
            text = spell(mean, scale) or ""
            lower = [str(row["criterion"]) for row in in_mean if row.get("direction") == "lower"]
            parts.append(f"reaches {text}{' of the scale' * text.endswith('%')}")
            parts[0] += f" (reversed for {', '.join(lower)})" if lower else ""
        if len(in_mean) < len(rows):
            parts.append("is the best of a binary criterion")
        if self.gates:
            parts.append("reaches the gate of its criterion")
        return ", or ".join(parts) or "has a threshold (there is none)"

    def thresholds_for(self, criteria: Iterable[Mapping[str, Any]]) -> tuple[str | None, str | None]:
        """Return mean and floor as text: as scores if the criteria share one scale."""
        scale = self._scale_of([row for row in criteria if row.get("kind") != "binary"])
        return spell(self.mean, scale), spell(self.floor, scale)

    def _scale_of(self, rows: list[Mapping[str, Any]]) -> tuple[float, float] | None:
        """Return the one scale of criteria; None if they differ."""
        scales = {(row.get("scale_min"), row.get("scale_max")) for row in rows}
        low, high = next(iter(scales)) if len(scales) == 1 else (None, None)
        if low is not None and high is not None:
            return low, high
        return self.scale if len(scales) < 2 else None

    def _mean_and_floor(self, scale: tuple[float, float] | None) -> list[str]:
        mean, floor = (spell(value, scale) for value in (self.mean, self.floor))
        of_scale = " of the scale"
        if mean is None:
            what = f"{floor}{of_scale * floor.endswith('%')}" if floor else ""
            return [f"no criterion is below {what}"] if what else []
        word = "weighted mean" if self.weights else "mean"
        text = f"the {word} of the criteria is at least {mean}{of_scale * mean.endswith('%')}"
        return [text + (f" and none is below {floor}" if floor else "")]

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


def share_of(value: Threshold | None) -> float | None:
    """Return a share of the scale as a number from 0 to 1; None for a score.

    >>> share_of("75%"), share_of(4.0)
    (0.75, None)
    """
    match = _SHARE.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) / 100 if match else None


def score_at(value: Threshold, low: float, high: float) -> float:
    """Return a threshold as a score of a scale, exact in decimals.

    >>> score_at("75%", 1, 5), score_at("70%", 0, 1)
    (4.0, 0.7)
    """
    share = share_of(value)
    if share is None:
        return float(value)
    bottom, top, part = (Fraction(repr(number)) for number in (float(low), float(high), share))
    return float(bottom + part * (top - bottom))


def spell(value: Threshold | None, scale: tuple[float, float] | None = None) -> str | None:
    """Return a threshold as text: as a score where the scale is known, else as it was given."""
    if value is None:
        return None
    share = share_of(value)
    if share is None:
        return f"{float(value):g}"
    return f"{100 * share:g}%" if scale is None else f"{score_at(value, *scale):g}"


def field_error(field: str, value: object, expected: str, *, key: str = "") -> RuleError:
    """Return the error for an invalid field of a rule."""
    what = Sentence("Invalid {option}: {value}.", option=rule_option(field, key), value=repr(value)[:60])
    return RuleError(what, argument=field, value=value, expected=expected)


def rule_option(field: str, key: str = "") -> Option:
    """Return a field of the rule as an option of Python and of the command line."""
    shell = {"gates": "--gate", "weights": "--weight"}.get(field, f"--{field}")
    if not key:
        return Option(field, python=f"PassRule.{field}", shell=shell)
    return Option(field, python=f"PassRule.{field}[{key!r}]", shell=f"{shell} {shlex.quote(key)}")


def _gate_words(name: str, gate: Threshold, row: Mapping[str, Any]) -> str:
    low, high, is_lower = row.get("scale_min"), row.get("scale_max"), row.get("direction") == "lower"
    verb = "is at most" if is_lower else "reaches"
    if share_of(gate) is None:
        return f"{name} {verb} {spell(gate)}"
    if low is None or high is None:
        return f"{name} reaches {spell(gate)} of its scale"
    return f"{name} {verb} {score_at(gate, high, low) if is_lower else score_at(gate, low, high):g}"


def _is_threshold(value: object) -> bool:
    if isinstance(value, str):
        share = share_of(value)
        return share is not None and share <= 1
    return is_number(value)


def _is_map(value: object, is_valid: Callable[[object], bool]) -> bool:
    return value is None or (isinstance(value, Mapping) and all(map(is_valid, value.values())))


def _number(value: Threshold | None) -> float | None:
    return None if value is None or isinstance(value, str) else float(value)


DEFAULT_RULE: Final = PassRule()
"""Mean at 75%, floor at 50% of each scale: 4.0 and 3.0 on 1 to 5."""
LOOKING: Final = PassRule(mean=None, floor=None)
"""No condition, so no verdict: for what only shows scores."""
