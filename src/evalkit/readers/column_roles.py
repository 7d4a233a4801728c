"""Assign roles to the columns of a score table."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from evalkit.readers.column_mapping import BESIDE, COUNT, NAMES, Mapping
from evalkit.readers.score_values import Notation, as_names
from evalkit.util.errors import FormatError
from evalkit.util.words import Option, Sentence, join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from evalkit.readers.column_mapping import Judgement

LINE: Final = "line"
FOLDER: Final = "folder"

# A word that is no column name is a fixed value.
_VALUES: Final = ("grader", "grader_kind", "rater", "suite", "agent", "provider", "judge_model")
_RATERS: Final = ("annotator", "reviewer", "labeler", "labeller")
_RATIONALES: Final = ("{}_reason", "{}_rationale", "{}_explanation", "{}_justification", "{}_comment")
_AMBIGUOUS: Final = ("case", "criterion", "score", "run")


class MissingColumns(FormatError):
    """Columns of the mapping are missing from a file; another file may have them."""


class Missing(NamedTuple):
    """A mapped column that a file lacks; not required if it was one of several names."""

    column: str
    role: str
    needed: bool


@dataclass(frozen=True, slots=True)
class Scored:
    """A criterion with the column of its scores, by one grader; `beside` are columns of rationale, label, evidence."""

    criterion: str
    column: str
    grader: str = ""
    people: bool = False
    notation: Notation = field(default_factory=Notation)
    beside: dict[str, str] = field(default_factory=dict)
    equal: tuple[str, ...] = ()


@dataclass(slots=True)
class Roles:
    """The roles of one file's columns.

    `columns` maps a role to its column, `values` to a fixed value. `criteria` is None if a row is one judgement.
    `guessed` are roles recognized by name. `scales` maps a criterion (or `""`: all others) to its lowest and highest
    score, `directions` to its better end. `by_folder`: name runs after folders.
    """

    columns: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    criteria: list[Scored] | None = None
    guessed: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    directions: dict[str, str] = field(default_factory=dict)
    severities: dict[str, str | None] = field(default_factory=dict)
    notation: Notation = field(default_factory=Notation)
    by_folder: bool = False
    available: tuple[str, ...] = ()
    counts_epochs: bool = False

    def has(self, role: str) -> bool:
        """Whether a column or a fixed value has the role."""
        return role in self.columns or role in self.values

    @property
    def people(self) -> bool:
        """Whether columns hold the scores of people."""
        return any(one.people for one in self.criteria or ())

    def used_columns(self) -> set[str]:
        """Return every column with a role."""
        used = set(self.columns.values())
        for one in self.criteria or ():
            used |= {one.column, *one.beside.values(), *one.equal}
        return used

    def sentence(self) -> str:
        """Return the roles as a sentence."""
        parts = [f"{role} = {column!r}" for role, column in self.columns.items()]
        for role, is_people in (("criteria", False), ("people", True)):
            each = [one for one in self.criteria or () if one.people == is_people]
            if each or (role == "criteria" and self.criteria is not None):
                names = (
                    f"{o.column!r}" if o.column == o.criterion else f"{o.criterion} from {o.column!r}"
                    for o in each
                )
                parts.append(f"{role} = {join_words(names) or 'none'}")
        guessed = f" ({', '.join(self.guessed)} recognized by name)" if self.guessed else ""
        return f"Columns: {', '.join(parts)}{guessed}."


def resolve(mapping: Mapping, columns: Sequence[str], *, source: str, recognizes: bool = True) -> Roles:
    """Assign roles to the columns of a file; with `recognizes`, also by common names.

    Raise `MissingColumns` if the file has none of the mapped columns.
    """
    return _Resolver(mapping, columns, source).resolve(recognizes=recognizes)


class _Resolver:
    def __init__(self, mapping: Mapping, columns: Sequence[str], source: str) -> None:
        self.mapping, self.columns, self.source = mapping, columns, source
        self.roles = Roles(
            available=tuple(columns),
            values=dict(mapping.values),
            scales=dict(mapping.scales),
            directions=dict(mapping.directions),
            severities=dict(mapping.severities),
            notation=Notation(mapping.words, mapping.decimal or "."),
        )
        self.taken: set[str] = set(mapping.ignore)

    def resolve(self, *, recognizes: bool) -> Roles:
        roles, mapping = self.roles, self.mapping
        for role, names in mapping.columns.items():
            self._take(role, names)
        if mapping.criteria is not None:
            roles.criteria = [scored for one in mapping.criteria for scored in self._take_criterion(one)]
        if roles.people and not roles.has("rater"):
            self._recognize("rater", _RATERS)
        known = {*mapping.columns, *roles.values}
        known |= {"criterion", "score"} if mapping.criteria is not None else set()
        for role, names in NAMES.items():
            if role not in known and (recognizes or role not in _GUESSED):
                self._recognize(role, names)
        if roles.criteria is not None:
            roles.criteria = [self._with_columns_beside(one) for one in roles.criteria]
        self._check_missing()
        return roles

    def _first(self, names: Iterable[str]) -> str | None:
        return next((name for name in names if name in self.columns), None)

    def _take(self, role: str, names: tuple[str, ...]) -> None:
        if role in BESIDE and any("{" in name for name in names):
            return
        if role == "case" and names == (LINE,):
            return
        if role == "epoch" and names == (COUNT,) and COUNT not in self.columns:
            self.roles.counts_epochs = True
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

    def _take_criterion(self, one: Judgement) -> Iterable[Scored]:
        notation = Notation(one.words, self.mapping.decimal or ".", one.unit, one.of)
        if one.columns[0].endswith(".*"):
            stem = one.columns[0][:-1]
            for column in self.columns:
                if column.startswith(stem) and column not in self.taken:
                    self.taken.add(column)
                    name = column.removeprefix(stem)
                    beside = {role: text.replace("{criterion}", name) for role, text in one.beside.items()}
                    kept = {role: text for role, text in beside.items() if text in self.columns}
                    yield Scored(name, column, one.grader, one.people, notation, kept)
            return
        own = self._first(one.columns)
        lacking = [each for each in one.equal if each not in self.columns]
        if own is None or lacking:
            first = lacking[0] if lacking else one.columns[0]
            self.roles.missing.append(Missing(first, f"criterion {one.criterion}", len(one.columns) == 1))
            return
        beside = {role: text for role, text in one.beside.items() if self._has_beside(role, text)}
        self.taken |= {own, *one.equal}
        yield Scored(one.criterion, own, one.grader, one.people, notation, beside, one.equal)

    def _has_beside(self, role: str, column: str) -> bool:
        if column not in self.columns:
            self.roles.missing.append(Missing(column, role, needed=True))
        return column in self.columns

    def _recognize(self, role: str, names: tuple[str, ...]) -> None:
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

    def _with_columns_beside(self, one: Scored) -> Scored:
        """Add the columns `{criterion}_reason` and the like, by the mapping's patterns or by name."""
        beside = dict(one.beside)
        stems = (one.column, one.criterion, re.sub(r"[_. -]score$", "", one.column))
        for role in BESIDE:
            patterns = [name for name in self.mapping.columns.get(role, ()) if "{" in name]
            guesses = (
                _RATIONALES
                if role == "rationale" and role not in self.roles.columns and not one.grader
                else ()
            )
            names = (
                pattern.replace("{criterion}", stem).replace("{column}", stem).replace("{}", stem)
                for pattern in patterns or guesses
                for stem in stems
            )
            name = self._first(names)
            if name is not None and role not in beside:
                beside[role] = name
        return Scored(one.criterion, one.column, one.grader, one.people, one.notation, beside, one.equal)

    def _check_missing(self) -> None:
        """Raise if the file has none of the mapped scores, or lacks the mapped case."""
        roles, mapping = self.roles, self.mapping
        for role in BESIDE:
            patterns = [name for name in mapping.columns.get(role, ()) if "{" in name]
            if patterns and not any(role in one.beside for one in roles.criteria or ()):
                roles.missing.append(Missing(patterns[0], role, needed=True))
        absent = [f"{column!r} ({role})" for column, role, _ in roles.missing]
        lacks_criteria = mapping.criteria and not roles.criteria
        lacks_score = "criterion" in mapping.columns and not (
            "criterion" in roles.columns and {"score", "label"} & roles.columns.keys()
        )
        if absent and (lacks_criteria or lacks_score):
            raise MissingColumns(
                f"{self.source} has none of the columns {join_words(absent)} that {mapping.name} names.{self._hints()}"
            )
        names = mapping.columns.get("case", ())
        if names and names != (LINE,) and "case" not in roles.columns:
            raise MissingColumns(
                f"{self.source} has no column {names[0]!r}, which {mapping.name} names as the case.{self._hints()}"
            )

    def _hints(self) -> str:
        near = ""
        for column, _, _ in self.roles.missing:
            matches = difflib.get_close_matches(column, self.columns, n=1, cutoff=0.6)
            if matches and not near:
                near = f" Did you mean {matches[0]!r} for {column!r}?"
        return f"{near} Columns: {join_words(self.columns, limit=40)}."


