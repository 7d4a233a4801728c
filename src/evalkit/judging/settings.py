"""The settings of a judge: model, rubric and how it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, get_args

from evalkit.data.suite import Rubric, Suite
from evalkit.judging import prompts
from evalkit.judging.prompts import Mode
from evalkit.llm.providers import LOCAL_MODEL, Provider, provider
from evalkit.llm.requests import canonical
from evalkit.util.errors import FormatError
from evalkit.util.redact import check_patterns
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from pathlib import Path


# To be raised when the words a judge is asked with change what it answers.
_WORDING: Final = 1
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high")


@dataclass(frozen=True)
class JudgeSettings:
    """Settings of a judge, checked. `Judge` documents them and adds what a judge does."""

    model: str = ""
    rubric: Rubric | str | Path | None = field(default=None, repr=False)
    provider: str | Provider = "groq"
    mode: Mode = "criterion"
    samples: int = 3
    temperature: float | None = 1.0
    seed: int = 0
    effort: str | None = None
    max_tokens: int = 2048
    room: int = 32_000
    redact: bool | None = None
    patterns: Mapping[str, str] = field(default_factory=dict)
    shortest: int = 3
    match_facts: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.patterns, Mapping):
            raise FormatError(
                f"Judge.patterns is {self.patterns!r:.60}; it may be a dict of names with a pattern each."
            )
        if self.rubric is not None and not isinstance(self.rubric, Rubric):
            object.__setattr__(self, "rubric", Suite.read(self.rubric))
        # Here, so that a provider that is not known is told at once.
        found = provider(self.provider)
        object.__setattr__(self, "model", self.model or found.judge_model or "")
        if not self.model:
            raise FormatError(
                f"Judge.model is not given, and {found.name} has none that is used unasked; name one."
            )
        _one_of("mode", self.mode, get_args(Mode))
        if self.effort is not None:
            _one_of("effort", self.effort, _EFFORTS)
        _whole("samples", self.samples, 1, 99)
        _whole("seed", self.seed, 0, 2**31 - 1)
        _whole("max_tokens", self.max_tokens, 64, 1_000_000)
        _whole("room", self.room, 500, 10_000_000)
        _whole("shortest", self.shortest, 0, 10_000)
        warm: Any = self.temperature
        if warm is not None and not (isinstance(warm, int | float) and 0 <= warm <= 2):
            raise FormatError(f"Judge.temperature is {warm!r}; it may be from 0 to 2, or None.")
        try:
            check_patterns(self.patterns)
        except ValueError as error:
            raise FormatError(f"Judge.patterns: {error}") from None

    @cached_property
    def endpoint(self) -> Provider:
        """The provider, with what it allows."""
        return provider(self.provider)

    @property
    def masks(self) -> bool:
        """Whether transcripts are masked before they are sent."""
        return self.endpoint.remote if self.redact is None else self.redact

    @property
    def strict(self) -> bool:
        """Whether the model keeps to a strict schema; else it is asked for JSON, and its answer checked."""
        return self.endpoint.keeps_schema(self.model)

    @property
    def copies(self) -> bool:
        """Whether the model is held to the code word of the rules; the small local model cannot copy one."""
        return self.endpoint.remote or self.model != LOCAL_MODEL

    @property
    def grader(self) -> str:
        """What this judge is called in `scores.grader`."""
        return self.name or (self.model if self.mode == "criterion" else f"{self.model} ({self.mode})")

    @cached_property
    def prompt_hash(self) -> str:
        """12 hex digits of how the judge is asked, apart from the rubric, the case and the transcript."""
        how = {
            "wording": _WORDING,
            "rules": prompts.RULES,
            "after": prompts.AFTER,
            "mode": self.mode,
            "temperature": self.temperature,
            "effort": self.effort,
            "room": self.room,
            "masked": self.masks,
            "patterns": dict(self.patterns),
            "strict": self.strict,
        }
        return hashlib.sha256(canonical(how)).hexdigest()[:12]


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise FormatError(
            f"Judge.{name} is {value!r}; it may be {join_words(allowed)}.{did_you_mean(str(value), allowed)}"
        )


def _whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FormatError(f"Judge.{name} is {value!r}; it may be a whole number from {low} to {high:,}.")
