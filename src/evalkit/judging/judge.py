"""`Judge`: a model, a rubric, and how it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, get_args

from evalkit.arguments import expect
from evalkit.errors import FormatError, listed, nearest
from evalkit.judging import prompts
from evalkit.judging.prompts import Mode
from evalkit.providers import LOCAL_MODEL, Provider, provider
from evalkit.redaction import check_patterns
from evalkit.running.requests import canonical
from evalkit.suites import Rubric, Suite

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.evals import Evals
    from evalkit.judging.controls import Controls
    from evalkit.judging.estimates import Estimate
    from evalkit.judging.jobs import JudgeJob
    from evalkit.running.cache import Cache
    from evalkit.running.clocks import Clock

# To be raised when the words a judge is asked with change what it answers.
_WORDING: Final = 1
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high")


@dataclass(frozen=True)
class Judge:
    """A model that scores trials by a rubric.

    It is never changed; `dataclasses.replace` makes another one. What it said is a row of `scores` for each trial,
    criterion and sample. A judgement that cannot be had or read is a row without a score and with its reason.

    Attributes
    ----------
    model
        The judge's model; None: the one that the provider is known for. Better none of the agent's family.
    rubric
        By what to judge: a `Rubric` or `Suite`, or the path of one. None: the criteria that were loaded. A `Suite`
        also says what is expected in its cases; else what was loaded does.
    provider
        `groq`, `openai`, `local`, the address of any endpoint that speaks OpenAI's chat completions, or what
        `evalkit.providers.provider` returns.
    mode
        `criterion` asks about each criterion alone; `all` about all at once, in an order drawn for each sample (about
        a third of the price, and one criterion colours the next); `binary` asks once whether the case's check passes,
        as the criterion "Pass / Fail" with 0 and 1.
    samples
        How often each judgement is asked for. An odd number of 3 or more shows how far the judge agrees with itself.
    temperature
        None leaves it to the model. At 0 samples agree more and are no more right.
    seed
        The seed of the first sample; each further one has the next.
    effort
        `reasoning_effort`, for models that reason: low, medium or high. None sends nothing.
    max_tokens
        What an answer may take, reasoning included. An answer that was cut off is asked for again with twice as much.
    room
        About how many tokens a transcript may take; a longer one is cut in the middle, visibly.
    redact
        Whether secrets, e-mail addresses and phone numbers are masked first. None: where what is sent leaves this
        machine.
    patterns
        What else to mask: a kind (lower case letters) -> a regular expression.
    shortest
        An answer with fewer letters and digits (and no tool call) is not sent to the judge.
    match_facts
        Do not send an answer either that shares no word with its case (and has no tool call).
    name
        What the judge is called in `scores.grader`. None: its model, and its mode where that is not `criterion`.

    Raises
    ------
    FormatError
        A setting that cannot be.

    Examples
    --------
    >>> import evalkit as ek
    >>> judge = ek.Judge(model="openai/gpt-oss-120b", rubric=ek.demo.suite_path(), samples=1)
    >>> judge.estimate(ek.demo.make().filter(agent_version="v3", case="01"))
    18 requests to openai/gpt-oss-120b at groq...
    >>> Judge(mode="al")
    Traceback (most recent call last):
    evalkit.errors.FormatError: Judge.mode is 'al'; it may be criterion, all, binary. Did you mean 'all'?
    """

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

    def estimate(
        self, evals: Evals, *, only: Any = None, cache: Cache | str | Path | None = None
    ) -> Estimate:
        """Say how many requests `run` would make, and what they would cost, before anything is sent.

        Parameters
        ----------
        evals, only, cache
            As for `run`.

        Returns
        -------
        Estimate
            Requests, tokens (estimated from the length of the texts), the price live and by batch, what was
            answered before and is free.
        """
        from evalkit.judging.estimates import make_estimate

        expect(Judge.estimate, locals(), loaded=True)
        return make_estimate(self, evals, only=only, cache=cache)

    def run(
        self,
        evals: Evals,
        *,
        folder: str | Path | None = None,
        only: Any = None,
        max_cost: float | None = None,
        concurrency: int = 64,
        progress: Any = True,
        cache: Cache | str | Path | None = None,
        controls: Controls | None = None,
    ) -> Evals:
        """Judge live, and return the evaluations with the new scores.

        What this judge has scored already, by the same words of the rubric, is not asked for again; neither is what
        stands in the cache. Stop it whenever you like: run it again and it goes on.

        Parameters
        ----------
        evals
            Trials, and what is known of their cases.
        folder
            A folder in which each row is added to `scores.jsonl` as it arrives; what is there already counts.
        only
            Which trials: a frame with `run`, `case` and `epoch`, such as `graded.filter(verdict="fail")`, or a
            polars expression over `evals.attempts()`.
        max_cost
            US dollars that this call may spend; what is left then has no score and says so.
        concurrency
            The most requests at once.
        progress
            True: a bar in a terminal or a notebook; None: nothing; or a callable, see `evalkit.running.live.ask`.
        cache
            Where answers are kept; None: in evalkit's own folder.
        controls
            What `controls` returned: without it, or where it failed, a note says so.

        Returns
        -------
        Evals
            The scores of before and the new ones. `notes` say what was masked, left out, not asked and not
            readable, and that too little was scored, where less than 90 % was.

        Raises
        ------
        ProviderError
            The key or the model is not there, or a `max_cost` without a known price.
        FormatError
            There is nothing to judge by.
        """
        from evalkit.judging.runs import run_live

        expect(Judge.run, locals(), loaded=True)
        return run_live(
            self,
            evals,
            folder=folder,
            only=only,
            max_cost=max_cost,
            concurrency=concurrency,
            progress=progress,
            cache=cache,
            controls=controls,
        )

    def controls(self, suite: Any = None, **settings: Any) -> Controls:
        """Judge what has a known answer first: the ideal attempt must score the most, the bad one at most 2 of 5.

        For each case an attempt that does what the reference says, and one that does what the situation of the case
        describes: eighteen for a suite of nine.

        Parameters
        ----------
        suite
            A `Suite`, the path of one, or an `Evals` with its cases; None: the judge's own rubric.
        **settings
            As for `run`, and `samples` (1).

        Returns
        -------
        Controls
            A row for each case, kind and criterion, and whether they hold.
        """
        from evalkit.judging.controls import run_controls

        return run_controls(self, suite, **settings)

    def submit(
        self,
        evals: Evals,
        *,
        folder: str | Path,
        only: Any = None,
        window: str | None = None,
        max_cost: float | None = None,
        cache: Cache | str | Path | None = None,
        clock: Clock | None = None,
    ) -> JudgeJob:
        """Judge through the endpoint's Batch API: half the price, within a day or so.

        Parameters
        ----------
        evals, only, max_cost, cache
            As for `run`.
        folder
            Where the journal of the job and the scores are kept: another process goes on from it.
        window
            How long the endpoint may take: "24h", at Groq up to "7d". None: 24 hours.
        clock
            For tests.

        Returns
        -------
        JudgeJob
            `wait()` for it, ask its `status()`, `collect()` the scores. Submitted again while it is under way, the
            same goes on instead.

        Raises
        ------
        ProviderError
            There is no Batch API, no key, no such model, or its plan does not allow it.
        """
        from evalkit.judging.jobs import submit

        expect(Judge.submit, locals(), loaded=True)
        return submit(
            self,
            evals,
            folder=folder,
            only=only,
            window=window,
            max_cost=max_cost,
            cache=cache,
            clock=clock,
        )


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise FormatError(
            f"Judge.{name} is {value!r}; it may be {listed(allowed)}.{nearest(str(value), allowed)}"
        )


def _whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FormatError(f"Judge.{name} is {value!r}; it may be a whole number from {low} to {high:,}.")
