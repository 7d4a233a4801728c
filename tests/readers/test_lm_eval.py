"""lm-evaluation-harness: samples and the results beside them. All records are made up."""

from __future__ import annotations

import hashlib
import json

import pytest

import evalkit as ek

DATE = "2026-10-01T10-00-00.000000"
RESULTS = {
    "results": {
        "sums": {"alias": "sums", "exact_match,strict-match": 0.5, "exact_match_stderr,strict-match": 0.1}
    },
    "configs": {"sums": {"task": "sums", "num_fewshot": 0}},
    "versions": {"sums": 1.0},
    "config": {"model": "hf", "model_args": "pretrained=org/tiny,dtype=float"},
    "model_name": "org/tiny",
    "lm_eval_version": "0.4.9",
}


def sample(number=0, *, kind="strict-match", score=1.0, doc_hash="abcdef0123456789", **more):
    return {
        "doc_id": number,
        "doc": {"question": f"What is {number} + 1?", "answer": str(number + 1)},
        "target": str(number + 1),
        "arguments": {"gen_args_0": {"arg_0": f"Q: What is {number} + 1?\nA:", "arg_1": {"until": ["\n"]}}},
        "resps": [[f"It is {number + 1}."]],
        "filtered_resps": [str(number + 1)],
        "filter": kind,
        "metrics": ["exact_match"],
        "doc_hash": f"{number}{doc_hash}",
        "prompt_hash": "p",
        "target_hash": "t",
        "exact_match": score,
    } | more


SAMPLES = [
    sample(0),
    sample(1, score=0.0),
    sample(0, kind="flexible-extract"),
    sample(1, kind="flexible-extract"),
]


def write(folder, samples, results=RESULTS, *, task="sums", date=DATE):
    folder.mkdir(exist_ok=True)
    if results is not None:
        (folder / f"results_{date}.json").write_text(json.dumps(results, indent=2))
    path = folder / f"samples_{task}_{date}.jsonl"
    path.write_text("\n".join(map(json.dumps, samples)))
    return path


@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_filter_is_a_criterion_and_not_another_trial(tmp_path, named):
    path = write(tmp_path / "org__tiny", SAMPLES)

    evals = ek.load(path if named == "file" else path.parent)

    assert evals.problems.is_empty()
    assert evals.runs.select("run", "suite", "agent_version", "model").rows() == [
        ("org/tiny: sums", "sums", "org/tiny", "org/tiny")
    ]
    assert evals.trials.select("case", "epoch", "output").rows() == [
        ("0abcdef01234", 1, "It is 1."),
        ("1abcdef01234", 1, "It is 2."),
    ]
    assert evals.scores.select("case", "criterion", "score", "answer").rows() == [
        ("0abcdef01234", "exact_match,strict-match", 1.0, "1"),
        ("1abcdef01234", "exact_match,strict-match", 0.0, "2"),
        ("0abcdef01234", "exact_match,flexible-extract", 1.0, "1"),
        ("1abcdef01234", "exact_match,flexible-extract", 1.0, "2"),
    ]
    assert evals.turns.select("role", "content").row(0) == ("user", "Q: What is 0 + 1?\nA:")
    assert ek.grade(evals)["verdict"].to_list() == ["pass", "fail"]
    assert ek.summarize(evals.filter(criterion="exact_match,flexible-extract"))["pass_rate"].item() == 1


def test_the_results_stay_in_the_runs_settings(tmp_path):
    evals = ek.load(write(tmp_path / "a", SAMPLES))

    assert json.loads(evals.runs["config"].item())["published"]["exact_match,strict-match"] == 0.5
    assert len(evals.files) == 2


def test_lines_that_a_later_run_appended_replace_the_earlier(tmp_path):
    stale = sample(0, score=0.0)

    evals = ek.load(write(tmp_path / "a", [stale, *SAMPLES]))

    assert evals.scores.height == 4
    assert evals.scores["score"].sum() == 3
    assert evals.problems["line"].to_list() == [1]
    assert "doc_id 0 is in line 2 again" in evals.problems["reason"].item()


def test_documents_that_are_the_same_are_epochs_of_one_case(tmp_path):
    twin = sample(7, doc_hash="same")
    other = {**twin, "doc_id": 8, "exact_match": 0.0}

    evals = ek.load(write(tmp_path / "a", [twin, other]))

    assert evals.scores.select("case", "epoch", "score").rows() == [("7same", 1, 1.0), ("7same", 2, 0.0)]


