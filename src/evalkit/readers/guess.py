"""Guess the mapping of a table: a guess loads, asks, or refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from evalkit.readers import guess_rules as rules
from evalkit.readers.column_stats import Column
from evalkit.readers.guess_criteria import LIKELY, SURE, Criterion, describe, find_criteria, in_words
from evalkit.readers.nested import KEY, PLACE
from evalkit.util.format import percent
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

Status = Literal["loads", "asks", "refuses"]
SAMPLE: Final = 2000
"""Records that a guess looks at; cases are counted over all."""

# "line" is added by readers; the others are never columns of people.
_OWN: Final = ("line", "__record")
_MANY: Final = 30
_LONG: Final = 400
_ROLES_SHOWN: Final = (
    *("input", "output", "messages", "ideal_behavior", "agent_version", "model", "run", "grader", "epoch"),
    *("severity", "tags", "latency_s", "cost_usd"),
)


class Reason(NamedTuple):
    """Why a key of the mapping has its value; `sure` is 0 to 1."""

    key: str
    value: str
    evidence: str
    sure: float


@dataclass(slots=True)
class Guess:
    """The guessed mapping of a table.

    `questions` keep it from loading; `refusal` says what the file is instead. `notes` are for its reader.
    """

    mapping: dict[str, Any] = field(default_factory=dict)
    why: list[Reason] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusal: str = ""

    @property
    def status(self) -> Status:
        """Whether it loads as it is, asks first, or refuses."""
        return "refuses" if self.refusal else "asks" if self.questions else "loads"


class _Refused(Exception):
    pass


def guess_mapping(
    frame: pl.DataFrame, *, records: str = "", decimal: str = ".", given: Mapping[str, str] | None = None
) -> Guess:
    """Guess the mapping of a frame with dotted columns.

    `records` is the place in the file where they lie. `given` are roles that are known, with their column ("": none in
    this file); "criteria" if the judgements are known.
    """
    guesser = _Guesser(frame, decimal, dict(given or {}))
    if records:
        guesser.guess.mapping["records"] = records
    try:
        guesser.run()
    except _Refused as refusal:
        guesser.guess.refusal = str(refusal)
    if decimal == ",":
        guesser.guess.mapping["decimal"] = ","
    return guesser.guess


class _Guesser:
    def __init__(self, frame: pl.DataFrame, decimal: str, given: dict[str, str]) -> None:
        self.frame, self.given = frame, given
        self.guess = Guess()
        names = [name for name in frame.columns if name not in _OWN]
        expanded = {name.rpartition(".")[0] for name in names if "." in name}
        sample = frame.head(SAMPLE)
        self.columns = [
            Column(sample[name], decimal=decimal)
            for name in names
            if name not in expanded or not Column(sample[name]).is_json
        ]
        self.rows = sample.height
        self.by_name = {column.name: column for column in self.columns}
        self.roles: dict[str, str] = {role: name for role, name in given.items() if name in self.by_name}

    def run(self) -> None:
        if not self.rows:
            raise _Refused("There are no records in it.")
        self._refuse_pairs()
        self._assign_roles()
        if "criteria" in self.given:
            self._find_case()
            return
        if self._is_long():
            return
        taken = set(self.roles.values())
        found = find_criteria(self.columns, taken)
        picked = {name: one for name, one in found.items() if one.points >= LIKELY}
        maybe = [
            name for name, one in found.items() if 0.3 <= one.points < LIKELY and one.column.distinct > 1
        ]
        if not picked:
            self._without_criteria(maybe)
            return
        self._refuse_two_versions(picked)
        describe(picked, self.columns)
        self._refuse_gates(picked)
        self._find_case()
        self._map_roles()
        if maybe:
            self.guess.notes.append(f"Not read as judgements: {in_words(maybe)}.")
        for name, one in picked.items():
            self._check(name, one)
        self.guess.mapping.update(_criteria_keys(picked))
        self._ask_gates(picked)

    # Roles

    def _assign_roles(self) -> None:
        for role in rules.ROLES:
            if role in self.given:
                continue
            best = max(
                ((self._fit(role, column), -place) for place, column in enumerate(self.columns)),
                default=(0.0, 0),
            )
            if best[0] >= 0.5:
                column = self.columns[-best[1]]
                self.roles[role] = column.name
        for name, role in ((KEY, "case"), (PLACE, "epoch")):
            if role not in self.given and name in self.by_name and self.by_name[name].distinct > 1:
                self.roles[role] = name

    def _fit(self, role: str, column: Column) -> float:
        """Return how well a column fits a role, 0 to 1."""
        if column.name in self.roles.values() or not column.count or column.name in (KEY, PLACE):
            return 0.0
        names, pattern = rules.ROLES[role]
        name = next((each for each in (column.last, column.flat) if each in names), None)
        if name is not None:
            points = 1.0 - 0.01 * min(names.index(name), 25) - 0.05 * ("." in column.name)
        elif re.search(pattern, column.last):
            points = 0.6
        else:
            return 0.0
        return points if self._may_be(role, column, points) else 0.0

    def _may_be(self, role: str, column: Column, points: float) -> bool:
        """Whether the cells of a column can have a role."""
        rows = self.rows
        if role == "output" and (rules.REFERENCE.search(column.plain) or column.verdict_share > 0.6):
            return False
        if role in ("input", "output", "messages") and column.count < 0.5 * rows:
            return False
        if role == "messages":
            return column.holds_messages
        if role == "case":
            is_counter = column.last == "index" and points < 0.9
            if (
                column.is_json
                or column.length > 200
                or is_counter
                or column.verdict_share
                or column.count < 0.9 * rows
            ):
                return False
            share = column.distinct / max(column.count, 1)
            return share > 0.95 or (column.distinct >= 2 and share > 0.02) or rows == 1
        if role in ("input", "output"):
            return column.is_text or column.is_json
        if role == "grader":
            return column.is_text and column.length < 60 and column.distinct <= max(0.5 * rows, 1)
        if role in ("model", "agent_version", "run"):
            few = column.distinct <= max(0.5 * rows, 1) or column.distinct == 1
            return not column.is_json and column.length < 120 and few and not column.is_boolean
        if role == "epoch":
            return column.is_numeric and column.is_whole
        if role == "severity":
            known = sum(n for word, n in column.words.items() if word in rules.SEVERITIES)
            return known >= 0.5 * column.count
        if role in ("latency_s", "cost_usd"):
            return column.is_numeric
        if role == "tags":
            is_few = column.distinct <= max(0.6 * rows, 1) and column.length < 80
            return is_few and not column.is_numeric and column.verdict_share < 0.6 and not column.is_json
        return True

    def _map_roles(self) -> None:
        mapping = self.guess.mapping
        for role in _ROLES_SHOWN:
            if role in self.roles and role not in self.given and self.roles[role] not in (KEY, PLACE):
                mapping[role] = self.roles[role]
        if "severity" in mapping:
            column = self.by_name[mapping["severity"]]
            spelled = dict.fromkeys(column.texts)
            values = {word: level for word in spelled if (level := rules.SEVERITIES.get(word.casefold()))}
            if any(word.casefold() != level for word, level in values.items()):
                mapping["severity"] = {"column": column.name, "values": values}
            unknown = [word for word in spelled if word.casefold() not in rules.SEVERITIES]
            if unknown:
                self.guess.notes.append(f"Unknown severities: {in_words(unknown)}.")
        grader = mapping.get("grader")
        if grader and rules.PEOPLE.search(self.by_name[grader].plain):
            mapping["grader_kind"] = {"value": "human"}

    # Cases

    def _is_unique(self, names: Sequence[str]) -> bool:
        return not self.frame.select(*dict.fromkeys(names)).is_duplicated().any()

    def _find_case(self, *also: str) -> None:
        name = self.roles.get("case")
        mapping, why = self.guess.mapping, self.guess.why
        if "case" in self.given:
            return
        if name == KEY:
            why.append(Reason("case", name, "the key of each record", 0.95))
            return
        beside = [
            self.roles[role]
            for role in ("run", "agent_version", "model", "grader", "epoch")
            if role in self.roles
        ]
        beside += [*also, *([PLACE] if PLACE in self.by_name else [])]
        if name and (also or self._is_unique([name, *beside])):
            mapping["case"] = name
            why.append(Reason("case", name, "its name, and it tells the records apart", 0.95))
            return
        full = [
            column
            for column in self.columns
            if column.name not in (name, *beside) and column.count == self.rows and not column.is_json
        ]
        ids = [column.name for column in full if re.search(r"(^|_)(id|uuid)$", column.last)]
        asked = self.roles.get("input")
        texts = [column.name for column in full if column.name == asked and column.length <= _LONG]
        counters = [
            column.name
            for column in full
            if re.search(r"(^|_)(index|idx|line_number|row_number)$", column.last)
        ]
        for other in [*ids, *texts, *counters]:
            if self._is_unique([other, *beside]):
                mapping["case"] = other
                why.append(Reason("case", other, "it tells the records apart", SURE))
                return
        if name and 1 < self.by_name[name].distinct < self.rows:
            self._find_repeats(name, beside, full)
            return
        mapping["case"] = "line"
        if not texts and not {"input", "output", "messages"} & self.roles.keys():
            self.guess.questions.append(
                "No column says the case, the question or the answer. Is each record a case?"
            )

    def _find_repeats(self, name: str, beside: list[str], full: list[Column]) -> None:
        """Rows share a case: a column tells them apart, or they are counted."""
        mapping = self.guess.mapping
        mapping["case"] = name
        apart = [
            column.name
            for column in full
            if not column.is_numeric
            and 1 < column.distinct <= max(0.2 * self.rows, 2)
            and self._is_unique([name, *beside, column.name])
        ]
        if apart and "agent_version" not in self.roles:
            mapping["agent_version"] = self.roles["agent_version"] = apart[0]
            self.guess.questions.append(f"{apart[0]!r} tells the rows of a case apart. Is it the version?")
            return
        if "epoch" not in self.roles:
            mapping["epoch"] = "count"
            self.guess.notes.append(f"Rows with the same {name!r} are counted as epochs of one case.")

    # Judgements in rows

    def _is_long(self) -> bool:
        """Map a table with a row per judgement; False if it has none."""
        metric = next(
            (c for c in self.columns if c.last in rules.METRIC and c.is_text and c.length < 60), None
        )
        score = next(
            (
                c
                for c in self.columns
                if c.last in rules.SCORE and (c.is_numeric or c.is_boolean or c.verdict_share >= 0.5)
            ),
            None,
        ) or next(
            (c for c in self.columns if c.last in ("label", "verdict") and c.verdict_share >= 0.5), None
        )
        if metric is None or score is None:
            return False
        if metric.distinct == self.rows > 1 and not {"input", "output", "case"} & self.roles.keys():
            raise _Refused(
                "It has a row per metric and no case: these are totals. evalkit reads the rows that they were made of."
            )
        self.roles = {
            role: name for role, name in self.roles.items() if name not in (metric.name, score.name)
        }
        self._find_case(metric.name)
        self._map_roles()
        self.guess.mapping |= {"criterion": metric.name}
        self.guess.mapping["score" if score.last in rules.SCORE else "label"] = score.name
        for column in self.columns:
            if (
                column.last in rules.SHARED_REASON
                and column.is_text
                and column.name not in self.roles.values()
            ):
                self.guess.mapping["rationale"] = column.name
        self._scale_long(metric, score)
        return True

    def _scale_long(self, metric: Column, score: Column) -> None:
        if (score.verdict_share and not score.is_numeric) or {
            "scale_min",
            "scale_max",
        } <= self.by_name.keys():
            return
        scales: dict[str, Any] = {}
        for (name,), part in self.frame.head(SAMPLE).group_by(metric.name, maintain_order=True):
            column = Column(part[score.name].alias(str(name)), decimal=score.decimal)
            one = {str(name): Criterion(column, 1.0)}
            describe(one, [column])
            own = one[str(name)]
            if own.scale is not None and own.scale_sure >= SURE:
                scales[str(name)] = own.spec()["scale"]
                self.guess.why.append(
                    Reason(f"scale of {name}", str(scales[str(name)]), own.scale_why, own.scale_sure)
                )
            if own.direction == "lower":
                self.guess.mapping.setdefault("direction", {})[str(name)] = own.direction
        if scales:
            distinct = {tuple(scale) for scale in scales.values()}
            is_one = len(distinct) == 1 and len(scales) == metric.distinct
            self.guess.mapping["scale"] = list(*distinct) if is_one else scales

    # Checks

    def _check(self, name: str, one: Criterion) -> None:
        guess, column = self.guess, one.column
        styles = column.notations - {"4,5"} if column.decimal == "," else column.notations
        if len(styles) > 1:
            raise _Refused(
                f"{name!r} is written in several ways ({join_words(sorted(styles))}). Write one column on one scale."
            )
        if one.points < 0.6:
            guess.questions.append(f"Is {name!r} a judgement?")
        if one.values:
            self._check_words(name, one)
        if one.scale is None or one.scale_sure < 0.5:
            guess.notes.append(f"No scale for {one.name!r} ({one.scale_why}). A pass rule needs one.")
        elif one.scale_sure < SURE:
            guess.questions.append(f"Is the scale of {name!r} {one.spec()['scale']}? ({one.scale_why})")
        else:
            scale = str(one.spec()["scale"])
            guess.why.append(Reason(f"scale of {one.name}", scale, one.scale_why, one.scale_sure))
        if one.direction == "lower":
            guess.why.append(Reason(f"direction of {one.name}", "lower", "its name: lower is better", 0.9))
        elif one.direction == "none":
            text = f"The name {one.name!r} does not say which end is better. It counts in no verdict until direction is declared."
            guess.notes.append(text)

    def _check_words(self, name: str, one: Criterion) -> None:
        words = one.column.words
        odd = [word for word in words if word not in rules.YES | rules.NO | rules.UNSCORED]
        if odd:
            self.guess.questions.append(
                f"What are {in_words(odd[:4])} of {name!r} worth: a score, or null for unscored?"
            )
        good = sum(n for word, n in words.items() if word in rules.YES)
        scored = good + sum(n for word, n in words.items() if word in rules.NO)
        total = sum(words.values())
        if scored < 0.8 * total and scored:
            self.guess.notes.append(
                f"{name!r}: {percent(1 - scored / total, 0)} of the words are unscored. {good} of {total} are good, "
                f"or {good} of the {scored} scored."
            )

    def _ask_gates(self, picked: Mapping[str, Criterion]) -> None:
        guess = self.guess
        has_answer = {"input", "output", "messages"} & self.roles.keys()
        is_judged = (
            "grader" in self.roles
            or any(one.column.is_metric or one.rationale or one.grader for one in picked.values())
            or (self.roles.get("case") is not None and guess.mapping.get("case") not in ("line", None))
        )
        if not has_answer and not is_judged and self.roles.get("case") != KEY:
            guess.questions.append(
                "There is neither a question nor an answer, a case nor a reason. Is it an evaluation?"
            )
        filled = sum(one.column.count for one in picked.values()) / max(len(picked) * self.rows, 1)
        if filled < 0.3 and len(picked) > 2 and not any(one.column.is_metric for one in picked.values()):
            guess.questions.append(
                f"Only {percent(filled, 0)} of the cells of the criteria hold a value. Are these the criteria?"
            )
        if self.rows == 1 and guess.mapping.get("records") and not has_answer:
            guess.questions.append("There is one record alone. Are its numbers totals?")

    def _refuse_gates(self, picked: Mapping[str, Criterion]) -> None:
        has_answer = {"input", "output", "messages"} & self.roles.keys()
        is_wide = len(picked) > 4 and len(picked) > 2 * self.rows and not has_answer
        if len(picked) > _MANY or is_wide:
            raise _Refused(
                f"{plural(len(picked), 'column')} may be judgements in {plural(self.rows, 'record')}: these are no "
                "records of an evaluation, or not the place where they lie."
            )
        if not has_answer and any(rules.LEADERBOARD.search(column.last) for column in self.columns):
            raise _Refused(
                "This is a leaderboard: a row is a model, and its numbers are totals. evalkit reads the rows that "
                "they were made of."
            )
        is_by_key = "*" in str(self.guess.mapping.get("records", ""))
        if is_by_key and self.rows < 10 and not has_answer:
            raise _Refused("These look like totals. evalkit reads the rows that they were made of.")

    def _refuse_pairs(self) -> None:
        names = {column.last for column in self.columns}
        answers = [column.name for column in self.columns if rules.TWO_ANSWERS.search(column.last)]
        if {"model_a", "model_b", "winner"} <= names or {"generator_1", "generator_2", "preference"} <= names:
            answers = sorted(names & {"model_a", "model_b", "generator_1", "generator_2"})
        if len(answers) >= 2:
            raise _Refused(
                f"A record holds two answers ({in_words(answers[:2])}): preferences between pairs, not a score of "
                "one answer. Write a row per answer."
            )
        if {"success_count", "total_attempts"} <= names:
            raise _Refused("These are counts of successes. evalkit reads a row per attempt.")

    def _refuse_two_versions(self, picked: Mapping[str, Criterion]) -> None:
        for name in picked:
            twins = [o for o in picked if o != name and rules.SIDES.sub("#", o) == rules.SIDES.sub("#", name)]
            if twins:
                raise _Refused(
                    f"A record holds two versions ({name!r} and {twins[0]!r}). Write a row per version."
                )

    def _without_criteria(self, maybe: list[str]) -> None:
        guess = self.guess
        words = next(
            (
                column
                for column in self.columns
                if column.name not in self.roles.values()
                and column.is_text
                and column.distinct <= min(8, max(self.rows, 2))
                and column.length <= 30
                and (
                    column.is_named_score
                    or re.search(r"(^|_)(winner|preference|preferred)(_|$)", column.last)
                )
            ),
            None,
        )
        if words is not None:
            self._refuse_choice(words)
        has_answer = {"output", "messages"} & self.roles.keys()
        pair = self._prediction_and_gold() if words is None else None
        if words is not None or pair is not None:
            self._find_case()
            self._map_roles()
        if words is not None:
            letters = {"a": 1, "b": 0, "c": None} if set(words.words) <= {"a", "b", "c"} else {}
            values = {word: letters.get(word.casefold(), _worth(word)) for word in dict.fromkeys(words.texts)}
            guess.mapping["criteria"] = {words.name: {"scale": [0, 1], "values": values}}
            guess.questions.append(
                f"What is each word of {words.name!r} worth: a score, or null for unscored? The values are a guess."
            )
            return
        if pair is not None:
            guess.mapping["criteria"] = {"correct": {"equal": list(pair), "scale": [0, 1]}}
            guess.questions.append(
                f"No column is a score. Is an answer correct where {pair[0]!r} equals {pair[1]!r}?"
            )
            return
        if has_answer and not maybe:
            self._find_case()
            self._map_roles()
            guess.mapping["criteria"] = []
            guess.notes.append("No column is a judgement: read as answers that are not judged yet.")
            return
        if not has_answer and {"input", "ideal_behavior"} & self.roles.keys() and not maybe:
            raise _Refused("These are questions without answers: the cases of a suite, not results.")
        if maybe and has_answer | ({"case", "input"} & self.roles.keys()):
            some = {name: Criterion(self.by_name[name], 0.3) for name in maybe[:6]}
            describe(some, self.columns)
            self._find_case()
            self._map_roles()
            guess.mapping.update(_criteria_keys(some))
            guess.questions.append(f"No column is plainly a judgement. Are these: {in_words(maybe)}?")
            return
        raise _Refused("No column is plainly a judgement.")

    def _refuse_choice(self, words: Column) -> None:
        pattern = rules.ROLES["output"][1]
        stems = {
            re.sub(pattern, "", column.last).strip("_")
            for column in self.columns
            if re.search(pattern, column.last)
        }
        named = {rules.plain_name(word) for word in words.words} & stems - {""}
        if len(named) >= 2:
            raise _Refused(
                f"A record holds two answers, and {words.name!r} says which is better: preferences between pairs, "
                "not a score of one answer. Write a row per answer."
            )

    def _prediction_and_gold(self) -> tuple[str, str] | None:
        """Return two columns of the same few words, one predicted and one right."""
        few = [c for c in self.columns if c.count and c.distinct <= 12 and c.length <= 30 and not c.is_json]
        said = [
            c
            for c in few
            if re.fullmatch(r"pred|prediction|predicted(_label)?|model_label|answer|output|choice", c.last)
        ]
        gold = [
            c
            for c in few
            if re.fullmatch(r"gold|label|target|truth|expected|gold_label|correct_answer|reference", c.last)
        ]
        return next(((a.name, b.name) for a in said for b in gold if set(a.words) & set(b.words)), None)


def _worth(word: str) -> float | None:
    plain = word.casefold()
    if plain in rules.YES | {"win", "won", "accepted"}:
        return 1
    return (
        0
        if plain in rules.NO | {"lose", "lost", "loss", "timeout"}
        else 0.5
        if plain in ("tie", "draw", "partial")
        else None
    )


def _criteria_keys(picked: Mapping[str, Criterion]) -> dict[str, Any]:
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
