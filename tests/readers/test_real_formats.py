"""Files that other tools really wrote: each loads with one call, and the figures that its makers published come out."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import evalkit as ek
from evalkit import stats

DATA = Path(__file__).parents[2].parent / "shared" / "data"
VICUNA = DATA / "fastchat_vicuna_bench" / "table"
HELM = sorted((DATA / "lm_eval_and_helm" / "helm").glob("*/"))

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project")


def verdicts(evals, **chosen):
    counts = ek.grade(evals, **chosen)["verdict"].value_counts()
    return dict(counts.cast({"verdict": pl.String}).iter_rows())


def test_promptfoo_its_own_counts_come_out_for_each_prompt_and_provider():
    path = DATA / "promptfoo" / "local_smollm2_2prompts_2temps_repeat2.json"
    written = json.loads(path.read_text())["results"]

    evals = ek.load(path)

    assert evals.problems.is_empty()
    assert verdicts(evals) == {"pass": written["stats"]["successes"], "fail": written["stats"]["failures"]}
    for prompt in written["prompts"]:
        mine = evals.runs.filter(
            model=prompt["provider"],
            config=json.dumps(
                {"provider": "openai:chat:smollm2-135m", "prompt": prompt["label"]}, separators=(",", ":")
            ),
        )["run"]
        graded = ek.grade(evals).filter(pl.col("run").is_in(mine.implode()))
        assert (graded["verdict"] == "pass").sum() == prompt["metrics"]["testPassCount"]
        scores = evals.scores.filter(pl.col("run").is_in(mine.implode()))
        sums = dict(
            scores.group_by("criterion").agg(pl.col("score").sum()).cast({"criterion": pl.String}).rows()
        )
        assert sums == prompt["metrics"]["namedScores"]
        spent = evals.trials.filter(pl.col("run").is_in(mine.implode()))
        usage = prompt["metrics"]["tokenUsage"]
        assert (spent["input_tokens"].sum(), spent["output_tokens"].sum()) == (
            usage["prompt"],
            usage["completion"],
        )
    assert evals.cases.select(pl.col("case").cast(pl.String), "severity", "domain").rows() == [
        ("capital", "high", "geo"),
        ("arithmetic", "critical", "math"),
        ("colour", "low", "common"),
    ]
    assert evals.trials["epoch"].value_counts().sort("epoch").rows() == [(1, 12), (2, 12)]


def test_promptfoo_the_json_and_the_lines_of_one_eval_are_the_same_records():
    evals = ek.load(DATA / "promptfoo")

    assert evals.problems.is_empty()
    assert (evals.runs.height, evals.trials.height, evals.scores.height) == (4, 24, 48)


def test_promptfoo_two_prompts_compare():
    evals = ek.load(DATA / "promptfoo" / "local_smollm2.jsonl")
    first, second = evals.runs["agent_version"].cast(pl.String).unique(maintain_order=True)

    change = ek.compare(evals, baseline=first, candidate=second)

    assert change.unpaired.is_empty()
    assert set(change.summary["n"]) == {3}


def test_lm_eval_the_metric_is_the_published_one_and_cases_are_the_documents_hashes():
    folder = DATA / "lm_eval_and_helm" / "lm_eval"
    published = json.loads(next(folder.glob("results_*.json")).read_text())
    sample = json.loads(next(folder.glob("samples_*")).read_text().split("\n", 1)[0])

    evals = ek.load(folder)

    assert evals.problems.is_empty()
    assert evals.runs.select("suite", "model").rows() == [("math_perturbed_full", published["model_name"])]
    wanted = published["results"]["math_perturbed_full"]["exact_match,none"]
    assert evals.scores["score"].mean() == wanted
    assert evals.cases["case"][0] == sample["doc_hash"][:12]
    assert evals.cases.select("input", "ideal_behavior").row(0) == (
        sample["doc"]["problem"],
        sample["target"],
    )
    assert any("math_rephrased_full" in str(note) for note in evals.notes)


def test_lm_eval_older_samples_without_a_hash_are_the_same_cases(tmp_path):
    path = next((DATA / "lm_eval_and_helm" / "lm_eval").glob("samples_*"))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        del record["doc_hash"]
    older = tmp_path / path.name
    older.write_text("\n".join(map(json.dumps, records)))

    assert ek.load(older).cases["case"].to_list() == ek.load(path).cases["case"].to_list()


@pytest.mark.parametrize("folder", HELM, ids=lambda folder: folder.name.split(",")[0])
def test_helm_the_published_means_come_out_for_each_split(folder):
    published = {
        (stat["name"]["name"], stat["name"]["split"]): stat["mean"]
        for stat in json.loads((folder / "stats.json").read_text())
        if "perturbation" not in stat["name"] and stat["count"]
    }

    evals = ek.load(folder)

    assert evals.problems.is_empty()
    assert evals.trials["output"].null_count() == 0
    tagged = evals.scores.join(
        evals.cases.select("case", pl.col("tags").list.first().alias("split")), on="case", how="left"
    )
    means = tagged.group_by("criterion", "split").agg(pl.col("score").mean())
    assert means.height
    for criterion, split, mean in means.iter_rows():
        assert mean == pytest.approx(published[criterion, split])
    tokens = evals.trials.join(evals.cases.select("case", "tags"), on="case")
    for split in {split for _, split in published}:
        mine = tokens.filter(pl.col("tags").list.contains(split))
        assert mine["input_tokens"].mean() == pytest.approx(published["num_prompt_tokens", split])


@pytest.mark.parametrize("name", ["per_instance_stats", "scenario_state", "run_spec", "scenario", "stats"])
def test_helm_any_file_of_a_run_names_the_run(name):
    assert ek.load(HELM[0] / f"{name}.json").equals(ek.load(HELM[0]))


def test_openai_evals_the_accuracy_is_that_of_the_final_report():
    evals = ek.load(DATA / "openai_evals")

    report = json.loads(evals.runs["config"][0])["final_report"]
    assert evals.problems.is_empty()
    assert ek.summarize(evals)["pass_rate"][0] == pytest.approx(report["accuracy"]) == pytest.approx(1 / 3)
    assert evals.scores.select("case", "score", "answer").sort("case").row(1) == (
        "test-match.s1.1",
        1.0,
        "George Washington",
    )


def test_deepeval_its_own_flags_come_out_and_its_scores_stay():
    path = DATA / "deepeval" / "test_run_sample.json"
    written = json.loads(path.read_text())

    evals = ek.load(path)

    assert verdicts(evals) == {"fail": written["testFailed"]}
    for metric in written["testCases"][0]["metricsData"]:
        row = evals.scores.filter(criterion=metric["name"]).row(0, named=True)
        assert row["score"] == metric["success"]
        assert json.loads(row["metadata"])["score"] == metric["score"]
        assert (row["judge_model"], row["rationale"]) == (metric["evaluationModel"], metric["reason"])


TOTALS = {
    "llama-13b": ("llama-13b:v1", 513, 694),
    "alpaca-13b": ("alpaca-13b:v1", 583, 704),
    "bard": ("bard:20230327", 664, 655.5),
    "gpt35": ("gpt-3.5-turbo:20230327", 693, 638),
}


@pytest.mark.parametrize("name", TOTALS)
def test_fastchat_the_totals_of_the_paper_come_out(name):
    other, theirs, vicunas = TOTALS[name]
    folder = VICUNA / "review" / "vicuna-13b-20230322-clean-lang"

    evals = ek.load(folder / f"review_{name}_vicuna-13b-20230322-clean-lang.jsonl")

    totals = dict(evals.scores.group_by("run").agg(pl.col("score").sum()).cast({"run": pl.String}).rows())
    assert totals == {other: theirs, "vicuna-13b:20230322-clean-lang": vicunas}
    assert set(evals.scores["grader"]) == {"gpt-4"}


def test_fastchat_the_whole_folder_keeps_every_score_of_every_judge():
    evals = ek.load(VICUNA)

    # 18 files of 80 reviews with two scores each; in two rows the judge gave none, four times it gave 0 of 1 to 10.
    assert evals.scores.height == 18 * 80 * 2
    assert evals.scores["score"].null_count() == 4 + 4
    assert evals.problems["reason"].to_list() == ["overall: 0 is outside the scale 1 to 10"] * 4
    assert (evals.trials.height, evals.cases.height) == (7 * 80, 80)
    assert evals.turns.filter(turn=1)["role"].unique().to_list() == ["user"]
    pairs = evals.scores.filter(pl.col("source").cast(pl.String).str.contains("clean-lang/"))
    sums = dict(pairs.group_by("source").agg(pl.col("score").sum()).cast({"source": pl.String}).rows())
    assert sorted(sums.values()) == sorted(theirs + vicunas for _, theirs, vicunas in TOTALS.values())


def test_fastchat_two_versions_of_a_model_compare_with_a_rule_for_their_scale():
    evals = ek.load(VICUNA)
    rule = ek.PassRule(mean=7, floor=5, scale=(1, 10))

    change = ek.compare(
        evals,
        baseline="vicuna-7b:20230322-fp16",
        candidate="vicuna-13b:20230322-new-hp-fp16",
        rule=rule,
        grader="gpt-4",
    )

    assert set(change.summary["n"]) == {80}


def test_tau_bench_pass_hat_k_of_the_paper_comes_out():
    evals = ek.load(DATA / "tau_bench")

    assert evals.problems.is_empty()
    passes = (
        ek.grade(evals).group_by("case").agg((pl.col("verdict") == "pass").sum(), pl.len().alias("tried"))
    )
    found = [
        stats.pass_hat_k_rate(passes["verdict"].to_numpy(), passes["tried"].to_numpy(), k).estimate
        for k in (1, 2, 3, 4)
    ]
    assert found == pytest.approx([0.420, 0.273, 0.220, 0.200], abs=0.0005)
    calls = evals.turns["tool_calls"].drop_nulls()
    assert (evals.turns.height, calls.len(), (evals.turns["role"] == "tool").sum()) == (5308, 1164, 1164)
    assert isinstance(json.loads(calls[0])[0]["arguments"], dict)
    assert evals.scores["line"].to_list()[:3] == [2, 333, 420]
