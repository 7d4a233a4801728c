"""A judge against people, against another judge, against itself."""

from __future__ import annotations

import json
from pathlib import Path

import krippendorff
import numpy as np
import polars as pl
import pytest
from pingouin import intraclass_corr
from scipy.stats import kendalltau, norm, pearsonr, spearmanr, t
from sklearn.metrics import cohen_kappa_score

import evalkit as ek
from evalkit.agreement.agreement import agreement
from evalkit.agreement.estimates import estimate_agreement, scale_points
from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import PassRule
from evalkit.stats.agreement import resampled_tables
from evalkit.stats.bootstrap import fisher_z_interval
from evalkit.util.errors import ColumnError, RuleError, SelectorError

SHARED = Path(__file__).parents[2].parent / "shared/data"
REVIEWS = SHARED / "fastchat_vicuna_bench/table/review"
HUMAN = [5, 4, 4, 3, 5, 2, 4, 1, 3, 5, 4, 4, 2, 5, 3, 4, 5, 5, 1, 4]
JUDGE = [5, 4, 5, 3, 4, 3, 4, 2, 3, 5, 5, 4, 3, 5, 4, 4, 5, 4, 2, 5]


def criteria_of(*names: str, scale=(1.0, 5.0), kind="ordinal") -> pl.DataFrame:
    low, high = scale if scale else (None, None)
    return pl.DataFrame(
        {"suite": "s", "criterion": list(names), "scale_min": low, "scale_max": high, "kind": kind},
        schema_overrides={"scale_min": pl.Float64, "scale_max": pl.Float64},
    )


def scores_of(values, *, grader="judge", kind="judge", criterion="c", cases=None, **more) -> list[dict]:
    return [
        {
            "run": "r",
            "case": f"{at:03}" if cases is None else cases[at],
            "epoch": 1 if cases is None else at + 1,
            "criterion": criterion,
            "grader": grader,
            "grader_kind": kind,
            "score": None if value is None else float(value),
            **more,
        }
        for at, value in enumerate(values)
    ]


def evals_of(*parts: list[dict], criteria=None, **tables) -> Evals:
    rows = [row for part in parts for row in part]
    scores = pl.DataFrame(rows, infer_schema_length=None)
    if criteria is None:
        criteria = criteria_of(*sorted(set(scores["criterion"])))
    runs = pl.DataFrame({"run": scores["run"].unique(maintain_order=True), "suite": "s"})
    return Evals.from_tables(criteria=criteria, runs=runs, scores=scores, **tables)


def judged_and_labelled(judge=JUDGE, human=HUMAN, **more) -> Evals:
    return evals_of(scores_of(judge), scores_of(human, grader="anna", kind="human"), **more)


def row_of(found, scope="c", group="all") -> dict:
    return found.summary.filter((pl.col("scope") == scope) & (pl.col("group") == group)).row(-1, named=True)


@pytest.fixture(scope="module")
def demo() -> Evals:
    return ek.demo.make()


@pytest.mark.parametrize("seed", range(4))
def test_every_measure_is_that_of_another_library(seed):
    rng = np.random.default_rng(seed)
    human = rng.integers(1, 6, 60).astype(float)
    judge = np.clip(human + rng.integers(-1, 3, 60), 1, 5)

    row = row_of(agreement(judged_and_labelled(judge, human)))

    labels = [1, 2, 3, 4, 5]
    kappa = cohen_kappa_score(human.astype(int), judge.astype(int), labels=labels, weights="quadratic")
    alpha = krippendorff.alpha(np.array([judge, human]), level_of_measurement="ordinal", value_domain=labels)
    assert row["kappa"] == pytest.approx(kappa, abs=1e-12)
    assert row["alpha"] == pytest.approx(alpha, abs=1e-12)
    assert row["tau_b"] == pytest.approx(kendalltau(judge, human).statistic, abs=1e-12)
    assert row["pearson"] == pytest.approx(pearsonr(judge, human).statistic, abs=1e-12)
    assert row["spearman"] == pytest.approx(spearmanr(judge, human).statistic, abs=1e-12)
    assert row["exact"] == pytest.approx(np.mean(judge == human))
    assert row["within_one"] == pytest.approx(np.mean(np.abs(judge - human) <= 1))
    assert row["bias"] == pytest.approx(np.mean(judge - human))


