"""Plans: what the data in hand can show, what it takes to show more; and where the noise comes from."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from datetime import UTC, datetime
from math import sqrt

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from evalkit import stats
from evalkit.compare.pilot_study import Design, Pilot
from evalkit.compare.power_plan import plan
from evalkit.compare.variance import find_costs, variance
from evalkit.data.evals import Evals
from evalkit.data.scoring import Scoring
from evalkit.util.errors import ArgumentError, ColumnError, FormatError, SelectorError

Z = norm.ppf(0.975) + norm.ppf(0.8)


def evals_of(
    table: np.ndarray, *, versions=None, agent_cost=None, judge_cost=None, cluster=None, criteria=("quality",)
) -> Evals:
    """Make an Evals of an array (version, case, epoch, sample) or (..., criterion): scores 1 to 5, nan unscored."""
    table = table[..., None] if table.ndim == 4 else table
    names = versions or [f"v{at + 1}" for at in range(table.shape[0])]
    rows = [
        (names[v], f"{c:03}", e + 1, s + 1, criteria[q], None if np.isnan(value) else float(value))
        for (v, c, e, s, q), value in np.ndenumerate(table)
    ]
    scores = pl.DataFrame(
        rows, schema=["run", "case", "epoch", "sample", "criterion", "score"], orient="row"
    ).with_columns(cost_usd=pl.lit(judge_cost, dtype=pl.Float64))
    trials = scores.select("run", "case", "epoch").unique(maintain_order=True)
    width = table.shape[1]
    return Evals.from_tables(
        cases=pl.DataFrame(
            {"suite": "s", "case": [f"{at:03}" for at in range(width)], "cluster": cluster or [None] * width},
            schema_overrides={"cluster": pl.String},
        ),
        criteria=pl.DataFrame(
            {"suite": "s", "criterion": list(criteria), "scale_min": 1.0, "scale_max": 5.0, "kind": "ordinal"}
        ),
        runs=pl.DataFrame({"run": names, "suite": "s", "agent_version": names}),
        trials=trials.with_columns(cost_usd=pl.lit(agent_cost, dtype=pl.Float64)),
        scores=scores,
    )


def passes(*sides: list[list[int]]) -> np.ndarray:
    return np.where(np.array(sides, dtype=float)[..., None] > 0, 5.0, 2.0)


def judged(seed: int, *, n: int, k: int, s: int, case=0.8, epoch=0.5, sample=0.3, versions=2) -> np.ndarray:
    """Draw scores around 3 with known standard deviations, not rounded."""
    rng = np.random.default_rng(seed)
    shape = (versions, n, k, s)
    return np.clip(
        3
        + case * rng.normal(size=(1, n, 1, 1))
        + epoch * rng.normal(size=(versions, n, k, 1))
        + sample * rng.normal(size=shape),
        -9,
        9,
    )


def test_the_least_difference_is_millers_formula_on_the_variance_of_the_case_differences():
    rng = np.random.default_rng(1)
    table = passes(*(rng.random((2, 60, 4)) < 0.7).astype(int))
    fractions = (table[..., 0] > 4).mean(axis=2)

    found = plan(evals_of(table), baseline="v1", candidate="v2")

    spread = np.var(fractions[1] - fractions[0], ddof=1)
    # The interval of a pass rate counts at least a quarter of a case's trials as one (the floor of its design effect).
    used = max(spread, (1 + 3 / 4) / 4 * found.pilot.variance(1, 1))
    assert found.mde == pytest.approx(norm.ppf(0.975) * sqrt(used / 60) + norm.ppf(0.8) * sqrt(spread / 60))
    assert found.pairs == (("v1", "v2"),)


def test_single_runs_get_the_exact_power_of_mcnemars_test():
    old = [[1]] * 30 + [[0]] * 10
    new = [[1]] * 26 + [[0]] * 4 + [[1]] * 4 + [[0]] * 6

    found = plan(evals_of(passes(old, new)), difference=0.2)

    first = found.table.row(0, named=True)
    assert first["method"] == "McNemar mid-p, exact"
    flips = np.var([0] * 26 + [-1] * 4 + [1] * 4 + [0] * 6, ddof=1) + 0.04
    rng = np.random.default_rng(3)
    up, down = (flips + 0.2) / 2, (flips - 0.2) / 2
    drawn = rng.multinomial(40, [up, down, 1 - up - down], 40_000)
    from evalkit.stats import mcnemar

    p = {pair: mcnemar(*pair).mid_p for pair in {(int(b), int(c)) for b, c, _ in drawn}}
    seen = np.mean([p[int(b), int(c)] <= 0.05 for b, c, _ in drawn])
    assert first["power"] == pytest.approx(seen, abs=0.01)


@pytest.mark.parametrize("metric", ["pass_rate", "mean_score"])
def test_the_cases_asked_for_do_show_the_difference_four_times_in_five(metric):
    from evalkit.stats import paired_t

    found = plan(
        evals_of(judged(5, n=300, k=3, s=1) + 1.2),
        metric=metric,
        difference=0.2 if metric == "mean_score" else 0.1,
    )

    n = found.table.filter(option="more cases")["cases"].item()
    spread = sqrt(found.pilot.variance(3, 1))
    rng = np.random.default_rng(6)
    drawn = rng.normal(found.difference, spread, (1500, n))
    if metric == "mean_score":
        seen = np.mean([paired_t(row).p_value <= 0.05 for row in drawn])
    else:
        used = found.pilot.used_variance(Design(n, 3, 1))
        seen = np.mean(np.abs(drawn.mean(axis=1)) > norm.ppf(0.975) * sqrt(used / n))
    assert seen == pytest.approx(0.8, abs=0.04)


def test_more_epochs_shrink_only_the_part_that_runs_make():
    found = plan(evals_of(judged(7, n=400, k=4, s=1)), metric="mean_score", difference=0.05)

    rows = {row["option"]: row for row in found.table.iter_rows(named=True)}
    pilot = found.pilot
    assert pilot.run == pytest.approx(2 * (0.5**2 + 0.3**2), rel=0.1)
    for option, epochs in (("cases at 1 epoch", 1), ("more cases", 4), ("cases at 10 epochs", 10)):
        wanted = (Z / 0.05) ** 2 * (pilot.omega2 + pilot.run / epochs)
        assert rows[option]["cases"] == pytest.approx(wanted, rel=0.01)


def test_judge_samples_shrink_only_the_part_that_the_judge_makes():
    found = plan(evals_of(judged(8, n=400, k=2, s=2, sample=0.6)), metric="mean_score")

    assert found.pilot.judge == pytest.approx(2 * 0.6**2, rel=0.1)
    assert found.pilot.run == pytest.approx(2 * 0.5**2, rel=0.15)
    rows = {row["option"]: row["mde"] for row in found.table.iter_rows(named=True)}
    pilot = found.pilot
    assert rows["twice the judge samples"] == pytest.approx(
        Z * sqrt((pilot.omega2 + (pilot.run + pilot.judge / 4) / 2) / 400)
    )


def test_the_price_is_that_of_both_sides():
    evals = evals_of(judged(9, n=40, k=2, s=3), agent_cost=0.01, judge_cost=0.002)

    found = plan(evals, metric="mean_score", difference=0.2)

    for row in found.table.drop_nulls("price_usd").iter_rows(named=True):
        wanted = 2 * row["cases"] * row["epochs"] * (0.01 + row["samples"] * 0.002)
        assert row["price_usd"] == pytest.approx(wanted)
    assert "$" in found.sentence


def test_without_prices_there_is_no_price():
    found = plan(evals_of(judged(9, n=40, k=2, s=1)), metric="mean_score", difference=0.2)

    assert found.table["price_usd"].null_count() == found.table.height
    assert "$" not in found.sentence


def test_epochs_that_can_never_suffice_are_said_to():
    found = plan(evals_of(judged(10, n=20, k=3, s=1)), metric="mean_score", difference=0.02)

    row = found.table.filter(option="more epochs").row(0, named=True)
    assert row["epochs"] is None
    assert "not even 50 epochs" in row["reason"]
    assert "not even 50 epochs" in found.sentence


def test_a_margin_asks_for_the_chance_to_say_no_worse_of_versions_that_are_alike():
    rng = np.random.default_rng(11)
    table = passes(*(rng.random((2, 200, 5)) < 0.73).astype(int))

    found = plan(evals_of(table), margin={"pass_rate": 0.1})

    spread = found.pilot.variance(5, 1)
    assert found.margin == 0.1
    used = max(spread, (1 + 4 / 4) / 5 * found.pilot.variance(1, 1))
    z = norm.ppf(0.95) * sqrt(used / 200)
    assert found.table["power"][0] == pytest.approx(norm.cdf((0.1 - z) / sqrt(spread / 200)))
    needed = found.table.filter(option="more cases").row(0, named=True)
    assert needed["power"] >= 0.8
    assert '"no worse by 10.0 points"' in found.sentence


def test_one_version_is_planned_for_with_an_assumption_that_is_said():
    found = plan(evals_of(judged(12, n=60, k=3, s=1, versions=1)), metric="mean_score")

    assert found.status == "ok"
    assert any("correlate by 0.5" in note for note in found.notes)
    assert found.pilot.run == pytest.approx(2 * (0.5**2 + 0.3**2), rel=0.4)


def test_several_versions_are_averaged_over_neighbours():
    found = plan(evals_of(judged(13, n=50, k=2, s=1, versions=3)), metric="mean_score")

    assert found.pairs == (("v1", "v2"), ("v2", "v3"))
    assert any("over 2 pairs" in note for note in found.notes)


def test_clusters_ask_for_more_cases():
    rng = np.random.default_rng(14)
    shift = np.repeat(rng.normal(size=20), 5)
    table = judged(15, n=100, k=1, s=1)
    table[1] += shift[:, None, None]

    alone = plan(evals_of(table), metric="mean_score", difference=0.3)
    together = plan(
        evals_of(table, cluster=[f"c{at // 5}" for at in range(100)]), metric="mean_score", difference=0.3
    )

    assert together.pilot.effect > 2
    assert together.mde > 1.4 * alone.mde


def test_the_curve_meets_the_table_and_rises_with_the_cases():
    found = plan(evals_of(judged(16, n=100, k=2, s=1)), metric="mean_score", difference=0.15)

    mine = found.curve.filter((pl.col("difference") == 0.15) & (pl.col("k") == 2.0)).sort("n")
    assert mine["power"].is_sorted()
    assert mine.filter(n=100)["power"].item() == pytest.approx(found.table["power"][0])
    assert found.chart().to_dict()


@pytest.mark.parametrize("runs", [1, 2])
def test_the_chart_says_the_number_of_cases_of_the_sentence(runs):
    found = plan(evals_of(judged(16, n=100, k=runs, s=1)), metric="mean_score", difference=0.15)

    n = found.table.filter(option="more cases")["cases"].item()
    title = found.chart().to_dict()["title"]
    assert f"{n} cases at the same epochs" in found.sentence
    assert title["text"].startswith(f"{n} cases show a difference of 0.15")
    assert "step" in title["subtitle"][-1]


HOSTILE = {
    "one case": passes([[1]], [[0]]),
    "two cases": passes([[1], [0]], [[0], [0]]),
    "three cases": passes([[1], [0], [1]], [[0], [0], [1]]),
    "all pass": passes([[1, 1]] * 9, [[1, 1]] * 9),
    "constant": passes([[1]] * 9, [[0]] * 9),
    "one version, one run": passes([[1], [0], [1], [1]]),
    "nothing scored": np.full((2, 4, 2, 1), np.nan),
    "missing pairs": np.where(np.arange(16).reshape(2, 8, 1, 1) % 3 == 0, np.nan, judged(1, n=8, k=1, s=1)),
    "unequal epochs": np.where(np.arange(32).reshape(2, 8, 2, 1) % 5 == 0, np.nan, judged(2, n=8, k=2, s=1)),
    "no common case": np.where(
        np.arange(2)[:, None, None, None] == np.arange(8)[None, :, None, None] % 2,
        np.nan,
        judged(3, n=8, k=1, s=1),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("metric", ["pass_rate", "mean_score"])
@pytest.mark.parametrize("asked", [{}, {"difference": 0.1}, {"margin": 0.1}])
def test_data_that_a_real_run_can_produce_gives_a_plan_or_a_reason(name, metric, asked):
    evals = evals_of(HOSTILE[name])

    found = plan(evals, metric=metric, **asked)

    assert json.dumps(found.to_dict(), allow_nan=False)
    assert found.sentence
    assert (found.status == "ok") == (found.reason == "")
    assert found.chart().to_dict()
    assert "<table" in found._repr_html_()


def test_an_empty_collection_has_a_reason():
    empty = Evals.from_tables()

    assert plan(empty).status == "not_estimable"
    assert variance(empty).components.is_empty()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"difference": 0}, "difference=0"),
        ({"difference": 1.0}, "difference=1.0"),
        ({"margin": -0.1}, "margin=-0.1"),
        ({"difference": 0.1, "margin": 0.1}, "Pass one of them"),
        ({"margin": {"mean_score": 0.2}}, "margin names mean_score"),
        ({"power": 1}, "power"),
    ],
)
def test_what_no_plan_can_be_for_is_refused(asked, words):
    with pytest.raises((ArgumentError, FormatError), match=words):
        plan(evals_of(judged(1, n=5, k=1, s=1)), **asked)


def test_a_side_cannot_be_compared_with_itself():
    with pytest.raises(SelectorError, match="are the same"):
        plan(evals_of(judged(1, n=5, k=1, s=1)), baseline="v1", candidate="v1")


def test_the_parts_of_the_variance_are_found_again():
    table = judged(20, n=1500, k=3, s=2, versions=1)[..., None] + np.array([-0.5, 0.0, 0.5])

    found = variance(evals_of(table, criteria=("a", "b", "c")))

    parts = dict(found.components.select("component", "variance").iter_rows())
    assert parts["case"] == pytest.approx(0.64, rel=0.1)
    assert parts["epoch"] == pytest.approx(0.25, rel=0.1)
    assert parts["sample"] == pytest.approx(0.09, rel=0.1)
    assert parts["criterion"] == pytest.approx(0.25, rel=0.01)
    assert found.components["share"].sum() == pytest.approx(1)
    assert found.components["df"].to_list() == [1499, 3000, 4500, 2]


def test_what_the_data_cannot_tell_is_null_with_a_reason():
    found = variance(evals_of(judged(21, n=30, k=1, s=1)))

    unknown = found.components.filter(pl.col("component") != "case")
    assert unknown["variance"].null_count() == unknown.height
    assert (unknown["status"] == "not_estimable").all()
    assert found.sentence.count("Unknown:") == 2
    assert found.advice.filter(more="epochs")["gain"].null_count() == 2


def test_more_cases_help_most_unless_writing_one_is_dear():
    evals = evals_of(judged(22, n=50, k=2, s=2), agent_cost=0.01, judge_cost=0.01)

    cheap, dear = variance(evals), variance(evals, case_cost=5.0)

    assert cheap.advice["more"][0] == "cases"
    assert dear.advice["more"][0] != "cases"
    assert "buys more cases" in cheap.sentence


def test_a_noisy_cheap_judge_is_asked_again_before_a_dear_agent():
    evals = evals_of(judged(23, n=50, k=1, s=2, sample=2.0), agent_cost=1.0, judge_cost=0.001)

    assert variance(evals).advice["more"][0] == "judge samples"


def test_each_version_has_its_own_parts_in_natural_order():
    table = judged(24, n=20, k=2, s=1, versions=3)

    found = variance(evals_of(table, versions=["v10", "v2", "v1"]))

    assert found.components["version"].unique(maintain_order=True).to_list() == ["v1", "v2", "v10"]
    assert found.chart("v2").to_dict()
    assert found.chart().to_dict()


def test_the_variance_of_verdicts_has_no_criterion_part():
    found = variance(evals_of(judged(25, n=40, k=3, s=1) + 1), metric="pass_rate")

    row = found.components.filter(component="criterion").row(0, named=True)
    assert (row["variance"], row["status"]) == (None, "not_estimable")


def test_versions_are_made_of_columns_of_runs():
    with pytest.raises(ColumnError, match="agent_version"):
        variance(evals_of(judged(1, n=5, k=1, s=1)), by="agent_versoin")


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("metric", ["pass_rate", "mean_score"])
def test_variance_never_gives_nan(name, metric):
    found = variance(evals_of(HOSTILE[name]), metric=metric)

    assert json.dumps(found.to_dict(), allow_nan=False)
    assert found.explain()
    assert found.chart().to_dict()
    assert "<table" in found._repr_html_()


def test_prices_are_of_what_was_paid_for_and_not_of_answers_out_of_a_cache():
    evals = evals_of(judged(1, n=4, k=2, s=1), agent_cost=0.25, judge_cost=0.5)
    first = pl.col("epoch") == 1
    half = replace(
        evals,
        trials=evals.trials.with_columns(cost_usd=pl.when(first).then("cost_usd").otherwise(0.0)),
        scores=evals.scores.with_columns(cost_usd=pl.when(first).then("cost_usd").otherwise(0.0)),
    )
    free = evals_of(judged(1, n=4, k=2, s=1), agent_cost=0.0, judge_cost=0.0)

    assert find_costs(half, Scoring()) == find_costs(evals, Scoring()) == (0.25, 0.5)
    assert find_costs(free, Scoring()) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("agent", "judge", "known"),
    [(None, None, False), (None, 0.5, True), (0.25, None, True), (0.25, 0.5, True)],
)
def test_what_has_no_price_is_said(agent, judge, known):
    evals = evals_of(judged(1, n=3, k=1, s=1), agent_cost=agent, judge_cost=judge)

    costs = find_costs(evals, Scoring())

    assert (costs.agent, costs.judge, costs.is_known) == (agent, judge, known)
    assert bool(costs.note) == (None in (agent, judge))
    assert variance(evals).notes == ((costs.note,) if costs.note else ())


def test_a_yes_or_no_criterion_is_no_part_of_the_variance_of_mean_scores():
    scores = evals_of(judged(1, n=6, k=2, s=1, versions=1))
    asked = Evals.from_tables(
        criteria=pl.DataFrame(
            {"suite": "s", "criterion": ["cites"], "scale_min": 0.0, "scale_max": 1.0, "kind": "binary"}
        ),
        runs=scores.runs,
        scores=scores.scores.with_columns(
            criterion=pl.lit("cites"), score=(pl.col("score") > 3).cast(pl.Float64)
        ),
    )

    both = variance(scores + asked)

    assert both.components.equals(variance(scores).components)


def test_a_notebook_shows_the_answer_the_options_and_what_was_assumed():
    evals = evals_of(passes([[1]] * 8 + [[0]] * 4, [[1]] * 5 + [[0]] * 7), agent_cost=0.25, judge_cost=0.05)
    found = plan(evals, baseline="v1", candidate="v2", difference=0.1)
    priced = found.table.filter(option="in hand")

    page = found._repr_html_()

    assert f"<strong>{found.sentence}</strong>" in html.unescape(page)
    assert found.notes
    assert all(f"<li>{note}</li>" in html.unescape(page) for note in found.notes)
    assert all(f">{option}</td>" in page for option in found.table["option"])
    # Both sides: 2 * 12 cases * (0.25 + 0.05).
    assert priced["price_usd"].item() == pytest.approx(7.2)
    assert ">$7.20</td>" in page


@pytest.mark.parametrize(
    ("agent", "judge", "words"),
    [
        (None, None, ""),
        (0.25, None, "prices are the agent's alone"),
        (None, 0.05, "prices are the judge's alone"),
        (0.25, 0.05, ""),
    ],
)
def test_a_plan_says_whose_prices_it_lacks_where_it_names_one(agent, judge, words):
    table = passes([[1]] * 8 + [[0]] * 4, [[1]] * 5 + [[0]] * 7)

    notes = plan(evals_of(table, agent_cost=agent, judge_cost=judge), baseline="v1", candidate="v2").notes

    assert any("price" in note for note in notes) == bool(words)
    assert words in " ".join(notes)


@pytest.mark.parametrize(
    ("metric", "epochs", "n", "clusters", "method"),
    [
        ("pass_rate", 1, 200, 200, "McNemar mid-p, exact"),
        ("pass_rate", 1, 201, 201, "normal approximation"),
        ("pass_rate", 1, 200, 20, "normal approximation"),
        ("pass_rate", 2, 200, 200, "normal approximation"),
        ("mean_score", 1, 200, 200, "normal approximation"),
    ],
)
def test_only_single_runs_of_pass_or_fail_without_clusters_are_counted_exactly(
    metric, epochs, n, clusters, method
):
    # Whole clusters flip together, so they do widen.
    side = [[1 if at % clusters < clusters // 2 else 0] * epochs for at in range(n)]
    other = [
        [1 - trials[0]] * epochs if at % clusters < clusters // 4 else trials
        for at, trials in enumerate(side)
    ]
    table = passes(side, other)
    evals = evals_of(table, cluster=[str(at % clusters) for at in range(n)])

    found = plan(evals, baseline="v1", candidate="v2", metric=metric, difference=0.1)

    assert found.table["method"][0] == method


def test_a_difference_of_rates_above_one_is_none_at_all():
    # Gaps of -1, 0, 1, 0 over two trials each: sd .816, so 2.8 * .816 / sqrt(4 - 2) is more than 1.
    table = passes([[1, 1], [0, 0], [0, 0], [1, 1]], [[0, 0], [0, 0], [1, 1], [1, 1]])

    found = plan(evals_of(table), baseline="v1", candidate="v2")

    assert found.mde is None
    assert found.table["reason"][0] == "too few cases to detect any difference"
    assert plan(evals_of(table), baseline="v1", candidate="v2", metric="mean_score").mde > 1


def test_neighbors_without_sides_follow_the_order_of_the_versions():
    table = judged(13, n=50, k=2, s=1, versions=3)
    names = ["main", "feature/x", "beta"]
    evals = evals_of(table, versions=names)
    started = pl.Series([datetime(2026, 1, day, tzinfo=UTC) for day in (3, 1, 2)])
    timed = Evals.from_tables(
        cases=evals.cases,
        criteria=evals.criteria,
        runs=evals.runs.with_columns(started_at=started),
        trials=evals.trials,
        scores=evals.scores,
    )

    found, by_time = (plan(data, metric="mean_score", difference=0.2) for data in (evals, timed))

    assert found.pairs == (("main", "feature/x"), ("feature/x", "beta"))
    assert any("order" in note for note in found.notes)
    assert by_time.pairs == (("feature/x", "beta"), ("beta", "main"))
    assert not any("order" in note for note in by_time.notes)


@pytest.mark.parametrize(("n", "k", "loss"), [(9, 6, 0.3), (12, 6, 0.3), (12, 20, 0.3), (20, 20, 0.2)])
def test_the_power_of_few_cases_with_many_trials_is_that_of_the_interval(n, k, loss):
    """Without the floor of the design effect the formula promises 65 to 93% here."""
    rng = np.random.default_rng([n, k])

    def truth(size):
        old = rng.choice([0.9, 0.7, 0.5], size)
        return old, np.clip(old - np.where(rng.random(size) < 2 * loss, 0.5, 0.0), 0, 1)

    decided = 0
    for _ in range(400):
        old, new = (rng.binomial(k, p) / k for p in truth(n))
        e = stats.tango_n_eff(new, old, np.full(n, float(k)))
        decided += (e.high < 0 or e.low > 0) and e.p_value < 0.05
    old, new = truth(200_000)
    run = float(np.mean(old * (1 - old) + new * (1 - new)))
    pilot = Pilot(
        n=n, k=k, omega2=float(np.var(new - old)), run=run, runs_known=True, effect=1.0, counted=True
    )
    size, design = float(np.mean(old - new)), Design(n, k, 1)

    power = pilot.power(size, design, alpha=0.05)

    assert power == pytest.approx(decided / 400, abs=0.09)
    least = pilot.minimal_difference(design, alpha=0.05, power=0.8)
    assert pilot.power(least, design, alpha=0.05) == pytest.approx(0.8, abs=0.005)
    cases = pilot.cases_needed(size, k, 1, alpha=0.05, power=0.8)
    assert pilot.power(size, Design(cases, k, 1), alpha=0.05) >= 0.8
    assert pilot.power(size, Design(cases - 1, k, 1), alpha=0.05) < 0.8


def test_the_floor_of_a_plan_is_that_of_the_interval():
    """Cases that react alike: the interval of 9 cases of 6 trials does not trust their agreement."""
    pilot = Pilot(n=9, k=6, omega2=0.0, run=0.2, runs_known=True, effect=1.0, counted=True)

    # 1 - sum f (1 - f) / 8, with sum f (1 - f) = 9 * 0.2 * 5 / 6; far more cases reach (1 + 5 / 4) / 6.
    assert pilot.used_variance(Design(9, 6, 1)) == pytest.approx(0.2 * (1 - 1.5 / 8))
    assert pilot.used_variance(Design(900, 6, 1)) == pytest.approx(0.2 * 2.25 / 6)
    assert pilot.used_variance(Design(9, 1, 1)) == pytest.approx(0.2)
    scores = replace(pilot, counted=False)
    assert scores.used_variance(Design(9, 6, 1)) == scores.variance(6, 1)
