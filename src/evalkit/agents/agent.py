"""`Agent`: one version of an agent."""

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
    """One version of an agent: a model with a system prompt, a function, or a command.

    Immutable; `dataclasses.replace` makes another version.

    Attributes
    ----------
    model
        None: the provider's recommended model. With `call` or `command` it is only recorded.
    prompt
        The system prompt: a text, the `pathlib.Path` of its file, or None.
    provider
        `groq`, `openai`, `local`, the address of an endpoint with OpenAI's chat completions, or a `Provider`.
    temperature, top_p, effort
        Sampling, and `reasoning_effort` (low, medium, high); None: the model's default.
    max_tokens
        Most tokens of a response, reasoning included.
    call
        A function, plain or `async`, that takes a `CaseInput` and returns a transcript, or its place as
        `"module:function"`.
    command
        A program with arguments that reads the case as JSON and prints a transcript as JSON.
    name
        None: the name of the function or program, else "agent".
    version
        None: a hash of prompt and settings, of the function's source, or of the command's files.

    Raises
    ------
    FormatError
        An invalid setting, or both `call` and `command`.
    PathError
        The file of the prompt is missing.

    Examples
    --------
    >>> agent = Agent(model="openai/gpt-oss-20b", prompt="You run batch jobs.", temperature=0.7)
    >>> agent.kind, agent.agent_version == Agent(prompt="You run batch jobs.", temperature=0.7).agent_version
    ('model', True)
    """

    def estimate(
        self,
        suite: Suite | str | Path,
        folder: str | Path | None = None,
        **settings: Any,
    ) -> RunEstimate:
        """Estimate requests, tokens and maximum cost of `run_suite`, with the same arguments.

        Sends nothing. Without a folder, no trial is completed yet.
        """
        from evalkit.agents.cost_estimate import make_estimate

        return make_estimate(self, suite, folder, **settings)