# pingouin 0.7 uses what pandas 3.1 deprecates.
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_the_icc_is_that_of_pingouin():
    row = row_of(agreement(judged_and_labelled()))

    table = pl.DataFrame(
        {
            "item": [*range(20), *range(20)],
            "rater": ["j"] * 20 + ["h"] * 20,
            "score": [float(v) for v in JUDGE + HUMAN],
        }
    ).to_pandas()
    known = intraclass_corr(table, targets="item", raters="rater", ratings="score")
    wanted = known.loc[known["Type"].isin(["ICC(A,1)", "ICC2"]), "ICC"].item()
    assert row["icc"] == pytest.approx(wanted, abs=1e-3)


def test_the_verdicts_are_compared_under_the_rule():
    found = agreement(judged_and_labelled())

    row = row_of(found, "verdict")
    told, true = (np.array(v) >= 4 for v in (JUDGE, HUMAN))
    assert row["kappa"] == pytest.approx(cohen_kappa_score(true, told))
    assert row["sensitivity"] == pytest.approx(np.mean(told[true]))
    assert row["specificity"] == pytest.approx(np.mean(~told[~true]))
    assert (row["sensitivity_low"], row["sensitivity_high"]) == pytest.approx(
        tuple(
            getattr(ek.stats.wilson(int(told[true].sum()), int(true.sum())), end) for end in ("low", "high")
        )
    )


def test_the_first_score_of_the_bias_is_the_judges():
    kind = agreement(judged_and_labelled([5, 5, 4, 5], [3, 4, 2, 4]))

    row = row_of(kind)
    assert row["bias"] == pytest.approx(1.5)
    assert row["bias_low"] == pytest.approx(ek.stats.paired_t([2, 1, 2, 1]).low)


def test_copies_of_the_same_cases_do_not_narrow_any_interval():
    cases = [f"{at:03}" for at in range(20)]
    once = agreement(judged_and_labelled())
    many = agreement(
        evals_of(
            scores_of(JUDGE * 5, cases=cases * 5),
            scores_of(HUMAN * 5, cases=cases * 5, grader="anna", kind="human"),
        )
    )

    for name in ("kappa", "bias"):
        one, five = row_of(once), row_of(many)
        assert five[name] == pytest.approx(one[name])
        assert five[f"{name}_high"] - five[f"{name}_low"] == pytest.approx(
            one[f"{name}_high"] - one[f"{name}_low"], rel=1e-6
        )
    assert row_of(many)["n"] == 100
    assert row_of(many)["cases"] == 20


@pytest.mark.parametrize("cases", [4, 20])
def test_the_interval_of_few_cases_is_as_wide_as_students_t_asks(cases):
    judge, human = ([1, 3, 4, 5] * 5)[:cases], ([1, 4, 4, 3, 2] * 4)[:cases]

    row = row_of(agreement(judged_and_labelled(judge, human)))

    weights = ek.stats.disagreement_weights([1, 2, 3, 4, 5])
    stacks = resampled_tables(np.array(judge) - 1, np.array(human) - 1, 5)
    replicates = np.concatenate([ek.stats.kappa_of_tables(tables, weights) for tables in stacks])
    plain = fisher_z_interval(replicates, n=cases, level=0.95, method="", seed=0, undefined="")
    wide, narrow = (
        np.arctanh(high) - np.arctanh(low)
        for low, high in ((row["kappa_low"], row["kappa_high"]), (plain.low, plain.high))
    )
    assert wide / narrow == pytest.approx(t.ppf(0.975, cases - 1) / norm.ppf(0.975))


def test_a_declared_cluster_takes_the_place_of_the_case():
    cases = pl.DataFrame({"suite": "s", "case": [f"{at:03}" for at in range(20)], "cluster": ["a", "b"] * 10})
    alone = agreement(judged_and_labelled())
    tied = agreement(judged_and_labelled(cases=cases))

    assert row_of(alone)["cases"] == 20
    assert row_of(tied)["cases"] == 2
    assert "W18" in tied.warnings["id"].to_list()


def test_the_order_of_the_rows_changes_nothing():
    evals = judged_and_labelled()
    shuffled = Evals.from_tables(
        criteria=evals.criteria, runs=evals.runs, scores=evals.scores.sample(fraction=1, shuffle=True, seed=3)
    )

    assert agreement(evals).summary.equals(agreement(shuffled).summary)


