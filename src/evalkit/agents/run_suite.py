"""Running a suite: what is there already stays, the rest is asked for, each trial is on the disk before the next."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from evalkit.agents.attempt import FIELDS, read_reply
from evalkit.agents.case_input import ask_about, choose_cases, expect_whole
from evalkit.agents.run_folder import as_suite, open_folder, with_notes
from evalkit.agents.settings import AgentSettings
from evalkit.agents.workers import Crew
from evalkit.data import folder as native
from evalkit.llm.requests import Request, custom_id, request_key
from evalkit.util.arguments import expect
from evalkit.util.errors import EvalkitError, FormatError
from evalkit.util.words import did_you_mean, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from evalkit.agents.attempt import Attempt
    from evalkit.agents.case_input import AskedCase
    from evalkit.agents.run_folder import RunFolder
    from evalkit.agents.workers import Caller
    from evalkit.data.evals import Evals
    from evalkit.data.suite import Suite
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.progress import Progress

# Functions and commands at once: they are this machine's work, and perhaps an endpoint's with limits of its own.
_AT_ONCE: Final = 8
_TIMEOUT_S: Final = 300.0


@dataclass
class _Tally:
    """What a run has come to so far."""

    total: int
    done: int = 0
    errors: int = 0
    cached: int = 0
    spent: float = 0.0
    stopped: str | None = None
    unchecked: str | None = None
    dropped: dict[str, None] = field(default_factory=dict)

    def take(self, attempt: Attempt) -> None:
        self.done += 1
        self.errors += attempt.error is not None
        self.dropped.update(dict.fromkeys(attempt.dropped))


def run_suite(
    suite: Suite | str | Path,
    agent: AgentSettings | Callable[[AskedCase], Any],
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
    """Run a suite through an agent, and write a transcript for each attempt into a folder.

    Each trial is on the disk when it is done. Stop it whenever you like: run it again and it goes on with what
    is not there. An attempt that crashes, hangs or returns nonsense is a trial with an `error`, and costs no other.

    Parameters
    ----------
    suite
        A `Suite`, or the path of one. An agent is sent the `prompt` of its cases, nothing else of them.
    agent
        An `Agent`; or a function, plain or `async`, that is given an `AskedCase` and returns a transcript: the
        answer as text, a list of messages in OpenAI's shape (tool calls and results among them), or a dict with
        `messages` or `output` or both, and perhaps `usage`, `error`, `stop_reason` and `cost_usd`.
    folder
        Where to: made where it is missing. It may hold other runs over the same suite.
    epochs
        How often each case is attempted.
    only
        Which cases; None: all.
    run
        What the run is called. None: the run that the same agent has made in this folder goes on, else a new one
        is named after version, model and date.
    seed
        The seed of the first epoch; each further one has the next. None: it follows from the run's name, so that
        another run is answered anew, and the same one is not paid twice.
    concurrency
        The most attempts at once; None: what the provider bears, functions and commands 8.
    timeout
        Seconds that an attempt may take; None: what the provider's answers may take, functions and commands 300.
    max_cost
        US dollars that this call may spend; the rest is not attempted then. Functions and commands have to
        report their `cost_usd` for it.
    retry_errors
        Attempt again what is there with an error.
    cache
        Where answers of a model are kept; None: in evalkit's own folder.
    progress
        True: a bar in a terminal or a notebook; None: nothing; or a callable, see `evalkit.llm.ask.ask`.

    Returns
    -------
    Evals
        The run, whole, as it is on the disk. `notes` say what was not attempted and why, and how many trials
        have an error.

    Raises
    ------
    FormatError
        A setting that cannot be, or a folder that holds another run of that name or another wording of the suite.
    BusyError
        Another process runs into this folder.
    SuiteError
        There are no cases, or one has no prompt.
    ProviderError
        The key or the model is not there, or a `max_cost` without a known price.
    EvalkitError
        Nothing could be attempted; the sentence says why.

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
    made = agent if isinstance(agent, AgentSettings) else AgentSettings(call=agent)
    settings: dict[str, Any] = {
        "epochs": epochs,
        "only": only,
        "run": run,
        "seed": seed,
        "retry_errors": retry_errors,
    }
    whole = as_suite(suite)
    place, left = make_plan(whole, made, folder, **settings)
    _expect_limits(concurrency=concurrency, timeout=timeout, max_cost=max_cost)
    tally = _Tally(0)
    if left:
        with native.holding(folder, native.TRANSCRIPTS_FILE):
            # Once more: what another process did between the two is there now.
            place, left = make_plan(whole, made, folder, **settings)
            tally.total = len(left)
            if made.kind == "model":
                _ask(made, place, left, tally, concurrency, timeout, max_cost, cache, progress)
            else:
                caller = make_caller(made, timeout or _TIMEOUT_S)
                place.begin()
                _call(caller, place, left, tally, concurrency or _AT_ONCE, max_cost, progress)
    evals = place.read()
    if evals.trials.is_empty():
        raise EvalkitError(f"Nothing was run: {tally.stopped or 'no attempt was made'}")
    return with_notes(evals, _notes(tally, place, evals, added=len(left)))


