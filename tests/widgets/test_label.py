"""Labeling: nothing given is lost, the order is what it says it is, and the figures are the library's."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import polars as pl
import pytest

import evalkit as ek
from evalkit.data import folder as native
from evalkit.util.errors import ArgumentError, BusyError, SelectorError
from evalkit.util.format import interval, number
from evalkit.widgets import label_store as labels
from evalkit.widgets.label import label, more_labels
from evalkit.widgets.label_store import LabelFile, order_trials
from fakes.interrupts import interrupt_at

DEMO = ek.demo.make()
JUDGED = DEMO.filter(grader_kind="judge")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.jsonl"


@pytest.fixture
def labeler(path):
    return label(JUDGED, rater="ann", path=path)


def give(labeler, *scores, note=""):
    for score in scores:
        labeler.handle({"kind": "give", "score": score, "note": note})


def test_a_label_is_a_row_in_the_file_before_the_next_is_asked_for(labeler, path):
    asked = labeler.state.tasks[0]

    give(labeler, 4.0, note="Right, but <b>long</b>.")

    row = json.loads(path.read_text())
    assert (row["case"], row["criterion"], row["score"]) == (asked.case, asked.criterion, 4.0)
    assert (row["grader"], row["grader_kind"], row["rationale"]) == (
        "ann",
        "human",
        "Right, but <b>long</b>.",
    )
    assert row["metadata"]["order"] == "information"
    assert labeler.state.index == 1


def test_labels_stand_beside_the_judge_under_its_own_wording(labeler, path):
    give(labeler, 4.0, 3.0, 5.0)

    loaded = JUDGED + ek.load(path)

    assert loaded.problems.is_empty()
    assert loaded.scores.filter(grader_kind="human").height == 3
    found = ek.agreement(loaded, reference="human").summary
    assert found.filter(kind="verdict")["n"].item() == 1
    assert labeler.evals.scores.drop("source", "line").equals(loaded.scores.drop("source", "line"))


def test_a_second_session_and_a_second_rater_go_on_in_the_same_file(labeler, path):
    give(labeler, 4.0, 3.0)

    again = label(JUDGED, rater="ann", path=path)
    other = label(JUDGED, rater="bob", path=path)
    give(other, 1.0)

    assert again.state.index == 2
    assert other.state.tasks[0] in LabelFile.open(path).labels_of("bob")
    assert ek.load(path).scores["grader"].to_list() == ["ann", "ann", "bob"]


def test_a_label_that_is_given_again_takes_the_place_of_the_first(labeler, path):
    give(labeler, 4.0, 3.0)
    labeler.handle({"kind": "go", "by": -1})
    labeler.handle({"kind": "go", "by": -1})

    give(labeler, 2.0)

    assert ek.load(path).scores["score"].to_list() == [2.0, 3.0]
    assert labeler.state.index == 2


def test_a_half_written_last_line_costs_one_label_and_no_other(labeler, path):
    give(labeler, 4.0, 3.0)
    path.write_bytes(path.read_bytes()[:-20])

    again = label(JUDGED, rater="ann", path=path)
    give(again, 5.0, 2.0)

    assert ek.load(path).scores["score"].to_list() == [4.0, 5.0, 2.0]


def test_who_cannot_tell_says_so_and_no_score_is_made_up(labeler, path):
    give(labeler, None)

    row = ek.load(path).scores.row(0, named=True)
    assert (row["score"], row["label"], row["error"]) == (None, "cannot tell", "the rater cannot tell")
    assert labeler.state.index == 1


@pytest.mark.parametrize("score", [0.0, 6.0, 99.0])
def test_a_score_off_the_scale_is_refused(labeler, path, score):
    give(labeler, score)

    assert f"{score:g}" in labeler.status
    assert not path.exists()


def test_blind_labeling_hides_the_version_the_model_and_the_judge(labeler):
    shown = json.dumps(labeler.show())

    for word in ("demo-large", "demo-small", "demo-judge", "v1-", "v2-", "v3-"):
        assert word not in shown
    assert labeler.show()["trial"]["judgements"] == []


def test_what_the_judge_said_is_shown_only_after_a_label(labeler):
    labeler.handle({"kind": "reveal"})
    before = labeler.show()["trial"]["judgements"]
    give(labeler, 4.0)
    labeler.handle({"kind": "go", "by": -1})
    labeler.handle({"kind": "reveal"})

    judgements = labeler.show()["trial"]["judgements"]

    assert before == []
    assert {one["criterion"] for one in judgements} == {labeler.state.tasks[0].criterion}


def test_sighted_labeling_shows_the_judge(path):
    shown = label(JUDGED, rater="ann", path=path, blind=False).show()

    assert shown["trial"]["judgements"]


def test_the_random_order_is_a_draw_and_its_seed_repeats_it():
    first, second = (order_trials(JUDGED, order="random", seed=seed) for seed in (1, 2))

    assert first == order_trials(JUDGED, order="random", seed=1)
    assert first != second
    assert sorted(first) == sorted(second)


def scored(case, *samples):
    return [
        {
            "run": "a",
            "case": case,
            "criterion": "c",
            "sample": at,
            "score": float(score),
            "grader_kind": "judge",
        }
        for at, score in enumerate(samples, 1)
    ]


def evals_of(*rows):
    criteria = pl.DataFrame({"criterion": ["c"], "scale_min": [1.0], "scale_max": [5.0]})
    return ek.Evals.from_tables(
        scores=pl.DataFrame([row for part in rows for row in part]), criteria=criteria
    )


def test_what_the_judge_is_unsure_of_comes_before_what_is_clear():
    evals = evals_of(scored("clear", 1, 1), scored("torn", 1, 3), scored("near", 3.9, 3.9))

    order = [
        case
        for _, case, _ in order_trials(
            evals.with_scoring(rule=ek.PassRule(floor=1)), order="information", seed=0
        )
    ]

    assert order == ["torn", "near", "clear"]


def test_a_stratum_with_labels_waits_for_one_without():
    human = [{**scored("fail-1", 1)[0], "grader": "ann", "grader_kind": "human"}]
    evals = evals_of(scored("fail-1", 1), scored("fail-2", 3.9), scored("pass-1", 5), human)
    evals = evals.from_tables(
        scores=evals.scores.with_columns(pl.col("grader").replace("", "judge")), criteria=evals.criteria
    )

    order = [
        case
        for _, case, _ in order_trials(
            evals.with_scoring(rule=ek.PassRule(floor=1)), order="information", seed=0
        )
    ]

    assert order == ["pass-1", "fail-2", "fail-1"]


def test_only_labels_that_were_drawn_at_random_correct_the_pass_rate(path, tmp_path):
    by_worth = label(JUDGED, rater="ann", path=path)
    drawn = label(JUDGED, rater="ann", path=tmp_path / "drawn.jsonl", order="random")
    for one in (by_worth, drawn):
        give(one, *[4.0, 3.0, 5.0, 2.0, 2.0, 1.0] * 6)

    assert "order='random'" in by_worth.show()["results"][-1]
    assert "people would pass" in drawn.show()["results"][-1]


def test_the_figures_are_those_of_agreement(path):
    labeler = label(JUDGED, rater="ann", path=path)
    give(labeler, *[5.0, 4.0, 4.0, 1.0, 2.0, 1.0] * 8)

    row = ek.agreement(labeler.evals, reference="human").summary.filter(kind="verdict").row(0, named=True)

    line = next(line for line in labeler.show()["results"] if line.startswith("verdict"))
    assert (
        f"kappa {number(row['kappa'])} {interval(row['kappa_low'], row['kappa_high'])}, {row['n']} labels"
        in line
    )


@pytest.mark.parametrize(
    ("low", "kappa", "high", "words"),
    [
        (0.82, 0.9, 0.95, "Reliable"),
        (0.1, 0.3, 0.5, "Not reliable"),
        (0.7, 0.73, 0.76, "halve the interval"),
        (0.6, 0.9, 0.97, "settle it"),
    ],
)
def test_it_says_when_more_labels_stop_paying(low, kappa, high, words):
    assert words in more_labels(low, kappa, high, 40)


def test_everything_is_done_and_more_may_be_changed(path):
    evals = evals_of(scored("one", 4))
    labeler = label(evals, rater="ann", path=path)
    give(labeler, 4.0, 3.0)

    assert labeler.show()["progress"]["done"] == 1
    assert ek.load(path).scores["score"].to_list() == [3.0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rater": " "}, "rater='ann'"),
        ({"rater": "a", "order": "randm"}, "Did you mean 'random'"),
        ({"rater": "a", "criteria": ["Grok"]}, "Did you mean 'Groq'"),
    ],
)
def test_what_cannot_be_asked_for_is_said(path, options, words):
    with pytest.raises((ArgumentError, SelectorError), match=words):
        label(JUDGED, path=path, **options)


def test_without_trials_there_is_nothing_to_label(path):
    with pytest.raises(SelectorError, match="No trials"):
        label(ek.Evals.from_tables(), rater="a", path=path)


UNJUDGED = ek.Evals.from_tables(
    trials=pl.DataFrame({"run": ["a", "a", "b"], "case": ["2", "1", "1"], "output": ["x", "y", "z"]})
)


def test_what_nobody_judged_is_labeled_as_pass_or_fail_in_the_order_of_the_tables(path):
    labeler = label(UNJUDGED, rater="ann", path=path)

    assert [(task.run, task.case, task.criterion) for task in labeler.state.tasks] == [
        ("a", "2", "verdict"),
        ("a", "1", "verdict"),
        ("b", "1", "verdict"),
    ]
    assert labeler.show()["task"]["points"] == [
        {"score": 0.0, "anchor": "fail"},
        {"score": 1.0, "anchor": "pass"},
    ]

    give(labeler, 1.0)
    give(labeler, 0.0)

    assert labeler.show()["results"] == ["verdict: mean 0.50, 2 labels"]
    assert ek.summarize(labeler.evals, by="run").select("run", "pass_rate", "unscored").rows() == [
        ("a", 0.5, 0),
        ("b", None, 1),
    ]


def test_labels_without_a_judge_go_on_where_they_were(path):
    give(label(UNJUDGED, rater="ann", path=path), 1.0)

    with_labels = ek.load(UNJUDGED, path)
    again = label(with_labels, rater="ann", path=path)

    assert (len(again.state.tasks), again.state.index) == (3, 1)
    assert again.show()["task"]["points"][1] == {"score": 1.0, "anchor": "pass"}


def test_criteria_of_unjudged_trials_are_the_suites_or_those_that_are_named(path):
    named = label(UNJUDGED, rater="ann", path=path, criteria=["helpful", "safe"])
    scale = pl.DataFrame({"criterion": ["tone"], "scale_min": [1.0], "scale_max": [5.0]})
    declared = UNJUDGED + ek.Evals.from_tables(criteria=scale)

    assert {task.criterion for task in named.state.tasks} == {"helpful", "safe"}
    assert {task.criterion for task in label(declared, rater="ann", path=path).state.tasks} == {"tone"}
    with pytest.raises(SelectorError, match="helpful"):
        label(declared, rater="ann", path=path, criteria=["helpful"])


def test_labels_of_other_criteria_go_on_with_these_and_without_a_made_up_scale(path):
    scores = pl.DataFrame(
        {"run": ["a", "a"], "case": ["1", "1"], "criterion": ["Tone", "Safe"], "score": [3.0, 1.0]}
    ).with_columns(grader=pl.lit("bob"), grader_kind=pl.lit("human"))
    labeler = label(UNJUDGED + ek.Evals.from_tables(scores=scores), rater="ann", path=path)

    assert {task.criterion for task in labeler.state.tasks} == {"Tone", "Safe"}
    points = {}
    for _ in labeler.state.tasks:
        points[labeler.state.task.criterion] = labeler.show()["task"]["points"]
        labeler.handle({"kind": "go", "by": 1})
    assert points["Tone"] == []
    assert len(points["Safe"]) == 2


def test_unjudged_trials_in_random_order_are_the_same_ones(path):
    tasks = label(UNJUDGED, rater="ann", path=path, order="random", seed=3).state.tasks

    assert {task.trial for task in tasks} == {("a", "2", 1), ("a", "1", 1), ("b", "1", 1)}


def test_without_a_kernel_labels_are_a_table_and_notes_are_no_markup(labeler):
    give(labeler, 4.0, note="<script>alert(1)</script>")

    html = str(labeler.to_html())

    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "1 of " in html


def test_lines_that_are_not_labels_stay_as_they_are(path, labeler):
    path.write_text("not json\n")
    again = label(JUDGED, rater="ann", path=path)
    give(again, 4.0)
    again.handle({"kind": "go", "by": -1})
    give(again, 2.0)

    assert path.read_text().startswith("not json\n")
    assert [json.loads(line)["score"] for line in path.read_text().splitlines()[1:]] == [2.0]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("earlier", [0, 1])
def test_ctrl_c_at_the_write_of_a_label_keeps_it_once(path, labeler, when, earlier):
    """A label that is new, and one that takes the place of another."""
    give(labeler, *[2.0] * earlier)
    row = {
        **next(iter(labeler.file.rows.values()), {"run": "v1", "case": "01", "criterion": "Groq"}),
        "score": 4.0,
    }
    owner, name = (labels, "atomic_write") if earlier else (native, "append")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, owner, name, at=1, when=when)
        with pytest.raises(KeyboardInterrupt):
            labeler.file.put(row)

    assert [json.loads(line)["score"] for line in path.read_text().splitlines()] == [4.0]
    labeler.file.put({**row, "score": 5.0})
    assert [json.loads(line)["score"] for line in path.read_text().splitlines()] == [5.0]


def scores(path):
    return [json.loads(line)["score"] for line in path.read_text().splitlines()]


def test_a_label_that_comes_while_another_session_writes_is_there_or_refused(path, monkeypatch):
    """What a session adds while another puts the file anew must not go with the old file."""
    row = {"run": "v1", "case": "01", "criterion": "Groq"}
    ann, bob = {**row, "grader": "ann"}, {**row, "grader": "bob", "score": 1.0}
    mine, other = LabelFile.open(path), LabelFile.open(path)
    mine.put({**ann, "score": 2.0})
    atomic_write = labels.atomic_write

    @contextmanager
    def meanwhile(path):
        with atomic_write(path) as fresh:
            yield fresh
            with ThreadPoolExecutor() as pool:
                refused.append(pool.submit(other.put, bob).exception())

    refused = []
    monkeypatch.setattr(labels, "atomic_write", meanwhile)
    mine.put({**ann, "score": 4.0})

    if refused == [None]:
        assert scores(path) == [4.0, 1.0]
    else:
        assert isinstance(refused[0], BusyError)
        other.put(bob)
        assert scores(path) == [4.0, 1.0]


def test_one_label_given_in_two_sessions_is_there_once(path):
    row = {"run": "v1", "case": "01", "criterion": "Groq", "grader": "ann"}
    first, second = LabelFile.open(path), LabelFile.open(path)

    first.put({**row, "score": 2.0})
    second.put({**row, "score": 4.0})

    assert scores(path) == [4.0]


def test_a_label_that_a_full_disk_refused_is_written_when_it_is_given_again(path, monkeypatch):
    file, row = LabelFile.open(path), {"run": "v1", "case": "01", "criterion": "Groq", "score": 4.0}

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(native, "append", full)
        with pytest.raises(OSError, match="No space left"):
            file.put(row)
    file.put(row)

    assert [json.loads(line)["score"] for line in path.read_text().splitlines()] == [4.0]
