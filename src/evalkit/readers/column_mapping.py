"""Which column holds what: a mapping as given, and what is recognised where it says nothing."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from evalkit.util.errors import FormatError, PathError
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAPPING_FILE: Final = "evalkit.yaml"
"""The mapping beside the files that it is for."""

LINE: Final = "line"
FOLDER: Final = "folder"

# What holds what, and the other names by which it goes; our own name is always the first guess.
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "case": (
        *("case_id", "sample_id", "question_id", "item_id", "example_id", "test_case", "test_case_id"),
        *("test_id", "task_id", "doc_id", "custom_id", "id"),
    ),
    "criterion": ("metric", "metric_name", "criteria", "dimension", "criterion_name"),
    "score": ("rating", "value", "score_value", "metric_value"),
    "label": ("verdict", "score_label", "passed"),
    "run": ("run_id", "run_name", "experiment", "experiment_id"),
    "agent": ("agent_name", "agent_id", "system"),
    "agent_version": ("version", "variant", "prompt_version", "system_version"),
    "model": ("model_name", "model_id"),
    "provider": (),
    "epoch": ("attempt", "trial", "repetition", "repeat", "iteration", "replicate"),
    "grader": ("judge", "judge_name", "evaluator", "rater", "annotator", "scorer"),
    "grader_kind": ("grader_type", "annotator_kind"),
    "sample": ("judge_sample",),
    "rationale": ("reason", "explanation", "justification", "reasoning", "comment", "feedback"),
    "evidence": ("quote",),
    "error": (),
    "judge_model": ("grader_model",),
    "rubric_hash": (),
    "prompt_hash": (),
    "seed": (),
    "mode": (),
    "metadata": (),
    "input": ("question", "query", "user_input", "instruction"),
    "output": ("answer", "response", "completion", "prediction", "actual_output", "model_output"),
    "ideal_behavior": (
        *("truth", "ground_truth", "expected", "expected_output", "reference", "reference_answer", "ideal"),
        "target",
    ),
    "severity": (),
    "tags": ("tag", "slices", "slice"),
    "domain": (),
    "cluster": (),
    "suite": ("suite_name", "benchmark"),
    "latency_s": ("latency", "latency_seconds", "duration_s"),
    "cost_usd": ("cost",),
    "input_tokens": ("prompt_tokens",),
    "output_tokens": ("completion_tokens",),
    "scale_min": (),
    "scale_max": (),
}
# Not columns of a file, or written in another way.
_SPECIAL: Final = ("criteria", "people", "rater", "scale", "truth")
# A word that names no column is the value itself.
_VALUES: Final = ("grader", "grader_kind", "rater", "suite", "agent", "provider", "judge_model")
_RATERS: Final = ("annotator", "reviewer", "labeler", "labeller")
# One column for each criterion, as in "{criterion}_reason".
PATTERNS: Final = ("rationale", "label", "evidence")
_BESIDE: Final = ("{}_reason", "{}_rationale", "{}_explanation", "{}_justification", "{}_comment")
_WIDE: Final = re.compile(r"^(?:(?P<before>.+)[_. -]score|score[_. :-](?P<after>.+))$", re.IGNORECASE)
_PERSON: Final = re.compile(r"human|annotat|rater|reviewer|expert|label+er|people|manual", re.IGNORECASE)
# What the name of a column of cases may sound like, the likeliest first.
_CASE_LIKE: Final = (
    re.compile(r"case|sample|item|example|ticket|question|prompt|task", re.IGNORECASE),
    re.compile(r"(?:^|[_. -])(?:id|key|no|nr|index|name)$|^[a-z]?id$|[a-z]I[dD]$|ID$"),
)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping that has been checked.

    Attributes
    ----------
    columns
        What -> the names its column may have, or `{"value": x}`: the same for every record.
    criteria
        Criterion -> the names its column may have; None where a row is one judgement.
    people
        The same for the labels of a person that stand beside the judge's scores.
    scales
        Criterion (or `""`: all others) -> lowest and highest score.
    name
        Where it was written, for messages.
    """

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    criteria: dict[str, tuple[str, ...]] | None = None
    people: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    name: str = "the mapping"

    @classmethod
    def read(cls, given: Mapping | AnyMapping[str, Any] | str | Path) -> Mapping:
        """Check a mapping: a dict, or the path of a YAML file.

        Raises
        ------
        PathError
            There is no such file.
        FormatError
            A key that no mapping has, or a value that cannot be understood.

        Examples
        --------
        >>> Mapping.read({"case": "line", "criteria": ["tone"], "scale": [1, 5]}).scales
        {'': (1.0, 5.0)}
        >>> Mapping.read({"case": "line", "critera": ["tone"]})
        Traceback (most recent call last):
        evalkit.util.errors.FormatError: the mapping has no key 'critera'. Did you mean 'criteria'? ...
        """
        if isinstance(given, Mapping):
            return given
        if isinstance(given, str | Path):
            return cls._check(_read_yaml(Path(given)), name=str(given))
        return cls._check(given, name="the mapping")

    @classmethod
    def _check(cls, given: Any, *, name: str) -> Mapping:
        if not isinstance(given, AnyMapping):
            raise FormatError(
                f"{name} is {type(given).__name__}; it may be keys with columns, as {_EXAMPLE}."
            )
        known = [*NAMES, *_SPECIAL]
        for key in given:
            if key not in known:
                raise FormatError(
                    f"{name} has no key {key!r}.{did_you_mean(str(key), known)} It may have: {join_words(known, limit=40)}."
                )
        for key in {"criteria", "people"} & given.keys() if "criterion" in given else ():
            raise FormatError(
                f"{name} has {key} and criterion; {key} names a column each (a row is an answer), criterion the one "
                "column with their names (a row is a judgement)."
            )
        columns, values = {}, {}
        for key, value in given.items():
            key = "ideal_behavior" if key == "truth" else str(key)
            if value is None or key in ("criteria", "people", "scale"):
                continue
            if isinstance(value, AnyMapping) and set(value) == {"value"}:
                values[key] = str(value["value"])
            else:
                columns[key] = _names(value, key, name)
        return cls(
            columns=columns,
            values=values,
            criteria=_criteria(given.get("criteria"), name),
            people=_criteria(given.get("people"), name) or {},
            scales=_scales(given.get("scale"), name),
            name=name,
        )


