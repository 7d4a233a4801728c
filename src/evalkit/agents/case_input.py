"""What an agent is given of a case."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from evalkit.llm.requests import canonical
from evalkit.util.errors import FormatError, SelectorError, SuiteError
from evalkit.util.words import join_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalkit.data.suite import Case, Suite

# Seeds that every endpoint takes.
_SEEDS: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class AskedCase:
    """What an agent may see of a case: nothing of what is expected, and not the description of the mistake.

    Attributes
    ----------
    id
        The case.
    prompt
        The task, as a user would give it.
    epoch
        Which attempt it is, from 1.
    seed
        Another for each attempt, the same whenever this one is run again.
    """

    id: str
    prompt: str
    epoch: int
    seed: int

    def as_json(self) -> bytes:
        """Return it as a command reads it: one JSON object in one line."""
        return canonical(asdict(self)) + b"\n"


def choose_cases(suite: Suite, only: Iterable[str] | str | None) -> list[Case]:
    """Return the cases to run, in the order of the suite.

    Raises
    ------
    SelectorError
        `only` names a case that is not in the suite.
    SuiteError
        There is nothing to send: the suite has no cases, or one of them no prompt.
    """
    wanted = [only] if isinstance(only, str) else list(only or ())
    for name in wanted:
        if name not in [case.id for case in suite.cases]:
            raise SelectorError.unknown(name, kind="case", have=[case.id for case in suite.cases])
    cases = [case for case in suite.cases if not wanted or case.id in wanted]
    if not cases:
        raise SuiteError(f"The suite {suite.suite!r} has no cases to run.")
    bare = [case.id for case in cases if not case.prompt.strip()]
    if bare:
        raise SuiteError(
            f"The suite {suite.suite!r} has no prompt for {join_words(bare)}: an agent is sent the prompt of a case, "
            "never its input, which describes the mistake. Write one under `prompt:`, or choose other cases."
        )
    return cases


def ask_about(cases: Iterable[Case], *, epochs: int, seed: int) -> list[AskedCase]:
    """Return every attempt: all cases once, then all again; the seed of an attempt is its own."""
    cases = list(cases)
    return [
        AskedCase(case.id, case.prompt, epoch, (seed + epoch - 1) % _SEEDS)
        for epoch in range(1, epochs + 1)
        for case in cases
    ]


def seed_of(run: str) -> int:
    """Return the seed of a run that was given none: its own, so that another run is asked anew.

    Examples
    --------
    >>> seed_of("v1") == seed_of("v1") != seed_of("v1 again")
    True
    """
    return int(hashed(run), 16) % _SEEDS


def hashed(content: Any) -> str:
    """Return 12 hex digits of a content."""
    return hashlib.sha256(canonical(content)).hexdigest()[:12]


def expect_whole(name: str, value: Any, low: int, high: int) -> None:
    """Raise a `FormatError` where a setting is no whole number in its range."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FormatError(f"{name} is {value!r}; it may be a whole number from {low} to {high:,}.")


Function = Callable[[AskedCase], Any]
