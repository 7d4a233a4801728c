"""`Judge`: a model, a rubric and sampling settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.judging.settings import JudgeSettings
from evalkit.util.arguments import expect

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals
    from evalkit.judging.batch_judge import JudgeJob
    from evalkit.judging.controls import Controls
    from evalkit.judging.cost_estimate import JudgeEstimate
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.clock import Clock


@dataclass(frozen=True)
class Judge(JudgeSettings):
    """A model that scores trials by a rubric.

    Immutable; `dataclasses.replace` makes another judge. Each trial, criterion and sample gives a row of `scores`. A
    judgement without a usable reply is a row without a score and with its `error`.

    Attributes
    ----------
    model
        Default: the provider's recommended model. Prefer one of another family than the agent's.
    rubric
        A `Rubric` or `Suite`, or its path; None: the loaded criteria. A `Suite` also gives the expectations of its
        cases; otherwise the loaded cases do.
    provider
        `groq`, `openai`, `local`, the address of an endpoint with OpenAI's chat completions, or a `Provider`.
    mode
        `criterion`: one request per criterion. `all`: one request for all criteria, in an order drawn per sample (about
        a third of the price; one criterion may influence the next). `binary`: one request whether the case's check
        passes, as the criterion "Pass / Fail" with 0 and 1.
    samples
        Samples of each judgement. 3 or more, and odd, to measure how consistent the judge is.
    temperature
        None: the model's default. At 0 samples agree more and are no more accurate.
    seed
        Seed of the first sample; each further sample adds 1.
    effort
        `reasoning_effort` (low, medium, high); None: the model's default.
    max_tokens
        Most tokens of a response, reasoning included. A truncated response is requested again with twice as many.
    max_transcript_tokens
        Approximate limit of a transcript; a longer one is cut in the middle, visibly.
    redact
        Whether secrets, e-mail addresses and phone numbers are redacted. None: unless the model runs on this machine.
    patterns
        Further patterns to redact: a kind in lower case letters -> a regular expression.
    min_answer_chars
        Answers with fewer letters and digits (and no tool call) are not sent.
    match_facts
        Whether an answer that shares no word with its case (and has no tool call) is not sent either.
    name
        The grader's name in the scores; None: the model, and the mode unless it is `criterion`.

    Raises
    ------
    FormatError
        An invalid setting.

    Examples
    --------
    >>> import evalkit as ek
    >>> judge = ek.Judge(model="openai/gpt-oss-120b", rubric=ek.demo.suite_path(), samples=1)
    >>> judge.estimate(ek.demo.make().filter(agent_version="v3", case="01"))
    18 requests to openai/gpt-oss-120b at groq...
    >>> Judge(mode="al")
    Traceback (most recent call last):
    evalkit.util.errors.FormatError: Invalid mode 'al'. Expected criterion, all or binary. Did you mean 'all'?
    """

    def estimate(
        self, evals: Evals, *, only: Any = None, cache: Cache | str | Path | None = None
    ) -> JudgeEstimate:
        """Estimate requests, tokens and cost of `run`. Sends nothing.

        Parameters
        ----------
        evals, only, cache
            As for `run`.
        """
        from evalkit.judging.cost_estimate import make_estimate

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

        Existing scores of this judge with the same wording of the rubric stay, and cached responses cost nothing. An
        interrupted call resumes when it is made again.

        Parameters
        ----------
        evals
            Trials and their cases.
        folder
            Each row is appended to its `scores.jsonl` on arrival; scores in this file count as existing.
        only
            The trials to judge: a frame with `run`, `case` and `epoch`, such as `graded.filter(verdict="fail")`, or a
            polars expression over `evals.attempts()`.
        max_cost
            Budget of this call in US dollars; remaining judgements have no score.
        concurrency
            Most requests at a time.
        progress
            True: a bar in a terminal or notebook; None: nothing; or a callable, see `evalkit.llm.ask.ask`.
        cache
            Cache of model responses; None: evalkit's own.
        controls
            The result of `controls`, for a note.

        Returns
        -------
        Evals
            Old and new scores. `notes` count what was redacted, skipped, cut or left without a score, and mark a result
            with scores for less than 90% of the judgements as inconclusive.

        Raises
        ------
        ProviderError
            No API key, an unknown model, or a `max_cost` without a known price.
        FormatError
            No criteria.
        """
        from evalkit.judging.live_judge import LiveOptions, run_live

        expect(Judge.run, locals(), loaded=True)
        options = LiveOptions(folder, only, max_cost, concurrency, progress, cache)
        return run_live(self, evals, options, controls)

    def controls(self, suite: Any = None, **settings: Any) -> Controls:
        """Judge answers with a known score: one ideal and one bad answer per case.

        Over the criteria, the mean of an ideal answer must round to the highest score, and the mean of a bad one must be
        in the lowest quarter of the scale (at most 2 of 1 to 5).

        Parameters
        ----------
        suite
            A `Suite` or its path, or an `Evals` with cases; None: the judge's rubric.
        **settings
            As for `run`, and `samples` (1).
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
        """Judge through the provider's Batch API: half the price, within about a day.

        Parameters
        ----------
        evals, only, max_cost, cache
            As for `run`.
        folder
            Place of the job's journal and of the scores; any process can resume from it.
        window
            Completion window: "24h", at Groq up to "7d"; None: 24 hours.
        clock
            For tests.

        Returns
        -------
        JudgeJob
            A pending job with the same requests is resumed instead.

        Raises
        ------
        ProviderError
            No Batch API, no API key, an unknown model, or a plan without batches.
        """
        from evalkit.judging.batch_judge import submit

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
