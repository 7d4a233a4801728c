"""`Agent`: one version of an agent, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.agents.settings import AgentSettings

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.agents.cost_estimate import RunEstimate
    from evalkit.data.suite import Suite


@dataclass(frozen=True)
class Agent(AgentSettings):
    """One version of an agent: a model with a system prompt, or a function, or a command.

    It is never changed; `dataclasses.replace` makes another version.

    Attributes
    ----------
    model
        The model that is asked; None: the one that the provider is known for. With `call` or `command` it is
        only noted: what the agent runs on.
    prompt
        The system prompt: a text, or the `pathlib.Path` of a file with it. None: there is none.
    provider
        `groq`, `openai`, `local`, the address of any endpoint that speaks OpenAI's chat completions, or what
        `evalkit.llm.providers.provider` returns.
    temperature, top_p, effort
        Sampling, and `reasoning_effort` (low, medium, high); None leaves it to the model.
    max_tokens
        What an answer may take, reasoning included.
    call
        A function, plain or `async`, that is given an `AskedCase` and returns a transcript; or where it is, as
        `"module:function"`.
    command
        A program with its arguments, which reads the case as JSON and prints a transcript as JSON.
    name
        What the agent is called. None: after its function or program, else "agent".
    version
        Which version it is. None: from the hash of its prompt and settings, of the source of its function, or of
        the files that its command names, so that whatever is changed is another version.

    Raises
    ------
    FormatError
        A setting that cannot be, or more than one kind of agent.
    PathError
        The file with the prompt is not there.

    Examples
    --------
    >>> agent = Agent(model="openai/gpt-oss-20b", prompt="You run batch jobs.", temperature=0.7)
    >>> agent.kind, agent.agent_version == Agent(prompt="You run batch jobs.", temperature=0.7).agent_version
    ('model', True)
    >>> Agent(call=lambda case: "Done.", command="./agent")
    Traceback (most recent call last):
    evalkit.util.errors.FormatError: An agent is a model, a function (call) or a command: this one has call and command.
    """

    def estimate(
        self,
        suite: Suite | str | Path,
        folder: str | Path | None = None,
        **settings: Any,
    ) -> RunEstimate:
        """Say what `run_suite` would ask and what that would cost, before anything is sent.

        Parameters
        ----------
        suite, folder
            As for `run_suite`; without a folder, as if nothing had been run.
        **settings
            `epochs`, `only`, `run`, `seed`, `retry_errors` and `cache`, as for `run_suite`.

        Returns
        -------
        RunEstimate
            Attempts, tokens (estimated), the price at most.
        """
        from evalkit.agents.cost_estimate import make_estimate

        return make_estimate(self, suite, folder, **settings)
