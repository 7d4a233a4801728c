"""The settings of a judge."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self, get_args

from evalkit.data.suite import Rubric, Suite
from evalkit.judging import prompts
from evalkit.judging.prompts import Mode
from evalkit.llm.providers import LOCAL_MODEL, Provider, provider
from evalkit.llm.requests import canonical
from evalkit.util.errors import FormatError
from evalkit.util.redact import check_patterns
from evalkit.util.settings import EFFORTS, expect_choice, expect_number, expect_whole, invalid_setting
from evalkit.util.words import Option, Sentence

if TYPE_CHECKING:
    from pathlib import Path


# Raise it if a new wording of the prompts changes what a judge answers.
_WORDING: Final = 1
_RENAMED: Final = {"room": "max_transcript_tokens", "shortest": "min_answer_chars"}


@dataclass(frozen=True)
class JudgeSettings:
    """Settings of a judge, checked. `Judge` documents them."""

    model: str = ""
    rubric: Rubric | str | Path | None = field(default=None, repr=False)
    provider: str | Provider = "groq"
    mode: Mode = "criterion"
    samples: int = 3
    temperature: float | None = 1.0
    seed: int = 0
    effort: str | None = None
    max_tokens: int = 2048
    max_transcript_tokens: int = 32_000
    redact: bool | None = None
    patterns: Mapping[str, str] = field(default_factory=dict)
    min_answer_chars: int = 3
    match_facts: bool = False
    name: str | None = None

    def __new__(cls, *_: Any, **settings: Any) -> Self:
        """Refuse keywords of earlier versions."""
        for old, new in _RENAMED.items():
            if old in settings:
                raise FormatError(f"{old} was renamed.", argument=old, fix=Option(new, settings[old]))
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if not isinstance(self.patterns, Mapping):
            raise invalid_setting("patterns", self.patterns, "a dict of names and regular expressions")
        if self.rubric is not None and not isinstance(self.rubric, Rubric):
            object.__setattr__(self, "rubric", Suite.read(self.rubric))
        default_model = self.endpoint.judge_model or ""
        object.__setattr__(self, "model", self.model or default_model)
        if not self.model:
            raise FormatError(
                f"No default model at {self.endpoint.name}.",
                argument="model",
                fix=Option("model", python="model=...", shell="--model NAME"),
            )
        expect_choice("mode", self.mode, get_args(Mode))
        if self.effort is not None:
            expect_choice("effort", self.effort, EFFORTS)
        expect_whole("samples", self.samples, 1, 99)
        expect_whole("seed", self.seed, 0, 2**31 - 1)
        expect_whole("max_tokens", self.max_tokens, 64, 1_000_000)
        expect_whole("max_transcript_tokens", self.max_transcript_tokens, 500, 10_000_000)
        expect_whole("min_answer_chars", self.min_answer_chars, 0, 10_000)
        expect_number("temperature", self.temperature, 0, 2)
        try:
            check_patterns(self.patterns)
        except ValueError as error:
            what = Sentence("Invalid {option}: {reason}", option=Option("patterns"), reason=error)
            raise FormatError(what, argument="patterns", value=self.patterns) from None

    @cached_property
    def endpoint(self) -> Provider:
        """The provider."""
        return provider(self.provider)

    @property
    def redacts(self) -> bool:
        """Whether transcripts are redacted before they are sent."""
        return self.endpoint.remote if self.redact is None else self.redact

    @property
    def is_strict(self) -> bool:
        """Whether the model keeps to a strict schema. Other models are sent a request for JSON."""
        return self.endpoint.keeps_schema(self.model)

    @property
    def checks_canary(self) -> bool:
        """Whether a response must repeat the code word; the small local model cannot copy one."""
        return self.endpoint.remote or self.model != LOCAL_MODEL

    @property
    def grader(self) -> str:
        """The value of `scores.grader`."""
        return self.name or (self.model if self.mode == "criterion" else f"{self.model} ({self.mode})")

    @cached_property
    def prompt_hash(self) -> str:
        """12 hex digits of prompt and sampling, without rubric, case, transcript and seed."""
        facts = {
            "wording": _WORDING,
            "rules": prompts.RULES,
            "after": prompts.AFTER,
            "mode": self.mode,
            "temperature": self.temperature,
            "effort": self.effort,
            "room": self.max_transcript_tokens,
            "masked": self.redacts,
            "patterns": dict(self.patterns),
            "strict": self.is_strict,
        }
        return hashlib.sha256(canonical(facts)).hexdigest()[:12]
