"""A suite in YAML: cases, expectations and criteria."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from evalkit.data.suite_errors import broken_rule, check_unique, explained
from evalkit.data.suite_parts import Part, Severity, as_html, as_text, digest
from evalkit.data.suite_yaml import Document, fresh, parse, respell
from evalkit.util.arguments import expect
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import PathError, SelectorError, SuiteError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Case", "Criterion", "Expected", "Origin", "Rubric", "Severity", "Suite", "rubric_hash"]

Origin = Literal["given", "ours"]
"""Who wrote a part: `given` is as it came to us, `ours` was authored here."""


class Criterion(Part):
    """One criterion of a rubric, with the meaning of each score.

    Attributes
    ----------
    name
        Unique in its suite.
    description
        The judged property.
    anchors
        Score to its meaning. `4` and `"4"` are the same score.
    scale
        The lowest and the highest score.
    weight
        Weight in the mean of the criteria. Not part of the hash.
    kind
        `ordinal`, `binary` or `continuous`.
    direction
        The better end of the scale: `higher` or `lower`; None counts as higher.
    origin
        Parts that were `given`, and parts that are `ours`.
    """

    name: str = Field(min_length=1)
    description: str = ""
    anchors: dict[int | str, str] = Field(default_factory=dict)
    scale: tuple[float, float] = (1.0, 5.0)
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    kind: Literal["ordinal", "nominal", "binary", "continuous"] = "ordinal"
    direction: Literal["higher", "lower", "none"] | None = None
    origin: dict[Literal["name", "description", "anchors", "scale"], Origin] = Field(default_factory=dict)

    @field_validator("anchors", mode="before")
    @classmethod
    def _whole_scores_are_numbers(cls, anchors: Any) -> Any:
        if not isinstance(anchors, dict):
            return anchors
        return {
            int(key) if isinstance(key, str) and key.lstrip("-").isdecimal() else key: text
            for key, text in anchors.items()
        }

    @model_validator(mode="after")
    def _anchors_lie_on_the_scale(self) -> Self:
        low, high = self.scale
        if not low < high:
            raise broken_rule(("scale",), f"scale is [{low:g}, {high:g}]; the lowest score comes first.")
        for score in self.anchors:
            try:
                inside = low <= float(score) <= high
            except ValueError:
                inside = False
            if not inside:
                text = f"there is an anchor for {score!r}; the scale goes from {low:g} to {high:g}."
                raise broken_rule(("anchors", score), text)
        return self

    @property
    def hash(self) -> str:
        """12 hex digits of name, description, anchors, scale, kind and a direction of lower."""
        return digest(self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "anchors": {str(score): text for score, text in self.anchors.items()},
            "scale": list(self.scale),
            "kind": self.kind,
            # Without it: the hashes of rubrics that are older than directions stay.
            **({"direction": self.direction} if self.direction in ("lower", "none") else {}),
        }


class Expected(Part):
    """The expected answer to a case: a paragraph, and checkable points."""

    ideal_behavior: str = ""
    rubric: list[str] = Field(default_factory=list)


class Case(Part):
    """One test item, and its expected answer.

    Attributes
    ----------
    id
        A string, also if it looks like a number: quoted in YAML.
    input
        The situation, for readers. Not a prompt.
    prompt
        The text sent to an agent.
    expected
        `ideal_behavior` and `rubric`, the checkable points.
    severity
        Severity of a failure; None if unknown.
    check, domain, tags
        The kind of check, the field, the slices.
    cluster
        Cases of one cluster are not independent.
    facts
        Facts behind the case, each with its source.
    origin
        Parts that were `given`, and parts that are `ours`.
    """

    id: str = Field(min_length=1)
    severity: Severity | None = None
    check: str = ""
    domain: str = ""
    tags: list[str] = Field(default_factory=list)
    cluster: str = ""
    origin: dict[
        Literal["input", "prompt", "ideal_behavior", "rubric", "severity", "check", "domain", "tags"], Origin
    ] = Field(default_factory=dict)
    input: str = ""
    prompt: str = ""
    expected: Expected = Field(default_factory=Expected)
    facts: list[str] = Field(default_factory=list)

    @property
    def hash(self) -> str:
        """12 hex digits of the case's content, without `facts` and `origin`."""
        data = self.model_dump(mode="json", exclude={"facts", "origin"})
        return digest({**data, "tags": sorted(self.tags)})


