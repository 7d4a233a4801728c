"""Rates over cases, and how scores are spread."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from evalkit.data.evals import Evals
from evalkit.grading.pass_rule import PassRule
from evalkit.grading.summarize import distribution, summarize
from evalkit.grading.version_order import natural_key
from evalkit.readers.load import load
from evalkit.util.errors import ColumnError

AZURE = Path(__file__).parents[2].parent / "shared/data/azure_rag/2024-02"
MAPPING = Path(__file__).parents[2] / "docs/mappings/azure_rag.yaml"


def evals_of(scores: dict[tuple[str, str, int], list[float | None]], **case_columns) -> Evals:
    """(version, case, epoch) -> the scores of criteria c0, c1, ..."""
    rows = [(v, c, e, f"c{i}", s) for (v, c, e), each in scores.items() for i, s in enumerate(each)]
    frame = pl.DataFrame(rows, schema=["run", "case", "epoch", "criterion", "score"], orient="row")
    cases = sorted({c for _, c, _ in scores})
    versions = list(dict.fromkeys(v for v, _, _ in scores))
    return Evals.from_tables(
        cases=pl.DataFrame({"suite": "s", "case": cases, **case_columns}),
        criteria=pl.DataFrame(
            {"suite": "s", "criterion": frame["criterion"].unique(), "scale_min": 1.0, "scale_max": 5.0}
        ),
        runs=pl.DataFrame({"run": versions, "suite": "s", "agent_version": versions}),
        scores=frame,
    )


def test_the_interval_of_single_trials_is_wilsons():
    evals = evals_of({("v1", f"{i:02}", 1): [5 if i < 6 else 2] for i in range(9)})

    row = summarize(evals).row(0, named=True)

    low, high = proportion_confint(6, 9, method="wilson")
    assert (row["pass_rate"], row["low"], row["high"]) == pytest.approx((6 / 9, low, high))
    assert (row["n"], row["trials"], row["passed"], row["failed"], row["unscored"]) == (9, 9, 6, 3, 0)
    assert (row["method"], row["level"], row["k"]) == ("Wilson", 0.95, 1.0)


def test_the_case_is_the_unit_not_the_trial():
    evals = evals_of(
        {("v1", "01", e): [5] for e in range(1, 10)} | {("v1", "02", 1): [2]},
    )

    row = summarize(evals).row(0, named=True)

    assert row["pass_rate"] == 0.5
    assert (row["n"], row["trials"]) == (2, 10)


def test_identical_repeats_of_every_case_add_nothing_to_the_certainty():
    once = evals_of({("v1", f"{i:02}", 1): [5 if i < 6 else 2] for i in range(9)})
    often = evals_of({("v1", f"{i:02}", e): [5 if i < 6 else 2] for i in range(9) for e in range(1, 6)})

    assert summarize(often).select("low", "high").row(0) == pytest.approx(
        summarize(once).select("low", "high").row(0)
    )


def test_unscored_is_excluded_and_counted_unless_it_is_told_to_fail():
    evals = evals_of({("v1", "01", 1): [5], ("v1", "02", 1): [None]})

    excluded = summarize(evals).row(0, named=True)
    failed = summarize(evals, missing="fail").row(0, named=True)

    assert (excluded["pass_rate"], excluded["n"], excluded["unscored"]) == (1.0, 1, 1)
    assert (failed["pass_rate"], failed["n"], failed["unscored"]) == (0.5, 2, 0)


def test_nothing_scored_gives_no_number():
    row = summarize(evals_of({("v1", "01", 1): [None]})).row(0, named=True)

    assert (row["pass_rate"], row["low"], row["high"], row["mean_score"]) == (None, None, None, None)
    assert (row["n"], row["unscored"]) == (0, 1)


def test_groups_come_worst_severity_first_and_versions_as_a_person_counts():
    cases = ["01", "02", "03"]
    evals = evals_of(
        {(v, c, 1): [5] for v in ("v10", "v2") for c in cases}, severity=["medium", None, "critical"]
    )

    rows = summarize(evals, by=["severity", "agent_version"]).select("severity", "agent_version").rows()

    assert rows == [
        *[("critical", "v2"), ("critical", "v10")],
        *[("medium", "v2"), ("medium", "v10")],
        *[(None, "v2"), (None, "v10")],
    ]


def test_a_case_counts_in_each_of_its_tags():
    evals = evals_of({("v1", "01", 1): [5], ("v1", "02", 1): [2]}, tags=[["a", "b"], ["b"]])

    assert summarize(evals, by="tags").select("tags", "pass_rate", "n").rows() == [
        ("a", 1.0, 1),
        ("b", 0.5, 2),
    ]


def test_declared_clusters_are_the_unit():
    scores = {("v1", f"{i:02}", 1): [5 if i < 6 else 2] for i in range(12)}
    alone = evals_of(scores)
    paired = evals_of(scores, cluster=[str(i // 3) for i in range(12)])

    narrow, wide = (summarize(e).row(0, named=True) for e in (alone, paired))

    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]
    assert wide["n_eff"] < 12
    assert wide["pass_rate"] == narrow["pass_rate"]


def test_the_interval_of_a_mean_ends_where_the_scale_does():
    evals = evals_of({("v1", f"{i}", 1): [s] for i, s in enumerate([5, 5, 5, 5, 2])})

    row = summarize(evals, by=["criterion"]).row(0, named=True)

    assert row["mean_score"] == 4.4
    assert row["mean_high"] == 5.0 == summarize(evals)["mean_high"].item()
    assert row["mean_low"] == pytest.approx(4.4 - 2.776445 * 0.6)


def test_by_case_the_trials_are_the_units():
    evals = evals_of({("v1", "01", e): [5 if e < 4 else 2] for e in range(1, 7)})

    row = summarize(evals, by=["case"]).row(0, named=True)

    low, high = proportion_confint(3, 6, method="wilson")
    assert (row["pass_rate"], row["low"], row["high"]) == pytest.approx((0.5, low, high))
    assert row["method"] == "Wilson over trials"


def test_the_rule_can_be_read_criterion_by_criterion():
    evals = evals_of(
        {
            ("v1", "01", 1): [5, 5, 3, 5],
            ("v1", "02", 1): [3, 5, 4, 2],
            ("v1", "03", 1): [4, None, 4, 5],
        }
    )

    rows = summarize(evals, by=["criterion"])

    assert rows["verdict"].to_list() == ["pass", "unscored", "fail", "fail"]
    assert rows["lowest"].to_list() == [3.0, 5.0, 3.0, 2.0]
    assert rows["mean_score"].to_list() == pytest.approx([4.0, 5.0, 11 / 3, 4.0])
    assert rows["passed"].to_list() == [2, 2, 2, 2]


def test_polars_lazy_and_pandas_scores_give_the_same_rates_in_their_own_kind():
    evals = evals_of(
        {(v, f"{i:02}", 1): [5 if i < n else 2] for v, n in (("v1", 3), ("v2", 5)) for i in range(6)}
    )
    scores = evals.scores.select("run", "case", "epoch", "criterion", "score").with_columns(
        scale_min=pl.lit(1.0), scale_max=pl.lit(5.0), agent_version=pl.col("run")
    )
    wanted = summarize(evals)

    lazy = summarize(scores.lazy())
    pandas = summarize(scores.to_pandas())

    assert isinstance(lazy, pl.LazyFrame)
    assert isinstance(pandas, pd.DataFrame)
    assert summarize(scores).rows() == wanted.rows()
    assert lazy.collect().rows() == wanted.rows()
    assert pl.from_pandas(pandas).rows() == wanted.rows()
    assert summarize(scores.to_pandas(), by="criterion")["pass_rate"].tolist() == pytest.approx([8 / 12])


def test_an_unknown_column_to_group_by_is_refused_by_name():
    evals = evals_of({("v1", "01", 1): [5]})

    with pytest.raises(ColumnError, match="Did you mean 'agent_version'"):
        summarize(evals, by="agent_versoin")
    with pytest.raises(ColumnError, match="no column 'verdict'"):
        summarize(evals, by="verdict")
    with pytest.raises(ColumnError, match="Did you mean 'agent_version'"):
        distribution(evals, "agent_versions")


def test_no_records_give_an_empty_table():
    assert summarize(Evals.from_tables()).is_empty()
    assert summarize(Evals.from_tables(), by=["criterion"]).is_empty()
    assert distribution(Evals.from_tables()).is_empty()


def test_a_distribution_counts_every_answer_once_and_shows_empty_scores():
    evals = evals_of({("v1", "01", 1): [5, 2], ("v1", "02", 1): [5, None]})

    table = distribution(evals)

    first, second = table.filter(criterion="c0"), table.filter(criterion="c1")
    assert first["score"].to_list() == [1, 2, 3, 4, 5]
    assert first["count"].to_list() == [0, 0, 0, 0, 2]
    assert second["count"].to_list() == [0, 1, 0, 0, 0]
    assert second.select("mean", "n", "unscored").row(0) == (2.0, 1, 1)


@given(
    st.lists(
        st.sampled_from(["v10", "v2", None, "", "10", 3, 2.5, "low", "critical"]), min_size=2, max_size=5
    )
)
def test_any_names_can_be_sorted(names):
    assert len(sorted([[name] for name in names], key=natural_key)) == len(names)


@pytest.mark.skipif(not AZURE.exists(), reason="the shared real data is not on this machine")
@pytest.mark.parametrize(
    "run", ["baseline_3", "badprompt_ignoresources_1", "refinedprompt_1", "refinedprompt_2", "text_retrieval"]
)
def test_the_figures_that_the_makers_of_real_data_published_come_out(run):
    published = json.loads((AZURE / run / "summary.json").read_text())
    published = {k.removeprefix("gpt_"): v for k, v in published.items() if k.startswith("gpt_")}
    evals = load(AZURE / run, mapping=MAPPING)
    rule = PassRule(mean=4.0, floor=3.0)

    rows = {
        r["criterion"]: r for r in summarize(evals, ["criterion"], rule, missing="fail").iter_rows(named=True)
    }

    assert set(rows) == set(published)
    for name, cell in published.items():
        row = rows[name]
        assert row["mean_score"] == pytest.approx(cell["mean_rating"], abs=0.0051)
        assert row["passed"] == cell["pass_count"]
        assert row["pass_rate"] == pytest.approx(cell["pass_rate"], abs=0.0051)
        assert row["n"] == 200


def test_the_interval_of_a_mean_of_passes_and_fails_ends_at_0_and_1():
    scores = pl.DataFrame(
        {"run": "a", "case": ["1", "2", "3", "4"], "criterion": "ok", "score": [1.0, 1.0, 1.0, 0.0]}
    )
    criteria = pl.DataFrame({"criterion": ["ok"], "kind": ["binary"], "scale_min": [0.0], "scale_max": [1.0]})

    row = summarize(Evals.from_tables(scores=scores, criteria=criteria)).row(0, named=True)

    assert (row["mean_score"], row["mean_high"]) == (0.75, 1.0)
    assert row["mean_low"] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("scores", "verdict"), [([1.0, 1.0], "pass"), ([1.0, 0.0], "fail"), ([1.0, None], "unscored")]
)
def test_a_binary_criterion_is_read_by_its_maximum_and_not_by_the_mean_of_the_others(scores, verdict):
    frame = pl.DataFrame({"run": "a", "case": ["1", "2"], "criterion": "ok", "score": scores})
    criteria = pl.DataFrame({"criterion": ["ok"], "kind": ["binary"], "scale_min": [0.0], "scale_max": [1.0]})
    evals = Evals.from_tables(scores=frame, criteria=criteria)

    assert summarize(evals, by="criterion")["verdict"].to_list() == [verdict]


def started(*days: int | None) -> Evals:
    """ "late" and "soon" of one case, begun on these days."""
    evals = evals_of({("late", "01", 1): [5], ("soon", "01", 1): [1]}, severity="high")
    times = [None if day is None else datetime(2026, 1, day, tzinfo=UTC) for day in days]
    begun = pl.Series("started_at", times, dtype=pl.Datetime("us", "UTC"))
    return replace(evals, runs=evals.runs.with_columns(begun))


@pytest.mark.parametrize(
    ("days", "order"), [((9, 2), ["soon", "late"]), ((2, 9), ["late", "soon"]), ((2, None), ["late", "soon"])]
)
def test_names_without_numbers_stand_in_the_order_in_which_they_ran(days, order) -> None:
    evals = started(*days)
    assert summarize(evals)["agent_version"].to_list() == order
    by_severity = summarize(evals, by=["severity", "agent_version"])
    assert by_severity["agent_version"].to_list() == order
    assert distribution(evals)["agent_version"].unique(maintain_order=True).to_list() == order


def test_versions_that_ran_in_between_each_other_stand_in_the_order_of_their_names() -> None:
    evals = started(9, 2)
    between = evals.runs.with_columns(pl.lit("again").alias("run"), agent_version=pl.lit("soon")).head(1)
    again = between.with_columns(started_at=pl.lit(datetime(2026, 1, 20, tzinfo=UTC)))
    runs = pl.concat([evals.runs, again.cast(dict(evals.runs.schema))])
    assert summarize(replace(evals, runs=runs))["agent_version"].to_list() == ["late", "soon"]


def _lossy(lost):
    """The same answers judged twice; in v2 the judge lost criterion B in some trials."""
    draw = np.random.default_rng(7)
    a = np.where(draw.random(400) < 0.7, 5, 1)
    b = np.where(draw.random(400) < 0.9, 5, 1)
    gone = draw.random(400) < lost
    rows = [
        (version, f"c{case}", name, None if name == "B" and version == "v2" and gone[case] else float(score))
        for version in ("v1", "v2")
        for case, scores in enumerate(zip(a, b, strict=True))
        for name, score in zip("AB", scores, strict=True)
    ]
    scores = pl.DataFrame(rows, schema=["run", "case", "criterion", "score"], orient="row")
    runs = pl.DataFrame({"run": ["v1", "v2"], "agent_version": ["v1", "v2"], "suite": "s"})
    criteria = pl.DataFrame({"suite": "s", "criterion": ["A", "B"], "scale_min": 1.0, "scale_max": 5.0})
    return Evals.from_tables(criteria=criteria, runs=runs, scores=scores), ((a == 5) & (b == 5)), gone


@pytest.mark.parametrize("lost", [0.0, 0.04, 0.2, 0.5])
def test_scores_lost_at_random_do_not_move_the_rate(lost):
    evals, passes, gone = _lossy(lost)

    first, second = summarize(evals).to_dicts()

    assert first["pass_rate"] == passes.mean()
    assert second["pass_rate"] == pytest.approx(passes[~gone].mean())
    assert second["unscored"] == gone.sum()
    assert second["low"] < passes.mean() < second["high"]
    assert second["if_all_fail"] == pytest.approx((passes & ~gone).mean())
    assert second["if_all_pass"] == pytest.approx((passes | gone).mean())
    assert second["if_all_fail"] <= second["pass_rate"] <= second["if_all_pass"]
