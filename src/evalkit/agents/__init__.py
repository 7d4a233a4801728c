"""Run a suite through an agent: a model with a system prompt, a function, or a command."""

from __future__ import annotations

from typing import Any

from evalkit.agents.agent import Agent
from evalkit.agents.case_input import CaseInput
from evalkit.agents.cost_estimate import RunEstimate
from evalkit.agents.run_suite import run_suite

__all__ = ["Agent", "CaseInput", "RunEstimate", "run_suite"]


def __getattr__(name: str) -> Any:
    if name == "AskedCase":
        raise AttributeError("AskedCase was renamed. Use CaseInput.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
