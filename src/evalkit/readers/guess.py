"""Guess the mapping of a table: a guess loads, asks, or refuses."""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from evalkit.readers import guess_rules as rules
from evalkit.readers.column_stats import ColumnStats
from evalkit.readers.guess_checks import Guess, GuessDraft, GuessReason, Refused
from evalkit.readers.guess_criteria import (
    LIKELY,
    SURE,
    GuessedCriterion,
    criteria_keys,
    describe,
    find_criteria,
    in_words,
)
from evalkit.readers.nested import KEY, PLACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

SAMPLE: Final = 2000
"""Records that a guess looks at; cases are counted over all."""

# "line" is added by readers; the others are never columns of people.
_OWN: Final = ("line", "__record")
_LONG: Final = 400
_FEW: Final = 4
_SLOW: Final = 1000
"""Latencies with a median from here on are hardly seconds."""
_MAYBE_ASKED: Final = 6
_ROLES_SHOWN: Final = (
    *("input", "output", "messages", "ideal_behavior", "agent_version", "model", "run", "grader", "epoch"),
    *("severity", "tags", "latency_s", "cost_usd"),
)


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
    except Refused as refusal:
        guesser.guess.refusal = str(refusal)
    if decimal == ",":
        guesser.guess.mapping["decimal"] = ","
    return guesser.guess


