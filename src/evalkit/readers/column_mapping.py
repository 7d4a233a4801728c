"""The column mapping of a score table."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import pydantic

from evalkit.data.schema import DIRECTIONS
from evalkit.util.errors import FormatError, PathError, SuiteError
from evalkit.util.words import did_you_mean, join_words

_Model = TypeVar("_Model", bound=pydantic.BaseModel)

MAPPING_FILE: Final = "evalkit.yaml"
"""The name of a mapping file that applies to the files beside and below it."""

# Each role with its recognized column names, besides its own name.
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
    "epoch": ("attempt", "trial", "repetition", "repeat", "iteration", "replicate"),
    "grader": ("judge", "judge_name", "evaluator", "rater", "annotator", "scorer"),
    "grader_kind": ("grader_type", "annotator_kind"),
    "sample": ("judge_sample",),
    "rationale": ("reason", "explanation", "justification", "reasoning", "comment", "feedback"),
    "evidence": ("quote",),
    "judge_model": ("grader_model",),
    "input": ("question", "query", "user_input", "instruction"),
    "output": ("answer", "response", "completion", "prediction", "actual_output", "model_output"),
    "ideal_behavior": (
        *("truth", "ground_truth", "expected", "expected_output", "reference", "reference_answer", "ideal"),
        "target",
    ),
    "tags": ("tag", "slices", "slice"),
    "suite": ("suite_name", "benchmark"),
    "latency_s": ("latency", "latency_seconds", "duration_s"),
    "cost_usd": ("cost",),
    "input_tokens": ("prompt_tokens",),
    "output_tokens": ("completion_tokens",),
    **dict.fromkeys(
        (
            "provider",
            "error",
            "rubric_hash",
            "prompt_hash",
            "seed",
            "mode",
            "metadata",
            "severity",
            "domain",
            "cluster",
            "scale_min",
            "scale_max",
        ),
        (),
    ),
}
_SETTINGS: Final = ("records", "encoding", "decimal", "sheet", "ignore", "values")
_KEYS: Final = (
    *NAMES,
    "messages",
    "contexts",
    "criteria",
    "people",
    "rater",
    "scale",
    "direction",
    "truth",
    *_SETTINGS,
)
_EXAMPLE: Final = '{"case": "line", "criteria": ["relevance"], "scale": [1, 5]}'
COUNT: Final = "count"
"""As `epoch`: rows of one case are counted."""


class _Spec(pydantic.BaseModel):
    """What the mapping says of one criterion or column."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    criterion: str | None = None
    columns: str | list[str] | None = None
    scale: list[int | float] | tuple[int | float, ...] | None = None
    direction: Literal["higher", "lower", "none"] | None = None
    grader: str | None = None
    people: bool = False
    rationale: str | None = None
    label: str | None = None
    evidence: str | None = None
    values: dict[str, int | float | None] | None = None
    unit: Literal["%"] | None = None
    write: str | None = pydantic.Field(default=None, pattern=r"^x/\d+$")
    equal: list[str] | tuple[str, ...] | None = pydantic.Field(default=None, min_length=2, max_length=2)


