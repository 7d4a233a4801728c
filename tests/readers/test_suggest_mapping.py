"""Tables that people have: what a guess loads, asks about, or refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evalkit as ek
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

QUESTIONS = [f"How do I reset item {i}?" for i in range(12)]
RIGHT = {"case": [f"c{i}" for i in range(12)], "question": QUESTIONS, "answer": ["Like this."] * 12}
ONE_TO_FIVE = [1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 5, 4]


def means(evals: ek.Evals) -> dict[str, float]:
    frame = evals.scores.group_by(pl.col("criterion").cast(pl.String)).agg(pl.col("score").mean().round(4))
    return dict(frame.sort("criterion").rows())


def scales(evals: ek.Evals) -> dict[str, tuple[float, float, str | None]]:
    frame = evals.criteria.select(
        pl.col("criterion").cast(pl.String), "scale_min", "scale_max", pl.col("direction").cast(pl.String)
    )
    return {name: (low, high, way) for name, low, high, way in frame.rows()}


def write_csv(
    path: Path, rows: list[dict[str, Any]], *, encoding: str = "utf-8", separator: str = ","
) -> Path:
    text = pl.DataFrame(rows).write_csv(separator=separator)
    path.write_bytes(text.encode(encoding))
    return path


# The shared cases, each with its right values.


def test_european_csv(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    text = "question;faithfulness;answer_relevancy\nQui est le premier ?;0,50;0,90\nQuelle équipe gagne ?;1,00;0,70\nMOYENNE GENERALE;0,75;0,80\n"
    path.write_bytes(text.encode("cp1252"))
    evals = ek.load(path)
    assert means(evals) == {"answer_relevancy": 0.8, "faithfulness": 0.75}
    assert evals.scores.height == 4
    assert "Quelle équipe gagne ?" in evals.cases["input"].to_list()
    assert {"total_row", "encoding", "decimal"} <= {note.kind for note in evals.notes}


def test_a_total_row_reaches_the_comparison() -> None:
    rows = [(v, f"c{i}", i % 5 + 1) for v in ("v1", "v2") for i in range(10)] + [("", "Average", 3)]
    frame = pl.DataFrame(rows, schema=["version", "case_id", "tone"], orient="row")
    change = ek.compare(ek.load(frame), "v1", "v2")
    assert "W26" in change.warnings["id"].to_list()
    assert change.cases.height == 10


@pytest.mark.parametrize("words", [("Correct", "Incorrect", "Not attempted"), ("pass", "fail", "N/A")])
def test_a_third_word_is_unscored_and_kept(words: tuple[str, str, str], tmp_path: Path) -> None:
    yes, no, other = words
    rows = [{"case_id": i, "version": "v1", "verdict": word} for i, word in enumerate((yes, no, yes, other))]
    evals = ek.load(write_csv(tmp_path / "labels.csv", rows))
    assert means(evals) == {"verdict": 0.6667}
    assert evals.scores["score"].count() == 3
    assert evals.scores["label"].to_list() == [yes, no, yes, other]
    assert evals.problems.is_empty()


def test_an_unknown_word_costs_its_own_score(tmp_path: Path) -> None:
    rows = [
        {"case_id": i, "verdict": word} for i, word in enumerate(["pass"] * 9 + ["fail"] * 9 + ["perhaps"])
    ]
    evals = ek.load(write_csv(tmp_path / "v.csv", rows), mapping={"case": "case_id", "criteria": ["verdict"]})
    assert evals.scores["score"].count() == 18
    assert evals.scores.filter(case="18")["label"].item() == "perhaps"
    assert evals.problems.height == 1


def test_ragas_is_on_its_own_scale(tmp_path: Path) -> None:
    text = "user_input,retrieved_contexts,response,reference,faithfulness,answer_relevancy\nq one,['c'],a,r,1.0,0.9\nq two,['c'],a,r,0.5,0.8\nq three,['c'],a,r,0.0,\n"
    (tmp_path / "ragas.csv").write_text(text)
    evals = ek.load(tmp_path / "ragas.csv")
    assert means(evals) == {"answer_relevancy": 0.85, "faithfulness": 0.5}
    assert scales(evals)["faithfulness"][:2] == (0.0, 1.0)
    assert evals.scores.filter(criterion="answer_relevancy")["score"].count() == 2


@pytest.mark.parametrize(
    "cell", ["['first part', 'second part']", '["first part", "second part"]', ["first part", "second part"]]
)
def test_contexts_stand_beside_the_answer(cell: Any) -> None:
    frame = pl.DataFrame(
        {
            "user_input": ["q1", "q2"],
            "retrieved_contexts": [cell, cell],
            "response": ["a1", "a2"],
            "faithfulness": [0.5, 1.0],
        }
    )
    evals = ek.load(frame)
    turns = (
        evals.turns.filter(pl.col("case") == evals.cases["case"][0])
        .select("role", "content", "tool_name")
        .rows()
    )
    assert turns == [
        ("user", "q1", None),
        ("tool", "first part\n\nsecond part", "retrieved_contexts"),
        ("assistant", "a1", None),
    ]
    assert "second part" in ek.transcript(evals, run="frame", case=str(evals.cases["case"][0]))._repr_html_()


def test_only_the_judgement_is_offered(tmp_path: Path) -> None:
    record = {"temp": 0.01, "line_number": 1, "run_version": 1, "response_time_seconds": 2.5}
    grades = ["win", "lose", "win", "win", "tie"]
    rows = [
        {"question_id": f"q{i}", "question": f"x{i}", "do_search": i > 1, **record, "grade": grade}
        for i, grade in enumerate(grades)
    ]
    path = tmp_path / "grades.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    suggestion = ek.suggest_mapping(path)
    assert suggestion.status == "asks"
    assert list(suggestion.mapping["criteria"]) == ["grade"]
    with pytest.raises(FormatError):
        ek.load(path)
    scores = ek.load(path, mapping=suggestion.mapping).scores
    assert scores["label"].to_list() == grades
    assert scores["score"].to_list() == [1, 0, 1, 1, 0.5]


def test_wrapped_records_load_with_and_without_a_mapping(tmp_path: Path) -> None:
    results = [
        {"name": "t1", "input": "q", "score": 1.0, "passed": True},
        {"name": "t2", "input": "q2", "score": 0.5, "passed": False},
    ]
    path = tmp_path / "evaluation_results.json"
    path.write_text(json.dumps({"summary": {"total": 2, "avg": 0.75}, "results": results}, indent=1))
    assert means(ek.load(path)) == {"score": 0.75}
    both = ek.load(path, mapping={"case": "name", "criteria": ["score", "passed"], "records": "results"})
    assert means(both) == {"passed": 0.5, "score": 0.75}
    assert means(ek.load(path, mapping={"case": "name", "criteria": ["score", "passed"]})) == means(both)
    with pytest.raises(FormatError, match="result.*results"):
        ek.load(path, mapping={"records": "result", "criteria": ["score"], "case": "name"})


def test_azure_evaluate_output(tmp_path: Path) -> None:
    rows = [
        {
            "inputs.query": f"q{i}",
            "outputs.response": "a",
            "outputs.relevance.relevance": score,
            "outputs.relevance.gpt_relevance": score,
            "outputs.relevance.relevance_reason": "because",
            "outputs.relevance.relevance_result": "pass",
            "outputs.relevance.relevance_threshold": 3,
            "line_number": i,
        }
        for i, score in enumerate((4, 2))
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"rows": rows, "metrics": {"relevance.relevance": 3.0}, "studio_url": None}))
    evals = ek.load(path)
    assert means(evals) == {"relevance": 3.0}
    assert scales(evals)["relevance"][:2] == (1.0, 5.0)
    assert evals.scores["rationale"].to_list() == ["because"] * 2


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [
                {"case_id": 1, "version": v, "toxicity_score": s, "bias_score": s}
                for v, s in (("v1", 0.0), ("v2", 0.9))
            ],
            {"toxicity": "lower", "bias": "lower"},
        ),
        (
            [{"case_id": 1, "version": v, "harmful": w} for v, w in (("v1", "no"), ("v2", "yes"))],
            {"harmful": "lower"},
        ),
    ],
)
def test_low_is_good_by_name(rows: list[dict[str, Any]], expected: dict[str, str]) -> None:
    evals = ek.load(pl.DataFrame(rows))
    assert {name: way for name, (_, _, way) in scales(evals).items()} == expected
    change = ek.compare(evals, "v1", "v2")
    assert change.table.filter(scope="overall", metric="pass_rate")["difference"].item() < 0


def test_columns_of_raters_keep_every_judgement() -> None:
    rows = [{"case_id": i, "rater": who, "tone": i % 5 + 1} for who in ("ann", "bob") for i in range(6)]
    evals = ek.load(pl.DataFrame(rows))
    assert evals.scores.height == 12
    assert set(evals.scores["grader_kind"]) == {"human"}


def test_numbers_in_several_notations_are_refused_with_the_notations(tmp_path: Path) -> None:
    rows = [{"case_id": i, "score": text} for i, text in enumerate(("85%", "4/5", " 3 ", "4"))]
    path = write_csv(tmp_path / "n.csv", rows)
    with pytest.raises(FormatError, match="several ways"):
        ek.load(path)
    assert ek.suggest_mapping(path).status == "refuses"


# Layouts of people's own tables


def test_nested_scores_and_reasons(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"c{i % 6}",
            "prompt": f"q{i % 6}",
            "completion": "a",
            "meta": {"release": f"2026-0{1 + i // 6}-01", "model": "m"},
            "scores": {"helpfulness": score, "safety": 5},
            "explanations": {"helpfulness": "fine", "safety": "ok"},
        }
        for i, score in enumerate(ONE_TO_FIVE)
    ]
    path = tmp_path / "app.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    evals = ek.load(path)
    assert evals.runs.height == 2
    assert means(evals) == {"helpfulness": 3.25, "safety": 5.0}
    assert set(evals.scores.filter(criterion="safety")["rationale"]) == {"ok"}
    every = ek.load(
        path,
        mapping={
            "case": "id",
            "agent_version": "meta.release",
            "criteria": {"scores.*": {"scale": [1, 5], "rationale": "explanations.{criterion}"}},
        },
    )
    assert means(every) == means(evals)
    assert set(every.scores.filter(criterion="safety")["rationale"]) == {"ok"}


def test_two_judges_in_columns_share_their_criteria() -> None:
    rows = {
        "ticket_id": [f"T-{i}" for i in range(12)],
        "user_msg": QUESTIONS,
        "bot_reply": ["Sure."] * 12,
        "prio": ["P0", "P1", "P2", "blocker"] * 3,
        "gpt4_tone": ONE_TO_FIVE,
        "gpt4_accuracy": ONE_TO_FIVE,
        "gpt4_comment": ["ok"] * 12,
        "claude_tone": ONE_TO_FIVE[::-1],
        "claude_accuracy": ONE_TO_FIVE,
    }
    evals = ek.load(pl.DataFrame(rows))
    kinds = set(evals.scores.select(pl.col("criterion", "grader").cast(pl.String)).rows())
    assert kinds == {(c, g) for c in ("tone", "accuracy") for g in ("gpt4", "claude")}
    assert set(evals.scores.filter(grader="gpt4")["rationale"]) == {"ok"}
    assert evals.scores.filter(grader="claude")["rationale"].null_count() == 24
    assert evals.cases["severity"].value_counts().sort("severity").rows() == [
        ("medium", 3),
        ("high", 3),
        ("critical", 6),
    ]


def test_three_scales_and_a_percent_sign() -> None:
    rows = {
        **RIGHT,
        "quality_0_10": [0, 10, 6, 4, 3, 8, 9, 2, 1, 5, 7, 10],
        "faithfulness": [i / 12 for i in range(12)],
        "coverage": [f"{50 + i}%" for i in range(12)],
        "cites": ["Y", "N"] * 6,
    }
    evals = (
        ek.load(pl.DataFrame(rows), mapping={"criteria": {"cites": "cites_source"}, "people": None})
        if False
        else ek.load(pl.DataFrame(rows).rename({"cites": "cites_source"}))
    )
    assert {name: scale[:2] for name, scale in scales(evals).items()} == {
        "quality_0_10": (0, 10),
        "faithfulness": (0, 1),
        "coverage": (0, 100),
        "cites_source": (0, 1),
    }
    assert means(evals)["coverage"] == 55.5
    assert ek.summarize(evals, by="run").height == 1


def test_a_dict_by_case_with_attempts(tmp_path: Path) -> None:
    record = {
        "eval": {f"t{i}": [{"prompt": f"q{i}", "output": "x", "passed": i % 2 == 0}] * 2 for i in range(6)},
        "date": "x",
    }
    path = tmp_path / "r.json"
    path.write_text(json.dumps(record))
    evals = ek.load(path)
    assert evals.scores.select("case", "epoch").unique().height == 12
    assert means(evals) == {"passed": 0.5}


def test_answers_without_scores_are_transcripts() -> None:
    evals = ek.load(pl.DataFrame(RIGHT))
    assert evals.scores.is_empty()
    assert evals.trials["output"].to_list() == ["Like this."] * 12


def test_repeats_are_counted() -> None:
    rows = {"id": ["a", "b"] * 6, "question": ["x", "y"] * 6, "answer": "z", "tone": ONE_TO_FIVE}
    evals = ek.load(pl.DataFrame(rows))
    assert evals.scores.height == 12
    assert evals.scores["epoch"].max() == 6


# What must be refused or asked

REFUSED: dict[str, Any] = {
    "leaderboard": {"model": ["a", "b", "c"], "win_rate": [0.5, 0.6, 0.7], "standard_error": [0.1, 0.1, 0.1]},
    "totals": {"metric": ["acc", "f1"], "value": [0.5, 0.6]},
    "arena": {
        "question": ["a", "b"],
        "model_a": ["x", "x"],
        "model_b": ["y", "y"],
        "winner": ["model_a", "tie"],
    },
    "two answers": {
        "question": ["a", "b"],
        "output_1": ["x", "y"],
        "output_2": ["u", "v"],
        "preference": [1, 2],
    },
    "questions": {"question": QUESTIONS, "expected_answer": ["Yes."] * 12},
    "two versions": {**RIGHT, "original_score": ONE_TO_FIVE, "optimized_score": ONE_TO_FIVE},
    "counts": {"task": ["a", "b"], "success_count": [3, 4], "total_attempts": [5, 5]},
    "documentation": {"name": ["f", "g"], "text": ["What f does.", "What g does."]},
    "measurements": {"timestamp": [1, 2, 3], "temperature": [20.5, 21.0, 19.5], "n_tokens": [5, 6, 7]},
    "sales": {"region": ["n", "s", "e"], "year": [2024, 2025, 2026], "count": [12, 30, 25]},
    "many numbers": {f"f{i}_score": [1, 2] for i in range(40)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_evaluation_does_not_load(name: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", pl.DataFrame(REFUSED[name]).to_dicts())
    assert ek.suggest_mapping(path).status == "refuses"
    with pytest.raises(FormatError):
        ek.load(path)


@pytest.mark.parametrize(
    "content",
    [
        {"results": {"acc": 0.5, "f1": 0.6}, "config": {"x": 1}},
        {"a": {"mean": 0.5, "count": 3}, "b": {"mean": 0.6, "count": 3}},
        {"version": "1.0", "settings": {"temperature": 0.0}},
        {"pagination": {f"List{i}": {"result_key": "Items", "limit_key": "Max"} for i in range(12)}},
        {"waiters": {f"Done{i}": {"delay": 15 * (i % 3 + 1), "operation": "Get"} for i in range(12)}},
        {"partitions": [{"id": f"p{i}", "outputs": {"supportsFIPS": i > 1, "name": "x"}} for i in range(4)]},
        {"entries": [{"name": f"n{i}", "is_valid": i > 1, "self_link": "http://x"} for i in range(4)]},
        {
            "examples": [
                {"id": f"e{i}", "comments": {"input": f"The ID {i}.", "output": "Its state."}}
                for i in range(4)
            ]
        },
        [{"input": f"0x{i:08x}", "output": f"0x{i * 7:08x}", "ulperr": 2} for i in range(12)],
        {"results": []},
    ],
)
def test_json_of_settings_and_totals_is_refused(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(content, indent=1))
    assert ek.suggest_mapping(path).status in ("refuses", "asks")
    with pytest.raises(FormatError):
        ek.load(path)


def test_other_json_of_a_folder_is_skipped(tmp_path: Path) -> None:
    write_csv(tmp_path / "s.csv", pl.DataFrame({**RIGHT, "tone": ONE_TO_FIVE}).to_dicts())
    (tmp_path / "config.json").write_text(
        json.dumps({"model": "x", "settings": {"temperature": 0.0}}, indent=1)
    )
    evals = ek.load(tmp_path)
    assert means(evals) == {"tone": 3.25}
    assert any("config.json" in str(note) for note in evals.notes)


def test_an_unsure_scale_is_asked(tmp_path: Path) -> None:
    frame = pl.DataFrame({**RIGHT, "rating": [1, 9, 5] * 4})
    suggestion = ek.suggest_mapping(frame)
    assert suggestion.status == "asks"
    assert ek.load(frame, mapping=suggestion.mapping).criteria["scale_max"].item() == 10


def test_a_guess_may_be_forbidden() -> None:
    frame = pl.DataFrame({**RIGHT, "tone": ONE_TO_FIVE})
    with pytest.raises(FormatError, match="guessing is off"):
        ek.load(frame, guess=False)
    mapping = ek.suggest_mapping(frame).mapping
    assert ek.load(frame, mapping=mapping, guess=False).scores.height == 12


def test_the_saved_suggestion_is_found_beside_the_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "in" / "t.csv", []) if False else tmp_path / "t.csv"
    write_csv(path, pl.DataFrame({**RIGHT, "toxicity": [i / 11 for i in range(12)]}).to_dicts())
    first = ek.load(path)
    saved = ek.suggest_mapping(path).save(tmp_path / "evalkit.yaml")
    assert "case: case" in saved.read_text()
    assert ek.load(path, guess=False).scores.equals(first.scores)
    assert ek.suggest_mapping(path).mapping == ek.suggest_mapping(path).mapping


def test_a_word_without_a_score_stays_so_in_the_saved_mapping(tmp_path: Path) -> None:
    words = ["Yes", "No", "on", "Yes", "No", "maybe"]
    frame = pl.DataFrame(
        {"id": list("abcdef"), "question": list("abcdef"), "answer": list("uvwxyz"), "correct": words}
    )
    frame.write_csv(tmp_path / "t.csv")
    suggestion = ek.suggest_mapping(tmp_path / "t.csv")
    assert suggestion.status == "asks"
    suggestion.save(tmp_path / "evalkit.yaml")
    evals = ek.load(tmp_path / "t.csv")
    assert evals.scores["score"].to_list() == [1, 0, None, 1, 0, None]
    assert evals.scores["label"].to_list() == words
    assert evals.problems.is_empty()


# Loud when it matters


def test_more_than_a_fifth_lost_is_an_error_with_the_words(tmp_path: Path) -> None:
    rows = [{"case_id": i, "tone": "4" if i % 3 else "wonderful"} for i in range(30)]
    path = write_csv(tmp_path / "t.csv", rows)
    mapping = {"case": "case_id", "criteria": ["tone"], "scale": [1, 5]}
    with pytest.raises(FormatError, match="10 judgements of 30.*wonderful"):
        ek.load(path, mapping=mapping)
    evals = ek.load(path, mapping=mapping, strict=False)
    assert evals.scores["score"].count() == 20
    assert evals.problems.height == 1
    words = {"case": "case_id", "criteria": {"tone": {"scale": [1, 5], "values": {"wonderful": 5}}}}
    assert ek.load(path, mapping=words).scores["score"].count() == 30


# Any mapping that is right is right when guessed: generated tables.

NAMES = st.sampled_from(["tone", "helpfulness", "accuracy", "clarity", "correctness"])


@st.composite
def tables(draw: st.DrawFn) -> tuple[pl.DataFrame, dict[str, list[float | None]]]:
    n = draw(st.integers(8, 20))
    criteria = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    frame: dict[str, Any] = {"id": [f"c{i}" for i in range(n)], "question": [f"q {i}?" for i in range(n)]}
    right: dict[str, list[float | None]] = {}
    for name in criteria:
        kind = draw(st.sampled_from(["likert", "words", "share", "percent"]))
        if kind == "likert":
            values = [5, 4, 3, *draw(st.lists(st.integers(1, 5), min_size=n - 3, max_size=n - 3))]
            frame[name], right[name] = values, [float(v) for v in values]
        elif kind == "words":
            values = [
                "yes",
                "no",
                *draw(st.lists(st.sampled_from(["yes", "no", "N/A"]), min_size=n - 2, max_size=n - 2)),
            ]
            frame[name] = values
            right[name] = [{"yes": 1.0, "no": 0.0, "N/A": None}[v] for v in values]
        elif kind == "share":
            values = [
                0.25,
                *draw(st.lists(st.integers(0, 100).map(lambda v: v / 100), min_size=n - 1, max_size=n - 1)),
            ]
            frame[name], right[name] = values, values
        else:
            values = [60, *draw(st.lists(st.integers(0, 100), min_size=n - 1, max_size=n - 1))]
            frame[name], right[name] = [f"{v}%" for v in values], [float(v) for v in values]
    if draw(st.booleans()):
        frame["latency_ms"] = list(range(n))
    order = draw(st.permutations(list(frame)))
    return pl.DataFrame({name: frame[name] for name in order}), right


@settings(max_examples=60, deadline=None)
@given(tables())
def test_a_guess_that_loads_gives_the_right_numbers(
    table: tuple[pl.DataFrame, dict[str, list[float | None]]],
) -> None:
    frame, right = table
    suggestion = ek.suggest_mapping(frame)
    evals = ek.load(frame, mapping=suggestion.mapping)
    for name, values in right.items():
        assert evals.scores.filter(criterion=name)["score"].to_list() == pytest.approx(values)
    assert set(evals.scores["criterion"].cast(pl.String)) == set(right)
    if suggestion.status == "loads":
        assert ek.load(frame).scores.equals(evals.scores)


@settings(max_examples=30, deadline=None)
@given(tables(), st.integers(0, 9))
def test_fewer_cases_never_give_other_numbers(
    table: tuple[pl.DataFrame, dict[str, list[float | None]]], drop: int
) -> None:
    frame, right = table
    part = frame.filter(pl.int_range(pl.len()) % 10 != drop)
    try:
        scores = ek.load(part).scores
    except FormatError:
        return
    kept = [i for i in range(frame.height) if i % 10 != drop]
    for name, values in right.items():
        assert scores.filter(criterion=name)["score"].to_list() == pytest.approx([values[i] for i in kept])


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12),
        st.lists(st.one_of(st.none(), st.text(max_size=8), st.integers(-5, 200)), min_size=3, max_size=3).map(
            lambda cells: [None if cell is None else str(cell) for cell in cells]
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_table_is_suggested_for_without_a_crash(columns: dict[str, list[str | None]]) -> None:
    suggestion = ek.suggest_mapping(pl.DataFrame(columns))
    assert suggestion.status in ("loads", "asks", "refuses")
    assert str(suggestion)