_EXAMPLE: Final = '{"case": "line", "criteria": ["relevance"], "scale": [1, 5]}'


class Missing(NamedTuple):
    """A column that the mapping names and a file has not: a list of names says that it may not be there."""

    column: str
    what: str
    needed: bool


@dataclass(slots=True)
class Roles:
    """What each column of one file was taken for.

    Attributes
    ----------
    columns
        What -> column.
    values
        What -> the value of every record.
    criteria
        Criterion -> column; None where a row is one judgement.
    people
        Criterion -> column with the label of a person.
    beside
        What -> criterion -> column: rationales and labels that stand beside a score.
    guessed
        What was recognised rather than told.
    missing
        Columns that the mapping names and the file has not, with what they were to be.
    by_folder
        Whether the mapping asks for runs called after their folders.
    """

    columns: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    criteria: dict[str, str] | None = None
    people: dict[str, str] = field(default_factory=dict)
    beside: dict[str, dict[str, str]] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    by_folder: bool = False

    def sentence(self) -> str:
        """Say what was taken for what, in words."""
        parts = [f"{what} = {column!r}" for what, column in self.columns.items()]
        for what, named in (("criteria", self.criteria), ("people", self.people or None)):
            if named is not None:
                each = (f"{c!r}" if c == name else f"{name} from {c!r}" for name, c in named.items())
                parts.append(f"{what} = {join_words(each)}")
        guessed = f" ({', '.join(self.guessed)} recognised by name)" if self.guessed else ""
        return f"Columns taken for: {', '.join(parts)}{guessed}."


def resolve(
    mapping: Mapping | None, columns: Sequence[str], *, source: str, numeric: Sequence[str] = ()
) -> Roles:
    """Decide what each column of a file is; `numeric` are those that may hold scores.

    Raises
    ------
    FormatError
        It cannot be decided; the message says which mapping to give.
    """
    mapping = mapping or Mapping()
    roles = Roles(values=dict(mapping.values), scales=dict(mapping.scales))
    taken: set[str] = set()
    for what, names in mapping.columns.items():
        _take(roles, what, names, columns, taken)
    if mapping.criteria is not None:
        roles.criteria = _take_criteria(roles, mapping.criteria, columns, taken)
    roles.people = _take_criteria(roles, mapping.people, columns, taken)
    if roles.people and "rater" not in {*roles.columns, *roles.values}:
        _guess(roles, "rater", _RATERS, columns, taken, source)
    for what, others in NAMES.items():
        if (
            what in mapping.columns
            or what in roles.values
            or (what == "criterion" and mapping.criteria is not None)
        ):
            continue
        if what == "score" and mapping.criteria is not None:
            continue
        _guess(roles, what, others, columns, taken, source)
    if mapping.criteria is None and "criterion" not in roles.columns:
        _guess_wide(roles, columns, taken)
    if roles.criteria is not None:
        _find_beside(roles, mapping, columns)
    _check_complete(roles, mapping, columns, source, numeric)
    return roles


