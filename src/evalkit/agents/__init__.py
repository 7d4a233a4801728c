"""A suite through an agent: a model with a system prompt, a function, or a command; out come transcripts.

`Agent` says which version of an agent it is, `run_suite` runs it. An agent is given a case's prompt, never what is
expected of it.
"""

from __future__ import annotations

from evalkit.agents.agent import Agent
from evalkit.agents.case_input import AskedCase
from evalkit.agents.cost_estimate import RunEstimate
from evalkit.agents.run_suite import run_suite

__all__ = ["Agent", "AskedCase", "RunEstimate", "run_suite"]


def __dir__() -> list[str]:
    return __all__
