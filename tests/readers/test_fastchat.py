"""FastChat: the Vicuna benchmark's reviews and MT-bench's judgements. All records are made up."""

from __future__ import annotations

import json

import polars as pl

import evalkit as ek

QUESTIONS = [
    {"question_id": 1, "text": "Why?", "category": "generic"},
    {"question_id": 2, "text": "How?", "category": "math"},
]
MODELS = {"small": "small:v1", "large": "large:v2"}


def answers(model):
    return [
        {
            "answer_id": f"{model}-{q}",
            "model_id": MODELS[model],
            "question_id": q,
            "text": f"{model} {q}",
            "metadata": {},
        }
        for q in (1, 2)
    ]


def review(
    question=1, score=(9.0, 8.5), *, first="small", second="large", text="9 8.5\nBoth are good.", **more
):
    made = {
        "review_id": f"r{question}{first}{second}",
        "question_id": question,
        "answer1_id": f"{first}-{question}",
        "answer2_id": f"{second}-{question}",
        "reviewer_id": "gpt-4-0328-generic",
        "metadata": {},
        "text": text,
    } | more
    return made if score is None else made | {"score": list(score)}


def lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def bench(folder, **reviews):
    lines(folder / "question.jsonl", QUESTIONS)
    for model in MODELS:
        lines(folder / "answer" / f"answer_{model}.jsonl", answers(model))
    for name, records in reviews.items():
        lines(folder / "review" / "all" / f"{name}.jsonl", records)
    return folder


def test_a_review_is_two_scores_each_of_its_own_run(tmp_path):
    evals = ek.load(bench(tmp_path, review_small_large=[review(), review(2, (1, 10))]))

    assert evals.problems.is_empty()
    assert evals.runs.select("run", "agent_version", "model").sort("run").rows() == [
        ("large:v2", "large:v2", "large"),
        ("small:v1", "small:v1", "small"),
    ]
    scores = evals.scores.select("run", "case", "criterion", "grader", "grader_kind", "score")
    assert scores.rows() == [
        ("small:v1", "1", "overall", "gpt-4", "judge", 9.0),
        ("large:v2", "1", "overall", "gpt-4", "judge", 8.5),
        ("small:v1", "2", "overall", "gpt-4", "judge", 1.0),
        ("large:v2", "2", "overall", "gpt-4", "judge", 10.0),
    ]
    assert json.loads(evals.scores["metadata"][0]) == {
        "review_id": "r1smalllarge",
        "reviewer_id": "gpt-4-0328-generic",
        "position": 1,
        "beside": "large:v2",
    }
    assert evals.criteria.select("scale_min", "scale_max", "kind").row(0) == (1.0, 10.0, "ordinal")
    assert evals.cases.select("case", "input", "domain", "tags").row(1) == ("2", "How?", "math", ["math"])
    assert evals.turns.filter(run="small:v1", case="1").select("role", "content").rows() == [
        ("user", "Why?"),
        ("assistant", "small 1"),
    ]


def test_an_answer_beside_several_others_has_a_sample_for_each_also_file_by_file(tmp_path):
    made = bench(
        tmp_path,
        review_small_large=[review()],
        review_large_small=[review(score=(7, 6), first="large", second="small")],
        review_small_small=[review(score=(5, 4), first="small", second="small")],
    )
    one_by_one = [ek.load(path) for path in sorted((made / "review" / "all").glob("*.jsonl"))]

    together = ek.load(made)

    for evals in (together, one_by_one[0] + one_by_one[1] + one_by_one[2]):
        assert evals.problems.is_empty()
        sums = evals.scores.group_by("run").agg(pl.col("score").sort())
        assert dict(sums.rows()) == {"small:v1": [4.0, 5.0, 6.0, 9.0], "large:v2": [7.0, 8.5]}


def test_a_review_alone_is_called_after_its_file(tmp_path):
    path = lines(tmp_path / "review_bard_vicuna-13b.jsonl", [review()])

    evals = ek.load(path)

    assert evals.scores["run"].to_list() == ["bard", "vicuna-13b"]
    assert any("folder of answers" in str(note) for note in evals.notes)


def test_the_judge_is_the_one_that_the_file_names(tmp_path):
    made = bench(
        tmp_path,
        **{
            "gpt-3.5-turbo_review_small_large": [review(reviewer_id=2)],
            "review_small_large": [review(reviewer_id=1)],
        },
    )

    evals = ek.load(made)

    assert sorted(set(evals.scores["grader"])) == ["gpt-3.5-turbo", "gpt-4"]
    assert any("gpt-4" in str(note) for note in evals.notes)


