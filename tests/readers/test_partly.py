"""Tables alone: what is not asked for is not read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from evalkit.data import folder as native
from evalkit.data.evals import Evals
from evalkit.readers import builder as builder
from evalkit.readers import registry
from evalkit.readers.builder import EvalsBuilder, only
from evalkit.readers.load import Reader, load
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCORE = {"run": "a", "case": "01", "criterion": "Groq", "score": 4}
TRIAL = {"run": "a", "agent_version": "v1", "case": "01", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "suite.yaml").write_text("suite: s\ncases:\n  - id: '01'\n")
    (tmp_path / "transcripts.jsonl").write_text(json.dumps(TRIAL) + "\n")
    (tmp_path / "scores.jsonl").write_text(json.dumps(SCORE) + "\n")
    return tmp_path


@pytest.mark.parametrize("table", ["cases", "trials", "turns", "scores"])
def test_a_table_alone_is_that_table_and_no_other(table: Any, folder: Path) -> None:
    alone, whole = load(folder, tables=(table,)), load(folder)

    assert getattr(alone, table).equals(getattr(whole, table))
    assert getattr(alone, table).height == 1
    others = {"cases", "criteria", "trials", "turns", "scores"} - {table}
    assert {name: getattr(alone, name).height for name in others} == dict.fromkeys(others, 0)


def test_scores_alone_never_open_the_transcripts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "transcripts.jsonl").write_text(json.dumps(TRIAL) + "\n{broken\n")

    alone = load(folder, tables=("scores",))

    assert alone.problems.is_empty()
    assert not any(file.endswith("transcripts.jsonl") for file in alone.files)
    assert alone.runs["run"].to_list() == ["a"]
    assert load(folder).problems.height == 1


def test_of_a_saved_table_that_is_not_wanted_only_the_runs_are_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder).turns.write_parquet(tmp_path / "turns.parquet")
    read, asked = pl.read_parquet, []
    monkeypatch.setattr(
        pl, "read_parquet", lambda path, columns=None: (asked.append(columns), read(path, columns=columns))[1]
    )

    alone = load(tmp_path / "turns.parquet", tables=("scores",))

    assert (alone.runs["run"].to_list(), alone.turns.height) == (["a"], 0)
    assert asked == [["run"]]


def test_messages_that_are_not_wanted_are_not_made() -> None:
    def messages() -> Iterator[dict[str, Any]]:
        pytest.fail("a message was made")
        yield {}

    with only(frozenset({"scores"})):
        builder = EvalsBuilder("log.json")
    builder.add_trial("a", "01", 1, 1, output="yes")
    builder.add_turns("a", "01", 1, messages())
    builder.add_score("b", "01", 1, "Tone", 1, score=4)
    evals = builder.build()

    assert evals.scores["score"].to_list() == [4.0]
    assert sorted(evals.runs["run"]) == ["a", "b"], "runs are named all the same"
    assert evals.problems.is_empty()


def test_a_log_of_another_tool_makes_no_rows_but_those_that_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {
        "task_id": 1,
        "reward": 1.0,
        "info": {},
        "trial": 0,
        "traj": [{"role": "user", "content": "hi"}],
    }
    (tmp_path / "log.json").write_text(json.dumps([record]))
    whole = load(tmp_path / "log.json")
    made: list[set[str]] = []
    add = builder._Rows.add
    monkeypatch.setattr(
        builder._Rows, "add", lambda rows, *parts: (made.append({*parts[0]}), add(rows, *parts))
    )

    alone = load(tmp_path / "log.json", tables=("scores",))

    assert (whole.turns.height, whole.trials.height) == (1, 1)
    assert alone.scores.equals(whole.scores)
    assert made == [{"run", "case", "epoch", "criterion", "line"}]


def test_saved_evals_and_those_in_memory_can_be_had_in_part(folder: Path, tmp_path: Path) -> None:
    evals = load(folder)
    evals.save(tmp_path / "saved")

    for alone in (load(tmp_path / "saved", tables=["turns"]), load(evals, tables=["turns"])):
        assert alone.turns.equals(evals.turns)
        assert alone.scores.is_empty()
        assert alone.trials.is_empty()
        assert alone.runs["run"].to_list() == ["a"]


def test_transcripts_are_read_without_their_messages_where_these_are_not_wanted(folder: Path) -> None:
    alone = load(folder / "transcripts.jsonl", tables=("trials",))

    assert (alone.trials.height, alone.turns.height) == (1, 0)
    assert alone.runs.equals(load(folder / "transcripts.jsonl").runs)


def test_scores_alone_are_checked_against_the_scale_that_their_file_declares(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["1", "2"], "tone": [4, 50]})

    alone = load(frame, mapping={"case": "id", "criteria": ["tone"], "scale": [1, 5]}, tables=("scores",))

    assert alone.scores["score"].to_list() == [4.0, None]
    assert alone.problems["reason"].to_list() == ["tone: 50 is outside the scale 1 to 5"]
    assert alone.criteria.is_empty()


def test_a_mapped_table_can_be_had_in_part(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["1"], "answer": ["So."], "tone": [4]})
    mapping = {"case": "id", "criteria": ["tone"], "scale": [1, 5]}

    alone = load(frame, mapping=mapping, tables=("trials",))

    assert (alone.trials.height, alone.scores.height, alone.criteria.height) == (1, 0, 0)


def test_a_table_that_there_is_not_is_named_with_the_nearest(folder: Path) -> None:
    with pytest.raises(
        FormatError, match=r"There is no table 'score'. Did you mean 'scores'\? There is: cases,"
    ):
        load(folder, tables=("score",))


def test_a_folder_without_what_is_wanted_is_empty_and_no_error(folder: Path) -> None:
    for name in ("suite.yaml", "transcripts.jsonl"):
        (folder / name).unlink()

    assert load(folder, tables=("turns",)).turns.is_empty()


def test_a_single_name_is_a_table_too(folder: Path) -> None:
    assert load(folder, tables="scores").scores.height == 1  # type: ignore[arg-type]


def test_a_reader_of_whole_files_needs_to_know_nothing_of_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mine").write_bytes(b"MINE")
    whole = Evals.from_tables(
        trials=pl.DataFrame({"run": ["a"], "case": ["1"]}), scores=pl.DataFrame([{**SCORE, "case": "1"}])
    )
    mine = Reader("mine", lambda path, head: head.startswith(b"MINE"), read=lambda path: whole)
    monkeypatch.setattr(registry, "readers", lambda: ([mine], []))

    alone = load(tmp_path, tables=("scores",))

    assert (alone.scores.height, alone.trials.height) == (1, 0)


def test_many_files_come_out_in_the_order_of_their_names(tmp_path: Path) -> None:
    names = [f"{number:02}" for number in range(25)]
    for name in names:
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({**SCORE, "run": name}) + "\n" + "{broken\n")

    evals = load(tmp_path)

    assert evals.scores["run"].to_list() == names
    assert [source[-8:-6] for source in evals.problems["source"]] == names


def test_many_at_once_is_what_one_after_the_other_gives(folder: Path) -> None:
    first, second = load(folder), native.read(folder)
    other = Evals.from_tables(scores=pl.DataFrame([{**SCORE, "score": 1}, {**SCORE, "case": "02"}]))

    assert Evals.concat([first, second, other]).equals(first + second + other)
    assert Evals.concat([first, second, other]).problems.height == 1
