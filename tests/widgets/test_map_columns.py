"""The widget that maps columns."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import evalkit as ek
from evalkit.util.errors import FormatError

FRAME = pl.DataFrame(
    {
        "qid": [f"c{i}" for i in range(10)],
        "reply": ["Sure."] * 10,
        "tone": [4, 5, 3, 2, 1, 5, 4, 3, 2, 1],
        "kindness": ["4", "5", "x", "2", "1", "5", "4", "", "2", "1"],
        "grade": ["a"] * 5 + ["b"] * 5,
    }
)


def index(mapper: Any, column: str) -> int:
    return [one["name"] for one in mapper.show()["columns"]].index(column)


def test_it_starts_with_the_guess_and_loads_what_it_shows() -> None:
    mapper = ek.map_columns(FRAME)
    assert (
        mapper.mapping == ek.suggest_mapping(FRAME).mapping | {"criteria": {"tone": {"scale": [1, 5]}}}
        or "tone" in mapper.mapping["criteria"]
    )
    shown = {one["name"]: one["role"] for one in mapper.show()["columns"]}
    assert shown["qid"] == "case ID"
    assert shown["reply"] == "answer"
    assert ek.load(FRAME, mapping=mapper.mapping).scores["score"].count() == 10


def test_a_change_counts_what_is_read_and_lost() -> None:
    mapper = ek.map_columns(FRAME)
    mapper.handle({"kind": "role", "column": index(mapper, "kindness"), "role": "score, higher is better"})
    read = mapper.show()["read"]
    assert "18 scores read, 1 without a number, 1 empty" in read["text"]
    assert any("'x'" in reason for reason in read["lost"])
    mapper.handle({"kind": "role", "column": index(mapper, "tone"), "role": "not read"})
    assert list(mapper.mapping["criteria"]) == ["kindness"]
    mapper.handle({"kind": "reset"})
    assert list(mapper.mapping["criteria"]) == ["tone"]


def test_direction_scale_and_role_reach_the_mapping() -> None:
    mapper = ek.map_columns(FRAME)
    tone = index(mapper, "tone")
    mapper.handle({"kind": "role", "column": tone, "role": "score, lower is better"})
    mapper.handle({"kind": "scale", "column": tone, "scale": "0 to 10"})
    mapper.handle({"kind": "role", "column": index(mapper, "grade"), "role": "version"})
    assert mapper.mapping["criteria"] == {"tone": {"direction": "lower", "scale": [0, 10]}}
    assert mapper.mapping["agent_version"] == "grade"
    assert ek.load(FRAME, mapping=mapper.mapping).runs.height == 2
    assert eval(mapper.code, {"ek": ek, "frame": FRAME}).runs.height == 2


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "role", "column": 99, "role": "case ID"},
        {"kind": "role", "column": 0, "role": "nonsense"},
        {"kind": "scale", "column": 0, "scale": "1 to 5"},
        {"kind": "role", "column": -1, "role": "case ID"},
    ],
)
def test_a_wrong_event_is_answered_and_changes_nothing(event: dict[str, Any]) -> None:
    mapper = ek.map_columns(FRAME)
    before = mapper.mapping
    mapper.handle(event)
    assert mapper.status
    assert mapper.mapping.get("criteria") == before["criteria"]


def test_names_and_cells_are_escaped() -> None:
    frame = pl.DataFrame({"id": ["<img src=x>", "b"], "<script>": ["\u202e", "y"], "tone": [4, 5]})
    html = ek.map_columns(frame)._repr_html_()
    assert "<script>" not in html
    assert "<img" not in html


def test_it_can_be_saved(tmp_path: Any) -> None:
    path = ek.map_columns(FRAME).save(tmp_path / "evalkit.yaml")
    assert "criteria" in path.read_text()


def test_a_file_of_a_known_tool_needs_none(tmp_path: Any) -> None:
    folder = tmp_path / "demo"
    ek.demo.write(folder)
    with pytest.raises(FormatError, match="no mapping"):
        ek.map_columns(folder / "transcripts.jsonl")
