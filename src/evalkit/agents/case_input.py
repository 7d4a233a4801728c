"""The input of an agent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from evalkit.llm.requests import canonical
from evalkit.util.errors import SelectorError, SuiteError
from evalkit.util.words import as_names, join_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.data.suite import Case, Suite

# Every endpoint accepts these seeds.
_SEEDS: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class CaseInput:
    """The part of a case that an agent receives, never its ideal behavior.

    Attributes
    ----------
    id
        The case ID.
    prompt
        The task, as a user would give it.
    epoch
        The repetition number, from 1.
    seed
        Differs between epochs; the same when the trial is repeated.
    """

    id: str
    prompt: str
    epoch: int
    seed: int

    def as_json(self) -> bytes:
        """Return one line of JSON, the input of a command."""
        return canonical(asdict(self)) + b"\n"


Function = Callable[[CaseInput], Any]


def choose_cases(suite: Suite, only: Iterable[str] | str | None) -> list[Case]:
    """Return the cases to run, in suite order.

    Raises SelectorError for an unknown case, and SuiteError without cases or without a prompt.
    """
    names = as_names(only)
    ids = [case.id for case in suite.cases]
    for name in names:
        if name not in ids:
            raise SelectorError.unknown(name, kind="case", have=ids)
    cases = [case for case in suite.cases if not names or case.id in names]
    if not cases:
        raise SuiteError(f"The suite {suite.suite!r} has no cases to run.")
    if bare := [case.id for case in cases if not case.prompt.strip()]:
        raise SuiteError(
            f"The suite {suite.suite!r} has no prompt for {join_words(bare)}. An agent receives a case's prompt, never "
            "its input, which describes the mistake. Add `prompt:` or choose other cases."
        )
    return cases


def case_inputs(cases: Iterable[Case], *, epochs: int, seed: int) -> list[CaseInput]:
    """Return one input per trial: all cases once per epoch."""
    cases = list(cases)
    return [
        CaseInput(case.id, case.prompt, epoch, (seed + epoch - 1) % _SEEDS)
        for epoch in range(1, epochs + 1)
        for case in cases
    ]


def seed_of(run: str) -> int:
    """Derive the default seed of a run from its name.

    >>> seed_of("v1") == seed_of("v1") != seed_of("v1 again")
    True
    """
    return int(short_hash(run), 16) % _SEEDS


def short_hash(content: Any) -> str:
    """Return 12 hex digits that identify the content."""
    return hashlib.sha256(canonical(content)).hexdigest()[:12]