def make_plan(
    suite: Suite,
    agent: AgentSettings,
    folder: str | Path | None,
    *,
    epochs: int = 1,
    only: Iterable[str] | str | None = None,
    run: str | None = None,
    seed: int | None = None,
    retry_errors: bool = False,
) -> tuple[RunFolder, list[AskedCase]]:
    """Return the folder with the run that is meant, and the attempts that are not there."""
    expect_whole("epochs", epochs, 1, 1_000_000)
    if seed is not None:
        expect_whole("seed", seed, 0, 2**31 - 1)
    cases = choose_cases(suite, only)
    place = open_folder(folder, suite, agent, run=run, seed=seed, retry_errors=retry_errors)
    return place, place.left(ask_about(cases, epochs=epochs, seed=place.seed))


def make_requests(agent: AgentSettings, asked: Sequence[AskedCase]) -> dict[str, tuple[Request, AskedCase]]:
    """Return a request for each attempt, by its id: system prompt, the case's prompt, sampling and seed."""
    system = [] if agent.system is None else [{"role": "system", "content": agent.system}]
    made = {}
    for one in asked:
        body = {
            "model": agent.model,
            "messages": [*system, {"role": "user", "content": one.prompt}],
            "seed": one.seed,
            **agent.sampling,
        }
        request = Request(custom_id(agent.hash, agent.model, one.id, one.epoch, one.seed), body)
        made[request.custom_id] = (request, one)
    return made


def make_caller(agent: AgentSettings, timeout: float) -> Caller:
    """Return what makes the attempts of an agent that is a function or a command."""
    if agent.kind == "command":
        from evalkit.agents.command_agent import CommandCaller

        return CommandCaller(agent.argv, timeout=timeout)
    from evalkit.agents.function_agent import FunctionCaller

    return FunctionCaller(agent.function, timeout=timeout)