def find_mapping(path: Path, top: Path) -> Path | None:
    """Return the `evalkit.yaml` for a file: in its folder, or the nearest above it up to `top`."""
    folder = path if path.is_dir() else path.parent
    while True:
        if (folder / MAPPING_FILE).is_file():
            return folder / MAPPING_FILE
        if folder == top or top not in folder.parents:
            return None
        folder = folder.parent


def _take(roles: Roles, what: str, names: tuple[str, ...], columns: Sequence[str], taken: set[str]) -> None:
    """Note what the mapping says of `what`."""
    if what in PATTERNS and any("{" in name for name in names):
        return
    if what == "case" and names == (LINE,):
        return
    if what == "run" and names == (FOLDER,) and FOLDER not in columns:
        roles.by_folder = True
        return
    column = next((name for name in names if name in columns), None)
    if column is not None:
        roles.columns[what] = column
        taken.add(column)
    elif what in _VALUES and len(names) == 1:
        roles.values[what] = names[0]
    else:
        roles.missing.append(Missing(names[0], what, len(names) == 1))


def _take_criteria(
    roles: Roles, told: dict[str, tuple[str, ...]], columns: Sequence[str], taken: set[str]
) -> dict[str, str]:
    """Return the column of each criterion that the mapping names, and note those that are not there."""
    found = {}
    for criterion, names in told.items():
        column = next((name for name in names if name in columns), None)
        if column is None:
            roles.missing.append(Missing(names[0], f"criterion {criterion}", len(names) == 1))
        else:
            found[criterion] = column
            taken.add(column)
    return found


def _guess(
    roles: Roles, what: str, others: tuple[str, ...], columns: Sequence[str], taken: set[str], source: str
) -> None:
    plain = {
        column: re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
        for column in columns
        if column not in taken
    }
    own = [column for column, name in plain.items() if name == what]
    found = own or [column for other in others for column, name in plain.items() if name == other]
    if not found:
        return
    if len(found) > 1 and what in ("case", "criterion", "score", "run"):
        raise FormatError(
            f"{source}: {join_words(map(repr, found))} may each be the {what}; say which: mapping={{{what!r}: {found[0]!r}}}."
        )
    roles.columns[what] = found[0]
    roles.guessed.append(what)
    taken.add(found[0])


def _guess_wide(roles: Roles, columns: Sequence[str], taken: set[str]) -> None:
    """Recognise `tone_score` and `score_tone`; else a lone score is a criterion of its own."""
    found = {}
    for column in columns:
        match = _WIDE.match(column)
        if match and column not in taken:
            found[match["before"] or match["after"]] = column
    if found:
        roles.criteria = found
        roles.columns.pop("score", None)
        roles.guessed.append("criteria")
    elif "score" in roles.columns:
        roles.criteria = {"score": roles.columns.pop("score")}
        if "score" in roles.guessed:
            roles.guessed.remove("score")
        roles.guessed.append("criteria")


def _find_beside(roles: Roles, mapping: Mapping, columns: Sequence[str]) -> None:
    for what in PATTERNS:
        told = [name for name in mapping.columns.get(what, ()) if "{" in name]
        patterns = told or (list(_BESIDE) if what == "rationale" and what not in roles.columns else [])
        found: dict[str, str] = {}
        for criterion, column in (roles.criteria or {}).items():
            stem = re.sub(r"[_. -]score$", "", column)
            for pattern in patterns:
                made = [
                    pattern.replace("{criterion}", n).replace("{column}", n).replace("{}", n)
                    for n in (column, criterion, stem)
                ]
                name = next((name for name in made if name in columns), None)
                if name is not None:
                    found.setdefault(criterion, name)
        if found:
            roles.beside[what] = found
        elif told:
            roles.missing.append(Missing(told[0], what, needed=True))


