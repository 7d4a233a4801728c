"""Guess which columns are judgements, their scale, direction, grader and rationale."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from evalkit.readers import guess_rules as rules
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from evalkit.readers.column_stats import ColumnStats

SURE: Final = 0.8
"""A guess this sure needs no question."""
LIKELY: Final = 0.55
"""A column this likely to be a judgement is one."""
_MAYBE: Final = 0.3
_TWINS: Final = re.compile(r"_(result|threshold|passed|success)$")
_GENERIC: Final = (
    "score",
    "value",
    "outputs",
    "scores",
    "metrics",
    "metric_data",
    "evaluation",
    "evals",
    "results",
)
_AXES: Final = re.compile(r"(?:^|_)(0|1)_(\d{1,3})(?:$|_)")


@dataclass(slots=True)
class GuessedCriterion:
    """A column that is a judgement.

    `points` is how likely it is one, `scale_sure` how likely its scale is right.
    """

    column: ColumnStats
    points: float
    name: str = ""
    scale: tuple[float, float] | None = None
    scale_sure: float = 0.0
    scale_why: str = ""
    is_binary: bool = False
    direction: str = ""
    grader: str = ""
    is_people: bool = False
    rationale: str = ""
    values: dict[str, float | None] = field(default_factory=dict)
    unit: str = ""
    of: str = ""

    def spec(self) -> dict[str, Any]:
        """Return what the mapping says of it beside its name."""
        spec: dict[str, Any] = {"criterion": self.name} if self.name != self.column.name else {}
        if self.scale is not None and (self.scale_sure >= 0.5):
            spec["scale"] = [_short(end) for end in self.scale]
        for key in ("direction", "grader", "rationale", "values", "unit"):
            if value := getattr(self, key):
                spec[key] = value
        if self.of:
            spec["write"] = f"x/{self.of}"
        if self.is_people:
            spec["people"] = True
        return spec


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else value


def find_criteria(columns: Sequence[ColumnStats], taken: Collection[str]) -> dict[str, GuessedCriterion]:
    """Return each column that may be a judgement, likely or not, without twins of others."""
    found: dict[str, GuessedCriterion] = {}
    for place, column in enumerate(columns):
        if column.name in taken or (column.is_json and not column.numbers):
            continue
        points = _points(column, columns, place)
        if points is not None:
            found[column.name] = GuessedCriterion(column, points)
    return {name: one for name, one in found.items() if not _is_twin(name, found)}


def _points(column: ColumnStats, columns: Sequence[ColumnStats], place: int) -> float | None:
    """Return how likely a column is a judgement, None if it cannot be one."""
    beside = rules.BESIDE.search(column.plain)
    if beside:
        stem = column.plain[: beside.start()]
        is_judgement = column.is_numeric or column.verdict_share
        if not is_judgement or any(
            other.plain in (stem, f"{stem}_score", f"{stem}.value", f"{stem}.score") for other in columns
        ):
            return None
    if any(rules.REASON_PARENTS.search(parent) for parent in column.parents):
        return None
    if any(parent in rules.SETTINGS for parent in column.parents):
        return _MAYBE
    if rules.ONE_SIDE.search(column.last):
        return None
    if not column.count:
        return 0.9 if column.is_metric else None
    if rules.TOTAL_COLUMN.search(column.plain):
        return _MAYBE
    is_named, inside = column.is_named_score, column.is_inside_scores
    is_ignored = bool(rules.NOT_A_SCORE.search(column.last)) and not column.is_metric
    is_sparse = column.count < 0.5 * column.rows and not rules.PEOPLE.search(column.plain)
    if column.is_numeric or column.is_boolean:
        _, sure, _, is_binary = scale_of(column)
        points = 0.2 + 0.45 * is_named + 0.4 * inside + 0.15 * column.is_metric + 0.1 * (sure >= SURE)
        points += 0.45 * _has_reason(column, columns, place)
        points -= 0.2 * (column.is_boolean and not is_named and not inside)
        if is_ignored:
            keeps = is_named and re.search(r"(score|rating|passed|correct)$", column.last)
            points = points - 0.2 if keeps else min(points, 0.2)
        if (
            not is_binary
            and sure <= 0.1
            and not (is_named and min(column.numbers) >= -10 and max(column.numbers) <= 100)
        ):
            points = min(points, _MAYBE)
        return min(points, 0.4) if column.is_boolean and is_sparse else points
    if column.verdict_share >= 0.5:
        points = 0.15 + 0.5 * is_named + 0.35 * column.verdict_share + 0.2 * inside - 0.5 * is_ignored
        return min(0.4 if is_sparse else 1.0, points)
    return None


def _has_reason(column: ColumnStats, columns: Sequence[ColumnStats], place: int) -> bool:
    following = columns[place + 1] if place + 1 < len(columns) else None
    for other in columns:
        stem = rules.BESIDE.sub("", other.plain)
        if stem == other.plain or other.is_numeric:
            continue
        if stem == column.plain or (other is following and column.plain.startswith(stem)):
            return True
    return False


def _is_twin(name: str, found: dict[str, GuessedCriterion]) -> bool:
    """Whether another column says the same: `score` beside `passed`, a word beside its score, Azure's old names."""
    stem, _, last = name.rpartition(".")
    sibling = f"{stem}." if stem else ""
    return (
        (last.startswith("gpt_") and f"{sibling}{last[4:]}" in found)
        or f"{name}_score" in found
        or (last in ("success", "passed", "threshold", "result") and f"{sibling}score" in found)
        or (last == "result" and f"{sibling}passed" in found)
        or (_TWINS.search(name) is not None and _TWINS.sub("", name) in found)
    )