def _ask(
    agent: AgentSettings,
    place: RunFolder,
    left: Sequence[AskedCase],
    tally: _Tally,
    concurrency: int | None,
    timeout: float | None,
    max_cost: float | None,
    cache: Cache | str | Path | None,
    progress: Any,
) -> None:
    """Ask a model for each attempt, and write what it replies."""
    from evalkit.llm.answer_cache import opened
    from evalkit.llm.ask import ask
    from evalkit.llm.providers import check_model, cost

    endpoint, model = agent.endpoint, str(agent.model)
    asked = make_requests(agent, left)
    requests = [request for request, _ in asked.values()]
    with opened(cache) as answers:
        if any(answers.get(request_key(endpoint.base_url, one.body)) is None for one in requests):
            tally.unchecked = check_model(endpoint, model)
        place.begin()
        replies = ask(
            requests,
            provider=endpoint,
            cache=answers,
            max_cost=max_cost,
            concurrency=concurrency or 64,
            timeout=timeout,
            progress=progress,
        )
        # Left early, it ends what is under way in good order.
        with closing(cast("Any", replies)):
            for reply in replies:
                if reply.outcome == "not_run":
                    tally.stopped = tally.stopped or reply.message
                    continue
                request, one = asked[reply.custom_id]
                usage = reply.body.get("usage") if reply.body else None
                known = usage if isinstance(usage, dict) else None
                # What was in the cache was paid for by whoever asked first: the costs of all trials are what was paid.
                paid = 0.0 if reply.cached else cost(endpoint, model, known, mode="live")
                attempt = read_reply(request, reply, one, cost_usd=paid)
                place.add(one, attempt)
                tally.take(attempt)
                tally.cached += reply.cached


def _call(
    caller: Caller,
    place: RunFolder,
    left: Sequence[AskedCase],
    tally: _Tally,
    at_once: int,
    max_cost: float | None,
    progress: Any,
) -> None:
    """Make each attempt in one of several threads, which writes what comes of it."""
    from evalkit.llm.progress import find_display

    show = find_display() if progress is True else progress
    begun = time.monotonic()
    crew = Crew(caller, place.add, left, size=at_once)
    try:
        for attempt in crew.results():
            if attempt is not None:
                tally.take(attempt)
                tally.stopped = tally.stopped or _too_dear(attempt, tally, max_cost)
            if tally.stopped:
                crew.stop()
            if show:
                show(_progress(tally, time.monotonic() - begun, crew.running))
    finally:
        crew.close()
        caller.close()


def _too_dear(attempt: Attempt, tally: _Tally, max_cost: float | None) -> str | None:
    """Count what an attempt cost; return why no other may be made, where that is so."""
    tally.spent += attempt.cost_usd or 0.0
    if max_cost is None:
        return None
    if attempt.cost_usd is None and attempt.error is None:
        return (
            f"max_cost={max_cost:g} cannot be kept, because the agent does not report its cost_usd: return it with "
            "the transcript, or leave max_cost out."
        )
    if tally.spent >= max_cost:
        return f"The limit of ${max_cost:g} is reached: ${tally.spent:.4f} was spent. Raise max_cost and run it again."
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


def _notes(tally: _Tally, place: RunFolder, evals: Evals, *, added: int) -> list[str]:
    name, notes = place.run, []
    if not added:
        notes.append(
            f"{name}: of {plural(evals.trials.height, 'attempt')} all were there already; name another run to ask again."
        )
    if tally.unchecked:
        notes.append(f"{name}: {tally.unchecked}")
    if tally.done < tally.total and tally.stopped:
        left = tally.total - tally.done
        notes.append(f"{name}: {left:,} of {plural(tally.total, 'attempt')} not made: {tally.stopped}")
    errors = evals.trials["error"].drop_nulls()
    if len(errors):
        notes.append(
            f"{name}: {len(errors):,} of {plural(evals.trials.height, 'trial')} with an error, the first: {errors[0]:.200} "
            "(retry_errors=True attempts them again)"
        )
    if tally.cached:
        notes.append(
            f"{name}: {plural(tally.cached, 'answer was', plural='answers were')} given to an earlier run, or to this one before "
            "it was stopped: that costs nothing, and is no new attempt; another seed or another run name gives others."
        )
    for key in tally.dropped:
        notes.append(
            f"{name}: the transcripts have a key {key!r:.60} that is not kept.{did_you_mean(key, FIELDS)}"
        )
    return notes


def _expect_limits(**given: Any) -> None:
    for name, value in given.items():
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not value > 0
        ):
            raise FormatError(f"{name} is {value!r}; it may be a number above 0.")