def test_a_judge_that_is_swapped_with_its_reference_has_the_opposite_bias():
    evals = evals_of(scores_of(JUDGE, grader="a"), scores_of(HUMAN, grader="b"))

    one, other = (agreement(evals, grader=g, reference=r) for g, r in (("a", "b"), ("b", "a")))

    assert row_of(one)["kappa"] == pytest.approx(row_of(other)["kappa"])
    assert row_of(one)["bias"] == pytest.approx(-row_of(other)["bias"])
    assert "Two judges that agree can be wrong together." in one.sentence


def test_without_labels_there_is_no_number_and_the_reason_is_said():
    found = agreement(evals_of(scores_of(JUDGE)))

    assert found.verdict == "not estimable"
    assert found.warnings["id"].to_list() == ["W12"]
    assert set(found.summary["status"]) == {"not_estimable"}
    assert found.summary["kappa"].null_count() == found.summary.height
    assert "not estimable" in found.sentence


def test_an_unlabelled_collection_without_any_score_is_no_exception():
    found = agreement(Evals.from_tables())

    assert found.verdict == "not estimable"


def test_constant_ratings_have_no_kappa_but_a_raw_share():
    found = agreement(judged_and_labelled([4] * 30, [4] * 30))

    row = row_of(found)
    assert (row["status"], row["kappa"], row["exact"]) == ("not_estimable", None, 1.0)
    assert "no variation in the ratings (raw agreement 100% of 30)" in row["reason"]
    assert row_of(found, "verdict")["method"].startswith("Cohen's kappa")
    assert "W15" in found.warnings["id"].to_list()


def test_ratings_that_all_agree_are_called_just_that():
    found = agreement(judged_and_labelled([1, 2, 3, 4, 5] * 12, [1, 2, 3, 4, 5] * 12))

    row = row_of(found)
    assert (row["kappa"], row["kappa_high"], row["reading"]) == (1.0, 1.0, "reliable")
    assert row["kappa_low"] == pytest.approx(
        1 - (1 - 0.05 ** (1 / 60)) / 0.8
    )  # five ratings, equally frequent
    assert found.disagreements.is_empty()


def test_one_case_has_an_estimate_and_no_interval():
    cases = ["01"] * 20
    found = agreement(
        evals_of(scores_of(JUDGE, cases=cases), scores_of(HUMAN, cases=cases, grader="anna", kind="human"))
    )

    row = row_of(found)
    assert row["kappa"] == pytest.approx(
        cohen_kappa_score(HUMAN, JUDGE, labels=[1, 2, 3, 4, 5], weights="quadratic")
    )
    assert (row["kappa_low"], row["status"]) == (None, "not_estimable")
    assert "one case" in row["reason"]


def test_a_score_that_is_missing_is_left_out_and_counted():
    found = agreement(judged_and_labelled([None, *JUDGE[1:]], HUMAN))

    assert row_of(found)["n"] == 19
    assert any("1 rating" in text for text in found.warnings.filter(pl.col("id") == "W06")["text"])


@pytest.mark.parametrize(
    ("criteria", "words"),
    [
        (criteria_of("c", scale=None), "needs a declared scale"),
        (criteria_of("c", kind="continuous"), "continuous"),
        (criteria_of("c", scale=(0.0, 100.0)), "too many points"),
        (criteria_of("c", scale=(1.0, 4.0)), "1 to 4"),
    ],
)
def test_without_declared_points_there_is_no_kappa_and_the_reason_is_said(criteria, words):
    found = agreement(judged_and_labelled(criteria=criteria))

    row = row_of(found)
    assert row["kappa"] is None
    assert words in row["reason"]
    assert row["bias"] == pytest.approx(np.mean(JUDGE) - np.mean(HUMAN))
    assert row["pearson"] == pytest.approx(pearsonr(JUDGE, HUMAN).statistic, abs=1e-12)
    assert row["spearman"] == pytest.approx(spearmanr(JUDGE, HUMAN).statistic)


def test_a_rule_may_declare_the_scale():
    rule = PassRule(scale=(1, 5))
    found = agreement(judged_and_labelled(criteria=criteria_of("c", scale=None)), rule=rule)

    assert row_of(found)["kappa"] is not None