def drop_guessed_grader(frame: pl.DataFrame, roles: Roles) -> None:
    """Undo a guess: a grader column has no gaps."""
    if roles.criteria is None or "grader" not in roles.guessed:
        return
    empty = as_names(frame.get_column(roles.columns["grader"])).fill_null("") == ""
    if empty.any() and not empty.all():
        del roles.columns["grader"]
        roles.guessed.remove("grader")


# Roles that a guess decides by names and values.
_GUESSED: Final = frozenset(
    {
        *(
            "case",
            "criterion",
            "score",
            "label",
            "run",
            "agent_version",
            "model",
            "epoch",
            "grader",
            "severity",
        ),
        *("input", "output", "ideal_behavior", "tags", "latency_s", "cost_usd", "rationale"),
    }
)


def mapping_option(mapping: dict[str, Any]) -> Option:
    """Return the option that passes a mapping; the command line needs a file."""
    python = repr(mapping)
    text = json.dumps(mapping, ensure_ascii=False)
    return Option("mapping", mapping, python=f"mapping={python}", shell=f"--mapping FILE.yaml with {text}")


def with_columns(template: str, columns: Sequence[str], option: Option) -> Sentence:
    """Return a sentence with an option, and the columns of the file."""
    return Sentence(f"{template} Columns: {{columns}}.", option=option, columns=join_words(columns, limit=40))
