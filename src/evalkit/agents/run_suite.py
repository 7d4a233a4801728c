"""Run a suite through an agent."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from evalkit.agents.attempt import FIELDS, read_reply
from evalkit.agents.case_input import case_inputs, choose_cases
from evalkit.agents.run_folder import open_folder, with_notes
from evalkit.agents.settings import AgentSettings
from evalkit.agents.workers import Workers
from evalkit.data.folder_fields import TRANSCRIPTS_FILE
from evalkit.data.suite import Suite
from evalkit.llm.requests import Request, custom_id
from evalkit.util.arguments import expect
from evalkit.util.errors import EvalkitError
from evalkit.util.file_lock import holding
from evalkit.util.format import money
from evalkit.util.notes import Note
from evalkit.util.settings import expect_whole, invalid_setting
from evalkit.util.words import Option, Sentence, did_you_mean, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from evalkit.agents.attempt import Attempt
    from evalkit.agents.case_input import CaseInput
    from evalkit.agents.run_folder import RunFolder
    from evalkit.agents.workers import Caller
    from evalkit.data.evals import Evals
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.progress import Progress

# Functions and commands use this machine, and perhaps an endpoint with limits of its own.
_LOCAL_CONCURRENCY: Final = 8
_MODEL_CONCURRENCY: Final = 64
_TIMEOUT_S: Final = 300.0


@dataclass(frozen=True)
class Limits:
    """Limits of one call of `run_suite`."""

    concurrency: int | None = None
    timeout: float | None = None
    max_cost: float | None = None

    def check(self) -> None:
        """Raise for a limit that is not a positive number."""
        for name in ("concurrency", "timeout", "max_cost"):
            value: Any = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and value > 0):
                raise invalid_setting(name, value, "a number above 0")


@dataclass
class _Tally:
    total: int = 0
    done: int = 0
    errors: int = 0
    cached: int = 0
    spent: float = 0.0
    stop_reason: str | None = None
    model_note: str | None = None
    ignored_fields: dict[str, None] = field(default_factory=dict)

    def add(self, attempt: Attempt) -> None:
        self.done += 1
        self.errors += attempt.error is not None
        self.ignored_fields.update(dict.fromkeys(attempt.ignored_fields))


def run_suite(
    suite: Suite | str | Path,
    agent: AgentSettings | Callable[[CaseInput], Any],
    folder: str | Path,
    *,
    epochs: int = 1,
    only: Iterable[str] | str | None = None,
    run: str | None = None,
    seed: int | None = None,
    concurrency: int | None = None,
    timeout: float | None = None,
    max_cost: float | None = None,
    retry_errors: bool = False,
    cache: Cache | str | Path | None = None,
    progress: Any = True,
) -> Evals:
    """Run a suite through an agent and write one transcript per trial into a folder.

    An interrupted run resumes. A crash, a timeout or an invalid transcript is a trial with an `error`.

    Parameters
    ----------
    suite
        A `Suite` or its path. An agent receives the `prompt` of a case and nothing else.
    agent
        An `Agent`, or a function, plain or `async`, that takes a `CaseInput` and returns a transcript: the answer as
        text, a list of messages in OpenAI's format (with tool calls and results), or a dict with `messages`, `output`
        or both, and optionally `usage`, `error`, `stop_reason` and `cost_usd`.
    folder
        Created if missing. It may hold other runs of the same suite.
    epochs
        Trials per case.
    only
        Case IDs; None: all cases.
    run
        The run's name. None: resume the run of the same agent in this folder, else start one named after version,
        model and date.
    seed
        Seed of the first epoch; each further epoch adds 1. None: derived from the run's name.
    concurrency
        Most trials at a time; None: what the provider allows, 8 for functions and commands.
    timeout
        Seconds per trial; None: the provider's limit, 300 for functions and commands.
    max_cost
        Budget of this call in US dollars; remaining trials are skipped. Functions and commands must report `cost_usd`.
    retry_errors
        Retry failed trials.
    cache
        Cache of model responses; None: evalkit's own.
    progress
        True: a bar in a terminal or notebook; None: nothing; or a callable, see `evalkit.llm.ask.ask`.

    Returns
    -------
    Evals
        The complete run as it is on disk. `notes` count skipped and failed trials.

    Raises
    ------
    FormatError
        An invalid setting, or a folder with a different run of that name or another wording of the suite.
    BusyError
        Another process writes into this folder.
    SuiteError
        The suite has no cases, or a case without a prompt.
    ProviderError
        A missing key or model, or a `max_cost` without a known price.
    EvalkitError
        No trial could be run.

    Examples
    --------
    >>> import tempfile
    >>> from evalkit.data.suite import Case, Suite
    >>> suite = Suite(suite="sums", cases=[Case(id="01", prompt="What is 2 + 2?")])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     evals = run_suite(suite, lambda case: "4", folder, run="v1")
    >>> evals.trials["output"].to_list()
    ['4']
    """
    expect(run_suite, locals())
    settings = agent if isinstance(agent, AgentSettings) else AgentSettings(call=agent)
    choice: dict[str, Any] = {
        "epochs": epochs,
        "only": only,
        "run": run,
        "seed": seed,
        "retry_errors": retry_errors,
    }
    limits = Limits(concurrency, timeout, max_cost)
    place, pending = plan_run(suite, settings, folder, **choice)
    limits.check()
    tally = _Tally()
    if pending:
        with holding(folder, TRANSCRIPTS_FILE):
            # Again under the lock: another process may have added trials.
            place, pending = plan_run(suite, settings, folder, **choice)
            tally.total = len(pending)
            if settings.kind == "model":
                _run_model(settings, place, pending, tally, limits, cache, progress)
            else:
                caller = make_caller(settings, timeout or _TIMEOUT_S)
                place.begin()
                _run_caller(caller, place, pending, tally, limits, progress)
    evals = place.read()
    if evals.trials.is_empty():
        raise EvalkitError(f"No trial was run. {tally.stop_reason or 'No attempt was made.'}")
    return with_notes(evals, _notes(tally, place, evals, added=len(pending)))


def plan_run(
    suite: Suite | str | Path,
    agent: AgentSettings,
    folder: str | Path | None,
    *,
    epochs: int = 1,
    only: Iterable[str] | str | None = None,
    run: str | None = None,
    seed: int | None = None,
    retry_errors: bool = False,
) -> tuple[RunFolder, list[CaseInput]]:
    """Return the folder with its run, and the pending trials."""
    loaded = suite if isinstance(suite, Suite) else Suite.read(suite)
    expect_whole("epochs", epochs, 1, 1_000_000)
    if seed is not None:
        expect_whole("seed", seed, 0, 2**31 - 1)
    cases = choose_cases(loaded, only)
    place = open_folder(folder, loaded, agent, run=run, seed=seed, retry_errors=retry_errors)
    return place, place.pending(case_inputs(cases, epochs=epochs, seed=place.seed))


def make_requests(agent: AgentSettings, cases: Sequence[CaseInput]) -> dict[str, tuple[Request, CaseInput]]:
    """Return one request per trial, by custom ID."""
    system = [] if agent.system is None else [{"role": "system", "content": agent.system}]
    requests = {}
    for case in cases:
        body = {
            "model": agent.model,
            "messages": [*system, {"role": "user", "content": case.prompt}],
            "seed": case.seed,
            **agent.sampling,
        }
        request = Request(custom_id(agent.hash, agent.model, case.id, case.epoch, case.seed), body)
        requests[request.custom_id] = (request, case)
    return requests


def make_caller(agent: AgentSettings, timeout: float) -> Caller:
    """Return the caller of a function or a command."""
    if agent.kind == "command":
        from evalkit.agents.command_agent import CommandCaller

        return CommandCaller(agent.argv, timeout=timeout)
    from evalkit.agents.function_agent import FunctionCaller

    return FunctionCaller(agent.function, timeout=timeout)


def _run_model(
    agent: AgentSettings,
    place: RunFolder,
    pending: Sequence[CaseInput],
    tally: _Tally,
    limits: Limits,
    cache: Cache | str | Path | None,
    progress: Any,
) -> None:
    from evalkit.llm.answer_cache import opened
    from evalkit.llm.ask import ask
    from evalkit.llm.providers import check_model, cost

    endpoint, model = agent.endpoint, str(agent.model)
    trials = make_requests(agent, pending)
    requests = [request for request, _ in trials.values()]
    with opened(cache) as answers:
        if answers.missing(endpoint.base_url, requests):
            tally.model_note = check_model(endpoint, model)
        place.begin()
        replies = ask(
            requests,
            provider=endpoint,
            cache=answers,
            max_cost=limits.max_cost,
            concurrency=limits.concurrency or _MODEL_CONCURRENCY,
            timeout=limits.timeout,
            progress=progress,
        )
        # Closing early completes the running requests.
        with closing(cast("Any", replies)):
            for reply in replies:
                if reply.outcome == "not_run":
                    tally.stop_reason = tally.stop_reason or reply.message
                    continue
                request, case = trials[reply.custom_id]
                usage = reply.body.get("usage") if reply.body else None
                known_usage = usage if isinstance(usage, dict) else None
                # A cached answer was billed once before: the costs of all trials add up to the bill.
                price = 0.0 if reply.cached else cost(endpoint, model, known_usage, mode="live")
                attempt = read_reply(request, reply, case, cost_usd=price)
                place.add(case, attempt)
                tally.add(attempt)
                tally.cached += reply.cached


def _run_caller(
    caller: Caller,
    place: RunFolder,
    pending: Sequence[CaseInput],
    tally: _Tally,
    limits: Limits,
    progress: Any,
) -> None:
    """Run each trial in one of several threads, which saves it."""
    from evalkit.llm.progress import find_display

    show = find_display() if progress is True else progress
    begin = time.monotonic()
    workers = Workers(caller, place.add, pending, size=limits.concurrency or _LOCAL_CONCURRENCY)
    try:
        for attempt in workers.results():
            if attempt is not None:
                tally.add(attempt)
                tally.stop_reason = tally.stop_reason or _check_cost(attempt, tally, limits.max_cost)
            if tally.stop_reason:
                workers.stop()
            if show:
                show(_progress(tally, time.monotonic() - begin, workers.running))
    finally:
        workers.close()
        caller.close()


def _check_cost(attempt: Attempt, tally: _Tally, max_cost: float | None) -> str | None:
    """Add the cost of an attempt; return why no other may begin, or None."""
    tally.spent += attempt.cost_usd or 0.0
    if max_cost is None:
        return None
    if attempt.cost_usd is None and attempt.error is None:
        return Sentence(
            "The agent reports no cost_usd, so {budget} cannot be checked. Return cost_usd with the transcript, or drop "
            "{option}.",
            budget=Option("max_cost", max_cost),
            option=Option("max_cost"),
        )
    if tally.spent >= max_cost:
        return Sentence(
            "The budget of ${budget:g} is used up: {spent} spent. Raise {option} and run again.",
            budget=max_cost,
            spent=money(tally.spent),
            option=Option("max_cost"),
        )
    return None


def _progress(tally: _Tally, seconds: float, running: int) -> Progress:
    from evalkit.llm.progress import Progress

    rate = tally.done / seconds if seconds > 0 else 0.0
    return Progress(
        done=tally.done,
        total=tally.total,
        rate=rate,
        cost=tally.spent,
        saved=0.0,
        left=(tally.total - tally.done) / rate if rate else None,
        in_flight=running,
        limit=running,
        cached=0,
        failed=tally.errors,
        waiting=0.0,
    )


def _notes(tally: _Tally, place: RunFolder, evals: Evals, *, added: int) -> list[Note]:
    run, trials = place.run, evals.trials.height
    texts: list[str] = []
    if not added:
        texts.append(
            f"{run}: all {plural(trials, 'trial')} were there already. Choose another run name for new ones."
        )
    if tally.model_note:
        texts.append(f"{run}: {tally.model_note}")
    if tally.done < tally.total and tally.stop_reason:
        skipped = f"{run}: {tally.total - tally.done:,} of {plural(tally.total, 'trial')} skipped. "
        reason = tally.stop_reason
        if isinstance(reason, Sentence):
            texts.append(
                Sentence(skipped.replace("{", "{{").replace("}", "}}") + reason.template, **reason.parts)
            )
        else:
            texts.append(skipped + reason)
    errors = evals.trials["error"].drop_nulls()
    if len(errors):
        texts.append(
            Sentence(
                "{run}: {count:,} of {trials} with an error. First error: {error:.200}. Pass {option} to try again.",
                run=run,
                count=len(errors),
                trials=plural(trials, "trial"),
                error=errors[0].rstrip("."),
                option=Option("retry_errors", True),
            )
        )
    if tally.cached:
        texts.append(
            f"{run}: {plural(tally.cached, 'answer was', plural='answers were')} cached by an earlier run and cost nothing. "
            "Another seed or run name gives new answers."
        )
    for key in tally.ignored_fields:
        texts.append(f"{run}: ignored the field {key!r:.60} of the transcripts.{did_you_mean(key, FIELDS)}")
    return [Note("run", text) for text in texts]