def test_means_of_samples_are_taken_to_the_nearest_point_and_that_is_said():
    samples = [scores_of(JUDGE, sample=1), scores_of([min(5, v + 1) for v in JUDGE], sample=2)]
    found = agreement(evals_of(*samples, scores_of(HUMAN, grader="anna", kind="human")))

    row = row_of(found)
    mean = np.array([(v + min(5, v + 1)) / 2 for v in JUDGE])
    near = (np.round(mean - 1) + 1).astype(int)
    assert row["kappa"] == pytest.approx(
        cohen_kappa_score(HUMAN, near, labels=[1, 2, 3, 4, 5], weights="quadratic")
    )
    assert row["bias"] == pytest.approx(np.mean(mean - np.array(HUMAN)))
    assert "nearest point" in row["method"]
    assert any("nearest point" in note for note in found.notes)


def test_whole_scores_are_not_said_to_be_taken_to_the_nearest_point():
    whole = agreement(judged_and_labelled())
    second = [min(5, v + 1) for v in HUMAN]
    people = [scores_of(HUMAN, grader="anna", kind="human"), scores_of(second, grader="ben", kind="human")]
    averaged = agreement(evals_of(scores_of(JUDGE), *people))

    assert row_of(whole)["method"] == "quadratic kappa, Fisher-z case bootstrap"
    assert not any("nearest point" in note for note in whole.notes)
    assert row_of(averaged)["method"].endswith("means taken to the nearest point")


@pytest.mark.parametrize(
    ("highest", "grid", "points", "why"),
    [
        (41.0, 1.0, 41, ""),
        (42.0, 1.0, None, "the scale has too many points for kappa"),
        (21.0, 0.5, 41, ""),
        (22.0, 0.5, None, "the scale has too many points for kappa"),
        (5.0, None, None, "single scores lie between the points of the scale"),
    ],
)
def test_a_scale_of_up_to_41_points_has_a_table(highest, grid, points, why):
    frame = pl.DataFrame(
        {"judge": [1.0, 2.5], "reference": [1.0, 3.0], "scale_min": 1.0, "scale_max": highest}
    )
    found, reason, _ = scale_points(
        frame.with_columns(kind=pl.lit("ordinal"), grid=pl.lit(grid, dtype=pl.Float64))
    )

    assert reason == why
    assert found is None if points is None else (found.size, found[0], found[-1]) == (points, 1.0, highest)


def test_single_half_points_are_points_of_their_own():
    half = [v - 0.5 if v > 1 else v for v in JUDGE]
    row = row_of(agreement(judged_and_labelled(half, HUMAN)))

    labels = [str(v) for v in np.arange(1, 5.5, 0.5)]
    doubled = [round(2 * v) for v in half], [2 * v for v in HUMAN]
    wanted = cohen_kappa_score(doubled[1], doubled[0], labels=list(range(2, 11)), weights="quadratic")
    assert len(labels) == 9
    assert row["kappa"] == pytest.approx(wanted)
    assert "half points" in row["method"]


def test_one_score_that_dominates_points_to_ac2():
    human, judge = [5] * 18 + [2, 5], [5] * 18 + [5, 2]
    found = agreement(judged_and_labelled(judge, human))

    row = row_of(found)
    assert row["kappa"] < 0 < row["ac2"]
    text = found.warnings.filter((pl.col("id") == "W14") & (pl.col("scope") == "c"))["text"].item()
    assert f"AC2 is {row['ac2']:.2f}" in text


def test_few_labels_are_called_few():
    found = agreement(judged_and_labelled([5] * 17 + [1, 4, 3], [5] * 18 + [2, 4]))

    text = " ".join(found.warnings.filter(pl.col("id") == "W13")["text"])
    assert "20 answers" in text
    assert "only 1 fail of" in text


def test_two_people_are_averaged_and_give_the_ceiling():
    second = [min(5, v + (at % 3 == 0)) for at, v in enumerate(HUMAN)]
    found = agreement(
        evals_of(
            scores_of(JUDGE),
            scores_of(HUMAN, grader="anna", kind="human"),
            scores_of(second, grader="ben", kind="human"),
        )
    )

    row = row_of(found)
    mean = (np.array(HUMAN) + np.array(second)) / 2
    assert row["bias"] == pytest.approx(np.mean(np.array(JUDGE) - mean))
    assert row["human_human"] == pytest.approx(
        cohen_kappa_score(HUMAN, second, labels=[1, 2, 3, 4, 5], weights="quadratic")
    )
    assert row["human_human_n"] == 20
    assert found.reference == "the mean of 2 people"
    assert any("anna, ben" in note for note in found.notes)
    assert f"{row_of(found, 'verdict')['human_human']:.2f}" in found.sentence


