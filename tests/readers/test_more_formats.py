"""Every Eval Ever back in, code benchmarks, DeepEval's cache, TruLens."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import evalkit as ek
from evalkit.data.export import every_eval_ever
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def texts(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(pl.Categorical).cast(pl.String))


# Every Eval Ever


def test_an_export_loads_back(tmp_path: Path) -> None:
    evals = ek.demo.make()
    again = ek.load(every_eval_ever(evals, tmp_path / "out"))
    assert again.problems.is_empty()
    key = ["run", "case", "epoch", "criterion", "grader", "sample", "grader_kind", "score", "rationale"]
    scored = evals.scores.filter(pl.col("score").is_not_null())
    assert texts(again.scores).select(key).sort(key).equals(texts(scored).select(key).sort(key))
    scale = ["criterion", "scale_min", "scale_max"]
    suites = evals.runs["suite"].unique()
    used = evals.criteria.filter(pl.col("suite").is_in(suites.implode()))
    assert texts(again.criteria).select(scale).sort(scale).equals(texts(used).select(scale).sort(scale))
    facts = ["run", "suite", "agent", "agent_version", "model", "started_at"]
    assert texts(again.runs).select(facts).sort("run").equals(texts(evals.runs).select(facts).sort("run"))
    one, other = (ek.summarize(each, "agent_version") for each in (evals, again))
    assert other["pass_rate"].to_list() == pytest.approx(one["pass_rate"].to_list())


def test_lower_is_better_survives(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["a", "b"], "toxicity": [0.0, 0.9], "question": ["x", "y"]})
    evals = ek.load(
        frame, mapping={"case": "id", "criteria": {"toxicity": {"scale": [0, 1], "direction": "lower"}}}
    )
    again = ek.load(every_eval_ever(evals, tmp_path / "out"))
    assert again.criteria["direction"].to_list() == ["lower"]
    assert again.scores["score"].to_list() == [0.0, 0.9]


def test_an_aggregate_alone_says_so(tmp_path: Path) -> None:
    folder = every_eval_ever(ek.demo.make(), tmp_path / "out")
    aggregate = next(folder.rglob("*.json"))
    alone = tmp_path / "alone.json"
    alone.write_bytes(aggregate.read_bytes())
    with pytest.raises(FormatError, match="totals alone"):
        ek.load(alone)


# Code benchmarks


def test_a_swe_bench_report(tmp_path: Path) -> None:
    report = {
        "submitted_ids": ["a", "b", "c", "d"],
        "resolved_ids": ["a"],
        "unresolved_ids": ["b"],
        "error_ids": ["c"],
        "empty_patch_ids": ["d"],
        "total_instances": 300,
        "schema_version": 2,
    }
    evals = ek.load(write(tmp_path / "gpt-4o.run1.json", report))
    assert dict(texts(evals.scores).select("case", "score").rows()) == {"a": 1, "b": 0, "c": None, "d": 0}
    assert set(texts(evals.scores)["grader_kind"].cast(pl.String)) == {"code"}
    assert evals.runs["run"].to_list() == ["gpt-4o"]


@pytest.mark.parametrize(
    "report",
    [
        {"resolved": ["a", "b"], "stats": {"generated": 300}},
        {"resolved_ids": ["a"], "submitted_instances": 300},
    ],
)
def test_a_swe_bench_report_without_the_failures_is_refused(report: Any, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="of 300"):
        ek.load(write(tmp_path / "r.json", report))


def test_eval_plus(tmp_path: Path) -> None:
    row = {"task_id": "HumanEval/0", "solution": "def f(): ..."}
    attempts = [
        {**row, "base_status": "pass", "plus_status": "fail"},
        {**row, "base_status": "timeout", "plus_status": "fail"},
    ]
    report = {
        "date": "2024-01-01",
        "hash": "x",
        "eval": {"HumanEval/0": attempts, "HumanEval/1": attempts[:1]},
    }
    evals = ek.load(write(tmp_path / "model_eval_results.json", report))
    base = texts(evals.scores).filter(criterion="base").select("case", "epoch", "score").rows()
    assert base == [("HumanEval/0", 1, 1.0), ("HumanEval/0", 2, 0.0), ("HumanEval/1", 1, 1.0)]
    assert evals.scores.filter(criterion="plus")["score"].to_list() == [0.0, 0.0, 0.0]
    assert evals.trials["output"][0] == "def f(): ..."


def test_human_eval_lines(tmp_path: Path) -> None:
    rows = [{"task_id": f"H/{i}", "completion": "x", "result": "passed", "passed": i > 0} for i in range(4)]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    evals = ek.load(tmp_path / "samples.jsonl")
    assert evals.scores["score"].to_list() == [0, 1, 1, 1]


def test_bfcl_totals_are_refused(tmp_path: Path) -> None:
    rows = [{"accuracy": 0.9, "correct_count": 9, "total_count": 10}, {"id": "x", "valid": False}]
    (tmp_path / "BFCL_score.json").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(FormatError, match="9 of 10"):
        ek.load(tmp_path / "BFCL_score.json")


# DeepEval


def test_deepeval_cache(tmp_path: Path) -> None:
    case = json.dumps({"input": "q", "actual_output": "a", "expected_output": "e"})
    metric = {"name": "Faithfulness", "score": 0.8, "success": True, "threshold": 0.5, "reason": "ok"}
    other = {"name": "Bias", "score": 0.9, "success": False, "reason": "biased", "evaluationModel": "gpt"}
    cache = {
        "test_cases_lookup_map": {
            case: {"cached_metrics_data": [{"metric_data": metric}, {"metric_data": other}]}
        }
    }
    evals = ek.load(write(tmp_path / ".deepeval-cache.json", cache))
    scores = {row[0]: row[1:] for row in texts(evals.scores).select("criterion", "score", "rationale").rows()}
    assert scores == {"Faithfulness": (1.0, "ok"), "Bias": (0.0, "biased")}
    assert evals.cases["ideal_behavior"].to_list() == ["e"]
    assert evals.trials["output"].to_list() == ["a"]


def test_a_link_to_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="server"):
        ek.load(write(tmp_path / "r.json", {"testRunLink": "https://app.example/x"}))


# Other tools' JSON, read by the guess


def test_pydantic_evals_report(tmp_path: Path) -> None:
    cases = [
        {
            "name": f"case {i}",
            "inputs": f"q{i}",
            "output": "a",
            "expected_output": "e",
            "scores": {"accuracy": {"value": i / 4, "reason": "because"}},
            "assertions": {"is_polite": {"value": i > 1, "reason": "polite"}},
        }
        for i in range(5)
    ]
    evals = ek.load(write(tmp_path / "report.json", {"name": "x", "cases": cases}))
    means = dict(
        evals.scores.group_by(pl.col("criterion").cast(pl.String)).agg(pl.col("score").mean()).rows()
    )
    assert means == {"accuracy": 0.5, "is_polite": 0.6}
    assert set(evals.scores.filter(criterion="accuracy")["rationale"]) == {"because"}


def test_opik_items(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"i{i}",
            "input": f"q{i}",
            "output": "a",
            "feedback_scores": [
                {"name": "relevance", "value": i / 4, "reason": "r"},
                {"name": "hallucination", "value": 0.0, "reason": "n"},
            ],
        }
        for i in range(5)
    ]
    (tmp_path / "opik.jsonl").write_text("\n".join(map(json.dumps, rows)))
    evals = ek.load(tmp_path / "opik.jsonl")
    means = dict(
        evals.scores.group_by(pl.col("criterion").cast(pl.String)).agg(pl.col("score").mean()).rows()
    )
    assert means == {"relevance": 0.5, "hallucination": 0.0}
    ways = dict(texts(evals.criteria).select("criterion", pl.col("direction").cast(pl.String)).rows())
    assert ways == {"relevance": None, "hallucination": "lower"}


# TruLens


def test_trulens_feedback_tables(tmp_path: Path) -> None:
    path = tmp_path / "default.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("create table trulens_apps (app_id text, app_name text, app_version text)")
        base.execute("create table trulens_records (record_id text, app_id text, input text, output text)")
        base.execute(
            "create table trulens_feedbacks (record_id text, name text, result real, status text, error text)"
        )
        base.execute("insert into trulens_apps values ('a', 'rag', 'v1')")
        base.executemany(
            "insert into trulens_records values (?, 'a', ?, ?)", [("r1", "q1", "a1"), ("r2", "q2", "a2")]
        )
        base.executemany(
            "insert into trulens_feedbacks values (?, 'Groundedness', ?, ?, ?)",
            [("r1", 0.5, "done", None), ("r2", None, "failed", "rate limit")],
        )
    base.close()
    evals = ek.load(path)
    assert evals.runs["run"].to_list() == ["rag-v1"]
    assert texts(evals.scores).select("case", "score", "error").rows() == [
        ("r1", 0.5, None),
        ("r2", None, "rate limit"),
    ]
    assert evals.trials["output"].to_list() == ["a1", "a2"]
    assert evals.criteria["scale_max"].to_list() == [1.0]


def test_trulens_events(tmp_path: Path) -> None:
    path = tmp_path / "otel.sqlite"
    key = "ai.observability."
    common = {f"{key}record_id": "r1", f"{key}app_name": "rag", f"{key}app_version": "v2"}
    events = [
        {
            **common,
            f"{key}span_type": "record_root",
            f"{key}record_root.input": "q",
            f"{key}record_root.output": "a",
        },
        {
            **common,
            f"{key}span_type": "eval_root",
            f"{key}eval_root.metric_name": "Toxicity",
            f"{key}eval_root.score": 0.25,
            f"{key}eval_root.higher_is_better": False,
        },
    ]
    with sqlite3.connect(path) as base:
        base.execute("create table trulens_events (record_attributes text, start_timestamp text)")
        base.executemany(
            "insert into trulens_events values (?, ?)",
            [(json.dumps(e), str(n)) for n, e in enumerate(events)],
        )
    base.close()
    evals = ek.load(path)
    assert texts(evals.scores).select("run", "case", "score").rows() == [("rag-v2", "r1", 0.25)]
    assert evals.criteria["direction"].to_list() == ["lower"]


def test_another_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as base:
        base.execute("create table customers (id text)")
    base.close()
    with pytest.raises(FormatError, match="customers"):
        ek.load(path)


# Preferences


def test_alpaca_eval_preferences_are_win_rates(tmp_path: Path) -> None:
    rows = [
        {
            "instruction": f"Do {i}.",
            "output_1": "x",
            "generator_1": "base",
            "output_2": "y",
            "generator_2": "new",
            "annotator": "gpt4",
            "preference": preference,
        }
        for i, preference in enumerate((2, 2, 1, 1.5, None))
    ]
    evals = ek.load(write(tmp_path / "annotations.json", rows))
    new = evals.scores.filter(run="new")
    assert new["score"].to_list() == [1, 1, 0, 0.5, None]
    assert new["score"].mean() == 0.625
    assert evals.scores.filter(run="base")["score"].mean() == 0.375
    assert set(texts(evals.trials).filter(run="new")["output"]) == {"y"}
    assert evals.cases.height == 5


def test_arena_battles(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    rows = [
        {
            "question_id": f"q{i}",
            "model_a": "a",
            "model_b": "b",
            "winner": winner,
            "judge": "person",
            "conversation_a": talk,
            "conversation_b": talk,
        }
        for i, winner in enumerate(("model_a", "model_b", "tie", "tie (bothbad)", "nonsense"))
    ]
    (tmp_path / "battles.jsonl").write_text("\n".join(map(json.dumps, rows)))
    evals = ek.load(tmp_path / "battles.jsonl")
    assert evals.scores.filter(run="a")["score"].to_list() == [1, 0, 0.5, 0.5, None]
    assert evals.turns.filter(run="b", case="q0")["content"].to_list() == ["Hi", "Hello"]


# More layouts of tables, by names


def load_lines(path: Path, rows: list[Any]) -> ek.Evals:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return ek.load(path)


def means(evals: ek.Evals) -> dict[str, float]:
    rows = (
        evals.scores.group_by(pl.col("criterion").cast(pl.String)).agg(pl.col("score").mean().round(4)).rows()
    )
    return dict(rows)


def test_promptflow(tmp_path: Path) -> None:
    key = "outputs.groundedness.gpt_groundedness"
    rows = [
        {"inputs.question": f"q{i}", "inputs.answer": "a", key: s, f"{key}_reason": "r", "line_number": i}
        for i, s in enumerate((5, 4, 1, 3, 5))
    ]
    evals = load_lines(tmp_path / "pf.jsonl", rows)
    assert means(evals) == {"groundedness": 3.6}
    assert evals.criteria.select("scale_min", "scale_max").row(0) == (1, 5)


def test_lighteval_details(tmp_path: Path) -> None:
    rows = {
        "doc": [{"query": f"q{i}", "choices": ["a", "b"], "id": str(i)} for i in range(6)],
        "model_response": [{"text": ["a"], "input": "the whole prompt"}] * 6,
        "metric": [{"acc": float(i % 2), "f1": 0.5} for i in range(6)],
    }
    pl.DataFrame(rows).write_parquet(tmp_path / "details.parquet")
    evals = ek.load(tmp_path / "details.parquet")
    assert means(evals) == {"acc": 0.5, "f1": 0.5}
    assert evals.cases["input"].to_list()[0] == "q0"


def test_weave_calls(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"c{i}",
            "op_name": "predict_and_score",
            "inputs": {"example": {"question": f"q{i}"}},
            "output": {
                "output": "x",
                "scores": {"correct": i % 2 == 0, "helpful": {"score": i / 5, "reason": "ok"}},
            },
        }
        for i in range(6)
    ]
    assert means(load_lines(tmp_path / "weave.jsonl", rows)) == {"correct": 0.5, "helpful": 0.5}


def test_azure_safety_scores(tmp_path: Path) -> None:
    rows = [
        {
            "inputs.query": f"q{i}",
            "outputs.violence.violence": "Very low",
            "outputs.violence.violence_score": i % 3,
            "outputs.violence.violence_defect_rate": 0.0,
        }
        for i in range(5)
    ]
    evals = ek.load(write(tmp_path / "r.json", {"rows": rows, "metrics": {"violence.defect_rate": 0.0}}))
    assert means(evals) == {"violence": 0.8}
    assert evals.criteria.select("scale_max", pl.col("direction").cast(pl.String)).row(0) == (7, "lower")


def test_a_german_table_of_words(tmp_path: Path) -> None:
    text = "Fall;Frage;Antwort;Bewertung\n1;a;x;bestanden\n2;b;y;nicht bestanden\n3;c;z;bestanden\n"
    (tmp_path / "t.csv").write_text(text)
    evals = ek.load(tmp_path / "t.csv")
    assert means(evals) == {"Bewertung": 0.6667}


def test_a_named_scale_keeps_the_zeros_of_mt_bench(tmp_path: Path) -> None:
    rows = [
        {
            "question_id": i,
            "model": "m",
            "judge": ["gpt-4", "single-v1"],
            "judgment": f"[[{s}]]",
            "score": s,
            "turn": 1,
            "user_prompt": "x",
            "tstamp": 1.0,
        }
        for i, s in enumerate((0, 8))
    ]
    path = tmp_path / "gpt-4_single.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert ek.load(path).scores["score"].to_list() == [None, 8.0]
    assert ek.load(path, mapping={"scale": {"turn 1": [0, 10]}}).scores["score"].to_list() == [0.0, 8.0]
