"""A small suite whose every word that an agent may not see is marked, and agents to run over it."""

from __future__ import annotations

import json
import sys

import pytest

from evalkit.data.suite import Case, Criterion, Expected, Suite
from fakes import FakeServer

HIDDEN = "NOT-FOR-THE-AGENT"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def suite():
    cases = [
        Case(
            id=f"0{n}",
            prompt=f"Task {n}: collect the batch.",
            input=f"{HIDDEN}: it loses rows {n}",
            expected=Expected(ideal_behavior=f"{HIDDEN} ideal", rubric=[f"{HIDDEN} point"]),
            check=f"{HIDDEN} check",
            tags=[f"{HIDDEN}-tag"],
            facts=[f"{HIDDEN} fact"],
            severity="high",
        )
        for n in (1, 2, 3)
    ]
    return Suite(suite="small", criteria=[Criterion(name="Care", description=HIDDEN)], cases=cases)


@pytest.fixture
def fake():
    with FakeServer("groq") as fake:
        yield fake


@pytest.fixture
def script(tmp_path):
    """Return what makes a command of a few lines of Python."""

    def script(code, name="agent.py"):
        path = tmp_path / name
        path.write_text(code, encoding="utf-8")
        return [sys.executable, str(path)]

    return script


@pytest.fixture
def lines():
    """Return what reads the lines of a folder's transcripts."""

    def lines(folder):
        text = (folder / "transcripts.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    return lines