def test_on_a_binary_criterion_people_vote_and_a_tie_is_no_score():
    votes = {"anna": [1, 1, 0, 1, 0], "ben": [1, 0, 0, 1, 0], "cleo": [1, 1, 0, 0, 1]}
    people = [scores_of(v, grader=name, kind="human") for name, v in votes.items()]
    tied = scores_of([1, 0], grader="dora", kind="human")
    found = agreement(
        evals_of(
            scores_of([1, 0, 0, 1, 0]),
            *people,
            tied,
            criteria=criteria_of("c", scale=(0.0, 1.0), kind="binary"),
        )
    )

    reference = [1, None, 0, 1, 0]
    row = row_of(found)
    assert row["n"] == 4
    assert row["kappa"] == 1.0
    assert sorted(found.confusion.filter(pl.col("scope") == "c")["reference"].to_list()) == [0.0, 1.0]
    assert len([v for v in reference if v is not None]) == 4


def test_a_person_who_rated_some_criteria_only_gives_no_verdict():
    judge = [*scores_of(JUDGE, criterion="a"), *scores_of(JUDGE, criterion="b")]
    human = [
        *scores_of(HUMAN, criterion="a", grader="anna", kind="human"),
        *scores_of(HUMAN[:5], criterion="b", grader="anna", kind="human"),
    ]
    found = agreement(evals_of(judge, human))

    assert (row_of(found, "a")["n"], row_of(found, "b")["n"], row_of(found, "verdict")["n"]) == (20, 5, 5)
    assert any("15 answers" in text for text in found.warnings.filter(pl.col("id") == "W06")["text"])


def test_what_a_check_in_code_found_counts_in_a_persons_verdict():
    judge = scores_of(JUDGE, criterion="a")
    code = scores_of([1.0] * 10 + [0.0] * 10, criterion="runs", grader="check", kind="code")
    human = scores_of(HUMAN, criterion="a", grader="anna", kind="human")
    criteria = pl.concat([criteria_of("a"), criteria_of("runs", scale=(0.0, 1.0), kind="binary")])
    found = agreement(evals_of(judge, code, human, criteria=criteria))

    row = row_of(found, "verdict")
    gate = np.array([True] * 10 + [False] * 10)
    told, true = (np.array(v) >= 4 for v in (JUDGE, HUMAN))
    assert row["kappa"] == pytest.approx(cohen_kappa_score(true & gate, told & gate))


def test_labels_under_another_wording_of_the_rubric_are_pointed_out():
    found = agreement(
        evals_of(
            scores_of(JUDGE, rubric_hash="new"),
            scores_of(HUMAN, grader="anna", kind="human", rubric_hash="old"),
        )
    )

    assert row_of(found)["n"] == 20
    assert "W11" in found.warnings["id"].to_list()


def test_labels_under_the_judges_wording_go_before_older_ones():
    found = agreement(
        evals_of(
            scores_of(JUDGE, rubric_hash="new"),
            scores_of([1] * 20, grader="anna", kind="human", rubric_hash="old"),
            scores_of(HUMAN, grader="anna", kind="human", rubric_hash="new"),
        )
    )

    assert row_of(found)["bias"] == pytest.approx(np.mean(JUDGE) - np.mean(HUMAN))
    assert "W11" not in found.warnings["id"].to_list()


def test_several_judges_or_rubrics_are_refused_in_the_words_of_grading():
    labels = scores_of(HUMAN, grader="anna", kind="human")
    judges = evals_of(scores_of(JUDGE, grader="a"), scores_of(JUDGE, grader="b"), labels)
    rubrics = evals_of(scores_of(JUDGE, rubric_hash="x"), scores_of(JUDGE, rubric_hash="y"), labels)

    for evals, argument in ((judges, "grader"), (rubrics, "rubric")):
        with pytest.raises(SelectorError) as error:
            agreement(evals)
        assert error.value.argument == argument
    assert row_of(agreement(judges, grader="a"))["n"] == 20
    assert row_of(agreement(rubrics, rubric="y"))["n"] == 20


def test_an_unknown_reference_names_the_nearest():
    with pytest.raises(SelectorError) as error:
        agreement(judged_and_labelled(), reference="ana")
    assert "anna" in error.value.choices


