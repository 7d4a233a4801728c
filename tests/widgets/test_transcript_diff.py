"""Two transcripts side by side: turns are aligned, the first difference is the first, words that differ are apart."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evalkit as ek
from evalkit.data.evals import Evals
from evalkit.util.errors import ColumnError, SelectorError
from evalkit.widgets.diff_align import align, compare_words, first_difference
from evalkit.widgets.transcript_diff import transcript_diff
from evalkit.widgets.transcript_messages import MessagePart, TranscriptMessage

HOSTILE = "</script><img src=x onerror=window.x=1>\x1b[31m\u202e"


def say(role, text, *tools):
    return TranscriptMessage(role, role, (MessagePart(text), *(MessagePart(arguments, summary=f"Tool call {name}: x") for name, arguments in tools)))  # fmt: skip


def pairs(left, right):
    return [(row.left, row.right) for row in align(left, right)]


@pytest.fixture(scope="module")
def demo():
    return ek.demo.make()


def two(left, right, **more):
    turns = [
        {"run": run, "case": "1", "turn": at, "role": role, "content": text}
        for run, side in (("a", left), ("b", right))
        for at, (role, text) in enumerate(side, 1)
    ]
    return Evals.from_tables(
        turns=pl.DataFrame(turns) if turns else None,
        trials=pl.DataFrame({"run": ["a", "b"], "case": "1", **more}),
    )


# --- turns


def test_turns_that_are_alike_but_for_white_space_are_anchors():
    left = [say("user", "do it"), say("assistant", "first I look"), say("assistant", "done")]
    right = [say("user", "do  it\n"), say("assistant", "done")]

    assert pairs(left, right) == [(0, 0), (1, None), (2, 1)]


def test_between_anchors_turns_of_one_role_with_akin_words_stand_opposite_each_other():
    left = [say("assistant", "I read the file of results"), say("assistant", "I write the answer down")]
    right = [say("assistant", "an aside"), say("assistant", "I read the file of errors"), say("assistant", "I write the answer up")]  # fmt: skip

    assert pairs(left, right) == [(None, 0), (0, 1), (1, 2)]


def test_the_same_tool_called_otherwise_stands_opposite_itself():
    left = [say("assistant", "", ("read_file", '{"path": "a"}'))]
    right = [
        say("assistant", "", ("write_file", '{"path": "zzz"}')),
        say("assistant", "", ("read_file", '{"path": "b"}')),
    ]

    assert pairs(left, right) == [(None, 0), (0, 1)]


def test_a_turn_never_stands_opposite_one_of_another_role():
    rows = align([say("user", "same words")], [say("assistant", "same words")])

    assert [(row.left, row.right) for row in rows] == [(0, None), (None, 0)]


messages = st.lists(
    st.tuples(st.sampled_from(["user", "assistant", "tool"]), st.sampled_from(["a b", "a c", "", "d e f", "\x1f"])).map(lambda one: say(*one)),
    max_size=8,
)  # fmt: skip


@given(messages, messages)
def test_every_turn_stands_in_one_row_and_in_order(left, right):
    rows = align(left, right)

    assert [row.left for row in rows if row.left is not None] == list(range(len(left)))
    assert [row.right for row in rows if row.right is not None] == list(range(len(right)))
    assert (first_difference(rows) is None) == (len(left) == len(right) and all(row.same for row in rows))


@given(messages)
def test_a_transcript_differs_from_itself_nowhere(turns):
    assert first_difference(align(turns, turns)) is None


def test_stretches_too_long_to_weigh_are_paired_in_order():
    left = [say("assistant", f"left {at}") for at in range(300)]
    right = [say("assistant", f"right {at}") for at in range(310)]

    rows = align(left, right)

    assert (rows[0].left, rows[0].right) == (0, 0)
    assert (rows[-1].left, rows[-1].right) == (None, 309)


# --- words


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_words_of_each_side_add_up_to_its_text(left, right):
    before, after, _ = compare_words(say("user", left), say("user", right))

    assert "".join(text for text, _ in before[0][1]) == left
    assert "".join(text for text, _ in after[0][1]) == right
    assert [t for t, differs in before[0][1] if not differs] == [t for t, differs in after[0][1] if not differs]  # fmt: skip


def test_only_the_word_that_differs_is_marked():
    before, after, spent = compare_words(
        say("user", "map by line order"), say("user", "map by custom_id order")
    )

    assert [text for text, differs in before[0][1] if differs] == ["line"]
    assert [text for text, differs in after[0][1] if differs] == ["custom_id"]
    assert spent == 14


def test_where_little_is_the_same_all_differs():
    before, after, _ = compare_words(say("user", "let me look at the job first"), say("user", "right, both have 1,200 rows at the end"))  # fmt: skip

    assert before[0][1] == (("let me look at the job first", True),)
    assert after[0][1] == (("right, both have 1,200 rows at the end", True),)


def test_beyond_the_budget_a_section_differs_as_a_whole():
    before, _, spent = compare_words(say("user", "a b c"), say("user", "a b d"), budget=5)

    assert (before[0][1], spent) == ((("a b c", True),), 0)


def test_sections_are_compared_with_their_like():
    left = say("assistant", "I write", ("write_file", "answer = 1"))
    right = say("assistant", "I write", ("read_file", "p"), ("write_file", "answer = 2"))

    before, after, _ = compare_words(left, right)

    assert [(head, any(d for _, d in pieces)) for head, pieces in after] == [("", False), ("Tool call read_file", True), ("Tool call write_file", True)]  # fmt: skip
    assert [text for text, differs in before[1][1] if differs] == ["1"]


# --- the widget


def test_the_sides_are_chosen_as_in_compare_and_stand_within_a_model(demo):
    view = transcript_diff(
        demo, "02", baseline="v2", candidate={"agent_version": "v3", "model": "demo-small"}
    )

    assert (view.state.baseline.run, view.state.candidate.run) == ("v2-demo-small", "v3-demo-small")


def test_the_first_difference_is_the_first_turn_whose_words_differ():
    data = two(
        [("user", "hi"), ("assistant", "a"), ("user", "more")],
        [("user", "hi"), ("assistant", "b"), ("user", "more")],
    )

    view = transcript_diff(data, "1", baseline="a", candidate="b")

    assert view.state.first == 1
    assert repr(view).endswith("1 of 3 turns differ, first in row 2")


def test_the_scores_of_both_are_means_over_samples(demo):
    view = transcript_diff(demo, "02", baseline="v2", candidate="v3")

    scores = demo.scores.filter(
        (pl.col("run") == "v3-demo-large") & (pl.col("case") == "02") & (pl.col("epoch") == 1)
    )
    groq = scores.filter((pl.col("criterion") == "Groq") & (pl.col("grader") == "demo-judge"))["score"].mean()
    assert {(c, g): b for c, g, _, b in view.state.scores}[("Groq", "demo-judge (judge)")] == pytest.approx(
        groq
    )


def test_another_pair_can_be_chosen_and_one_that_is_not_there_is_the_last(demo):
    view = transcript_diff(demo, "02", baseline="v2", candidate="v3")

    view.handle({"kind": "sides", "baseline": 3, "candidate": 10**6})

    assert (view.state.baseline.run, view.state.baseline.epoch) == ("v2-demo-small", 1)
    assert (view.state.candidate.run, view.state.candidate.epoch) == ("v3-demo-small", 3)


@pytest.mark.parametrize("message", [{"kind": "sides", "baseline": -1, "candidate": 0}, {"kind": "sides"}, 3])
def test_nonsense_of_a_front_end_changes_nothing(demo, message):
    view = transcript_diff(demo, "02", baseline="v2", candidate="v3")
    before = view.state

    view.handle(message)

    assert view.state is before
    assert view.status


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        (("2", "v2", "v3"), SelectorError, "Did you mean '02'?"),
        (("02", "v2", "v9"), SelectorError, "'v9'"),
        (("02", {"modl": "x"}, "v3"), ColumnError, "Did you mean 'model'?"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(demo, asked, kind, said):
    with pytest.raises(kind) as caught:
        transcript_diff(demo, asked[0], baseline=asked[1], candidate=asked[2])

    assert said in str(caught.value)


def test_a_side_without_a_trial_of_the_case_is_refused():
    data = Evals.from_tables(trials=pl.DataFrame({"run": ["a", "b"], "case": ["1", "2"], "output": "x"}))

    with pytest.raises(SelectorError, match="'b' has no trial of case '1'") as caught:
        transcript_diff(data, "1", baseline="a", candidate="b")

    assert caught.value.choices == ("a",)


def test_hostile_text_stays_text_and_what_differs_is_marked_by_more_than_a_colour():
    data = two(
        [("user", HOSTILE), ("assistant", f"a {HOSTILE}")],
        [("user", HOSTILE), ("assistant", f"b {HOSTILE}")],
        error=HOSTILE,
    )

    view = transcript_diff(data, "1", baseline="a", candidate="b")
    text = view.to_html()

    assert "<img" not in text
    assert "<del>a</del>" in text
    assert "<ins>b</ins>" in text
    assert "first difference" in text
    assert "\x1b" not in text + json.dumps(view.show(), ensure_ascii=False)
    assert "\u202e" not in text + json.dumps(view.show(), ensure_ascii=False)


def test_two_empty_trials_and_a_huge_message_are_shown():
    empty = transcript_diff(two([], []), "1", baseline="a", candidate="b")
    huge = transcript_diff(
        two([("user", "word " * 400_000)], [("user", "other " * 400_000)]), "1", baseline="a", candidate="b"
    )

    assert "no differences" in repr(empty)
    assert huge.state.first == 0
    assert len(huge.to_html()) < 400_000


def test_two_thousand_turns_are_aligned():
    turns = [("user" if at % 2 else "assistant", f"turn {at} says {at * 7}") for at in range(2_000)]
    changed = [*turns[:999], ("user", "something else"), *turns[1_000:]]

    view = transcript_diff(two(turns, changed), "1", baseline="a", candidate="b")

    assert view.state.first == 999
    assert sum(not row.same for row in view.state.rows) == 1
