"""What people would say, from a judge's verdicts and few labels."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evalkit as ek
from evalkit import stats
from evalkit.agreement.correct_for_judge import correct_for_judge
from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import PassRule
from evalkit.util.errors import ArgumentError

BINARY = pl.DataFrame(
    {"suite": ["s"], "criterion": ["c"], "scale_min": [0.0], "scale_max": [1.0], "kind": ["binary"]}
)
ORDINAL = pl.DataFrame(
    {"suite": ["s"], "criterion": ["c"], "scale_min": [1.0], "scale_max": [5.0], "kind": ["ordinal"]}
)


def evals_of(judge, human, *, cases=None, criteria=BINARY, runs=None, **tables) -> Evals:
    names = cases or [f"{at:04}" for at in range(len(judge))]
    seen: dict[tuple[str, str], int] = {}
    rows = []
    for at, (case, told, true) in enumerate(zip(names, judge, human, strict=True)):
        run = runs[at] if runs else "r"
        seen[run, case] = seen.get((run, case), 0) + 1
        for kind, score in (("judge", told), ("human", true)):
            if score is not None:
                rows.append(
                    {
                        "run": run,
                        "case": case,
                        "epoch": seen[run, case],
                        "criterion": "c",
                        "grader": kind,
                        "grader_kind": kind,
                        "score": float(score),
                    }
                )
    named = sorted({row["run"] for row in rows})
    return Evals.from_tables(
        criteria=criteria,
        runs=pl.DataFrame({"run": named, "suite": "s", "agent_version": named}),
        scores=pl.DataFrame(rows),
        **tables,
    )


def labelled(tp, fp, fn, tn, passes, fails):
    """Return judge and human verdicts with these labelled counts and this many unlabelled passes and fails."""
    judge = [1] * (tp + fp) + [0] * (fn + tn) + [1] * passes + [0] * fails
    human = [1] * tp + [0] * fp + [1] * fn + [0] * tn + [None] * (passes + fails)
    return judge, human


def rate_of(found, scope="all", metric="pass_rate") -> dict:
    return found.summary.filter((pl.col("scope") == scope) & (pl.col("metric") == metric)).row(0, named=True)


def test_one_answer_a_case_is_the_post_stratified_estimate_of_the_counts():
    evals = evals_of(*labelled(30, 6, 4, 10, 670, 280))

    row = rate_of(correct_for_judge(evals))

    wanted = stats.post_stratified(30, 6, 4, 10, passes=706, n=1000)
    assert (row["corrected"], row["low"], row["high"]) == pytest.approx(
        (wanted.estimate, wanted.low, wanted.high), abs=1e-9
    )
    assert (row["judged"], row["n"], row["n_judged"]) == (0.706, 50, 1000)
    assert row["shift"] == pytest.approx(row["corrected"] - 0.706)


def test_another_population_is_corrected_by_the_error_rates():
    evals = evals_of(*labelled(27, 5, 3, 25, 300, 640))

    row = rate_of(correct_for_judge(evals, population="other"))

    wanted = stats.rogan_gladen(332 / 1000, 1000, 25 / 30, 30, 27 / 30, 30)
    assert (row["corrected"], row["low"], row["high"]) == pytest.approx(
        (wanted.estimate, wanted.low, wanted.high), abs=1e-9
    )


def test_another_population_takes_its_error_rates_from_the_labels_of_all_groups():
    judge, human = labelled(27, 5, 3, 25, 0, 0)
    fresh = [1] * 40 + [0] * 60
    evals = evals_of(judge + fresh, human + [None] * 100, runs=["a"] * 60 + ["b"] * 100)

    same, other = (correct_for_judge(evals, by="agent_version", population=p) for p in ("same", "other"))

    assert rate_of(same, "b")["status"] == "not_estimable"
    assert rate_of(same, "b")["n"] == 0
    wanted = stats.rogan_gladen(0.4, 100, 25 / 30, 30, 27 / 30, 30)
    assert rate_of(other, "b")["corrected"] == pytest.approx(wanted.estimate)


def test_repeated_answers_of_a_case_do_not_narrow_the_interval():
    judge, human = labelled(15, 3, 2, 10, 20, 10)
    once = rate_of(correct_for_judge(evals_of(judge, human)))
    cases = [f"{at:04}" for at in range(len(judge))]
    many = rate_of(correct_for_judge(evals_of(judge * 6, human * 6, cases=cases * 6)))

    assert many["n"] == 6 * once["n"]
    assert many["cases"] == once["cases"]
    assert many["corrected"] == pytest.approx(once["corrected"], abs=1e-9)
    assert many["high"] - many["low"] > 0.97 * (once["high"] - once["low"])


def test_the_interval_covers_where_the_answers_of_a_case_are_alike():
    rng = np.random.default_rng(3)

    def draw(cases: int, each: int):
        ease = rng.normal(0.8, 1.6, cases)
        shared = np.repeat(ease, each)
        human = (rng.normal(0, 1, shared.size) + shared > 0).astype(int)
        judge = np.where(rng.random(shared.size) < 0.15, 1 - human, human)
        return judge, human

    true = draw(60_000, 1)[1].mean()
    hits = 0
    for _ in range(40):
        judge, human = draw(25, 6)
        known = rng.random(judge.size) < 0.4
        cases = [f"{at // 6:03}" for at in range(judge.size)]
        labels = [int(h) if k else None for h, k in zip(human, known, strict=True)]
        row = rate_of(correct_for_judge(evals_of(judge.tolist(), labels, cases=cases)))
        hits += row["low"] <= true <= row["high"]

    # Binomial with 40 draws: at a true coverage of .95 fewer than 34 come up once in several hundred.
    assert hits >= 34


def test_without_labels_nothing_is_corrected_and_the_reason_is_said():
    found = correct_for_judge(evals_of([1, 0, 1], [None] * 3))

    assert found.summary["status"].to_list() == ["not_estimable"] * 2
    assert found.summary["corrected"].null_count() == 2
    assert found.warnings["id"].to_list() == ["W12"]
    assert rate_of(found)["reason"] in found.sentence
    assert rate_of(found)["method"] == "post-stratified"
    other = correct_for_judge(evals_of([1, 0, 1], [None] * 3), population="other")
    assert rate_of(other)["method"] == "Rogan-Gladen (Lee)"


def test_a_notebook_shows_the_corrected_rate_or_why_there_is_none():
    found = correct_for_judge(evals_of(*labelled(29, 6, 4, 10, 670, 280)))

    page = found._repr_html_()

    row = rate_of(found)
    assert f"{row['corrected']:.1%} [{row['low']:.1%}, {row['high']:.1%}]</td>" in page
    assert f"not estimable: {rate_of(found, metric='mean_score')['reason']}" in page.replace("&#x27;", "'")


def test_nothing_at_all_is_no_exception():
    found = correct_for_judge(Evals.from_tables())

    assert set(found.summary["status"]) == {"not_estimable"}


def test_selected_labels_are_refused_in_words():
    found = correct_for_judge(evals_of(*labelled(30, 6, 4, 10, 670, 280)), labels="selected")

    row = rate_of(found)
    assert (row["corrected"], row["low"]) == (None, None)
    assert "selected" in row["reason"]
    assert "W16" in found.warnings["id"].to_list()


def test_labels_that_look_selected_are_pointed_out_and_still_used():
    found = correct_for_judge(evals_of(*labelled(2, 1, 10, 30, 900, 57)))

    assert rate_of(found)["status"] == "ok"
    assert "W16" in found.warnings["id"].to_list()


def test_few_labels_are_called_few():
    found = correct_for_judge(evals_of(*labelled(10, 2, 1, 2, 70, 20)))

    text = found.warnings.filter(pl.col("id") == "W13")["text"][0]
    assert "15 answers" in text
    assert "only 4 fails" in text


def test_a_judge_no_better_than_chance_is_refused_for_another_population():
    row = rate_of(correct_for_judge(evals_of(*labelled(5, 5, 5, 5, 40, 40)), population="other"))

    assert (row["status"], row["corrected"]) == ("not_estimable", None)
    assert "chance" in row["reason"]


def test_labels_that_all_pass_leave_a_valid_interval():
    row = rate_of(correct_for_judge(evals_of(*labelled(20, 0, 0, 0, 80, 0))))

    assert row["status"] == "ok"
    assert row["low"] < row["corrected"] <= row["high"] <= 1


def test_the_mean_score_is_ppi_on_case_means_from_fifty_labels_on():
    rng = np.random.default_rng(5)
    human = np.clip(np.round(rng.normal(3.4, 1, 300)), 1, 5)
    judge = np.clip(human + rng.integers(-1, 2, 300), 1, 5)
    labels = [h if at < 60 else None for at, h in enumerate(human)]

    row = rate_of(correct_for_judge(evals_of(judge, labels, criteria=ORDINAL)), metric="mean_score")

    wanted = stats.ppi_mean(human[:60], judge[:60], judge[60:])
    assert (row["corrected"], row["low"], row["high"]) == pytest.approx(
        (wanted.estimate, wanted.low, wanted.high), abs=1e-9
    )


@pytest.mark.parametrize(("labels", "cases"), [(49, 49), (60, 9)])
def test_the_mean_score_is_refused_under_fifty_labels_or_ten_cases(labels, cases):
    judge = [3, 4, 5] * 40
    human = [4 if at < labels else None for at in range(120)]
    names = [f"{at % cases:03}" for at in range(120)]

    row = rate_of(
        correct_for_judge(evals_of(judge, human, cases=names, criteria=ORDINAL)), metric="mean_score"
    )

    assert row["status"] == "not_estimable"
    assert f"there are {labels}" in row["reason"]


def test_fifty_labels_of_ten_cases_are_enough_for_a_mean_score():
    judge, human = [3, 4, 5, 4, 2] * 24, [4, 4, 5, 3, 2] * 10 + [None] * 70
    names = [f"{at % 10:03}" for at in range(120)]
    found = correct_for_judge(evals_of(judge, human, cases=names, criteria=ORDINAL))

    assert rate_of(found, metric="mean_score")["status"] == "ok"


def test_when_everything_is_labelled_the_mean_is_that_of_the_labels():
    judge, human = [3, 4, 5, 4] * 20, [3, 4, 4, 5] * 20

    row = rate_of(correct_for_judge(evals_of(judge, human, criteria=ORDINAL)), metric="mean_score")

    assert row["corrected"] == pytest.approx(4.0)
    assert "labels alone" in row["method"]


def test_an_estimate_without_an_interval_is_not_shown_as_an_answer():
    evals = evals_of([4] * 60 + [3, 4, 5] * 20, [3] * 60 + [None] * 60, criteria=ORDINAL)

    row = rate_of(correct_for_judge(evals), metric="mean_score")

    assert (row["status"], row["corrected"], row["shift"]) == ("not_estimable", None, None)
    assert "do not vary" in row["reason"]


def test_the_default_rule_serves_any_scale():
    wide = ORDINAL.with_columns(scale_max=pl.lit(10.0))

    found = correct_for_judge(evals_of([8, 9], [7, None], criteria=wide))

    assert rate_of(found)["n"] == 1
    assert correct_for_judge(
        evals_of([8, 9], [7, None], criteria=wide), rule=PassRule(mean=7, floor=5, scale=(1, 10))
    ).summary["n"].to_list() == [1, 1]


def test_an_unknown_word_is_refused():
    with pytest.raises(ArgumentError, match="'same'"):
        correct_for_judge(evals_of([1], [1]), population="sam")  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 1, None])), min_size=1, max_size=30))
def test_every_interval_holds_its_estimate_and_has_width(pairs):
    judge, human = zip(*pairs, strict=True)

    for population in ("same", "other"):
        for row in correct_for_judge(evals_of(judge, human), population=population).summary.iter_rows(
            named=True
        ):
            if row["status"] == "ok":
                assert 0 <= row["low"] <= row["corrected"] <= row["high"] <= 1
                assert row["high"] - row["low"] > 1e-9
            else:
                assert row["corrected"] is None
                assert row["reason"]


def test_the_demo_is_corrected_downwards_and_becomes_plain_data():
    found = correct_for_judge(ek.demo.make(), by="agent_version")

    assert rate_of(found)["shift"] < 0
    assert found.summary["scope"].unique(maintain_order=True).to_list() == ["all", "v1", "v2", "v3"]
    assert json.loads(json.dumps(found.to_dict()))["population"] == "same"
    assert "people would" in found._repr_html_()


def test_the_words_of_a_correction(golden):
    golden("demo", repr(correct_for_judge(ek.demo.make())))
    golden("no_labels", repr(correct_for_judge(evals_of([1, 0, 1], [None] * 3))))
    golden("selected", repr(correct_for_judge(evals_of(*labelled(2, 1, 10, 30, 900, 57)), labels="selected")))
    golden("looks_selected", repr(correct_for_judge(evals_of(*labelled(2, 1, 10, 30, 900, 57)))))
