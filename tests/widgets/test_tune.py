"""Tuning a rule: the numbers are those of grade, summarize and agreement; nothing that is moved is lost."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evalkit as ek
from evalkit.data.scoring import Scoring
from evalkit.util.errors import ColumnError, PathError, RuleError, SelectorError
from evalkit.util.hostile_text import escape
from evalkit.widgets.tune import reads_target, tune
from evalkit.widgets.tune_rates import ScoreArray, to_words

DEMO = ek.demo.make()
SCORING = Scoring(rule=ek.PassRule())
RULES = [
    ek.PassRule(),
    ek.PassRule(mean=4.5, floor=2),
    ek.PassRule(gates={"Groq": 4}),
    ek.PassRule(weights={"Groq": 2, "Ai Platform": 1}),
    ek.PassRule(missing="fail"),
]


@pytest.fixture
def tuner():
    return tune(DEMO)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.words)
def test_each_rule_gives_the_verdicts_rates_and_agreement_that_the_library_gives(rule):
    trials = ScoreArray.of(DEMO, SCORING)
    graded, found = ek.grade(DEMO, rule), ek.agreement(DEMO, rule=rule).summary.filter(kind="verdict")

    verdicts = trials.judge(rule)
    rates = trials.rates(verdicts, rule, ["agent_version", "severity"])
    kappa = trials.agreement(rule, verdicts.codes)["kappa"]

    assert to_words(verdicts.codes).to_list() == graded["verdict"].to_list()
    assert pl.Series(verdicts.means).fill_nan(None).to_list() == pytest.approx(
        graded["mean"].to_list(), abs=1e-9
    )
    expected = ek.summarize(DEMO, by=["agent_version", "severity"], rule=rule)
    same = ["agent_version", "severity", "pass_rate", "low", "high", "n", "passed", "unscored", "method"]
    assert rates.select(same).equals(expected.select(same))
    assert (kappa.estimate, kappa.low, kappa.n) == found.select("kappa", "kappa_low", "n").row(0)


SCORE = st.one_of(st.none(), st.sampled_from([1.0, 2.0, 3.0, 3.5, 4.0, 5.0]))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(SCORE, SCORE, SCORE, st.sampled_from([None, 0.0, 1.0])), min_size=1, max_size=8),
    mean=st.sampled_from([3.0, 4.0, 4.25]),
    floor=st.sampled_from([1.0, 3.0]),
    weights=st.sampled_from([None, {"a": 2.0, "b": 1.0, "c": 0.0}]),
    gates=st.sampled_from([None, {"b": 4.0}]),
    missing=st.sampled_from(["unscored", "fail"]),
)
def test_any_scores_and_any_rule_give_the_verdicts_of_grade(rows, mean, floor, weights, gates, missing):
    scores = [
        {"run": "r", "case": str(at), "criterion": name, "score": score}
        for at, row in enumerate(rows)
        for name, score in zip("abcd", row, strict=True)
    ]
    criteria = [{"criterion": n, "scale_min": 1.0, "scale_max": 5.0, "kind": "ordinal"} for n in "abc"] + [
        {"criterion": "d", "scale_min": 0.0, "scale_max": 1.0, "kind": "binary"}
    ]
    schema = {"run": pl.String, "case": pl.String, "criterion": pl.String, "score": pl.Float64}
    evals = ek.Evals.from_tables(scores=pl.DataFrame(scores, schema=schema), criteria=pl.DataFrame(criteria))
    rule = ek.PassRule(mean, floor, weights, gates, missing)

    codes = ScoreArray.of(evals, Scoring(rule=rule)).judge(rule).codes

    assert to_words(codes).to_list() == ek.grade(evals, rule)["verdict"].to_list()


def test_the_curve_goes_over_the_scale_where_the_floor_is_its_top():
    curve = ScoreArray.of(DEMO, SCORING).curve(ek.PassRule(mean=5, floor=5), "agent_version")
    assert [*curve] == ["v1", "v2", "v3"]
    assert (curve["v1"][0][0], curve["v1"][-1][0]) == (1, 5)


def test_the_curve_has_the_pass_rate_at_the_threshold_that_is_set():
    trials = ScoreArray.of(DEMO, SCORING)
    rates = dict(ek.summarize(DEMO).select("agent_version", "pass_rate").iter_rows())

    curve = trials.curve(ek.PassRule(), "agent_version")

    at_four = {
        name: next(rate for at, rate in points if abs(at - 4) < 1e-9) for name, points in curve.items()
    }
    assert at_four == pytest.approx(rates)
    assert all(
        list(rates) == sorted(rates, reverse=True) for rates in ([r for _, r in p] for p in curve.values())
    )


def test_a_move_changes_rates_and_flips_and_the_way_back_undoes_it(tuner):
    before = tuner.show()

    tuner.handle({"kind": "set", "mean": 4.5})
    moved = tuner.show()
    tuner.handle({"kind": "reset"})

    assert moved["rule"]["mean"] == 4.5
    assert moved["flipped"]["words"].startswith("67 of 162 trials change verdict: 67 now fail")
    assert moved["groups"] != before["groups"]
    assert tuner.show() == before


def test_flips_are_what_two_gradings_differ_in_the_worst_first(tuner):
    tuner.handle({"kind": "set", "gate": {"Groq": 5.0}})
    old, new = ek.grade(DEMO), ek.grade(DEMO, ek.PassRule(gates={"Groq": 5.0}))
    differ = new.filter(new["verdict"] != old["verdict"])

    flips = tuner.flips

    assert flips.select("run", "case", "epoch").sort(pl.all()).rows() == sorted(
        differ.select("run", "case", "epoch").rows()
    )
    assert flips["severity"].drop_nulls().to_physical().is_sorted(descending=True)


def test_moving_one_weight_leaves_the_others_as_they_were(tuner):
    tuner.handle({"kind": "set", "weight": {"Groq": 2.0}})

    assert tuner.rule.weights == {"Ai Platform": 1.0, "Batch Api": 1.0, "Groq": 2.0}


def test_a_mean_below_the_floor_takes_the_floor_along_and_a_gate_can_be_lifted(tuner):
    tuner.handle({"kind": "set", "mean": 2.0, "gate": {"Groq": 3.0}})
    tuner.handle({"kind": "set", "gate": {"Groq": None}})

    assert (tuner.rule.mean, tuner.rule.floor, tuner.rule.gates) == (2.0, 2.0, None)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"kind": "set", "mean": 99.0}, "scale"),
        ({"kind": "set", "gate": {"<b>": 3.0}}, "'<b>'"),
        ({"kind": "set", "weight": {"Groq": -1.0}}, "Invalid event"),
        ({"kind": "set", "target": 2.0}, "Invalid event"),
    ],
)
def test_a_rule_that_cannot_be_is_told_and_changes_nothing(tuner, message, told):
    tuner.handle(message)

    assert told in tuner.status
    assert tuner.rule == ek.PassRule()


def test_the_rule_is_kept_in_a_file_and_read_back(tmp_path):
    tuner = tune(DEMO, path=tmp_path / "mine.yaml")

    tuner.handle({"kind": "set", "mean": 4.25, "gate": {"Batch Api": 4.0}})
    tuner.handle({"kind": "save"})

    assert ek.PassRule.read(tmp_path / "mine.yaml") == tuner.rule
    assert "mine.yaml" in tuner.status
    assert (tmp_path / "mine.yaml").read_text().startswith("# A trial passes when the mean")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("men: 4", "Did you mean 'mean'?"),
        ("mean: high", "PassRule.mean"),
        ("- 4", "holds a list"),
        ("mean: 4\nweights: 3", "PassRule.weights"),
        ("scale: [1]", "PassRule.scale"),
        ("mean: [", "bad.yaml:1"),
    ],
)
def test_a_file_that_is_no_rule_says_what_is_wrong_with_it(tmp_path, text, words):
    (tmp_path / "bad.yaml").write_text(text)

    with pytest.raises(RuleError) as caught:
        ek.PassRule.read(tmp_path / "bad.yaml")

    assert words in str(caught.value)
    assert "bad.yaml" in str(caught.value)


def test_a_rule_that_is_not_there_or_has_no_folder_says_so(tmp_path):
    with pytest.raises(PathError):
        ek.PassRule.read(tmp_path / "none.yaml")
    with pytest.raises(PathError):
        ek.PassRule().write(tmp_path / "none" / "rule.yaml")


def test_a_target_is_shown_only_by_the_whole_interval():
    tuner = tune(DEMO, target=0.65)

    gates = {row["name"]: row["gate"] for row in tuner.show()["groups"]["rows"]}

    assert gates == {"v1": "missed", "v2": "reached", "v3": "inconclusive"}
    assert reads_target(None, None, None, 0.5) == "inconclusive"


def test_without_labels_agreement_is_not_made_up():
    tuner = tune(DEMO.filter(grader_kind="judge"))

    assert tuner.show()["agreement"] is None


def test_what_cannot_be_tuned_is_said():
    two = DEMO + ek.Evals.from_tables(
        runs=pl.DataFrame({"run": ["x"], "suite": ["other"]}),
        scores=pl.DataFrame({"run": ["x"], "case": ["1"], "criterion": ["a"], "score": [1.0]}),
    )

    with pytest.raises(SelectorError, match="Several suites"):
        tune(two, ek.PassRule(scale=(1, 5)))
    with pytest.raises(SelectorError, match="No scores"):
        tune(ek.Evals.from_tables())
    with pytest.raises(ColumnError, match="severty"):
        tune(DEMO, by="severty")


def test_without_a_kernel_the_rule_and_the_rates_are_a_table_and_names_are_no_markup():
    hostile = DEMO.runs.with_columns(pl.lit("<img src=x onerror=alert(1)>").alias("agent_version"))
    from dataclasses import replace

    html = str(tune(replace(DEMO, runs=hostile)).to_html())

    assert "<img" not in html
    assert "&lt;img src=x" in html
    assert "A trial passes when the mean" in html
    assert str(escape(DEMO.made_up_note)) in html