def test_a_grader_of_unknown_kind_counts_as_a_judge_and_that_is_noted():
    found = agreement(evals_of(scores_of(JUDGE, kind=None), scores_of(HUMAN, grader="anna", kind="human")))

    assert row_of(found)["n"] == 20
    assert any("grader kind" in note for note in found.notes)


def test_a_judge_against_itself_compares_its_first_sample_with_the_later_ones():
    again = [max(1, v - (at % 4 == 0)) for at, v in enumerate(JUDGE)]
    found = agreement(evals_of(scores_of(JUDGE, sample=1), scores_of(again, sample=2)), reference="itself")

    row = row_of(found)
    assert row["n"] == 20
    assert row["kappa"] == pytest.approx(
        cohen_kappa_score(JUDGE, again, labels=[1, 2, 3, 4, 5], weights="quadratic")
    )
    verdict = row_of(found, "verdict")
    flips = np.mean((np.array(JUDGE) >= 4) != (np.array(again) >= 4))
    assert verdict["exact"] == pytest.approx(1 - flips)
    assert f"{flips:.0%}" in found.sentence
    assert found.disagreements["difference"].to_list() == [-1.0] * int(
        np.sum(np.array(JUDGE) != np.array(again))
    )


def test_a_judge_asked_again_needs_no_person():
    found = agreement(evals_of(scores_of(JUDGE, sample=1), scores_of(HUMAN, sample=2)), reference="itself")

    assert "W12" not in found.warnings["id"].to_list()
    assert "W12" in agreement(evals_of(scores_of(JUDGE))).warnings["id"].to_list()


def test_a_judge_that_was_asked_once_cannot_be_compared_with_itself():
    found = agreement(evals_of(scores_of(JUDGE)), reference="itself")

    assert found.verdict == "not estimable"


def test_the_worst_disagreement_comes_first_with_both_reasons():
    cases = pl.DataFrame(
        {"suite": "s", "case": ["000", "001", "002"], "severity": ["low", "critical", "high"]}
    )
    judge = scores_of([5, 4, 3], rationale="<b>fine</b>", source="scores.jsonl", line=7)
    human = scores_of([4, 3, 3], grader="anna", kind="human", rationale="no")
    found = agreement(evals_of(judge, human, cases=cases))

    first = found.disagreements.row(0, named=True)
    assert found.disagreements["case"].to_list() == ["001", "000"]
    assert (first["severity"], first["reference"], first["judge"], first["difference"], first["flips"]) == (
        "critical",
        3.0,
        4.0,
        1.0,
        True,
    )
    assert (first["judge_rationale"], first["reference_rationale"]) == ("<b>fine</b>", "no")
    assert (first["source"], first["line"]) == ("scores.jsonl", 7)


def test_a_wider_gap_comes_before_a_worse_severity():
    cases = pl.DataFrame({"suite": "s", "case": ["000", "001"], "severity": ["critical", "low"]})
    human = scores_of([4, 5], grader="anna", kind="human")

    found = agreement(evals_of(scores_of([5, 2]), human, cases=cases))

    assert found.disagreements["case"].to_list() == ["001", "000"]
    assert found.disagreements["difference"].to_list() == [-3.0, 1.0]


def test_the_confusion_counts_every_answer_once():
    found = agreement(judged_and_labelled())

    cells = found.confusion.filter(pl.col("scope") == "c")
    assert cells["count"].sum() == 20
    five = cells.filter((pl.col("reference") == 5) & (pl.col("judge") == 5))["count"].item()
    assert five == sum(h == j == 5 for h, j in zip(HUMAN, JUDGE, strict=True))


def test_a_split_gives_each_group_its_own_rows(demo):
    found = agreement(demo, by="agent_version")

    groups = found.summary.filter(pl.col("scope") == "verdict")
    assert groups["group"].to_list() == ["all", "v1", "v2", "v3"]
    assert groups["n"][1:].sum() == groups["n"][0]


def test_a_split_by_no_such_column_names_the_nearest(demo):
    with pytest.raises(ColumnError) as error:
        agreement(demo, by="agent_versoin")
    assert "agent_version" in error.value.choices


def test_the_default_rule_serves_any_scale_and_a_rule_for_another_is_refused():
    evals = judged_and_labelled(criteria=criteria_of("c", scale=(0.0, 10.0)))

    row = row_of(agreement(evals), "verdict")

    assert row["n"] == len(JUDGE)
    with pytest.raises(RuleError):
        agreement(evals, rule=PassRule(mean=3.0, floor=2.0, scale=(1, 5)))


