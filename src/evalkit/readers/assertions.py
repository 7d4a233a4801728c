"""Turn a tool's checks into criteria or a verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.formats.fields import joined
from evalkit.readers.json_values import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.readers.builder import EvalsBuilder

SUCCESS: Final = "success"
"""The criterion of the tool's own verdict on a trial."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one trial."""

    name: str
    passed: bool | None
    rationale: str | None = None
    error: str | None = None
    kind: str = "code"
    judge_model: str | None = None
    cost_usd: Any = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckedTrial:
    """The checks of one trial and the tool's verdict."""

    suite: str
    trial: tuple[str, str, int]
    line: int | None
    success: bool | None
    checks: Sequence[Check]
    reason: str | None = None


def add_checks(builder: EvalsBuilder, attempts: Sequence[CheckedTrial], *, grader: str) -> None:
    """Add a binary criterion per check.

    If cases have different checks, or the tool passes a trial with a failed check, the only criterion is
    `SUCCESS`, with the checks in its metadata.
    """
    graded = [attempt for attempt in attempts if attempt.checks or attempt.success is not None]
    if not graded:
        return
    names = {frozenset(check.name for check in attempt.checks) for attempt in graded}
    if len(names) == 1 and names != {frozenset()} and all(map(_adds_up, graded)):
        for attempt in graded:
            for name in dict.fromkeys(check.name for check in attempt.checks):
                _add(builder, attempt, _together([c for c in attempt.checks if c.name == name]), grader)
        return
    if names != {frozenset()}:
        builder.add_note(
            "criterion",
            f"The checks differ from case to case, or the verdict is not that all pass. The one criterion is {SUCCESS!r}, "
            f"{grader}'s own verdict; the checks are in its metadata.",
        )
    # One grader gives the verdict of all cases: a judge if a judge has a say in any.
    kind = _kind([check for attempt in graded for check in attempt.checks])
    for attempt in graded:
        _add(builder, attempt, replace(_whole(attempt), kind=kind), grader)


def name_cases(records: Sequence[tuple[str | None, Any]]) -> list[str]:
    """Return the case of each record: its name, else its content hash.

    An ambiguous name gets the hash added.

    >>> name_cases([("sum", 1), ("sum", 1), ("odd", 2)])
    ['sum', 'sum', 'odd']
    >>> name_cases([("sum", 1), ("sum", 2), (None, 3)])
    ['sum 6b86b2', 'sum d4735e', '4e07408562be']
    """
    hashes = [digest(content) for _, content in records]
    meant = Counter(
        name for name, _ in {(name, each) for (name, _), each in zip(records, hashes, strict=True)}
    )
    return [
        each if not name else name if meant[name] == 1 else f"{name} {each[:6]}"
        for (name, _), each in zip(records, hashes, strict=True)
    ]


def _adds_up(attempt: CheckedTrial) -> bool:
    """Whether the tool's verdict is "all checks pass"."""
    passes = [check.passed for check in attempt.checks]
    return attempt.success is None or None in passes or attempt.success == all(passes)


def _together(checks: Sequence[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]
    return Check(
        checks[0].name,
        _all(check.passed for check in checks),
        rationale=joined(check.rationale for check in checks),
        error=joined(check.error for check in checks),
        kind=_kind(checks),
        judge_model=next((check.judge_model for check in checks if check.judge_model), None),
        cost_usd=_sum(check.cost_usd for check in checks),
        facts={"checks": [check.facts for check in checks if check.facts]},
    )


def _whole(attempt: CheckedTrial) -> Check:
    checks = attempt.checks
    told = [f"{check.name}: {check.rationale}" for check in checks if check.rationale]
    errors = joined(f"{check.name}: {check.error}" for check in checks if check.error)
    passed = attempt.success
    if errors and not any(check.passed is False for check in checks):
        passed = None  # what could not be judged did not fail
    return Check(
        SUCCESS,
        passed,
        rationale=joined(told) or attempt.reason,
        error=errors if passed is None else None,
        kind=_kind(checks),
        cost_usd=_sum(check.cost_usd for check in checks),
        facts={"checks": [{"name": c.name, "pass": c.passed, **c.facts} for c in checks]} if checks else {},
    )


def _add(builder: EvalsBuilder, attempt: CheckedTrial, check: Check, grader: str) -> None:
    builder.add_criterion(attempt.suite, check.name, kind="binary", scale_min=0, scale_max=1)
    builder.add_score(
        *attempt.trial,
        check.name,
        attempt.line,
        grader=grader,
        grader_kind=check.kind,
        score=check.passed,
        label=None if check.passed is None else "pass" if check.passed else "fail",
        rationale=check.rationale,
        error=check.error or ("no verdict was given" if check.passed is None else None),
        judge_model=check.judge_model,
        cost_usd=check.cost_usd,
        metadata=as_text(check.facts) if check.facts else None,
    )


def _all(passes: Any) -> bool | None:
    """Whether all pass; None if none fails and some are unknown."""
    known = list(passes)
    return False if False in known else None if None in known else True


def _kind(checks: Sequence[Check]) -> str:
    return "judge" if any(check.kind == "judge" for check in checks) else "code"


def _sum(values: Any) -> float | None:
    known = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return sum(known) if known else None
