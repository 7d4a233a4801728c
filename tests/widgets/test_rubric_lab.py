"""The rubric lab: what is stale, what it costs, what it did; nothing is overwritten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evalkit as ek
from evalkit.data.suite import Case, Criterion, Suite
from evalkit.judging.fake_judge import NOTICE, cache_fake_replies
from evalkit.util.errors import ArgumentError, FormatError, SelectorError, SuiteError
from evalkit.widgets.diff_align import word_diff
from evalkit.widgets.rubric_compare import by_wording, choose_trials, compare_wordings
from evalkit.widgets.rubric_draft import Draft, version_of
from evalkit.widgets.rubric_lab import rubric_lab
from fakes import FakeServer
from fakes.judges import judged

DEMO = ek.demo.make()
STRICTER = {"kind": "edit", "description": "Knows GroqCloud. A wrong limit costs a point."}


def judge_of(**settings):
    given = {"model": "demo-judge", "rubric": ek.demo.suite_path(), "provider": "local", "name": "demo-judge"}
    return ek.Judge(**{**given, "samples": 1, **settings})


@pytest.fixture
def lab(tmp_path):
    return rubric_lab(DEMO, judge_of(), cache=tmp_path / "made-up.sqlite", folder=tmp_path / "kept")


@pytest.fixture
def rejudged(lab, tmp_path):
    lab.handle(STRICTER)
    lab.handle({"kind": "sample", "choice": "random", "most": 30})
    cache_fake_replies(lab.rejudger, lab.evals, cache=tmp_path / "made-up.sqlite", only=lab.trials)
    lab.handle({"kind": "rejudge"})
    return lab


@given(st.text(), st.text())
def test_a_word_diff_holds_both_texts_to_the_letter(before, after):
    pieces = word_diff(before, after)

    assert "".join(text for text, kind in pieces if kind != "added") == before
    assert "".join(text for text, kind in pieces if kind != "removed") == after


def test_what_is_written_anew_is_no_mosaic_of_single_words():
    before, after = (
        "Knows all limits, and says so of what is not documented.",
        "Cites one source for each limit.",
    )

    assert word_diff(before, after) == [(before, "removed"), (after, "added")]


def test_a_reworded_criterion_makes_its_own_judgements_stale_and_no_others(lab):
    assert lab.stale["trials"].to_list() == [0, 0, 0]

    lab.handle(STRICTER)

    stale = dict(lab.stale.select("criterion", "trials").iter_rows())
    judged = (
        DEMO.scores.filter(grader_kind="judge", criterion="Groq").select("run", "case", "epoch").n_unique()
    )
    assert stale == {"Ai Platform": 0, "Batch Api": 0, "Groq": judged}


def test_white_space_makes_nothing_stale_and_an_undo_undoes(lab):
    before = lab.rubric.criterion("Groq").description
    lab.handle({"kind": "edit", "description": f"  {before}\n"})
    spaced = lab.state.draft.changed
    lab.handle({"kind": "edit", "description": "Other.", "anchors": {"3": "Middling.", "2": ""}})
    lab.handle({"kind": "undo"})

    assert spaced == ()
    assert lab.state.draft.changed == ()
    assert lab.rubric == lab.state.draft.saved


def test_only_what_is_stale_and_chosen_is_asked_and_the_price_is_told_first(lab):
    lab.handle(STRICTER)
    lab.handle({"kind": "sample", "choice": "borderline", "most": 5})

    lines = lab.show()["cost"]

    assert lines[0].startswith("Groq: 221 scores of demo-judge use the old wording. 161 trials")
    assert "5 chosen trials: 5 requests to demo-judge" in lines[1]


def test_judging_again_asks_the_judge_once_and_leaves_the_old_scores_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    with FakeServer("groq") as fake:
        fake.answer = lambda body: judged(body, 2)
        lab = rubric_lab(DEMO, judge_of(provider=fake.provider(), model=""), folder=tmp_path / "kept")
        lab.handle(STRICTER)
        lab.handle({"kind": "sample", "choice": "failures", "most": 4})
        lab.handle({"kind": "rejudge"})
        first = dict(fake.bodies)
        lab.handle({"kind": "rejudge"})

    assert lab.status.startswith("4 trials scored under both wordings")
    # Two of the attempts are the same to the letter, and one answer serves both.
    assert set(first.values()) == {1}
    assert fake.bodies == first
    old, new = DEMO.scores, lab.evals.scores
    assert new.height == old.height + 4
    assert old.join(new, on=old.columns, how="anti", nulls_equal=True).is_empty()
    assert ek.load(tmp_path / "kept" / "scores.jsonl").scores["score"].to_list() == [2.0] * 4


def test_judging_again_from_a_cell_is_seen_in_the_widget(lab, tmp_path):
    lab.handle(STRICTER)
    lab.handle({"kind": "sample", "choice": "random", "most": 30})
    cache_fake_replies(lab.rejudger, lab.evals, cache=tmp_path / "made-up.sqlite", only=lab.trials)
    view = lab.view()

    said = lab.rejudge()

    assert view.result["words"][0] == said
    assert all(getattr(view, part) == value for part, value in lab.show().items())


def test_the_score_diff_says_what_moved_and_which_way(rejudged):
    diff = rejudged.diff
    human = DEMO.scores.filter(grader_kind="human", criterion="Groq")

    assert set(diff.scores["criterion"]) == {"Groq"}
    assert diff.scores["change"].abs().fill_null(-1).is_sorted(descending=True)
    labelled = diff.scores.filter(pl.col("human").is_not_null())
    means = human.group_by("run", "case", "epoch").agg(pl.col("score").mean())
    joined = labelled.join(means, on=["run", "case", "epoch"])
    assert joined["human"].to_list() == pytest.approx(joined["score"].to_list())
    assert all(text.startswith(NOTICE) for text in diff.scores["rationale_after"])
    assert diff.words[0].startswith("30 trials scored under both wordings")
    assert diff.caution == ""


def test_a_choice_that_flatters_is_warned_of(lab, tmp_path):
    lab.handle(STRICTER)
    lab.handle({"kind": "sample", "choice": "disagreements", "most": 6})
    cache_fake_replies(lab.rejudger, lab.evals, cache=tmp_path / "made-up.sqlite", only=lab.trials)
    lab.handle({"kind": "rejudge"})

    assert "not a random sample" in lab.show()["result"]["words"][-1]


def made(*rows):
    """Return a collection judged by a judge twice (wordings x and y) and by a person: rows of (case, x, y, human)."""
    scores = []
    for case, old, new, human in rows:
        for grader, kind, words, score in (
            ("j", "judge", "x", old),
            ("j", "judge", "y", new),
            ("ann", "human", "x", human),
        ):
            if score is not None:
                key = {"run": "r", "case": case, "criterion": "c", "grader": grader, "grader_kind": kind}
                scores.append({**key, "rubric_hash": words, "score": float(score)})
    criteria = pl.DataFrame({"criterion": ["c"], "scale_min": [1.0], "scale_max": [5.0]})
    return ek.Evals.from_tables(scores=pl.DataFrame(scores), criteria=criteria)


def sides(evals):
    cases = evals.scores["case"].cast(pl.String).unique().sort()
    words = {
        name: pl.DataFrame({"run": "r", "case": cases, "criterion": "c", "rubric_hash": name})
        for name in "xy"
    }
    return by_wording(evals, words["x"], "j"), by_wording(evals, words["y"], "j")


def test_towards_and_away_are_counted_by_hand():
    evals = made(
        ("1", 2, 5, 5), ("2", 2, 5, 1), ("3", 5, 2, 2), ("4", 5, 5, 5), ("5", 2, 5, None), ("6", 5, None, 5)
    )

    diff = compare_wordings(*sides(evals), ek.PassRule())

    moved = dict(diff.verdicts.select("case", "moved").iter_rows())
    assert moved == {
        "1": "towards humans",
        "2": "away from humans",
        "3": "towards humans",
        "4": "",
        "5": "changed",
    }
    assert (diff.towards.estimate, diff.towards.n) == (pytest.approx(2 / 3), 3)
    gaps = [abs(5 - 5) - abs(2 - 5), abs(5 - 1) - abs(2 - 1), 0 - 3, 0]
    assert diff.nearer.estimate == pytest.approx(np.mean(gaps))
    assert "4 verdicts changed: 3 now pass, 1 no longer pass." in diff.words[0]


def test_without_labels_the_lab_does_not_say_that_words_are_better():
    diff = compare_wordings(*sides(made(("1", 2, 5, None), ("2", 4, 4, None))), ek.PassRule())

    assert diff.agreement == {}
    assert "unknown" in diff.words[-1]
    assert diff.towards.estimate is None


def test_nothing_judged_by_both_is_said():
    diff = compare_wordings(*sides(made(("1", 2, None, 5))), ek.PassRule())

    assert diff.words == ["No trial was scored under both wordings."]


def test_the_choices_choose_what_they_say():
    evals = made(("far", 5, None, 1), ("near", 4, None, 4), ("bad", 1, None, 1), ("odd", 3.9, None, 5))
    before, _ = sides(evals)
    rule = ek.PassRule(floor=1)

    chosen = {
        name: choose_trials(before, rule, name, most=2)["case"].to_list()
        for name in ("failures", "borderline", "disagreements", "random")
    }

    assert chosen["failures"] == ["bad", "odd"]
    assert chosen["borderline"] == ["near", "odd"]
    assert chosen["disagreements"] == ["far", "odd"]
    assert len(chosen["random"]) == 2
    with pytest.raises(SelectorError, match="Did you mean 'random'"):
        choose_trials(before, rule, "randm", most=2)


def test_saving_keeps_the_comments_and_every_wording(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(
        "# ours\nsuite: small\ncriteria:\n  - name: Tone # friendly\n    description: Kind.\ncases: []\n"
    )
    evals = ek.Evals.from_tables(
        trials=pl.DataFrame({"run": ["r"], "case": ["1"], "output": ["Hello there."]})
    )
    lab = rubric_lab(evals, judge_of(rubric=path), path=path, folder=tmp_path / "kept")
    lab.handle({"kind": "edit", "description": "Kind and short.", "anchors": {"1": "Rude."}})

    lab.handle({"kind": "save"})

    text = path.read_text()
    assert "# ours" in text
    assert "# friendly" in text
    assert "Kind and short." in text
    assert ek.Rubric.read(path) == lab.rubric.model_copy() or version_of(ek.Rubric.read(path)) == version_of(
        lab.rubric
    )
    assert {file.stem for file in (tmp_path / "kept" / "rubrics").iterdir()} == set(lab.versions)
    assert len(lab.versions) == 2


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"kind": "pick", "criterion": "Grok"}, "Did you mean 'Groq'"),
        ({"kind": "edit", "anchors": {"9": "Beyond."}}, "the scale goes from 1 to 5"),
        ({"kind": "rejudge"}, "No criterion is reworded"),
        ({"kind": "save"}, "No file to save to"),
        ({"kind": "sample", "choice": "all", "most": 5}, "Invalid event"),
        ({"kind": "edit", "description": 3}, "Invalid event"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(lab, message, words):
    before = lab.state

    lab.handle(message)

    assert words in lab.status
    assert lab.state == before


def test_an_endpoint_that_is_not_there_is_told_and_the_draft_is_kept(tmp_path):
    lab = rubric_lab(DEMO, judge_of(provider="http://127.0.0.1:9/v1"), cache=tmp_path / "a.sqlite")
    lab.handle(STRICTER)

    lab.handle({"kind": "rejudge"})

    assert "127.0.0.1:9" in lab.status
    assert lab.state.draft.changed == ("Groq",)
    assert (
        lab.evals.scores.filter(pl.col("score").is_not_null()).height
        == DEMO.scores.filter(pl.col("score").is_not_null()).height
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "all"}, "The judge's mode is 'all'"),
        ({"rubric": Suite(suite="s", cases=[Case(id="1")])}, "no criteria to reword"),
    ],
)
def test_a_judge_that_cannot_be_worked_on_is_refused(settings, words):
    with pytest.raises(FormatError, match=words):
        rubric_lab(DEMO, judge_of(**settings))


def test_a_name_in_place_of_a_judge_is_refused():
    with pytest.raises(ArgumentError, match="Invalid judge") as caught:
        rubric_lab(DEMO, "Groq")

    assert (caught.value.argument, caught.value.value) == ("judge", "Groq")


def test_a_judge_without_a_rubric_is_given_the_criteria_that_were_loaded():
    lab = rubric_lab(DEMO, judge_of(rubric=None))

    assert [one.name for one in lab.rubric.criteria] == ["Groq", "Ai Platform", "Batch Api"]
    assert lab.stale["stale"].to_list() == [0, 0, 0]
    with pytest.raises(FormatError, match="A rubric is of one suite"):
        rubric_lab(made(("1", 2, 3, 4)).from_tables(), judge_of(rubric=None))


def test_an_anchor_off_the_scale_is_refused():
    rubric = Suite(suite="s", criteria=[Criterion(name="Tone", anchors={1: "Bad."})])

    with pytest.raises(SuiteError, match="Tone"):
        Draft(rubric, rubric, "Tone").edited("Tone", anchors={"7": "Beyond."})


def test_hostile_words_are_text(lab):
    lab.handle({"kind": "edit", "description": "<img src=x onerror=alert(1)>\x1b[31m"})

    html = str(lab.to_html())

    assert "<img" not in html
    assert "&lt;img" in html
    assert "\x1b" not in html


def test_without_a_kernel_the_changes_and_the_result_are_readable(rejudged):
    html = str(rejudged.to_html())

    assert "<ins>" in html
    assert "<del>" in html
    assert "30 trials scored under both wordings" in html
    assert replace(rejudged.diff, caution="x").words[-1] == "x"