@pytest.mark.parametrize(
    ("judge", "human", "word"),
    [
        ([1, 2, 3, 4, 5] * 60, [1, 2, 3, 4, 5] * 59 + [1, 2, 3, 4, 4], "reliable"),
        ([1, 2, 3, 4, 5] * 60, [5, 1, 4, 2, 3] * 60, "not reliable"),
        (JUDGE * 3, HUMAN * 3, "tentative"),
        (JUDGE, HUMAN, "not shown reliable"),
        (JUDGE[:8], [5, 4, 2, 5, 5, 2, 4, 1], "not shown reliable"),
    ],
)
def test_the_reading_holds_the_intervals_ends_against_the_limits(judge, human, word):
    row = row_of(agreement(judged_and_labelled(judge, human)))

    assert row["reading"] == word
    assert (row["kappa_low"] >= 0.8) == (word == "reliable")
    assert (row["kappa_high"] < 0.667) == (word == "not reliable")


def test_labels_of_chosen_answers_are_recognised():
    judge = [5] * 40 + [1] * 40
    human = [4] * 3 + [None] * 37 + [2] * 30 + [None] * 10
    found = agreement(judged_and_labelled(judge, human))

    assert "W16" in found.warnings["id"].to_list()


def test_a_random_sample_of_labels_is_not_called_chosen():
    judge = [5, 1] * 40
    human = [4, 2] * 20 + [None] * 40

    assert "W16" not in agreement(judged_and_labelled(judge, human)).warnings["id"].to_list()


def test_hostile_text_is_escaped_and_kept_out_of_the_terminal():
    evil = "<script>alert(1)</script>\x1b[31m"
    found = agreement(evals_of(scores_of(JUDGE, grader=evil), scores_of(HUMAN, grader="anna", kind="human")))

    assert "<script>" not in found._repr_html_()
    assert "\x1b" not in repr(found)
    assert "\x1b" not in found.explain()


def test_everything_becomes_plain_data(demo):
    found = agreement(demo)

    told = json.loads(json.dumps(found.to_dict()))
    assert told["verdict"] == found.verdict
    assert len(told["summary"]) == found.summary.height
    assert found.to_frame()["measure"].n_unique() == 14


def test_the_chart_draws_the_confusion_that_was_counted(demo):
    found = agreement(demo)

    drawn = found.chart("Groq").to_dict()
    assert f"n = {row_of(found, 'Groq')['n']} answers" in json.dumps(drawn)
    assert "pass" in json.dumps(found.chart().to_dict())
    with pytest.raises(SelectorError) as error:
        found.chart("Grok")
    assert "Groq" in error.value.choices


def test_the_same_seed_gives_the_same_interval(demo):
    one, again, other = (agreement(demo, seed=seed).summary for seed in (1, 1, 2))

    assert one.equals(again)
    assert one["kappa_low"].to_list() != other["kappa_low"].to_list()


def test_in_the_demo_the_judge_agrees_less_than_perfectly_and_nobody_is_lost(demo):
    found = agreement(demo)

    labelled = demo.scores.filter(pl.col("grader_kind").cast(pl.String) == "human")
    answers = labelled.select("run", "case", "epoch").n_unique()
    assert row_of(found, "verdict")["n"] <= answers
    assert row_of(found, "Groq")["n"] == answers
    assert 0 < row_of(found, "Groq")["kappa"] < 1


@pytest.mark.parametrize(("cases", "each"), [(9, 4), (40, 1)])
def test_the_interval_of_kappa_covers_also_where_cases_hold_several_answers(cases, each):
    rng = np.random.default_rng(20261122)
    points = np.arange(1.0, 6.0)

    def draw(cases: int, each: int):
        codes = np.repeat(np.arange(cases), each)
        truth = rng.normal(0, 0.9, cases)[codes] + rng.normal(0, 0.9, cases * each)
        tilt = rng.normal(0, 0.35, cases)[codes]
        sides = (truth + tilt + rng.normal(0, 0.5, truth.size), truth + rng.normal(0, 0.5, truth.size))
        return *(np.clip(np.round(3.4 + side), 1, 5) for side in sides), codes

    judge, human, _ = draw(40_000, 1)
    true = cohen_kappa_score(human.astype(int), judge.astype(int), weights="quadratic")
    kappas = [
        estimate_agreement(*draw(cases, each), points=points, level=0.95, seed=i)[0]["kappa"]
        for i in range(80)
    ]
    covered = np.mean([k.low <= true <= k.high for k in kappas])

    # Binomial with 80 draws: at a true coverage of .93 fewer than 67 hits come up once in a few hundred.
    assert covered >= 67 / 80


