"""An agent's version: what makes it another, how it is found, what it is told when it cannot be."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from evalkit.agents import Agent
from evalkit.agents.settings import find_function
from evalkit.util.errors import FormatError, PathError, ProviderError

GROQ = "openai/gpt-oss-20b"


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "You are careful!"},
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"effort": "low"},
        {"max_tokens": 100},
    ],
)
def test_whatever_is_changed_of_a_model_s_settings_is_another_version(change):
    agent = Agent(model=GROQ, prompt="You are careful.")

    assert replace(agent, **change).agent_version != agent.agent_version


def test_another_model_is_no_other_version():
    assert Agent(model=GROQ).agent_version == Agent(model="openai/gpt-oss-120b").agent_version


def test_a_prompt_from_a_file_names_the_version_and_its_words_are_part_of_it(tmp_path):
    path = tmp_path / "careful.md"
    path.write_bytes(b"\xef\xbb\xbfCheck twice.")
    first = Agent(model=GROQ, prompt=path)
    version = first.agent_version
    path.write_text("Check three times.", encoding="utf-8")

    assert first.system == "Check twice."
    assert version.startswith("careful-")
    assert Agent(model=GROQ, prompt=path).agent_version != version


def test_a_version_that_is_named_is_that(tmp_path):
    assert Agent(model=GROQ, version="v2").agent_version == "v2"


def test_the_provider_s_own_model_is_asked_where_none_is_named():
    assert Agent().model == GROQ


def test_a_script_that_was_changed_is_another_version(script):
    command = script("print('a')")
    before = Agent(command=command).agent_version
    script("print('b')")

    assert Agent(command=command).agent_version != before


def test_a_command_is_called_after_its_script(script):
    assert Agent(command=script("", "triage.py")).agent == "triage"


def test_a_function_is_found_where_it_is_said_to_be(tmp_path, monkeypatch):
    (tmp_path / "my_own_agent.py").write_text(
        "class Team:\n    def lead(self, case):\n        return 'x'\nteam = Team()\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())

    agent = Agent(call="my_own_agent:team.lead")

    assert agent.agent == "lead"
    assert agent.function(None) == "x"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("no_such_module_here:run", "Unknown module 'no_such_module_here'"),
        ("evalkit.data.demo:writes", "'evalkit.data.demo' has no 'writes'. Did you mean 'write'?"),
        ("evalkit", "Invalid agent 'evalkit'."),
        ("evalkit:__version__", "'evalkit:__version__' is not a function but str."),
        (3, "Invalid agent 3."),
    ],
)
def test_a_function_that_is_not_there_is_said_to_be_so(place, said):
    with pytest.raises(FormatError) as told:
        find_function(place)

    assert str(told.value).startswith(said)


def test_a_module_that_breaks_on_import_says_what_broke(tmp_path, monkeypatch):
    (tmp_path / "breaks_on_import.py").write_text("1 / 0", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())

    with pytest.raises(FormatError, match="Cannot import 'breaks_on_import': ZeroDivisionError"):
        find_function("breaks_on_import:run")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": 3}, "Invalid temperature 3. Expected a number from 0 to 2, or None."),
        ({"top_p": -1}, "Invalid top_p -1. Expected a number from 0 to 1, or None."),
        ({"max_tokens": 0}, "Invalid max_tokens 0. Expected a whole number from 1"),
        (
            {"effort": "lo"},
            "Invalid effort 'lo'. Expected none, minimal, low, medium or high. Did you mean 'low'?",
        ),
        (
            {"prompt": "prompts/v1.md"},
            "The system prompt 'prompts/v1.md' looks like a file",
        ),
        ({"command": "no-such-program --x"}, "Cannot find the program 'no-such-program'"),
        ({"command": "'"}, "Cannot parse the command"),
        ({"command": []}, "Invalid command. Expected a program and its arguments"),
        ({"call": print, "temperature": 1}, "temperature applies to model agents"),
        ({"call": print, "command": "python"}, "An agent is a model, a function or a command"),
        ({"provider": "http://127.0.0.1:9/v1"}, "No default model at 127.0.0.1:9."),
    ],
)
def test_a_setting_that_cannot_be_is_told_in_one_sentence(settings, said):
    with pytest.raises(FormatError) as told:
        Agent(**settings)

    assert str(told.value).startswith(said)


def test_a_prompt_that_is_not_there_is_said_at_once(tmp_path):
    with pytest.raises(PathError, match=r"careful\.md"):
        Agent(model=GROQ, prompt=tmp_path / "careful.md")


def test_a_provider_that_is_not_known_is_said_at_once():
    with pytest.raises(ProviderError, match="Did you mean 'groq'"):
        Agent(model="m", provider="grok")


def test_what_is_written_down_of_a_command_holds_no_key():
    key = "gsk_" + "a1B2" * 8

    agent = Agent(command=[sys.executable, "agent.py", "--api-key", key])

    assert key not in str(agent.config)
