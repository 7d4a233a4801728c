"""`evalkit cache`: what is kept, and how some of it is forgotten."""

from __future__ import annotations

import json

import pytest
import typer

from evalkit.cli import main
from evalkit.llm.answer_cache import Cache
from evalkit.util.words import plural


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "kept"))

    def run(*arguments):
        code = main(["cache", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def cache(run, monkeypatch):
    """Fill the cache: two answers of a small model on the second day, one of a large one on the fifth."""
    with Cache() as cache:
        for key, model, day in [("a", "small", 1), ("b", "small", 1), ("c", "la\x1b[2Jrge", 4)]:
            monkeypatch.setattr("time.time", lambda day=day: 86_400.0 * day)
            cache.put(key, {"choices": []}, model=model)
        monkeypatch.setattr("time.time", lambda: 86_400.0 * 5)
        yield cache


def test_looking_makes_none(run, tmp_path):
    code, out, _ = run("show")

    path = tmp_path / "kept" / "answers.sqlite"
    assert (code, out) == (0, f"No cached responses: {path} does not exist.\n")
    assert not path.exists()


def test_it_shows_where_how_many_how_large_and_how_old(run, cache):
    code, out, _ = run("show")
    facts = json.loads(run("show", "--format", "json")[1])

    assert code == 0
    assert out.startswith(f"{cache.path}: 3 responses, ")
    assert "\x1b" not in out
    assert [line.split() for line in out.splitlines() if line.startswith("small")] == [
        ["small", "2", "1", "kB", "1970-01-02", "1970-01-02"]
    ]
    assert (facts["path"], facts["answers"], facts["bytes"]) == (str(cache.path), 3, cache.size)
    assert {row["model"]: row["answers"] for row in facts["models"]} == {"small": 2, "la\x1b[2Jrge": 1}


@pytest.mark.parametrize(
    ("options", "left"),
    [(["--older-than", "2"], 1), (["--model", "small"], 1), (["--all"], 0), (["--older-than", "0.5"], 0)],
)
def test_what_is_named_is_forgotten(run, cache, options, left):
    code, out, _ = run("purge", *options, "--yes")

    assert (code, len(cache)) == (0, left)
    assert f"Deleted {plural(3 - left, 'response')}; {cache.path} has {left}, " in out


@pytest.mark.parametrize("sure", [True, False])
def test_it_asks_first(run, cache, monkeypatch, sure):
    asked = []
    monkeypatch.setattr(typer, "confirm", lambda words: asked.append(words) or sure)

    code, _, _ = run("purge", "--older-than", "2")

    assert len(asked) == 1
    assert "2 of 3" in asked[0]
    assert (code, len(cache)) == (0, 1 if sure else 3)


def test_where_nobody_can_be_asked_nothing_is_forgotten(run, cache, monkeypatch):
    def nobody(_):
        raise typer.Abort

    monkeypatch.setattr(typer, "confirm", nobody)

    code, out, _ = run("purge", "--all")

    assert (code, len(cache)) == (0, 3)
    assert "--yes" in out


@pytest.mark.parametrize("options", [[], ["--all", "--model", "small"]])
def test_what_to_forget_has_to_be_said(run, cache, options):
    code, _, err = run("purge", *options)

    assert (code, len(cache)) == (2, 3)
    assert all(option in err for option in ("--older-than", "--model", "--all"))


def test_a_model_that_has_none_is_told_which_have(run, cache):
    code, out, _ = run("purge", "--model", "another", "--yes")

    assert (code, len(cache)) == (0, 3)
    assert "small" in out