def _check_complete(
    roles: Roles, mapping: Mapping, columns: Sequence[str], source: str, numeric: Sequence[str]
) -> None:
    """Raise where a record's case or its scores are not known."""
    wide = roles.criteria is not None
    scored = (
        bool(roles.criteria)
        if wide
        else "criterion" in roles.columns and not {"score", "label"}.isdisjoint(roles.columns)
    )
    gone = [f"{column!r} ({what})" for column, what, _ in roles.missing]
    if mapping.columns.keys() | (mapping.criteria or {}).keys() and not scored and gone:
        raise MissingColumns(
            f"{source} has none of the columns {join_words(gone)} that {mapping.name} names."
            f"{_near(roles.missing, columns)} It has: {join_words(columns, limit=40)}."
        )
    if not scored:
        told = mapping.columns.get("case", ())
        case = roles.columns.get("case") or next(iter(told), None) or _likely_case(roles, columns)
        free = [c for c in numeric if c != case and c not in roles.columns.values()]
        likely = [c for c in free if not _CASE_LIKE[1].search(c)] or free or ["..."]
        judged = [c for c in likely if not _PERSON.search(c)] or likely
        labels = {c: difflib.get_close_matches(c, judged, 1, 0)[0] for c in likely if c not in judged}
        people = f', "people": {json.dumps(labels)}' if labels else ""
        raise FormatError(
            f"{source}: it is not plain which columns hold the scores. Say so: "
            f'mapping={{"case": "{case or LINE}", "criteria": {_quoted(judged[:6])}{people}, "scale": [1, 5]}}. '
            f"It has: {join_words(columns, limit=40)}."
        )
    if "case" not in roles.columns and "case" not in roles.values and mapping.columns.get("case") != (LINE,):
        if gone and "case" in mapping.columns:
            raise MissingColumns(
                f"{source} has no column {mapping.columns['case'][0]!r}, which {mapping.name} names as the case."
                f"{_near(roles.missing, columns)} It has: {join_words(columns, limit=40)}."
            )
        likely_case = _likely_case(roles, columns)
        case = f'"{likely_case}"' if likely_case else "COLUMN"
        raise FormatError(
            f"{source}: it is not plain which column says the case. Say so: "
            f'mapping={{"case": {case}}}, or "line" to pair by line number. It has: {join_words(columns, limit=40)}.'
        )


def _likely_case(roles: Roles, columns: Sequence[str]) -> str | None:
    """Return the column, of those that are nothing else, whose name sounds most like a case's."""
    taken = {*roles.columns.values(), *(roles.criteria or {}).values()}
    left = [column for column in columns if column not in taken]
    return next((c for sound in _CASE_LIKE for c in left if sound.search(c)), None)


class MissingColumns(FormatError):
    """One file has not the columns that the mapping names; another may."""


def _near(missing: Iterable[Missing], columns: Sequence[str]) -> str:
    for column, _, _ in missing:
        near = difflib.get_close_matches(column, columns, n=1, cutoff=0.6)
        if near:
            return f" Did you mean {near[0]!r} for {column!r}?"
    return ""


def _quoted(names: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _names(value: Any, key: str, name: str) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if not values or not all(isinstance(one, str | int) and not isinstance(one, bool) for one in values):
        raise FormatError(
            f"{name}: {key} is {value!r}; it may be a column, a list of names that it may have, or {{'value': x}}."
        )
    return tuple(str(one) for one in values)


def _criteria(value: Any, name: str) -> dict[str, tuple[str, ...]] | None:
    if value is None:
        return None
    value = [value] if isinstance(value, str) else value
    made: dict[str, tuple[str, ...]] = {}
    if isinstance(value, AnyMapping):
        for key, other in value.items():
            # A list: the columns that a criterion may be in. A word: what the column's criterion is called.
            if isinstance(other, list | tuple):
                made[str(key)] = _names(other, "criteria", name)
            else:
                made[str(other)] = (*made.get(str(other), ()), str(key))
    elif isinstance(value, list | tuple):
        made = {column: (column,) for column in _names(value, "criteria", name)}
    if not made:
        raise FormatError(
            f"{name}: criteria is {value!r}; it may be columns, or columns with the criterion of each."
        )
    return made


def _scales(value: Any, name: str) -> dict[str, tuple[float, float]]:
    if value is None:
        return {}
    given = value if isinstance(value, AnyMapping) else {"": value}
    made = {}
    for criterion, scale in given.items():
        try:
            low, high = (float(end) for end in scale)
        except (TypeError, ValueError):
            low = high = 0.0
        if not low < high:
            raise FormatError(
                f"{name}: scale is {scale!r}; it may be the lowest and the highest score, as [1, 5]."
            )
        made[str(criterion)] = (low, high)
    return made


def _read_yaml(path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if not path.is_file():
        raise PathError.missing(path)
    try:
        return YAML(typ="safe", pure=True).load(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise FormatError(f"{path}: this is not UTF-8 text.") from None
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise FormatError(f"{path}{line}: this is not YAML: {error.problem}.") from None
    except YAMLError as error:
        raise FormatError(f"{path}: this is not YAML: {str(error).splitlines()[0]}.") from None
