"""Kinds of tables that were guessed wrongly once, as miniatures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import evalkit as ek
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

WAYS = ("baseline", "short", "long")


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_answers_of_two_ways_in_one_record_are_refused(tmp_path: Path) -> None:
    way = {"answer": "Like this.", "steps": 4, "correct": True}
    rows = [{"task": f"Find the address {i}", "plain": way, "with_examples": way} for i in range(6)]
    suggestion = ek.suggest_mapping(write_json(tmp_path / "r.json", rows))
    assert suggestion.status == "refuses"
    with pytest.raises(FormatError, match="'plain'.*'with_examples'"):
        ek.load(tmp_path / "r.json")


def test_a_row_number_is_no_case_where_an_id_repeats_once_per_way() -> None:
    rows = [
        {
            "row_index": i,
            "id": f"q{i // 3}",
            "wording": WAYS[i % 3],
            "output": f"It is {i}.",
            "is_correct": i % 2,
        }
        for i in range(36)
    ]
    suggestion = ek.suggest_mapping(pl.DataFrame(rows))
    assert suggestion.status == "asks"
    assert suggestion.mapping["case"] == "id"
    evals = ek.load(pl.DataFrame(rows), mapping=suggestion.mapping)
    assert sorted(evals.runs["agent_version"].cast(pl.String)) == sorted(WAYS)
    assert evals.scores["case"].n_unique() == 12


def test_rows_of_judgements_ask_for_the_version() -> None:
    rows = [
        {"scenario_id": i, "strategy": way, "metric": metric, "score": (i + len(way)) % 5 / 4}
        for i in range(10)
        for way in WAYS
        for metric in ("recall", "tone")
    ]
    suggestion = ek.suggest_mapping(pl.DataFrame(rows))
    assert suggestion.mapping["agent_version"] == "strategy"
    assert suggestion.questions
    assert ek.load(pl.DataFrame(rows), mapping=suggestion.mapping).scores.height == 60


def test_two_lists_of_records_are_asked_for(tmp_path: Path) -> None:
    routing = [
        {"question": f"What is {i}?", "expected_tool": "wiki", "correct": i % 2 == 0} for i in range(6)
    ]
    quality = [
        {"question": f"What is {i}?", "answer": "It.", "scores": {"faithfulness": i / 5}} for i in range(6)
    ]
    path = write_json(tmp_path / "r.json", {"routing_checks": routing, "quality_checks": quality})
    suggestion = ek.suggest_mapping(path)
    assert suggestion.status == "asks"
    evals = ek.load(path, mapping={"records": "quality_checks"})
    assert evals.scores["criterion"].cast(pl.String).unique().to_list() == ["faithfulness"]


@pytest.mark.parametrize(
    "name", ["escalation_ok", "refusal_quality", "hallucination_correct", "routing_match"]
)
def test_a_judgement_of_a_behavior_has_its_good_end(name: str) -> None:
    rows = [
        {"case_id": f"c{i}", "question": f"What is {i}?", "answer": "It.", name: i % 2 == 0}
        for i in range(12)
    ]
    evals = ek.load(pl.DataFrame(rows))
    assert evals.criteria["direction"].to_list() == [None]  # higher, the rule


@pytest.mark.parametrize("name", ["page_hit_at_k", "hit@5", "recall_at_10", "reciprocal_rank", "ndcg@3"])
def test_measures_of_a_search_are_judgements(name: str) -> None:
    rows = [{"id": f"c{i}", "question": f"What is {i}?", name: i % 2} for i in range(12)]
    assert ek.load(pl.DataFrame(rows)).scores["score"].mean() == 0.5


def test_milliseconds_are_no_seconds_and_an_expectation_no_severity() -> None:
    rows = [
        {
            "case_id": f"c{i}",
            "question": f"What is {i}?",
            "answer": "It.",
            "latency": 19_000 + i,
            "expected_priority": ("high", "low")[i % 2],
            "priority_ok": i % 3 == 0,
        }
        for i in range(12)
    ]
    suggestion = ek.suggest_mapping(pl.DataFrame(rows))
    assert suggestion.status == "loads"
    assert not {"latency_s", "severity"} & suggestion.mapping.keys()


def test_a_second_judge_beside_plain_columns() -> None:
    rows = [
        {
            "customer_text": f"It is broken {i}",
            "draft_reply": "Try again.",
            "tone": i % 3,
            "safety": 2 - i % 2,
            "gemini_tone": (i + 1) % 3,
            "gemini_safety": 2,
            "gemini_reason": "Fits.",
        }
        for i in range(18)
    ]
    evals = ek.load(pl.DataFrame(rows))
    assert set(evals.scores["criterion"].cast(pl.String)) == {"tone", "safety"}
    assert evals.scores["grader"].n_unique() == 2
    assert evals.cases["input"].to_list()[0] == "It is broken 0"
