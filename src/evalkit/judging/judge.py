"""`Judge`: a model, a rubric, and how it is asked."""

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
    from evalkit.judging.cost_estimate import Estimate
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.clock import Clock


@dataclass(frozen=True)
class Judge(JudgeSettings):
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
        `evalkit.llm.providers.provider` returns.
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
    evalkit.util.errors.FormatError: Judge.mode is 'al'; it may be criterion, all, binary. Did you mean 'all'?
    """

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
            True: a bar in a terminal or a notebook; None: nothing; or a callable, see `evalkit.llm.ask.ask`.
        cache
            Where answers are kept; None: in evalkit's own folder.
        controls
            What `controls` returned: without it, or where it failed, a note says so.

        Returns
        -------
        Evals
            The scores of before and the new ones. `notes` say what was masked, left out, not asked and not
            readable, and that too little was scored, where less than 90% was.

        Raises
        ------
        ProviderError
            The key or the model is not there, or a `max_cost` without a known price.
        FormatError
            There is nothing to judge by.
        """
        from evalkit.judging.live_judge import run_live

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
