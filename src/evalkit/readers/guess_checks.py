"""What a table must have to load at once: a wrong guess costs more than a question."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from evalkit.readers import guess_rules as rules
from evalkit.readers.guess_criteria import SURE, GuessedCriterion, in_words
from evalkit.readers.nested import KEY
from evalkit.util.format import percent
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.readers.column_stats import ColumnStats

Status = Literal["loads", "asks", "refuses"]

_MANY: Final = 30
_FEW_KEYS: Final = 10


class GuessReason(NamedTuple):
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
    why: list[GuessReason] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusal: str = ""

    @property
    def status(self) -> Status:
        """Whether it loads as it is, asks first, or refuses."""
        return "refuses" if self.refusal else "asks" if self.questions else "loads"


class Refused(Exception):
    """A table is no evaluation, or one that cannot be read."""


class GuessDraft:
    """A guess in the making: the columns of a sample, their roles, and the checks."""

    def __init__(self, columns: Sequence[ColumnStats], rows: int, given: Mapping[str, str]) -> None:
        self.columns, self.rows, self.given = columns, rows, given
        self.guess = Guess()
        self.by_name = {column.name: column for column in columns}
        self.roles: dict[str, str] = {role: name for role, name in given.items() if name in self.by_name}

    @property
    def has_texts(self) -> bool:
        """Whether a column holds questions, answers or messages."""
        return not {"input", "output", "messages"}.isdisjoint(self.roles)

    @property
    def has_case(self) -> bool:
        """Whether a column tells the cases, by a name that says so, or beside a version."""
        name = self.guess.mapping.get("case", self.roles.get("case"))
        if name in (None, "line", KEY) or name not in self.by_name:
            return False
        is_named = self.by_name[name].last not in rules.WEAK_CASES
        return is_named or not {"run", "agent_version", "model", "grader"}.isdisjoint(self.roles)

    def check(self, name: str, one: GuessedCriterion) -> None:
        """Refuse mixed notations; ask for an unsure scale; note what is guessed."""
        guess, column = self.guess, one.column
        styles = column.notations - {"4,5"} if column.decimal == "," else column.notations
        if len(styles) > 1:
            raise Refused(
                f"{name!r} is written in several ways ({join_words(sorted(styles))}). Write one column on one scale."
            )
        if one.points < 0.6:
            guess.questions.append(f"Is {name!r} a judgement?")
        if one.values:
            self.check_words(name, one)
        if one.scale is None or one.scale_sure < 0.5:
            guess.notes.append(f"No scale for {one.name!r} ({one.scale_why}). A pass rule needs one.")
        elif one.scale_sure < SURE:
            guess.questions.append(f"Is the scale of {name!r} {one.spec()['scale']}? ({one.scale_why})")
        else:
            scale = str(one.spec()["scale"])
            guess.why.append(GuessReason(f"scale of {one.name}", scale, one.scale_why, one.scale_sure))
        if one.direction == "lower":
            guess.why.append(
                GuessReason(f"direction of {one.name}", "lower", "its name: lower is better", 0.9)
            )
        elif one.direction == "none":
            text = f"The name {one.name!r} does not say which end is better. It counts in no verdict until direction is declared."
            guess.notes.append(text)

    def check_words(self, name: str, one: GuessedCriterion) -> None:
        """Ask for the worth of words that are no verdict; note both rates if many are unscored."""
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

    def ask_gates(self, picked: Mapping[str, GuessedCriterion]) -> None:
        """Ask if the table may be no evaluation."""
        guess = self.guess
        is_judged = (
            "grader" in self.roles
            or any(one.column.is_metric or one.rationale or one.grader for one in picked.values())
            or self.has_case
        )
        if not self.has_texts and not is_judged and self.roles.get("case") != KEY:
            guess.questions.append(
                "There is neither a question nor an answer, a case nor a reason. Is it an evaluation?"
            )
        filled = sum(one.column.count for one in picked.values()) / max(len(picked) * self.rows, 1)
        if filled < 0.3 and not any(one.column.is_metric for one in picked.values()):
            guess.questions.append(
                f"Only {percent(filled, 0)} of the cells of the criteria hold a value. Are these the criteria?"
            )
        if self.rows == 1 and guess.mapping.get("records") and not self.has_texts:
            guess.questions.append("There is one record alone. Are its numbers totals?")

    def refuse_gates(self, picked: Mapping[str, GuessedCriterion]) -> None:
        """Refuse leaderboards, totals, and what has too many columns of numbers."""
        is_wide = len(picked) > 4 and len(picked) > 2 * self.rows and not self.has_texts
        if len(picked) > _MANY or is_wide:
            raise Refused(
                f"{plural(len(picked), 'column')} may be judgements in {plural(self.rows, 'record')}: these are no "
                "records of an evaluation, or not the place where they lie."
            )
        if not self.has_texts and any(rules.LEADERBOARD.search(column.last) for column in self.columns):
            raise Refused(
                "This is a leaderboard: a row is a model, and its numbers are totals. evalkit reads the rows that "
                "they were made of."
            )

    def refuse_totals(self) -> None:
        """Refuse a few objects of numbers by name."""
        is_by_key = "*" in str(self.guess.mapping.get("records", ""))
        if is_by_key and self.rows < _FEW_KEYS and not self.has_texts:
            raise Refused("These look like totals. evalkit reads the rows that they were made of.")

    def refuse_pairs(self) -> None:
        """Refuse preferences and counts."""
        names = {column.last for column in self.columns}
        answers = [column.name for column in self.columns if rules.TWO_ANSWERS.search(column.last)]
        if {"model_a", "model_b", "winner"} <= names or {"generator_1", "generator_2", "preference"} <= names:
            answers = sorted(names & {"model_a", "model_b", "generator_1", "generator_2"})
        if len(answers) >= 2:
            raise Refused(
                f"A record holds two answers ({in_words(answers[:2])}): preferences between pairs, not a score of "
                "one answer. Write a row per answer."
            )
        if {"chosen", "rejected"} <= names:
            raise Refused(
                "A record holds a chosen and a rejected answer: training data of preferences, no scores."
            )
        if {"success_count", "total_attempts"} <= names:
            raise Refused("These are counts of successes. evalkit reads a row per attempt.")

    def refuse_two_versions(self, picked: Mapping[str, GuessedCriterion]) -> None:
        """Refuse records with the scores of two versions."""
        outputs = rules.ROLES["output"][0]
        answered = {c.name.rpartition(".")[0] for c in self.columns if c.parents and c.last in outputs}
        scored = sorted({name.rpartition(".")[0] for name in picked} & answered)
        if len(scored) >= 2:
            raise Refused(
                f"A record holds several answers, each with its scores ({in_words(scored)}). Write a row per answer."
            )
        for name in picked:
            twins = [o for o in picked if o != name and rules.SIDES.sub("#", o) == rules.SIDES.sub("#", name)]
            if twins:
                raise Refused(
                    f"A record holds two versions ({name!r} and {twins[0]!r}). Write a row per version."
                )

    def refuse_choice(self, words: ColumnStats) -> None:
        """Refuse words that name the better of two answers."""
        pattern = rules.ROLES["output"][1]
        stems = {
            re.sub(pattern, "", column.last).strip("_")
            for column in self.columns
            if re.search(pattern, column.last)
        }
        named = {rules.plain_name(word) for word in words.words} & stems - {""}
        if len(named) >= 2:
            raise Refused(
                f"A record holds two answers, and {words.name!r} says which is better: preferences between pairs, "
                "not a score of one answer. Write a row per answer."
            )

    def prediction_and_gold(self) -> tuple[str, str] | None:
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
