"""A judge that answers as a good one would, behind the fake server, and a small collection to judge."""

from __future__ import annotations

import polars as pl
import pytest

from evalkit.data.evals import Evals
from evalkit.data.suite import Case, Criterion, Expected, Suite
from evalkit.judging import Judge
from fakes import FakeServer
from fakes.judges import judged


@pytest.fixture
def suite():
    criteria = [
        Criterion(name="Groq", description="Knows Groq.", anchors={1: "Wrong.", 3: "Luck.", 5: "Right."}),
        Criterion(name="Batch Api", description="The mechanics.", anchors={1: "Lost.", 5: "Kept."}),
    ]
    cases = [
        Case(
            id=number,
            prompt=f"Do task {number}.",
            input=f"The agent gets {number} wrong.",
            expected=Expected(ideal_behavior=f"Does {number} by custom_id.", rubric=["Joined by custom_id."]),
        )
        for number in ("01", "02")
    ]
    return Suite(suite="small", criteria=criteria, cases=cases)


@pytest.fixture
def make_evals(suite):
    def make(outputs=("I joined them by custom_id, line by line.", "I used zip(inputs, outputs)."), **trial):
        cases, criteria = suite.tables()
        rows = [
            {"run": "v1", "case": f"{at:02}", "epoch": 1, "output": output, **trial}
            for at, output in enumerate(outputs, 1)
        ]
        return Evals.from_tables(
            cases=cases,
            criteria=criteria,
            runs=pl.DataFrame({"run": ["v1"], "suite": ["small"], "agent_version": ["v1"]}),
            trials=pl.DataFrame(rows),
        )

    return make


@pytest.fixture
def parts():
    """Return the parts of the judging notes: what they count and name."""

    def parts(evals):
        notes = [note for note in evals.notes if note.kind.startswith("judging")]
        return {name: part for note in notes for name, part in note.text.parts.items()}

    return parts


@pytest.fixture
def fake():
    with FakeServer("groq") as server:
        server.answer = judged
        yield server


@pytest.fixture
def make_judge(fake, suite, tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))

    def make(**changes):
        settings = {"rubric": suite, "provider": fake.provider(), "samples": 1, **changes}
        return Judge(**settings)

    return make
