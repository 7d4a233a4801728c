from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser

import polars as pl
import pytest

from evalkit.data.evals import Evals
from evalkit.util.errors import SelectorError
from evalkit.widgets.transcript import transcript
from evalkit.widgets.transcript_view import read_trial, to_data, transcript_html

HOSTILE = (
    "</script><script>window.x=1</script><img src=x onerror=window.x=1>[x](javascript:1)\x1b[31m\u202e{{7*7}}"
)


def evals(*, turns=None, scores=None, **trial):
    trial = {"run": "a", "case": "01", "epoch": 1, "source": "t.jsonl", "line": 7, **trial}
    turns = [
        {"run": "a", "case": "01", "epoch": 1, "turn": at, **turn} for at, turn in enumerate(turns or [], 1)
    ]
    scores = [{"run": "a", "case": "01", "epoch": 1, "criterion": "Groq", **score} for score in scores or []]
    return Evals.from_tables(
        cases=pl.DataFrame(
            {"case": ["01"], "severity": ["critical"], "ideal_behavior": ["Map by custom_id."]}
        ),
        criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
        trials=pl.DataFrame([trial]),
        turns=pl.DataFrame(turns) if turns else None,
        scores=pl.DataFrame(scores) if scores else None,
    )


def html(**given):
    return transcript(evals(**given), run="a", case="01")._repr_html_()


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_messages_are_shown_in_order_with_their_roles():
    text = html(turns=[{"role": "user", "content": "Do it"}, {"role": "assistant", "content": "**Done**"}])

    assert text.index("<strong>user</strong>") < text.index("Do it") < text.index("<strong>Done</strong>")


