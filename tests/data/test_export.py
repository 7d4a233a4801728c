"""Every Eval Ever: what is written has the fields, the kinds and the sums that the format asks for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from evalkit.cli import main
from evalkit.data.evals import Evals
from evalkit.data.export import every_eval_ever
from evalkit.readers.load import load
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

# What the schemas of the format require, with the kinds of the values (its instance-level and aggregate schema, 0.2-0.3).
SAMPLE = {
    **dict.fromkeys(("schema_version", "evaluation_id", "model_id", "evaluation_name", "sample_id"), str),
    "interaction_type": str,
    "input": dict,
    "answer_attribution": list,
    "evaluation": dict,
}
ALLOWED = {
    *SAMPLE,
    *(
        "evaluation_result_id",
        "sample_hash",
        "output",
        "messages",
        "token_usage",
        "performance",
        "error",
        "metadata",
    ),
}
AGGREGATE = {
    **dict.fromkeys(("schema_version", "evaluation_id", "retrieved_timestamp"), str),
    "source_metadata": dict,
    "model_info": dict,
    "eval_library": dict,
    "evaluation_results": list,
}


def read(folder: Path) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    made = []
    for path in sorted(folder.rglob("*.json")):
        aggregate = json.loads(path.read_text())
        detail = aggregate["detailed_evaluation_results"]
        data = (folder / detail["file_path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == detail["checksum"]
        lines = [json.loads(line) for line in data.decode().splitlines()]
        assert len(lines) == detail["total_rows"]
        made.append((aggregate, lines))
    return made


def check(value: dict[str, Any], kinds: dict[str, type]) -> None:
    for name, kind in kinds.items():
        assert isinstance(value[name], kind), name


def test_the_demo_has_the_required_fields_and_each_score_is_a_line(tmp_path: Path) -> None:
    evals = load("data/demo")

    made = read(every_eval_ever(evals, tmp_path / "out"))

    assert len(made) == evals.runs.height
    assert sum(len(lines) for _, lines in made) == evals.scores["score"].count()
    for aggregate, lines in made:
        check(aggregate, AGGREGATE)
        assert {"source_type", "source_organization_name", "evaluator_relationship"} <= aggregate[
            "source_metadata"
        ].keys()
        results = {result["evaluation_result_id"]: result for result in aggregate["evaluation_results"]}
        for result in results.values():
            assert result["metric_config"]["score_type"] in ("binary", "continuous")
            assert (
                result["metric_config"]["min_score"]
                <= result["score_details"]["score"]
                <= result["metric_config"]["max_score"]
            )
            assert result["source_data"]["source_type"] == "other"
        for line in lines:
            check(line, SAMPLE)
            assert line.keys() <= ALLOWED
            assert line["evaluation_id"] == aggregate["evaluation_id"]
            assert line["evaluation_result_id"] in results
            assert (
                (line["output"] is None)
                == (line["interaction_type"] != "single_turn")
                == (line["messages"] is not None)
            )
            assert all(isinstance(text, str) for text in line["metadata"].values())
            assert isinstance(line["evaluation"]["is_correct"], bool)


def test_means_are_over_cases_and_nulls_are_counted(tmp_path: Path) -> None:
    scores = {
        "run": "a",
        "case": ["1", "1", "2", "3"],
        "epoch": [1, 2, 1, 1],
        "criterion": "ok",
        "score": [1.0, 0.0, 1.0, None],
    }
    evals = Evals.from_tables(
        scores=pl.DataFrame(scores),
        criteria=pl.DataFrame({"criterion": ["ok"], "scale_min": [0], "scale_max": [1], "kind": ["binary"]}),
    )

    ((aggregate, lines),) = read(every_eval_ever(evals, tmp_path / "out"))

    (result,) = aggregate["evaluation_results"]
    assert result["score_details"]["score"] == 0.75
    assert result["score_details"]["details"] == {"without_score": "1", "scores": "3"}
    assert [line["evaluation"]["is_correct"] for line in lines] == [True, False, True]


def test_tools_make_it_agentic_with_arguments_as_texts(tmp_path: Path) -> None:
    call = [{"id": "c", "name": "add", "arguments": {"a": 1, "b": "x"}}]
    turns = {
        "run": "a",
        "case": "1",
        "turn": [1, 2, 3, 4],
        "role": ["user", "assistant", "tool", "assistant"],
        "content": ["q", None, "2", "It is 2."],
        "tool_calls": [None, json.dumps(call), None, None],
        "tool_call_id": [None, None, "c", None],
    }
    evals = Evals.from_tables(
        turns=pl.DataFrame(turns),
        scores=pl.DataFrame({"run": "a", "case": ["1"], "criterion": "ok", "score": 3}),
    )

    ((aggregate, (line,)),) = read(every_eval_ever(evals, tmp_path / "out"))

    assert line["interaction_type"] == "agentic"
    assert line["messages"][1]["tool_calls"] == [
        {"id": "c", "name": "add", "arguments": {"a": "1", "b": "x"}}
    ]
    assert line["messages"][2]["tool_call_id"] == ["c"]
    assert (line["evaluation"]["num_turns"], line["evaluation"]["tool_calls_count"]) == (4, 1)
    assert line["answer_attribution"][0]["extracted_value"] == "It is 2."
    assert (
        "not declared" in aggregate["evaluation_results"][0]["metric_config"]["additional_details"]["scale"]
    )


def test_the_command_writes_the_same_twice_and_replaces_nothing(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert main(["convert", "data/demo", "--to", "every-eval-ever", "-o", str(tmp_path / name)]) == 0
    one, two = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.json*")}
        for name in ("one", "two")
    )

    assert one == two
    with pytest.raises(FormatError, match="is not empty. Name a new or an empty folder"):
        every_eval_ever(load("data/demo"), tmp_path / "one")
    with pytest.raises(FormatError, match="There is no score to export"):
        every_eval_ever(Evals.from_tables(), tmp_path / "three")


@pytest.mark.parametrize(
    ("model", "provider", "place"),
    [
        ("openai/gpt-oss-120b", "groq", "data/sums/openai/gpt-oss-120b"),
        ("vendor/family/m:1", None, "data/sums/vendor/family_m_1"),
        ("gpt-x", "openai", "data/sums/openai/gpt-x"),
        ("con.v1.", None, "data/sums/unknown/_con.v1"),
        ("/../..", None, "data/sums/unknown/.._"),
        ("..", None, "data/sums/unknown/unnamed"),
        (None, None, "data/sums/unknown/unknown"),
    ],
)
def test_files_lie_where_the_format_looks_for_a_model_and_nowhere_else(
    model: str | None, provider: str | None, place: str, tmp_path: Path
) -> None:
    runs = {"run": ["a"], "suite": ["sums"], "model": [model], "provider": [provider]}
    evals = Evals.from_tables(
        runs=pl.DataFrame(runs, schema_overrides={"model": pl.String, "provider": pl.String}),
        scores=pl.DataFrame({"run": "a", "case": ["1"], "criterion": "ok", "score": 1}),
    )

    ((aggregate, _),) = read(every_eval_ever(evals, tmp_path / "out"))

    (path,) = tmp_path.rglob("*.json")
    assert path.parent == tmp_path / "out" / place
    # A rule of its validator: the fourth version of a UUID, and both files of one name.
    assert path.stem[14] == "4"
    assert aggregate["detailed_evaluation_results"]["file_path"] == f"{place}/{path.stem}_samples.jsonl"
    details = aggregate["model_info"]["additional_details"]
    assert details == {"deployment_type": "unknown", "model_availability": "unknown"}
