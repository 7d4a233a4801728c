"""What moves a judge besides the answer."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.stats import entropy, spearmanr

import evalkit as ek
from evalkit.agreement.judge_bias import judge_forensics
from evalkit.agreement.length_bias import correlate_ranks, regress
from evalkit.data.evals import Evals
from evalkit.util.errors import SelectorError

CRITERIA = pl.DataFrame(
    {"suite": ["s"], "criterion": ["c"], "scale_min": [1.0], "scale_max": [5.0], "kind": ["ordinal"]}
)


def row(case, score, *, grader="judge", kind="judge", epoch=1, **more) -> dict:
    made = {
        "run": "r",
        "case": str(case),
        "epoch": epoch,
        "criterion": "c",
        "grader": grader,
        "grader_kind": kind,
    }
    return made | {"score": None if score is None else float(score)} | more


def evals_of(rows, *, lengths=None) -> Evals:
    trials = None
    if lengths is not None:
        trials = pl.DataFrame(
            [
                {"run": "r", "case": str(case), "epoch": epoch, "output": "x" * length}
                for (case, epoch), length in lengths.items()
            ]
        )
    return Evals.from_tables(
        criteria=CRITERIA,
        runs=pl.DataFrame({"run": ["r"], "suite": ["s"]}),
        scores=pl.DataFrame(rows, infer_schema_length=None),
        trials=trials,
    )


def found_in(found, name) -> dict:
    rows = found.summary.filter(pl.col("finding") == name)
    assert rows.height, f"no finding {name!r}"
    return rows.row(0, named=True)


def test_the_slope_and_its_error_are_those_of_statsmodels():
    rng = np.random.default_rng(2)
    units = np.repeat(np.arange(12), 4)
    x = rng.normal(8, 1, 48)
    y = 0.4 * x + rng.normal(0, 1, 12)[units] + rng.normal(0, 0.5, 48)

    ours = regress(y, x, units, level=0.95)

    theirs = sm.OLS(y, sm.add_constant(x)).fit(cov_type="cluster", cov_kwds={"groups": units}, use_t=True)
    assert ours.estimate == pytest.approx(theirs.params[1])
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.conf_int()[1]))
    assert ours.p_value == pytest.approx(theirs.pvalues[1])


def test_the_rank_correlation_is_that_of_scipy():
    rng = np.random.default_rng(2)
    x, y = rng.integers(1, 6, 40).astype(float), rng.normal(0, 1, 40)

    ours = correlate_ranks(x, y, np.repeat(np.arange(10), 4), level=0.95, seed=0)

    assert ours.estimate == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert ours.low < ours.estimate < ours.high


def judged_by_length(bias: float) -> Evals:
    """Forty cases: the judge adds `bias` for each doubling of the length to what people say."""
    rng = np.random.default_rng(4)
    lengths = {(at, 1): int(100 * 2 ** (at % 4)) for at in range(40)}
    rows = []
    for at in range(40):
        true = float(rng.integers(1, 4))
        rows += [
            row(at, true + bias * (at % 4) + rng.choice([0, 0, 0.5])),
            row(at, true, grader="anna", kind="human"),
        ]
    return evals_of(rows, lengths=lengths)


def test_a_judge_that_likes_length_is_found_out():
    effect = found_in(judge_forensics(judged_by_length(0.5)), "length effect")

    assert effect["low"] > 0
    assert effect["value"] == pytest.approx(0.5, abs=0.15)
    assert effect["p_adjusted"] < 0.05


def test_a_judge_that_does_not_is_left_alone():
    effect = found_in(judge_forensics(judged_by_length(0.0)), "length effect")

    assert effect["low"] < 0 < effect["high"]


def test_without_labels_only_the_correlation_is_told():
    evals = judged_by_length(0.5)
    alone = Evals.from_tables(
        criteria=evals.criteria,
        runs=evals.runs,
        trials=evals.trials,
        scores=evals.scores.filter(pl.col("grader_kind").cast(pl.String) == "judge"),
    )

    found = judge_forensics(alone)

    told = set(found.summary["finding"])
    assert "length correlation" in told
    assert not {"length effect", "leniency"} & told
    assert "W12" in found.warnings["id"].to_list()
    assert "no bias" in found_in(found, "length correlation")["text"]


def test_without_transcripts_the_length_is_not_estimable():
    length = found_in(
        judge_forensics(evals_of([row(at, at % 5 + 1) for at in range(20)])), "length correlation"
    )

    assert length["status"] == "not_estimable"
    assert length["value"] is None


def test_people_s_most_frequent_score_is_of_the_same_suite_and_the_highest_of_several():
    rows = [row(at, score) for at, score in enumerate([4, 4, 4, 2])]
    rows += [row(at, score, grader="anna", kind="human") for at, score in enumerate([2, 4, 5, 4, 5, 3])]
    one = evals_of(rows)
    other = Evals.from_tables(
        criteria=CRITERIA.with_columns(suite=pl.lit("t")),
        runs=pl.DataFrame({"run": ["q"], "suite": ["t"]}),
        scores=pl.DataFrame(
            [row(at, 1, grader="anna", kind="human") | {"run": "q"} for at in range(9)]
            + [row(at, 1) | {"run": "q"} for at in range(9)]
        ),
    )

    summary = judge_forensics(one + other).summary.filter(finding="heaping")

    first, second = summary.sort("scope")["text"]
    assert all(number in first for number in ("75%", " 4", " 5 ", "33% of 6"))
    assert all(number in second for number in ("100%", " 1", "100% of 9"))


def test_heaping_is_the_share_of_the_most_frequent_score():
    scores = [4] * 14 + [1, 2, 3, 5, 5, 5]
    found = judge_forensics(evals_of([row(at, s) for at, s in enumerate(scores)]))

    heap, bits = found_in(found, "heaping"), found_in(found, "entropy")
    wanted = ek.stats.wilson(14, 20)
    assert (heap["value"], heap["low"], heap["high"]) == pytest.approx((0.7, wanted.low, wanted.high))
    assert bits["value"] == pytest.approx(entropy([14, 1, 1, 1, 3], base=2))
    assert "2.32" in bits["text"]


def test_a_judge_with_one_score_only_carries_no_bits():
    found = judge_forensics(evals_of([row(at, 4) for at in range(20)]))

    assert found_in(found, "entropy")["value"] == 0
    assert found_in(found, "heaping")["value"] == 1


def test_leniency_is_the_paired_difference_of_case_means():
    judge, human = [5, 4, 4, 5, 3, 4], [4, 4, 3, 3, 3, 2]
    rows = [row(at, s) for at, s in enumerate(judge)]
    rows += [row(at, s, grader="anna", kind="human") for at, s in enumerate(human)]

    lenient = found_in(judge_forensics(evals_of(rows)), "leniency")

    wanted = ek.stats.paired_t(np.array(judge) - np.array(human))
    assert (lenient["value"], lenient["low"], lenient["p_value"]) == pytest.approx(
        (wanted.estimate, wanted.low, wanted.p_value)
    )
    assert lenient["low"] > 0


def test_two_judges_are_each_looked_at_and_against_each_other():
    rows = [row(at, s, grader="a") for at, s in enumerate([5, 4, 4, 5, 3, 4])]
    rows += [row(at, s, grader="b") for at, s in enumerate([4, 4, 3, 3, 3, 2])]

    found = judge_forensics(evals_of(rows))

    gap = found_in(found, "judges differ")
    assert gap["scope"] == "b against a · c"
    assert gap["value"] == pytest.approx(-1.0)
    assert {"a · c", "b · c"} <= set(found.summary["scope"])
    assert (
        judge_forensics(evals_of(rows), grader="a")
        .summary.filter(pl.col("scope").str.contains("b"))
        .is_empty()
    )
    with pytest.raises(SelectorError):
        judge_forensics(evals_of(rows), grader="c")


def test_a_new_rubric_that_is_stricter_shows_as_drift():
    before = [5, 4, 4, 5, 3, 4, 2, 5] * 4
    after = [max(1, s - (at % 2)) for at, s in enumerate(before)]
    rows = [row(at, s, rubric_hash="old") for at, s in enumerate(before)]
    rows += [row(at, s, rubric_hash="new") for at, s in enumerate(after)]

    found = judge_forensics(evals_of(rows))

    drift = found_in(found, "drift")
    flips = found.summary.filter(
        (pl.col("finding") == "drift flips") & pl.col("scope").str.contains("verdict")
    )
    changed = np.mean((np.array(before) >= 4) != (np.array(after) >= 4))
    assert drift["value"] == pytest.approx(np.mean(after) - np.mean(before))
    assert drift["high"] < 0
    assert flips["value"].item() == pytest.approx(changed)
    assert flips["low"].item() < changed < flips["high"].item()
    assert found_in(found, "drift kappa")["value"] < 1


def test_versions_of_a_prompt_are_compared_within_one_model():
    rows = [row(at, 4, grader="judge-1", judge_model="m", prompt_hash="p1") for at in range(8)]
    rows += [row(at, 3 + at % 2, grader="judge-2", judge_model="m", prompt_hash="p2") for at in range(8)]

    drift = found_in(judge_forensics(evals_of(rows)), "drift")

    assert (drift["scope"], drift["value"]) == ("m · c", pytest.approx(-0.5))


def test_one_version_has_no_drift_and_the_row_says_what_is_needed():
    drift = found_in(judge_forensics(evals_of([row(1, 4), row(2, 3)])), "drift")

    assert drift["status"] == "not_estimable"
    assert "rubric_hash" in drift["text"]


def in_both_orders(first, second, same, *, cases=None) -> Evals:
    """Pairs whose winner is the first shown both times, the second both times, or the same answer."""
    winners = [("A", "B")] * first + [("B", "A")] * second + [("A", "A")] * same
    rows = []
    for at, pair in enumerate(winners):
        for sample, (order, winner) in enumerate(zip(("AB", "BA"), pair, strict=True), 1):
            case, epoch = (at, 1) if cases is None else (at % cases, at + 1)
            meta = json.dumps({"order": order})
            rows.append(row(case, None, sample=sample, label=winner, metadata=meta, epoch=epoch))
    return evals_of(rows)


def test_the_first_shown_winning_twice_is_a_position_effect():
    position = found_in(judge_forensics(in_both_orders(12, 2, 16)), "position")

    assert position["p_value"] == pytest.approx(ek.stats.mcnemar(12, 2).mid_p)
    assert position["value"] == pytest.approx(10 / 30)
    assert position["low"] > 0
    assert "won twice in 12" in position["text"]


def test_winners_that_never_change_are_no_position_effect():
    position = found_in(judge_forensics(in_both_orders(0, 0, 20)), "position")

    assert position["p_value"] == 1
    assert position["low"] < 0 < position["high"]


def test_several_pairs_of_a_case_count_as_one_case():
    position = found_in(judge_forensics(in_both_orders(12, 2, 16, cases=5)), "position")

    assert position["cases"] == 5
    assert "case means" in position["method"]


def test_scores_in_both_orders_without_winners_give_the_shift():
    rows = []
    for at in range(10):
        rows += [
            row(at, 4 + at % 2, sample=1, metadata='{"position": "AB"}'),
            row(at, 3 + at % 3 / 2, sample=2, metadata='{"position": "ba"}'),
        ]

    shift = found_in(judge_forensics(evals_of(rows)), "position shift")

    assert shift["value"] == pytest.approx(np.mean([1 + at % 2 - at % 3 / 2 for at in range(10)]))


@pytest.mark.parametrize("metadata", [None, "", "not json", "[1]", '{"order": "ABBA"}', '{"order": null}'])
def test_without_both_orders_the_row_says_what_is_needed(metadata):
    position = found_in(judge_forensics(evals_of([row(1, 4, metadata=metadata), row(2, 3)])), "position")

    assert position["status"] == "not_estimable"
    assert '{"order": "AB"}' in position["text"]


def test_p_is_adjusted_over_every_look():
    summary = judge_forensics(judged_by_length(0.5)).summary

    raw = summary["p_value"].to_list()
    assert summary["p_adjusted"].to_list() == ek.stats.benjamini_hochberg(raw)


def test_no_number_is_ever_nan_and_every_interval_holds_its_value():
    for evals in (
        evals_of([row(1, 4)]),
        evals_of([row(1, None), row(2, None)]),
        evals_of([row(1, 4), row(1, 3, grader="anna", kind="human")], lengths={(1, 1): 10}),
        Evals.from_tables(),
        ek.demo.make(),
    ):
        for found in judge_forensics(evals).summary.iter_rows(named=True):
            values = [found[name] for name in ("low", "value", "high")]
            assert not any(v is not None and math.isnan(v) for v in values)
            if found["low"] is not None:
                assert found["low"] <= found["value"] <= found["high"]
                assert found["high"] > found["low"]


def test_text_of_the_data_is_escaped():
    evil = "<img src=x onerror=1>"

    found = judge_forensics(evals_of([row(at, at % 5 + 1, grader=evil) for at in range(10)]))

    assert "<img" not in found._repr_html_()
    assert json.dumps(found.to_dict())


def test_the_words_of_the_findings(golden):
    for name, evals in (
        ("demo", ek.demo.make()),
        ("length", judged_by_length(0.5)),
        ("orders", in_both_orders(12, 2, 16)),
        ("no_scores", Evals.from_tables()),
    ):
        found = judge_forensics(evals)
        rows = [
            f"{row['scope']} | {row['finding']} | {row['text']}"
            for row in found.summary.iter_rows(named=True)
        ]
        golden(name, "\n".join([repr(found), "", *rows]))
