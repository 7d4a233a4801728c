"""Many versions: against the baseline, ranked, tied, and looked at while they run."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats as scipy_stats

from evalkit.compare.compare_many import compare_many
from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import PassRule
from evalkit.util.errors import FormatError, SelectorError

RULE = PassRule(scale=(1, 5))


def evals_of(runs: dict[str, list[list[int | None]]], *, versions=None, started=True, cluster=None) -> Evals:
    """Make an Evals of runs: for each a list of cases, for each case its trials, 1 pass, 0 fail, None unscored."""
    names = list(runs)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    scores = [
        (run, f"{case:03}", epoch + 1, "quality", None if passed is None else 5.0 if passed else 2.0)
        for run, cases in runs.items()
        for case, trials in enumerate(cases)
        for epoch, passed in enumerate(trials)
    ]
    width = max(len(cases) for cases in runs.values())
    return Evals.from_tables(
        cases=pl.DataFrame(
            {"suite": "s", "case": [f"{at:03}" for at in range(width)], "cluster": cluster or [None] * width},
            schema_overrides={"cluster": pl.String},
        ),
        criteria=pl.DataFrame(
            {"suite": "s", "criterion": ["quality"], "scale_min": 1.0, "scale_max": 5.0, "kind": "ordinal"}
        ),
        runs=pl.DataFrame(
            {
                "run": names,
                "suite": "s",
                "agent_version": versions or names,
                "started_at": [first + timedelta(days=at) if started else None for at in range(len(names))],
            },
            schema_overrides={"started_at": pl.Datetime("us", "UTC")},
        ),
        scores=pl.DataFrame(scores, schema=["run", "case", "epoch", "criterion", "score"], orient="row"),
    )


def columns(*passes: list[int]) -> dict[str, list[list[int | None]]]:
    return {f"v{at}": [[p] for p in column] for at, column in enumerate(passes, start=1)}


def random_runs(seed: int, *, n: int, k: int, rates: list[float]) -> dict[str, list[list[int | None]]]:
    rng = np.random.default_rng(seed)
    return {
        f"v{at}": (rng.random((n, k)) < rate).astype(int).tolist() for at, rate in enumerate(rates, start=1)
    }


def test_each_version_is_compared_with_the_baseline_as_compare_does_and_adjusted_by_holm():
    evals = evals_of(random_runs(1, n=60, k=3, rates=[0.5, 0.9, 0.55, 0.7]))

    found = compare_many(evals, baseline="v1")

    rates = found.summary.filter(metric="pass_rate")
    assert rates["scope"].to_list() == ["v2", "v3", "v4"]
    alone = [found.changes[name].summary.row(0, named=True) for name in rates["scope"]]
    assert rates["difference"].to_list() == [row["difference"] for row in alone]
    raw = sorted(row["p_value"] for row in alone)
    holm = np.maximum.accumulate([min(1, p * (3 - at)) for at, p in enumerate(raw)])
    assert sorted(rates["p_adjusted"]) == pytest.approx(holm.tolist())


def test_a_difference_that_only_the_unadjusted_p_shows_is_not_called_one():
    b = [1] * 8 + [0] * 12
    better = [1] * 14 + [0] * 6
    evals = evals_of(columns(b, better, *([b[:]] * 6)))

    loose = compare_many(evals, baseline="v1", adjust="none").summary.row(0, named=True)
    strict = compare_many(evals, baseline="v1").summary.row(0, named=True)

    assert loose["p_value"] < 0.05
    assert loose["verdict"] == "improved"
    assert (strict["p_adjusted"] > 0.05, strict["verdict"]) == (True, "inconclusive")


def test_the_omnibus_tests_are_those_of_statsmodels_and_scipy():
    from statsmodels.stats.contingency_tables import cochrans_q

    runs = random_runs(2, n=40, k=1, rates=[0.5, 0.6, 0.8])
    table = np.array([[trial[0] for trial in cases] for cases in runs.values()]).T

    found = compare_many(evals_of(runs), baseline="v1")

    rate, mean = found.omnibus.rows(named=True)
    assert (rate["method"], mean["method"]) == ("Cochran Q", "Friedman")
    assert rate["p_value"] == pytest.approx(cochrans_q(table).pvalue)
    assert mean["p_value"] == pytest.approx(scipy_stats.friedmanchisquare(*table.T).pvalue)


def test_versions_that_cannot_be_told_apart_are_named_as_tied():
    weak, strong, stronger = [0] * 30 + [1] * 10, [0] * 4 + [1] * 36, [0] * 3 + [1] * 37
    evals = evals_of(columns(weak, strong, stronger))

    found = compare_many(evals, baseline="v1")

    assert found.tied["pass_rate"] == (("v3", "v2"),)
    assert "v3, v2 are indistinguishable" in found.sentence
    ranks = found.ranks.filter(metric="pass_rate")
    assert ranks["version"].to_list() == ["v3", "v2", "v1"]
    assert ranks["rank"].to_list() == [1, 2, 3]
    assert ranks["tied_with_best"].to_list() == [True, True, False]
    assert ranks["p_best"].sum() == pytest.approx(1)
    assert ranks["p_best_shrunk"].sum() == pytest.approx(1)
    # Shrinking takes from the share of the first.
    assert 1 / ranks.height <= ranks["p_best_shrunk"].max() <= ranks["p_best"].max()


def test_one_pair_of_many_that_differs_by_luck_is_still_tied():
    low, high, middle = [1] * 8 + [0] * 12, [1] * 14 + [0] * 6, [1] * 11 + [0] * 9
    evals = evals_of(columns(low, high, middle, middle))

    found = compare_many(evals, baseline="v1")

    assert found.changes["v2"].summary["p_value"][0] < 0.05
    assert found.tied["pass_rate"] == (("v2", "v3", "v4", "v1"),)
    assert "no two versions are distinguishable" in found.sentence


def test_identical_versions_share_the_first_rank_and_are_all_tied():
    evals = evals_of(columns(*[[1, 0, 1, 1, 0, 1, 1, 1]] * 3))

    found = compare_many(evals, baseline="v1")

    assert found.tied["pass_rate"] == (("v1", "v2", "v3"),)
    assert found.ranks.filter(metric="pass_rate")["rank"].to_list() == [2, 2, 2]
    assert found.ranks.filter(metric="pass_rate")["p_best"].to_list() == pytest.approx([1 / 3] * 3)
    assert set(found.summary["verdict"]) == {"inconclusive"}


def test_ranks_rest_on_the_cases_that_every_version_was_scored_on():
    evals = evals_of({"v1": [[1], [1], [1], [0]], "v2": [[1], [0], [1]], "v3": [[1], [1], [None], [1]]})

    ranks = compare_many(evals, baseline="v1").ranks.filter(metric="pass_rate")

    assert ranks["n"].to_list() == [2, 2, 2]
    assert dict(ranks.select("version", "value").iter_rows()) == {"v1": 1.0, "v2": 0.5, "v3": 1.0}


def test_copies_of_a_case_in_one_cluster_change_no_rank_and_no_tie():
    runs = random_runs(3, n=20, k=1, rates=[0.3, 0.6, 0.9])
    tripled = {run: [trials for trials in cases for _ in range(3)] for run, cases in runs.items()}
    clusters = [f"c{at}" for at in range(20) for _ in range(3)]

    once = compare_many(evals_of(runs), baseline="v1")
    thrice = compare_many(evals_of(tripled, cluster=clusters), baseline="v1")

    assert once.tied["mean_score"] == thrice.tied["mean_score"]
    same = ["version", "rank", "low", "high", "p_best"]
    assert once.ranks.select(same).equals(thrice.ranks.select(same))


def test_the_winner_is_warned_of_and_the_bonus_is_about_what_it_won_by_chance():
    evals = evals_of(random_runs(4, n=50, k=1, rates=[0.7] * 10))

    found = compare_many(evals, baseline="v1")

    (text,) = found.warnings.filter(id="W10").filter(pl.col("text").str.contains("pass rate"))["text"]
    assert "best of 10" in text
    assert re.search(r"by about \d\.\d points\.", text)
    (score,) = found.warnings.filter(id="W10").filter(pl.col("text").str.contains("mean score"))["text"]
    assert re.search(r"by about \d\.\d\d\.", score)


def test_two_versions_need_no_warning_of_the_winner_or_of_many_tests():
    found = compare_many(evals_of(random_runs(5, n=30, k=1, rates=[0.5, 0.6])), baseline="v1")

    assert not set(found.warnings["id"]) & {"W08", "W10"}


def test_watched_runs_are_decided_by_their_e_value_at_the_first_look_that_suffices():
    old, new = [[0]] * 12, [[1]] * 12
    runs = {"a1": old, "b1": new[:4] + old[4:], "a2": old, "b2": new}
    evals = evals_of(runs, versions=["a", "b", "a", "b"])

    found = compare_many(evals, baseline="a", sequential=True)

    assert found.looks["look"].to_list() == [1, 2]
    assert found.looks["n"].to_list() == [12, 24]
    assert found.looks["up"].to_list() == [4, 16]
    # E = 2^(b + c) B(b + 1, c + 1), with c = 0: 2^b / (b + 1)
    assert found.looks["e_value"].to_list() == pytest.approx([16 / 5, 2**16 / 17])
    assert found.looks["stop"].to_list() == [False, True]
    assert found.summary["verdict"].to_list() == ["improved", "inconclusive"]
    assert "W09" in set(found.warnings["id"])
    # An e-value is about these cases: every text with its verdict says so, and no other verdict does.
    once = compare_many(evals, baseline="a")
    for text in (found.sentence, found.explain(), found._repr_html_()):
        assert "improved on these cases" in text
        assert "inconclusive on these cases" not in text
    assert "on these cases" not in once.sentence + once._repr_html_()


def test_evidence_once_reached_stands_whatever_comes_later():
    up, down = [[1]] * 8, [[0]] * 8
    runs = {"a1": down, "b1": up, "a2": up, "b2": down}
    evals = evals_of(runs, versions=["a", "b", "a", "b"])

    found = compare_many(evals, baseline="a", sequential=True)

    assert found.looks["e_value"][1] < 20 < found.looks["e_value"][0]
    assert found.looks["stop"].to_list() == [True, True]
    assert found.summary["verdict"][0] == "improved"


def test_runs_without_a_time_are_one_look():
    runs = {"a1": [[0]] * 5, "b1": [[1]] * 5, "a2": [[0]] * 5, "b2": [[1]] * 5}
    evals = evals_of(runs, versions=["a", "b", "a", "b"], started=False)

    found = compare_many(evals, baseline="a", sequential=True)

    assert found.looks["look"].to_list() == [1]
    assert "started_at" in found.warnings.filter(id="W09")["text"][0]


def test_runs_that_were_added_again_are_warned_of_when_nobody_said_how_often_one_looked():
    runs = {"a1": [[0]] * 5, "b1": [[1]] * 5, "b2": [[1]] * 5}
    evals = evals_of(runs, versions=["a", "b", "b"])

    found = compare_many(evals, baseline="a")

    assert "b (2 runs)" in found.warnings.filter(id="W09")["text"][0]


def test_planned_looks_are_each_made_at_pococks_level():
    evals = evals_of(random_runs(6, n=30, k=1, rates=[0.5, 0.6]))

    found = compare_many(evals, baseline="v1", looks=5)

    assert found.summary["level"].to_list() == pytest.approx([1 - 0.0158] * 2, abs=5e-5)
    assert found.level == 0.95


def test_looks_are_planned_or_not():
    evals = evals_of(columns([1, 0], [1, 1]))

    with pytest.raises(FormatError, match="looks=3"):
        compare_many(evals, baseline="v1", looks=3, sequential=True)


@pytest.mark.parametrize(
    ("baseline", "names"),
    [
        ("v1", ("v2", "v10")),
        ({"agent_version": "v1"}, ("v2", "v10")),
        ({"run": "v2"}, ("v1", "v10")),
    ],
)
def test_the_others_are_everything_of_the_kind_of_the_baseline_in_natural_order(baseline, names):
    runs = columns([1, 0], [1, 1], [0, 1])
    runs["v10"] = runs.pop("v3")

    found = compare_many(evals_of(runs), baseline=baseline)

    assert tuple(name.split()[-1] for name in found.candidates) == names


def test_a_lone_version_has_nothing_to_be_compared_with():
    with pytest.raises(SelectorError, match="nothing to compare 'v1' with"):
        compare_many(evals_of(columns([1, 0])), baseline="v1")


def test_a_version_may_be_named_once():
    evals = evals_of(columns([1, 0], [1, 1]))

    with pytest.raises(SelectorError, match="named twice"):
        compare_many(evals, baseline="v1", candidates=["v2", "v2"])
    with pytest.raises(SelectorError, match="belongs to"):
        compare_many(evals, baseline="v1", candidates=["v2", {"run": "v2"}])


HOSTILE = {
    "one case": columns([1], [0], [1]),
    "two cases": columns([1, 1], [0, 1], [1, 1]),
    "all pass": columns([1] * 9, [1] * 9, [1] * 9),
    "all fail": columns([0] * 9, [0] * 9),
    "no case in common": {"v1": [[1], [None]], "v2": [[None], [1]], "v3": [[1], [1]]},
    "nothing scored": {"v1": [[None]], "v2": [[None]]},
    "unequal epochs": {"v1": [[1, 0, 1], [1]], "v2": [[1], [0, 0]], "v3": [[1, 1], [1, None]]},
    "markup in a name": {"<b>x</b>": [[1], [0]], "v2": [[1], [1]]},
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("sequential", [False, True])
def test_data_that_a_real_run_can_produce_gives_words_and_never_nan(name, sequential):
    runs = HOSTILE[name]

    found = compare_many(evals_of(runs), baseline=next(iter(runs)), sequential=sequential)

    text = json.dumps(found.to_dict(), allow_nan=False, default=str)
    assert found.sentence
    assert found.explain()
    assert text
    assert "<b>" not in found._repr_html_()
    unsure = found.ranks.filter(pl.col("rank").is_null())
    assert (unsure["status"] == "not_estimable").all()
    assert (unsure["reason"] != "").all()
    assert found.chart().to_dict()
    assert found.chart("forest").to_dict()


def test_the_order_of_the_rows_changes_nothing():
    evals = evals_of(random_runs(7, n=25, k=2, rates=[0.5, 0.7, 0.8]))
    shuffled = Evals.from_tables(
        cases=evals.cases,
        criteria=evals.criteria,
        runs=evals.runs.reverse(),
        scores=evals.scores.sample(fraction=1.0, shuffle=True, seed=1),
    )

    once, again = (compare_many(each, baseline="v1", resamples=2000) for each in (evals, shuffled))

    assert once.sentence == again.sentence
    assert once.summary["p_value"].to_list() == pytest.approx(again.summary["p_value"].to_list())


def test_a_pair_counts_from_the_look_at_which_both_of_its_trials_were_there():
    # The baseline tries case 0 only on the third day, after the candidate; case 1 on the first.
    runs = {"a1": [[], [1]], "b1": [[1], [0]], "a2": [[1], [1]]}
    evals = evals_of(runs, versions=["v1", "v2", "v1"])

    looks = compare_many(evals, baseline="v1", sequential=True).looks

    assert looks.select("look", "n", "up", "down").rows() == [(1, 1, 0, 1), (2, 2, 0, 1)]


def test_a_model_on_which_one_version_has_no_score_counts_for_no_version():
    # v2 on model n lacks a score in case 0: it is unscored there, although the other score is below the floor.
    given = {"v1-m": (5, 5), "v1-n": (3, 3), "v2-m": (5, 5), "v2-n": (1, None)}
    scores = [
        (run, f"{case}", name, score if case == 0 else 4.0)
        for run, both in given.items()
        for case in range(3)
        for name, score in zip(("a", "b"), both, strict=True)
    ]
    evals = Evals.from_tables(
        criteria=pl.DataFrame(
            {"suite": "s", "criterion": ["a", "b"], "scale_min": 1.0, "scale_max": 5.0, "kind": "ordinal"}
        ),
        runs=pl.DataFrame(
            {
                "run": list(given),
                "suite": "s",
                "agent_version": [run[:2] for run in given],
                "model": [run[3:] for run in given],
            }
        ),
        scores=pl.DataFrame(
            scores,
            schema={"run": pl.String, "case": pl.String, "criterion": pl.String, "score": pl.Float64},
            orient="row",
        ),
    )

    ranks = compare_many(evals, baseline="v1").ranks.sort("metric", "version")

    # Model n is left out of case 0 on both sides, so that both pass every case; scores are (5 + 4 + 4) / 3.
    assert ranks.select("version", "value", "n").rows() == [
        ("v1", 1.0, 3),
        ("v2", 1.0, 3),
        ("v1", pytest.approx(13 / 3), 3),
        ("v2", pytest.approx(13 / 3), 3),
    ]


def test_what_is_said_of_every_pair_is_said_once_and_else_of_whom():
    runs = {**columns([1, 0] * 6, [0, 1] * 6), "v3": [[1]] * 10 + [[None]] * 2}

    warnings = compare_many(evals_of(runs), baseline="v1").warnings

    assert warnings.filter(id="W12")["scope"].to_list() == ["overall"]
    assert warnings.filter(id="W06")["scope"].to_list() == ["v3"]


@pytest.mark.parametrize(
    ("adjust", "words"),
    [
        ("holm", "Holm"),
        ("bh", "Benjamini-Hochberg"),
        ("none", "Nothing is adjusted"),
    ],
)
def test_several_candidates_name_the_adjustment(adjust, words):
    evals = evals_of(columns([1, 0] * 6, [0, 1] * 6, [1, 1] * 6))

    (plain,) = compare_many(evals, baseline="v1", adjust=adjust).warnings.filter(id="W08")["text"]
    (bounded,) = compare_many(evals, baseline="v1", adjust=adjust, margin={"pass_rate": 0.1}).warnings.filter(
        id="W08"
    )["text"]

    assert plain.startswith("2 versions")
    assert words in plain
    assert bounded.startswith(f'{plain} "No worse"')


@pytest.mark.parametrize(
    ("passes", "words"),
    [
        (
            (30, 30, 30),
            "v1, v2, v3 have the highest pass rate of 3 versions (50.0%, n = 60 cases); no two versions are distinguishable.",
        ),
        (
            (0, 30, 60),
            "v3 has the highest pass rate of 3 versions (100.0%, n = 60 cases); all versions are distinguishable.",
        ),
        (
            (10, 10, 60),
            "v3 has the highest pass rate of 3 versions (100.0%, n = 60 cases); v1, v2 are indistinguishable; v3 stands apart.",
        ),
    ],
)
def test_the_sentence_says_who_is_first_and_who_is_tied(passes, words):
    found = compare_many(evals_of(columns(*([1] * p + [0] * (60 - p) for p in passes))), baseline="v1")

    assert found.sentence.startswith(words)
