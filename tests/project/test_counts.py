"""Counts in words: what is there once is not told in the plural."""

from __future__ import annotations

import re

import polars as pl
import pytest

import evalkit as ek
from evalkit.data import folder as native
from evalkit.data import schema
from evalkit.util.words import plural

_PLURAL = re.compile(
    r"(?<![\d.,−-])1 (?:(?!(?:to|of|is|was|has)\b)[a-z]+ ){0,2}"
    r"(answers|attempts|cases|criteria|files|graders|judgements|labels|lines|messages|models|notes|problems|records|"
    r"regressions|requests|rows|runs|samples|scores|suites|trials|turns|verdicts|versions)\b"
)


@pytest.fixture(scope="module")
def once():
    """One case, tried once by two versions: it passed, and now fails."""
    table = {
        "runs": pl.DataFrame({"run": ["a", "b"], "agent_version": ["v1", "v2"], "model": ["m", "m"]}),
        "cases": pl.DataFrame({"case": ["01"], "severity": ["high"], "input": ["Why?"]}),
        "criteria": pl.DataFrame({"criterion": ["Groq"], "scale_min": [1.0], "scale_max": [5.0]}),
        "trials": pl.DataFrame({"run": ["a", "b"], "case": ["01", "01"], "output": ["So.", "No."]}),
        "turns": pl.DataFrame(
            {"run": ["a", "b"], "case": ["01", "01"], "role": ["assistant"] * 2, "content": ["So.", "No."]}
        ),
        "scores": pl.DataFrame(
            {
                "run": ["a", "b"],
                "case": ["01", "01"],
                "criterion": ["Groq", "Groq"],
                "score": [5.0, 1.0],
                "grader": ["Judge", "Judge"],
                "grader_kind": ["judge", "judge"],
                "rationale": ["Right.", "Wrong."],
            }
        ),
    }
    return ek.Evals(**{name: getattr(schema, name.upper()).check(frame) for name, frame in table.items()})


@pytest.fixture(scope="module")
def folder(once, tmp_path_factory):
    place = tmp_path_factory.mktemp("once")
    native.write(once, place)
    with (place / "scores.jsonl").open("a") as file:
        file.write("{broken\n")
    return place


def _report(once, folder, name, **options):
    return ek.report(once, folder.parent / name, **options).read_text()


SAID = {
    "evals": lambda once, folder: repr(once) + once._repr_html_(),
    "loaded": lambda once, folder: repr(ek.load(folder)),
    "comparison": lambda once, folder: _shown(ek.compare(once, baseline="v1", candidate="v2")),
    "versions": lambda once, folder: _shown(ek.compare_many(once, baseline="v1")),
    "plan": lambda once, folder: _shown(ek.plan(once)),
    "variance": lambda once, folder: _shown(ek.variance(once)),
    "failures": lambda once, folder: _shown(ek.find_failures(once)),
    "transcript": lambda once, folder: ek.transcript(once, run="a", case="01")._repr_html_(),
    "difference": lambda once, folder: _shown(ek.transcript_diff(once, "01", baseline="v1", candidate="v2")),
    "explorer": lambda once, folder: _shown(ek.explore(once)),
    "trend": lambda once, folder: ek.charts.trend(once).to_json(),
    "criteria": lambda once, folder: ek.charts.criteria(once).to_json(),
    "cases": lambda once, folder: ek.charts.cases(once).to_json(),
    "severity": lambda once, folder: ek.charts.severity(once).to_json(),
    "page": lambda once, folder: _report(once, folder, "a.html", baseline="v1", candidate="v2"),
    "markdown": lambda once, folder: _report(once, folder, "a.md", baseline="v1", candidate="v2"),
}


def _shown(value):
    return repr(value) + value._repr_html_()


@pytest.mark.parametrize("name", SAID)
def test_what_is_there_once_is_told_in_the_singular(once, folder, name):
    text = re.sub(r"<[^>]*>", "", SAID[name](once, folder))

    assert [found[0] for found in _PLURAL.finditer(text)] == []


def test_a_pattern_that_finds_nothing_would_prove_nothing():
    assert [
        one[1] for one in _PLURAL.finditer("1 of 1 trials, 1 cases, 21 cases, 1 to 9 cases, 0.1 cases")
    ] == [
        "trials",
        "cases",
    ]


@pytest.mark.parametrize("name", ["page", "markdown", "transcript", "difference"])
def test_a_grader_is_not_named_twice(once, folder, name):
    text = re.sub(r"<[^>]*>|\\", "", SAID[name](once, folder))

    assert not re.search(r"judge \(judge\)", text, flags=re.IGNORECASE)


def test_a_count_has_its_word():
    assert plural(1, "of them has", plural="of them have") == "1 of them has"