def scale_of(column: ColumnStats) -> tuple[tuple[float, float] | None, float, str, bool]:
    """Return the scale by name and values, how sure it is, why, and whether it is pass or fail."""
    if column.is_boolean or (column.verdict_share and not column.is_numeric):
        return (0.0, 1.0), 1.0, "words", True
    axes = _AXES.search(column.flat)
    if axes:
        return (float(axes[1]), float(axes[2])), 0.95, "its name says so", False
    if "4/5" in column.notations and len(column.notations) == 1:
        of = column.texts[0].rpartition("/")[2].strip()
        return (0.0, float(of)), 0.7, "the values are written x/y", False
    if "85%" in column.notations:
        return (0.0, 100.0), 0.95, "percent signs", False
    numbers = column.numbers
    if not numbers:
        return (0.0, 1.0), 0.85 if column.is_metric else _MAYBE, "the metric's name", False
    low, high = min(numbers), max(numbers)
    if column.is_metric and low >= -1e-9 and high <= 1 + 1e-9:
        return (0.0, 1.0), 0.97, "a metric from 0 to 1", False
    if rules.AZURE_SAFETY.search(column.last) and column.is_whole and low >= 0 and high <= 7:
        return (0.0, 7.0), 0.9, "content safety goes from 0 to 7", False
    if "gpt_" in column.last and column.is_whole and low >= 1 and high <= 5:
        return (1.0, 5.0), 0.95, "these metrics go from 1 to 5", False
    return _scale_seen(low, high, is_whole=column.is_whole, count=len(set(numbers)))


def _scale_seen(
    low: float, high: float, *, is_whole: bool, count: int
) -> tuple[tuple[float, float] | None, float, str, bool]:
    seen = f"{'whole ' if is_whole else ''}values seen {low:g} to {high:g}"
    if low < 0 or high > 100:
        return None, 0.1, seen, False
    if high <= 1:
        if is_whole:
            return (
                (0.0, 1.0),
                0.85 if count == 2 else _MAYBE,
                "only 0 and 1" if count == 2 else f"only {low:g}",
                count == 2,
            )
        return (0.0, 1.0), 0.9, "fractions of 0 to 1", False
    is_varied = count >= 3
    if high <= 5:
        if low >= 1:
            return (1.0, 5.0), SURE if high == 5 and is_varied else 0.4, seen, False
        return (0.0, 5.0), 0.7 if high == 5 and is_varied else _MAYBE, seen, False
    if high <= 10:
        if low < 1:
            return (0.0, 10.0), SURE if high > 9 and is_varied else 0.4, seen, False
        return (1.0, 10.0), 0.7 if high >= 9 and is_varied else 0.4, seen, False
    return (0.0, 100.0), SURE if high > 50 and is_varied else 0.4, seen, False


