"""What runs are called where no column says it: after the version of the agent, in one file or in several."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pytest

from evalkit.readers.load import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WIDE = {"case": "id", "criteria": ["tone", "facts"], "scale": [1, 5]}
ANSWERS = [
    {"id": case, "version": version, "answer": f"{case} of {version}", "tone": tone, "facts": 3}
    for version, tones in (("v2", (4, 5)), ("v10", (1, 2)))
    for case, tone in zip(("q1", "q2"), tones, strict=True)
]
JUDGEMENTS = [
    {"id": row["id"], "version": row["version"], "metric": name, "rating": row[name]}
    for row in ANSWERS
    for name in ("tone", "facts")
]


def as_csv(records: list[dict[str, Any]], folder: Path) -> Path:
    pl.DataFrame(records).write_csv(folder / "results.csv")
    return folder / "results.csv"


def as_jsonl(records: list[dict[str, Any]], folder: Path) -> Path:
    (folder / "results.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder / "results.jsonl"


FORMS: dict[str, Callable[[list[dict[str, Any]], Path], Any]] = {
    "csv": as_csv,
    "jsonl": as_jsonl,
    "polars": lambda records, _: pl.DataFrame(records),
    "pandas": lambda records, _: pd.DataFrame(records),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("records", "mapping"), [(ANSWERS, WIDE), (JUDGEMENTS, {"scale": [1, 5]})], ids=["wide", "long"]
)
def test_every_version_of_one_file_is_a_run(
    records: list[dict[str, Any]], mapping: dict[str, Any], form: str, tmp_path: Path
) -> None:
    source = FORMS[form](records, tmp_path)

    evals = load(source, mapping=mapping)

    tone = evals.scores.filter(pl.col("criterion") == "tone").select("run", "case", "score")
    assert tone.rows() == [("v2", "q1", 4.0), ("v2", "q2", 5.0), ("v10", "q1", 1.0), ("v10", "q2", 2.0)]
    assert evals.runs.select("run", "agent_version").rows() == [("v2", "v2"), ("v10", "v10")]
    assert evals.problems.is_empty()
    assert "No run column. Runs are named by agent_version ('version'): 'v2', 'v10'." in map(
        str, evals.notes
    ), evals.notes


@pytest.mark.parametrize(
    ("columns", "runs"),
    [
        ({"version": ["v1", "v1", "v2"], "model": ["a", "b", "a"]}, ["v1-a", "v1-b", "v2-a"]),
        ({"version": ["v1", "v1", "v2"], "model": ["a", "a", "b"]}, ["v1", "v1", "v2"]),
        ({"version": ["v1", "v1", "v1"], "model": ["a", "b", None]}, ["v1-a", "v1-b", "v1"]),
        ({"model": ["a", "b", None]}, ["a", "b", "frame"]),
        ({"model": ["a", "a", "a"], "agent": ["x", "x", "x"]}, ["frame", "frame", "frame"]),
        ({"agent": ["x", "y", "x"]}, ["x", "y", "x"]),
        ({"version": [1.0, 2.0, None]}, ["1", "2", "frame"]),
        ({"version": ["a-b", "a", "a"], "model": ["c", "b-c", "d"]}, ["a-b/c", "a/b-c", "a/d"]),
        ({"version": [None, None, None]}, ["frame", "frame", "frame"]),
        ({"run": ["r", "r", "s"], "version": ["v1", "v1", "v2"]}, ["r", "r", "s"]),
    ],
)
def test_a_run_is_made_of_the_version_and_of_what_else_varies(
    columns: dict[str, list[Any]], runs: list[str]
) -> None:
    evals = load(pl.DataFrame({"id": ["1", "2", "3"], "tone": 4, "facts": 3, **columns}), mapping=WIDE)

    assert evals.scores.filter(pl.col("criterion") == "tone")["run"].to_list() == runs
    assert evals.problems.is_empty()


def test_a_run_of_several_versions_is_a_problem_that_says_how_to_part_them() -> None:
    frame = pl.DataFrame({"id": ["1", "2"], "run": "nightly", "version": ["v1", "v2"], "tone": 4, "facts": 3})

    evals = load(frame, mapping=WIDE)

    assert evals.runs.select("run", "agent_version").rows() == [("nightly", "v1")]
    assert evals.problems.rows() == [
        (
            "<frame>",
            None,
            "run 'nightly' has several values of agent_version: v1, v2; the first is kept. "
            'If each is a run of its own, map "run": "version"',
        )
    ]


@pytest.mark.parametrize(("run", "name"), [("folder", "jan"), ({"value": "mine"}, "mine")])
def test_a_mapping_that_names_the_run_wins(run: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / "jan").mkdir()
    path = as_csv(ANSWERS[:2], tmp_path / "jan")

    evals = load(path, mapping={**WIDE, "run": run})

    assert evals.runs.select("run", "agent_version").rows() == [(name, "v2")]


def test_files_that_judge_the_same_cases_of_a_version_are_runs_of_their_own(tmp_path: Path) -> None:
    for month, records in (("jan", ANSWERS), ("feb", ANSWERS[:2])):
        (tmp_path / month).mkdir()
        as_csv(records, tmp_path / month)

    evals = load(tmp_path, mapping=WIDE)

    assert sorted(evals.runs.select("run", "agent_version").rows()) == [
        ("feb/v2", "v2"),
        ("jan/v2", "v2"),
        ("v10", "v10"),
    ]
    assert evals.scores.height == 12
    assert evals.trials.height == 6
    assert evals.problems.is_empty()
    assert any("Several sources score the same cases of v2" in str(note) for note in evals.notes)


def test_files_that_share_a_version_and_no_judgement_are_one_run(tmp_path: Path) -> None:
    for name, records in (("a", ANSWERS[:1]), ("b", ANSWERS[1:2])):
        as_jsonl(records, tmp_path).rename(tmp_path / f"{name}.jsonl")

    evals = load(tmp_path, mapping=WIDE)

    assert evals.runs["run"].to_list() == ["v2"]
    assert evals.scores.height == 4
    assert evals.problems.is_empty()