class _Severity(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    column: str
    values: dict[str, Literal["critical", "high", "medium", "low"] | None]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A criterion and the column with its scores, by one grader.

    `columns` are possible names; `scores.*` names every field. `words` is the score of each word, `equal` two columns
    that are compared.
    """

    criterion: str
    columns: tuple[str, ...]
    grader: str = ""
    people: bool = False
    beside: AnyMapping[str, str] = field(default_factory=dict)
    words: AnyMapping[str, float | None] | None = None
    unit: str = ""
    of: str = ""
    equal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mapping:
    """A checked column mapping.

    `columns` maps a role to possible column names, `values` a role to a fixed value. `criteria` is None if a row is
    one judgement, empty if nothing is judged. `scales` maps a criterion (or `""`: all others) to its lowest and highest
    score, `directions` to its better end. `words` is the score of each word of a row's judgement, `severities` the
    severity of each word. `records` is the place of the records in the file.
    """

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    criteria: tuple[Judgement, ...] | None = None
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    directions: dict[str, str] = field(default_factory=dict)
    words: dict[str, float | None] | None = None
    severities: dict[str, str | None] = field(default_factory=dict)
    records: str = ""
    decimal: str = ""
    encoding: str = ""
    sheet: str = ""
    ignore: tuple[str, ...] = ()
    name: str = "the mapping"

    @property
    def names_columns(self) -> bool:
        """Whether it says which columns to read."""
        return bool(self.columns or self.criteria or self.values)

    @property
    def has_people_alone(self) -> bool:
        """Whether it names scores of people and no others."""
        return bool(self.criteria) and all(one.people for one in self.criteria or ())

    @property
    def options(self) -> dict[str, str]:
        """How to open the file: encoding, sheet."""
        given = {"encoding": self.encoding, "sheet": self.sheet}
        return {key: value for key, value in given.items() if value}

    @classmethod
    def read(cls, source: Mapping | AnyMapping[str, Any] | str | Path) -> Mapping:
        """Check a mapping: a dict, or the path of a YAML file.

        Raise `PathError` for a missing file, `FormatError` for an unknown key or an invalid value.

        >>> Mapping.read({"case": "line", "criteria": ["tone"], "scale": [1, 5]}).scales
        {'': (1.0, 5.0)}
        >>> Mapping.read({"criteria": {"toxicity": {"scale": [0, 1], "direction": "lower"}}}).directions
        {'toxicity': 'lower'}
        >>> Mapping.read({"case": "line", "critera": ["tone"]})
        Traceback (most recent call last):
        evalkit.util.errors.FormatError: Unknown key 'critera' in the mapping. Did you mean 'criteria'? ...
        """
        if isinstance(source, Mapping):
            return source
        if isinstance(source, str | Path):
            return cls._check(_read_yaml(Path(source)), name=str(source))
        return cls._check(source, name="the mapping")

    @classmethod
    def _check(cls, given: Any, *, name: str) -> Mapping:
        if not isinstance(given, AnyMapping):
            raise FormatError(
                f"{name} is {type(given).__name__}. Expected keys with columns, such as {_EXAMPLE}."
            )
        for key in given:
            if key not in _KEYS:
                raise FormatError(
                    f"Unknown key {key!r} in {name}.{did_you_mean(str(key), _KEYS)} "
                    f"Valid keys: {join_words(_KEYS, limit=50)}."
                )
        for key in {"criteria", "people"} & given.keys() if "criterion" in given else ():
            raise FormatError(
                f"{name} has {key} and criterion. Pass {key} if a row is an answer and each criterion has a column, "
                "or criterion if a row is a judgement."
            )
        scales, directions = _scales(given.get("scale"), name), _directions(given.get("direction"), name)
        judgements: list[Judgement] = []
        for key in ("criteria", "people"):
            for judgement, spec in _judgements(given.get(key), key, name):
                judgements.append(replace(judgement, people=judgement.people or key == "people"))
                scales |= _scales({judgement.criterion: spec.scale}, name) if spec.scale is not None else {}
                directions |= {judgement.criterion: spec.direction} if spec.direction else {}
        columns: dict[str, tuple[str, ...]] = {}
        values: dict[str, str] = {}
        severities: dict[str, str | None] = {}
        for key, value in given.items():
            role = "ideal_behavior" if key == "truth" else str(key)
            if value is None or key in ("criteria", "people", "scale", "direction", *_SETTINGS):
                continue
            if role == "severity" and isinstance(value, AnyMapping) and set(value) != {"value"}:
                severity = _checked(_Severity, value, "severity", name)
                columns[role], severities = (severity.column,), dict(severity.values)
            elif isinstance(value, AnyMapping) and set(value) == {"value"}:
                values[role] = str(value["value"])
            else:
                columns[role] = _column_names(value, role, name)
        words = given.get("values")
        return cls(
            columns=columns,
            values=values,
            criteria=tuple(judgements) if judgements or given.get("criteria") is not None else None,
            scales=scales,
            directions=directions,
            words=None if words is None else _checked(_Spec, {"values": words}, "values", name).values,
            severities=severities,
            **_settings(given, name),
            name=name,
        )


def _settings(given: AnyMapping[str, Any], name: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key in ("records", "encoding", "decimal", "sheet"):
        value = given.get(key)
        if value is not None and not isinstance(value, str):
            raise FormatError(f"{key} is {value!r} in {name}. Expected text.", argument=key, value=value)
        made[key] = value or ""
    if made["decimal"] not in ("", ".", ","):
        raise FormatError(
            f"decimal is {made['decimal']!r} in {name}.", argument="decimal", choices=(".", ",")
        )
    try:
        "".encode(made["encoding"] or "utf-8")
    except LookupError:
        expected = "a name such as utf-8, cp1252 or utf-16"
        text = f"encoding is {made['encoding']!r} in {name}, which is unknown."
        raise FormatError(text, argument="encoding", value=made["encoding"], expected=expected) from None
    ignored = given.get("ignore")
    made["ignore"] = () if ignored is None else _column_names(ignored, "ignore", name)
    return made


def find_mapping(path: Path, top: Path) -> Path | None:
    """Return the nearest `evalkit.yaml` in or above a file's folder, up to `top`."""
    folder = path if path.is_dir() else path.parent
    while not (folder / MAPPING_FILE).is_file():
        if folder == top or top not in folder.parents:
            return None
        folder = folder.parent
    return folder / MAPPING_FILE


def _column_names(value: Any, key: str, name: str) -> tuple[str, ...]:
    names = value if isinstance(value, list | tuple) else [value]
    if not names or not all(isinstance(each, str | int) and not isinstance(each, bool) for each in names):
        raise FormatError(
            f"{key} is {value!r} in {name}. Expected a column, a list of possible columns, or {{'value': x}}."
        )
    return tuple(map(str, names))


def _judgements(value: Any, key: str, name: str) -> list[tuple[Judgement, _Spec]]:
    """Return the criteria of `criteria` or `people`, in any of its forms."""
    if value is None:
        return []
    value = [value] if isinstance(value, str) else value
    if isinstance(value, list | tuple):
        names = _column_names(value, key, name) if value else ()
        return [(Judgement(column, (column,)), _Spec()) for column in names]
    if not isinstance(value, AnyMapping) or not value:
        raise FormatError(
            f"{key} is {value!r} in {name}. Expected a list of columns, or columns with the criterion of each."
        )
    made: list[tuple[Judgement, _Spec]] = []
    renamed: dict[str, int] = {}
    for given, other in value.items():
        if isinstance(other, AnyMapping):
            made.append(_of_spec(str(given), _checked(_Spec, other, f"{key}.{given}", name), name))
        elif isinstance(other, list | tuple):
            # A list holds possible columns of a criterion; a word renames the column's criterion.
            made.append((Judgement(str(given), _column_names(other, key, name)), _Spec()))
        elif other is None:
            made.append((Judgement(str(given), (str(given),)), _Spec()))
        elif str(other) in renamed:
            place = renamed[str(other)]
            before = made[place][0]
            made[place] = (replace(before, columns=(*before.columns, str(given))), _Spec())
        else:
            renamed[str(other)] = len(made)
            made.append((Judgement(str(other), (str(given),)), _Spec()))
    return made


def _of_spec(given: str, spec: _Spec, name: str) -> tuple[Judgement, _Spec]:
    columns = (given,) if spec.columns is None else _column_names(spec.columns, "columns", name)
    beside = {role: column for role in BESIDE if (column := getattr(spec, role)) is not None}
    judgement = Judgement(
        criterion=spec.criterion or given,
        columns=tuple(spec.equal or columns),
        grader=spec.grader or "",
        people=spec.people,
        beside=beside,
        words=spec.values,
        unit=spec.unit or "",
        of=(spec.write or "").removeprefix("x/"),
        equal=tuple(spec.equal or ()),
    )
    return judgement, spec


BESIDE: Final = ("rationale", "label", "evidence")
"""What a criterion may have in a column of its own."""


def _checked(model: type[_Model], value: AnyMapping[str, Any], key: str, name: str) -> _Model:
    """Check a part of a mapping; raise `FormatError` that names key, value and what is allowed."""
    plain = {str(k): _text_keys(v) for k, v in value.items()}
    try:
        return model.model_validate(plain)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
    place = ".".join(map(str, first["loc"][:2])) if first["loc"][:1] == ("values",) else str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        raise FormatError(
            f"Unknown key {place!r} of {key} in {name}.{did_you_mean(place, model.model_fields)}",
            argument=key,
            value=place,
            choices=tuple(model.model_fields),
        )
    wanted = str(first.get("ctx", {}).get("expected") or first["msg"].removeprefix("Input should be "))
    raise FormatError(
        f"{key}.{place} is {first['input']!r:.80} in {name}.",
        argument=key,
        value=first["input"],
        expected=wanted,
    )


def _text_keys(value: Any) -> Any:
    """Return a part with text as keys: YAML reads `yes:` as true."""
    return {_word(key): one for key, one in value.items()} if isinstance(value, AnyMapping) else value


def _word(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _directions(value: Any, name: str) -> dict[str, str]:
    if value is None:
        return {}
    directions = {str(c): d for c, d in (value if isinstance(value, AnyMapping) else {"": value}).items()}
    for direction in directions.values():
        if direction not in DIRECTIONS:
            raise FormatError(
                f"direction is {direction!r} in {name}.",
                argument="direction",
                value=direction,
                choices=DIRECTIONS,
            )
    return directions


def _scales(value: Any, name: str) -> dict[str, tuple[float, float]]:
    if value is None:
        return {}
    scales = {}
    for criterion, scale in (value if isinstance(value, AnyMapping) else {"": value}).items():
        try:
            low, high = (float(end) for end in scale)
        except (TypeError, ValueError):
            low = high = 0.0
        if not low < high:
            hint = ' If lower is better, add "direction": "lower".' if low > high else ""
            raise FormatError(
                f"scale is {scale!r} in {name}. Expected the lowest and the highest score, such as [1, 5].{hint}"
            )
        scales[str(criterion)] = (low, high)
    return scales


def _read_yaml(path: Path) -> Any:
    from evalkit.data.suite_yaml import parse

    if not path.is_file():
        raise PathError.missing(path)
    try:
        return parse(path.read_bytes().decode("utf-8-sig"), name=str(path)).data
    except UnicodeDecodeError:
        raise FormatError(f"{path}: this is not UTF-8 text.") from None
    except SuiteError as error:
        raise FormatError(str(error)) from None