class Rubric(Part):
    """The criteria of a suite, with the meaning of each score.

    Writing a rubric read from a suite file keeps the file's cases.
    """

    suite: str = Field(min_length=1)
    description: str = ""
    criteria: list[Criterion] = Field(default_factory=list)

    _text: str | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        check_unique([criterion.name for criterion in self.criteria], ("criteria", "name"))
        return self

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a suite file.

        Parameters
        ----------
        path
            A YAML file with the keys suite, criteria and cases, or a folder with a suite.yaml.

        Raises
        ------
        PathError
            The file is missing.
        SuiteError
            The file is not YAML, has an unknown key, repeats an ID, or has an invalid value; the message
            begins with file and line.
        """
        expect(cls.read, locals())
        path = Path(path)
        if path.is_dir():
            path = path / "suite.yaml"
        if not path.is_file():
            raise PathError.missing(path)
        try:
            # Bytes preserve line ends.
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise SuiteError(f"{path}:{line}: this is not UTF-8 text.") from error
        return cls.parse(text, name=str(path))

    @classmethod
    def parse(cls, text: str, *, name: str = "<text>") -> Self:
        r"""Parse the text of a suite file; see `read`.

        Examples
        --------
        >>> Rubric.parse("suite: demo\ncriteria:\n  - name: Tone\n").criteria[0].scale
        (1.0, 5.0)
        >>> Rubric.parse("suite: demo\ncritera: []\n")
        Traceback (most recent call last):
        evalkit.util.errors.SuiteError: <text>:2: there is no key 'critera' here. Did you mean 'criteria'? ...
        """
        document = parse(text, name=name)
        data = dict(document.data)
        if "cases" not in cls.model_fields:
            data.pop("cases", None)
        try:
            made = cls.model_validate(data)
        except ValidationError as error:
            raise explained(error, document, cls, name=name) from None
        made._text = text
        return made

    def to_yaml(self) -> str:
        """Return the text of the file; unchanged parts as they were read."""
        data = self._checked()
        if self._text is None:
            return fresh(data)
        before = type(self).parse(self._text)._data()
        if before == data:
            return self._text
        text = respell(self._text, before, data)
        if type(self).parse(text)._data() != data:  # pragma: no cover
            raise SuiteError("The change could not be written into the file it was read from; this is a bug.")
        return text

    def write(self, path: str | Path) -> Path:
        """Write the file atomically; unchanged parts keep their text and comments.

        Returns
        -------
        Path
            The file.
        """
        path = Path(path)
        content = self.to_yaml().encode("utf-8")
        if not path.parent.is_dir():
            raise PathError.missing(path.parent)
        with atomic_write(path) as fresh:
            fresh.write_bytes(content)
        return path

    def criterion(self, name: str) -> Criterion:
        """Return the criterion of that name."""
        for criterion in self.criteria:
            if criterion.name == name:
                return criterion
        raise SelectorError.unknown(name, kind="criterion", have=[c.name for c in self.criteria])

    def __eq__(self, other: object) -> bool:
        # Compare content, not source text.
        return isinstance(other, type(self)) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return as_text(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return as_html(self)

    def _data(self) -> dict[str, Any]:
        data: dict[str, Any] = _plain(self.model_dump())
        return data

    def _checked(self) -> dict[str, Any]:
        """Return the content, validated again: pydantic misses changes inside a list."""
        data = self._data()
        try:
            return type(self).model_validate(data)._data()
        except ValidationError as error:
            raise explained(error, Document({}, {}, {}), type(self), name=f"suite {self.suite!r}") from None


class Suite(Rubric):
    """Cases and the criteria they are judged by.

    Examples
    --------
    >>> suite = Suite(suite="demo", criteria=[Criterion(name="Tone")], cases=[Case(id="01")])
    >>> suite.case("01").severity = "high"
    >>> print(suite.to_yaml())
    suite: demo
    criteria:
      - name: Tone
        scale: [1, 5]
        weight: 1
        kind: ordinal
    cases:
      - id: "01"
        severity: high
    """

    cases: list[Case] = Field(default_factory=list)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        check_unique([case.id for case in self.cases], ("cases", "id"))
        return self

    def case(self, id: str) -> Case:
        """Return the case with an ID."""
        for case in self.cases:
            if case.id == id:
                return case
        raise SelectorError.unknown(id, kind="case", have=[c.id for c in self.cases])

    def rubric_hash(self, case_id: str, criterion_name: str) -> str:
        """Return the hash of what a judge reads for a case and a criterion (12 hex digits)."""
        expected = self.case(case_id).expected
        return rubric_hash(
            self.criterion(criterion_name),
            ideal_behavior=expected.ideal_behavior,
            expected_rubric=_points(expected.rubric),
        )

    def tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the `cases` and `criteria` tables of `evalkit.data.schema`."""
        import polars as pl

        from evalkit.data.schema import CASES, CRITERIA

        texts = ("input", "prompt", "check", "domain", "cluster")
        cases = [
            {
                "suite": self.suite,
                "case": case.id,
                "ideal_behavior": case.expected.ideal_behavior or None,
                "expected_rubric": _points(case.expected.rubric) or None,
                "severity": case.severity.value if case.severity else None,
                "tags": case.tags,
                **{name: getattr(case, name) or None for name in texts},
            }
            for case in self.cases
        ]
        criteria = []
        for criterion in self.criteria:
            anchors = json.dumps(criterion._content()["anchors"], ensure_ascii=False)
            criteria.append(
                {
                    "suite": self.suite,
                    "criterion": criterion.name,
                    "description": criterion.description or None,
                    "anchors": anchors if criterion.anchors else None,
                    "scale_min": criterion.scale[0],
                    "scale_max": criterion.scale[1],
                    "weight": criterion.weight,
                    "kind": criterion.kind,
                    "direction": criterion.direction,
                }
            )
        frames = [
            table.check(pl.DataFrame(rows, infer_schema_length=None)) if rows else table.empty()
            for table, rows in ((CASES, cases), (CRITERIA, criteria))
        ]
        return frames[0], frames[1]


def rubric_hash(criterion: Criterion, *, ideal_behavior: str | None, expected_rubric: str | None) -> str:
    """Return the hash of a criterion and a case's expectations (12 hex digits).

    Null equals ""; white space is ignored.
    """
    return digest(
        {
            "criterion": criterion._content(),
            "ideal_behavior": ideal_behavior or "",
            "expected_rubric": expected_rubric or "",
        }
    )


def _points(rubric: list[str]) -> str:
    return "\n".join(" ".join(point.split()) for point in rubric)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.value if isinstance(value, Severity) else value


def __dir__() -> list[str]:
    return __all__
