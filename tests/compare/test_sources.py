"""What sources contradict each other in reaches the comparison: W23 to W26, names that look alike."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import evalkit as ek
from evalkit.util.errors import SelectorError

if TYPE_CHECKING:
    from pathlib import Path

RULE = ek.PassRule(scale=(1, 5))
MAPPING = {"case": "id", "criteria": ["tone"], "scale": [1, 5]}


def write_version(path: Path, questions: list[str], scores: list[int]) -> None:
    rows = [f"{i},{q},{s}" for i, (q, s) in enumerate(zip(questions, scores, strict=True))]
    path.write_text("\n".join(["id,question,tone", *rows]) + "\n", encoding="utf-8")


def ids(change: Any) -> list[str]:
    return change.warnings["id"].to_list()


@pytest.fixture
def shifted(tmp_path: Path) -> ek.Evals:
    """Six of ten cases have the same question on both sides."""
    questions = [f"question {i}" for i in range(10)]
    write_version(tmp_path / "v1.csv", questions, [5] * 10)
    write_version(tmp_path / "v2.csv", [*questions[:6], *(f"other {i}" for i in range(4))], [5] * 6 + [1] * 4)
    return ek.load(tmp_path / "v1.csv", tmp_path / "v2.csv", mapping=MAPPING)


def test_cases_with_another_input_are_left_out(shifted: ek.Evals) -> None:
    change = ek.compare(shifted, "v1", "v2")
    assert change.cases.height == 6
    assert change.flips.is_empty()
    assert ids(change).count("W23") == 1
    assert ek.compare_many(shifted, "v1").changes["v2"].cases.height == 6


def test_pairing_by_id_is_asked_for(shifted: ek.Evals) -> None:
    change = ek.compare(shifted.pair_by_id(), "v1", "v2")
    assert change.cases.height == 10
    assert change.flips.height == 4
    assert "W23" not in ids(change)


def test_two_versions_that_share_the_other_input_are_compared(tmp_path: Path) -> None:
    texts = {"v1": "old", "v2": "new", "v3": "new"}
    for version, text in texts.items():
        write_version(tmp_path / f"{version}.csv", [f"{text} {i}" for i in range(8)], [4] * 8)
    evals = ek.load(*(tmp_path / f"{version}.csv" for version in texts), mapping=MAPPING)
    assert ek.compare(evals, "v2", "v3").cases.height == 8
    with pytest.raises(SelectorError, match="8 shared cases"):
        ek.compare(evals, "v1", "v2")


def test_spacing_and_unicode_form_are_no_difference(tmp_path: Path) -> None:
    write_version(tmp_path / "v1.csv", ["caf\u00e9  au lait"] * 3, [4] * 3)
    write_version(tmp_path / "v2.csv", ["cafe\u0301 au lait "] * 3, [4] * 3)
    evals = ek.load(tmp_path / "v1.csv", tmp_path / "v2.csv", mapping=MAPPING)
    assert ek.compare(evals, "v1", "v2").cases.height == 3


def test_versions_in_one_table_with_other_inputs() -> None:
    rows = [(v, str(i), f"q{'x' if v == 'v2' and i == 2 else i}", 4) for v in ("v1", "v2") for i in range(4)]
    frame = pl.DataFrame(rows, schema=["version", "id", "question", "tone"], orient="row")
    change = ek.compare(ek.load(frame, mapping=MAPPING), "v1", "v2")
    assert change.cases["case"].cast(pl.String).to_list() == ["0", "1", "3"]
    assert "W23" in ids(change)


def test_judges_of_other_answers_are_no_pair() -> None:
    rows = [
        {"run": v, "case": str(i), "output": f"{v}{i}{grader if i < 2 else ''}", "grader": grader, "tone": 4}
        for v in ("v1", "v2")
        for i in range(5)
        for grader in ("a", "b")
    ]
    evals = ek.load(pl.DataFrame(rows), mapping={"criteria": ["tone"], "scale": [1, 5]})
    change = ek.compare(evals, "v1", "v2", grader="a")
    assert change.cases.height == 3
    assert "W23" in ids(change)


def test_a_saved_folder_keeps_conflicts(shifted: ek.Evals, tmp_path: Path) -> None:
    again = ek.load(shifted.save(tmp_path / "saved"))
    assert again.notes == shifted.notes
    assert ek.compare(again, "v1", "v2").cases.height == 6


# Copies


def inspect_log(
    path: Path, version: str, values: list[str], *, n: int, created: str, scorer: str = "match"
) -> None:
    samples = [
        {
            "id": i,
            "epoch": 1,
            "uuid": f"u-{version}-{i}",
            "input": f"q {i}",
            "target": "x",
            "messages": [{"role": "user", "content": f"q {i}"}],
            "scores": {scorer: {"value": values[i]}},
        }
        for i in range(n)
    ]
    spec = {"task": "t", "model": "m/x", "eval_id": path.stem * 4, "metadata": {"agent_version": version}}
    log = {"version": 2, "status": "success", "eval": {**spec, "created": created}, "samples": samples}
    path.write_text(json.dumps(log), encoding="utf-8")


def test_a_retried_log_counts_once(tmp_path: Path) -> None:
    rng = random.Random(1)
    for version in ("v1", "v2"):
        values = [rng.choice("CI") for _ in range(12)]
        inspect_log(tmp_path / f"{version}a.json", version, values, n=10, created="2026-01-01T00:00:00+00:00")
        inspect_log(tmp_path / f"{version}b.json", version, values, n=12, created="2026-01-02T00:00:00+00:00")
    evals = ek.load(tmp_path)
    final = ek.load(tmp_path / "v1b.json", tmp_path / "v2b.json")
    assert evals.trials.height == evals.scores.height == 24
    assert evals.runs.height == 2
    change = ek.compare(evals, "v1", "v2")
    assert change.table.drop("seed").equals(ek.compare(final, "v1", "v2").table.drop("seed"))
    assert set(ids(change)) - set(ids(ek.compare(final, "v1", "v2"))) == {"W24"}


def test_a_copy_gives_its_other_scores_to_the_newer(tmp_path: Path) -> None:
    inspect_log(tmp_path / "a.json", "v1", ["C"] * 3, n=3, created="2026-01-02T00:00:00+00:00", scorer="new")
    inspect_log(tmp_path / "b.json", "v1", ["I"] * 3, n=3, created="2026-01-01T00:00:00+00:00", scorer="old")
    evals = ek.load(tmp_path)
    assert evals.trials.height == 3
    assert evals.scores.group_by(pl.col("criterion").cast(pl.String)).len().sort("criterion").rows() == [
        ("new", 3),
        ("old", 3),
    ]
    assert evals.runs.height == 1


def test_equal_outcomes_without_an_id_stay_two_runs() -> None:
    rows = [(run, str(case), "x", 5) for run in ("a", "b") for case in range(3)]
    frame = pl.DataFrame(rows, schema=["run", "case", "criterion", "score"], orient="row")
    assert ek.Evals.concat([ek.Evals.from_tables(scores=frame)]).runs.height == 2


# Partial logs


def test_a_partial_log_says_both_numbers(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        inspect_log(
            tmp_path / f"{version}.json", version, ["C", "I", "I"], n=3, created="2026-01-01T00:00:00Z"
        )
    log = json.loads((tmp_path / "v2.json").read_text(encoding="utf-8"))
    metric = {"name": "match", "scorer": "match", "metrics": {"accuracy": {"value": 0.61}}}
    log["results"] = {"total_samples": 790, "completed_samples": 790, "scores": [metric]}
    (tmp_path / "v2.json").write_text(json.dumps(log), encoding="utf-8")
    evals = ek.load(tmp_path)
    (note,) = [note for note in evals.notes if note.kind == "partial_log"]
    assert all(part in note.text for part in ("790", "3", "0.61", "0.333"))
    assert "W25" in ids(ek.compare(evals, "v1", "v2"))
    whole = evals.filter(agent_version="v1")
    assert whole.runs.height == 1


# Names that look alike


def test_cases_that_look_alike_are_named_and_can_be_paired() -> None:
    names = {"v1": ["007", "Caf\u00e9", "a b", "9"], "v2": ["7", "cafe\u0301", " A b", "9"]}
    rows = [(v, case, "tone", 4) for v, cases in names.items() for case in cases]
    evals = ek.load(pl.DataFrame(rows, schema=["run", "case", "criterion", "score"], orient="row"))
    change = ek.compare(evals, "v1", "v2", rule=RULE)
    (warning,) = [each for each in change.cautions if each.id == "W07"]
    assert change.cases.height == 1
    assert "U+0030" in warning.text
    assert "normalize_cases" in str(warning.fix)
    assert ek.compare(evals.normalize_cases(), "v1", "v2", rule=RULE).cases.height == 4


def test_raters_of_other_answers_do_not_agree_or_disagree() -> None:
    rows = [
        {"run": "r", "case": str(i), "output": f"{i}{who if i < 3 else ''}", "grader": who, "tone": tone}
        for who, scores in (("ann", [1] * 3 + [4, 5, 3]), ("bob", [5] * 3 + [4, 5, 3]))
        for i, tone in enumerate(scores)
    ]
    mapping = {"criteria": ["tone"], "scale": [1, 5], "grader_kind": {"value": "human"}}
    found = ek.agreement(ek.load(pl.DataFrame(rows), mapping=mapping))
    row = found.summary.filter(scope="tone").row(0, named=True)
    assert (row["n"], row["exact"]) == (3, 1.0)
    assert "W23" in found.warnings["id"].to_list()


def test_a_promptfoo_file_that_was_cut_says_so(tmp_path: Path) -> None:
    result = {
        "provider": {"id": "openai:x"},
        "prompt": {"raw": "p", "label": "p"},
        "testCase": {"vars": {"q": "1"}},
        "success": True,
        "response": {"output": "4"},
        "gradingResult": {"pass": True, "score": 1, "componentResults": []},
    }
    stats = {"successes": 6, "failures": 3, "errors": 1}
    log = {
        "results": {"version": 3, "timestamp": "2026-01-01T00:00:00Z", "results": [result], "stats": stats}
    }
    (tmp_path / "out.json").write_text(json.dumps(log), encoding="utf-8")
    (note,) = [note for note in ek.load(tmp_path / "out.json").notes if note.kind == "partial_log"]
    assert "10 samples" in note.text
    assert "0.600 in the log, 1.000 here" in note.text


def test_lm_eval_samples_that_were_cut_say_so(tmp_path: Path) -> None:
    date = "2026-07-07T10-00-00.000000"
    rows = [
        {"doc_id": i, "doc": {"q": i}, "target": "a", "resps": [["a"]], "filtered_resps": ["a"], "acc": 1.0}
        for i in range(3)
    ]
    text = "\n".join(map(json.dumps, rows))
    (tmp_path / f"samples_task_{date}.jsonl").write_text(text, encoding="utf-8")
    totals = {
        "results": {"task": {"acc,none": 0.5, "acc_stderr,none": 0.1}},
        "n-samples": {"task": {"original": 100, "effective": 100}},
        "config": {},
        "versions": {"task": 1},
    }
    (tmp_path / f"results_{date}.json").write_text(json.dumps(totals), encoding="utf-8")
    (note,) = [note for note in ek.load(tmp_path).notes if note.kind == "partial_log"]
    assert "100 samples" in note.text
    assert "acc: 0.500 in the log, 1.000 here" in note.text