class _Guesser(GuessDraft):
    def __init__(self, frame: pl.DataFrame, decimal: str, given: dict[str, str]) -> None:
        names = [name for name in frame.columns if name not in _OWN]
        expanded = {name.rpartition(".")[0] for name in names if "." in name}
        sample = frame.head(SAMPLE)
        columns = [ColumnStats(sample.get_column(name), decimal=decimal) for name in names]
        super().__init__(
            [c for c in columns if c.name not in expanded or not c.is_json], sample.height, given
        )
        self.frame = frame
        self.is_long = any(column.last in rules.METRIC and column.is_text for column in self.columns)

    def run(self) -> None:
        if not self.rows:
            raise Refused("There are no records in it.")
        self.refuse_pairs()
        self._assign_roles()
        if "criteria" in self.given:
            self._find_case()
            return
        self.refuse_totals()
        if self._map_long():
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
        self.refuse_two_versions(picked)
        describe(picked, self.columns)
        self.refuse_gates(picked)
        self._find_case()
        self._map_roles()
        self._find_rater(picked)
        if maybe:
            self.guess.notes.append(f"Not read as judgements: {in_words(maybe)}.")
        for name, one in picked.items():
            self.check(name, one)
        self.guess.mapping.update(criteria_keys(picked))
        self.ask_gates(picked)

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

    def _fit(self, role: str, column: ColumnStats) -> float:
        """Return how well a column fits a role, 0 to 1."""
        if column.name in self.roles.values() or not column.count or column.name in (KEY, PLACE):
            return 0.0
        if role in ("severity", "tags") and rules.ONE_SIDE.search(column.last):
            return 0.0
        if role == "input" and any(rules.ANSWER_PARENTS.search(parent) for parent in column.parents):
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

    def _may_be(self, role: str, column: ColumnStats, points: float) -> bool:
        """Whether the cells of a column can have a role."""
        rows = self.rows
        if role in ("input", "output", "messages") and column.count < 0.5 * rows:
            return False
        few = column.distinct <= max(0.5 * rows, 2)
        is_seconds = column.last.endswith(("_s", "_seconds"))
        conditions = {
            "input": lambda: column.is_text or column.is_json,
            "output": lambda: (
                (column.is_text or column.is_json)
                and not rules.REFERENCE.search(column.plain)
                and column.verdict_share <= 0.6
            ),
            "messages": lambda: column.holds_messages,
            "case": lambda: self._may_be_case(column, points),
            "grader": lambda: column.is_text and column.length < 60 and few,
            **dict.fromkeys(
                ("model", "agent_version", "run"),
                lambda: (
                    not column.is_json
                    and column.length < 120
                    and (few or column.distinct == 1)
                    and not column.is_boolean
                ),
            ),
            "epoch": lambda: (
                column.is_numeric and column.is_whole and column.distinct > (column.last == "seed")
            ),
            "severity": lambda: (
                2 * sum(n for word, n in column.words.items() if word in rules.SEVERITIES) >= column.count
            ),
            "cost_usd": lambda: column.is_numeric,
            "latency_s": lambda: column.is_numeric and (is_seconds or median(column.numbers) < _SLOW),
            "tags": lambda: (
                column.distinct <= max(0.6 * rows, 1)
                and column.length < 80
                and not (column.is_numeric or column.is_json)
                and column.verdict_share < 0.6
            ),
        }
        return conditions[role]() if role in conditions else True

    def _may_be_case(self, column: ColumnStats, points: float) -> bool:
        is_counter = column.last == "index" and points < 0.9
        if points >= SURE and self.is_long and not column.is_json:
            return True
        if column.is_json or column.length > 200 or is_counter or column.verdict_share:
            return False
        share = column.distinct / max(column.count, 1)
        is_varied = share > 0.95 or (column.distinct >= 2 and share > 0.02) or self.rows <= _FEW
        return column.count >= 0.9 * self.rows and is_varied

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
        contexts = next(
            (c for c in self.columns if c.last in rules.CONTEXTS and c.name not in self.roles.values()), None
        )
        if contexts is not None and "output" in self.roles and "contexts" not in self.given:
            mapping["contexts"] = contexts.name
        grader = mapping.get("grader")
        if grader and rules.PEOPLE.search(self.by_name[grader].plain):
            mapping["grader_kind"] = {"value": "human"}

    def _find_rater(self, picked: Mapping[str, GuessedCriterion]) -> None:
        """Beside columns of judges, a column of people's names is that of the raters."""
        mapping = self.guess.mapping
        if "grader_kind" in mapping and any(one.grader or one.is_people for one in picked.values()):
            mapping["rater"] = mapping.pop("grader")
            del mapping["grader_kind"]
            for one in picked.values():
                one.grader = "" if one.is_people else one.grader

    # Cases

    def _is_unique(self, names: Sequence[str]) -> bool:
        return self._count(names) == self.frame.height

    def _count(self, names: Sequence[str]) -> int:
        """Return the number of different records by some columns."""
        return self.frame.select(list(dict.fromkeys(names))).n_unique()

    def _find_case(self, *also: str) -> None:
        name = self.roles.get("case")
        mapping, why = self.guess.mapping, self.guess.why
        if "case" in self.given:
            return
        if name == KEY:
            why.append(GuessReason("case", name, "the key of each record", 0.95))
            return
        beside = [
            self.roles[role]
            for role in ("run", "agent_version", "model", "grader", "epoch")
            if role in self.roles
        ]
        beside += [*also, *([PLACE] if PLACE in self.by_name else [])]
        is_unique = name is not None and self._is_unique([name, *beside])
        full = [
            column
            for column in self.columns
            if column.name not in (name, *beside) and column.count == self.rows and not column.is_json
        ]
        if name and not is_unique and self._ask_version(name, beside, full, is_crossed=True):
            return
        if name and (also or is_unique):
            mapping["case"] = name
            why.append(GuessReason("case", name, "its name, and it tells the records apart", 0.95))
            return
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
                why.append(GuessReason("case", other, "it tells the records apart", SURE))
                return
        if name and 1 < self.by_name[name].distinct < self.rows:
            self._find_repeats(name, beside, full)
            return
        mapping["case"] = "line"
        if not texts and not {"input", "output", "messages"} & self.roles.keys():
            self.guess.questions.append(
                "No column says the case, the question or the answer. Is each record a case?"
            )

    def _find_repeats(self, name: str, beside: list[str], full: list[ColumnStats]) -> None:
        """Rows share a case: a column tells them apart, or they are counted."""
        if self._ask_version(name, beside, full):
            return
        self.guess.mapping["case"] = name
        if "epoch" not in self.roles:
            self.guess.mapping["epoch"] = "count"
            self.guess.notes.append(f"Rows with the same {name!r} are counted as epochs of one case.")

    def _ask_version(
        self, name: str, beside: list[str], full: list[ColumnStats], *, is_crossed: bool = False
    ) -> bool:
        """Ask for the version if a column tells the rows of a case apart; `is_crossed`: each case has each of its words."""
        if "agent_version" in self.roles or "agent_version" in self.given:
            return False
        kinds = self._count([name, *beside])
        apart = [
            column.name
            for column in full
            if not column.is_numeric
            and 1 < column.distinct <= max(0.2 * self.rows, 2)
            and (not is_crossed or kinds * column.distinct == self.rows)
            and self._is_unique([name, *beside, column.name])
        ]
        if apart:
            self.guess.mapping |= {"case": name, "agent_version": apart[0]}
            self.roles = {role: column for role, column in self.roles.items() if column != apart[0]}
            self.roles["agent_version"] = apart[0]
            self.guess.questions.append(f"{apart[0]!r} tells the rows of a case apart. Is it the version?")
        return bool(apart)

    # Judgements in rows

    def _map_long(self) -> bool:
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
            raise Refused(
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

    def _scale_long(self, metric: ColumnStats, score: ColumnStats) -> None:
        if (score.verdict_share and not score.is_numeric) or {
            "scale_min",
            "scale_max",
        } <= self.by_name.keys():
            return
        scales: dict[str, Any] = {}
        head = self.frame.head(SAMPLE)
        names = head.get_column(metric.name)
        for name in names.drop_nulls().unique(maintain_order=True):
            part = head.filter(names == name)
            column = ColumnStats(part.get_column(score.name).alias(str(name)), decimal=score.decimal)
            one = {str(name): GuessedCriterion(column, 1.0)}
            describe(one, [column])
            own = one[str(name)]
            if own.scale is not None and own.scale_sure >= SURE:
                scales[str(name)] = own.spec()["scale"]
                self.guess.why.append(
                    GuessReason(f"scale of {name}", str(scales[str(name)]), own.scale_why, own.scale_sure)
                )
            if own.direction == "lower":
                self.guess.mapping.setdefault("direction", {})[str(name)] = own.direction
        if scales:
            distinct = {tuple(scale) for scale in scales.values()}
            is_one = len(distinct) == 1 and len(scales) == metric.distinct
            self.guess.mapping["scale"] = list(*distinct) if is_one else scales

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
            self.refuse_choice(words)
        has_answer = {"output", "messages"} & self.roles.keys()
        pair = self.prediction_and_gold() if words is None else None
        if words is not None or pair is not None:
            self._find_case()
            self._map_roles()
        if words is not None and not has_answer and all(rules.worth(word) is None for word in words.words):
            raise Refused("No column is plainly a judgement.")
        if words is not None:
            letters = {"a": 1, "b": 0, "c": None} if set(words.words) <= {"a", "b", "c"} else {}
            values = {
                word: letters.get(word.casefold(), rules.worth(word)) for word in dict.fromkeys(words.texts)
            }
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
        answer = self.by_name.get(self.roles.get("output", ""))
        if answer is not None and ("messages" not in self.roles) and not answer.is_prose:
            raise Refused("No column is plainly a judgement, and the answers are no texts.")
        if answer is not None and any(parent in rules.DOCUMENTED for parent in answer.parents):
            raise Refused("This is documentation: no column is plainly a judgement.")
        if has_answer and not maybe:
            self._find_case()
            self._map_roles()
            guess.mapping["criteria"] = []
            guess.notes.append("No column is a judgement: read as answers that are not judged yet.")
            return
        if not has_answer and {"input", "ideal_behavior"} & self.roles.keys() and not maybe:
            raise Refused("These are questions without answers: the cases of a suite, not results.")
        some = {name: GuessedCriterion(self.by_name[name], 0.3) for name in maybe}
        describe(some, self.columns)
        some = {name: one for name, one in some.items() if one.scale_sure >= SURE}
        if 0 < len(some) <= _MAYBE_ASKED and (has_answer or "input" in self.roles or self.has_case):
            self._find_case()
            self._map_roles()
            guess.mapping.update(criteria_keys(some))
            guess.questions.append(f"No column is plainly a judgement. Are these: {in_words(some)}?")
            return
        raise Refused("No column is plainly a judgement.")
