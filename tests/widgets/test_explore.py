"""The explorer's state: filters leave what they say, and the code that it shows gives the same frame."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import evalkit as ek
from evalkit.data.evals import Evals
from evalkit.util.errors import SelectorError
from evalkit.widgets.explore import PAGE, explore
from evalkit.widgets.filters import FACETS, GradedTrials, Slice, code
from evalkit.widgets.panel import WIDGET_MIME

KEY = ["run", "case", "epoch"]
HOSTILE = "</script><img src=x onerror=window.x=1>'\"\\\n\x1b[31m\u202e"


@pytest.fixture(scope="module")
def demo():
    return ek.demo.make()


@pytest.fixture
def explorer(demo):
    return explore(demo)


def run(lines, evals, **more):
    names = {"evals": evals, **more}
    exec(lines, names)
    return names["selection"]


# --- what is left


def test_without_a_filter_every_trial_is_left(explorer, demo):
    assert explorer.selection.height == demo.attempts().height
    assert repr(explorer).startswith("Explorer: 162 of 162 trials")


def test_values_of_a_column_add_up_and_columns_narrow(explorer):
    for value in ("critical", "high"):
        explorer.handle({"kind": "choose", "column": "severity", "value": value})
    explorer.handle({"kind": "choose", "column": "verdict", "value": "fail"})

    left = explorer.selection
    assert set(left["severity"]) == {"critical", "high"}
    assert set(left["verdict"]) == {"fail"}
    assert left.height == ek.grade(ek.demo.make()).filter(pl.col("severity").is_in(["critical", "high"]), pl.col("verdict") == "fail").height  # fmt: skip


def test_a_value_that_is_pressed_again_is_let_go(explorer):
    for _ in range(2):
        explorer.handle({"kind": "choose", "column": "severity", "value": "critical"})

    assert explorer.state == Slice()


def test_the_words_are_looked_for_in_messages_and_rationales_whatever_their_case(explorer, demo):
    explorer.handle({"kind": "search", "text": "CUSTOM_ID IS NEVER READ"})

    matches = demo.scores.filter(pl.col("rationale").str.contains("custom_id is never read", literal=True))
    assert explorer.selection.height == matches.select(KEY).n_unique() > 0


def test_a_range_of_scores_leaves_out_what_has_none(explorer):
    explorer.handle({"kind": "range", "low": 1.0, "high": None})

    assert explorer.selection["mean"].null_count() == 0
    assert explorer.selection.height == 160


def test_by_a_criterion_the_verdict_is_the_criterions(explorer):
    explorer.handle({"kind": "measure", "criterion": "Groq", "grader": None})
    explorer.handle({"kind": "choose", "column": "verdict", "value": "fail"})

    assert (explorer.selection["score"] < 4).all()
    assert set(explorer.selection["criterion"]) == {"Groq"}


def test_a_grader_leaves_the_trials_that_it_scored_whosever_scores_count(explorer, demo):
    explorer.handle({"kind": "choose", "column": "grader", "value": "reviewer-2"})

    theirs = demo.scores.filter(pl.col("grader") == "reviewer-2", pl.col("score").is_not_null())
    assert explorer.selection.height == theirs.select(KEY).n_unique() > 0
    assert explorer.selection.columns == ek.grade(demo).columns
    assert set(explorer.selection["verdict"]) <= {"pass", "fail"}


def test_what_a_grader_tried_and_could_not_score_is_not_its():
    scores = pl.DataFrame({"run": "a", "case": ["1", "2", "2"], "criterion": "x", "score": [1.0, None, 2.0], "error": [None, "no answer", None], "grader": ["j", "j", "k"], "grader_kind": ["judge", "judge", "human"]})  # fmt: skip
    evals = Evals.from_tables(scores=scores, criteria=pl.DataFrame({"criterion": ["x"], "scale_min": [1], "scale_max": [5]}))  # fmt: skip

    view = explore(evals, where={"grader": "j"})

    assert view.selection["case"].to_list() == ["1"]
    assert run(view.code, evals).equals(view.selection)


@pytest.mark.parametrize(
    ("tags", "left"), [((None,), ["2", "3"]), (("a", None), ["1", "2", "3"]), ("b", ["4"])]
)
def test_cases_without_a_tag_can_be_chosen_too(tags, left):
    cases = pl.DataFrame({"case": ["1", "2", "3", "4"], "tags": [["a"], None, [], ["b"]]})
    evals = Evals.from_tables(cases=cases, trials=pl.DataFrame({"run": "r", "case": ["1", "2", "3", "4"]}))

    view = explore(evals, where={"tags": tags})

    assert sorted(view.selection["case"]) == left
    assert run(view.code, evals).equals(view.selection)


def test_one_grader_is_nothing_to_filter_by(demo):
    alone = explore(demo.filter(grader="demo-judge"))

    assert "grader" not in {facet["column"] for facet in alone.show()["facets"]}


def test_flips_leaves_the_cases_that_compare_names(explorer, demo):
    explorer.handle({"kind": "flips", "sides": ["v2", "v3"]})

    flips = ek.compare(demo, baseline="v2", candidate="v3").flips
    assert set(explorer.selection["case"]) == set(flips["case"])


def test_the_trial_that_is_read_stays_when_a_filter_leaves_it(explorer):
    explorer.handle({"kind": "pick", "row": 40})
    picked = explorer.picked
    explorer.handle({"kind": "choose", "column": "verdict", "value": str(explorer.selection["verdict"][40])})

    assert explorer.picked == picked


def test_the_page_follows_the_row_that_is_picked(explorer):
    explorer.handle({"kind": "pick", "row": PAGE})

    assert explorer.show()["table"]["page"] == 1


# --- the numbers of the charts


def test_a_facet_counts_what_the_other_filters_leave(explorer):
    explorer.handle({"kind": "choose", "column": "verdict", "value": "fail"})
    made = {facet["column"]: facet for facet in explorer.show()["facets"]}

    severities = {row["name"]: row["count"] for row in made["severity"]["rows"]}
    verdicts = {row["name"]: row["count"] for row in made["verdict"]["rows"]}
    assert sum(severities.values()) == 50
    assert verdicts == {"fail": 50, "unscored": 2, "pass": 110}


def test_the_bins_hold_every_score_that_the_other_filters_leave(explorer):
    explorer.handle({"kind": "range", "low": 4.0, "high": 5.0})
    made = explorer.show()["distribution"]

    assert sum(sum(counts) for _, *counts in made["bins"]) + made["without"] == 162
    assert made["range"] == [4.0, 5.0]
    assert (made["low"], made["high"], made["threshold"]) == (1.0, 5.0, 4.0)


# --- as code


def slices():
    values = {
        "verdict": ["pass", "fail", "unscored"],
        "severity": ["critical", "high", "medium"],
        "agent_version": ["v1", "v2", "v3"],
        "model": ["demo-large", "demo-small"],
        "tags": ["collect", "cost"],
        "grader": ["demo-judge", "reviewer-1", None],
        "case": ["01", "02", "09"],
    }
    where = st.fixed_dictionaries({}, optional={name: st.lists(st.sampled_from(have), min_size=1, max_size=2, unique=True).map(tuple) for name, have in values.items()})  # fmt: skip
    limit = st.none() | st.sampled_from([1.0, 2.2, 4.0, 5.0])
    return st.builds(
        Slice,
        where=where,
        search=st.sampled_from(["", "custom_id", "Paid", 'a "quoted" \\ word', "\x1b", "a.*", "(?", "[x"]),
        low=limit,
        high=limit,
        criterion=st.sampled_from([None, "Groq"]),
        sort=st.sampled_from(["score", "severity", "case", "verdict"]),
        descending=st.booleans(),
    )


TRIALS = GradedTrials(ek.demo.make())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(slices())
def test_the_code_gives_the_frame_that_is_selected(chosen):
    assert run(code(chosen, TRIALS), TRIALS.evals).equals(TRIALS.select(chosen))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(slices())
def test_the_last_line_of_the_code_opens_the_explorer_on_the_same_view(chosen):
    call = code(chosen, TRIALS).splitlines()[-1].removeprefix("# The same view: ")

    assert eval(call, {"ek": ek, "evals": TRIALS.evals}).state == chosen


def test_the_code_of_flips_and_of_a_rule_gives_the_same_frame_and_view(demo):
    rule = ek.PassRule(mean=3.5, floor=2.0, weights={"Groq": 2.0, "Batch Api": 1.0}, gates={"Groq": 3.0})
    view = explore(demo, rule=rule, flips=("v1", "v3"), grader="demo-judge", where={"verdict": "fail"})
    again = view.code.replace("# The same view: ", "view = ")

    assert view.selection.height > 0
    assert run(view.code, demo).equals(view.selection)
    assert run(f"{again}selection = view.selection", demo).equals(view.selection)


def test_the_code_with_clusters_of_failures_gives_the_same_frame(demo):
    pytest.importorskip("sklearn", reason="the extra `failures` is not installed")
    failures = ek.find_failures(demo)
    name = failures.clusters["failure"][0]

    view = explore(demo, failures=failures, where={"failure": name})

    assert view.selection.height == failures.clusters["trials"][0]
    assert run(view.code, demo, failures=failures).equals(view.selection)


# --- hostile and odd


@pytest.fixture(scope="module")
def hostile():
    key = {"run": HOSTILE, "case": HOSTILE}
    return Evals.from_tables(
        cases=pl.DataFrame({"case": [HOSTILE], "tags": [[HOSTILE]], "input": [HOSTILE]}),
        criteria=pl.DataFrame({"criterion": [HOSTILE], "scale_min": [1], "scale_max": [5]}),
        runs=pl.DataFrame({"run": [HOSTILE, "b"], "agent_version": [HOSTILE, "b"], "model": [HOSTILE, None]}),
        turns=pl.DataFrame({**key, "turn": [1, 2, 3], "role": ["user", "assistant", "tool"], "content": [HOSTILE, None, ""], "tool_calls": [None, "[" * 1000, None]}),
        scores=pl.DataFrame({"run": [HOSTILE, "b"], "case": HOSTILE, "criterion": HOSTILE, "score": [1.0, None], "rationale": HOSTILE, "evidence": HOSTILE}),
    )  # fmt: skip


def test_hostile_names_are_filtered_by_and_shown_as_text(hostile):
    view = explore(hostile, where={"agent_version": HOSTILE}, search="onerror")

    data = view._repr_mimebundle_()

    assert view.selection.height == 1
    assert run(view.code, hostile).equals(view.selection)
    assert "<img" not in data["text/html"]
    assert "\x1b" not in data["text/html"] + json.dumps(view.show(), ensure_ascii=False)
    assert WIDGET_MIME in data


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "choose", "column": "run'] or 1 #", "value": "x"},
        {"kind": "choose", "column": "severity", "value": "awful"},
        {"kind": "choose", "column": "severity", "value": 3},
        {"kind": "search", "text": "x" * 5_000},
        {"kind": "range", "low": "a", "high": None},
        {"kind": "measure", "criterion": "nobody's", "grader": None},
        {"kind": "measure", "criterion": None, "grader": "nobody"},
        {"kind": "flips", "sides": ["v1", "v1"]},
        {"kind": "flips", "sides": ["v1", "v9"]},
        {"kind": "flips", "sides": ["v1"]},
        {"kind": "sort", "column": "__class__"},
        {"kind": "pick", "row": -1},
        {"kind": "page", "to": 2.5},
        {"kind": "whole", "message": -1, "part": 0},
    ],
)
def test_a_front_end_that_asks_for_nonsense_changes_nothing_and_is_told(explorer, message):
    before = explorer.state

    explorer.handle(message)

    assert explorer.state == before
    assert explorer.status


@pytest.mark.parametrize("message", [{"kind": "pick", "row": 10**9}, {"kind": "page", "to": 10**9}, {"kind": "whole", "message": 10**5, "part": 0}])  # fmt: skip
def test_a_place_that_is_not_there_is_the_last_one_that_is(explorer, message):
    explorer.handle(message)

    assert explorer.show()["table"]["rows"]
    assert explorer.status == ""


def test_a_search_that_finds_nothing_leaves_nothing_and_can_be_taken_back(explorer):
    explorer.handle({"kind": "search", "text": "no such words"})
    shown = explorer.show()

    assert (explorer.picked, shown["trial"], shown["table"]["rows"]) == (None, None, [])
    explorer.handle({"kind": "reset"})
    assert explorer.selection.height == 162


def test_nothing_failing_is_an_answer(demo):
    view = explore(
        demo.filter(case="03", agent_version="v3"), where={"verdict": "fail", "severity": "critical"}
    )

    assert view.selection.is_empty()


def test_an_empty_collection_is_shown():
    view = explore(Evals.from_tables())

    assert view.show()["table"]["height"] == 0
    assert "0 of 0 trials" in view._repr_html_()


def test_with_several_judges_one_is_taken_and_said(demo):
    second = demo.scores.filter(pl.col("grader") == "demo-judge").head(10).with_columns(grader=pl.lit("other").cast(demo.scores.schema["grader"]))  # fmt: skip
    both = Evals(**{**{table.name: frame for table, frame in demo.tables()}, "scores": pl.concat([demo.scores, second])})  # fmt: skip

    view = explore(both)

    assert view.state.grader == "demo-judge"
    assert "demo-judge" in view.status
    assert view.view().status["text"] == view.status
    assert run(view.code, both).equals(view.selection)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"where": {"severty": "high"}}, "Did you mean 'severity'?"),
        ({"where": {"severity": "hihg"}}, "Did you mean 'high'?"),
        ({"criterion": "Grok"}, "Did you mean 'Groq'?"),
        ({"flips": ("v1", "v7")}, "'v7'"),
        ({"where": {"grader": "demo-jugde"}}, "Did you mean 'demo-judge'?"),
        ({"sort": "scores"}, "Did you mean 'score'?"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(demo, asked, said):
    with pytest.raises(SelectorError) as caught:
        explore(demo, **asked)

    assert said in str(caught.value)


def test_the_columns_to_filter_by_are_those_of_a_graded_frame(demo):
    assert set(FACETS) - {"failure", "grader"} <= set(ek.grade(demo).columns)


# --- what stands in the table and beside the charts


def test_all_values_of_a_column_are_shown_when_asked_for_and_the_first_again(explorer):
    def cases():
        return next(facet for facet in explorer.show()["facets"] if facet["column"] == "case")

    few = cases()
    assert (len(few["rows"]), few["more"], few["all"]) == (8, 1, False)
    explorer.handle({"kind": "all", "column": "case"})
    assert (len(cases()["rows"]), cases()["more"], cases()["all"]) == (9, 0, True)
    explorer.handle({"kind": "all", "column": "case"})
    assert cases() == few


@pytest.mark.parametrize(("named", "shown"), [(False, False), (True, True)])
def test_a_version_that_is_the_runs_name_stands_not_beside_its_model(named, shown):
    runs = ["log-a", "log-b"]
    versions = ["v1", "v2"] if named else runs
    evals = Evals.from_tables(
        runs=pl.DataFrame({"run": runs, "agent_version": versions, "model": ["small", "large"]}),
        criteria=pl.DataFrame({"criterion": ["c"], "scale_min": [1.0], "scale_max": [5.0]}),
        scores=pl.DataFrame({"run": runs, "case": "01", "criterion": "c", "score": [1, 5]}),
    )
    columns = explore(evals).show()["table"]["columns"]
    assert ("agent_version" in columns, "model" in columns) == (shown, True)


def test_versions_are_offered_in_the_order_in_which_they_ran():
    times = pl.Series(["2026-01-09", "2026-01-02"]).str.to_datetime(time_zone="UTC")
    evals = Evals.from_tables(
        runs=pl.DataFrame({"run": ["late", "soon"], "agent_version": ["late", "soon"], "started_at": times}),
        criteria=pl.DataFrame({"criterion": ["c"], "scale_min": [1.0], "scale_max": [5.0]}),
        scores=pl.DataFrame({"run": ["late", "soon"], "case": "01", "criterion": "c", "score": [1, 5]}),
    )
    assert explore(evals).show()["head"]["versions"] == ["soon", "late"]
    assert [row["name"] for row in ek.tune(evals).show()["groups"]["rows"]] == ["soon", "late"]