def direction_of(column: ColumnStats) -> str:
    """Return "lower" or "none" by the name, "" for higher."""
    if rules.NOT_LOWER.search(column.flat):
        return ""
    if rules.LOWER.search(column.flat):
        return "lower"
    return "none" if rules.NO_DIRECTION.search(column.flat) else ""


def describe(picked: dict[str, GuessedCriterion], columns: Sequence[ColumnStats]) -> None:
    """Fill in name, scale, direction, grader, rationale and words of each criterion."""
    names = {column.name: column for column in columns}
    for name, one in picked.items():
        column = one.column
        one.scale, one.scale_sure, one.scale_why, one.is_binary = scale_of(column)
        stem, _, last = name.rpartition(".")
        if (
            f"{stem}.gpt_{last}" in names
            and column.numbers
            and min(column.numbers) >= 1
            and max(column.numbers) <= 5
        ):
            one.scale, one.scale_sure, one.scale_why, one.is_binary = (
                (1.0, 5.0),
                0.95,
                "these metrics go from 1 to 5",
                False,
            )
        if "4/5" in column.notations and not column.is_boolean:
            one.of = column.texts[0].rpartition("/")[2].strip()
        one.unit = "%" if "85%" in column.notations else ""
        one.direction = direction_of(column)
        if column.verdict_share and not column.is_boolean:
            one.values = _values(column)
    _name(picked)
    _share_scale(picked.values())
    _find_graders(picked)
    every_one = all(rules.PEOPLE.search(one.column.plain) for one in picked.values())
    for name, one in picked.items():
        one.is_people = one.is_people or (
            not every_one
            and not one.grader
            and bool(rules.PEOPLE.search(one.column.plain))
            and not name.endswith("_score")
        )
        one.rationale = _rationale(one, columns, picked)


def _values(column: ColumnStats) -> dict[str, float | None]:
    """Return the score of each word, as the mapping writes it; {} if every word is known."""
    if not set(column.words) - rules.YES - rules.NO - rules.UNSCORED:
        return {}
    spelled = dict.fromkeys(column.texts)
    return {
        word: 1 if word.casefold() in rules.YES else 0 if word.casefold() in rules.NO | {"timeout"} else None
        for word in spelled
    }


def _name(picked: dict[str, GuessedCriterion]) -> None:
    """Name each criterion by the shortest part of its column's name that is its own."""
    for name, one in picked.items():
        parts = [part for part in name.split(".") if part.lower() not in _GENERIC]
        last = re.sub(
            r"(?i)[_. -](score|rating)$|^score[_. :-]|^gpt_(?=[a-z]+$)", "", parts[-1] if parts else name
        )
        one.name = last or name
    count = Counter(one.name for one in picked.values())
    for name, one in picked.items():
        if count[one.name] > 1:
            one.name = name


def _share_scale(criteria: Iterable[GuessedCriterion]) -> None:
    """Give unsure columns the scale of the others: 1 to 4 beside a column seen 1 to 5 is of the same."""
    criteria = list(criteria)
    sure = [
        one.scale
        for one in criteria
        if one.scale_sure >= SURE and not one.is_binary and "seen" in one.scale_why
    ]
    if not sure:
        return
    (common, _), *_ = Counter(sure).most_common(1)
    if common is None:
        return
    for one in criteria:
        numbers = one.column.numbers
        if one.scale_sure >= SURE and not (
            one.is_binary and one.scale_why == "only 0 and 1" and common[0] == 0
        ):
            continue
        if (
            numbers
            and common[0] <= min(numbers)
            and max(numbers) <= common[1]
            and not one.unit
            and not one.is_binary
        ):
            one.scale, one.scale_sure = common, SURE
            one.scale_why = f"as the other columns; {one.scale_why}"


