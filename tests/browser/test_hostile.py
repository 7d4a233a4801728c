"""Hostile and huge transcripts in every widget that shows them: text, legible, nothing asked for, nothing slow to open."""

from __future__ import annotations

import base64
import json

import polars as pl
import pytest
from playwright.sync_api import expect

import evalkit as ek
from evalkit.data.evals import Evals
from evalkit.widgets.panel import script, style

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>window.x=1</script><img src=x onerror=window.x=1>[x](javascript:window.x=1)![y](https://example.com/p.png)\x1b[31m\u202e{{7*7}}"
# A model of the front end: what is asked is kept, and the test answers as the kernel would.
RENDER = """async ([module, state]) => {
  const { default: widget } = await import('data:text/javascript;base64,' + module);
  const listeners = {};
  window.asked = [];
  const model = { get: part => state[part], send: message => window.asked.push(message),
    on: (event, draw) => { (listeners[event] ||= []).push(draw); }, off() {} };
  window.answer = fresh => { for (const [part, value] of Object.entries(fresh)) { state[part] = value; (listeners['change:' + part] || []).forEach(draw => draw()); } };
  widget.render({ model, el: document.getElementById('here') });
}"""


def made(left, right=None):
    """Evals with two runs over one hostile case; a turn is (role, content, more columns)."""
    turns = [
        {"run": run, "case": HOSTILE, "turn": at, "role": role, "content": content, **more}
        for run, side in ((f"a{HOSTILE}", left), (f"b{HOSTILE}", right or left))
        for at, (role, content, more) in enumerate(side, 1)
    ]
    runs = [f"a{HOSTILE}", f"b{HOSTILE}"]
    return Evals.from_tables(
        cases=pl.DataFrame({"case": [HOSTILE], "input": [HOSTILE], "tags": [[HOSTILE, "t"]], "severity": ["critical"]}),
        criteria=pl.DataFrame({"criterion": [HOSTILE], "scale_min": [1], "scale_max": [5]}),
        runs=pl.DataFrame({"run": runs, "agent_version": runs, "model": runs}),
        trials=pl.DataFrame({"run": runs, "case": HOSTILE, "error": HOSTILE, "source": HOSTILE, "line": 3}),
        turns=pl.DataFrame(turns, infer_schema_length=None) if turns else None,
        scores=pl.DataFrame({"run": runs, "case": HOSTILE, "criterion": HOSTILE, "score": [1.0, 5.0], "grader": HOSTILE, "rationale": HOSTILE, "evidence": HOSTILE}),
    )  # fmt: skip


def panel(kind, evals, folder):
    runs = [{"run": run} for run in evals.runs["run"]]
    if kind == "explorer":
        return ek.explore(evals)
    if kind == "difference":
        return ek.transcript_diff(evals, HOSTILE, baseline=runs[0], candidate=runs[1])
    if kind == "tuner":
        return ek.tune(evals)
    if kind == "labeler":
        return ek.label(evals, rater=HOSTILE, path=folder / "labels.jsonl")
    if kind == "rubric_lab":
        judge = ek.Judge(model="m", provider="local", name=HOSTILE)
        return ek.rubric_lab(evals, judge, cache=folder / "answers.sqlite")
    return ek.transcript(evals, run=runs[0]["run"], case=HOSTILE)


CALLS = json.dumps([{"name": HOSTILE, "arguments": {"q": HOSTILE}}])
IMAGE = json.dumps([{"type": "image_url", "image_url": {"url": "https://example.com/p.png"}}])
TURNS = [
    ("system", HOSTILE, {}),
    ("user", None, {"parts": IMAGE}),
    ("assistant", HOSTILE, {"reasoning": HOSTILE, "tool_calls": CALLS}),
    ("tool", HOSTILE, {"tool_name": HOSTILE}),
    ("assistant", "", {}),
    ("assistant", "# A heading of a message\n\n#### is none of the page", {}),
    (HOSTILE, HOSTILE, {}),
]
OTHERS = [*TURNS[:3], ("assistant", f"another {HOSTILE}", {}), *TURNS[3:]]
KINDS = ["transcript", "explorer", "difference"]


@pytest.fixture
def shown(open_page, tmp_path):
    def show(kind, evals, *, live=True, scheme="light"):
        view = panel(kind, evals, tmp_path)
        path = tmp_path / "page.html"
        body = "" if live else view._repr_html_()
        path.write_text(f"<!doctype html><html lang=en><meta charset=utf-8><title>t</title><style>body{{background:Canvas;color-scheme:light dark}}</style><main><h1>t</h1><div id=here>{body}</div></main>", encoding="utf-8")  # fmt: skip
        page = open_page(path, scheme=scheme)
        if live:
            page.add_style_tag(content=style(view.name, *view.shares))
            module = base64.b64encode(script(view.name, *view.shares).encode()).decode()
            page.evaluate(RENDER, [module, {**view.show(), "status": {"count": 0, "text": ""}}])
        return page, view

    return show


def open_all(page):
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    # A fold is filled by the event that tells of its opening.
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.parametrize("live", [True, False], ids=["live", "static"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_is_shown_as_text(shown, axe, kind, scheme, live):
    page, _ = shown(kind, made(TURNS, OTHERS), live=live, scheme=scheme)
    open_all(page)

    text = page.locator("#here").inner_text()
    assert "<img src=x onerror=window.x=1>" in text or kind == "explorer"
    assert page.locator("#here img, #here script, #here iframe").count() == 0
    # The static form shows Markdown as it is meant: an image is a link to follow, or not.
    links = page.locator("#here a").evaluate_all("all => all.map(one => one.href)")
    assert set(links) <= (set() if live else {"https://example.com/p.png"})
    assert page.evaluate("window.x") is None
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert page.outside == []
    assert page.said == []
    assert axe(page) == []


@pytest.mark.parametrize("live", [True, False], ids=["live", "static"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["tuner", "labeler", "rubric_lab"])
def test_outside_jupyterlab_every_widget_is_accessible_too(shown, axe, kind, scheme, live):
    page, _ = shown(kind, made(TURNS, OTHERS), live=live, scheme=scheme)

    assert page.locator("#here").inner_text()
    assert page.locator("#here img, #here script, #here iframe").count() == 0
    assert page.evaluate("window.x") is None
    assert page.outside == []
    assert page.said == []
    assert axe(page) == []


def test_a_slider_that_was_moved_again_is_not_put_back_by_the_answer_to_the_first_move(shown):
    page, view = shown("tuner", made(TURNS))
    slider = page.get_by_label("Minimum mean")
    for moves in (1, 2):
        slider.press("ArrowRight")
        page.wait_for_function("moves => window.asked.length === moves", arg=moves)
    moved = page.evaluate("window.asked")

    for at, message in enumerate(moved, 1):
        view.handle(message)
        page.evaluate("fresh => window.answer(fresh)", {**view.show(), "status": {"count": at, "text": ""}})
        assert float(slider.input_value()) == moved[-1]["mean"]

    view.handle({"kind": "reset"})
    page.evaluate("fresh => window.answer(fresh)", {**view.show(), "status": {"count": 3, "text": ""}})
    assert float(slider.input_value()) == view.trials.apply(view.rule).mean < moved[-1]["mean"]


def test_words_are_sent_when_their_box_is_left_so_that_nothing_chosen_next_takes_them_away(shown):
    page, _ = shown("rubric_lab", made(TURNS))

    page.get_by_label("Description").fill("Other words.")
    page.keyboard.press("Tab")

    assert page.evaluate("window.asked") == [{"kind": "edit", "description": "Other words."}]


def test_markdown_that_is_shown_as_meant_loads_and_runs_nothing(shown):
    page, view = shown(
        "transcript", made([("assistant", f"**bold** {HOSTILE} [z](https://example.com)", {})])
    )
    page.get_by_role("button", name="Markdown").click()

    assert page.evaluate("window.asked") == [{"kind": "format", "markdown": True}]
    view.handle({"kind": "format", "markdown": True})
    page.evaluate("fresh => window.answer(fresh)", view.show())

    expect(page.locator(".ek-markdown strong")).to_have_text("bold")
    assert page.locator("#here a").evaluate_all("all => all.map(one => one.href)") == [
        "https://example.com/p.png",
        "https://example.com/",
    ]
    assert page.locator("#here img").count() == 0
    assert page.evaluate("window.x") is None
    assert page.outside == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_trial_says_so(shown, axe, kind):
    page, _ = shown(kind, made([]))

    assert page.locator("#here").inner_text()
    assert page.said == []
    assert axe(page) == []


@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_turns_can_be_read_to_the_last(shown, kind):
    turns = [("assistant" if at % 2 else "user", f"turn {at} of many", {}) for at in range(2_000)]
    page, _ = shown(kind, made(turns, [*turns[:1_500], ("user", "something else", {}), *turns[1_501:]]))
    if kind == "difference":
        page.get_by_role("button", name="First difference").click()
        expect(page.locator(".ek-diff-row").first).to_be_focused()
        expect(page.locator(".ek-diff-row").first).to_contain_text("something else")
    else:
        expect(page.locator(".ek-messages > li")).to_have_count(2_001)
        page.get_by_label("Search this transcript").fill("turn 1999 of")
        expect(page.locator(".ek-messages > li:visible")).to_have_count(1)
    assert page.said == []


@pytest.mark.parametrize("kind", ["transcript", "explorer"])
def test_the_rest_of_two_megabytes_is_fetched_when_it_is_asked_for(shown, kind):
    page, view = shown(kind, made([("user", "word " * 400_000, {})]))

    page.get_by_text("The rest of the message").click()
    page.get_by_role("button", name="Show the remaining").click()
    message = page.evaluate("window.asked.at(-1)")
    view.handle(message)
    page.evaluate("fresh => window.answer(fresh)", {"whole": view.show()["whole"]})

    length = "() => document.querySelector('[data-part=\"0-1\"] pre').textContent.length"
    assert message == {"kind": "whole", "message": 0, "part": 1}
    assert page.evaluate(length) > 1_900_000
    assert page.said == []


def test_a_kernel_that_does_not_respond_is_reported(shown):
    page, _ = shown("explorer", made(TURNS))
    page.clock.install()
    page.get_by_role("button", name="fail").first.click()
    page.clock.fast_forward(10_000)

    expect(page.get_by_text("The kernel does not respond. Run the cell again.")).to_be_visible()