def test_older_files_have_no_hash_no_filter_and_lists_of_arguments(tmp_path):
    old = sample()
    for name in ("doc_hash", "filter", "metrics", "prompt_hash", "target_hash"):
        del old[name]
    old["arguments"] = [["Q: What is 0 + 1?\nA:", {"until": ["\n"]}]]

    evals = ek.load(write(tmp_path / "a", [old]))

    assert evals.scores.select("criterion", "score").rows() == [("exact_match", 1.0)]
    made = hashlib.sha256(json.dumps(old["doc"], indent=2, ensure_ascii=False).encode()).hexdigest()
    assert evals.cases["case"].item() == made[:12]
    assert evals.turns["content"][0] == "Q: What is 0 + 1?\nA:"


def test_of_endings_the_likeliest_is_what_the_model_said(tmp_path):
    choice = sample(metrics=["acc", "acc_norm"], acc=1.0, acc_norm=0.0, filter="none")
    choice["arguments"] = {
        "gen_args_0": {"arg_0": "The sky is", "arg_1": " green"},
        "gen_args_1": {"arg_0": "The sky is", "arg_1": " blue"},
    }
    choice["resps"] = [[[-9.5, False]], [[-0.5, True]]]
    choice["filtered_resps"] = [[-9.5, False], [-0.5, True]]

    evals = ek.load(write(tmp_path / "a", [choice]))

    assert evals.trials["output"].item() == " blue"
    assert evals.turns["content"].to_list() == ["The sky is", " blue"]
    assert evals.scores.select("criterion", "score").rows() == [("acc", 1.0), ("acc_norm", 0.0)]
    assert set(evals.criteria["kind"]) == {"binary"}


def test_only_metrics_that_pass_or_fail_by_definition_have_a_scale(tmp_path):
    made = sample(metrics=["bleu", "ok", "word_perplexity"], bleu=31.4, ok=True, word_perplexity=[-12.5, 7])

    evals = ek.load(write(tmp_path / "a", [made]))

    facts = dict(evals.criteria.select("criterion", "kind").rows())
    kinds = {str(name).split(",")[0]: kind for name, kind in facts.items()}
    assert kinds == {"bleu": None, "ok": "binary", "word_perplexity": None}
    lost = evals.scores.filter(criterion="word_perplexity,strict-match").row(0, named=True)
    assert lost["score"] is None
    assert "all samples" in lost["error"]
    assert json.loads(lost["metadata"])["value"] == [-12.5, 7]


def test_samples_alone_are_called_after_their_folder(tmp_path):
    evals = ek.load(write(tmp_path / "org__tiny", SAMPLES, None))

    assert evals.runs["run"].item() == "org__tiny: sums"
    assert any("results file" in str(note) for note in evals.notes)


def test_results_alone_say_where_the_answers_are(tmp_path):
    path = write(tmp_path / "a", SAMPLES).parent / f"results_{DATE}.json"
    (tmp_path / "alone.json").write_text(path.read_text())

    assert ek.load(path).problems.is_empty()
    with pytest.raises(ValueError, match="--log_samples"):
        ek.load(tmp_path / "alone.json")
    assert ek.load(tmp_path / "alone.json", strict=False).problems.height == 1


def test_two_models_compare_by_document_though_their_numbers_differ(tmp_path):
    write(tmp_path / "a", [sample(0), sample(1)])
    shuffled = [sample(1, doc_id=0, score=0.0), sample(0, doc_id=1)]
    write(tmp_path / "b", shuffled, RESULTS | {"model_name": "org/large"})

    change = ek.compare(ek.load(tmp_path), baseline="org/tiny", candidate="org/large")

    assert change.unpaired.is_empty()
    assert change.flips["case"].to_list() == ["1abcdef01234"]


def test_a_model_evaluated_twice_is_two_runs(tmp_path):
    write(tmp_path / "a", SAMPLES)
    write(tmp_path / "a", [sample(0, score=0.0)], date="2026-11-01T10-00-00.000000")

    evals = ek.load(tmp_path / "a")

    assert evals.problems.is_empty()
    assert evals.runs.height == 2
    assert evals.scores.height == 5
