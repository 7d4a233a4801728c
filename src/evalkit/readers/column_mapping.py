"""The column mapping of a score table."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evalkit.data.schema import DIRECTIONS
from evalkit.util.errors import FormatError, PathError, SuiteError
from evalkit.util.words import did_you_mean, join_words

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
_KEYS: Final = (*NAMES, "criteria", "people", "rater", "scale", "direction", "truth")
_OF_CRITERION: Final = ("columns", "scale", "direction")
_EXAMPLE: Final = '{"case": "line", "criteria": ["relevance"], "scale": [1, 5]}'


@dataclass(frozen=True, slots=True)
class Mapping:
    """A checked column mapping.

    `columns` maps a role to possible column names, `values` a role to a fixed value. `criteria` and `people`
    (human labels) map a criterion to possible column names; `criteria` is None if a row is one judgement.
    `scales` maps a criterion (or `""`: all others) to its lowest and highest score, `directions` to its better end.
    """

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    criteria: dict[str, tuple[str, ...]] | None = None
    people: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    directions: dict[str, str] = field(default_factory=dict)
    name: str = "the mapping"

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
                    f"Valid keys: {join_words(_KEYS, limit=40)}."
                )
        for key in {"criteria", "people"} & given.keys() if "criterion" in given else ():
            raise FormatError(
                f"{name} has {key} and criterion. Pass {key} if a row is an answer and each criterion has a column, "
                "or criterion if a row is a judgement."
            )
        given = _spread_criteria(given, name)
        columns, values = {}, {}
        for key, value in given.items():
            role = "ideal_behavior" if key == "truth" else str(key)
            if value is None or key in ("criteria", "people", "scale", "direction"):
                continue
            if isinstance(value, AnyMapping) and set(value) == {"value"}:
                values[role] = str(value["value"])
            else:
                columns[role] = _column_names(value, role, name)
        return cls(
            columns=columns,
            values=values,
            criteria=_criteria(given.get("criteria"), name),
            people=_criteria(given.get("people"), name) or {},
            scales=_scales(given.get("scale"), name),
            directions=_directions(given.get("direction"), name),
            name=name,
        )


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


def _criteria(value: Any, name: str) -> dict[str, tuple[str, ...]] | None:
    if value is None:
        return None
    value = [value] if isinstance(value, str) else value
    criteria: dict[str, tuple[str, ...]] = {}
    if isinstance(value, AnyMapping):
        for key, other in value.items():
            # A list holds possible columns of a criterion; a word renames the column's criterion.
            if isinstance(other, list | tuple):
                criteria[str(key)] = _column_names(other, "criteria", name)
            else:
                criteria[str(other)] = (*criteria.get(str(other), ()), str(key))
    elif isinstance(value, list | tuple) and value:
        criteria = {column: (column,) for column in _column_names(value, "criteria", name)}
    if not criteria:
        raise FormatError(
            f"criteria is {value!r} in {name}. Expected a list of columns, or columns with the criterion of each."
        )
    return criteria


def _spread_criteria(given: AnyMapping[str, Any], name: str) -> dict[str, Any]:
    """Move what a criterion says of itself, `{"toxicity": {"scale": [0, 1]}}`, to the keys of the mapping."""
    spread = dict(given)
    criteria = given.get("criteria")
    if not isinstance(criteria, AnyMapping) or not any(
        isinstance(one, AnyMapping) for one in criteria.values()
    ):
        return spread
    columns: dict[str, Any] = {}
    moved: dict[str, dict[str, Any]] = {"scale": {}, "direction": {}}
    for criterion, facts in criteria.items():
        if not isinstance(facts, AnyMapping):
            columns[criterion] = facts
            continue
        for key in facts:
            if key not in _OF_CRITERION:
                raise FormatError(
                    f"Unknown key {key!r} of the criterion {criterion!r} in {name}.",
                    argument="criteria",
                    value=str(key),
                    choices=_OF_CRITERION,
                )
        named = facts.get("columns", criterion)
        columns[criterion] = list(named) if isinstance(named, list | tuple) else [named]
        for key, each in moved.items():
            if key in facts:
                each[str(criterion)] = facts[key]
    for key, each in moved.items():
        others = given.get(key)
        if each:
            spread[key] = {
                **(others if isinstance(others, AnyMapping) else {"": others} if others else {}),
                **each,
            }
    return {**spread, "criteria": columns}


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
            raise FormatError(
                f"scale is {scale!r} in {name}. Expected the lowest and the highest score, such as [1, 5]."
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
