"""Assign roles to the columns of a score table."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from evalkit.readers.column_mapping import NAMES, Mapping
from evalkit.util.errors import FormatError
from evalkit.util.words import Option, Sentence, join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LINE: Final = "line"
FOLDER: Final = "folder"

# A word that is no column name is a fixed value.
_VALUES: Final = ("grader", "grader_kind", "rater", "suite", "agent", "provider", "judge_model")
_RATERS: Final = ("annotator", "reviewer", "labeler", "labeller")
# Roles with one column per criterion, such as "{criterion}_reason".
_PATTERNS: Final = ("rationale", "label", "evidence")
_RATIONALES: Final = ("{}_reason", "{}_rationale", "{}_explanation", "{}_justification", "{}_comment")
_AMBIGUOUS: Final = ("case", "criterion", "score", "run")
_WIDE: Final = re.compile(r"^(?:(?P<before>.+)[_. -]score|score[_. :-](?P<after>.+))$", re.IGNORECASE)
_PERSON: Final = re.compile(r"human|annotat|rater|reviewer|expert|label+er|people|manual", re.IGNORECASE)
# Likely case columns, likeliest first.
_CASE_LIKE: Final = (
    re.compile(r"case|sample|item|example|ticket|question|prompt|task", re.IGNORECASE),
    re.compile(r"(?:^|[_. -])(?:id|key|no|nr|index|name)$|^[a-z]?id$|[a-z]I[dD]$|ID$"),
)


class MissingColumns(FormatError):
    """Columns of the mapping are missing from a file; another file may have them."""


class Missing(NamedTuple):
    """A mapped column that a file lacks; not required if it was one of several names."""

    column: str
    role: str
    needed: bool


@dataclass(slots=True)
class Roles:
    """The roles of one file's columns.

    `columns` maps a role to its column, `values` to a fixed value. `criteria` and `people` (human labels) map
    a criterion to its column; `criteria` is None if a row is one judgement. `beside` maps rationale and label
    to criterion to column. `guessed` are roles recognized by name. `scales` maps a criterion (or `""`: all
    others) to its lowest and highest score, `directions` to its better end. `by_folder`: name runs after folders.
    """

    columns: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    criteria: dict[str, str] | None = None
    people: dict[str, str] = field(default_factory=dict)
    beside: dict[str, dict[str, str]] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    directions: dict[str, str] = field(default_factory=dict)
    by_folder: bool = False

    def has(self, role: str) -> bool:
        """Whether a column or a fixed value has the role."""
        return role in self.columns or role in self.values

    def used_columns(self) -> set[str]:
        """Return every column with a role."""
        beside = {column for columns in self.beside.values() for column in columns.values()}
        return {*self.columns.values(), *(self.criteria or {}).values(), *self.people.values()} | beside

    def sentence(self) -> str:
        """Return the roles as a sentence."""
        parts = [f"{role} = {column!r}" for role, column in self.columns.items()]
        for role, named in (("criteria", self.criteria), ("people", self.people or None)):
            if named is not None:
                each = (f"{c!r}" if c == name else f"{name} from {c!r}" for name, c in named.items())
                parts.append(f"{role} = {join_words(each)}")
        guessed = f" ({', '.join(self.guessed)} recognized by name)" if self.guessed else ""
        return f"Columns: {', '.join(parts)}{guessed}."


def resolve(
    mapping: Mapping | None, columns: Sequence[str], *, source: str, numeric: Sequence[str] = ()
) -> Roles:
    """Assign roles to the columns of a file; `numeric` columns may hold scores.

    Raise `FormatError`, with the mapping to pass, if the case or the scores are missing.
    """
    return _Resolver(mapping or Mapping(), columns, source).resolve(numeric)


class _Resolver:
    def __init__(self, mapping: Mapping, columns: Sequence[str], source: str) -> None:
        self.mapping, self.columns, self.source = mapping, columns, source
        self.roles = Roles(
            values=dict(mapping.values), scales=dict(mapping.scales), directions=dict(mapping.directions)
        )
        self.taken: set[str] = set()

    def resolve(self, numeric: Sequence[str]) -> Roles:
        roles, mapping = self.roles, self.mapping
        for role, names in mapping.columns.items():
            self._take(role, names)
        if mapping.criteria is not None:
            roles.criteria = self._take_criteria(mapping.criteria)
        roles.people = self._take_criteria(mapping.people)
        if roles.people and not roles.has("rater"):
            self._guess("rater", _RATERS)
        known = {*mapping.columns, *roles.values}
        known |= {"criterion", "score"} if mapping.criteria is not None else set()
        for role, names in NAMES.items():
            if role not in known:
                self._guess(role, names)
        if mapping.criteria is None and "criterion" not in roles.columns:
            self._guess_wide()
        if roles.criteria is not None:
            self._find_beside(roles.criteria)
        self._check_scores(numeric)
        self._check_case()
        return roles

    def _first(self, names: Iterable[str]) -> str | None:
        return next((name for name in names if name in self.columns), None)

    def _take(self, role: str, names: tuple[str, ...]) -> None:
        if role in _PATTERNS and any("{" in name for name in names):
            return
        if role == "case" and names == (LINE,):
            return
        if role == "run" and names == (FOLDER,) and FOLDER not in self.columns:
            self.roles.by_folder = True
            return
        column = self._first(names)
        if column is not None:
            self.roles.columns[role] = column
            self.taken.add(column)
        elif role in _VALUES and len(names) == 1:
            self.roles.values[role] = names[0]
        else:
            self.roles.missing.append(Missing(names[0], role, len(names) == 1))

    def _take_criteria(self, criteria: dict[str, tuple[str, ...]]) -> dict[str, str]:
        columns = {}
        for criterion, names in criteria.items():
            column = self._first(names)
            if column is None:
                self.roles.missing.append(Missing(names[0], f"criterion {criterion}", len(names) == 1))
            else:
                columns[criterion] = column
                self.taken.add(column)
        return columns

    def _guess(self, role: str, names: tuple[str, ...]) -> None:
        plain = {
            column: re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
            for column in self.columns
            if column not in self.taken
        }
        matches = [column for column, name in plain.items() if name == role]
        matches = matches or [column for name in names for column, own in plain.items() if own == name]
        if not matches:
            return
        if len(matches) > 1 and role in _AMBIGUOUS:
            raise FormatError(
                f"{self.source}: Several columns may be the {role}: {join_words(map(repr, matches))}.",
                argument="mapping",
                choices=matches,
                fix=mapping_option({role: matches[0]}),
            )
        self.roles.columns[role] = matches[0]
        self.roles.guessed.append(role)
        self.taken.add(matches[0])

    def _guess_wide(self) -> None:
        """Recognize `tone_score` and `score_tone`; a lone score is its own criterion."""
        roles, criteria = self.roles, {}
        for column in self.columns:
            match = _WIDE.match(column)
            if match and column not in self.taken:
                criteria[match["before"] or match["after"]] = column
        if criteria:
            roles.columns.pop("score", None)
        elif "score" in roles.columns:
            criteria = {"score": roles.columns.pop("score")}
            roles.guessed = [role for role in roles.guessed if role != "score"]
        else:
            return
        roles.criteria = criteria
        roles.guessed.append("criteria")

    def _find_beside(self, criteria: dict[str, str]) -> None:
        for role in _PATTERNS:
            patterns = [name for name in self.mapping.columns.get(role, ()) if "{" in name]
            guesses = _RATIONALES if role == "rationale" and role not in self.roles.columns else ()
            columns = {}
            for criterion, column in criteria.items():
                stems = (column, criterion, re.sub(r"[_. -]score$", "", column))
                names = (
                    pattern.replace("{criterion}", stem).replace("{column}", stem).replace("{}", stem)
                    for pattern in patterns or guesses
                    for stem in stems
                )
                name = self._first(names)
                if name is not None:
                    columns[criterion] = name
            if columns:
                self.roles.beside[role] = columns
            elif patterns:
                self.roles.missing.append(Missing(patterns[0], role, needed=True))

    def _check_scores(self, numeric: Sequence[str]) -> None:
        roles, mapping = self.roles, self.mapping
        if roles.criteria is not None:
            scored = bool(roles.criteria)
        else:
            scored = "criterion" in roles.columns and not {"score", "label"}.isdisjoint(roles.columns)
        if scored:
            return
        absent = [f"{column!r} ({role})" for column, role, _ in roles.missing]
        if absent and (mapping.columns or mapping.criteria):
            raise MissingColumns(
                f"{self.source} has none of the columns {join_words(absent)} that {mapping.name} names.{self._hints()}"
            )
        case = (*mapping.columns.get("case", ()), None)[0]
        case = roles.columns.get("case") or case or self._likely_case()
        free = [c for c in numeric if c != case and c not in roles.columns.values()]
        likely = [c for c in free if not _CASE_LIKE[1].search(c)] or free or ["..."]
        judged = [c for c in likely if not _PERSON.search(c)] or likely
        labels = {c: difflib.get_close_matches(c, judged, 1, 0)[0] for c in likely if c not in judged}
        suggestion = {"case": case or LINE, "criteria": judged[:6], "people": labels, "scale": [1, 5]}
        option = mapping_option({key: value for key, value in suggestion.items() if value})
        raise FormatError(
            f"{self.source}: Cannot tell which columns hold the scores.",
            argument="mapping",
            fix=_with_columns("Pass a mapping, for example {option}.", self.columns, option),
        )

    def _check_case(self) -> None:
        roles, names = self.roles, self.mapping.columns.get("case", ())
        if roles.has("case") or names == (LINE,):
            return
        if names:
            raise MissingColumns(
                f"{self.source} has no column {names[0]!r}, which {self.mapping.name} names as the case.{self._hints()}"
            )
        likely = self._likely_case()
        template = 'Add it to the mapping: {option}, or "line" to pair by line number.'
        raise FormatError(
            f"{self.source}: Cannot tell which column is the case ID.",
            argument="mapping",
            fix=_with_columns(template, self.columns, mapping_option({"case": likely or "COLUMN"})),
        )

    def _likely_case(self) -> str | None:
        taken = {*self.roles.columns.values(), *(self.roles.criteria or {}).values()}
        free = [column for column in self.columns if column not in taken]
        return next((c for pattern in _CASE_LIKE for c in free if pattern.search(c)), None)

    def _hints(self) -> str:
        near = ""
        for column, _, _ in self.roles.missing:
            matches = difflib.get_close_matches(column, self.columns, n=1, cutoff=0.6)
            if matches and not near:
                near = f" Did you mean {matches[0]!r} for {column!r}?"
        return f"{near} Columns: {join_words(self.columns, limit=40)}."


def mapping_option(mapping: dict[str, Any]) -> Option:
    """Return the option that passes a mapping; the command line needs a file."""
    text = json.dumps(mapping, ensure_ascii=False)
    return Option("mapping", mapping, python=f"mapping={text}", shell=f"--mapping FILE.yaml with {text}")


def _with_columns(template: str, columns: Sequence[str], option: Option) -> Sentence:
    return Sentence(f"{template} Columns: {{columns}}.", option=option, columns=join_words(columns, limit=40))
