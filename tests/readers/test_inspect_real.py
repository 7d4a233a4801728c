"""Real Inspect logs: all of them load, and the figures that their makers published come out."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import polars as pl
import pytest

from evalkit.readers.load import load

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "inspect_logs"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project")

SAID = {
    ("set", "gpt-5"): (0.52, 0.0502),
    ("set", "claude-sonnet-4-20250514"): (0.57, 0.0498),
    ("set", "gemini-2.5-pro"): (0.66, 0.0476),
    ("set2", "gpt-5"): (0.60, 0.1633),
    ("set2", "claude-sonnet-4-20250514"): (0.66, 0.1492),
    ("set2", "gemini-2.5-pro"): (0.70, 0.1528),
}


def logs() -> list[Path]:
    others = ("logs.json", "eval-set.json")
    found = [*DATA.rglob("*.eval"), *DATA.rglob("*.json")] if DATA.is_dir() else []
    return sorted(path for path in found if path.name not in others)


@pytest.mark.parametrize("path", logs(), ids=lambda path: path.name[-24:])
def test_a_log_loads_whole(path: Path) -> None:
    if path.suffix == ".eval":
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read("header.json"))
            samples = [name for name in archive.namelist() if name.startswith("samples/")]
    else:
        header = json.loads(path.read_text())
        samples = header.get("samples") or []

    evals = load(path)

    assert evals.problems.is_empty()
    assert (evals.runs.height, evals.trials.height) == (1, len(samples))
    told = json.loads(evals.runs["config"].item())
    assert told.get("results") == header.get("results")
    for score in (header.get("results") or {}).get("scores") or ():
        rows = evals.scores.filter(criterion=score["name"]) if evals.scores.height else evals.scores
        accuracy = (score["metrics"].get("accuracy") or {}).get("value")
        # Of two logs their makers kept one sample only.
        if rows.height and accuracy is not None and header["results"]["total_samples"] == len(samples):
            mean = rows.group_by("case").agg(pl.col("score").mean())["score"].mean()
            assert math.isclose(mean, accuracy)


@pytest.mark.parametrize("name", ["set", "set2"])
def test_accuracy_and_stderr_over_cases_are_as_published(name: str) -> None:
    evals = load(DATA / "log-sets" / name)

    means = (
        evals.scores.join(evals.runs.select("run", "model"), on="run")
        .group_by(pl.col("model").cast(pl.String).str.split("/").list.last().alias("model"), "case")
        .agg(pl.col("score").mean())
        .group_by("model")
        .agg(mean=pl.col("score").mean(), stderr=pl.col("score").std() / pl.len().sqrt())
    )
    assert means.height == 3
    for model, mean, stderr in means.iter_rows():
        assert (round(mean, 2), round(stderr, 4)) == SAID[name, model]
    assert any("logs.json" in str(note) for note in evals.notes), "the manifests beside the logs are named"


def test_the_whole_folder_loads_at_once() -> None:
    evals = load(DATA)

    # Two logs lie there under another name too, and two pairs have one id and differ.
    told = {Path(source).name for source in evals.problems["source"]}
    assert told == {
        "log_formats.json",
        "2024-08-29T15-11-18+00-00_popularity_5EAmX6wjMFqea6WY7XHzZp.json",
    }
    assert evals.runs.height > 30
    assert evals.scores["score"].null_count() == 0


def test_scores_alone_have_whole_explanations() -> None:
    folder = DATA / "scout"
    order = [pl.col(name).cast(pl.String) for name in ("run", "case", "criterion")]
    whole, alone = load(folder).scores.sort(order), load(folder, tables=("scores",)).scores.sort(order)

    plain = pl.col("rationale").str.replace_all(r"\s+", " ").str.strip_chars()
    assert alone.select("score", "label", plain).equals(whole.select("score", "label", plain))
    assert whole["rationale"].str.len_chars().max() > 1024