def test_tool_calls_results_and_reasoning_are_folded():
    calls = json.dumps([{"id": "1", "name": "search", "arguments": {"q": "batch"}}])
    text = html(
        turns=[
            {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": calls, "tool_name": None},
            {
                "role": "tool",
                "content": "found",
                "reasoning": None,
                "tool_calls": None,
                "tool_name": "search",
            },
        ]
    )

    assert "<summary>Reasoning (2 characters)</summary>" in text
    assert "<summary>Tool call search: {&quot;q&quot;: &quot;batch&quot;}</summary>" in text
    assert "<summary>Tool result search (5 characters): found</summary>" in text
    assert "<details open>" not in text


def test_scores_stand_beside_with_scale_grader_and_rationale():
    score = {
        "score": 2.0,
        "grader": "judge-1",
        "grader_kind": "judge",
        "rationale": "Relies on *order*.",
        "sample": 2,
    }
    text = html(output="x", scores=[score])

    assert "2 of 5" in text
    assert "judge-1 (judge)" in text
    assert "Relies on <em>order</em>." in text


def test_more_samples_of_one_judgement_are_folded():
    score = {"grader": "judge-1", "grader_kind": "judge"}
    text = html(
        output="x", scores=[{**score, "score": 2.0, "sample": 1}, {**score, "score": 4.0, "sample": 2}]
    )

    assert text.index("2 of 5") < text.index("<summary>More samples: 4 of 5</summary>")
    assert text.count("judge-1 (judge)") == 1


def test_code_in_a_tool_call_keeps_its_lines():
    call = [{"name": "write", "arguments": {"path": "a.py", "content": "x = 1\ny = 2"}}]
    text = html(turns=[{"role": "assistant", "tool_calls": json.dumps(call)}])

    assert "path: &quot;a.py&quot;\ncontent:\nx = 1\ny = 2</pre>" in text


def test_a_score_that_could_not_be_read_is_unscored_with_the_reason():
    assert "unscored: not JSON" in html(output="x", scores=[{"score": None, "error": "not JSON"}])


def test_the_quotation_is_marked_and_its_fold_opened():
    text = html(
        turns=[{"role": "tool", "content": "results mapped by position in the file"}],
        scores=[{"score": 1.0, "evidence": "mapped by position"}],
    )

    assert "<details open>" in text
    assert "<mark>mapped by position</mark>" in text


def test_the_source_and_the_expectation_are_there():
    text = html(output="x")

    assert "t.jsonl:7" in text
    assert "Map by custom_id." in text
    assert "severity critical" in text


def test_an_output_that_the_messages_hold_is_not_shown_twice():
    text = html(output="The answer", turns=[{"role": "assistant", "content": "The answer"}])

    assert text.count("The answer") == 1


def test_a_crash_is_shown_as_one():
    assert "the trial ended with an error" in html(error="Timeout after 60 s")


@pytest.mark.parametrize("count", [5_000, 2_000_000])
def test_a_long_message_is_folded_and_a_huge_one_cut(count):
    text = html(turns=[{"role": "user", "content": "word " * (count // 5)}])

    assert "The rest of the message (" in text
    assert len(text) < 120_000
    assert ("more characters not shown" in text) == (count > 100_000)


def test_a_code_fence_stays_one_on_both_sides_of_the_fold():
    text = html(turns=[{"role": "assistant", "content": "```\n" + "x = 1\n" * 1000 + "```\nafter"}])

    assert text.count("<pre><code>") == 2
    assert "<p>after</p>" in text


def test_hostile_text_stays_text_wherever_it_stands():
    data = Evals.from_tables(
        cases=pl.DataFrame({"case": [HOSTILE], "input": [HOSTILE], "ideal_behavior": [HOSTILE]}),
        runs=pl.DataFrame({"run": [HOSTILE], "model": [HOSTILE], "agent_version": [HOSTILE]}),
        trials=pl.DataFrame({"run": [HOSTILE], "case": [HOSTILE], "output": [HOSTILE], "error": [HOSTILE], "source": [HOSTILE], "stop_reason": [HOSTILE]}),
        turns=pl.DataFrame({"run": [HOSTILE], "case": [HOSTILE], "role": [HOSTILE], "content": [HOSTILE], "reasoning": [HOSTILE], "tool_calls": [json.dumps([{"name": HOSTILE, "arguments": HOSTILE}])], "tool_name": [HOSTILE], "parts": [json.dumps([{"type": HOSTILE}])]}),
        scores=pl.DataFrame({"run": [HOSTILE], "case": [HOSTILE], "criterion": [HOSTILE], "grader": [HOSTILE], "rationale": [HOSTILE], "evidence": [HOSTILE], "error": [HOSTILE]}),
    )  # fmt: skip
    view = transcript(data, run=HOSTILE, case=HOSTILE)

    text = transcript_html(view.state)

    tags = Tags(text)
    assert not tags.open
    assert tags.tags <= {"div", "p", "strong", "span", "details", "summary", "ol", "ul", "li", "pre", "code", "blockquote", "q", "mark"}  # fmt: skip
    assert tags.attributes <= {"class", "open"}
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x1b" not in repr(view)


@pytest.mark.parametrize(
    "calls",
    [
        "not json",
        "{}",
        "[1]",
        '[{"function": {"name": "f", "arguments": "{}"}}]',
        "[" * 100_000,
        '[{"name": "\\ud800"}]',
    ],
)
def test_tool_calls_of_any_shape_are_shown(calls):
    view = transcript(evals(turns=[{"role": "assistant", "tool_calls": calls}]), run="a", case="01")

    transcript_html(view.state).encode()
    assert "Tool call" in transcript_html(view.state)


def test_a_trial_with_nothing_says_so():
    text = html()

    assert "No messages and no output." in text
    assert "No judgements." in text


@pytest.mark.parametrize(
    ("chosen", "value", "choices"),
    [
        ({"run": "b", "case": "01"}, "b", ("a",)),
        ({"run": "a", "case": "1"}, "1", ("01",)),
        ({"run": "a", "case": "01", "epoch": 4}, "4", ("1",)),
    ],
)
def test_an_unknown_trial_is_refused_with_what_there_is(chosen, value, choices):
    with pytest.raises(SelectorError) as caught:
        transcript(evals(output="x"), **chosen)

    assert (caught.value.value, caught.value.choices) == (value, choices)


def test_a_trial_known_from_scores_alone_can_be_read():
    data = Evals.from_tables(
        scores=pl.DataFrame({"run": ["a"], "case": ["01"], "criterion": ["G"], "score": [3]})
    )

    assert "No messages" in transcript(data, run="a", case="01")._repr_html_()


def test_the_widget_gets_plain_strings_with_the_quotation_apart():
    data = evals(turns=[{"role": "user", "content": "a <b> relies on order & more"}], scores=[{"score": 1.0, "evidence": "relies on order"}])  # fmt: skip

    view = transcript(data, run="a", case="01").view()

    part = view.trial["messages"][0]["parts"][0]
    assert part["pieces"] == [["a <b> ", False], ["relies on order", True], [" & more", False]]
    first = view.trial["judgements"][0]["samples"][0]
    assert (first["score"], first["message"]) == ("1 of 5", 0)


def test_a_quotation_that_no_message_holds_is_told_from_one_that_does():
    data = evals(output="It relies on order.", scores=[{"score": 1.0, "evidence": "never said so"}])

    assert to_data(read_trial(data, run="a", case="01"))["judgements"][0]["samples"][0]["message"] is None


def test_importing_the_view_does_not_import_widgets():
    code = "import sys, evalkit.widgets.transcript; sys.exit(bool({'anywidget', 'ipywidgets'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_thousand_turns_are_shown_live_and_begin_in_the_static_form():
    view = transcript(evals(turns=[{"role": "user", "content": f"turn {at}"} for at in range(2_000)]), run="a", case="01")  # fmt: skip

    assert len(view.show()["trial"]["messages"]) == 2_000
    assert "1,800 more messages not shown" in view._repr_html_()
    assert len(view._repr_html_()) < 60_000


def test_the_rest_of_a_huge_message_is_sent_when_it_is_asked_for():
    view = transcript(evals(turns=[{"role": "user", "content": "word " * 400_000}]), run="a", case="01")
    rest = view.show()["trial"]["messages"][0]["parts"][1]

    view.handle({"kind": "whole", "message": 0, "part": 1})

    assert rest["left"] > 1_800_000
    assert (
        sum(len(text) for text, _ in view.show()["whole"]["pieces"])
        == len(rest["pieces"][0][0]) + rest["left"]
    )


@pytest.mark.parametrize("message", [{"kind": "whole", "message": 9, "part": 0}, {"kind": "step", "by": 7}, {"kind": "format"}, "x"])  # fmt: skip
def test_a_message_about_what_is_not_there_changes_nothing(message):
    view = transcript(evals(output="x"), run="a", case="01")
    before = view.show()

    view.handle(message)

    assert view.show() == before


def test_steps_go_through_the_trials_and_stop_at_the_ends():
    data = Evals.from_tables(
        trials=pl.DataFrame({"run": ["a", "a", "b"], "case": ["1", "2", "1"], "output": "x"})
    )
    view = transcript(data, run="a", case="2")

    places = []
    for by in (1, 1, -1, -1, -1):
        view.handle({"kind": "step", "by": by})
        places.append((view.state.run, view.state.case))

    assert places == [("b", "1"), ("b", "1"), ("a", "2"), ("a", "1"), ("a", "1")]


def test_markdown_is_a_tree_of_elements_without_images_or_scripts():
    text = (
        "**bold** [x](javascript:1) ![y](https://example.com/p.png) <img src=x>\n\n[z](https://example.com)"
    )
    view = transcript(evals(turns=[{"role": "assistant", "content": text}]), run="a", case="01")

    view.handle({"kind": "format", "markdown": True})

    tree = json.dumps(view.show()["trial"]["messages"][0]["parts"][0]["tree"])
    assert '["strong", ["bold"], null]' in tree
    assert '["a", ["z"], "https://example.com"]' in tree
    assert '["img"' not in tree
    assert '"javascript:' not in tree


def test_a_refusal_and_a_failed_tool_are_named_and_are_no_attachments():
    from evalkit.widgets.transcript_messages import read_messages

    def turn(*kinds):
        parts = json.dumps([{"type": kind} for kind in kinds])
        empty = dict.fromkeys(("reasoning", "tool_calls", "tool_name", "tool_call_id"))
        return {**empty, "role": "assistant", "content": "x", "parts": parts}

    messages = read_messages([turn("refusal"), turn("error", "image"), turn("image")], {})

    assert [message.parts[-1].summary for message in messages] == [
        "Refusal",
        "Error. Not text: image",
        "Not text: image",
    ]