def test_reviews_without_scores_are_unscored_or_read_from_the_first_line(tmp_path):
    unread = review(score=(-1, -1), text="I cannot say.")
    without = review(2, None, text="7.5, 6\nGood.")

    evals = ek.load(bench(tmp_path, review_small_large=[unread, without]))

    assert evals.scores.select("case", "score").rows() == [("1", None), ("1", None), ("2", 7.5), ("2", 6.0)]
    assert "does not give the two scores" in evals.scores["error"][0]


def mt_bench(folder):
    asked = [{"question_id": 81, "category": "writing", "turns": ["Write.", "Now shorter."]}]
    lines(folder / "question.jsonl", asked)
    said = {
        "question_id": 81,
        "answer_id": "a",
        "model_id": "small",
        "choices": [{"index": 0, "turns": ["Long.", "L."]}, {"index": 1, "turns": ["Longer.", "M."]}],
        "tstamp": 1_690_000_000.5,
    }
    lines(folder / "model_answer" / "small.jsonl", [said])
    lines(
        folder / "reference_answer" / "gpt-4.jsonl",
        [said | {"model_id": "gpt-4", "choices": [{"index": 0, "turns": ["Ideal.", "I."]}]}],
    )
    return folder


def judgement(turn=1, score=8, **more):
    return {
        "question_id": 81,
        "model": "small",
        "judge": ["gpt-4", "single-v1"],
        "user_prompt": "...",
        "judgment": f"Rating: [[{score}]]",
        "score": score,
        "turn": turn,
        "tstamp": 1_690_000_001.5,
    } | more


def test_mt_bench_each_turn_is_a_criterion_and_a_judgement_again_a_sample(tmp_path):
    judged = [judgement(), judgement(2, 6.5), judgement(1, 9), judgement(2, -1)]
    lines(mt_bench(tmp_path) / "model_judgment" / "gpt-4_single.jsonl", judged)

    evals = ek.load(tmp_path)

    assert evals.problems.is_empty()
    assert evals.scores.select("run", "case", "criterion", "sample", "grader", "score").rows() == [
        ("small", "81", "turn 1", 1, "gpt-4", 8.0),
        ("small", "81", "turn 2", 1, "gpt-4", 6.5),
        ("small", "81", "turn 1", 2, "gpt-4", 9.0),
        ("small", "81", "turn 2", 2, "gpt-4", None),
    ]
    assert evals.turns.filter(epoch=1).select("role", "content").rows() == [
        ("user", "Write."),
        ("assistant", "Long."),
        ("user", "Now shorter."),
        ("assistant", "L."),
    ]
    assert evals.trials["epoch"].to_list() == [1, 2]
    assert evals.cases.select("input", "ideal_behavior").row(0) == ("Write.\n\nNow shorter.", "Ideal.\n\nI.")


def test_mt_bench_preferences_are_judgements_of_both_answers(tmp_path):
    pair = {"question_id": 81, "model_1": "a", "model_2": "b", "judge": ["gpt-4", "pair-v2"], "turn": 1}
    games = [("model_1", "model_1"), ("tie", "model_2"), ("model_2", "model_1")]
    rows = [{**pair, "question_id": n, "g1_winner": g1, "g2_winner": g2} for n, (g1, g2) in enumerate(games)]

    evals = ek.load(lines(tmp_path / "gpt-4_pair.jsonl", rows))

    means = dict(evals.scores.group_by(pl.col("run").cast(pl.String)).agg(pl.col("score").mean()).rows())
    assert means == {"a": 3.5 / 6, "b": 2.5 / 6}
    assert evals.scores.filter(run="a")["sample"].to_list() == [1, 2] * 3
    change = ek.compare(evals, "b", "a")
    row = change.table.filter(scope="overall", metric="mean_score").row(0, named=True)
    assert row["candidate"] == 3.5 / 6
    shown = ek.judge_forensics(evals).table.filter(pl.col("finding") == "position")
    assert shown.height


def test_records_without_what_they_need_cost_no_other(tmp_path):
    judged = [judgement(), {k: v for k, v in judgement().items() if k != "model"}, judgement(2, "eight")]

    evals = ek.load(lines(tmp_path / "gpt-4_single.jsonl", judged))

    assert evals.scores["score"].to_list() == [8.0, None]
    assert evals.problems["line"].to_list() == [2, 3]