def _find_graders(picked: dict[str, GuessedCriterion]) -> None:
    """Split `gpt4_tone`, `claude_tone` or `tone`, `claude_tone` into two graders of one criterion, if most columns fit."""
    splits: dict[str, tuple[str, str]] = {}
    for name, one in picked.items():
        own = name.rpartition(".")[2]
        for separator in ("_", " ", "-"):
            first, _, rest = own.partition(separator)
            before, _, last = own.rpartition(separator)
            if rest and rules.GRADERS.search(rules.plain_name(first)):
                splits[name] = (first, re.sub(r"(?i)[_ -](score|rating)$", "", rest))
                break
            if before and rules.GRADERS.search(rules.plain_name(last)):
                splits[name] = (last, before)
                break
        else:
            if "." in name and rules.GRADERS.search(rules.plain_name(name.partition(".")[0])):
                splits[name] = (name.partition(".")[0], one.name)
    count = Counter(criterion for _, criterion in splits.values())
    shared = {name: split for name, split in splits.items() if count[split[1]] >= 2}
    is_several = len({grader for grader, _ in splits.values()}) > 1 and len(shared) >= 0.6 * len(splits)
    if not is_several:
        plain = {one.name for name, one in picked.items() if name not in splits}
        shared = splits if len(splits) >= 2 and plain.issuperset(count) else {}
    if shared:
        for name, (grader, criterion) in shared.items():
            picked[name].grader, picked[name].name = grader, criterion
            picked[name].is_people = bool(rules.PEOPLE.search(grader.lower()))


def _rationale(one: GuessedCriterion, columns: Sequence[ColumnStats], picked: Collection[str]) -> str:
    column = one.column
    stem = re.sub(r"[_. ](score|value|rating)$", "", column.plain)
    free = [other for other in columns if other.name not in picked and (other.is_text or other.is_json)]
    if one.grader:  # gpt4_comment is what gpt4 says of all of it
        for other in free:
            if rules.BESIDE.search(other.plain) and rules.BESIDE.sub("", other.plain) == rules.plain_name(
                one.grader
            ):
                return other.name
    for other in free:
        beside = rules.BESIDE.search(other.plain)
        if beside and other.plain[: beside.start()] in (stem, column.plain):
            return other.name
        if other.parents and rules.REASON_PARENTS.search(other.parents[-1]) and other.last == column.last:
            return other.name
    names = [other.name for other in columns]
    after = names.index(column.name) + 1
    if after < len(columns) and columns[after] in free and rules.BESIDE.search(columns[after].plain):
        head = set(rules.BESIDE.sub("", columns[after].plain).split("_"))
        if head & set(stem.split("_")) or any(len(word) > 2 and stem.startswith(word[:3]) for word in head):
            return columns[after].name
    return ""


def in_words(names: Iterable[str]) -> str:
    """Return column names in quotes, at most eight."""
    return join_words(map(repr, names), limit=8)


def criteria_keys(picked: Mapping[str, GuessedCriterion]) -> dict[str, Any]:
    """Return `criteria` and `scale` of the mapping, as short as they can be."""
    specs = {name: one.spec() for name, one in picked.items()}
    scales = [tuple(spec["scale"]) for spec in specs.values() if "scale" in spec]
    if len(set(scales)) == 1 and len(scales) == len(specs):
        shared = {"scale": list(scales[0])}
        specs = {name: {key: v for key, v in spec.items() if key != "scale"} for name, spec in specs.items()}
    else:
        shared = {}
    if not any(specs.values()):
        return {"criteria": list(specs), **shared}
    return {"criteria": specs, **shared}
