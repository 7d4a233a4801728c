"""What was read before comes from the cache, and only what is still so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from evalkit.cli import main
from evalkit.readers import load_cache as cache
from evalkit.readers.load import load
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "SMALLEST", 1)
    return tmp_path / "cache" / "loads"


def entries(place: Path) -> list[Path]:
    return sorted(place.iterdir()) if place.exists() else []


def write(path: Path, score: int, *, when: int = 1_700_000_000) -> Path:
    path.write_text(json.dumps({"run": "a", "case": "01", "criterion": "Groq", "score": score}) + "\n")
    os.utime(path, (when, when))
    return path


def test_the_second_load_is_equal_and_reads_nothing(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "scores.jsonl", 4)
    first = load(path)
    monkeypatch.setattr(
        "evalkit.data.folder.read_frame", lambda *_, **__: pytest.fail("the file was read again")
    )

    assert load(path).equals(first)
    assert len(entries(place)) == 1
    assert place.stat().st_mode & 0o077 == 0


def test_problems_and_notes_are_kept_too(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text('{"run": "a", "case": "01", "criterion": "Groq", "score": "(Failed)"}\n{broken\n')

    first = load(path)

    assert first.problems.height == 2
    assert load(path).equals(first)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.jsonl", 4)
    assert load(path).scores["score"].item() == 4

    write(path, 5, when=1_700_000_001)

    assert load(path).scores["score"].item() == 5


def test_a_file_that_changed_within_the_tick_of_its_clock_is_read_again(tmp_path: Path) -> None:
    now = 4_000_000_000
    path = write(tmp_path / "scores.jsonl", 4, when=now)
    before = path.stat()
    assert load(path).scores["score"].item() == 4

    with path.open("r+") as file:
        file.write(path.read_text().replace("4", "5"))
    os.utime(path, (now, now))

    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert load(path).scores["score"].item() == 5


def test_it_can_be_left_out(tmp_path: Path, place: Path) -> None:
    load(write(tmp_path / "scores.jsonl", 4), cache=False)

    assert entries(place) == []


def test_small_files_are_not_kept(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SMALLEST", 1 << 20)

    load(write(tmp_path / "scores.jsonl", 4))

    assert entries(place) == []


@pytest.mark.parametrize("damage", ["cut", "manifest", "gone", "other"])
def test_an_entry_that_cannot_be_used_is_made_again(damage: str, tmp_path: Path, place: Path) -> None:
    path = write(tmp_path / "scores.jsonl", 4)
    first = load(path)
    entry = entries(place)[0]
    if damage == "cut":
        (entry / "scores.parquet").write_bytes((entry / "scores.parquet").read_bytes()[:50])
    elif damage == "manifest":
        (entry / "evalkit.json").write_text("{")
    elif damage == "gone":
        (entry / "scores.parquet").unlink()
    else:
        (entry / "scores.parquet").write_bytes((entry / "runs.parquet").read_bytes())

    again = load(path)

    assert again.equals(first)
    assert (entries(place)[0] / "scores.parquet").stat().st_size > 50


def test_a_place_that_cannot_be_written_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "file"))

    assert load(write(tmp_path / "scores.jsonl", 4)).scores.height == 1


def test_other_tables_are_another_entry(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "transcripts.jsonl"
    path.write_text('{"run": "a", "case": "01", "messages": [{"role": "user", "content": "hi"}]}\n')

    assert load(path, tables=("trials",)).turns.is_empty()
    assert load(path).turns.height == 1
    assert len(entries(place)) == 2


def test_what_was_used_longest_ago_goes_first(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(tmp_path / f"{name}.jsonl", 4) for name in "abc"]
    for age, path in zip((300, 200), paths[:2], strict=True):
        before = set(entries(place))
        load(path)
        (entry,) = set(entries(place)) - before
        os.utime(entry, (1_700_000_000 - age,) * 2)
    oldest = min(entries(place), key=lambda entry: entry.stat().st_mtime)
    load(paths[0])
    size = sum(file.stat().st_size for file in oldest.iterdir())
    monkeypatch.setattr(cache, "LARGEST", int(2.5 * size))

    load(paths[2])

    assert len(entries(place)) == 2
    assert oldest in entries(place), "it was used again, so the other is the oldest"


def test_two_processes_at_once_both_get_the_whole(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "scores.jsonl"
    lines = [
        {"run": "a", "case": f"{n}", "criterion": "Groq", "score": 4, "rationale": "x" * 60}
        for n in range(9000)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code = f"import evalkit as ek; print([ek.load({str(path)!r}).scores.height for _ in range(3)])"

    running = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]

    for one in running:
        out, err = one.communicate(timeout=60)
        assert (out.strip(), err) == ("[9000, 9000, 9000]", "")
    assert [entry.name[0] for entry in entries(place)] != ["."]
    assert len(entries(place)) == 1


def helm_run(folder: Path, score: float) -> Path:
    folder.mkdir(exist_ok=True)
    stats = [{"name": {"name": "exact_match", "split": "test"}, "count": 1, "sum": score, "mean": score}]
    record = {"instance_id": "id1", "train_trial_index": 0, "stats": stats}
    (folder / "per_instance_stats.json").write_text(json.dumps([record]))
    (folder / "run_spec.json").write_text(
        json.dumps({"name": "mmlu,model=m", "adapter_spec": {"model": "m"}})
    )
    return folder


def test_a_folder_that_is_one_log_is_kept_until_a_file_in_it_changes(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = helm_run(tmp_path / "run", 1.0)
    first = load(folder)
    with monkeypatch.context() as patch:
        patch.setattr(
            "evalkit.readers.builder.EvalsBuilder.build", lambda *_, **__: pytest.fail("it was read again")
        )
        assert load(folder).equals(first)
    assert len(entries(place)) == 1

    helm_run(folder, 0.0)
    assert load(folder).scores["score"].to_list() == [0.0]
    (folder / "run_spec.json").unlink()
    assert load(folder).runs["run"].to_list() == ["run"]


def test_what_is_read_with_the_files_beside_it_is_kept_until_one_of_these_changes(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions"}
    body = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}
    answer = {"choices": [{"message": {"role": "assistant", "content": "So."}}], "model": "m"}
    response = {"status_code": 200, "body": answer}
    output = tmp_path / "output.jsonl"
    output.write_text(json.dumps({"id": "b", "custom_id": "1", "response": response, "error": None}) + "\n")
    alone = load(output)
    with monkeypatch.context() as patch:
        patch.setattr(
            "evalkit.readers.builder.EvalsBuilder.build", lambda *_, **__: pytest.fail("it was read again")
        )
        assert load(output).equals(alone)

    (tmp_path / "input.jsonl").write_text(json.dumps({**asked, "body": body}) + "\n")

    assert alone.turns["content"].to_list() == ["So."]
    assert load(output).turns["content"].to_list() == ["Why?", "So."]


MAPPING = {"case": "id", "criteria": ["tone"], "scale": [1, 5], "run": "folder"}


def test_tables_of_judge_scores_are_kept_with_their_mapping_and_run(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "results.jsonl").write_text('{"id": "1", "tone": 4, "facts": 2}\n{broken\n')
    paths = [tmp_path / "v1", tmp_path / "v2"]
    first = load(paths, mapping=MAPPING)
    with monkeypatch.context() as patch:
        patch.setattr(
            "evalkit.readers.read_files.to_evals", lambda *_, **__: pytest.fail("it was read again")
        )
        assert load(paths, mapping=MAPPING).equals(first)
    assert len(entries(place)) == 2

    other = load(paths, mapping={**MAPPING, "criteria": ["facts"]})
    assert (first.runs["run"].to_list(), first.problems.height) == (["v1", "v2"], 2)
    assert other.scores["score"].to_list() == [2.0, 2.0]


def test_runs_of_tables_that_meet_are_told_apart_from_the_cache_too(tmp_path: Path) -> None:
    for month in ("jan", "feb"):
        (tmp_path / "in" / month).mkdir(parents=True)
        (tmp_path / "in" / month / "r.jsonl").write_text('{"id": "1", "version": "v1", "tone": 4}\n')
    mapping = {"case": "id", "criteria": ["tone"]}

    assert load(tmp_path / "in" / "jan", mapping=mapping).runs["run"].to_list() == ["v1"]
    for _ in range(2):
        assert sorted(load(tmp_path / "in", mapping=mapping).runs["run"]) == ["feb/v1", "jan/v1"]


def test_a_column_that_no_table_has_is_an_error_from_the_cache_too(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"id": "1", "tone": 4}\n')

    for _ in range(2):
        with pytest.raises(FormatError, match="No file has the column 'who'"):
            load(path, mapping={"case": "id", "criteria": ["tone"], "model": "who"})
    assert len(entries(place)) == 1


def test_two_processes_at_one_folder_both_get_the_whole(tmp_path: Path, place: Path) -> None:
    folder = helm_run(tmp_path / "run", 1.0)
    code = f"from evalkit.readers.load import load; from evalkit.readers import load_cache; load_cache.SMALLEST = 1; print([load({str(folder)!r}).scores.height for _ in range(3)])"

    running = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]

    for one in running:
        out, err = one.communicate(timeout=60)
        assert (out.strip(), err) == ("[1, 1, 1]", "")
    assert [entry.name[0] for entry in entries(place)] != ["."]
    assert len(entries(place)) == 1


def test_the_command_line_leaves_it_out_when_told_to(tmp_path: Path, place: Path) -> None:
    path = write(tmp_path / "scores.jsonl", 4)

    assert main(["--no-cache", "convert", str(path), "-o", str(tmp_path / "one")]) == 0
    assert entries(place) == []
    assert main(["convert", str(path), "-o", str(tmp_path / "two")]) == 0
    assert len(entries(place)) == 1