def fastchat() -> Evals:
    """Build an Evals of the opponents' answers, judged by two models, 1 to 10."""
    if not REVIEWS.exists():
        pytest.skip("the FastChat reviews are not on this machine")
    folder = "vicuna-13b-20230322-new-hp-fp16"
    files = {
        "gpt-4": {
            m: REVIEWS / folder / f"review_{m}_{folder}.jsonl" for m in ("bard", "gpt35", "alpaca-13b")
        },
        "gpt-3.5": {
            m: REVIEWS / f"gpt-3.5-turbo_review_{folder}" / f"gpt-3.5-turbo_review_{m}_{folder}.jsonl"
            for m in ("bard", "gpt35", "alpaca-13b")
        },
    }
    rows = []
    for grader, by_model in files.items():
        for model, path in by_model.items():
            for line in path.read_text(encoding="utf-8").splitlines():
                review = json.loads(line)
                score = review["score"][0]
                rows.append(
                    {
                        "run": model,
                        "case": str(review["question_id"]),
                        "criterion": "overall",
                        "grader": grader,
                        "grader_kind": "judge",
                        "rationale": review["text"],
                        "score": float(score) if 1 <= score <= 10 else None,
                    }
                )
    return evals_of(rows, criteria=criteria_of("overall", scale=(1.0, 10.0)))


def test_fastchats_two_judges_are_compared_question_by_question():
    evals = fastchat()

    found = agreement(evals, grader="gpt-3.5", reference="gpt-4")

    row = row_of(found, "overall")
    wide = evals.scores.pivot("grader", index=["run", "case"], values="score").drop_nulls()
    judge, reference = (wide[name].to_numpy() for name in ("gpt-3.5", "gpt-4"))
    doubled = [np.round(2 * side).astype(int) for side in (reference, judge)]
    wanted = cohen_kappa_score(*doubled, labels=list(range(2, 21)), weights="quadratic")
    assert row["n"] == wide.height
    assert row["cases"] == 80
    assert row["kappa"] == pytest.approx(wanted)
    assert "half points" in row["method"]
    assert row["kappa_low"] < row["kappa"] < row["kappa_high"]
    assert row["bias"] == pytest.approx(
        wide.group_by("case").agg(d=(pl.col("gpt-3.5") - pl.col("gpt-4")).mean())["d"].mean()
    )
    assert row_of(found, "verdict")["n"] == wide.height


def test_fastchats_judges_have_verdicts_under_a_rule_for_their_scale():
    found = agreement(
        fastchat(), grader="gpt-3.5", reference="gpt-4", rule=PassRule(mean=8, floor=5, scale=(1, 10))
    )

    row = row_of(found, "verdict")
    assert row["n"] > 200
    assert row["sensitivity_low"] < row["sensitivity"] < row["sensitivity_high"]


def test_the_words_of_an_agreement(demo, golden):
    few = agreement(
        evals_of(
            scores_of([5] * 8, rubric_hash="new"),
            scores_of([5] * 7 + [4], grader="anna", kind="human", rubric_hash="old"),
        )
    )

    golden("demo", f"{agreement(demo)!r}\n\n{agreement(demo).explain()}")
    golden("itself", repr(agreement(demo, reference="itself")))
    golden("few_labels", repr(few))
    golden("no_labels", repr(agreement(evals_of(scores_of(JUDGE)))))


def test_the_scoring_of_the_collection_counts_where_nothing_else_is_given(demo):
    strict = PassRule(mean=4.5, floor=3)
    scored = demo.with_scoring(rule=strict, level=0.9)

    given, kept = agreement(demo, rule=strict, level=0.9), agreement(scored)

    assert kept.summary.equals(given.summary)
    assert (kept.rule, kept.level) == (strict, 0.9)
    assert ek.correct_for_judge(scored).summary.equals(
        ek.correct_for_judge(demo, rule=strict, level=0.9).summary
    )
    assert ek.judge_forensics(scored).level == 0.9
    assert agreement(scored, level=0.8).level == 0.8
