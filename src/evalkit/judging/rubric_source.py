"""Criteria and expectations per case: of the judge's rubric, else of the loaded tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.suite import Criterion, Rubric, Suite, rubric_hash
from evalkit.judging.prompts import Expectation
from evalkit.util.errors import FormatError
from evalkit.util.words import Option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.data.evals import Evals
    from evalkit.judging.settings import JudgeSettings

PASS_FAIL: Final = Criterion(
    name="Pass / Fail",
    description=(
        "Does the attempt do what is expected in this case? It passes when it does what the reference says, point by "
        "point as far as the points can be checked; it fails when it does not, or when that cannot be seen."
    ),
    anchors={
        0: "Fail: something that is expected is missing or wrong.",
        1: "Pass: all that is expected is there.",
    },
    scale=(0.0, 1.0),
    kind="binary",
)
"""The criterion of the mode `binary`."""

_RUBRIC_OPTION: Final = Option("rubric", "suite.yaml")


class RubricSource:
    """Criteria per suite and expectations per case."""

    def __init__(self, judge: JudgeSettings, evals: Evals) -> None:
        self._criteria: dict[str, list[Criterion]] = {}
        self._fixed: list[Criterion] | None = None
        if judge.mode == "binary":
            self._fixed = [PASS_FAIL]
        elif isinstance(judge.rubric, Rubric):
            self._fixed = list(judge.rubric.criteria)
        else:
            for row in evals.criteria.iter_rows(named=True):
                self._criteria.setdefault(row["suite"], []).append(_criterion(row))
        self._cases = {(r["suite"], r["case"]): _expectation(r) for r in evals.cases.iter_rows(named=True)}
        self._own: dict[str, Expectation] = {}
        if isinstance(judge.rubric, Suite):
            cases = judge.rubric.tables()[0]
            self._own = {row["case"]: _expectation(row) for row in cases.iter_rows(named=True)}

    def criteria(self, suite: str) -> list[Criterion]:
        """Return the criteria; FormatError if there are none."""
        criteria = self._criteria.get(suite) if self._fixed is None else self._fixed
        if not criteria:
            raise FormatError(f"The suite {suite!r} has no criteria.", argument="rubric", fix=_RUBRIC_OPTION)
        return criteria

    def expectation(self, suite: str, case: str) -> Expectation:
        """Return the expectation, an empty one for an unknown case."""
        return self._own.get(case) or self._cases.get((suite, case)) or Expectation()


def rubric_hashes(criteria: Iterable[Criterion], expected: Expectation) -> dict[str, str]:
    """Return the content hash of each criterion for a case, by its name."""
    texts = {"ideal_behavior": expected.ideal_behavior, "expected_rubric": expected.points}
    return {criterion.name: rubric_hash(criterion, **texts) for criterion in criteria}


def rubric_of(evals: Evals) -> Rubric:
    """Return the loaded criteria as a rubric.

    Raises
    ------
    FormatError
        No criteria, criteria of several suites, or one without a scale.
    """
    suites = evals.criteria["suite"].cast(pl.String).unique().to_list()
    if len(suites) != 1:
        count = f"belong to {len(suites)} suites" if suites else "are missing"
        raise FormatError(
            f"The loaded criteria {count}. A rubric is of one suite.", argument="rubric", fix=_RUBRIC_OPTION
        )
    criteria = [_criterion(row) for row in evals.criteria.iter_rows(named=True)]
    return Rubric(suite=suites[0] or "unnamed", criteria=criteria)


def wordings(judge: JudgeSettings, evals: Evals) -> pl.DataFrame:
    """Return the current content hash of each criterion, per attempted case.

    Returns
    -------
    polars.DataFrame
        `run`, `case`, `criterion`, `rubric_hash` (str). A score with another hash was given by another wording.
    """
    source = RubricSource(judge, evals)
    hashes: dict[tuple[str, str], dict[str, str]] = {}
    rows = []
    attempts = evals.attempts().select("run", "suite", "case").unique(maintain_order=True)
    for run, suite, case in attempts.iter_rows():
        if (suite, case) not in hashes:
            hashes[suite, case] = rubric_hashes(source.criteria(suite), source.expectation(suite, case))
        rows += [(run, case, *pair) for pair in hashes[suite, case].items()]
    schema = dict.fromkeys(("run", "case", "criterion", "rubric_hash"), pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _criterion(row: dict[str, Any]) -> Criterion:
    scale = (row["scale_min"], row["scale_max"])
    if None in scale:
        raise FormatError(
            f"The criterion {row['criterion']!r} has no scale. Declare it in the suite.",
            argument="rubric",
            fix=_RUBRIC_OPTION,
        )
    return Criterion(
        name=row["criterion"],
        description=row["description"] or "",
        anchors=msgspec.json.decode(row["anchors"]) if row["anchors"] else {},
        scale=scale,
        weight=1.0 if row["weight"] is None else row["weight"],
        kind=row["kind"] or "ordinal",
    )


def _expectation(row: dict[str, Any]) -> Expectation:
    # `input` describes the mistake: with a reference it would tell the judge what to find.
    task = row["prompt"] or ("" if row["ideal_behavior"] else row["input"]) or ""
    return Expectation(task, row["ideal_behavior"] or "", row["expected_rubric"] or "")
