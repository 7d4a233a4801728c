"""The settings of an agent."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from evalkit.agents.case_input import Function, short_hash
from evalkit.llm.providers import Provider, provider
from evalkit.util.errors import FormatError, PathError
from evalkit.util.redact import hide_environment, redact
from evalkit.util.settings import EFFORTS, expect_choice, expect_number, expect_whole
from evalkit.util.words import Option, Sentence, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence


# Hash digits in a default version name.
_SHORT: Final = 8
_KEY_OPTION: Final = re.compile(r"(?i)-{1,2}[\w-]*(?:key|token|secret|passw(?:or)?d)")


@dataclass(frozen=True)
class AgentSettings:
    """Settings of an agent, checked. `Agent` documents them."""

    model: str | None = None
    prompt: str | Path | None = None
    provider: str | Provider = "groq"
    temperature: float | None = None
    top_p: float | None = None
    effort: str | None = None
    max_tokens: int = 4096
    call: Function | str | None = None
    command: Sequence[str] | str | None = field(default=None, repr=False)
    name: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        kinds = [name for name in ("call", "command") if getattr(self, name) is not None]
        if len(kinds) > 1:
            raise FormatError(
                "An agent is a model, a function or a command.",
                fix=Sentence(
                    "Pass {call} or {command}, not both.", call=Option("call"), command=Option("command")
                ),
            )
        if kinds:
            self._expect_no_sampling(kinds[0])
        else:
            self._expect_model()
        if self.call is not None and not callable(self.call):
            object.__setattr__(self, "call", find_function(self.call))
        if self.command is not None:
            object.__setattr__(self, "command", _expect_program(self.command))

    @property
    def kind(self) -> Literal["model", "function", "command"]:
        """The kind of agent."""
        return "function" if self.call is not None else "command" if self.command is not None else "model"

    @cached_property
    def endpoint(self) -> Provider:
        """The provider."""
        return provider(self.provider)

    @cached_property
    def system(self) -> str | None:
        """The text of the system prompt."""
        if not isinstance(self.prompt, Path):
            return self.prompt
        try:
            return self.prompt.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise PathError.missing(self.prompt) from None
        except (OSError, UnicodeDecodeError) as error:
            raise FormatError(f"Cannot read {str(self.prompt)!r} as text: {error}.") from None

    @property
    def function(self) -> Function:
        """The function, of a function agent."""
        return cast("Function", self.call)

    @property
    def argv(self) -> list[str]:
        """Program and arguments, of a command agent."""
        return list(cast("Sequence[str]", self.command))

    @property
    def agent(self) -> str:
        """The value of `runs.agent`."""
        if self.name:
            return self.name
        if self.call is not None:
            name = str(getattr(self.call, "__name__", type(self.call).__name__))
            return name if name.isidentifier() else "agent"
        return _program_name(self.argv) if self.command is not None else "agent"

    @property
    def agent_version(self) -> str:
        """The value of `runs.agent_version`."""
        if self.version:
            return self.version
        short = self.hash[:_SHORT]
        return f"{self.prompt.stem}-{short}" if isinstance(self.prompt, Path) else short

    @property
    def sampling(self) -> dict[str, Any]:
        """The request parameters beside messages and seed, of a model agent."""
        given = {"temperature": self.temperature, "top_p": self.top_p, "reasoning_effort": self.effort}
        return {
            "max_completion_tokens": self.max_tokens,
            **{k: v for k, v in given.items() if v is not None},
        }

    @cached_property
    def hash(self) -> str:
        """12 hex digits of the version without its model."""
        if self.call is not None:
            return short_hash([_where(self.call), _source(self.call)])
        if self.command is not None:
            return short_hash([self.argv, [_content(part) for part in self.argv]])
        return short_hash({"prompt": self.system, **self.sampling})

    @property
    def config(self) -> dict[str, Any]:
        """The facts saved with a run: no API key, the prompt as a hash."""
        facts: dict[str, Any] = {"kind": self.kind, "agent_hash": self.hash}
        if self.kind == "model":
            system = self.system
            facts |= {"endpoint": self.endpoint.base_url, "sampling": self.sampling}
            facts["prompt_hash"] = None if system is None else short_hash(system)
        elif self.kind == "function":
            facts["function"] = _where(self.call)
        else:
            facts["command"] = _redacted(self.argv)
        return {name: value for name, value in facts.items() if value is not None}

    def _expect_no_sampling(self, kind: str) -> None:
        given = [
            name for name in ("prompt", "temperature", "top_p", "effort") if getattr(self, name) is not None
        ]
        if given:
            raise FormatError(
                Sentence(
                    "{option} applies to model agents. A {kind} sends its own requests.",
                    option=Option(given[0]),
                    kind="function" if kind == "call" else kind,
                ),
                argument=given[0],
            )

    def _expect_model(self) -> None:
        endpoint = self.endpoint
        model = self.model or endpoint.agent_model
        if not model:
            raise FormatError(
                f"No default model at {endpoint.name}.",
                argument="model",
                fix=Option("model", "NAME", python="model=...", shell="--model NAME"),
            )
        object.__setattr__(self, "model", model)
        if isinstance(self.prompt, str) and _looks_like_a_path(self.prompt):
            raise FormatError(
                f"The system prompt {self.prompt!r} looks like a file. Pass the file as pathlib.Path({self.prompt!r})."
            )
        _ = self.system
        if self.effort is not None:
            expect_choice("effort", self.effort, EFFORTS)
        expect_number("temperature", self.temperature, 0, 2)
        expect_number("top_p", self.top_p, 0, 1)
        expect_whole("max_tokens", self.max_tokens, 1, 10_000_000)


def find_function(place: object) -> Function:
    """Import the function at `"module:function"`; raise FormatError if it is unknown."""
    module, sign, name = place.partition(":") if isinstance(place, str) else ("", "", "")
    if not sign or not module or not name:
        raise FormatError(f"Invalid agent {place!r}. Expected a function, or its place as 'module:function'.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        target: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise FormatError(f"Unknown module {module!r}: neither installed nor in {here!r}.") from None
        raise FormatError(f"Cannot import {module!r}: {error}.") from error
    except Exception as error:
        raise FormatError(f"Cannot import {module!r}: {type(error).__name__}: {error}.") from error
    for part in name.split("."):
        if not hasattr(target, part):
            raise FormatError(f"{module!r} has no {name!r}.{did_you_mean(part, dir(target))}")
        target = getattr(target, part)
    if not callable(target):
        raise FormatError(f"{place!r} is not a function but {type(target).__name__}.")
    return cast("Function", target)


def _expect_program(command: Sequence[str] | str) -> tuple[str, ...]:
    try:
        argv = shlex.split(command, posix=os.name != "nt") if isinstance(command, str) else list(command)
    except TypeError:
        argv = []
    except ValueError as error:
        raise FormatError(f"Cannot parse the command: {error}.") from None
    if not argv or not all(isinstance(part, str) for part in argv):
        raise FormatError(
            "Invalid command. Expected a program and its arguments, for example ['python', 'agent.py']."
        )
    if shutil.which(argv[0]) is None:
        raise FormatError(f"Cannot find the program {argv[0]!r}.")
    return tuple(argv)


def _redacted(argv: Sequence[str]) -> list[str]:
    """Redact keys in a command, also the values of options for keys."""
    made = list(redact(argv).texts)
    for at, part in enumerate(argv[:-1]):
        if _KEY_OPTION.fullmatch(part):
            made[at + 1] = "***"
    return [hide_environment(part) for part in made]


def _looks_like_a_path(text: str) -> bool:
    return "\n" not in text and " " not in text and text.endswith((".md", ".txt", ".prompt"))


def _program_name(argv: Sequence[str]) -> str:
    script = next((part for part in argv[1:] if Path(part).suffix and Path(part).is_file()), argv[0])
    return Path(script).stem


def _content(part: str) -> str | None:
    path = Path(part)
    try:
        return short_hash(path.read_bytes().hex()) if path.suffix and path.is_file() else None
    except OSError:
        return None


def _source(function: Any) -> str:
    try:
        module = inspect.getmodule(function)
        whole = module is not None and module.__name__ != "__main__"
        return inspect.getsource(module if whole and module is not None else function)
    except (OSError, TypeError):
        return _where(function)


def _where(function: Any) -> str:
    kind = function if hasattr(function, "__qualname__") else type(function)
    return f"{kind.__module__}:{kind.__qualname__}"
