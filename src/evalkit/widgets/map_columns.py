"""`ek.map_columns`: say what each column of a table is, and see what is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from evalkit.readers.base import RECORD
from evalkit.readers.column_mapping import Mapping
from evalkit.readers.nested import dotted
from evalkit.readers.score_table import to_evals
from evalkit.readers.score_values import NO_SCORE
from evalkit.readers.suggest_mapping import MappingSuggestion, open_first_table, suggest_mapping
from evalkit.util.arguments import expect
from evalkit.util.errors import EvalkitError, FormatError
from evalkit.util.format import shorten
from evalkit.util.hostile_text import visible
from evalkit.util.html_table import html_table
from evalkit.util.words import plural
from evalkit.widgets.panel import Index, Name, Panel, section

if TYPE_CHECKING:
    from evalkit.readers.base import Raw
    from evalkit.util.hostile_text import Html

NOT_READ: Final = "not read"
SCORES: Final[dict[str, dict[str, Any]]] = {
    "score, higher is better": {},
    "score, lower is better": {"direction": "lower"},
    "score, no better end": {"direction": "none"},
    "score by a person": {"people": True},
}
ROLES: Final = {
    "case": "case ID",
    "input": "question",
    "output": "answer",
    "ideal_behavior": "expected answer",
    "agent_version": "version",
    "model": "model",
    "run": "run",
    "epoch": "attempt",
    "grader": "grader",
    "rater": "rater",
    "criterion": "criterion (a row per judgement)",
    "score": "score (a row per judgement)",
    "rationale": "reason",
    "severity": "severity",
    "tags": "tags",
    "latency_s": "seconds",
    "cost_usd": "US dollars",
}
SCALES: Final = {
    "none": None,
    "0 to 1": [0, 1],
    "1 to 5": [1, 5],
    "0 to 5": [0, 5],
    "1 to 10": [1, 10],
    "0 to 10": [0, 10],
    "0 to 100": [0, 100],
}
_SAMPLES: Final = 3
_SAMPLE_CHARS: Final = 60
_PREVIEW: Final = 5000
_MOST_COLUMNS: Final = 60


@dataclass(eq=False, repr=False)
class ColumnMapper(Panel):
    """The widget that `map_columns` returns; `mapping` is what `evalkit.load` takes."""

    name: ClassVar[str] = "map_columns"

    source: str
    raw: Raw
    suggestion: MappingSuggestion
    roles: dict[str, str] = field(default_factory=dict)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    _others: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frame = dotted(self.raw.frame)
        self._columns = [
            name for name in frame.columns if name not in ("line", RECORD) and not name.startswith("__")
        ]
        self._samples = {
            name: [
                shorten(visible(str(cell)), _SAMPLE_CHARS)
                for cell in frame.get_column(name).drop_nulls().unique(maintain_order=True).head(_SAMPLES)
            ]
            for name in self._columns
        }
        self._start(self.suggestion.mapping)

    def _start(self, mapping: dict[str, Any]) -> None:
        given = dict(mapping)
        criteria, scale, direction = (
            given.pop("criteria", []),
            given.pop("scale", None),
            given.pop("direction", None),
        )
        specs = criteria if isinstance(criteria, dict) else {name: {} for name in criteria}
        self.specs = {name: dict(spec) for name, spec in specs.items()}
        for spec in self.specs.values():
            if isinstance(scale, list) and "scale" not in spec:
                spec["scale"] = scale
        self.roles = {
            role: value for role, value in given.items() if role in ROLES and isinstance(value, str)
        }
        if isinstance(given.get("severity"), dict):
            self.roles["severity"] = given["severity"]["column"]
        self._others = {role: value for role, value in given.items() if self.roles.get(role) != value}
        if "criterion" in self.roles:
            self._others |= {
                key: value for key, value in (("scale", scale), ("direction", direction)) if value
            }

    @property
    def mapping(self) -> dict[str, Any]:
        """The mapping as it stands."""
        mapping = {**self._others, **self.roles}
        if self.roles.get("severity") and isinstance(self._others.get("severity"), dict):
            own = self._others["severity"]
            mapping["severity"] = own if own["column"] == self.roles["severity"] else self.roles["severity"]
        if "criterion" not in self.roles:
            mapping["criteria"] = {name: dict(spec) for name, spec in self.specs.items()} or []
        if "case" not in mapping and "*" not in str(mapping.get("records", "")):
            mapping["case"] = "line"
        return mapping

    @property
    def code(self) -> str:
        """The line of Python that loads the table with this mapping."""
        return f"ek.load({self.source}, mapping={self.mapping!r})"

    def save(self, path: str | Path = "evalkit.yaml") -> Path:
        """Write the mapping as YAML; see `evalkit.suggest_mapping`."""
        return MappingSuggestion(self.mapping, "loads").save(path)

    def __repr__(self) -> str:
        return self.code

    def _role_of(self, column: str) -> str:
        if column in self.specs:
            spec = self.specs[column]
            return next(
                (text for text, own in SCORES.items() if own and own.items() <= spec.items()),
                next(iter(SCORES)),
            )
        role = next((role for role, name in self.roles.items() if name == column), None)
        return NOT_READ if role is None else ROLES[role]

    def _scale_of(self, column: str) -> str:
        scale = self.specs[column].get("scale")
        return next(
            (text for text, ends in SCALES.items() if ends == (list(scale) if scale else None)), f"{scale}"
        )

    def _count(self) -> tuple[str, list[str]]:
        """Return what is read of the first rows, and what is not."""
        raw = replace(self.raw, frame=self.raw.frame.head(_PREVIEW))
        try:
            mapping = {key: value for key, value in self.mapping.items() if key != "records"}
            part, _ = to_evals(raw, mapping=Mapping.read(mapping), run="table", guess=False, strict=False)
        except EvalkitError as error:
            return f"Nothing is read: {error}", []
        scores = part.evals.scores
        empty = int((scores["error"] == NO_SCORE).sum())
        read = scores["score"].count()
        lost = Counter(part.evals.problems["reason"].to_list())
        counted = (
            f"{plural(read, 'score')} read, {scores.height - read - empty} without a number, {empty} empty; "
            f"{plural(part.evals.runs.height, 'run')}, {plural(scores['case'].n_unique(), 'case')}"
        )
        more = f" (of the first {_PREVIEW:,} rows)" if self.raw.frame.height > _PREVIEW else ""
        return counted + more, [shorten(visible(reason), 200) for reason, _ in lost.most_common(3)]

    def show(self) -> dict[str, Any]:
        """Return the columns with samples and roles, what is read, and the code."""
        counted, lost = self._count()
        columns = [
            {
                "name": visible(name),
                "samples": self._samples[name],
                "role": self._role_of(name),
                "scale": self._scale_of(name) if name in self.specs else None,
            }
            for name in self._columns[:_MOST_COLUMNS]
        ]
        return {
            "columns": columns,
            "choices": {"roles": [NOT_READ, *SCORES, *ROLES.values()], "scales": list(SCALES)},
            "read": {
                "text": counted,
                "lost": lost,
                "questions": [visible(q) for q in self.suggestion.questions],
            },
            "code": self.code,
        }

    def _column(self, index: int) -> str:
        if index >= len(self._columns):
            raise FormatError(f"There is no column {index}.")
        return self._columns[index]

    def _on_role(self, column: Index, role: Name) -> None:
        name = self._column(column)
        self.roles = {own: other for own, other in self.roles.items() if other != name}
        spec = self.specs.pop(name, {})
        if role in SCORES:
            kept = {key: value for key, value in spec.items() if key not in ("direction", "people")}
            self.specs[name] = {**kept, **SCORES[role]}
            self.roles = {
                own: other for own, other in self.roles.items() if own not in ("criterion", "score")
            }
        elif role != NOT_READ:
            key = next((key for key, text in ROLES.items() if text == role), None)
            if key is None:
                raise FormatError(f"There is no role {role!r}.", choices=(NOT_READ, *SCORES, *ROLES.values()))
            self.roles[key] = name
        # A guess that belongs to another choice goes.
        self._others = {k: v for k, v in self._others.items() if k not in self.roles or k == "severity"}

    def _on_scale(self, column: Index, scale: Name) -> None:
        name = self._column(column)
        if name not in self.specs or scale not in SCALES:
            raise FormatError(f"{name!r} has no scale {scale!r}.", choices=tuple(SCALES))
        spec = {key: value for key, value in self.specs[name].items() if key != "scale"}
        ends = SCALES[scale]
        self.specs[name] = spec if ends is None else {**spec, "scale": ends}

    def _on_reset(self) -> None:
        self._start(self.suggestion.mapping)

    def to_html(self) -> Html:
        """Return the columns, what is read, and the code as static HTML."""
        counted, lost = self._count()
        rows = [
            [name, ", ".join(self._samples[name]), self._role_of(name)]
            for name in self._columns[:_MOST_COLUMNS]
        ]
        return section(self.name, counted, *lost, html_table(["Column", "Samples", "Role"], rows), self.code)


def map_columns(source: Any) -> ColumnMapper:
    """Map the columns of a table by clicking.

    Each column is shown with samples and its guessed role. A change counts at once the scores read and lost. `mapping`
    and `code` of the widget are what to keep.

    Parameters
    ----------
    source
        A file, a folder (its first table), or a frame.

    Raises
    ------
    FormatError
        There is no table, or the file needs no mapping.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame({"qid": ["a", "b"], "answer": ["Yes.", "No."], "kindness": [4, 2]})
    >>> mapper = map_columns(frame)
    >>> mapper.handle({"kind": "role", "column": 2, "role": "score, higher is better"})
    >>> mapper.handle({"kind": "scale", "column": 2, "scale": "1 to 5"})
    >>> mapper.mapping
    {'case': 'qid', 'output': 'answer', 'criteria': {'kindness': {'scale': [1, 5]}}}
    """
    expect(map_columns, locals())
    raw, _ = open_first_table(source)
    if raw is None:
        raise FormatError(f"{source}: It needs no mapping. Load it as it is.")
    name = repr(str(source)) if isinstance(source, str | Path) else "frame"
    return ColumnMapper(name, raw, suggest_mapping(source))
