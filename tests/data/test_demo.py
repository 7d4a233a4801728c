"""The demo: its planted truths come out, its texts fit its scores, and it is the same every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from evalkit.compare.compare import compare
from evalkit.data import demo
from evalkit.data import folder as native
from evalkit.data.suite import Suite
from evalkit.grading.grade import grade

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "data/demo"
FILES = ("scores.jsonl", "suite.yaml", "transcripts.jsonl")


@pytest.fixture(scope="module")
def evals():
    return demo.make()


def by_plan(evals):
    """Return each version's and case's passes and fails."""
    graded = grade(evals).with_columns(pl.col("agent_version", "case").cast(pl.String))
    return graded.group_by("agent_version", "case").agg(
        passed=(pl.col("verdict") == "pass").sum(), scored=(pl.col("verdict") != "unscored").sum()
    )


# The planted truths


@pytest.mark.parametrize("seed", [demo.SEED, 1, 2])
def test_v2_improves_on_v1_and_nothing_gets_worse(seed):
    truth = demo.TRUTHS["v1_to_v2"]

    change = compare(demo.make(seed=seed), baseline="v1", candidate="v2")

    assert change.verdict == truth["verdict"] == "improved"
    assert sorted(change.flips.filter(kind="improvement")["case"]) == truth["improvements"]
    assert change.flips.filter(kind="regression").is_empty()
    assert change.cases.filter(pl.col("candidate_rate") < pl.col("baseline_rate")).is_empty()
    assert len(truth["improvements"]) >= 5


@pytest.mark.parametrize("seed", [demo.SEED, 1, 2])
def test_v3_loses_case_02_and_nothing_else_so_that_the_verdict_is_inconclusive(seed):
    truth = demo.TRUTHS["v2_to_v3"]

    change = compare(demo.make(seed=seed), baseline="v2", candidate="v3")

    assert change.verdict == truth["verdict"] == "inconclusive"
    flip = change.flips.row(0, named=True)
    assert change.flips["case"].to_list() == truth["regressions"] == ["02"]
    assert (flip["severity"], flip["kind"]) == (truth["case_02"]["severity"], "regression")
    assert (flip["baseline_passes"], flip["candidate_passes"]) == (6, 0)
    assert (flip["baseline_trials"], flip["candidate_trials"]) == (6, 6)
    worse = change.cases.filter(pl.col("candidate_rate") < pl.col("baseline_rate"))
    assert worse["case"].to_list() == ["02"]


def test_one_model_is_weaker_on_one_criterion_and_on_no_other(evals):
    truth = demo.TRUTHS["weaker"]

    change = compare(evals, baseline=truth["than"], candidate=truth["model"], by="criterion")

    means = change.summary.filter(pl.col("metric") == "mean_score", pl.col("scope") != "overall")
    weaker = means.filter(pl.col("verdict") == "regressed")
    low, high = truth["by"]
    assert weaker["scope"].to_list() == [truth["criterion"]]
    assert low <= -weaker["difference"].item() <= high
    assert means.filter(pl.col("scope") != truth["criterion"])["difference"].abs().max() < 0.2


def test_what_passes_is_exactly_what_was_planned(evals):
    passed = {(v, c): p for v, c, p in by_plan(evals).select("agent_version", "case", "passed").rows()}

    planned = {(v, c): sum(passes) for v, plan in demo.PLAN.items() for c, passes in plan.items()}
    planned["v2", "09"] -= 1
    assert passed == planned


def test_one_trial_crashed_and_one_judgement_could_not_be_read(evals):
    crashed = evals.trials.filter(pl.col("error").is_not_null())
    unread = evals.scores.filter(pl.col("score").is_null())
    names = ["run", "case", "epoch"]

    assert crashed.select(names).row(0, named=True) == demo.TRUTHS["crashed"]
    assert crashed["output"].to_list() == [None]
    assert evals.scores.filter(run=demo.CRASHED[0], case=demo.CRASHED[1], epoch=demo.CRASHED[2]).is_empty()
    assert unread.select(*names, "criterion").row(0, named=True) == demo.TRUTHS["unreadable"]
    assert unread["error"].item()
    assert (crashed.height, unread.height) == (1, 1)
    assert by_plan(evals).select(pl.col("scored").sum()).item() == 160


def test_there_is_as_much_of_everything_as_was_promised(evals):
    judged = evals.scores.filter(pl.col("grader_kind") == "judge")
    people = evals.scores.filter(pl.col("grader_kind") == "human")
    answers = people.group_by("grader", "run", "case", "epoch").len().group_by("grader").len()

    assert {name: getattr(evals, name).height for name in demo.TRUTHS["rows"]} == demo.TRUTHS["rows"]
    assert evals.runs["started_at"].is_sorted()
    assert set(judged["score"].drop_nulls()) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert set(judged.filter(pl.col("sample") == 3)["case"].cast(pl.String)) == {"02", "05", "08"}
    assert dict(answers.sort("grader").with_columns(pl.col("grader").cast(pl.String)).rows()) == {
        "reviewer-1": 36,
        "reviewer-2": 9,
    }


# The texts


def test_every_quotation_stands_in_the_answer_it_is_about(evals):
    outputs = {row[:3]: row[3] for row in evals.trials.select("run", "case", "epoch", "output").rows()}
    quoted = evals.scores.filter(pl.col("evidence").is_not_null())

    missing = [
        row
        for row in quoted.select("run", "case", "epoch", "evidence").rows()
        if row[3] not in outputs[row[:3]]
    ]

    assert quoted.height > 600
    assert missing == []


def test_an_answer_to_case_02_that_passes_maps_by_custom_id_and_one_that_fails_by_order(evals):
    verdicts = {row[:3]: row[3] for row in grade(evals).select("run", "case", "epoch", "verdict").rows()}
    calls = (
        evals.turns.filter(pl.col("case") == "02", pl.col("tool_calls").is_not_null())
        .group_by("run", "case", "epoch")
        .agg(pl.col("tool_calls").str.join("\n"))
    )

    for run, case, epoch, text in calls.rows():
        by_order = "zip(rows, results)" in text
        assert by_order == (verdicts[run, case, epoch] == "fail"), (run, epoch)
        assert ("custom_id" in text) != by_order
    assert calls.height == 18


def test_a_transcript_is_a_conversation_with_tools(evals):
    turns = evals.turns.sort("run", "case", "epoch", "turn")
    for trial in turns.partition_by("run", "case", "epoch"):
        roles = trial["role"].to_list()
        asked = [c["id"] for calls in trial["tool_calls"].drop_nulls() for c in json.loads(calls)]
        answered = trial["tool_call_id"].drop_nulls().to_list()

        assert roles[:2] == ["system", "user"]
        assert len(roles) >= 5
        assert asked[: len(answered)] == answered
        assert trial["turn"].to_list() == list(range(1, len(roles) + 1))


def test_no_mark_of_the_templates_is_left(evals):
    texts = pl.concat(
        [evals.turns["content"], evals.turns["tool_calls"], evals.trials["output"]]
    ).drop_nulls()

    assert not texts.str.contains(r"<(batch|file|out|err)>").any()


def test_a_judgement_carries_the_hash_of_the_rubric_it_was_made_by(evals):
    suite = Suite.read(demo.suite_path())

    hashes = evals.scores.select("case", "criterion", "rubric_hash").unique()

    assert hashes.height == 27
    assert all(suite.rubric_hash(case, criterion) == found for case, criterion, found in hashes.rows())


# The files


def test_it_says_everywhere_that_it_is_made_up(evals):
    assert "made up" in demo.NOTICE
    assert [str(note) for note in evals.notes] == [demo.NOTICE]
    assert evals.made_up
    assert evals.runs["made_up"].all()
    assert all(json.loads(config)["made_up"] for config in evals.runs["config"])
    assert evals.turns.filter(role="system")["content"].str.contains("Made-up").all()
    assert (SHIPPED / "suite.yaml").read_text(encoding="utf-8").startswith("# DEMO. ")
    assert "synthetic" in (ROOT / "data/README.md").read_text(encoding="utf-8")


def test_the_same_seed_writes_the_same_bytes_in_another_process(tmp_path):
    code = [sys.executable, "-W", "error", "-m", "evalkit.data.demo", str(tmp_path / "a")]
    subprocess.run(code, check=True, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True)

    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (SHIPPED / name).read_bytes(), name
    assert sorted(path.name for path in SHIPPED.iterdir()) == list(FILES)


def test_writing_over_it_changes_nothing(tmp_path):
    demo.write(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}

    demo.write(tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_another_seed_gives_other_scores(evals):
    assert not demo.make(seed=1).scores.equals(evals.scores)


def test_what_is_shipped_is_read_back_as_it_was_made(evals):
    read = native.read(SHIPPED)

    assert read.problems.is_empty()
    for name in ("cases", "criteria", "runs", "trials", "turns", "scores"):
        made, back = (getattr(each, name).drop("source", "line", strict=False) for each in (evals, read))
        assert _plain(back).equals(_plain(made)), name


def _plain(frame):
    """Return the rows in order, JSON columns as what they say."""
    frame = frame.with_columns(pl.col(pl.Categorical).cast(pl.String))
    for name in {"config", "tool_calls"} & set(frame.columns):
        frame = frame.with_columns(
            pl.Series(
                name,
                [json.dumps(json.loads(text)) if text else None for text in frame[name]],
                dtype=pl.String,
            )
        )
    keys = [
        name
        for name in ("run", "case", "epoch", "turn", "criterion", "grader", "sample")
        if name in frame.columns
    ]
    return frame.sort(keys)


def test_it_is_small_enough_to_travel_with_the_package():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 1_500_000


def test_the_suite_beside_it_asks_the_same_as_the_suite_it_was_copied_from():
    assert Suite.read(SHIPPED).model_dump() == Suite.read(demo.suite_path()).model_dump()
